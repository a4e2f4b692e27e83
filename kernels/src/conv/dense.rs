//! The convolution of some tiles: outputs accumulate in registers, a few pixels by one or two
//! registers of channels.
//!
//! Each step multiplies one input element of each pixel, broadcast, with the weights of the block's
//! channels. With 6 × 2 registers of AVX2 that is 12 fused multiply-adds for 8 loads, so that
//! arithmetic is what it waits for.

use std::ops::Range;

use super::output::Output;
use super::packed::{Block, Layout};
use super::table::{Table, sources};
use crate::simd::{Kernel, Lanes};

/// Writes the output pixels of some tiles.
pub(super) struct Convolve<'a> {
    pub(super) table: &'a Table,
    pub(super) tiles: Range<usize>,
    /// The pictures of the table, `[pixel][channel]`.
    pub(super) input: &'a [f32],
    /// As many zeros as a picture has channels.
    pub(super) zeros: &'a [f32],
    pub(super) layout: &'a Layout,
    pub(super) weight: &'a [f32],
    /// One element per output channel.
    pub(super) bias: Option<&'a [f32]>,
    /// From the first pixel of the table on.
    pub(super) output: Output,
    /// Channels of the output.
    pub(super) channels: usize,
}

impl Kernel for Convolve<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self) {
        for block in &self.layout.blocks {
            match block.registers {
                1 => self.sweep::<L, 1>(block),
                _ => self.sweep::<L, 2>(block),
            }
        }
    }
}

impl Convolve<'_> {
    #[inline(always)]
    fn sweep<L: Lanes, const REGISTERS: usize>(&self, block: &Block) {
        let mut bias = [L::splat(0.0); REGISTERS];
        if let Some(values) = self.bias {
            let values = &values[block.output..][..block.count];
            for (register, values) in bias.iter_mut().zip(values.chunks(L::N)) {
                *register = unsafe { L::load_part(values.as_ptr(), values.len()) };
            }
        }
        for tile in self.tiles.clone() {
            // SAFETY: the table's pixels lie within input and output, and nobody else writes this
            // tile's.
            unsafe {
                match self.table.outputs(&self.table.tiles[tile]).len() {
                    1 => self.tile::<L, 1, REGISTERS>(block, tile, bias),
                    2 => self.tile::<L, 2, REGISTERS>(block, tile, bias),
                    3 => self.tile::<L, 3, REGISTERS>(block, tile, bias),
                    4 => self.tile::<L, 4, REGISTERS>(block, tile, bias),
                    5 => self.tile::<L, 5, REGISTERS>(block, tile, bias),
                    6 => self.tile::<L, 6, REGISTERS>(block, tile, bias),
                    7 => self.tile::<L, 7, REGISTERS>(block, tile, bias),
                    _ => self.tile::<L, 8, REGISTERS>(block, tile, bias),
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn tile<L: Lanes, const PIXELS: usize, const REGISTERS: usize>(
        &self,
        block: &Block,
        tile: usize,
        bias: [L; REGISTERS],
    ) {
        let tile = &self.table.tiles[tile];
        let width = REGISTERS * L::N;
        let inputs = self.layout.inputs;
        let from = unsafe { self.input.as_ptr().add(block.input) };
        let mut at = self.table.inputs(tile).as_ptr();
        let mut sums = [bias; PIXELS];
        for tap in self.table.taps(tile) {
            unsafe {
                let pixels = sources::<PIXELS>(at, from, self.zeros.as_ptr());
                at = at.add(PIXELS);
                let weight = self
                    .weight
                    .as_ptr()
                    .add(block.start + *tap as usize * inputs * width);
                accumulate(&mut sums, pixels, weight, inputs);
            }
        }
        for (pixel, sums) in self.table.outputs(tile).iter().zip(sums) {
            unsafe {
                let to = *pixel as usize * self.channels + block.output;
                for (register, sum) in sums.into_iter().enumerate() {
                    let channel = register * L::N;
                    self.output
                        .write(sum, to + channel, (block.count - channel).min(L::N));
                }
            }
        }
    }
}

/// Adds to each pixel's sums its `inputs` elements times the weights `[input][channel]`, a step of
/// which is as long as the sums.
///
/// # Safety
/// The pixels have `inputs` elements, and the weight has as many steps.
#[inline(always)]
pub(super) unsafe fn accumulate<L: Lanes, const PIXELS: usize, const REGISTERS: usize>(
    sums: &mut [[L; REGISTERS]; PIXELS],
    pixels: [*const f32; PIXELS],
    mut weight: *const f32,
    inputs: usize,
) {
    for input in 0..inputs {
        unsafe {
            let weights: [L; REGISTERS] =
                std::array::from_fn(|register| L::load(weight.add(register * L::N)));
            weight = weight.add(REGISTERS * L::N);
            for (sums, pixel) in sums.iter_mut().zip(pixels) {
                let element = L::splat(*pixel.add(input));
                for (sum, weight) in sums.iter_mut().zip(weights) {
                    *sum = element.mul_add(weight, *sum);
                }
            }
        }
    }
}
