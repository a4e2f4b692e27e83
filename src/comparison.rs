//! The table that a run ends with: teachers, the student alone, the student distilled.

use std::io::Write;
use std::path::Path;

use potstill_core::data::Loader;
use potstill_core::graph::{Graph, summarise};
use potstill_core::plugin::Students;
use potstill_core::train::Retrieval;
use potstill_teachers::Teacher;
use serde::Serialize;

use crate::default_run;
use crate::error::CliError;
use crate::table::{bytes, count, multiply_adds, table};
use crate::test_split;

/// One network of the comparison; also an element of `result.json`.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    network: String,
    top1: f64,
    parameters: usize,
    multiply_adds: u64,
    file_bytes: Option<u64>,
    seconds: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retrieval: Option<Retrieval>,
}

impl Row {
    /// A student; `seconds` is what its training took.
    ///
    /// # Errors
    /// A network whose shapes cannot be inferred.
    pub fn student(
        name: &str,
        graph: &Graph,
        top1: f64,
        file_bytes: usize,
        seconds: f64,
    ) -> Result<Self, CliError> {
        let summary = summarise(graph).map_err(|source| CliError::Network {
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
    pub fn member(name: &str, graph: &Graph, top1: f64) -> Result<Self, CliError> {
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
    pub fn ensemble(students: &Students, top1: f64) -> Result<Self, CliError> {
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
    pub fn teacher(teacher: &Teacher, test: &Loader) -> Result<Self, CliError> {
        let evaluation = test_split::evaluate_classifier(teacher, test)?;
        let summary = summarise(teacher.network.graph()).map_err(|source| CliError::Network {
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
    pub fn finding(self, retrieval: Option<Retrieval>) -> Self {
        Self { retrieval, ..self }
    }
}

/// Prints the comparison.
///
/// # Errors
/// Output that cannot be printed.
pub fn print(out: &mut impl Write, rows: &[Row]) -> Result<(), CliError> {
    let finds = rows.iter().any(|row| row.retrieval.is_some());
    let mut columns = vec!["network", "top-1"];
    if finds {
        columns.extend(["mAP", "rank-1"]);
    }
    columns.extend(["parameters", "file", "multiply-adds", "training"]);
    let mut table = table(columns, 1);
    for row in rows {
        let mut cells = vec![row.network.clone(), format!("{:.2} %", row.top1)];
        if finds {
            let Retrieval { map, rank1, .. } = row.retrieval.unwrap_or_default();
            cells.extend([map, rank1].map(|share| format!("{share:.2} %")));
        }
        cells.extend([
            count(row.parameters as u64),
            row.file_bytes.map(bytes).unwrap_or_default(),
            multiply_adds(row.multiply_adds),
            row.seconds
                .map(|seconds| format!("{seconds:.0} s"))
                .unwrap_or_default(),
        ]);
        table.add_row(cells);
    }
    writeln!(out, "{table}")?;
    Ok(())
}
