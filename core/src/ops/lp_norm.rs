//! `LpNormalization`, `GlobalLpPool`, `LpPool`: p-norms.
//! <https://onnx.ai/onnx/operators/onnx__LpPool.html>
//!
//! (Σ |x|ᵖ)^(1/p) over all spatial axes, or over each window; `LpNormalization` divides each
//! element by the norm along an axis, with p = 1 or 2 (where the norm is 0, by 1, as ONNX Runtime
//! does). `LpPool` takes `ceil_mode` and `dilations` from opset 18 on; the border counts as 0.

use burn::tensor::Tensor;

use super::average_pool::mean;
use super::pool::Pool;
use crate::op::{Fact, Inputs, NodeReader, Op, OpError, Operator, RunContext, resolve_axis};
use crate::value::Value;

/// What the norm is taken of.
#[derive(Clone, Debug)]
enum Over {
    /// An axis, by which it is then divided.
    Axis(i64),
    /// All spatial axes.
    Picture,
    /// Each window.
    Windows(Pool),
}

/// A p-norm.
#[derive(Clone, Debug)]
pub struct LpNorm {
    over: Over,
    /// The exponent, at least 1.
    pub p: i64,
}

impl LpNorm {
    /// |x|ᵖ
    fn power(&self, x: Tensor<1>) -> Tensor<1> {
        match self.p {
            1 => x.abs(),
            2 => x.clone() * x,
            p => x.abs().powf_scalar(p as f32),
        }
    }

    /// x^(1/p) of what is 0 or more.
    fn root(&self, x: Tensor<1>) -> Tensor<1> {
        match self.p {
            1 => x,
            2 => x.sqrt(),
            p => x.powf_scalar(1.0 / p as f32),
        }
    }

    /// The norms of the rows of `[rows, elements]`.
    fn of_rows(&self, x: Value) -> Value {
        let sums = Value::from(x.elementwise(|x| self.power(x)).float::<2>().sum_dim(1));
        sums.elementwise(|x| self.root(x))
    }
}

impl Op for LpNorm {
    fn name(&self) -> &'static str {
        match self.over {
            Over::Axis(_) => "LpNormalization",
            Over::Picture => "GlobalLpPool",
            Over::Windows(_) => "LpPool",
        }
    }

    fn infer(&self, inputs: &Inputs<'_, Fact>) -> Result<Vec<Fact>, OpError> {
        let x = inputs.filled(0, "X")?;
        match &self.over {
            Over::Axis(axis) => {
                resolve_axis(*axis, x.rank())?;
                Ok(vec![Fact::float(x.dims.clone())])
            }
            Over::Picture if x.rank() < 3 => Err(OpError::Shape {
                name: "X",
                got: x.dims.clone(),
                expected: "[batch, channels, spatial…]".to_owned(),
            }),
            Over::Picture => {
                let mut dims = x.dims.clone();
                dims[2..].fill(1);
                Ok(vec![Fact::float(dims)])
            }
            Over::Windows(pool) => pool.infer(x),
        }
    }

    fn run(&self, inputs: &Inputs<'_, Value>, _context: &RunContext) -> Result<Vec<Value>, OpError> {
        let x = inputs.required(0, "X")?.clone();
        let mut dims = x.dims();
        let count = x.len();
        let y = match &self.over {
            Over::Axis(axis) => {
                let axis = resolve_axis(*axis, dims.len())?;
                let mut order: Vec<usize> = (0..dims.len()).filter(|other| *other != axis).collect();
                order.push(axis);
                let back: Vec<usize> = (0..dims.len())
                    .map(|axis| order.iter().position(|other| *other == axis).unwrap_or(axis))
                    .collect();
                let moved = x.permute(&order);
                let moved_dims = moved.dims();
                let rows = moved.reshape(&[count / dims[axis], dims[axis]]);
                let norms: Tensor<2> = self.of_rows(rows.clone()).float();
                let zero = norms.clone().equal_elem(0.0);
                let divided = rows.float::<2>() / norms.mask_fill(zero, 1.0);
                Value::from(divided).reshape(&moved_dims).permute(&back)
            }
            Over::Picture => {
                let planes = dims[0] * dims[1];
                dims[2..].fill(1);
                self.of_rows(x.reshape(&[planes, count / planes])).reshape(&dims)
            }
            Over::Windows(pool) => self.pooled(pool, x)?,
        };
        Ok(vec![y])
    }
}

impl LpNorm {
    /// The norm of each window. A norm of norms is the norm of all, so that volumes are pooled part
    /// by part.
    fn pooled(&self, pool: &Pool, x: Value) -> Result<Value, OpError> {
        if let Some(pooled) = pool.over_volume(&x, |pool, x| self.pooled(pool, x)) {
            return pooled;
        }
        let mut dims = x.dims();
        let placement = pool.place(&dims)?;
        let (powers, padding) = placement.prepare(x.elementwise(|x| self.power(x)), 0.0);
        let size = (placement.kernel[0] * placement.kernel[1]) as f32;
        let [height, width] = placement.output;
        let norms = mean(powers, &placement, padding).elementwise(|x| self.root(x * size));
        let spatial = if dims.len() == 3 {
            vec![width]
        } else {
            vec![height, width]
        };
        dims.splice(2.., spatial);
        Ok(norms.reshape(&dims))
    }
}

fn read(node: &NodeReader<'_>) -> Result<Box<dyn Op>, OpError> {
    let p = node.int("p")?.unwrap_or(2);
    let over = match node.op {
        "LpNormalization" => Over::Axis(node.int("axis")?.unwrap_or(-1)),
        "GlobalLpPool" => Over::Picture,
        _ => Over::Windows(Pool::read(node)?),
    };
    let most = if matches!(over, Over::Axis(_)) { 2 } else { 64 };
    if !(1..=most).contains(&p) {
        return Err(node.bad("p", p.to_string(), format!("1 to {most}")));
    }
    Ok(Box::new(LpNorm { over, p }))
}

const fn entry(name: &'static str) -> Operator {
    Operator {
        name,
        forms: &[],
        read,
    }
}

/// The table's entries.
pub(crate) const OPERATORS: &[Operator] = &[entry("LpNormalization"), entry("GlobalLpPool"), entry("LpPool")];

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_floats, assert_gradients, floats, infer_op, ramp, run_op, waves};
    use super::*;

    #[test]
    fn norms_agree_with_numpy() {
        // x = [[3, -4], [0, 0]]: rows over np.linalg.norm(x, p, axis=1), a norm of 0 replaced by 1
        let x = [Some(floats(&[2, 2], &[3.0, -4.0, 0.0, 0.0]))];
        let made = run_op("LpNormalization", 22, &[], &x).unwrap();
        assert_floats(&made[0], &[2, 2], &[0.6, -0.8, 0.0, 0.0]);
        let one: &[_] = &[("p", 1.into()), ("axis", 0.into())];
        let made = run_op("LpNormalization", 22, one, &x).unwrap();
        assert_floats(&made[0], &[2, 2], &[1.0, -1.0, 0.0, 0.0]);
        // np.linalg.norm([3, -4, 1, 2], 3)
        let picture = [Some(floats(&[1, 1, 2, 2], &[3.0, -4.0, 1.0, 2.0]))];
        let made = run_op("GlobalLpPool", 22, &[("p", 3.into())], &picture).unwrap();
        assert_floats(&made[0], &[1, 1, 1, 1], &[4.641_588_8]);
        let window: &[_] = &[("kernel_shape", vec![1, 2].into())];
        let made = run_op("LpPool", 22, window, &picture).unwrap();
        assert_floats(&made[0], &[1, 1, 2, 1], &[5.0, 2.236_068]);
    }

    #[test]
    fn all_three_have_gradients() {
        let x = [Some(waves(&[1, 2, 3, 3], 0.4, 0.7))];
        for p in [1, 2, 3] {
            assert_gradients("GlobalLpPool", 22, &[("p", p.into())], &x, &[0]);
            let window: &[_] = &[
                ("p", p.into()),
                ("kernel_shape", vec![2, 2].into()),
                ("pads", vec![0, 0, 1, 1].into()),
            ];
            assert_gradients("LpPool", 22, window, &x, &[0]);
        }
        // Far from 0, where norms bend too much for finite differences.
        let x = [Some(ramp(&[1, 2, 3, 3], 0.5, 0.1))];
        for p in [1, 2] {
            assert_gradients(
                "LpNormalization",
                22,
                &[("p", p.into()), ("axis", 1.into())],
                &x,
                &[0],
            );
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let refused = run_op("LpNormalization", 22, &[("p", 3.into())], &[]);
        assert!(matches!(refused, Err(OpError::BadAttribute { .. })));
        let flat = infer_op("GlobalLpPool", 22, &[], &[Some(Fact::float([2, 3]))]);
        assert!(matches!(flat, Err(OpError::Shape { .. })));
    }
}
