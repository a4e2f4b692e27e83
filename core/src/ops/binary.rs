//! `Add`, `Sub`, `Mul`, `Div`: elementwise arithmetic with broadcasting.
//! <https://onnx.ai/onnx/operators/onnx__Add.html>
//!
//! Opset 7 brought NumPy's broadcasting, 13 bfloat16, 14 small integers; the form never changed.
//! Integers divide towards zero, as C does.

use burn::backend::Dispatch;
use burn::backend::ops::{FloatTensorOps, IntTensorOps};

use crate::op::{Fact, Inputs, NodeReader, Op, OpError, Operator, Role, RunContext, broadcast};
use crate::value::{Kind, Value};

/// Which operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arithmetic {
    /// a + b
    Add,
    /// a − b
    Sub,
    /// a · b
    Mul,
    /// a / b
    Div,
}

/// An elementwise operation on two tensors of one kind.
#[derive(Clone, Copy, Debug)]
pub struct Binary(pub Arithmetic);

impl Op for Binary {
    fn name(&self) -> &'static str {
        match self.0 {
            Arithmetic::Add => "Add",
            Arithmetic::Sub => "Sub",
            Arithmetic::Mul => "Mul",
            Arithmetic::Div => "Div",
        }
    }

    fn infer(&self, inputs: &Inputs<'_, Fact>) -> Result<Vec<Fact>, OpError> {
        let (a, b) = (inputs.required(0, "A")?, inputs.required(1, "B")?);
        if a.kind != b.kind || a.kind == Kind::Bool {
            return Err(OpError::Kind {
                name: "B",
                expected: a.kind,
                got: b.kind,
            });
        }
        Ok(vec![Fact::new(a.kind, broadcast(&a.dims, &b.dims)?)])
    }

    fn run(&self, inputs: &Inputs<'_, Value>, _context: &RunContext) -> Result<Vec<Value>, OpError> {
        let (a, b, scalar) = align(inputs.required(0, "A")?.clone(), inputs.required(1, "B")?.clone());
        let kind = a.kind();
        if kind == Kind::Int && self.0 == Arithmetic::Div {
            check_divisor(&a, &b)?;
        }
        let (a, b) = (a.into_dispatch(), b.into_dispatch());
        let value = Value::new(match (kind, self.0) {
            (Kind::Float, Arithmetic::Add) => Dispatch::float_add(a, b),
            (Kind::Float, Arithmetic::Sub) => Dispatch::float_sub(a, b),
            (Kind::Float, Arithmetic::Mul) => Dispatch::float_mul(a, b),
            (Kind::Float, Arithmetic::Div) => Dispatch::float_div(a, b),
            (_, Arithmetic::Add) => Dispatch::int_add(a, b),
            (_, Arithmetic::Sub) => Dispatch::int_sub(a, b),
            (_, Arithmetic::Mul) => Dispatch::int_mul(a, b),
            (_, Arithmetic::Div) => Dispatch::int_div(a, b),
        });
        Ok(vec![value.scalar_if(scalar)])
    }

    fn role(&self, _input: usize) -> Role {
        Role::Weight
    }
}

/// Brings two values to one rank (extents of 1 in front) on the device of the one that lives away
/// from the CPU; true if both are scalars.
pub(super) fn align(a: Value, b: Value) -> (Value, Value, bool) {
    let scalar = a.is_scalar() && b.is_scalar();
    let rank = a.rank().max(b.rank()).max(1);
    let raise = |value: Value| {
        let own = value.dims();
        let mut dims = vec![1; rank - own.len()];
        dims.extend(own);
        if dims.len() == value.rank() {
            value
        } else {
            value.reshape(&dims)
        }
    };
    let (a, b) = (raise(a), raise(b));
    let (device_a, device_b) = (a.device(), b.device());
    if device_a == device_b {
        return (a, b, scalar);
    }
    let cpu = burn::tensor::Device::flex();
    if device_a == cpu {
        (a.to_device(&device_b), b, scalar)
    } else {
        (a, b.to_device(&device_a), scalar)
    }
}

/// Refuses the integer divisions that have no result: by 0, and of the smallest integer by −1.
pub(super) fn check_divisor(a: &Value, b: &Value) -> Result<(), OpError> {
    let refuse = |got: &str, expected: &str| OpError::Content {
        name: "B",
        got: got.to_owned(),
        expected: expected.to_owned(),
    };
    let divisors = b.to_ints().unwrap_or_default();
    if divisors.contains(&0) {
        return Err(refuse("a divisor of 0", "integers that divide"));
    }
    if divisors.contains(&-1) && a.to_ints().is_some_and(|a| a.contains(&i64::MIN)) {
        return Err(refuse("-1", "a quotient within 64 bits"));
    }
    Ok(())
}

fn read(node: &NodeReader<'_>) -> Result<Box<dyn Op>, OpError> {
    let arithmetic = match node.op {
        "Add" => Arithmetic::Add,
        "Sub" => Arithmetic::Sub,
        "Mul" => Arithmetic::Mul,
        _ => Arithmetic::Div,
    };
    Ok(Box::new(Binary(arithmetic)))
}

/// The table's entries.
pub(crate) const OPERATORS: &[Operator] = &[
    Operator {
        name: "Add",
        forms: &[],
        read,
    },
    Operator {
        name: "Sub",
        forms: &[],
        read,
    },
    Operator {
        name: "Mul",
        forms: &[],
        read,
    },
    Operator {
        name: "Div",
        forms: &[],
        read,
    },
];

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_gradients, assert_ints, floats, ints, run_op, waves};
    use super::*;

    #[test]
    fn integers_divide_towards_zero() {
        // onnxruntime: Div([-7, 7, -7], [2]) = [-3, 3, -3]
        let inputs = [Some(ints(&[3], &[-7, 7, -7])), Some(ints(&[1], &[2]))];
        let made = run_op("Div", 14, &[], &inputs).unwrap();
        assert_ints(&made[0], &[3], &[-3, 3, -3]);
    }

    #[test]
    fn an_integer_divided_by_zero_is_refused() {
        for (a, b) in [(1, 0), (i64::MIN, -1)] {
            let inputs = [Some(ints(&[], &[a])), Some(ints(&[], &[b]))];
            assert!(matches!(
                run_op("Div", 14, &[], &inputs),
                Err(OpError::Content { .. })
            ));
        }
    }

    #[test]
    fn a_broadcast_operand_gets_the_summed_gradient() {
        let inputs = [
            Some(waves(&[2, 3], 1.0, 0.5)),
            Some(floats(&[3, 1, 1], &[2.0, 3.0, -1.0])),
        ];
        for op in ["Add", "Sub", "Mul", "Div"] {
            assert_gradients(op, 14, &[], &inputs, &[0, 1]);
        }
    }
}
