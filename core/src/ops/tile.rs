//! `Tile`: a tensor several times over along its axes.
//! <https://onnx.ai/onnx/operators/onnx__Tile.html>
//!
//! Opset 6 gave it today's form, 13 adds bfloat16.

use super::shaped::{Shaped, extents};
use crate::op::{Fact, Inputs, NodeReader, Op, OpError, Operator, Role, RunContext, element_count};
use crate::value::Value;

/// Repeats a tensor.
#[derive(Clone, Copy, Debug)]
pub struct Tile;

/// How often each axis is repeated, and the output's shape.
fn plan<T: Shaped>(inputs: &Inputs<'_, T>) -> Result<(Vec<usize>, Vec<usize>), OpError> {
    let own = inputs.required(0, "input")?.extents();
    let repeats = inputs.integers(1, "repeats")?;
    let times = extents("repeats", &repeats)?;
    let dims: Option<Vec<usize>> = own
        .iter()
        .zip(&times)
        .map(|(extent, times)| extent.checked_mul(*times))
        .collect();
    match dims {
        Some(dims) if times.len() == own.len() && element_count(&dims).is_some() => Ok((times, dims)),
        _ => Err(OpError::Content {
            name: "repeats",
            got: format!("{repeats:?}"),
            expected: format!("{} numbers whose tensor fits into memory", own.len()),
        }),
    }
}

impl Op for Tile {
    fn name(&self) -> &'static str {
        "Tile"
    }

    fn infer(&self, inputs: &Inputs<'_, Fact>) -> Result<Vec<Fact>, OpError> {
        let kind = inputs.required(0, "input")?.kind;
        let (_, dims) = plan(inputs)?;
        Ok(vec![Fact::new(kind, dims)])
    }

    fn run(&self, inputs: &Inputs<'_, Value>, _context: &RunContext) -> Result<Vec<Value>, OpError> {
        let mut x = inputs.required(0, "input")?.clone();
        let (times, dims) = plan(inputs)?;
        if dims.contains(&0) {
            return Ok(vec![Value::empty(x.kind(), &dims, &x.device())]);
        }
        for (axis, times) in times.into_iter().enumerate() {
            if times > 1 {
                x = x.repeat(axis, times);
            }
        }
        Ok(vec![x])
    }

    fn role(&self, _input: usize) -> Role {
        Role::Weight
    }
}

fn read(_node: &NodeReader<'_>) -> Result<Box<dyn Op>, OpError> {
    Ok(Box::new(Tile))
}

/// The table's entries.
pub(crate) const OPERATORS: &[Operator] = &[Operator {
    name: "Tile",
    forms: &[],
    read,
}];

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_floats, assert_gradients, assert_ints, ints, ramp, run_op};
    use super::*;

    #[test]
    fn axes_are_repeated() {
        // np.tile([[0, 1]], (2, 2))
        let inputs = [Some(ramp(&[1, 2], 0.0, 1.0)), Some(ints(&[2], &[2, 2]))];
        let made = run_op("Tile", 13, &[], &inputs).unwrap();
        assert_floats(&made[0], &[2, 4], &[0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0]);
        assert_gradients("Tile", 13, &[], &inputs, &[0]);
        let none = run_op(
            "Tile",
            13,
            &[],
            &[Some(ints(&[2], &[1, 2])), Some(ints(&[1], &[0]))],
        );
        assert_ints(&none.unwrap()[0], &[0], &[]);
        let scalar = run_op("Tile", 13, &[], &[Some(ints(&[], &[1])), Some(ints(&[0], &[]))]);
        assert_ints(&scalar.unwrap()[0], &[], &[1]);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        for repeats in [&[1, 1][..], &[-1], &[1 << 62]] {
            let inputs = [Some(ints(&[2], &[1, 2])), Some(ints(&[repeats.len()], repeats))];
            assert!(matches!(
                run_op("Tile", 13, &[], &inputs),
                Err(OpError::Content { .. })
            ));
        }
    }
}
