//! The identity whose gradient is scaled, as one operation of Burn's autodiff: the map itself is
//! not touched, and keeps its layout.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::NoCheckpointing;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::ops::FloatTensorOps;
use burn::backend::{DispatchAutodiffContext, Flex};
use potstill_kernels::norm::{self, Affine, Clamp};
use potstill_kernels::simd::Simd;

use super::tensor::{Operand, channels_last, extents, from_channels_last, is_channels_last, recorded};
use crate::value::Value;

/// The value itself; what flows back is multiplied by `factor`. `None` on another device.
pub fn scaled_gradient(x: &Value, factor: f64) -> Option<Value> {
    let operand = Operand::of(x)?;
    let context = operand.context();
    if !operand.is_tracked() || context == DispatchAutodiffContext::Disabled {
        return Some(x.clone());
    }
    let scalar = x.is_scalar();
    let tensor = operand.tensor.clone();
    let prepared = ScaleBackward
        .prepare::<NoCheckpointing>([operand.into_guard()])
        .compute_bound()
        .stateful();
    let tensor = match prepared {
        OpsKind::Tracked(prepared) => prepared.finish(factor, tensor),
        OpsKind::UnTracked(prepared) => prepared.finish(tensor),
    };
    Some(recorded(tensor, context).scalar_if(scalar))
}

#[derive(Debug)]
struct ScaleBackward;

impl Backward<Flex, 1> for ScaleBackward {
    type State = f64;

    fn backward(self, ops: Ops<f64, 1>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let gradient = grads.consume::<Flex>(&ops.node);
        if let [Some(node)] = ops.parents {
            grads.register::<Flex>(node.id, scaled(gradient, ops.state));
        }
    }
}

fn scaled(gradient: FlexTensor, factor: f64) -> FlexTensor {
    match extents(&gradient) {
        Some(dims) if is_channels_last(&gradient) => {
            let channels = dims[1];
            let affine = Affine {
                scale: vec![factor as f32; channels],
                shift: vec![0.0; channels],
            };
            let elements = channels_last(&gradient);
            let scaled = norm::apply(
                Simd::best(),
                &elements,
                channels,
                Some(&affine),
                None,
                Clamp::NONE,
            );
            from_channels_last(scaled, dims)
        }
        _ => Flex::float_mul_scalar(gradient, factor.into()),
    }
}
