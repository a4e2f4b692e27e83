//! What single numbers become in half precision, by what reads them.

use burn::tensor::{DType, TensorData};
use half::f16;
use potstill_core::graph::{Graph, Node};

use crate::ExportError;

/// Magnitude from which on a number stands for infinity: what masks add.
pub(super) const STANDS_FOR_INFINITY: f32 = 1e8;
/// What a number becomes that would be zero.
pub(super) const LEAST: f32 = 1e-7;
/// Operators whose constants are bounds, or are chosen as they are.
const BOUNDS: &[&str] = &["Clip", "Min", "Max", "Where"];
/// Operators whose constants are factors.
const FACTORS: &[&str] = &["Mul", "Div"];
/// Operators that hand on the numbers of their first input.
const MOVES: &[&str] = &[
    "Identity",
    "Cast",
    "CastLike",
    "Reshape",
    "Flatten",
    "Squeeze",
    "Unsqueeze",
    "Transpose",
    "Expand",
    "Tile",
];

/// The nodes that compute with the numbers of a value: who moves them only is looked through.
pub(super) fn readers<'a>(graph: &'a Graph, value: &str) -> Vec<&'a Node> {
    let mut moved = vec![value.to_owned()];
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(name) = moved.get(at).cloned() {
        for node in graph.consumers(&name).into_iter().map(|at| &graph.nodes[at]) {
            let moves = MOVES.contains(&node.op.name()) && node.inputs.first() == Some(&name);
            match node.outputs.first() {
                Some(output) if moves => moved.push(output.clone()),
                _ => found.push(node),
            }
        }
        at += 1;
    }
    found
}

/// Whether a number that is not zero would be zero.
pub(super) fn vanishes(x: f32) -> bool {
    x != 0.0 && f16::from_f32(x).to_f32() == 0.0
}

/// A tensor in half precision; `name` and `readers` are its own, for what it may become.
///
/// # Errors
/// [`ExportError::Half`] with a number that no reader takes for another.
pub(super) fn half(data: &TensorData, name: &str, readers: &[&Node]) -> Result<TensorData, ExportError> {
    if !matches!(data.dtype(), DType::F32 | DType::F64 | DType::BF16) {
        return Ok(data.clone());
    }
    // Beyond what `float32` holds is infinite there.
    let values: Vec<f32> = data.clone().convert_dtype(DType::F32).iter().collect();
    let refuse = |number: f32, node: &Node| {
        Err(ExportError::Half {
            tensor: name.to_owned(),
            number,
            node: node.label().to_owned(),
            op: node.op.name().to_owned(),
        })
    };
    let largest = f16::MAX.to_f32();
    let too_large = |x: &&f32| x.abs() > largest && x.abs() < STANDS_FOR_INFINITY;
    let no_bound = readers.iter().find(|node| !BOUNDS.contains(&node.op.name()));
    if let (Some(number), Some(node)) = (values.iter().find(too_large), no_bound) {
        return refuse(*number, node);
    }
    let factor = readers.iter().find(|node| FACTORS.contains(&node.op.name()));
    if let ([number], Some(node)) = (values.as_slice(), factor)
        && vanishes(*number)
    {
        return refuse(*number, node);
    }
    let halved = |x: f32| match x {
        x if x.is_nan() => f16::NAN,
        x if vanishes(x) => f16::from_f32(x.signum() * LEAST),
        x => f16::from_f32(x.clamp(-largest, largest)),
    };
    let halves: Vec<f16> = values.into_iter().map(halved).collect();
    Ok(TensorData::new(halves, data.shape().to_vec()))
}
