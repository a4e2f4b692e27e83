//! The gradient of a convolution's weight: for each tap, a product of two thin matrices, summed
//! over the pixels.
//!
//! dW[tap][i][o] = Σ x[pixel under tap][i] · dy[pixel][o]. A few input channels by one or two
//! registers of output channels accumulate while the pixels of a chunk, which is in the innermost
//! cache, go by.

use std::ops::Range;

use super::packed::{Block, Layout};
use super::pairs::Pairs;
use crate::simd::{Kernel, Lanes};

/// Adds the gradient over some pictures to some blocks of the weight.
pub(super) struct WeightGradient<'a> {
    pub(super) pairs: &'a Pairs,
    /// `[pixel][channel]`
    pub(super) input: &'a [f32],
    /// The output's gradient, `[pixel][channel]`.
    pub(super) output: &'a [f32],
    pub(super) layout: &'a Layout,
    pub(super) blocks: Range<usize>,
    /// Packed as the layout says, from the first of the blocks on.
    pub(super) gradient: *mut f32,
}

impl Kernel for WeightGradient<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self) {
        let origin = self.layout.blocks[self.blocks.start].start;
        let inputs = self.layout.inputs;
        for chunk in self.pairs.chunks() {
            for block in &self.layout.blocks[self.blocks.clone()] {
                for (tap, pairs) in chunk.iter().enumerate() {
                    let pairs = self.pairs.of(pairs);
                    let (mut first, mut tiles) = (0, inputs.div_ceil(L::PIXELS));
                    while first < inputs {
                        let rows = (inputs - first).div_ceil(tiles);
                        let at = block.start - origin + (tap * inputs + first) * block.registers * L::N;
                        // SAFETY: the pairs' pixels lie within input and output.
                        unsafe {
                            match block.registers {
                                1 => self.rows::<L, 1>(block, pairs, first, rows, at),
                                _ => self.rows::<L, 2>(block, pairs, first, rows, at),
                            }
                        }
                        (first, tiles) = (first + rows, tiles - 1);
                    }
                }
            }
        }
    }
}

impl WeightGradient<'_> {
    #[inline(always)]
    unsafe fn rows<L: Lanes, const REGISTERS: usize>(
        &self,
        block: &Block,
        pairs: &[(u32, u32)],
        first: usize,
        rows: usize,
        at: usize,
    ) {
        unsafe {
            match rows {
                1 => self.sweep::<L, 1, REGISTERS>(block, pairs, first, at),
                2 => self.sweep::<L, 2, REGISTERS>(block, pairs, first, at),
                3 => self.sweep::<L, 3, REGISTERS>(block, pairs, first, at),
                4 => self.sweep::<L, 4, REGISTERS>(block, pairs, first, at),
                5 => self.sweep::<L, 5, REGISTERS>(block, pairs, first, at),
                6 => self.sweep::<L, 6, REGISTERS>(block, pairs, first, at),
                7 => self.sweep::<L, 7, REGISTERS>(block, pairs, first, at),
                _ => self.sweep::<L, 8, REGISTERS>(block, pairs, first, at),
            }
        }
    }

    #[inline(always)]
    unsafe fn sweep<L: Lanes, const ROWS: usize, const REGISTERS: usize>(
        &self,
        block: &Block,
        pairs: &[(u32, u32)],
        first: usize,
        at: usize,
    ) {
        unsafe {
            let input = self.input.as_ptr().add(block.input + first);
            let output = self.output.as_ptr().add(block.output);
            let to = self.gradient.add(at);
            let mut sums: [[L; REGISTERS]; ROWS] = std::array::from_fn(|row| {
                std::array::from_fn(|register| L::load(to.add((row * REGISTERS + register) * L::N)))
            });
            // The last register of the last block may reach past the channels.
            let part = block.count - (REGISTERS - 1) * L::N;
            if part == L::N {
                for (from, pixel) in pairs {
                    let input = input.add(*from as usize);
                    let output = output.add(*pixel as usize);
                    let columns = std::array::from_fn(|register| L::load(output.add(register * L::N)));
                    product(&mut sums, input, columns);
                }
            } else {
                for (from, pixel) in pairs {
                    let input = input.add(*from as usize);
                    let output = output.add(*pixel as usize);
                    let columns = std::array::from_fn(|register| {
                        let count = if register + 1 == REGISTERS { part } else { L::N };
                        L::load_part(output.add(register * L::N), count)
                    });
                    product(&mut sums, input, columns);
                }
            }
            for (row, sums) in sums.into_iter().enumerate() {
                for (register, sum) in sums.into_iter().enumerate() {
                    sum.store(to.add((row * REGISTERS + register) * L::N));
                }
            }
        }
    }
}

/// Adds the outer product of `ROWS` elements and the columns.
///
/// # Safety
/// The elements are there.
#[inline(always)]
pub(super) unsafe fn product<L: Lanes, const ROWS: usize, const REGISTERS: usize>(
    sums: &mut [[L; REGISTERS]; ROWS],
    rows: *const f32,
    columns: [L; REGISTERS],
) {
    for (row, sums) in sums.iter_mut().enumerate() {
        let element = L::splat(unsafe { *rows.add(row) });
        for (sum, column) in sums.iter_mut().zip(columns) {
            *sum = element.mul_add(column, *sum);
        }
    }
}
