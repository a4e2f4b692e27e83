//! Errors of the command line, and what the process answers with.

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

use potstill_core::data::DataError;
use potstill_core::names::did_you_mean;
use potstill_core::plugin::{LibraryError, PluginError};
use potstill_core::precision::PrecisionError;
use potstill_core::train::TrainError;
use potstill_core::zoo::ZooError;
use potstill_exporters::ExportError;
use potstill_run::RunError;
use potstill_teachers::{ClassifierError, CompiledError};

/// A comparison that was asked for does not hold: `check` disagrees with its record.
pub const DISAGREES: u8 = 1;
/// Bad input, or something that the machine refused: nothing half-written is left.
pub const FAILED: u8 = 2;
/// Stopped by Ctrl-C; a run can be resumed. 128 + SIGINT, as shells expect.
pub const INTERRUPTED: u8 = 130;

/// Why a command did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// Output that cannot be printed.
    #[error("cannot print")]
    Print(#[from] std::io::Error),
    /// A damaged line of a file that a run has written.
    #[error("{path}, line {line}: {reason}")]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it, in the parser's words.
        reason: String,
    },
    /// A plot that the drawing library refuses.
    #[error("cannot draw the plot \"{title}\": {reason}")]
    Drawing {
        /// What it was to show.
        title: String,
        /// What the library says.
        reason: String,
    },
    /// A run of a sweep that cannot be run.
    #[error("{run}")]
    Combination {
        /// The values that it has of the swept keys.
        run: String,
        /// What is wrong with it.
        #[source]
        source: Box<CliError>,
    },
    /// A network without a linear layer, before which features would stand.
    #[error(
        "{path} has no Gemm or MatMul before its logits; name the value that holds its features by --features, as `potstill inspect` lists them"
    )]
    NoFeatures {
        /// The network's file.
        path: PathBuf,
    },
    /// An archive of arrays that cannot be read.
    #[error("{path}: {reason}")]
    Arrays {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// An array that an input needs and the archive lacks.
    #[error("{path} has no array `{name}`{}", did_you_mean(near))]
    NoArray {
        /// The file.
        path: PathBuf,
        /// The input's name.
        name: String,
        /// Arrays that resemble it.
        near: Vec<String>,
    },
    /// A record that the method cannot run on.
    #[error("cannot check against {path}")]
    Record {
        /// The file.
        path: PathBuf,
        /// What it lacks.
        #[source]
        source: PluginError,
    },
    /// A run, or what one is made of: files, data, networks, methods.
    #[error(transparent)]
    Run(#[from] RunError),
    /// A library of methods.
    #[error(transparent)]
    Library(#[from] LibraryError),
}

/// What the libraries below a run refuse is refused in a run's words.
macro_rules! as_in_a_run {
    ($($error:ty),* $(,)?) => {
        $(impl From<$error> for CliError {
            fn from(error: $error) -> Self {
                Self::Run(error.into())
            }
        })*
    };
}

as_in_a_run!(
    ClassifierError,
    CompiledError,
    DataError,
    ExportError,
    PluginError,
    PrecisionError,
    TrainError,
    ZooError,
    toml::ser::Error,
);

impl CliError {
    /// The process's answer.
    pub fn exit_code(&self) -> ExitCode {
        if self.is_closed_pipe() {
            ExitCode::SUCCESS
        } else {
            ExitCode::from(FAILED)
        }
    }

    /// Whether the reader of our output has gone, as `head` does: no error.
    pub fn is_closed_pipe(&self) -> bool {
        matches!(self, CliError::Print(error) if error.kind() == std::io::ErrorKind::BrokenPipe)
    }
}

/// An error with its causes, each after a colon.
pub fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
