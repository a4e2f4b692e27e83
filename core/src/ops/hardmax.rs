//! `Hardmax`: 1 where the first of the largest elements is, 0 elsewhere.
//! <https://onnx.ai/onnx/operators/onnx__Hardmax.html>
//!
//! As for Softmax: up to opset 12, `axis` (default 1) cuts the axes in two and all of the second
//! part are one row; from 13 on a row is the one axis `axis` (default −1). Its gradient is zero.

use burn::backend::Dispatch;
use burn::backend::ops::FloatTensorOps;
use burn::tensor::{Device, IntDType};

use crate::op::{Fact, Inputs, NodeReader, Op, OpError, Operator, RunContext, resolve_axis};
use crate::value::{Kind, Value};

/// The largest element as one-hot rows.
#[derive(Clone, Copy, Debug)]
pub struct Hardmax {
    /// The axis, as written.
    pub axis: i64,
    /// Whether all axes from `axis` on are one (up to opset 12).
    pub flattened: bool,
}

impl Op for Hardmax {
    fn name(&self) -> &'static str {
        "Hardmax"
    }

    fn infer(&self, inputs: &Inputs<'_, Fact>) -> Result<Vec<Fact>, OpError> {
        let x = inputs.filled(0, "input")?;
        resolve_axis(self.axis, x.rank())?;
        Ok(vec![Fact::float(x.dims.clone())])
    }

    fn run(&self, inputs: &Inputs<'_, Value>, _context: &RunContext) -> Result<Vec<Value>, OpError> {
        let x = inputs.required(0, "input")?.clone();
        let (dims, device) = (x.dims(), x.device());
        let axis = resolve_axis(self.axis, dims.len())?;
        let inner: usize = if self.flattened {
            1
        } else {
            dims[axis + 1..].iter().product()
        };
        let width = if self.flattened {
            dims[axis..].iter().product()
        } else {
            dims[axis]
        };
        let rows = x.reshape(&[dims.iter().product::<usize>() / (width * inner), width, inner]);
        let first = Dispatch::float_argmax(rows.into_dispatch(), 1, IntDType::I64);
        // Places live on the CPU, as those of ArgMax do.
        let first = Value::new(first).to_device(&Device::flex()).int::<3>();
        let places = Value::ints((0..width as i64).collect(), &[1, width, 1]).int::<3>();
        let made = Value::from(first.equal(places)).cast(Kind::Float);
        Ok(vec![made.to_device(&device).reshape(&dims)])
    }
}

fn read(node: &NodeReader<'_>) -> Result<Box<dyn Op>, OpError> {
    let flattened = node.opset < 13;
    Ok(Box::new(Hardmax {
        axis: node.int("axis")?.unwrap_or(if flattened { 1 } else { -1 }),
        flattened,
    }))
}

/// The table's entries.
pub(crate) const OPERATORS: &[Operator] = &[Operator {
    name: "Hardmax",
    forms: &[13],
    read,
}];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{assert_floats, floats, infer_op, run_op};

    #[test]
    fn the_first_of_equals_is_taken() {
        // onnxruntime: Hardmax-13, x = [[1, 3, 3], [2, 0, -1]]
        let x = [Some(floats(&[2, 3], &[1.0, 3.0, 3.0, 2.0, 0.0, -1.0]))];
        let made = run_op("Hardmax", 13, &[], &x).unwrap();
        assert_floats(&made[0], &[2, 3], &[0.0, 1.0, 0.0, 1.0, 0.0, 0.0]);
        let made = run_op("Hardmax", 13, &[("axis", 0.into())], &x).unwrap();
        assert_floats(&made[0], &[2, 3], &[0.0, 1.0, 1.0, 1.0, 0.0, 0.0]);
        // Hardmax-11, axis = 0: all six are one row
        let made = run_op("Hardmax", 11, &[("axis", 0.into())], &x).unwrap();
        assert_floats(&made[0], &[2, 3], &[0.0, 1.0, 0.0, 0.0, 0.0, 0.0]);
    }

    #[test]
    fn an_axis_outside_is_refused() {
        let outside = infer_op("Hardmax", 13, &[("axis", 2.into())], &[Some(Fact::float([2, 3]))]);
        assert_eq!(outside.unwrap_err(), OpError::Axis { axis: 2, rank: 2 });
    }
}
