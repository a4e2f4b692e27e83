//! A network in 8-bit integers, in ONNX's QDQ form: QuantizeLinear and DequantizeLinear around what
//! runtimes then compute in integers.
//!
//! Weights are `int8`, symmetric, with a scale for each output channel; activations `int8` with a
//! zero point, one scale for a value; biases `int32` in the product of both scales. As in ONNX
//! Runtime's static quantisation, so that its kernels (and those of others that read QDQ) fit.
//!
//! On x86 processors without VNNI, kernels (ONNX Runtime's among them) add two products of 8 bits
//! in 16, which saturates where both are large, and a network's logits move by tens of percent.
//! Weights of 7 bits ([`WeightBits::Seven`]) leave room for the sum; they are half as fine.

mod calibration;
mod weight;

pub use calibration::{Calibration, Method, Ranges, calibrate};
pub use weight::WeightBits;

use std::collections::HashMap;

use burn::tensor::TensorData;
use indexmap::IndexMap;
use potstill_core::graph::{FreshNames, Graph, Node, StoredTensor};
use potstill_core::op::{Attribute, Attributes, Op, Role};
use potstill_core::ops::fake_quantize::Scale;
use potstill_core::ops::quantize_linear::{DequantizeLinear, QuantizeLinear};

use crate::ExportError;
use weight::Steps;

/// The oldest operator set in which a scale may belong to a channel.
pub const OLDEST_OPSET: i64 = 13;

/// Steps are counted from 0; `int8` begins so far below.
const SHIFT: i16 = 128;

/// Rewrites a graph in QDQ form: every value in `ranges` as `int8` with a zero point, the weights
/// and biases of the products that read them as `int8` and `int32`.
///
/// # Errors
/// An operator set without scales for each channel; a range that is not finite; a node that is in
/// integers already.
pub fn quantise(graph: &mut Graph, ranges: &Ranges, bits: WeightBits) -> Result<(), ExportError> {
    if graph.model.opset() < OLDEST_OPSET {
        return Err(ExportError::QuantisedOpset {
            got: graph.model.opset(),
            oldest: OLDEST_OPSET,
        });
    }
    refuse_integers(graph)?;
    if let Some((value, range)) = ranges
        .iter()
        .find(|(_, range)| !range.iter().all(|x| x.is_finite()))
    {
        return Err(ExportError::Range {
            value: value.clone(),
            range: *range,
        });
    }
    let mut names = graph.fresh_names();
    let values = ranges.iter().map(|(name, range)| {
        let scale = Scale::of(*range);
        (name.clone(), (scale, names.make(&format!("{name}_dequantized"))))
    });
    let values = values.collect();
    let quantiser = Quantiser {
        graph,
        names,
        values,
        bits,
        weights: HashMap::new(),
        nodes: Vec::new(),
    };
    quantiser.rewrite();
    Ok(())
}

/// Refuses a network that holds numbers in integers already.
///
/// # Errors
/// [`ExportError::Integers`] with the first such node.
pub(crate) fn refuse_integers(graph: &Graph) -> Result<(), ExportError> {
    match graph.node_in_integers() {
        None => Ok(()),
        Some(node) => Err(ExportError::Integers {
            node: node.label().to_owned(),
            op: node.op.name().to_owned(),
        }),
    }
}

/// A graph on its way into QDQ form.
struct Quantiser<'a> {
    graph: &'a mut Graph,
    names: FreshNames,
    /// The values that become integers: their steps, and what they are called when they are floats
    /// again.
    values: IndexMap<String, (Scale, String)>,
    bits: WeightBits,
    /// What has been made of a weight, by its name and its axis of output channels.
    weights: HashMap<(String, usize), Steps>,
    nodes: Vec<Node>,
}

impl Quantiser<'_> {
    fn rewrite(mut self) {
        for index in 0..self.graph.nodes.len() {
            let fed = self.graph.nodes[index].inputs.first();
            if let Some((scale, _)) = fed.and_then(|fed| self.values.get(fed)) {
                let step = scale.step;
                self.weight(index, step);
            }
        }
        let inputs: Vec<String> = self.graph.inputs.iter().map(|input| input.name.clone()).collect();
        self.activations(&inputs);
        for mut node in std::mem::take(&mut self.graph.nodes) {
            for input in &mut node.inputs {
                if let Some((_, dequantised)) = self.values.get(input) {
                    input.clone_from(dequantised);
                }
            }
            let outputs = node.outputs.clone();
            self.nodes.push(node);
            self.activations(&outputs);
        }
        self.graph.nodes = self.nodes;
        self.graph.prune_unused();
    }

    /// A pair of nodes behind each of these values that becomes integers.
    fn activations(&mut self, made: &[String]) {
        for value in made {
            let Some((scale, dequantised)) = self.values.get(value).cloned() else {
                continue;
            };
            let number = Vec::<usize>::new;
            let step = self.store(
                &format!("{value}_scale"),
                TensorData::new(vec![scale.step], number()),
            );
            let zero = (i16::from(scale.zero) - SHIFT) as i8;
            let zero = self.store(
                &format!("{value}_zero_point"),
                TensorData::new(vec![zero], number()),
            );
            let whole = self.names.make(&format!("{value}_quantized"));
            self.nodes.push(Node {
                name: self.names.make(&format!("{value}_QuantizeLinear")),
                op: Box::new(QuantizeLinear {
                    axis: 1,
                    range: [f32::from(i8::MIN), f32::from(i8::MAX)],
                }),
                attributes: Attributes::new(),
                inputs: vec![value.clone(), step.clone(), zero.clone()],
                outputs: vec![whole.clone()],
                doc: String::new(),
            });
            self.dequantise(value, vec![whole, step, zero], dequantised, None);
        }
    }

    /// The node that makes floats of whole numbers, steps and zero points.
    fn dequantise(&mut self, label: &str, inputs: Vec<String>, output: String, axis: Option<usize>) {
        let axis = axis.map(|axis| axis as i64);
        let op: Box<dyn Op> = Box::new(DequantizeLinear {
            axis: axis.unwrap_or(1),
        });
        let stated = axis.map(|axis| ("axis".to_owned(), Attribute::Int(axis)));
        self.nodes.push(Node {
            name: self.names.make(&format!("{label}_DequantizeLinear")),
            op,
            attributes: stated.into_iter().collect(),
            inputs,
            outputs: vec![output],
            doc: String::new(),
        });
    }

    /// Stores a tensor under a name that nobody has, and gives that name.
    fn store(&mut self, wished: &str, data: TensorData) -> String {
        let name = self.names.make(wished);
        let role = Role::Constant;
        let stored = StoredTensor { role, data };
        self.graph.tensors.insert(name.clone(), stored);
        name
    }
}

#[cfg(test)]
mod tests {
    use potstill_core::builder::{Conv, GraphBuilder};
    use potstill_core::graph::Init;

    use super::*;

    /// A network whose author uses every name that is made here, for tensors and for nodes.
    #[test]
    fn nothing_is_written_under_a_name_that_is_taken() {
        let mut b = GraphBuilder::new("net", 0);
        let x = b.input("input", &[3, 4, 4]);
        let channels =
            |name: &str, b: &mut GraphBuilder| b.tensor(name, Role::Weight, &[1, 3, 1, 1], Init::Fill(2.0));
        let mut y = x;
        for name in ["input_scale", "conv.weight_quantized", "conv_bias_scale"] {
            let own = channels(name, &mut b);
            y = b.node(&format!("{name}_mul"), "Mul", &[&y, &own], []).unwrap();
        }
        y = b.relu("input_QuantizeLinear", &y).unwrap();
        y = b.conv("conv", &y, Conv::same(3, 3).with_bias()).unwrap();
        y = b.relu("input_dequantized", &y).unwrap();
        b.output("output", &y).unwrap();
        let before = b.finish().unwrap();
        let mut graph = before.clone();
        let values = graph.quantisable_values().unwrap();
        let ranges = values.into_iter().map(|value| (value, [-4.0, 4.0])).collect();
        quantise(&mut graph, &ranges, WeightBits::Eight).unwrap();
        graph.validate().unwrap();
        for (name, tensor) in before.tensors {
            if let Some(kept) = graph.tensors.get(&name) {
                assert_eq!(kept.data, tensor.data, "{name}");
            }
        }
        let mut nodes: Vec<&str> = graph.nodes.iter().map(|node| node.name.as_str()).collect();
        let count = nodes.len();
        nodes.sort_unstable();
        nodes.dedup();
        assert_eq!(nodes.len(), count, "{nodes:?}");
        assert!(graph.tensors.contains_key("input_scale_2"));
    }

    #[test]
    fn a_weight_along_two_axes_is_stored_for_each() {
        let mut b = GraphBuilder::new("net", 0);
        let x = b.input("input", &[3]);
        let weight = b.tensor("weight", Role::Weight, &[3, 3], Init::Normal(1.0));
        let transposed = [("transB", 1.into())];
        let y = b.node("first", "MatMul", &[&x, &weight], []).unwrap();
        let y = b.node("second", "Gemm", &[&y, &weight], transposed).unwrap();
        b.output("output", &y).unwrap();
        let mut graph = b.finish().unwrap();
        let ranges = ["input", "first"].map(|value| (value.to_owned(), [-1.0, 1.0]));
        quantise(&mut graph, &ranges.into(), WeightBits::Eight).unwrap();
        graph.validate().unwrap();
        assert!(graph.tensors.contains_key("weight_quantized_2"));
        assert_ne!(
            graph.tensors["weight_scale"].data,
            graph.tensors["weight_scale_2"].data
        );
    }

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
