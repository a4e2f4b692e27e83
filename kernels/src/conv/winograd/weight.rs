//! G g Gᵀ of a weight, a register of kernels at a time.

use std::marker::PhantomData;

use super::super::packed::Layout;
use super::transform::Transform;
use crate::simd::{Kernel, Lanes};

/// Transforms a packed weight of 3 × 3 taps into one of SIDE × SIDE taps.
pub(super) struct TransformWeight<'a, T, const SIDE: usize, const OUT: usize> {
    /// How both are packed: blocks of the same channels.
    layouts: [&'a Layout; 2],
    weight: &'a [f32],
    /// Whether the kernels are turned round.
    turned: bool,
    transform: PhantomData<T>,
}

impl<'a, T: Transform<SIDE, OUT>, const SIDE: usize, const OUT: usize> TransformWeight<'a, T, SIDE, OUT> {
    pub(super) fn new(layouts: [&'a Layout; 2], weight: &'a [f32], turned: bool) -> Self {
        Self {
            layouts,
            weight,
            turned,
            transform: PhantomData,
        }
    }
}

impl<T: Transform<SIDE, OUT>, const SIDE: usize, const OUT: usize> Kernel
    for TransformWeight<'_, T, SIDE, OUT>
{
    type Output = Vec<f32>;

    #[inline(always)]
    fn run<L: Lanes>(self) -> Vec<f32> {
        let [from, to] = self.layouts;
        let mut transformed = vec![0.0; to.len];
        for (from_block, to_block) in from.blocks.iter().zip(&to.blocks) {
            let of_tap = from.inputs * from_block.registers * L::N;
            for first in (0..of_tap).step_by(L::N) {
                // SAFETY: both blocks have `of_tap` elements for each of their taps.
                unsafe {
                    let from = self.weight.as_ptr().add(from_block.start + first);
                    let to = transformed.as_mut_ptr().add(to_block.start + first);
                    self.kernels::<L>(from, to, of_tap);
                }
            }
        }
        transformed
    }
}

impl<T: Transform<SIDE, OUT>, const SIDE: usize, const OUT: usize> TransformWeight<'_, T, SIDE, OUT> {
    /// A register of kernels, whose taps are `apart` elements apart before and after.
    #[inline(always)]
    unsafe fn kernels<L: Lanes>(&self, from: *const f32, to: *mut f32, apart: usize) {
        let mut g = [[L::splat(0.0); 3]; 3];
        for (row, elements) in g.iter_mut().enumerate() {
            for (column, element) in elements.iter_mut().enumerate() {
                let tap = 3 * row + column;
                let tap = if self.turned { 8 - tap } else { tap };
                *element = unsafe { L::load(from.add(tap * apart)) };
            }
        }
        for row in 0..SIDE {
            let mut of_row = [L::splat(0.0); 3];
            for (column, sum) in of_row.iter_mut().enumerate() {
                for (index, elements) in g.iter().enumerate() {
                    *sum = L::splat(T::WEIGHT[row][index]).mul_add(elements[column], *sum);
                }
            }
            for column in 0..SIDE {
                let mut sum = L::splat(0.0);
                for (index, of_row) in of_row.iter().enumerate() {
                    sum = L::splat(T::WEIGHT[column][index]).mul_add(*of_row, sum);
                }
                unsafe { sum.store(to.add((row * SIDE + column) * apart)) };
            }
        }
    }
}
