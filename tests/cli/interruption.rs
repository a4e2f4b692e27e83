//! A run that is stopped and goes on does what it would have done.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::potstill::{Answer, command, done, fresh, json_lines, refused, trained};

/// Three epochs of four steps, long enough that a signal arrives in between.
const RUN: &str = "distill tiny.toml --epochs 3 --batch-size 64 --seed 3";

/// `tiny.toml` with more pictures.
fn longer() -> tempfile::TempDir {
    let folder = fresh();
    let path = folder.path().join("tiny.toml");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("train = 64", "train = 256")).unwrap();
    folder
}

/// Starts a run and sends it a signal once its log has a line that contains `cue`.
fn stopped(folder: &Path, arguments: &str, cue: &str, signal: &str) -> Answer {
    let mut child = command(folder, arguments)
        .args(["--log-format", "json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut stdout = String::new();
    for line in &mut lines {
        let line = line.unwrap();
        stdout += &format!("{line}\n");
        if line.contains(cue) {
            let kill = format!("kill -{signal} {}", child.id());
            assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
            break;
        }
    }
    stdout.extend(lines.map(|line| line.unwrap() + "\n"));
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    let code = child.wait().unwrap().code().unwrap_or(-1);
    Answer { code, stdout, stderr }
}

/// The events of one kind in the metrics that a run kept.
fn events(run: &Path, kind: &str) -> Vec<Value> {
    let metrics = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    let mut events = json_lines(&metrics);
    events.retain(|event| event["event"] == kind);
    events
}

fn assert_same_run(ours: &Path, theirs: &Path) {
    let number = |event: &Value, key: &str| event[key].as_f64().unwrap();
    let (ours_steps, theirs_steps) = (events(ours, "step"), events(theirs, "step"));
    let steps: Vec<usize> = ours_steps
        .iter()
        .map(|step| number(step, "step") as usize)
        .collect();
    assert_eq!(steps, (1..=12).collect::<Vec<_>>());
    assert_eq!(theirs_steps.len(), 12);
    for (ours, theirs) in ours_steps.iter().zip(&theirs_steps) {
        assert!(
            (number(ours, "loss") - number(theirs, "loss")).abs() < 1e-5,
            "{ours}\n{theirs}"
        );
        assert_eq!(ours["learning_rate"], theirs["learning_rate"]);
    }
    let (ours_epochs, theirs_epochs) = (events(ours, "epoch"), events(theirs, "epoch"));
    assert_eq!((ours_epochs.len(), theirs_epochs.len()), (3, 3));
    for (ours, theirs) in ours_epochs.iter().zip(&theirs_epochs) {
        assert_eq!(ours["best"], theirs["best"]);
        for (name, value) in ours["metrics"].as_object().unwrap() {
            let difference = value.as_f64().unwrap() - number(&theirs["metrics"], name);
            assert!(difference.abs() < 1e-4, "{name}: {ours}\n{theirs}");
        }
    }
}

#[test]
fn a_run_that_is_interrupted_and_resumed_equals_one_that_is_not() {
    let folder = longer();
    let folder = folder.path();
    done(folder, &format!("{RUN} --out whole"));
    let answer = stopped(folder, &format!("{RUN} --out parts"), r#""step":2,"#, "INT");
    assert_eq!(answer.code, 130, "{answer:?}");
    assert_eq!(answer.json_lines().last().unwrap()["event"], "stopped");
    assert!(
        answer.stderr.contains("potstill distill --resume --out parts"),
        "{answer:?}"
    );
    assert!(!folder.join("parts/student.onnx").exists());
    done(folder, "distill --resume --out parts");
    assert_same_run(&folder.join("parts"), &folder.join("whole"));
    assert!(folder.join("parts/student.onnx").is_file());
}

#[test]
fn stages_and_cohorts_go_on_where_they_were_stopped() {
    let hints = "--teacher embedded:glyphs-resnet20 --epochs 2 --learning-rate 0.01 \
         --plugin fitnets:hint=layer2.2.relu2,guided=layer2.0.relu2,hint-epochs=1";
    for (name, method, cue) in [
        ("hint", hints, r#""step":2,"#),
        ("boundary", hints, r#""event":"epoch""#),
        ("main", hints, r#""step":6,"#),
        ("gate", "--epochs 3 --plugin one", r#""step":5,"#),
        (
            "turns",
            "--epochs 3 --plugin dml:update=alternating",
            r#""step":5,"#,
        ),
    ] {
        let folder = longer();
        let folder = folder.path();
        let run = format!("distill tiny.toml --batch-size 64 --seed 3 {method}");
        done(folder, &format!("{run} --out whole"));
        let answer = stopped(folder, &format!("{run} --out parts"), cue, "INT");
        assert_eq!(answer.code, 130, "{name}: {answer:?}");
        done(folder, "distill --resume --out parts");
        assert_same_run(&folder.join("parts"), &folder.join("whole"));
    }
}

#[test]
fn a_run_that_is_killed_goes_on_from_its_last_checkpoint() {
    let folder = longer();
    let folder = folder.path();
    done(folder, &format!("{RUN} --out whole"));
    let answer = stopped(
        folder,
        &format!("{RUN} --out parts"),
        r#""event":"checkpoint""#,
        "KILL",
    );
    assert_eq!(answer.code, -1, "{answer:?}");
    done(folder, "distill --resume --out parts");
    assert_same_run(&folder.join("parts"), &folder.join("whole"));
}

#[test]
fn a_run_that_stopped_early_stops_again_when_it_is_resumed() {
    let folder = trained();
    // A rate of almost 0 does not raise the accuracy, so that patience ends after its first epoch.
    let arguments = "distill tiny.toml --learning-rate 1e-12 --epochs 9 --early-stopping 1 --out early";
    done(folder.path(), arguments);
    let run = folder.path().join("early");
    let steps = events(&run, "step").len();
    assert!(steps < 36, "{steps}");
    done(folder.path(), "distill --resume --out early");
    assert_eq!(events(&run, "step").len(), steps);
}

#[test]
fn a_run_that_is_over_can_be_resumed_to_a_later_end() {
    let folder = trained();
    done(folder.path(), "distill --resume --out run --epochs 2");
    let steps = events(&folder.path().join("run"), "step");
    assert_eq!(steps.len(), 8);
}

#[test]
fn there_is_nothing_to_resume_where_no_run_is() {
    let folder = fresh();
    refused(
        folder.path(),
        "distill --resume --out nowhere",
        &["nowhere holds no run", "run.toml"],
    );
    refused(folder.path(), "distill --resume", &["--out"]);
    assert!(!folder.path().join("nowhere").exists());
}

#[test]
fn a_run_does_not_go_on_as_another_one() {
    let folder = trained();
    for (flag, pieces) in [
        ("--student resnet14", ["`resnet14`", "`resnet8`"]),
        ("--seed 9", ["`9`", "`0`"]),
        ("--batch-size 7", ["`7`", "`16`"]),
        ("--optimizer adam", ["adam", "sgd"]),
    ] {
        refused(
            folder.path(),
            &format!("distill --resume --out run {flag}"),
            &pieces,
        );
    }
}

#[test]
fn a_damaged_checkpoint_is_refused_by_its_name() {
    let folder = trained();
    let checkpoints = folder.path().join("run/checkpoints");
    let last = fs::read_to_string(checkpoints.join("last")).unwrap();
    for name in ["students.bpk", "optimizer.bpk", "learning-rate.bpk", "state.json"] {
        let file = checkpoints.join(&last).join(name);
        let whole = fs::read(&file).unwrap();
        fs::write(&file, &whole[..whole.len() / 10]).unwrap();
        refused(
            folder.path(),
            "distill --resume --out run --epochs 2",
            &["cannot load the checkpoint", name],
        );
        fs::write(&file, whole).unwrap();
    }
    fs::remove_file(checkpoints.join("best")).unwrap();
    refused(folder.path(), "export run -o again.onnx", &["checkpoints/best"]);
    assert!(!folder.path().join("again.onnx").exists());
}
