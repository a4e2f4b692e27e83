//! `ScatterND`: a tensor with some of its parts replaced.
//! <https://onnx.ai/onnx/operators/onnx__ScatterND.html>
//!
//! `indices` of shape `[…, k]` lists places in the first k axes, `updates` of shape `[…, rest]`
//! what goes there. Opset 11 introduced it; 16 and 18 add `reduction`, which combines what is there
//! with the update. A place listed twice keeps one of its updates if there is no reduction.

use burn::backend::Dispatch;
use burn::backend::ops::{FloatTensorOps, IntTensorOps};
use burn::tensor::IndexingUpdateOp;

use crate::op::{Fact, Inputs, NodeReader, Op, OpError, Operator, RunContext};
use crate::value::{Kind, Value};

/// What becomes of the element that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the specification's")]
pub enum Reduction {
    None,
    Add,
    Mul,
    Min,
    Max,
}

impl Reduction {
    /// The attribute `reduction` of the scattering operators, which opset 16 introduced.
    pub(super) fn read(node: &NodeReader<'_>) -> Result<Self, OpError> {
        if node.opset < 16 {
            return Ok(Reduction::None);
        }
        Ok(match node.text("reduction")? {
            None | Some("none") => Reduction::None,
            Some("add") => Reduction::Add,
            Some("mul") => Reduction::Mul,
            Some("min") => Reduction::Min,
            Some("max") => Reduction::Max,
            Some(other) => return Err(node.bad("reduction", other, "none, add, mul, min or max")),
        })
    }

    /// Refuses to combine booleans.
    pub(super) fn check(self, kind: Kind) -> Result<(), OpError> {
        if self == Reduction::None || kind != Kind::Bool {
            return Ok(());
        }
        Err(OpError::Kind {
            name: "data",
            expected: Kind::Float,
            got: kind,
        })
    }

    fn update(self) -> IndexingUpdateOp {
        match self {
            Reduction::None => IndexingUpdateOp::Assign,
            Reduction::Add => IndexingUpdateOp::Add,
            Reduction::Mul => IndexingUpdateOp::Mul,
            Reduction::Min => IndexingUpdateOp::Min,
            Reduction::Max => IndexingUpdateOp::Max,
        }
    }
}

/// Replaces parts of a tensor.
#[derive(Clone, Copy, Debug)]
pub struct ScatterNd {
    /// What becomes of the element that is there.
    pub reduction: Reduction,
}

impl Op for ScatterNd {
    fn name(&self) -> &'static str {
        "ScatterND"
    }

    fn infer(&self, inputs: &Inputs<'_, Fact>) -> Result<Vec<Fact>, OpError> {
        let x = inputs.required(0, "data")?;
        let indices = inputs.of_kind(1, "indices", Kind::Int)?;
        let updates = inputs.of_kind(2, "updates", x.kind)?;
        self.reduction.check(x.kind)?;
        let depth = indices.dims.last().copied().unwrap_or(0);
        if depth == 0 || depth > x.rank() {
            return Err(OpError::Shape {
                name: "indices",
                got: indices.dims.clone(),
                expected: format!("[…, k] with k from 1 to {}", x.rank()),
            });
        }
        let mut expected = indices.dims[..indices.rank() - 1].to_vec();
        expected.extend(&x.dims[depth..]);
        if updates.dims != expected {
            return Err(OpError::Shape {
                name: "updates",
                got: updates.dims.clone(),
                expected: format!("{expected:?}"),
            });
        }
        if let Some(places) = indices.ints() {
            rows(&places, &x.dims[..depth])?;
        }
        Ok(vec![Fact::new(x.kind, x.dims.clone())])
    }

    fn run(&self, inputs: &Inputs<'_, Value>, _context: &RunContext) -> Result<Vec<Value>, OpError> {
        let x = inputs.required(0, "data")?.clone();
        let updates = inputs.required(2, "updates")?.clone();
        let depth = inputs.required(1, "indices")?.dims().last().copied().unwrap_or(0);
        let dims = x.dims();
        let places = rows(&inputs.integers(1, "indices")?, &dims[..depth])?;
        if x.is_empty() || updates.is_empty() {
            return Ok(vec![x]);
        }
        // One axis of places and one of what lies at each.
        let matrix = [dims[..depth].iter().product(), dims[depth..].iter().product()];
        let count = places.len();
        let updates = updates.reshape(&[count, matrix[1]]);
        Ok(vec![
            scatter(x.reshape(&matrix), places, updates, self.reduction).reshape(&dims),
        ])
    }
}

/// Replaces rows of a matrix, or combines them with the updates.
pub(super) fn scatter(x: Value, places: Vec<i64>, updates: Value, reduction: Reduction) -> Value {
    let kind = x.kind();
    if kind == Kind::Bool {
        // Burn scatters no booleans.
        return scatter(x.cast(Kind::Int), places, updates.cast(Kind::Int), reduction).cast(kind);
    }
    let count = places.len();
    let places = Value::ints(places, &[count, 1]).to_device(&x.device());
    let updates = updates.to_device(&x.device());
    let (x, places, updates) = (x.into_dispatch(), places.into_dispatch(), updates.into_dispatch());
    Value::new(if kind == Kind::Float {
        Dispatch::float_scatter_nd(x, places, updates, reduction.update())
    } else {
        Dispatch::int_scatter_nd(x, places, updates, reduction.update())
    })
}

/// The places as rows of the matrix `[places, rest]`; negative indices count from the end.
///
/// # Errors
/// An index beyond its axis.
fn rows(places: &[i64], dims: &[usize]) -> Result<Vec<i64>, OpError> {
    let row = |place: &[i64]| {
        place.iter().zip(dims).try_fold(0, |row, (index, extent)| {
            let extent = *extent as i64;
            let resolved = if *index < 0 { *index + extent } else { *index };
            if (0..extent).contains(&resolved) {
                return Ok(row * extent + resolved);
            }
            Err(OpError::Content {
                name: "indices",
                got: format!("{place:?}"),
                expected: format!("places inside {dims:?}"),
            })
        })
    };
    places.chunks(dims.len().max(1)).map(row).collect()
}

fn read(node: &NodeReader<'_>) -> Result<Box<dyn Op>, OpError> {
    Ok(Box::new(ScatterNd {
        reduction: Reduction::read(node)?,
    }))
}

/// The table's entries.
pub(crate) const OPERATORS: &[Operator] = &[Operator {
    name: "ScatterND",
    forms: &[],
    read,
}];

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_floats, assert_gradients, assert_ints, bools, ints, ramp, run_op};
    use super::*;

    #[test]
    fn rows_are_replaced() {
        // x = np.arange(6.).reshape(3, 2); x[[-1, 0]] = [[10, 11], [12, 13]]
        let inputs = [
            Some(ramp(&[3, 2], 0.0, 1.0)),
            Some(ints(&[2, 1], &[-1, 0])),
            Some(ramp(&[2, 2], 10.0, 1.0)),
        ];
        let made = run_op("ScatterND", 16, &[], &inputs).unwrap();
        assert_floats(&made[0], &[3, 2], &[12.0, 13.0, 2.0, 3.0, 10.0, 11.0]);
        assert_gradients("ScatterND", 16, &[], &inputs, &[0, 2]);
    }

    #[test]
    fn a_reduction_combines_with_what_is_there() {
        // x = np.arange(6.).reshape(3, 2) + 1; np.add.at(x, [2, 0], u), np.multiply.at,
        // np.maximum.at, np.minimum.at with u = [[2.5, 3.5], [4.5, 5.5]]
        let inputs = [
            Some(ramp(&[3, 2], 1.0, 1.0)),
            Some(ints(&[2, 1], &[2, 0])),
            Some(ramp(&[2, 2], 2.5, 1.0)),
        ];
        for (reduction, expected) in [
            ("add", [5.5, 7.5, 3.0, 4.0, 7.5, 9.5]),
            ("mul", [4.5, 11.0, 3.0, 4.0, 12.5, 21.0]),
            ("max", [4.5, 5.5, 3.0, 4.0, 5.0, 6.0]),
            ("min", [1.0, 2.0, 3.0, 4.0, 2.5, 3.5]),
        ] {
            let written: &[_] = &[("reduction", reduction.into())];
            let made = run_op("ScatterND", 18, written, &inputs).unwrap();
            assert_floats(&made[0], &[3, 2], &expected);
            assert_gradients("ScatterND", 18, written, &inputs, &[0, 2]);
        }
    }

    #[test]
    fn single_elements_of_any_kind_are_replaced() {
        // x = np.zeros((2, 2)); x[1, 0] = 5
        let place = Some(ints(&[1, 2], &[1, 0]));
        let inputs = [
            Some(ints(&[2, 2], &[0; 4])),
            place.clone(),
            Some(ints(&[1], &[5])),
        ];
        assert_ints(
            &run_op("ScatterND", 11, &[], &inputs).unwrap()[0],
            &[2, 2],
            &[0, 0, 5, 0],
        );
        let inputs = [
            Some(bools(&[2, 2], &[false; 4])),
            place,
            Some(bools(&[1], &[true])),
        ];
        assert_ints(
            &run_op("ScatterND", 11, &[], &inputs).unwrap()[0],
            &[2, 2],
            &[0, 0, 1, 0],
        );
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let x = Some(ramp(&[3, 2], 0.0, 1.0));
        let place = Some(ints(&[1, 1], &[3]));
        let row = Some(ramp(&[1, 2], 0.0, 1.0));
        let outside = [x.clone(), place, row.clone()];
        assert!(matches!(
            run_op("ScatterND", 16, &[], &outside),
            Err(OpError::Content { .. })
        ));
        let deep = [x.clone(), Some(ints(&[1, 3], &[0; 3])), row.clone()];
        assert!(matches!(
            run_op("ScatterND", 16, &[], &deep),
            Err(OpError::Shape { name: "indices", .. })
        ));
        let wide = [x, Some(ints(&[2, 1], &[0, 1])), row];
        assert!(matches!(
            run_op("ScatterND", 16, &[], &wide),
            Err(OpError::Shape { name: "updates", .. })
        ));
        let unknown = run_op("ScatterND", 16, &[("reduction", "mean".into())], &[]);
        assert!(matches!(unknown, Err(OpError::BadAttribute { .. })));
        let truths = [
            Some(bools(&[1], &[true])),
            Some(ints(&[1, 1], &[0])),
            Some(bools(&[1], &[true])),
        ];
        let sum = run_op("ScatterND", 16, &[("reduction", "add".into())], &truths);
        assert!(matches!(sum, Err(OpError::Kind { .. })));
    }
}
