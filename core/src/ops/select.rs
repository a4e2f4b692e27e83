//! `Where`: x where the condition holds, y elsewhere, with broadcasting.
//! <https://onnx.ai/onnx/operators/onnx__Where.html>
//!
//! Opset 9 introduced it, 16 adds bfloat16; the form never changed.

use super::binary::align;
use crate::op::{Fact, Inputs, NodeReader, Op, OpError, Operator, RunContext, broadcast};
use crate::value::{Kind, Value};

/// Chooses between two tensors, element by element.
#[derive(Clone, Copy, Debug)]
pub struct Where;

impl Op for Where {
    fn name(&self) -> &'static str {
        "Where"
    }

    fn infer(&self, inputs: &Inputs<'_, Fact>) -> Result<Vec<Fact>, OpError> {
        let condition = inputs.of_kind(0, "condition", Kind::Bool)?;
        let x = inputs.required(1, "X")?;
        let y = inputs.of_kind(2, "Y", x.kind)?;
        let dims = broadcast(&condition.dims, &broadcast(&x.dims, &y.dims)?)?;
        Ok(vec![Fact::new(x.kind, dims)])
    }

    fn run(&self, inputs: &Inputs<'_, Value>, _context: &RunContext) -> Result<Vec<Value>, OpError> {
        let condition = inputs.required(0, "condition")?.clone();
        let (x, y) = (inputs.required(1, "X")?, inputs.required(2, "Y")?);
        let dims = broadcast(&condition.dims(), &broadcast(&x.dims(), &y.dims())?)?;
        let (x, y, scalar) = align(x.clone(), y.clone());
        let scalar = scalar && condition.is_scalar();
        // Aligned scalars have rank 1.
        let shape = if dims.is_empty() { vec![1] } else { dims };
        let chosen = y
            .expand(&shape)
            .mask_where(condition.expand(&shape), x.expand(&shape));
        Ok(vec![chosen.scalar_if(scalar)])
    }
}

fn read(_node: &NodeReader<'_>) -> Result<Box<dyn Op>, OpError> {
    Ok(Box::new(Where))
}

/// The table's entries.
pub(crate) const OPERATORS: &[Operator] = &[Operator {
    name: "Where",
    forms: &[],
    read,
}];

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_floats, assert_gradients, assert_ints, bools, floats, ints, run_op};
    use super::*;

    #[test]
    fn all_three_inputs_broadcast() {
        // np.where([[True], [False]], [1, 2], 9.0)
        let inputs = [
            Some(bools(&[2, 1], &[true, false])),
            Some(floats(&[2], &[1.0, 2.0])),
            Some(floats(&[], &[9.0])),
        ];
        let made = run_op("Where", 16, &[], &inputs).unwrap();
        assert_floats(&made[0], &[2, 2], &[1.0, 2.0, 9.0, 9.0]);
        assert_gradients("Where", 16, &[], &inputs, &[1, 2]);
    }

    #[test]
    fn scalars_and_integers_are_chosen_too() {
        let inputs = [
            Some(bools(&[], &[false])),
            Some(ints(&[], &[1])),
            Some(ints(&[], &[2])),
        ];
        assert_ints(&run_op("Where", 9, &[], &inputs).unwrap()[0], &[], &[2]);
    }

    #[test]
    fn two_kinds_are_refused() {
        let inputs = [
            Some(bools(&[], &[false])),
            Some(ints(&[], &[1])),
            Some(floats(&[], &[2.0])),
        ];
        assert!(matches!(
            run_op("Where", 9, &[], &inputs),
            Err(OpError::Kind { name: "Y", .. })
        ));
    }
}
