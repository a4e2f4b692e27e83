//! `Unsqueeze`: with further axes of extent 1.
//! <https://onnx.ai/onnx/operators/onnx__Unsqueeze.html>
//!
//! Opset 11 allows negative axes (counted in the output), 13 turns `axes` from an attribute into an
//! input, 21 adds types.

use super::shaped::{IntList, Shaped, resolve_axes};
use crate::op::{Fact, Inputs, NodeReader, Op, OpError, Operator, Role, RunContext};
use crate::value::Value;

/// Inserts axes of extent 1.
#[derive(Clone, Debug)]
pub struct Unsqueeze {
    axes: IntList,
}

impl Unsqueeze {
    fn dims<T: Shaped>(&self, inputs: &Inputs<'_, T>) -> Result<Vec<usize>, OpError> {
        let mut dims = inputs.required(0, "data")?.extents();
        let axes = self.axes.required(inputs, "axes")?;
        for axis in resolve_axes(&axes, dims.len() + axes.len())? {
            dims.insert(axis, 1);
        }
        Ok(dims)
    }
}

impl Op for Unsqueeze {
    fn name(&self) -> &'static str {
        "Unsqueeze"
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
    Ok(Box::new(Unsqueeze { axes }))
}

/// The table's entries.
pub(crate) const OPERATORS: &[Operator] = &[Operator {
    name: "Unsqueeze",
    forms: &[13],
    read,
}];

#[cfg(test)]
mod tests {
    use std::slice::from_ref;

    use super::super::testing::{floats, ints, ramp, run_op};
    use super::*;

    #[test]
    fn axes_count_in_the_output() {
        // np.expand_dims(np.zeros((2, 3)), (0, -1)).shape = (1, 2, 3, 1)
        let x = Some(ramp(&[2, 3], 0.0, 1.0));
        let old = run_op("Unsqueeze", 11, &[("axes", vec![-1, 0].into())], from_ref(&x)).unwrap();
        assert_eq!(old[0].dims(), [1, 2, 3, 1]);
        let new = run_op("Unsqueeze", 13, &[], &[x, Some(ints(&[2], &[-1, 0]))]).unwrap();
        assert_eq!(new[0].dims(), [1, 2, 3, 1]);
    }

    #[test]
    fn a_scalar_becomes_a_vector() {
        let inputs = [Some(floats(&[], &[2.0])), Some(ints(&[1], &[0]))];
        assert_eq!(run_op("Unsqueeze", 13, &[], &inputs).unwrap()[0].dims(), [1]);
        let inputs = [Some(floats(&[], &[2.0])), Some(ints(&[0], &[]))];
        assert_eq!(run_op("Unsqueeze", 13, &[], &inputs).unwrap()[0].rank(), 0);
    }

    #[test]
    fn missing_and_repeated_axes_are_refused() {
        let x = Some(ramp(&[2], 0.0, 1.0));
        assert!(matches!(
            run_op("Unsqueeze", 13, &[], from_ref(&x)),
            Err(OpError::MissingInput { .. })
        ));
        assert!(matches!(
            run_op("Unsqueeze", 11, &[], from_ref(&x)),
            Err(OpError::MissingAttribute { .. })
        ));
        assert!(matches!(
            run_op("Unsqueeze", 13, &[], &[x, Some(ints(&[2], &[0, -3]))]),
            Err(OpError::Content { .. })
        ));
    }
}
