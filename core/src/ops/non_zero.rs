//! `NonZero`: the places of all elements that are not zero, `[rank, count]`.
//! <https://onnx.ai/onnx/operators/onnx__NonZero.html>
//!
//! The output's shape depends on the content, so that it is taken of constants and shapes alone
//! (where exporters write it, as in `ConstantOfShape → NonZero`). Opset 9 introduced it; the form
//! never changed. A scalar gives `[0, 1]` or `[0, 0]`, as NumPy's arrays do not.

use crate::op::{Fact, Inputs, NodeReader, Op, OpError, Operator, RunContext};
use crate::value::{Kind, Value};

/// Where a tensor is not zero.
#[derive(Clone, Copy, Debug)]
pub struct NonZero;

/// The places, one row per axis, and their number.
fn places(x: &Value) -> (Vec<i64>, usize) {
    let dims = x.dims();
    let set: Vec<usize> = match (x.to_floats(), x.to_ints()) {
        (Some(floats), _) => (0..floats.len()).filter(|i| floats[*i] != 0.0).collect(),
        (None, ints) => {
            let ints = ints.unwrap_or_default();
            (0..ints.len()).filter(|i| ints[*i] != 0).collect()
        }
    };
    let row = |axis: usize| {
        let inner: usize = dims[axis + 1..].iter().product();
        let extent = dims[axis];
        set.iter().map(move |position| (position / inner % extent) as i64)
    };
    ((0..dims.len()).flat_map(row).collect(), set.len())
}

impl Op for NonZero {
    fn name(&self) -> &'static str {
        "NonZero"
    }

    fn infer(&self, inputs: &Inputs<'_, Fact>) -> Result<Vec<Fact>, OpError> {
        let x = inputs.required(0, "X")?;
        let value = x.value.as_ref().ok_or(OpError::NotConstant { name: "X" })?;
        let (_, count) = places(value);
        Ok(vec![Fact::new(Kind::Int, [x.rank(), count])])
    }

    fn run(&self, inputs: &Inputs<'_, Value>, _context: &RunContext) -> Result<Vec<Value>, OpError> {
        let x = inputs.required(0, "X")?;
        let (places, count) = places(x);
        Ok(vec![Value::ints(places, &[x.rank(), count])])
    }
}

fn read(_node: &NodeReader<'_>) -> Result<Box<dyn Op>, OpError> {
    Ok(Box::new(NonZero))
}

/// The table's entries.
pub(crate) const OPERATORS: &[Operator] = &[Operator {
    name: "NonZero",
    forms: &[],
    read,
}];

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_ints, bools, floats, infer_op, run_op};
    use super::*;

    #[test]
    fn places_stand_in_columns() {
        // np.stack(np.nonzero([[1, 0], [2, 3]]))
        let x = [Some(floats(&[2, 2], &[1.0, 0.0, 2.0, 3.0]))];
        let made = run_op("NonZero", 13, &[], &x).unwrap();
        assert_ints(&made[0], &[2, 3], &[0, 1, 1, 0, 0, 1]);
        let x = [Some(bools(&[3], &[false, true, true]))];
        assert_ints(&run_op("NonZero", 13, &[], &x).unwrap()[0], &[1, 2], &[1, 2]);
        let x = [Some(bools(&[2], &[false, false]))];
        assert_ints(&run_op("NonZero", 13, &[], &x).unwrap()[0], &[1, 0], &[]);
    }

    #[test]
    fn the_places_of_data_are_refused() {
        let refused = infer_op("NonZero", 13, &[], &[Some(Fact::float([2]))]);
        assert!(matches!(refused, Err(OpError::NotConstant { name: "X" })));
    }
}
