//! Turns the ONNX files of the folder `POTSTILL_TEACHERS` into Rust source, and lists them for
//! `src/lib.rs`.
//!
//! The source is written by a program of its own, `converter/`: burn-onnx needs another release of
//! the protobuf runtime than the workspace has, and it panics where it refuses. What the file says
//! of itself (names, shapes, metadata) goes along as a model without nodes.

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use onnx_protobuf::{Message, ModelProto, ValueInfoProto};
use sha2::{Digest, Sha256};

/// The folder of teachers; a relative one is looked for from the repository's root.
const FOLDER: &str = "POTSTILL_TEACHERS";
/// ONNX's code of 32-bit floats.
const FLOAT: i32 = 1;
/// Outputs that `src/lib.rs` can take apart.
const MOST_OUTPUTS: usize = 24;

fn main() -> ExitCode {
    for watched in [
        "build.rs",
        "converter/src",
        "converter/Cargo.toml",
        "converter/Cargo.lock",
    ] {
        println!("cargo::rerun-if-changed={watched}");
    }
    println!("cargo::rerun-if-env-changed={FOLDER}");
    match compile_folder() {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            for line in reason.lines().filter(|line| !line.trim().is_empty()) {
                println!("cargo::error={line}");
            }
            ExitCode::FAILURE
        }
    }
}

/// A folder that the build was told, or an explanation.
fn variable(name: &str) -> Result<PathBuf, String> {
    env::var_os(name)
        .filter(|value| !value.is_empty())
        .map(PathBuf::from)
        .ok_or_else(|| format!("{name} is not set"))
}

fn compile_folder() -> Result<(), String> {
    let wanted = variable(FOLDER).map_err(|reason| {
        format!("{reason}: the feature `compiled-teachers` needs a folder of ONNX files there, as in {FOLDER}=teachers cargo build --release --features compiled-teachers")
    })?;
    let out = variable("OUT_DIR")?;
    let root = variable("CARGO_MANIFEST_DIR")?.join("..");
    let folder = root.join(&wanted);
    println!("cargo::rerun-if-changed={}", folder.display());
    let files = onnx_files(&folder).map_err(|reason| format!("{FOLDER}={}: {reason}", wanted.display()))?;
    // Everything that can be refused without the converter is refused before it is built.
    let mut teachers = Vec::new();
    for file in files {
        let head = head(&file).map_err(|reason| refused(&file, &reason))?;
        teachers.push((file, head));
    }
    let converter = converter(&out)?;
    let mut list = String::new();
    for (index, (file, head)) in teachers.into_iter().enumerate() {
        let place = out.join(format!("teacher_{index}"));
        let entry = compile(&converter, &file, &head, &place).map_err(|reason| refused(&file, &reason))?;
        let _ = writeln!(list, "teacher!(teacher_{index}, {entry});");
    }
    write(&out.join("teachers.rs"), list.as_bytes())
}

fn refused(file: &Path, reason: &str) -> String {
    format!("{} cannot be compiled in: {reason}", file.display())
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), String> {
    fs::write(path, bytes).map_err(|error| format!("cannot write {}: {error}", path.display()))
}

/// The ONNX files of a folder, by name.
fn onnx_files(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let entries = fs::read_dir(folder).map_err(|error| format!("cannot read the folder: {error}"))?;
    let mut files = Vec::new();
    for entry in entries {
        let path = entry
            .map_err(|error| format!("cannot read the folder: {error}"))?
            .path();
        if path.extension().is_some_and(|extension| extension == "onnx") {
            files.push(path);
        }
    }
    files.sort();
    if files.is_empty() {
        return Err("the folder holds no ONNX file".to_owned());
    }
    Ok(files)
}

/// A model without its nodes and tensors, after a look at whether it can be a teacher.
fn head(file: &Path) -> Result<Vec<u8>, String> {
    let bytes = fs::read(file).map_err(|error| format!("cannot read it: {error}"))?;
    let mut model =
        ModelProto::parse_from_bytes(&bytes).map_err(|error| format!("not an ONNX model: {error}"))?;
    let graph = model.graph.as_mut().ok_or("it holds no graph")?;
    // Files before IR version 4 list their weights among the inputs.
    let stored: Vec<String> = graph
        .initializer
        .iter()
        .map(|tensor| tensor.name.clone())
        .collect();
    graph.input.retain(|input| !stored.contains(&input.name));
    match graph.input.as_slice() {
        [input] if element(input) == FLOAT && rank(input) == Some(4) => {}
        [input] => {
            return Err(format!(
                "its input `{}` is not [batch, channels, height, width] of 32-bit floats",
                input.name
            ));
        }
        inputs => return Err(format!("{} inputs, expected one input of pictures", inputs.len())),
    }
    if graph.output.is_empty() || graph.output.len() > MOST_OUTPUTS {
        let count = graph.output.len();
        return Err(format!(
            "{count} outputs, expected the logits and up to {} further ones",
            MOST_OUTPUTS - 1
        ));
    }
    if let Some(scalar) = graph.output.iter().find(|output| rank(output) == Some(0)) {
        return Err(format!("its output `{}` is a single number", scalar.name));
    }
    graph.node.clear();
    graph.initializer.clear();
    graph.sparse_initializer.clear();
    graph.value_info.clear();
    model.functions.clear();
    model
        .write_to_bytes()
        .map_err(|error| format!("its head cannot be written: {error}"))
}

fn element(value: &ValueInfoProto) -> i32 {
    value.type_.tensor_type().elem_type
}

/// The number of axes, where the file states them.
fn rank(value: &ValueInfoProto) -> Option<usize> {
    let tensor = value.type_.tensor_type();
    tensor.shape.as_ref().map(|shape| shape.dim.len())
}

/// Builds the program that converts. Its target folder lies in that of the build and is shared by
/// all builds there.
fn converter(out: &Path) -> Result<PathBuf, String> {
    // <target>/<profile>/build/<package>/out
    let profile = out.ancestors().nth(3).unwrap_or(out);
    let target = profile.join("convert-teacher");
    let mut cargo = Command::new(variable("CARGO")?);
    cargo
        .current_dir(variable("CARGO_MANIFEST_DIR")?.join("converter"))
        .args(["build", "--release", "--locked", "--target-dir"])
        .arg(&target);
    // What the outer build was told about its own target and crate is none of the inner one's
    // business.
    for name in [
        "CARGO_ENCODED_RUSTFLAGS",
        "RUSTFLAGS",
        "CARGO_BUILD_TARGET",
        "CARGO_TARGET_DIR",
    ] {
        cargo.env_remove(name);
    }
    let built = cargo
        .output()
        .map_err(|error| format!("cannot start cargo for the converter: {error}"))?;
    if !built.status.success() {
        let reason = String::from_utf8_lossy(&built.stderr);
        return Err(format!("the converter of teachers does not build:\n{reason}"));
    }
    let program = format!("convert-teacher{}", env::consts::EXE_SUFFIX);
    Ok(target.join("release").join(program))
}

/// Has one file converted; what the macro `teacher!` needs to know of it.
fn compile(converter: &Path, file: &Path, head: &[u8], place: &Path) -> Result<String, String> {
    let stem = file.file_stem().and_then(|stem| stem.to_str());
    let name = stem.ok_or("its name is no UTF-8")?;
    fs::create_dir_all(place).map_err(|error| format!("cannot make {}: {error}", place.display()))?;
    let converted = Command::new(converter)
        .arg(file)
        .arg(place)
        .env("RUST_BACKTRACE", "0")
        .output()
        .map_err(|error| format!("cannot start the converter: {error}"))?;
    if !converted.status.success() {
        return Err(said(&String::from_utf8_lossy(&converted.stderr)));
    }
    let path = |ending: &str| place.join(format!("{name}.{ending}"));
    write(&path("head"), head)?;
    // The weights are counted where they end up: they may lie beside the file. The source names
    // folders of this machine.
    let mut digest = Sha256::new();
    for part in [file, &path("bpk")] {
        let bytes = fs::read(part).map_err(|error| format!("cannot read {}: {error}", part.display()))?;
        digest.update((bytes.len() as u64).to_le_bytes());
        digest.update(&bytes);
    }
    Ok(format!(
        "{name:?}, source: {:?}, head: {:?}, digest: \"{:x}\"",
        path("rs").display().to_string(),
        path("head").display().to_string(),
        digest.finalize()
    ))
}

/// What a panic said, without its place in the source and the advice to look at a backtrace.
fn said(stderr: &str) -> String {
    let lines = stderr.lines().filter(|line| {
        !line.trim().is_empty() && !line.contains("panicked at") && !line.starts_with("note: run with")
    });
    lines.collect::<Vec<_>>().join("\n")
}
