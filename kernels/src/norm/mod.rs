//! Batch normalisation, residual sum and activation over channels-last pixels, each pass over
//! memory doing all that can be done in it.
//!
//! Forward: z = scale · x + shift with scale = γ / √(var + ε), shift = β − mean · scale; then the
//! residual is added and the sum clamped. Backward (Ioffe and Szegedy 2015, arXiv 1502.03167,
//! section 3): with dz the gradient before the clamp and m pixels, dβ = Σ dz, dγ = r Σ dz (x −
//! mean), dx = γ r (dz − dβ / m − (x − mean) r dγ / m), r = 1 / √(var + ε).

mod backward;
mod forward;
mod moments;

use std::ops::Range;

use crate::simd::Lanes;

pub use backward::{
    Clamped, Normalised, Seen, Slope, Sums, clamp_gradient, clamp_gradient_of_batch, normalisation_gradient,
    normalisation_gradient_of_batch, sums,
};
pub use forward::apply;
pub(crate) use forward::finish;
pub use moments::Moments;

/// Elements of one task.
const TASK_ELEMENTS: usize = 1 << 14;

/// Bounds of an activation: y = min(max(z, low), high). The gradient is 0 at and beyond the bounds,
/// as that of PyTorch's ReLU and ReLU6.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Clamp {
    /// −∞ where there is none.
    pub low: f32,
    /// ∞ where there is none.
    pub high: f32,
}

impl Clamp {
    /// No activation.
    pub const NONE: Self = Self {
        low: f32::NEG_INFINITY,
        high: f32::INFINITY,
    };
    /// max(z, 0)
    pub const RELU: Self = Self {
        low: 0.0,
        high: f32::INFINITY,
    };

    /// Clamps a register.
    #[inline(always)]
    pub(crate) fn of<L: Lanes>(self, z: L) -> L {
        // In this order a NaN stays one.
        L::splat(self.high).min(L::splat(self.low).max(z))
    }

    /// Whether it changes nothing.
    pub fn is_none(self) -> bool {
        self == Self::NONE
    }
}

/// z = scale · x + shift, by channel.
#[derive(Clone, Debug, PartialEq)]
pub struct Affine {
    /// One element per channel.
    pub scale: Vec<f32>,
    /// One element per channel.
    pub shift: Vec<f32>,
}

impl Affine {
    /// What a normalisation with these statistics and weights does.
    pub fn normalising(mean: &[f32], variance: &[f32], gamma: &[f32], beta: &[f32], epsilon: f64) -> Self {
        let scale: Vec<f32> = variance
            .iter()
            .zip(gamma)
            .map(|(variance, gamma)| (f64::from(*gamma) / (f64::from(*variance) + epsilon).sqrt()) as f32)
            .collect();
        let shift = mean
            .iter()
            .zip(beta)
            .zip(&scale)
            .map(|((mean, beta), scale)| (f64::from(*beta) - f64::from(*mean) * f64::from(*scale)) as f32)
            .collect();
        Self { scale, shift }
    }
}

fn task_pixels(channels: usize) -> usize {
    (TASK_ELEMENTS / channels.max(1)).max(1)
}

/// Ranges of pixels, one for each task.
fn tasks(pixels: usize, channels: usize) -> Vec<Range<usize>> {
    let size = task_pixels(channels);
    (0..pixels)
        .step_by(size)
        .map(|first| first..(first + size).min(pixels))
        .collect()
}
