//! The optimizer: the table `[training.optimizer]`.

use burn_optim::decay::WeightDecayConfig;
use burn_optim::momentum::MomentumConfig;
use burn_optim::{AdamConfig, AdamWConfig, ModuleOptimizer, SgdConfig};
use serde::{Deserialize, Serialize};

use super::refuse;
use crate::train::error::TrainError;
use crate::train::restored::RestoredOnCpu;

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

impl OptimizerConfig {
    /// Checks every range.
    ///
    /// # Errors
    /// [`TrainError::Setting`] for the first one that does not hold.
    pub fn check(&self) -> Result<(), TrainError> {
        match self {
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
                    return refuse("optimizer.nesterov", "true", "false where momentum is 0");
                }
                check_decay(*weight_decay)
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
                check_decay(*weight_decay)
            }
        }
    }

    /// Refuses momentum or decay beside a method that keeps both itself.
    ///
    /// # Errors
    /// [`TrainError::Setting`].
    pub fn check_plain_sgd(&self, plugin: &str) -> Result<(), TrainError> {
        match self {
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
    pub fn build(&self) -> ModuleOptimizer {
        let decay = |weight_decay: f32| (weight_decay > 0.0).then(|| WeightDecayConfig::new(weight_decay));
        match self {
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
        }
    }
}

fn check_decay(weight_decay: f32) -> Result<(), TrainError> {
    if weight_decay.is_finite() && weight_decay >= 0.0 {
        return Ok(());
    }
    refuse("optimizer.weight-decay", weight_decay.to_string(), "0 or more")
}
