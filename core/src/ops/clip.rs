//! `Clip`: min(max(x, lower), upper). <https://onnx.ai/onnx/operators/onnx__Clip.html>
//!
//! Opset 6 writes the bounds as attributes, 11 as optional inputs, 12 adds integers. Where the
//! bounds cross, the upper one wins. Elements on or beyond a bound get no gradient.

use burn::tensor::Tensor;

use crate::op::{Fact, Inputs, NodeReader, Op, OpError, Operator, RunContext};
use crate::value::{Kind, Value};

/// Limits each element.
#[derive(Clone, Copy, Debug)]
pub struct Clip {
    /// The bounds where they are attributes.
    bounds: [Option<f32>; 2],
}

impl Clip {
    /// Lower and upper bound, where those that are inputs have the given values.
    pub(crate) fn bounds(&self, inputs: [Option<f32>; 2]) -> [Option<f32>; 2] {
        let [lower, upper] = self.bounds;
        let both = |a: Option<f32>, b: Option<f32>, pick: fn(f32, f32) -> f32| match (a, b) {
            (Some(a), Some(b)) => Some(pick(a, b)),
            (a, b) => a.or(b),
        };
        [both(lower, inputs[0], f32::max), both(upper, inputs[1], f32::min)]
    }
}

/// Names of the bounds, in the order of attributes and inputs.
const NAMES: [&str; 2] = ["min", "max"];

impl Op for Clip {
    fn name(&self) -> &'static str {
        "Clip"
    }

    fn infer(&self, inputs: &Inputs<'_, Fact>) -> Result<Vec<Fact>, OpError> {
        let x = inputs.required(0, "input")?;
        let float_alone = self.bounds.iter().any(Option::is_some);
        if x.kind == Kind::Bool || (float_alone && x.kind != Kind::Float) {
            return Err(OpError::Kind {
                name: "input",
                expected: Kind::Float,
                got: x.kind,
            });
        }
        for (index, name) in NAMES.into_iter().enumerate() {
            if inputs.optional(index + 1).is_none() {
                continue;
            }
            let bound = inputs.of_kind(index + 1, name, x.kind)?;
            if bound.rank() > 1 || bound.len() != 1 {
                return Err(OpError::Shape {
                    name,
                    got: bound.dims.clone(),
                    expected: "a scalar".to_owned(),
                });
            }
        }
        Ok(vec![Fact::new(x.kind, x.dims.clone())])
    }

    fn run(&self, inputs: &Inputs<'_, Value>, _context: &RunContext) -> Result<Vec<Value>, OpError> {
        let mut x = inputs.required(0, "input")?.clone();
        if let Some(lower) = self.bounds[0] {
            x = x.elementwise(|x| x.clamp_min(lower));
        }
        if let Some(upper) = self.bounds[1] {
            x = x.elementwise(|x| x.clamp_max(upper));
        }
        let dims = x.dims();
        // A bound stays where it is instead of being read: reading would wait for the device.
        let bound = |index: usize| {
            let bound = inputs.optional(index)?.clone();
            Some(bound.to_device(&x.device()).reshape(&[]).expand(&dims))
        };
        let (lower, upper) = (bound(1), bound(2));
        if let Some(lower) = lower {
            x = match x.kind() {
                Kind::Float => x.elementwise(|x| x.max_pair(lower.float())),
                _ => x.elementwise_int(|x| x.max_pair(lower.int())),
            };
        }
        if let Some(upper) = upper {
            x = match x.kind() {
                Kind::Float => x.elementwise(|x: Tensor<1>| x.min_pair(upper.float())),
                _ => x.elementwise_int(|x| x.min_pair(upper.int())),
            };
        }
        Ok(vec![x])
    }
}

fn read(node: &NodeReader<'_>) -> Result<Box<dyn Op>, OpError> {
    let mut bounds = [None; 2];
    if node.opset < 11 {
        for (bound, (name, open)) in bounds
            .iter_mut()
            .zip([("min", f32::NEG_INFINITY), ("max", f32::INFINITY)])
        {
            *bound = Some(node.float(name, open)?).filter(|bound| *bound != open);
        }
    }
    Ok(Box::new(Clip { bounds }))
}

/// The table's entries.
pub(crate) const OPERATORS: &[Operator] = &[Operator {
    name: "Clip",
    forms: &[11],
    read,
}];

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_floats, assert_gradients, assert_ints, floats, ints, run_op};
    use super::*;

    #[test]
    fn integers_have_no_bounds_that_are_attributes() {
        let clipped = run_op("Clip", 6, &[("min", 0.0.into())], &[Some(ints(&[2], &[-1, 1]))]);
        assert!(matches!(clipped, Err(OpError::Kind { .. })));
    }

    #[test]
    fn bounds_are_attributes_at_first_and_inputs_later() {
        // np.clip([[-1, 3, 7]], 0, 6)
        let x = Some(floats(&[1, 3], &[-1.0, 3.0, 7.0]));
        let written: &[_] = &[("min", 0.0.into()), ("max", 6.0.into())];
        let old = run_op("Clip", 9, written, std::slice::from_ref(&x)).unwrap();
        assert_floats(&old[0], &[1, 3], &[0.0, 3.0, 6.0]);
        let inputs = [x, Some(floats(&[], &[0.0])), Some(floats(&[1], &[6.0]))];
        let new = run_op("Clip", 13, &[], &inputs).unwrap();
        assert_floats(&new[0], &[1, 3], &[0.0, 3.0, 6.0]);
        assert_gradients("Clip", 13, &[], &inputs, &[0]);
        assert_gradients("Clip", 9, written, &inputs[..1], &[0]);
    }

    #[test]
    fn either_bound_may_be_absent() {
        let x = ints(&[3], &[-1, 3, 7]);
        let above = run_op("Clip", 12, &[], &[Some(x.clone()), None, Some(ints(&[], &[5]))]);
        assert_ints(&above.unwrap()[0], &[3], &[-1, 3, 5]);
        let below = run_op("Clip", 12, &[], &[Some(x.clone()), Some(ints(&[], &[2]))]);
        assert_ints(&below.unwrap()[0], &[3], &[2, 3, 7]);
        let neither = run_op("Clip", 12, &[], &[Some(x)]);
        assert_ints(&neither.unwrap()[0], &[3], &[-1, 3, 7]);
    }

    #[test]
    fn crossed_bounds_do_not_panic() {
        // np.clip(0.0, 4.0, 2.0) = 2.0
        let inputs = [2.0, 4.0, 2.0].map(|x| Some(floats(&[], &[x])));
        let made = run_op("Clip", 13, &[], &inputs).unwrap();
        assert_floats(&made[0], &[], &[2.0]);
        let written: &[_] = &[("min", 4.0.into()), ("max", 2.0.into())];
        let made = run_op("Clip", 9, written, &inputs[..1]).unwrap();
        assert_floats(&made[0], &[], &[2.0]);
    }

    #[test]
    fn a_bound_per_element_is_refused() {
        let inputs = [Some(floats(&[2], &[1.0, 2.0])), Some(floats(&[2], &[0.0, 1.0]))];
        assert!(matches!(
            run_op("Clip", 13, &[], &inputs),
            Err(OpError::Shape { name: "min", .. })
        ));
    }
}
