//! What a user chooses about training: the table `[training]`. Defaults stand here, beside the
//! field, and nowhere else.

mod optimizer;
mod schedule;

use std::path::PathBuf;

use burn_optim::ModuleOptimizer;
use burn_optim::grad_clipping::GradientClippingConfig;
use serde::{Deserialize, Serialize};

pub use self::optimizer::OptimizerConfig;
pub use self::schedule::ScheduleConfig;
use super::error::TrainError;
use crate::precision::Precision;

/// How long, how fast, with what.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct TrainConfig {
    /// Passes over the training data.
    pub epochs: usize,
    /// Pictures in a step.
    pub batch_size: usize,
    /// Stops after so many steps in all.
    pub max_steps: Option<usize>,
    /// The learning rate that the schedule starts from.
    pub learning_rate: f64,
    /// The optimizer.
    pub optimizer: OptimizerConfig,
    /// How the learning rate moves.
    pub schedule: ScheduleConfig,
    /// Epochs over which the learning rate rises linearly to its start.
    pub warmup: f64,
    /// What convolutions round their factors to.
    pub precision: Precision,
    /// Largest Euclidean norm of each tensor's gradient; longer ones are shortened to it.
    pub clip_norm: Option<f64>,
    /// Stops when the validation accuracy has not risen for so many epochs.
    pub early_stopping: Option<usize>,
    /// Keeps a checkpoint of every n-th epoch beside the last and the best.
    pub checkpoint_every: Option<usize>,
    /// Measures each loss term's gradient at every n-th step.
    pub gradient_report: Option<usize>,
    /// Augmented views of each picture that the epochs go through in turn, with the teachers'
    /// outputs for each kept in a file; 0 draws a new view in each epoch and keeps nothing.
    pub teacher_cache: usize,
    /// The folder of these files; `teacher-cache` beside the run folder where not given.
    pub teacher_cache_dir: Option<PathBuf>,
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            epochs: 60,
            batch_size: 64,
            max_steps: None,
            learning_rate: 0.05,
            optimizer: OptimizerConfig::default(),
            schedule: ScheduleConfig::default(),
            warmup: 0.0,
            precision: Precision::default(),
            clip_norm: None,
            early_stopping: None,
            checkpoint_every: None,
            gradient_report: None,
            teacher_cache: 0,
            teacher_cache_dir: None,
        }
    }
}

impl TrainConfig {
    /// Checks every range.
    ///
    /// # Errors
    /// [`TrainError::Setting`] for the first value outside its range.
    pub fn check(&self) -> Result<(), TrainError> {
        if self.epochs == 0 {
            return refuse("epochs", "0", "1 or more");
        }
        if self.batch_size == 0 {
            return refuse("batch-size", "0", "1 or more");
        }
        if self.max_steps == Some(0) {
            return refuse("max-steps", "0", "1 or more");
        }
        if !positive(self.learning_rate) {
            return refuse(
                "learning-rate",
                self.learning_rate.to_string(),
                "a number above 0",
            );
        }
        if !(self.warmup.is_finite() && self.warmup >= 0.0) {
            return refuse("warmup", self.warmup.to_string(), "0 epochs or more");
        }
        if let Some(norm) = self.clip_norm
            && !positive(norm)
        {
            return refuse("clip-norm", norm.to_string(), "a number above 0");
        }
        for (key, count) in [
            ("early-stopping", self.early_stopping),
            ("checkpoint-every", self.checkpoint_every),
        ] {
            if count == Some(0) {
                return refuse(key, "0", "1 epoch or more");
            }
        }
        if self.gradient_report == Some(0) {
            return refuse("gradient-report", "0", "1 step or more");
        }
        self.optimizer.check()?;
        self.schedule.check()
    }

    /// Burn's optimizer.
    pub fn build_optimizer(&self) -> ModuleOptimizer {
        let optimizer = self.optimizer.build();
        match self.clip_norm {
            Some(norm) => optimizer.with_grad_clipping(GradientClippingConfig::Norm(norm as f32).init()),
            None => optimizer,
        }
    }
}

fn refuse(key: &'static str, got: impl Into<String>, expected: &str) -> Result<(), TrainError> {
    Err(TrainError::Setting {
        key,
        got: got.into(),
        expected: expected.to_owned(),
    })
}

fn positive(number: f64) -> bool {
    number.is_finite() && number > 0.0
}
