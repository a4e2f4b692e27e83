//! A distilled student in ONNX Runtime: the accuracy that `eval` reports, whatever the batch size
//! and the precision.
//!
//! Skipped without CIFAR-100, and without a Python that has ONNX Runtime.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test that unwraps says where it failed"
)]

mod potstill;

use std::fs;
use std::path::Path;
use std::process::Command;

use potstill::{command, done, succeeded};
use potstill_evidence::{cifar100, onnx_runtime, record};

/// How many pictures each side looks at, and the student has learnt from.
const PICTURES: &str = "750";

/// How far top-1 (in percent) and loss may be apart. Half precision is computed in `f32` here and
/// in 16 bits there. In integers, what lies in the middle of two steps may be rounded to either
/// side, which moves a logit by a step or two: four of 750 pictures may change their class.
type Difference = (f64, f64);
const FP32: Difference = (0.05, 1e-4);
const FP16: Difference = (0.3, 5e-3);
const INT8: Difference = (0.55, 2e-2);

#[test]
fn a_distilled_student_has_the_accuracy_that_eval_reports_in_every_precision() {
    let (Some(data), true) = (cifar100(), onnx_runtime()) else {
        return;
    };
    let place = tempfile::tempdir().unwrap();
    let folder = place.path();
    let teacher = record("pytorch/resnet20x2-cifar100.onnx");
    fs::copy(teacher, folder.join("teacher.onnx")).unwrap();
    let distil = |out: &str, plugins: &str| {
        let arguments = "distill --data cifar100 --teacher teacher.onnx --student resnet8 \
                         --plugin kd:temperature=4,alpha=0.9 --epochs 1";
        let arguments = format!("{arguments} {plugins} --limit {PICTURES} --out {out} --data-dir");
        succeeded(command(folder, &arguments).arg(&data));
    };
    distil("run", "");
    agree(folder, &data, "run/student.onnx", &["1", "7", "250"], FP32);
    for (precision, difference) in [
        ("fp16", FP16),
        ("int8", INT8),
        ("int8 --reduce-range", INT8),
        ("int8 --calibration percentile", INT8),
        ("int8 --calibration entropy", INT8),
    ] {
        let arguments = format!("export run -o other.onnx --precision {precision} --calibration-samples 256");
        done(folder, &arguments);
        agree(folder, &data, "other.onnx", &["1", "250"], difference);
    }
    for (plugin, difference) in [("qat", INT8), ("binarize", FP32)] {
        distil(plugin, &format!("--plugin {plugin}"));
        let file = format!("{plugin}/student.onnx");
        agree(folder, &data, &file, &["250"], difference);
    }
}

/// Fails unless `eval` and ONNX Runtime agree on a file.
fn agree(folder: &Path, data: &Path, file: &str, batches: &[&str], (top1, loss): Difference) {
    let arguments = format!("eval {file} --data cifar100 --limit {PICTURES} --format json --data-dir");
    let ours = succeeded(command(folder, &arguments).arg(data)).json();
    let theirs = theirs(folder, data, file, batches);
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

/// What ONNX Runtime makes of a file, by batch size.
fn theirs(folder: &Path, data: &Path, file: &str, batches: &[&str]) -> serde_json::Value {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/student.py");
    let mut python = Command::new("python3");
    python.current_dir(folder).arg(script).arg(file);
    python.arg("--data-dir").arg(data);
    python.args(["--limit", PICTURES, "--batch"]).args(batches);
    succeeded(&mut python).json()
}
