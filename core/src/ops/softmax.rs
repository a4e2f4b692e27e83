//! `Softmax` and `LogSoftmax`: probabilities from logits.
//! <https://onnx.ai/onnx/operators/onnx__Softmax.html>,
//! <https://onnx.ai/onnx/operators/onnx__LogSoftmax.html>
//!
//! Up to opset 12, `axis` (default 1) cuts the axes in two and the sum runs over all of the second
//! part at once; from 13 on it runs over the one axis `axis` (default −1). Opset 11 allowed
//! negative axes.

use burn::backend::Dispatch;
use burn::backend::ops::ActivationOps;

use crate::op::{Fact, Inputs, NodeReader, Op, OpError, Operator, RunContext, resolve_axis};
use crate::value::Value;

/// Softmax or its logarithm.
#[derive(Clone, Debug)]
pub struct Softmax {
    /// Whether the logarithm is taken.
    pub log: bool,
    /// The axis, as written.
    pub axis: i64,
    /// Whether all axes from `axis` on are one (up to opset 12).
    pub flattened: bool,
}

impl Op for Softmax {
    fn name(&self) -> &'static str {
        if self.log { "LogSoftmax" } else { "Softmax" }
    }

    fn infer(&self, inputs: &Inputs<'_, Fact>) -> Result<Vec<Fact>, OpError> {
        let x = inputs.filled(0, "input")?;
        resolve_axis(self.axis, x.rank())?;
        Ok(vec![Fact::float(x.dims.clone())])
    }

    fn run(&self, inputs: &Inputs<'_, Value>, _context: &RunContext) -> Result<Vec<Value>, OpError> {
        let x = inputs.required(0, "input")?.clone();
        let dims = x.dims();
        let axis = resolve_axis(self.axis, dims.len())?;
        let (x, axis) = if self.flattened {
            let width: usize = dims[axis..].iter().product();
            (x.clone().reshape(&[x.len() / width, width]), 1)
        } else {
            (x, axis)
        };
        let y = if self.log {
            Dispatch::log_softmax(x.into_dispatch(), axis)
        } else {
            Dispatch::softmax(x.into_dispatch(), axis)
        };
        let y = Value::new(y);
        Ok(vec![if self.flattened { y.reshape(&dims) } else { y }])
    }
}

fn read(node: &NodeReader<'_>) -> Result<Box<dyn Op>, OpError> {
    let flattened = node.opset < 13;
    Ok(Box::new(Softmax {
        log: node.op == "LogSoftmax",
        axis: node.int("axis")?.unwrap_or(if flattened { 1 } else { -1 }),
        flattened,
    }))
}

/// The table's entries.
pub(crate) const OPERATORS: &[Operator] = &[
    Operator {
        name: "Softmax",
        forms: &[13],
        read,
    },
    Operator {
        name: "LogSoftmax",
        forms: &[13],
        read,
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{assert_floats, assert_gradients, infer_op, ramp, run_op, waves};

    #[test]
    fn the_newer_form_sums_over_one_axis() {
        // torch.softmax(x, 1) and torch.log_softmax(x, 1), x = arange(8).reshape(2, 2, 2) / 2
        let inputs = [Some(ramp(&[2, 2, 2], 0.0, 0.5))];
        let made = run_op("Softmax", 13, &[("axis", 1.into())], &inputs).unwrap();
        assert_floats(
            &made[0],
            &[2, 2, 2],
            &[
                0.268941, 0.268941, 0.731059, 0.731059, 0.268941, 0.268941, 0.731059, 0.731059,
            ],
        );
        let made = run_op("LogSoftmax", 13, &[("axis", (-2).into())], &inputs).unwrap();
        assert_floats(
            &made[0],
            &[2, 2, 2],
            &[
                -1.313262, -1.313262, -0.313262, -0.313262, -1.313262, -1.313262, -0.313262, -0.313262,
            ],
        );
    }

    #[test]
    fn the_older_form_sums_over_all_later_axes() {
        // onnxruntime 1.32: Softmax-11, x = arange(8).reshape(2, 2, 2) / 2
        let inputs = [Some(ramp(&[2, 2, 2], 0.0, 0.5))];
        let made = run_op("Softmax", 11, &[], &inputs).unwrap();
        assert_floats(
            &made[0],
            &[2, 2, 2],
            &[
                0.101536, 0.167405, 0.276004, 0.455054, 0.101536, 0.167405, 0.276004, 0.455054,
            ],
        );
    }

    #[test]
    fn logits_have_gradients() {
        let inputs = [Some(waves(&[2, 3, 2], 0.0, 0.7))];
        for op in ["Softmax", "LogSoftmax"] {
            assert_gradients(op, 13, &[("axis", 1.into())], &inputs, &[0]);
            assert_gradients(op, 11, &[("axis", 1.into())], &inputs, &[0]);
        }
    }

    #[test]
    fn an_axis_outside_is_refused() {
        let inputs = [Some(Fact::float([2, 3]))];
        let outside = infer_op("Softmax", 13, &[("axis", 2.into())], &inputs).unwrap_err();
        assert_eq!(outside, OpError::Axis { axis: 2, rank: 2 });
        let scalar = infer_op("Softmax", 13, &[], &[Some(Fact::float([]))]).unwrap_err();
        assert_eq!(scalar, OpError::Axis { axis: -1, rank: 0 });
    }
}
