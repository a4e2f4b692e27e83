//! `potstill devices`: where networks can run here.

use std::io::Write;

use clap::Args;

use crate::error::CliError;

/// List the devices with the outcome of their self-test.
#[derive(Debug, Args)]
pub struct Devices {}

impl Devices {
    /// Prints the list.
    pub fn run(self, out: &mut impl Write) -> Result<(), CliError> {
        writeln!(out, "cpu")?;
        Ok(())
    }
}
