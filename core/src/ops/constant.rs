//! `Constant`: a tensor written into the node. <https://onnx.ai/onnx/operators/onnx__Constant.html>
//!
//! Opset 11 adds sparse tensors, 12 the attributes for single numbers and lists; texts and sparse
//! tensors are refused.

use burn::tensor::{Device, TensorData};

use crate::op::{Fact, Inputs, NodeReader, Op, OpError, Operator, RunContext};
use crate::value::{Kind, Value};

/// A tensor written into the node.
#[derive(Clone, Debug)]
pub struct Constant {
    /// The tensor, on the CPU.
    pub value: Value,
}

impl Op for Constant {
    fn name(&self) -> &'static str {
        "Constant"
    }

    fn infer(&self, _inputs: &Inputs<'_, Fact>) -> Result<Vec<Fact>, OpError> {
        Ok(vec![Fact::new(self.value.kind(), self.value.dims())])
    }

    fn run(&self, _inputs: &Inputs<'_, Value>, context: &RunContext) -> Result<Vec<Value>, OpError> {
        let value = self.value.clone();
        Ok(vec![if value.kind() == Kind::Float {
            value.to_device(&context.device)
        } else {
            value
        }])
    }
}

fn read(node: &NodeReader<'_>) -> Result<Box<dyn Op>, OpError> {
    let device = Device::flex();
    let scalar = Vec::<usize>::new;
    let mut value = None;
    if let Some(data) = node.tensor("value")? {
        value = Some(Value::from_data(data.clone(), &device));
    }
    if let Some(number) = node.number("value_float")? {
        value = Some(Value::from_data(TensorData::new(vec![number], scalar()), &device));
    }
    if let Some(numbers) = node.floats("value_floats")? {
        let count = numbers.len();
        value = Some(Value::from_data(TensorData::new(numbers, [count]), &device));
    }
    if let Some(number) = node.int("value_int")? {
        value = Some(Value::ints(vec![number], &[]));
    }
    if let Some(numbers) = node.ints("value_ints")? {
        let count = numbers.len();
        value = Some(Value::ints(numbers, &[count]));
    }
    let value = value.ok_or_else(|| OpError::MissingAttribute {
        attribute: "value".to_owned(),
    })?;
    Ok(Box::new(Constant { value }))
}

/// The table's entries.
pub(crate) const OPERATORS: &[Operator] = &[Operator {
    name: "Constant",
    forms: &[],
    read,
}];

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_floats, assert_ints, run_op};
    use super::*;
    use crate::op::Attribute;

    #[test]
    fn every_numeric_attribute_is_read() {
        let made = |name: &'static str, attribute: Attribute| {
            run_op("Constant", 13, &[(name, attribute)], &[])
                .unwrap()
                .remove(0)
        };
        assert_floats(&made("value_float", 1.5.into()), &[], &[1.5]);
        assert_floats(
            &made("value_floats", Attribute::Floats(vec![1.0, 2.0])),
            &[2],
            &[1.0, 2.0],
        );
        assert_ints(&made("value_int", 7.into()), &[], &[7]);
        assert_ints(&made("value_ints", vec![7, 8].into()), &[2], &[7, 8]);
        let data = TensorData::new(vec![true, false], [2, 1]);
        assert_ints(
            &made("value", Attribute::Tensor(String::new(), data)),
            &[2, 1],
            &[1, 0],
        );
    }

    #[test]
    fn no_value_and_texts_are_refused() {
        let read = |name: &'static str, attribute: Attribute| {
            run_op("Constant", 13, &[(name, attribute)], &[]).map(|_| ())
        };
        assert!(matches!(
            run_op("Constant", 13, &[], &[]),
            Err(OpError::MissingAttribute { .. })
        ));
        assert!(read("value_string", "text".into()).is_err());
    }
}
