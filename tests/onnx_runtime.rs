//! A distilled student in ONNX Runtime: the accuracy that `eval` reports, whatever the batch size.
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
fn a_distilled_student_has_the_accuracy_that_eval_reports() {
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
    let eval = [
        "eval",
        "run/student.onnx",
        "--data",
        "cifar100",
        "--data-dir",
        data,
        "--limit",
        PICTURES,
        "--format",
        "json",
    ];
    let ours: serde_json::Value =
        serde_json::from_slice(&potstill(&eval, folder.path()).stdout).expect("JSON");

    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/student.py");
    let output = Command::new("python3")
        .arg(script)
        .arg("run/student.onnx")
        .args([
            "--data-dir",
            data,
            "--limit",
            PICTURES,
            "--batch",
            "1",
            "7",
            "250",
        ])
        .current_dir(folder.path())
        .output()
        .expect("python3 starts");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let theirs: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    for batch in ["1", "7", "250"] {
        let (ours, theirs) = (&ours, &theirs[batch]);
        assert_eq!(ours["samples"], theirs["samples"], "batch {batch}");
        let difference = (ours["top1"].as_f64().unwrap() - theirs["top1"].as_f64().unwrap()).abs();
        assert!(
            difference <= 0.05,
            "batch {batch}: top-1 {} and {}",
            ours["top1"],
            theirs["top1"]
        );
        let difference = (ours["loss"].as_f64().unwrap() - theirs["loss"].as_f64().unwrap()).abs();
        assert!(
            difference <= 1e-4,
            "batch {batch}: loss {} and {}",
            ours["loss"],
            theirs["loss"]
        );
    }
}
