//! A graph as an ONNX model. What decoding kept is written back as it was.

use std::io::Write;
use std::path::Path;

use burn::tensor::{DType, TensorData};
use indexmap::IndexMap;
use onnx_protobuf::attribute_proto::AttributeType;
use onnx_protobuf::tensor_shape_proto::{Dimension, dimension};
use onnx_protobuf::{
    AttributeProto, GraphProto, Message, ModelProto, NodeProto, OperatorSetIdProto, StringStringEntryProto,
    TensorProto, TensorShapeProto, TypeProto, ValueInfoProto, type_proto,
};
use potstill_core::files::write_whole;
use potstill_core::graph::{Graph, Node};
use potstill_core::op::{Attribute, Dim, ElementType, ValueInfo};
use protobuf::MessageField;

use crate::ExportError;

/// Before this version of the format, weights stand among the inputs too.
const WEIGHTS_ARE_NO_INPUTS: i64 = 4;

/// The bytes of a model.
///
/// # Errors
/// A tensor in an element type that ONNX does not have.
pub fn encode(graph: &Graph) -> Result<Vec<u8>, ExportError> {
    model(graph)?.write_to_bytes().map_err(ExportError::Encode)
}

/// Writes bytes to a temporary name beside `path` and renames, so that no half-written file is ever
/// left under that name.
///
/// # Errors
/// The system's answer, with the path.
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), ExportError> {
    write_whole(path, |file| file.write_all(bytes)).map_err(|source| ExportError::Io {
        path: path.to_owned(),
        source,
    })
}

fn model(graph: &Graph) -> Result<ModelProto, ExportError> {
    let info = &graph.model;
    let mut model = ModelProto::new();
    model.ir_version = if info.ir_version == 0 {
        ir_version(info.opset())
    } else {
        info.ir_version
    };
    model.opset_import = info
        .opsets
        .iter()
        .map(|(domain, version)| {
            let mut set = OperatorSetIdProto::new();
            set.domain = domain.clone();
            set.version = *version;
            set
        })
        .collect();
    model.producer_name = info.producer.clone();
    model.producer_version = info.producer_version.clone();
    model.domain = info.domain.clone();
    model.model_version = info.version;
    model.doc_string = info.doc.clone();
    model.metadata_props = entries(&info.metadata);
    model.graph = MessageField::some(graph_proto(graph, model.ir_version)?);
    Ok(model)
}

/// The format version that came with an operator set (ONNX's table of versions), 12 at most.
fn ir_version(opset: i64) -> i64 {
    match opset {
        ..=9 => 4,
        10 => 5,
        11 => 6,
        12..=14 => 7,
        15..=18 => 8,
        19..=20 => 9,
        21..=22 => 10,
        23 => 11,
        _ => 12,
    }
}

fn graph_proto(graph: &Graph, ir_version: i64) -> Result<GraphProto, ExportError> {
    let mut proto = GraphProto::new();
    proto.name = if graph.name.is_empty() {
        "graph".to_owned()
    } else {
        graph.name.clone()
    };
    proto.doc_string = graph.model.graph_doc.clone();
    proto.metadata_props = entries(&graph.model.graph_metadata);
    proto.node = graph.nodes.iter().map(node_proto).collect::<Result<_, _>>()?;
    proto.initializer = graph
        .tensors
        .iter()
        .map(|(name, tensor)| tensor_proto(name, &tensor.data))
        .collect::<Result<_, _>>()?;
    proto.input = graph.inputs.iter().map(value_proto).collect();
    if ir_version < WEIGHTS_ARE_NO_INPUTS {
        for (name, tensor) in &graph.tensors {
            let dims = tensor
                .data
                .shape()
                .iter()
                .map(|extent| Dim::Known(*extent))
                .collect();
            let element = Some(element(name, tensor.data.dtype())?);
            let info = ValueInfo {
                name: name.clone(),
                element,
                dims: Some(dims),
                doc: String::new(),
            };
            proto.input.push(value_proto(&info));
        }
    }
    proto.output = graph.outputs.iter().map(value_proto).collect();
    proto.value_info = graph.annotations.iter().map(value_proto).collect();
    Ok(proto)
}

fn node_proto(node: &Node) -> Result<NodeProto, ExportError> {
    let mut proto = NodeProto::new();
    proto.name = node.name.clone();
    proto.op_type = node.op.name().to_owned();
    proto.input = node.inputs.clone();
    proto.output = node.outputs.clone();
    proto.doc_string = node.doc.clone();
    proto.attribute = node
        .attributes
        .iter()
        .map(|(name, attribute)| attribute_proto(name, attribute))
        .collect::<Result<_, _>>()?;
    Ok(proto)
}

fn attribute_proto(name: &str, attribute: &Attribute) -> Result<AttributeProto, ExportError> {
    let mut proto = AttributeProto::new();
    let kind = match attribute {
        Attribute::Opaque(bytes) => {
            return AttributeProto::parse_from_bytes(bytes).map_err(ExportError::Encode);
        }
        Attribute::Int(value) => {
            proto.i = *value;
            AttributeType::INT
        }
        Attribute::Float(value) => {
            proto.f = *value;
            AttributeType::FLOAT
        }
        Attribute::String(value) => {
            proto.s = value.clone();
            AttributeType::STRING
        }
        Attribute::Ints(values) => {
            proto.ints = values.clone();
            AttributeType::INTS
        }
        Attribute::Floats(values) => {
            proto.floats = values.clone();
            AttributeType::FLOATS
        }
        Attribute::Strings(values) => {
            proto.strings = values.clone();
            AttributeType::STRINGS
        }
        Attribute::Tensor(tensor, data) => {
            proto.t = MessageField::some(tensor_proto(tensor, data)?);
            AttributeType::TENSOR
        }
    };
    proto.name = name.to_owned();
    proto.type_ = kind.into();
    Ok(proto)
}

fn tensor_proto(name: &str, data: &TensorData) -> Result<TensorProto, ExportError> {
    let mut proto = TensorProto::new();
    proto.name = name.to_owned();
    proto.data_type = element(name, data.dtype())? as i32;
    proto.dims = data.shape().iter().map(|extent| *extent as i64).collect();
    // Burn holds elements as ONNX stores them: little-endian, booleans as one byte each.
    proto.raw_data = data.bytes().to_vec();
    Ok(proto)
}

fn element(name: &str, dtype: DType) -> Result<ElementType, ExportError> {
    Ok(match dtype {
        DType::F32 => ElementType::Float,
        DType::F64 => ElementType::Double,
        DType::F16 => ElementType::Float16,
        DType::BF16 => ElementType::Bfloat16,
        DType::I8 => ElementType::Int8,
        DType::I16 => ElementType::Int16,
        DType::I32 => ElementType::Int32,
        DType::I64 => ElementType::Int64,
        DType::U8 => ElementType::Uint8,
        DType::U16 => ElementType::Uint16,
        DType::U32 => ElementType::Uint32,
        DType::U64 => ElementType::Uint64,
        DType::Bool(_) => ElementType::Bool,
        other => {
            return Err(ExportError::ElementType {
                tensor: name.to_owned(),
                got: format!("{other:?}"),
            });
        }
    })
}

fn value_proto(info: &ValueInfo) -> ValueInfoProto {
    let mut proto = ValueInfoProto::new();
    proto.name = info.name.clone();
    proto.doc_string = info.doc.clone();
    if info.element.is_some() || info.dims.is_some() {
        let mut tensor = type_proto::Tensor::new();
        tensor.elem_type = info.element.map_or(0, |element| element as i32);
        if let Some(dims) = &info.dims {
            let mut shape = TensorShapeProto::new();
            shape.dim = dims.iter().map(dimension_proto).collect();
            tensor.shape = MessageField::some(shape);
        }
        let mut kind = TypeProto::new();
        kind.value = Some(type_proto::Value::TensorType(tensor));
        proto.type_ = MessageField::some(kind);
    }
    proto
}

fn dimension_proto(dim: &Dim) -> Dimension {
    let mut proto = Dimension::new();
    proto.value = match dim {
        Dim::Known(extent) => Some(dimension::Value::DimValue(*extent as i64)),
        Dim::Symbol(name) => Some(dimension::Value::DimParam(name.clone())),
        Dim::Unknown => None,
    };
    proto
}

fn entries(pairs: &IndexMap<String, String>) -> Vec<StringStringEntryProto> {
    let entry = |(key, value): (&String, &String)| {
        let mut entry = StringStringEntryProto::new();
        entry.key = key.clone();
        entry.value = value.clone();
        entry
    };
    pairs.iter().map(entry).collect()
}
