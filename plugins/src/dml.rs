//! Deep mutual learning. Y. Zhang, T. Xiang, T. M. Hospedales, H. Lu: "Deep Mutual Learning", 2018
//! (arXiv 1706.00384), equations 6 and 7.
//!
//! m networks from scratch, no teacher: L_k = CE(z_k, y) + 1/(m − 1) Σ_{l≠k} KL(p_l ‖ p_k), z:
//! `[batch, classes]`; with `target = ensemble` one KL towards the mean of the others'
//! probabilities instead (the paper's DML_e). `update = alternating` is its algorithm 1.
//!
//! Departures: none by default. The code beside OKDDip averages the others' *logits* at T = 3 and
//! lets the gradient through:
//! `target=mean-logits,temperature=3,detach-target=false,target-eps=1e-7`. T and its factor T² are
//! not in the paper, where T = 1.

use burn::tensor::activation::softmax;
use burn::tensor::{Int, Tensor};
use potstill_core::loss::{cross_entropy, soft_target_loss, soft_targets};
use potstill_core::options;
use potstill_core::plugin::{
    Chosen, Cohort, Options, Paper, Plan, Plugin, PluginEntry, PluginError, Prepared, Recorded, Step,
    Structure, Term, Turns,
};
use potstill_core::schedule::Schedule;
use serde::{Deserialize, Serialize};

/// What a peer learns from the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    /// Each of the others by itself, equation 7.
    Peers,
    /// The mean of their probabilities, DML_e.
    Ensemble,
    /// The probabilities of their mean logits, as the code beside OKDDip has it.
    MeanLogits,
}

/// When the peers are updated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UpdateOrder {
    /// All in one step.
    Simultaneous,
    /// One after the other, predictions refreshed in between: algorithm 1.
    Alternating,
}

options! {
    /// Deep mutual learning.
    pub struct Dml for "dml", check Dml::check_peers {
        /// m, 2 or more; 0: as many as students are named, 2 where it is one
        peers: usize = 0;
        /// T; 1 in the paper
        temperature: f64 = 1.0, in above(0.0);
        /// weight of the mutual term; a number or a schedule
        weight: Schedule = Schedule::Constant(1.0), in 0.0..;
        /// peers, ensemble (mean of their probabilities) or mean-logits (as OKDDip's code)
        target: Target = Target::Peers;
        /// simultaneous, or alternating: peer after peer, predictions refreshed in between
        update: UpdateOrder = UpdateOrder::Simultaneous;
        /// whether the gradient stops at the target
        detach_target: bool = true;
        /// added to the target's probabilities; reference code has 1e-7
        target_eps: f64 = 0.0, in 0.0..;
    }
}

impl Dml {
    /// Refuses a single peer.
    fn check_peers(&self) -> Result<(), PluginError> {
        if self.peers == 1 {
            return Err(PluginError::bad_value(
                Self::PLUGIN,
                "peers",
                1,
                "2 or more, or 0 for as many as students are named",
            ));
        }
        Ok(())
    }

    /// The terms of the peers that `counts`.
    fn terms(
        &self,
        peers: &[Tensor<2>],
        labels: &Tensor<1, Int>,
        epoch: f64,
        counts: impl Fn(usize) -> bool,
    ) -> Vec<Term> {
        let weight = self.weight.at(epoch);
        let mut terms = Vec::with_capacity(2 * peers.len());
        for (index, peer) in peers.iter().enumerate().filter(|(index, _)| counts(*index)) {
            let others: Vec<Tensor<2>> = peers
                .iter()
                .enumerate()
                .filter(|(other, _)| *other != index)
                .map(|(_, logits)| logits.clone())
                .collect();
            terms.push(Term {
                name: "ce",
                value: cross_entropy(peer.clone(), labels.clone()),
                weight: 1.0,
            });
            terms.push(Term {
                name: "kl",
                value: self.mutual(peer.clone(), others),
                weight,
            });
        }
        terms
    }

    fn mutual(&self, peer: Tensor<2>, others: Vec<Tensor<2>>) -> Tensor<1> {
        let Self {
            temperature,
            target_eps,
            ..
        } = *self;
        let count = others.len().max(1) as f64;
        let learn = |log_target: Tensor<2>| {
            let log_target = if self.detach_target {
                log_target.detach()
            } else {
                log_target
            };
            soft_target_loss(peer.clone(), log_target, temperature)
        };
        let zero = || peer.clone().sum().mul_scalar(0.0);
        match self.target {
            Target::Peers => others
                .into_iter()
                .map(|other| learn(soft_targets(other, temperature, target_eps)))
                .reduce(|sum, next| sum + next)
                .map_or_else(zero, |sum| sum / count),
            Target::Ensemble => others
                .into_iter()
                .map(|other| softmax(other / temperature, 1))
                .reduce(|sum, next| sum + next)
                .map_or_else(zero, |sum| {
                    let mean = sum / count + target_eps;
                    learn(mean.clamp_min(f32::MIN_POSITIVE).log())
                }),
            Target::MeanLogits => others
                .into_iter()
                .reduce(|sum, next| sum + next)
                .map_or_else(zero, |sum| {
                    learn(soft_targets(sum / count, temperature, target_eps))
                }),
        }
    }
}

impl Plugin for Dml {
    fn name(&self) -> &'static str {
        Self::PLUGIN
    }

    fn cohort(&self) -> Option<Cohort> {
        Some(Cohort {
            structure: Structure::Networks { members: self.peers },
            leader: false,
        })
    }

    fn prepare(&self, plan: &mut Plan<'_>) -> Result<Box<dyn Prepared>, PluginError> {
        plan.brings_task_term();
        plan.declare_term("ce", "Σ_k CE(z_k, y)");
        plan.declare_term(
            "kl",
            match self.target {
                Target::Peers => "w · Σ_k 1/(m − 1) Σ_{l≠k} T² · KL(p_l^T ‖ p_k^T)",
                Target::Ensemble => "w · Σ_k T² · KL(mean_{l≠k} p_l^T ‖ p_k^T)",
                Target::MeanLogits => "w · Σ_k T² · KL(softmax(mean_{l≠k} z_l / T) ‖ p_k^T)",
            },
        );
        if self.update == UpdateOrder::Alternating {
            plan.update_in(Turns::InTurn);
        }
        plan.choose(Chosen::Best);
        Ok(Box::new(self.clone()))
    }

    fn recorded(&self, record: &Recorded) -> Result<Vec<Term>, PluginError> {
        let peers = record.members("logits")?;
        let labels = record.labels("labels", &peers[0])?;
        Ok(self.terms(&peers, &labels, record.epoch(), |_| true))
    }
}

impl Prepared for Dml {
    fn loss(&mut self, step: &Step<'_>) -> Result<Vec<Term>, PluginError> {
        let peers = step.student_logits()?;
        Ok(self.terms(&peers, &step.labels, step.time.epoch, |peer| {
            step.is_turn_of(peer)
        }))
    }
}

inventory::submit! {
    PluginEntry::new::<Dml>(
        "peers that learn from one another from scratch",
        Paper {
            title: "Deep Mutual Learning",
            authors: "Zhang, Xiang, Hospedales, Lu",
            year: 2018,
            arxiv: "1706.00384",
        },
    )
}

#[cfg(test)]
mod tests {
    use crate::records::{assert_agrees, assert_differs};

    #[test]
    fn loss_and_gradients_agree_with_the_reference() {
        for peers in [2, 3, 4] {
            assert_agrees("dml", &format!("dml_K{peers}.safetensors"), "logits");
        }
        assert_agrees("dml:temperature=2", "dml_K3_T2.safetensors", "logits");
        assert_agrees("dml:target=ensemble", "dml_ensemble_K3.safetensors", "logits");
    }

    #[test]
    fn the_forms_differ() {
        assert_differs("dml:target=mean-logits", "dml_ensemble_K3.safetensors");
        assert_differs("dml:detach-target=false", "dml_K3.safetensors");
    }
}
