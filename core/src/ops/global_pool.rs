//! `GlobalAveragePool` and `GlobalMaxPool`: one number per channel.
//! <https://onnx.ai/onnx/operators/onnx__GlobalAveragePool.html>,
//! <https://onnx.ai/onnx/operators/onnx__GlobalMaxPool.html>
//!
//! One form since opset 1. The spatial axes are flattened first, so that one reduction over
//! neighbouring elements does the work.

use burn::tensor::Tensor;

use crate::cpu;
use crate::op::{Fact, Inputs, NodeReader, Op, OpError, Operator, RunContext};
use crate::value::Value;

/// A pool over all spatial axes of `[batch, channels, spatial…]`.
#[derive(Clone, Debug)]
pub struct GlobalPool {
    /// Whether the maximum is taken instead of the mean.
    pub max: bool,
}

/// The output's extents: spatial axes of extent 1.
fn pooled(dims: &[usize]) -> Vec<usize> {
    let one = |(axis, extent): (usize, &usize)| if axis < 2 { *extent } else { 1 };
    dims.iter().enumerate().map(one).collect()
}

impl Op for GlobalPool {
    fn name(&self) -> &'static str {
        if self.max {
            "GlobalMaxPool"
        } else {
            "GlobalAveragePool"
        }
    }

    fn infer(&self, inputs: &Inputs<'_, Fact>) -> Result<Vec<Fact>, OpError> {
        let x = inputs.filled(0, "X")?;
        if x.rank() < 3 {
            return Err(OpError::Shape {
                name: "X",
                got: x.dims.clone(),
                expected: "[batch, channels, spatial…]".to_owned(),
            });
        }
        Ok(vec![Fact::float(pooled(&x.dims))])
    }

    fn run(&self, inputs: &Inputs<'_, Value>, _context: &RunContext) -> Result<Vec<Value>, OpError> {
        let x = inputs.required(0, "X")?.clone();
        if !self.max
            && let Some(y) = cpu::global_average(&x)
        {
            return Ok(vec![y]);
        }
        let dims = x.dims();
        let spatial: usize = dims[2..].iter().product();
        let flat: Tensor<3> = x.reshape(&[dims[0], dims[1], spatial]).float();
        let y = if self.max {
            flat.max_dim(2)
        } else {
            flat.mean_dim(2)
        };
        Ok(vec![Value::from(y).reshape(&pooled(&dims))])
    }
}

fn read(node: &NodeReader<'_>) -> Result<Box<dyn Op>, OpError> {
    Ok(Box::new(GlobalPool {
        max: node.op == "GlobalMaxPool",
    }))
}

/// The table's entries.
pub(crate) const OPERATORS: &[Operator] = &[
    Operator {
        name: "GlobalAveragePool",
        forms: &[],
        read,
    },
    Operator {
        name: "GlobalMaxPool",
        forms: &[],
        read,
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{assert_floats, assert_gradients, infer_op, ramp, run_op, waves};

    #[test]
    fn one_number_per_channel_remains() {
        // numpy: arange(16).reshape(2, 2, 2, 2).mean((2, 3)) and .max((2, 3))
        let x = [Some(ramp(&[2, 2, 2, 2], 0.0, 1.0))];
        let made = run_op("GlobalAveragePool", 9, &[], &x).unwrap();
        assert_floats(&made[0], &[2, 2, 1, 1], &[1.5, 5.5, 9.5, 13.5]);
        let made = run_op("GlobalMaxPool", 9, &[], &x).unwrap();
        assert_floats(&made[0], &[2, 2, 1, 1], &[3.0, 7.0, 11.0, 15.0]);
    }

    #[test]
    fn both_have_gradients() {
        let x = [Some(waves(&[2, 2, 3], 0.0, 0.7))];
        assert_gradients("GlobalAveragePool", 9, &[], &x, &[0]);
        assert_gradients("GlobalMaxPool", 9, &[], &x, &[0]);
    }

    #[test]
    fn a_tensor_without_spatial_axes_is_refused() {
        let flat = infer_op("GlobalAveragePool", 9, &[], &[Some(Fact::float([2, 3]))]).unwrap_err();
        assert!(matches!(flat, OpError::Shape { name: "X", .. }), "{flat}");
        let empty = infer_op("GlobalMaxPool", 9, &[], &[Some(Fact::float([2, 3, 0]))]).unwrap_err();
        assert!(matches!(empty, OpError::Shape { name: "X", .. }), "{empty}");
    }
}
