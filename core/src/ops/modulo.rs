//! `Mod`: the remainder of a division, with broadcasting.
//! <https://onnx.ai/onnx/operators/onnx__Mod.html>
//!
//! Opset 10 introduced it, 13 adds bfloat16. `fmod = 0` takes the divisor's sign, as Python does,
//! and is for integers alone; `fmod = 1` takes the dividend's sign, as C does.

use burn::backend::Dispatch;
use burn::backend::ops::{FloatTensorOps, IntTensorOps};
use burn::tensor::Tensor;

use super::binary::{align, check_divisor};
use crate::op::{Fact, Inputs, NodeReader, Op, OpError, Operator, RunContext, broadcast};
use crate::value::{Kind, Value};

/// a mod b
#[derive(Clone, Copy, Debug)]
pub struct Modulo {
    /// Whether the remainder has the dividend's sign.
    pub fmod: bool,
}

impl Op for Modulo {
    fn name(&self) -> &'static str {
        "Mod"
    }

    fn infer(&self, inputs: &Inputs<'_, Fact>) -> Result<Vec<Fact>, OpError> {
        let (a, b) = (inputs.required(0, "A")?, inputs.required(1, "B")?);
        if a.kind != b.kind || a.kind == Kind::Bool {
            return Err(OpError::Kind {
                name: "B",
                expected: a.kind,
                got: b.kind,
            });
        }
        if a.kind == Kind::Float && !self.fmod {
            return Err(OpError::Unsupported {
                what: "`fmod = 0` on floats".to_owned(),
            });
        }
        Ok(vec![Fact::new(a.kind, broadcast(&a.dims, &b.dims)?)])
    }

    fn run(&self, inputs: &Inputs<'_, Value>, _context: &RunContext) -> Result<Vec<Value>, OpError> {
        let (a, b, scalar) = align(inputs.required(0, "A")?.clone(), inputs.required(1, "B")?.clone());
        let remainder = if a.kind() == Kind::Float {
            // Burn's remainder takes the divisor's sign: of magnitudes it is C's, up to the sign.
            let a: Tensor<1> = a.float();
            let (magnitude, divisor) = (a.clone().abs(), b.float::<1>().abs());
            let remainder = Dispatch::float_remainder(magnitude.into_dispatch(), divisor.into_dispatch());
            Value::new(Dispatch::float_mul(remainder, a.sign().into_dispatch()))
        } else {
            check_divisor(&a, &b)?;
            let (a, b) = (a.into_dispatch(), b.into_dispatch());
            Value::new(if self.fmod {
                let quotient = Dispatch::int_div(a.clone(), b.clone());
                Dispatch::int_sub(a, Dispatch::int_mul(quotient, b))
            } else {
                Dispatch::int_remainder(a, b)
            })
        };
        Ok(vec![remainder.scalar_if(scalar)])
    }
}

fn read(node: &NodeReader<'_>) -> Result<Box<dyn Op>, OpError> {
    Ok(Box::new(Modulo {
        fmod: node.flag("fmod", false)?,
    }))
}

/// The table's entries.
pub(crate) const OPERATORS: &[Operator] = &[Operator {
    name: "Mod",
    forms: &[],
    read,
}];

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_floats, assert_gradients, assert_ints, floats, ints, run_op};
    use super::*;

    #[test]
    fn fmod_decides_whose_sign_the_remainder_takes() {
        // np.mod([-4, 7, 5, 4, -7, 8], [2, -3, 8, -2, 3, 5]) and np.fmod of the same.
        let inputs = [
            Some(ints(&[6], &[-4, 7, 5, 4, -7, 8])),
            Some(ints(&[6], &[2, -3, 8, -2, 3, 5])),
        ];
        let python = run_op("Mod", 13, &[], &inputs).unwrap();
        assert_ints(&python[0], &[6], &[0, -2, 5, 0, 2, 3]);
        let c = run_op("Mod", 13, &[("fmod", 1.into())], &inputs).unwrap();
        assert_ints(&c[0], &[6], &[0, 1, 5, 0, -1, 3]);
    }

    #[test]
    fn floats_need_fmod() {
        // np.fmod(np.float32([-4.3, 7.2, 5.0]), np.float32([2.1, -3.4, 8.0])) = [-0.1, 0.4, 5.0]
        let inputs = [
            Some(floats(&[3], &[-4.3, 7.2, 5.0])),
            Some(floats(&[3], &[2.1, -3.4, 8.0])),
        ];
        let made = run_op("Mod", 13, &[("fmod", 1.into())], &inputs).unwrap();
        assert_floats(&made[0], &[3], &[-0.1, 0.4, 5.0]);
        assert_gradients("Mod", 13, &[("fmod", 1.into())], &inputs, &[0]);
        assert!(matches!(
            run_op("Mod", 13, &[], &inputs),
            Err(OpError::Unsupported { .. })
        ));
    }
}
