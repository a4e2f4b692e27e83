//! `Gelu`: x · Φ(x), Φ the normal distribution function; Hendrycks and Gimpel 2016 (arXiv
//! 1606.08415). <https://onnx.ai/onnx/operators/onnx__Gelu.html>
//!
//! Opset 20 introduced it. `approximate = "tanh"` stands for x/2 · (1 + tanh(√(2/π) · (x + 0.044715
//! x³))).

use burn::tensor::activation::{gelu, gelu_approximate};

use crate::op::{Fact, Inputs, NodeReader, Op, OpError, Operator, RunContext};
use crate::value::{Kind, Value};

/// x · Φ(x)
#[derive(Clone, Copy, Debug)]
pub struct Gelu {
    /// Whether Φ is approximated by a tanh.
    pub approximate: bool,
}

impl Op for Gelu {
    fn name(&self) -> &'static str {
        "Gelu"
    }

    fn infer(&self, inputs: &Inputs<'_, Fact>) -> Result<Vec<Fact>, OpError> {
        let x = inputs.of_kind(0, "X", Kind::Float)?;
        Ok(vec![Fact::float(x.dims.clone())])
    }

    fn run(&self, inputs: &Inputs<'_, Value>, _context: &RunContext) -> Result<Vec<Value>, OpError> {
        let x = inputs.required(0, "X")?.clone();
        let function = if self.approximate { gelu_approximate } else { gelu };
        Ok(vec![x.elementwise(function)])
    }
}

fn read(node: &NodeReader<'_>) -> Result<Box<dyn Op>, OpError> {
    let approximate = match node.text("approximate")? {
        None | Some("none") => false,
        Some("tanh") => true,
        Some(other) => return Err(node.bad("approximate", other, "none or tanh")),
    };
    Ok(Box::new(Gelu { approximate }))
}

/// The table's entries.
pub(crate) const OPERATORS: &[Operator] = &[Operator {
    name: "Gelu",
    forms: &[],
    read,
}];

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_floats, assert_gradients, floats, run_op};
    use super::*;

    #[test]
    fn values_agree_with_pytorch() {
        // x = torch.tensor([-1.5, 0.0, 0.7]); F.gelu(x), F.gelu(x, approximate="tanh")
        let x = [Some(floats(&[3], &[-1.5, 0.0, 0.7]))];
        let exact = run_op("Gelu", 20, &[], &x).unwrap();
        assert_floats(&exact[0], &[3], &[-0.100_210_8, 0.0, 0.530_625_4]);
        let tanh: &[_] = &[("approximate", "tanh".into())];
        let approximate = run_op("Gelu", 20, tanh, &x).unwrap();
        assert_floats(&approximate[0], &[3], &[-0.100_428_43, 0.0, 0.530_570_15]);
        assert_gradients("Gelu", 20, &[], &x, &[0]);
        assert_gradients("Gelu", 20, tanh, &x, &[0]);
    }

    #[test]
    fn another_approximation_is_refused() {
        let refused = run_op("Gelu", 20, &[("approximate", "sigmoid".into())], &[]);
        assert!(matches!(refused, Err(OpError::BadAttribute { .. })));
    }
}
