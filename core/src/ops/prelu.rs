//! `PRelu`: x where x ≥ 0, slope · x below, with a slope that is learned.
//! <https://onnx.ai/onnx/operators/onnx__PRelu.html>
//!
//! He et al. 2015 (arXiv 1502.01852). Opset 9 lets the slope broadcast to x (never x to the slope),
//! 16 adds bfloat16; the form never changed.

use burn::backend::Dispatch;
use burn::backend::ops::FloatTensorOps;
use burn::tensor::Tensor;
use burn::tensor::activation::relu;

use super::binary::align;
use crate::op::{Fact, Inputs, NodeReader, Op, OpError, Operator, Role, RunContext, broadcast};
use crate::value::{Kind, Value};

/// Rectifier with learned slopes.
#[derive(Clone, Copy, Debug)]
pub struct PRelu;

impl Op for PRelu {
    fn name(&self) -> &'static str {
        "PRelu"
    }

    fn infer(&self, inputs: &Inputs<'_, Fact>) -> Result<Vec<Fact>, OpError> {
        let x = inputs.of_kind(0, "X", Kind::Float)?;
        let slope = inputs.of_kind(1, "slope", Kind::Float)?;
        if broadcast(&x.dims, &slope.dims)? != x.dims {
            return Err(OpError::Shape {
                name: "slope",
                got: slope.dims.clone(),
                expected: format!("a shape that broadcasts to {:?}", x.dims),
            });
        }
        Ok(vec![Fact::float(x.dims.clone())])
    }

    fn run(&self, inputs: &Inputs<'_, Value>, _context: &RunContext) -> Result<Vec<Value>, OpError> {
        let (x, slope, scalar) = align(
            inputs.required(0, "X")?.clone(),
            inputs.required(1, "slope")?.clone(),
        );
        let x: Tensor<1> = x.float();
        let below = -relu(-x.clone());
        let sloped = Dispatch::float_mul(below.into_dispatch(), slope.into_dispatch());
        let y = Value::from(relu(x) + Tensor::from_dispatch(sloped));
        Ok(vec![y.scalar_if(scalar)])
    }

    fn role(&self, _input: usize) -> Role {
        Role::Weight
    }
}

fn read(_node: &NodeReader<'_>) -> Result<Box<dyn Op>, OpError> {
    Ok(Box::new(PRelu))
}

/// The table's entries.
pub(crate) const OPERATORS: &[Operator] = &[Operator {
    name: "PRelu",
    forms: &[],
    read,
}];

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_floats, assert_gradients, floats, run_op};
    use super::*;

    #[test]
    fn each_channel_has_its_slope() {
        // torch.nn.functional.prelu(torch.tensor([[[-1.0, 2.0], [-3.0, -4.0]]]), torch.tensor([0.1,
        // 0.5]))
        let inputs = [
            Some(floats(&[1, 2, 2], &[-1.0, 2.0, -3.0, -4.0])),
            Some(floats(&[2, 1], &[0.1, 0.5])),
        ];
        let made = run_op("PRelu", 16, &[], &inputs).unwrap();
        assert_floats(&made[0], &[1, 2, 2], &[-0.1, 2.0, -1.5, -2.0]);
        assert_gradients("PRelu", 16, &[], &inputs, &[0, 1]);
    }

    #[test]
    fn a_slope_that_stretches_x_is_refused() {
        let inputs = [Some(floats(&[1], &[1.0])), Some(floats(&[2], &[0.1, 0.5]))];
        assert!(matches!(
            run_op("PRelu", 16, &[], &inputs),
            Err(OpError::Shape { name: "slope", .. })
        ));
    }
}
