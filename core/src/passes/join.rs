//! Joining: one graph's nodes and tensors appended to another's, its inputs bound to values that
//! are there.

use std::collections::HashMap;

use crate::graph::{Graph, Node};

/// Appends `other` to `graph` under `prefix`; `bound` are pairs (input of `other`, value of
/// `graph`). Gives back how the outputs of `other` are called.
///
/// Inputs that are not bound and what is not read stay out; the caller validates the whole.
pub fn join(graph: &mut Graph, other: &Graph, prefix: &str, bound: &[(&str, &str)]) -> Vec<String> {
    let bound: HashMap<&str, &str> = bound.iter().copied().collect();
    let name = |old: &String| -> String {
        match bound.get(old.as_str()) {
            _ if old.is_empty() => String::new(),
            Some(value) => (*value).to_owned(),
            None => format!("{prefix}{old}"),
        }
    };
    for node in &other.nodes {
        graph.nodes.push(Node {
            name: name(&node.name),
            inputs: node.inputs.iter().map(name).collect(),
            outputs: node.outputs.iter().map(name).collect(),
            ..node.clone()
        });
    }
    for (old, tensor) in &other.tensors {
        graph.tensors.insert(name(old), tensor.clone());
    }
    other.outputs.iter().map(|output| name(&output.name)).collect()
}
