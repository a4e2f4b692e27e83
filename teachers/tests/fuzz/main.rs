//! Everything that is read from outside, damaged in a fixed way: no panic, and no more memory than
//! the bytes justify.
//!
//! The targets are those of `fuzz/`, where libFuzzer searches for longer (docs/reliability.md).
//! Here the same bodies get valid files with faults that break readers: cut off, spliced, bits
//! flipped, sizes in headers made huge. The same inputs every time, so that a failure can be
//! repeated.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test that unwraps says where it failed"
)]

mod damage;
mod memory;
mod seeds;
#[path = "../../../fuzz/src/lib.rs"]
mod targets;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};

use damage::{Chance, damaged};
use targets::TARGETS;

#[global_allocator]
static MEMORY: memory::Counting = memory::Counting;

/// Memory is counted for the whole program: one target at a time.
static TURN: Mutex<()> = Mutex::new(());

/// What a reader may hold beside what the number of bytes justifies. protobuf makes room for 80 MB,
/// whatever a file states beyond that.
const FIXED: usize = 96 << 20;
/// What it may hold for each byte of its input.
const PER_BYTE: usize = 64;

/// Reads the bytes; fails with what to repeat it with.
fn try_out(target: &str, read: fn(&[u8]), bytes: &[u8], input: &str) {
    let limit = FIXED + PER_BYTE * bytes.len();
    memory::begin(limit, &format!("{target}, {input}"));
    let outcome = catch_unwind(AssertUnwindSafe(|| read(bytes)));
    let most = memory::end();
    assert!(outcome.is_ok(), "{target} panics at {input}: {}", shown(bytes));
    assert!(
        most <= limit,
        "{target} asks for {most} bytes, expected at most {limit}, at {input}: {}",
        shown(bytes)
    );
}

/// Bytes as a Rust literal, as far as one looks at them.
fn shown(bytes: &[u8]) -> String {
    let start: String = bytes
        .iter()
        .take(400)
        .flat_map(|byte| std::ascii::escape_default(*byte))
        .map(char::from)
        .collect();
    format!("{} bytes, b\"{start}\"", bytes.len())
}

/// Tries every seed as it is, and `inputs` damaged ones.
fn check(name: &str, inputs: usize) {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let target = TARGETS.iter().find(|target| target.name == name).unwrap();
    let seeds = seeds::of(name);
    for (number, (_, bytes)) in seeds.iter().enumerate() {
        try_out(name, target.read, bytes, &format!("seed {number}"));
    }
    for number in 0..inputs {
        let mut chance = Chance::new(number as u64);
        let bytes = damaged(&seeds, &mut chance);
        try_out(name, target.read, &bytes, &format!("input {number}"));
    }
}

macro_rules! targets {
    ($($name:ident: $inputs:expr,)*) => {
        $(#[test]
        fn $name() {
            check(stringify!($name), $inputs);
        })*

        #[test]
        fn every_target_is_tried_and_has_a_binary() {
            let tried = [$(stringify!($name)),*];
            let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
            assert_eq!(tried[..], names[..]);
            let folder = seeds::root().join("fuzz/fuzz_targets");
            let mut binaries: Vec<String> = std::fs::read_dir(folder)
                .unwrap()
                .map(|entry| entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned())
                .collect();
            binaries.sort();
            let mut names: Vec<String> = names.into_iter().map(str::to_owned).collect();
            names.sort();
            assert_eq!(binaries, names);
        }
    };
}

targets! {
    onnx: 60_000,
    network: 30_000,
    cifar: 2_000,
    idx: 2_000,
    picture: 20_000,
    names: 1_500,
    whitening: 30_000,
    cache: 4_000,
    checkpoint: 4_000,
    record: 30_000,
    settings: 20_000,
}

/// Writes the seeds to where `cargo fuzz` looks for them.
#[test]
#[ignore = "writes to fuzz/corpus"]
fn write_seeds() {
    let corpus = seeds::root().join("fuzz/corpus");
    for target in TARGETS {
        let folder = corpus.join(target.name);
        std::fs::create_dir_all(&folder).unwrap();
        for (name, bytes) in seeds::of(target.name) {
            std::fs::write(folder.join(name), bytes).unwrap();
        }
    }
}
