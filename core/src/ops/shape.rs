//! `Shape`, `Size`: the extents of a tensor as integers.
//! <https://onnx.ai/onnx/operators/onnx__Shape.html>
//!
//! Opset 15 adds `start` and `end` to `Shape`; the others add types. The result is known while
//! shapes are inferred, whatever the tensor holds.

use crate::op::{Fact, Inputs, NodeReader, Op, OpError, Operator, RunContext};
use crate::value::Value;

/// The extents of a tensor, from `start` to `end`.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// The first axis, possibly counted from the end.
    pub start: i64,
    /// Where the axes end; the rank where absent.
    pub end: Option<i64>,
}

impl Shape {
    fn extents(&self, dims: &[usize]) -> Value {
        let rank = dims.len() as i64;
        let place = |axis: i64| {
            let axis = if axis < 0 { axis.saturating_add(rank) } else { axis };
            axis.clamp(0, rank) as usize
        };
        let (start, end) = (place(self.start), place(self.end.unwrap_or(rank)));
        let extents: Vec<i64> = dims[start..end.max(start)]
            .iter()
            .map(|extent| *extent as i64)
            .collect();
        let count = extents.len();
        Value::ints(extents, &[count])
    }
}

impl Op for Shape {
    fn name(&self) -> &'static str {
        "Shape"
    }

    fn infer(&self, inputs: &Inputs<'_, Fact>) -> Result<Vec<Fact>, OpError> {
        let x = inputs.required(0, "data")?;
        Ok(vec![Fact::known(self.extents(&x.dims))])
    }

    fn run(&self, inputs: &Inputs<'_, Value>, _context: &RunContext) -> Result<Vec<Value>, OpError> {
        Ok(vec![self.extents(&inputs.required(0, "data")?.dims())])
    }
}

/// The number of elements of a tensor, as a scalar.
#[derive(Clone, Copy, Debug)]
pub struct Size;

impl Op for Size {
    fn name(&self) -> &'static str {
        "Size"
    }

    fn infer(&self, inputs: &Inputs<'_, Fact>) -> Result<Vec<Fact>, OpError> {
        let count = inputs.required(0, "data")?.len();
        Ok(vec![Fact::known(Value::ints(vec![count as i64], &[]))])
    }

    fn run(&self, inputs: &Inputs<'_, Value>, _context: &RunContext) -> Result<Vec<Value>, OpError> {
        let count: usize = inputs.required(0, "data")?.dims().iter().product();
        Ok(vec![Value::ints(vec![count as i64], &[])])
    }
}

fn read(node: &NodeReader<'_>) -> Result<Box<dyn Op>, OpError> {
    if node.op == "Size" {
        return Ok(Box::new(Size));
    }
    let (mut start, mut end) = (0, None);
    if node.opset >= 15 {
        start = node.int("start")?.unwrap_or(0);
        end = node.int("end")?;
    }
    Ok(Box::new(Shape { start, end }))
}

const fn entry(name: &'static str) -> Operator {
    Operator {
        name,
        forms: &[],
        read,
    }
}

/// The table's entries.
pub(crate) const OPERATORS: &[Operator] = &[entry("Shape"), entry("Size")];

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_ints, bools, infer_op, ramp, run_op};
    use super::*;

    #[test]
    fn start_and_end_cut_the_shape() {
        // onnx.reference: Shape of (2, 3, 4)
        let x = [Some(ramp(&[2, 3, 4], 0.0, 1.0))];
        for (start, end, expected) in [
            (0, 3, &[2, 3, 4][..]),
            (-2, -1, &[3]),
            (2, 1, &[]),
            (-9, 9, &[2, 3, 4]),
        ] {
            let written: &[_] = &[("start", start.into()), ("end", end.into())];
            let made = run_op("Shape", 15, written, &x).unwrap();
            assert_ints(&made[0], &[expected.len()], expected);
        }
        assert_ints(&run_op("Shape", 9, &[], &x).unwrap()[0], &[3], &[2, 3, 4]);
        assert_ints(&run_op("Size", 9, &[], &x).unwrap()[0], &[], &[24]);
    }

    #[test]
    fn the_shape_is_known_although_the_tensor_is_not() {
        let facts = infer_op("Shape", 13, &[], &[Some(Fact::float([5, 1]))]).unwrap();
        assert_eq!(facts[0].ints(), Some(vec![5, 1]));
    }

    #[test]
    fn a_scalar_has_no_extents() {
        let x = [Some(bools(&[], &[true]))];
        assert_ints(&run_op("Shape", 13, &[], &x).unwrap()[0], &[0], &[]);
        assert_ints(&run_op("Size", 13, &[], &x).unwrap()[0], &[], &[1]);
    }
}
