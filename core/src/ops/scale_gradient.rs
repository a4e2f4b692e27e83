//! Gradient rescaling where paths fork: identity forward, the gradient times a factor backward. G.
//! Song, W. Chai: "Collaborative Learning for Deep Neural Networks", 2018 (arXiv 1805.11761),
//! section 3.2.
//!
//! No operator of ONNX: outside of training it is `Identity`, and so it is written.

use burn::backend::Dispatch;
use burn::backend::ops::FloatTensorOps;

use crate::cpu;
use crate::op::{Fact, Inputs, Mode, Op, OpError, RunContext};
use crate::value::{Kind, Value};

/// The input unchanged; what flows back through it is multiplied by the factor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScaleGradient {
    /// 1 / m where m branches fork.
    pub factor: f64,
}

impl Op for ScaleGradient {
    fn name(&self) -> &'static str {
        "Identity"
    }

    fn infer(&self, inputs: &Inputs<'_, Fact>) -> Result<Vec<Fact>, OpError> {
        Ok(vec![inputs.of_kind(0, "input", Kind::Float)?.clone()])
    }

    fn run(&self, inputs: &Inputs<'_, Value>, context: &RunContext) -> Result<Vec<Value>, OpError> {
        let x = inputs.required(0, "input")?.clone();
        if context.mode == Mode::Inference {
            return Ok(vec![x]);
        }
        if let Some(y) = cpu::scaled_gradient(&x, self.factor) {
            return Ok(vec![y]);
        }
        let scalar = x.is_scalar();
        let x = x.into_dispatch();
        let scaled = Dispatch::float_mul_scalar(x.clone(), self.factor.into());
        // x + (f·x − f·x): the value is x to the last bit, and only f·x is tracked.
        let nothing = Dispatch::float_sub(scaled.clone(), Dispatch::float_detach(scaled));
        let y = Value::new(Dispatch::float_add(Dispatch::float_detach(x), nothing));
        Ok(vec![if scalar { y.into_scalar() } else { y }])
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Tensor};

    use super::*;

    #[test]
    fn the_value_is_the_input_and_the_gradient_is_scaled() {
        let device = Device::flex().autodiff();
        let x = Tensor::<1>::from_data([0.1, -3.0, 7.7], &device).require_grad();
        let context = RunContext {
            mode: Mode::Training,
            device,
            precision: crate::precision::Precision::Fp32,
        };
        let inputs = [Some(Value::from(x.clone()))];
        let scale = ScaleGradient { factor: 1.0 / 3.0 };
        let y = scale
            .run(&Inputs(&inputs), &context)
            .unwrap()
            .remove(0)
            .float::<1>();
        assert_eq!(y.to_data(), x.to_data());
        let gradients = (y * Tensor::from_data([3.0, 6.0, -9.0], &x.device()))
            .sum()
            .backward();
        let gradient: Vec<f32> = x.grad(&gradients).unwrap().into_data().iter().collect();
        for (got, expected) in gradient.iter().zip([1.0, 2.0, -3.0]) {
            assert!((got - expected).abs() < 1e-6, "{gradient:?}");
        }
    }
}
