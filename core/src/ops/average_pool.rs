//! `AveragePool`: the mean of each window. <https://onnx.ai/onnx/operators/onnx__AveragePool.html>
//!
//! Opset 10 added `ceil_mode`, 11 worded defaults anew, 19 added `dilations`. The mean is over the
//! elements of the input that the window meets, with `count_include_pad` also over the border; what
//! lies beyond the border (`ceil_mode`) never counts.

use burn::backend::Dispatch;
use burn::backend::ops::{FloatTensorOps, ModuleOps};
use burn::tensor::TensorData;
use burn::tensor::module::conv2d;
use burn::tensor::ops::ConvOptions;

use super::pool::{Placement, Pool};
use crate::cpu::{self, Pooling};
use crate::op::{Fact, Inputs, NodeReader, Op, OpError, Operator, RunContext};
use crate::value::Value;

/// Mean over windows of `[batch, channels, spatial…]`.
#[derive(Clone, Debug)]
pub struct AveragePool {
    pool: Pool,
    /// Whether the border counts.
    count_border: bool,
}

impl AveragePool {
    /// For each window along an axis, how many of its elements count.
    fn counts(&self, placement: &Placement, axis: usize) -> Vec<usize> {
        let before = placement.before[axis];
        let input = placement.input[axis];
        let counted = if self.count_border {
            0..before + input + placement.after[axis]
        } else {
            before..before + input
        };
        let at = |window: usize| {
            let start = window * placement.strides[axis];
            (0..placement.kernel[axis])
                .filter(|tap| counted.contains(&(start + tap * placement.dilations[axis])))
                .count()
        };
        (0..placement.output[axis]).map(at).collect()
    }

    /// Elements of the window over elements that count, `[height, width]`; `None` if all windows
    /// count entirely.
    fn correction(&self, placement: &Placement) -> Option<Vec<f32>> {
        let size = placement.kernel[0] * placement.kernel[1];
        let (rows, columns) = (self.counts(placement, 0), self.counts(placement, 1));
        let factors: Vec<f32> = rows
            .iter()
            .flat_map(|row| columns.iter().map(move |column| (row * column).max(1)))
            .map(|count| size as f32 / count as f32)
            .collect();
        factors.iter().any(|factor| *factor != 1.0).then_some(factors)
    }
}

/// The sum of each window over the number of its elements, the border being 0.
pub(super) fn mean(x: Value, placement: &Placement, padding: [usize; 2]) -> Value {
    let Placement { kernel, strides, .. } = *placement;
    if placement.dilations == [1, 1] {
        let y = Dispatch::avg_pool2d(x.into_dispatch(), kernel, strides, padding, true, false);
        return Value::new(y);
    }
    // Burn's average pool has no dilation; a convolution of each plane with a constant kernel has.
    let dims = x.dims();
    let size = kernel[0] * kernel[1];
    let weight = TensorData::new(vec![1.0 / size as f32; size], [1, 1, kernel[0], kernel[1]]);
    let weight = Value::from_data(weight, &x.device());
    let planes = x.reshape(&[dims[0] * dims[1], 1, dims[2], dims[3]]);
    let options = ConvOptions {
        stride: strides,
        padding: padding.map(|padding| (padding, padding)),
        dilation: placement.dilations,
        groups: 1,
    };
    conv2d(planes.float(), weight.float(), None, options).into()
}

impl Op for AveragePool {
    fn name(&self) -> &'static str {
        "AveragePool"
    }

    fn infer(&self, inputs: &Inputs<'_, Fact>) -> Result<Vec<Fact>, OpError> {
        self.pool.infer(inputs.filled(0, "X")?)
    }

    fn run(&self, inputs: &Inputs<'_, Value>, _context: &RunContext) -> Result<Vec<Value>, OpError> {
        Ok(vec![self.pooled(inputs.required(0, "X")?.clone())?])
    }
}

impl AveragePool {
    fn pooled(&self, x: Value) -> Result<Value, OpError> {
        if let Some(pooled) = self.pool.over_volume(&x, |pool, x| {
            let part = Self {
                pool: pool.clone(),
                ..self.clone()
            };
            part.pooled(x)
        }) {
            return pooled;
        }
        let mut dims = x.dims();
        let placement = self.pool.place(&dims)?;
        let [height, width] = placement.output;
        let size = (placement.kernel[0] * placement.kernel[1]) as f32;
        let factors = self
            .correction(&placement)
            .unwrap_or_else(|| vec![1.0; height * width]);
        let factors = Pooling::WeightedSum(factors.iter().map(|factor| factor / size).collect());
        if let Some(y) = cpu::pooled(&x, factors, |[batch, channels, ..]| {
            placement.shape([batch, channels])
        }) {
            return Ok(y);
        }
        let (x, padding) = placement.prepare(x, 0.0);
        let mut y = mean(x, &placement, padding).reshape(&[dims[0], dims[1], height, width]);
        if let Some(factors) = self.correction(&placement) {
            let factors = Value::from_data(TensorData::new(factors, [1, 1, height, width]), &y.device());
            y = Value::new(Dispatch::float_mul(y.into_dispatch(), factors.into_dispatch()));
        }
        let axes = dims.len() - 2;
        dims[2..].copy_from_slice(&placement.output[2 - axes..]);
        Ok(y.reshape(&dims))
    }
}

fn read(node: &NodeReader<'_>) -> Result<Box<dyn Op>, OpError> {
    Ok(Box::new(AveragePool {
        pool: Pool::read(node)?,
        count_border: node.flag("count_include_pad", false)?,
    }))
}

/// The table's entries.
pub(crate) const OPERATORS: &[Operator] = &[Operator {
    name: "AveragePool",
    forms: &[],
    read,
}];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::Attribute;
    use crate::ops::testing::{assert_floats, assert_gradients, infer_op, ramp, run_op, waves};

    #[test]
    fn a_volume_is_pooled_as_pytorch_does() {
        // torch.nn.functional.avg_pool3d(x, (2, 3, 2), (1, 2, 2), (1, 1, 0),
        // count_include_pad=False), x = sin(arange(120) * 0.7).reshape(1, 2, 3, 4, 5): the first
        // and the last four of 32
        let x = [Some(waves(&[1, 2, 3, 4, 5], 0.0, 0.7))];
        let attributes = [
            ("kernel_shape", vec![2, 3, 2].into()),
            ("strides", vec![1, 2, 2].into()),
            ("pads", vec![1, 1, 0, 1, 1, 0].into()),
        ];
        let made = run_op("AveragePool", 19, &attributes, &x).unwrap();
        let flat = made[0].clone().reshape(&[32]);
        let first = [-0.144535, 0.058735, -0.239346, -0.170756];
        assert_floats(&flat.clone().narrow(0, 0, 4), &[4], &first);
        let last = [-0.026119, 0.158544, -0.253733, 0.057028];
        assert_floats(&flat.narrow(0, 28, 32), &[4], &last);
        assert_gradients("AveragePool", 19, &attributes, &x, &[0]);
    }

    /// X = [[[1, 2, 3, 4, 5, 6]]], kernel_shape = [3], strides = [2].
    fn line(dilation: i64, pads: [i64; 2], ceil: i64, border: i64) -> Value {
        let attributes = [
            ("kernel_shape", vec![3].into()),
            ("strides", vec![2].into()),
            ("dilations", vec![dilation].into()),
            ("pads", pads.to_vec().into()),
            ("ceil_mode", ceil.into()),
            ("count_include_pad", border.into()),
        ];
        let x = [Some(ramp(&[1, 1, 6], 1.0, 1.0))];
        run_op("AveragePool", 19, &attributes, &x).unwrap().remove(0)
    }

    #[test]
    fn what_counts_agrees_with_onnx_runtime() {
        // onnxruntime 1.32: AveragePool-19
        let cases: [([i64; 2], i64, i64, &[f32]); 9] = [
            ([0, 0], 0, 0, &[2.0, 4.0]),
            ([1, 1], 0, 0, &[1.5, 3.0, 5.0]),
            ([0, 1], 0, 0, &[2.0, 4.0, 5.5]),
            ([0, 0], 1, 0, &[2.0, 4.0, 5.5]),
            ([1, 1], 1, 0, &[1.5, 3.0, 5.0, 6.0]),
            ([1, 0], 0, 1, &[1.0, 3.0, 5.0]),
            ([0, 1], 0, 1, &[2.0, 4.0, 3.666667]),
            ([1, 1], 1, 1, &[1.0, 3.0, 5.0, 3.0]),
            ([1, 2], 0, 1, &[1.0, 3.0, 5.0, 2.0]),
        ];
        for (pads, ceil, border, expected) in cases {
            let made = line(1, pads, ceil, border);
            assert_floats(&made, &[1, 1, expected.len()], expected);
        }
    }

    #[test]
    fn dilated_windows_agree_with_onnx_runtime() {
        // onnxruntime 1.32: AveragePool-19, dilations = [2]
        let cases: [([i64; 2], i64, i64, &[f32]); 6] = [
            ([0, 0], 0, 0, &[3.0]),
            ([0, 0], 1, 0, &[3.0, 4.0]),
            ([1, 1], 1, 0, &[3.0, 4.0, 5.0]),
            ([1, 1], 0, 1, &[2.0, 4.0]),
            ([1, 1], 1, 1, &[2.0, 4.0, 5.0]),
            ([1, 2], 0, 1, &[2.0, 4.0, 3.333333]),
        ];
        for (pads, ceil, border, expected) in cases {
            let made = line(2, pads, ceil, border);
            assert_floats(&made, &[1, 1, expected.len()], expected);
        }
    }

    #[test]
    fn automatic_borders_do_not_count() {
        // onnxruntime 1.32: AveragePool-11, X as above, kernel_shape = [2]
        let x = [Some(ramp(&[1, 1, 6], 1.0, 1.0))];
        for (auto, border, expected) in [
            ("SAME_UPPER", 0, [1.5, 2.5, 3.5, 4.5, 5.5, 6.0]),
            ("SAME_UPPER", 1, [1.5, 2.5, 3.5, 4.5, 5.5, 3.0]),
            ("SAME_LOWER", 0, [1.0, 1.5, 2.5, 3.5, 4.5, 5.5]),
            ("SAME_LOWER", 1, [0.5, 1.5, 2.5, 3.5, 4.5, 5.5]),
        ] {
            let attributes = [
                ("kernel_shape", vec![2].into()),
                ("auto_pad", auto.into()),
                ("count_include_pad", border.into()),
            ];
            let made = run_op("AveragePool", 11, &attributes, &x).unwrap();
            assert_floats(&made[0], &[1, 1, 6], &expected);
        }
    }

    #[test]
    fn pictures_have_gradients_with_and_without_dilation() {
        let x = [Some(waves(&[2, 2, 5, 4], 0.0, 0.7))];
        for dilation in [1, 2] {
            let attributes: [(&'static str, Attribute); 5] = [
                ("kernel_shape", vec![2, 3].into()),
                ("strides", vec![2, 1].into()),
                ("dilations", vec![dilation, 1].into()),
                ("pads", vec![1, 0, 0, 2].into()),
                ("ceil_mode", 1.into()),
            ];
            run_op("AveragePool", 19, &attributes, &x).unwrap();
            assert_gradients("AveragePool", 19, &attributes, &x, &[0]);
        }
    }

    #[test]
    fn four_spatial_axes_are_refused() {
        let kernel = [("kernel_shape", vec![2, 2, 2, 2].into())];
        let x = [Some(Fact::float([1, 1, 4, 4, 4, 4]))];
        let refused = infer_op("AveragePool", 11, &kernel, &x).unwrap_err();
        assert!(matches!(refused, OpError::Unsupported { .. }), "{refused}");
    }
}
