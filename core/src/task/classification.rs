//! A label is one class of several: cross-entropy speaks for it, accuracy judges.

use burn::tensor::activation::softmax;
use burn::tensor::{Int, Tensor};
use serde::{Deserialize, Serialize};

use crate::data::{Batch, DataError, Loader};
use crate::loss::cross_entropy;

/// The name of the loss on the true classes; a method that has several names them `ce-…`.
pub const TERM: &str = "ce";
/// Its formula.
pub const FORMULA: &str = "CE(z_s, y)";

/// Whether a loss term speaks for the true classes.
pub fn is_task_term(name: &str) -> bool {
    name == TERM || name.strip_prefix(TERM).is_some_and(|rest| rest.starts_with('-'))
}

/// The loss on the true classes.
///
/// # Shapes
/// logits: `[batch, classes]`, labels: `[batch]`, result: `[1]`.
pub fn loss(logits: Tensor<2>, labels: Tensor<1, Int>) -> Tensor<1> {
    cross_entropy(logits, labels)
}

/// What a network gets right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// Share of pictures whose true class is the most probable one, in percent.
    pub top1: f64,
    /// Share of pictures whose true class is among the five most probable ones, in percent.
    pub top5: f64,
    /// Mean cross-entropy, in nats.
    pub loss: f64,
    /// Pictures.
    pub samples: usize,
}

/// Counts over batches.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Tally {
    first: usize,
    among_five: usize,
    loss: f64,
    samples: usize,
}

impl Tally {
    /// Adds a batch: logits row by row, and the true classes.
    pub fn add(&mut self, logits: &[f32], labels: &[i64]) {
        let classes = logits.len() / labels.len().max(1);
        for (row, label) in logits.chunks_exact(classes.max(1)).zip(labels) {
            let Some(own) = usize::try_from(*label)
                .ok()
                .and_then(|label| row.get(label))
                .copied()
            else {
                continue;
            };
            // Its own logit is one that is not below. A tie counts against the network, as equal
            // logits are no decision, and so does a NaN.
            let below = row.iter().filter(|logit| **logit < own).count();
            let not_below = row.len() - below;
            self.first += usize::from(not_below == 1);
            self.among_five += usize::from(not_below <= 5);
            let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let sum: f64 = row.iter().map(|logit| f64::from(logit - largest).exp()).sum();
            self.loss += sum.ln() - f64::from(own - largest);
            self.samples += 1;
        }
    }

    /// The shares and the mean so far.
    pub fn evaluation(&self) -> Evaluation {
        let samples = self.samples.max(1) as f64;
        Evaluation {
            top1: 100.0 * self.first as f64 / samples,
            top5: 100.0 * self.among_five as f64 / samples,
            loss: self.loss / samples,
            samples: self.samples,
        }
    }
}

/// Evaluates logits `[batch, classes]` of pictures `[batch, channels, height, width]` over a
/// loader's first epoch.
///
/// # Errors
/// A picture that cannot be read, or what `predict` raises.
pub fn evaluate<E: From<DataError>>(
    loader: &Loader,
    mut predict: impl FnMut(Tensor<4>) -> Result<Tensor<2>, E>,
) -> Result<Evaluation, E> {
    loader.position().set(0, 0);
    let mut tally = Tally::default();
    for batch in loader.iter() {
        let Batch { images, labels, .. } = batch?;
        let logits = predict(images)?;
        tally.add(
            &logits.into_data().iter::<f32>().collect::<Vec<_>>(),
            &labels.into_data().iter::<i64>().collect::<Vec<_>>(),
        );
    }
    Ok(tally.evaluation())
}

/// The logarithm of the mean of the members' probabilities, `[batch, classes]`: logits whose
/// softmax is that mean.
pub(crate) fn mean_of_probabilities(logits: &[Tensor<2>]) -> Tensor<2> {
    let all: Vec<Tensor<2>> = logits.iter().map(|logits| softmax(logits.clone(), 1)).collect();
    let mean = Tensor::stack::<3>(all, 0).mean_dim(0).squeeze_dim::<2>(0);
    mean.clamp_min(f32::MIN_POSITIVE).log()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_and_numbers_that_are_none_count_against_the_network() {
        let mut tally = Tally::default();
        tally.add(&[1.0, 1.0, 0.0, f32::NAN, 1.0, 0.0], &[0, 0]);
        assert_eq!(tally.evaluation().top1, 0.0);
    }

    #[test]
    fn shares_and_loss_follow_from_the_logits() {
        let mut tally = Tally::default();
        // Six classes: right, second, last.
        let rows = [[3.0, 2.0, 1.0, 0.0, -1.0, -2.0]; 3].concat();
        tally.add(&rows, &[0, 1, 5]);
        let evaluation = tally.evaluation();
        assert!((evaluation.top1 - 100.0 / 3.0).abs() < 1e-9);
        assert!((evaluation.top5 - 200.0 / 3.0).abs() < 1e-9);
        // torch.nn.functional.cross_entropy(torch.tensor([[3.,2,1,0,-1,-2]]*3),
        // torch.tensor([0,1,5]))
        assert!(
            (evaluation.loss - 2.456_193_3).abs() < 1e-5,
            "{}",
            evaluation.loss
        );
    }
}
