//! What several classifiers get right, each by itself and together, and how far they are apart.

use std::ops::Range;

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::classification::{Evaluation, Tally};
use crate::data::{Batch, DataError, Loader};

/// Which of a cohort's members is the run's result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Chosen {
    /// This one.
    Member(usize),
    /// The one with the highest validation accuracy.
    Best,
    /// All together.
    Ensemble,
}

impl Default for Chosen {
    fn default() -> Self {
        Self::Member(0)
    }
}

/// What the members of a cohort say about pictures.
#[derive(Clone, Debug)]
pub struct Predictions {
    /// The logits of each member, `[batch, classes]`.
    pub members: Vec<Tensor<2>>,
    /// Those of all together, where there are several.
    pub ensemble: Option<Tensor<2>>,
}

/// What one member of a cohort gets right.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MemberEvaluation {
    /// `student`, `peer0`, `branch2`, `leader`.
    pub name: String,
    /// Its accuracy and loss.
    pub evaluation: Evaluation,
    /// Mean entropy of its predictions, in nats: −Σ_c p_c log p_c.
    pub entropy: f64,
}

/// What a cohort gets right, each by itself and together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CohortEvaluation {
    /// Every member, in order.
    pub members: Vec<MemberEvaluation>,
    /// All together, where there are several.
    pub ensemble: Option<Evaluation>,
    /// Mean over pairs of peers and samples of the Euclidean distance between probability vectors:
    /// Chen et al. 2020, section 4.4.
    pub diversity: Option<f64>,
    /// Whose result is the run's: a member's number, or the ensemble.
    pub chosen: Chosen,
}

impl CohortEvaluation {
    /// The run's result.
    pub fn result(&self) -> Evaluation {
        let member = |index: usize| self.members.get(index).map(|member| member.evaluation);
        match self.chosen {
            Chosen::Ensemble => self.ensemble.or(member(0)),
            Chosen::Member(index) => member(index),
            Chosen::Best => member(self.best_member()),
        }
        .unwrap_or_default()
    }

    /// Makes another member's result the run's.
    pub fn choose(&mut self, chosen: Chosen) {
        self.chosen = match chosen {
            Chosen::Best => Chosen::Member(self.best_member()),
            other => other,
        };
    }

    fn best_member(&self) -> usize {
        let top1 = |index: usize| self.members[index].evaluation.top1;
        (1..self.members.len()).fold(
            0,
            |best, index| if top1(index) > top1(best) { index } else { best },
        )
    }

    /// By name, as metrics: `valid.top1` is the result's, `valid.peer0.top1` a member's, where
    /// there are several.
    pub fn metrics(&self) -> impl Iterator<Item = (String, f64)> {
        let result = self.result();
        let mut metrics = vec![
            ("valid.loss".to_owned(), result.loss),
            ("valid.top1".to_owned(), result.top1),
            ("valid.top5".to_owned(), result.top5),
        ];
        if let Some(ensemble) = self.ensemble {
            for member in &self.members {
                metrics.push((format!("valid.{}.top1", member.name), member.evaluation.top1));
                metrics.push((format!("valid.{}.entropy", member.name), member.entropy));
            }
            metrics.push(("valid.ensemble.top1".to_owned(), ensemble.top1));
        }
        metrics.extend(
            self.diversity
                .map(|diversity| ("valid.diversity".to_owned(), diversity)),
        );
        metrics.into_iter()
    }
}

/// Counts over batches of a whole cohort.
#[derive(Debug)]
struct CohortTally {
    members: Vec<(Tally, f64)>,
    ensemble: Option<Tally>,
    peers: Range<usize>,
    distance: f64,
    samples: usize,
}

impl CohortTally {
    fn new(members: usize, peers: Range<usize>) -> Self {
        Self {
            members: vec![(Tally::default(), 0.0); members],
            ensemble: (members > 1).then(Tally::default),
            peers,
            distance: 0.0,
            samples: 0,
        }
    }

    /// Adds a batch: each member's logits row by row, the ensemble's, and the true classes.
    fn add(&mut self, members: &[Vec<f32>], ensemble: Option<&[f32]>, labels: &[i64]) {
        for ((tally, _), logits) in self.members.iter_mut().zip(members) {
            tally.add(logits, labels);
        }
        if let (Some(tally), Some(logits)) = (&mut self.ensemble, ensemble) {
            tally.add(logits, labels);
        }
        if members.len() > 1 {
            let classes = members[0].len() / labels.len().max(1);
            let probabilities: Vec<Vec<f64>> =
                members.iter().map(|logits| softmax(logits, classes)).collect();
            for ((_, entropy), probabilities) in self.members.iter_mut().zip(&probabilities) {
                let plogp = |p: &f64| if *p > 0.0 { -p * p.ln() } else { 0.0 };
                *entropy += probabilities.iter().map(plogp).sum::<f64>();
            }
            let peers = &probabilities[self.peers.clone()];
            for (index, a) in peers.iter().enumerate() {
                for b in &peers[index + 1..] {
                    let rows = a.chunks_exact(classes.max(1)).zip(b.chunks_exact(classes.max(1)));
                    let square = |(a, b): (&f64, &f64)| (a - b) * (a - b);
                    self.distance += rows
                        .map(|(a, b)| a.iter().zip(b).map(square).sum::<f64>().sqrt())
                        .sum::<f64>();
                }
            }
        }
        self.samples += labels.len();
    }

    fn evaluation(self, names: &[String], chosen: Chosen) -> CohortEvaluation {
        let samples = self.samples.max(1) as f64;
        let pairs = self.peers.len() * self.peers.len().saturating_sub(1) / 2;
        let members = names
            .iter()
            .zip(&self.members)
            .map(|(name, (tally, entropy))| MemberEvaluation {
                name: name.clone(),
                evaluation: tally.evaluation(),
                entropy: entropy / samples,
            });
        let mut evaluation = CohortEvaluation {
            members: members.collect(),
            ensemble: self.ensemble.map(|tally| tally.evaluation()),
            diversity: (pairs > 0).then(|| self.distance / (samples * pairs as f64)),
            chosen,
        };
        evaluation.choose(chosen);
        evaluation
    }
}

fn softmax(logits: &[f32], classes: usize) -> Vec<f64> {
    let row = |row: &[f32]| {
        let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let exponentials: Vec<f64> = row.iter().map(|logit| f64::from(logit - largest).exp()).collect();
        let sum: f64 = exponentials.iter().sum();
        exponentials.into_iter().map(move |e| e / sum)
    };
    logits.chunks_exact(classes.max(1)).flat_map(row).collect()
}

/// Evaluates what the members called `names` predict for pictures `[batch, channels, height,
/// width]` over a loader's first epoch.
///
/// # Errors
/// A picture that cannot be read, or what `predict` raises.
pub fn evaluate_cohort<E: From<DataError>>(
    loader: &Loader,
    names: &[String],
    peers: Range<usize>,
    chosen: Chosen,
    mut predict: impl FnMut(Tensor<4>) -> Result<Predictions, E>,
) -> Result<CohortEvaluation, E> {
    loader.position().set(0, 0);
    let mut tally = CohortTally::new(names.len(), peers);
    let floats = |tensor: Tensor<2>| tensor.into_data().iter::<f32>().collect::<Vec<_>>();
    for batch in loader.iter() {
        let Batch { images, labels, .. } = batch?;
        let Predictions { members, ensemble } = predict(images)?;
        let members: Vec<Vec<f32>> = members.into_iter().map(floats).collect();
        let labels: Vec<i64> = labels.into_data().iter().collect();
        tally.add(&members, ensemble.map(floats).as_deref(), &labels);
    }
    Ok(tally.evaluation(names, chosen))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cohort_is_measured_member_by_member_and_together() {
        let mut tally = CohortTally::new(3, 0..2);
        let peer = vec![2.0, 0.0, 0.0, 1.0];
        let other = vec![0.0, 1.0, 0.0, 1.0];
        tally.add(
            &[peer.clone(), other, vec![0.0, 3.0, 3.0, 0.0]],
            Some(&peer),
            &[0, 1],
        );
        let names = ["peer0", "peer1", "leader"].map(str::to_owned);
        let evaluation = tally.evaluation(&names, Chosen::Best);
        assert_eq!(evaluation.chosen, Chosen::Member(0));
        assert_eq!(evaluation.result().top1, 100.0);
        assert_eq!(evaluation.members[2].evaluation.top1, 0.0);
        // p = softmax of the rows above in numpy: np.linalg.norm(p0 - p1, axis=1).mean() over the
        // two peers, and -(p * np.log(p)).sum(1).mean().
        assert!(
            (evaluation.diversity.unwrap() - 0.432_647_28).abs() < 1e-6,
            "{evaluation:?}"
        );
        assert!(
            (evaluation.members[0].entropy - 0.473_768_48).abs() < 1e-6,
            "{evaluation:?}"
        );
    }
}
