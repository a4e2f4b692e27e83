//! What a run ends with: teachers, the student alone, the student distilled, side by side.

use std::path::Path;

use potstill_core::data::Loader;
use potstill_core::graph::{Graph, summarise};
use potstill_core::plugin::Students;
use potstill_core::task::Retrieval;
use potstill_teachers::Classifier;
use serde::Serialize;

use crate::default_run;
use crate::error::RunError;
use crate::evaluation::evaluate_classifier;

/// One network of the comparison; also an element of `result.json`.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Its name, with its part in the run: `teacher FILE`, `resnet8 alone`, `resnet8 distilled`.
    pub network: String,
    /// Accuracy on the test split, in percent.
    pub top1: f64,
    /// Elements of its trained tensors.
    pub parameters: usize,
    /// Multiply-adds for one picture.
    pub multiply_adds: u64,
    /// Size of its ONNX file, where it has one.
    pub file_bytes: Option<u64>,
    /// What its training took, where it was trained here.
    pub seconds: Option<f64>,
    /// What it finds, where the data set is for retrieval.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retrieval: Option<Retrieval>,
}

impl Row {
    /// A student; `seconds` is what its training took.
    ///
    /// # Errors
    /// A network whose shapes cannot be inferred.
    pub(crate) fn student(
        name: &str,
        graph: &Graph,
        top1: f64,
        file_bytes: usize,
        seconds: f64,
    ) -> Result<Self, RunError> {
        let summary = summarise(graph).map_err(|source| RunError::Network {
            path: name.into(),
            source,
        })?;
        Ok(Self {
            network: name.to_owned(),
            top1,
            parameters: summary.parameters,
            multiply_adds: summary.multiply_adds,
            file_bytes: Some(file_bytes as u64),
            seconds: Some(seconds),
            retrieval: None,
        })
    }

    /// One of several students; only the result is written as a file.
    ///
    /// # Errors
    /// A network whose shapes cannot be inferred.
    pub(crate) fn member(name: &str, graph: &Graph, top1: f64) -> Result<Self, RunError> {
        let row = Self::student(&format!("  {name}"), graph, top1, 0, 0.0)?;
        Ok(Self {
            file_bytes: None,
            seconds: None,
            ..row
        })
    }

    /// All students together.
    ///
    /// # Errors
    /// Networks whose shapes cannot be inferred.
    pub(crate) fn ensemble(students: &Students, top1: f64) -> Result<Self, RunError> {
        let mut row = Self::member("ensemble", &students.networks[0], top1)?;
        for network in &students.networks[1..] {
            let next = Self::member("ensemble", network, top1)?;
            row.parameters += next.parameters;
            row.multiply_adds += next.multiply_adds;
        }
        Ok(row)
    }

    /// A teacher, evaluated here.
    ///
    /// # Errors
    /// Pictures that cannot be read.
    pub(crate) fn teacher(teacher: &Classifier, test: &Loader) -> Result<Self, RunError> {
        let evaluation = evaluate_classifier(teacher, test)?;
        let summary = summarise(teacher.network.graph()).map_err(|source| RunError::Network {
            path: teacher.path.clone(),
            source,
        })?;
        let file_bytes = if teacher.path == Path::new(default_run::TEACHER) {
            Some(default_run::TEACHER_BYTES.len() as u64)
        } else {
            std::fs::metadata(&teacher.path).ok().map(|file| file.len())
        };
        Ok(Self {
            network: format!("teacher {}", teacher.path.display()),
            top1: evaluation.top1,
            parameters: summary.parameters,
            multiply_adds: summary.multiply_adds,
            file_bytes,
            seconds: None,
            retrieval: None,
        })
    }

    /// With what the network finds, where the data set is for retrieval.
    pub(crate) fn finding(self, retrieval: Option<Retrieval>) -> Self {
        Self { retrieval, ..self }
    }
}
