//! `Pad`: a border around a tensor. <https://onnx.ai/onnx/operators/onnx__Pad.html>
//!
//! Modes `constant`, `reflect` (the edge is not repeated) and `edge`; negative pads cut instead.
//! Opset 11 turns `pads` and `value` from attributes into inputs, 13 adds bfloat16, 18 the input
//! `axes`, 19 the mode `wrap`, which is refused.

use burn::backend::Dispatch;
use burn::backend::ops::{FloatTensorOps, IntTensorOps, PadMode};
use burn::tensor::{Slice, TensorData};

use super::shaped::{IntList, Shaped};
use crate::op::{Fact, Inputs, NodeReader, Op, OpError, Operator, RunContext, element_count, resolve_axis};
use crate::value::{Kind, Value};

/// What the border is filled with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fill {
    /// One number.
    Constant,
    /// The tensor mirrored at its outermost elements.
    Reflect,
    /// The outermost elements.
    Edge,
}

/// A border around a tensor.
#[derive(Clone, Debug)]
pub struct Pad {
    /// What the border is filled with.
    pub fill: Fill,
    /// The number, where it is an attribute.
    value: f32,
    pads: IntList,
    axes: IntList,
}

/// What happens to one axis: elements are cut, then borders are added.
#[derive(Clone, Copy, Debug, Default)]
struct Border {
    cut: (usize, usize),
    added: (usize, usize),
}

impl Pad {
    fn plan<T: Shaped>(&self, inputs: &Inputs<'_, T>) -> Result<Vec<Border>, OpError> {
        let own = inputs.required(0, "data")?.extents();
        let pads = self.pads.required(inputs, "pads")?;
        let axes = match self.axes.get(inputs)? {
            None => (0..own.len()).collect(),
            Some(axes) => axes
                .iter()
                .map(|axis| resolve_axis(*axis, own.len()))
                .collect::<Result<Vec<usize>, _>>()?,
        };
        let refuse = |expected: String| OpError::Content {
            name: "pads",
            got: format!("{pads:?}"),
            expected,
        };
        if pads.len() != 2 * axes.len() {
            return Err(refuse(format!("two numbers for each of {} axes", axes.len())));
        }
        let mut borders = vec![Border::default(); own.len()];
        let size = |pad: i64| usize::try_from(pad.unsigned_abs()).unwrap_or(usize::MAX);
        for (index, axis) in axes.iter().enumerate() {
            let (before, after) = (pads[index], pads[axes.len() + index]);
            let part = |sign: i64| {
                let part = |pad: i64| if pad.signum() == sign { size(pad) } else { 0 };
                (part(before), part(after))
            };
            borders[*axis] = Border {
                cut: part(-1),
                added: part(1),
            };
        }
        for (axis, border) in borders.iter().enumerate() {
            let left = border
                .cut
                .0
                .checked_add(border.cut.1)
                .and_then(|cut| own[axis].checked_sub(cut))
                .ok_or_else(|| refuse(format!("at most {} elements cut from axis {axis}", own[axis])))?;
            let most = match self.fill {
                Fill::Constant => usize::MAX,
                Fill::Reflect => left.saturating_sub(1),
                Fill::Edge if left == 0 => 0,
                Fill::Edge => usize::MAX,
            };
            if border.added.0.max(border.added.1) > most {
                return Err(refuse(format!("at most {most} elements added to axis {axis}")));
            }
        }
        let dims: Option<Vec<usize>> = borders
            .iter()
            .zip(&own)
            .map(|(border, extent)| {
                (extent - border.cut.0 - border.cut.1)
                    .checked_add(border.added.0)?
                    .checked_add(border.added.1)
            })
            .collect();
        match dims {
            Some(dims) if element_count(&dims).is_some() => Ok(borders),
            _ => Err(refuse("a tensor that fits into memory".to_owned())),
        }
    }
}

/// The output's shape.
fn padded(own: &[usize], borders: &[Border]) -> Vec<usize> {
    let extent = |(border, extent): (&Border, &usize)| {
        extent - border.cut.0 - border.cut.1 + border.added.0 + border.added.1
    };
    borders.iter().zip(own).map(extent).collect()
}

impl Op for Pad {
    fn name(&self) -> &'static str {
        "Pad"
    }

    fn infer(&self, inputs: &Inputs<'_, Fact>) -> Result<Vec<Fact>, OpError> {
        let x = inputs.required(0, "data")?;
        let borders = self.plan(inputs)?;
        if inputs.optional(2).is_some() {
            let value = inputs.of_kind(2, "constant_value", x.kind)?;
            if value.len() != 1 {
                return Err(OpError::Shape {
                    name: "constant_value",
                    got: value.dims.clone(),
                    expected: "a scalar".to_owned(),
                });
            }
        }
        Ok(vec![Fact::new(x.kind, padded(&x.dims, &borders))])
    }

    fn run(&self, inputs: &Inputs<'_, Value>, _context: &RunContext) -> Result<Vec<Value>, OpError> {
        let mut x = inputs.required(0, "data")?.clone();
        let borders = self.plan(inputs)?;
        let dims = padded(&x.dims(), &borders);
        if dims.contains(&0) {
            return Ok(vec![Value::empty(x.kind(), &dims, &x.device())]);
        }
        let inner: Vec<usize> = borders
            .iter()
            .zip(&dims)
            .map(|(border, extent)| extent - border.added.0 - border.added.1)
            .collect();
        if inner != x.dims() {
            let kept: Vec<Slice> = borders
                .iter()
                .zip(&inner)
                .map(|(border, extent)| Slice::from(border.cut.0..border.cut.0 + extent))
                .collect();
            x = if inner.contains(&0) {
                Value::empty(x.kind(), &inner, &x.device())
            } else {
                x.slice(&kept)
            };
        }
        if inner == dims {
            return Ok(vec![x]);
        }
        let added: Vec<(usize, usize)> = borders.iter().map(|border| border.added).collect();
        Ok(vec![match self.fill {
            Fill::Constant => {
                let value = match inputs.optional(2) {
                    Some(value) => value.clone().to_device(&x.device()),
                    None => {
                        let value = TensorData::new(vec![self.value], [1]);
                        Value::from_data(value, &x.device()).cast(x.kind())
                    }
                };
                let border = value.reshape(&[]).expand(&dims);
                if x.is_empty() {
                    border
                } else {
                    let place: Vec<Slice> = added
                        .iter()
                        .zip(&inner)
                        .map(|(added, extent)| Slice::from(added.0..added.0 + extent))
                        .collect();
                    border.slice_assign(&place, x)
                }
            }
            Fill::Reflect => repeated(x, &added, PadMode::Reflect),
            Fill::Edge => repeated(x, &added, PadMode::Edge),
        }])
    }
}

/// A border made of the tensor's own elements.
fn repeated(x: Value, added: &[(usize, usize)], mode: PadMode) -> Value {
    match x.kind() {
        Kind::Float => Value::new(Dispatch::float_pad(x.into_dispatch(), added, mode)),
        Kind::Int => Value::new(Dispatch::int_pad(x.into_dispatch(), added, mode)),
        // Burn pads no booleans.
        Kind::Bool => repeated(x.cast(Kind::Int), added, mode).cast(Kind::Bool),
    }
}

fn read(node: &NodeReader<'_>) -> Result<Box<dyn Op>, OpError> {
    let fill = match node.text("mode")? {
        None | Some("constant") => Fill::Constant,
        Some("reflect") => Fill::Reflect,
        Some("edge") => Fill::Edge,
        Some("wrap") => {
            return Err(OpError::Unsupported {
                what: "mode `wrap`".to_owned(),
            });
        }
        Some(other) => return Err(node.bad("mode", other, "constant, reflect or edge")),
    };
    let value = if node.opset < 11 {
        node.float("value", 0.0)?
    } else {
        0.0
    };
    let axes = if node.opset >= 18 {
        IntList::Input(3, "axes")
    } else {
        IntList::Attribute(None)
    };
    Ok(Box::new(Pad {
        fill,
        value,
        pads: IntList::read(node, "pads", 1, 11)?,
        axes,
    }))
}

/// The table's entries.
pub(crate) const OPERATORS: &[Operator] = &[Operator {
    name: "Pad",
    forms: &[11],
    read,
}];

#[cfg(test)]
mod tests {
    use super::super::testing::{
        assert_floats, assert_gradients, assert_ints, bools, floats, ints, ramp, run_op,
    };
    use super::*;

    #[test]
    fn modes_agree_with_numpy() {
        // np.pad(np.arange(3), (2, 1), mode=…), constant_values=9
        let inputs = [Some(ramp(&[3], 0.0, 1.0)), Some(ints(&[2], &[2, 1]))];
        for (mode, expected) in [
            ("constant", [0.0, 0.0, 0.0, 1.0, 2.0, 0.0]),
            ("reflect", [2.0, 1.0, 0.0, 1.0, 2.0, 1.0]),
            ("edge", [0.0, 0.0, 0.0, 1.0, 2.0, 2.0]),
        ] {
            let written: &[_] = &[("mode", mode.into())];
            let made = run_op("Pad", 13, written, &inputs).unwrap();
            assert_floats(&made[0], &[6], &expected);
            assert_gradients("Pad", 13, written, &inputs, &[0]);
            let written: &[_] = &[("mode", mode.into()), ("pads", vec![2, 1].into())];
            let old = run_op("Pad", 9, written, &inputs[..1]).unwrap();
            assert_floats(&old[0], &[6], &expected);
        }
        let [x, pads] = inputs;
        let made = run_op("Pad", 13, &[], &[x, pads, Some(floats(&[], &[9.0]))]).unwrap();
        assert_floats(&made[0], &[6], &[9.0, 9.0, 0.0, 1.0, 2.0, 9.0]);
    }

    #[test]
    fn negative_pads_cut() {
        // onnx.reference: Pad([[0, 1, 2], [3, 4, 5]], pads=[0, -1, 1, 1])
        let inputs = [Some(ramp(&[2, 3], 0.0, 1.0)), Some(ints(&[4], &[0, -1, 1, 1]))];
        let made = run_op("Pad", 13, &[], &inputs).unwrap();
        assert_floats(&made[0], &[3, 3], &[1.0, 2.0, 0.0, 4.0, 5.0, 0.0, 0.0, 0.0, 0.0]);
        assert_gradients("Pad", 13, &[], &inputs, &[0]);
    }

    #[test]
    fn axes_name_what_is_padded() {
        let inputs = [
            Some(ints(&[1, 2], &[1, 2])),
            Some(ints(&[2], &[1, 0])),
            Some(ints(&[], &[7])),
            Some(ints(&[1], &[-1])),
        ];
        assert_ints(&run_op("Pad", 18, &[], &inputs).unwrap()[0], &[1, 3], &[7, 1, 2]);
    }

    #[test]
    fn booleans_scalars_and_nothing_are_padded_too() {
        let edge: &[_] = &[("mode", "edge".into())];
        let inputs = [Some(bools(&[2], &[true, false])), Some(ints(&[2], &[1, 1]))];
        assert_ints(&run_op("Pad", 13, edge, &inputs).unwrap()[0], &[4], &[1, 1, 0, 0]);
        assert_ints(&run_op("Pad", 13, &[], &inputs).unwrap()[0], &[4], &[0, 1, 0, 0]);
        let inputs = [Some(ints(&[], &[3])), Some(ints(&[0], &[]))];
        assert_ints(&run_op("Pad", 13, &[], &inputs).unwrap()[0], &[], &[3]);
        let inputs = [Some(ints(&[0], &[])), Some(ints(&[2], &[1, 1]))];
        assert_ints(&run_op("Pad", 13, &[], &inputs).unwrap()[0], &[2], &[0, 0]);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let x = Some(ramp(&[3], 0.0, 1.0));
        let pads = |before, after| Some(ints(&[2], &[before, after]));
        for (mode, before, after) in [
            ("reflect", 3, 0),
            ("constant", -2, -2),
            ("constant", i64::MAX, i64::MAX),
            ("constant", i64::MIN, 0),
            ("edge", 1 << 40, 0),
        ] {
            let written: &[_] = &[("mode", mode.into())];
            let refused = run_op("Pad", 13, written, &[x.clone(), pads(before, after)]);
            assert!(matches!(refused, Err(OpError::Content { name: "pads", .. })));
        }
        let kind = [x.clone(), pads(1, 1), Some(ints(&[], &[1]))];
        assert!(matches!(run_op("Pad", 13, &[], &kind), Err(OpError::Kind { .. })));
        assert!(matches!(
            run_op("Pad", 19, &[("mode", "wrap".into())], &[x]),
            Err(OpError::Unsupported { .. })
        ));
    }
}
