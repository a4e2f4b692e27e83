//! Runs on contrast-normalised and whitened pictures, and the file that goes with their students.

use std::fs;
use std::path::Path;

use potstill_core::data::Whitening;

use crate::potstill::{done, refused};

/// A run on 16×16 pixels, whose matrix has 768 columns.
const TINY: &str = r#"student = "resnet8"
device = "cpu"
out = "run"

[data]
train = ["centre-crop:size=16", "flip"]
test = ["centre-crop:size=16"]
normalise = ["gcn", "zca:eps=0.2"]

[data.glyphs]
train = 64
test = 40

[training]
epochs = 1
batch-size = 16
"#;

fn fresh() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("tiny.toml"), TINY).unwrap();
    folder
}

fn side(folder: &Path) -> std::path::PathBuf {
    folder.join(Whitening::FILE)
}

#[test]
fn a_run_goes_on_and_is_exported_without_a_second_fit() {
    let folder = fresh();
    let folder = folder.path();
    let first = done(folder, "distill tiny.toml --log-format json");
    assert!(first.stderr.contains("fitting zca"), "{first:?}");
    let top1 = first.json_lines().last().unwrap()["networks"][0]["top1"].clone();
    let fitted = fs::read(side(&folder.join("run"))).unwrap();
    let inspect = done(folder, "inspect run/student.onnx --format json").json();
    let metadata = &inspect["metadata"];
    assert_eq!(metadata["potstill.normalise"], "gcn:scale=55,bias=0 zca:eps=0.2");
    assert_eq!(metadata["potstill.whitening"], Whitening::FILE);
    assert_eq!(metadata["potstill.whitening.sha256"].as_str().unwrap().len(), 64);
    assert!(metadata.get("potstill.mean").is_none(), "{metadata}");

    let eval = |file: &str| {
        done(
            folder,
            &format!("eval {file} --limit 40 --device cpu --format json"),
        )
        .json()
    };
    fs::create_dir(folder.join("elsewhere")).unwrap();
    let export = done(folder, "export run --output elsewhere/student.onnx");
    assert!(!export.stderr.contains("fitting"), "{export:?}");
    assert_eq!(fs::read(side(&folder.join("elsewhere"))).unwrap(), fitted);
    let deployed = eval("elsewhere/student.onnx");
    assert_eq!(deployed["top1"], eval("run/student.onnx")["top1"]);
    // `eval` draws the default 2000 test pictures, of which the run's 40 are the first.
    assert_eq!(deployed["top1"], top1);

    let second = done(folder, "distill --resume --out run --epochs 2");
    assert!(!second.stderr.contains("fitting"), "{second:?}");
    assert_eq!(fs::read(side(&folder.join("run"))).unwrap(), fitted);
}

#[test]
fn the_same_pictures_give_the_same_whitening_and_the_baseline_keeps_it_too() {
    let folder = fresh();
    let folder = folder.path();
    let configuration = TINY.replace("epochs = 1", "epochs = 1\nmax-steps = 1");
    fs::write(folder.join("tiny.toml"), configuration).unwrap();
    // A teacher of the run's own kind; any fits that takes these pictures.
    done(folder, "distill tiny.toml --out teacher");
    done(
        folder,
        "distill tiny.toml --baseline --teacher teacher/student.onnx --plugin kd --seed 1",
    );
    let fitted = fs::read(side(&folder.join("teacher"))).unwrap();
    for run in ["run", "run/alone"] {
        assert_eq!(fs::read(side(&folder.join(run))).unwrap(), fitted, "{run}");
    }
    done(folder, "export run/alone --output alone.onnx --checkpoint last");
}

#[test]
fn a_side_file_that_is_missing_or_another_is_refused() {
    let folder = fresh();
    let folder = folder.path();
    done(folder, "distill tiny.toml --max-steps 1");
    let whitening = side(&folder.join("run"));
    let fitted = fs::read(&whitening).unwrap();
    let eval = "eval run/student.onnx --device cpu --limit 4";
    let mut other = fitted.clone();
    *other.last_mut().unwrap() ^= 1;
    fs::write(&whitening, &other).unwrap();
    refused(folder, eval, &[Whitening::FILE, "SHA-256", "not the whitening"]);
    fs::remove_file(&whitening).unwrap();
    refused(folder, eval, &["run/student.onnx", Whitening::FILE, "is missing"]);
    refused(folder, "export run --output student.onnx", &[Whitening::FILE]);
    fs::write(&whitening, "no tensors").unwrap();
    refused(
        folder,
        "distill --resume --out run --epochs 2",
        &[Whitening::FILE],
    );
    fs::write(&whitening, &fitted).unwrap();
    // Another run's file in the way.
    fs::write(side(folder), other).unwrap();
    refused(
        folder,
        "export run --output student.onnx",
        &[Whitening::FILE, "another run", "another folder"],
    );
    assert!(!folder.join("student.onnx").exists());
}

#[test]
fn normalisations_that_make_no_sense_are_refused() {
    let folder = fresh();
    let folder = folder.path();
    let written = |from: &str, to: &str, pieces: &[&str]| {
        fs::write(folder.join("wrong.toml"), TINY.replace(from, to)).unwrap();
        refused(folder, "distill wrong.toml", pieces);
        assert!(!folder.join("run").exists());
    };
    let list = r#"normalise = ["gcn", "zca:eps=0.2"]"#;
    written(
        list,
        &format!("{list}\nmean = [0.5, 0.5, 0.5]"),
        &["`mean`", "`normalise`"],
    );
    written(
        list,
        &format!("{list}\nstd = [0.5, 0.5, 0.5]"),
        &["`std`", "`normalise`"],
    );
    written(list, r#"normalise = ["zca", "gcn"]"#, &["`gcn` and then `zca`"]);
    written(list, r#"normalise = ["zca:eps=0"]"#, &["`eps` of zca is 0"]);
    written(list, r#"normalise = ["whiten"]"#, &["`whiten`", "`gcn` or `zca`"]);
    written(r#""flip""#, r#""zca""#, &["`zca`", "`normalise`"]);
    written("size=16", "size=0", &["`size`"]);
    fs::write(
        folder.join("wrong.toml"),
        TINY.replace(r#""centre-crop:size=16""#, r#""stretch:height=100,width=100""#),
    )
    .unwrap();
    refused(folder, "distill wrong.toml", &["zca", "[3, 100, 100]", "12288"]);
}
