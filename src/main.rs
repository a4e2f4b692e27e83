//! The `potstill` command: parse, run, turn the result into an exit code.

mod balance;
mod cli;
mod command;
mod comparison;
mod dry_run;
mod error;
mod flags;
mod progress;
mod report;
mod sweep;
mod table;
mod training;

// The teachers that POTSTILL_TEACHERS named when this program was built. Without a mention, a crate
// of nothing but registrations may not be linked at all.
#[cfg(feature = "compiled-teachers")]
use potstill_compiled as _;
// Links the core as the shared library that methods loaded at run time link as well.
#[cfg(feature = "dynamic")]
use potstill_dylib as _;

use std::process::ExitCode;

use clap::Parser;
use potstill_core::device::keep_freed_memory;

// Methods loaded at run time free buffers of this program by the system's own allocator.
#[cfg(not(feature = "dynamic"))]
#[global_allocator]
static MEMORY: potstill_core::device::Aligned = potstill_core::device::Aligned;

fn main() -> ExitCode {
    keep_freed_memory();
    let cli = cli::Cli::parse();
    match cli.run() {
        Ok(code) => code,
        Err(error) => {
            if !error.is_closed_pipe() {
                eprintln!("error: {}", error::with_causes(&error));
            }
            error.exit_code()
        }
    }
}
