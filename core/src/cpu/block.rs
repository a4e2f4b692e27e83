//! Convolution, normalisation, residual sum and activation as one operation of Burn's autodiff, run
//! by `potstill-kernels`.

mod operands;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::NoCheckpointing;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::{DispatchAutodiffContext, Flex, TensorMetadata};
use burn::tensor::Shape;
use potstill_kernels::block::{self, Folded, Kept, Wanted};
use potstill_kernels::conv::{ConvShape, Convolution};
use potstill_kernels::norm::Clamp;
use potstill_kernels::simd::Simd;

pub use self::operands::BlockInputs;
use self::operands::{BlockOperands, Tensors};
use super::tensor::{
    Operand, channels_last, extents, from_channels_last, from_order, in_order, is_channels_last, is_same,
    recorded, untracked,
};
use crate::precision::Precision;
use crate::value::Value;

/// What a block does beside its convolution; each part is optional.
#[derive(Clone, Debug)]
pub struct BlockOp {
    /// ε of the normalisation.
    pub epsilon: Option<f64>,
    /// The activation.
    pub clamp: Clamp,
    /// What the last inference computed with.
    folded: Arc<Mutex<Option<Prepared>>>,
}

/// Weights made ready for inference, and what they were made of.
#[derive(Clone, Debug)]
struct Prepared {
    conv: Option<Arc<Convolution>>,
    /// While they are held here, nobody changes their elements in place: another weight is another
    /// tensor.
    sources: [Option<FlexTensor>; 6],
    folded: Arc<Folded>,
}

impl Prepared {
    fn is_of(&self, conv: Option<&Arc<Convolution>>, sources: &[Option<FlexTensor>; 6]) -> bool {
        let same_conv = match (&self.conv, conv) {
            (Some(own), Some(other)) => Arc::ptr_eq(own, other),
            (None, None) => true,
            _ => false,
        };
        same_conv
            && self.sources.iter().zip(sources).all(|pair| match pair {
                (Some(own), Some(other)) => is_same(own, other),
                (None, None) => true,
                _ => false,
            })
    }
}

/// Which statistics normalise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockMode {
    /// The batch's.
    Training,
    /// The running ones; nothing is recorded.
    Inference,
}

/// What a block gives.
#[derive(Debug)]
pub struct BlockOutputs {
    /// Like the residual.
    pub y: Value,
    /// Mean and biased variance of the batch, where it was normalised by them.
    pub statistics: Option<[Value; 2]>,
}

impl BlockOp {
    /// A block with the ε of its normalisation, if it has one, and its activation.
    pub fn new(epsilon: Option<f64>, clamp: Clamp) -> Self {
        Self {
            epsilon,
            clamp,
            folded: Arc::default(),
        }
    }

    /// Runs the block; `None` where it has to be done by Burn's operators: on another device, in
    /// another rank, with a residual that is stretched, or without a convolution on maps that are
    /// not channels-last yet.
    pub fn run(&self, inputs: &BlockInputs, mode: BlockMode) -> Option<BlockOutputs> {
        self.run_on(Simd::best(), inputs, mode)
    }

    fn run_on(&self, simd: Simd, inputs: &BlockInputs, mode: BlockMode) -> Option<BlockOutputs> {
        let operands = BlockOperands::of(inputs)?;
        let dims = extents(&operands.x.tensor)?;
        if dims.contains(&0) || (inputs.conv.is_none() && !is_channels_last(&operands.x.tensor)) {
            return None;
        }
        let (conv, out_dims) = convolution(simd, inputs, dims)?;
        if let Some(residual) = &operands.residual
            && extents(&residual.tensor) != Some(out_dims)
        {
            return None;
        }
        if operands.is_tracked() && mode == BlockMode::Inference && self.epsilon.is_some() {
            return None;
        }
        let block = block::Block {
            conv,
            epsilon: self.epsilon,
            clamp: self.clamp,
            channels: out_dims[1],
            simd,
        };
        let tensors = operands.tensors();
        let (y, kept) = match mode {
            BlockMode::Training => tensors.with(|operands| block.train(operands)),
            BlockMode::Inference => {
                let running = [&inputs.norm[2], &inputs.norm[3]]
                    .map(|value| Some(value.as_ref().and_then(Operand::of)?.tensor));
                let folded = self.folded(&block, &tensors, running);
                let y = tensors.with_maps(|x, residual| block.infer(x, residual, &folded));
                (y, None)
            }
        };
        let y = from_channels_last(y, out_dims);
        let statistics = kept.as_ref().map(|kept| {
            let channels = Shape::new([out_dims[1]]);
            [&kept.mean, &kept.variance].map(|values| untracked(from_order(values.clone(), channels.clone())))
        });
        let context = operands.context();
        if context == DispatchAutodiffContext::Disabled {
            return Some(BlockOutputs {
                y: untracked(y),
                statistics,
            });
        }
        let state = |output: FlexTensor| State {
            block,
            tensors,
            kept: kept.map(Arc::new),
            output,
            in_dims: dims,
            out_dims,
        };
        let prepared = BlockBackward
            .prepare::<NoCheckpointing>(operands.into_nodes())
            .compute_bound()
            .stateful();
        let y = match prepared {
            OpsKind::Tracked(prepared) => prepared.finish(state(y.clone()), y),
            OpsKind::UnTracked(prepared) => prepared.finish(y),
        };
        Some(BlockOutputs {
            y: recorded(y, context),
            statistics,
        })
    }
}

/// The block's convolution, if it has one, and the extents of what comes out; `None` where the
/// kernels do not compute it.
fn convolution(
    simd: Simd,
    inputs: &BlockInputs,
    dims: [usize; 4],
) -> Option<(Option<Arc<Convolution>>, [usize; 4])> {
    let Some(shape) = &inputs.conv else {
        return Some((None, dims));
    };
    let [height, width] = shape.output();
    let out = [dims[0], shape.channels[1], height, width];
    if inputs.weight.is_none() || out.contains(&0) || !Convolution::supports(shape) {
        return None;
    }
    Some((Some(ready(shape.clone(), simd, inputs.precision)), out))
}

impl BlockOp {
    /// What inference computes with: from last time, if the weights are the same.
    fn folded(
        &self,
        block: &block::Block,
        tensors: &Tensors,
        running: [Option<FlexTensor>; 2],
    ) -> Arc<Folded> {
        let Tensors {
            weight,
            bias,
            gamma,
            beta,
            ..
        } = tensors.clone();
        let [mean, variance] = running;
        let sources = [weight, bias, gamma, beta, mean, variance];
        // The lock is not held while threads share work: one of them might come here again.
        let last = || self.folded.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kept) = last()
            .as_ref()
            .filter(|kept| kept.is_of(block.conv.as_ref(), &sources))
        {
            return kept.folded.clone();
        }
        let statistics = [&sources[4], &sources[5]].map(|values| values.as_ref().map(in_order));
        let statistics = match &statistics {
            [Some(mean), Some(variance)] => Some([mean.as_ref(), variance.as_ref()]),
            _ => None,
        };
        let folded = Arc::new(tensors.with(|operands| block.folded(operands, statistics)));
        *last() = Some(Prepared {
            conv: block.conv.clone(),
            sources,
            folded: folded.clone(),
        });
        folded
    }
}

/// Convolutions by extents, instruction set and precision.
type Ready = HashMap<(ConvShape, Simd, Precision), Arc<Convolution>>;

/// So many convolutions are kept ready: pictures of all sizes must not fill the memory.
const READY: usize = 512;

/// A convolution made ready, from those of earlier steps if it was there.
fn ready(shape: ConvShape, simd: Simd, precision: Precision) -> Arc<Convolution> {
    static CONVS: OnceLock<Mutex<Ready>> = OnceLock::new();
    let mut convs = CONVS
        .get_or_init(Mutex::default)
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    let key = (shape, simd, precision);
    if let Some(conv) = convs.get(&key) {
        return conv.clone();
    }
    if convs.len() >= READY {
        convs.clear();
    }
    let conv = Arc::new(Convolution::new(key.0.clone(), simd, precision.of_kernels()));
    convs.insert(key, conv.clone());
    conv
}

/// The block's place in the backward pass. Its parents: input, weight, bias, scale, shift,
/// residual.
#[derive(Debug)]
struct BlockBackward;

#[derive(Clone, Debug)]
struct State {
    block: block::Block,
    tensors: Tensors,
    kept: Option<Arc<Kept>>,
    output: FlexTensor,
    in_dims: [usize; 4],
    out_dims: [usize; 4],
}

impl Backward<Flex, 6> for BlockBackward {
    type State = State;

    fn backward(self, ops: Ops<State, 6>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let State {
            block,
            tensors,
            kept,
            output,
            in_dims,
            out_dims,
        } = ops.state;
        let gradient = grads.consume::<Flex>(&ops.node);
        let [x, weight, bias, gamma, beta, residual] = ops.parents;
        let wanted = Wanted {
            x: x.is_some(),
            weight: weight.is_some(),
            bias: bias.is_some(),
            residual: residual.is_some(),
        };
        let made = {
            let output = channels_last(&output);
            let gradient = channels_last(&gradient);
            tensors.with(|operands| block.backward(operands, kept.as_deref(), &output, &gradient, wanted))
        };
        let map = |elements: Option<Vec<f32>>, dims: [usize; 4]| {
            elements.map_or_else(|| gradient.clone(), |elements| from_channels_last(elements, dims))
        };
        if let Some(node) = x {
            grads.register::<Flex>(node.id, map(made.x, in_dims));
        }
        if let Some(node) = residual {
            grads.register::<Flex>(node.id, map(made.residual, out_dims));
        }
        let like = |elements: Option<Vec<f32>>, tensor: Option<FlexTensor>| {
            Some(from_order(elements?, tensor?.shape()))
        };
        let weights = [
            (weight, like(made.weight, tensors.weight)),
            (bias, like(made.bias, tensors.bias)),
            (gamma, like(made.gamma, tensors.gamma)),
            (beta, like(made.beta, tensors.beta)),
        ];
        for (node, gradient) in weights {
            if let (Some(node), Some(gradient)) = (node, gradient) {
                grads.register::<Flex>(node.id, gradient);
            }
        }
    }
}

#[cfg(test)]
mod tests;
