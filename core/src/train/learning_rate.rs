//! The learning rate of each step, as a Burn scheduler whose state is checkpointed.

use std::sync::{Arc, Mutex, PoisonError};

use burn_optim::LearningRate as Rate;
use burn_optim::lr_scheduler::{LrScheduler, LrSchedulerRecord};

use super::config::{ScheduleConfig, TrainConfig};
use crate::plugin::Stage;
use crate::schedule::Schedule;

/// A scheduler for Burn's optimizers. Clones share the plateau's state: the loop reports accuracies
/// to one, the module scheduler holds another.
#[derive(Clone, Debug)]
pub struct LearningRate {
    start: f64,
    schedule: ScheduleConfig,
    /// A stage's own rate over its epochs.
    own: Option<Schedule>,
    warmup_steps: f64,
    steps_per_epoch: f64,
    total_steps: f64,
    step: usize,
    plateau: Arc<Mutex<Plateau>>,
}

/// How long the validation accuracy has not risen.
#[derive(Clone, Copy, Debug)]
struct Plateau {
    best: f64,
    waited: usize,
    scale: f64,
}

impl LearningRate {
    /// The schedule of a run with so many steps in an epoch.
    pub fn new(config: &TrainConfig, steps_per_epoch: usize) -> Self {
        let steps = steps_per_epoch.max(1) as f64;
        let epochs = steps * config.epochs as f64;
        Self {
            start: config.learning_rate,
            schedule: config.schedule.clone(),
            own: None,
            warmup_steps: config.warmup * steps,
            steps_per_epoch: steps,
            total_steps: config.max_steps.map_or(epochs, |most| epochs.min(most as f64)),
            step: 0,
            plateau: Arc::new(Mutex::new(Plateau {
                best: f64::NEG_INFINITY,
                waited: 0,
                scale: 1.0,
            })),
        }
    }

    /// The rate of a stage before the main one.
    pub fn of_stage(config: &TrainConfig, stage: &Stage, steps_per_epoch: usize) -> Self {
        let config = TrainConfig {
            epochs: stage.epochs,
            max_steps: None,
            ..config.clone()
        };
        Self {
            own: stage.learning_rate.clone(),
            ..Self::new(&config, steps_per_epoch)
        }
    }

    /// The rate at a step of the stage, counted from 0.
    pub fn at(&self, step: usize) -> f64 {
        let step = step as f64;
        if let Some(own) = &self.own {
            return own.at(step / self.steps_per_epoch);
        }
        let scheduled = match &self.schedule {
            ScheduleConfig::Constant {} => self.start,
            ScheduleConfig::Cosine {} => {
                let after = (step - self.warmup_steps).max(0.0);
                let share = (after / (self.total_steps - self.warmup_steps).max(1.0)).min(1.0);
                self.start * half_cosine(share)
            }
            ScheduleConfig::MultiStep { milestones, factor } => {
                let epoch = step / self.steps_per_epoch;
                let passed = milestones.iter().filter(|milestone| epoch >= **milestone).count();
                self.start * factor.powi(passed as i32)
            }
            ScheduleConfig::OneCycle {
                rise,
                start_divisor,
                end_divisor,
            } => {
                let low = self.start / start_divisor;
                let end = low / end_divisor;
                // PyTorch's phases end on whole steps: the peak at rise · total − 1, the end at
                // total − 1.
                let peak = rise * self.total_steps - 1.0;
                if step <= peak {
                    self.start + (low - self.start) * half_cosine(step / peak.max(1.0))
                } else {
                    let share = ((step - peak) / (self.total_steps - 1.0 - peak).max(1.0)).min(1.0);
                    end + (self.start - end) * half_cosine(share)
                }
            }
            ScheduleConfig::ReduceOnPlateau { .. } => self.start * self.plateau().scale,
        };
        let warming = if self.warmup_steps > 0.0 {
            ((step + 1.0) / self.warmup_steps).min(1.0)
        } else {
            1.0
        };
        scheduled * warming
    }

    /// Reports an epoch's validation accuracy; a plateau schedule may lower the rate.
    pub fn report(&self, accuracy: f64) {
        let ScheduleConfig::ReduceOnPlateau { factor, patience } = &self.schedule else {
            return;
        };
        let mut plateau = self.plateau();
        if accuracy > plateau.best {
            plateau.best = accuracy;
            plateau.waited = 0;
        } else {
            plateau.waited += 1;
            if plateau.waited > *patience {
                plateau.scale *= factor;
                plateau.waited = 0;
            }
        }
    }

    fn plateau(&self) -> std::sync::MutexGuard<'_, Plateau> {
        self.plateau.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// From 1 at 0 down to 0 at 1.
fn half_cosine(share: f64) -> f64 {
    0.5 * (1.0 + (std::f64::consts::PI * share).cos())
}

impl LrScheduler for LearningRate {
    fn step(&mut self) -> Rate {
        let rate = self.at(self.step);
        self.step += 1;
        rate
    }

    fn to_record(&self) -> LrSchedulerRecord {
        let plateau = self.plateau();
        LrSchedulerRecord::new()
            .with_scalar("step", self.step as u64)
            .with_scalar("best", plateau.best)
            .with_scalar("waited", plateau.waited as u64)
            .with_scalar("scale", plateau.scale)
    }

    fn load_record(&mut self, record: LrSchedulerRecord) {
        if let Some(step) = record.scalar::<u64>("step") {
            self.step = step as usize;
        }
        let mut plateau = self.plateau();
        if let (Some(best), Some(waited), Some(scale)) = (
            record.scalar::<f64>("best"),
            record.scalar::<u64>("waited"),
            record.scalar::<f64>("scale"),
        ) {
            *plateau = Plateau {
                best,
                waited: waited as usize,
                scale,
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(schedule: ScheduleConfig, epochs: usize, warmup: f64) -> LearningRate {
        let config = TrainConfig {
            learning_rate: 0.1,
            epochs,
            schedule,
            warmup,
            ..TrainConfig::default()
        };
        LearningRate::new(&config, 10)
    }

    #[test]
    fn multi_step_drops_at_its_milestones() {
        let rate = rate(
            ScheduleConfig::MultiStep {
                milestones: vec![1.0, 2.0],
                factor: 0.1,
            },
            3,
            0.0,
        );
        let at: Vec<f64> = [9, 10, 20].into_iter().map(|step| rate.at(step)).collect();
        assert!((at[0] - 0.1).abs() < 1e-12 && (at[1] - 0.01).abs() < 1e-12 && (at[2] - 0.001).abs() < 1e-12);
    }

    #[test]
    fn one_cycle_agrees_with_pytorch() {
        // torch.optim.lr_scheduler.OneCycleLR(SGD(lr=1), max_lr=0.1, total_steps=10), rates before
        // each step.
        let expected = [
            0.004,
            0.052,
            0.1,
            0.095_048_5,
            0.081_174_6,
            0.061_126_2,
            0.038_874_2,
            0.018_825_8,
            0.004_951_9,
            4e-7,
        ];
        let rate = rate(
            ScheduleConfig::OneCycle {
                rise: 0.3,
                start_divisor: 25.0,
                end_divisor: 1e4,
            },
            1,
            0.0,
        );
        for (step, expected) in expected.into_iter().enumerate() {
            assert!(
                (rate.at(step) - expected).abs() < 1e-6,
                "{step}: {} {expected}",
                rate.at(step)
            );
        }
    }

    #[test]
    fn warmup_rises_to_the_start() {
        let rate = rate(ScheduleConfig::Constant {}, 3, 1.0);
        assert!((rate.at(0) - 0.01).abs() < 1e-12);
        assert!((rate.at(9) - 0.1).abs() < 1e-12);
        assert!((rate.at(25) - 0.1).abs() < 1e-12);
    }

    #[test]
    fn a_plateau_lowers_the_rate_after_its_patience() {
        let rate = rate(
            ScheduleConfig::ReduceOnPlateau {
                factor: 0.5,
                patience: 1,
            },
            9,
            0.0,
        );
        for accuracy in [50.0, 49.0, 48.0] {
            rate.report(accuracy);
        }
        assert!((rate.at(0) - 0.05).abs() < 1e-12);
    }

    #[test]
    fn a_record_restores_step_and_plateau() {
        let mut first = rate(
            ScheduleConfig::ReduceOnPlateau {
                factor: 0.5,
                patience: 0,
            },
            9,
            0.0,
        );
        first.step();
        first.report(1.0);
        first.report(1.0);
        let mut second = rate(
            ScheduleConfig::ReduceOnPlateau {
                factor: 0.5,
                patience: 0,
            },
            9,
            0.0,
        );
        second.load_record(first.to_record());
        assert_eq!(second.step, 1);
        assert_eq!(second.step(), first.step());
    }
}
