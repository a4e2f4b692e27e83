//! `Sigmoid`, `Tanh`, `Softplus`, `Softsign`: smooth activations without attributes.
//! <https://onnx.ai/onnx/operators/onnx__Sigmoid.html>
//!
//! 1 / (1 + exp(−x)), tanh x, log(1 + exp x), x / (1 + |x|). Opset 13 adds bfloat16; the form never
//! changed.

use burn::tensor::Tensor;
use burn::tensor::activation::{log_sigmoid, sigmoid};

use crate::op::{Fact, Inputs, NodeReader, Op, OpError, Operator, RunContext};
use crate::value::{Kind, Value};

/// Which activation, under ONNX's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the specification's")]
pub enum Smooth {
    Sigmoid,
    Tanh,
    Softplus,
    Softsign,
}

impl Op for Smooth {
    fn name(&self) -> &'static str {
        match self {
            Smooth::Sigmoid => "Sigmoid",
            Smooth::Tanh => "Tanh",
            Smooth::Softplus => "Softplus",
            Smooth::Softsign => "Softsign",
        }
    }

    fn infer(&self, inputs: &Inputs<'_, Fact>) -> Result<Vec<Fact>, OpError> {
        let x = inputs.of_kind(0, "X", Kind::Float)?;
        Ok(vec![Fact::float(x.dims.clone())])
    }

    fn run(&self, inputs: &Inputs<'_, Value>, _context: &RunContext) -> Result<Vec<Value>, OpError> {
        let x = inputs.required(0, "X")?.clone();
        Ok(vec![x.elementwise(|x| match self {
            Smooth::Sigmoid => sigmoid(x),
            Smooth::Tanh => x.tanh(),
            Smooth::Softplus => softplus(x),
            Smooth::Softsign => x.clone() / (x.abs() + 1.0),
        })])
    }
}

/// log(1 + exp x), without overflow.
pub(super) fn softplus(x: Tensor<1>) -> Tensor<1> {
    -log_sigmoid(-x)
}

fn read(node: &NodeReader<'_>) -> Result<Box<dyn Op>, OpError> {
    Ok(Box::new(match node.op {
        "Sigmoid" => Smooth::Sigmoid,
        "Tanh" => Smooth::Tanh,
        "Softplus" => Smooth::Softplus,
        _ => Smooth::Softsign,
    }))
}

const fn entry(name: &'static str) -> Operator {
    Operator {
        name,
        forms: &[],
        read,
    }
}

/// The table's entries.
pub(crate) const OPERATORS: &[Operator] = &[
    entry("Sigmoid"),
    entry("Tanh"),
    entry("Softplus"),
    entry("Softsign"),
];

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_floats, assert_gradients, floats, run_op};

    #[test]
    fn values_agree_with_pytorch() {
        // x = torch.tensor([-1.5, 0.0, 0.7]); torch.sigmoid(x), torch.tanh(x), F.softplus(x),
        // F.softsign(x)
        let x = [Some(floats(&[3], &[-1.5, 0.0, 0.7]))];
        for (op, expected) in [
            ("Sigmoid", [0.182_425_52, 0.5, 0.668_187_8]),
            ("Tanh", [-0.905_148_3, 0.0, 0.604_367_8]),
            ("Softplus", [0.201_413_28, std::f32::consts::LN_2, 1.103_186_1]),
            ("Softsign", [-0.6, 0.0, 0.411_764_7]),
        ] {
            let made = run_op(op, 13, &[], &x).unwrap();
            assert_floats(&made[0], &[3], &expected);
            // Not at 0, where the second derivative of Softsign jumps.
            let x = [Some(floats(&[3], &[-1.5, 0.3, 0.7]))];
            assert_gradients(op, 13, &[], &x, &[0]);
        }
    }

    #[test]
    fn softplus_of_a_large_number_is_the_number() {
        let made = run_op("Softplus", 13, &[], &[Some(floats(&[2], &[500.0, -500.0]))]).unwrap();
        assert_floats(&made[0], &[2], &[500.0, 0.0]);
    }
}
