//! All members together: as a sum over tensors, and as one network for export, what
//! [`Distillation::predict`](crate::train::Distillation::predict) calls the ensemble, as a graph.

use burn::tensor::{Tensor, TensorData};

use super::cohort::Students;
use super::error::PluginError;
use crate::builder::GraphBuilder;
use crate::graph::{Dim, Graph, GraphError, Role, ValueInfo};
use crate::passes::join;

/// Σ_i g_i z_i: Lan et al. 2018, equation 3.
///
/// # Shapes
/// logits: `[batch, classes]` each, gate: `[batch, members]`, result: `[batch, classes]`.
pub fn gated(logits: &[Tensor<2>], gate: Tensor<2>) -> Tensor<2> {
    let weighted = logits
        .iter()
        .enumerate()
        .map(|(index, logits)| logits.clone() * gate.clone().narrow(1, index, 1));
    weighted.reduce(|sum, next| sum + next).unwrap_or(gate)
}

impl Students {
    /// The trained members and what joins them: `gate`, with the name of the shared value that it
    /// reads, weighs their logits; without one, the logarithm of the mean of the peers'
    /// probabilities is taken, whose softmax is that mean.
    ///
    /// # Errors
    /// Networks of other students.
    pub fn ensemble(&self, trained: &[Graph], gate: Option<(&Graph, &str)>) -> Result<Graph, PluginError> {
        let Some(first) = trained.first() else {
            return Err(PluginError::Students {
                got: 0,
                expected: "1 or more".to_owned(),
            });
        };
        let mut whole = first.clone();
        whole.annotations.clear();
        let mut logits: Vec<String> = Vec::with_capacity(self.members.len());
        let input = |graph: &Graph| {
            graph
                .inputs
                .first()
                .map(|input| input.name.clone())
                .unwrap_or_default()
        };
        for (index, member) in self.members.iter().enumerate() {
            if member.network == 0 {
                logits.push(member.names.of(member.logits()).to_owned());
                continue;
            }
            let graph = &trained[member.network];
            let prefix = whole
                .fresh_names()
                .prefix(&format!("{}/", self.members[index].name));
            let (own, shared) = (input(graph), input(&whole));
            logits.extend(
                join(&mut whole, graph, &prefix, &[(&own, &shared)])
                    .into_iter()
                    .next(),
            );
        }
        let declared = first.outputs.first().cloned();
        let classes = declared
            .as_ref()
            .and_then(|output| output.dims_at(1))
            .and_then(|dims| dims.last().copied())
            .unwrap_or(0);
        let head = match gate {
            Some((gate, fork)) => {
                let (own, shared) = (input(gate), self.members[0].names.of(fork).to_owned());
                let prefix = whole.fresh_names().prefix("gate/");
                let weights = join(&mut whole, gate, &prefix, &[(&own, &shared)]);
                logits.extend(weights.into_iter().next());
                gated_head(self.members.len(), classes)?
            }
            None => {
                logits = logits[self.peers()].to_vec();
                mean_head(logits.len(), classes)?
            }
        };
        let bound: Vec<(&str, &str)> = head
            .inputs
            .iter()
            .zip(&logits)
            .map(|(input, value)| (input.name.as_str(), value.as_str()))
            .collect();
        let prefix = whole.fresh_names().prefix("ensemble/");
        let made = join(&mut whole, &head, &prefix, &bound);
        whole.outputs = made
            .into_iter()
            .map(|name| {
                let dims = vec![Dim::Symbol("batch".to_owned()), Dim::Known(classes)];
                ValueInfo::float(name, dims)
            })
            .collect();
        whole.prune_unused();
        whole.validate()?;
        Ok(whole)
    }
}

/// log of the mean of softmax(z_i).
fn mean_head(members: usize, classes: usize) -> Result<Graph, GraphError> {
    let mut b = GraphBuilder::new("mean", 0);
    let mut probabilities = Vec::with_capacity(members);
    for member in 0..members {
        let logits = b.input(&format!("z{member}"), &[classes]);
        probabilities.push(b.node(&format!("p{member}"), "Softmax", &[&logits], [("axis", 1.into())])?);
    }
    let probabilities: Vec<&str> = probabilities.iter().map(String::as_str).collect();
    let mean = b.node("mean", "Mean", &probabilities, [])?;
    let least = TensorData::new(vec![f32::MIN_POSITIVE], Vec::<usize>::new());
    let least = b.store("least", Role::Constant, least);
    let mean = b.node("clamped", "Clip", &[&mean, &least], [])?;
    let y = b.node("log", "Log", &[&mean], [])?;
    b.output("logits", &y)?;
    b.finish()
}

/// Σ_i g_i z_i; the last input is g `[batch, members]`.
fn gated_head(members: usize, classes: usize) -> Result<Graph, GraphError> {
    let mut b = GraphBuilder::new("gated", 0);
    let logits: Vec<String> = (0..members)
        .map(|member| b.input(&format!("z{member}"), &[classes]))
        .collect();
    let gate = b.input("g", &[members]);
    let shares: Vec<String> = (0..members).map(|member| format!("g{member}")).collect();
    let names: Vec<&str> = shares.iter().map(String::as_str).collect();
    b.node_with_outputs("shares", "Split", &[&gate], &names, [("axis", 1.into())])?;
    let mut weighted = Vec::with_capacity(members);
    for (member, (logits, share)) in logits.iter().zip(&shares).enumerate() {
        weighted.push(b.node(&format!("weighted{member}"), "Mul", &[logits, share], [])?);
    }
    let weighted: Vec<&str> = weighted.iter().map(String::as_str).collect();
    let y = b.node("sum", "Sum", &weighted, [])?;
    b.output("logits", &y)?;
    b.finish()
}
