//! 3 × 3 convolution with stride 1 by Winograd's minimal filtering, F(2 × 2, 3 × 3): 16 multiplications where the definition has 36.
//! A. Lavin, S. Gray: "Fast Algorithms for Convolutional Neural Networks", 2015 (arXiv 1509.09308), section 4.
//!
//! Y = Aᵀ [ (G g Gᵀ) ⊙ (Bᵀ d B) ] A for each 4 × 4 tile d of the input, which gives 2 × 2 outputs. With the 16 places of a tile apart, the product in the
//! middle is a matrix product of tiles by channels, summed over the input's channels. The gradient of the data is the same convolution with the kernel turned round.
//!
//! The larger F(4 × 4, 3 × 3) would save more multiplications, at several times the rounding error. The gradient of the weight can be computed likewise, and
//! was: no faster than by its definition.

use std::ops::Range;

use super::ConvShape;
use super::algorithm::{Algorithm, Layouts, Part};
use super::dense::accumulate;
use super::output::Output;
use super::packed::{Direction, Layout};
use crate::simd::{Kernel, Lanes, Simd, by_registers, load, store};

/// Places of a transformed tile.
const PLACES: usize = 16;

/// The geometry of one direction.
#[derive(Clone, Copy, Debug)]
struct Tiling {
    /// Height and width of what is read and of what is written.
    input: [usize; 2],
    output: [usize; 2],
    /// Zeros before the input.
    before: [usize; 2],
    /// Channels of what is read and of what is written.
    channels: [usize; 2],
}

impl Tiling {
    fn new(shape: &ConvShape, direction: Direction) -> Self {
        let before = shape.padding.map(|(before, _)| before);
        match direction {
            Direction::Forward => Self {
                input: shape.input,
                output: shape.output(),
                before,
                channels: shape.channels,
            },
            Direction::Backward => Self {
                input: shape.output(),
                output: shape.input,
                // The kernel turned round begins before the pixels that it reaches.
                before: before.map(|before| 2 - before),
                channels: [shape.channels[1], shape.channels[0]],
            },
        }
    }

    /// Whether it is worth it: the transforms must cost little beside the product.
    fn pays(shape: &ConvShape) -> bool {
        let [height, width] = shape.output();
        shape.kernel == [3, 3]
            && shape.stride == [1, 1]
            && shape.dilation == [1, 1]
            && shape.groups == 1
            && shape.channels.iter().all(|channels| *channels >= MIN_CHANNELS)
            && 4 * PLACES * shape.channels[0] * shape.channels[1] <= MAX_WEIGHT_BYTES
            && shape.padding.iter().all(|(before, _)| *before <= 2)
            && height >= 4
            && width >= 4
    }

    fn grid(&self) -> [usize; 2] {
        self.output.map(|extent| extent.div_ceil(2))
    }

    /// Tiles of one picture.
    fn tiles(&self) -> usize {
        self.grid().iter().product()
    }

    /// Picture, and place of the first output pixel, of a tile.
    #[inline(always)]
    fn place(&self, tile: usize) -> (usize, [usize; 2]) {
        let (picture, tile) = (tile / self.tiles(), tile % self.tiles());
        let columns = self.grid()[1];
        (picture, [tile / columns * 2, tile % columns * 2])
    }
}

/// Minimal filtering of a convolution of some extents.
#[derive(Debug)]
pub(super) struct Minimal {
    forward: Tiling,
    backward: Tiling,
    layouts: Layouts,
}

impl Minimal {
    /// `None` where it does not pay, or is not possible.
    pub(super) fn new(shape: &ConvShape, simd: Simd) -> Option<Self> {
        let transformed = ConvShape {
            kernel: [4, 4],
            ..shape.clone()
        };
        Tiling::pays(shape).then(|| Self {
            forward: Tiling::new(shape, Direction::Forward),
            backward: Tiling::new(shape, Direction::Backward),
            layouts: Layouts::new(&transformed, simd),
        })
    }
}

impl Algorithm for Minimal {
    fn packed(&self, weight: &[f32], direction: Direction) -> Vec<f32> {
        let transformed = transformed_weight(weight, direction);
        self.layouts.of(direction).pack(&transformed, direction)
    }

    fn convolve(&self, simd: Simd, part: Part<'_>) {
        simd.run(Convolve {
            tiling: match part.direction {
                Direction::Forward => &self.forward,
                Direction::Backward => &self.backward,
            },
            pictures: part.pictures,
            input: part.input,
            layout: self.layouts.of(part.direction),
            weight: part.weight,
            bias: part.bias,
            output: part.output,
        });
    }
}

/// Channels below which the definition is faster: with 32 it is by an eighth, with 16 by half.
const MIN_CHANNELS: usize = 64;
/// Transformed weights larger than this would be read from memory again for every few tiles.
const MAX_WEIGHT_BYTES: usize = 4 << 20;

/// Bytes of transformed tiles that are at work at a time: part of an L2 cache.
const WORK_BYTES: usize = 160 << 10;

fn tiles_at_once(channels: [usize; 2]) -> usize {
    (WORK_BYTES / (4 * PLACES * (channels[0] + channels[1]))).clamp(12, 96)
}

/// G g Gᵀ of each 3 × 3 kernel, in the order of the weights, 16 elements each; turned round for the backward direction.
fn transformed_weight(weight: &[f32], direction: Direction) -> Vec<f32> {
    let mut transformed = Vec::with_capacity(weight.len() / 9 * PLACES);
    for kernel in weight.chunks_exact(9) {
        let at = |row: usize, column: usize| match direction {
            Direction::Forward => kernel[row * 3 + column],
            Direction::Backward => kernel[8 - row * 3 - column],
        };
        let columns: [[f32; 4]; 3] = std::array::from_fn(|column| {
            let (a, b, c) = (at(0, column), at(1, column), at(2, column));
            [a, 0.5 * (a + b + c), 0.5 * (a - b + c), c]
        });
        for row in 0..4 {
            let [a, b, c] = columns.map(|column| column[row]);
            transformed.extend([a, 0.5 * (a + b + c), 0.5 * (a - b + c), c]);
        }
    }
    transformed
}

/// Bᵀ d B of one register of channels: rows first, then columns.
#[inline(always)]
fn input_transform<L: Lanes>(d: [[L; 4]; 4]) -> [[L; 4]; 4] {
    let mut rows = [[L::splat(0.0); 4]; 4];
    for column in 0..4 {
        let [a, b, c, e] = [d[0][column], d[1][column], d[2][column], d[3][column]];
        rows[0][column] = a.sub(c);
        rows[1][column] = b.add(c);
        rows[2][column] = c.sub(b);
        rows[3][column] = b.sub(e);
    }
    for row in &mut rows {
        let [a, b, c, e] = *row;
        *row = [a.sub(c), b.add(c), c.sub(b), b.sub(e)];
    }
    rows
}

/// Reads the 4 × 4 input elements of a tile for one register of channels.
///
/// # Safety
/// The picture lies at `from`, its pixels `channels` apart, and has `count` channels from there on.
#[inline(always)]
unsafe fn patch<L: Lanes>(tiling: &Tiling, from: *const f32, at: [usize; 2], count: usize) -> [[L; 4]; 4] {
    let mut patch = [[L::splat(0.0); 4]; 4];
    for (row, elements) in patch.iter_mut().enumerate() {
        let y = (at[0] + row).wrapping_sub(tiling.before[0]);
        if y >= tiling.input[0] {
            continue;
        }
        for (column, element) in elements.iter_mut().enumerate() {
            let x = (at[1] + column).wrapping_sub(tiling.before[1]);
            if x < tiling.input[1] {
                let pixel = y * tiling.input[1] + x;
                *element = unsafe { load(from.add(pixel * tiling.channels[0]), count) };
            }
        }
    }
    patch
}

/// Writes `[place][tile][channel]` of the transformed input, for some tiles.
///
/// # Safety
/// `from` holds the tiles' pictures, `to` has room for 16 · tiles · channels elements.
#[inline(always)]
unsafe fn transform_inputs<L: Lanes>(tiling: &Tiling, from: *const f32, tiles: Range<usize>, to: *mut f32) {
    let channels = tiling.channels[0];
    let picture_len = tiling.input[0] * tiling.input[1] * channels;
    let count = tiles.len();
    for (index, tile) in tiles.enumerate() {
        let (picture, at) = tiling.place(tile);
        let from = unsafe { from.add(picture * picture_len) };
        by_registers::<L>(
            channels,
            #[inline(always)]
            |channel, lanes| unsafe {
                let places = input_transform(patch::<L>(tiling, from.add(channel), at, lanes));
                for (place, element) in places.into_iter().flatten().enumerate() {
                    store(
                        element,
                        to.add((place * count + index) * channels + channel),
                        lanes,
                    );
                }
            },
        );
    }
}

/// The convolution of some pictures.
struct Convolve<'a> {
    tiling: &'a Tiling,
    pictures: usize,
    /// `[picture][pixel][channel]`
    input: &'a [f32],
    /// Of a transformed weight: 16 taps.
    layout: &'a Layout,
    weight: &'a [f32],
    bias: Option<&'a [f32]>,
    /// `[picture][pixel][channel]`
    output: Output,
}

impl Kernel for Convolve<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self) {
        let [inputs, outputs] = self.tiling.channels;
        let all = self.pictures * self.tiling.tiles();
        let at_once = tiles_at_once(self.tiling.channels);
        // Products are as wide as the blocks' registers, so that all of them are stored whole.
        let width: usize = self
            .layout
            .blocks
            .iter()
            .map(|block| block.registers * L::N)
            .sum();
        let mut transformed = vec![0.0; PLACES * at_once * inputs];
        let mut products = vec![0.0; PLACES * at_once * width];
        let mut first = 0;
        while first < all {
            let tiles = first..(first + at_once).min(all);
            let count = tiles.len();
            // SAFETY: the buffers hold `at_once` tiles, and the pictures are there.
            unsafe {
                transform_inputs::<L>(
                    self.tiling,
                    self.input.as_ptr(),
                    tiles.clone(),
                    transformed.as_mut_ptr(),
                );
                let mut column = 0;
                for block in &self.layout.blocks {
                    for place in 0..PLACES {
                        let rows = transformed.as_ptr().add(place * count * inputs);
                        let weight = self
                            .weight
                            .as_ptr()
                            .add(block.start + place * inputs * block.registers * L::N);
                        let to = products.as_mut_ptr().add(place * count * width + column);
                        match block.registers {
                            1 => multiply::<L, 1>(rows, count, inputs, weight, to, width),
                            _ => multiply::<L, 2>(rows, count, inputs, weight, to, width),
                        }
                    }
                    column += block.registers * L::N;
                }
                for (index, tile) in tiles.enumerate() {
                    self.write::<L>(tile, products.as_ptr().add(index * width), count * width, outputs);
                }
            }
            first += count;
        }
    }
}

impl Convolve<'_> {
    /// Aᵀ m A of one tile, whose places are `apart` elements apart.
    #[inline(always)]
    unsafe fn write<L: Lanes>(&self, tile: usize, products: *const f32, apart: usize, channels: usize) {
        let (picture, at) = self.tiling.place(tile);
        let [height, columns] = self.tiling.output;
        // Blocks are in the order of the channels, and only the last may be filled up.
        by_registers::<L>(
            channels,
            #[inline(always)]
            |channel, lanes| unsafe {
                let bias = match self.bias {
                    Some(bias) => load(bias.as_ptr().add(channel), lanes),
                    None => L::splat(0.0),
                };
                let [mut top, mut bottom] = [[L::splat(0.0); 4]; 2];
                for (column, (top, bottom)) in top.iter_mut().zip(&mut bottom).enumerate() {
                    let place = products.add(column * apart + channel);
                    let [a, b, c, d]: [L; 4] = [
                        L::load(place),
                        L::load(place.add(4 * apart)),
                        L::load(place.add(8 * apart)),
                        L::load(place.add(12 * apart)),
                    ];
                    *top = a.add(b).add(c);
                    *bottom = b.sub(c).sub(d);
                }
                for (row, [a, b, c, d]) in [top, bottom].into_iter().enumerate() {
                    let y = at[0] + row;
                    if y >= height {
                        break;
                    }
                    let to = ((picture * height + y) * columns + at[1]) * channels + channel;
                    self.output.write(a.add(b).add(c).add(bias), to, lanes);
                    if at[1] + 1 < columns {
                        self.output.write(b.sub(c).sub(d).add(bias), to + channels, lanes);
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
