//! A map that several read: its readers' gradients are summed here, channels-last and on all
//! threads, before Burn sees them.
//!
//! Burn adds gradients of one tensor on one thread, and in the order of the axes, so that
//! channels-last ones are turned over first. Each reader therefore gets an alias with a node of its
//! own. An alias adds its gradient to the fork's sum, and tells the fork's node with a gradient of
//! one element that there is something to hand on; the fork's node lies below all of its aliases
//! and so comes after them in the backward pass.

use std::sync::{Arc, Mutex, PoisonError};

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::NoCheckpointing;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::{DispatchAutodiffContext, Flex};
use burn::tensor::Shape;
use potstill_kernels::norm::{self, Clamp};
use potstill_kernels::simd::Simd;

use super::tensor::{
    Operand, channels_last, extents, from_channels_last, from_order, is_channels_last, recorded,
};
use crate::value::Value;

/// A value that is read several times.
#[derive(Clone, Debug)]
pub struct Fork {
    value: Value,
    /// The sum of the readers' gradients; `None` where Burn adds them.
    sum: Option<Sum>,
}

type Sum = Arc<Mutex<Option<FlexTensor>>>;

impl Fork {
    /// Forks a tracked channels-last map; other values are handed to each reader as they are.
    pub fn new(value: Value) -> Self {
        let plain = |value| Self { value, sum: None };
        let Some(operand) = Operand::of(&value) else {
            return plain(value);
        };
        if !operand.is_tracked() || !is_channels_last(&operand.tensor) {
            return plain(value);
        }
        let (tensor, sum) = (operand.tensor.clone(), Sum::default());
        match record(operand, Hand::On, sum.clone(), tensor) {
            Some(value) => Self {
                value,
                sum: Some(sum),
            },
            None => plain(value),
        }
    }

    /// What one reader gets.
    pub fn alias(&self) -> Value {
        let alias = || {
            let operand = Operand::of(&self.value)?;
            let tensor = operand.tensor.clone();
            record(operand, Hand::In, self.sum.clone()?, tensor)
        };
        alias().unwrap_or_else(|| self.value.clone())
    }
}

/// The same elements under a node of their own.
fn record(operand: Operand, hand: Hand, sum: Sum, tensor: FlexTensor) -> Option<Value> {
    let (context, dims) = (operand.context(), extents(&tensor)?);
    if context == DispatchAutodiffContext::Disabled {
        return None;
    }
    let prepared = hand
        .prepare::<NoCheckpointing>([operand.into_guard()])
        .compute_bound()
        .stateful();
    let tensor = match prepared {
        OpsKind::Tracked(prepared) => prepared.finish(State { sum, dims }, tensor),
        OpsKind::UnTracked(prepared) => prepared.finish(tensor),
    };
    Some(recorded(tensor, context))
}

/// What a node does with a gradient.
#[derive(Clone, Copy, Debug)]
enum Hand {
    /// An alias adds it to the sum.
    In,
    /// The fork hands the sum on.
    On,
}

#[derive(Clone, Debug)]
struct State {
    sum: Sum,
    dims: [usize; 4],
}

impl Backward<Flex, 1> for Hand {
    type State = State;

    fn backward(self, ops: Ops<State, 1>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let gradient = grads.consume::<Flex>(&ops.node);
        let [Some(node)] = ops.parents else {
            return;
        };
        let State { sum, dims } = ops.state;
        let mut sum = sum.lock().unwrap_or_else(PoisonError::into_inner);
        match self {
            Hand::In => {
                *sum = Some(match sum.take() {
                    None => gradient,
                    Some(before) => {
                        let (a, b) = (channels_last(&before), channels_last(&gradient));
                        let both = norm::apply(Simd::best(), &a, dims[1], None, Some(&b), Clamp::NONE);
                        from_channels_last(both, dims)
                    }
                });
                grads.register::<Flex>(node.id, from_order(vec![0.0], Shape::new([1])));
            }
            Hand::On => {
                if let Some(sum) = sum.take() {
                    grads.register::<Flex>(node.id, sum);
                }
            }
        }
    }
}
