//! A step whose numbers are still on the device, and those numbers once they are fetched.

use indexmap::IndexMap;

use super::checkpoint::Partial;
use super::error::TrainError;
use super::evaluation::Tally;
use super::gradient_report::GradientReport;
use super::step::StepReport;

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
pub(super) struct Numbers {
    /// The weighted sum of the terms.
    pub loss: f64,
    /// The terms before weighting; those of one name added.
    pub terms: IndexMap<String, f64>,
    /// Percent of the batch that the first student gets right, where there are logits.
    pub top1: Option<f64>,
    /// The gradient report.
    pub gradients: Option<GradientReport>,
}

impl Pending {
    /// Fetches the numbers, and adds them to those of the epoch.
    ///
    /// # Errors
    /// A term or a sum that is no number.
    pub fn numbers(self, epoch: &mut Partial) -> Result<Numbers, TrainError> {
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
