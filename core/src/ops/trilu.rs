//! `Trilu`: the upper or lower triangle of matrices, zeros elsewhere.
//! <https://onnx.ai/onnx/operators/onnx__Trilu.html>
//!
//! The triangle includes the diagonal number `k` (0 where absent, positive above the main one).
//! Opset 14 introduced it.

use burn::tensor::{Device, TensorData};

use crate::op::{Fact, Inputs, NodeReader, Op, OpError, Operator, RunContext};
use crate::value::{Kind, Value};

/// A triangle of the last two axes.
#[derive(Clone, Copy, Debug)]
pub struct Trilu {
    /// Whether the upper triangle stays.
    pub upper: bool,
}

impl Op for Trilu {
    fn name(&self) -> &'static str {
        "Trilu"
    }

    fn infer(&self, inputs: &Inputs<'_, Fact>) -> Result<Vec<Fact>, OpError> {
        let x = inputs.required(0, "input")?;
        if x.rank() < 2 {
            return Err(OpError::Shape {
                name: "input",
                got: x.dims.clone(),
                expected: "[…, rows, columns]".to_owned(),
            });
        }
        if inputs.optional(1).is_some() {
            let k = inputs.of_kind(1, "k", Kind::Int)?;
            if k.len() != 1 {
                return Err(OpError::Shape {
                    name: "k",
                    got: k.dims.clone(),
                    expected: "a scalar".to_owned(),
                });
            }
        }
        Ok(vec![Fact::new(x.kind, x.dims.clone())])
    }

    fn run(&self, inputs: &Inputs<'_, Value>, _context: &RunContext) -> Result<Vec<Value>, OpError> {
        let x = inputs.required(0, "input")?.clone();
        let k = inputs
            .optional_integers(1, "k")?
            .and_then(|k| k.first().copied())
            .unwrap_or(0);
        if x.is_empty() {
            return Ok(vec![x]);
        }
        let dims = x.dims();
        let (rows, columns) = (dims[dims.len() - 2], dims[dims.len() - 1]);
        let dropped = |row: usize, column: usize| {
            let above = column as i64 - row as i64;
            if self.upper { above < k } else { above > k }
        };
        let mask: Vec<bool> = (0..rows)
            .flat_map(|row| (0..columns).map(move |column| (row, column)))
            .map(|(row, column)| dropped(row, column))
            .collect();
        let mask = Value::from_data(TensorData::new(mask, [rows, columns]), &Device::flex());
        let zero = Value::from_data(TensorData::new(vec![0.0f32], [1]), &x.device());
        let zeros = zero.cast(x.kind()).reshape(&[]).expand(&dims);
        Ok(vec![x.mask_where(mask.expand(&dims), zeros)])
    }
}

fn read(node: &NodeReader<'_>) -> Result<Box<dyn Op>, OpError> {
    let upper = node.flag("upper", true)?;
    Ok(Box::new(Trilu { upper }))
}

/// The table's entries.
pub(crate) const OPERATORS: &[Operator] = &[Operator {
    name: "Trilu",
    forms: &[],
    read,
}];

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_floats, assert_gradients, assert_ints, bools, ints, ramp, run_op};
    use super::*;

    #[test]
    fn triangles_agree_with_numpy() {
        // x = np.arange(1, 7).reshape(2, 3); np.triu(x), np.tril(x, 1), np.triu(x, -1)
        let x = Some(ramp(&[1, 2, 3], 1.0, 1.0));
        let triangle = |upper: i64, k: i64| {
            let inputs = [x.clone(), Some(ints(&[], &[k]))];
            run_op("Trilu", 14, &[("upper", upper.into())], &inputs)
                .unwrap()
                .remove(0)
        };
        assert_floats(&triangle(1, 0), &[1, 2, 3], &[1.0, 2.0, 3.0, 0.0, 5.0, 6.0]);
        assert_floats(&triangle(0, 1), &[1, 2, 3], &[1.0, 2.0, 0.0, 4.0, 5.0, 6.0]);
        assert_floats(&triangle(1, -1), &[1, 2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        assert_floats(&triangle(1, i64::MAX), &[1, 2, 3], &[0.0; 6]);
        assert_gradients("Trilu", 14, &[], &[x], &[0]);
    }

    #[test]
    fn causal_masks_are_triangles_of_booleans() {
        let x = Some(bools(&[2, 2], &[true; 4]));
        let made = run_op("Trilu", 14, &[("upper", 0.into())], &[x]).unwrap();
        assert_ints(&made[0], &[2, 2], &[1, 0, 1, 1]);
    }

    #[test]
    fn a_vector_has_no_triangle() {
        assert!(matches!(
            run_op("Trilu", 14, &[], &[Some(ramp(&[3], 0.0, 1.0))]),
            Err(OpError::Shape { .. })
        ));
    }
}
