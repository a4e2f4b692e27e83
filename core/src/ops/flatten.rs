//! `Flatten`: a matrix of the axes before and after `axis`.
//! <https://onnx.ai/onnx/operators/onnx__Flatten.html>
//!
//! Opset 9 allows all types, 11 negative axes; 13 and 21 add types. The form never changed.

use super::shaped::Shaped;
use crate::op::{Fact, Inputs, NodeReader, Op, OpError, Operator, Role, RunContext};
use crate::value::Value;

/// Joins axes into two.
#[derive(Clone, Copy, Debug)]
pub struct Flatten {
    /// The first axis that goes into the second extent; may be the rank itself.
    pub axis: i64,
}

impl Flatten {
    fn dims<T: Shaped>(&self, inputs: &Inputs<'_, T>) -> Result<Vec<usize>, OpError> {
        let own = inputs.required(0, "input")?.extents();
        let rank = own.len();
        let axis = if self.axis < 0 {
            self.axis + rank as i64
        } else {
            self.axis
        };
        let axis = usize::try_from(axis)
            .ok()
            .filter(|axis| *axis <= rank)
            .ok_or(OpError::Axis {
                axis: self.axis,
                rank,
            })?;
        let (before, after) = own.split_at(axis);
        Ok(vec![before.iter().product(), after.iter().product()])
    }
}

impl Op for Flatten {
    fn name(&self) -> &'static str {
        "Flatten"
    }

    fn infer(&self, inputs: &Inputs<'_, Fact>) -> Result<Vec<Fact>, OpError> {
        let kind = inputs.required(0, "input")?.kind;
        Ok(vec![Fact::new(kind, self.dims(inputs)?)])
    }

    fn run(&self, inputs: &Inputs<'_, Value>, _context: &RunContext) -> Result<Vec<Value>, OpError> {
        let dims = self.dims(inputs)?;
        Ok(vec![inputs.required(0, "input")?.clone().reshape(&dims)])
    }

    fn role(&self, _input: usize) -> Role {
        Role::Weight
    }
}

fn read(node: &NodeReader<'_>) -> Result<Box<dyn Op>, OpError> {
    let axis = node.int("axis")?.unwrap_or(1);
    Ok(Box::new(Flatten { axis }))
}

/// The table's entries.
pub(crate) const OPERATORS: &[Operator] = &[Operator {
    name: "Flatten",
    forms: &[],
    read,
}];

#[cfg(test)]
mod tests {
    use super::super::testing::{floats, ramp, run_op};
    use super::*;

    #[test]
    fn any_axis_splits_the_shape() {
        // onnx.reference.ops.op_flatten on shape (2, 3, 4)
        for (axis, dims) in [(0, [1, 24]), (1, [2, 12]), (3, [24, 1]), (-1, [6, 4])] {
            let made = run_op(
                "Flatten",
                13,
                &[("axis", axis.into())],
                &[Some(ramp(&[2, 3, 4], 0.0, 1.0))],
            );
            assert_eq!(made.unwrap()[0].dims(), dims);
        }
        let scalar = run_op("Flatten", 13, &[("axis", 0.into())], &[Some(floats(&[], &[1.0]))]);
        assert_eq!(scalar.unwrap()[0].dims(), [1, 1]);
    }

    #[test]
    fn an_axis_beyond_the_rank_is_refused() {
        for axis in [4, -4] {
            let made = run_op(
                "Flatten",
                13,
                &[("axis", axis.into())],
                &[Some(ramp(&[2, 3, 4], 0.0, 1.0))],
            );
            assert!(matches!(made, Err(OpError::Axis { rank: 3, .. })));
        }
    }
}
