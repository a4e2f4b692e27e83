//! `report.html`: the page that a run ends with.

use std::fs;
use std::path::Path;

use crate::potstill::{done, fresh, json_lines, refused, trained};

/// Checks that every element of a page is closed where it was opened, and counts the drawings in
/// it.
pub fn drawings(html: &str) -> usize {
    let mut open: Vec<&str> = Vec::new();
    let mut drawings = 0;
    for piece in html.split('<').skip(1) {
        let (tag, _) = piece
            .split_once('>')
            .unwrap_or_else(|| panic!("no end: <{piece}"));
        assert_eq!(tag.matches('"').count() % 2, 0, "<{tag}>");
        let name = tag.trim_start_matches('/').split_whitespace().next().unwrap();
        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(name), "</{name}>");
        } else if !(tag.ends_with('/') || tag.starts_with('!') || name == "meta") {
            open.push(name);
        }
        drawings += usize::from(tag.starts_with("svg ") && tag.contains("role=\"img\""));
    }
    assert!(open.is_empty(), "not closed: {open:?}");
    assert!(!html.contains("NaN"), "{html}");
    drawings
}

fn page(run: &Path) -> String {
    fs::read_to_string(run.join("report.html")).unwrap()
}

#[test]
fn a_run_ends_with_a_page_of_its_numbers_and_curves() {
    let folder = trained();
    let run = folder.path().join("run");
    let html = page(&run);
    assert!(html.contains("<h1>resnet8 on glyphs: alone</h1>"), "{html}");
    let result: serde_json::Value =
        serde_json::from_slice(&fs::read(run.join("result.json")).unwrap()).unwrap();
    let accuracy = format!("{:.2} %", result[0]["top1"].as_f64().unwrap());
    assert!(
        html.contains(&format!("<td class=\"number\">{accuracy}</td>")),
        "{accuracy}\n{html}"
    );
    // Loss, accuracy, top-5, terms by epoch and by step, learning rate, rate.
    assert_eq!(drawings(&html), 7, "{html}");
    assert!(
        html.contains("valid.top1") && html.contains("epochs = 1"),
        "{html}"
    );
    assert!(!html.contains("class=\"warning\""), "{html}");
    // Nothing is fetched from anywhere.
    assert!(!html.contains("<script") && !html.contains("src=") && !html.contains("href="));
}

#[test]
fn the_student_alone_and_the_teacher_stand_beside_the_student() {
    let folder = trained();
    done(
        folder.path(),
        "distill tiny.toml --teacher run/student.onnx --plugin kd:temperature=4 --baseline --out taught",
    );
    let html = page(&folder.path().join("taught"));
    for piece in [
        "resnet8 on glyphs: kd:temperature=4",
        "alone: valid.top1",
        "alone: valid.loss",
        "teacher run/student.onnx",
        "train.kd",
        "resnet8 distilled",
    ] {
        assert!(html.contains(piece), "no `{piece}` in {html}");
    }
    drawings(&html);
    assert!(folder.path().join("taught/alone/run.toml").is_file());
}

#[test]
fn a_page_is_made_again_from_the_folder_also_while_a_line_is_being_written() {
    let folder = trained();
    let run = folder.path().join("run");
    let first = page(&run);
    fs::remove_file(run.join("report.html")).unwrap();
    let metrics = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    fs::write(run.join("metrics.jsonl"), format!("{metrics}{{\"event\":\"st")).unwrap();
    let answer = done(folder.path(), "report run");
    assert_eq!(answer.stdout.trim(), "run/report.html");
    assert_eq!(page(&run), first);
}

#[test]
fn members_gradients_and_stages_appear_by_their_names() {
    let folder = trained();
    let run = folder.path().join("run");
    let path = run.join("metrics.jsonl");
    let mut events = json_lines(&fs::read_to_string(&path).unwrap());
    for event in &mut events {
        if event["event"] == "step" {
            event["gradients"] = serde_json::json!({"ce.logits.norm": 0.5, "ce~kd.logits.cosine": -0.25});
        }
        if event["event"] == "epoch" {
            event["stage"] = "hint".into();
            event["metrics"]["valid.branch0.top1"] = 12.5.into();
            event["metrics"]["valid.branch0.entropy"] = 1.5.into();
            event["metrics"]["valid.somethingNew"] = 0.125.into();
        }
    }
    let lines: Vec<String> = events.iter().map(|event| format!("{event}\n")).collect();
    fs::write(&path, lines.concat()).unwrap();
    done(folder.path(), "report run");
    let html = page(&run);
    for piece in [
        "valid.branch0.top1",
        "Entropy of the members",
        "Gradient norms: logits",
        "Cosines between gradients: logits",
        "somethingNew",
        "hint",
    ] {
        assert!(html.contains(piece), "no `{piece}` in {html}");
    }
    assert_eq!(drawings(&html), 11, "{html}");
}

#[test]
fn a_folder_without_a_run_and_a_damaged_line_are_refused() {
    let folder = trained();
    refused(
        folder.path(),
        "report nowhere",
        &["nowhere holds no run", "run.toml"],
    );
    let path = folder.path().join("run/metrics.jsonl");
    let metrics = fs::read_to_string(&path).unwrap();
    fs::write(&path, metrics.replacen("\"event\"", "\"ev", 1)).unwrap();
    refused(folder.path(), "report run", &["run/metrics.jsonl, line 1: "]);
}

#[test]
fn a_loss_that_is_no_number_leaves_the_curves_up_to_there() {
    let folder = fresh();
    refused(
        folder.path(),
        "distill tiny.toml --epochs 40 --lr 1e30 --optimizer sgd:momentum=0,nesterov=false",
        &["loss term"],
    );
    let html = page(&folder.path().join("run"));
    assert!(html.contains("Not finished: step"), "{html}");
    drawings(&html);
}
