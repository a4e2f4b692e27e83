//! `Expand`: broadcasting to a shape. <https://onnx.ai/onnx/operators/onnx__Expand.html>
//!
//! The broadcast goes both ways: where the wanted shape has 1, the input's extent stays. Opset 8
//! introduced it, 13 adds bfloat16.

use super::shaped::{Shaped, extents};
use crate::op::{
    Fact, Inputs, NodeReader, Op, OpError, Operator, Role, RunContext, broadcast, element_count,
};
use crate::value::Value;

/// Broadcasts to a shape.
#[derive(Clone, Copy, Debug)]
pub struct Expand;

fn dims<T: Shaped>(inputs: &Inputs<'_, T>) -> Result<Vec<usize>, OpError> {
    let own = inputs.required(0, "input")?.extents();
    let wanted = inputs.integers(1, "shape")?;
    let dims = broadcast(&own, &extents("shape", &wanted)?)?;
    if element_count(&dims).is_some() {
        return Ok(dims);
    }
    Err(OpError::Content {
        name: "shape",
        got: format!("{wanted:?}"),
        expected: format!("a shape that {own:?} can be broadcast to within memory"),
    })
}

impl Op for Expand {
    fn name(&self) -> &'static str {
        "Expand"
    }

    fn infer(&self, inputs: &Inputs<'_, Fact>) -> Result<Vec<Fact>, OpError> {
        let kind = inputs.required(0, "input")?.kind;
        Ok(vec![Fact::new(kind, dims(inputs)?)])
    }

    fn run(&self, inputs: &Inputs<'_, Value>, _context: &RunContext) -> Result<Vec<Value>, OpError> {
        let x = inputs.required(0, "input")?.clone();
        let dims = dims(inputs)?;
        if dims.contains(&0) {
            return Ok(vec![Value::empty(x.kind(), &dims, &x.device())]);
        }
        Ok(vec![x.expand(&dims)])
    }

    fn role(&self, _input: usize) -> Role {
        Role::Weight
    }
}

fn read(_node: &NodeReader<'_>) -> Result<Box<dyn Op>, OpError> {
    Ok(Box::new(Expand))
}

/// The table's entries.
pub(crate) const OPERATORS: &[Operator] = &[Operator {
    name: "Expand",
    forms: &[],
    read,
}];

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_gradients, assert_ints, floats, ints, ramp, run_op};
    use super::*;

    #[test]
    fn the_broadcast_goes_both_ways() {
        // np.array([[1], [2]]) * np.ones((2, 1, 3)) and np.array([1, 2, 3]) * np.ones((1,))
        let x = ints(&[2, 1], &[1, 2]);
        let made = run_op(
            "Expand",
            13,
            &[],
            &[Some(x.clone()), Some(ints(&[3], &[2, 1, 3]))],
        )
        .unwrap();
        assert_ints(&made[0], &[2, 2, 3], &[1, 1, 1, 2, 2, 2, 1, 1, 1, 2, 2, 2]);
        let made = run_op("Expand", 13, &[], &[Some(x.clone()), Some(ints(&[1], &[1]))]).unwrap();
        assert_ints(&made[0], &[2, 1], &[1, 2]);
        let made = run_op("Expand", 13, &[], &[Some(x), Some(ints(&[2], &[2, 0]))]).unwrap();
        assert_ints(&made[0], &[2, 0], &[]);
    }

    #[test]
    fn scalars_expand_and_stay() {
        let scalar = Some(floats(&[], &[2.0]));
        let made = run_op("Expand", 13, &[], &[scalar.clone(), Some(ints(&[2], &[1, 2]))]).unwrap();
        assert_eq!(made[0].dims(), [1, 2]);
        let made = run_op("Expand", 13, &[], &[scalar, Some(ints(&[0], &[]))]).unwrap();
        assert_eq!(made[0].rank(), 0);
    }

    #[test]
    fn gradients_are_summed() {
        let inputs = [Some(ramp(&[2, 1], 0.0, 1.0)), Some(ints(&[2], &[2, 3]))];
        assert_gradients("Expand", 13, &[], &inputs, &[0]);
    }

    #[test]
    fn what_does_not_broadcast_is_refused() {
        let x = Some(ints(&[2], &[1, 2]));
        let refused = run_op("Expand", 13, &[], &[x.clone(), Some(ints(&[1], &[3]))]);
        assert!(matches!(refused, Err(OpError::Broadcast { .. })));
        let refused = run_op("Expand", 13, &[], &[x.clone(), Some(ints(&[1], &[-1]))]);
        assert!(matches!(refused, Err(OpError::Content { .. })));
        let refused = run_op("Expand", 13, &[], &[x, Some(ints(&[2], &[1 << 31, 1]))]);
        assert!(matches!(refused, Err(OpError::Content { .. })));
    }
}
