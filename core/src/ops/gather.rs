//! `Gather`: entries of one axis by index; an embedding is one along axis 0.
//! <https://onnx.ai/onnx/operators/onnx__Gather.html>
//!
//! The indices' axes take the place of the gathered one; a scalar index drops it. Opset 11 allows
//! negative indices, 13 adds bfloat16; the form never changed. Indices are read on the host, where
//! their range is checked.

use super::shaped::Shaped;
use crate::op::{Fact, Inputs, NodeReader, Op, OpError, Operator, Role, RunContext, resolve_axis};
use crate::value::{Kind, Value};

/// Entries of one axis.
#[derive(Clone, Copy, Debug)]
pub struct Gather {
    /// The axis that is indexed.
    pub axis: i64,
}

impl Gather {
    /// The axis, and the output's shape.
    fn plan<T: Shaped>(&self, inputs: &Inputs<'_, T>) -> Result<(usize, Vec<usize>), OpError> {
        let own = inputs.required(0, "data")?.extents();
        let indices = inputs.required(1, "indices")?;
        if indices.elements() != Kind::Int {
            return Err(OpError::Kind {
                name: "indices",
                expected: Kind::Int,
                got: indices.elements(),
            });
        }
        let axis = resolve_axis(self.axis, own.len())?;
        let mut dims = own[..axis].to_vec();
        dims.extend(indices.extents());
        dims.extend(&own[axis + 1..]);
        Ok((axis, dims))
    }
}

impl Op for Gather {
    fn name(&self) -> &'static str {
        "Gather"
    }

    fn infer(&self, inputs: &Inputs<'_, Fact>) -> Result<Vec<Fact>, OpError> {
        let x = inputs.required(0, "data")?;
        let (axis, dims) = self.plan(inputs)?;
        if let Some(indices) = inputs.optional(1).and_then(Fact::ints) {
            resolve_indices(&indices, x.dims[axis])?;
        }
        Ok(vec![Fact::new(x.kind, dims)])
    }

    fn run(&self, inputs: &Inputs<'_, Value>, _context: &RunContext) -> Result<Vec<Value>, OpError> {
        let x = inputs.required(0, "data")?.clone();
        let (axis, dims) = self.plan(inputs)?;
        let indices = resolve_indices(&inputs.integers(1, "indices")?, x.dims()[axis])?;
        if dims.contains(&0) {
            return Ok(vec![Value::empty(x.kind(), &dims, &x.device())]);
        }
        let count = indices.len();
        let entries = x.select(axis, Value::ints(indices, &[count]));
        Ok(vec![entries.reshape(&dims)])
    }

    fn role(&self, input: usize) -> Role {
        if input == 0 { Role::Weight } else { Role::Constant }
    }
}

/// Indices of 0 or more, from indices that count from either end.
///
/// # Errors
/// An index outside `-extent..extent`.
pub(super) fn resolve_indices(indices: &[i64], extent: usize) -> Result<Vec<i64>, OpError> {
    let extent = extent as i64;
    let resolve = |index: &i64| {
        let resolved = if *index < 0 { *index + extent } else { *index };
        if (0..extent).contains(&resolved) {
            return Ok(resolved);
        }
        Err(OpError::Content {
            name: "indices",
            got: index.to_string(),
            expected: format!("indices from {} to {}", -extent, extent - 1),
        })
    };
    indices.iter().map(resolve).collect()
}

fn read(node: &NodeReader<'_>) -> Result<Box<dyn Op>, OpError> {
    let axis = node.int("axis")?.unwrap_or(0);
    Ok(Box::new(Gather { axis }))
}

/// The table's entries.
pub(crate) const OPERATORS: &[Operator] = &[Operator {
    name: "Gather",
    forms: &[],
    read,
}];

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_floats, assert_gradients, assert_ints, floats, ints, ramp, run_op};
    use super::*;

    #[test]
    fn indices_of_any_rank_replace_the_axis() {
        // np.take(np.arange(6).reshape(2, 3), [[0, -1]], axis=1)
        let x = Some(ramp(&[2, 3], 0.0, 1.0));
        let inputs = [x.clone(), Some(ints(&[1, 2], &[0, -1]))];
        let along: &[_] = &[("axis", 1.into())];
        let made = run_op("Gather", 13, along, &inputs).unwrap();
        assert_floats(&made[0], &[2, 1, 2], &[0.0, 2.0, 3.0, 5.0]);
        assert_gradients("Gather", 13, along, &inputs, &[0]);
        let row = run_op("Gather", 13, &[], &[x, Some(ints(&[], &[1]))]).unwrap();
        assert_floats(&row[0], &[3], &[3.0, 4.0, 5.0]);
    }

    #[test]
    fn one_entry_of_a_shape_is_a_scalar() {
        let inputs = [Some(ints(&[3], &[7, 8, 9])), Some(ints(&[], &[-1]))];
        assert_ints(&run_op("Gather", 13, &[], &inputs).unwrap()[0], &[], &[9]);
    }

    #[test]
    fn a_repeated_index_sums_its_gradients() {
        let inputs = [Some(ramp(&[3, 2], 0.0, 1.0)), Some(ints(&[3], &[1, 1, 2]))];
        assert_gradients("Gather", 13, &[], &inputs, &[0]);
    }

    #[test]
    fn an_index_outside_is_refused() {
        for index in [3, -4, i64::MIN] {
            let inputs = [Some(ints(&[3], &[7, 8, 9])), Some(ints(&[1], &[index]))];
            let refused = run_op("Gather", 13, &[], &inputs);
            assert!(matches!(refused, Err(OpError::Content { name: "indices", .. })));
        }
        let kind = [Some(ints(&[3], &[7, 8, 9])), Some(floats(&[1], &[0.0]))];
        assert!(matches!(
            run_op("Gather", 13, &[], &kind),
            Err(OpError::Kind { .. })
        ));
        let scalar = [Some(ints(&[], &[7])), Some(ints(&[1], &[0]))];
        assert!(matches!(
            run_op("Gather", 13, &[], &scalar),
            Err(OpError::Axis { .. })
        ));
    }

    #[test]
    fn no_index_gives_no_entry() {
        let inputs = [Some(ints(&[3, 2], &[0; 6])), Some(ints(&[0], &[]))];
        assert_ints(&run_op("Gather", 13, &[], &inputs).unwrap()[0], &[0, 2], &[]);
    }
}
