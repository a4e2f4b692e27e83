//! `convert-teacher FILE FOLDER`: the ONNX file as `FOLDER/<stem>.rs` and `FOLDER/<stem>.bpk`.
//!
//! burn-onnx reports by panicking; in a process of its own that is an exit code and a message,
//! which the build script passes on.

use std::env;
use std::process::ExitCode;

use burn_onnx::{LoadStrategy, ModelGen};

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [file, folder] = arguments.as_slice() else {
        eprintln!("usage: convert-teacher FILE FOLDER");
        return ExitCode::FAILURE;
    };
    ModelGen::new()
        .input(file)
        .out_dir(folder)
        .load_strategy(LoadStrategy::Embedded)
        .run_from_cli();
    ExitCode::SUCCESS
}
