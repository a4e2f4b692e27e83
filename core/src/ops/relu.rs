//! `Relu`: y = max(x, 0). <https://onnx.ai/onnx/operators/onnx__Relu.html>
//!
//! Opset 13 adds bfloat16, 14 integers; the form never changed.

use burn::backend::Dispatch;
use burn::backend::ops::ActivationOps;

use crate::op::{Fact, Inputs, NodeReader, Op, OpError, Operator, RunContext};
use crate::value::{Kind, Value};

/// Rectified linear unit.
#[derive(Clone, Debug)]
pub struct Relu;

impl Op for Relu {
    fn name(&self) -> &'static str {
        "Relu"
    }

    fn infer(&self, inputs: &Inputs<'_, Fact>) -> Result<Vec<Fact>, OpError> {
        Ok(vec![Fact::float(
            inputs.of_kind(0, "X", Kind::Float)?.dims.clone(),
        )])
    }

    fn run(&self, inputs: &Inputs<'_, Value>, _context: &RunContext) -> Result<Vec<Value>, OpError> {
        let x = inputs.required(0, "X")?.clone();
        let scalar = x.is_scalar();
        let y = Value::new(Dispatch::relu(x.into_dispatch()));
        Ok(vec![if scalar { y.into_scalar() } else { y }])
    }
}

fn read(_node: &NodeReader<'_>) -> Result<Box<dyn Op>, OpError> {
    Ok(Box::new(Relu))
}

/// The table's entries.
pub(crate) const OPERATORS: &[Operator] = &[Operator {
    name: "Relu",
    forms: &[],
    read,
}];
