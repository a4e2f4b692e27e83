//! How the learning rate moves: the table `[training.schedule]`.

use serde::{Deserialize, Serialize};

use super::{positive, refuse};
use crate::train::error::TrainError;

/// How the learning rate moves; epochs may be fractions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
    Cosine {},
    /// Times `factor` at each milestone.
    MultiStep {
        /// Epochs, ascending.
        milestones: Vec<f64>,
        /// What the rate is multiplied by.
        #[serde(default = "step_factor")]
        factor: f64,
    },
    /// Up along half a cosine to the learning rate, then down to almost 0: Smith and Topin 2018,
    /// PyTorch's `OneCycleLR`.
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

impl Default for ScheduleConfig {
    fn default() -> Self {
        ScheduleConfig::Cosine {}
    }
}

impl ScheduleConfig {
    /// Checks every range.
    ///
    /// # Errors
    /// [`TrainError::Setting`] for the first one that does not hold.
    pub fn check(&self) -> Result<(), TrainError> {
        match self {
            ScheduleConfig::Constant {} | ScheduleConfig::Cosine {} => {}
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_refuses_an_option_that_it_does_not_have() {
        for kind in ["constant", "cosine", "one-cycle", "reduce-on-plateau"] {
            let text = format!("kind = \"{kind}\"\nmilestone = 1\n");
            let error = toml::from_str::<ScheduleConfig>(&text).unwrap_err();
            assert!(error.message().contains("`milestone`"), "{kind}: {error}");
        }
    }
}
