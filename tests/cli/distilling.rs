//! `distill`: what a run prints and leaves.

use std::fs;

use crate::potstill::{done, fresh, json_lines, shared, trained};

#[test]
fn a_student_can_teach_the_next_one_beside_a_student_alone() {
    let folder = trained();
    let answer = done(
        folder.path(),
        "distill tiny.toml --teacher run/student.onnx --plugin kd:temperature=4,alpha=0.9 --baseline --out taught",
    );
    assert!(answer.stdout.contains("resnet8 distilled"), "{answer:?}");
    assert!(answer.stdout.contains("taught/student.onnx"), "{answer:?}");
    let taught = folder.path().join("taught");
    let result: serde_json::Value =
        serde_json::from_slice(&fs::read(taught.join("result.json")).unwrap()).unwrap();
    let names: Vec<&str> = result
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["network"].as_str().unwrap())
        .collect();
    assert_eq!(
        names,
        ["teacher run/student.onnx", "resnet8 alone", "resnet8 distilled"]
    );
    assert!(taught.join("alone/student.onnx").is_file());
    let metrics = json_lines(&fs::read_to_string(taught.join("metrics.jsonl")).unwrap());
    let step = metrics.iter().find(|event| event["event"] == "step").unwrap();
    let (ce, kd) = (
        step["terms"]["ce"].as_f64().unwrap(),
        step["terms"]["kd"].as_f64().unwrap(),
    );
    // The loss: (1 − α) · CE + α · T² · KL, the latter recorded with its T².
    let loss = step["loss"].as_f64().unwrap();
    assert!((loss - (0.1 * ce + 0.9 * kd)).abs() < 1e-4, "{step}");
}

#[test]
fn a_teacher_from_pytorch_teaches_on_cifar_100() {
    let (Some(teacher), Some(data)) = (
        shared("model/resnet20x2-cifar100.onnx"),
        shared("data/cifar-100-binary.tar.gz"),
    ) else {
        return;
    };
    let folder = fresh();
    let arguments = format!(
        "distill --data cifar100 --data-dir {} --teacher {} --student resnet8 --plugin kd:temperature=4,alpha=0.9 \
         --limit 64 --epochs 1 --batch-size 32 --device cpu --out first",
        data.parent().unwrap().display(),
        teacher.display()
    );
    let answer = done(folder.path(), &arguments);
    assert!(answer.stdout.contains("teacher"), "{answer:?}");
    assert!(folder.path().join("first/student.onnx").is_file());
}

#[test]
fn flags_win_over_the_file() {
    let folder = fresh();
    let printed = done(
        folder.path(),
        "distill tiny.toml --student resnet14 --epochs 7 --batch-size 8 --lr 0.2 --seed 5 --out other --limit 32 \
         --optimizer adam --schedule multi-step:milestones=[3,5] --dry-run",
    );
    let config: toml::Table = printed.stdout.parse().unwrap();
    assert_eq!(config["student"].as_str(), Some("resnet14"));
    assert_eq!(config["seed"].as_integer(), Some(5));
    assert_eq!(config["out"].as_str(), Some("other"));
    assert_eq!(config["data"]["limit"].as_integer(), Some(32));
    assert_eq!(config["training"]["epochs"].as_integer(), Some(7));
    assert_eq!(config["training"]["batch-size"].as_integer(), Some(8));
    assert_eq!(config["training"]["learning-rate"].as_float(), Some(0.2));
    assert_eq!(config["training"]["optimizer"]["kind"].as_str(), Some("adam"));
    assert_eq!(
        config["training"]["schedule"]["kind"].as_str(),
        Some("multi-step")
    );
    // What no flag names stays as the file has it.
    assert_eq!(config["data"]["glyphs"]["train"].as_integer(), Some(64));
}

#[test]
fn max_steps_ends_the_run_early_with_a_student() {
    let folder = fresh();
    done(folder.path(), "distill tiny.toml --max-steps 3");
    let metrics = fs::read_to_string(folder.path().join("run/metrics.jsonl")).unwrap();
    let steps = json_lines(&metrics)
        .iter()
        .filter(|event| event["event"] == "step")
        .count();
    assert_eq!(steps, 3);
    assert!(folder.path().join("run/student.onnx").is_file());
}

#[test]
fn the_log_for_programs_is_lines_of_json() {
    let folder = fresh();
    let answer = done(folder.path(), "distill tiny.toml --log-format json");
    let lines = answer.json_lines();
    let events: Vec<&str> = lines.iter().map(|line| line["event"].as_str().unwrap()).collect();
    assert_eq!(
        events,
        [
            "start",
            "step",
            "step",
            "step",
            "step",
            "epoch",
            "checkpoint",
            "result"
        ]
    );
    assert_eq!(answer.stderr, "");
}
