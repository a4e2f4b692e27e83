//! Names of values and nodes that come from within other nodes.

use std::collections::{HashMap, HashSet};

use onnx_protobuf::attribute_proto::AttributeType;
use onnx_protobuf::{AttributeProto, GraphProto, NodeProto};

/// What a message calls a node.
pub(super) fn label(proto: &NodeProto) -> &str {
    match proto.output.first() {
        Some(output) if proto.name.is_empty() => output,
        _ => &proto.name,
    }
}

/// The names that values have.
pub(super) struct Names(pub HashSet<String>);

impl Names {
    /// Names for the values within a node: their own, with the node's before them where they are
    /// taken.
    pub(super) fn fresh<'a>(
        &mut self,
        node: &NodeProto,
        inner: impl Iterator<Item = &'a String>,
    ) -> HashMap<String, String> {
        let mut renamed = HashMap::new();
        for name in inner.filter(|name| !name.is_empty()) {
            if renamed.contains_key(name) {
                continue;
            }
            let mut new = name.clone();
            while !self.0.insert(new.clone()) {
                new = format!("{}/{new}", label(node));
            }
            renamed.insert(name.clone(), new);
        }
        renamed
    }
}

/// The values that nodes make.
pub(super) fn made(nodes: &[NodeProto]) -> impl Iterator<Item = &String> {
    nodes.iter().flat_map(|node| &node.output)
}

/// Changes names of values in the nodes of another one, and in the graphs within them. The nodes'
/// own names get that one's before them.
pub(super) fn rename(nodes: &mut [NodeProto], within: &NodeProto, renamed: &HashMap<String, String>) {
    let change = |name: &mut String| {
        if let Some(new) = renamed.get(name) {
            name.clone_from(new);
        }
    };
    for node in nodes {
        node.name = format!("{}/{}", label(within), node.name);
        node.input.iter_mut().chain(&mut node.output).for_each(change);
        for inner in node.attribute.iter_mut().filter_map(inner_graph) {
            rename(&mut inner.node, within, renamed);
            inner
                .output
                .iter_mut()
                .for_each(|output| change(&mut output.name));
        }
    }
}

/// The graph that an attribute holds.
pub(super) fn inner_graph(attribute: &mut AttributeProto) -> Option<&mut GraphProto> {
    let holds = attribute.type_.enum_value() == Ok(AttributeType::GRAPH);
    holds.then(|| attribute.g.as_mut()).flatten()
}
