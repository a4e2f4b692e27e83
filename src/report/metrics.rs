//! `metrics.jsonl` read back. Only what every version of the file has is typed; terms, metrics and
//! gradients are maps, so that a number that somebody adds to a run appears in its report without a
//! change here.

use std::path::Path;

use indexmap::IndexMap;
use potstill_run::RunError;
use serde::Deserialize;

use crate::error::CliError;

/// Numbers by their dotted names. JSON has no infinities; a number that was none is `null` in the
/// file.
pub type Numbers = IndexMap<String, Option<f64>>;

/// What a training told of itself.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    /// Epochs that it was to take.
    pub epochs_planned: usize,
    /// Steps of an epoch.
    pub steps_per_epoch: usize,
    /// Its steps.
    pub steps: Vec<StepLine>,
    /// Its finished epochs.
    pub epochs: Vec<EpochLine>,
    /// The step after which it stopped before its end, and why, unless it went on.
    pub stopped: Option<(usize, String)>,
}

/// One step.
#[derive(Clone, Debug, Deserialize)]
pub struct StepLine {
    /// Steps done.
    pub step: usize,
    /// The terms before weighting.
    #[serde(default)]
    pub terms: Numbers,
    /// Norms and cosines of the terms' gradients: `kd.logits.norm`, `ce~kd.parameters.cosine`.
    #[serde(default)]
    pub gradients: Option<Numbers>,
    /// The learning rate.
    #[serde(default)]
    pub learning_rate: Option<f64>,
    /// Pictures per second.
    #[serde(default)]
    pub rate: Option<f64>,
}

/// One finished epoch.
#[derive(Clone, Debug, Deserialize)]
pub struct EpochLine {
    /// The epoch, from 1.
    pub epoch: usize,
    /// Steps done.
    pub step: usize,
    /// `train.loss`, `valid.top1`, …
    #[serde(default)]
    pub metrics: Numbers,
    /// The stage of training that it belongs to.
    #[serde(default)]
    pub stage: Option<String>,
}

#[derive(Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
enum EventLine {
    Start {
        epochs: usize,
        steps_per_epoch: usize,
    },
    Step(StepLine),
    Epoch(EpochLine),
    Stopped {
        step: usize,
        reason: String,
    },
    #[serde(other)]
    Other,
}

impl Metrics {
    /// Reads a file; `None` where there is none yet. A last line without its end is one that is
    /// being written, and left out.
    ///
    /// # Errors
    /// A file that cannot be read, or a line in it that is damaged, by its number.
    pub fn read(path: &Path) -> Result<Option<Self>, CliError> {
        let bytes = match std::fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(source) => {
                return Err(RunError::read(path, source).into());
            }
        };
        let mut metrics = Self::default();
        for (index, line) in bytes.split_inclusive(|byte| *byte == b'\n').enumerate() {
            match serde_json::from_slice(line) {
                Ok(event) => metrics.take(event),
                Err(_) if !line.ends_with(b"\n") => {}
                Err(error) => {
                    return Err(CliError::Line {
                        path: path.to_owned(),
                        line: index + 1,
                        reason: error.to_string(),
                    });
                }
            }
        }
        Ok(Some(metrics))
    }

    fn take(&mut self, event: EventLine) {
        match event {
            EventLine::Start {
                epochs,
                steps_per_epoch,
            } => {
                self.epochs_planned = epochs;
                self.steps_per_epoch = steps_per_epoch;
                self.stopped = None;
            }
            EventLine::Step(step) => self.steps.push(step),
            EventLine::Epoch(epoch) => self.epochs.push(epoch),
            EventLine::Stopped { step, reason } => self.stopped = Some((step, reason)),
            EventLine::Other => {}
        }
    }

    /// The last step that is on record.
    pub fn last_step(&self) -> usize {
        let step = self.steps.last().map_or(0, |step| step.step);
        step.max(self.epochs.last().map_or(0, |epoch| epoch.step))
    }

    /// A metric of the epochs, as (epoch, value).
    pub fn over_epochs(&self, name: &str) -> Vec<(f64, f64)> {
        let value = |epoch: &EpochLine| Some((epoch.epoch as f64, (*epoch.metrics.get(name)?)?));
        self.epochs.iter().filter_map(value).collect()
    }

    /// The names of all metrics, in the order in which they first appear.
    pub fn names(&self) -> Vec<&str> {
        let names = self.epochs.iter().flat_map(|epoch| epoch.metrics.keys());
        let found: indexmap::IndexSet<&str> = names.map(String::as_str).collect();
        found.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Option<Metrics>, CliError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        std::fs::write(&path, text).unwrap();
        Metrics::read(&path)
    }

    const START: &str = r#"{"event":"start","epochs":2,"steps_per_epoch":1,"step":0}"#;
    const STEP: &str =
        r#"{"event":"step","step":1,"epoch":1,"loss":2.5,"terms":{"ce":2.5},"learning_rate":0.1}"#;
    const EPOCH: &str =
        r#"{"event":"epoch","epoch":1,"step":1,"metrics":{"valid.top1":12.5,"valid.x":null},"best":true}"#;

    #[test]
    fn an_unfinished_last_line_is_left_out() {
        let metrics = read(&format!("{START}\n{STEP}\n{}", &STEP[..20]))
            .unwrap()
            .unwrap();
        assert_eq!(metrics.steps.len(), 1);
        assert_eq!(metrics.steps[0].terms["ce"], Some(2.5));
    }

    #[test]
    fn a_damaged_line_in_between_is_named() {
        let error = read(&format!("{START}\n{}\n{EPOCH}\n", &STEP[..20])).unwrap_err();
        let message = error.to_string();
        assert!(message.contains("metrics.jsonl, line 2: "), "{message}");
    }

    #[test]
    fn a_number_that_is_none_and_an_event_of_a_later_version_are_passed_over() {
        let metrics = read(&format!(
            "{START}\n{{\"event\":\"weather\",\"sun\":true}}\n{EPOCH}\n"
        ))
        .unwrap()
        .unwrap();
        assert_eq!(metrics.over_epochs("valid.top1"), [(1.0, 12.5)]);
        assert_eq!(metrics.over_epochs("valid.x"), []);
        assert_eq!(metrics.names(), ["valid.top1", "valid.x"]);
    }

    #[test]
    fn a_run_that_went_on_after_a_stop_is_not_stopped() {
        let stopped = r#"{"event":"stopped","step":1,"reason":"Ctrl-C"}"#;
        let once = format!("{START}\n{STEP}\n{stopped}\n");
        let metrics = read(&once).unwrap().unwrap();
        assert_eq!(metrics.stopped, Some((1, "Ctrl-C".to_owned())));
        let metrics = read(&format!("{once}{START}\n{EPOCH}\n")).unwrap().unwrap();
        assert_eq!(metrics.stopped, None);
        assert_eq!(metrics.last_step(), 1);
    }

    #[test]
    fn a_training_that_has_not_begun_has_no_metrics() {
        assert!(
            Metrics::read(Path::new("nowhere/metrics.jsonl"))
                .unwrap()
                .is_none()
        );
    }
}
