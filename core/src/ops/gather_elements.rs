//! `GatherElements`: along one axis, an index for each element.
//! <https://onnx.ai/onnx/operators/onnx__GatherElements.html>
//!
//! `y[i][j] = x[indices[i][j]][j]` along axis 0. Opset 11 introduced it, 13 adds bfloat16; the form
//! never changed.

use super::gather::resolve_indices;
use crate::op::{Fact, Inputs, NodeReader, Op, OpError, Operator, Role, RunContext, resolve_axis};
use crate::value::{Kind, Value};

/// One element per index.
#[derive(Clone, Copy, Debug)]
pub struct GatherElements {
    /// The axis that is indexed.
    pub axis: i64,
}

impl Op for GatherElements {
    fn name(&self) -> &'static str {
        "GatherElements"
    }

    fn infer(&self, inputs: &Inputs<'_, Fact>) -> Result<Vec<Fact>, OpError> {
        let x = inputs.required(0, "data")?;
        let indices = inputs.of_kind(1, "indices", Kind::Int)?;
        let axis = resolve_axis(self.axis, x.rank())?;
        let fits = indices.rank() == x.rank()
            && (0..x.rank()).all(|other| other == axis || indices.dims[other] <= x.dims[other]);
        if !fits {
            return Err(OpError::Shape {
                name: "indices",
                got: indices.dims.clone(),
                expected: format!("at most {:?} but for axis {axis}", x.dims),
            });
        }
        if let Some(content) = indices.ints() {
            resolve_indices(&content, x.dims[axis])?;
        }
        Ok(vec![Fact::new(x.kind, indices.dims.clone())])
    }

    fn run(&self, inputs: &Inputs<'_, Value>, _context: &RunContext) -> Result<Vec<Value>, OpError> {
        let mut x = inputs.required(0, "data")?.clone();
        let axis = resolve_axis(self.axis, x.rank())?;
        let indices = inputs.integers(1, "indices")?;
        let indices = resolve_indices(&indices, x.dims()[axis])?;
        let dims = inputs.required(1, "indices")?.dims();
        if dims.contains(&0) {
            return Ok(vec![Value::empty(x.kind(), &dims, &x.device())]);
        }
        // Burn wants equal extents elsewhere.
        for (other, extent) in dims.iter().enumerate() {
            if other != axis && *extent < x.dims()[other] {
                x = x.narrow(other, 0, *extent);
            }
        }
        Ok(vec![x.gather(axis, Value::ints(indices, &dims))])
    }

    fn role(&self, input: usize) -> Role {
        if input == 0 { Role::Weight } else { Role::Constant }
    }
}

fn read(node: &NodeReader<'_>) -> Result<Box<dyn Op>, OpError> {
    let axis = node.int("axis")?.unwrap_or(0);
    Ok(Box::new(GatherElements { axis }))
}

/// The table's entries.
pub(crate) const OPERATORS: &[Operator] = &[Operator {
    name: "GatherElements",
    forms: &[],
    read,
}];

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_floats, assert_gradients, ints, ramp, run_op};
    use super::*;

    #[test]
    fn each_element_has_its_index() {
        // np.take_along_axis(np.arange(6).reshape(2, 3)[:, :2], np.array([[1, -2], [0, 0]]),
        // axis=0)
        let inputs = [Some(ramp(&[2, 3], 0.0, 1.0)), Some(ints(&[2, 2], &[1, -2, 0, 0]))];
        let made = run_op("GatherElements", 13, &[], &inputs).unwrap();
        assert_floats(&made[0], &[2, 2], &[3.0, 1.0, 0.0, 1.0]);
        assert_gradients("GatherElements", 13, &[], &inputs, &[0]);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let x = Some(ramp(&[2, 3], 0.0, 1.0));
        let shape = [x.clone(), Some(ints(&[1, 4], &[0; 4]))];
        assert!(matches!(
            run_op("GatherElements", 13, &[], &shape),
            Err(OpError::Shape { .. })
        ));
        let index = [x, Some(ints(&[1, 1], &[2]))];
        assert!(matches!(
            run_op("GatherElements", 13, &[], &index),
            Err(OpError::Content { .. })
        ));
    }
}
