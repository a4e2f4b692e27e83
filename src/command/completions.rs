//! Shell completions and the manual page, generated from the definition of the command line that
//! they are part of.

use std::io::Write;

use clap::{Args, Command};
use clap_complete::Shell;

use crate::error::CliError;

/// Print completions for a shell.
#[derive(Debug, Args)]
pub struct Completions {
    /// The shell.
    shell: Shell,
}

impl Completions {
    /// Prints the script for a program of these subcommands.
    pub fn run(self, mut program: Command, out: &mut impl Write) -> Result<(), CliError> {
        // The generator panics where its output is closed, as by `head`.
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut program, "potstill", &mut script);
        out.write_all(&script)?;
        Ok(())
    }
}

/// Print the manual page.
#[derive(Debug, Args)]
pub struct Man {}

impl Man {
    /// Prints the page in roff for a program of these subcommands.
    pub fn run(self, program: Command, out: &mut impl Write) -> Result<(), CliError> {
        clap_mangen::Man::new(program).render(out)?;
        Ok(())
    }
}
