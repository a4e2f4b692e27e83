//! `Pow`: a to the power of b, with broadcasting. <https://onnx.ai/onnx/operators/onnx__Pow.html>
//!
//! Opset 12 lets the kinds differ (the result has the base's), 13 adds bfloat16, 15 more types; the
//! form never changed. Integer bases are raised on the host, in 64 bits, and wrap where the result
//! does not fit; a negative exponent gives the real power cut towards zero, as ONNX Runtime does.

use burn::backend::Dispatch;
use burn::backend::ops::FloatTensorOps;
use burn::tensor::{Device, TensorData};

use super::binary::align;
use crate::op::{Fact, Inputs, NodeReader, Op, OpError, Operator, Role, RunContext, broadcast};
use crate::value::{Kind, Value};

/// a ^ b
#[derive(Clone, Copy, Debug)]
pub struct Pow;

impl Op for Pow {
    fn name(&self) -> &'static str {
        "Pow"
    }

    fn infer(&self, inputs: &Inputs<'_, Fact>) -> Result<Vec<Fact>, OpError> {
        let (a, b) = (inputs.required(0, "X")?, inputs.required(1, "Y")?);
        for (name, fact) in [("X", a), ("Y", b)] {
            if fact.kind == Kind::Bool {
                return Err(OpError::Kind {
                    name,
                    expected: Kind::Float,
                    got: fact.kind,
                });
            }
        }
        Ok(vec![Fact::new(a.kind, broadcast(&a.dims, &b.dims)?)])
    }

    fn run(&self, inputs: &Inputs<'_, Value>, _context: &RunContext) -> Result<Vec<Value>, OpError> {
        let a = inputs.required(0, "X")?.clone();
        let b = inputs.required(1, "Y")?.clone();
        if a.kind() == Kind::Int {
            return Ok(vec![int_power(a, b)?]);
        }
        let (a, b, scalar) = align(a, b.cast(Kind::Float));
        let power = Value::new(Dispatch::float_powf(a.into_dispatch(), b.into_dispatch()));
        Ok(vec![power.scalar_if(scalar)])
    }

    fn role(&self, input: usize) -> Role {
        // An exponent is part of the formula.
        if input == 0 { Role::Weight } else { Role::Constant }
    }
}

/// A power of integers, computed on the host.
fn int_power(a: Value, b: Value) -> Result<Value, OpError> {
    let dims = broadcast(&a.dims(), &b.dims())?;
    let (a, b) = (a.expand(&dims), b.expand(&dims));
    let bases = a.to_ints().unwrap_or_default();
    let real = |base: i64, exponent: f64| (base as f64).powf(exponent) as i64;
    let powers: Vec<i64> = match b.to_ints() {
        Some(exponents) => bases
            .iter()
            .zip(exponents)
            .map(|(base, exponent)| match u32::try_from(exponent) {
                Ok(exponent) => base.wrapping_pow(exponent),
                Err(_) => real(*base, exponent as f64),
            })
            .collect(),
        None => bases
            .iter()
            .zip(b.to_floats().unwrap_or_default())
            .map(|(base, exponent)| real(*base, f64::from(exponent)))
            .collect(),
    };
    Ok(Value::from_data(TensorData::new(powers, dims), &Device::flex()))
}

fn read(_node: &NodeReader<'_>) -> Result<Box<dyn Op>, OpError> {
    Ok(Box::new(Pow))
}

/// The table's entries.
pub(crate) const OPERATORS: &[Operator] = &[Operator {
    name: "Pow",
    forms: &[],
    read,
}];

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_floats, assert_gradients, assert_ints, bools, floats, ints, run_op};
    use super::*;

    #[test]
    fn the_result_has_the_kind_of_the_base() {
        // onnxruntime: Pow(f32 [-2, 0.5, 3], i64 2) = [4, 0.25, 9]; Pow(i64 [-2, 3, 2], i64 [3, 0,
        // -1]) = [-8, 1, 0]; Pow(i64 [2, 9], f32 [0.5, 0.5]) = [1, 3]
        let float = run_op(
            "Pow",
            15,
            &[],
            &[Some(floats(&[3], &[-2.0, 0.5, 3.0])), Some(ints(&[], &[2]))],
        );
        assert_floats(&float.unwrap()[0], &[3], &[4.0, 0.25, 9.0]);
        let int = run_op(
            "Pow",
            15,
            &[],
            &[Some(ints(&[3], &[-2, 3, 2])), Some(ints(&[3], &[3, 0, -1]))],
        );
        assert_ints(&int.unwrap()[0], &[3], &[-8, 1, 0]);
        let root = run_op(
            "Pow",
            15,
            &[],
            &[Some(ints(&[2], &[2, 9])), Some(floats(&[1], &[0.5]))],
        );
        assert_ints(&root.unwrap()[0], &[2], &[1, 3]);
    }

    #[test]
    fn base_and_exponent_get_gradients() {
        let inputs = [
            Some(floats(&[2, 1], &[1.5, 0.7])),
            Some(floats(&[2], &[2.0, -0.5])),
        ];
        assert_gradients("Pow", 15, &[], &inputs, &[0, 1]);
    }

    #[test]
    fn booleans_have_no_power() {
        let inputs = [Some(bools(&[1], &[true])), Some(ints(&[1], &[2]))];
        assert!(matches!(
            run_op("Pow", 15, &[], &inputs),
            Err(OpError::Kind { name: "X", .. })
        ));
    }
}
