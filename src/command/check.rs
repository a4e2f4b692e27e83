//! `potstill check`: a method against recorded numbers of a reference implementation.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use potstill_core::plugin::{PluginSpec, Recorded, Tolerance, check};

use crate::error::{CliError, DISAGREES};
use crate::table::{Format, json, table};

/// Run a method on recorded tensors and compare its loss and gradients with those in the file.
///
/// Exit code 1 says that they disagree.
#[derive(Debug, Args)]
pub struct Check {
    /// The method with its options, as `kd:temperature=4,alpha=0.9`.
    plugin: PluginSpec,
    /// Record (safetensors).
    file: PathBuf,
    /// How to print.
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

impl Check {
    /// Prints the comparison.
    pub fn run(self, out: &mut impl Write) -> Result<ExitCode, CliError> {
        let plugin = self.plugin.build()?;
        let record = Recorded::open(&self.file)?;
        let report =
            check(plugin.as_ref(), &record, Tolerance::default()).map_err(|source| CliError::Record {
                path: self.file.clone(),
                source,
            })?;
        if self.format == Format::Json {
            json(out, &report)?;
        } else {
            let mut rows = table(["number", "computed", "recorded", "relative error", ""], 1);
            let number = |value: Option<f64>| value.map(|value| format!("{value:.7}")).unwrap_or_default();
            for comparison in &report.comparisons {
                let verdict = match (comparison.recorded, comparison.agrees) {
                    (None, _) => "not recorded",
                    (Some(_), true) => "agrees",
                    (Some(_), false) => "DIFFERS",
                };
                rows.add_row([
                    comparison.name.clone(),
                    number(Some(comparison.computed)),
                    number(comparison.recorded),
                    comparison
                        .relative_error
                        .map(|error| format!("{error:.1e}"))
                        .unwrap_or_default(),
                    verdict.to_owned(),
                ]);
            }
            writeln!(out, "{} on {}", self.plugin, self.file.display())?;
            writeln!(out, "{rows}")?;
        }
        Ok(if report.agrees() {
            ExitCode::SUCCESS
        } else {
            ExitCode::from(DISAGREES)
        })
    }
}
