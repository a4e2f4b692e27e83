//! `Dropout`: in training, elements set to 0 at random and the others scaled up.
//! <https://onnx.ai/onnx/operators/onnx__Dropout.html>
//!
//! y = x · keep / (1 − ratio), keep drawn as 0 with probability `ratio`; Srivastava et al. 2014.
//!
//! Up to opset 10 `ratio` is an attribute; 12 made it an input beside `training_mode`; 13 added
//! bfloat16. Opset 10 made the mask boolean.
//!
//! Like BatchNormalization, the node follows the mode that the caller asks for: in inference
//! nothing is dropped, whatever the file says. In training it drops where `training_mode` is true
//! or not stated; a file that states `training_mode = false` has asked for a node that never drops.
//! `seed` is not read: draws follow the device's seed, so that two nodes never draw alike.

use burn::backend::Dispatch;
use burn::backend::ops::FloatTensorOps;
use burn::tensor::{Device, Distribution, FloatDType, Shape, TensorData};

use crate::op::{Fact, Inputs, Mode, NodeReader, Op, OpError, Operator, RunContext};
use crate::value::{Kind, Value};

/// Random dropping of elements.
#[derive(Clone, Debug)]
pub struct Dropout {
    /// The probability where no input states one.
    pub ratio: f32,
    /// The kind of the second output, where the node lists one.
    mask: Option<Kind>,
}

/// ONNX's default of `ratio`.
const RATIO: f32 = 0.5;

impl Dropout {
    fn checked(ratio: f32) -> Result<f32, OpError> {
        if (0.0..1.0).contains(&ratio) {
            return Ok(ratio);
        }
        Err(OpError::Content {
            name: "ratio",
            got: ratio.to_string(),
            expected: "a number from 0 up to, not including, 1".to_owned(),
        })
    }

    /// The probability that this run drops with.
    fn rate(&self, inputs: &Inputs<'_, Value>, mode: Mode) -> Result<f32, OpError> {
        let asked = inputs.optional(2).and_then(Value::to_ints);
        if mode == Mode::Inference || asked.is_some_and(|asked| asked == [0]) {
            return Ok(0.0);
        }
        let stated = inputs.optional(1).and_then(Value::to_floats);
        Self::checked(
            stated
                .and_then(|ratio| ratio.first().copied())
                .unwrap_or(self.ratio),
        )
    }
}

fn single(fact: &Fact, name: &'static str) -> Result<(), OpError> {
    if fact.len() == 1 {
        return Ok(());
    }
    Err(OpError::Shape {
        name,
        got: fact.dims.clone(),
        expected: "a scalar".to_owned(),
    })
}

impl Op for Dropout {
    fn name(&self) -> &'static str {
        "Dropout"
    }

    fn infer(&self, inputs: &Inputs<'_, Fact>) -> Result<Vec<Fact>, OpError> {
        let x = inputs.filled(0, "data")?;
        if let Some(ratio) = inputs.optional_float(1, "ratio")? {
            single(ratio, "ratio")?;
            if let Some(known) = ratio.value.as_ref().and_then(Value::to_floats) {
                Self::checked(known[0])?;
            }
        }
        if inputs.optional(2).is_some() {
            single(inputs.of_kind(2, "training_mode", Kind::Bool)?, "training_mode")?;
        }
        let mut made = vec![Fact::float(x.dims.clone())];
        made.extend(self.mask.map(|kind| Fact::new(kind, x.dims.clone())));
        Ok(made)
    }

    fn run(&self, inputs: &Inputs<'_, Value>, context: &RunContext) -> Result<Vec<Value>, OpError> {
        let x = inputs.required(0, "data")?.clone();
        let dims = x.dims();
        let shape = if x.is_scalar() { vec![1] } else { dims.clone() };
        let device = x.device();
        let ratio = self.rate(inputs, context.mode)?;
        let (y, keep) = if ratio == 0.0 {
            let ones = || Value::from_data(TensorData::ones::<f32, _>(shape), &device);
            (x, self.mask.map(|_| ones()))
        } else {
            let share = Distribution::Bernoulli(f64::from(1.0 - ratio));
            let keep =
                Dispatch::float_random(Shape::from(shape), share, device.as_dispatch(), FloatDType::F32);
            let y = Dispatch::float_mul(x.into_dispatch(), keep.clone());
            let y = Dispatch::float_div_scalar(y, (1.0 - ratio).into());
            (Value::new(y).reshape(&dims), Some(Value::new(keep)))
        };
        let mut made = vec![y];
        if let (Some(kind), Some(keep)) = (self.mask, keep) {
            let mask = keep.detach().reshape(&dims).cast(kind);
            made.push(if kind == Kind::Bool {
                mask.to_device(&Device::flex())
            } else {
                mask
            });
        }
        Ok(made)
    }
}

fn read(node: &NodeReader<'_>) -> Result<Box<dyn Op>, OpError> {
    let ratio = if node.opset < 12 {
        node.float("ratio", RATIO)?
    } else {
        RATIO
    };
    if Dropout::checked(ratio).is_err() {
        let expected = "a number from 0 up to, not including, 1";
        return Err(node.bad("ratio", ratio.to_string(), expected));
    }
    if node.opset >= 12 {
        node.int("seed")?;
    }
    let kind = if node.opset < 10 { Kind::Float } else { Kind::Bool };
    Ok(Box::new(Dropout {
        ratio,
        mask: (node.outputs > 1).then_some(kind),
    }))
}

/// The table's entries.
pub(crate) const OPERATORS: &[Operator] = &[Operator {
    name: "Dropout",
    forms: &[10, 12],
    read,
}];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::Attributes;
    use crate::ops::table;
    use crate::ops::testing::{assert_floats, assert_ints, bools, floats, infer_op, ramp, run_op, run_op_in};

    /// The share of elements that remain, after a check that they were scaled by 1 / (1 − ratio).
    fn kept(opset: i64, attributes: &[(&'static str, crate::op::Attribute)], further: &[Value]) -> f32 {
        let mut inputs = vec![Some(ramp(&[100, 100], 1.0, 0.0))];
        inputs.extend(further.iter().cloned().map(Some));
        let made = run_op_in(Mode::Training, "Dropout", opset, attributes, &inputs).unwrap();
        let elements = made[0].to_floats().unwrap();
        let scale = elements.iter().copied().fold(0.0, f32::max);
        let share = elements.iter().filter(|element| **element > 0.0).count() as f32 / 1e4;
        assert!(
            elements
                .iter()
                .all(|element| *element == 0.0 || *element == scale)
        );
        assert!((share * scale - 1.0).abs() < 0.06, "{share} of {scale}");
        share
    }

    #[test]
    fn inference_drops_nothing() {
        let x = ramp(&[2, 3], 1.0, 1.0);
        let inputs = [
            Some(x.clone()),
            Some(floats(&[], &[0.9])),
            Some(bools(&[], &[true])),
        ];
        let made = run_op("Dropout", 13, &[], &inputs).unwrap();
        assert_floats(&made[0], &[2, 3], &x.to_floats().unwrap());
    }

    #[test]
    fn training_drops_the_stated_share_unless_the_file_says_never() {
        // The standard deviation of the share is at most √(0.25 / 10⁴) = 0.005.
        assert!((kept(9, &[("ratio", 0.25.into())], &[]) - 0.75).abs() < 0.03);
        assert!((kept(12, &[], &[floats(&[], &[0.1])]) - 0.9).abs() < 0.03);
        assert!((kept(13, &[], &[]) - 0.5).abs() < 0.03);
        assert_eq!(kept(13, &[], &[floats(&[], &[0.1]), bools(&[], &[false])]), 1.0);
    }

    #[test]
    fn the_mask_is_true_where_an_element_remains() {
        let node = table::read("Dropout", 12, 1, 2, &Attributes::new())
            .unwrap()
            .unwrap();
        for mode in [Mode::Inference, Mode::Training] {
            let context = RunContext {
                mode,
                device: Device::flex(),
                precision: crate::precision::Precision::Fp32,
            };
            let inputs = [Some(ramp(&[10], 1.0, 1.0))];
            let made = node.run(&Inputs(&inputs), &context).unwrap();
            let remains = |element: &f32| i64::from(*element != 0.0);
            let expected: Vec<i64> = made[0].to_floats().unwrap().iter().map(remains).collect();
            assert_eq!(made[1].kind(), Kind::Bool);
            assert_ints(&made[1], &[10], &expected);
        }
    }

    #[test]
    fn a_ratio_that_drops_everything_is_refused() {
        let x = Some(Fact::float([2]));
        let attribute =
            infer_op("Dropout", 9, &[("ratio", 1.0.into())], std::slice::from_ref(&x)).unwrap_err();
        assert!(matches!(attribute, OpError::BadAttribute { .. }), "{attribute}");
        let ratio = Some(Fact::known(floats(&[], &[1.5])));
        let input = infer_op("Dropout", 13, &[], &[x.clone(), ratio]).unwrap_err();
        assert!(matches!(input, OpError::Content { name: "ratio", .. }), "{input}");
        let several = Some(Fact::float([2]));
        let shape = infer_op("Dropout", 13, &[], &[x, several]).unwrap_err();
        assert!(matches!(shape, OpError::Shape { name: "ratio", .. }), "{shape}");
    }
}
