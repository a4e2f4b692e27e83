//! The subcommands.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use potstill_core::plugin::load_library;

use crate::error::CliError;
use crate::{command, report, sweep};

/// Distils a trained teacher network (ONNX) into a compact student (ONNX).
#[derive(Debug, Parser)]
#[command(name = "potstill", version, max_term_width = 110)]
pub struct Cli {
    /// Library of methods to load (`.so`, `.dylib` or `.dll`), for builds with the feature
    /// `dynamic`; several times for several libraries.
    #[arg(long, global = true, value_name = "FILE")]
    plugin_lib: Vec<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Distill(Box<command::distill::Distill>),
    Sweep(Box<sweep::Sweep>),
    Report(report::Report),
    Eval(command::eval::Eval),
    Export(command::export::ExportRun),
    Prune(Box<command::prune::Prune>),
    Bench(command::bench::Bench),
    Inspect(command::inspect::Inspect),
    Run(command::run::RunFile),
    Check(command::check::Check),
    Plugins(command::plugins::Plugins),
    Models(command::models::Models),
    Teachers(command::teachers::Teachers),
    Devices(command::devices::Devices),
    Completions(command::completions::Completions),
    Man(command::completions::Man),
}

impl Cli {
    /// Runs the subcommand.
    pub fn run(self) -> Result<ExitCode, CliError> {
        for library in &self.plugin_lib {
            load_library(library)?;
        }
        let mut out = std::io::stdout().lock();
        let done = |()| ExitCode::SUCCESS;
        let code = match self.command {
            Command::Distill(command) => command.run(&mut out),
            Command::Sweep(command) => command.run(&mut out),
            Command::Report(command) => command.run(&mut out).map(done),
            Command::Eval(command) => command.run(&mut out).map(done),
            Command::Export(command) => command.run(&mut out).map(done),
            Command::Prune(command) => command.run(&mut out),
            Command::Bench(command) => command.run(&mut out).map(done),
            Command::Inspect(command) => command.run(&mut out).map(done),
            Command::Run(command) => command.run(&mut out).map(done),
            Command::Check(command) => command.run(&mut out),
            Command::Plugins(command) => command.run(&mut out).map(done),
            Command::Models(command) => command.run(&mut out).map(done),
            Command::Teachers(command) => command.run(&mut out).map(done),
            Command::Devices(command) => command.run(&mut out).map(done),
            Command::Completions(command) => command.run(Self::command(), &mut out).map(done),
            Command::Man(command) => command.run(Self::command(), &mut out).map(done),
        }?;
        out.flush()?;
        Ok(code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
