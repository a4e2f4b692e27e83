//! `EyeLike`: ones on a diagonal, zeros elsewhere, in the shape of a matrix.
//! <https://onnx.ai/onnx/operators/onnx__EyeLike.html>
//!
//! `k` counts diagonals from the main one, upwards if positive; `dtype` is the type of the
//! elements, that of the input where absent. Opset 9 introduced it; the form never changed.

use burn::tensor::{Device, TensorData};

use crate::op::{ElementType, Fact, Inputs, NodeReader, Op, OpError, Operator, RunContext};
use crate::value::{Kind, Value};

/// Ones on a diagonal.
#[derive(Clone, Copy, Debug)]
pub struct EyeLike {
    /// The diagonal.
    pub k: i64,
    /// The kind of the elements; that of the input where absent.
    pub kind: Option<Kind>,
}

impl Op for EyeLike {
    fn name(&self) -> &'static str {
        "EyeLike"
    }

    fn infer(&self, inputs: &Inputs<'_, Fact>) -> Result<Vec<Fact>, OpError> {
        let x = inputs.required(0, "input")?;
        if x.rank() != 2 {
            return Err(OpError::Shape {
                name: "input",
                got: x.dims.clone(),
                expected: "[rows, columns]".to_owned(),
            });
        }
        Ok(vec![Fact::new(self.kind.unwrap_or(x.kind), x.dims.clone())])
    }

    fn run(&self, inputs: &Inputs<'_, Value>, context: &RunContext) -> Result<Vec<Value>, OpError> {
        let x = inputs.required(0, "input")?;
        let (dims, kind) = (x.dims(), self.kind.unwrap_or(x.kind()));
        let (rows, columns) = (dims[0], dims[1]);
        let ones: Vec<i64> = (0..rows * columns)
            .map(|i| i64::from((i % columns) as i64 - (i / columns) as i64 == self.k))
            .collect();
        let eye = Value::from_data(TensorData::new(ones, dims), &Device::flex()).cast(kind);
        Ok(vec![if kind == Kind::Float {
            eye.to_device(&context.device)
        } else {
            eye
        }])
    }
}

fn read(node: &NodeReader<'_>) -> Result<Box<dyn Op>, OpError> {
    let kind = match node.int("dtype")? {
        None => None,
        Some(code) => {
            let element = ElementType::from_code(code);
            let element = element.ok_or_else(|| {
                node.bad(
                    "dtype",
                    code.to_string(),
                    "an ONNX type number of numbers or booleans",
                )
            })?;
            Some(element.kind())
        }
    };
    Ok(Box::new(EyeLike {
        k: node.int("k")?.unwrap_or(0),
        kind,
    }))
}

/// The table's entries.
pub(crate) const OPERATORS: &[Operator] = &[Operator {
    name: "EyeLike",
    forms: &[],
    read,
}];

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_floats, assert_ints, floats, ints, run_op};
    use super::*;

    #[test]
    fn a_diagonal_is_one() {
        // np.eye(2, 3) and np.eye(2, 3, -1, int)
        let x = [Some(floats(&[2, 3], &[9.0; 6]))];
        let made = run_op("EyeLike", 9, &[], &x).unwrap();
        assert_floats(&made[0], &[2, 3], &[1.0, 0.0, 0.0, 0.0, 1.0, 0.0]);
        let below: &[_] = &[("k", (-1).into()), ("dtype", 7.into())];
        assert_ints(
            &run_op("EyeLike", 9, below, &x).unwrap()[0],
            &[2, 3],
            &[0, 0, 0, 1, 0, 0],
        );
        let vector = run_op("EyeLike", 9, &[], &[Some(ints(&[1], &[1]))]);
        assert!(matches!(vector, Err(OpError::Shape { .. })));
    }
}
