//! What the folder of a run says about it.

use std::path::{Path, PathBuf};

use potstill_run::{RunConfig, RunError, RunFolder};
use serde::Deserialize;

use super::metrics::Metrics;
use crate::error::CliError;

/// A run as its files tell it.
#[derive(Clone, Debug)]
pub struct Record {
    /// Its folder.
    pub folder: PathBuf,
    /// What decides it.
    pub config: RunConfig,
    /// What it told, if it has begun.
    pub metrics: Option<Metrics>,
    /// What the training without teacher told, if there was one.
    pub alone: Option<Metrics>,
    /// The rows of the closing table; empty before the run's end.
    pub networks: Vec<Network>,
}

/// A row of `result.json`; a number that a row lacks stays empty.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Network {
    /// Its name, with its part in the run: `teacher FILE`, `resnet8 alone`, `resnet8 distilled`.
    pub network: String,
    /// Accuracy in percent.
    pub top1: Option<f64>,
    /// Elements of the trained tensors.
    pub parameters: Option<u64>,
    /// For one picture.
    pub multiply_adds: Option<u64>,
    /// Of the ONNX file.
    pub file_bytes: Option<u64>,
    /// Training time.
    pub seconds: Option<f64>,
}

/// How a run stands.
#[derive(Clone, Debug, PartialEq)]
pub enum Ending {
    /// All of its steps are done.
    Finished,
    /// It ended after an epoch, for a reason of its own.
    StoppedEarly {
        /// The last step.
        step: usize,
        /// Why.
        reason: String,
    },
    /// Somebody ended it within an epoch.
    Interrupted {
        /// The last step.
        step: usize,
        /// By what.
        reason: String,
    },
    /// It is under way, or has ended without a word.
    Unfinished {
        /// The last step on record.
        step: usize,
        /// The steps that were planned.
        planned: usize,
    },
}

impl Record {
    /// Reads a run's folder.
    ///
    /// # Errors
    /// A folder without a run, a file in it that cannot be read or is damaged.
    pub fn read(folder: &Path) -> Result<Self, CliError> {
        let (_, config) = RunFolder::existing(folder)?;
        Ok(Self {
            folder: folder.to_owned(),
            config,
            metrics: Metrics::read(&folder.join("metrics.jsonl"))?,
            alone: Metrics::read(&folder.join("alone").join("metrics.jsonl"))?,
            networks: networks(&folder.join("result.json"))?,
        })
    }

    /// How the run stands.
    pub fn ending(&self) -> Ending {
        let Some(metrics) = &self.metrics else {
            return Ending::Unfinished { step: 0, planned: 0 };
        };
        let step = metrics.last_step();
        let evaluated = metrics.epochs.last().map_or(0, |epoch| epoch.step);
        if let Some((step, reason)) = &metrics.stopped {
            let (step, reason) = (*step, reason.clone());
            // Early stopping looks between epochs; an interruption comes after a step that no
            // evaluation has followed.
            return if step == evaluated {
                Ending::StoppedEarly { step, reason }
            } else {
                Ending::Interrupted { step, reason }
            };
        }
        let epochs = metrics.epochs.last().map_or(0, |epoch| epoch.epoch);
        let most = self.config.training.max_steps;
        if epochs > 0 && epochs >= metrics.epochs_planned || most.is_some_and(|most| evaluated >= most) {
            return Ending::Finished;
        }
        let planned = metrics.epochs_planned * metrics.steps_per_epoch;
        Ending::Unfinished {
            step,
            planned: most.map_or(planned, |most| planned.min(most)),
        }
    }

    /// Seconds that the training took; that of the student alone comes before it in the table.
    pub fn seconds(&self) -> Option<f64> {
        self.networks.iter().rev().find_map(|row| row.seconds)
    }
}

impl Network {
    /// Whether the row is a teacher's.
    pub fn is_teacher(&self) -> bool {
        self.network.starts_with("teacher ")
    }
}

fn networks(path: &Path) -> Result<Vec<Network>, CliError> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => {
            return Err(RunError::read(path, source).into());
        }
    };
    serde_json::from_slice(&bytes).map_err(|error| CliError::Line {
        path: path.to_owned(),
        line: error.line(),
        reason: error.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// A folder of a run of two epochs with these lines of metrics.
    fn ending(lines: &[&str]) -> Ending {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("run.toml"), "[training]\nepochs = 2\n").unwrap();
        if !lines.is_empty() {
            fs::write(folder.path().join("metrics.jsonl"), lines.join("\n") + "\n").unwrap();
        }
        Record::read(folder.path()).unwrap().ending()
    }

    const START: &str = r#"{"event":"start","epochs":2,"steps_per_epoch":3,"step":0}"#;
    const FIRST: &str = r#"{"event":"epoch","epoch":1,"step":3,"metrics":{}}"#;
    const SECOND: &str = r#"{"event":"epoch","epoch":2,"step":6,"metrics":{}}"#;

    #[test]
    fn a_run_is_finished_with_its_last_epoch() {
        assert_eq!(ending(&[START, FIRST, SECOND]), Ending::Finished);
        assert_eq!(
            ending(&[START, FIRST]),
            Ending::Unfinished { step: 3, planned: 6 }
        );
        assert_eq!(ending(&[]), Ending::Unfinished { step: 0, planned: 0 });
    }

    #[test]
    fn a_stop_between_epochs_is_early_and_one_within_an_interruption() {
        let stopped = |step| format!(r#"{{"event":"stopped","step":{step},"reason":"why"}}"#);
        let reason = "why".to_owned();
        assert_eq!(
            ending(&[START, FIRST, &stopped(3)]),
            Ending::StoppedEarly {
                step: 3,
                reason: reason.clone()
            }
        );
        assert_eq!(
            ending(&[START, FIRST, &stopped(4)]),
            Ending::Interrupted { step: 4, reason }
        );
    }
}
