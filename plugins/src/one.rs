//! On-the-fly native ensemble. X. Lan, X. Zhu, S. Gong: "Knowledge Distillation by On-the-Fly
//! Native Ensemble", 2018 (arXiv 1806.04606), equations 3 to 6.
//!
//! One network whose high layers are branched m ways; a gate weighs the branches' logits: z_e = Σ_i
//! g_i z_i, z: `[batch, classes]`, L = Σ_i CE(z_i, y) + CE(z_e, y) + w(t) Σ_i T² KL(p_e^T ‖ p_i^T).
//!
//! Departures: the paper has no w(t); the authors' code ramps it up over 80 of 300 epochs, and so
//! does the default. The gradient flows through the target as in the code (`detach-target` stops
//! it); the code beside OKDDip also adds 1e-7 to the target (`target-eps`). The authors' gate is
//! pooled features → linear → BatchNorm → ReLU → softmax.

use burn::tensor::{Int, Tensor};
use potstill_core::builder::GraphBuilder;
use potstill_core::graph::GraphError;
use potstill_core::loss::{cross_entropy, soft_target_loss, soft_targets};
use potstill_core::options;
use potstill_core::plugin::{
    Chosen, Cohort, Options, Paper, Plan, Plugin, PluginEntry, PluginError, Prepared, Recorded, Step,
    Structure, Term, gated,
};
use potstill_core::schedule::Schedule;
use serde::{Deserialize, Serialize};

const GATE: &str = "one.gate";

/// What weighs the branches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ensemble {
    /// A gate that is trained with them.
    Gate,
    /// All alike.
    Mean,
}

/// What is exported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Exported {
    /// The first branch: a network of the student's own size.
    Branch,
    /// All branches with their gate (ONE-E in the paper).
    Ensemble,
}

options! {
    /// On-the-fly native ensemble.
    pub struct One for "one" {
        /// m
        branches: usize = 3, in 2..;
        /// T
        temperature: f64 = 3.0, in above(0.0);
        /// w(t); the paper's runs ramp it up over 80 of 300 epochs
        weight: Schedule = Schedule::RampUp { to: 1.0, epochs: 80.0 }, in 0.0..;
        /// gate, or mean: all branches weigh alike
        ensemble: Ensemble = Ensemble::Gate;
        /// whether the gradient stops at the ensemble; the reference code lets it through
        detach_target: bool = false;
        /// added to the target's probabilities; reference code has 1e-7
        target_eps: f64 = 0.0, in 0.0..;
        /// branch (the first), or ensemble: all branches with their gate
        export: Exported = Exported::Branch;
    }
}

impl One {
    /// `gate`: `[batch, branches]`; `None` where all weigh alike.
    fn terms(
        &self,
        branches: &[Tensor<2>],
        gate: Option<Tensor<2>>,
        labels: &Tensor<1, Int>,
        epoch: f64,
    ) -> Vec<Term> {
        let Self {
            temperature,
            target_eps,
            ..
        } = *self;
        let count = branches.len() as f64;
        let ensemble = match gate {
            Some(gate) => gated(branches, gate),
            None => {
                branches
                    .iter()
                    .skip(1)
                    .fold(branches[0].clone(), |sum, next| sum + next.clone())
                    / count
            }
        };
        let target = soft_targets(ensemble.clone(), temperature, target_eps);
        let target = if self.detach_target {
            target.detach()
        } else {
            target
        };
        let mut terms: Vec<Term> = branches
            .iter()
            .map(|branch| Term {
                name: "ce",
                value: cross_entropy(branch.clone(), labels.clone()),
                weight: 1.0,
            })
            .collect();
        terms.push(Term {
            name: "ce-ensemble",
            value: cross_entropy(ensemble, labels.clone()),
            weight: 1.0,
        });
        terms.extend(branches.iter().map(|branch| Term {
            name: "kl",
            value: soft_target_loss(branch.clone(), target.clone(), temperature),
            weight: self.weight.at(epoch),
        }));
        terms
    }
}

/// Pooled features → linear → BatchNorm → ReLU → softmax over the branches, from features
/// `[batch, channels, …]` at batch 1.
fn gate(dims: &[usize], branches: usize) -> Result<potstill_core::graph::Graph, GraphError> {
    let mut b = GraphBuilder::new(GATE, 0);
    let mut x = b.input("features", &dims[1..]);
    if dims.len() > 2 {
        x = b.global_pool("pool", &x)?;
    }
    let x = b.linear("fc", &x, branches)?;
    let x = b.batch_norm("bn", &x)?;
    let x = b.relu("relu", &x)?;
    let x = b.node("softmax", "Softmax", &[&x], [("axis", 1.into())])?;
    b.output("gate", &x)?;
    b.finish()
}

impl Plugin for One {
    fn name(&self) -> &'static str {
        Self::PLUGIN
    }

    fn cohort(&self) -> Option<Cohort> {
        Some(Cohort {
            structure: Structure::Branches {
                forks: vec![self.branches],
                rescale: false,
            },
            leader: false,
        })
    }

    fn prepare(&self, plan: &mut Plan<'_>) -> Result<Box<dyn Prepared>, PluginError> {
        plan.brings_task_term();
        plan.declare_term("ce", "Σ_i CE(z_i, y)");
        plan.declare_term("ce-ensemble", "CE(z_e, y)");
        plan.declare_term("kl", "w(t) · Σ_i T² · KL(p_e^T ‖ p_i^T)");
        if self.ensemble == Ensemble::Gate
            && let Some(fork) = plan.tap_fork()?
        {
            let dims = plan.students[0].dims(&fork)?;
            plan.add_auxiliary(GATE, gate(&dims, self.branches)?);
            plan.gate_ensemble(GATE);
        }
        plan.choose(match self.export {
            Exported::Branch => Chosen::Member(0),
            Exported::Ensemble => Chosen::Ensemble,
        });
        Ok(Box::new(self.clone()))
    }

    fn recorded(&self, record: &Recorded) -> Result<Vec<Term>, PluginError> {
        let branches = record.members("logits")?;
        let labels = record.labels("labels", &branches[0])?;
        let gate = match self.ensemble {
            Ensemble::Mean => None,
            Ensemble::Gate => Some(recorded_gate(record, branches.len())?),
        };
        Ok(self.terms(&branches, gate, &labels, record.epoch()))
    }
}

impl Prepared for One {
    fn loss(&mut self, step: &Step<'_>) -> Result<Vec<Term>, PluginError> {
        let gate = match step.fork {
            Some(fork) if self.ensemble == Ensemble::Gate => {
                let shared = step.students[0].value(fork)?.clone();
                Some(step.auxiliary_output(GATE, shared)?)
            }
            _ => None,
        };
        let branches = step.student_logits()?;
        Ok(self.terms(&branches, gate, &step.labels, step.time.epoch))
    }
}

/// The gate of a record, from its logits `[batch, branches]` or from its weights and pooled
/// features.
fn recorded_gate(record: &Recorded, branches: usize) -> Result<Tensor<2>, PluginError> {
    use burn::tensor::activation::{relu, softmax};
    if record.has("gate_logits") {
        return Ok(softmax(record.float::<2>("gate_logits")?, 1));
    }
    let x = record.float::<2>("gate_input")?;
    let weight = record.float::<2>("gate.fc.weight")?;
    if weight.dims() != [branches, x.dims()[1]] {
        return Err(PluginError::RecordedShape {
            tensor: "gate.fc.weight".to_owned(),
            got: format!("{:?}", weight.dims()),
            expected: format!("[{branches}, {}]", x.dims()[1]),
        });
    }
    let row = |name: &str| -> Result<Tensor<2>, PluginError> {
        let like = weight.clone().narrow(1, 0, 1).squeeze_dim::<1>(1);
        Ok(record.float_like(name, &like)?.unsqueeze_dim(0))
    };
    let y = x.matmul(weight.clone().transpose()) + row("gate.fc.bias")?;
    // BatchNorm in training: the batch's mean and its biased variance.
    let centred = y.clone() - y.mean_dim(0);
    let deviation = (centred.clone().square().mean_dim(0) + 1e-5).sqrt();
    Ok(softmax(
        relu(centred / deviation * row("gate.bn.weight")? + row("gate.bn.bias")?),
        1,
    ))
}

inventory::submit! {
    PluginEntry::new::<One>(
        "branches of one network that learn from their gated ensemble",
        Paper {
            title: "Knowledge Distillation by On-the-Fly Native Ensemble",
            authors: "Lan, Zhu, Gong",
            year: 2018,
            arxiv: "1806.04606",
        },
    )
}

#[cfg(test)]
mod tests {
    use crate::records::{assert_agrees, assert_differs};

    #[test]
    fn loss_and_gradients_agree_with_the_reference() {
        let detached = "one:weight=1,detach-target=true";
        let flow = "one:weight=1,target-eps=1e-7";
        assert_agrees(detached, "one_detached_m3.safetensors", "gate_logits");
        assert_agrees(flow, "one_flow_m3.safetensors", "gate_logits");
        assert_agrees(detached, "one_gatebn_detached_m3.safetensors", "gate.fc.weight");
        assert_agrees(flow, "one_gatebn_flow_m3.safetensors", "gate.bn.weight");
    }

    #[test]
    fn the_forms_differ() {
        assert_differs("one:weight=1", "one_detached_m3.safetensors");
        assert_differs(
            "one:weight=1,detach-target=true,ensemble=mean",
            "one_detached_m3.safetensors",
        );
    }
}
