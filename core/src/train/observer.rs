//! What a run tells to whoever watches it: a progress display, a file of metrics.

use std::path::PathBuf;

use indexmap::IndexMap;
use serde::Serialize;

use super::gradient_report::GradientReport;

/// Something that happened in a run.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// Training begins or goes on.
    Start {
        /// Epochs in all.
        epochs: usize,
        /// Steps in an epoch.
        steps_per_epoch: usize,
        /// Steps that an earlier part of the run has done.
        step: usize,
    },
    /// A step is done.
    Step {
        /// Steps done.
        step: usize,
        /// The epoch, from 1.
        epoch: usize,
        /// Steps done in this epoch.
        step_in_epoch: usize,
        /// The weighted sum of the terms.
        loss: f64,
        /// The terms before weighting.
        terms: IndexMap<String, f64>,
        /// Accuracy on the batch, in percent; none in a stage without logits.
        #[serde(skip_serializing_if = "Option::is_none")]
        top1: Option<f64>,
        /// The learning rate.
        learning_rate: f64,
        /// Pictures per second, since the last such event.
        rate: f64,
        /// How strongly each term pulls, where this step was looked at: `kd.logits.norm`,
        /// `ce~kd.parameters.cosine`.
        #[serde(skip_serializing_if = "Option::is_none")]
        gradients: Option<GradientReport>,
    },
    /// An epoch is done and evaluated.
    Epoch {
        /// The epoch, from 1.
        epoch: usize,
        /// Steps done.
        step: usize,
        /// The stage before the main one that it belongs to.
        #[serde(skip_serializing_if = "Option::is_none")]
        stage: Option<String>,
        /// `train.loss`, `train.top1`, `valid.top1`, `valid.loss`, …
        metrics: IndexMap<String, f64>,
        /// Whether the validation accuracy is the best so far.
        best: bool,
    },
    /// A checkpoint is on the disk.
    Checkpoint {
        /// Steps done.
        step: usize,
    },
    /// What a file of teacher outputs holds when training begins or goes on.
    TeacherCache {
        /// The file.
        file: PathBuf,
        /// Views of pictures whose outputs are there.
        held: usize,
        /// Views of pictures in all.
        of: usize,
        /// The file's length.
        bytes: u64,
    },
    /// A file of teacher outputs, or a part of it, is computed again; the first reason alone is
    /// told.
    TeacherCacheFault {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Where teacher outputs came from, at the end.
    TeacherOutputs {
        /// The file.
        file: PathBuf,
        /// Pictures whose outputs were there.
        read: usize,
        /// Pictures whose outputs were computed.
        computed: usize,
    },
    /// Training ends before its last epoch, and why.
    Stopped {
        /// Steps done.
        step: usize,
        /// The reason, as a sentence's end.
        reason: String,
    },
}

/// Somebody who watches.
pub trait Observer {
    /// Is told that a training begins, where a run has several: `alone`, then `distilled`.
    fn begins(&mut self, _training: &str) {}

    /// Is told what happened, in order.
    fn observe(&mut self, event: &Event);
}

/// Nobody who watches.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Observer for Silent {
    fn observe(&mut self, _event: &Event) {}
}
