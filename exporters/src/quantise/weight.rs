//! Weights and biases as whole numbers.

use burn::tensor::{DType, TensorData};
use potstill_core::graph::Graph;
use potstill_core::ops::fake_quantize::LARGEST_WEIGHT;
use potstill_core::ops::gemm::Gemm;

use super::Quantiser;

/// How fine quantised weights are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WeightBits {
    /// From −127 to 127.
    #[default]
    Eight,
    /// From −64 to 64, what ONNX Runtime calls `reduce_range`: for x86 processors without VNNI.
    Seven,
}

impl WeightBits {
    /// Largest magnitude of a quantised weight.
    fn largest(self) -> f32 {
        match self {
            WeightBits::Eight => LARGEST_WEIGHT,
            WeightBits::Seven => 64.0,
        }
    }
}

/// Largest magnitude of a quantised bias; half of what `int32` holds leaves room for the sum that
/// it is added to.
const LARGEST_BIAS: f32 = (1_i64 << 30) as f32;

/// What has been made of a weight.
#[derive(Clone)]
pub(super) struct Steps {
    /// Its name when it is floats again.
    dequantised: String,
    /// The step of each channel.
    steps: Vec<f32>,
}

impl Quantiser<'_> {
    /// Quantises weight and bias of the node at `index`, which reads a value in steps of `step`.
    /// Nothing where the node is no product with a stored weight.
    pub(super) fn weight(&mut self, index: usize, step: f32) -> Option<()> {
        let node = &self.graph.nodes[index];
        let name = node.inputs.get(1)?.clone();
        let dims = self.graph.tensors.get(&name)?.data.shape().to_vec();
        let axis = node.channel_axis(dims.len())?;
        let values = floats(self.graph, &name)?;
        // A Gemm that scales its product or its bias keeps the bias as it is.
        let plain = node
            .op
            .downcast::<Gemm>()
            .is_none_or(|gemm| gemm.alpha == 1.0 && gemm.beta == 1.0);
        let bias_name = node.inputs.get(2).filter(|bias| plain && !bias.is_empty());
        let bias = bias_name
            .and_then(|bias| floats(self.graph, bias))
            .filter(|bias| bias.len() == dims[axis]);
        let label = node.outputs.first().or(bias_name).cloned().unwrap_or_default();
        let key = (name.clone(), axis);
        let made = match self.weights.get(&key) {
            Some(made) => made.clone(),
            None => {
                let least = |channel: usize| match &bias {
                    // A bias far above its weights must fit into `int32`.
                    Some(bias) => bias[channel].abs() / (step * LARGEST_BIAS),
                    None => 0.0,
                };
                let largest = self.bits.largest();
                let weight = ByChannel { values, dims, axis };
                let steps = weight.steps(largest, least);
                let made = self.store_weight(&name, &weight, steps);
                self.weights.insert(key, made.clone());
                made
            }
        };
        self.graph.nodes[index].inputs[1].clone_from(&made.dequantised);
        if let Some(bias) = bias {
            let steps = made.steps.iter().map(|s| s * step).collect();
            self.graph.nodes[index].inputs[2] = self.store_bias(&format!("{label}_bias"), &bias, steps);
        }
        Some(())
    }

    /// Stores integers, steps and zero points of a weight, with the node that makes floats of them.
    fn store_weight(&mut self, name: &str, weight: &ByChannel, steps: Vec<f32>) -> Steps {
        let whole = weight.whole(&steps, self.bits.largest());
        let channels = steps.len();
        let whole = self.store(
            &format!("{name}_quantized"),
            TensorData::new(whole, weight.dims.clone()),
        );
        let step = self.store(
            &format!("{name}_scale"),
            TensorData::new(steps.clone(), vec![channels]),
        );
        let zeros = TensorData::new(vec![0_i8; channels], vec![channels]);
        let zero = self.store(&format!("{name}_zero_point"), zeros);
        let dequantised = self.names.make(&format!("{name}_dequantized"));
        self.dequantise(
            name,
            vec![whole, step, zero],
            dequantised.clone(),
            Some(weight.axis),
        );
        Steps { dequantised, steps }
    }

    /// Stores a bias as integers, with the node that makes floats of them; gives the floats' name.
    fn store_bias(&mut self, label: &str, bias: &[f32], steps: Vec<f32>) -> String {
        let whole: Vec<i32> = bias
            .iter()
            .zip(&steps)
            .map(|(b, s)| (b / s).round_ties_even() as i32)
            .collect();
        let channels = steps.len();
        let whole = self.store(
            &format!("{label}_quantized"),
            TensorData::new(whole, vec![channels]),
        );
        let step = self.store(&format!("{label}_scale"), TensorData::new(steps, vec![channels]));
        let dequantised = self.names.make(&format!("{label}_dequantized"));
        self.dequantise(label, vec![whole, step], dequantised.clone(), Some(0));
        dequantised
    }
}

fn floats(graph: &Graph, name: &str) -> Option<Vec<f32>> {
    let data = &graph.tensors.get(name)?.data;
    data.dtype()
        .is_float()
        .then(|| data.clone().convert_dtype(DType::F32).iter().collect())
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
    fn steps(&self, largest: f32, least: impl Fn(usize) -> f32) -> Vec<f32> {
        let mut steps = vec![0.0_f32; self.dims[self.axis]];
        for (i, w) in self.values.iter().enumerate() {
            let step = &mut steps[self.channel(i)];
            *step = step.max(w.abs() / largest);
        }
        for (c, s) in steps.iter_mut().enumerate() {
            *s = s.max(least(c));
            if !s.is_normal() {
                *s = 1.0;
            }
        }
        steps
    }

    /// Whole numbers of steps.
    fn whole(&self, steps: &[f32], largest: f32) -> Vec<i8> {
        let whole = |(i, w): (usize, &f32)| {
            let steps = (w / steps[self.channel(i)]).round_ties_even();
            steps.clamp(-largest, largest) as i8
        };
        self.values.iter().enumerate().map(whole).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `onnxruntime.quantization.quant_utils.quantize_data` of `[0.5, -1, 0.25]`, int8, symmetric:
    /// 127 and 64 (`reduce_range`) steps for 1.
    #[test]
    fn seven_bits_are_half_as_fine() {
        let weight = ByChannel {
            values: vec![0.5, -1.0, 0.25],
            dims: vec![1, 3],
            axis: 0,
        };
        for (bits, expected) in [
            (WeightBits::Eight, [64, -127, 32]),
            (WeightBits::Seven, [32, -64, 16]),
        ] {
            let steps = weight.steps(bits.largest(), |_| 0.0);
            assert_eq!(steps, [1.0 / bits.largest()]);
            assert_eq!(weight.whole(&steps, bits.largest()), expected);
        }
    }
}
