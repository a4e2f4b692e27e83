//! `MeanVarianceNormalization`: mean 0 and variance 1 over some axes.
//! <https://onnx.ai/onnx/operators/onnx__MeanVarianceNormalization.html>
//!
//! y = (x − mean) / (√var + 10⁻⁹) over `axes`, which are batch, height and width unless given: then
//! what is made of one picture depends on the others. Opset 9 introduced it, 13 adds bfloat16.

use burn::tensor::Tensor;

use super::shaped::resolve_axes;
use crate::op::{Fact, Inputs, NodeReader, Op, OpError, Operator, RunContext};
use crate::value::Value;

/// Normalisation without weights.
#[derive(Clone, Debug)]
pub struct MeanVarianceNormalization {
    /// The axes, as written.
    pub axes: Vec<i64>,
}

/// What the specification adds to the deviation.
const EPSILON: f32 = 1e-9;

impl Op for MeanVarianceNormalization {
    fn name(&self) -> &'static str {
        "MeanVarianceNormalization"
    }

    fn infer(&self, inputs: &Inputs<'_, Fact>) -> Result<Vec<Fact>, OpError> {
        let x = inputs.filled(0, "X")?;
        resolve_axes(&self.axes, x.rank())?;
        Ok(vec![Fact::float(x.dims.clone())])
    }

    fn run(&self, inputs: &Inputs<'_, Value>, _context: &RunContext) -> Result<Vec<Value>, OpError> {
        let x = inputs.required(0, "X")?.clone();
        let dims = x.dims();
        let axes = resolve_axes(&self.axes, dims.len())?;
        if axes.is_empty() {
            return Ok(vec![x.elementwise(|x| x.zeros_like())]);
        }
        // The axes that stay first, those of the mean last.
        let mut order: Vec<usize> = (0..dims.len()).filter(|axis| !axes.contains(axis)).collect();
        order.extend(&axes);
        let width: usize = axes.iter().map(|axis| dims[*axis]).product();
        let moved: Vec<usize> = order.iter().map(|axis| dims[*axis]).collect();
        let rows: Tensor<2> = x
            .clone()
            .permute(&order)
            .reshape(&[x.len() / width, width])
            .float();
        let centred = rows.clone() - rows.mean_dim(1);
        let deviation = centred.clone().square().mean_dim(1).sqrt();
        let mut back = vec![0; order.len()];
        for (place, axis) in order.iter().enumerate() {
            back[*axis] = place;
        }
        Ok(vec![
            Value::from(centred / (deviation + EPSILON))
                .reshape(&moved)
                .permute(&back),
        ])
    }
}

fn read(node: &NodeReader<'_>) -> Result<Box<dyn Op>, OpError> {
    let axes = node.ints("axes")?.unwrap_or_else(|| vec![0, 2, 3]);
    Ok(Box::new(MeanVarianceNormalization { axes }))
}

/// The table's entries.
pub(crate) const OPERATORS: &[Operator] = &[Operator {
    name: "MeanVarianceNormalization",
    forms: &[],
    read,
}];

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_floats, assert_gradients, infer_op, ramp, run_op, waves};
    use super::*;

    #[test]
    fn rows_get_mean_zero_and_variance_one() {
        // (x - x.mean(1, keepdims=True)) / x.std(1, keepdims=True), x = np.arange(6.).reshape(2, 3)
        let x = [Some(ramp(&[2, 3], 0.0, 1.0))];
        let attributes = [("axes", vec![1_i64].into())];
        let made = run_op("MeanVarianceNormalization", 13, &attributes, &x).unwrap();
        let row = [-1.224745, 0.0, 1.224745];
        assert_floats(&made[0], &[2, 3], &[row, row].concat());
        let x = [Some(waves(&[2, 3, 2, 2], 0.0, 0.7))];
        assert_gradients("MeanVarianceNormalization", 9, &[], &x, &[0]);
    }

    #[test]
    fn axes_outside_are_refused() {
        let flat = infer_op("MeanVarianceNormalization", 9, &[], &[Some(Fact::float([2, 3]))]);
        assert!(matches!(flat.unwrap_err(), OpError::Axis { .. }));
    }
}
