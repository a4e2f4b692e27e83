//! `--teacher-cache`: outputs that are computed once and read by later epochs and later runs.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::potstill::{done, fresh, json_lines, network, refused};

/// Three epochs of four steps, which see the views 0, 1 and 0 of 64 pictures.
const RUN: &str =
    "distill tiny.toml --teacher teacher.onnx --plugin kd:teacher-errors=skip --epochs 3 --teacher-cache 2";

/// `tiny.toml`, and a teacher.
fn taught() -> tempfile::TempDir {
    let folder = fresh();
    network(folder.path(), "teacher.onnx", 20, [3, 32, 32]);
    folder
}

/// Loss, terms and accuracy of every step, and the metrics of every epoch.
fn numbers(run: &Path) -> Vec<Value> {
    let numbers = |event: Value| {
        let keys = ["loss", "terms", "top1", "metrics"];
        Value::from_iter(keys.map(|key| (key.to_owned(), event[key].clone())))
    };
    let events = json_lines(&fs::read_to_string(run.join("metrics.jsonl")).unwrap());
    events
        .into_iter()
        .filter(|event| event["event"] == "step" || event["event"] == "epoch")
        .map(numbers)
        .collect()
}

/// The only file in the folder of outputs.
fn outputs(folder: &Path) -> PathBuf {
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    assert_eq!(files.len(), 1, "{files:?}");
    files.remove(0)
}

/// Checks what a run says on stderr.
fn says(stderr: &str, pieces: &[&str]) {
    for piece in pieces {
        assert!(stderr.contains(piece), "no `{piece}` in\n{stderr}");
    }
}

#[test]
fn a_second_run_reads_every_output_and_gives_the_same_numbers() {
    let folder = taught();
    let folder = folder.path();
    let cold = done(folder, &format!("{RUN} --out cold"));
    let file = outputs(&folder.join("teacher-cache"));
    let name = file.file_name().unwrap().to_str().unwrap();
    assert!(name.starts_with("glyphs-2-views-"), "{name}");
    let file = format!("teacher-cache/{name}");
    says(
        &cold.stderr,
        &[
            &format!("teacher outputs: 0 of 128 in {file}"),
            &format!("teacher outputs: 64 of 192 from {file}"),
        ],
    );
    let warm = done(folder, &format!("{RUN} --out warm"));
    says(
        &warm.stderr,
        &[
            &format!("teacher outputs: 128 of 128 in {file}"),
            &format!("teacher outputs: 192 of 192 from {file}"),
        ],
    );
    let cold = numbers(&folder.join("cold"));
    assert_eq!(cold.len(), 15);
    assert_eq!(cold, numbers(&folder.join("warm")));
}

#[test]
fn a_damaged_file_is_reported_and_computed_again() {
    let folder = taught();
    let folder = folder.path();
    done(folder, &format!("{RUN} --out whole"));
    let whole = numbers(&folder.join("whole"));
    let file = outputs(&folder.join("teacher-cache"));
    let bytes = fs::read(&file).unwrap();
    let last = bytes.len() - 1;
    let run_on = |name: &str, bytes: &[u8], pieces: &[&str]| {
        fs::write(&file, bytes).unwrap();
        let answer = done(folder, &format!("{RUN} --out {name}"));
        says(&answer.stderr, pieces);
        assert_eq!(numbers(&folder.join(name)), whole, "{name}");
        assert_eq!(fs::read(&file).unwrap().len(), last + 1, "{name}");
    };
    let changed = |at: usize| {
        let mut bytes = bytes.clone();
        bytes[at] ^= 0x10;
        bytes
    };
    // The last record belongs to the last picture's last view.
    let record = "its record of picture 63, view 1, is damaged";
    run_on("record", &changed(last), &[record, "191 of 192 from"]);
    run_on("mended", &fs::read(&file).unwrap(), &["192 of 192 from"]);
    let anew = ["0 of 128 in", "64 of 192 from"];
    run_on(
        "magic",
        &changed(0),
        &["it is no file of teacher outputs", anew[0], anew[1]],
    );
    run_on(
        "header",
        &changed(30),
        &["its header is damaged", anew[0], anew[1]],
    );
    run_on("short", &bytes[..last], &["bytes, expected", anew[0], anew[1]]);
    run_on("empty", &[], &[anew[0], anew[1]]);
}

#[test]
fn a_file_of_another_key_is_refused_with_what_differs() {
    let folder = taught();
    let folder = folder.path();
    done(folder, &format!("{RUN} --out first"));
    let first = outputs(&folder.join("teacher-cache"));
    let second = format!("{RUN} --seed 1 --teacher-cache-dir other");
    done(folder, &format!("{second} --out second"));
    fs::copy(&first, outputs(&folder.join("other"))).unwrap();
    let answer = done(folder, &format!("{second} --out third"));
    says(
        &answer.stderr,
        &["it was made for another seed: `0`, expected `1`"],
    );
    assert_eq!(numbers(&folder.join("second")), numbers(&folder.join("third")));
}

#[test]
fn tapped_values_of_every_stage_are_kept_too() {
    let folder = fresh();
    let folder = folder.path();
    // A teacher of the built-in kind, whose map has the student's extents at this place.
    let run = "distill tiny.toml --teacher embedded:glyphs-resnet20 --learning-rate 0.01 --epochs 2 --teacher-cache 2 \
               --plugin fitnets:hint=layer2.2.relu2,guided=layer2.0.relu2,hint-epochs=1";
    let cold = done(folder, &format!("{run} --out cold"));
    // The stage shows view 0, the main one views 1 and 0.
    says(&cold.stderr, &["64 of 192 from"]);
    let warm = done(folder, &format!("{run} --out warm"));
    says(&warm.stderr, &["192 of 192 from"]);
    assert_eq!(numbers(&folder.join("cold")), numbers(&folder.join("warm")));
}

#[test]
fn a_run_that_goes_on_finds_its_outputs() {
    let folder = taught();
    let folder = folder.path();
    let run = format!("{RUN} --schedule constant");
    done(folder, &format!("{run} --out whole"));
    let apart = format!("{run} --teacher-cache-dir apart");
    done(
        folder,
        &format!("{apart} --epochs 2 --out parts").replace("--epochs 3 ", ""),
    );
    let answer = done(folder, "distill --resume --out parts --epochs 3");
    says(&answer.stderr, &["128 of 128 in", "64 of 64 from"]);
    assert_eq!(numbers(&folder.join("parts")), numbers(&folder.join("whole")));
    refused(
        folder,
        "distill --resume --out parts --epochs 4 --teacher-cache 3",
        &["--teacher-cache: `3` is not what the run began with, `2`"],
    );
}

#[test]
fn the_runs_of_a_sweep_share_a_file() {
    let folder = taught();
    let path = folder.path().join("tiny.toml");
    let text = fs::read_to_string(&path).unwrap();
    let text = format!("teacher = [\"teacher.onnx\"]\n{text}\n[[plugin]]\nname = \"kd\"\n");
    fs::write(&path, text).unwrap();
    let answer = done(
        folder.path(),
        "sweep tiny.toml --set kd.temperature=1,4 --teacher-cache 1 --out grid",
    );
    says(&answer.stderr, &["0 of 64 from", "64 of 64 from"]);
    outputs(&folder.path().join("grid/teacher-cache"));
}

#[test]
fn programs_are_told_where_outputs_came_from() {
    let folder = taught();
    let lines = done(folder.path(), &format!("{RUN} --log-format json --out run")).json_lines();
    let event = |name: &str| lines.iter().find(|line| line["event"] == name).unwrap();
    assert_eq!(event("teacher-cache")["held"], 0);
    assert_eq!(event("teacher-cache")["of"], 128);
    assert_eq!(event("teacher-outputs")["read"], 64);
    assert_eq!(event("teacher-outputs")["computed"], 128);
    let file = outputs(&folder.path().join("teacher-cache"));
    assert_eq!(event("teacher-cache")["bytes"], fs::metadata(file).unwrap().len());
}

#[test]
fn a_dry_run_says_how_large_the_file_will_be() {
    let folder = taught();
    let answer = done(folder.path(), &format!("{RUN} --out runs/first --dry-run"));
    // 128 records: an entry of 8 bytes, a checksum of 4, 20 logits of 2; the key comes on top.
    let line = answer
        .stdout
        .lines()
        .find(|line| line.starts_with("# teacher outputs: 2 views of 64 pictures, "))
        .unwrap_or_else(|| panic!("{}", answer.stdout));
    assert!(line.ends_with("kB in runs/teacher-cache"), "{line}");
    assert!(!folder.path().join("runs").exists());
}

#[test]
fn without_views_nothing_is_kept_and_too_many_are_refused() {
    let folder = taught();
    let folder = folder.path();
    let answer = done(
        folder,
        "distill tiny.toml --teacher teacher.onnx --plugin kd --out off",
    );
    assert!(!answer.stderr.contains("teacher outputs"), "{answer:?}");
    assert!(!folder.join("teacher-cache").exists());
    let many = |views: &str| {
        RUN.replace(
            "--teacher-cache 2",
            &format!("--teacher-cache {views} --out many"),
        )
    };
    refused(
        folder,
        &many("9000000000000000000"),
        &[
            "`teacher-cache` is 9000000000000000000",
            "views that a file can hold",
        ],
    );
    refused(
        folder,
        &many("1000000000000"),
        &["teacher-cache: the outputs need"],
    );
    refused(folder, &many("few"), &["--teacher-cache", "few"]);
    refused(
        folder,
        &many("2 --teacher-cache-dir teacher.onnx"),
        &["cannot write teacher.onnx", "not a directory"],
    );
    assert!(!folder.join("many").exists() && !folder.join("teacher-cache").exists());
}
