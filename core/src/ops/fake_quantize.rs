//! Numbers rounded to the steps of 8-bit integers, in floats, with a straight-through gradient:
//! what quantisation will do to them, while they are trained. B. Jacob et al.: "Quantization and
//! Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference", 2018 (arXiv
//! 1712.05877), section 3.
//!
//! No operators of ONNX: the exporter replaces them by QuantizeLinear and DequantizeLinear. Until
//! then they are written `Identity`.
//!
//! Rounding passes the gradient unchanged; beyond the range of an activation there is none. The
//! range of a weight is that of its numbers, for each channel, and symmetric; the range of an
//! activation moves by a share of 0.01 to that of each batch, as PyTorch's observers do, from that
//! of the first. An activation reads its range on the host, which a GPU waits for.

use burn::tensor::{Tensor, TensorData};

use crate::op::{Fact, Inputs, Mode, Op, OpError, Role, RunContext};
use crate::value::{Kind, Value};

/// Steps between the ends of an activation's range.
pub const STEPS: f32 = 255.0;
/// Largest magnitude of a quantised weight: −128 is left out, so that the range is symmetric.
pub const LARGEST_WEIGHT: f32 = 127.0;
/// The share of a batch's range in the running one.
const SHARE: f32 = 0.01;

/// Step and zero point of an activation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scale {
    /// The width of one step.
    pub step: f32,
    /// The step that stands for zero.
    pub zero: u8,
}

impl Scale {
    /// The steps of a range, widened to hold zero.
    pub fn of([low, high]: [f32; 2]) -> Self {
        let (low, high) = (low.min(0.0), high.max(0.0));
        let step = (high - low) / STEPS;
        if !step.is_normal() {
            return Self { step: 1.0, zero: 0 };
        }
        let zero = (-low / step).round_ties_even().clamp(0.0, STEPS) as u8;
        Self { step, zero }
    }
}

/// An activation rounded to one of 256 steps. Inputs: x, low `[1]`, high `[1]`; outputs: y and the
/// next low and high.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FakeQuantize;

/// A weight rounded to `int8` steps, one scale for each entry of an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FakeQuantizeWeight {
    /// The axis of output channels: 0, or 1 of two.
    pub axis: usize,
}

impl Op for FakeQuantize {
    fn name(&self) -> &'static str {
        "Identity"
    }

    fn infer(&self, inputs: &Inputs<'_, Fact>) -> Result<Vec<Fact>, OpError> {
        let x = inputs.of_kind(0, "x", Kind::Float)?;
        for (place, name) in [(1, "low"), (2, "high")] {
            let bound = inputs.of_kind(place, name, Kind::Float)?;
            if bound.dims != [1] {
                return Err(OpError::Shape {
                    name,
                    got: bound.dims.clone(),
                    expected: "[1]".to_owned(),
                });
            }
        }
        Ok(vec![
            Fact::float(x.dims.clone()),
            Fact::float([1]),
            Fact::float([1]),
        ])
    }

    fn run(&self, inputs: &Inputs<'_, Value>, context: &RunContext) -> Result<Vec<Value>, OpError> {
        let x = inputs.required(0, "x")?.clone();
        let bound = |place, name| -> Result<f32, OpError> {
            let bound = inputs.required(place, name)?.clone().detach().to_floats();
            Ok(bound.and_then(|bound| bound.first().copied()).unwrap_or(0.0))
        };
        let mut range = [bound(1, "low")?, bound(2, "high")?];
        let training = context.mode != Mode::Inference;
        if training && !x.is_empty() {
            let numbers = x.clone().detach().float::<1>();
            let of_batch = |extreme: Tensor<1>| extreme.into_data().iter::<f32>().next().unwrap_or(0.0);
            let batch = [of_batch(numbers.clone().min()), of_batch(numbers.max())];
            let first = range[0] == range[1];
            for (running, batch) in range.iter_mut().zip(batch) {
                *running = if first {
                    batch
                } else {
                    *running + SHARE * (batch - *running)
                };
            }
        }
        let Scale { step, zero } = Scale::of(range);
        let zero = f32::from(zero);
        let (low, high) = (-zero * step, (STEPS - zero) * step);
        let y = x.elementwise(|x| {
            let rounded = |x: Tensor<1>| {
                let steps = x.div_scalar(step).round().add_scalar(zero);
                steps.clamp(0.0, STEPS).sub_scalar(zero).mul_scalar(step)
            };
            if training {
                straight_through(rounded(x.clone().detach()), x.clamp(low, high))
            } else {
                rounded(x)
            }
        });
        let next =
            |bound: f32| Value::from(Tensor::<1>::from_data(TensorData::from([bound]), &context.device));
        Ok(vec![y, next(range[0]), next(range[1])])
    }

    fn role(&self, input: usize) -> Role {
        if input == 0 { Role::Constant } else { Role::Buffer }
    }

    fn updates(&self) -> &'static [(usize, usize)] {
        &[(1, 1), (2, 2)]
    }
}

impl Op for FakeQuantizeWeight {
    fn name(&self) -> &'static str {
        "Identity"
    }

    fn infer(&self, inputs: &Inputs<'_, Fact>) -> Result<Vec<Fact>, OpError> {
        weight(inputs, self.axis)
    }

    fn run(&self, inputs: &Inputs<'_, Value>, _context: &RunContext) -> Result<Vec<Value>, OpError> {
        let w = inputs.required(0, "w")?.clone();
        Ok(vec![each_channel(w, self.axis, |w, along| {
            let inner = w.clone().detach();
            let step = inner.clone().abs().max_dim(along).div_scalar(LARGEST_WEIGHT);
            let empty = step.clone().equal_elem(0.0);
            let step = step.mask_fill(empty, 1.0);
            let steps = (inner / step.clone())
                .round()
                .clamp(-LARGEST_WEIGHT, LARGEST_WEIGHT);
            straight_through(steps * step, w)
        })])
    }

    fn role(&self, _input: usize) -> Role {
        Role::Weight
    }
}

/// The numbers of `value`, to the last bit, with the gradient of `path`.
pub(super) fn straight_through<const D: usize>(value: Tensor<D>, path: Tensor<D>) -> Tensor<D> {
    let nothing = path.clone() - path.detach();
    value + nothing
}

/// The facts of an operator that changes the numbers of a weight along an axis.
pub(super) fn weight(inputs: &Inputs<'_, Fact>, axis: usize) -> Result<Vec<Fact>, OpError> {
    let w = inputs.filled(0, "w")?;
    if axis == 0 && w.rank() > 0 || axis == 1 && w.rank() == 2 {
        return Ok(vec![Fact::float(w.dims.clone())]);
    }
    Err(OpError::Shape {
        name: "w",
        got: w.dims.clone(),
        expected: format!("output channels along axis {axis}"),
    })
}

/// Applies a function to a weight as a matrix, which is told the axis that runs along the numbers
/// of one channel.
pub(super) fn each_channel(
    w: Value,
    axis: usize,
    function: impl FnOnce(Tensor<2>, usize) -> Tensor<2>,
) -> Value {
    let dims = w.dims();
    if axis == 1 {
        return Value::from(function(w.float(), 0));
    }
    let count = w.len();
    let channels = dims.first().copied().unwrap_or(1).max(1);
    let matrix = w.reshape(&[channels, count / channels]);
    Value::from(function(matrix.float(), 1)).reshape(&dims)
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::super::testing::{assert_floats, floats};
    use super::*;

    fn run(mode: Mode, x: Value, range: [f32; 2], device: &Device) -> Vec<Value> {
        let bound = |bound: f32| Some(Value::from_data(TensorData::from([bound]), device));
        let context = RunContext {
            mode,
            device: device.clone(),
            precision: crate::precision::Precision::Fp32,
        };
        let inputs = [Some(x), bound(range[0]), bound(range[1])];
        FakeQuantize.run(&Inputs(&inputs), &context).unwrap()
    }

    #[test]
    fn an_activation_is_rounded_as_onnx_would_quantise_it() {
        // torch.fake_quantize_per_tensor_affine(torch.tensor([-2., -0.51, 0.12, 0.71, 5.]), 3/255,
        // 85, 0, 255)
        let x = floats(&[5], &[-2.0, -0.51, 0.12, 0.71, 5.0]);
        let made = run(Mode::Inference, x, [-1.0, 2.0], &Device::flex());
        assert_floats(&made[0], &[5], &[-1.0, -0.505_882_4, 0.117_647, 0.705_882_4, 2.0]);
    }

    #[test]
    fn the_range_starts_at_the_first_batch_and_moves_slowly() {
        let x = || floats(&[2], &[-1.0, 3.0]);
        let made = run(Mode::Training, x(), [0.0, 0.0], &Device::flex());
        assert_floats(&made[1], &[1], &[-1.0]);
        assert_floats(&made[2], &[1], &[3.0]);
        let made = run(Mode::Training, x(), [-2.0, 2.0], &Device::flex());
        assert_floats(&made[1], &[1], &[-1.99]);
        assert_floats(&made[2], &[1], &[2.01]);
    }

    #[test]
    fn the_gradient_passes_within_the_range_alone() {
        let device = Device::flex().autodiff();
        let x = Tensor::<1>::from_data([-4.0, -0.3, 1.2, 9.0], &device).require_grad();
        let y = run(Mode::Training, Value::from(x.clone()), [-1.0, 2.0], &device).remove(0);
        let weights = Tensor::<1>::from_data([1.0, 2.0, 3.0, 4.0], &device);
        let gradients = (y.float::<1>() * weights).sum().backward();
        let gradient: Vec<f32> = x.grad(&gradients).unwrap().into_data().iter().collect();
        assert_eq!(gradient, [0.0, 2.0, 3.0, 0.0]);
    }

    #[test]
    fn a_weight_has_a_scale_for_each_channel_whatever_its_axis() {
        let context = RunContext {
            mode: Mode::Training,
            device: Device::flex(),
            precision: crate::precision::Precision::Fp32,
        };
        // Scales 1/127 and 10/127: round(w / s) * s
        let rows = [Some(floats(&[2, 2], &[1.0, 0.3, -10.0, 0.05]))];
        let columns = [Some(floats(&[2, 2], &[1.0, -10.0, 0.3, 0.05]))];
        let made = FakeQuantizeWeight { axis: 0 }
            .run(&Inputs(&rows), &context)
            .unwrap();
        let expected = [1.0, 38.0 / 127.0, -10.0, 10.0 / 127.0];
        assert_floats(&made[0], &[2, 2], &expected);
        let made = FakeQuantizeWeight { axis: 1 }
            .run(&Inputs(&columns), &context)
            .unwrap();
        assert_floats(
            &made[0],
            &[2, 2],
            &[expected[0], expected[2], expected[1], expected[3]],
        );
    }
}
