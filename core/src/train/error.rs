//! Why training stops before its end.

use std::path::PathBuf;

use crate::data::DataError;
use crate::graph::GraphError;
use crate::plugin::PluginError;
use crate::precision::PrecisionError;

/// Why a run cannot start, go on or resume.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// A setting outside its range.
    #[error("`{key}` is {got}, expected {expected}")]
    Setting {
        /// The setting's key.
        key: &'static str,
        /// Its value.
        got: String,
        /// What would do.
        expected: String,
    },
    /// A loss that is no number any more.
    #[error(
        "loss term `{term}` is {value} at step {step}; a smaller learning rate or gradient clipping may help"
    )]
    NotFinite {
        /// The first term that is not finite.
        term: String,
        /// Its value.
        value: f32,
        /// The step, counted from 1.
        step: usize,
    },
    /// A checkpoint or a file of teacher outputs that cannot be written.
    #[error("cannot write {path}")]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: std::io::Error,
    },
    /// A file of teacher outputs that cannot be opened.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: std::io::Error,
    },
    /// Files of teacher outputs that the disk cannot hold.
    #[error(
        "teacher-cache: the outputs need {needed} bytes in {folder}, where {free} are free; fewer views or another teacher-cache-dir would do"
    )]
    CacheSpace {
        /// Their folder.
        folder: PathBuf,
        /// Bytes once every view has come.
        needed: u64,
        /// Bytes that are left.
        free: u64,
    },
    /// A teacher's value that a file of outputs cannot keep.
    #[error("teacher-cache: the teacher's value `{value}` has not one row of floats for each picture")]
    CacheValue {
        /// Its name.
        value: String,
    },
    /// A teacher's value that is too large for half precision.
    #[error(
        "teacher-cache: the teacher's value `{value}` reaches {got}, and the file holds 65504 at most; train without the cache"
    )]
    CacheRange {
        /// Its name.
        value: String,
        /// The number.
        got: f32,
    },
    /// A batch whose pictures are not those that a file of outputs was made for.
    #[error(
        "batch {batch} of epoch {epoch} has no place in the teacher cache: expected pictures below {samples} with checksums, in views below {views}"
    )]
    CacheBatch {
        /// The epoch, from 0.
        epoch: usize,
        /// The batch, from 0.
        batch: usize,
        /// Views that the file has.
        views: usize,
        /// Pictures that the file has.
        samples: usize,
    },
    /// A checkpoint that cannot be read.
    #[error("cannot load the checkpoint {path}: {reason}")]
    Checkpoint {
        /// The file or folder.
        path: PathBuf,
        /// What is missing or damaged.
        reason: String,
    },
    /// A step that lacks a part.
    #[error("the step failed: {reason}")]
    Step {
        /// What is missing.
        reason: String,
    },
    /// An image that cannot be read.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A precision in which the device does not compute.
    #[error(transparent)]
    Precision(#[from] PrecisionError),
    /// A network that does not run.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// A plugin that refuses.
    #[error(transparent)]
    Plugin(#[from] PluginError),
}
