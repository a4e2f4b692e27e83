//! The same run twice.

use std::fs;
use std::path::Path;

use crate::potstill::{done, fresh, json_lines};

fn losses(run: &Path) -> Vec<f64> {
    json_lines(&fs::read_to_string(run.join("metrics.jsonl")).unwrap())
        .iter()
        .filter(|event| event["event"] == "step")
        .map(|event| event["loss"].as_f64().unwrap())
        .collect()
}

#[test]
fn a_seed_decides_the_run_whatever_the_number_of_threads() {
    let folder = fresh();
    let folder = folder.path();
    for threads in [1, 2] {
        done(
            folder,
            &format!("distill tiny.toml --epochs 2 --threads {threads} --out with{threads}"),
        );
    }
    done(folder, "distill tiny.toml --epochs 2 --seed 1 --out other");
    let (one, two) = (losses(&folder.join("with1")), losses(&folder.join("with2")));
    assert_eq!(one.len(), 8);
    for (one, two) in one.iter().zip(&two) {
        assert!((one - two).abs() < 1e-5, "{one} {two}");
    }
    assert!((one[0] - losses(&folder.join("other"))[0]).abs() > 1e-3);
}
