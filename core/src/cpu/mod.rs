//! Training on the CPU with kernels of our own: Burn's Flex tensors in, Burn's Flex tensors out,
//! recorded for its autodiff.
//!
//! Feature maps are kept **channels-last**: a tensor of shape `[batch, channels, height, width]`
//! whose strides say that the channels of a pixel lie side by side, as PyTorch's `channels_last`.
//! Burn's own operators read such a tensor like any other, so that what has no kernel here needs no
//! copy of its own. On other devices nothing of this module is used.

use std::sync::atomic::{AtomicBool, Ordering};

mod block;
mod fork;
mod pool;
mod scale;
mod tensor;

pub(crate) use block::{BlockInputs, BlockMode, BlockOp};
pub(crate) use fork::Fork;
pub(crate) use pool::{Pooling, global_average, pooled};
pub(crate) use scale::scaled_gradient;

/// Whether these kernels are used, in the whole process: Burn knows one CPU, so that a tensor
/// cannot say it.
static IN_USE: AtomicBool = AtomicBool::new(true);

/// Uses these kernels from now on, or leaves everything to Burn's operators.
pub(crate) fn use_kernels(use_them: bool) {
    IN_USE.store(use_them, Ordering::Relaxed);
}

/// Runs `work` on one of the CPU backend's threads. What it splits up starts there at once; from a
/// thread outside, each split wakes one, which takes longer than a small operator.
pub(crate) fn on_pool<R: Send>(work: impl FnOnce() -> R + Send) -> R {
    rayon::scope(|_| work())
}

fn in_use() -> bool {
    IN_USE.load(Ordering::Relaxed)
}
