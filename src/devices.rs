//! `potstill devices`: where networks can run here, and whether they compute correctly there.

use std::io::Write;

use clap::Args;
use potstill_core::device::{Found, Report, available, self_test};
use serde::Serialize;

use crate::error::{CliError, with_causes};
use crate::table::{Format, json, table};

/// List the devices with the outcome of their self-test: a small network's outputs, loss and gradients against the CPU's.
///
/// The test compiles the device's kernels, which takes a minute on a software device.
#[derive(Debug, Args)]
pub struct Devices {
    /// How to print.
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

#[derive(Serialize)]
struct Row {
    #[serde(flatten)]
    found: Found,
    self_test: Option<Report>,
    failure: Option<String>,
}

fn test(found: &Found) -> Row {
    let outcome = match &found.device {
        Ok(device) => self_test(device).map_err(|error| with_causes(&error)),
        Err(reason) => Err(reason.clone()),
    };
    let (self_test, failure) = match outcome {
        Ok(report) => (Some(report), None),
        Err(failure) => (None, Some(failure)),
    };
    Row {
        found: found.clone(),
        self_test,
        failure,
    }
}

impl Devices {
    /// Tests and prints.
    pub fn run(self, out: &mut impl Write) -> Result<(), CliError> {
        let rows: Vec<Row> = available().iter().map(test).collect();
        if self.format == Format::Json {
            return json(out, &rows);
        }
        let mut lines = table(["device", "name", "hardware", "driver", "self-test"], 5);
        for row in rows {
            let outcome = match (row.self_test, row.failure) {
                (Some(report), _) => format!(
                    "passed: outputs to {:.0e}, gradients to {:.0e}, in {:.1} s",
                    report.outputs, report.gradients, report.seconds
                ),
                (None, failure) => format!("failed: {}", failure.unwrap_or_default()),
            };
            let Found {
                backend,
                hardware,
                name,
                driver,
                ..
            } = row.found;
            lines.add_row([backend.to_string(), name, hardware.to_string(), driver, outcome]);
        }
        writeln!(out, "{lines}")?;
        Ok(())
    }
}
