//! The recorded cases and the walk over them, with a list of what went wrong in all cases instead
//! of the first.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use potstill_core::graph::{Dim, Graph, Role};
use potstill_teachers::{DecodeError, decode_file};
use serde::Deserialize;

use crate::record::Record;

/// One recorded model: a line of `cases.json`.
#[derive(Deserialize)]
pub struct Case {
    /// The file's stem.
    pub name: String,
    /// The files of what to feed and to expect; none for a model that is not meant to run.
    pub records: Vec<String>,
    #[serde(skip)]
    folder: PathBuf,
}

/// The cases of `operators` or `networks`.
pub fn cases(family: &str) -> Vec<Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/interop")
        .join(family);
    let index = std::fs::read_to_string(folder.join("cases.json")).unwrap();
    let mut cases: Vec<Case> = serde_json::from_str(&index).unwrap();
    for case in &mut cases {
        case.folder = folder.clone();
    }
    cases
}

impl Case {
    /// The model's file.
    pub fn path(&self) -> PathBuf {
        self.folder.join(format!("{}.onnx", self.name))
    }

    /// The model as a graph.
    pub fn graph(&self) -> Result<Graph, DecodeError> {
        decode_file(&self.path())
    }

    /// What to feed and to expect, record by record.
    pub fn records(&self) -> impl Iterator<Item = Record> {
        self.records
            .iter()
            .map(|file| Record::open(&self.folder.join(file)))
    }
}

/// The graph with its inputs declared in the very shapes of a record.
pub fn declared(graph: &Graph, record: &Record) -> Graph {
    let mut graph = graph.clone();
    for input in &mut graph.inputs {
        let shape = record.array(&input.name).shape().to_vec();
        input.dims = Some(shape.into_iter().map(Dim::Known).collect());
    }
    graph
}

/// The names of the tensors that train.
pub fn weights(graph: &Graph) -> impl Iterator<Item = &str> {
    graph
        .tensors
        .iter()
        .filter(|(_, tensor)| tensor.role == Role::Weight)
        .map(|(name, _)| name.as_str())
}

/// An error with its causes, as one line.
pub fn reason(error: &dyn std::error::Error) -> String {
    std::iter::successors(Some(error), |error| error.source())
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}

/// Runs a check on every case; fails with the list of all cases that did not pass. A panic fails
/// its case only.
pub fn walk<'a>(cases: impl IntoIterator<Item = &'a Case>, check: impl Fn(&Case) -> Result<(), String>) {
    let failures: Vec<String> = cases
        .into_iter()
        .filter_map(|case| {
            let outcome = catch_unwind(AssertUnwindSafe(|| check(case)));
            let reason = match outcome {
                Ok(outcome) => outcome.err()?,
                Err(panic) => format!("panicked: {}", message(panic.as_ref())),
            };
            Some(format!("{}: {reason}", case.name))
        })
        .collect();
    assert!(
        failures.is_empty(),
        "{} cases failed:\n{}",
        failures.len(),
        failures.join("\n")
    );
}

fn message(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("without a message")
}
