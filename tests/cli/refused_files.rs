//! ONNX files that cannot teach, be evaluated or inspected, and disks that are full.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::potstill::{assert_refused, command, fresh, network, refused, trained};

/// The file is refused as a teacher, by `eval` and by `inspect`, with the same words.
fn refused_everywhere(folder: &Path, file: &str, pieces: &[&str]) {
    refused(
        folder,
        &format!("distill tiny.toml --teacher {file} --plugin kd"),
        pieces,
    );
    assert!(!folder.join("run").exists());
    refused(folder, &format!("eval {file}"), pieces);
    refused(folder, &format!("inspect {file}"), pieces);
}

#[test]
fn a_file_that_is_missing_cut_or_no_onnx_is_named() {
    let folder = fresh();
    let folder = folder.path();
    network(folder, "whole.onnx", 20, [3, 32, 32]);
    let whole = fs::read(folder.join("whole.onnx")).unwrap();
    fs::write(folder.join("cut.onnx"), &whole[..whole.len() / 2]).unwrap();
    fs::write(folder.join("text.onnx"), "This is no protobuf message.").unwrap();
    fs::write(folder.join("empty.onnx"), "").unwrap();
    refused_everywhere(
        folder,
        "nothing.onnx",
        &["cannot import nothing.onnx", "No such file"],
    );
    for file in ["cut.onnx", "text.onnx", "empty.onnx"] {
        refused_everywhere(
            folder,
            file,
            &[&format!("cannot import {file}"), "not an ONNX model"],
        );
    }
    refused_everywhere(folder, ".", &["cannot import .", "directory"]);
}

#[test]
fn unsupported_operators_are_listed_with_their_counts() {
    let folder = fresh();
    let file =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/operators/unsupported_two_kinds.onnx");
    refused_everywhere(
        folder.path(),
        &file.display().to_string(),
        &[
            "unsupported operators",
            "NonMaxSuppressionLite (2×)",
            "GridWarp (1×)",
        ],
    );
}

#[test]
fn a_teacher_for_other_classes_or_pictures_is_refused() {
    let folder = fresh();
    let folder = folder.path();
    network(folder, "classes.onnx", 100, [3, 32, 32]);
    network(folder, "grey.onnx", 20, [1, 28, 28]);
    for (file, pieces) in [
        (
            "classes.onnx",
            &["classes.onnx", "`logits` has 100 classes", "the data has 20"][..],
        ),
        ("grey.onnx", &["grey.onnx", "`input`", "1, 28, 28", "3, 32, 32"]),
    ] {
        refused(
            folder,
            &format!("distill tiny.toml --teacher {file} --plugin kd"),
            pieces,
        );
        assert!(!folder.join("run").exists());
        refused(folder, &format!("eval {file}"), pieces);
    }
}

/// Runs the program under a limit on the size of a file that stands in for a full disk: writing
/// beyond it is an error of the system, as writing to a full disk is. Blocks have 512 bytes in
/// POSIX and 1,024 in some shells.
#[cfg(target_os = "linux")]
fn on_a_full_disk(folder: &Path, arguments: &str, pieces: &[&str]) {
    let script = "trap '' XFSZ; ulimit -f 16; exec \"$@\"";
    let limited = command(folder, arguments);
    let output = Command::new("sh")
        .args(["-c", script, "sh"])
        .arg(limited.get_program())
        .args(limited.get_args())
        .current_dir(folder)
        .output()
        .unwrap();
    assert_refused(output.into(), arguments, pieces);
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_an_error_that_leaves_nothing_half_written() {
    let folder = trained();
    let folder = folder.path();
    let names = |path: &Path| {
        let mut names: Vec<_> = fs::read_dir(path)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    };
    let before = names(folder);
    on_a_full_disk(folder, "export run -o again.onnx", &["cannot write again.onnx"]);
    assert_eq!(names(folder), before);
    on_a_full_disk(
        folder,
        "distill tiny.toml --out full",
        &["cannot write full/checkpoints/step-00000004"],
    );
    assert_eq!(
        names(&folder.join("full")),
        ["checkpoints", "metrics.jsonl", "run.toml"]
    );
    assert!(names(&folder.join("full/checkpoints")).is_empty());
}
