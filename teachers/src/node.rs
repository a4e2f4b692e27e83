//! One node of a file, and a tensor before the nodes say what it is for.

use std::path::Path;

use burn::tensor::{DType, TensorData};
use onnx_protobuf::NodeProto;
use potstill_core::graph::{Graph, Node, StoredTensor};
use potstill_core::op::{Attributes, Role};
use potstill_core::op::{Op, OpError};
use potstill_core::ops::table;

use crate::error::DecodeError;
use crate::proto::attribute;

/// A tensor before the nodes say what it is for.
pub(crate) fn provisional(data: TensorData) -> StoredTensor {
    let role = match trainable(&data) {
        true => Role::Weight,
        false => Role::Constant,
    };
    StoredTensor { role, data }
}

/// `ai.onnx` is the long form of ONNX's own domain.
pub(crate) fn domain(domain: &str) -> &str {
    if domain == "ai.onnx" { "" } else { domain }
}

/// Whether a domain is ONNX's own.
pub(crate) fn is_own(name: &str) -> bool {
    domain(name).is_empty()
}

/// A node of ONNX's own domain, or why its operator refuses it; `None` for an operator that is not
/// in the table.
pub(crate) fn read_node(
    proto: &NodeProto,
    graph: &Graph,
    folder: Option<&Path>,
) -> Result<Option<Result<Node, OpError>>, DecodeError> {
    let attributes: Attributes = proto
        .attribute
        .iter()
        .map(|proto| Ok((proto.name.clone(), attribute(proto, folder)?)))
        .collect::<Result<_, DecodeError>>()?;
    if !is_own(&proto.domain) {
        return Ok(None);
    }
    let stored: Vec<Option<DType>> = proto
        .input
        .iter()
        .map(|name| graph.tensors.get(name).map(|tensor| tensor.data.dtype()))
        .collect();
    let opset = graph.model.opset();
    let read = table::read_stored(&proto.op_type, opset, &stored, proto.output.len(), &attributes);
    Ok(read.map(|read| read.map(|op| node(proto, op, attributes))))
}

fn node(proto: &NodeProto, op: Box<dyn Op>, attributes: Attributes) -> Node {
    Node {
        name: proto.name.clone(),
        op,
        attributes,
        inputs: proto.input.clone(),
        outputs: proto.output.clone(),
        doc: proto.doc_string.clone(),
    }
}

pub(crate) fn node_error(proto: &NodeProto, source: OpError) -> DecodeError {
    let name = if proto.name.is_empty() {
        proto.output.first()
    } else {
        Some(&proto.name)
    };
    DecodeError::Node {
        node: name.cloned().unwrap_or_default(),
        op: proto.op_type.clone(),
        source,
    }
}

/// A single number (an epsilon, a factor) is never trained.
pub(crate) fn trainable(data: &TensorData) -> bool {
    data.dtype().is_float() && !data.shape().is_empty() && data.shape().num_elements() > 1
}
