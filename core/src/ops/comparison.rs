//! `Equal`, `Greater`, `GreaterOrEqual`, `Less`, `LessOrEqual`: elementwise comparison with
//! broadcasting. <https://onnx.ai/onnx/operators/onnx__Equal.html>
//!
//! Opset 7 brought broadcasting, 9 all number types, 11 floats for `Equal`, 12 the two operators
//! with "or equal", 13 bfloat16; the form never changed. `Equal` compares booleans too.

use burn::tensor::{Bool, Tensor};

use super::binary::align;
use crate::op::{Fact, Inputs, NodeReader, Op, OpError, Operator, RunContext, broadcast};
use crate::value::{Kind, Value};

/// Which comparison, under ONNX's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the specification's")]
pub enum Comparison {
    Equal,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
}

impl Op for Comparison {
    fn name(&self) -> &'static str {
        match self {
            Comparison::Equal => "Equal",
            Comparison::Greater => "Greater",
            Comparison::GreaterOrEqual => "GreaterOrEqual",
            Comparison::Less => "Less",
            Comparison::LessOrEqual => "LessOrEqual",
        }
    }

    fn infer(&self, inputs: &Inputs<'_, Fact>) -> Result<Vec<Fact>, OpError> {
        let (a, b) = (inputs.required(0, "A")?, inputs.required(1, "B")?);
        if a.kind == Kind::Bool && *self != Comparison::Equal {
            return Err(OpError::Kind {
                name: "A",
                expected: Kind::Float,
                got: a.kind,
            });
        }
        let b = inputs.of_kind(1, "B", a.kind).map(|_| b)?;
        Ok(vec![Fact::new(Kind::Bool, broadcast(&a.dims, &b.dims)?)])
    }

    fn run(&self, inputs: &Inputs<'_, Value>, _context: &RunContext) -> Result<Vec<Value>, OpError> {
        let (a, b, scalar) = align(inputs.required(0, "A")?.clone(), inputs.required(1, "B")?.clone());
        // Comparisons broadcast by themselves and look at the first axis alone, so the type may say
        // rank 1.
        let result: Tensor<1, Bool> = match (self, a.kind()) {
            (Comparison::Equal, Kind::Float) => a.float::<1>().equal(b.float()),
            (Comparison::Equal, Kind::Int) => a.int::<1>().equal(b.int()),
            (_, Kind::Bool) => a.bool::<1>().equal(b.bool()),
            (Comparison::Greater, Kind::Float) => a.float::<1>().greater(b.float()),
            (Comparison::Greater, Kind::Int) => a.int::<1>().greater(b.int()),
            (Comparison::GreaterOrEqual, Kind::Float) => a.float::<1>().greater_equal(b.float()),
            (Comparison::GreaterOrEqual, Kind::Int) => a.int::<1>().greater_equal(b.int()),
            (Comparison::Less, Kind::Float) => a.float::<1>().lower(b.float()),
            (Comparison::Less, Kind::Int) => a.int::<1>().lower(b.int()),
            (Comparison::LessOrEqual, Kind::Float) => a.float::<1>().lower_equal(b.float()),
            (Comparison::LessOrEqual, Kind::Int) => a.int::<1>().lower_equal(b.int()),
        };
        Ok(vec![Value::from(result).scalar_if(scalar)])
    }
}

fn read(node: &NodeReader<'_>) -> Result<Box<dyn Op>, OpError> {
    Ok(Box::new(match node.op {
        "Equal" => Comparison::Equal,
        "Greater" => Comparison::Greater,
        "GreaterOrEqual" => Comparison::GreaterOrEqual,
        "Less" => Comparison::Less,
        _ => Comparison::LessOrEqual,
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
pub(crate) const OPERATORS: &[Operator] = &[
    entry("Equal"),
    entry("Greater"),
    entry("GreaterOrEqual"),
    entry("Less"),
    entry("LessOrEqual"),
];

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_ints, bools, floats, ints, run_op};
    use super::*;

    #[test]
    fn numbers_compare_with_broadcasting() {
        // np.equal, np.greater, … of [[1], [2]] and [1, 2, 3]
        let expected = [
            ("Equal", [1, 0, 0, 0, 1, 0]),
            ("Greater", [0, 0, 0, 1, 0, 0]),
            ("GreaterOrEqual", [1, 0, 0, 1, 1, 0]),
            ("Less", [0, 1, 1, 0, 0, 1]),
            ("LessOrEqual", [1, 1, 1, 0, 1, 1]),
        ];
        for (op, expected) in expected {
            let inputs = [Some(ints(&[2, 1], &[1, 2])), Some(ints(&[3], &[1, 2, 3]))];
            assert_ints(&run_op(op, 16, &[], &inputs).unwrap()[0], &[2, 3], &expected);
            let inputs = inputs.map(|input| input.map(|input| input.cast(Kind::Float)));
            assert_ints(&run_op(op, 16, &[], &inputs).unwrap()[0], &[2, 3], &expected);
        }
    }

    #[test]
    fn booleans_are_equal_or_not_and_that_is_all() {
        let inputs = [Some(bools(&[2], &[true, false])), Some(bools(&[], &[false]))];
        assert_ints(&run_op("Equal", 11, &[], &inputs).unwrap()[0], &[2], &[0, 1]);
        assert!(matches!(
            run_op("Less", 9, &[], &inputs),
            Err(OpError::Kind { .. })
        ));
    }

    #[test]
    fn different_kinds_are_refused_and_scalars_stay_scalars() {
        let inputs = [Some(floats(&[], &[1.0])), Some(ints(&[], &[1]))];
        assert!(matches!(
            run_op("Equal", 11, &[], &inputs),
            Err(OpError::Kind { name: "B", .. })
        ));
        let inputs = [Some(ints(&[], &[2])), Some(ints(&[], &[1]))];
        assert_ints(&run_op("Greater", 11, &[], &inputs).unwrap()[0], &[], &[1]);
    }
}
