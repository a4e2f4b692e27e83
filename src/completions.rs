//! Shell completions and the manual page, generated from the command line's definition.

use std::io::Write;

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::cli::Cli;
use crate::error::CliError;

/// Print completions for a shell.
#[derive(Debug, Args)]
pub struct Completions {
    /// The shell.
    shell: Shell,
}

impl Completions {
    /// Prints the script.
    pub fn run(self, out: &mut impl Write) -> Result<(), CliError> {
        // The generator panics where its output is closed, as by `head`.
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "potstill", &mut script);
        out.write_all(&script)?;
        Ok(())
    }
}

/// Print the manual page.
#[derive(Debug, Args)]
pub struct Man {}

impl Man {
    /// Prints the page in roff.
    pub fn run(self, out: &mut impl Write) -> Result<(), CliError> {
        clap_mangen::Man::new(Cli::command()).render(out)?;
        Ok(())
    }
}
