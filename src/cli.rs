//! The subcommands.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use potstill_core::plugin::load_library;

use crate::error::CliError;

/// Distils a trained teacher network (ONNX) into a compact student (ONNX).
#[derive(Debug, Parser)]
#[command(name = "potstill", version, max_term_width = 110)]
pub struct Cli {
    /// Library of methods to load (`.so`, `.dylib` or `.dll`), for builds with the feature `dynamic`; several times for several libraries.
    #[arg(long, global = true, value_name = "FILE")]
    plugin_lib: Vec<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Distill(Box<crate::distill::Distill>),
    Sweep(Box<crate::sweep::Sweep>),
    Report(crate::report::Report),
    Eval(crate::eval::Eval),
    Export(crate::export::ExportRun),
    Prune(Box<crate::prune::Prune>),
    Bench(crate::bench::Bench),
    Inspect(crate::inspect::Inspect),
    Run(crate::run::Run),
    Check(crate::check::Check),
    Plugins(crate::plugins::Plugins),
    Models(crate::models::Models),
    Teachers(crate::teacher_catalog::Teachers),
    Devices(crate::devices::Devices),
    Completions(crate::completions::Completions),
    Man(crate::completions::Man),
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
