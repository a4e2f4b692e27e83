//! A network in 8-bit integers, in ONNX's QDQ form: QuantizeLinear and DequantizeLinear around what
//! runtimes then compute in integers.
//!
//! Weights are `int8`, symmetric, with a scale for each output channel; activations `int8` with a
//! zero point, one scale for a value; biases `int32` in the product of both scales. As in ONNX
//! Runtime's static quantisation, so that its kernels (and those of others that read QDQ) fit.
//! Activations in `uint8` would be as good a form, but on processors without VNNI ONNX Runtime
//! multiplies them with `int8` in 16 bits, which saturate: a ResNet-8's logits were off by 8 % of
//! the largest, and by 0.4 % with `int8`, as in floats.

mod calibration;

pub use calibration::{Calibration, Method, Ranges, calibrate};

use std::collections::HashMap;

use burn::tensor::{DType, TensorData};
use indexmap::IndexMap;
use potstill_core::graph::{Graph, Node, StoredTensor};
use potstill_core::op::{Attribute, Role};
use potstill_core::ops::fake_quantize::{LARGEST_WEIGHT, Scale};
use potstill_core::ops::gemm::Gemm;
use potstill_core::ops::quantize_linear::{DequantizeLinear, QuantizeLinear};

use crate::ExportError;

/// The oldest operator set in which a scale may belong to a channel.
pub const OLDEST_OPSET: i64 = 13;

/// Steps are counted from 0; `int8` begins so far below.
const SHIFT: i16 = 128;
/// Largest magnitude of a quantised bias; half of what `int32` holds leaves room for the sum that
/// it is added to.
const LARGEST_BIAS: f32 = (1_i64 << 30) as f32;
/// Rewrites a graph in QDQ form: every value in `ranges` as `int8` with a zero point, the weights
/// and biases of the products that read them as `int8` and `int32`.
///
/// # Errors
/// An operator set without scales for each channel; a range that is not finite.
pub fn quantise(graph: &mut Graph, ranges: &Ranges) -> Result<(), ExportError> {
    if graph.model.opset() < OLDEST_OPSET {
        return Err(ExportError::QuantisedOpset {
            got: graph.model.opset(),
            oldest: OLDEST_OPSET,
        });
    }
    if let Some((value, range)) = ranges
        .iter()
        .find(|(_, range)| !range.iter().all(|x| x.is_finite()))
    {
        return Err(ExportError::Range {
            value: value.clone(),
            range: *range,
        });
    }
    let scales: IndexMap<&str, Scale> = ranges
        .iter()
        .map(|(name, range)| (name.as_str(), Scale::of(*range)))
        .collect();
    let mut made: HashMap<(String, Option<usize>), Vec<f32>> = HashMap::new();
    let mut first = Vec::new();
    for index in 0..graph.nodes.len() {
        let node = &graph.nodes[index];
        let scale = node.inputs.first().and_then(|input| scales.get(input.as_str()));
        if let Some(scale) = scale {
            weight(graph, index, scale.step, &mut made, &mut first);
        }
    }
    let mut nodes = first;
    let rename = |node: &mut Node| {
        for input in &mut node.inputs {
            if scales.contains_key(input.as_str()) {
                *input = dequantised(input);
            }
        }
    };
    let inputs: Vec<String> = graph.inputs.iter().map(|input| input.name.clone()).collect();
    for value in inputs {
        if let Some(scale) = scales.get(value.as_str()) {
            nodes.extend(activation(graph, &value, *scale));
        }
    }
    for mut node in std::mem::take(&mut graph.nodes) {
        rename(&mut node);
        let outputs = node.outputs.clone();
        nodes.push(node);
        for value in outputs {
            if let Some(scale) = scales.get(value.as_str()) {
                nodes.extend(activation(graph, &value, *scale));
            }
        }
    }
    graph.nodes = nodes;
    graph.prune_unused();
    Ok(())
}

fn dequantised(value: &str) -> String {
    format!("{value}_dequantized")
}

/// The pair of nodes behind a value.
fn activation(graph: &mut Graph, value: &str, scale: Scale) -> [Node; 2] {
    let (step, zero) = (format!("{value}_scale"), format!("{value}_zero_point"));
    store(
        graph,
        &step,
        TensorData::new(vec![scale.step], Vec::<usize>::new()),
    );
    store(
        graph,
        &zero,
        TensorData::new(vec![(i16::from(scale.zero) - SHIFT) as i8], Vec::<usize>::new()),
    );
    let whole = format!("{value}_quantized");
    let quantize = Node {
        name: format!("{value}_QuantizeLinear"),
        op: Box::new(QuantizeLinear {
            axis: 1,
            range: [f32::from(i8::MIN), f32::from(i8::MAX)],
        }),
        attributes: IndexMap::new(),
        inputs: vec![value.to_owned(), step.clone(), zero.clone()],
        outputs: vec![whole.clone()],
        doc: String::new(),
    };
    [quantize, dequantize(&whole, value, step, Some(zero), None)]
}

fn dequantize(whole: &str, value: &str, step: String, zero: Option<String>, axis: Option<usize>) -> Node {
    let axis = axis.map(|axis| axis as i64);
    let mut inputs = vec![whole.to_owned(), step];
    inputs.extend(zero);
    Node {
        name: format!("{value}_DequantizeLinear"),
        op: Box::new(DequantizeLinear {
            axis: axis.unwrap_or(1),
        }),
        attributes: axis
            .map(|axis| ("axis".to_owned(), Attribute::Int(axis)))
            .into_iter()
            .collect(),
        inputs,
        outputs: vec![dequantised(value)],
        doc: String::new(),
    }
}

fn store(graph: &mut Graph, name: &str, data: TensorData) {
    let role = Role::Constant;
    graph.tensors.insert(name.to_owned(), StoredTensor { role, data });
}

fn floats(graph: &Graph, name: &str) -> Option<Vec<f32>> {
    let data = &graph.tensors.get(name)?.data;
    data.dtype()
        .is_float()
        .then(|| data.clone().convert_dtype(DType::F32).iter().collect())
}

/// Quantises weight and bias of the node at `index`, which reads a value in steps of `step`.
fn weight(
    graph: &mut Graph,
    index: usize,
    step: f32,
    made: &mut HashMap<(String, Option<usize>), Vec<f32>>,
    nodes: &mut Vec<Node>,
) -> Option<()> {
    let node = &graph.nodes[index];
    let name = node.inputs.get(1)?.clone();
    let dims = graph.tensors.get(&name)?.data.shape().to_vec();
    let axis = node.channel_axis(dims.len())?;
    let values = floats(graph, &name)?;
    // A Gemm that scales its product or its bias keeps the bias as it is.
    let plain = node
        .op
        .downcast::<Gemm>()
        .is_none_or(|gemm| gemm.alpha == 1.0 && gemm.beta == 1.0);
    let bias_name = node.inputs.get(2).filter(|bias| plain && !bias.is_empty());
    let bias = bias_name
        .and_then(|bias| floats(graph, bias))
        .filter(|bias| bias.len() == dims[axis]);
    let bias = bias_name.cloned().zip(bias);
    let key = (name.clone(), Some(axis));
    let steps = match made.get(&key) {
        Some(steps) => steps.clone(),
        None => {
            let least = |channel: usize| match &bias {
                // A bias far above its weights must fit into `int32`.
                Some((_, bias)) => bias[channel].abs() / (step * LARGEST_BIAS),
                None => 0.0,
            };
            let weight = ByChannel { values, dims, axis };
            let steps = weight.steps(least);
            nodes.push(weight.store(graph, &name, &steps));
            made.insert(key, steps.clone());
            steps
        }
    };
    graph.nodes[index].inputs[1] = dequantised(&name);
    if let Some((name, bias)) = bias {
        let output = graph.nodes[index].outputs.first();
        let label = output.map_or(name, |output| format!("{output}_bias"));
        graph.nodes[index].inputs[2] = dequantised(&label);
        let steps = steps.iter().map(|s| s * step).collect();
        nodes.push(store_bias(graph, &label, &bias, steps));
    }
    Some(())
}

/// A weight with a step for each of its channels.
struct ByChannel {
    values: Vec<f32>,
    dims: Vec<usize>,
    axis: usize,
}

impl ByChannel {
    fn channel(&self, element: usize) -> usize {
        let inner: usize = self.dims[self.axis + 1..].iter().product();
        (element / inner.max(1)) % self.dims[self.axis].max(1)
    }

    /// The steps, each at least what `least` says of its channel.
    fn steps(&self, least: impl Fn(usize) -> f32) -> Vec<f32> {
        let mut steps = vec![0.0_f32; self.dims[self.axis]];
        for (i, w) in self.values.iter().enumerate() {
            let step = &mut steps[self.channel(i)];
            *step = step.max(w.abs() / LARGEST_WEIGHT);
        }
        for (c, s) in steps.iter_mut().enumerate() {
            *s = s.max(least(c));
            if !s.is_normal() {
                *s = 1.0;
            }
        }
        steps
    }

    /// Stores integers, steps and zero points, and gives the node that makes floats of them.
    fn store(&self, graph: &mut Graph, name: &str, steps: &[f32]) -> Node {
        let whole: Vec<i8> = self
            .values
            .iter()
            .enumerate()
            .map(|(i, w)| {
                let steps = (w / steps[self.channel(i)]).round_ties_even();
                steps.clamp(-LARGEST_WEIGHT, LARGEST_WEIGHT) as i8
            })
            .collect();
        let channels = steps.len();
        let [whole_name, step_name, zero_name] =
            ["quantized", "scale", "zero_point"].map(|part| format!("{name}_{part}"));
        store(graph, &whole_name, TensorData::new(whole, self.dims.clone()));
        store(graph, &step_name, TensorData::new(steps.to_vec(), vec![channels]));
        let zeros = TensorData::new(vec![0_i8; channels], vec![channels]);
        store(graph, &zero_name, zeros);
        dequantize(&whole_name, name, step_name, Some(zero_name), Some(self.axis))
    }
}

/// Stores a bias as integers, and gives the node that makes floats of them.
fn store_bias(graph: &mut Graph, label: &str, bias: &[f32], steps: Vec<f32>) -> Node {
    let whole: Vec<i32> = bias
        .iter()
        .zip(&steps)
        .map(|(b, s)| (b / s).round_ties_even() as i32)
        .collect();
    let (whole_name, step_name) = (format!("{label}_quantized"), format!("{label}_scale"));
    let channels = steps.len();
    store(graph, &whole_name, TensorData::new(whole, vec![channels]));
    store(graph, &step_name, TensorData::new(steps, vec![channels]));
    dequantize(&whole_name, label, step_name, None, Some(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_cut_into_255_steps_that_hold_zero() {
        // onnxruntime.quantization.quant_utils.compute_scale_zp(-1, 2, 0, 255): zero point 85,
        // scale 3/255
        assert_eq!(
            Scale::of([-1.0, 2.0]),
            Scale {
                step: 3.0 / 255.0,
                zero: 85
            }
        );
        assert_eq!(Scale::of([0.5, 2.0]).zero, 0);
        assert_eq!(Scale::of([0.0, 0.0]), Scale { step: 1.0, zero: 0 });
    }
}
