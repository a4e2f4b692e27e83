//! `export` and `inspect`: the student of a run, written anew.

use crate::potstill::{done, trained};

#[test]
fn a_student_is_written_for_another_operator_set_with_or_without_batch_norm() {
    let folder = trained();
    let folder = folder.path();
    done(folder, "export run -o folded.onnx --opset 13");
    done(
        folder,
        "export run --output whole.onnx --no-fold --checkpoint last",
    );
    let inspect = |name: &str| done(folder, &format!("inspect {name} --format json")).json();
    let (folded, whole) = (inspect("folded.onnx"), inspect("whole.onnx"));
    assert_eq!((&folded["opset"], &whole["opset"]), (&13.into(), &17.into()));
    let operators = |report: &serde_json::Value| report["operators"].to_string();
    assert!(!operators(&folded).contains("BatchNormalization"), "{folded}");
    assert!(operators(&whole).contains("BatchNormalization"), "{whole}");
    // A file that is written anew says what the run's own file says.
    assert_eq!(folded["metadata"], inspect("run/student.onnx")["metadata"]);
    assert_eq!(folded["inputs"][0]["name"], "input");
    let top1 = |name: &str| {
        let arguments = format!("eval {name} --limit 40 --device cpu --format json");
        done(folder, &arguments).json()["top1"].as_f64().unwrap()
    };
    // One epoch: the last checkpoint is the best one.
    assert_eq!(top1("folded.onnx"), top1("run/student.onnx"));
    assert_eq!(top1("whole.onnx"), top1("run/student.onnx"));
    let table = done(folder, "inspect folded.onnx").stdout;
    assert!(
        table.contains("logits") && table.contains("multiply-adds"),
        "{table}"
    );
}
