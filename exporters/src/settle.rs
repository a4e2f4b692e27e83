//! What a student computes with in training and a file says otherwise, settled: binary weights are
//! stored, rounding is noted and left to quantisation.

use burn::tensor::Device;
use indexmap::IndexMap;
use potstill_core::graph::Graph;
use potstill_core::op::{Inputs, Mode, OpError, RunContext};
use potstill_core::ops::binarize::Binarize;
use potstill_core::ops::fake_quantize::{FakeQuantize, FakeQuantizeWeight};
use potstill_core::precision::Precision;
use potstill_core::value::Value;

use crate::ExportError;
use crate::quantise::Ranges;

/// Removes the operators that exist in training alone. Returns the ranges in which a student learnt
/// to compute in integers; `None` where it did not.
///
/// # Errors
/// A weight that is not stored.
pub fn settle(graph: &mut Graph) -> Result<Option<Ranges>, ExportError> {
    let mut ranges: Ranges = IndexMap::new();
    let mut learnt = false;
    let mut index = 0;
    while index < graph.nodes.len() {
        let node = &graph.nodes[index];
        let input = node.inputs.first().cloned().unwrap_or_default();
        if node.op.downcast::<FakeQuantizeWeight>().is_some() {
            learnt = true;
        } else if node.op.downcast::<FakeQuantize>().is_some() {
            learnt = true;
            let bound = |place: usize| -> Option<f32> {
                graph
                    .tensors
                    .get(node.inputs.get(place)?)?
                    .data
                    .iter::<f32>()
                    .next()
            };
            if let (Some(low), Some(high)) = (bound(1), bound(2)) {
                ranges.insert(input, [low, high]);
            }
        } else if let Some(binarize) = node.op.downcast::<Binarize>().copied() {
            let refuse = |source: OpError| potstill_core::graph::GraphError::Node {
                node: node.label().to_owned(),
                op: "Binarize".to_owned(),
                source,
            };
            let device = Device::flex();
            let stored = graph.tensors.get(&input);
            let weight = stored.map(|tensor| Value::from_data(tensor.data.clone(), &device));
            let context = RunContext {
                mode: Mode::Inference,
                device,
                precision: Precision::Fp32,
            };
            use potstill_core::op::Op;
            let made = binarize.run(&Inputs(&[weight]), &context).map_err(refuse)?;
            if let (Some(tensor), Some(value)) = (graph.tensors.get_mut(&input), made.into_iter().next()) {
                tensor.data = value.into_data().convert_dtype(tensor.data.dtype());
            }
        } else {
            index += 1;
            continue;
        }
        graph.bypass(index);
    }
    graph.prune_unused();
    Ok(learnt.then_some(ranges))
}
