//! `MaxPool`: the largest element of each window.
//! <https://onnx.ai/onnx/operators/onnx__MaxPool.html>
//!
//! Opset 10 added `ceil_mode` and `dilations`, 11 worded defaults anew, 12 added 8-bit integers
//! (refused). The output `Indices` is refused, and with it `storage_order = 1`, which only orders
//! them.

use burn::backend::Dispatch;
use burn::backend::ops::ModuleOps;

use super::pool::Pool;
use crate::cpu::{self, Pooling};
use crate::op::{Fact, Inputs, NodeReader, Op, OpError, Operator, RunContext};
use crate::value::Value;

/// Maximum over windows of `[batch, channels, spatial…]`.
#[derive(Clone, Debug)]
pub struct MaxPool(Pool);

impl Op for MaxPool {
    fn name(&self) -> &'static str {
        "MaxPool"
    }

    fn infer(&self, inputs: &Inputs<'_, Fact>) -> Result<Vec<Fact>, OpError> {
        self.0.infer(inputs.filled(0, "X")?)
    }

    fn run(&self, inputs: &Inputs<'_, Value>, _context: &RunContext) -> Result<Vec<Value>, OpError> {
        Ok(vec![self.pooled(inputs.required(0, "X")?.clone())?])
    }
}

impl MaxPool {
    fn pooled(&self, x: Value) -> Result<Value, OpError> {
        if let Some(pooled) = self.0.over_volume(&x, |pool, x| Self(pool.clone()).pooled(x)) {
            return pooled;
        }
        let mut dims = x.dims();
        let placement = self.0.place(&dims)?;
        if let Some(y) = cpu::pooled(&x, Pooling::Maximum, |[batch, channels, ..]| {
            placement.shape([batch, channels])
        }) {
            return Ok(y);
        }
        let (x, padding) = placement.prepare(x, f32::NEG_INFINITY);
        let (kernel, strides, dilations) = (placement.kernel, placement.strides, placement.dilations);
        let y = Dispatch::max_pool2d(x.into_dispatch(), kernel, strides, padding, dilations, false);
        let axes = dims.len() - 2;
        dims[2..].copy_from_slice(&placement.output[2 - axes..]);
        Ok(Value::new(y).reshape(&dims))
    }
}

fn read(node: &NodeReader<'_>) -> Result<Box<dyn Op>, OpError> {
    if node.flag("storage_order", false)? {
        return Err(OpError::Unsupported {
            what: "`storage_order = 1`".to_owned(),
        });
    }
    if node.outputs > 1 {
        return Err(OpError::Unsupported {
            what: "the output `Indices`".to_owned(),
        });
    }
    Ok(Box::new(MaxPool(Pool::read(node)?)))
}

/// The table's entries.
pub(crate) const OPERATORS: &[Operator] = &[Operator {
    name: "MaxPool",
    forms: &[],
    read,
}];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::{Attribute, Attributes};
    use crate::ops::table;
    use crate::ops::testing::{assert_floats, assert_gradients, floats, infer_op, ramp, run_op, waves};

    #[test]
    fn a_volume_is_pooled_as_pytorch_does() {
        // torch.nn.functional.max_pool3d(x, (2, 3, 2), (1, 2, 2), (1, 1, 0)), x = sin(arange(120) *
        // 0.7).reshape(1, 2, 3, 4, 5): the first and the last four of 32
        let x = [Some(waves(&[1, 2, 3, 4, 5], 0.0, 0.7))];
        let attributes = [
            ("kernel_shape", vec![2, 3, 2].into()),
            ("strides", vec![1, 2, 2].into()),
            ("pads", vec![1, 1, 0, 1, 1, 0].into()),
        ];
        let made = run_op("MaxPool", 12, &attributes, &x).unwrap();
        assert_eq!(made[0].dims(), [1, 2, 4, 2, 2]);
        let flat = made[0].clone().reshape(&[32]);
        let first = [0.644218, 0.98545, 0.988168, 0.854599];
        assert_floats(&flat.clone().narrow(0, 0, 4), &[4], &first);
        assert_floats(
            &flat.narrow(0, 28, 32),
            &[4],
            &[0.9999, 0.75564, 0.99952, 0.794747],
        );
        // Without neighbours that are nearly equal.
        let apart: Vec<f32> = (0..120).map(|i| (i * 7 % 120) as f32 / 10.0).collect();
        let apart = [Some(floats(&[1, 2, 3, 4, 5], &apart))];
        assert_gradients("MaxPool", 12, &attributes, &apart, &[0]);
    }

    #[test]
    fn borders_and_partial_windows_agree_with_onnx_runtime() {
        // onnxruntime 1.32: MaxPool-12, X = [[[1, 2, 3, 4, 5, 6]]], kernel_shape = [3], strides =
        // [2]
        let x = [Some(ramp(&[1, 1, 6], 1.0, 1.0))];
        let cases: [(i64, [i64; 2], &[f32]); 8] = [
            (0, [0, 0], &[3.0, 5.0]),
            (0, [1, 0], &[2.0, 4.0, 6.0]),
            (0, [1, 1], &[2.0, 4.0, 6.0]),
            (0, [0, 1], &[3.0, 5.0, 6.0]),
            (1, [0, 0], &[3.0, 5.0, 6.0]),
            (1, [1, 0], &[2.0, 4.0, 6.0]),
            (1, [1, 1], &[2.0, 4.0, 6.0, 6.0]),
            (1, [2, 2], &[1.0, 3.0, 5.0, 6.0]),
        ];
        for (ceil, pads, expected) in cases {
            let attributes = [
                ("kernel_shape", vec![3].into()),
                ("strides", vec![2].into()),
                ("ceil_mode", ceil.into()),
                ("pads", pads.to_vec().into()),
            ];
            let made = run_op("MaxPool", 12, &attributes, &x).unwrap();
            assert_floats(&made[0], &[1, 1, expected.len()], expected);
        }
    }

    #[test]
    fn dilated_asymmetric_pictures_agree_with_onnx_runtime() {
        // onnxruntime 1.32: MaxPool-12, X = (arange(40) * 7 % 40 / 10).reshape(1, 2, 4, 5), the
        // attributes below
        let elements: Vec<f32> = (0..40).map(|i| (i * 7 % 40) as f32 / 10.0).collect();
        let x = [Some(floats(&[1, 2, 4, 5], &elements))];
        let attributes: [(&'static str, Attribute); 5] = [
            ("kernel_shape", vec![2, 3].into()),
            ("strides", vec![2, 1].into()),
            ("dilations", vec![2, 1].into()),
            ("pads", vec![1, 0, 0, 2].into()),
            ("ceil_mode", 1.into()),
        ];
        let made = run_op("MaxPool", 12, &attributes, &x).unwrap();
        assert_floats(
            &made[0],
            &[1, 2, 2, 5],
            &[
                3.5, 1.6, 2.3, 2.3, 2.3, 3.9, 3.9, 3.9, 2.3, 2.3, 2.9, 3.6, 3.6, 3.6, 0.3, 2.9, 3.6, 3.6,
                3.6, 3.3,
            ],
        );
        assert_gradients("MaxPool", 12, &attributes, &x, &[0]);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let kernel = ("kernel_shape", Attribute::Ints(vec![3]));
        let fact = |dims: &[usize]| [Some(Fact::float(dims))];
        let small = infer_op("MaxPool", 12, std::slice::from_ref(&kernel), &fact(&[1, 1, 2])).unwrap_err();
        assert!(matches!(small, OpError::Shape { name: "X", .. }), "{small}");
        let rank = infer_op("MaxPool", 12, std::slice::from_ref(&kernel), &fact(&[1, 1, 4, 4])).unwrap_err();
        assert!(matches!(rank, OpError::Shape { name: "X", .. }), "{rank}");
        let pads = [kernel.clone(), ("pads", vec![3, 0].into())];
        let pads = infer_op("MaxPool", 12, &pads, &fact(&[1, 1, 4])).unwrap_err();
        assert!(matches!(pads, OpError::BadAttribute { .. }), "{pads}");
        let none = infer_op("MaxPool", 12, &[], &fact(&[1, 1, 4])).unwrap_err();
        assert!(matches!(none, OpError::MissingAttribute { .. }), "{none}");
        let zero = infer_op(
            "MaxPool",
            12,
            &[("kernel_shape", vec![0].into())],
            &fact(&[1, 1, 4]),
        );
        assert!(matches!(zero, Err(OpError::BadAttribute { .. })), "{zero:?}");
        let attributes = Attributes::from([(kernel.0.to_owned(), kernel.1)]);
        let indices = table::read("MaxPool", 12, 1, 2, &attributes).map(|read| read.map(|_| ()));
        assert!(
            matches!(indices, Some(Err(OpError::Unsupported { .. }))),
            "{indices:?}"
        );
    }
}
