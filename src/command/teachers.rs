//! `potstill teachers`: the teachers that are part of the program.

use std::io::Write;

use clap::Args;
use potstill_core::graph::{Graph, ValueInfo};
use potstill_run::RunError;
use potstill_run::default_run;
use potstill_teachers::compiled::{self, compiled_teachers};
use potstill_teachers::decode;
use serde::Serialize;

use crate::error::CliError;
use crate::table::{Format, json, table};

/// List the teachers that are part of the program: the built-in one, and those that were compiled
/// in.
#[derive(Debug, Args)]
pub struct Teachers {
    /// How to print.
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

#[derive(Serialize)]
struct Listed {
    name: String,
    input: String,
    logits: String,
    taps: Vec<String>,
}

impl Listed {
    /// From a graph of which inputs and outputs are looked at; `taps` are outputs after the first.
    fn new(name: String, graph: &Graph) -> Self {
        let shape = |value: Option<&ValueInfo>| value.map(ValueInfo::shape_text).unwrap_or_default();
        Self {
            name,
            input: shape(graph.inputs.first()),
            logits: shape(graph.outputs.first()),
            taps: graph
                .outputs
                .iter()
                .skip(1)
                .map(|output| output.name.clone())
                .collect(),
        }
    }
}

impl Teachers {
    /// Prints the list.
    pub fn run(self, out: &mut impl Write) -> Result<(), CliError> {
        let built_in = decode(default_run::TEACHER_BYTES, None).map_err(|source| RunError::Import {
            path: default_run::TEACHER.into(),
            source,
        })?;
        let mut teachers = vec![Listed::new(default_run::TEACHER.to_owned(), &built_in)];
        for teacher in compiled_teachers() {
            let name = format!("{}{}", compiled::PREFIX, teacher.name);
            teachers.push(Listed::new(name, &teacher.head()?));
        }
        if self.format == Format::Json {
            return json(out, &teachers);
        }
        let mut rows = table(["teacher", "input", "logits", "further outputs"], 4);
        for teacher in teachers {
            rows.add_row([
                teacher.name,
                teacher.input,
                teacher.logits,
                teacher.taps.join(", "),
            ]);
        }
        writeln!(out, "{rows}")?;
        Ok(())
    }
}
