//! Mean and variance of each channel, in parts that are put together in the end.

use rayon::prelude::*;

use super::task_pixels;
use crate::simd::{Kernel, Lanes, Simd, by_registers, load, store};

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

/// For each channel Σ (x − x₀) and Σ (x − x₀)², x₀ the first pixel: without it the squares of a
/// channel far from 0 would lose its variance.
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
