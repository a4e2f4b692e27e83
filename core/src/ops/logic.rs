//! `And`, `Or`, `Xor`: elementwise logic with broadcasting.
//! <https://onnx.ai/onnx/operators/onnx__And.html>
//!
//! Opset 7 brought broadcasting; the form never changed. `Not` stands in [`unary`](super::unary).

use burn::backend::Dispatch;
use burn::backend::ops::BoolTensorOps;

use super::binary::align;
use crate::op::{Fact, Inputs, NodeReader, Op, OpError, Operator, RunContext, broadcast};
use crate::value::{Kind, Value};

/// Which connective, under ONNX's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the specification's")]
pub enum Logic {
    And,
    Or,
    Xor,
}

impl Op for Logic {
    fn name(&self) -> &'static str {
        match self {
            Logic::And => "And",
            Logic::Or => "Or",
            Logic::Xor => "Xor",
        }
    }

    fn infer(&self, inputs: &Inputs<'_, Fact>) -> Result<Vec<Fact>, OpError> {
        let a = inputs.of_kind(0, "A", Kind::Bool)?;
        let b = inputs.of_kind(1, "B", Kind::Bool)?;
        Ok(vec![Fact::new(Kind::Bool, broadcast(&a.dims, &b.dims)?)])
    }

    fn run(&self, inputs: &Inputs<'_, Value>, _context: &RunContext) -> Result<Vec<Value>, OpError> {
        let (a, b, scalar) = align(inputs.required(0, "A")?.clone(), inputs.required(1, "B")?.clone());
        let dims = broadcast(&a.dims(), &b.dims())?;
        let (a, b) = (a.expand(&dims).into_dispatch(), b.expand(&dims).into_dispatch());
        let result = Value::new(match self {
            Logic::And => Dispatch::bool_and(a, b),
            Logic::Or => Dispatch::bool_or(a, b),
            Logic::Xor => Dispatch::bool_xor(a, b),
        });
        Ok(vec![result.scalar_if(scalar)])
    }
}

fn read(node: &NodeReader<'_>) -> Result<Box<dyn Op>, OpError> {
    Ok(Box::new(match node.op {
        "And" => Logic::And,
        "Or" => Logic::Or,
        _ => Logic::Xor,
    }))
}

const fn entry(name: &'static str) -> Operator {
    Operator {
        name,
        forms: &[],
        read,
    }
}

/// The table's entries.
pub(crate) const OPERATORS: &[Operator] = &[entry("And"), entry("Or"), entry("Xor")];

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_ints, bools, ints, run_op};
    use super::*;

    #[test]
    fn truth_tables() {
        let inputs = [
            Some(bools(&[2, 1], &[false, true])),
            Some(bools(&[2], &[false, true])),
        ];
        for (op, expected) in [("And", [0, 0, 0, 1]), ("Or", [0, 1, 1, 1]), ("Xor", [0, 1, 1, 0])] {
            assert_ints(&run_op(op, 9, &[], &inputs).unwrap()[0], &[2, 2], &expected);
        }
    }

    #[test]
    fn numbers_have_no_truth() {
        let inputs = [Some(ints(&[1], &[1])), Some(bools(&[1], &[true]))];
        assert!(matches!(
            run_op("And", 9, &[], &inputs),
            Err(OpError::Kind { name: "A", .. })
        ));
    }
}
