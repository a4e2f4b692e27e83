//! Accuracy and loss of a network on a data set.

use burn::data::dataloader::DataLoader;
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::TrainError;
use crate::data::{Batch, Loader};

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
            // Its own logit is one that is not below. A tie counts against the network, as equal logits are no decision, and so does a NaN.
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

/// Evaluates logits `[batch, classes]` of pictures `[batch, channels, height, width]` over a loader's first epoch.
///
/// # Errors
/// A picture that cannot be read, or what `predict` raises.
pub fn evaluate<E: From<TrainError>>(
    loader: &Loader,
    mut predict: impl FnMut(Tensor<4>) -> Result<Tensor<2>, E>,
) -> Result<Evaluation, E> {
    loader.position().set(0, 0);
    let mut tally = Tally::default();
    for batch in loader.iter() {
        let Batch { images, labels, .. } = batch.map_err(|error| TrainError::Batch {
            reason: error.to_string(),
        })?;
        let logits = predict(images)?;
        tally.add(
            &logits.into_data().iter::<f32>().collect::<Vec<_>>(),
            &labels.into_data().iter::<i64>().collect::<Vec<_>>(),
        );
    }
    Ok(tally.evaluation())
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
        // torch.nn.functional.cross_entropy(torch.tensor([[3.,2,1,0,-1,-2]]*3), torch.tensor([0,1,5]))
        assert!(
            (evaluation.loss - 2.456_193_3).abs() < 1e-5,
            "{}",
            evaluation.loss
        );
    }
}
