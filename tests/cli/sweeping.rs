//! `sweep`: runs that differ in some settings, and what comes of them.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::potstill::{command, done, fresh, network, refused};
use crate::reporting::drawings;

/// `tiny.toml` with a teacher and a method.
fn taught() -> tempfile::TempDir {
    let folder = fresh();
    network(folder.path(), "teacher.onnx", 20, [3, 32, 32]);
    let path = folder.path().join("tiny.toml");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(
        &path,
        format!("teacher = [\"teacher.onnx\"]\n{text}\n[[plugin]]\nname = \"kd\"\nalpha = 0.5\n"),
    )
    .unwrap();
    folder
}

fn accuracy(run: &Path) -> f64 {
    let result: serde_json::Value =
        serde_json::from_slice(&fs::read(run.join("result.json")).unwrap()).unwrap();
    result.as_array().unwrap().last().unwrap()["top1"]
        .as_f64()
        .unwrap()
}

#[test]
fn every_combination_is_a_run_and_the_best_can_be_run_again() {
    let folder = taught();
    let answer = done(
        folder.path(),
        "sweep tiny.toml --set kd.temperature=1,4 --set training.learning-rate=0.01,0.1 --out grid",
    );
    let grid = folder.path().join("grid");
    let names = [
        "temperature=1,learning-rate=0.01",
        "temperature=1,learning-rate=0.1",
        "temperature=4,learning-rate=0.01",
        "temperature=4,learning-rate=0.1",
    ];
    let accuracies = names.map(|name| {
        assert!(grid.join(name).join("student.onnx").is_file(), "{name}");
        assert!(grid.join(name).join("report.html").is_file(), "{name}");
        accuracy(&grid.join(name))
    });
    let best = accuracies.into_iter().reduce(f64::max).unwrap();
    let row = answer
        .stdout
        .lines()
        .find(|line| line.trim_end().ends_with("best"))
        .unwrap();
    assert!(row.contains(&format!("{best:.2} %")), "{answer:?}");
    let html = fs::read_to_string(grid.join("sweep.html")).unwrap();
    assert_eq!(drawings(&html), 1, "{html}");
    assert!(html.contains("learning-rate 0.1"), "{html}");
    // The best one again, in a folder of its own, is the same.
    done(folder.path(), "distill grid/best.toml --out again");
    assert_eq!(accuracy(&folder.path().join("again")), best);
}

#[test]
fn seeds_are_repeats() {
    let folder = taught();
    let answer = done(
        folder.path(),
        "sweep tiny.toml --set kd.temperature=1,4 --set seed=0,1,2 --out repeated --format json",
    );
    let lines = answer.json_lines();
    let result = lines.last().unwrap();
    assert_eq!(result["event"], "result");
    let rows = result["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 2);
    for row in rows {
        let temperature = &row["values"]["kd.temperature"];
        let accuracies = [0, 1, 2].map(|seed| {
            let name = format!("temperature={temperature},seed={seed}");
            accuracy(&folder.path().join("repeated").join(name))
        });
        let mean = accuracies.iter().sum::<f64>() / 3.0;
        assert!(
            (row["best_top1"]["mean"].as_f64().unwrap() - mean).abs() < 1e-9,
            "{row}"
        );
        assert!(row["best_top1"]["deviation"].is_f64(), "{row}");
    }
    assert!(rows[0]["best_top1"]["mean"].as_f64() >= rows[1]["best_top1"]["mean"].as_f64());
    let runs = lines.iter().filter(|line| line["event"] == "run").count();
    assert_eq!(runs, 6);
}

#[test]
fn nothing_runs_where_a_key_or_a_value_is_wrong() {
    let folder = taught();
    let nothing = |arguments: &str, pieces: &[&str]| {
        refused(
            folder.path(),
            &format!("sweep tiny.toml --out grid {arguments}"),
            pieces,
        );
        assert!(!folder.path().join("grid").exists(), "{arguments}");
    };
    nothing(
        "--set kd.temprature=1,2",
        &["`temprature`", "did you mean `temperature`"],
    );
    nothing(
        "--set training.epoch=1",
        &["`training.epoch`", "`training.epochs`"],
    );
    nothing("--set out=a,b", &["`out`", "--out"]);
    nothing("--set kd.temperature=1,0", &["temperature=0", "above 0"]);
    nothing(
        "--set student=resnet8,resnet2O",
        &["student=resnet2O", "`resnet20`"],
    );
    nothing("--set training.epochs=1,two", &["training.epochs", "two"]);
    nothing("--set seed=1 --set seed=2", &["`seed` is given twice"]);
    nothing("--set training.batch-size=16,0", &["batch-size=0", "1 or more"]);
    nothing("--set seed", &["KEY=VALUE"]);
}

#[test]
fn a_sweep_that_is_interrupted_goes_on() {
    let folder = taught();
    let folder = folder.path();
    let arguments = "sweep tiny.toml --set kd.temperature=1,4 --epochs 2 --out";
    done(folder, &format!("{arguments} whole"));
    let mut child = command(folder, &format!("{arguments} parts --format json"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut runs = 0;
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        runs += usize::from(line.contains(r#""event":"run""#));
        if runs == 2 && line.contains(r#""step":1,"#) && line.contains(r#""event":"step""#) {
            let kill = format!("kill -INT {}", child.id());
            assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
        }
    }
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{stderr}");
    assert!(stderr.contains("potstill sweep --resume --out parts"), "{stderr}");
    let parts = folder.join("parts");
    let finished = fs::metadata(parts.join("temperature=1/student.onnx"))
        .unwrap()
        .modified()
        .unwrap();
    let page = fs::read_to_string(parts.join("temperature=4/report.html")).unwrap();
    assert!(page.contains("not finished"), "{page}");
    refused(
        folder,
        &format!("{arguments} parts"),
        &["parts holds another run", "--resume"],
    );
    refused(
        folder,
        "sweep --resume --out parts --lr 0.5",
        &["parts/temperature=1", "other settings"],
    );
    done(folder, "sweep --resume --out parts");
    let after = fs::metadata(parts.join("temperature=1/student.onnx")).unwrap();
    assert_eq!(after.modified().unwrap(), finished);
    for name in ["temperature=1", "temperature=4"] {
        assert_eq!(
            accuracy(&parts.join(name)),
            accuracy(&folder.join("whole").join(name)),
            "{name}"
        );
    }
    assert!(parts.join("best.toml").is_file());
}

#[test]
fn a_run_whose_loss_is_no_number_does_not_end_the_sweep() {
    let folder = taught();
    let answer = done(
        folder.path(),
        "sweep tiny.toml --set training.learning-rate=1e30,0.01 --epochs 10 --out rates",
    );
    assert!(
        answer.stdout.contains("learning rate or gradient clipping"),
        "{answer:?}"
    );
    let best = fs::read_to_string(folder.path().join("rates/best.toml")).unwrap();
    assert!(best.contains("learning-rate = 0.01"), "{best}");
}

#[test]
fn there_is_nothing_to_go_on_with_where_no_sweep_is() {
    let folder = taught();
    refused(
        folder.path(),
        "sweep --resume --out nowhere",
        &["nowhere holds no run", "sweep.toml"],
    );
    refused(folder.path(), "sweep tiny.toml", &["--set"]);
}
