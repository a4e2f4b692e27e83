//! `Squeeze`: without axes of extent 1. <https://onnx.ai/onnx/operators/onnx__Squeeze.html>
//!
//! Opset 11 allows negative axes, 13 turns `axes` from an attribute into an input, 21 adds types.
//! Without axes all of extent 1 go.

use super::shaped::{IntList, Shaped, resolve_axes};
use crate::op::{Fact, Inputs, NodeReader, Op, OpError, Operator, Role, RunContext};
use crate::value::Value;

/// Drops axes of extent 1.
#[derive(Clone, Debug)]
pub struct Squeeze {
    axes: IntList,
}

impl Squeeze {
    fn dims<T: Shaped>(&self, inputs: &Inputs<'_, T>) -> Result<Vec<usize>, OpError> {
        let own = inputs.required(0, "data")?.extents();
        let Some(axes) = self.axes.get(inputs)? else {
            return Ok(own.into_iter().filter(|extent| *extent != 1).collect());
        };
        let axes = resolve_axes(&axes, own.len())?;
        if let Some(axis) = axes.iter().find(|axis| own[**axis] != 1) {
            return Err(OpError::Shape {
                name: "data",
                got: own.clone(),
                expected: format!("extent 1 along axis {axis}, which is dropped"),
            });
        }
        let kept = (0..own.len()).filter(|axis| !axes.contains(axis));
        Ok(kept.map(|axis| own[axis]).collect())
    }
}

impl Op for Squeeze {
    fn name(&self) -> &'static str {
        "Squeeze"
    }

    fn infer(&self, inputs: &Inputs<'_, Fact>) -> Result<Vec<Fact>, OpError> {
        let kind = inputs.required(0, "data")?.kind;
        Ok(vec![Fact::new(kind, self.dims(inputs)?)])
    }

    fn run(&self, inputs: &Inputs<'_, Value>, _context: &RunContext) -> Result<Vec<Value>, OpError> {
        let dims = self.dims(inputs)?;
        Ok(vec![inputs.required(0, "data")?.clone().reshape(&dims)])
    }

    fn role(&self, _input: usize) -> Role {
        Role::Weight
    }
}

fn read(node: &NodeReader<'_>) -> Result<Box<dyn Op>, OpError> {
    let axes = IntList::read(node, "axes", 1, 13)?;
    Ok(Box::new(Squeeze { axes }))
}

/// The table's entries.
pub(crate) const OPERATORS: &[Operator] = &[Operator {
    name: "Squeeze",
    forms: &[13],
    read,
}];

#[cfg(test)]
mod tests {
    use std::slice::from_ref;

    use super::super::testing::{assert_floats, floats, ints, ramp, run_op};
    use super::*;

    #[test]
    fn stated_axes_go_or_all_of_extent_one() {
        // np.squeeze(np.zeros((1, 3, 1)), (0,)), (-1,) and without axes
        let x = Some(ramp(&[1, 3, 1], 0.0, 1.0));
        let old = run_op("Squeeze", 11, &[("axes", vec![0].into())], from_ref(&x)).unwrap();
        assert_eq!(old[0].dims(), [3, 1]);
        let new = run_op("Squeeze", 13, &[], &[x.clone(), Some(ints(&[1], &[-1]))]).unwrap();
        assert_eq!(new[0].dims(), [1, 3]);
        assert_eq!(run_op("Squeeze", 13, &[], &[x]).unwrap()[0].dims(), [3]);
    }

    #[test]
    fn one_element_becomes_a_scalar() {
        let made = run_op("Squeeze", 13, &[], &[Some(floats(&[1], &[2.0]))]).unwrap();
        assert_floats(&made[0], &[], &[2.0]);
    }

    #[test]
    fn another_extent_is_refused() {
        let x = Some(ramp(&[1, 3], 0.0, 1.0));
        let refused = run_op("Squeeze", 13, &[], &[x, Some(ints(&[1], &[1]))]);
        assert!(matches!(refused, Err(OpError::Shape { .. })));
    }
}
