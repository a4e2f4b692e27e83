//! `ArgMax` and `ArgMin`: where along an axis the largest or smallest element is.
//! <https://onnx.ai/onnx/operators/onnx__ArgMax.html>,
//! <https://onnx.ai/onnx/operators/onnx__ArgMin.html>
//!
//! Opset 11 allowed negative axes, 12 added `select_last_index` for the choice among equals, 13
//! bfloat16. The indices live on the CPU.

use burn::backend::Dispatch;
use burn::backend::ops::{FloatTensorOps, IntTensorOps};
use burn::tensor::{Device, IntDType};

use crate::op::{Fact, Inputs, NodeReader, Op, OpError, Operator, RunContext, resolve_axis};
use crate::value::{Kind, Value};

/// The place of an extremum.
#[derive(Clone, Debug)]
pub struct ArgMax {
    /// Whether the smallest is looked for.
    pub min: bool,
    /// The axis, as written.
    pub axis: i64,
    /// Whether the axis remains, with extent 1.
    pub keep: bool,
    /// Whether the last of equals is taken instead of the first.
    pub last: bool,
}

impl ArgMax {
    fn shape(&self, dims: &[usize]) -> Result<(usize, Vec<usize>), OpError> {
        let axis = resolve_axis(self.axis, dims.len())?;
        let mut dims = dims.to_vec();
        if self.keep {
            dims[axis] = 1;
        } else {
            dims.remove(axis);
        }
        Ok((axis, dims))
    }
}

impl Op for ArgMax {
    fn name(&self) -> &'static str {
        if self.min { "ArgMin" } else { "ArgMax" }
    }

    fn infer(&self, inputs: &Inputs<'_, Fact>) -> Result<Vec<Fact>, OpError> {
        let x = inputs.required(0, "data")?;
        if x.kind == Kind::Bool {
            return Err(OpError::Kind {
                name: "data",
                expected: Kind::Float,
                got: x.kind,
            });
        }
        if x.is_empty() {
            return Err(OpError::Shape {
                name: "data",
                got: x.dims.clone(),
                expected: "at least one element".to_owned(),
            });
        }
        Ok(vec![Fact::new(Kind::Int, self.shape(&x.dims)?.1)])
    }

    fn run(&self, inputs: &Inputs<'_, Value>, _context: &RunContext) -> Result<Vec<Value>, OpError> {
        let x = inputs.required(0, "data")?.clone();
        let (axis, dims) = self.shape(&x.dims())?;
        let kind = x.kind();
        let extent = x.dims()[axis] as i64;
        let x = if self.last { x.flip(&[axis]) } else { x }.into_dispatch();
        let indices = Value::new(match (kind, self.min) {
            (Kind::Float, false) => Dispatch::float_argmax(x, axis, IntDType::I64),
            (Kind::Float, true) => Dispatch::float_argmin(x, axis, IntDType::I64),
            (_, false) => Dispatch::int_argmax(x, axis),
            (_, true) => Dispatch::int_argmin(x, axis),
        });
        let mut indices = indices.to_device(&Device::flex());
        if self.last {
            let counted = Dispatch::int_neg(indices.into_dispatch());
            indices = Value::new(Dispatch::int_add_scalar(counted, (extent - 1).into()));
        }
        Ok(vec![indices.reshape(&dims)])
    }
}

fn read(node: &NodeReader<'_>) -> Result<Box<dyn Op>, OpError> {
    Ok(Box::new(ArgMax {
        min: node.op == "ArgMin",
        axis: node.int("axis")?.unwrap_or(0),
        keep: node.flag("keepdims", true)?,
        last: node.flag("select_last_index", false)?,
    }))
}

/// The table's entries.
pub(crate) const OPERATORS: &[Operator] = &[
    Operator {
        name: "ArgMax",
        forms: &[],
        read,
    },
    Operator {
        name: "ArgMin",
        forms: &[],
        read,
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{assert_ints, floats, infer_op, ints, run_op};

    #[test]
    fn the_first_of_equals_is_found_or_the_last() {
        // numpy.argmax and argmin of [[1, 3, 3], [2, 0, 0]] along axis 1 and 0
        let x = [Some(floats(&[2, 3], &[1.0, 3.0, 3.0, 2.0, 0.0, 0.0]))];
        let run = |op, attributes: &[_]| run_op(op, 13, attributes, &x).unwrap().remove(0);
        assert_ints(&run("ArgMax", &[("axis", (-1).into())]), &[2, 1], &[1, 0]);
        let flat = [("axis", 1.into()), ("keepdims", 0.into())];
        assert_ints(&run("ArgMin", &flat), &[2], &[0, 1]);
        assert_ints(&run("ArgMax", &[]), &[1, 3], &[1, 0, 0]);
        // onnxruntime 1.32: axis = 1, keepdims = 0, select_last_index = 1
        let last = [flat[0].clone(), flat[1].clone(), ("select_last_index", 1.into())];
        assert_ints(&run("ArgMax", &last), &[2], &[2, 0]);
        assert_ints(&run("ArgMin", &last), &[2], &[0, 2]);
    }

    #[test]
    fn a_vector_without_its_axis_is_a_scalar() {
        let x = [Some(ints(&[3], &[4, 9, 2]))];
        let made = run_op("ArgMax", 13, &[("keepdims", 0.into())], &x).unwrap();
        assert_ints(&made[0], &[], &[1]);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let infer = |attributes: &[_], dims: &[usize]| {
            infer_op("ArgMax", 13, attributes, &[Some(Fact::float(dims))]).unwrap_err()
        };
        assert_eq!(infer(&[], &[]), OpError::Axis { axis: 0, rank: 0 });
        let empty = infer(&[], &[0, 2]);
        assert!(matches!(empty, OpError::Shape { .. }), "{empty}");
    }
}
