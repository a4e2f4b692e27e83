//! Convolution, batch normalisation, residual sum and activation as one operation, each part
//! optional.
//!
//! A training network consists of such blocks. Taken together, the statistics are computed while a
//! convolution's output is in the cache, one pass normalises, adds and activates, and the backward
//! pass makes the convolution's output gradient group by group, in the cache, as both of its
//! gradients need it.

use std::sync::Arc;

use crate::conv::{ConvGradients, Convolution, Ending, OutputGradient, PackedWeight, WantedGradients};
use crate::norm::{self, Affine, Clamp, Clamped, Moments, Normalised, Seen, Slope};
use crate::simd::Simd;

/// What a block is made of.
#[derive(Clone, Debug)]
pub struct Block {
    /// The convolution, if there is one.
    pub conv: Option<Arc<Convolution>>,
    /// ε of the normalisation, if there is one.
    pub epsilon: Option<f64>,
    /// The activation; [`Clamp::NONE`] if there is none.
    pub clamp: Clamp,
    /// Channels of the output.
    pub channels: usize,
    /// The instruction set.
    pub simd: Simd,
}

/// What a block computes with. Maps are channels-last.
#[derive(Clone, Copy, Debug)]
pub struct Operands<'a> {
    /// The input.
    pub x: &'a [f32],
    /// The convolution's weight `[out, in / groups, height, width]`; empty without one.
    pub weight: &'a [f32],
    /// The convolution's bias `[out]`.
    pub bias: Option<&'a [f32]>,
    /// The normalisation's weight γ `[out]`; empty without one.
    pub gamma: &'a [f32],
    /// The normalisation's bias β `[out]`; empty without one.
    pub beta: &'a [f32],
    /// Added before the activation; like the output.
    pub residual: Option<&'a [f32]>,
}

/// What the forward pass in training leaves for the backward pass, beside operands and output.
#[derive(Clone, Debug)]
pub struct Kept {
    /// The normalisation's input where it is not the block's.
    pub convolved: Option<Vec<f32>>,
    /// The batch's means.
    pub mean: Vec<f32>,
    /// The batch's biased variances.
    pub variance: Vec<f32>,
    affine: Affine,
}

/// Weights of a block as inference computes with them.
#[derive(Clone, Debug)]
pub struct Folded {
    weight: Option<PackedWeight>,
    bias: Option<Vec<f32>>,
    /// The normalisation of a block without a convolution.
    affine: Option<Affine>,
}

/// Which gradients are wanted.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    /// Of the input.
    pub x: bool,
    /// Of the convolution's weight.
    pub weight: bool,
    /// Of the convolution's bias.
    pub bias: bool,
    /// Of the residual.
    pub residual: bool,
}

impl Wanted {
    /// Those that the convolution computes.
    fn of_conv(self) -> WantedGradients {
        WantedGradients {
            input: self.x,
            weight: self.weight,
        }
    }
}

/// What the backward pass computes; `None` where it was not asked for, or is the output's gradient
/// itself.
#[derive(Debug, Default)]
pub struct Gradients {
    /// Of the input.
    pub x: Option<Vec<f32>>,
    /// Of the convolution's weight.
    pub weight: Option<Vec<f32>>,
    /// Of the convolution's bias.
    pub bias: Option<Vec<f32>>,
    /// Of γ.
    pub gamma: Option<Vec<f32>>,
    /// Of β.
    pub beta: Option<Vec<f32>>,
    /// Of the residual.
    pub residual: Option<Vec<f32>>,
}

impl Block {
    /// The output in training, where the batch's statistics normalise; what the backward pass
    /// needs, if there is a normalisation.
    pub fn train(&self, operands: Operands<'_>) -> (Vec<f32>, Option<Kept>) {
        let Some(epsilon) = self.epsilon else {
            let folded = self.folded(operands, None);
            return (self.infer(operands.x, operands.residual, &folded), None);
        };
        let (convolved, moments) = match &self.conv {
            None => (None, Moments::of_batch(self.simd, operands.x, self.channels)),
            Some(conv) => {
                let (convolved, parts) =
                    conv.forward_with(operands.x, operands.weight, operands.bias, |_, part| {
                        Moments::of(self.simd, part, self.channels)
                    });
                (Some(convolved), Moments::merged(parts))
            }
        };
        let (mean, variance) = (moments.mean(), moments.variance());
        let affine = Affine::normalising(&mean, &variance, operands.gamma, operands.beta, epsilon);
        let z = convolved.as_deref().unwrap_or(operands.x);
        let output = norm::apply(
            self.simd,
            z,
            self.channels,
            Some(&affine),
            operands.residual,
            self.clamp,
        );
        let kept = Kept {
            convolved,
            mean,
            variance,
            affine,
        };
        (output, Some(kept))
    }

    /// What inference computes with, where the running statistics `[mean, variance]` normalise, if
    /// there are any: a convolution's weight takes the normalisation in.
    pub fn folded(&self, operands: Operands<'_>, statistics: Option<[&[f32]; 2]>) -> Folded {
        let affine = match (self.epsilon, statistics) {
            (Some(epsilon), Some([mean, variance])) => Some(Affine::normalising(
                mean,
                variance,
                operands.gamma,
                operands.beta,
                epsilon,
            )),
            _ => None,
        };
        let Some(conv) = &self.conv else {
            return Folded {
                weight: None,
                bias: None,
                affine,
            };
        };
        let Some(affine) = affine else {
            return Folded {
                weight: Some(conv.pack(operands.weight)),
                bias: operands.bias.map(<[f32]>::to_vec),
                affine: None,
            };
        };
        let per_channel = operands.weight.len() / self.channels;
        let mut weight = operands.weight.to_vec();
        for (filter, scale) in weight.chunks_exact_mut(per_channel).zip(&affine.scale) {
            filter.iter_mut().for_each(|element| *element *= scale);
        }
        let mut bias = affine.shift;
        if let Some(before) = operands.bias {
            for ((bias, before), scale) in bias.iter_mut().zip(before).zip(&affine.scale) {
                *bias += before * scale;
            }
        }
        Folded {
            weight: Some(conv.pack(&weight)),
            bias: Some(bias),
            affine: None,
        }
    }

    /// The output in inference, of an input and what is added before the activation; `folded` was
    /// made by this block, or by one with the same convolution.
    pub fn infer(&self, x: &[f32], residual: Option<&[f32]>, folded: &Folded) -> Vec<f32> {
        let (Some(conv), Some(weight)) = (&self.conv, &folded.weight) else {
            let affine = folded.affine.as_ref();
            return norm::apply(self.simd, x, self.channels, affine, residual, self.clamp);
        };
        let ending = Ending {
            residual,
            clamp: self.clamp,
        };
        conv.infer(x, weight, folded.bias.as_deref(), ending)
    }

    /// The gradients in training, from the gradient of the output.
    pub fn backward(
        &self,
        operands: Operands<'_>,
        kept: Option<&Kept>,
        output: &[f32],
        gradient: &[f32],
        wanted: Wanted,
    ) -> Gradients {
        let seen = match kept {
            _ if self.clamp.is_none() => Seen::Nothing,
            Some(kept) if operands.residual.is_none() => Seen::Again(&kept.affine),
            _ => Seen::Output(output),
        };
        let clamped = Clamped {
            gradient,
            clamp: self.clamp,
            seen,
        };
        match (kept, self.epsilon) {
            (Some(kept), Some(epsilon)) => self.through_norm(operands, kept, epsilon, clamped, wanted),
            _ => self.past_clamp(operands, clamped, wanted),
        }
    }

    fn through_norm(
        &self,
        operands: Operands<'_>,
        kept: &Kept,
        epsilon: f64,
        clamped: Clamped<'_>,
        wanted: Wanted,
    ) -> Gradients {
        let normalised = Normalised {
            x: kept.convolved.as_deref().unwrap_or(operands.x),
            mean: &kept.mean,
        };
        let keep = wanted.residual && !self.clamp.is_none();
        let (sums, residual) = norm::sums(self.simd, clamped, Some(normalised), self.channels, keep);
        let clamped = match &residual {
            Some(gradient) => Clamped {
                gradient,
                clamp: Clamp::NONE,
                seen: Seen::Nothing,
            },
            None => clamped,
        };
        let pixels = normalised.x.len() / self.channels;
        let slope = Slope::new(&sums, &kept.affine.scale, &kept.variance, epsilon, pixels);
        let gamma = sums
            .product
            .iter()
            .zip(&kept.variance)
            .map(|(product, variance)| (product / (f64::from(*variance) + epsilon).sqrt()) as f32)
            .collect();
        let beta = sums.gradient.iter().map(|sum| *sum as f32).collect();
        let ConvGradients { input, weight } = match &self.conv {
            None => ConvGradients {
                input: wanted
                    .x
                    .then(|| norm::normalisation_gradient_of_batch(self.simd, clamped, normalised, &slope)),
                weight: None,
            },
            Some(conv) => {
                let make = |pixels: std::ops::Range<usize>, to: &mut [f32]| {
                    let elements = pixels.start * self.channels..pixels.end * self.channels;
                    let (clamped, normalised) = (clamped.part(elements.clone()), normalised.part(elements));
                    norm::normalisation_gradient(self.simd, clamped, normalised, &slope, to);
                };
                let gradient = OutputGradient::Made(&make);
                conv.backward(operands.x, operands.weight, gradient, wanted.of_conv())
            }
        };
        Gradients {
            x: input,
            weight,
            // The normalisation takes every constant away.
            bias: wanted.bias.then(|| vec![0.0; self.channels]),
            gamma: Some(gamma),
            beta: Some(beta),
            residual,
        }
    }

    fn past_clamp(&self, operands: Operands<'_>, clamped: Clamped<'_>, wanted: Wanted) -> Gradients {
        let bias = wanted.bias.then(|| {
            let (sums, _) = norm::sums(self.simd, clamped, None, self.channels, false);
            sums.gradient.iter().map(|sum| *sum as f32).collect()
        });
        let passed = !self.clamp.is_none() && (wanted.residual || self.conv.is_none());
        let passed = passed.then(|| norm::clamp_gradient_of_batch(self.simd, clamped));
        let Some(conv) = &self.conv else {
            // Input and residual have one gradient.
            return Gradients {
                residual: wanted.residual.then(|| passed.clone()).flatten(),
                x: passed,
                ..Gradients::default()
            };
        };
        let make = |pixels: std::ops::Range<usize>, to: &mut [f32]| {
            let elements = pixels.start * self.channels..pixels.end * self.channels;
            norm::clamp_gradient(self.simd, clamped.part(elements), to);
        };
        let gradient = match &passed {
            Some(gradient) => OutputGradient::Ready(gradient),
            None if self.clamp.is_none() => OutputGradient::Ready(clamped.gradient),
            None => OutputGradient::Made(&make),
        };
        let ConvGradients { input, weight } =
            conv.backward(operands.x, operands.weight, gradient, wanted.of_conv());
        Gradients {
            x: input,
            weight,
            bias,
            residual: passed,
            ..Gradients::default()
        }
    }
}
