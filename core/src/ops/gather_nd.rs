//! `GatherND`: parts of a tensor by their places.
//! <https://onnx.ai/onnx/operators/onnx__GatherND.html>
//!
//! `indices` of shape `[…, k]` lists places in k axes of `data`; each place gives what lies there
//! in the axes after them. The first `batch_dims` axes of both belong together. Opset 11 introduced
//! it, 12 adds `batch_dims`. Indices are read on the host, where their range is checked.

use super::shaped::Shaped;
use crate::op::{Fact, Inputs, NodeReader, Op, OpError, Operator, Role, RunContext};
use crate::value::{Kind, Value};

/// Parts of a tensor.
#[derive(Clone, Copy, Debug)]
pub struct GatherNd {
    /// How many leading axes both inputs share.
    pub batch_axes: usize,
}

/// The axes of `data` by their part in it.
struct Plan {
    batch: usize,
    /// The extents that places count in.
    places: Vec<usize>,
    /// The number of elements at a place.
    rest: usize,
    /// The output's shape.
    dims: Vec<usize>,
}

impl GatherNd {
    fn plan<T: Shaped>(&self, inputs: &Inputs<'_, T>) -> Result<Plan, OpError> {
        let data = inputs.required(0, "data")?.extents();
        let indices = inputs.required(1, "indices")?;
        if indices.elements() != Kind::Int {
            return Err(OpError::Kind {
                name: "indices",
                expected: Kind::Int,
                got: indices.elements(),
            });
        }
        let indices = indices.extents();
        let depth = indices.last().copied().unwrap_or(0);
        let batch = self.batch_axes;
        let fits = depth > 0
            && batch < indices.len()
            && batch + depth <= data.len()
            && indices[..batch] == data[..batch];
        if !fits {
            return Err(OpError::Shape {
                name: "indices",
                got: indices,
                expected: format!("[…, k] with k from 1, the first {batch} axes as in data {data:?}"),
            });
        }
        let mut dims = indices[..indices.len() - 1].to_vec();
        dims.extend(&data[batch + depth..]);
        Ok(Plan {
            batch: data[..batch].iter().product(),
            places: data[batch..batch + depth].to_vec(),
            rest: data[batch + depth..].iter().product(),
            dims,
        })
    }
}

/// The rows of `[batch · places, rest]` that the indices name; negative ones count from the end.
///
/// # Errors
/// An index beyond its axis.
fn rows(indices: &[i64], batch: usize, extents: &[usize]) -> Result<Vec<i64>, OpError> {
    let places: usize = extents.iter().product();
    let count = indices.len() / extents.len();
    let row = |(number, place): (usize, &[i64])| {
        let start = (number * batch / count.max(1)) as i64;
        let inside = place.iter().zip(extents).try_fold(0, |row, (index, extent)| {
            let extent = *extent as i64;
            let resolved = if *index < 0 { *index + extent } else { *index };
            if (0..extent).contains(&resolved) {
                return Ok(row * extent + resolved);
            }
            Err(OpError::Content {
                name: "indices",
                got: format!("{place:?}"),
                expected: format!("places inside {extents:?}"),
            })
        })?;
        Ok(start * places as i64 + inside)
    };
    indices.chunks(extents.len()).enumerate().map(row).collect()
}

impl Op for GatherNd {
    fn name(&self) -> &'static str {
        "GatherND"
    }

    fn infer(&self, inputs: &Inputs<'_, Fact>) -> Result<Vec<Fact>, OpError> {
        let plan = self.plan(inputs)?;
        if let Some(indices) = inputs.optional(1).and_then(Fact::ints) {
            rows(&indices, plan.batch, &plan.places)?;
        }
        Ok(vec![Fact::new(inputs.required(0, "data")?.kind, plan.dims)])
    }

    fn run(&self, inputs: &Inputs<'_, Value>, _context: &RunContext) -> Result<Vec<Value>, OpError> {
        let x = inputs.required(0, "data")?.clone();
        let plan = self.plan(inputs)?;
        let rows = rows(&inputs.integers(1, "indices")?, plan.batch, &plan.places)?;
        if plan.dims.contains(&0) {
            return Ok(vec![Value::empty(x.kind(), &plan.dims, &x.device())]);
        }
        let matrix = [plan.batch * plan.places.iter().product::<usize>(), plan.rest];
        let count = rows.len();
        let parts = x.reshape(&matrix).select(0, Value::ints(rows, &[count]));
        Ok(vec![parts.reshape(&plan.dims)])
    }

    fn role(&self, input: usize) -> Role {
        if input == 0 { Role::Weight } else { Role::Constant }
    }
}

fn read(node: &NodeReader<'_>) -> Result<Box<dyn Op>, OpError> {
    let batch = node.int("batch_dims")?.unwrap_or(0);
    let batch_axes =
        usize::try_from(batch).map_err(|_| node.bad("batch_dims", batch.to_string(), "0 or more"))?;
    Ok(Box::new(GatherNd { batch_axes }))
}

/// The table's entries.
pub(crate) const OPERATORS: &[Operator] = &[Operator {
    name: "GatherND",
    forms: &[11],
    read,
}];

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_floats, assert_gradients, assert_ints, ints, ramp, run_op};
    use super::*;

    #[test]
    fn places_give_elements_or_rows() {
        // The specification's examples on np.arange(4).reshape(2, 2)
        let x = Some(ramp(&[2, 2], 0.0, 1.0));
        let elements = [x.clone(), Some(ints(&[2, 2], &[0, 0, 1, -1]))];
        assert_floats(
            &run_op("GatherND", 13, &[], &elements).unwrap()[0],
            &[2],
            &[0.0, 3.0],
        );
        let rows = [x, Some(ints(&[2, 1], &[1, 0]))];
        let made = run_op("GatherND", 13, &[], &rows).unwrap();
        assert_floats(&made[0], &[2, 2], &[2.0, 3.0, 0.0, 1.0]);
        assert_gradients("GatherND", 13, &[], &elements, &[0]);
        assert_gradients("GatherND", 13, &[], &rows, &[0]);
    }

    #[test]
    fn batch_axes_belong_together() {
        // The specification's example: data = np.arange(8).reshape(2, 2, 2), indices = [[1], [0]],
        // batch_dims = 1
        let inputs = [
            Some(ints(&[2, 2, 2], &[0, 1, 2, 3, 4, 5, 6, 7])),
            Some(ints(&[2, 1], &[1, 0])),
        ];
        let made = run_op("GatherND", 13, &[("batch_dims", 1.into())], &inputs).unwrap();
        assert_ints(&made[0], &[2, 2], &[2, 3, 4, 5]);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let x = Some(ramp(&[2, 2], 0.0, 1.0));
        let outside = [x.clone(), Some(ints(&[1, 2], &[0, 2]))];
        assert!(matches!(
            run_op("GatherND", 13, &[], &outside),
            Err(OpError::Content { .. })
        ));
        let deep = [x, Some(ints(&[1, 3], &[0; 3]))];
        assert!(matches!(
            run_op("GatherND", 13, &[], &deep),
            Err(OpError::Shape { .. })
        ));
        let negative = run_op("GatherND", 13, &[("batch_dims", (-1).into())], &[]);
        assert!(matches!(negative, Err(OpError::BadAttribute { .. })));
    }
}
