//! Batch normalisation, residual sum and activation over channels-last pixels, each pass over memory doing all that can be done in it.
//!
//! Forward: z = scale · x + shift with scale = γ / √(var + ε), shift = β − mean · scale; then the residual is added and the sum clamped. Backward
//! (Ioffe and Szegedy 2015, arXiv 1502.03167, section 3): with dz the gradient before the clamp and m pixels,
//! dβ = Σ dz, dγ = r Σ dz (x − mean), dx = γ r (dz − dβ / m − (x − mean) r dγ / m), r = 1 / √(var + ε).

use std::ops::Range;

use rayon::prelude::*;

use crate::parallel::{Shared, written};
use crate::simd::{Kernel, Lanes, Simd, by_registers, load, store};

/// Elements of one task.
const TASK_ELEMENTS: usize = 1 << 14;

/// Bounds of an activation: y = min(max(z, low), high). The gradient is 0 at and beyond the bounds, as that of PyTorch's ReLU and ReLU6.
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

/// Mean and sum of squared deviations of each channel over some pixels.
#[derive(Clone, Debug)]
pub struct Moments {
    count: f64,
    mean: Vec<f64>,
    squares: Vec<f64>,
}

impl Moments {
    /// Of the pixels `[pixels, channels]`.
    pub fn of(simd: Simd, pixels: &[f32], channels: usize) -> Self {
        let mut sums = vec![0.0; 2 * channels];
        simd.run(Deviations {
            pixels,
            channels,
            sums: &mut sums,
        });
        let count = (pixels.len() / channels) as f64;
        let (deviations, squares) = sums.split_at(channels);
        let mean = deviations
            .iter()
            .zip(pixels)
            .map(|(sum, shift)| f64::from(*shift) + f64::from(*sum) / count)
            .collect();
        let squares = squares
            .iter()
            .zip(deviations)
            .map(|(squares, sum)| (f64::from(*squares) - f64::from(*sum) * f64::from(*sum) / count).max(0.0))
            .collect();
        Self { count, mean, squares }
    }

    /// Of a whole batch, in parts that do not depend on the threads.
    pub fn of_batch(simd: Simd, pixels: &[f32], channels: usize) -> Self {
        let parts = pixels
            .par_chunks(task_pixels(channels) * channels)
            .map(|part| Self::of(simd, part, channels))
            .collect();
        Self::merged(parts)
    }

    /// Of all parts together (Chan, Golub and LeVeque 1983).
    pub fn merged(parts: Vec<Self>) -> Self {
        let mut parts = parts.into_iter();
        let mut all = parts.next().unwrap_or(Self {
            count: 0.0,
            mean: Vec::new(),
            squares: Vec::new(),
        });
        for part in parts {
            let count = all.count + part.count;
            for channel in 0..all.mean.len() {
                let apart = part.mean[channel] - all.mean[channel];
                all.mean[channel] += apart * part.count / count;
                all.squares[channel] +=
                    part.squares[channel] + apart * apart * all.count * part.count / count;
            }
            all.count = count;
        }
        all
    }

    /// The means.
    pub fn mean(&self) -> Vec<f32> {
        self.mean.iter().map(|mean| *mean as f32).collect()
    }

    /// The variances, biased: divided by the number of pixels.
    pub fn variance(&self) -> Vec<f32> {
        self.squares
            .iter()
            .map(|squares| (squares / self.count) as f32)
            .collect()
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

/// For each channel Σ (x − x₀) and Σ (x − x₀)², x₀ the first pixel: without it the squares of a channel far from 0 would lose its variance.
struct Deviations<'a> {
    pixels: &'a [f32],
    channels: usize,
    sums: &'a mut [f32],
}

impl Kernel for Deviations<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self) {
        let (sums, squares) = self.sums.split_at_mut(self.channels);
        by_registers::<L>(
            self.channels,
            #[inline(always)]
            |channel, count| {
                // SAFETY: `count` channels from `channel` on are within each pixel.
                unsafe {
                    let shift: L = load(self.pixels[channel..].as_ptr(), count);
                    let (mut sum, mut square) = ([L::splat(0.0); 2], [L::splat(0.0); 2]);
                    // Two pixels at a time, so that the sums do not wait for themselves.
                    let mut pairs = self.pixels.chunks_exact(2 * self.channels);
                    for pair in pairs.by_ref() {
                        for place in 0..2 {
                            let deviation =
                                load::<L>(pair[place * self.channels + channel..].as_ptr(), count).sub(shift);
                            sum[place] = sum[place].add(deviation);
                            square[place] = deviation.mul_add(deviation, square[place]);
                        }
                    }
                    for pixel in pairs.remainder().chunks_exact(self.channels) {
                        let deviation = load::<L>(pixel[channel..].as_ptr(), count).sub(shift);
                        sum[0] = sum[0].add(deviation);
                        square[0] = deviation.mul_add(deviation, square[0]);
                    }
                    store(sum[0].add(sum[1]), sums[channel..].as_mut_ptr(), count);
                    store(square[0].add(square[1]), squares[channel..].as_mut_ptr(), count);
                }
            },
        );
    }
}

/// Normalises, adds the residual and activates, all of it optional: `[pixels, channels]` like the input.
pub fn apply(
    simd: Simd,
    x: &[f32],
    channels: usize,
    affine: Option<&Affine>,
    residual: Option<&[f32]>,
    clamp: Clamp,
) -> Vec<f32> {
    // SAFETY: the tasks cover all pixels.
    unsafe {
        written(x.len(), |output| {
            let output = Shared::new(output);
            tasks(x.len() / channels, channels)
                .into_par_iter()
                .for_each(|pixels| {
                    let elements = pixels.start * channels..pixels.end * channels;
                    simd.run(Apply {
                        x: x[elements.clone()].as_ptr(),
                        output: output.part(elements.clone()),
                        channels,
                        affine,
                        residual: residual.map(|residual| &residual[elements]),
                        clamp,
                    });
                });
        })
    }
}

/// Adds the residual and activates in place: what is left to do with a part of a convolution's output, `[pixels, channels]`.
pub fn finish(simd: Simd, part: &mut [f32], channels: usize, residual: Option<&[f32]>, clamp: Clamp) {
    simd.run(Apply {
        x: part.as_ptr(),
        output: part,
        channels,
        affine: None,
        residual,
        clamp,
    });
}

struct Apply<'a> {
    /// As many elements as the output, or the output itself.
    x: *const f32,
    output: &'a mut [f32],
    channels: usize,
    affine: Option<&'a Affine>,
    residual: Option<&'a [f32]>,
    clamp: Clamp,
}

impl Kernel for Apply<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self) {
        let len = self.output.len();
        assert!(self.residual.is_none_or(|residual| residual.len() == len));
        assert!(
            self.affine.is_none_or(
                |affine| affine.scale.len() == self.channels && affine.shift.len() == self.channels
            )
        );
        let (low, high) = (L::splat(self.clamp.low), L::splat(self.clamp.high));
        let output = self.output.as_mut_ptr();
        // Without constants of their own, channels need not be told apart.
        let channels = if self.affine.is_some() { self.channels } else { len };
        for pixel in (0..len).step_by(channels.max(1)) {
            by_registers::<L>(
                channels,
                #[inline(always)]
                |channel, count| {
                    let at = pixel + channel;
                    // SAFETY: `len` is a whole number of pixels, and every buffer has `len` elements.
                    unsafe {
                        let mut z: L = load(self.x.add(at), count);
                        if let Some(affine) = self.affine {
                            let scale = load(affine.scale.as_ptr().add(channel), count);
                            z = z.mul_add(scale, load(affine.shift.as_ptr().add(channel), count));
                        }
                        if let Some(residual) = self.residual {
                            z = z.add(load(residual.as_ptr().add(at), count));
                        }
                        // In this order a NaN stays one.
                        store(high.min(low.max(z)), output.add(at), count);
                    }
                },
            );
        }
    }
}

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

/// The first of the two backward passes: Σ dz and Σ dz (x − mean), and dz itself where it is asked for.
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
                            let x = match self.normalised {
                                Some(normalised) => Some(load::<L>(normalised.x.as_ptr().add(at), count)),
                                None => None,
                            };
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
    /// From the sums of the first pass over `pixels` pixels; `variance` is biased, `scale` that of the forward pass.
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
                    // SAFETY: `len` is a whole number of pixels, and every buffer has `len` elements.
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
