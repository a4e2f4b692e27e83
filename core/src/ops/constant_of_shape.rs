//! `ConstantOfShape`: one number in a shape that is computed.
//! <https://onnx.ai/onnx/operators/onnx__ConstantOfShape.html>
//!
//! Opset 9 introduced it, 20 and 21 add types. The number is a float 0 where none is stated.

use burn::tensor::{Device, TensorData};

use super::shaped::extents;
use crate::op::{Fact, Inputs, NodeReader, Op, OpError, Operator, RunContext};
use crate::value::{Kind, Value};

/// One number in a shape that is computed.
#[derive(Clone, Debug)]
pub struct ConstantOfShape {
    /// The number, as a scalar on the CPU.
    pub value: Value,
}

impl Op for ConstantOfShape {
    fn name(&self) -> &'static str {
        "ConstantOfShape"
    }

    fn infer(&self, inputs: &Inputs<'_, Fact>) -> Result<Vec<Fact>, OpError> {
        let dims = extents("input", &inputs.integers(0, "input")?)?;
        Ok(vec![Fact::new(self.value.kind(), dims)])
    }

    fn run(&self, inputs: &Inputs<'_, Value>, context: &RunContext) -> Result<Vec<Value>, OpError> {
        let dims = extents("input", &inputs.integers(0, "input")?)?;
        let mut value = self.value.clone();
        if value.kind() == Kind::Float {
            value = value.to_device(&context.device);
        }
        if dims.contains(&0) {
            return Ok(vec![Value::empty(value.kind(), &dims, &value.device())]);
        }
        Ok(vec![value.expand(&dims)])
    }
}

fn read(node: &NodeReader<'_>) -> Result<Box<dyn Op>, OpError> {
    let value = match node.tensor("value")? {
        Some(data) => Value::from_data(data.clone(), &Device::flex()),
        None => Value::from_data(TensorData::new(vec![0.0f32], [1]), &Device::flex()),
    };
    if value.len() != 1 {
        let got = format!("a tensor of shape {:?}", value.dims());
        return Err(node.bad("value", got, "one element"));
    }
    Ok(Box::new(ConstantOfShape {
        value: value.into_scalar(),
    }))
}

/// The table's entries.
pub(crate) const OPERATORS: &[Operator] = &[Operator {
    name: "ConstantOfShape",
    forms: &[],
    read,
}];

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_floats, assert_ints, infer_op, ints, run_op};
    use super::*;
    use crate::op::Attribute;

    #[test]
    fn the_number_fills_the_shape() {
        // np.full((2, 1), 7) and np.zeros((2,), np.float32)
        let seven = Attribute::Tensor(String::new(), TensorData::new(vec![7i64], [1]));
        let made = run_op(
            "ConstantOfShape",
            9,
            &[("value", seven)],
            &[Some(ints(&[2], &[2, 1]))],
        );
        assert_ints(&made.unwrap()[0], &[2, 1], &[7, 7]);
        let made = run_op("ConstantOfShape", 9, &[], &[Some(ints(&[1], &[2]))]).unwrap();
        assert_floats(&made[0], &[2], &[0.0, 0.0]);
        let made = run_op("ConstantOfShape", 9, &[], &[Some(ints(&[0], &[]))]).unwrap();
        assert_floats(&made[0], &[], &[0.0]);
        let made = run_op("ConstantOfShape", 9, &[], &[Some(ints(&[2], &[0, 3]))]).unwrap();
        assert_floats(&made[0], &[0, 3], &[]);
    }

    #[test]
    fn what_makes_no_tensor_is_refused() {
        for shape in [-1, i64::MAX] {
            let refused = run_op("ConstantOfShape", 9, &[], &[Some(ints(&[1], &[shape]))]);
            assert!(matches!(refused, Err(OpError::Content { .. })));
        }
        let unknown = infer_op("ConstantOfShape", 9, &[], &[Some(Fact::new(Kind::Int, [1]))]);
        assert!(matches!(unknown, Err(OpError::NotConstant { .. })));
        let two = Attribute::Tensor(String::new(), TensorData::new(vec![7i64, 8], [2]));
        let refused = run_op("ConstantOfShape", 9, &[("value", two)], &[]);
        assert!(matches!(refused, Err(OpError::BadAttribute { .. })));
    }
}
