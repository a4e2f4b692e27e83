//! Collaborative learning with intermediate-level representation sharing. G. Song, W. Chai:
//! "Collaborative Learning for Deep Neural Networks", 2018 (arXiv 1805.11761), equations 5 to 8.
//!
//! Heads that share low layers: L_h = β CE(z_h, y) + (1 − β) T² KL(q_h ‖ p_h^T), q_h =
//! softmax(mean_{j≠h} z_j / T), z: `[batch, classes]`; the loss is Σ_h L_h, and the gradient that
//! flows back through a fork is divided by its branches. Several forks make the paper's tree.
//!
//! Departures: the paper writes the soft term as a cross-entropy; KL differs by the entropy of q_h,
//! a constant. `form = okddip` is what OKDDip compares with: CE + w(t) T² KL, there with T = 3, a
//! gradient through the target and 1e-7 added to it (`detach-target`, `target-eps`).

use burn::tensor::{Device, Int, Tensor};
use potstill_core::loss::{cross_entropy, soft_target_loss, soft_targets};
use potstill_core::op::{Inputs, Mode, Op, RunContext};
use potstill_core::ops::scale_gradient::ScaleGradient;
use potstill_core::options;
use potstill_core::plugin::{
    Cohort, Options, Paper, Plan, Plugin, PluginEntry, PluginError, Prepared, Recorded, Step, Structure, Term,
};
use potstill_core::precision::Precision;
use potstill_core::schedule::Schedule;
use potstill_core::value::Value;
use serde::{Deserialize, Serialize};

/// How the terms are weighted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Weighting {
    /// β and 1 − β.
    Paper,
    /// 1 and w(t).
    Okddip,
}

options! {
    /// Collaborative learning.
    pub struct ClIlr for "cl-ilr", check ClIlr::check_forks {
        /// branches at each fork, from the input on: [3], or [2, 2] for a tree
        forks: Vec<usize> = vec![3];
        /// T
        temperature: f64 = 2.0, in above(0.0);
        /// weight of the hard term in the paper's form; the soft term gets the rest
        beta: f64 = 0.5, in 0.0..=1.0;
        /// paper, or okddip: weights 1 and w(t)
        form: Weighting = Weighting::Paper;
        /// w(t) of the form okddip; a number or a schedule
        weight: Schedule = Schedule::RampUp { to: 1.0, epochs: 80.0 }, in 0.0..;
        /// whether the gradient is divided by the branches where paths fork
        rescale: bool = true;
        /// whether the gradient stops at the target
        detach_target: bool = true;
        /// added to the target's probabilities; reference code has 1e-7
        target_eps: f64 = 0.0, in 0.0..;
    }
}

impl ClIlr {
    /// Refuses no fork, or one without branches.
    fn check_forks(&self) -> Result<(), PluginError> {
        let forks = &self.forks;
        if forks.is_empty() || forks.iter().any(|branches| *branches < 2) {
            return Err(PluginError::bad_value(
                Self::PLUGIN,
                "forks",
                format!("{forks:?}"),
                "a list of 2 or more, as [3] or [2, 2]",
            ));
        }
        Ok(())
    }

    fn terms(&self, heads: &[Tensor<2>], labels: &Tensor<1, Int>, epoch: f64) -> Vec<Term> {
        let Self {
            temperature,
            beta,
            target_eps,
            ..
        } = *self;
        let (hard, soft) = match self.form {
            Weighting::Paper => (beta, 1.0 - beta),
            Weighting::Okddip => (1.0, self.weight.at(epoch)),
        };
        let others = heads.len().saturating_sub(1).max(1) as f64;
        let sum = heads
            .iter()
            .skip(1)
            .fold(heads[0].clone(), |sum, next| sum + next.clone());
        let mut terms = Vec::with_capacity(2 * heads.len());
        for head in heads {
            let target = soft_targets((sum.clone() - head.clone()) / others, temperature, target_eps);
            let target = if self.detach_target {
                target.detach()
            } else {
                target
            };
            terms.push(Term {
                name: "ce",
                value: cross_entropy(head.clone(), labels.clone()),
                weight: hard,
            });
            terms.push(Term {
                name: "kl",
                value: soft_target_loss(head.clone(), target, temperature),
                weight: soft,
            });
        }
        terms
    }

    /// Heads of a record that holds their weights and the representation that they share.
    fn recorded_heads(&self, record: &Recorded) -> Result<Vec<Tensor<2>>, PluginError> {
        let shared = record.float::<2>("shared")?;
        let weight = record.float::<3>("head.weight")?;
        let [heads, classes, features] = weight.dims();
        let bias = record.float::<2>("head.bias")?;
        if features != shared.dims()[1] || bias.dims() != [heads, classes] || heads == 0 {
            return Err(PluginError::RecordedShape {
                tensor: "head.weight".to_owned(),
                got: format!("{:?}", weight.dims()),
                expected: format!(
                    "[heads, classes, {}], head.bias [heads, classes]",
                    shared.dims()[1]
                ),
            });
        }
        let shared = if self.rescale {
            let inputs = [Some(Value::from(shared))];
            let context = RunContext {
                mode: Mode::Training,
                device: Device::flex(),
                precision: Precision::Fp32,
            };
            let scale = ScaleGradient {
                factor: 1.0 / heads as f64,
            };
            let mut made = scale
                .run(&Inputs(&inputs), &context)
                .map_err(|error| PluginError::Config {
                    plugin: Self::PLUGIN.to_owned(),
                    message: error.to_string(),
                })?;
            made.remove(0).float::<2>()
        } else {
            shared
        };
        let head = |index| {
            let weight = weight.clone().narrow(0, index, 1).squeeze_dim::<2>(0);
            shared.clone().matmul(weight.transpose()) + bias.clone().narrow(0, index, 1)
        };
        Ok((0..heads).map(head).collect())
    }
}

impl Plugin for ClIlr {
    fn name(&self) -> &'static str {
        Self::PLUGIN
    }

    fn cohort(&self) -> Option<Cohort> {
        Some(Cohort {
            structure: Structure::Branches {
                forks: self.forks.clone(),
                rescale: self.rescale,
            },
            leader: false,
        })
    }

    fn prepare(&self, plan: &mut Plan<'_>) -> Result<Box<dyn Prepared>, PluginError> {
        plan.brings_task_term();
        let (hard, soft) = match self.form {
            Weighting::Paper => ("Σ_h β · CE(z_h, y)", "Σ_h (1 − β) · T² · KL(q_h ‖ p_h^T)"),
            Weighting::Okddip => ("Σ_h CE(z_h, y)", "w(t) · Σ_h T² · KL(q_h ‖ p_h^T)"),
        };
        plan.declare_term("ce", hard);
        plan.declare_term("kl", soft);
        Ok(Box::new(self.clone()))
    }

    fn recorded(&self, record: &Recorded) -> Result<Vec<Term>, PluginError> {
        let heads = if record.has("shared") {
            self.recorded_heads(record)?
        } else {
            record.members("logits")?
        };
        let labels = record.labels("labels", &heads[0])?;
        Ok(self.terms(&heads, &labels, record.epoch()))
    }
}

impl Prepared for ClIlr {
    fn loss(&mut self, step: &Step<'_>) -> Result<Vec<Term>, PluginError> {
        Ok(self.terms(&step.student_logits()?, &step.labels, step.time.epoch))
    }
}

inventory::submit! {
    PluginEntry::new::<ClIlr>(
        "heads on shared layers that learn from the mean of the others",
        Paper {
            title: "Collaborative Learning for Deep Neural Networks",
            authors: "Song, Chai",
            year: 2018,
            arxiv: "1805.11761",
        },
    )
}

#[cfg(test)]
mod tests {
    use crate::records::{assert_agrees, assert_differs};

    #[test]
    fn loss_and_gradients_agree_with_the_reference() {
        assert_agrees("cl-ilr", "cl_ilr_H3_b0p5_T2.safetensors", "logits");
        assert_agrees("cl-ilr", "cl_ilr_H4_b0p5_T2.safetensors", "logits");
        let okddip = "cl-ilr:form=okddip,weight=1,temperature=3,detach-target=false,target-eps=1e-7";
        assert_agrees(okddip, "cl_ilr_okddip_flow_H3_T3.safetensors", "logits");
    }

    #[test]
    fn the_gradient_into_the_shared_part_is_divided_by_the_heads() {
        assert_agrees("cl-ilr", "cl_ilr_rescale_H3.safetensors", "shared");
        assert_differs("cl-ilr:rescale=false", "cl_ilr_rescale_H3.safetensors");
    }
}
