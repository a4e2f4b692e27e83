//! The depthwise convolution of some tiles, and its weight's gradient: each channel has a kernel of
//! its own, and a register holds neighbouring channels of one pixel, so that nothing is broadcast.
//!
//! Weights are `[tap][channel]` here.

use std::ops::Range;

use super::output::Output;
use super::pairs::Pairs;
use super::table::{Table, sources};
use crate::simd::{Kernel, Lanes, by_registers, load, store};

/// Writes the output pixels of some tiles.
pub(super) struct Convolve<'a> {
    pub(super) table: &'a Table,
    pub(super) tiles: Range<usize>,
    /// The pictures of the table, `[pixel][channel]`.
    pub(super) input: &'a [f32],
    /// As many zeros as a picture has channels.
    pub(super) zeros: &'a [f32],
    /// `[tap][channel]`
    pub(super) weight: &'a [f32],
    /// One element per channel.
    pub(super) bias: Option<&'a [f32]>,
    /// From the first pixel of the table on.
    pub(super) output: Output,
    /// Of input and output.
    pub(super) channels: usize,
}

impl Kernel for Convolve<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self) {
        for tile in self.tiles.clone() {
            // SAFETY: the table's pixels lie within input and output, and nobody else writes this
            // tile's.
            unsafe {
                match self.table.outputs(&self.table.tiles[tile]).len() {
                    1 => self.tile::<L, 1>(tile),
                    2 => self.tile::<L, 2>(tile),
                    3 => self.tile::<L, 3>(tile),
                    4 => self.tile::<L, 4>(tile),
                    5 => self.tile::<L, 5>(tile),
                    6 => self.tile::<L, 6>(tile),
                    7 => self.tile::<L, 7>(tile),
                    _ => self.tile::<L, 8>(tile),
                }
            }
        }
    }
}

impl Convolve<'_> {
    #[inline(always)]
    unsafe fn tile<L: Lanes, const PIXELS: usize>(&self, tile: usize) {
        by_registers::<L>(
            self.channels,
            #[inline(always)]
            |channel, count| unsafe {
                self.register::<L, PIXELS>(tile, channel, count);
            },
        );
    }

    /// One register of channels, `count` of which are there.
    #[inline(always)]
    unsafe fn register<L: Lanes, const PIXELS: usize>(&self, tile: usize, channel: usize, count: usize) {
        let tile = &self.table.tiles[tile];
        let bias = match self.bias {
            Some(bias) => unsafe { load(bias[channel..].as_ptr(), count) },
            None => L::splat(0.0),
        };
        let mut sums = [bias; PIXELS];
        let mut at = self.table.inputs(tile).as_ptr();
        for tap in self.table.taps(tile) {
            unsafe {
                let from = self.input.as_ptr().add(channel);
                let pixels = sources::<PIXELS>(at, from, self.zeros.as_ptr());
                at = at.add(PIXELS);
                let weight = load(
                    self.weight.as_ptr().add(*tap as usize * self.channels + channel),
                    count,
                );
                for (sum, pixel) in sums.iter_mut().zip(pixels) {
                    *sum = load::<L>(pixel, count).mul_add(weight, *sum);
                }
            }
        }
        for (pixel, sum) in self.table.outputs(tile).iter().zip(sums) {
            unsafe {
                self.output
                    .write(sum, *pixel as usize * self.channels + channel, count);
            }
        }
    }
}

/// Adds the weight's gradient over some pictures.
pub(super) struct WeightGradient<'a> {
    pub(super) pairs: &'a Pairs,
    /// `[pixel][channel]`
    pub(super) input: &'a [f32],
    /// The output's gradient, `[pixel][channel]`.
    pub(super) output: &'a [f32],
    /// `[tap][channel]`
    pub(super) gradient: *mut f32,
    pub(super) channels: usize,
}

/// Registers of channels that a sweep over the pixels accumulates.
const REGISTERS: usize = 4;

impl Kernel for WeightGradient<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self) {
        let channels = self.channels;
        for chunk in self.pairs.chunks() {
            for (tap, pairs) in chunk.iter().enumerate() {
                let pairs = self.pairs.of(pairs);
                let mut channel = 0;
                while channel + REGISTERS * L::N <= channels {
                    unsafe { self.sweep::<L, REGISTERS>(tap, pairs, channel, L::N) };
                    channel += REGISTERS * L::N;
                }
                while channel + L::N <= channels {
                    unsafe { self.sweep::<L, 1>(tap, pairs, channel, L::N) };
                    channel += L::N;
                }
                if channel < channels {
                    unsafe { self.sweep::<L, 1>(tap, pairs, channel, channels - channel) };
                }
            }
        }
    }
}

impl WeightGradient<'_> {
    #[inline(always)]
    unsafe fn sweep<L: Lanes, const REGISTERS: usize>(
        &self,
        tap: usize,
        pairs: &[(u32, u32)],
        channel: usize,
        count: usize,
    ) {
        unsafe {
            let to = self.gradient.add(tap * self.channels + channel);
            let mut sums: [L; REGISTERS] =
                std::array::from_fn(|register| load(to.add(register * L::N), count));
            for (input, output) in pairs {
                let input = self.input.as_ptr().add(*input as usize + channel);
                let output = self.output.as_ptr().add(*output as usize + channel);
                for (register, sum) in sums.iter_mut().enumerate() {
                    let element: L = load(input.add(register * L::N), count);
                    *sum = element.mul_add(load(output.add(register * L::N), count), *sum);
                }
            }
            for (register, sum) in sums.into_iter().enumerate() {
                store(sum, to.add(register * L::N), count);
            }
        }
    }
}
