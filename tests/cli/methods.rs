//! Every method trains, whatever it needs beside the student.

use std::fs;

use crate::potstill::{done, fresh, json_lines};

/// Methods that learn from the teacher's inner values, with what keeps their first stage short.
const FROM_FEATURES: &[&str] = &[
    "at",
    "sp",
    "cc",
    "cc:form=code,embedding=8",
    "rkd",
    "pkt",
    "nst",
    "fsp",
    "fsp:init-epochs=1",
    "ft:paraphraser-epochs=1",
    "ab:init-epochs=1",
    "ab:init-epochs=0",
    "vid",
    "ofd",
    "reviewkd:width=8",
    "crd:negatives=20",
    "kdsvd",
];
const FROM_LOGITS: &[&str] = &["kd", "dkd", "dist", "lskd", "tf-kd"];

#[test]
fn every_method_with_a_teacher_trains_and_leaves_a_plain_student() {
    let parameters = |folder: &std::path::Path| {
        done(folder, "inspect run/student.onnx --format json").json()["parameters"].clone()
    };
    let alone = fresh();
    let short = "distill --out run --device cpu --limit 64 --batch-size 32 --epochs 1";
    done(alone.path(), short);
    for method in FROM_FEATURES.iter().chain(FROM_LOGITS) {
        let folder = fresh();
        let answer = done(
            folder.path(),
            &format!("{short} --teacher embedded:glyphs-resnet20 --plugin {method}"),
        );
        let metrics = json_lines(&fs::read_to_string(folder.path().join("run/metrics.jsonl")).unwrap());
        let name = method.split(':').next().unwrap();
        let term = |name: &str| {
            let steps = metrics.iter().filter(|line| line["event"] == "step");
            steps
                .filter_map(|step| step["terms"][name].as_f64())
                .collect::<Vec<f64>>()
        };
        let own = match name {
            "dkd" => "tckd",
            "dist" => "inter",
            "lskd" => "kd",
            "crd" => "crd-student",
            name => name,
        };
        let values = term(own);
        assert!(
            !values.is_empty() && values.iter().all(|value| value.is_finite() && *value != 0.0),
            "{method}: {own} {values:?}; {answer:?}"
        );
        assert_eq!(term("ce").len(), 2, "{method}: {answer:?}");
        assert_eq!(parameters(folder.path()), parameters(alone.path()), "{method}");
    }
}

#[test]
fn a_run_with_a_memory_goes_on_as_if_it_had_not_stopped() {
    let folder = fresh();
    let options = "--device cpu --limit 64 --batch-size 32 --schedule constant --teacher embedded:glyphs-resnet20 --plugin ofd";
    let last = |out: &str, arguments: &str| {
        done(folder.path(), &format!("distill --out {out} {arguments}"));
        let metrics = fs::read_to_string(folder.path().join(out).join("metrics.jsonl")).unwrap();
        let lines = json_lines(&metrics);
        let step = lines.iter().rfind(|line| line["event"] == "step").unwrap();
        (step["step"].clone(), step["terms"]["ofd"].as_f64().unwrap())
    };
    let (steps, whole) = last("whole", &format!("{options} --epochs 2"));
    last("parts", &format!("{options} --epochs 1"));
    let (resumed_steps, resumed) = last("parts", "--resume --epochs 2");
    assert_eq!(steps, resumed_steps);
    assert!((whole - resumed).abs() <= 1e-5 * whole.abs(), "{whole} {resumed}");
}
