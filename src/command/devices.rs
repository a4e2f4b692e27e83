//! `potstill devices`: where networks can run here, and whether they compute correctly there.

use std::io::Write;

use clap::Args;
use potstill_core::device::{Found, Report, available, self_test};
use serde::Serialize;

use crate::error::{CliError, with_causes};
use crate::table::{Format, json, table};

/// List the devices; with `--test`, also whether they compute what the CPU computes.
#[derive(Debug, Args)]
pub struct Devices {
    /// Have each device do one training step of a small network and compare outputs, loss and
    /// gradients with the CPU's. The first test of a GPU compiles its kernels: seconds on a GPU,
    /// minutes on a software device.
    #[arg(long)]
    test: bool,
    /// How to print.
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

#[derive(Serialize)]
struct Row {
    #[serde(flatten)]
    found: Found,
    /// Of a test that was asked for and passed.
    self_test: Option<Report>,
    /// Of a test that was not, or of opening the device.
    failure: Option<String>,
}

impl Row {
    fn new(found: &Found, test: bool) -> Self {
        let outcome = match &found.device {
            Ok(device) if test => self_test(device).map(Some).map_err(|error| with_causes(&error)),
            Ok(_) => Ok(None),
            Err(reason) => Err(reason.clone()),
        };
        let (self_test, failure) = match outcome {
            Ok(report) => (report, None),
            Err(failure) => (None, Some(failure)),
        };
        Self {
            found: found.clone(),
            self_test,
            failure,
        }
    }

    fn outcome(&self) -> String {
        match (&self.self_test, &self.failure) {
            (_, Some(failure)) => format!("failed: {failure}"),
            (Some(report), None) => format!(
                "passed: outputs to {:.0e}, gradients to {:.0e}, in {:.1} s",
                report.outputs, report.gradients, report.seconds
            ),
            (None, None) => "not asked for (--test)".to_owned(),
        }
    }
}

impl Devices {
    /// Lists, tests and prints.
    pub fn run(self, out: &mut impl Write) -> Result<(), CliError> {
        let mut rows = Vec::new();
        for found in available() {
            if self.test {
                // The test may take minutes, and a driver that hangs is to be known by its name.
                drop(writeln!(std::io::stderr(), "testing {found} …"));
            }
            rows.push(Row::new(found, self.test));
        }
        if self.format == Format::Json {
            return json(out, &rows);
        }
        let mut lines = table(["device", "name", "hardware", "driver", "self-test"], 5);
        for row in rows {
            let outcome = row.outcome();
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
        if cfg!(not(any(feature = "wgpu", feature = "cuda"))) {
            let build = "cargo build --release --features wgpu";
            writeln!(out, "This program was built without GPUs; `{build}` has them.")?;
        }
        Ok(())
    }
}
