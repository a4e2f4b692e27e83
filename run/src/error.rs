//! Why a run cannot be planned, opened, carried out or restored.

use std::path::PathBuf;

use potstill_core::data::DataError;
use potstill_core::device::DeviceError;
use potstill_core::graph::GraphError;
use potstill_core::plugin::PluginError;
use potstill_core::precision::PrecisionError;
use potstill_core::train::TrainError;
use potstill_core::zoo::ZooError;
use potstill_exporters::ExportError;
use potstill_teachers::{ClassifierError, CompiledError, DecodeError};

/// Why a run does not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A file that cannot be read or written.
    #[error("cannot {action} {path}")]
    File {
        /// "read" or "write".
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: std::io::Error,
    },
    /// A configuration file that TOML or its types refuse.
    #[error("{path}: {message}")]
    Toml {
        /// The file.
        path: PathBuf,
        /// Where and why, in the parser's words.
        message: String,
    },
    /// A choice that cannot be used.
    #[error("{flag}: `{got}` {reason}")]
    Flag {
        /// Its flag, or its key where it has no flag.
        flag: &'static str,
        /// Its value.
        got: String,
        /// Why not, as what follows the value.
        reason: String,
    },
    /// A configuration that TOML cannot hold.
    #[error("cannot write the configuration as TOML")]
    Configuration(#[from] toml::ser::Error),
    /// An output folder that holds another run.
    #[error("{path} holds another run; choose another --out, or go on with it by --resume")]
    FolderTaken {
        /// The folder.
        path: PathBuf,
    },
    /// A folder without a run.
    #[error("{path} holds no run: {missing} is missing")]
    NoRun {
        /// The folder.
        path: PathBuf,
        /// The file that was looked for.
        missing: &'static str,
    },
    /// An ONNX file that is none, by its name.
    #[error("cannot import {path}")]
    Import {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: DecodeError,
    },
    /// A network that runs and cannot be trained.
    #[error("{path} cannot be a student: {reason}")]
    NoStudent {
        /// Its file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// A student that cannot be written, found before it is trained.
    #[error("--student: the file of `{student}` could not be written after the training")]
    Rehearsal {
        /// Its name.
        student: String,
        /// Why not.
        #[source]
        source: ExportError,
    },
    /// A network that does not run as it stands.
    #[error("cannot run {path}")]
    Network {
        /// Its file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: GraphError,
    },
    /// An entry of an ONNX file's metadata that cannot be used.
    #[error("{path}: metadata `{key}` is `{got}`, expected {expected}")]
    Metadata {
        /// The file.
        path: PathBuf,
        /// The entry's key.
        key: &'static str,
        /// Its value.
        got: String,
        /// What would do.
        expected: &'static str,
    },
    /// A network whose pictures are whitened, without the file that says how.
    #[error(
        "{network} was trained on whitened pictures: the file {path}, which belongs beside it, is missing"
    )]
    NoWhitening {
        /// The network's file.
        network: PathBuf,
        /// What is missing.
        path: PathBuf,
    },
    /// Transforms that give the two splits different shapes.
    #[error(
        "training pictures are {train:?}, test pictures {test:?} [channels, height, width], expected the same; see --dry-run for the transforms"
    )]
    PictureShapes {
        /// Of training pictures.
        train: [usize; 3],
        /// Of test pictures.
        test: [usize; 3],
    },
    /// A device that is not there, or threads that cannot be had.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// A precision that does not exist, or in which the device does not compute.
    #[error(transparent)]
    Precision(#[from] PrecisionError),
    /// The networks' data.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A method.
    #[error(transparent)]
    Plugin(#[from] PluginError),
    /// A compiled teacher.
    #[error(transparent)]
    Compiled(#[from] CompiledError),
    /// A file that is no classifier for the data.
    #[error(transparent)]
    Classifier(#[from] ClassifierError),
    /// A folder in which another process trains.
    #[error("a run is under way in {path}: wait for its end, or choose another folder (--out)")]
    UnderWay {
        /// The folder.
        path: PathBuf,
    },
    /// A network whose answers cannot be judged.
    #[error("{path} gives logits that are no numbers (NaN or infinite) for {broken} of {pictures} pictures")]
    NoNumbers {
        /// Its file.
        path: PathBuf,
        /// Pictures for which it does.
        broken: usize,
        /// Pictures in all.
        pictures: usize,
    },
    /// A student of the zoo.
    #[error(transparent)]
    Zoo(#[from] ZooError),
    /// Training.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// An export.
    #[error(transparent)]
    Export(#[from] ExportError),
}

impl RunError {
    /// A file that cannot be read.
    pub fn read(path: impl Into<PathBuf>, source: std::io::Error) -> Self {
        Self::File {
            action: "read",
            path: path.into(),
            source,
        }
    }

    /// A file that cannot be written.
    pub fn write(path: impl Into<PathBuf>, source: std::io::Error) -> Self {
        Self::File {
            action: "write",
            path: path.into(),
            source,
        }
    }
}
