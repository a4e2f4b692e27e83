//! `Swish`: x · sigmoid(alpha · x), SiLU for alpha = 1; Ramachandran et al. 2017 (arXiv
//! 1710.05941). <https://onnx.ai/onnx/operators/onnx__Swish.html>
//!
//! Opset 24 introduced it; exporters for older sets write `Sigmoid` and `Mul`.

use burn::tensor::activation::sigmoid;

use crate::op::{Fact, Inputs, NodeReader, Op, OpError, Operator, RunContext};
use crate::value::{Kind, Value};

/// x · sigmoid(alpha · x)
#[derive(Clone, Copy, Debug)]
pub struct Swish {
    /// The steepness of the gate.
    pub alpha: f32,
}

impl Op for Swish {
    fn name(&self) -> &'static str {
        "Swish"
    }

    fn infer(&self, inputs: &Inputs<'_, Fact>) -> Result<Vec<Fact>, OpError> {
        let x = inputs.of_kind(0, "X", Kind::Float)?;
        Ok(vec![Fact::float(x.dims.clone())])
    }

    fn run(&self, inputs: &Inputs<'_, Value>, _context: &RunContext) -> Result<Vec<Value>, OpError> {
        let x = inputs.required(0, "X")?.clone();
        Ok(vec![x.elementwise(|x| x.clone() * sigmoid(x * self.alpha))])
    }
}

fn read(node: &NodeReader<'_>) -> Result<Box<dyn Op>, OpError> {
    let alpha = node.float("alpha", 1.0)?;
    Ok(Box::new(Swish { alpha }))
}

/// The table's entries.
pub(crate) const OPERATORS: &[Operator] = &[Operator {
    name: "Swish",
    forms: &[24],
    read,
}];

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_floats, assert_gradients, floats, run_op};

    #[test]
    fn values_agree_with_pytorch() {
        // x = torch.tensor([-1.5, 0.0, 0.7]); F.silu(x), x * torch.sigmoid(1.7 * x)
        let x = [Some(floats(&[3], &[-1.5, 0.0, 0.7]))];
        let made = run_op("Swish", 24, &[], &x).unwrap();
        assert_floats(&made[0], &[3], &[-0.273_638_3, 0.0, 0.467_731_4]);
        let steep: &[_] = &[("alpha", 1.7.into())];
        let made = run_op("Swish", 24, steep, &x).unwrap();
        assert_floats(&made[0], &[3], &[-0.108_639_73, 0.0, 0.536_718_7]);
        assert_gradients("Swish", 24, steep, &x, &[0]);
    }
}
