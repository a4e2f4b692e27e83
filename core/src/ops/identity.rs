//! `Identity`: the input under another name. <https://onnx.ai/onnx/operators/onnx__Identity.html>
//!
//! Opsets 13 to 21 add types; the form never changed.

use crate::op::{Fact, Inputs, NodeReader, Op, OpError, Operator, Role, RunContext};
use crate::value::Value;

/// The input under another name.
#[derive(Clone, Copy, Debug)]
pub struct Identity;

impl Op for Identity {
    fn name(&self) -> &'static str {
        "Identity"
    }

    fn infer(&self, inputs: &Inputs<'_, Fact>) -> Result<Vec<Fact>, OpError> {
        Ok(vec![inputs.required(0, "input")?.clone()])
    }

    fn run(&self, inputs: &Inputs<'_, Value>, _context: &RunContext) -> Result<Vec<Value>, OpError> {
        Ok(vec![inputs.required(0, "input")?.clone()])
    }

    fn role(&self, _input: usize) -> Role {
        Role::Weight
    }
}

fn read(_node: &NodeReader<'_>) -> Result<Box<dyn Op>, OpError> {
    Ok(Box::new(Identity))
}

/// The table's entries.
pub(crate) const OPERATORS: &[Operator] = &[Operator {
    name: "Identity",
    forms: &[],
    read,
}];

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_ints, bools, run_op};

    #[test]
    fn every_kind_passes_unchanged() {
        let made = run_op("Identity", 14, &[], &[Some(bools(&[], &[true]))]).unwrap();
        assert_ints(&made[0], &[], &[1]);
    }
}
