//! Weights as ±α, one α for each output channel, with a straight-through gradient. M. Rastegari et
//! al.: "XNOR-Net: ImageNet Classification Using Binary Convolutional Neural Networks", 2016 (arXiv
//! 1603.05279), section 3.1.
//!
//! y = α · sign(w) with α the mean of |w|; zero counts as positive. The gradient passes where |w|
//! ≤ 1.
//!
//! No operator of ONNX: the exporter stores what it computes. Until then it is written `Identity`.

use super::fake_quantize::{each_channel, straight_through, weight};
use crate::op::{Fact, Inputs, Op, OpError, Role, RunContext};
use crate::value::Value;

/// A weight as ±α along an axis of output channels: 0, or 1 of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Binarize {
    /// The axis.
    pub axis: usize,
}

impl Op for Binarize {
    fn name(&self) -> &'static str {
        "Identity"
    }

    fn infer(&self, inputs: &Inputs<'_, Fact>) -> Result<Vec<Fact>, OpError> {
        weight(inputs, self.axis)
    }

    fn run(&self, inputs: &Inputs<'_, Value>, _context: &RunContext) -> Result<Vec<Value>, OpError> {
        let w = inputs.required(0, "w")?.clone();
        Ok(vec![each_channel(w, self.axis, |w, along| {
            let inner = w.clone().detach();
            let alpha = inner.clone().abs().mean_dim(along);
            let sign = inner.clone().ones_like().mask_fill(inner.lower_elem(0.0), -1.0);
            straight_through(sign * alpha, w.clamp(-1.0, 1.0))
        })])
    }

    fn role(&self, _input: usize) -> Role {
        Role::Weight
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Tensor};

    use super::*;
    use crate::op::Mode;

    #[test]
    fn a_channel_becomes_its_sign_times_its_mean_magnitude() {
        let device = Device::flex().autodiff();
        let w = Tensor::<2>::from_data([[0.5, -0.1, 0.0], [2.0, -0.5, -0.5]], &device).require_grad();
        let context = RunContext {
            mode: Mode::Training,
            device: device.clone(),
            precision: crate::precision::Precision::Fp32,
        };
        let inputs = [Some(Value::from(w.clone()))];
        let y = Binarize { axis: 0 }
            .run(&Inputs(&inputs), &context)
            .unwrap()
            .remove(0);
        let values = y.to_floats().unwrap();
        // (|0.5| + |-0.1| + |0|) / 3 = 0.2, (2 + 0.5 + 0.5) / 3 = 1
        for (got, expected) in values.iter().zip([0.2, -0.2, 0.2, 1.0, -1.0, -1.0]) {
            assert!((got - expected).abs() < 1e-6, "{values:?}");
        }
        let weights = Tensor::<2>::from_data([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], &device);
        let gradients = (y.float::<2>() * weights).sum().backward();
        let gradient: Vec<f32> = w.grad(&gradients).unwrap().into_data().iter().collect();
        assert_eq!(gradient, [1.0, 2.0, 3.0, 0.0, 5.0, 6.0]);
    }
}
