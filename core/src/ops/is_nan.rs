//! `IsNaN`, `IsInf`: where floats are no numbers, or infinite.
//! <https://onnx.ai/onnx/operators/onnx__IsNaN.html>
//!
//! `IsInf` looks for one sign alone with `detect_positive = 0` or `detect_negative = 0`. Opset 9
//! introduced `IsNaN`, 10 `IsInf`; the forms never changed. The result lives on the CPU, as all
//! booleans do.

use burn::tensor::{Device, TensorData};

use crate::op::{Fact, Inputs, NodeReader, Op, OpError, Operator, RunContext};
use crate::value::{Kind, Value};

/// What is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IsNan {
    /// No number.
    Nan,
    /// An infinite one.
    Infinite {
        /// Whether +∞ counts.
        positive: bool,
        /// Whether −∞ counts.
        negative: bool,
    },
}

impl Op for IsNan {
    fn name(&self) -> &'static str {
        match self {
            IsNan::Nan => "IsNaN",
            IsNan::Infinite { .. } => "IsInf",
        }
    }

    fn infer(&self, inputs: &Inputs<'_, Fact>) -> Result<Vec<Fact>, OpError> {
        let x = inputs.of_kind(0, "X", Kind::Float)?;
        Ok(vec![Fact::new(Kind::Bool, x.dims.clone())])
    }

    fn run(&self, inputs: &Inputs<'_, Value>, _context: &RunContext) -> Result<Vec<Value>, OpError> {
        let x = inputs.required(0, "X")?;
        let found = |x: &f32| match self {
            IsNan::Nan => x.is_nan(),
            IsNan::Infinite { positive, negative } => {
                (*positive && *x == f32::INFINITY) || (*negative && *x == f32::NEG_INFINITY)
            }
        };
        let found: Vec<bool> = x.to_floats().unwrap_or_default().iter().map(found).collect();
        Ok(vec![Value::from_data(
            TensorData::new(found, x.dims()),
            &Device::flex(),
        )])
    }
}

fn read(node: &NodeReader<'_>) -> Result<Box<dyn Op>, OpError> {
    Ok(Box::new(if node.op == "IsNaN" {
        IsNan::Nan
    } else {
        IsNan::Infinite {
            positive: node.flag("detect_positive", true)?,
            negative: node.flag("detect_negative", true)?,
        }
    }))
}

/// The table's entries.
pub(crate) const OPERATORS: &[Operator] = &[
    Operator {
        name: "IsNaN",
        forms: &[],
        read,
    },
    Operator {
        name: "IsInf",
        forms: &[10],
        read,
    },
];

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_ints, floats, ints, run_op};
    use super::*;

    #[test]
    fn what_is_no_number_is_found() {
        // np.isnan(x), np.isposinf(x) | np.isneginf(x), np.isneginf(x)
        let x = [Some(floats(
            &[4],
            &[f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1.0],
        ))];
        let run = |op, attributes: &[_]| run_op(op, 20, attributes, &x).unwrap().remove(0);
        assert_ints(&run("IsNaN", &[]), &[4], &[1, 0, 0, 0]);
        assert_ints(&run("IsInf", &[]), &[4], &[0, 1, 1, 0]);
        assert_ints(
            &run("IsInf", &[("detect_positive", 0.into())]),
            &[4],
            &[0, 0, 1, 0],
        );
        let whole = run_op("IsNaN", 20, &[], &[Some(ints(&[], &[1]))]);
        assert!(matches!(whole, Err(OpError::Kind { .. })));
    }
}
