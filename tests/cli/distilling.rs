//! `distill`: what a run prints and leaves.

use std::fs;

use potstill_evidence::record;

use crate::potstill::{done, fresh, json_lines, pictures_of_cifar100, trained};

#[test]
fn a_run_leaves_a_student_that_evaluates_as_reported() {
    let folder = trained();
    let run = folder.path().join("run");
    for name in [
        "run.toml",
        "metrics.jsonl",
        "checkpoints/last",
        "checkpoints/best",
        "student.onnx",
        "student-last.onnx",
        "result.json",
    ] {
        assert!(run.join(name).is_file(), "no {name}");
    }
    let result: serde_json::Value =
        serde_json::from_slice(&fs::read(run.join("result.json")).unwrap()).unwrap();
    assert_eq!(result.as_array().unwrap().len(), 1);
    assert_eq!(result[0]["network"], "resnet8");
    assert_eq!(
        result[0]["file_bytes"],
        fs::metadata(run.join("student.onnx")).unwrap().len()
    );
    // A prefix of the glyphs is the same whatever their number, so that these are the run's 40 test
    // pictures.
    let evaluation = done(
        folder.path(),
        "eval run/student.onnx --limit 40 --device cpu --format json",
    )
    .json();
    assert_eq!(evaluation["samples"], 40);
    let (ours, reported) = (evaluation["top1"].as_f64(), result[0]["top1"].as_f64());
    assert!(
        (ours.unwrap() - reported.unwrap()).abs() < 1e-9,
        "{ours:?} {reported:?}"
    );
    // A loss hides no difference that accuracies of 40 pictures may.
    let metrics = json_lines(&fs::read_to_string(run.join("metrics.jsonl")).unwrap());
    let loss = metrics.last().unwrap()["metrics"]["valid.loss"].as_f64().unwrap();
    assert!(
        (evaluation["loss"].as_f64().unwrap() - loss).abs() < 1e-4,
        "{evaluation} {loss}"
    );
    let table = done(folder.path(), "eval run/student.onnx --limit 40 --device cpu").stdout;
    assert!(
        table.contains("run/student.onnx") && table.contains("top-5"),
        "{table}"
    );
}

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
    let folder = fresh();
    let teacher = record("pytorch/resnet20x2-cifar100.onnx");
    fs::copy(teacher, folder.path().join("teacher.onnx")).unwrap();
    pictures_of_cifar100(folder.path());
    let answer = done(
        folder.path(),
        "distill --data cifar100 --data-dir . --teacher teacher.onnx --student resnet8 --plugin kd:temperature=4,alpha=0.9 \
         --limit 64 --epochs 1 --batch-size 32 --device cpu --out first",
    );
    let rows = answer.stdout.lines();
    let teacher: Vec<&str> = rows.filter(|row| row.contains("teacher.onnx")).collect();
    // 36 of the 64 pictures have the largest of the logits that ONNX Runtime recorded at their
    // label.
    assert!(teacher.iter().any(|row| row.contains("56.25 %")), "{answer:?}");
    assert!(folder.path().join("first/student.onnx").is_file());
}

#[test]
fn a_dry_run_prints_a_configuration_that_reads_back_and_leaves_nothing() {
    let folder = fresh();
    let answer = done(folder.path(), "distill tiny.toml --epochs 3 --dry-run");
    assert!(!folder.path().join("run").exists());
    for piece in [
        "epochs = 3",
        "# loss term ce",
        "# device: cpu",
        "#  resnet8  student",
    ] {
        assert!(answer.stdout.contains(piece), "no `{piece}` in {}", answer.stdout);
    }
    fs::write(folder.path().join("again.toml"), &answer.stdout).unwrap();
    assert_eq!(
        done(folder.path(), "distill again.toml --dry-run").stdout,
        answer.stdout
    );
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
fn a_student_is_evaluated_with_the_normalisation_that_it_was_trained_with() {
    let folder = fresh();
    let path = folder.path().join("tiny.toml");
    let text = fs::read_to_string(&path).unwrap();
    let other = text.replace(
        "[data.glyphs]",
        "[data]\nmean = [0.1, 0.2, 0.3]\nstd = [0.5, 0.6, 0.7]\n[data.glyphs]",
    );
    assert_ne!(text, other);
    fs::write(&path, other).unwrap();
    done(folder.path(), "distill tiny.toml");
    let metrics = fs::read_to_string(folder.path().join("run/metrics.jsonl")).unwrap();
    let reported = json_lines(&metrics).last().unwrap()["metrics"]["valid.loss"]
        .as_f64()
        .unwrap();
    let evaluation = done(
        folder.path(),
        "eval run/student.onnx --limit 40 --device cpu --format json",
    )
    .json();
    let loss = evaluation["loss"].as_f64().unwrap();
    assert!((loss - reported).abs() < 1e-4, "{loss} {reported}");
}

#[test]
fn the_log_for_programs_says_which_training_it_is_about() {
    let folder = trained();
    let arguments = "distill tiny.toml --teacher run/student.onnx --plugin kd --baseline --out second \
                     --log-format json";
    let lines = done(folder.path(), arguments).json_lines();
    for training in ["alone", "distilled"] {
        let steps = lines
            .iter()
            .filter(|line| line["event"] == "step" && line["training"] == training);
        assert_eq!(steps.count(), 4, "{training}");
    }
    // Each student says who taught it: nobody, the one alone.
    let said =
        |file: &str| done(folder.path(), &format!("inspect {file} --format json")).json()["metadata"].clone();
    assert!(
        said("second/alone/student.onnx")
            .get("potstill.teacher.0")
            .is_none()
    );
    assert!(
        said("second/alone/student.onnx")
            .get("potstill.plugin.0")
            .is_none()
    );
    assert_eq!(said("second/student.onnx")["potstill.teacher.0"], "student.onnx");
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
