//! `RMSNormalization`: each sample over the root of its mean square, then scaled; Zhang and
//! Sennrich 2019 (arXiv 1910.07467). <https://onnx.ai/onnx/operators/onnx__RMSNormalization.html>
//!
//! y = x / √(mean(x²) + epsilon) · scale over the axes from `axis` on. Opset 23 introduced it. A
//! `stash_type` other than 32-bit floats is refused.

use burn::tensor::Tensor;

use crate::op::{Fact, Inputs, NodeReader, Op, OpError, Operator, Role, RunContext, broadcast, resolve_axis};
use crate::value::{Kind, Value};

/// Root mean square normalisation.
#[derive(Clone, Copy, Debug)]
pub struct RmsNorm {
    /// The first normalised axis, as written.
    pub axis: i64,
    /// Added to the mean square.
    pub epsilon: f32,
}

impl Op for RmsNorm {
    fn name(&self) -> &'static str {
        "RMSNormalization"
    }

    fn infer(&self, inputs: &Inputs<'_, Fact>) -> Result<Vec<Fact>, OpError> {
        let x = inputs.filled(0, "X")?;
        let part = &x.dims[resolve_axis(self.axis, x.rank())?..];
        let scale = inputs.of_kind(1, "scale", Kind::Float)?;
        if broadcast(&scale.dims, part).ok().as_deref() != Some(part) {
            return Err(OpError::Shape {
                name: "scale",
                got: scale.dims.clone(),
                expected: format!("something that broadcasts to the normalised axes {part:?}"),
            });
        }
        Ok(vec![Fact::float(x.dims.clone())])
    }

    fn run(&self, inputs: &Inputs<'_, Value>, _context: &RunContext) -> Result<Vec<Value>, OpError> {
        let x = inputs.required(0, "X")?.clone();
        let dims = x.dims();
        let part = &dims[resolve_axis(self.axis, dims.len())?..];
        let width: usize = part.iter().product();
        let scale = inputs.required(1, "scale")?.clone().expand(part);
        let scale: Tensor<2> = scale.reshape(&[1, width]).float();
        let rows: Tensor<2> = x.clone().reshape(&[x.len() / width, width]).float();
        let square = rows.clone() * rows.clone();
        let root = (square.mean_dim(1) + self.epsilon).sqrt();
        Ok(vec![Value::from(rows / root * scale).reshape(&dims)])
    }

    fn role(&self, _input: usize) -> Role {
        Role::Weight
    }
}

fn read(node: &NodeReader<'_>) -> Result<Box<dyn Op>, OpError> {
    // ONNX's number for 32-bit floats.
    if let Some(stash) = node.int("stash_type")?.filter(|stash| *stash != 1) {
        return Err(OpError::Unsupported {
            what: format!("`stash_type = {stash}`"),
        });
    }
    Ok(Box::new(RmsNorm {
        axis: node.int("axis")?.unwrap_or(-1),
        epsilon: node.float("epsilon", 1e-5)?,
    }))
}

/// The table's entries.
pub(crate) const OPERATORS: &[Operator] = &[Operator {
    name: "RMSNormalization",
    forms: &[23],
    read,
}];

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_floats, assert_gradients, floats, run_op, waves};
    use super::*;

    #[test]
    fn rows_are_scaled_to_mean_square_1() {
        // torch.nn.functional.rms_norm(torch.tensor([[3., 4.], [0., 2.]]), [2], torch.tensor([1.,
        // 2.]), 0.0)
        let inputs = [
            Some(floats(&[2, 2], &[3.0, 4.0, 0.0, 2.0])),
            Some(floats(&[2], &[1.0, 2.0])),
        ];
        let made = run_op("RMSNormalization", 23, &[("epsilon", 0.0.into())], &inputs).unwrap();
        assert_floats(&made[0], &[2, 2], &[0.848_528_1, 2.262_741_7, 0.0, 2.828_427]);
    }

    #[test]
    fn several_axes_have_gradients() {
        let inputs = [Some(waves(&[2, 2, 2], 0.0, 0.7)), Some(waves(&[2, 2], 0.4, 0.9))];
        assert_gradients("RMSNormalization", 23, &[("axis", 1.into())], &inputs, &[0, 1]);
        let wide = [inputs[0].clone(), Some(waves(&[3], 0.4, 0.9))];
        let refused = run_op("RMSNormalization", 23, &[], &wide);
        assert!(matches!(refused, Err(OpError::Shape { name: "scale", .. })));
    }
}
