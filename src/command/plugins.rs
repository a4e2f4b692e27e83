//! `potstill plugins`: the methods of this binary.

use std::io::Write;

use clap::Args;
use potstill_core::plugin::{PluginEntry, entries, find};
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
    paper: potstill_core::plugin::Paper,
    options: Vec<OptionEntry>,
}

#[derive(Serialize)]
struct OptionEntry {
    name: &'static str,
    default: Option<toml::Value>,
    doc: &'static str,
}

fn entry(entry: &PluginEntry) -> Entry {
    let defaults = (entry.defaults)();
    let option = |option: &potstill_core::plugin::PluginOption| OptionEntry {
        name: option.name,
        default: defaults.get(option.name).cloned(),
        doc: option.doc,
    };
    Entry {
        name: entry.name,
        summary: entry.summary,
        paper: entry.paper,
        options: entry.options.iter().map(option).collect(),
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
            let mut options = table(["option", "default", "meaning"], 3);
            for option in entry.options {
                let default = option.default.map(|value| value.to_string()).unwrap_or_default();
                options.add_row([option.name, &default, option.doc]);
            }
            writeln!(out, "{options}\n")?;
        }
        Ok(())
    }
}
