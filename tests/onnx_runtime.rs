//! A distilled student in ONNX Runtime: the accuracy that `eval` reports, whatever the batch size and the precision.
//!
//! Needs CIFAR-100 beside the project and a Python with `onnxruntime`; says "skipped" where one is missing.

use std::path::Path;
use std::process::{Command, Output};

const PICTURES: &str = "750";

fn shared(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared").join(name)
}

fn potstill(arguments: &[&str], folder: &Path) -> Output {
    let output = Command::new(env!("CARGO_BIN_EXE_potstill"))
        .args(arguments)
        .current_dir(folder)
        .output()
        .expect("the binary starts");
    assert!(
        output.status.success(),
        "{arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

#[test]
fn a_distilled_student_has_the_accuracy_that_eval_reports_in_every_precision() {
    let data = shared("data");
    let teacher = shared("model/resnet20x2-cifar100.onnx");
    if !data.join("cifar-100-binary.tar.gz").exists() || !teacher.exists() {
        println!("skipped: no CIFAR-100 in {}", data.display());
        return;
    }
    let python = Command::new("python3")
        .args(["-c", "import numpy, onnxruntime"])
        .output();
    if !python.is_ok_and(|output| output.status.success()) {
        println!("skipped: no python3 with onnxruntime");
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let data = data.to_str().expect("a path in UTF-8");
    let teacher = teacher.to_str().expect("a path in UTF-8");
    let distil = [
        "distill",
        "--data",
        "cifar100",
        "--data-dir",
        data,
        "--limit",
        PICTURES,
        "--teacher",
        teacher,
        "--student",
        "resnet8",
        "--plugin",
        "kd:temperature=4,alpha=0.9",
        "--epochs",
        "1",
        "--out",
        "run",
    ];
    potstill(&distil, folder.path());
    agree(folder.path(), data, "run/student.onnx", &["1", "7", "250"], FP32);
    for (precision, difference) in [
        ("fp16", FP16),
        ("int8", INT8),
        ("int8 --calibration percentile", INT8),
        ("int8 --calibration entropy", INT8),
    ] {
        let mut export = vec!["export", "run", "-o", "other.onnx", "--precision"];
        export.extend(precision.split(' '));
        export.extend(["--calibration-samples", "256"]);
        potstill(&export, folder.path());
        agree(folder.path(), data, "other.onnx", &["1", "250"], difference);
    }
    for (plugin, difference) in [("qat", INT8), ("binarize", FP32)] {
        let mut learn = distil.to_vec();
        if let Some(out) = learn.last_mut() {
            *out = plugin;
        }
        learn.extend(["--plugin", plugin]);
        potstill(&learn, folder.path());
        let file = format!("{plugin}/student.onnx");
        agree(folder.path(), data, &file, &["250"], difference);
    }
}

/// How far top-1 (in percent) and loss may be apart. Half precision is computed in `f32` here and in 16 bits there. In integers, what lies in the middle
/// of two steps may be rounded to either side, which moves a logit by a step or two: four of 750 pictures may change their class.
type Difference = (f64, f64);
const FP32: Difference = (0.05, 1e-4);
const FP16: Difference = (0.3, 5e-3);
const INT8: Difference = (0.55, 2e-2);

/// Fails unless `eval` and ONNX Runtime agree on a file.
fn agree(folder: &Path, data: &str, file: &str, batches: &[&str], (top1, loss): Difference) {
    let eval = [
        "eval",
        file,
        "--data",
        "cifar100",
        "--data-dir",
        data,
        "--limit",
        PICTURES,
        "--format",
        "json",
    ];
    let ours: serde_json::Value = serde_json::from_slice(&potstill(&eval, folder).stdout).expect("JSON");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/student.py");
    let output = Command::new("python3")
        .arg(script)
        .arg(file)
        .args(["--data-dir", data, "--limit", PICTURES, "--batch"])
        .args(batches)
        .current_dir(folder)
        .output()
        .expect("python3 starts");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let theirs: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    for batch in batches {
        let theirs = &theirs[batch];
        println!("{file}, batch {batch}: {ours} and {theirs}");
        assert_eq!(ours["samples"], theirs["samples"], "{file}, batch {batch}");
        for (key, most) in [("top1", top1), ("loss", loss)] {
            let difference = (ours[key].as_f64().unwrap() - theirs[key].as_f64().unwrap()).abs();
            assert!(
                difference <= most,
                "{file}, batch {batch}: {key} {} and {}",
                ours[key],
                theirs[key]
            );
        }
    }
}
