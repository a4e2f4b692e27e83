//! What the tests of all crates rest on.
//!
//! **Records are part of the project** (`tests/records`): a test whose record is missing fails.
//! What a machine may lack (CIFAR-100, a Python with ONNX Runtime, a Vulkan device) is another
//! matter: a test that needs it asks here, ends where it is told no, and [`skipped`] says so in one
//! form.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test that unwraps says where it failed"
)]

use std::fs::OpenOptions;
use std::io::Write;
use std::panic::Location;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

/// The file in which [`skipped`] leaves its lines too, since `cargo test` shows nothing of a test
/// that passes.
const SKIPPED: &str = "POTSTILL_SKIPPED";

/// Where CIFAR-100 is looked for, from the project's folder.
const DATA: [&str; 2] = ["data", "../shared/data"];

/// CIFAR-100 as its home page offers it.
const ARCHIVE: &str = "cifar-100-binary.tar.gz";

/// The project's folder.
fn project() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// A file of `tests/records`, as `golden/kd_T2_a0p9.safetensors`.
///
/// # Panics
///
/// If there is no such file: a comparison that cannot be made has not passed.
#[track_caller]
pub fn record(name: &str) -> PathBuf {
    let file = project().join("tests/records").join(name);
    assert!(file.is_file(), "the record tests/records/{name} is missing");
    file
}

/// The folder that holds CIFAR-100's archive; without one the test is skipped.
#[track_caller]
pub fn cifar100() -> Option<PathBuf> {
    let folder = DATA
        .iter()
        .map(|folder| project().join(folder))
        .find(|folder| folder.join(ARCHIVE).is_file());
    if folder.is_none() {
        skipped("CIFAR-100", &format!("no {ARCHIVE} in {}", DATA.join(" or ")));
    }
    folder
}

/// Whether `python3` has NumPy and ONNX Runtime; where it has not the test is skipped.
#[track_caller]
pub fn onnx_runtime() -> bool {
    let answer = Command::new("python3")
        .args(["-c", "import numpy, onnxruntime"])
        .output();
    let imports = answer.is_ok_and(|answer| answer.status.success());
    if !imports {
        skipped("ONNX Runtime", "no python3 that imports numpy and onnxruntime");
    }
    imports
}

/// Says that the running test ends here because the machine lacks `what`: as a line `skipped: TEST:
/// WHY`, and as a line of `what` and the test's name in the file that the variable
/// `POTSTILL_SKIPPED` names.
///
/// # Panics
///
/// If that file cannot be written.
#[track_caller]
pub fn skipped(what: &str, why: &str) {
    // The runner names a test's thread after the test, unless it runs them all on its own.
    let thread = thread::current();
    let test = match thread.name() {
        Some(name) if name != "main" => name.to_owned(),
        _ => Location::caller().to_string(),
    };
    println!("skipped: {test}: {why}");
    if let Some(path) = std::env::var_os(SKIPPED) {
        let mut file = OpenOptions::new().append(true).create(true).open(path).unwrap();
        // At once, because other tests write too.
        file.write_all(format!("{what}\t{test}\n").as_bytes()).unwrap();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "the record tests/records/golden/nothing.safetensors is missing")]
    fn a_missing_record_fails_its_test_by_name() {
        record("golden/nothing.safetensors");
    }
}
