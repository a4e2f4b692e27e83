//! The convolution of some pictures: tiles are transformed, multiplied and transformed back, so
//! many at a time that they stay in the L2 cache.

use std::marker::PhantomData;

use super::super::algorithm::Part;
use super::super::dense::accumulate;
use super::super::output::Output;
use super::super::packed::Layout;
use super::input::transform_inputs;
use super::tiling::Tiling;
use super::transform::Transform;
use super::work::{GAP, WORK, tiles_at_once};
use crate::simd::{Kernel, Lanes, by_registers, load};

/// Bytes of transformed tiles, before and after the product, that are at work at a time: part of an
/// L2 cache.
const WORK_BYTES: usize = 96 << 10;

/// The convolution of some pictures.
pub(super) struct Convolve<'a, T, const SIDE: usize, const OUT: usize> {
    tiling: &'a Tiling,
    pictures: usize,
    /// `[picture][pixel][channel]`
    input: &'a [f32],
    /// Of a transformed weight: SIDE · SIDE taps.
    layout: &'a Layout,
    weight: &'a [f32],
    bias: Option<&'a [f32]>,
    /// `[picture][pixel][channel]`
    output: Output,
    transform: PhantomData<T>,
}

impl<'a, T: Transform<SIDE, OUT>, const SIDE: usize, const OUT: usize> Convolve<'a, T, SIDE, OUT> {
    pub(super) fn new(tiling: &'a Tiling, layout: &'a Layout, part: Part<'a>) -> Self {
        Self {
            tiling,
            pictures: part.pictures,
            input: part.input,
            layout,
            weight: part.weight,
            bias: part.bias,
            output: part.output,
            transform: PhantomData,
        }
    }
}

impl<T: Transform<SIDE, OUT>, const SIDE: usize, const OUT: usize> Kernel for Convolve<'_, T, SIDE, OUT> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self) {
        let [inputs, outputs] = self.tiling.channels;
        let all = self.pictures * self.tiling.tiles();
        // Chunks of one size, without rests that would not fill the registers.
        let at_once = tiles_at_once(all, SIDE * SIDE * (inputs + outputs), WORK_BYTES, L::PIXELS);
        // Products are as wide as the blocks' registers, so that all of them are stored whole.
        let width: usize = self
            .layout
            .blocks
            .iter()
            .map(|block| block.registers * L::N)
            .sum();
        let [mut transformed, mut products] = WORK.take();
        let room = |width: usize| SIDE * SIDE * (at_once.min(all) * width + GAP);
        let from = transformed.with_room(room(inputs));
        let to = products.with_room(room(width));
        for first in (0..all).step_by(at_once) {
            let tiles = first..(first + at_once).min(all);
            let count = tiles.len();
            let apart = [count * inputs + GAP, count * width + GAP];
            // SAFETY: the buffers hold `at_once` tiles, and the pictures are there.
            unsafe {
                transform_inputs::<L, T, SIDE, OUT>(self.tiling, self.input, tiles.clone(), from, apart[0]);
                self.multiply_places::<L>(count, from, to, apart, width);
                for (index, tile) in tiles.enumerate() {
                    self.write::<L>(tile, to.add(index * width), apart[1], outputs);
                }
            }
        }
        WORK.set([transformed, products]);
    }
}

impl<T: Transform<SIDE, OUT>, const SIDE: usize, const OUT: usize> Convolve<'_, T, SIDE, OUT> {
    /// Multiplies the transformed tiles with the weights, place by place; `apart` is the distance
    /// of places before and after.
    #[inline(always)]
    unsafe fn multiply_places<L: Lanes>(
        &self,
        count: usize,
        transformed: *const f32,
        products: *mut f32,
        apart: [usize; 2],
        width: usize,
    ) {
        let inputs = self.tiling.channels[0];
        let mut column = 0;
        for block in &self.layout.blocks {
            for place in 0..SIDE * SIDE {
                unsafe {
                    let rows = transformed.add(place * apart[0]);
                    let weight = self
                        .weight
                        .as_ptr()
                        .add(block.start + place * inputs * block.registers * L::N);
                    let to = products.add(place * apart[1] + column);
                    match block.registers {
                        1 => multiply::<L, 1>(rows, count, inputs, weight, to, width),
                        _ => multiply::<L, 2>(rows, count, inputs, weight, to, width),
                    }
                }
            }
            column += block.registers * L::N;
        }
    }

    /// Writes Aᵀ m A of one tile, whose places are `apart` elements apart.
    #[inline(always)]
    unsafe fn write<L: Lanes>(&self, tile: usize, products: *const f32, apart: usize, channels: usize) {
        let (picture, tile) = self.tiling.tile(tile);
        let [height, width] = self.tiling.output;
        let first = picture * height * width + tile.to;
        // Blocks are in the order of the channels, and only the last may be filled up.
        by_registers::<L>(
            channels,
            #[inline(always)]
            |channel, lanes| unsafe {
                let bias = match self.bias {
                    Some(bias) => load(bias.as_ptr().add(channel), lanes),
                    None => L::splat(0.0),
                };
                let mut columns = [[L::splat(0.0); OUT]; SIDE];
                for (column, made) in columns.iter_mut().enumerate() {
                    let mut elements = [L::splat(0.0); SIDE];
                    for (row, element) in elements.iter_mut().enumerate() {
                        *element = L::load(products.add((row * SIDE + column) * apart + channel));
                    }
                    *made = T::output(elements);
                }
                for row in 0..tile.inside[0] {
                    let mut elements = [L::splat(0.0); SIDE];
                    for (element, column) in elements.iter_mut().zip(&columns) {
                        *element = column[row];
                    }
                    let sums = T::output(elements);
                    let to = (first + row * width) * channels + channel;
                    for (x, sum) in sums.into_iter().enumerate() {
                        if x < tile.inside[1] {
                            self.output.write(sum.add(bias), to + x * channels, lanes);
                        }
                    }
                }
            },
        );
    }
}

/// A product of `count` rows of `inputs` elements with a block's weights of one place.
#[inline(always)]
unsafe fn multiply<L: Lanes, const REGISTERS: usize>(
    rows: *const f32,
    count: usize,
    inputs: usize,
    weight: *const f32,
    to: *mut f32,
    width: usize,
) {
    let (mut first, mut left) = (0, count.div_ceil(L::PIXELS));
    while first < count {
        let size = (count - first).div_ceil(left);
        unsafe {
            let (rows, to) = (rows.add(first * inputs), to.add(first * width));
            match size {
                1 => multiply_rows::<L, 1, REGISTERS>(rows, inputs, weight, to, width),
                2 => multiply_rows::<L, 2, REGISTERS>(rows, inputs, weight, to, width),
                3 => multiply_rows::<L, 3, REGISTERS>(rows, inputs, weight, to, width),
                4 => multiply_rows::<L, 4, REGISTERS>(rows, inputs, weight, to, width),
                5 => multiply_rows::<L, 5, REGISTERS>(rows, inputs, weight, to, width),
                6 => multiply_rows::<L, 6, REGISTERS>(rows, inputs, weight, to, width),
                7 => multiply_rows::<L, 7, REGISTERS>(rows, inputs, weight, to, width),
                _ => multiply_rows::<L, 8, REGISTERS>(rows, inputs, weight, to, width),
            }
        }
        (first, left) = (first + size, left - 1);
    }
}

#[inline(always)]
unsafe fn multiply_rows<L: Lanes, const ROWS: usize, const REGISTERS: usize>(
    rows: *const f32,
    inputs: usize,
    weight: *const f32,
    to: *mut f32,
    width: usize,
) {
    unsafe {
        let mut sums = [[L::splat(0.0); REGISTERS]; ROWS];
        let pointers: [*const f32; ROWS] = std::array::from_fn(|row| rows.add(row * inputs));
        accumulate(&mut sums, pointers, weight, inputs);
        for (row, sums) in sums.into_iter().enumerate() {
            for (register, sum) in sums.into_iter().enumerate() {
                sum.store(to.add(row * width + register * L::N));
            }
        }
    }
}
