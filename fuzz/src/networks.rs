//! Networks from ONNX files.

use burn::tensor::{Device, TensorData};
use potstill_core::graph::{Dim, Graph, ValueInfo, infer, summarise};
use potstill_core::network::Network;
use potstill_core::op::Mode;
use potstill_core::value::{Kind, Value};
use potstill_teachers::decode;

use super::worded;

/// A network is run where none of its values has more elements than this, and where it takes no
/// more multiply-adds.
const MOST_ELEMENTS: usize = 1 << 14;
const MOST_WORK: u64 = 1 << 20;

/// The bytes as an ONNX model: decoded, inferred at two batch sizes, summarised, told apart from
/// others.
pub fn onnx(bytes: &[u8]) {
    let Some(graph) = worded(decode(bytes, None)) else {
        return;
    };
    worded(summarise(&graph));
    drop(graph.fingerprint());
}

/// The bytes as an ONNX model that is run on small inputs, in training and for its answer.
pub fn network(bytes: &[u8]) {
    let Some(graph) = worded(decode(bytes, None)) else {
        return;
    };
    let device = Device::flex();
    let Some(network) = worded(Network::new(graph.clone(), &device)) else {
        return;
    };
    for (batch, open) in [(1, 1), (2, 5)] {
        let Some((sized, inputs)) = fed(&graph, batch, open, &device) else {
            return;
        };
        if !is_small(&sized) {
            continue;
        }
        for mode in [Mode::Inference, Mode::Training] {
            worded(network.run(inputs.clone(), &[], mode));
        }
    }
}

/// Small numbers of the declared kinds in the declared shapes, with open axes as given; and the
/// graph with these shapes.
fn fed(graph: &Graph, batch: usize, open: usize, device: &Device) -> Option<(Graph, Vec<(String, Value)>)> {
    let mut sized = graph.clone();
    let mut inputs = Vec::new();
    for input in &mut sized.inputs {
        let value = numbers(input, batch, open, device)?;
        input.dims = Some(value.dims().into_iter().map(Dim::Known).collect());
        inputs.push((input.name.clone(), value));
    }
    Some((sized, inputs))
}

fn numbers(input: &ValueInfo, batch: usize, open: usize, device: &Device) -> Option<Value> {
    let extent = |(axis, dim): (usize, &Dim)| match dim {
        Dim::Known(extent) => *extent,
        _ if axis == 0 => batch,
        _ => open,
    };
    let dims: Vec<usize> = input.dims.as_ref()?.iter().enumerate().map(extent).collect();
    let count = dims
        .iter()
        .try_fold(1_usize, |count, extent| count.checked_mul(*extent));
    let count = count.filter(|count| *count <= MOST_ELEMENTS)?;
    let data = match input.element.map_or(Kind::Float, |element| element.kind()) {
        Kind::Float => TensorData::new((0..count).map(|i| (i as f32).sin()).collect::<Vec<f32>>(), dims),
        Kind::Int => TensorData::new((0..count).map(|i| i as i64 % 3 - 1).collect::<Vec<i64>>(), dims),
        Kind::Bool => TensorData::new((0..count).map(|i| i % 2 == 0).collect::<Vec<bool>>(), dims),
    };
    Some(Value::from_data(data, device))
}

fn is_small(graph: &Graph) -> bool {
    let Some(facts) = worded(infer(graph, 1)) else {
        return false;
    };
    let work = summarise(graph).map_or(u64::MAX, |summary| summary.multiply_adds);
    facts.values().all(|fact| fact.len() <= MOST_ELEMENTS) && work <= MOST_WORK
}
