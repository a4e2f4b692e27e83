//! Pools over channels-last maps as operations of Burn's autodiff.

use std::sync::Arc;

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::NoCheckpointing;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::{DispatchAutodiffContext, Flex};
use potstill_kernels::pool::{self, PoolShape};
use potstill_kernels::simd::Simd;

use super::tensor::{
    Operand, channels_last, extents, from_channels_last, is_channels_last, recorded, untracked,
};
use crate::value::Value;

/// What a pool takes of each window.
#[derive(Clone, Debug)]
pub enum Pooling {
    /// The largest element.
    Maximum,
    /// The sum times a factor, one for each window of a picture.
    WeightedSum(Vec<f32>),
}

/// The pooled map; `None` where Burn's operators have to do it: on another device, or where the map
/// is not channels-last.
pub fn pooled(x: &Value, pooling: Pooling, shape: impl FnOnce([usize; 4]) -> PoolShape) -> Option<Value> {
    let x = Operand::of(x)?;
    let dims = extents(&x.tensor)?;
    if dims.contains(&0) || !is_channels_last(&x.tensor) {
        return None;
    }
    let (simd, shape) = (Simd::best(), shape(dims));
    let out_dims = [dims[0], dims[1], shape.output[0], shape.output[1]];
    let elements = channels_last(&x.tensor);
    let (y, kept) = match pooling {
        Pooling::Maximum => {
            let (y, taps) = pool::maximum(simd, &shape, &elements);
            (y, Kept::Taps(taps))
        }
        Pooling::WeightedSum(factors) => {
            let y = pool::weighted_sum(simd, &shape, &factors, &elements);
            (y, Kept::Factors(factors))
        }
    };
    drop(elements);
    let y = from_channels_last(y, out_dims);
    let context = x.context();
    if context == DispatchAutodiffContext::Disabled {
        return Some(untracked(y));
    }
    let prepared = PoolBackward
        .prepare::<NoCheckpointing>([x.into_guard()])
        .compute_bound()
        .stateful();
    let y = match prepared {
        OpsKind::Tracked(prepared) => {
            let state = State {
                shape,
                kept: Arc::new(kept),
                dims,
                simd,
            };
            prepared.finish(state, y)
        }
        OpsKind::UnTracked(prepared) => prepared.finish(y),
    };
    Some(recorded(y, context))
}

/// The mean of each channel of each picture, `[batch, channels, 1, 1]`; `None` as [`pooled`].
pub fn global_average(x: &Value) -> Option<Value> {
    let [_, _, height, width] = <[usize; 4]>::try_from(x.dims()).ok()?;
    let factor = 1.0 / (height * width).max(1) as f32;
    pooled(x, Pooling::WeightedSum(vec![factor]), |[batch, channels, ..]| {
        PoolShape::global(batch, [height, width], channels)
    })
}

#[derive(Debug)]
struct PoolBackward;

#[derive(Clone, Debug)]
struct State {
    shape: PoolShape,
    kept: Arc<Kept>,
    dims: [usize; 4],
    simd: Simd,
}

#[derive(Debug)]
enum Kept {
    Taps(Vec<u32>),
    Factors(Vec<f32>),
}

impl Backward<Flex, 1> for PoolBackward {
    type State = State;

    fn backward(self, ops: Ops<State, 1>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let gradient = grads.consume::<Flex>(&ops.node);
        let [Some(node)] = ops.parents else {
            return;
        };
        let State {
            shape,
            kept,
            dims,
            simd,
        } = ops.state;
        let gradient = channels_last(&gradient);
        let of_input = match kept.as_ref() {
            Kept::Taps(taps) => pool::maximum_gradient(simd, &shape, taps, &gradient),
            Kept::Factors(factors) => pool::weighted_sum_gradient(simd, &shape, factors, &gradient),
        };
        grads.register::<Flex>(node.id, from_channels_last(of_input, dims));
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Tensor};
    use proptest::prelude::*;

    use crate::ops::testing::{run_op, waves};
    use crate::value::Value;

    /// The output, and the gradient of Σ y · sin, of a pool over a map that is channels-last or
    /// not.
    fn pooled(
        op: &str,
        attributes: &[(&'static str, crate::op::Attribute)],
        dims: &[usize],
        turned: bool,
    ) -> [Vec<f32>; 2] {
        let device = Device::flex().autodiff();
        let leaf = Value::from_data(waves(dims, 0.0, 0.7).into_data(), &device);
        let leaf: Tensor<4> = leaf.float::<4>().require_grad();
        let x = if turned {
            leaf.clone()
                .permute([0, 2, 3, 1])
                .mul_scalar(1.0)
                .permute([0, 3, 1, 2])
        } else {
            leaf.clone()
        };
        let y = run_op(op, 19, attributes, &[Some(Value::from(x))])
            .unwrap()
            .remove(0);
        let weights = Value::from_data(waves(&y.dims(), 0.3, 1.1).into_data(), &device);
        let elements = y.to_floats().unwrap();
        let gradients = (y.float::<4>() * weights.float()).sum().backward();
        let gradient = Value::from(leaf.grad(&gradients).unwrap());
        [elements, gradient.to_floats().unwrap()]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(150))]

        #[test]
        fn channels_last_maps_are_pooled_as_burns_operators_pool_others(
            batch in 1usize..4,
            channels in 2usize..19,
            size in [5usize..9, 5usize..9],
            kernel in [1i64..4, 1i64..4],
            strides in [1i64..4, 1i64..4],
            dilations in [1i64..3, 1i64..2],
            ceil in 0i64..2,
            pads in any::<[bool; 4]>(),
            which in 0usize..3,
        ) {
            let dims = [batch, channels, size[0], size[1]];
            let pads = pads.map(i64::from).to_vec();
            let fits = kernel.iter().all(|kernel| *kernel > 1);
            let mut attributes = vec![
                ("kernel_shape", kernel.to_vec().into()),
                ("strides", strides.to_vec().into()),
                ("dilations", dilations.to_vec().into()),
                ("ceil_mode", ceil.into()),
                ("pads", if fits { pads } else { vec![0; 4] }.into()),
            ];
            let op = ["MaxPool", "AveragePool", "GlobalAveragePool"][which];
            if which == 2 {
                attributes.clear();
            }
            let [got, expected] = [true, false].map(|turned| pooled(op, &attributes, &dims, turned));
            for (got, expected) in got.iter().zip(&expected) {
                prop_assert_eq!(got.len(), expected.len());
                for (got, expected) in got.iter().zip(expected) {
                    prop_assert!((got - expected).abs() < 1e-5, "{} {:?}: {}, expected {}", op, attributes, got, expected);
                }
            }
        }
    }
}
