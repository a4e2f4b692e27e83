//! `Elu`, `Selu`, `Celu`: rectifiers with an exponential below 0.
//! <https://onnx.ai/onnx/operators/onnx__Elu.html>
//!
//! gamma · max(x, 0) + scale · (exp(min(x, 0) / width) − 1), where
//!
//! | operator | gamma | scale | width | source |
//! | --- | --- | --- | --- | --- |
//! | `Elu` | 1 | alpha | 1 | Clevert et al. 2015 (arXiv 1511.07289) |
//! | `Selu` | gamma | gamma · alpha | 1 | Klambauer et al. 2017 (arXiv 1706.02515) |
//! | `Celu` | 1 | alpha | alpha | Barron 2017 (arXiv 1704.07483) |
//!
//! `Elu` and `Selu` have one form since opset 6, `Celu` came with 12. Taking min(x, 0) into the
//! exponential keeps large x from overflowing there, which would make the gradient 0 · ∞.

use burn::tensor::activation::relu;

use crate::op::{Fact, Inputs, NodeReader, Op, OpError, Operator, RunContext};
use crate::value::{Kind, Value};

/// Which rectifier, under ONNX's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the specification's")]
pub enum Exponential {
    Elu,
    Selu,
    Celu,
}

/// A rectifier with an exponential below 0.
#[derive(Clone, Copy, Debug)]
pub struct Elu {
    /// Which one.
    pub exponential: Exponential,
    /// Factor above 0.
    pub gamma: f32,
    /// Factor below 0.
    pub scale: f32,
    /// How slowly the exponential falls.
    pub width: f32,
}

impl Op for Elu {
    fn name(&self) -> &'static str {
        match self.exponential {
            Exponential::Elu => "Elu",
            Exponential::Selu => "Selu",
            Exponential::Celu => "Celu",
        }
    }

    fn infer(&self, inputs: &Inputs<'_, Fact>) -> Result<Vec<Fact>, OpError> {
        let x = inputs.of_kind(0, "X", Kind::Float)?;
        Ok(vec![Fact::float(x.dims.clone())])
    }

    fn run(&self, inputs: &Inputs<'_, Value>, _context: &RunContext) -> Result<Vec<Value>, OpError> {
        let x = inputs.required(0, "X")?.clone();
        Ok(vec![x.elementwise(|x| {
            let below = -relu(-x.clone());
            relu(x) * self.gamma + ((below / self.width).exp() - 1.0) * self.scale
        })])
    }
}

fn read(node: &NodeReader<'_>) -> Result<Box<dyn Op>, OpError> {
    let elu = match node.op {
        "Elu" => Elu {
            exponential: Exponential::Elu,
            gamma: 1.0,
            scale: node.float("alpha", 1.0)?,
            width: 1.0,
        },
        "Selu" => {
            // The fixed points that the paper derives; ONNX's defaults are these numbers.
            let alpha = node.float("alpha", 1.673_263_2)?;
            let gamma = node.float("gamma", 1.050_701)?;
            Elu {
                exponential: Exponential::Selu,
                gamma,
                scale: gamma * alpha,
                width: 1.0,
            }
        }
        _ => {
            let alpha = node.float("alpha", 1.0)?;
            if alpha == 0.0 {
                return Err(node.bad("alpha", "0", "another number: x / alpha is taken"));
            }
            Elu {
                exponential: Exponential::Celu,
                gamma: 1.0,
                scale: alpha,
                width: alpha,
            }
        }
    };
    Ok(Box::new(elu))
}

const fn entry(name: &'static str) -> Operator {
    Operator {
        name,
        forms: &[],
        read,
    }
}

/// The table's entries.
pub(crate) const OPERATORS: &[Operator] = &[entry("Elu"), entry("Selu"), entry("Celu")];

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_floats, assert_gradients, floats, run_op};
    use super::*;

    #[test]
    fn values_agree_with_pytorch() {
        // x = torch.tensor([-2.0, -0.5, 0.0, 1.5]); F.elu(x, 0.7), F.selu(x), F.celu(x, 0.7)
        let x = floats(&[4], &[-2.0, -0.5, 0.0, 1.5]);
        let alpha: &[_] = &[("alpha", 0.7.into())];
        for (op, attributes, expected) in [
            ("Elu", alpha, [-0.605_265_3, -0.275_428_54, 0.0, 1.5]),
            ("Selu", &[], [-1.520_166_9, -0.691_758_16, 0.0, 1.576_051_5]),
            ("Celu", alpha, [-0.659_797_7, -0.357_320_84, 0.0, 1.5]),
        ] {
            let made = run_op(op, 12, attributes, &[Some(x.clone())]).unwrap();
            assert_floats(&made[0], &[4], &expected);
        }
    }

    #[test]
    fn a_large_input_keeps_its_gradient() {
        let x = [Some(floats(&[3], &[-0.8, 0.6, 200.0]))];
        for op in ["Elu", "Selu", "Celu"] {
            assert_gradients(op, 12, &[], &x, &[0]);
        }
    }

    #[test]
    fn celu_needs_a_width() {
        let refused = run_op("Celu", 12, &[("alpha", 0.0.into())], &[]);
        assert!(matches!(refused, Err(OpError::BadAttribute { .. })));
    }
}
