//! `ScatterElements`, and `Scatter`, its name up to opset 10: along one axis, a place for each
//! update. <https://onnx.ai/onnx/operators/onnx__ScatterElements.html>
//!
//! y = x, then `y[indices[i][j]][j] = updates[i][j]` along axis 0. Opset 11 gave it its name and
//! allows negative indices; 16 and 18 add `reduction`, which combines what is there with the
//! update. A place listed twice keeps one of its updates if there is no reduction.

use super::scatter_nd::{Reduction, scatter};
use crate::op::{Fact, Inputs, NodeReader, Op, OpError, Operator, RunContext, resolve_axis};
use crate::value::{Kind, Value};

/// Replaces elements of a tensor.
#[derive(Clone, Copy, Debug)]
pub struct ScatterElements {
    /// The axis that is indexed.
    pub axis: i64,
    /// What becomes of the element that is there.
    pub reduction: Reduction,
    /// Whether the file says `Scatter`.
    old_name: bool,
}

impl ScatterElements {
    /// The position of each update among the elements of `data`.
    ///
    /// # Errors
    /// An index beyond the axis.
    fn positions(&self, indices: &[i64], dims: &[usize], data: &[usize]) -> Result<Vec<i64>, OpError> {
        let axis = resolve_axis(self.axis, data.len())?;
        let extent = data[axis] as i64;
        let mut place = vec![0usize; dims.len()];
        let mut positions = Vec::with_capacity(indices.len());
        for index in indices {
            let resolved = if *index < 0 { *index + extent } else { *index };
            if !(0..extent).contains(&resolved) {
                return Err(OpError::Content {
                    name: "indices",
                    got: index.to_string(),
                    expected: format!("indices from {} to {}", -extent, extent - 1),
                });
            }
            let position = (0..dims.len()).fold(0, |position, other| {
                let at = if other == axis {
                    resolved
                } else {
                    place[other] as i64
                };
                position * data[other] as i64 + at
            });
            positions.push(position);
            for other in (0..dims.len()).rev() {
                place[other] += 1;
                if place[other] < dims[other] {
                    break;
                }
                place[other] = 0;
            }
        }
        Ok(positions)
    }
}

impl Op for ScatterElements {
    fn name(&self) -> &'static str {
        if self.old_name {
            "Scatter"
        } else {
            "ScatterElements"
        }
    }

    fn infer(&self, inputs: &Inputs<'_, Fact>) -> Result<Vec<Fact>, OpError> {
        let x = inputs.required(0, "data")?;
        let indices = inputs.of_kind(1, "indices", Kind::Int)?;
        let updates = inputs.of_kind(2, "updates", x.kind)?;
        self.reduction.check(x.kind)?;
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
        if updates.dims != indices.dims {
            return Err(OpError::Shape {
                name: "updates",
                got: updates.dims.clone(),
                expected: format!("{:?}", indices.dims),
            });
        }
        if let Some(content) = indices.ints() {
            self.positions(&content, &indices.dims, &x.dims)?;
        }
        Ok(vec![Fact::new(x.kind, x.dims.clone())])
    }

    fn run(&self, inputs: &Inputs<'_, Value>, _context: &RunContext) -> Result<Vec<Value>, OpError> {
        let x = inputs.required(0, "data")?.clone();
        let updates = inputs.required(2, "updates")?.clone();
        let (dims, own) = (x.dims(), updates.dims());
        let positions = self.positions(&inputs.integers(1, "indices")?, &own, &dims)?;
        if positions.is_empty() {
            return Ok(vec![x]);
        }
        let count = positions.len();
        let elements = x.len();
        let column = scatter(
            x.reshape(&[elements, 1]),
            positions,
            updates.reshape(&[count, 1]),
            self.reduction,
        );
        Ok(vec![column.reshape(&dims)])
    }
}

fn read(node: &NodeReader<'_>) -> Result<Box<dyn Op>, OpError> {
    Ok(Box::new(ScatterElements {
        axis: node.int("axis")?.unwrap_or(0),
        reduction: Reduction::read(node)?,
        old_name: node.op == "Scatter",
    }))
}

/// The table's entries.
pub(crate) const OPERATORS: &[Operator] = &[
    Operator {
        name: "Scatter",
        forms: &[11],
        read,
    },
    Operator {
        name: "ScatterElements",
        forms: &[11],
        read,
    },
];

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_floats, assert_gradients, ints, ramp, run_op};
    use super::*;

    fn inputs() -> [Option<Value>; 3] {
        [
            Some(ramp(&[2, 3], 0.0, 1.0)),
            Some(ints(&[1, 2], &[1, -2])),
            Some(ramp(&[1, 2], 10.0, 1.0)),
        ]
    }

    #[test]
    fn each_update_has_its_place() {
        // x = np.arange(6.).reshape(2, 3); x[1, 0] = 10, x[0, 1] = 11
        let made = run_op("ScatterElements", 18, &[], &inputs()).unwrap();
        assert_floats(&made[0], &[2, 3], &[0.0, 11.0, 2.0, 10.0, 4.0, 5.0]);
        assert_gradients("ScatterElements", 18, &[], &inputs(), &[0, 2]);
        let old = run_op("Scatter", 9, &[], &inputs()).unwrap();
        assert_floats(&old[0], &[2, 3], &[0.0, 11.0, 2.0, 10.0, 4.0, 5.0]);
    }

    #[test]
    fn a_reduction_combines() {
        // Along axis 1 of the same x: indices 1 and −2 name the same element, x[0, 1] = 1.
        for (reduction, expected) in [("add", 22.0), ("mul", 110.0), ("max", 11.0), ("min", 1.0)] {
            let written: &[_] = &[("axis", 1.into()), ("reduction", reduction.into())];
            let made = run_op("ScatterElements", 18, written, &inputs()).unwrap();
            assert_floats(&made[0], &[2, 3], &[0.0, expected, 2.0, 3.0, 4.0, 5.0]);
        }
        let add: &[_] = &[("axis", 1.into()), ("reduction", "add".into())];
        assert_gradients("ScatterElements", 18, add, &inputs(), &[0, 2]);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let mut outside = inputs();
        outside[1] = Some(ints(&[1, 2], &[2, 0]));
        let refused = run_op("ScatterElements", 18, &[], &outside);
        assert!(matches!(refused, Err(OpError::Content { .. })));
        outside[1] = Some(ints(&[2, 1], &[0, 0]));
        let refused = run_op("ScatterElements", 18, &[], &outside);
        assert!(matches!(refused, Err(OpError::Shape { name: "updates", .. })));
    }
}
