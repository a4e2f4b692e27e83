//! `Min`, `Max`, `Sum`, `Mean`: elementwise over any number of inputs, with broadcasting.
//! <https://onnx.ai/onnx/operators/onnx__Max.html>
//!
//! Opset 8 brought broadcasting, 12 integers for `Min` and `Max`, 13 bfloat16; the form never
//! changed. Where inputs tie, the gradient goes to the first of them.

use burn::backend::Dispatch;
use burn::backend::ops::{FloatTensorOps, IntTensorOps};

use super::binary::align;
use crate::op::{Fact, Inputs, NodeReader, Op, OpError, Operator, Role, RunContext, broadcast};
use crate::value::{Kind, Value};

/// What joins the inputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Join {
    /// The smallest.
    Min,
    /// The largest.
    Max,
    /// The sum.
    Sum,
    /// The mean.
    Mean,
}

/// An elementwise operation over any number of inputs.
#[derive(Clone, Copy, Debug)]
pub struct Variadic(pub Join);

impl Op for Variadic {
    fn name(&self) -> &'static str {
        match self.0 {
            Join::Min => "Min",
            Join::Max => "Max",
            Join::Sum => "Sum",
            Join::Mean => "Mean",
        }
    }

    fn infer(&self, inputs: &Inputs<'_, Fact>) -> Result<Vec<Fact>, OpError> {
        let first = inputs.required(0, "data_0")?;
        let ints = matches!(self.0, Join::Min | Join::Max);
        let mut dims = first.dims.clone();
        for fact in inputs.present() {
            let fits =
                fact.kind == first.kind && (fact.kind == Kind::Float || ints && fact.kind == Kind::Int);
            if !fits {
                return Err(OpError::Kind {
                    name: "data",
                    expected: if ints { first.kind } else { Kind::Float },
                    got: fact.kind,
                });
            }
            dims = broadcast(&dims, &fact.dims)?;
        }
        Ok(vec![Fact::new(first.kind, dims)])
    }

    fn run(&self, inputs: &Inputs<'_, Value>, _context: &RunContext) -> Result<Vec<Value>, OpError> {
        let mut joined = inputs.required(0, "data_0")?.clone();
        let count = inputs.present().count();
        for value in inputs.present().skip(1) {
            joined = self.join(joined, value.clone())?;
        }
        if self.0 == Join::Mean {
            joined = joined.elementwise(|sum| sum / count as f32);
        }
        Ok(vec![joined])
    }

    fn role(&self, _input: usize) -> Role {
        match self.0 {
            // A bound is part of the formula.
            Join::Min | Join::Max => Role::Constant,
            Join::Sum | Join::Mean => Role::Weight,
        }
    }
}

impl Variadic {
    fn join(&self, a: Value, b: Value) -> Result<Value, OpError> {
        let (mut a, mut b, scalar) = align(a, b);
        // Sums broadcast by themselves; selection wants equal shapes.
        if matches!(self.0, Join::Min | Join::Max) {
            let dims = broadcast(&a.dims(), &b.dims())?;
            (a, b) = (a.expand(&dims), b.expand(&dims));
        }
        let joined: Value = match (self.0, a.kind()) {
            (Join::Min, Kind::Float) => a.float::<1>().min_pair(b.float()).into(),
            (Join::Max, Kind::Float) => a.float::<1>().max_pair(b.float()).into(),
            (Join::Min, _) => a.int::<1>().min_pair(b.int()).into(),
            (Join::Max, _) => a.int::<1>().max_pair(b.int()).into(),
            (Join::Sum | Join::Mean, Kind::Float) => {
                Value::new(Dispatch::float_add(a.into_dispatch(), b.into_dispatch()))
            }
            (Join::Sum | Join::Mean, _) => {
                Value::new(Dispatch::int_add(a.into_dispatch(), b.into_dispatch()))
            }
        };
        Ok(joined.scalar_if(scalar))
    }
}

fn read(node: &NodeReader<'_>) -> Result<Box<dyn Op>, OpError> {
    Ok(Box::new(Variadic(match node.op {
        "Min" => Join::Min,
        "Max" => Join::Max,
        "Sum" => Join::Sum,
        _ => Join::Mean,
    })))
}

const fn entry(name: &'static str) -> Operator {
    Operator {
        name,
        forms: &[],
        read,
    }
}

/// The table's entries.
pub(crate) const OPERATORS: &[Operator] = &[entry("Min"), entry("Max"), entry("Sum"), entry("Mean")];

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_floats, assert_gradients, assert_ints, floats, ints, run_op};
    use super::*;

    #[test]
    fn any_number_of_inputs_broadcast() {
        // np.maximum.reduce, np.minimum.reduce, sum and mean of [[1], [4]], [2, 5] and 3 (a
        // scalar).
        let inputs = [
            Some(floats(&[2, 1], &[1.0, 4.0])),
            Some(floats(&[2], &[2.0, 5.0])),
            Some(floats(&[], &[3.0])),
        ];
        for (op, expected) in [
            ("Max", [3.0, 5.0, 4.0, 5.0]),
            ("Min", [1.0, 1.0, 2.0, 3.0]),
            ("Sum", [6.0, 9.0, 9.0, 12.0]),
            ("Mean", [2.0, 3.0, 3.0, 4.0]),
        ] {
            let made = run_op(op, 13, &[], &inputs).unwrap();
            assert_floats(&made[0], &[2, 2], &expected);
            assert_gradients(op, 13, &[], &inputs, &[0, 1, 2]);
        }
    }

    #[test]
    fn one_input_comes_back_as_it_is() {
        for op in ["Max", "Min", "Sum", "Mean"] {
            let made = run_op(op, 13, &[], &[Some(floats(&[], &[3.0]))]).unwrap();
            assert_floats(&made[0], &[], &[3.0]);
        }
    }

    #[test]
    fn integers_have_extrema_but_no_mean() {
        let inputs = [Some(ints(&[2], &[1, 5])), Some(ints(&[], &[3]))];
        assert_ints(&run_op("Max", 13, &[], &inputs).unwrap()[0], &[2], &[3, 5]);
        assert_ints(&run_op("Min", 13, &[], &inputs).unwrap()[0], &[2], &[1, 3]);
        assert!(matches!(
            run_op("Mean", 13, &[], &inputs),
            Err(OpError::Kind { .. })
        ));
        assert!(matches!(
            run_op("Sum", 13, &[], &[]),
            Err(OpError::MissingInput { .. })
        ));
    }
}
