//! Teachers that are compiled into the program: the same numbers as ONNX Runtime's and the run-time
//! importer's, taps, distillation, refusals.
//!
//! `POTSTILL_TEACHERS=tests/compiled cargo test --release --features compiled-teachers --test
//! compiled_teachers`

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test that unwraps says where it failed"
)]

mod potstill;

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use burn::tensor::{Device, TensorData};
use potstill::{done, json_lines, refused};
use potstill_compiled as _;
use potstill_core::network::{Network, Outputs};
use potstill_core::npz::NpzReader;
use potstill_core::op::Mode;
use potstill_core::value::Value;
use potstill_teachers::{Classifier, CompiledTeacher, decode_file};

/// Absolute, on logits.
const TOLERANCE: f32 = 1e-4;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/compiled")
}

/// An array of what `teachers.py` has recorded.
fn recorded(teacher: &str, array: &str) -> (Vec<f32>, Vec<usize>) {
    let file = folder().join(teacher).with_extension("npz");
    let mut archive = NpzReader::open(&file).unwrap();
    let array = archive.array(array).unwrap().unwrap();
    let dims = array.shape().iter().map(|extent| *extent as usize).collect();
    (array.into_vec().unwrap(), dims)
}

fn pictures(teacher: &str) -> Value {
    let (numbers, dims) = recorded(teacher, "input");
    Value::from_data(TensorData::new(numbers, dims), &Device::flex())
}

fn run(network: &Network, pictures: Value) -> Outputs {
    network.forward(pictures, &[], Mode::Inference).unwrap()
}

fn assert_close(got: &[f32], expected: &[f32], what: &str) {
    assert_eq!(got.len(), expected.len(), "{what}");
    for (got, expected) in got.iter().zip(expected) {
        assert!((got - expected).abs() <= TOLERANCE, "{what}: {got} {expected}");
    }
}

fn compiled(name: &str) -> Classifier {
    let device = Device::flex();
    let graph = CompiledTeacher::find(name).unwrap().graph(&device).unwrap();
    Classifier::new(Path::new(name), graph, [3, 32, 32], &device).unwrap()
}

/// Three steps on a little data.
const DISTIL: &str = "distill --device cpu --limit 64 --max-steps 3";

#[test]
fn every_output_is_that_of_onnx_runtime() {
    for (name, outputs) in [("tapped", &["logits", "hint"][..]), ("deep", &["logits"])] {
        let teacher = compiled(name);
        assert_eq!(teacher.classes, 20);
        let made = run(&teacher.network, pictures(name));
        for output in outputs {
            let (expected, dims) = recorded(name, output);
            let value = made.get(output).unwrap();
            assert_eq!(value.dims(), dims, "{name}: {output}");
            assert_close(&value.to_floats().unwrap(), &expected, output);
        }
    }
}

#[test]
fn a_file_that_the_importer_takes_gives_the_same_numbers_compiled() {
    let file = folder().join("tapped.onnx");
    let imported = decode_file(&file).unwrap();
    let compiled = compiled("tapped");
    assert_eq!(compiled.network.graph().model.metadata, imported.model.metadata);
    let imported = Network::new(imported, &Device::flex()).unwrap();
    let (own, other) = (
        run(&compiled.network, pictures("tapped")),
        run(&imported, pictures("tapped")),
    );
    for output in ["logits", "hint"] {
        let floats = |outputs: &Outputs| outputs.get(output).unwrap().to_floats().unwrap();
        assert_close(&floats(&own), &floats(&other), output);
    }
}

#[test]
fn a_file_that_the_importer_does_not_take_teaches_once_it_is_compiled_in() {
    let error = decode_file(&folder().join("deep.onnx")).unwrap_err();
    assert_eq!(
        error.source().unwrap().to_string(),
        "a transposed convolution over 3 spatial axes is not supported"
    );
    let place = tempfile::tempdir().unwrap();
    let arguments = format!("{DISTIL} --teacher compiled:deep --plugin kd --out run");
    done(place.path(), &arguments);
    assert!(place.path().join("run/student.onnx").exists());
}

#[test]
fn a_further_output_is_a_hint_and_its_own_normalisation_counts() {
    let place = tempfile::tempdir().unwrap();
    let losses = |teacher: &str, out: &str| -> Vec<f64> {
        let method = "--plugin fitnets:hint=hint,guided=layer3.0.relu2,stages=joint,reduction=mean --learning-rate 0.01";
        done(
            place.path(),
            &format!("{DISTIL} --teacher {teacher} {method} --out {out}"),
        );
        let metrics = fs::read_to_string(place.path().join(out).join("metrics.jsonl")).unwrap();
        let lines = json_lines(&metrics);
        lines.iter().filter_map(|line| line["loss"].as_f64()).collect()
    };
    fs::copy(folder().join("tapped.onnx"), place.path().join("tapped.onnx")).unwrap();
    let (own, other) = (
        losses("compiled:tapped", "compiled"),
        losses("tapped.onnx", "imported"),
    );
    assert!(!own.is_empty());
    assert_eq!(own.len(), other.len());
    for (own, other) in own.iter().zip(&other) {
        assert!((own - other).abs() < 1e-3 * other.abs(), "{own} {other}");
    }
}

#[test]
fn compiled_teachers_are_listed_measured_and_refused_by_name() {
    let place = tempfile::tempdir().unwrap();
    let listed = done(place.path(), "teachers").stdout;
    for part in [
        "embedded:glyphs-resnet20",
        "compiled:deep",
        "compiled:tapped",
        "hint",
    ] {
        assert!(listed.contains(part), "{listed}");
    }
    done(place.path(), "eval compiled:tapped --limit 100");
    refused(
        place.path(),
        &format!("{DISTIL} --teacher compiled:taped --plugin kd --out run"),
        &[
            "no compiled teacher `taped`: this build has deep, tapped; did you mean `tapped`",
            "POTSTILL_TEACHERS=FOLDER cargo build",
        ],
    );
}
