//! `LayerNormalization`: each sample to mean 0 and variance 1 over its last axes, then scaled and
//! shifted. <https://onnx.ai/onnx/operators/onnx__LayerNormalization.html>
//!
//! y = (x − mean) / √(var + epsilon) · scale + bias over the axes from `axis` on; Ba, Kiros and
//! Hinton 2016 (arXiv 1607.06450).
//!
//! Since opset 17, in one form. The optional outputs `Mean` and `InvStdDev` are refused, and so is
//! a `stash_type` other than 32-bit floats.

use burn::backend::Dispatch;
use burn::backend::ops::ModuleOps;

use crate::op::{Fact, Inputs, NodeReader, Op, OpError, Operator, Role, RunContext, broadcast, resolve_axis};
use crate::value::{Kind, Value};

/// Layer normalisation.
#[derive(Clone, Debug)]
pub struct LayerNorm {
    /// The first normalised axis, as written.
    pub axis: i64,
    /// Added to the variance.
    pub epsilon: f64,
}

/// Names of the inputs that are applied to each normalised part.
const PER_PART: [&str; 2] = ["Scale", "B"];

impl Op for LayerNorm {
    fn name(&self) -> &'static str {
        "LayerNormalization"
    }

    fn infer(&self, inputs: &Inputs<'_, Fact>) -> Result<Vec<Fact>, OpError> {
        let x = inputs.filled(0, "X")?;
        let part = &x.dims[resolve_axis(self.axis, x.rank())?..];
        inputs.of_kind(1, PER_PART[0], Kind::Float)?;
        for (index, name) in PER_PART.into_iter().enumerate() {
            if let Some(fact) = inputs.optional_float(index + 1, name)?
                && broadcast(&fact.dims, part).ok().as_deref() != Some(part)
            {
                return Err(OpError::Shape {
                    name,
                    got: fact.dims.clone(),
                    expected: format!("something that broadcasts to the normalised axes {part:?}"),
                });
            }
        }
        Ok(vec![Fact::float(x.dims.clone())])
    }

    fn run(&self, inputs: &Inputs<'_, Value>, _context: &RunContext) -> Result<Vec<Value>, OpError> {
        let x = inputs.required(0, "X")?.clone();
        let dims = x.dims();
        let part = &dims[resolve_axis(self.axis, dims.len())?..];
        let width: usize = part.iter().product();
        let row = |value: &Value| value.clone().expand(part).reshape(&[width]).into_dispatch();
        let scale = row(inputs.required(1, PER_PART[0])?);
        let bias = inputs.optional(2).map(row);
        let rows = x.clone().reshape(&[x.len() / width, width]);
        let y = Dispatch::layer_norm(rows.into_dispatch(), scale, bias, self.epsilon);
        Ok(vec![Value::new(y).reshape(&dims)])
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
    if node.outputs > 1 {
        return Err(OpError::Unsupported {
            what: "the output `Mean` or `InvStdDev`".to_owned(),
        });
    }
    Ok(Box::new(LayerNorm {
        axis: node.int("axis")?.unwrap_or(-1),
        epsilon: f64::from(node.float("epsilon", 1e-5)?),
    }))
}

/// The table's entries.
pub(crate) const OPERATORS: &[Operator] = &[Operator {
    name: "LayerNormalization",
    forms: &[],
    read,
}];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{assert_floats, assert_gradients, infer_op, run_op, waves};

    #[test]
    fn the_last_axis_is_normalised_as_pytorch_does() {
        // torch.nn.functional.layer_norm(x, [3], w, b): x = sin(arange(6) * 0.7).reshape(2, 3), w =
        // sin(arange(3) * 0.9 + 0.4), b = sin(arange(3))
        let inputs = [
            Some(waves(&[2, 3], 0.0, 0.7)),
            Some(waves(&[3], 0.4, 0.9)),
            Some(waves(&[3], 0.0, 1.0)),
        ];
        let made = run_op("LayerNormalization", 17, &[], &inputs).unwrap();
        assert_floats(
            &made[0],
            &[2, 3],
            &[-0.517709, 1.079632, 1.784311, 0.455021, 0.943286, -0.120831],
        );
        assert_gradients("LayerNormalization", 17, &[], &inputs, &[0, 1, 2]);
    }

    #[test]
    fn several_axes_without_bias_agree_with_onnx_runtime() {
        // onnxruntime 1.32: LayerNormalization-17, axis = 1, epsilon = 0.01, X = sin(arange(8) *
        // 0.7).reshape(2, 2, 2), Scale = sin(arange(4) * 0.9 + 0.4).reshape(2, 2)
        let inputs = [Some(waves(&[2, 2, 2], 0.0, 0.7)), Some(waves(&[2, 2], 0.4, 0.9))];
        let attributes = [("axis", 1.into()), ("epsilon", 0.01.into())];
        let made = run_op("LayerNormalization", 17, &attributes, &inputs).unwrap();
        assert_floats(
            &made[0],
            &[2, 2, 2],
            &[
                -0.617613, 0.05149, 0.745284, 0.025395, 0.588952, 0.211883, -0.615796, -0.040359,
            ],
        );
        assert_gradients("LayerNormalization", 17, &attributes, &inputs, &[0, 1]);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let fact = |dims: &[usize]| Some(Fact::float(dims));
        let infer = |attributes: &[(&'static str, crate::op::Attribute)], inputs: &[Option<Fact>]| {
            infer_op("LayerNormalization", 17, attributes, inputs).unwrap_err()
        };
        let scale = infer(&[], &[fact(&[2, 3]), fact(&[2])]);
        assert!(matches!(scale, OpError::Shape { name: "Scale", .. }), "{scale}");
        let wide = infer(&[], &[fact(&[2, 3]), fact(&[2, 3])]);
        assert!(matches!(wide, OpError::Shape { name: "Scale", .. }), "{wide}");
        let axis = infer(&[("axis", 2.into())], &[fact(&[2, 3]), fact(&[3])]);
        assert_eq!(axis, OpError::Axis { axis: 2, rank: 2 });
        let stash = infer(&[("stash_type", 16.into())], &[fact(&[2, 3]), fact(&[3])]);
        assert!(matches!(stash, OpError::Unsupported { .. }), "{stash}");
    }
}
