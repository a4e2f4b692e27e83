//! `HardSigmoid`, `HardSwish`: piecewise linear stand-ins.
//! <https://onnx.ai/onnx/operators/onnx__HardSwish.html>
//!
//! HardSigmoid(x) = max(0, min(1, alpha · x + beta)), HardSwish(x) = x · HardSigmoid(x) with
//! alpha = 1/6, beta = 1/2 (Howard et al. 2019, arXiv 1905.02244). `HardSigmoid` has one form since
//! opset 6, `HardSwish` came with 14 and has no attributes.

use crate::op::{Fact, Inputs, NodeReader, Op, OpError, Operator, RunContext};
use crate::value::{Kind, Value};

/// max(0, min(1, alpha · x + beta)), times x for `HardSwish`.
#[derive(Clone, Copy, Debug)]
pub struct HardSigmoid {
    /// Slope in the middle.
    pub alpha: f32,
    /// Value at 0.
    pub beta: f32,
    /// Whether the result is multiplied by x.
    pub swish: bool,
}

impl Op for HardSigmoid {
    fn name(&self) -> &'static str {
        if self.swish { "HardSwish" } else { "HardSigmoid" }
    }

    fn infer(&self, inputs: &Inputs<'_, Fact>) -> Result<Vec<Fact>, OpError> {
        let x = inputs.of_kind(0, "X", Kind::Float)?;
        Ok(vec![Fact::float(x.dims.clone())])
    }

    fn run(&self, inputs: &Inputs<'_, Value>, _context: &RunContext) -> Result<Vec<Value>, OpError> {
        let x = inputs.required(0, "X")?.clone();
        Ok(vec![x.elementwise(|x| {
            let gate = (x.clone() * self.alpha + self.beta).clamp(0.0, 1.0);
            if self.swish { x * gate } else { gate }
        })])
    }
}

fn read(node: &NodeReader<'_>) -> Result<Box<dyn Op>, OpError> {
    let swish = node.op == "HardSwish";
    let (alpha, beta) = if swish {
        (1.0 / 6.0, 0.5)
    } else {
        (node.float("alpha", 0.2)?, node.float("beta", 0.5)?)
    };
    Ok(Box::new(HardSigmoid { alpha, beta, swish }))
}

const fn entry(name: &'static str) -> Operator {
    Operator {
        name,
        forms: &[],
        read,
    }
}

/// The table's entries.
pub(crate) const OPERATORS: &[Operator] = &[entry("HardSigmoid"), entry("HardSwish")];

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_floats, assert_gradients, floats, run_op};

    #[test]
    fn values_agree_with_pytorch() {
        // x = torch.tensor([-4.0, -1.0, 0.6, 4.0]); F.hardswish(x); alpha 0.2, beta 0.5:
        // torch.clamp(0.2 * x + 0.5, 0, 1)
        let x = [Some(floats(&[4], &[-4.0, -1.0, 0.6, 4.0]))];
        let swish = run_op("HardSwish", 14, &[], &x).unwrap();
        assert_floats(&swish[0], &[4], &[0.0, -0.333_333_34, 0.36, 4.0]);
        let sigmoid = run_op("HardSigmoid", 9, &[], &x).unwrap();
        assert_floats(&sigmoid[0], &[4], &[0.0, 0.3, 0.62, 1.0]);
        assert_gradients("HardSwish", 14, &[], &x, &[0]);
        assert_gradients("HardSigmoid", 14, &[], &x, &[0]);
    }
}
