//! `Mish`: x · tanh(log(1 + exp x)); Misra 2019 (arXiv 1908.08681).
//! <https://onnx.ai/onnx/operators/onnx__Mish.html>
//!
//! Opset 18 introduced it.

use super::sigmoid::softplus;
use crate::op::{Fact, Inputs, NodeReader, Op, OpError, Operator, RunContext};
use crate::value::{Kind, Value};

/// x · tanh(log(1 + exp x))
#[derive(Clone, Copy, Debug)]
pub struct Mish;

impl Op for Mish {
    fn name(&self) -> &'static str {
        "Mish"
    }

    fn infer(&self, inputs: &Inputs<'_, Fact>) -> Result<Vec<Fact>, OpError> {
        let x = inputs.of_kind(0, "X", Kind::Float)?;
        Ok(vec![Fact::float(x.dims.clone())])
    }

    fn run(&self, inputs: &Inputs<'_, Value>, _context: &RunContext) -> Result<Vec<Value>, OpError> {
        let x = inputs.required(0, "X")?.clone();
        Ok(vec![x.elementwise(|x| x.clone() * softplus(x).tanh())])
    }
}

fn read(_node: &NodeReader<'_>) -> Result<Box<dyn Op>, OpError> {
    Ok(Box::new(Mish))
}

/// The table's entries.
pub(crate) const OPERATORS: &[Operator] = &[Operator {
    name: "Mish",
    forms: &[],
    read,
}];

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_floats, assert_gradients, floats, run_op};

    #[test]
    fn values_agree_with_pytorch() {
        // torch.nn.functional.mish(torch.tensor([-1.5, 0.0, 0.7, 60.0]))
        let x = [Some(floats(&[4], &[-1.5, 0.0, 0.7, 60.0]))];
        let made = run_op("Mish", 18, &[], &x).unwrap();
        assert_floats(&made[0], &[4], &[-0.298_099_76, 0.0, 0.561_148_35, 60.0]);
        assert_gradients("Mish", 18, &[], &x, &[0]);
    }
}
