//! Market-1501: training on its people, finding others.

use std::fs;
use std::path::Path;

use image::{Rgb, RgbImage};

use crate::potstill::{done, fresh, network, refused};

/// Writes pictures of one colour, so that the colour is the person.
fn draw(folder: &Path, name: &str, colour: [u8; 3]) {
    fs::create_dir_all(folder).unwrap();
    RgbImage::from_pixel(12, 30, Rgb(colour))
        .save(folder.join(name))
        .unwrap();
}

/// Three people to train on, two others to find, a distractor and junk.
fn market(root: &Path) {
    for (person, colour) in [
        ("0002", [250, 20, 20]),
        ("0007", [20, 250, 20]),
        ("0010", [20, 20, 250]),
    ] {
        for frame in 0..6 {
            let name = format!("{person}_c{}s1_{frame:06}_01.png", frame % 3 + 1);
            draw(&root.join("bounding_box_train"), &name, colour);
        }
    }
    let (query, gallery) = (root.join("query"), root.join("bounding_box_test"));
    for (person, colour) in [("0003", [200, 200, 10]), ("0004", [10, 200, 200])] {
        draw(&query, &format!("{person}_c1s1_000001_00.png"), colour);
        for camera in 1..4 {
            draw(&gallery, &format!("{person}_c{camera}s1_000009_02.png"), colour);
        }
    }
    // Nobody else has seen person 5; the distractor is nobody's.
    draw(&query, "0005_c2s1_000001_00.png", [90, 90, 90]);
    draw(&gallery, "0005_c2s1_000002_00.png", [90, 90, 90]);
    draw(&gallery, "0000_c2s1_000003_00.png", [120, 10, 120]);
    draw(&gallery, "-1_c2s1_000004_00.png", [200, 200, 10]);
}

#[test]
fn the_pictures_themselves_find_people_by_their_colour() {
    let folder = fresh();
    let folder = folder.path();
    market(&folder.join("market"));
    network(folder, "network.onnx", 3, [3, 160, 64]);
    let eval = "eval network.onnx --data market1501 --data-dir market --device cpu";
    for distance in ["euclidean", "cosine"] {
        let flags = format!("{eval} --features input --distance {distance} --format json");
        let found = done(folder, &flags).json();
        let expected = serde_json::json!({
            "map": 100.0, "rank1": 100.0, "rank5": 100.0, "rank10": 100.0, "queries": 2, "gallery": 8,
        });
        assert_eq!(found, expected);
    }
    let table = done(folder, eval).stdout;
    assert!(
        table.contains("mAP") && table.contains("rank-10") && table.contains("network.onnx"),
        "{table}"
    );
    // The first query alone.
    let one = done(folder, &format!("{eval} --limit 1 --format json")).json();
    assert_eq!(one["queries"], 1);
}

#[test]
fn a_run_names_its_own_people_and_finds_others() {
    let folder = fresh();
    let folder = folder.path();
    market(&folder.join("market"));
    network(folder, "teacher.onnx", 3, [3, 160, 64]);
    let flags = "--data market1501 --data-dir market --teacher teacher.onnx --plugin kd --log-format json";
    let lines = done(folder, &format!("distill tiny.toml {flags}")).json_lines();
    let epoch = lines.iter().find(|line| line["event"] == "epoch").unwrap();
    assert!(epoch["metrics"]["valid.top1"].is_number(), "{epoch}");
    let networks = lines.last().unwrap()["networks"].as_array().unwrap().clone();
    assert_eq!(networks.len(), 2);
    for network in &networks {
        assert_eq!(network["retrieval"]["queries"], 2, "{network}");
    }
    // The file finds what the network in training found.
    let eval = "eval run/student.onnx --data market1501 --data-dir market --device cpu --format json";
    let found = done(folder, eval).json();
    assert_eq!(found["map"], networks[1]["retrieval"]["map"]);
    let inspect = done(folder, "inspect run/student.onnx --format json").json();
    assert_eq!(
        inspect["metadata"]["potstill.classes"],
        r#"["0002","0007","0010"]"#
    );
}

#[test]
fn what_is_missing_damaged_or_misnamed_is_refused() {
    let folder = fresh();
    let folder = folder.path();
    let root = folder.join("market");
    let distill = "distill tiny.toml --data market1501 --data-dir market";
    let eval = "eval network.onnx --data market1501 --data-dir market --device cpu";
    network(folder, "network.onnx", 3, [3, 160, 64]);
    refused(
        folder,
        "distill tiny.toml --data market1501",
        &["`market1501`", "--data-dir"],
    );
    refused(folder, distill, &["market", "bounding_box_train/"]);
    refused(folder, eval, &["market", "`query/`"]);
    market(&root);
    refused(
        folder,
        &format!("{eval} --features avgpol"),
        &["network.onnx", "no value `avgpol`", "did you mean `avgpool`"],
    );
    refused(
        folder,
        &format!("{eval} --features fc.weight"),
        &["no value `fc.weight`"],
    );
    refused(
        folder,
        "eval network.onnx --data glyphs --features avgpool",
        &["--features", "`avgpool`", "`glyphs`"],
    );
    let queries = ["0003_c1s1_000001_00.png", "0004_c1s1_000001_00.png"];
    fs::write(root.join("query").join(queries[0]), "no picture").unwrap();
    refused(folder, eval, &[queries[0]]);
    for query in queries {
        fs::remove_file(root.join("query").join(query)).unwrap();
    }
    // What is left is person 5, whom no other camera has seen.
    refused(folder, eval, &["none of 1 queries"]);
    draw(&root.join("bounding_box_train"), "0011.png", [1, 2, 3]);
    refused(folder, distill, &["0011.png", "0002_c1s1_000451_03.jpg"]);
    assert!(!folder.join("run").exists());
}
