//! `GroupNormalization`: groups of channels to mean 0 and variance 1, then scaled and shifted.
//! <https://onnx.ai/onnx/operators/onnx__GroupNormalization.html>
//!
//! y = (x − mean) / √(var + epsilon) · scale + bias over each group's channels and spatial axes; Wu
//! and He 2018 (arXiv 1803.08494).
//!
//! Opset 18 has one scale and one bias per group, which is not what the paper and PyTorch do; 21
//! has one per channel and adds `stash_type`.

use burn::tensor::Tensor;

use super::standardise::standardise;
use crate::op::{Fact, Inputs, NodeReader, Op, OpError, Operator, Role, RunContext};
use crate::value::{Kind, Value};

/// Group normalisation of `[batch, channels, …]`.
#[derive(Clone, Debug)]
pub struct GroupNorm {
    /// Groups of channels.
    pub groups: usize,
    /// Added to the variance.
    pub epsilon: f64,
    /// Whether scale and bias have one element per group (opset 18) instead of one per channel
    /// (opset 21).
    pub per_group: bool,
}

impl Op for GroupNorm {
    fn name(&self) -> &'static str {
        "GroupNormalization"
    }

    fn infer(&self, inputs: &Inputs<'_, Fact>) -> Result<Vec<Fact>, OpError> {
        let x = inputs.filled(0, "X")?;
        if x.rank() < 2 || !x.dims[1].is_multiple_of(self.groups) {
            return Err(OpError::Shape {
                name: "X",
                got: x.dims.clone(),
                expected: format!(
                    "[batch, channels, …] with channels divisible by {} groups",
                    self.groups
                ),
            });
        }
        let expected = if self.per_group { self.groups } else { x.dims[1] };
        for (index, name) in [(1, "scale"), (2, "bias")] {
            let fact = inputs.of_kind(index, name, Kind::Float)?;
            if fact.dims != [expected] {
                return Err(OpError::Shape {
                    name,
                    got: fact.dims.clone(),
                    expected: format!("[{expected}]"),
                });
            }
        }
        Ok(vec![Fact::float(x.dims.clone())])
    }

    fn run(&self, inputs: &Inputs<'_, Value>, _context: &RunContext) -> Result<Vec<Value>, OpError> {
        let x = inputs.required(0, "X")?.clone();
        let dims = x.dims();
        let parts = if self.per_group { self.groups } else { dims[1] };
        let shape = [dims[0], parts, x.len() / (dims[0] * parts)];
        let per_part = |index: usize, name: &'static str| -> Result<Tensor<3>, OpError> {
            Ok(inputs
                .required(index, name)?
                .clone()
                .reshape(&[1, parts, 1])
                .float())
        };
        let (scale, bias) = (per_part(1, "scale")?, per_part(2, "bias")?);
        let width = x.len() / (dims[0] * self.groups);
        let y: Tensor<3> = standardise(x, width, self.epsilon).reshape(&shape).float();
        Ok(vec![Value::from(y * scale + bias).reshape(&dims)])
    }

    fn role(&self, _input: usize) -> Role {
        Role::Weight
    }
}

fn read(node: &NodeReader<'_>) -> Result<Box<dyn Op>, OpError> {
    let groups = node.required_int("num_groups")?;
    let groups = usize::try_from(groups)
        .ok()
        .filter(|groups| *groups > 0)
        .ok_or_else(|| node.bad("num_groups", groups.to_string(), "a number of 1 or more"))?;
    // ONNX's number for 32-bit floats.
    if let Some(stash) = node.int("stash_type")?.filter(|stash| *stash != 1) {
        return Err(OpError::Unsupported {
            what: format!("`stash_type = {stash}`"),
        });
    }
    Ok(Box::new(GroupNorm {
        groups,
        epsilon: f64::from(node.float("epsilon", 1e-5)?),
        per_group: node.opset < 21,
    }))
}

/// The table's entries.
pub(crate) const OPERATORS: &[Operator] = &[Operator {
    name: "GroupNormalization",
    forms: &[21],
    read,
}];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{assert_floats, assert_gradients, infer_op, run_op, waves};

    #[test]
    fn scale_per_channel_agrees_with_pytorch() {
        // torch.nn.functional.group_norm(x, 2, w, b): x = sin(arange(8) * 0.7).reshape(1, 4, 2),
        // w = sin(arange(4) * 0.9 + 0.4), b = sin(arange(4))
        let inputs = [
            Some(waves(&[1, 4, 2], 0.0, 0.7)),
            Some(waves(&[4], 0.4, 0.9)),
            Some(waves(&[4], 0.0, 1.0)),
        ];
        let attributes = [("num_groups", 2.into())];
        let made = run_op("GroupNormalization", 21, &attributes, &inputs).unwrap();
        assert_floats(
            &made[0],
            &[1, 4, 2],
            &[
                -0.638616, 0.021517, 1.7599, 1.449962, 2.154349, 1.090324, 0.108872, 0.100025,
            ],
        );
        assert_gradients("GroupNormalization", 21, &attributes, &inputs, &[0, 1, 2]);
    }

    #[test]
    fn scale_per_group_agrees_with_onnx_runtime() {
        // onnxruntime 1.32: GroupNormalization-18, num_groups = 2, X as above with batch 2, scale =
        // sin([0.4, 1.3]), bias = sin([0, 1])
        let inputs = [
            Some(waves(&[2, 4, 1, 2], 0.0, 0.7)),
            Some(waves(&[2], 0.4, 0.9)),
            Some(waves(&[2], 0.0, 1.0)),
        ];
        let attributes = [("num_groups", 2.into())];
        let made = run_op("GroupNormalization", 18, &attributes, &inputs).unwrap();
        assert_floats(
            &made[0],
            &[2, 4, 1, 2],
            &[
                -0.638616, 0.021517, 0.37118, 0.245919, 2.325311, 1.057216, 0.094193, -0.110836, -0.557661,
                -0.1511, 0.2505, 0.458261, 2.116807, 1.33426, 0.3324, -0.417582,
            ],
        );
        assert_gradients("GroupNormalization", 18, &attributes, &inputs, &[0, 1, 2]);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let fact = |dims: &[usize]| Some(Fact::float(dims));
        let infer = |groups: i64, x: &[usize], scale: &[usize]| {
            let inputs = [fact(x), fact(scale), fact(scale)];
            infer_op(
                "GroupNormalization",
                21,
                &[("num_groups", groups.into())],
                &inputs,
            )
            .unwrap_err()
        };
        let groups = infer(3, &[1, 4, 2], &[4]);
        assert!(matches!(groups, OpError::Shape { name: "X", .. }), "{groups}");
        let scale = infer(2, &[1, 4, 2], &[2]);
        assert!(matches!(scale, OpError::Shape { name: "scale", .. }), "{scale}");
        let none = infer(0, &[1, 4, 2], &[4]);
        assert!(matches!(none, OpError::BadAttribute { .. }), "{none}");
    }
}
