//! Half precision: weights and computation in `float16`, inputs and outputs in `float`, with casts
//! at the borders.
//!
//! Numbers beyond what `float16` holds are cut to its largest, 65504. The scales of a Resize stay
//! floats, as ONNX wants them.

use std::collections::HashMap;

use burn::tensor::{DType, TensorData};
use half::f16;
use indexmap::IndexMap;
use potstill_core::graph::{Graph, Node};
use potstill_core::op::{Attribute, ElementType};
use potstill_core::ops::binary::{Arithmetic, Binary};
use potstill_core::ops::cast::Cast;
use potstill_core::ops::gemm::Gemm;

/// Puts a graph into half precision.
pub fn to_half(graph: &mut Graph) {
    for (name, tensor) in &mut graph.tensors {
        let stays = graph
            .nodes
            .iter()
            .any(|node| node.op.name() == "Resize" && node.inputs.iter().skip(1).any(|input| input == name));
        if !stays {
            tensor.data = half(&tensor.data);
        }
    }
    for node in &mut graph.nodes {
        for (key, attribute) in &mut node.attributes {
            match attribute {
                Attribute::Tensor(_, data) => *data = half(data),
                Attribute::Int(to) if key == "to" && *to == ElementType::Float as i64 => {
                    *to = ElementType::Float16 as i64;
                }
                _ => {}
            }
        }
    }
    for value in &mut graph.annotations {
        if value.element == Some(ElementType::Float) {
            value.element = Some(ElementType::Float16);
        }
    }
    part_biases(graph);
    cast_borders(graph);
}

/// The operator set from which on a Gemm may lack its bias.
const BIAS_OPTIONAL: i64 = 11;

/// Adds the bias of a Gemm by a node of its own: tract multiplies it by a `float`, whatever its
/// type.
fn part_biases(graph: &mut Graph) {
    if graph.model.opset() < BIAS_OPTIONAL {
        return;
    }
    let mut nodes = Vec::with_capacity(graph.nodes.len());
    for mut node in std::mem::take(&mut graph.nodes) {
        let plain = node
            .op
            .downcast::<Gemm>()
            .is_some_and(|gemm| gemm.alpha == 1.0 && gemm.beta == 1.0);
        let bias = node
            .inputs
            .get(2)
            .filter(|bias| plain && !bias.is_empty())
            .cloned();
        let (Some(bias), [output]) = (bias, node.outputs.as_slice()) else {
            nodes.push(node);
            continue;
        };
        let product = format!("{output}_product");
        let sum = Node {
            name: format!("{output}_sum"),
            op: Box::new(Binary(Arithmetic::Add)),
            attributes: IndexMap::new(),
            inputs: vec![product.clone(), bias],
            outputs: std::mem::replace(&mut node.outputs, vec![product]),
            doc: String::new(),
        };
        node.inputs.truncate(2);
        nodes.extend([node, sum]);
    }
    graph.nodes = nodes;
}

/// A cast after each float input and before each float output; the names of inputs and outputs
/// stay.
fn cast_borders(graph: &mut Graph) {
    let mut first = Vec::new();
    let mut renamed: HashMap<String, String> = HashMap::new();
    for input in graph.inputs.iter().filter(|input| is_float(input.element)) {
        let inside = format!("{}_half", input.name);
        first.push(cast(&input.name, &inside, ElementType::Float16));
        renamed.insert(input.name.clone(), inside);
    }
    let mut last = Vec::new();
    for output in graph.outputs.iter().filter(|output| is_float(output.element)) {
        if graph.producer(&output.name).is_none() {
            continue;
        }
        let inside = format!("{}_half", output.name);
        last.push(cast(&inside, &output.name, ElementType::Float));
        renamed.insert(output.name.clone(), inside);
    }
    for node in &mut graph.nodes {
        for name in node.inputs.iter_mut().chain(&mut node.outputs) {
            if let Some(new) = renamed.get(name) {
                name.clone_from(new);
            }
        }
    }
    first.append(&mut graph.nodes);
    first.append(&mut last);
    graph.nodes = first;
}

/// A border whose type is not stated is one of floats.
fn is_float(element: Option<ElementType>) -> bool {
    element.is_none_or(|element| element == ElementType::Float)
}

fn cast(from: &str, to: &str, element: ElementType) -> Node {
    Node {
        name: format!("{to}_cast"),
        op: Box::new(Cast { to: Some(element) }),
        attributes: IndexMap::from([("to".to_owned(), Attribute::Int(element as i64))]),
        inputs: vec![from.to_owned()],
        outputs: vec![to.to_owned()],
        doc: String::new(),
    }
}

fn half(data: &TensorData) -> TensorData {
    if !matches!(data.dtype(), DType::F32 | DType::F64) {
        return data.clone();
    }
    let largest = f16::MAX.to_f32();
    let values: Vec<f16> = data
        .clone()
        .convert_dtype(DType::F32)
        .iter::<f32>()
        .map(|x| f16::from_f32(if x.is_nan() { x } else { x.clamp(-largest, largest) }))
        .collect();
    TensorData::new(values, data.shape().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use potstill_core::zoo;

    #[test]
    fn the_borders_keep_their_names_and_types() {
        let mut graph = zoo::build("resnet8", 10, [3, 32, 32], 0).unwrap();
        to_half(&mut graph);
        graph.validate().unwrap();
        assert_eq!(graph.inputs[0].name, "input");
        assert_eq!(graph.nodes.last().unwrap().outputs, ["logits"]);
        assert!(
            graph
                .tensors
                .values()
                .all(|tensor| tensor.data.dtype() == DType::F16)
        );
    }

    #[test]
    fn numbers_beyond_half_precision_are_cut() {
        let data = TensorData::new(vec![1e6_f32, -1e6, 0.1], [3]);
        let values: Vec<f32> = half(&data).convert_dtype(DType::F32).iter().collect();
        assert_eq!(values[..2], [65504.0, -65504.0]);
        assert!((values[2] - 0.1).abs() < 1e-4);
    }
}
