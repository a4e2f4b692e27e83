//! `LRN`: local response normalisation across channels.
//! <https://onnx.ai/onnx/operators/onnx__LRN.html>
//!
//! Y[n, c, p] = X[n, c, p] / (bias + alpha / size · Σ_i X[n, i, p]²)^beta, i from c − ⌊(size − 1) /
//! 2⌋ to c + ⌈(size − 1) / 2⌉; Krizhevsky, Sutskever and Hinton 2012 (AlexNet), where alpha is not
//! divided by size. Opset 13 added bfloat16; the form never changed.

use burn::tensor::Tensor;
use burn::tensor::module::avg_pool2d;
use burn::tensor::ops::{AvgPoolOptions, PadMode};

use crate::op::{Fact, Inputs, NodeReader, Op, OpError, Operator, RunContext};
use crate::value::Value;

/// Local response normalisation of `[batch, channels, …]`.
#[derive(Clone, Debug)]
pub struct Lrn {
    /// Channels that are summed over.
    pub size: usize,
    /// Factor of the mean square.
    pub alpha: f32,
    /// Exponent.
    pub beta: f32,
    /// Summand.
    pub bias: f32,
}

impl Op for Lrn {
    fn name(&self) -> &'static str {
        "LRN"
    }

    fn infer(&self, inputs: &Inputs<'_, Fact>) -> Result<Vec<Fact>, OpError> {
        let x = inputs.filled(0, "X")?;
        if x.rank() < 2 {
            return Err(OpError::Shape {
                name: "X",
                got: x.dims.clone(),
                expected: "[batch, channels, …]".to_owned(),
            });
        }
        Ok(vec![Fact::float(x.dims.clone())])
    }

    fn run(&self, inputs: &Inputs<'_, Value>, _context: &RunContext) -> Result<Vec<Value>, OpError> {
        let x = inputs.required(0, "X")?.clone();
        let dims = x.dims();
        let (batch, channels) = (dims[0], dims[1]);
        let x: Tensor<4> = x
            .clone()
            .reshape(&[batch, 1, channels, x.len() / (batch * channels)])
            .float();
        // Channels outside count 0, so that a window of twice the channels already sees them all.
        let before = ((self.size - 1) / 2).min(channels);
        let after = (self.size / 2).min(channels);
        let window = before + after + 1;
        let squares = x
            .clone()
            .square()
            .pad([(before, after), (0, 0)], PadMode::Constant(0.0));
        let options = AvgPoolOptions {
            kernel_size: [window, 1],
            stride: [1, 1],
            padding: [(0, 0); 2],
            count_include_pad: true,
            ceil_mode: false,
        };
        let factor = f64::from(self.alpha) * window as f64 / self.size as f64;
        let base = avg_pool2d(squares, options) * factor + self.bias;
        Ok(vec![Value::from(x * base.powf_scalar(-self.beta)).reshape(&dims)])
    }
}

/// Burn raises to whole exponents as to 64-bit integers, and panics on one beyond them; networks
/// use 0.75.
const LARGEST_BETA: f32 = 1e6;

fn read(node: &NodeReader<'_>) -> Result<Box<dyn Op>, OpError> {
    let size = node.required_int("size")?;
    let size = usize::try_from(size)
        .ok()
        .filter(|size| *size > 0)
        .ok_or_else(|| node.bad("size", size.to_string(), "a number of 1 or more"))?;
    let beta = node.float("beta", 0.75)?;
    if beta.is_nan() || beta.abs() > LARGEST_BETA {
        return Err(node.bad(
            "beta",
            beta.to_string(),
            format!("a number from -{LARGEST_BETA} to {LARGEST_BETA}"),
        ));
    }
    Ok(Box::new(Lrn {
        size,
        alpha: node.float("alpha", 1e-4)?,
        beta,
        bias: node.float("bias", 1.0)?,
    }))
}

/// The table's entries.
pub(crate) const OPERATORS: &[Operator] = &[Operator {
    name: "LRN",
    forms: &[],
    read,
}];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{assert_floats, assert_gradients, infer_op, run_op, waves};

    #[test]
    fn an_exponent_beyond_all_integers_is_refused() {
        let inputs = [Some(waves(&[1, 5, 1, 2], 0.5, 0.7))];
        for beta in [f32::NAN, f32::INFINITY, 3e38] {
            let read = run_op("LRN", 13, &[("size", 3.into()), ("beta", beta.into())], &inputs);
            assert!(matches!(read, Err(OpError::BadAttribute { .. })), "{beta}");
        }
    }

    #[test]
    fn even_and_odd_windows_sum_the_channels_of_the_specification() {
        // X = sin(arange(10) * 0.7 + 0.5).reshape(1, 5, 1, 2), alpha = 0.5, beta = 0.75, bias =
        // 1.5; odd sizes: onnxruntime 1.32, LRN-13; size 4, which ONNX Runtime refuses: numpy, X[:,
        // c] / (1.5 + 0.5 / 4 * (X[:, max(0, c - 1):c + 3] ** 2).sum(1)) ** 0.75
        let inputs = [Some(waves(&[1, 5, 1, 2], 0.5, 0.7))];
        for (size, expected) in [
            (
                3,
                &[
                    0.323801, 0.629068, 0.637949, 0.333877, -0.100669, -0.499696, -0.678733, -0.511029,
                    -0.123879, 0.340918,
                ],
            ),
            (
                4,
                &[
                    0.330247, 0.622358, 0.616989, 0.333385, -0.103936, -0.506104, -0.692435, -0.524438,
                    -0.126326, 0.346487,
                ],
            ),
            (
                1001,
                &[
                    0.353522, 0.68721, 0.697788, 0.380089, -0.116319, -0.558005, -0.737329, -0.569774,
                    -0.134324, 0.364319,
                ],
            ),
        ] {
            let attributes = [
                ("size", size.into()),
                ("alpha", 0.5.into()),
                ("beta", 0.75.into()),
                ("bias", 1.5.into()),
            ];
            let made = run_op("LRN", 13, &attributes, &inputs).unwrap();
            assert_floats(&made[0], &[1, 5, 1, 2], expected);
            assert_gradients("LRN", 13, &attributes, &inputs, &[0]);
        }
    }

    #[test]
    fn a_window_of_nothing_is_refused() {
        let x = [Some(Fact::float([1, 2, 3]))];
        let none = infer_op("LRN", 13, &[("size", 0.into())], &x).unwrap_err();
        assert!(matches!(none, OpError::BadAttribute { .. }), "{none}");
        let missing = infer_op("LRN", 13, &[], &x).unwrap_err();
        assert!(matches!(missing, OpError::MissingAttribute { .. }), "{missing}");
        let flat = infer_op("LRN", 13, &[("size", 3.into())], &[Some(Fact::float([3]))]).unwrap_err();
        assert!(matches!(flat, OpError::Shape { name: "X", .. }), "{flat}");
    }
}
