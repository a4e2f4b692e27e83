//! `InstanceNormalization`: each channel of each sample to mean 0 and variance 1, then scaled and
//! shifted. <https://onnx.ai/onnx/operators/onnx__InstanceNormalization.html>
//!
//! y = (x − mean) / √(var + epsilon) · scale + B over the spatial axes; Ulyanov, Vedaldi and
//! Lempitsky 2016 (arXiv 1607.08022). One form since opset 6.

use burn::tensor::Tensor;

use super::standardise::standardise;
use crate::op::{Fact, Inputs, NodeReader, Op, OpError, Operator, Role, RunContext};
use crate::value::{Kind, Value};

/// Instance normalisation of `[batch, channels, spatial…]`.
#[derive(Clone, Debug)]
pub struct InstanceNorm {
    /// Added to the variance.
    pub epsilon: f64,
}

impl Op for InstanceNorm {
    fn name(&self) -> &'static str {
        "InstanceNormalization"
    }

    fn infer(&self, inputs: &Inputs<'_, Fact>) -> Result<Vec<Fact>, OpError> {
        let x = inputs.filled(0, "input")?;
        if x.rank() < 3 {
            return Err(OpError::Shape {
                name: "input",
                got: x.dims.clone(),
                expected: "[batch, channels, spatial…]".to_owned(),
            });
        }
        for (index, name) in [(1, "scale"), (2, "B")] {
            let fact = inputs.of_kind(index, name, Kind::Float)?;
            if fact.dims != [x.dims[1]] {
                return Err(OpError::Shape {
                    name,
                    got: fact.dims.clone(),
                    expected: format!("[{}], one element per channel", x.dims[1]),
                });
            }
        }
        Ok(vec![Fact::float(x.dims.clone())])
    }

    fn run(&self, inputs: &Inputs<'_, Value>, _context: &RunContext) -> Result<Vec<Value>, OpError> {
        let x = inputs.required(0, "input")?.clone();
        let dims = x.dims();
        let channels = dims[1];
        let width = x.len() / (dims[0] * channels);
        let per_channel = |index: usize, name: &'static str| -> Result<Tensor<3>, OpError> {
            Ok(inputs
                .required(index, name)?
                .clone()
                .reshape(&[1, channels, 1])
                .float())
        };
        let (scale, bias) = (per_channel(1, "scale")?, per_channel(2, "B")?);
        let y = standardise(x, width, self.epsilon).reshape(&[dims[0], channels, width]);
        Ok(vec![Value::from(y.float::<3>() * scale + bias).reshape(&dims)])
    }

    fn role(&self, _input: usize) -> Role {
        Role::Weight
    }
}

fn read(node: &NodeReader<'_>) -> Result<Box<dyn Op>, OpError> {
    Ok(Box::new(InstanceNorm {
        epsilon: f64::from(node.float("epsilon", 1e-5)?),
    }))
}

/// The table's entries.
pub(crate) const OPERATORS: &[Operator] = &[Operator {
    name: "InstanceNormalization",
    forms: &[],
    read,
}];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{assert_floats, assert_gradients, infer_op, run_op, waves};

    #[test]
    fn each_channel_of_each_sample_is_normalised_as_pytorch_does() {
        // torch.nn.functional.instance_norm(x, weight=w, bias=b): x = sin(arange(12) *
        // 0.7).reshape(2, 2, 3), w = sin(arange(2) * 0.9 + 0.4), b = sin(arange(2))
        let inputs = [
            Some(waves(&[2, 2, 3], 0.0, 0.7)),
            Some(waves(&[2], 0.4, 0.9)),
            Some(waves(&[2], 0.0, 1.0)),
        ];
        let made = run_op("InstanceNormalization", 9, &[], &inputs).unwrap();
        assert_floats(
            &made[0],
            &[2, 2, 3],
            &[
                -0.517709, 0.096252, 0.421457, 1.967354, 0.943286, -0.386227, -0.114593, -0.409089, 0.523682,
                -0.442264, 1.087612, 1.879065,
            ],
        );
        assert_gradients("InstanceNormalization", 9, &[], &inputs, &[0, 1, 2]);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let fact = |dims: &[usize]| Some(Fact::float(dims));
        let infer = |x: &[usize], scale: &[usize]| {
            infer_op(
                "InstanceNormalization",
                9,
                &[],
                &[fact(x), fact(scale), fact(scale)],
            )
            .unwrap_err()
        };
        let flat = infer(&[2, 3], &[3]);
        assert!(matches!(flat, OpError::Shape { name: "input", .. }), "{flat}");
        let scale = infer(&[2, 3, 4], &[4]);
        assert!(matches!(scale, OpError::Shape { name: "scale", .. }), "{scale}");
    }
}
