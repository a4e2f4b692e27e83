//! `BitwiseAnd`, `BitwiseOr`, `BitwiseXor`, `BitwiseNot`, `BitShift`: the bits of integers.
//! <https://onnx.ai/onnx/operators/onnx__BitShift.html>
//!
//! Opset 11 introduced `BitShift`, 18 the others; the forms never changed. Integers of all types
//! run in 64 bits: what is shifted out of a smaller one upwards stays. Two inputs broadcast.

use super::binary::align;
use crate::op::{Fact, Inputs, NodeReader, Op, OpError, Operator, RunContext, broadcast};
use crate::value::{Kind, Value};

/// Which operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the specification's")]
pub enum Bitwise {
    And,
    Or,
    Xor,
    Not,
    Left,
    Right,
    RightSigned,
}

impl Op for Bitwise {
    fn name(&self) -> &'static str {
        match self {
            Bitwise::And => "BitwiseAnd",
            Bitwise::Or => "BitwiseOr",
            Bitwise::Xor => "BitwiseXor",
            Bitwise::Not => "BitwiseNot",
            Bitwise::Left | Bitwise::Right | Bitwise::RightSigned => "BitShift",
        }
    }

    fn infer(&self, inputs: &Inputs<'_, Fact>) -> Result<Vec<Fact>, OpError> {
        let a = inputs.of_kind(0, "X", Kind::Int)?;
        if *self == Bitwise::Not {
            return Ok(vec![Fact::new(Kind::Int, a.dims.clone())]);
        }
        let b = inputs.of_kind(1, "Y", Kind::Int)?;
        Ok(vec![Fact::new(Kind::Int, broadcast(&a.dims, &b.dims)?)])
    }

    fn run(&self, inputs: &Inputs<'_, Value>, _context: &RunContext) -> Result<Vec<Value>, OpError> {
        let a = inputs.required(0, "X")?.clone();
        if *self == Bitwise::Not {
            let bits = a.to_ints().unwrap_or_default().into_iter().map(|x| !x).collect();
            return Ok(vec![Value::ints(bits, &a.dims())]);
        }
        let b = inputs.required(1, "Y")?.clone();
        let dims = broadcast(&a.dims(), &b.dims())?;
        if dims.contains(&0) {
            return Ok(vec![Value::empty(Kind::Int, &dims, &a.device())]);
        }
        let (a, b, _) = align(a, b);
        let shape = if dims.is_empty() { vec![1] } else { dims.clone() };
        let elements = |value: Value| value.expand(&shape).to_ints().unwrap_or_default();
        let pairs = elements(a).into_iter().zip(elements(b));
        let combine = |(a, b): (i64, i64)| match self {
            Bitwise::And => a & b,
            Bitwise::Or => a | b,
            Bitwise::Xor => a ^ b,
            Bitwise::Not => !a,
            // Unsigned, as ONNX has it; a shift by 64 bits or more leaves nothing.
            Bitwise::Left => u32::try_from(b)
                .ok()
                .and_then(|b| (a as u64).checked_shl(b))
                .unwrap_or(0) as i64,
            Bitwise::Right => u32::try_from(b)
                .ok()
                .and_then(|b| (a as u64).checked_shr(b))
                .unwrap_or(0) as i64,
            // The sign moves in, and is all that a shift out of range leaves.
            Bitwise::RightSigned => a >> u32::try_from(b).map_or(63, |b| b.min(63)),
        };
        Ok(vec![Value::ints(pairs.map(combine).collect(), &dims)])
    }
}

fn read(node: &NodeReader<'_>) -> Result<Box<dyn Op>, OpError> {
    Ok(Box::new(match node.op {
        "BitwiseAnd" => Bitwise::And,
        "BitwiseOr" => Bitwise::Or,
        "BitwiseXor" => Bitwise::Xor,
        "BitwiseNot" => Bitwise::Not,
        _ => match node.text("direction")? {
            Some("LEFT") => Bitwise::Left,
            // Opset 28 added signed integers.
            Some("RIGHT") if node.opset >= 28 => Bitwise::RightSigned,
            Some("RIGHT") => Bitwise::Right,
            other => return Err(node.bad("direction", other.unwrap_or("absent"), "LEFT or RIGHT")),
        },
    }))
}

const fn entry(name: &'static str, since: &'static [i64]) -> Operator {
    Operator {
        name,
        forms: since,
        read,
    }
}

/// The table's entries.
pub(crate) const OPERATORS: &[Operator] = &[
    entry("BitShift", &[11]),
    entry("BitwiseAnd", &[18]),
    entry("BitwiseOr", &[18]),
    entry("BitwiseXor", &[18]),
    entry("BitwiseNot", &[18]),
];

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_ints, floats, ints, run_op};
    use super::*;

    #[test]
    fn bits_are_combined_and_shifted() {
        // a & b, a | b, a ^ b, ~a, a << b, a >> b of 6 and [1, 3] in Python
        let inputs = [Some(ints(&[1], &[6])), Some(ints(&[2], &[1, 3]))];
        for (op, expected) in [
            ("BitwiseAnd", [0, 2]),
            ("BitwiseOr", [7, 7]),
            ("BitwiseXor", [7, 5]),
        ] {
            assert_ints(&run_op(op, 18, &[], &inputs).unwrap()[0], &[2], &expected);
        }
        for (direction, expected) in [("LEFT", [12, 48]), ("RIGHT", [3, 0])] {
            let written: &[_] = &[("direction", direction.into())];
            assert_ints(
                &run_op("BitShift", 11, written, &inputs).unwrap()[0],
                &[2],
                &expected,
            );
        }
        assert_ints(
            &run_op("BitwiseNot", 18, &[], &inputs[..1]).unwrap()[0],
            &[1],
            &[-7],
        );
    }

    #[test]
    fn what_has_no_bits_is_refused() {
        let floats = [Some(floats(&[1], &[6.0])), Some(ints(&[1], &[1]))];
        assert!(matches!(
            run_op("BitwiseAnd", 18, &[], &floats),
            Err(OpError::Kind { .. })
        ));
        let nowhere = run_op("BitShift", 11, &[], &[]);
        assert!(matches!(nowhere, Err(OpError::BadAttribute { .. })));
    }
}
