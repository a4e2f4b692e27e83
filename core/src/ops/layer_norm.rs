//! `LayerNormalization`: each sample to mean 0 and variance 1 over its last axes, then scaled and
//! shifted. <https://onnx.ai/onnx/operators/onnx__LayerNormalization.html>
//!
//! y = (x − mean) / √(var + epsilon) · scale + bias over the axes from `axis` on; Ba, Kiros and
//! Hinton 2016 (arXiv 1607.06450).
//!
//! Since opset 17, in one form. The optional outputs are the mean and 1 / √(var + epsilon) of each
//! part, with extents of 1 for its axes. A `stash_type` other than 32-bit floats is refused.

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
    /// How many of the outputs are wanted.
    pub outputs: usize,
}

/// Names of the inputs that are applied to each normalised part.
const PER_PART: [&str; 2] = ["Scale", "B"];

impl Op for LayerNorm {
    fn name(&self) -> &'static str {
        "LayerNormalization"
    }

    fn infer(&self, inputs: &Inputs<'_, Fact>) -> Result<Vec<Fact>, OpError> {
        let x = inputs.filled(0, "X")?;
        let axis = resolve_axis(self.axis, x.rank())?;
        let part = &x.dims[axis..];
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
        let mut facts = vec![Fact::float(x.dims.clone())];
        let mut of_parts = x.dims.clone();
        of_parts[axis..].fill(1);
        facts.resize(self.outputs.max(1), Fact::float(of_parts));
        Ok(facts)
    }

    fn run(&self, inputs: &Inputs<'_, Value>, _context: &RunContext) -> Result<Vec<Value>, OpError> {
        let x = inputs.required(0, "X")?.clone();
        let dims = x.dims();
        let axis = resolve_axis(self.axis, dims.len())?;
        let part = &dims[axis..];
        let width: usize = part.iter().product();
        let row = |value: &Value| value.clone().expand(part).reshape(&[width]).into_dispatch();
        let scale = row(inputs.required(1, PER_PART[0])?);
        let bias = inputs.optional(2).map(row);
        let rows = x.clone().reshape(&[x.len() / width, width]);
        let y = Dispatch::layer_norm(rows.clone().into_dispatch(), scale, bias, self.epsilon);
        let mut made = vec![Value::new(y).reshape(&dims)];
        if self.outputs > 1 {
            let mut of_parts = dims.clone();
            of_parts[axis..].fill(1);
            let rows = rows.float::<2>();
            let mean = rows.clone().mean_dim(1);
            let variance = (rows - mean.clone()).square().mean_dim(1);
            let deviation = (variance + self.epsilon).sqrt().recip();
            made.extend([mean, deviation].map(|value| Value::from(value).reshape(&of_parts)));
            made.truncate(self.outputs);
        }
        Ok(made)
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
    Ok(Box::new(LayerNorm {
        axis: node.int("axis")?.unwrap_or(-1),
        epsilon: f64::from(node.float("epsilon", 1e-5)?),
        outputs: node.outputs,
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
    use crate::ops::testing::{assert_floats, assert_gradients, floats, infer_op, run_op, waves};

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
    fn mean_and_deviation_are_outputs_of_their_own() {
        // x = [[1, 3], [2, 6]]: means 2 and 4, variances 1 and 4
        let inputs = [
            Some(floats(&[2, 2], &[1.0, 3.0, 2.0, 6.0])),
            Some(floats(&[2], &[1.0, 1.0])),
        ];
        let op = crate::ops::table::read("LayerNormalization", 17, 2, 3, &Default::default())
            .unwrap()
            .unwrap();
        let context = RunContext {
            mode: crate::op::Mode::Inference,
            device: burn::tensor::Device::flex(),
            precision: crate::precision::Precision::Fp32,
        };
        let made = op.run(&Inputs(&inputs), &context).unwrap();
        assert_floats(&made[1], &[2, 1], &[2.0, 4.0]);
        let deviation = [1.00001_f32, 4.00001].map(|variance| 1.0 / variance.sqrt());
        assert_floats(&made[2], &[2, 1], &deviation);
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
