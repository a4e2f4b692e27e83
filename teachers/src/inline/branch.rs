//! `If` nodes. PyTorch's TorchScript exporter writes them where Python code looked at a size: the
//! condition follows from constants and shapes, and says the same for every batch. Where it follows
//! from the data, the network is no graph of operators, and is refused.

use std::path::Path;

use onnx_protobuf::{GraphProto, NodeProto};
use potstill_core::graph::{Facts, Graph};
use potstill_core::op::OpError;

use super::names::{Names, label, made, rename};
use super::shapes::Shapes;
use crate::error::DecodeError;
use crate::node::{is_own, node_error, provisional};
use crate::proto::tensor;

pub(super) fn is_branching(proto: &NodeProto) -> bool {
    proto.op_type == "If" && is_own(&proto.domain)
}

/// The nodes of the branch that runs, and copies of its outputs under the names of the node's;
/// `None` where a node before is not understood, which is said elsewhere.
pub(super) fn taken(
    proto: &NodeProto,
    graph: &mut Graph,
    shapes: &mut Shapes,
    names: &mut Names,
    folder: Option<&Path>,
) -> Result<Option<Vec<NodeProto>>, DecodeError> {
    let Some(facts) = &shapes.0 else {
        return Ok(None);
    };
    let [one, two] = facts.each_ref().map(|facts| condition(proto, facts));
    let (Some(holds), true) = (one, one == two) else {
        let what = "a condition that follows from the data or the batch".to_owned();
        return Err(node_error(proto, OpError::Unsupported { what }));
    };
    let branch = branch(proto, holds)?;
    let stored = branch.initializer.iter().map(|stored| &stored.name);
    let renamed = names.fresh(proto, stored.chain(made(&branch.node)));
    let mut own = Graph::default();
    for stored in &branch.initializer {
        let data = provisional(tensor(stored, folder)?);
        let name = renamed.get(&stored.name).unwrap_or(&stored.name);
        own.tensors.insert(name.clone(), data);
    }
    shapes.extend(&own);
    graph.tensors.extend(own.tensors);
    let mut nodes = branch.node;
    rename(&mut nodes, proto, &renamed);
    for (output, inner) in proto.output.iter().zip(&branch.output) {
        nodes.push(NodeProto {
            name: format!("{}/{output}", label(proto)),
            op_type: "Identity".to_owned(),
            input: vec![renamed.get(&inner.name).unwrap_or(&inner.name).clone()],
            output: vec![output.clone()],
            ..NodeProto::default()
        });
    }
    Ok(Some(nodes))
}

fn condition(proto: &NodeProto, facts: &Facts) -> Option<bool> {
    let value = facts.get(proto.input.first()?)?.value.clone()?;
    value.into_data().iter::<bool>().next()
}

fn branch(proto: &NodeProto, holds: bool) -> Result<GraphProto, DecodeError> {
    let name = if holds { "then_branch" } else { "else_branch" };
    let found = proto.attribute.iter().find(|attribute| attribute.name == name);
    let branch = found.and_then(|attribute| attribute.g.as_ref()).cloned();
    let branch = branch.filter(|branch| branch.output.len() >= proto.output.len());
    branch.ok_or_else(|| DecodeError::NotOnnx {
        reason: format!("`{name}` of node `{}` does not make its outputs", label(proto)),
    })
}
