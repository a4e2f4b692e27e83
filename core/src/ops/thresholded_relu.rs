//! `ThresholdedRelu`: x where x > alpha, 0 elsewhere.
//! <https://onnx.ai/onnx/operators/onnx__ThresholdedRelu.html>
//!
//! Opset 10 introduced it; the form never changed.

use burn::tensor::activation::thresholded_relu;

use crate::op::{Fact, Inputs, NodeReader, Op, OpError, Operator, RunContext};
use crate::value::{Kind, Value};

/// Rectifier with a threshold.
#[derive(Clone, Copy, Debug)]
pub struct ThresholdedRelu {
    /// What x must exceed.
    pub alpha: f32,
}

impl Op for ThresholdedRelu {
    fn name(&self) -> &'static str {
        "ThresholdedRelu"
    }

    fn infer(&self, inputs: &Inputs<'_, Fact>) -> Result<Vec<Fact>, OpError> {
        let x = inputs.of_kind(0, "X", Kind::Float)?;
        Ok(vec![Fact::float(x.dims.clone())])
    }

    fn run(&self, inputs: &Inputs<'_, Value>, _context: &RunContext) -> Result<Vec<Value>, OpError> {
        let x = inputs.required(0, "X")?.clone();
        let alpha = f64::from(self.alpha);
        Ok(vec![x.elementwise(|x| thresholded_relu(x, alpha))])
    }
}

fn read(node: &NodeReader<'_>) -> Result<Box<dyn Op>, OpError> {
    let alpha = node.float("alpha", 1.0)?;
    Ok(Box::new(ThresholdedRelu { alpha }))
}

/// The table's entries.
pub(crate) const OPERATORS: &[Operator] = &[Operator {
    name: "ThresholdedRelu",
    forms: &[],
    read,
}];

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_floats, assert_gradients, floats, run_op};

    #[test]
    fn what_does_not_exceed_alpha_is_zero() {
        // torch.nn.functional.threshold(torch.tensor([-2.0, 1.0, 1.5]), 1.0, 0.0)
        let x = [Some(floats(&[3, 1], &[-2.0, 1.0, 1.5]))];
        let made = run_op("ThresholdedRelu", 10, &[], &x).unwrap();
        assert_floats(&made[0], &[3, 1], &[0.0, 0.0, 1.5]);
        let x = [Some(floats(&[2], &[-2.0, 1.5]))];
        assert_gradients("ThresholdedRelu", 10, &[], &x, &[0]);
    }
}
