//! The gradient of the weight by minimal filtering: what the convolution computes, Aᵀ [ (G g Gᵀ) ⊙
//! (Bᵀ d B) ] A, is linear in g, and its adjoint is
//!
//! dg = Gᵀ [ Σ (A dy Aᵀ) ⊙ (Bᵀ d B) ] G, the sum over all tiles: place by place a product of two
//! thin matrices.

use std::marker::PhantomData;
use std::ops::Range;

use super::super::algorithm::SumsPart;
use super::super::packed::Layout;
use super::super::weight_gradient::product;
use super::input::transform_inputs;
use super::tiling::Tiling;
use super::transform::Transform;
use super::work::{GAP, WORK, tiles_at_once};
use crate::simd::{Kernel, Lanes, by_registers, load};

/// Bytes of transformed tiles, inputs and gradients, that are at work at a time: the more there
/// are, the less often the sums are read and written. Part of an L2 cache.
const WORK_BYTES: usize = 320 << 10;

/// Adds Σ (A dy Aᵀ) ⊙ (Bᵀ d B) over some pictures.
pub(super) struct AddProducts<'a, T, const SIDE: usize, const OUT: usize> {
    /// Of the forward direction.
    tiling: &'a Tiling,
    part: SumsPart<'a>,
    /// Of a transformed weight: SIDE · SIDE taps.
    layout: &'a Layout,
    blocks: Range<usize>,
    /// Packed as the layout says, from the first of the blocks on.
    sums: *mut f32,
    transform: PhantomData<T>,
}

impl<'a, T: Transform<SIDE, OUT>, const SIDE: usize, const OUT: usize> AddProducts<'a, T, SIDE, OUT> {
    pub(super) fn new(
        tiling: &'a Tiling,
        part: SumsPart<'a>,
        layout: &'a Layout,
        blocks: Range<usize>,
        sums: &'a mut [f32],
    ) -> Self {
        Self {
            tiling,
            part,
            layout,
            blocks,
            sums: sums.as_mut_ptr(),
            transform: PhantomData,
        }
    }
}

impl<T: Transform<SIDE, OUT>, const SIDE: usize, const OUT: usize> Kernel for AddProducts<'_, T, SIDE, OUT> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self) {
        let [inputs, outputs] = self.tiling.channels;
        let all = self.part.pictures * self.tiling.tiles();
        let at_once = tiles_at_once(all, SIDE * SIDE * (inputs + outputs), WORK_BYTES, 1);
        // Gradients are as wide as the blocks' registers, so that all of them are loaded whole.
        let width = outputs.next_multiple_of(L::N);
        let [mut transformed, mut gradients] = WORK.take();
        let apart = [at_once * inputs + GAP, at_once * width + GAP];
        let from = transformed.with_room(SIDE * SIDE * apart[0]);
        let to = gradients.with_room(SIDE * SIDE * apart[1]);
        for first in (0..all).step_by(at_once) {
            let tiles = first..(first + at_once).min(all);
            // SAFETY: the space holds `at_once` tiles, the pictures and the blocks' sums are there.
            unsafe {
                transform_inputs::<L, T, SIDE, OUT>(
                    self.tiling,
                    self.part.input,
                    tiles.clone(),
                    from,
                    apart[0],
                );
                self.transform_gradients::<L>(tiles.clone(), to, apart[1], width);
                self.add_products::<L>(tiles.len(), [from, to], apart, width);
            }
        }
        WORK.set([transformed, gradients]);
    }
}

impl<T: Transform<SIDE, OUT>, const SIDE: usize, const OUT: usize> AddProducts<'_, T, SIDE, OUT> {
    /// Writes A dy Aᵀ of some tiles, `[place][tile][channel]`, `width` elements a tile and the
    /// places `apart` elements apart.
    ///
    /// # Safety
    /// The gradient holds the tiles' pictures, `to` has room for the tiles.
    #[inline(always)]
    unsafe fn transform_gradients<L: Lanes>(
        &self,
        tiles: Range<usize>,
        to: *mut f32,
        apart: usize,
        width: usize,
    ) {
        let channels = self.tiling.channels[1];
        let [height, row] = self.tiling.output;
        for (index, tile) in tiles.enumerate() {
            let (picture, tile) = self.tiling.tile(tile);
            let first = (picture * height * row + tile.to) * channels;
            let from = self.part.output.as_ptr().wrapping_add(first);
            by_registers::<L>(
                channels,
                #[inline(always)]
                |channel, lanes| unsafe {
                    let mut to = to.add(index * width + channel);
                    let mut columns = [[L::splat(0.0); SIDE]; OUT];
                    for (column, made) in columns.iter_mut().enumerate() {
                        if column < tile.inside[1] {
                            let mut elements = [L::splat(0.0); OUT];
                            for (y, element) in elements.iter_mut().enumerate() {
                                if y < tile.inside[0] {
                                    *element = load(from.add((y * row + column) * channels + channel), lanes);
                                }
                            }
                            *made = T::gradient(elements);
                        }
                    }
                    for row in 0..SIDE {
                        let mut elements = [L::splat(0.0); OUT];
                        for (element, column) in elements.iter_mut().zip(&columns) {
                            *element = column[row];
                        }
                        for element in T::gradient(elements) {
                            element.store(to);
                            to = to.wrapping_add(apart);
                        }
                    }
                },
            );
        }
    }

    /// Adds the products of some tiles, place by place; `apart` is the distance of places in each
    /// factor.
    #[inline(always)]
    unsafe fn add_products<L: Lanes>(
        &self,
        tiles: usize,
        factors: [*const f32; 2],
        apart: [usize; 2],
        width: usize,
    ) {
        let inputs = self.layout.inputs;
        let origin = self.layout.blocks[self.blocks.start].start;
        for block in &self.layout.blocks[self.blocks.clone()] {
            for place in 0..SIDE * SIDE {
                let mut first = 0;
                while first < inputs {
                    let left = inputs - first;
                    let at = block.start - origin + (place * inputs + first) * block.registers * L::N;
                    unsafe {
                        let factors = [
                            factors[0].add(place * apart[0] + first),
                            factors[1].add(place * apart[1] + block.output),
                        ];
                        let strides = [inputs, width];
                        let to = self.sums.add(at);
                        first += match (block.registers, left) {
                            (1, 16..) if L::PIXELS >= 8 => sweep::<L, 16, 1>(tiles, factors, strides, to),
                            (1, 8..) => sweep::<L, 8, 1>(tiles, factors, strides, to),
                            (_, 8..) if L::PIXELS >= 8 => sweep::<L, 8, 2>(tiles, factors, strides, to),
                            (1, 4..) => sweep::<L, 4, 1>(tiles, factors, strides, to),
                            (_, 4..) => sweep::<L, 4, 2>(tiles, factors, strides, to),
                            (1, _) => sweep::<L, 1, 1>(tiles, factors, strides, to),
                            (_, _) => sweep::<L, 1, 2>(tiles, factors, strides, to),
                        };
                    }
                }
            }
        }
    }
}

/// Adds the products of `ROWS` inputs with a block's outputs, of one place, summed over some tiles;
/// returns `ROWS`.
#[inline(always)]
unsafe fn sweep<L: Lanes, const ROWS: usize, const REGISTERS: usize>(
    tiles: usize,
    [mut inputs, mut gradients]: [*const f32; 2],
    strides: [usize; 2],
    to: *mut f32,
) -> usize {
    unsafe {
        let mut sums = [[L::splat(0.0); REGISTERS]; ROWS];
        for (row, sums) in sums.iter_mut().enumerate() {
            for (register, sum) in sums.iter_mut().enumerate() {
                *sum = L::load(to.add((row * REGISTERS + register) * L::N));
            }
        }
        for _ in 0..tiles {
            let mut columns = [L::splat(0.0); REGISTERS];
            for (register, column) in columns.iter_mut().enumerate() {
                *column = L::load(gradients.add(register * L::N));
            }
            product(&mut sums, inputs, columns);
            inputs = inputs.add(strides[0]);
            gradients = gradients.add(strides[1]);
        }
        for (row, sums) in sums.into_iter().enumerate() {
            for (register, sum) in sums.into_iter().enumerate() {
                sum.store(to.add((row * REGISTERS + register) * L::N));
            }
        }
    }
    ROWS
}

/// Gᵀ S G of sums of SIDE × SIDE places: the gradient of 3 × 3 taps.
pub(super) struct TransformSums<'a, T, const SIDE: usize, const OUT: usize> {
    /// How both are packed: blocks of the same channels.
    layouts: [&'a Layout; 2],
    sums: &'a [f32],
    transform: PhantomData<T>,
}

impl<'a, T: Transform<SIDE, OUT>, const SIDE: usize, const OUT: usize> TransformSums<'a, T, SIDE, OUT> {
    pub(super) fn new(layouts: [&'a Layout; 2], sums: &'a [f32]) -> Self {
        Self {
            layouts,
            sums,
            transform: PhantomData,
        }
    }
}

impl<T: Transform<SIDE, OUT>, const SIDE: usize, const OUT: usize> Kernel
    for TransformSums<'_, T, SIDE, OUT>
{
    type Output = Vec<f32>;

    #[inline(always)]
    fn run<L: Lanes>(self) -> Vec<f32> {
        let [from, to] = self.layouts;
        let mut gradient = vec![0.0; to.len];
        for (from_block, to_block) in from.blocks.iter().zip(&to.blocks) {
            let of_tap = from.inputs * from_block.registers * L::N;
            for first in (0..of_tap).step_by(L::N) {
                // SAFETY: both blocks have `of_tap` elements for each of their taps.
                unsafe {
                    let from = self.sums.as_ptr().add(from_block.start + first);
                    let to = gradient.as_mut_ptr().add(to_block.start + first);
                    Self::kernels::<L>(from, to, of_tap);
                }
            }
        }
        gradient
    }
}

impl<T: Transform<SIDE, OUT>, const SIDE: usize, const OUT: usize> TransformSums<'_, T, SIDE, OUT> {
    /// A register of kernels, whose taps are `apart` elements apart before and after.
    #[inline(always)]
    unsafe fn kernels<L: Lanes>(from: *const f32, to: *mut f32, apart: usize) {
        let mut g = [[L::splat(0.0); 3]; 3];
        for row in 0..SIDE {
            let mut of_row = [L::splat(0.0); 3];
            for column in 0..SIDE {
                let sum = unsafe { L::load(from.add((row * SIDE + column) * apart)) };
                for (tap, of_row) in of_row.iter_mut().enumerate() {
                    *of_row = L::splat(T::WEIGHT[column][tap]).mul_add(sum, *of_row);
                }
            }
            for (tap, g) in g.iter_mut().enumerate() {
                for (sum, of_row) in g.iter_mut().zip(of_row) {
                    *sum = L::splat(T::WEIGHT[row][tap]).mul_add(of_row, *sum);
                }
            }
        }
        for (row, g) in g.into_iter().enumerate() {
            for (column, sum) in g.into_iter().enumerate() {
                unsafe { sum.store(to.add((3 * row + column) * apart)) };
            }
        }
    }
}
