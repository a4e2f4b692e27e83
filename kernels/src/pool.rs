//! Maximum and average pooling over channels-last pixels, forward and backward. A picture is one
//! task.

use rayon::prelude::*;

use crate::parallel::{Shared, written};
use crate::simd::{Kernel, Lanes, Simd};

/// Windows over pictures; two spatial axes, height first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolShape {
    /// Pictures.
    pub batch: usize,
    /// Channels of input and output.
    pub channels: usize,
    /// Height and width of the input.
    pub input: [usize; 2],
    /// Windows along each axis.
    pub output: [usize; 2],
    /// Height and width of a window.
    pub kernel: [usize; 2],
    /// Step from one window to the next.
    pub stride: [usize; 2],
    /// Distance of neighbouring elements of a window.
    pub dilation: [usize; 2],
    /// The border before the input.
    pub before: [usize; 2],
}

impl PoolShape {
    /// One window over each whole picture.
    pub fn global(batch: usize, input: [usize; 2], channels: usize) -> Self {
        Self {
            batch,
            channels,
            input,
            output: [1; 2],
            kernel: input,
            stride: [1; 2],
            dilation: [1; 2],
            before: [0; 2],
        }
    }

    fn lens(&self) -> [usize; 2] {
        [self.input, self.output].map(|[height, width]| height * width * self.channels)
    }

    /// Visits (tap, input pixel) of each element of a window that is in the picture.
    #[inline(always)]
    fn window(&self, output: usize, mut visit: impl FnMut(usize, usize)) {
        let at = [output / self.output[1], output % self.output[1]];
        for row in 0..self.kernel[0] {
            let y = (at[0] * self.stride[0] + row * self.dilation[0]).wrapping_sub(self.before[0]);
            if y >= self.input[0] {
                continue;
            }
            for column in 0..self.kernel[1] {
                let x = (at[1] * self.stride[1] + column * self.dilation[1]).wrapping_sub(self.before[1]);
                if x < self.input[1] {
                    visit(row * self.kernel[1] + column, y * self.input[1] + x);
                }
            }
        }
    }
}

/// The largest element of each window, and the tap that had it: the first of several, a NaN before
/// everything.
pub fn maximum(simd: Simd, shape: &PoolShape, x: &[f32]) -> (Vec<f32>, Vec<u32>) {
    let [read, wrote] = shape.lens();
    let mut taps = vec![0; shape.batch * wrote];
    // SAFETY: every picture is written by one task.
    let y = unsafe {
        written(shape.batch * wrote, |y| {
            y.par_chunks_mut(wrote.max(1))
                .zip(taps.par_chunks_mut(wrote.max(1)))
                .zip(x.par_chunks(read.max(1)))
                .for_each(|((y, taps), x)| simd.run(Maximum { shape, x, y, taps }));
        })
    };
    (y, taps)
}

struct Maximum<'a> {
    shape: &'a PoolShape,
    x: &'a [f32],
    y: &'a mut [f32],
    taps: &'a mut [u32],
}

impl Kernel for Maximum<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self) {
        let channels = self.shape.channels;
        let outputs = self
            .y
            .chunks_exact_mut(channels)
            .zip(self.taps.chunks_exact_mut(channels));
        for (pixel, (best, taps)) in outputs.enumerate() {
            best.fill(f32::NEG_INFINITY);
            taps.fill(0);
            self.shape.window(
                pixel,
                #[inline(always)]
                |tap, pixel| {
                    let x = &self.x[pixel * channels..][..channels];
                    for ((best, taken), x) in best.iter_mut().zip(taps.iter_mut()).zip(x) {
                        let better = *x > *best || x.is_nan();
                        *best = if better { *x } else { *best };
                        *taken = if better { tap as u32 } else { *taken };
                    }
                },
            );
        }
    }
}

/// The gradient of [`maximum`]'s input.
pub fn maximum_gradient(simd: Simd, shape: &PoolShape, taps: &[u32], gradient: &[f32]) -> Vec<f32> {
    struct Scatter<'a> {
        shape: &'a PoolShape,
        taps: &'a [u32],
        gradient: &'a [f32],
        to: &'a mut [f32],
    }
    impl Kernel for Scatter<'_> {
        type Output = ();
        #[inline(always)]
        fn run<L: Lanes>(self) {
            let channels = self.shape.channels;
            let outputs = self
                .gradient
                .chunks_exact(channels)
                .zip(self.taps.chunks_exact(channels));
            for (pixel, (gradient, taps)) in outputs.enumerate() {
                self.shape.window(
                    pixel,
                    #[inline(always)]
                    |tap, pixel| {
                        let to = &mut self.to[pixel * channels..][..channels];
                        for ((to, gradient), taken) in to.iter_mut().zip(gradient).zip(taps) {
                            *to += if *taken == tap as u32 { *gradient } else { 0.0 };
                        }
                    },
                );
            }
        }
    }
    let wrote = shape.lens()[1];
    by_picture(shape, |picture, to| {
        let range = picture * wrote..(picture + 1) * wrote;
        simd.run(Scatter {
            shape,
            taps: &taps[range.clone()],
            gradient: &gradient[range],
            to,
        });
    })
}

/// The sum of each window, times a factor of its own: `factors` has one for each window of a
/// picture.
pub fn weighted_sum(simd: Simd, shape: &PoolShape, factors: &[f32], x: &[f32]) -> Vec<f32> {
    struct Sum<'a> {
        shape: &'a PoolShape,
        factors: &'a [f32],
        x: &'a [f32],
        y: &'a mut [f32],
    }
    impl Kernel for Sum<'_> {
        type Output = ();
        #[inline(always)]
        fn run<L: Lanes>(self) {
            let channels = self.shape.channels;
            for ((pixel, y), factor) in self.y.chunks_exact_mut(channels).enumerate().zip(self.factors) {
                y.fill(0.0);
                self.shape.window(
                    pixel,
                    #[inline(always)]
                    |_, pixel| {
                        for (y, x) in y.iter_mut().zip(&self.x[pixel * channels..][..channels]) {
                            *y += *x;
                        }
                    },
                );
                y.iter_mut().for_each(|y| *y *= factor);
            }
        }
    }
    let [read, wrote] = shape.lens();
    // SAFETY: every picture is written by one task.
    unsafe {
        written(shape.batch * wrote, |y| {
            y.par_chunks_mut(wrote.max(1))
                .zip(x.par_chunks(read.max(1)))
                .for_each(|(y, x)| simd.run(Sum { shape, factors, x, y }));
        })
    }
}

/// The gradient of [`weighted_sum`]'s input.
pub fn weighted_sum_gradient(simd: Simd, shape: &PoolShape, factors: &[f32], gradient: &[f32]) -> Vec<f32> {
    struct Spread<'a> {
        shape: &'a PoolShape,
        factors: &'a [f32],
        gradient: &'a [f32],
        to: &'a mut [f32],
    }
    impl Kernel for Spread<'_> {
        type Output = ();
        #[inline(always)]
        fn run<L: Lanes>(self) {
            let channels = self.shape.channels;
            for ((pixel, gradient), factor) in
                self.gradient.chunks_exact(channels).enumerate().zip(self.factors)
            {
                self.shape.window(
                    pixel,
                    #[inline(always)]
                    |_, pixel| {
                        let to = &mut self.to[pixel * channels..][..channels];
                        for (to, gradient) in to.iter_mut().zip(gradient) {
                            *to += gradient * factor;
                        }
                    },
                );
            }
        }
    }
    let wrote = shape.lens()[1];
    by_picture(shape, |picture, to| {
        simd.run(Spread {
            shape,
            factors,
            gradient: &gradient[picture * wrote..(picture + 1) * wrote],
            to,
        });
    })
}

/// An input's gradient that `add` adds to, picture by picture, from zeros on.
fn by_picture(shape: &PoolShape, add: impl Fn(usize, &mut [f32]) + Sync) -> Vec<f32> {
    let read = shape.lens()[0];
    // SAFETY: each picture is one task's, which clears it first.
    unsafe {
        written(shape.batch * read, |gradient| {
            let gradient = Shared::new(gradient);
            (0..shape.batch).into_par_iter().for_each(|picture| {
                let to = gradient.part(picture * read..(picture + 1) * read);
                to.fill(0.0);
                add(picture, to);
            });
        })
    }
}
