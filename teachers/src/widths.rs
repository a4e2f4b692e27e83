//! Which type the integers of each value have: all run in 64 bits, and where the file has fewer,
//! sums and products must wrap.

use std::collections::HashMap;

use burn::tensor::DType;
use potstill_core::graph::Graph;
use potstill_core::op::{Attribute, ElementType};
use potstill_core::ops::wrapping::Wrapping;

/// Operators whose results may leave the type of their operands.
const GROWING: [&str; 15] = [
    "Add",
    "Sub",
    "Mul",
    "Neg",
    "Abs",
    "Pow",
    "Sum",
    "BitwiseNot",
    "BitShift",
    "Cast",
    "CastLike",
    "ReduceSum",
    "ReduceProd",
    "ReduceSumSquare",
    "CumSum",
];

/// Has what grows beyond its type wrap.
pub(crate) fn keep(graph: &mut Graph) {
    let mut types: HashMap<String, ElementType> = HashMap::new();
    for input in &graph.inputs {
        types.extend(input.element.map(|element| (input.name.clone(), element)));
    }
    for (name, tensor) in &graph.tensors {
        types.extend(element(tensor.data.dtype()).map(|element| (name.clone(), element)));
    }
    for node in &mut graph.nodes {
        let of = |place: usize| node.inputs.get(place).and_then(|name| types.get(name)).copied();
        let made = match node.op.name() {
            "Cast" => match node.attributes.get("to") {
                Some(Attribute::Int(code)) => ElementType::from_code(*code),
                _ => None,
            },
            "Constant" | "ConstantOfShape" => match node.attributes.get("value") {
                Some(Attribute::Tensor(_, data)) => element(data.dtype()),
                _ => None,
            },
            "QuantizeLinear" => of(2).or(Some(ElementType::Uint8)),
            "CastLike" | "Where" => of(1),
            "OneHot" => of(2),
            "Shape" | "Size" | "ArgMax" | "ArgMin" | "NonZero" => Some(ElementType::Int64),
            "Equal" | "Less" | "Greater" | "LessOrEqual" | "GreaterOrEqual" | "And" | "Or" | "Xor"
            | "Not" | "IsNaN" | "IsInf" => Some(ElementType::Bool),
            "DequantizeLinear" => Some(ElementType::Float),
            _ => of(0),
        };
        let Some(made) = made else { continue };
        // What a float outside the type becomes is left open by ONNX.
        let of_integers = of(0).is_some_and(|element| element.kind() == potstill_core::value::Kind::Int);
        if of_integers && GROWING.contains(&node.op.name()) {
            node.op = Wrapping::on(node.op.clone(), made);
        }
        if let Some(output) = node.outputs.first() {
            types.insert(output.clone(), made);
        }
    }
}

fn element(dtype: DType) -> Option<ElementType> {
    Some(match dtype {
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
        _ => return None,
    })
}
