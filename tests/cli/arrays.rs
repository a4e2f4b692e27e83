//! `run`: arrays in, arrays out.

use std::fs::File;
use std::path::Path;

use potstill_core::npz::{NpzReader, NpzWriter};

use crate::potstill::{done, network, refused};

const PICTURE: [usize; 3] = [3, 32, 32];

/// Writes `count` pictures as the array `name` of an archive.
fn pictures(path: &Path, name: &str, count: usize, picture: [usize; 3]) {
    let mut archive = NpzWriter::new(File::create(path).unwrap());
    let shape = [count, picture[0], picture[1], picture[2]];
    let elements = shape.iter().product::<usize>();
    archive
        .write(
            name,
            &shape,
            (0..elements).map(|index| (index as f32 * 0.37).sin()),
        )
        .unwrap();
    archive.finish().unwrap();
}

fn array(path: &Path, name: &str) -> (Vec<u64>, Vec<f32>) {
    let mut archive = NpzReader::open(path).unwrap();
    let array = archive.array(name).unwrap().unwrap();
    (array.shape().to_vec(), array.into_vec().unwrap())
}

#[test]
fn a_picture_gives_the_same_in_every_batch() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    network(folder, "network.onnx", 20, PICTURE);
    for count in [1, 3, 7] {
        pictures(&folder.join(format!("in{count}.npz")), "input", count, PICTURE);
        let arguments =
            format!("run network.onnx --input in{count}.npz --output out{count}.npz --tap layer1.0.bn1");
        let answer = done(folder, &arguments);
        assert!(
            answer.stdout.contains(&format!("logits [{count}, 20]")),
            "{answer:?}"
        );
    }
    let (_, alone) = array(&folder.join("out1.npz"), "logits");
    for count in [3, 7] {
        let out = folder.join(format!("out{count}.npz"));
        let (shape, logits) = array(&out, "logits");
        assert_eq!(shape, [count, 20]);
        for (one, among) in alone.iter().zip(&logits) {
            assert!((one - among).abs() < 1e-5, "{one} {among}");
        }
        assert_eq!(array(&out, "layer1.0.bn1").0[0], count);
    }
}

#[test]
fn arrays_that_do_not_fit_are_refused_and_nothing_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    network(folder, "network.onnx", 20, PICTURE);
    pictures(&folder.join("other.npz"), "inputs", 2, PICTURE);
    pictures(&folder.join("small.npz"), "input", 2, [1, 32, 32]);
    pictures(&folder.join("none.npz"), "input", 0, PICTURE);
    std::fs::write(folder.join("text.npz"), "no archive").unwrap();
    File::create(folder.join("empty.npz")).unwrap();
    pictures(&folder.join("in.npz"), "input", 2, PICTURE);
    let run = |arguments: &str, pieces: &[&str]| {
        refused(
            folder,
            &format!("run network.onnx --output out.npz {arguments}"),
            pieces,
        );
        assert!(!folder.join("out.npz").exists());
    };
    run(
        "--input other.npz",
        &["other.npz has no array `input`", "did you mean `inputs`?"],
    );
    run(
        "--input small.npz",
        &["`input` is [2, 1, 32, 32]", "expected [batch, 3, 32, 32]"],
    );
    run(
        "--input none.npz",
        &["network.onnx", "[0, ", "at least one element"],
    );
    run("--input text.npz", &["text.npz", "no .npz archive"]);
    run("--input empty.npz", &["empty.npz", "no .npz archive"]);
    run("--input nothing.npz", &["cannot read nothing.npz"]);
    run("--input in.npz --tap layer9", &["layer9", "did you mean"]);
    refused(
        folder,
        "run network.onnx --input in.npz --output missing/out.npz",
        &["cannot write missing/out.npz"],
    );
}
