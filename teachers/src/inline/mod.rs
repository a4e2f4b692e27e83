//! Nodes that stand for other nodes: [calls](function) of a model's own functions, and
//! [branches](branch) of which the same one runs for every batch. Both are replaced, so that a
//! graph is a row of operators.

mod branch;
mod function;
mod names;
mod shapes;

use std::borrow::Cow;
use std::collections::VecDeque;
use std::path::Path;

use onnx_protobuf::{Message, ModelProto, NodeProto};
use potstill_core::graph::Graph;

use self::function::Functions;
use self::names::{Names, made};
use self::shapes::Shapes;
use crate::error::DecodeError;
use crate::node::{domain, read_node};

/// So many nodes, and bytes of them, may come of a model: functions that call functions multiply.
const MOST_NODES: usize = 1 << 17;
const MOST_BYTES: u64 = 1 << 28;

/// The nodes of a model's graph in a row; `graph` holds inputs and stored tensors, to which those
/// of branches come.
///
/// # Errors
/// A condition that follows from the data or from an open extent; a function that calls itself or
/// is of another operator set; more nodes than any network has; a stored tensor that cannot be
/// read.
pub(crate) fn straight<'a>(
    model: &'a ModelProto,
    graph: &mut Graph,
    folder: Option<&Path>,
) -> Result<Cow<'a, [NodeProto]>, DecodeError> {
    let functions = Functions::of(model)?;
    let protos = &model.graph.node;
    let stands_for_others = |proto| branch::is_branching(proto) || functions.has(proto);
    if !protos.iter().any(stands_for_others) {
        return Ok(Cow::Borrowed(protos));
    }
    for domain in model.functions.iter().map(|function| domain(&function.domain)) {
        if !domain.is_empty() {
            graph.model.opsets.shift_remove(domain);
        }
    }
    let stored = graph.tensors.keys();
    let fed = graph.inputs.iter().map(|input| &input.name);
    let mut names = Names(stored.chain(fed).chain(made(protos)).cloned().collect());
    let mut shapes = Shapes::of(graph);
    let mut left: VecDeque<NodeProto> = protos.iter().cloned().collect();
    let mut straight = Vec::with_capacity(protos.len());
    let mut bytes = 0;
    while let Some(proto) = left.pop_front() {
        let inner = match functions.body(&proto, &mut names) {
            None if branch::is_branching(&proto) => {
                branch::taken(&proto, graph, &mut shapes, &mut names, folder)?
            }
            body => body,
        };
        if let Some(inner) = inner {
            bytes += inner.iter().map(Message::compute_size).sum::<u64>();
            if straight.len() + left.len() + inner.len() > MOST_NODES || bytes > MOST_BYTES {
                return Err(DecodeError::Feature {
                    what: format!("a model of more than {MOST_NODES} nodes or {MOST_BYTES} bytes of them"),
                });
            }
            inner.into_iter().rev().for_each(|node| left.push_front(node));
            continue;
        }
        match read_node(&proto, graph, folder)? {
            Some(Ok(node)) => shapes.add(&node),
            _ => shapes.0 = None,
        }
        straight.push(proto);
    }
    Ok(Cow::Owned(straight))
}

#[cfg(test)]
mod tests {
    use onnx_protobuf::GraphProto;

    use super::*;
    use crate::decode;
    use onnx_protobuf::{FunctionProto, OperatorSetIdProto, ValueInfoProto};

    fn call(function: &str, input: &str, output: &str) -> NodeProto {
        NodeProto {
            op_type: function.to_owned(),
            input: vec![input.to_owned()],
            output: vec![output.to_owned()],
            ..NodeProto::default()
        }
    }

    fn function(name: &str, nodes: Vec<NodeProto>) -> FunctionProto {
        FunctionProto {
            name: name.to_owned(),
            input: vec!["x".to_owned()],
            output: vec!["y".to_owned()],
            node: nodes,
            ..FunctionProto::default()
        }
    }

    /// What is said of a model that calls the function `First`.
    fn refused(functions: Vec<FunctionProto>) -> String {
        let value = |name: &str| ValueInfoProto {
            name: name.to_owned(),
            ..ValueInfoProto::default()
        };
        let graph = GraphProto {
            input: vec![value("picture")],
            output: vec![value("logits")],
            node: vec![call("First", "picture", "logits")],
            ..GraphProto::default()
        };
        let model = ModelProto {
            graph: Some(graph).into(),
            functions,
            opset_import: vec![OperatorSetIdProto {
                version: 17,
                ..OperatorSetIdProto::default()
            }],
            ..ModelProto::default()
        };
        decode(&model.write_to_bytes().unwrap(), None)
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn functions_that_call_themselves_are_refused() {
        let first = function("First", vec![call("Second", "x", "y")]);
        let second = function("Second", vec![call("First", "x", "y")]);
        let error = refused(vec![
            first,
            second,
            function("Third", vec![call("Relu", "x", "y")]),
        ]);
        assert!(
            error.ends_with("`, which calls itself, is not supported"),
            "{error}"
        );
    }

    #[test]
    fn functions_that_multiply_beyond_all_networks_are_refused() {
        let names: Vec<String> = (0..40).map(|depth| format!("Depth{depth}")).collect();
        let twice = |name: &str, called: &str| {
            function(name, vec![call(called, "x", "half"), call(called, "half", "y")])
        };
        let mut functions = vec![twice("First", "Depth0")];
        functions.extend(names.windows(2).map(|pair| twice(&pair[0], &pair[1])));
        functions.push(twice(&names[39], "Relu"));
        let error = refused(functions);
        assert!(error.contains("more than 131072 nodes"), "{error}");
    }

    #[test]
    fn functions_of_another_operator_set_are_refused() {
        let mut first = function("First", vec![call("Relu", "x", "y")]);
        first.opset_import.push(OperatorSetIdProto {
            version: 16,
            ..OperatorSetIdProto::default()
        });
        assert_eq!(
            refused(vec![first]),
            "function `First` of operator set 16 in a model of 17 is not supported"
        );
    }
}
