//! What a user chooses about training. Defaults stand here, beside the field, and nowhere else.

use std::path::PathBuf;

use burn_optim::decay::WeightDecayConfig;
use burn_optim::grad_clipping::GradientClippingConfig;
use burn_optim::momentum::MomentumConfig;
use burn_optim::{AdamConfig, AdamWConfig, ModuleOptimizer, SgdConfig};
use serde::{Deserialize, Serialize};

use super::TrainError;
use super::restored::RestoredOnCpu;
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
    /// Augmented views of each picture that the epochs go through in turn, with the teachers' outputs for each kept in a file; 0 draws a new view
    /// in each epoch and keeps nothing.
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

/// The optimizer with its options.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(
    tag = "kind",
    rename_all = "kebab-case",
    rename_all_fields = "kebab-case",
    deny_unknown_fields
)]
pub enum OptimizerConfig {
    /// Stochastic gradient descent.
    Sgd {
        /// Share of the old velocity that remains.
        #[serde(default = "momentum")]
        momentum: f64,
        /// Nesterov's form.
        #[serde(default = "nesterov")]
        nesterov: bool,
        /// Factor on the weights that is added to their gradients.
        #[serde(default = "weight_decay")]
        weight_decay: f32,
    },
    /// Kingma and Ba 2015.
    Adam {
        /// Decay of the first moment.
        #[serde(default = "beta_1")]
        beta1: f32,
        /// Decay of the second moment.
        #[serde(default = "beta_2")]
        beta2: f32,
        /// Factor on the weights that is added to their gradients.
        #[serde(default)]
        weight_decay: f32,
    },
    /// Adam with decoupled decay, Loshchilov and Hutter 2019.
    Adamw {
        /// Decay of the first moment.
        #[serde(default = "beta_1")]
        beta1: f32,
        /// Decay of the second moment.
        #[serde(default = "beta_2")]
        beta2: f32,
        /// Share of the weights, times the learning rate, that is taken off in each step.
        #[serde(default = "decoupled_decay")]
        weight_decay: f32,
    },
}

fn momentum() -> f64 {
    0.9
}
fn nesterov() -> bool {
    true
}
fn weight_decay() -> f32 {
    5e-4
}
fn beta_1() -> f32 {
    0.9
}
fn beta_2() -> f32 {
    0.999
}
fn decoupled_decay() -> f32 {
    1e-2
}

impl Default for OptimizerConfig {
    fn default() -> Self {
        OptimizerConfig::Sgd {
            momentum: momentum(),
            nesterov: nesterov(),
            weight_decay: weight_decay(),
        }
    }
}

/// How the learning rate moves; epochs may be fractions.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
#[serde(
    tag = "kind",
    rename_all = "kebab-case",
    rename_all_fields = "kebab-case",
    deny_unknown_fields
)]
pub enum ScheduleConfig {
    /// Not at all.
    Constant {},
    /// Down along half a cosine to 0, Loshchilov and Hutter 2017.
    #[default]
    Cosine,
    /// Times `factor` at each milestone.
    MultiStep {
        /// Epochs, ascending.
        milestones: Vec<f64>,
        /// What the rate is multiplied by.
        #[serde(default = "step_factor")]
        factor: f64,
    },
    /// Up along half a cosine to the learning rate, then down to almost 0: Smith and Topin 2018, PyTorch's `OneCycleLR`.
    OneCycle {
        /// Share of training in which the rate rises.
        #[serde(default = "rise")]
        rise: f64,
        /// The start is the learning rate divided by this.
        #[serde(default = "start_divisor")]
        start_divisor: f64,
        /// The end is the start divided by this.
        #[serde(default = "end_divisor")]
        end_divisor: f64,
    },
    /// Times `factor` when the validation accuracy has not risen for `patience` epochs.
    ReduceOnPlateau {
        /// What the rate is multiplied by.
        #[serde(default = "step_factor")]
        factor: f64,
        /// Epochs of no rise that are borne.
        #[serde(default = "patience")]
        patience: usize,
    },
}

fn step_factor() -> f64 {
    0.1
}
fn rise() -> f64 {
    0.3
}
fn start_divisor() -> f64 {
    25.0
}
fn end_divisor() -> f64 {
    1e4
}
fn patience() -> usize {
    10
}

impl TrainConfig {
    /// Checks every range.
    ///
    /// # Errors
    /// [`TrainError::Setting`] for the first value outside its range.
    pub fn check(&self) -> Result<(), TrainError> {
        let refuse = |key, got: String, expected: &str| {
            Err(TrainError::Setting {
                key,
                got,
                expected: expected.to_owned(),
            })
        };
        let positive = |x: f64| x.is_finite() && x > 0.0;
        if self.epochs == 0 {
            return refuse("epochs", "0".to_owned(), "1 or more");
        }
        if self.batch_size == 0 {
            return refuse("batch-size", "0".to_owned(), "1 or more");
        }
        if self.max_steps == Some(0) {
            return refuse("max-steps", "0".to_owned(), "1 or more");
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
                return refuse(key, "0".to_owned(), "1 epoch or more");
            }
        }
        if self.gradient_report == Some(0) {
            return refuse("gradient-report", "0".to_owned(), "1 step or more");
        }
        match &self.optimizer {
            OptimizerConfig::Sgd {
                momentum,
                nesterov,
                weight_decay,
            } => {
                if !(0.0..1.0).contains(momentum) {
                    return refuse(
                        "optimizer.momentum",
                        momentum.to_string(),
                        "0 or more and below 1",
                    );
                }
                if *nesterov && *momentum == 0.0 {
                    return refuse(
                        "optimizer.nesterov",
                        "true".to_owned(),
                        "false where momentum is 0",
                    );
                }
                check_decay(*weight_decay)?;
            }
            OptimizerConfig::Adam {
                beta1,
                beta2,
                weight_decay,
            }
            | OptimizerConfig::Adamw {
                beta1,
                beta2,
                weight_decay,
            } => {
                for (key, beta) in [("optimizer.beta1", beta1), ("optimizer.beta2", beta2)] {
                    if !(0.0..1.0).contains(beta) {
                        return refuse(key, beta.to_string(), "0 or more and below 1");
                    }
                }
                check_decay(*weight_decay)?;
            }
        }
        match &self.schedule {
            ScheduleConfig::Constant {} | ScheduleConfig::Cosine => {}
            ScheduleConfig::MultiStep { milestones, factor } => {
                if milestones.is_empty() || !milestones.is_sorted_by(|a, b| a < b) {
                    return refuse(
                        "schedule.milestones",
                        format!("{milestones:?}"),
                        "ascending epochs",
                    );
                }
                if !positive(*factor) {
                    return refuse("schedule.factor", factor.to_string(), "a number above 0");
                }
            }
            ScheduleConfig::OneCycle {
                rise,
                start_divisor,
                end_divisor,
            } => {
                if !(0.0..1.0).contains(rise) {
                    return refuse("schedule.rise", rise.to_string(), "0 or more and below 1");
                }
                if !(positive(*start_divisor) && positive(*end_divisor)) {
                    let got = format!("{start_divisor} and {end_divisor}");
                    return refuse("schedule.start-divisor and end-divisor", got, "numbers above 0");
                }
            }
            ScheduleConfig::ReduceOnPlateau { factor, .. } => {
                if !(positive(*factor) && *factor < 1.0) {
                    return refuse("schedule.factor", factor.to_string(), "above 0 and below 1");
                }
            }
        }
        Ok(())
    }

    /// Refuses an optimizer with momentum or decay of its own beside a plugin that keeps both.
    ///
    /// # Errors
    /// [`TrainError::Setting`].
    pub fn check_plain_sgd(&self, plugin: &str) -> Result<(), TrainError> {
        match &self.optimizer {
            OptimizerConfig::Sgd {
                momentum,
                weight_decay,
                ..
            } if *momentum == 0.0 && *weight_decay == 0.0 => Ok(()),
            other => Err(TrainError::Setting {
                key: "optimizer",
                got: format!("{other:?}"),
                expected: format!(
                    "sgd:momentum=0,nesterov=false,weight-decay=0 beside plugin `{plugin}`, which keeps both itself"
                ),
            }),
        }
    }

    /// Burn's optimizer.
    pub fn build_optimizer(&self) -> ModuleOptimizer {
        let decay = |weight_decay: f32| (weight_decay > 0.0).then(|| WeightDecayConfig::new(weight_decay));
        let optimizer: ModuleOptimizer = match &self.optimizer {
            OptimizerConfig::Sgd {
                momentum,
                nesterov,
                weight_decay,
            } => {
                let momentum = (*momentum > 0.0).then(|| {
                    MomentumConfig::new()
                        .with_momentum(*momentum)
                        .with_dampening(0.0)
                        .with_nesterov(*nesterov)
                });
                let sgd = SgdConfig::new()
                    .with_momentum(momentum)
                    .with_weight_decay(decay(*weight_decay));
                RestoredOnCpu(sgd.build()).into()
            }
            OptimizerConfig::Adam {
                beta1,
                beta2,
                weight_decay,
            } => {
                let adam = AdamConfig::new()
                    .with_beta_1(*beta1)
                    .with_beta_2(*beta2)
                    // PyTorch's default.
                    .with_epsilon(1e-8)
                    .with_weight_decay(decay(*weight_decay));
                RestoredOnCpu(adam.build()).into()
            }
            OptimizerConfig::Adamw {
                beta1,
                beta2,
                weight_decay,
            } => {
                let adamw = AdamWConfig::new()
                    .with_beta_1(*beta1)
                    .with_beta_2(*beta2)
                    .with_epsilon(1e-8)
                    .with_weight_decay(*weight_decay);
                RestoredOnCpu(adamw.build()).into()
            }
        };
        match self.clip_norm {
            Some(norm) => optimizer.with_grad_clipping(GradientClippingConfig::Norm(norm as f32).init()),
            None => optimizer,
        }
    }
}

fn check_decay(weight_decay: f32) -> Result<(), TrainError> {
    if weight_decay.is_finite() && weight_decay >= 0.0 {
        return Ok(());
    }
    Err(TrainError::Setting {
        key: "optimizer.weight-decay",
        got: weight_decay.to_string(),
        expected: "0 or more".to_owned(),
    })
}
