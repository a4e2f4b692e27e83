//! `LeakyRelu`: x where x ≥ 0, alpha · x below.
//! <https://onnx.ai/onnx/operators/onnx__LeakyRelu.html>
//!
//! Maas, Hannun and Ng 2013. Opset 16 adds bfloat16; the form never changed.

use burn::tensor::activation::leaky_relu;

use crate::op::{Fact, Inputs, NodeReader, Op, OpError, Operator, RunContext};
use crate::value::{Kind, Value};

/// Leaky rectifier.
#[derive(Clone, Copy, Debug)]
pub struct LeakyRelu {
    /// Slope below 0.
    pub alpha: f32,
}

impl Op for LeakyRelu {
    fn name(&self) -> &'static str {
        "LeakyRelu"
    }

    fn infer(&self, inputs: &Inputs<'_, Fact>) -> Result<Vec<Fact>, OpError> {
        let x = inputs.of_kind(0, "X", Kind::Float)?;
        Ok(vec![Fact::float(x.dims.clone())])
    }

    fn run(&self, inputs: &Inputs<'_, Value>, _context: &RunContext) -> Result<Vec<Value>, OpError> {
        let x = inputs.required(0, "X")?.clone();
        let alpha = f64::from(self.alpha);
        Ok(vec![x.elementwise(|x| leaky_relu(x, alpha))])
    }
}

fn read(node: &NodeReader<'_>) -> Result<Box<dyn Op>, OpError> {
    let alpha = node.float("alpha", 0.01)?;
    Ok(Box::new(LeakyRelu { alpha }))
}

/// The table's entries.
pub(crate) const OPERATORS: &[Operator] = &[Operator {
    name: "LeakyRelu",
    forms: &[],
    read,
}];

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_floats, assert_gradients, floats, run_op};

    #[test]
    fn below_zero_the_slope_is_alpha() {
        // torch.nn.functional.leaky_relu(torch.tensor([-2.0, 0.0, 3.0]), 0.1); with ONNX's default
        // of 0.01: [-0.02, 0, 3]
        let x = [Some(floats(&[3], &[-2.0, 0.0, 3.0]))];
        let made = run_op("LeakyRelu", 16, &[("alpha", 0.1.into())], &x).unwrap();
        assert_floats(&made[0], &[3], &[-0.2, 0.0, 3.0]);
        let made = run_op("LeakyRelu", 9, &[], &x).unwrap();
        assert_floats(&made[0], &[3], &[-0.02, 0.0, 3.0]);
    }

    #[test]
    fn the_gradient_is_the_slope() {
        let x = [Some(floats(&[2], &[-2.0, 3.0]))];
        assert_gradients("LeakyRelu", 16, &[("alpha", 0.1.into())], &x, &[0]);
    }
}
