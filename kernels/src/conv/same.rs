//! 3 × 3 kernels with stride 1 and padding 1, which keep the size of a map, on machines with many
//! registers.
//!
//! With few output channels, a kernel that broadcasts an input element for each multiply-add waits
//! for its loads. Here an element is loaded once for the three taps of a row of the kernel: it
//! counts for the pixel before it, its own, and the pixel after it, all of which accumulate in
//! registers.
//!
//! That comes so near to the machine's peak that [minimal filtering](super::winograd) is faster
//! only with some more channels.
//!
//! The distance of two pixels is known when this is compiled, for the numbers of channels that
//! small networks have; so one pointer serves a whole row.

use super::algorithm::{Algorithm, Layouts, Part};
use super::output::Output;
use super::packed::{Block, Direction, Layout};
use super::shape::ConvShape;
use crate::simd::{Kernel, Lanes, Simd};

/// `f32`s in a register, of which there are 32.
pub(super) const LANES: usize = 16;

/// Both directions of a convolution.
#[derive(Debug)]
pub(super) struct Same {
    size: [usize; 2],
    channels: [usize; 2],
    layouts: Layouts,
}

/// Whether a convolution keeps the size of its maps in this way, on a machine that has the
/// registers.
pub(super) fn keeps_size(shape: &ConvShape, simd: Simd) -> bool {
    simd.lanes() == LANES
        && shape.groups == 1
        && shape.kernel == [3, 3]
        && shape.stride == [1, 1]
        && shape.dilation == [1, 1]
        && shape.padding == [(1, 1); 2]
}

impl Same {
    /// `None` for other convolutions, widths and numbers of channels.
    pub(super) fn new(shape: &ConvShape, simd: Simd) -> Option<Self> {
        let known = |channels| matches!(channels, 3 | 16 | 32 | 64 | 128 | 256);
        let fits = keeps_size(shape, simd)
            && shape.channels.into_iter().all(known)
            && shape.input[1] > 0
            && shape.input[1].is_multiple_of(8);
        fits.then(|| Self {
            size: shape.input,
            channels: shape.channels,
            layouts: Layouts::new(shape, simd),
        })
    }
}

impl Algorithm for Same {
    fn packed(&self, _simd: Simd, weight: &[f32], direction: Direction) -> Vec<f32> {
        self.layouts.of(direction).pack(weight, direction)
    }

    fn convolve(&self, simd: Simd, part: Part<'_>) {
        let [inputs, outputs] = self.channels;
        simd.run(Convolve {
            size: self.size,
            rows: part.pictures * self.size[0],
            channels: match part.direction {
                Direction::Forward => [inputs, outputs],
                Direction::Backward => [outputs, inputs],
            },
            layout: self.layouts.of(part.direction),
            turned: part.direction == Direction::Backward,
            input: part.input,
            weight: part.weight,
            bias: part.bias,
            output: part.output,
        });
    }
}

/// The convolution of some pictures.
struct Convolve<'a> {
    size: [usize; 2],
    /// Rows of all pictures.
    rows: usize,
    /// Channels of what is read and of what is written.
    channels: [usize; 2],
    layout: &'a Layout,
    /// Whether the kernel is turned round.
    turned: bool,
    input: &'a [f32],
    weight: &'a [f32],
    bias: Option<&'a [f32]>,
    output: Output,
}

impl Kernel for Convolve<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self) {
        // Other instruction sets never come here, and shall not compile what follows.
        if L::N != LANES {
            return;
        }
        for block in &self.layout.blocks {
            // SAFETY: the pictures are there, and nobody else writes these.
            unsafe {
                match block.registers {
                    1 if self.size[1].is_multiple_of(16) => self.by_distance::<L, 16, 1>(block),
                    1 => self.by_distance::<L, 8, 1>(block),
                    _ => self.by_distance::<L, 8, 2>(block),
                }
            }
        }
    }
}

impl Convolve<'_> {
    #[inline(always)]
    unsafe fn by_distance<L: Lanes, const PIXELS: usize, const REGISTERS: usize>(&self, block: &Block) {
        unsafe {
            match self.channels[0] {
                3 => self.sweep::<L, PIXELS, REGISTERS, 3>(block),
                16 => self.sweep::<L, PIXELS, REGISTERS, 16>(block),
                32 => self.sweep::<L, PIXELS, REGISTERS, 32>(block),
                64 => self.sweep::<L, PIXELS, REGISTERS, 64>(block),
                128 => self.sweep::<L, PIXELS, REGISTERS, 128>(block),
                _ => self.sweep::<L, PIXELS, REGISTERS, 256>(block),
            }
        }
    }

    #[inline(always)]
    unsafe fn sweep<L: Lanes, const PIXELS: usize, const REGISTERS: usize, const INPUTS: usize>(
        &self,
        block: &Block,
    ) {
        let mut bias = [L::splat(0.0); REGISTERS];
        if let Some(values) = self.bias {
            let values = &values[block.output..][..block.count];
            for (register, values) in bias.iter_mut().zip(values.chunks(L::N)) {
                *register = unsafe { L::load_part(values.as_ptr(), values.len()) };
            }
        }
        let [height, width] = self.size;
        let outputs = self.channels[1];
        for row in 0..self.rows {
            for first in (0..width).step_by(PIXELS) {
                let mut sums = [bias; PIXELS];
                let edges = [first > 0, first + PIXELS < width];
                for tap in 0..3 {
                    let y = row % height + tap;
                    if y == 0 || y > height {
                        continue;
                    }
                    unsafe {
                        let pixel = (row + tap - 1) * width + first;
                        let from = self.input.as_ptr().add(pixel * INPUTS);
                        accumulate::<L, PIXELS, REGISTERS, INPUTS>(
                            &mut sums,
                            from,
                            self.weights::<L, REGISTERS>(block, tap),
                            edges,
                        );
                    }
                }
                unsafe {
                    let to = (row * width + first) * outputs + block.output;
                    for (pixel, sums) in sums.into_iter().enumerate() {
                        for (register, sum) in sums.into_iter().enumerate() {
                            let channel = register * L::N;
                            let to = to + pixel * outputs + channel;
                            self.output.write(sum, to, (block.count - channel).min(L::N));
                        }
                    }
                }
            }
        }
    }

    /// The weights of the three taps of a row of the kernel.
    #[inline(always)]
    unsafe fn weights<L: Lanes, const REGISTERS: usize>(&self, block: &Block, row: usize) -> [*const f32; 3] {
        let of_tap = self.layout.inputs * REGISTERS * L::N;
        std::array::from_fn(|column| {
            let tap = 3 * row + column;
            let tap = if self.turned { 8 - tap } else { tap };
            unsafe { self.weight.as_ptr().add(block.start + tap * of_tap) }
        })
    }
}

/// Adds what one row of the input counts for a row of pixels; `edges` says whether there is a pixel
/// before and one after.
#[inline(always)]
unsafe fn accumulate<L: Lanes, const PIXELS: usize, const REGISTERS: usize, const INPUTS: usize>(
    sums: &mut [[L; REGISTERS]; PIXELS],
    from: *const f32,
    weights: [*const f32; 3],
    edges: [bool; 2],
) {
    for input in 0..INPUTS {
        unsafe {
            let weights: [[L; REGISTERS]; 3] = weights.map(|tap| {
                let tap = tap.add(input * REGISTERS * L::N);
                std::array::from_fn(|register| L::load(tap.add(register * L::N)))
            });
            let from = from.add(input);
            if edges[0] {
                add(&mut sums[0], L::splat(*from.sub(INPUTS)), weights[0]);
            }
            for pixel in 0..PIXELS {
                let element = L::splat(*from.add(pixel * INPUTS));
                if pixel + 1 < PIXELS {
                    add(&mut sums[pixel + 1], element, weights[0]);
                }
                add(&mut sums[pixel], element, weights[1]);
                if pixel > 0 {
                    add(&mut sums[pixel - 1], element, weights[2]);
                }
            }
            if edges[1] {
                add(
                    &mut sums[PIXELS - 1],
                    L::splat(*from.add(PIXELS * INPUTS)),
                    weights[2],
                );
            }
        }
    }
}

#[inline(always)]
fn add<L: Lanes, const REGISTERS: usize>(sums: &mut [L; REGISTERS], element: L, weights: [L; REGISTERS]) {
    for (sum, weight) in sums.iter_mut().zip(weights) {
        *sum = element.mul_add(weight, *sum);
    }
}
