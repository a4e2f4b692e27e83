//! An ONNX model as a graph: names, attributes, element types and metadata as the file has them, so
//! that encoding gives back the same model.

use std::collections::HashSet;
use std::path::Path;

use indexmap::IndexMap;
use onnx_protobuf::{Message, ModelProto, NodeProto, StringStringEntryProto};
use potstill_core::graph::{Graph, ModelInfo, Node, StoredTensor};
use potstill_core::op::{OpError, Role};
use potstill_core::ops::aligned::Aligned;
use potstill_core::ops::table;

use crate::error::DecodeError;
use crate::inline;
use crate::legacy;
use crate::node::{domain, is_own, node_error, provisional, read_node, trainable};
use crate::order;
use crate::proto::{tensor, value_info};
use crate::widths;

/// Reads a model from a file; external data is looked for beside it.
///
/// ```
/// use std::path::Path;
///
/// use potstill_teachers::decode_file;
///
/// let graph = decode_file(Path::new("../model/glyphs-resnet20.onnx"))?;
/// println!("{} values can be tapped", graph.nodes.len());
/// assert_eq!(graph.outputs[0].shape_text(), "[batch, 20]");
/// # Ok::<(), potstill_teachers::DecodeError>(())
/// ```
///
/// # Errors
/// A file that is missing, truncated, no ONNX model, or uses what is not supported.
pub fn decode_file(path: &Path) -> Result<Graph, DecodeError> {
    let bytes = std::fs::read(path).map_err(|source| DecodeError::Io {
        path: path.display().to_string(),
        source,
    })?;
    decode(&bytes, path.parent())
}

/// Reads a model from bytes; `folder` is where external data is looked for.
///
/// # Errors
/// As [`decode_file`].
pub fn decode(bytes: &[u8], folder: Option<&Path>) -> Result<Graph, DecodeError> {
    let not_onnx = |reason: String| DecodeError::NotOnnx { reason };
    let mut model = ModelProto::parse_from_bytes(bytes).map_err(|error| not_onnx(error.to_string()))?;
    if let Some(graph) = model.graph.as_mut() {
        order::sort(graph)?;
    }
    let proto = model
        .graph
        .as_ref()
        .ok_or_else(|| not_onnx("it holds no graph".to_owned()))?;
    if proto.node.is_empty() {
        return Err(not_onnx("its graph holds no nodes".to_owned()));
    }
    if !proto.sparse_initializer.is_empty() {
        return Err(DecodeError::Feature {
            what: "a sparse weight".to_owned(),
        });
    }
    let info = model_info(&model);
    let opset = info.opset();
    let range = table::OLDEST_OPSET..=table::NEWEST_OPSET;
    if !range.contains(&opset) {
        return Err(DecodeError::Opset {
            got: opset,
            oldest: *range.start(),
            newest: *range.end(),
        });
    }
    let mut tensors: IndexMap<String, StoredTensor> = IndexMap::with_capacity(proto.initializer.len());
    for initializer in &proto.initializer {
        tensors.insert(
            initializer.name.clone(),
            provisional(tensor(initializer, folder)?),
        );
    }
    let mut graph = Graph {
        name: proto.name.clone(),
        // Files before IR version 4 list their weights among the inputs.
        inputs: proto
            .input
            .iter()
            .filter(|input| !tensors.contains_key(&input.name))
            .map(value_info)
            .collect::<Result<_, _>>()?,
        outputs: proto.output.iter().map(value_info).collect::<Result<_, _>>()?,
        annotations: proto
            .value_info
            .iter()
            .map(value_info)
            .collect::<Result<_, _>>()?,
        nodes: Vec::new(),
        tensors,
        model: info,
    };
    let protos = inline::straight(&model, &mut graph, folder)?;
    graph.nodes = nodes(&protos, &mut graph, folder)?;
    if opset < legacy::MODERN {
        graph.model.opsets.insert(String::new(), legacy::MODERN);
    }
    widths::keep(&mut graph);
    let roles = roles(&graph.nodes, &graph.tensors);
    for (name, tensor) in &mut graph.tensors {
        tensor.role = roles.get(name).copied().unwrap_or(Role::Constant);
    }
    graph.validate()?;
    Ok(graph)
}

/// Reads what a model says of itself: inputs, outputs and metadata, as a graph without nodes.
/// Nodes, tensors and operator sets are not looked at.
///
/// # Errors
/// Bytes that are no ONNX model, an element type that is not supported.
pub(crate) fn decode_head(bytes: &[u8]) -> Result<Graph, DecodeError> {
    let not_onnx = |reason: String| DecodeError::NotOnnx { reason };
    let model = ModelProto::parse_from_bytes(bytes).map_err(|error| not_onnx(error.to_string()))?;
    Ok(Graph {
        name: model.graph.name.clone(),
        inputs: model
            .graph
            .input
            .iter()
            .map(value_info)
            .collect::<Result<_, _>>()?,
        outputs: model
            .graph
            .output
            .iter()
            .map(value_info)
            .collect::<Result<_, _>>()?,
        model: model_info(&model),
        ..Graph::default()
    })
}

fn model_info(model: &ModelProto) -> ModelInfo {
    ModelInfo {
        ir_version: model.ir_version,
        opsets: model
            .opset_import
            .iter()
            .map(|set| (domain(&set.domain).to_owned(), set.version))
            .collect(),
        producer: model.producer_name.clone(),
        producer_version: model.producer_version.clone(),
        domain: model.domain.clone(),
        version: model.model_version,
        doc: model.doc_string.clone(),
        graph_doc: model.graph.doc_string.clone(),
        metadata: pairs(&model.metadata_props),
        graph_metadata: pairs(&model.graph.metadata_props),
    }
}

fn pairs(entries: &[StringStringEntryProto]) -> IndexMap<String, String> {
    entries
        .iter()
        .map(|entry| (entry.key.clone(), entry.value.clone()))
        .collect()
}

fn nodes(protos: &[NodeProto], graph: &mut Graph, folder: Option<&Path>) -> Result<Vec<Node>, DecodeError> {
    let of_nodes = protos.iter().flat_map(|proto| &proto.input).cloned();
    let outputs = graph.outputs.iter().map(|output| output.name.clone());
    let read: HashSet<String> = of_nodes.chain(outputs).collect();
    let mut unsupported: IndexMap<String, usize> = IndexMap::new();
    let mut nodes = Vec::with_capacity(protos.len());
    let mut refused = None;
    for proto in protos {
        let (modern, axis);
        let (proto, axis) = if graph.model.opset() < legacy::MODERN {
            (modern, axis) = legacy::modern(proto, graph);
            (&modern, axis)
        } else {
            (proto, None)
        };
        match read_with_outputs(proto, graph, folder, &read)? {
            None => {
                let name = if is_own(&proto.domain) {
                    proto.op_type.clone()
                } else {
                    format!("{}::{}", proto.domain, proto.op_type)
                };
                *unsupported.entry(name).or_default() += 1;
            }
            Some(Ok(mut node)) => {
                if let Some(axis) = axis {
                    node.op = Box::new(Aligned::new(node.op, axis));
                }
                nodes.push(node);
            }
            Some(Err(source)) => {
                refused.get_or_insert_with(|| node_error(proto, source));
            }
        }
    }
    if !unsupported.is_empty() {
        unsupported.sort_by(|name_a, a, name_b, b| b.cmp(a).then(name_a.cmp(name_b)));
        return Err(DecodeError::Unsupported {
            operators: unsupported.into_iter().collect(),
        });
    }
    refused.map_or(Ok(nodes), Err)
}

/// A node; where its operator refuses outputs that nobody reads, the node without them.
fn read_with_outputs(
    proto: &NodeProto,
    graph: &Graph,
    folder: Option<&Path>,
    read: &HashSet<String>,
) -> Result<Option<Result<Node, OpError>>, DecodeError> {
    let whole = read_node(proto, graph, folder)?;
    let kept = proto.output.iter().rposition(|output| read.contains(output));
    let kept = kept.map_or(1, |last| last + 1);
    if !matches!(whole, Some(Err(_))) || kept >= proto.output.len() {
        return Ok(whole);
    }
    let mut fewer = proto.clone();
    fewer.output.truncate(kept);
    match read_node(&fewer, graph, folder)? {
        Some(Ok(node)) => Ok(Some(Ok(node))),
        _ => Ok(whole),
    }
}

/// What each stored tensor is for, from where the nodes read it.
/// Exporters share equal tensors through `Identity` nodes, which are looked through.
fn roles(nodes: &[Node], tensors: &IndexMap<String, StoredTensor>) -> IndexMap<String, Role> {
    let mut roles: IndexMap<String, Role> = IndexMap::new();
    let mut copies: IndexMap<&str, &str> = IndexMap::new();
    for node in nodes {
        if let ("Identity", [input], [output]) =
            (node.op.name(), node.inputs.as_slice(), node.outputs.as_slice())
        {
            copies.insert(output, copies.get(input.as_str()).copied().unwrap_or(input));
            continue;
        }
        for (index, name) in node.inputs.iter().enumerate() {
            let name = copies.get(name.as_str()).copied().unwrap_or(name);
            let Some(tensor) = tensors.get(name) else { continue };
            let role = match node.op.role(index) {
                Role::Weight if !trainable(&tensor.data) => Role::Constant,
                role => role,
            };
            let known = roles.entry(name.to_owned()).or_insert(role);
            // Buffers are never trained, whoever else reads them; weights stay weights beside a
            // constant use.
            if *known == Role::Constant || role == Role::Buffer {
                *known = role;
            }
        }
    }
    roles
}
