//! Online knowledge distillation with diverse peers. D. Chen, J.-P. Mei, C. Wang, Y. Feng, C. Chen:
//! "Online Knowledge Distillation with Diverse Peers", 2020 (arXiv 1912.00350), equations 3 to 8.
//!
//! m − 1 auxiliary peers and a group leader. With h_a the features of a peer `[batch, features]`, Q
//! = h W_q, K = h W_k (features / 8, no bias), each peer learns from its own mixture of all peers:
//! α_ab = softmax_b(Q_a · K_b), t_a = Σ_b α_ab z_b, z: `[batch, classes]`; the leader learns from
//! their mean z̄: L = Σ_a CE(z_a, y) + CE(z_l, y) + w(t) [Σ_a T² KL(t_a^T ‖ p_a^T) + T²
//! KL(softmax(z̄ / T) ‖ p_l^T)].
//!
//! Departures, all those of the authors' code: logits are mixed, where the text speaks of
//! predictions; no 1/√d; the gradient flows through the targets (detached, the attention would
//! never train). The code adds 1e-7 to targets (`target-eps`). `leader-target = weighted` weighs
//! the peers by softmax(−CE_a) on the batch; `best` takes the peer of the smallest CE there.

use burn::tensor::activation::softmax;
use burn::tensor::{Int, Tensor};
use potstill_core::builder::GraphBuilder;
use potstill_core::graph::{Graph, GraphError, Init, Role};
use potstill_core::loss::{cross_entropy, soft_target_loss, soft_targets};
use potstill_core::options;
use potstill_core::plugin::{
    Cohort, Options, Paper, Plan, Plugin, PluginEntry, PluginError, Prepared, Recorded, Step, Structure, Term,
};
use potstill_core::schedule::Schedule;
use potstill_core::value::Value;
use serde::{Deserialize, Serialize};

const ATTENTION: &str = "okddip.attention";
/// The projections have a share of the features' dimensions.
const REDUCTION: usize = 8;

/// Where the members live.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layout {
    /// Branches of one network.
    Branch,
    /// Networks of their own: better and dearer.
    Network,
}

/// From what of its peers the leader learns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LeaderTarget {
    /// Their mean logits.
    Mean,
    /// The logits of the one with the smallest CE on the batch.
    Best,
    /// Their logits weighted by softmax(−CE).
    Weighted,
}

/// A leader's target from an epoch on.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Phase {
    /// The epoch.
    pub epoch: f64,
    /// The target from then on.
    pub target: LeaderTarget,
}

options! {
    /// Online distillation with diverse peers.
    pub struct OkdDip for "okddip", check OkdDip::check_phases {
        /// m: m − 1 peers, at least two, and the leader
        members: usize = 4, in 3..;
        /// branch: branches of one network; network: networks of their own, better and dearer
        structure: Layout = Layout::Branch;
        /// T
        temperature: f64 = 3.0, in above(0.0);
        /// w(t); the paper ramps it up over 80 of 300 epochs
        weight: Schedule = Schedule::RampUp { to: 1.0, epochs: 80.0 }, in 0.0..;
        /// value [batch, features, …] that the attention reads; empty: what the classifier reads
        features: String = String::new();
        /// mean, best or weighted: what of its peers the leader learns
        leader_target: LeaderTarget = LeaderTarget::Mean;
        /// later targets of the leader: [{ epoch = 100, target = "best" }]
        leader_phases: Vec<Phase> = Vec::new();
        /// whether the gradient stops at the targets; the attention then never trains
        detach_target: bool = false;
        /// added to the targets' probabilities; the authors' code has 1e-7
        target_eps: f64 = 0.0, in 0.0..;
    }
}

/// OKDDip at work.
#[derive(Debug)]
struct PreparedOkdDip {
    method: OkdDip,
    /// The value that holds each member's features.
    features: Vec<String>,
}

/// What the members make of a batch.
struct Predictions<'a> {
    /// The peers' logits, `[batch, classes]` each.
    peers: &'a [Tensor<2>],
    /// The leader's.
    leader: &'a Tensor<2>,
    /// Queries of the peers' attention, `[batch, peers, features / 8]`.
    queries: Tensor<3>,
    /// Its keys, of the same shape.
    keys: Tensor<3>,
}

impl OkdDip {
    /// Refuses phases that do not ascend.
    fn check_phases(&self) -> Result<(), PluginError> {
        if self.leader_phases.is_sorted_by(|a, b| a.epoch < b.epoch) {
            return Ok(());
        }
        Err(PluginError::bad_value(
            Self::PLUGIN,
            "leader-phases",
            "not in order",
            "ascending epochs",
        ))
    }

    fn terms(&self, predictions: Predictions<'_>, labels: &Tensor<1, Int>, epoch: f64) -> Vec<Term> {
        let Predictions {
            peers,
            leader,
            queries,
            keys,
        } = predictions;
        let Self {
            temperature,
            target_eps,
            ..
        } = *self;
        let weight = self.weight.at(epoch);
        let target = |logits: Tensor<2>| {
            let target = soft_targets(logits, temperature, target_eps);
            if self.detach_target {
                target.detach()
            } else {
                target
            }
        };
        let attention = softmax(queries.matmul(keys.swap_dims(1, 2)), 2);
        let mixed = attention.matmul(Tensor::stack::<3>(peers.to_vec(), 1));
        let hard: Vec<Tensor<1>> = peers
            .iter()
            .map(|peer| cross_entropy(peer.clone(), labels.clone()))
            .collect();
        let leader_target = self.leader_target(peers, &hard, epoch);
        let mut terms: Vec<Term> = hard
            .into_iter()
            .chain([cross_entropy(leader.clone(), labels.clone())])
            .map(|value| Term {
                name: "ce",
                value,
                weight: 1.0,
            })
            .collect();
        terms.extend(peers.iter().enumerate().map(|(index, peer)| {
            let own = mixed.clone().narrow(1, index, 1).squeeze_dim::<2>(1);
            Term {
                name: "kl",
                value: soft_target_loss(peer.clone(), target(own), temperature),
                weight,
            }
        }));
        terms.push(Term {
            name: "kl-leader",
            value: soft_target_loss(leader.clone(), target(leader_target), temperature),
            weight,
        });
        terms
    }

    fn leader_target(&self, peers: &[Tensor<2>], hard: &[Tensor<1>], epoch: f64) -> Tensor<2> {
        let phase = self.leader_phases.iter().rev().find(|phase| epoch >= phase.epoch);
        let weights: Vec<f64> = match phase.map_or(self.leader_target, |phase| phase.target) {
            LeaderTarget::Mean => vec![1.0 / peers.len() as f64; peers.len()],
            other => {
                let losses: Vec<f64> = hard
                    .iter()
                    .map(|loss| f64::from(loss.clone().detach().into_scalar::<f32>()))
                    .collect();
                let least = losses.iter().copied().fold(f64::INFINITY, f64::min);
                let weights: Vec<f64> = losses
                    .iter()
                    .map(|loss| match other {
                        LeaderTarget::Best => f64::from(u8::from(*loss == least)),
                        _ => (least - loss).exp(),
                    })
                    .collect();
                let sum: f64 = weights.iter().sum();
                weights.into_iter().map(|weight| weight / sum).collect()
            }
        };
        let weighted = peers
            .iter()
            .zip(weights)
            .map(|(peer, weight)| peer.clone() * weight);
        weighted
            .reduce(|sum, next| sum + next)
            .unwrap_or_else(|| peers[0].clone())
    }
}

/// Queries and keys of features `[batch, features]`: h W_q and h W_k.
fn attention(features: usize) -> Result<Graph, GraphError> {
    let mut b = GraphBuilder::new(ATTENTION, 0);
    let x = b.input("features", &[features]);
    let dims = [features, (features / REDUCTION).max(1)];
    for name in ["query", "key"] {
        let init = Init::LinearUniform { fan_in: features };
        let weight = b.tensor(&format!("{name}.weight"), Role::Weight, &dims, init);
        let y = b.node(&format!("{name}.product"), "MatMul", &[&x, &weight], [])?;
        b.output(name, &y)?;
    }
    b.finish()
}

/// A value `[batch, features, …]` as `[batch, features]`: its mean over whatever axes follow.
fn pooled(value: Value) -> Tensor<2> {
    match value.rank() {
        3 => value.float::<3>().mean_dim(2).squeeze_dim(2),
        4 => value.float::<4>().mean_dim(3).mean_dim(2).flatten::<2>(1, 3),
        _ => value.float::<2>(),
    }
}

impl Plugin for OkdDip {
    fn name(&self) -> &'static str {
        Self::PLUGIN
    }

    fn cohort(&self) -> Option<Cohort> {
        let members = self.members;
        Some(Cohort {
            structure: match self.structure {
                Layout::Branch => Structure::Branches {
                    forks: vec![members],
                    rescale: false,
                },
                Layout::Network => Structure::Networks { members },
            },
            leader: true,
        })
    }

    fn prepare(&self, plan: &mut Plan<'_>) -> Result<Box<dyn Prepared>, PluginError> {
        plan.brings_task_term();
        plan.declare_term("ce", "Σ_a CE(z_a, y) + CE(z_l, y)");
        plan.declare_term("kl", "w(t) · Σ_a T² · KL(t_a^T ‖ p_a^T)");
        plan.declare_term("kl-leader", "w(t) · T² · KL(softmax(z̄ / T) ‖ p_l^T)");
        let mut features = Vec::with_capacity(plan.students.len());
        let mut width = None;
        for student in 0..plan.students.len() {
            let observed = &plan.students[student];
            let missing = || PluginError::NotFound {
                plugin: Self::PLUGIN.to_owned(),
                what: "features before the classifier".to_owned(),
                network: observed.name.clone(),
                option: "features".to_owned(),
            };
            let name = match self.features.as_str() {
                "" => observed.features().ok_or_else(missing)?,
                name => name.to_owned(),
            };
            let dims = observed.dims(&name)?;
            if !(2..=4).contains(&dims.len()) || *width.get_or_insert(dims[1]) != dims[1] {
                return Err(PluginError::bad_value(
                    Self::PLUGIN,
                    "features",
                    format!("`{name}` of shape {dims:?}"),
                    "a value [batch, features, …] with as many features in every member",
                ));
            }
            plan.tap_student(student, &name)?;
            features.push(name);
        }
        plan.add_auxiliary(ATTENTION, attention(width.unwrap_or(1))?);
        Ok(Box::new(PreparedOkdDip {
            method: self.clone(),
            features,
        }))
    }

    fn recorded(&self, record: &Recorded) -> Result<Vec<Term>, PluginError> {
        let peers = record.members("logits")?;
        let leader = record.float_like("leader_logits", &peers[0])?;
        let labels = record.labels("labels", &leader)?;
        let features = record.float::<3>("features")?;
        let [batch, count, width] = features.dims();
        if count != peers.len() || batch != leader.dims()[0] {
            return Err(PluginError::RecordedShape {
                tensor: "features".to_owned(),
                got: format!("{:?}", features.dims()),
                expected: format!("[{}, {}, features]", leader.dims()[0], peers.len()),
            });
        }
        let project = |name: &str| -> Result<Tensor<3>, PluginError> {
            let weight = record.float::<2>(name)?;
            if weight.dims()[1] != width {
                return Err(PluginError::RecordedShape {
                    tensor: name.to_owned(),
                    got: format!("{:?}", weight.dims()),
                    expected: format!("[any, {width}]"),
                });
            }
            Ok(features.clone().matmul(weight.transpose().unsqueeze_dim(0)))
        };
        let (queries, keys) = (project("wq")?, project("wk")?);
        if queries.dims() != keys.dims() {
            return Err(PluginError::RecordedShape {
                tensor: "wk".to_owned(),
                got: format!("{:?}", keys.dims()),
                expected: format!("{:?}", queries.dims()),
            });
        }
        let predictions = Predictions {
            peers: &peers,
            leader: &leader,
            queries,
            keys,
        };
        Ok(self.terms(predictions, &labels, record.epoch()))
    }
}

impl Prepared for PreparedOkdDip {
    fn loss(&mut self, step: &Step<'_>) -> Result<Vec<Term>, PluginError> {
        let logits = step.student_logits()?;
        let Some((leader, peers)) = logits.split_last() else {
            return Ok(Vec::new());
        };
        let (mut queries, mut keys) = (Vec::new(), Vec::new());
        for (member, name) in step.students[..peers.len()].iter().zip(&self.features) {
            let features = pooled(member.value(name)?.clone());
            let projected = step.auxiliary(ATTENTION, Value::from(features))?;
            queries.push(projected.float::<2>("query")?);
            keys.push(projected.float::<2>("key")?);
        }
        let predictions = Predictions {
            peers,
            leader,
            queries: Tensor::stack(queries, 1),
            keys: Tensor::stack(keys, 1),
        };
        Ok(self.method.terms(predictions, &step.labels, step.time.epoch))
    }
}

inventory::submit! {
    PluginEntry::new::<OkdDip>(
        "diverse peers that mix their targets by attention, and a leader that learns from them",
        Paper {
            title: "Online Knowledge Distillation with Diverse Peers",
            authors: "Chen, Mei, Wang, Feng, Chen",
            year: 2020,
            arxiv: "1912.00350",
        },
    )
}

#[cfg(test)]
mod tests {
    use crate::records::{assert_agrees, assert_differs};

    #[test]
    fn loss_and_gradients_agree_with_the_reference_at_every_epoch() {
        for epoch in [0, 40, 80] {
            let record = format!("okddip_flow_p3_e{epoch}.safetensors");
            assert_agrees("okddip:target-eps=1e-7", &record, "wq");
        }
        assert_agrees("okddip", "okddip_flow_noeps_p3_e40.safetensors", "features");
        assert_agrees(
            "okddip:detach-target=true",
            "okddip_detached_p3_e40.safetensors",
            "wk",
        );
    }

    #[test]
    fn the_forms_differ() {
        assert_differs(
            "okddip:detach-target=true",
            "okddip_flow_noeps_p3_e40.safetensors",
        );
        assert_differs(
            "okddip:leader-target=best",
            "okddip_flow_noeps_p3_e40.safetensors",
        );
        assert_differs(
            "okddip:leader-target=weighted",
            "okddip_flow_noeps_p3_e40.safetensors",
        );
    }
}
