//! `Gemm`: Y = alpha · A′ · B′ + beta · C on matrices, ′ meaning "transposed where asked".
//! <https://onnx.ai/onnx/operators/onnx__Gemm.html>
//!
//! Opset 7 brought the broadcasting of C, 11 made C optional, 13 added bfloat16.

use burn::tensor::Tensor;

use crate::op::{Fact, Inputs, NodeReader, Op, OpError, Operator, Role, RunContext, broadcast, work};
use crate::value::{Kind, Value};

/// General matrix product: what linear layers are exported as.
#[derive(Clone, Debug)]
pub struct Gemm {
    /// Factor of the product.
    pub alpha: f32,
    /// Factor of the summand.
    pub beta: f32,
    /// Whether A is `[k, m]` instead of `[m, k]`.
    pub transpose_a: bool,
    /// Whether B is `[n, k]` instead of `[k, n]`.
    pub transpose_b: bool,
    bias_required: bool,
}

fn matrix(
    inputs: &Inputs<'_, Fact>,
    index: usize,
    name: &'static str,
    transpose: bool,
) -> Result<(usize, usize), OpError> {
    let fact = inputs.filled(index, name)?;
    match fact.dims[..] {
        [rows, columns] if transpose => Ok((columns, rows)),
        [rows, columns] => Ok((rows, columns)),
        _ => Err(OpError::Shape {
            name,
            got: fact.dims.clone(),
            expected: "a matrix".to_owned(),
        }),
    }
}

impl Op for Gemm {
    fn name(&self) -> &'static str {
        "Gemm"
    }

    fn infer(&self, inputs: &Inputs<'_, Fact>) -> Result<Vec<Fact>, OpError> {
        let (m, k) = matrix(inputs, 0, "A", self.transpose_a)?;
        let (rows, n) = matrix(inputs, 1, "B", self.transpose_b)?;
        if rows != k {
            let b = inputs.required(1, "B")?;
            return Err(OpError::Shape {
                name: "B",
                got: b.dims.clone(),
                expected: format!("{k} elements along the axis that meets A"),
            });
        }
        if self.bias_required {
            inputs.of_kind(2, "C", Kind::Float)?;
        }
        if let Some(c) = inputs.optional_float(2, "C")?
            && broadcast(&c.dims, &[m, n]).ok().as_deref() != Some(&[m, n])
        {
            return Err(OpError::Shape {
                name: "C",
                got: c.dims.clone(),
                expected: format!("something that broadcasts to [{m}, {n}]"),
            });
        }
        Ok(vec![Fact::float([m, n])])
    }

    fn run(&self, inputs: &Inputs<'_, Value>, _context: &RunContext) -> Result<Vec<Value>, OpError> {
        let side = |index: usize, name: &'static str, transpose: bool| {
            let side = inputs.required(index, name)?.clone().float::<2>();
            Ok(if transpose { side.transpose() } else { side })
        };
        let a: Tensor<2> = side(0, "A", self.transpose_a)?;
        let b = side(1, "B", self.transpose_b)?;
        let mut y = a.matmul(b);
        if self.alpha != 1.0 {
            y = y * self.alpha;
        }
        if let Some(c) = inputs.optional(2) {
            let mut dims = vec![1; 2 - c.rank()];
            dims.extend(c.dims());
            let c = c.clone().reshape(&dims).float::<2>();
            y = y + if self.beta == 1.0 { c } else { c * self.beta };
        }
        Ok(vec![y.into()])
    }

    fn cost(&self, inputs: &Inputs<'_, Fact>, outputs: &[Fact]) -> u64 {
        let inner = inputs
            .optional(0)
            .map_or(0, |a| a.dims[usize::from(!self.transpose_a)]);
        outputs.first().map_or(0, |y| work([y.len(), inner]))
    }

    fn role(&self, _input: usize) -> Role {
        Role::Weight
    }
}

fn read(node: &NodeReader<'_>) -> Result<Box<dyn Op>, OpError> {
    Ok(Box::new(Gemm {
        alpha: node.float("alpha", 1.0)?,
        beta: node.float("beta", 1.0)?,
        transpose_a: node.flag("transA", false)?,
        transpose_b: node.flag("transB", false)?,
        bias_required: node.opset < 11,
    }))
}

/// The table's entries.
pub(crate) const OPERATORS: &[Operator] = &[Operator {
    name: "Gemm",
    forms: &[],
    read,
}];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{assert_floats, assert_gradients, floats, infer_op, ramp, run_op, waves};

    #[test]
    fn transposition_factors_and_broadcast_agree_with_onnx_runtime() {
        // onnxruntime 1.32: Gemm-13, A = arange(6).reshape(3, 2), B = arange(12).reshape(4, 3),
        // alpha = 0.5, beta = 2, transA = transB = 1.
        let attributes = [
            ("alpha", 0.5.into()),
            ("beta", 2.0.into()),
            ("transA", 1.into()),
            ("transB", 1.into()),
        ];
        let product = [5.0, 14.0, 23.0, 32.0, 6.5, 20.0, 33.5, 47.0];
        for (dims, c) in [
            (&[2, 1][..], &[1.0, 2.0][..]),
            (&[4], &[1.0, 2.0, 3.0, 4.0]),
            (&[1, 1], &[1.0]),
            (&[], &[1.0]),
        ] {
            let inputs = [
                Some(ramp(&[3, 2], 0.0, 1.0)),
                Some(ramp(&[4, 3], 0.0, 1.0)),
                Some(floats(dims, c)),
            ];
            let made = run_op("Gemm", 13, &attributes, &inputs).unwrap();
            let at = |i: usize| match dims {
                [2, 1] => c[i / 4],
                [4] => c[i % 4],
                _ => c[0],
            };
            let expected: Vec<f32> = product.iter().enumerate().map(|(i, y)| y + 2.0 * at(i)).collect();
            assert_floats(&made[0], &[2, 4], &expected);
        }
    }

    #[test]
    fn every_input_has_a_gradient() {
        let inputs = [
            Some(waves(&[2, 3], 0.0, 0.7)),
            Some(waves(&[4, 3], 0.3, 0.9)),
            Some(waves(&[4], 0.1, 1.1)),
        ];
        let attributes = [("alpha", 0.5.into()), ("beta", 2.0.into()), ("transB", 1.into())];
        assert_gradients("Gemm", 13, &attributes, &inputs, &[0, 1, 2]);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let fact = |dims: &[usize]| Some(Fact::float(dims));
        let inner = infer_op("Gemm", 13, &[], &[fact(&[2, 3]), fact(&[2, 4])]).unwrap_err();
        assert!(matches!(inner, OpError::Shape { name: "B", .. }), "{inner}");
        let rank = infer_op("Gemm", 13, &[], &[fact(&[2, 3, 1]), fact(&[3, 4])]).unwrap_err();
        assert!(matches!(rank, OpError::Shape { name: "A", .. }), "{rank}");
        let bias = infer_op("Gemm", 13, &[], &[fact(&[2, 3]), fact(&[3, 4]), fact(&[3, 4])]).unwrap_err();
        assert!(matches!(bias, OpError::Shape { name: "C", .. }), "{bias}");
        let missing = infer_op("Gemm", 9, &[], &[fact(&[2, 3]), fact(&[3, 4])]).unwrap_err();
        assert!(
            matches!(missing, OpError::MissingInput { name: "C", .. }),
            "{missing}"
        );
    }

    #[test]
    fn the_cost_counts_one_multiply_add_per_product() {
        let facts = [Some(Fact::float([8, 512])), Some(Fact::float([100, 512]))];
        let node = crate::ops::testing::read_op("Gemm", 13, &[("transB", 1.into())], 2).unwrap();
        let made = node.infer(&Inputs(&facts)).unwrap();
        assert_eq!(node.cost(&Inputs(&facts), &made), 8 * 512 * 100);
    }
}
