//! `OneHot`: a new axis with one value at an index and another elsewhere.
//! <https://onnx.ai/onnx/operators/onnx__OneHot.html>
//!
//! Inputs are `indices`, `depth` (the new axis' extent) and `values` = [off, on]. An index outside
//! `-depth..depth` switches nothing on. Opset 9 introduced it, 11 allows negative indices; the form
//! never changed. Indices that are floats are refused.

use burn::tensor::{Device, TensorData};

use super::shaped::{Shaped, extents};
use crate::op::{Fact, Inputs, NodeReader, Op, OpError, Operator, RunContext, resolve_axis};
use crate::value::{Kind, Value};

/// One entry of an axis set.
#[derive(Clone, Copy, Debug)]
pub struct OneHot {
    /// The new axis, as written.
    pub axis: i64,
}

impl OneHot {
    /// The new axis, and the output's shape.
    fn plan<T: Shaped>(&self, inputs: &Inputs<'_, T>) -> Result<(usize, Vec<usize>), OpError> {
        let indices = inputs.required(0, "indices")?;
        if indices.elements() != Kind::Int {
            return Err(OpError::Kind {
                name: "indices",
                expected: Kind::Int,
                got: indices.elements(),
            });
        }
        let mut dims: Vec<i64> = indices.extents().iter().map(|extent| *extent as i64).collect();
        let axis = resolve_axis(self.axis, dims.len() + 1)?;
        let depth = inputs.integers(1, "depth")?;
        let [depth] = depth.as_slice() else {
            return Err(OpError::Content {
                name: "depth",
                got: format!("{depth:?}"),
                expected: "one integer".to_owned(),
            });
        };
        dims.insert(axis, *depth);
        Ok((axis, extents("depth", &dims)?))
    }
}

impl Op for OneHot {
    fn name(&self) -> &'static str {
        "OneHot"
    }

    fn infer(&self, inputs: &Inputs<'_, Fact>) -> Result<Vec<Fact>, OpError> {
        let (_, dims) = self.plan(inputs)?;
        let values = inputs.required(2, "values")?;
        if values.dims != [2] {
            return Err(OpError::Shape {
                name: "values",
                got: values.dims.clone(),
                expected: "[2]".to_owned(),
            });
        }
        Ok(vec![Fact::new(values.kind, dims)])
    }

    fn run(&self, inputs: &Inputs<'_, Value>, _context: &RunContext) -> Result<Vec<Value>, OpError> {
        let (axis, dims) = self.plan(inputs)?;
        let values = inputs.required(2, "values")?.clone();
        if dims.contains(&0) {
            return Ok(vec![Value::empty(values.kind(), &dims, &values.device())]);
        }
        let depth = dims[axis];
        let inner: usize = dims[axis + 1..].iter().product();
        let mut on = vec![false; dims.iter().product()];
        for (number, index) in inputs.integers(0, "indices")?.into_iter().enumerate() {
            let resolved = if index < 0 { index + depth as i64 } else { index };
            if let Ok(resolved) = usize::try_from(resolved)
                && resolved < depth
            {
                on[(number / inner * depth + resolved) * inner + number % inner] = true;
            }
        }
        let mask = Value::from_data(TensorData::new(on, dims.clone()), &Device::flex());
        let value = |index: usize| values.clone().narrow(0, index, index + 1).expand(&dims);
        Ok(vec![value(0).mask_where(mask, value(1))])
    }
}

fn read(node: &NodeReader<'_>) -> Result<Box<dyn Op>, OpError> {
    let axis = node.int("axis")?.unwrap_or(-1);
    Ok(Box::new(OneHot { axis }))
}

/// The table's entries.
pub(crate) const OPERATORS: &[Operator] = &[Operator {
    name: "OneHot",
    forms: &[],
    read,
}];

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_floats, assert_gradients, assert_ints, floats, ints, run_op};
    use super::*;

    #[test]
    fn one_entry_of_the_new_axis_is_on() {
        // onnxruntime, OneHot-11: indices [[1, -1], [5, 0]], depth 3, values [-1, 2]
        let inputs = [
            Some(ints(&[2, 2], &[1, -1, 5, 0])),
            Some(ints(&[], &[3])),
            Some(floats(&[2], &[-1.0, 2.0])),
        ];
        let made = run_op("OneHot", 11, &[], &inputs).unwrap();
        let rows = [
            -1.0, 2.0, -1.0, -1.0, -1.0, 2.0, -1.0, -1.0, -1.0, 2.0, -1.0, -1.0,
        ];
        assert_floats(&made[0], &[2, 2, 3], &rows);
        let first = run_op("OneHot", 11, &[("axis", 0.into())], &inputs).unwrap();
        let rows = [
            -1.0, -1.0, -1.0, 2.0, 2.0, -1.0, -1.0, -1.0, -1.0, 2.0, -1.0, -1.0,
        ];
        assert_floats(&first[0], &[3, 2, 2], &rows);
        assert_gradients("OneHot", 11, &[], &inputs, &[2]);
    }

    #[test]
    fn scalars_get_one_axis_and_a_depth_must_be_one() {
        let mut inputs = [
            Some(ints(&[], &[0])),
            Some(ints(&[1], &[2])),
            Some(ints(&[2], &[0, 7])),
        ];
        assert_ints(&run_op("OneHot", 11, &[], &inputs).unwrap()[0], &[2], &[7, 0]);
        inputs[1] = Some(ints(&[1], &[-2]));
        assert!(matches!(
            run_op("OneHot", 11, &[], &inputs),
            Err(OpError::Content { .. })
        ));
    }
}
