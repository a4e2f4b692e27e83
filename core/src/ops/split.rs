//! `Split`: a tensor cut into pieces along an axis.
//! <https://onnx.ai/onnx/operators/onnx__Split.html>
//!
//! The pieces' extents are stated, or the axis is cut evenly into as many pieces as the node has
//! outputs. Opset 11 allows a negative axis, 13 turns `split` from an attribute into an input, 18
//! adds `num_outputs` and lets the last piece be smaller.

use super::shaped::{IntList, Shaped};
use crate::op::{Fact, Inputs, NodeReader, Op, OpError, Operator, Role, RunContext, resolve_axis};
use crate::value::Value;

/// Cuts a tensor into pieces.
#[derive(Clone, Debug)]
pub struct Split {
    /// The axis that is cut.
    pub axis: i64,
    /// The number of pieces.
    pub pieces: usize,
    /// Whether an even cut may leave a smaller last piece.
    uneven: bool,
    extents: IntList,
}

impl Split {
    /// The axis and the pieces' extents.
    fn plan<T: Shaped>(&self, inputs: &Inputs<'_, T>) -> Result<(usize, Vec<usize>), OpError> {
        let own = inputs.required(0, "input")?.extents();
        let axis = resolve_axis(self.axis, own.len())?;
        let extent = own[axis];
        let Some(stated) = self.extents.get(inputs)? else {
            if !self.uneven && !extent.is_multiple_of(self.pieces) {
                return Err(OpError::Shape {
                    name: "input",
                    got: own,
                    expected: format!("{} even pieces along axis {axis}", self.pieces),
                });
            }
            let piece = extent.div_ceil(self.pieces);
            let left = |index: usize| extent.saturating_sub(index * piece).min(piece);
            return Ok((axis, (0..self.pieces).map(left).collect()));
        };
        let pieces: Option<Vec<usize>> = stated.iter().map(|piece| usize::try_from(*piece).ok()).collect();
        let sum = |pieces: &Vec<usize>| {
            pieces
                .iter()
                .try_fold(0usize, |sum, piece| sum.checked_add(*piece))
        };
        pieces
            .filter(|pieces| pieces.len() == self.pieces && sum(pieces) == Some(extent))
            .map(|pieces| (axis, pieces))
            .ok_or_else(|| OpError::Content {
                name: "split",
                got: format!("{stated:?}"),
                expected: format!("{} extents that sum to {extent}", self.pieces),
            })
    }
}

impl Op for Split {
    fn name(&self) -> &'static str {
        "Split"
    }

    fn infer(&self, inputs: &Inputs<'_, Fact>) -> Result<Vec<Fact>, OpError> {
        let x = inputs.required(0, "input")?;
        let (axis, pieces) = self.plan(inputs)?;
        let piece = |extent: usize| {
            let mut dims = x.dims.clone();
            dims[axis] = extent;
            Fact::new(x.kind, dims)
        };
        Ok(pieces.into_iter().map(piece).collect())
    }

    fn run(&self, inputs: &Inputs<'_, Value>, _context: &RunContext) -> Result<Vec<Value>, OpError> {
        let x = inputs.required(0, "input")?;
        let (axis, pieces) = self.plan(inputs)?;
        let mut start = 0;
        let mut values = Vec::with_capacity(pieces.len());
        for extent in pieces {
            let mut dims = x.dims();
            dims[axis] = extent;
            values.push(if dims.contains(&0) {
                Value::empty(x.kind(), &dims, &x.device())
            } else {
                x.clone().narrow(axis, start, start + extent)
            });
            start += extent;
        }
        Ok(values)
    }

    fn role(&self, _input: usize) -> Role {
        Role::Weight
    }
}

fn read(node: &NodeReader<'_>) -> Result<Box<dyn Op>, OpError> {
    let axis = node.int("axis")?.unwrap_or(0);
    let extents = IntList::read(node, "split", 1, 13)?;
    let pieces = node.outputs;
    if node.opset >= 18
        && let Some(stated) = node.int("num_outputs")?
        && usize::try_from(stated) != Ok(pieces)
    {
        let expected = format!("{pieces}, the number of outputs");
        return Err(node.bad("num_outputs", stated.to_string(), expected));
    }
    if pieces == 0 {
        return Err(OpError::Unsupported {
            what: "a node without outputs".to_owned(),
        });
    }
    Ok(Box::new(Split {
        axis,
        pieces,
        uneven: node.opset >= 18,
        extents,
    }))
}

/// The table's entries.
pub(crate) const OPERATORS: &[Operator] = &[Operator {
    name: "Split",
    forms: &[13, 18],
    read,
}];

#[cfg(test)]
mod tests {
    use std::slice::from_ref;

    use super::super::table;
    use super::super::testing::{assert_floats, ints, ramp};
    use super::*;
    use crate::op::{Attribute, Attributes, Mode};

    fn split(
        opset: i64,
        outputs: usize,
        attributes: &[(&str, Attribute)],
        inputs: &[Option<Value>],
    ) -> Result<Vec<Value>, OpError> {
        let written: Attributes = attributes
            .iter()
            .map(|(name, attribute)| ((*name).to_owned(), attribute.clone()))
            .collect();
        let op = table::read("Split", opset, inputs.len(), outputs, &written).unwrap()?;
        let facts: Vec<Option<Fact>> = inputs.iter().cloned().map(|x| x.map(Fact::known)).collect();
        let inferred = op.infer(&Inputs(&facts))?;
        let context = RunContext {
            mode: Mode::Inference,
            device: burn::tensor::Device::flex(),
            precision: crate::precision::Precision::Fp32,
        };
        let values = op.run(&Inputs(inputs), &context)?;
        for (fact, value) in inferred.iter().zip(&values) {
            assert_eq!(fact.dims, value.dims());
        }
        assert_eq!(values.len(), outputs);
        Ok(values)
    }

    #[test]
    fn pieces_are_stated_or_even() {
        // np.split(np.arange(10).reshape(2, 5), [2], axis=1)
        let x = Some(ramp(&[2, 5], 0.0, 1.0));
        let along: (&str, Attribute) = ("axis", 1.into());
        let stated = [along.clone(), ("split", vec![2, 3].into())];
        let old = split(11, 2, &stated, from_ref(&x)).unwrap();
        let new = split(13, 2, &[along], &[x.clone(), Some(ints(&[2], &[2, 3]))]).unwrap();
        for made in [old, new] {
            assert_floats(&made[0], &[2, 2], &[0.0, 1.0, 5.0, 6.0]);
            assert_floats(&made[1], &[2, 3], &[2.0, 3.0, 4.0, 7.0, 8.0, 9.0]);
        }
        let even = split(11, 2, &[], &[x]).unwrap();
        assert_floats(&even[1], &[1, 5], &[5.0, 6.0, 7.0, 8.0, 9.0]);
    }

    #[test]
    fn from_opset_18_the_last_piece_may_be_smaller() {
        // onnx.reference: Split(num_outputs=4) of 7 elements: 2, 2, 2, 1
        let x = [Some(ramp(&[7], 0.0, 1.0))];
        let made = split(18, 4, &[("num_outputs", 4.into())], &x).unwrap();
        assert_floats(&made[3], &[1], &[6.0]);
        assert!(matches!(split(13, 4, &[], &x), Err(OpError::Shape { .. })));
        assert!(matches!(
            split(18, 4, &[("num_outputs", 3.into())], &x),
            Err(OpError::BadAttribute { .. })
        ));
    }

    #[test]
    fn a_piece_may_be_empty_but_the_sum_must_fit() {
        let x = Some(ramp(&[3], 0.0, 1.0));
        let made = split(13, 2, &[], &[x.clone(), Some(ints(&[2], &[0, 3]))]).unwrap();
        assert_floats(&made[0], &[0], &[]);
        for pieces in [[1, 1], [-1, 4], [i64::MAX, i64::MAX]] {
            let refused = split(13, 2, &[], &[x.clone(), Some(ints(&[2], &pieces))]);
            assert!(matches!(refused, Err(OpError::Content { name: "split", .. })));
        }
    }
}
