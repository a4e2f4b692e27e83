//! The backward pass: one over memory for the sums, one for the gradient, which a convolution asks
//! for part by part.

use std::ops::Range;

use rayon::prelude::*;

use super::{Affine, Clamp, tasks};
use crate::parallel::{Shared, written};
use crate::simd::{Kernel, Lanes, Simd, by_registers, load, store};

/// Where the gradient of a clamped sum comes from, and whether it passes.
#[derive(Clone, Copy, Debug)]
pub struct Clamped<'a> {
    /// The gradient of the output.
    pub gradient: &'a [f32],
    /// The bounds.
    pub clamp: Clamp,
    /// What tells which elements were clamped.
    pub seen: Seen<'a>,
}

/// What a clamp's backward pass looks at.
#[derive(Clone, Copy, Debug)]
pub enum Seen<'a> {
    /// The clamp's output.
    Output(&'a [f32]),
    /// z = scale · x + shift, computed again: nothing was added.
    Again(&'a Affine),
    /// Nothing: there are no bounds, and every gradient passes.
    Nothing,
}

/// What the normalisation's backward pass needs beside the gradient.
#[derive(Clone, Copy, Debug)]
pub struct Normalised<'a> {
    /// The normalisation's input.
    pub x: &'a [f32],
    /// Its means.
    pub mean: &'a [f32],
}

/// Sums over all pixels, by channel.
#[derive(Clone, Debug)]
pub struct Sums {
    /// Σ dz
    pub gradient: Vec<f64>,
    /// Σ dz (x − mean); zeros where nothing was normalised.
    pub product: Vec<f64>,
}

/// The first of the two backward passes: Σ dz and Σ dz (x − mean), and dz itself where it is asked
/// for.
pub fn sums(
    simd: Simd,
    clamped: Clamped<'_>,
    normalised: Option<Normalised<'_>>,
    channels: usize,
    keep: bool,
) -> (Sums, Option<Vec<f32>>) {
    let len = clamped.gradient.len();
    let mut parts: Vec<Vec<f32>> = Vec::new();
    let mut run = |kept: Option<Shared>| {
        parts = tasks(len / channels, channels)
            .into_par_iter()
            .map(|pixels| {
                let elements = pixels.start * channels..pixels.end * channels;
                let mut sums = vec![0.0; 2 * channels];
                simd.run(Summing {
                    clamped: clamped.part(elements.clone()),
                    normalised: normalised.map(|normalised| normalised.part(elements.clone())),
                    channels,
                    // SAFETY: each range is one task's.
                    kept: kept.map(|kept| unsafe { kept.part(elements) }),
                    sums: &mut sums,
                });
                sums
            })
            .collect();
    };
    let kept = if keep {
        // SAFETY: the tasks cover all pixels.
        Some(unsafe { written(len, |kept| run(Some(Shared::new(kept)))) })
    } else {
        run(None);
        None
    };
    let mut totals = vec![0.0; 2 * channels];
    for part in parts {
        for (total, sum) in totals.iter_mut().zip(part) {
            *total += f64::from(sum);
        }
    }
    let product = totals.split_off(channels);
    let sums = Sums {
        gradient: totals,
        product,
    };
    (sums, kept)
}

impl<'a> Clamped<'a> {
    /// That of some elements.
    pub fn part(self, elements: Range<usize>) -> Self {
        Self {
            gradient: &self.gradient[elements.clone()],
            clamp: self.clamp,
            seen: match self.seen {
                Seen::Output(output) => Seen::Output(&output[elements]),
                other => other,
            },
        }
    }
}

impl<'a> Normalised<'a> {
    /// That of some elements.
    pub fn part(self, elements: Range<usize>) -> Self {
        Self {
            x: &self.x[elements],
            mean: self.mean,
        }
    }
}

/// dz of `count` elements from `at` on; `x` is the normalisation's input there.
///
/// # Safety
/// All buffers have these elements.
#[inline(always)]
unsafe fn unclamped<L: Lanes>(
    clamped: &Clamped<'_>,
    bounds: [L; 2],
    x: Option<L>,
    at: usize,
    channel: usize,
    count: usize,
) -> L {
    unsafe {
        let gradient: L = load(clamped.gradient.as_ptr().add(at), count);
        let seen = match (clamped.seen, x) {
            (Seen::Output(output), _) => load(output.as_ptr().add(at), count),
            (Seen::Again(affine), Some(x)) => {
                let scale = load(affine.scale.as_ptr().add(channel), count);
                x.mul_add(scale, load(affine.shift.as_ptr().add(channel), count))
            }
            (Seen::Nothing, _) | (Seen::Again(_), None) => return gradient,
        };
        gradient.where_between(seen, bounds[0], bounds[1])
    }
}

struct Summing<'a> {
    clamped: Clamped<'a>,
    normalised: Option<Normalised<'a>>,
    channels: usize,
    kept: Option<&'a mut [f32]>,
    sums: &'a mut [f32],
}

impl Kernel for Summing<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(mut self) {
        let channels = self.channels;
        let len = self.clamped.gradient.len();
        let bounds = [
            L::splat(self.clamped.clamp.low),
            L::splat(self.clamped.clamp.high),
        ];
        let kept = self.kept.as_mut().map(|kept| kept.as_mut_ptr());
        let (sums, products) = self.sums.split_at_mut(channels);
        by_registers::<L>(
            channels,
            #[inline(always)]
            |channel, count| {
                // SAFETY: `len` is a whole number of pixels, and every buffer has `len` elements.
                unsafe {
                    let mean = match self.normalised {
                        Some(normalised) => load(normalised.mean.as_ptr().add(channel), count),
                        None => L::splat(0.0),
                    };
                    let (mut sum, mut product) = ([L::splat(0.0); 2], [L::splat(0.0); 2]);
                    // Two pixels at a time, so that the sums do not wait for themselves.
                    for pixel in (0..len).step_by(2 * channels) {
                        for place in 0..2 {
                            let at = pixel + place * channels + channel;
                            if at >= len {
                                break;
                            }
                            let x = self.normalised.map(
                                #[inline(always)]
                                |normalised| load::<L>(normalised.x.as_ptr().add(at), count),
                            );
                            let gradient = unclamped(&self.clamped, bounds, x, at, channel, count);
                            sum[place] = sum[place].add(gradient);
                            if let Some(x) = x {
                                product[place] = gradient.mul_add(x.sub(mean), product[place]);
                            }
                            if let Some(kept) = kept {
                                store(gradient, kept.add(at), count);
                            }
                        }
                    }
                    store(sum[0].add(sum[1]), sums[channel..].as_mut_ptr(), count);
                    store(
                        product[0].add(product[1]),
                        products[channel..].as_mut_ptr(),
                        count,
                    );
                }
            },
        );
    }
}

/// The second backward pass by channel: dx = scale · dz + slope · (x − mean) + shift.
#[derive(Clone, Debug)]
pub struct Slope {
    scale: Vec<f32>,
    slope: Vec<f32>,
    shift: Vec<f32>,
}

impl Slope {
    /// From the sums of the first pass over `pixels` pixels; `variance` is biased, `scale` that of
    /// the forward pass.
    pub fn new(sums: &Sums, scale: &[f32], variance: &[f32], epsilon: f64, pixels: usize) -> Self {
        let pixels = pixels as f64;
        let slope = sums
            .product
            .iter()
            .zip(scale)
            .zip(variance)
            .map(|((product, scale), variance)| {
                (-f64::from(*scale) * product / pixels / (f64::from(*variance) + epsilon)) as f32
            })
            .collect();
        let shift = sums
            .gradient
            .iter()
            .zip(scale)
            .map(|(gradient, scale)| (-f64::from(*scale) * gradient / pixels) as f32)
            .collect();
        Self {
            scale: scale.to_vec(),
            slope,
            shift,
        }
    }
}

/// What is needed for the second backward pass over some elements, `[pixels, channels]`.
pub fn normalisation_gradient(
    simd: Simd,
    clamped: Clamped<'_>,
    normalised: Normalised<'_>,
    slope: &Slope,
    to: &mut [f32],
) {
    simd.run(Sloping {
        clamped,
        normalised,
        slope,
        to,
    });
}

/// dz of some elements, where nothing was normalised.
///
/// # Panics
/// If `to` has another length than the gradient.
pub fn clamp_gradient(simd: Simd, clamped: Clamped<'_>, to: &mut [f32]) {
    struct Clamping<'a>(Clamped<'a>, &'a mut [f32]);
    impl Kernel for Clamping<'_> {
        type Output = ();
        #[inline(always)]
        fn run<L: Lanes>(self) {
            let bounds = [L::splat(self.0.clamp.low), L::splat(self.0.clamp.high)];
            by_registers::<L>(
                self.1.len(),
                #[inline(always)]
                |at, count| unsafe {
                    let gradient = unclamped(&self.0, bounds, None, at, 0, count);
                    store(gradient, self.1.as_mut_ptr().add(at), count);
                },
            );
        }
    }
    assert_eq!(clamped.gradient.len(), to.len());
    simd.run(Clamping(clamped, to));
}

/// As [`normalisation_gradient`], over the whole batch.
pub fn normalisation_gradient_of_batch(
    simd: Simd,
    clamped: Clamped<'_>,
    normalised: Normalised<'_>,
    slope: &Slope,
) -> Vec<f32> {
    by_tasks(normalised.x.len(), normalised.mean.len(), |elements, to| {
        normalisation_gradient(
            simd,
            clamped.part(elements.clone()),
            normalised.part(elements),
            slope,
            to,
        );
    })
}

/// As [`clamp_gradient`], over the whole batch.
pub fn clamp_gradient_of_batch(simd: Simd, clamped: Clamped<'_>) -> Vec<f32> {
    by_tasks(clamped.gradient.len(), 1, |elements, to| {
        clamp_gradient(simd, clamped.part(elements), to);
    })
}

/// A vector whose parts tasks write.
fn by_tasks(len: usize, channels: usize, write: impl Fn(Range<usize>, &mut [f32]) + Sync) -> Vec<f32> {
    // SAFETY: the tasks cover all pixels.
    unsafe {
        written(len, |output| {
            let output = Shared::new(output);
            tasks(len / channels, channels)
                .into_par_iter()
                .for_each(|pixels| {
                    let elements = pixels.start * channels..pixels.end * channels;
                    write(elements.clone(), output.part(elements));
                });
        })
    }
}

struct Sloping<'a> {
    clamped: Clamped<'a>,
    normalised: Normalised<'a>,
    slope: &'a Slope,
    to: &'a mut [f32],
}

impl Kernel for Sloping<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self) {
        let (len, channels) = (self.to.len(), self.normalised.mean.len());
        assert!(self.clamped.gradient.len() == len && self.normalised.x.len() == len);
        let bounds = [
            L::splat(self.clamped.clamp.low),
            L::splat(self.clamped.clamp.high),
        ];
        let to = self.to.as_mut_ptr();
        for pixel in (0..len).step_by(channels.max(1)) {
            by_registers::<L>(
                channels,
                #[inline(always)]
                |channel, count| {
                    let at = pixel + channel;
                    // SAFETY: `len` is a whole number of pixels, and every buffer has `len`
                    // elements.
                    unsafe {
                        let x: L = load(self.normalised.x.as_ptr().add(at), count);
                        let gradient = unclamped(&self.clamped, bounds, Some(x), at, channel, count);
                        let from_mean = x.sub(load(self.normalised.mean.as_ptr().add(channel), count));
                        let slope = load(self.slope.slope.as_ptr().add(channel), count);
                        let shifted =
                            from_mean.mul_add(slope, load(self.slope.shift.as_ptr().add(channel), count));
                        let scale = load(self.slope.scale.as_ptr().add(channel), count);
                        store(gradient.mul_add(scale, shifted), to.add(at), count);
                    }
                },
            );
        }
    }
}
