//! What a block reads: its inputs as values, as tensors with what records their gradients, and as
//! elements.

use burn::backend::DispatchAutodiffContext;
use burn::backend::autodiff::ops::NodeGuard;
use burn::backend::flex::FlexTensor;
use potstill_kernels::block::Operands;
use potstill_kernels::conv::ConvShape;

use crate::cpu::tensor::{Operand, channels_last, in_order, no_node};
use crate::precision::Precision;
use crate::value::Value;

/// A block's inputs, in ONNX's roles.
#[derive(Clone, Debug, Default)]
pub struct BlockInputs {
    /// `[batch, channels, height, width]`
    pub x: Option<Value>,
    /// The extents of the convolution on this input, if the block has one.
    pub conv: Option<ConvShape>,
    /// The convolution's precision.
    pub precision: Precision,
    /// The convolution's weight.
    pub weight: Option<Value>,
    /// The convolution's bias.
    pub bias: Option<Value>,
    /// The normalisation's scale, bias, running mean and running variance.
    pub norm: [Option<Value>; 4],
    /// What is added before the activation.
    pub residual: Option<Value>,
}

/// The inputs as tensors of Flex, with what records their gradients.
pub(super) struct BlockOperands {
    pub x: Operand,
    pub weight: Option<Operand>,
    pub bias: Option<Operand>,
    pub gamma: Option<Operand>,
    pub beta: Option<Operand>,
    pub residual: Option<Operand>,
}

impl BlockOperands {
    /// `None` where one of them is elsewhere.
    pub fn of(inputs: &BlockInputs) -> Option<Self> {
        let operand = |value: &Option<Value>| {
            value
                .as_ref()
                .map(|value| Operand::of(value).ok_or(()))
                .transpose()
                .ok()
        };
        Some(Self {
            x: Operand::of(inputs.x.as_ref()?)?,
            weight: operand(&inputs.weight)?,
            bias: operand(&inputs.bias)?,
            gamma: operand(&inputs.norm[0])?,
            beta: operand(&inputs.norm[1])?,
            residual: operand(&inputs.residual)?,
        })
    }

    fn present(&self) -> impl Iterator<Item = &Operand> {
        let Self {
            x,
            weight,
            bias,
            gamma,
            beta,
            residual,
        } = self;
        let optional = [weight, bias, gamma, beta, residual];
        std::iter::once(x).chain(optional.into_iter().flatten())
    }

    pub fn is_tracked(&self) -> bool {
        self.present().any(Operand::is_tracked)
    }

    pub fn context(&self) -> DispatchAutodiffContext {
        self.present()
            .map(Operand::context)
            .fold(DispatchAutodiffContext::Disabled, merged)
    }

    pub fn tensors(&self) -> Tensors {
        let tensor = |operand: &Option<Operand>| operand.as_ref().map(|operand| operand.tensor.clone());
        Tensors {
            x: self.x.tensor.clone(),
            weight: tensor(&self.weight),
            bias: tensor(&self.bias),
            gamma: tensor(&self.gamma),
            beta: tensor(&self.beta),
            residual: tensor(&self.residual),
        }
    }

    pub fn into_nodes(self) -> [NodeGuard; 6] {
        let Self {
            x,
            weight,
            bias,
            gamma,
            beta,
            residual,
        } = self;
        [Some(x), weight, bias, gamma, beta, residual]
            .map(|operand| operand.map_or_else(no_node, Operand::into_guard))
    }
}

fn merged(a: DispatchAutodiffContext, b: DispatchAutodiffContext) -> DispatchAutodiffContext {
    match a {
        DispatchAutodiffContext::Disabled => b,
        enabled => enabled,
    }
}

/// The operands' tensors, which share their elements with the graph's.
#[derive(Clone, Debug)]
pub(super) struct Tensors {
    pub x: FlexTensor,
    pub weight: Option<FlexTensor>,
    pub bias: Option<FlexTensor>,
    pub gamma: Option<FlexTensor>,
    pub beta: Option<FlexTensor>,
    pub residual: Option<FlexTensor>,
}

impl Tensors {
    /// Runs `work` on the input and the residual, channels-last.
    pub fn with_maps<R>(&self, work: impl FnOnce(&[f32], Option<&[f32]>) -> R) -> R {
        let residual = self.residual.as_ref().map(channels_last);
        work(&channels_last(&self.x), residual.as_deref())
    }

    /// Runs `work` on the elements, in the order that kernels want.
    pub fn with<R>(&self, work: impl FnOnce(Operands<'_>) -> R) -> R {
        let x = channels_last(&self.x);
        let weight = self.weight.as_ref().map(in_order).unwrap_or_default();
        let bias = self.bias.as_ref().map(in_order);
        let gamma = self.gamma.as_ref().map(in_order).unwrap_or_default();
        let beta = self.beta.as_ref().map(in_order).unwrap_or_default();
        let residual = self.residual.as_ref().map(channels_last);
        work(Operands {
            x: &x,
            weight: &weight,
            bias: bias.as_deref(),
            gamma: &gamma,
            beta: &beta,
            residual: residual.as_deref(),
        })
    }
}
