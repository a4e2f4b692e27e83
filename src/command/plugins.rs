//! `potstill plugins`: the methods of this binary.

use std::io::Write;

use clap::Args;
use potstill_core::plugin::{Paper, PluginEntry, PluginOption, entries, find};
use serde::Serialize;

use crate::error::CliError;
use crate::table::{Format, json, table};

/// List the distillation methods with their options.
#[derive(Debug, Args)]
pub struct Plugins {
    /// Methods to show; all of them where not given.
    names: Vec<String>,
    /// How to print.
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

#[derive(Serialize)]
struct Entry {
    name: &'static str,
    summary: &'static str,
    paper: Paper,
    options: Vec<PluginOption>,
}

fn entry(entry: &PluginEntry) -> Entry {
    Entry {
        name: entry.name,
        summary: entry.summary,
        paper: entry.paper,
        options: (entry.options)(),
    }
}

impl Plugins {
    /// Prints the list.
    pub fn run(self, out: &mut impl Write) -> Result<(), CliError> {
        let shown = match self.names.is_empty() {
            true => entries()?.values().copied().collect(),
            false => self
                .names
                .iter()
                .map(|name| find(name))
                .collect::<Result<Vec<_>, _>>()?,
        };
        let entries: Vec<Entry> = shown.into_iter().map(entry).collect();
        if self.format == Format::Json {
            return json(out, &entries);
        }
        for entry in entries {
            writeln!(out, "{}: {}", entry.name, entry.summary)?;
            let paper = entry.paper;
            write!(out, "  {}: {}, {}", paper.authors, paper.title, paper.year)?;
            if !paper.arxiv.is_empty() {
                write!(out, " (arXiv {})", paper.arxiv)?;
            }
            writeln!(out)?;
            let mut options = table(["option", "default", "range", "meaning"], 4);
            for option in entry.options {
                let default = option.default.map(|value| value.to_string()).unwrap_or_default();
                let range = option.range.map(|limits| limits.to_string()).unwrap_or_default();
                options.add_row([option.name, default, range, option.doc]);
            }
            writeln!(out, "{options}\n")?;
        }
        Ok(())
    }
}
