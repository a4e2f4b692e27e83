//! Data sets that are missing or damaged.

use std::fs;
use std::path::Path;

use crate::potstill::{fresh, network, refused};

/// A CIFAR-10 record: the label, then three planes of 32×32.
const RECORD: usize = 1 + 3 * 32 * 32;

/// Writes the six files of CIFAR-10 with two pictures each.
fn cifar10(folder: &Path) {
    for number in 1..=5 {
        fs::write(
            folder.join(format!("data_batch_{number}.bin")),
            vec![0; 2 * RECORD],
        )
        .unwrap();
    }
    fs::write(folder.join("test_batch.bin"), vec![0; 2 * RECORD]).unwrap();
}

fn no_run(folder: &Path, arguments: &str, pieces: &[&str]) {
    refused(folder, &format!("distill tiny.toml {arguments}"), pieces);
    assert!(!folder.join("run").exists());
}

#[test]
fn a_folder_that_is_missing_is_told_what_it_should_hold() {
    let folder = fresh();
    let folder = folder.path();
    no_run(folder, "--data cifar10", &["`cifar10`", "--data-dir"]);
    let pieces = ["nowhere", "data_batch_1.bin", "cifar-10-binary.tar.gz"];
    no_run(folder, "--data cifar10 --data-dir nowhere", &pieces);
    no_run(
        folder,
        "--data mnist --data-dir nowhere",
        &["nowhere", "train-images-idx3-ubyte"],
    );
    no_run(folder, "--data folder --data-dir nowhere", &["nowhere"]);
}

#[test]
fn a_file_that_is_cut_or_has_wrong_labels_is_named_with_its_record() {
    let folder = fresh();
    let folder = folder.path();
    cifar10(folder);
    let third = folder.join("data_batch_3.bin");
    fs::write(&third, vec![0; RECORD + 100]).unwrap();
    no_run(
        folder,
        "--data cifar10 --data-dir .",
        &["data_batch_3.bin", "truncated", "record 1", "3073", "100"],
    );
    let mut records = vec![0; 2 * RECORD];
    records[RECORD] = 10;
    fs::write(&third, records).unwrap();
    no_run(
        folder,
        "--data cifar10 --data-dir .",
        &["data_batch_3.bin", "record 1 has label 10", "less than 10"],
    );
    fs::write(&third, "").unwrap();
    no_run(
        folder,
        "--data cifar10 --data-dir .",
        &["data_batch_3.bin", "no images"],
    );
    fs::write(folder.join("broken.tar.gz"), "no archive").unwrap();
    no_run(
        folder,
        "--data cifar10 --data-dir broken.tar.gz",
        &["broken.tar.gz"],
    );
}

#[test]
fn the_test_split_is_refused_by_eval_too() {
    let folder = fresh();
    let folder = folder.path();
    cifar10(folder);
    network(folder, "network.onnx", 10, [3, 32, 32]);
    fs::write(folder.join("test_batch.bin"), vec![11; RECORD]).unwrap();
    refused(
        folder,
        "eval network.onnx --data cifar10 --data-dir .",
        &["test_batch.bin", "record 0 has label 11"],
    );
    refused(
        folder,
        "eval network.onnx --threads 0",
        &["0 threads", "1 or more"],
    );
    refused(
        folder,
        "eval network.onnx --data glyphs",
        &["network.onnx", "10 classes", "the data has 20"],
    );
}
