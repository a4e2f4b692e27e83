//! `Slice`: a box of a tensor, possibly with steps.
//! <https://onnx.ai/onnx/operators/onnx__Slice.html>
//!
//! Opset 10 turns `starts`, `ends` and `axes` from attributes into inputs and adds `steps`, 11 says
//! what negative numbers mean, 13 adds bfloat16. Starts and ends beyond the tensor are moved to its
//! edge, as Python does. Burn reads backwards by [`Value::flip`].

use burn::tensor::Slice as Range;

use super::shaped::{IntList, Shaped};
use crate::op::{Fact, Inputs, NodeReader, Op, OpError, Operator, RunContext, resolve_axis};
use crate::value::Value;

/// A box of a tensor.
#[derive(Clone, Debug)]
pub struct Slice {
    starts: IntList,
    ends: IntList,
    axes: IntList,
    /// Absent from the form with attributes.
    steps: IntList,
}

/// What is taken of one axis: `count` elements from `start` on in steps of `step`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Taken {
    start: usize,
    step: i64,
    count: usize,
}

impl Taken {
    /// Python's `start:end:step` of an axis, as NumPy reads it.
    fn new(extent: usize, start: i64, end: i64, step: i64) -> Self {
        let extent = extent as i64;
        // An end before the first element is -1 when reading backwards, which is not "the last
        // one".
        let (lowest, highest) = if step > 0 { (0, extent) } else { (-1, extent - 1) };
        let place = |at: i64| {
            let at = if at < 0 { at.saturating_add(extent) } else { at };
            at.clamp(lowest, highest.max(lowest))
        };
        let (start, end) = (place(start), place(end));
        let span = if step > 0 { end - start } else { start - end };
        let count = if span <= 0 {
            0
        } else {
            (span as u64).div_ceil(step.unsigned_abs())
        };
        Self {
            start: start.max(0) as usize,
            step,
            count: count as usize,
        }
    }

    /// The same elements read forwards.
    fn range(self) -> Range {
        let reach = self.count.saturating_sub(1) * self.step.unsigned_abs() as usize;
        let first = if self.step > 0 {
            self.start
        } else {
            self.start - reach
        };
        // One element has no steps, and a huge one might not fit.
        let step = if self.count <= 1 {
            1
        } else {
            self.step.unsigned_abs()
        };
        Range::with_step(first as isize, Some((first + reach + 1) as isize), step as isize)
    }
}

impl Slice {
    fn plan<T: Shaped>(&self, inputs: &Inputs<'_, T>) -> Result<Vec<Taken>, OpError> {
        let own = inputs.required(0, "data")?.extents();
        let starts = self.starts.required(inputs, "starts")?;
        let ends = self.ends.required(inputs, "ends")?;
        let axes = self
            .axes
            .get(inputs)?
            .unwrap_or_else(|| (0..starts.len() as i64).collect());
        let steps = self.steps.get(inputs)?.unwrap_or_else(|| vec![1; starts.len()]);
        for (name, values) in [("ends", &ends), ("axes", &axes), ("steps", &steps)] {
            if values.len() != starts.len() {
                return Err(OpError::Content {
                    name,
                    got: format!("{values:?}"),
                    expected: format!("{} numbers, as `starts` has", starts.len()),
                });
            }
        }
        let whole = |extent: &usize| Taken {
            start: 0,
            step: 1,
            count: *extent,
        };
        let mut taken: Vec<Taken> = own.iter().map(whole).collect();
        for (index, axis) in axes.iter().enumerate() {
            let axis = resolve_axis(*axis, own.len())?;
            if steps[index] == 0 {
                return Err(OpError::Content {
                    name: "steps",
                    got: "0".to_owned(),
                    expected: "a step forwards or backwards".to_owned(),
                });
            }
            taken[axis] = Taken::new(own[axis], starts[index], ends[index], steps[index]);
        }
        Ok(taken)
    }
}

impl Op for Slice {
    fn name(&self) -> &'static str {
        "Slice"
    }

    fn infer(&self, inputs: &Inputs<'_, Fact>) -> Result<Vec<Fact>, OpError> {
        let kind = inputs.required(0, "data")?.kind;
        let dims: Vec<usize> = self.plan(inputs)?.iter().map(|taken| taken.count).collect();
        Ok(vec![Fact::new(kind, dims)])
    }

    fn run(&self, inputs: &Inputs<'_, Value>, _context: &RunContext) -> Result<Vec<Value>, OpError> {
        let x = inputs.required(0, "data")?.clone();
        let taken = self.plan(inputs)?;
        let dims: Vec<usize> = taken.iter().map(|taken| taken.count).collect();
        if dims.contains(&0) {
            return Ok(vec![Value::empty(x.kind(), &dims, &x.device())]);
        }
        if dims.is_empty() {
            return Ok(vec![x]);
        }
        let ranges: Vec<Range> = taken.iter().map(|taken| taken.range()).collect();
        let backwards: Vec<usize> = (0..taken.len()).filter(|axis| taken[*axis].step < 0).collect();
        let part = x.slice(&ranges);
        Ok(vec![if backwards.is_empty() {
            part
        } else {
            part.flip(&backwards)
        }])
    }
}

fn read(node: &NodeReader<'_>) -> Result<Box<dyn Op>, OpError> {
    let steps = if node.opset >= 10 {
        IntList::Input(4, "steps")
    } else {
        IntList::Attribute(None)
    };
    Ok(Box::new(Slice {
        starts: IntList::read(node, "starts", 1, 10)?,
        ends: IntList::read(node, "ends", 2, 10)?,
        axes: IntList::read(node, "axes", 3, 10)?,
        steps,
    }))
}

/// The table's entries.
pub(crate) const OPERATORS: &[Operator] = &[Operator {
    name: "Slice",
    forms: &[10],
    read,
}];

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_floats, assert_gradients, ints, ramp, run_op};
    use super::*;

    fn one(extent: usize, start: i64, end: i64, step: i64) -> Vec<i64> {
        let x: Vec<i64> = (0..extent as i64).collect();
        let inputs = [
            Some(ints(&[extent], &x)),
            Some(ints(&[1], &[start])),
            Some(ints(&[1], &[end])),
            Some(ints(&[1], &[0])),
            Some(ints(&[1], &[step])),
        ];
        let made = run_op("Slice", 13, &[], &inputs).unwrap();
        made[0].to_ints().unwrap()
    }

    #[test]
    fn starts_ends_and_steps_are_pythons() {
        // list(range(6))[start:end:step]; ONNX's -(2**63) is Python's None at the end of a backward
        // slice
        assert_eq!(one(6, 1, 5, 2), [1, 3]);
        assert_eq!(one(6, -4, 100, 1), [2, 3, 4, 5]);
        assert_eq!(one(6, 4, -100, -2), [4, 2, 0]);
        assert_eq!(one(6, -1, i64::MIN, -1), [5, 4, 3, 2, 1, 0]);
        assert_eq!(one(6, 100, 1, -3), [5, 2]);
        assert_eq!(one(6, 4, 2, 1), [0; 0]);
        assert_eq!(one(6, 2, 4, -1), [0; 0]);
        assert_eq!(one(6, 1, i64::MAX, i64::MAX), [1]);
        assert_eq!(one(6, 3, i64::MIN, i64::MIN), [3]);
        assert_eq!(one(0, 0, 1, 1), [0; 0]);
        assert_eq!(one(0, 0, -1, -1), [0; 0]);
    }

    #[test]
    fn every_small_slice_agrees_with_stepping_by_hand() {
        let extent = 4;
        for start in -6..7 {
            for end in -6..7 {
                for step in [-3, -2, -1, 1, 2, 3] {
                    // CPython's PySlice_AdjustIndices, then range().
                    let clip = |at: i64| {
                        let at = if at < 0 { at + extent } else { at };
                        if step < 0 {
                            at.clamp(-1, extent - 1)
                        } else {
                            at.clamp(0, extent)
                        }
                    };
                    let (mut at, stop) = (clip(start), clip(end));
                    let mut expected = Vec::new();
                    while if step > 0 { at < stop } else { at > stop } {
                        expected.push(at);
                        at += step;
                    }
                    assert_eq!(one(4, start, end, step), expected, "{start}:{end}:{step}");
                }
            }
        }
    }

    #[test]
    fn old_files_write_attributes() {
        // np.arange(6).reshape(2, 3)[:, 1:-1]
        let written: &[_] = &[
            ("starts", vec![1].into()),
            ("ends", vec![-1].into()),
            ("axes", vec![1].into()),
        ];
        let made = run_op("Slice", 9, written, &[Some(ramp(&[2, 3], 0.0, 1.0))]).unwrap();
        assert_floats(&made[0], &[2, 1], &[1.0, 4.0]);
    }

    #[test]
    fn backward_steps_have_gradients() {
        let inputs = [
            Some(ramp(&[3, 4], 0.0, 1.0)),
            Some(ints(&[2], &[2, 3])),
            Some(ints(&[2], &[0, 0])),
            Some(ints(&[2], &[0, -1])),
            Some(ints(&[2], &[-1, -2])),
        ];
        // np.arange(12).reshape(3, 4)[2:0:-1, 3:0:-2]
        let made = run_op("Slice", 13, &[], &inputs).unwrap();
        assert_floats(&made[0], &[2, 2], &[11.0, 9.0, 7.0, 5.0]);
        assert_gradients("Slice", 13, &[], &inputs, &[0]);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let x = Some(ints(&[2], &[1, 2]));
        let one = |value| Some(ints(&[1], &[value]));
        let still = [x.clone(), one(0), one(1), one(0), one(0)];
        assert!(matches!(
            run_op("Slice", 13, &[], &still),
            Err(OpError::Content { name: "steps", .. })
        ));
        let axis = [x.clone(), one(0), one(1), one(1)];
        assert!(matches!(
            run_op("Slice", 13, &[], &axis),
            Err(OpError::Axis { .. })
        ));
        let lengths = [x.clone(), one(0), Some(ints(&[2], &[1, 1]))];
        assert!(matches!(
            run_op("Slice", 13, &[], &lengths),
            Err(OpError::Content { name: "ends", .. })
        ));
        assert!(matches!(
            run_op("Slice", 13, &[], &[x.clone(), one(0)]),
            Err(OpError::MissingInput { .. })
        ));
        assert!(matches!(
            run_op("Slice", 9, &[], &[x]),
            Err(OpError::MissingAttribute { .. })
        ));
        // A scalar has no axis.
        assert!(matches!(
            run_op("Slice", 13, &[], &[Some(ints(&[], &[1])), one(0), one(1)]),
            Err(OpError::Axis { .. })
        ));
    }
}
