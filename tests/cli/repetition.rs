//! The same run twice.

use std::fs;
use std::path::Path;

use crate::potstill::{done, fresh, json_lines, refused};

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

#[test]
fn the_kernels_train_as_burns_own_operators_do() {
    let folder = fresh();
    let folder = folder.path();
    for device in ["cpu", "flex"] {
        done(
            folder,
            // An activation near zero may fall on either side of it. What that moves in one step
            // grows in the next ones, the more so the longer the steps: at 0.1 to 1e-3.
            &format!("distill tiny.toml --epochs 2 --learning-rate 0.003 --device {device} --out {device}"),
        );
    }
    let (own, burn) = (losses(&folder.join("cpu")), losses(&folder.join("flex")));
    assert_eq!(own.len(), 8);
    for (own, burn) in own.iter().zip(&burn) {
        assert!((own - burn).abs() < 1e-4, "{own:?} {burn:?}");
    }
    assert_ne!(own, burn, "one of the two ran on the other's operators");
}

#[test]
fn in_bf16_a_run_learns_what_it_learns_in_fp32() {
    let folder = fresh();
    let folder = folder.path();
    done(folder, "distill tiny.toml --epochs 2 --out fp32");
    let expected = losses(&folder.join("fp32"));
    for device in ["cpu", "flex"] {
        let run = format!("distill tiny.toml --epochs 2 --precision bf16 --device {device} --out {device}");
        done(folder, &run);
        let got = losses(&folder.join(device));
        assert_ne!(got, expected, "nothing was rounded on {device}");
        for (got, expected) in got.iter().zip(&expected) {
            assert!((got - expected).abs() < 0.1, "{device}: {got} {expected}");
        }
    }
    refused(
        folder,
        "distill tiny.toml --precision bf61 --out other",
        &["`bf61`", "did you mean `bf16`", "fp32, bf16"],
    );
    refused(
        folder,
        "distill --resume --out fp32 --epochs 3 --precision bf16",
        &["--precision", "`bf16`", "`fp32`"],
    );
}
