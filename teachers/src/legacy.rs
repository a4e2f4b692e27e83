//! Nodes of the operator sets 6 to 8 in the form of set 9: what changed up to it is attributes that
//! went, scales of `Upsample` that became an input, and how two operands are aligned.

use burn::tensor::TensorData;
use onnx_protobuf::NodeProto;
use potstill_core::graph::{Graph, StoredTensor};
use potstill_core::op::Role;

/// The operator set whose forms are made.
pub(crate) const MODERN: i64 = 9;
/// The operator set that brought NumPy's broadcasting.
const BROADCASTING: i64 = 7;

const OF_TWO_OPERANDS: [&str; 11] = [
    "Add", "Sub", "Mul", "Div", "Pow", "And", "Or", "Xor", "Equal", "Less", "Greater",
];

/// A node in the modern form, and the axis at which its second operand begins where NumPy's rule
/// does not hold. Scales of an `Upsample` are stored in the graph.
pub(crate) fn modern(proto: &NodeProto, graph: &mut Graph) -> (NodeProto, Option<usize>) {
    let mut proto = proto.clone();
    let opset = graph.model.opset();
    let int = |proto: &NodeProto, name: &str| {
        let attribute = proto.attribute.iter().find(|attribute| attribute.name == name);
        attribute.map(|attribute| attribute.i)
    };
    let mut axis = None;
    let mut gone = vec!["consumed_inputs", "is_test"];
    match proto.op_type.as_str() {
        // Statistics of every place would be 0; they are refused as an unknown attribute.
        "BatchNormalization" if int(&proto, "spatial") != Some(0) => gone.push("spatial"),
        "Gemm" => gone.push("broadcast"),
        "LSTM" | "GRU" | "RNN" => gone.push("output_sequence"),
        "PRelu" if opset < BROADCASTING => axis = Some(1),
        "Upsample" => upsample(&mut proto, graph),
        name if opset < BROADCASTING && OF_TWO_OPERANDS.contains(&name) => {
            axis = int(&proto, "axis").and_then(|axis| usize::try_from(axis).ok());
            gone.push("broadcast");
            if axis.is_some() {
                gone.push("axis");
            }
        }
        _ => {}
    }
    proto
        .attribute
        .retain(|attribute| !gone.contains(&attribute.name.as_str()));
    (proto, axis)
}

/// Stores the scales of an `Upsample` and has it read them.
fn upsample(proto: &mut NodeProto, graph: &mut Graph) {
    let find = |name: &str| proto.attribute.iter().find(|attribute| attribute.name == name);
    let scales = match (find("scales"), find("height_scale"), find("width_scale")) {
        (Some(scales), ..) => scales.floats.clone(),
        (None, Some(height), Some(width)) => vec![1.0, 1.0, height.f, width.f],
        _ => return,
    };
    let output = proto.output.first().map_or("", String::as_str);
    let name = format!("{output}/scales");
    let data = TensorData::new(scales.clone(), [scales.len()]);
    let role = Role::Constant;
    graph.tensors.insert(name.clone(), StoredTensor { role, data });
    proto.input.truncate(1);
    proto.input.push(name);
    proto
        .attribute
        .retain(|attribute| !["scales", "height_scale", "width_scale"].contains(&attribute.name.as_str()));
}
