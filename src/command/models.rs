//! `potstill models`: the students of the zoo.

use std::io::Write;

use clap::Args;
use potstill_core::graph::summarise;
use potstill_core::zoo;
use potstill_run::RunError;
use serde::Serialize;

use crate::error::CliError;
use crate::table::{Format, count, json, multiply_adds, table};

/// List the student architectures with their size.
#[derive(Debug, Args)]
pub struct Models {
    /// Classes that the sizes are for; 100 for CIFAR networks and 1000 for ImageNet ones where not
    /// given.
    #[arg(long)]
    classes: Option<usize>,
    /// How to print.
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

#[derive(Serialize)]
struct Model {
    name: &'static str,
    summary: &'static str,
    paper: &'static str,
    input: [usize; 3],
    classes: usize,
    parameters: usize,
    multiply_adds: u64,
}

impl Models {
    /// Prints the list.
    pub fn run(self, out: &mut impl Write) -> Result<(), CliError> {
        let mut models = Vec::new();
        for architecture in zoo::architectures() {
            let classes = self.classes.unwrap_or(architecture.usual_classes());
            let graph = zoo::build(architecture.name, classes, architecture.input, 0)?;
            let summary = summarise(&graph).map_err(|source| RunError::Network {
                path: architecture.name.into(),
                source,
            })?;
            models.push(Model {
                name: architecture.name,
                summary: architecture.summary,
                paper: architecture.paper,
                input: architecture.input,
                classes,
                parameters: summary.parameters,
                multiply_adds: summary.multiply_adds,
            });
        }
        if self.format == Format::Json {
            return json(out, &models);
        }
        let mut rows = table(
            [
                "model",
                "what it is",
                "input",
                "classes",
                "parameters",
                "multiply-adds",
            ],
            2,
        );
        for model in models {
            rows.add_row([
                model.name.to_owned(),
                model.summary.to_owned(),
                model.input.map(|extent| extent.to_string()).join("×"),
                model.classes.to_string(),
                count(model.parameters as u64),
                multiply_adds(model.multiply_adds),
            ]);
        }
        writeln!(out, "{rows}")?;
        Ok(())
    }
}
