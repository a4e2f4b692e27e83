//! Which values of a network become small integers when it is quantised, and how the weights beside
//! them are cut into channels.
//!
//! The rule is that of ONNX Runtime's static quantisation: what convolutions, products, sums,
//! concatenations and pools read and make. A value that only an activation or a normalisation reads
//! stays as it is, since runtimes compute both together. Outputs of the network stay floats.

use std::collections::HashSet;

use crate::graph::{Graph, GraphError, Node, infer};
use crate::ops::gemm::Gemm;
use crate::value::Kind;

/// Operators that run on integers.
const ON_INTEGERS: &[&str] = &[
    "Conv",
    "Gemm",
    "MatMul",
    "Add",
    "Mul",
    "Concat",
    "MaxPool",
    "AveragePool",
    "GlobalAveragePool",
];

/// Operators that runtimes compute together with the one before.
const TOGETHER: &[&str] = &["Relu", "Clip", "BatchNormalization"];

/// Operators that make small integers of floats, and those that compute in them.
const IN_INTEGERS: &[&str] = &[
    "QuantizeLinear",
    "DequantizeLinear",
    "DynamicQuantizeLinear",
    "QLinearConv",
    "QLinearMatMul",
    "ConvInteger",
    "MatMulInteger",
];

impl Graph {
    /// The first node of a quantised network; nothing where the network computes in floats.
    pub fn node_in_integers(&self) -> Option<&Node> {
        self.nodes.iter().find(|node| {
            let name = node.op.name();
            IN_INTEGERS.contains(&name) || name.starts_with("QLinear")
        })
    }

    /// The values that become integers, in the order in which they are made.
    ///
    /// # Errors
    /// A node that refuses its inputs.
    pub fn quantisable_values(&self) -> Result<Vec<String>, GraphError> {
        let facts = infer(self, 1)?;
        let mut from_pictures: HashSet<&str> = self.inputs.iter().map(|input| input.name.as_str()).collect();
        let mut candidates: Vec<(&str, bool)> = self
            .inputs
            .iter()
            .map(|input| (input.name.as_str(), false))
            .collect();
        for node in &self.nodes {
            if node
                .inputs
                .iter()
                .any(|input| from_pictures.contains(input.as_str()))
            {
                from_pictures.extend(node.outputs.iter().map(String::as_str));
                let on_integers = ON_INTEGERS.contains(&node.op.name());
                candidates.extend(node.outputs.first().map(|output| (output.as_str(), on_integers)));
            }
        }
        let chosen = |&(name, made_on_integers): &(&str, bool)| {
            let float = facts
                .get(name)
                .is_some_and(|fact| fact.kind == Kind::Float && fact.value.is_none());
            if !float || self.outputs.iter().any(|output| output.name == name) {
                return false;
            }
            let readers: Vec<&Node> = self
                .consumers(name)
                .into_iter()
                .map(|index| &self.nodes[index])
                .collect();
            if let [only] = readers.as_slice()
                && TOGETHER.contains(&only.op.name())
            {
                return false;
            }
            made_on_integers && !readers.is_empty()
                || readers.iter().any(|node| ON_INTEGERS.contains(&node.op.name()))
        };
        Ok(candidates
            .into_iter()
            .filter(chosen)
            .map(|(name, _)| name.to_owned())
            .collect())
    }
}

impl Node {
    /// The axis of this node's weight (its second input) that runs along output channels; `None`
    /// where the node is no product with a weight of `rank` axes.
    pub fn channel_axis(&self, rank: usize) -> Option<usize> {
        match self.op.name() {
            "Conv" if rank >= 3 => Some(0),
            "MatMul" if rank == 2 => Some(1),
            "Gemm" if rank == 2 => {
                let gemm = self.op.downcast::<Gemm>()?;
                Some(usize::from(!gemm.transpose_b))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::zoo;

    #[test]
    fn a_resnet_is_cut_before_and_after_what_runs_on_integers() {
        let graph = zoo::build("resnet8", 10, [3, 32, 32], 0).unwrap();
        let values = graph.quantisable_values().unwrap();
        assert_eq!(values[0], "input");
        // What a BatchNorm or a ReLU alone reads stays; the logits do.
        for value in &values {
            assert!(!value.ends_with("conv1") && value != "logits", "{values:?}");
        }
        let relus = graph.nodes.iter().filter(|node| node.op.name() == "Relu").count();
        assert!(values.len() > relus, "{values:?}");
    }
}
