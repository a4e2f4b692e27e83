//! Steps whose numbers are still on the device, and those numbers once they are fetched.

use std::time::Instant;

use burn::tensor::Device;
use indexmap::IndexMap;

use super::checkpoint::{Partial, State};
use super::error::TrainError;
use super::gradient_report::GradientReport;
use super::observer::{Event, Observer};
use super::step::StepReport;
use crate::task::classification::Tally;

/// Steps whose numbers are fetched from a GPU in one go; the CPU's are there at once.
const FETCH_EVERY: usize = 16;

/// A step whose numbers are still on the device.
pub(super) struct Pending {
    /// The step, from 1.
    pub step: usize,
    /// Its learning rate.
    pub learning_rate: f64,
    /// What it gave.
    pub report: StepReport,
    /// Its gradient report, where it has one.
    pub gradients: Option<GradientReport>,
}

/// The numbers of one step.
struct Numbers {
    /// The weighted sum of the terms.
    loss: f64,
    /// The terms before weighting; those of one name added.
    terms: IndexMap<String, f64>,
    /// Percent of the batch that the first student gets right, where there are logits.
    top1: Option<f64>,
    /// The gradient report.
    gradients: Option<GradientReport>,
}

impl Pending {
    /// Fetches the numbers, and adds them to those of the epoch.
    ///
    /// # Errors
    /// A term or a sum that is no number.
    fn numbers(self, epoch: &mut Partial) -> Result<Numbers, TrainError> {
        let StepReport {
            loss,
            terms,
            logits,
            labels,
        } = self.report;
        let finite = |term: &str, value: f32| {
            if value.is_finite() {
                return Ok(f64::from(value));
            }
            Err(TrainError::NotFinite {
                term: term.to_owned(),
                value,
                step: self.step,
            })
        };
        let mut values: IndexMap<String, f64> = IndexMap::new();
        for term in terms {
            let value = finite(term.name, term.value.into_scalar::<f32>())?;
            *values.entry(term.name.to_owned()).or_default() += value;
        }
        let loss = finite("total", loss.into_scalar::<f32>())?;
        let labels: Vec<i64> = labels.into_data().iter().collect();
        let count = labels.len() as f64;
        epoch.loss += loss * count;
        epoch.samples += labels.len();
        for (name, value) in &values {
            *epoch.terms.entry(name.clone()).or_default() += value * count;
        }
        let top1 = logits.map(|logits| {
            let logits: Vec<f32> = logits.into_data().iter().collect();
            let mut tally = Tally::default();
            tally.add(&logits, &labels);
            epoch.tally.add(&logits, &labels);
            tally.evaluation().top1
        });
        Ok(Numbers {
            loss,
            terms: values,
            top1,
            gradients: self.gradients,
        })
    }
}

/// The steps whose numbers are still on the device.
pub(super) struct Unread {
    pending: Vec<Pending>,
    every: usize,
    /// When numbers were last fetched.
    since: Instant,
}

impl Unread {
    /// None yet.
    pub fn new(device: &Device) -> Self {
        Self {
            pending: Vec::new(),
            every: if *device == Device::flex() { 1 } else { FETCH_EVERY },
            since: Instant::now(),
        }
    }

    /// Adds a step.
    pub fn push(&mut self, step: Pending) {
        self.pending.push(step);
    }

    /// Whether it is time to fetch.
    pub fn is_due(&self) -> bool {
        self.pending.len() >= self.every
    }

    /// Starts the clock of the rate anew.
    pub fn restart(&mut self) {
        self.since = Instant::now();
    }

    /// Reads the steps' numbers and tells them; the first one that is none stops the run.
    ///
    /// # Errors
    /// As [`Pending::numbers`].
    pub fn fetch(&mut self, state: &mut State, observer: &mut dyn Observer) -> Result<(), TrainError> {
        let pending = std::mem::take(&mut self.pending);
        let pictures: usize = pending.iter().map(|step| step.report.labels.dims()[0]).sum();
        let rate = pictures as f64 / self.since.elapsed().as_secs_f64().max(1e-9);
        self.restart();
        let newest = pending.len();
        for (index, pending) in pending.into_iter().enumerate() {
            let (step, learning_rate) = (pending.step, pending.learning_rate);
            let Numbers {
                loss,
                terms,
                top1,
                gradients,
            } = pending.numbers(&mut state.partial)?;
            observer.observe(&Event::Step {
                step,
                epoch: state.epoch + 1,
                step_in_epoch: state.batch + index + 1 - newest,
                loss,
                terms,
                top1,
                learning_rate,
                rate,
                gradients,
            });
        }
        Ok(())
    }
}
