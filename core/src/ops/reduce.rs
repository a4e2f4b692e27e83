//! `ReduceSum` and its nine siblings: one number for all elements along some axes.
//! <https://onnx.ai/onnx/operators/onnx__ReduceSum.html>
//!
//! | operator | over the elements x | of no elements |
//! | --- | --- | --- |
//! | `ReduceSum`, `ReduceMean`, `ReduceProd` | Σ x, Σ x / n, Π x | 0, refused, 1 |
//! | `ReduceMax`, `ReduceMin` | max x, min x | refused |
//! | `ReduceL1`, `ReduceL2`, `ReduceSumSquare` | Σ \|x\|, √Σ x², Σ x² | 0 |
//! | `ReduceLogSum`, `ReduceLogSumExp` | log Σ x, log Σ exp x | −∞, refused |
//!
//! Opset 11 allows negative axes; 13 turns `axes` from an attribute into an input for `ReduceSum`
//! and adds `noop_with_empty_axes`, 18 does so for the others. Without axes everything is reduced,
//! unless `noop_with_empty_axes` says that each element is reduced alone. The booleans that opset
//! 20 brings to `ReduceMax` and `ReduceMin` are refused.
//!
//! The reduced axes are brought to the end and joined, so that one reduction of a matrix `[kept,
//! reduced]` serves every case; for the mean over the spatial axes of a picture that is a reshape
//! without a copy.

use burn::backend::Dispatch;
use burn::backend::ops::IntTensorOps;
use burn::tensor::{Tensor, TensorData};

use super::shaped::{IntList, Shaped, resolve_axes};
use crate::op::{Fact, Inputs, NodeReader, Op, OpError, Operator, RunContext};
use crate::value::{Kind, Value};

/// What is computed from the elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the specification's")]
pub enum Reduction {
    Sum,
    Mean,
    Prod,
    Max,
    Min,
    L1,
    L2,
    SumSquare,
    LogSum,
    LogSumExp,
}

/// A reduction along some axes.
#[derive(Clone, Debug)]
pub struct Reduce {
    /// What is computed.
    pub reduction: Reduction,
    /// Whether reduced axes stay, with extent 1.
    pub keep_axes: bool,
    /// Whether no axes means none instead of all.
    pub none_without_axes: bool,
    axes: IntList,
}

/// ONNX's names.
const NAMES: &[(&str, Reduction)] = &[
    ("ReduceSum", Reduction::Sum),
    ("ReduceMean", Reduction::Mean),
    ("ReduceProd", Reduction::Prod),
    ("ReduceMax", Reduction::Max),
    ("ReduceMin", Reduction::Min),
    ("ReduceL1", Reduction::L1),
    ("ReduceL2", Reduction::L2),
    ("ReduceSumSquare", Reduction::SumSquare),
    ("ReduceLogSum", Reduction::LogSum),
    ("ReduceLogSumExp", Reduction::LogSumExp),
];

/// The axes of one reduction.
struct Plan {
    kept: Vec<usize>,
    reduced: Vec<usize>,
    /// The output's shape.
    dims: Vec<usize>,
}

impl Reduce {
    fn plan<T: Shaped>(&self, inputs: &Inputs<'_, T>) -> Result<Plan, OpError> {
        let dims = inputs.required(0, "data")?.extents();
        let all = 0..dims.len();
        let reduced = match self.axes.get(inputs)? {
            Some(axes) if !axes.is_empty() => resolve_axes(&axes, dims.len())?,
            _ if self.none_without_axes => Vec::new(),
            _ => all.clone().collect(),
        };
        let kept: Vec<usize> = all.clone().filter(|axis| !reduced.contains(axis)).collect();
        let dims = all
            .filter(|axis| self.keep_axes || kept.contains(axis))
            .map(|axis| if reduced.contains(&axis) { 1 } else { dims[axis] })
            .collect();
        Ok(Plan { kept, reduced, dims })
    }
}

impl Op for Reduce {
    fn name(&self) -> &'static str {
        NAMES
            .iter()
            .find(|(_, reduction)| *reduction == self.reduction)
            .map_or("", |(name, _)| name)
    }

    fn infer(&self, inputs: &Inputs<'_, Fact>) -> Result<Vec<Fact>, OpError> {
        let x = inputs.required(0, "data")?;
        let of_booleans = matches!(self.reduction, Reduction::Max | Reduction::Min);
        if x.kind == Kind::Bool && !of_booleans {
            return Err(OpError::Kind {
                name: "data",
                expected: Kind::Float,
                got: x.kind,
            });
        }
        let plan = self.plan(inputs)?;
        let of_nothing = plan.reduced.iter().any(|axis| x.dims[*axis] == 0);
        let needs_some = matches!(self.reduction, Reduction::Mean | Reduction::LogSumExp);
        let extreme = of_booleans && x.kind != Kind::Float;
        let needs_some = needs_some || extreme;
        if of_nothing && needs_some {
            return Err(OpError::Shape {
                name: "data",
                got: x.dims.clone(),
                expected: "at least one element along the reduced axes".to_owned(),
            });
        }
        Ok(vec![Fact::new(x.kind, plan.dims)])
    }

    fn run(&self, inputs: &Inputs<'_, Value>, _context: &RunContext) -> Result<Vec<Value>, OpError> {
        let x = inputs.required(0, "data")?.clone();
        let plan = self.plan(inputs)?;
        let (kind, dims) = (x.kind(), x.dims());
        if x.is_empty() {
            return Ok(vec![self.of_nothing(&x, &plan.dims)]);
        }
        let order: Vec<usize> = plan.kept.iter().chain(&plan.reduced).copied().collect();
        let extent = |axes: &[usize]| axes.iter().map(|axis| dims[*axis]).product::<usize>();
        let matrix = [extent(&plan.kept), extent(&plan.reduced)];
        let x = if order.is_sorted() { x } else { x.permute(&order) }.reshape(&matrix);
        let through_floats = matches!(
            self.reduction,
            Reduction::L2 | Reduction::LogSum | Reduction::LogSumExp
        );
        let reduced = match kind {
            Kind::Float => self.of_floats(x.float()).into(),
            _ if through_floats => Value::from(self.of_floats(x.cast(Kind::Float).float())).cast(kind),
            // The largest of booleans is whether one is true, the least whether all are.
            Kind::Bool => self.of_ints(x.cast(Kind::Int)).cast(kind),
            Kind::Int => self.of_ints(x),
        };
        Ok(vec![reduced.reshape(&plan.dims)])
    }
}

impl Reduce {
    /// The reduction of each row of `[kept, reduced]`.
    fn of_floats(&self, x: Tensor<2>) -> Tensor<2> {
        match self.reduction {
            Reduction::Sum => x.sum_dim(1),
            Reduction::Mean => x.mean_dim(1),
            Reduction::Prod => x.prod_dim(1),
            Reduction::Max => x.max_dim(1),
            Reduction::Min => x.min_dim(1),
            Reduction::L1 => x.abs().sum_dim(1),
            Reduction::L2 => (x.clone() * x).sum_dim(1).sqrt(),
            Reduction::SumSquare => (x.clone() * x).sum_dim(1),
            Reduction::LogSum => x.sum_dim(1).log(),
            Reduction::LogSumExp => {
                // Shifted by the largest element, so that exp does not overflow; by a finite one,
                // so that ∞ − ∞ does not arise.
                let largest = x.clone().detach().max_dim(1).clamp(f32::MIN, f32::MAX);
                (x - largest.clone()).exp().sum_dim(1).log() + largest
            }
        }
    }

    /// The reduction of each row of `[kept, reduced]`, without the functions that only floats have.
    fn of_ints(&self, x: Value) -> Value {
        let x = x.into_dispatch();
        Value::new(match self.reduction {
            Reduction::Mean => Dispatch::int_mean_dim(x, 1),
            Reduction::Prod => Dispatch::int_prod_dim(x, 1),
            Reduction::Max => Dispatch::int_max_dim(x, 1),
            Reduction::Min => Dispatch::int_min_dim(x, 1),
            Reduction::L1 => Dispatch::int_sum_dim(Dispatch::int_abs(x), 1),
            Reduction::SumSquare => Dispatch::int_sum_dim(Dispatch::int_mul(x.clone(), x), 1),
            _ => Dispatch::int_sum_dim(x, 1),
        })
    }

    /// What the reduction of a tensor without elements gives: nothing, or the reduction's neutral
    /// element.
    fn of_nothing(&self, x: &Value, dims: &[usize]) -> Value {
        let neutral = match self.reduction {
            Reduction::Prod => 1.0f32,
            Reduction::LogSum | Reduction::Max => f32::NEG_INFINITY,
            Reduction::Min => f32::INFINITY,
            _ => 0.0,
        };
        let count = dims.iter().product();
        let data = TensorData::new(vec![neutral; count], dims.to_vec());
        Value::from_data(data, &x.device()).cast(x.kind())
    }
}

fn read(node: &NodeReader<'_>) -> Result<Box<dyn Op>, OpError> {
    let reduction = NAMES.iter().find(|(name, _)| *name == node.op);
    let (_, reduction) = reduction.ok_or_else(|| OpError::Unsupported {
        what: format!("reduction `{}`", node.op),
    })?;
    let since = if *reduction == Reduction::Sum { 13 } else { 18 };
    let none_without_axes = node.opset >= since && node.flag("noop_with_empty_axes", false)?;
    Ok(Box::new(Reduce {
        reduction: *reduction,
        keep_axes: node.flag("keepdims", true)?,
        none_without_axes,
        axes: IntList::read(node, "axes", 1, since)?,
    }))
}

const fn entry(name: &'static str) -> Operator {
    Operator {
        name,
        forms: &[18],
        read,
    }
}

/// The table's entries.
pub(crate) const OPERATORS: &[Operator] = &[
    Operator {
        name: "ReduceSum",
        forms: &[13],
        read,
    },
    entry("ReduceMean"),
    entry("ReduceProd"),
    entry("ReduceMax"),
    entry("ReduceMin"),
    entry("ReduceL1"),
    entry("ReduceL2"),
    entry("ReduceSumSquare"),
    entry("ReduceLogSum"),
    entry("ReduceLogSumExp"),
];

#[cfg(test)]
mod tests {
    use super::super::testing::{
        assert_floats, assert_gradients, assert_ints, bools, floats, infer_op, ints, ramp, run_op, waves,
    };
    use super::*;

    #[test]
    fn reductions_agree_with_numpy() {
        // x = np.float32([[[1, -2], [3, 4]]]); x.sum((0, 2)), x.mean((0, 2)), …; LogSum of |x|'s
        // rows would need positive sums.
        let x = floats(&[1, 2, 2], &[1.0, -2.0, 3.0, 4.0]);
        for (op, expected) in [
            ("ReduceSum", [-1.0, 7.0]),
            ("ReduceMean", [-0.5, 3.5]),
            ("ReduceProd", [-2.0, 12.0]),
            ("ReduceMax", [1.0, 4.0]),
            ("ReduceMin", [-2.0, 3.0]),
            ("ReduceL1", [3.0, 7.0]),
            ("ReduceL2", [2.236_068, 5.0]),
            ("ReduceSumSquare", [5.0, 25.0]),
            ("ReduceLogSumExp", [1.048_587_3, 4.313_261_5]),
        ] {
            let inputs = [Some(x.clone()), Some(ints(&[2], &[0, -1]))];
            let new = run_op(op, 18, &[], &inputs).unwrap();
            assert_floats(&new[0], &[1, 2, 1], &expected);
            assert_gradients(op, 18, &[], &inputs, &[0]);
            let written: &[_] = &[("axes", vec![0, -1].into()), ("keepdims", 0.into())];
            let old = run_op(op, 11, written, &[Some(x.clone())]).unwrap();
            assert_floats(&old[0], &[2], &expected);
        }
    }

    #[test]
    fn the_logarithm_of_a_sum() {
        // np.log(np.float32([[1, 2], [3, 4]]).sum(0))
        let inputs = [
            Some(floats(&[2, 2], &[1.0, 2.0, 3.0, 4.0])),
            Some(ints(&[1], &[0])),
        ];
        let made = run_op("ReduceLogSum", 18, &[("keepdims", 0.into())], &inputs).unwrap();
        assert_floats(&made[0], &[2], &[1.386_294_4, 1.791_759_5]);
        assert_gradients("ReduceLogSum", 18, &[], &inputs, &[0]);
    }

    #[test]
    fn axes_that_are_not_neighbours_are_joined() {
        // np.sin(np.arange(24) * 0.5 + 1).reshape(2, 3, 4).sum((0, 2))
        let inputs = [Some(waves(&[2, 3, 4], 1.0, 0.5)), Some(ints(&[2], &[0, 2]))];
        let made = run_op("ReduceSum", 13, &[("keepdims", 0.into())], &inputs).unwrap();
        let x = inputs[0].as_ref().and_then(Value::to_floats).unwrap();
        let expected: Vec<f32> = (0..3)
            .map(|row| (0..4).map(|i| x[row * 4 + i] + x[12 + row * 4 + i]).sum())
            .collect();
        assert_floats(&made[0], &[3], &expected);
        assert_gradients("ReduceSum", 18, &[], &inputs, &[0]);
    }

    #[test]
    fn the_largest_element_alone_gets_the_gradient() {
        let inputs = [Some(ramp(&[2, 3, 2], -1.0, 0.3)), Some(ints(&[2], &[0, 2]))];
        assert_gradients("ReduceMax", 18, &[], &inputs, &[0]);
        assert_gradients("ReduceMin", 18, &[], &inputs, &[0]);
    }

    #[test]
    fn no_axes_means_all_or_none() {
        // onnxruntime, ReduceSumSquare of [[-2, 3]] with empty axes: [[13]], with
        // noop_with_empty_axes [[4, 9]]
        let inputs = [Some(floats(&[1, 2], &[-2.0, 3.0])), Some(ints(&[0], &[]))];
        let all = run_op("ReduceSumSquare", 18, &[("keepdims", 0.into())], &inputs).unwrap();
        assert_floats(&all[0], &[], &[13.0]);
        let none = run_op(
            "ReduceSumSquare",
            18,
            &[("noop_with_empty_axes", 1.into())],
            &inputs,
        );
        assert_floats(&none.unwrap()[0], &[1, 2], &[4.0, 9.0]);
    }

    #[test]
    fn integers_are_cut_towards_zero() {
        // onnxruntime on int32 [[-7, 4]] along axis 1: ReduceL2 8, ReduceMean -1
        let inputs = [Some(ints(&[1, 2], &[-7, 4])), Some(ints(&[1], &[1]))];
        assert_ints(&run_op("ReduceL2", 18, &[], &inputs).unwrap()[0], &[1, 1], &[8]);
        assert_ints(
            &run_op("ReduceMean", 18, &[], &inputs).unwrap()[0],
            &[1, 1],
            &[-1],
        );
        assert_ints(
            &run_op("ReduceProd", 18, &[], &inputs).unwrap()[0],
            &[1, 1],
            &[-28],
        );
        assert_ints(&run_op("ReduceMax", 18, &[], &inputs).unwrap()[0], &[1, 1], &[4]);
    }

    #[test]
    fn a_scalar_is_reduced_to_itself() {
        for (op, _) in NAMES {
            let made = run_op(op, 18, &[], &[Some(floats(&[], &[1.0]))]).unwrap();
            assert_eq!(made[0].rank(), 0);
        }
    }

    #[test]
    fn of_no_elements_the_result_is_the_neutral_one() {
        // onnx.reference on shape (2, 0) along axis 1: ReduceSum 0, ReduceProd 1, ReduceMax -inf
        let inputs = [Some(floats(&[2, 0], &[])), Some(ints(&[1], &[1]))];
        assert_floats(
            &run_op("ReduceSum", 18, &[], &inputs).unwrap()[0],
            &[2, 1],
            &[0.0, 0.0],
        );
        assert_floats(
            &run_op("ReduceProd", 18, &[], &inputs).unwrap()[0],
            &[2, 1],
            &[1.0, 1.0],
        );
        assert_floats(
            &run_op("ReduceMax", 20, &[], &inputs).unwrap()[0],
            &[2, 1],
            &[f32::NEG_INFINITY; 2],
        );
        assert!(matches!(
            run_op("ReduceMean", 18, &[], &inputs),
            Err(OpError::Shape { .. })
        ));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let x = Some(floats(&[2], &[1.0, 2.0]));
        let axis = run_op("ReduceSum", 18, &[], &[x.clone(), Some(ints(&[1], &[1]))]);
        assert!(matches!(axis, Err(OpError::Axis { axis: 1, rank: 1 })));
        let unknown = Some(Fact::new(Kind::Int, [1]));
        let unknown = infer_op("ReduceSum", 18, &[], &[Some(Fact::float([2])), unknown]);
        assert!(matches!(unknown, Err(OpError::NotConstant { name: "axes" })));
        let either = run_op("ReduceMax", 20, &[], &[Some(bools(&[2], &[true, false]))]).unwrap();
        assert_eq!(either[0].clone().cast(Kind::Int).to_ints(), Some(vec![1]));
        let kind = run_op("ReduceSum", 20, &[], &[Some(bools(&[1], &[true]))]);
        assert!(matches!(kind, Err(OpError::Kind { .. })));
    }

    #[test]
    fn the_logarithm_of_exponentials_does_not_overflow() {
        // scipy.special.logsumexp([[1000, 1000], [-inf, -inf]], axis=1) = [1000.6931, -inf]
        let x = floats(&[2, 2], &[1000.0, 1000.0, f32::NEG_INFINITY, f32::NEG_INFINITY]);
        let inputs = [Some(x), Some(ints(&[1], &[1]))];
        let made = run_op("ReduceLogSumExp", 18, &[("keepdims", 0.into())], &inputs).unwrap();
        assert_floats(&made[0], &[2], &[1_000.693_1, f32::NEG_INFINITY]);
    }
}
