//! `QuantizeLinear`, `DequantizeLinear`: floats as small integers and back.
//! <https://onnx.ai/onnx/operators/onnx__QuantizeLinear.html>
//!
//! Quantise: y = saturate(round(x / s) + z), halves to the even neighbour. Dequantise: y = (x − z)
//! · s. Scale s and zero point z are numbers, or one for each entry of `axis` (opset 13; before,
//! numbers alone).
//!
//! Quantised data runs as floats that hold whole numbers, which `f32` does exactly: it stays on the
//! network's device, and what only moves elements (Reshape, MaxPool) takes it as it is. Stored
//! weights are integers as in the file.
//!
//! How far `QuantizeLinear` saturates follows from the type of its zero point, which must be
//! stored; `uint8` without one, or as `output_dtype` says (opset 21). Blocks and types of other
//! than 8 or 16 bits are refused.

use burn::tensor::{DType, Device};

use crate::op::{ElementType, Fact, Inputs, NodeReader, Op, OpError, Operator, RunContext, resolve_axis};
use crate::value::{Kind, Value};

/// Floats as whole numbers in the range of an integer type.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct QuantizeLinear {
    /// The axis that scale and zero point run along, where they are no single numbers.
    pub axis: i64,
    /// Least and largest of the whole numbers.
    pub range: [f32; 2],
}

/// Whole numbers as the floats that they stand for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DequantizeLinear {
    /// The axis that scale and zero point run along, where they are no single numbers.
    pub axis: i64,
}

/// Least and largest number of an integer type that tensors are quantised to.
pub fn range(element: ElementType) -> Option<[f32; 2]> {
    Some(match element {
        ElementType::Uint8 => [0.0, 255.0],
        ElementType::Int8 => [-128.0, 127.0],
        ElementType::Uint16 => [0.0, 65_535.0],
        ElementType::Int16 => [-32_768.0, 32_767.0],
        _ => return None,
    })
}

/// Refuses scales and zero points that do not belong to `x`.
fn check(x: &Fact, axis: i64, inputs: &Inputs<'_, Fact>, names: [&'static str; 2]) -> Result<(), OpError> {
    let scale = inputs.of_kind(1, names[0], Kind::Float)?;
    for (fact, name) in [(Some(scale), names[0]), (inputs.optional(2), names[1])] {
        let Some(fact) = fact else { continue };
        if fact.dims != scale.dims && !(fact.len() == 1 && scale.len() == 1) {
            return Err(OpError::Shape {
                name,
                got: fact.dims.clone(),
                expected: format!("{:?}, as the scale has", scale.dims),
            });
        }
        if fact.kind == Kind::Bool {
            return Err(OpError::Kind {
                name,
                expected: Kind::Int,
                got: fact.kind,
            });
        }
        let fits = match fact.dims.as_slice() {
            [] | [1] => true,
            [entries] => x.dims[resolve_axis(axis, x.rank())?] == *entries,
            _ => false,
        };
        if !fits {
            return Err(OpError::Shape {
                name,
                got: fact.dims.clone(),
                expected: format!("one number, or one for each entry of axis {axis} of {:?}", x.dims),
            });
        }
    }
    Ok(())
}

/// A scale or zero point as floats that broadcast against `x`, where `x` lives.
fn along(parameter: &Value, axis: i64, x: &Value, device: &Device) -> Result<Value, OpError> {
    let parameter = parameter.clone().cast(Kind::Float);
    let parameter = if x.kind() == Kind::Float {
        parameter.to_device(&x.device())
    } else {
        parameter.to_device(device)
    };
    let mut dims = vec![1; x.rank()];
    if parameter.len() > 1 {
        dims[resolve_axis(axis, x.rank())?] = parameter.len();
    }
    Ok(parameter.reshape(&dims).expand(&x.dims()))
}

impl Op for QuantizeLinear {
    fn name(&self) -> &'static str {
        "QuantizeLinear"
    }

    fn infer(&self, inputs: &Inputs<'_, Fact>) -> Result<Vec<Fact>, OpError> {
        let x = inputs.of_kind(0, "x", Kind::Float)?;
        check(x, self.axis, inputs, ["y_scale", "y_zero_point"])?;
        Ok(vec![Fact::float(x.dims.clone())])
    }

    fn run(&self, inputs: &Inputs<'_, Value>, context: &RunContext) -> Result<Vec<Value>, OpError> {
        let x = inputs.required(0, "x")?.clone();
        if x.is_empty() {
            return Ok(vec![x]);
        }
        let scalar = x.is_scalar();
        let scale = along(inputs.required(1, "y_scale")?, self.axis, &x, &context.device)?.float::<1>();
        let zero = inputs.optional(2);
        let zero = zero
            .map(|zero| along(zero, self.axis, &x, &context.device))
            .transpose()?;
        let mut y = (x.float::<1>() / scale).round();
        if let Some(zero) = zero {
            y = y + zero.float::<1>();
        }
        let y = Value::from(y.clamp(self.range[0], self.range[1]));
        Ok(vec![y.scalar_if(scalar)])
    }
}

impl Op for DequantizeLinear {
    fn name(&self) -> &'static str {
        "DequantizeLinear"
    }

    fn infer(&self, inputs: &Inputs<'_, Fact>) -> Result<Vec<Fact>, OpError> {
        let x = inputs.required(0, "x")?;
        if x.kind == Kind::Bool {
            return Err(OpError::Kind {
                name: "x",
                expected: Kind::Int,
                got: x.kind,
            });
        }
        check(x, self.axis, inputs, ["x_scale", "x_zero_point"])?;
        Ok(vec![Fact::float(x.dims.clone())])
    }

    fn run(&self, inputs: &Inputs<'_, Value>, context: &RunContext) -> Result<Vec<Value>, OpError> {
        let x = inputs.required(0, "x")?.clone();
        let scalar = x.is_scalar();
        let x = if x.kind() == Kind::Float {
            x
        } else {
            x.cast(Kind::Float).to_device(&context.device)
        };
        if x.is_empty() {
            return Ok(vec![x]);
        }
        let scale = along(inputs.required(1, "x_scale")?, self.axis, &x, &context.device)?;
        let zero = inputs.optional(2);
        let zero = zero
            .map(|zero| along(zero, self.axis, &x, &context.device))
            .transpose()?;
        let mut y = x.float::<1>();
        if let Some(zero) = zero {
            y = y - zero.float::<1>();
        }
        Ok(vec![Value::from(y * scale.float::<1>()).scalar_if(scalar)])
    }
}

fn axis(node: &NodeReader<'_>) -> Result<i64, OpError> {
    if node.opset >= 21
        && let Some(size) = node.int("block_size")?
        && size != 0
    {
        return Err(node.bad("block_size", size.to_string(), "0"));
    }
    if node.opset < 13 {
        return Ok(1);
    }
    Ok(node.int("axis")?.unwrap_or(1))
}

fn read_quantize(node: &NodeReader<'_>) -> Result<Box<dyn Op>, OpError> {
    let axis = axis(node)?;
    if node.opset >= 19 {
        node.flag("saturate", true)?;
    }
    let mut element = ElementType::Uint8;
    if node.opset >= 21
        && let Some(code) = node.int("output_dtype")?
        && code != 0
    {
        let known = ElementType::from_code(code).filter(|element| range(*element).is_some());
        element =
            known.ok_or_else(|| node.bad("output_dtype", code.to_string(), "a type of 8 or 16 bits"))?;
    } else if node.inputs > 2 {
        element = match node.stored_type(2) {
            Some(DType::U8) => ElementType::Uint8,
            Some(DType::I8) => ElementType::Int8,
            Some(DType::U16) => ElementType::Uint16,
            Some(DType::I16) => ElementType::Int16,
            _ => {
                let what = "a zero point that is not stored as an integer of 8 or 16 bits".to_owned();
                return Err(OpError::Unsupported { what });
            }
        };
    }
    let range = range(element).unwrap_or([0.0, 255.0]);
    Ok(Box::new(QuantizeLinear { axis, range }))
}

fn read_dequantize(node: &NodeReader<'_>) -> Result<Box<dyn Op>, OpError> {
    Ok(Box::new(DequantizeLinear { axis: axis(node)? }))
}

/// The table's entries.
pub(crate) const OPERATORS: &[Operator] = &[
    Operator {
        name: "QuantizeLinear",
        forms: &[13],
        read: read_quantize,
    },
    Operator {
        name: "DequantizeLinear",
        forms: &[13],
        read: read_dequantize,
    },
];

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_floats, floats, infer_op, ints, run_op};
    use super::*;

    #[test]
    fn halves_go_to_the_even_neighbour_and_ends_saturate() {
        // onnxruntime: QuantizeLinear of [0.5, 1.5, 2.5, -0.5, 300, -5] with scale 1, uint8: [0, 2,
        // 2, 0, 255, 0]
        let x = floats(&[6], &[0.5, 1.5, 2.5, -0.5, 300.0, -5.0]);
        let made = run_op("QuantizeLinear", 13, &[], &[Some(x), Some(floats(&[], &[1.0]))]).unwrap();
        assert_floats(&made[0], &[6], &[0.0, 2.0, 2.0, 0.0, 255.0, 0.0]);
    }

    #[test]
    fn a_scale_for_each_channel_runs_along_its_axis() {
        // ([[1, 2], [3, 4]] - [[0], [1]]) * [[0.5], [2.0]]
        let inputs = [
            Some(ints(&[2, 2], &[1, 2, 3, 4])),
            Some(floats(&[2], &[0.5, 2.0])),
            Some(ints(&[2], &[0, 1])),
        ];
        let made = run_op("DequantizeLinear", 13, &[("axis", 0.into())], &inputs).unwrap();
        assert_floats(&made[0], &[2, 2], &[0.5, 1.0, 4.0, 6.0]);
    }

    #[test]
    fn a_scale_of_another_length_is_refused() {
        let inputs = [Some(Fact::float([2, 3])), Some(Fact::float([2]))];
        assert!(matches!(
            infer_op("QuantizeLinear", 13, &[], &inputs),
            Err(OpError::Shape { name: "y_scale", .. })
        ));
    }
}
