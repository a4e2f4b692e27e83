//! What a network is made of: shapes, parameters and multiply-adds, per node and in all.

use indexmap::IndexMap;
use serde::Serialize;

use super::{Graph, GraphError, infer};
use crate::op::{Fact, Inputs, Role};

/// One node's line in a [`Summary`].
#[derive(Clone, Debug, Serialize)]
pub struct NodeSummary {
    /// The node's name.
    pub name: String,
    /// Its operator.
    pub op: String,
    /// Its first output: the value that can be tapped.
    pub output: String,
    /// The output's extents; the first is "batch" where it follows the batch size.
    pub shape: Vec<String>,
    /// Trainable parameters that the node reads.
    pub parameters: usize,
    /// Multiply-adds for one sample.
    pub multiply_adds: u64,
}

/// What a network is made of.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// The nodes in execution order.
    pub nodes: Vec<NodeSummary>,
    /// Trainable parameters.
    pub parameters: usize,
    /// Multiply-adds for one sample.
    pub multiply_adds: u64,
    /// Operators with their counts, the most frequent first.
    pub operators: IndexMap<String, usize>,
}

/// Summarises a graph; shapes are inferred at two batch sizes, so that axes which follow the batch
/// are known.
///
/// # Errors
/// A node that refuses its inputs.
pub fn summarise(graph: &Graph) -> Result<Summary, GraphError> {
    let (one, two) = (infer(graph, 1)?, infer(graph, 2)?);
    let mut operators: IndexMap<String, usize> = IndexMap::new();
    let mut counted = std::collections::HashSet::new();
    let mut nodes = Vec::with_capacity(graph.nodes.len());
    for node in &graph.nodes {
        *operators.entry(node.op.name().to_owned()).or_default() += 1;
        let output = node
            .outputs
            .iter()
            .find(|name| !name.is_empty())
            .cloned()
            .unwrap_or_default();
        let read: usize = node
            .inputs
            .iter()
            .filter(|name| counted.insert((*name).clone()))
            .filter_map(|name| graph.tensors.get(name))
            .filter(|tensor| tensor.role == Role::Weight)
            .map(super::StoredTensor::len)
            .sum();
        let inputs: Vec<Option<Fact>> = node.inputs.iter().map(|name| one.get(name).cloned()).collect();
        let outputs: Vec<Fact> = node
            .outputs
            .iter()
            .filter_map(|name| one.get(name).cloned())
            .collect();
        nodes.push(NodeSummary {
            name: node.label().to_owned(),
            op: node.op.name().to_owned(),
            shape: shape(one.get(&output), two.get(&output)),
            output,
            parameters: read + node.op.parameters(),
            multiply_adds: node.op.cost(&Inputs(&inputs), &outputs),
        });
    }
    operators.sort_by(|name_a, a, name_b, b| b.cmp(a).then(name_a.cmp(name_b)));
    Ok(Summary {
        parameters: graph.parameters(),
        multiply_adds: nodes
            .iter()
            .fold(0, |sum: u64, node| sum.saturating_add(node.multiply_adds)),
        nodes,
        operators,
    })
}

fn shape(one: Option<&Fact>, two: Option<&Fact>) -> Vec<String> {
    let (Some(one), Some(two)) = (one, two) else {
        return Vec::new();
    };
    let extent = |(a, b): (&usize, &usize)| match (a, b) {
        (a, b) if a == b => a.to_string(),
        (1, 2) => "batch".to_owned(),
        (a, _) => format!("{a}·batch"),
    };
    one.dims.iter().zip(&two.dims).map(extent).collect()
}
