//! `potstill inspect`: what a network is made of.

use std::io::Write;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use clap::Args;
use potstill_core::graph::{Summary, ValueInfo, summarise};
use potstill_core::zoo;
use potstill_run::RunError;
use potstill_run::teachers;
use serde::Serialize;

use crate::error::CliError;
use crate::table::{Format, count, json, multiply_adds, table};

/// Show what a network is made of: values that can be tapped, shapes, parameters, multiply-adds.
#[derive(Debug, Args)]
pub struct Inspect {
    /// ONNX file, an architecture as `potstill models` lists them, or a teacher as `potstill
    /// teachers` does.
    #[arg(value_name = "FILE|NAME")]
    file: PathBuf,
    /// How to print.
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

#[derive(Serialize)]
struct Report {
    file: PathBuf,
    producer: String,
    opset: i64,
    inputs: Vec<Declared>,
    outputs: Vec<Declared>,
    metadata: indexmap::IndexMap<String, String>,
    #[serde(flatten)]
    summary: Summary,
}

#[derive(Serialize)]
struct Declared {
    name: String,
    element: String,
    shape: String,
}

/// Whether this is a plain name, without a folder, an ending or the colon of the program's
/// teachers, and no file has it.
fn names_architecture(given: &Path) -> bool {
    let plain = given.extension().is_none() && !given.to_string_lossy().contains(':');
    plain && given.components().count() == 1 && !given.exists()
}

fn declared(info: &ValueInfo) -> Declared {
    Declared {
        name: info.name.clone(),
        element: info
            .element
            .map_or("?".to_owned(), |element| format!("{element:?}").to_lowercase()),
        shape: info.shape_text(),
    }
}

impl Inspect {
    /// Prints the report.
    pub fn run(self, out: &mut impl Write) -> Result<(), CliError> {
        let graph = if names_architecture(&self.file) {
            let architecture = zoo::find(&self.file.to_string_lossy())?;
            zoo::build(
                architecture.name,
                architecture.usual_classes(),
                architecture.input,
                0,
            )?
        } else {
            teachers::graph(&self.file, &Device::flex())?
        };
        let summary = summarise(&graph).map_err(|source| RunError::Network {
            path: self.file.clone(),
            source,
        })?;
        let report = Report {
            producer: format!("{} {}", graph.model.producer, graph.model.producer_version)
                .trim()
                .to_owned(),
            opset: graph.model.opset(),
            inputs: graph.inputs.iter().map(declared).collect(),
            outputs: graph.outputs.iter().map(declared).collect(),
            metadata: graph.model.metadata.clone(),
            file: self.file,
            summary,
        };
        if self.format == Format::Json {
            return json(out, &report);
        }
        report.print(out)
    }
}

impl Report {
    fn print(&self, out: &mut impl Write) -> Result<(), CliError> {
        writeln!(
            out,
            "{} (opset {}, by {})",
            self.file.display(),
            self.opset,
            self.producer
        )?;
        for (what, values) in [("input ", &self.inputs), ("output", &self.outputs)] {
            for value in values {
                writeln!(out, "  {what} {} {} {}", value.name, value.element, value.shape)?;
            }
        }
        for (key, value) in &self.metadata {
            writeln!(out, "  {key} = {value}")?;
        }
        let mut rows = table(["value", "operator", "shape", "parameters", "multiply-adds"], 3);
        for node in &self.summary.nodes {
            rows.add_row([
                node.output.clone(),
                node.op.clone(),
                node.shape.join("×"),
                if node.parameters == 0 {
                    String::new()
                } else {
                    count(node.parameters as u64)
                },
                if node.multiply_adds == 0 {
                    String::new()
                } else {
                    multiply_adds(node.multiply_adds)
                },
            ]);
        }
        writeln!(out, "{rows}")?;
        let operators: Vec<String> = self
            .summary
            .operators
            .iter()
            .map(|(name, count)| format!("{name} {count}"))
            .collect();
        writeln!(out, "operators: {}", operators.join(", "))?;
        writeln!(
            out,
            "{} parameters, {} multiply-adds a picture",
            count(self.summary.parameters as u64),
            multiply_adds(self.summary.multiply_adds)
        )?;
        Ok(())
    }
}
