//! `Shrink`: x moved towards zero, and zero near it.
//! <https://onnx.ai/onnx/operators/onnx__Shrink.html>
//!
//! x + bias below −lambd, x − bias above lambd, 0 between: PyTorch's `hardshrink` with bias 0,
//! `softshrink` with bias = lambd. Opset 9 introduced it; the form never changed. Integers are
//! refused.

use crate::op::{Fact, Inputs, NodeReader, Op, OpError, Operator, RunContext};
use crate::value::{Kind, Value};

/// Shrinkage.
#[derive(Clone, Copy, Debug)]
pub struct Shrink {
    /// What the magnitude of x must exceed.
    pub lambda: f32,
    /// By how much the magnitude is reduced.
    pub bias: f32,
}

impl Op for Shrink {
    fn name(&self) -> &'static str {
        "Shrink"
    }

    fn infer(&self, inputs: &Inputs<'_, Fact>) -> Result<Vec<Fact>, OpError> {
        let x = inputs.of_kind(0, "input", Kind::Float)?;
        Ok(vec![Fact::float(x.dims.clone())])
    }

    fn run(&self, inputs: &Inputs<'_, Value>, _context: &RunContext) -> Result<Vec<Value>, OpError> {
        let x = inputs.required(0, "input")?.clone();
        Ok(vec![x.elementwise(|x| {
            let (below, above) = (
                x.clone().lower_elem(-self.lambda),
                x.clone().greater_elem(self.lambda),
            );
            x.zeros_like()
                .mask_where(below, x.clone() + self.bias)
                .mask_where(above, x - self.bias)
        })])
    }
}

fn read(node: &NodeReader<'_>) -> Result<Box<dyn Op>, OpError> {
    Ok(Box::new(Shrink {
        lambda: node.float("lambd", 0.5)?,
        bias: node.float("bias", 0.0)?,
    }))
}

/// The table's entries.
pub(crate) const OPERATORS: &[Operator] = &[Operator {
    name: "Shrink",
    forms: &[],
    read,
}];

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_floats, assert_gradients, floats, run_op};

    #[test]
    fn magnitudes_shrink_and_small_ones_vanish() {
        // torch.nn.functional.softshrink(x, 1.0) and hardshrink(x, 0.5), x = [-2, -0.7, 0.2, 1.5]
        let x = [Some(floats(&[4], &[-2.0, -0.7, 0.2, 1.5]))];
        let soft = [("lambd", 1.0.into()), ("bias", 1.0.into())];
        let made = run_op("Shrink", 9, &soft, &x).unwrap();
        assert_floats(&made[0], &[4], &[-1.0, 0.0, 0.0, 0.5]);
        let made = run_op("Shrink", 9, &[], &x).unwrap();
        assert_floats(&made[0], &[4], &[-2.0, -0.7, 0.0, 1.5]);
        assert_gradients("Shrink", 9, &soft, &x, &[0]);
    }
}
