//! `Cast`, `CastLike`: elements of another type. <https://onnx.ai/onnx/operators/onnx__Cast.html>
//!
//! Floats run as `f32` and integers as `i64` whatever their type in the file, so only changes of
//! kind do something: to integers towards zero, to booleans by "not zero". A cast to `float16` or
//! `double` keeps the number, one to `uint8` does not wrap. Opset 13 adds bfloat16, 19 `saturate`
//! (which concerns 8-bit floats alone) and `CastLike` came with 15. Texts, 8-bit floats and 4-bit
//! integers are refused.
//!
//! Floats made of integers go to the network's device.

use crate::op::{ElementType, Fact, Inputs, NodeReader, Op, OpError, Operator, RunContext};
use crate::value::{Kind, Value};

/// Changes the type of the elements.
#[derive(Clone, Copy, Debug)]
pub struct Cast {
    /// The new type; that of the second input where absent.
    pub to: Option<ElementType>,
}

impl Op for Cast {
    fn name(&self) -> &'static str {
        if self.to.is_some() { "Cast" } else { "CastLike" }
    }

    fn infer(&self, inputs: &Inputs<'_, Fact>) -> Result<Vec<Fact>, OpError> {
        let x = inputs.required(0, "input")?;
        let kind = match self.to {
            Some(element) => element.kind(),
            None => inputs.required(1, "target_type")?.kind,
        };
        Ok(vec![Fact::new(kind, x.dims.clone())])
    }

    fn run(&self, inputs: &Inputs<'_, Value>, context: &RunContext) -> Result<Vec<Value>, OpError> {
        let x = inputs.required(0, "input")?.clone();
        let kind = match self.to {
            Some(element) => element.kind(),
            None => inputs.required(1, "target_type")?.kind(),
        };
        let becomes_float = kind == Kind::Float && x.kind() != Kind::Float;
        let cast = x.cast(kind);
        Ok(vec![if becomes_float {
            cast.to_device(&context.device)
        } else {
            cast
        }])
    }
}

fn read(node: &NodeReader<'_>) -> Result<Box<dyn Op>, OpError> {
    if node.opset >= 19 {
        node.flag("saturate", true)?;
    }
    if node.op == "CastLike" {
        return Ok(Box::new(Cast { to: None }));
    }
    let code = node.required_int("to")?;
    let to = ElementType::from_code(code).ok_or_else(|| {
        let numbers = "an ONNX type number among 1 to 7, 9 to 13 and 16";
        node.bad("to", code.to_string(), numbers)
    })?;
    Ok(Box::new(Cast { to: Some(to) }))
}

const fn entry(name: &'static str) -> Operator {
    Operator {
        name,
        forms: &[],
        read,
    }
}

/// The table's entries.
pub(crate) const OPERATORS: &[Operator] = &[entry("Cast"), entry("CastLike")];

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_floats, assert_gradients, assert_ints, bools, floats, ints, run_op};
    use super::*;

    #[test]
    fn kinds_change_as_numpy_changes_them() {
        // np.float32([-1.7, 0, 1.7]).astype(np.int64), .astype(bool); np.array([True,
        // False]).astype(np.float32)
        let x = [Some(floats(&[3], &[-1.7, 0.0, 1.7]))];
        let to = |element: ElementType| [("to", (element as i64).into())];
        let made = run_op("Cast", 13, &to(ElementType::Int32), &x).unwrap();
        assert_ints(&made[0], &[3], &[-1, 0, 1]);
        let made = run_op("Cast", 13, &to(ElementType::Bool), &x).unwrap();
        assert_ints(&made[0], &[3], &[1, 0, 1]);
        let x = [Some(bools(&[2], &[true, false]))];
        let made = run_op("Cast", 13, &to(ElementType::Float16), &x).unwrap();
        assert_floats(&made[0], &[2], &[1.0, 0.0]);
        let made = run_op("Cast", 13, &to(ElementType::Int64), &[Some(bools(&[], &[true]))]).unwrap();
        assert_ints(&made[0], &[], &[1]);
    }

    #[test]
    fn a_float_cast_to_a_float_keeps_its_gradient() {
        let to: &[_] = &[("to", (ElementType::Double as i64).into())];
        assert_gradients("Cast", 13, to, &[Some(floats(&[2], &[0.5, 2.0]))], &[0]);
    }

    #[test]
    fn the_type_may_be_that_of_another_input() {
        let inputs = [Some(floats(&[1], &[2.5])), Some(ints(&[3], &[0, 0, 0]))];
        assert_ints(&run_op("CastLike", 15, &[], &inputs).unwrap()[0], &[1], &[2]);
    }

    #[test]
    fn texts_are_refused() {
        let refused = run_op("Cast", 13, &[("to", 8.into())], &[]);
        assert!(matches!(refused, Err(OpError::BadAttribute { .. })));
    }
}
