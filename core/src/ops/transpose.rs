//! `Transpose`: the axes in another order, reversed where none is stated.
//! <https://onnx.ai/onnx/operators/onnx__Transpose.html>
//!
//! Opsets 13 and 21 add types; the form never changed.

use super::shaped::Shaped;
use crate::op::{Fact, Inputs, NodeReader, Op, OpError, Operator, Role, RunContext};
use crate::value::Value;

/// The axes in another order.
#[derive(Clone, Debug)]
pub struct Transpose {
    /// For each axis of the output, the input's; reversed where absent.
    pub order: Option<Vec<i64>>,
}

impl Transpose {
    fn order<T: Shaped>(&self, inputs: &Inputs<'_, T>) -> Result<Vec<usize>, OpError> {
        let dims = inputs.required(0, "data")?.extents();
        let Some(order) = &self.order else {
            return Ok((0..dims.len()).rev().collect());
        };
        let axes: Option<Vec<usize>> = order.iter().map(|axis| usize::try_from(*axis).ok()).collect();
        let is_order =
            |axes: &Vec<usize>| axes.len() == dims.len() && (0..dims.len()).all(|axis| axes.contains(&axis));
        axes.filter(is_order).ok_or_else(|| OpError::Shape {
            name: "data",
            got: dims.clone(),
            expected: format!("the axes that `perm` orders: {order:?}"),
        })
    }
}

impl Op for Transpose {
    fn name(&self) -> &'static str {
        "Transpose"
    }

    fn infer(&self, inputs: &Inputs<'_, Fact>) -> Result<Vec<Fact>, OpError> {
        let x = inputs.required(0, "data")?;
        let dims: Vec<usize> = self.order(inputs)?.iter().map(|axis| x.dims[*axis]).collect();
        Ok(vec![Fact::new(x.kind, dims)])
    }

    fn run(&self, inputs: &Inputs<'_, Value>, _context: &RunContext) -> Result<Vec<Value>, OpError> {
        let order = self.order(inputs)?;
        Ok(vec![inputs.required(0, "data")?.clone().permute(&order)])
    }

    fn role(&self, _input: usize) -> Role {
        Role::Weight
    }
}

fn read(node: &NodeReader<'_>) -> Result<Box<dyn Op>, OpError> {
    let order = node.ints("perm")?;
    Ok(Box::new(Transpose { order }))
}

/// The table's entries.
pub(crate) const OPERATORS: &[Operator] = &[Operator {
    name: "Transpose",
    forms: &[],
    read,
}];

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_floats, assert_gradients, floats, ramp, run_op};
    use super::*;

    #[test]
    fn axes_are_ordered_or_reversed() {
        // np.arange(6).reshape(1, 2, 3).transpose(1, 2, 0) and .transpose()
        let x = [Some(ramp(&[1, 2, 3], 0.0, 1.0))];
        let order: &[_] = &[("perm", vec![1, 2, 0].into())];
        let made = run_op("Transpose", 13, order, &x).unwrap();
        assert_floats(&made[0], &[2, 3, 1], &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
        let made = run_op("Transpose", 13, &[], &x).unwrap();
        assert_floats(&made[0], &[3, 2, 1], &[0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
        assert_gradients("Transpose", 13, &[], &x, &[0]);
        let scalar = run_op("Transpose", 13, &[], &[Some(floats(&[], &[1.0]))]).unwrap();
        assert_floats(&scalar[0], &[], &[1.0]);
    }

    #[test]
    fn what_is_no_order_of_the_axes_is_refused() {
        for order in [vec![0, 1], vec![0, 0, 1], vec![0, 1, 3], vec![-1, 0, 1]] {
            let made = run_op(
                "Transpose",
                13,
                &[("perm", order.into())],
                &[Some(ramp(&[1, 2, 3], 0.0, 1.0))],
            );
            assert!(matches!(made, Err(OpError::Shape { .. })));
        }
    }
}
