//! `TopK`: the largest or smallest k elements along an axis, and where they stand.
//! <https://onnx.ai/onnx/operators/onnx__TopK.html>
//!
//! Opset 10 turned `k` from an attribute into an input, 11 added `largest` and `sorted`. Equal
//! elements come in the order of their indices; the result is always sorted, which `sorted = 0`
//! leaves open. The order is found on the host; the elements are then gathered, so that gradients
//! reach them.

use std::cmp::Ordering;

use super::shaped::Shaped;
use crate::op::{Fact, Inputs, NodeReader, Op, OpError, Operator, RunContext, resolve_axis};
use crate::value::{Kind, Value};

/// The first elements of an order.
#[derive(Clone, Copy, Debug)]
pub struct TopK {
    /// The axis.
    pub axis: i64,
    /// Whether the largest come first.
    pub largest: bool,
    /// How many, where the file states it as an attribute.
    pub k: Option<i64>,
}

impl TopK {
    /// The axis, and the outputs' shape.
    fn plan<T: Shaped>(&self, inputs: &Inputs<'_, T>) -> Result<(usize, Vec<usize>), OpError> {
        let mut dims = inputs.required(0, "X")?.extents();
        let axis = resolve_axis(self.axis, dims.len())?;
        let k = match self.k {
            Some(k) => vec![k],
            None => inputs.integers(1, "K")?,
        };
        let count = match k.as_slice() {
            [k] => usize::try_from(*k).ok().filter(|k| *k <= dims[axis]),
            _ => None,
        };
        dims[axis] = count.ok_or_else(|| OpError::Content {
            name: "K",
            got: format!("{k:?}"),
            expected: format!("one integer from 0 to {}", dims[axis]),
        })?;
        Ok((axis, dims))
    }

    /// The indices along the axis, for elements in the order of memory.
    fn order<T: Copy>(
        &self,
        elements: &[T],
        dims: &[usize],
        axis: usize,
        k: usize,
        compare: impl Fn(&T, &T) -> Ordering,
    ) -> Vec<i64> {
        let (extent, inner) = (dims[axis], dims[axis + 1..].iter().product::<usize>());
        let outer: usize = dims[..axis].iter().product();
        let mut chosen = vec![0; outer * k * inner];
        for row in 0..outer * inner {
            let (before, after) = (row / inner, row % inner);
            let at = |index: usize| &elements[(before * extent + index) * inner + after];
            let mut order: Vec<usize> = (0..extent).collect();
            order.sort_by(|a, b| {
                let order = compare(at(*a), at(*b));
                if self.largest { order.reverse() } else { order }
            });
            for (rank, index) in order.into_iter().take(k).enumerate() {
                chosen[(before * k + rank) * inner + after] = index as i64;
            }
        }
        chosen
    }
}

impl Op for TopK {
    fn name(&self) -> &'static str {
        "TopK"
    }

    fn infer(&self, inputs: &Inputs<'_, Fact>) -> Result<Vec<Fact>, OpError> {
        let x = inputs.required(0, "X")?;
        if x.kind == Kind::Bool {
            return Err(OpError::Kind {
                name: "X",
                expected: Kind::Float,
                got: x.kind,
            });
        }
        let (_, dims) = self.plan(inputs)?;
        Ok(vec![Fact::new(x.kind, dims.clone()), Fact::new(Kind::Int, dims)])
    }

    fn run(&self, inputs: &Inputs<'_, Value>, _context: &RunContext) -> Result<Vec<Value>, OpError> {
        let x = inputs.required(0, "X")?.clone();
        let (axis, dims) = self.plan(inputs)?;
        if dims.contains(&0) {
            let nothing = |kind| Value::empty(kind, &dims, &x.device());
            return Ok(vec![nothing(x.kind()), nothing(Kind::Int)]);
        }
        let own = x.dims();
        let indices = match (x.to_floats(), x.to_ints()) {
            (Some(floats), _) => self.order(&floats, &own, axis, dims[axis], f32::total_cmp),
            (None, ints) => self.order(&ints.unwrap_or_default(), &own, axis, dims[axis], i64::cmp),
        };
        let indices = Value::ints(indices, &dims);
        Ok(vec![x.gather(axis, indices.clone()), indices])
    }
}

fn read(node: &NodeReader<'_>) -> Result<Box<dyn Op>, OpError> {
    let k = if node.opset < 10 {
        Some(node.required_int("k")?)
    } else {
        None
    };
    let mut largest = true;
    if node.opset >= 11 {
        largest = node.flag("largest", true)?;
        node.flag("sorted", true)?;
    }
    Ok(Box::new(TopK {
        axis: node.int("axis")?.unwrap_or(-1),
        largest,
        k,
    }))
}

/// The table's entries.
pub(crate) const OPERATORS: &[Operator] = &[Operator {
    name: "TopK",
    forms: &[10, 11],
    read,
}];

#[cfg(test)]
mod tests {
    use super::super::testing::{
        assert_floats, assert_gradients, assert_ints, floats, infer_op, ints, run_op,
    };
    use super::*;

    #[test]
    fn the_largest_or_smallest_come_first() {
        // torch.topk(x, 2, dim=1) and torch.topk(x, 2, dim=0, largest=False)
        let x = Some(floats(&[2, 3], &[1.0, 3.0, 2.0, 6.0, 4.0, 5.0]));
        let inputs = [x, Some(ints(&[1], &[2]))];
        let made = run_op("TopK", 11, &[], &inputs).unwrap();
        assert_floats(&made[0], &[2, 2], &[3.0, 2.0, 6.0, 5.0]);
        assert_ints(&made[1], &[2, 2], &[1, 2, 0, 2]);
        let down: &[_] = &[("axis", 0.into()), ("largest", 0.into())];
        let made = run_op("TopK", 11, down, &inputs).unwrap();
        assert_floats(&made[0], &[2, 3], &[1.0, 3.0, 2.0, 6.0, 4.0, 5.0]);
        assert_ints(&made[1], &[2, 3], &[0, 0, 0, 1, 1, 1]);
        assert_gradients("TopK", 11, &[], &inputs, &[0]);
        let old = run_op("TopK", 9, &[("k", 1.into())], &inputs[..1]).unwrap();
        assert_floats(&old[0], &[2, 1], &[3.0, 6.0]);
    }

    #[test]
    fn equals_keep_their_order() {
        // onnxruntime, TopK-11 of [1, 2, 2, 1] with K = 3: indices 1, 2, 0
        let inputs = [Some(ints(&[4], &[1, 2, 2, 1])), Some(ints(&[1], &[3]))];
        let made = run_op("TopK", 11, &[], &inputs).unwrap();
        assert_ints(&made[1], &[3], &[1, 2, 0]);
    }

    #[test]
    fn more_than_there_are_is_refused() {
        let inputs = [Some(ints(&[2], &[1, 2])), Some(ints(&[1], &[3]))];
        assert!(matches!(
            run_op("TopK", 11, &[], &inputs),
            Err(OpError::Content { .. })
        ));
        let unknown = [Some(Fact::float([2])), Some(Fact::new(Kind::Int, [1]))];
        assert!(matches!(
            infer_op("TopK", 11, &[], &unknown),
            Err(OpError::NotConstant { .. })
        ));
    }
}
