//! `CumSum`: running sums along an axis. <https://onnx.ai/onnx/operators/onnx__CumSum.html>
//!
//! `exclusive` leaves the element itself out, `reverse` sums from the end. Opset 11 introduced it,
//! 14 adds bfloat16; the form never changed.

use burn::backend::Dispatch;
use burn::backend::ops::{FloatTensorOps, IntTensorOps};
use burn::tensor::TensorData;

use crate::op::{Fact, Inputs, NodeReader, Op, OpError, Operator, RunContext, resolve_axis};
use crate::value::{Kind, Value};

/// Running sums.
#[derive(Clone, Copy, Debug)]
pub struct CumSum {
    /// Whether a sum leaves out its own element.
    pub exclusive: bool,
    /// Whether sums start at the end.
    pub reverse: bool,
}

/// The axis that an input of one integer names.
fn single_axis(axis: &[i64], rank: usize) -> Result<usize, OpError> {
    match axis {
        [axis] => resolve_axis(*axis, rank),
        _ => Err(OpError::Content {
            name: "axis",
            got: format!("{axis:?}"),
            expected: "one integer".to_owned(),
        }),
    }
}

impl Op for CumSum {
    fn name(&self) -> &'static str {
        "CumSum"
    }

    fn infer(&self, inputs: &Inputs<'_, Fact>) -> Result<Vec<Fact>, OpError> {
        let x = inputs.required(0, "x")?;
        if x.kind == Kind::Bool {
            return Err(OpError::Kind {
                name: "x",
                expected: Kind::Float,
                got: x.kind,
            });
        }
        let axis = inputs.of_kind(1, "axis", Kind::Int)?;
        if let Some(axis) = axis.ints() {
            single_axis(&axis, x.rank())?;
        }
        Ok(vec![Fact::new(x.kind, x.dims.clone())])
    }

    fn run(&self, inputs: &Inputs<'_, Value>, _context: &RunContext) -> Result<Vec<Value>, OpError> {
        let mut x = inputs.required(0, "x")?.clone();
        let axis = single_axis(&inputs.integers(1, "axis")?, x.rank())?;
        if x.is_empty() {
            return Ok(vec![x]);
        }
        let kind = x.kind();
        if self.reverse {
            x = x.flip(&[axis]);
        }
        if self.exclusive {
            x = shifted(x, axis);
        }
        let sums = Value::new(match kind {
            Kind::Float => Dispatch::float_cumsum(x.into_dispatch(), axis),
            _ => Dispatch::int_cumsum(x.into_dispatch(), axis),
        });
        Ok(vec![if self.reverse { sums.flip(&[axis]) } else { sums }])
    }
}

/// The elements moved on by one along an axis, a zero in front.
fn shifted(x: Value, axis: usize) -> Value {
    let mut dims = x.dims();
    let extent = dims[axis];
    dims[axis] = 1;
    let zero = Value::from_data(TensorData::new(vec![0.0f32], [1]), &x.device());
    let zeros = zero.cast(x.kind()).reshape(&[]).expand(&dims);
    if extent == 1 {
        return zeros;
    }
    Value::concat(vec![zeros, x.narrow(axis, 0, extent - 1)], axis)
}

fn read(node: &NodeReader<'_>) -> Result<Box<dyn Op>, OpError> {
    Ok(Box::new(CumSum {
        exclusive: node.flag("exclusive", false)?,
        reverse: node.flag("reverse", false)?,
    }))
}

/// The table's entries.
pub(crate) const OPERATORS: &[Operator] = &[Operator {
    name: "CumSum",
    forms: &[],
    read,
}];

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_floats, assert_gradients, assert_ints, ints, ramp, run_op};
    use super::*;

    #[test]
    fn sums_run_in_either_direction() {
        // The specification's example, x = [1, 2, 3], and its columns counterpart along axis 0.
        let inputs = [Some(ramp(&[3, 1], 1.0, 1.0)), Some(ints(&[], &[-2]))];
        for (exclusive, reverse, expected) in [
            (0, 0, [1.0, 3.0, 6.0]),
            (1, 0, [0.0, 1.0, 3.0]),
            (0, 1, [6.0, 5.0, 3.0]),
            (1, 1, [5.0, 3.0, 0.0]),
        ] {
            let written: &[_] = &[("exclusive", exclusive.into()), ("reverse", reverse.into())];
            let made = run_op("CumSum", 14, written, &inputs).unwrap();
            assert_floats(&made[0], &[3, 1], &expected);
            assert_gradients("CumSum", 14, written, &inputs, &[0]);
        }
    }

    #[test]
    fn integers_and_single_elements_are_summed() {
        let inputs = [Some(ints(&[2, 1], &[1, 2])), Some(ints(&[1], &[1]))];
        let made = run_op("CumSum", 14, &[("exclusive", 1.into())], &inputs).unwrap();
        assert_ints(&made[0], &[2, 1], &[0, 0]);
        let inputs = [Some(ints(&[0], &[])), Some(ints(&[], &[0]))];
        assert_ints(&run_op("CumSum", 14, &[], &inputs).unwrap()[0], &[0], &[]);
    }

    #[test]
    fn an_axis_outside_is_refused() {
        let inputs = [Some(ints(&[2], &[1, 2])), Some(ints(&[], &[1]))];
        assert!(matches!(
            run_op("CumSum", 14, &[], &inputs),
            Err(OpError::Axis { .. })
        ));
        let inputs = [Some(ints(&[], &[1])), Some(ints(&[], &[0]))];
        assert!(matches!(
            run_op("CumSum", 14, &[], &inputs),
            Err(OpError::Axis { .. })
        ));
    }
}
