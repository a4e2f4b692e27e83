//! A convolution of stride 1 or more over padded pictures; the gradient of the data is one over the
//! gradient of the output, spread apart by the stride.
//!
//! A tile of sums holds up to 16 pixels of one row by 16 channels. Its left factors are read from
//! the picture as it lies: the pixels under one row of the kernel are neighbours in memory, so that
//! a factor's row begins at a pixel and runs over taps and channels alike. The weight is packed in
//! the same order.

use rayon::prelude::*;

use super::super::algorithm::Part;
use super::super::shape::ConvShape;
use super::round::round;
use crate::precision::bits;
use crate::simd::tiles::{DEPTH, FACTOR, Factors, ROWS, Tiles};

/// One direction of a convolution.
#[derive(Debug)]
pub(super) struct Slide {
    /// Height and width of what is read and of what is written.
    input: [usize; 2],
    output: [usize; 2],
    /// Distance of the input's pixels in the padded picture.
    spread: [usize; 2],
    /// Zeros before the input, and extents with the zeros.
    before: [usize; 2],
    padded: [usize; 2],
    /// Step from one output pixel to the next in the padded picture.
    stride: [usize; 2],
    /// Channels of what is read and of what is written.
    channels: [usize; 2],
    taps: usize,
    /// Whether the kernel is turned round, and the weight's first two axes change places.
    backward: bool,
    runs: Vec<Run>,
}

/// Taps whose elements lie side by side in the padded picture.
#[derive(Debug)]
struct Run {
    /// The first tap.
    tap: usize,
    /// Where it begins, in elements from the output's pixel on.
    start: usize,
    /// Elements.
    len: usize,
    /// The products that came before.
    products: usize,
}

impl Slide {
    pub(super) fn forward(shape: &ConvShape) -> Self {
        let padded = [0, 1].map(|axis| shape.padding[axis].0 + shape.input[axis] + shape.padding[axis].1);
        let slide = Self {
            input: shape.input,
            output: shape.output(),
            spread: [1, 1],
            before: shape.padding.map(|(before, _)| before),
            padded,
            stride: shape.stride,
            channels: shape.channels,
            taps: shape.taps(),
            backward: false,
            runs: Vec::new(),
        };
        slide.with_runs(shape)
    }

    /// `None` where the padding is wider than the kernel reaches.
    pub(super) fn backward(shape: &ConvShape) -> Option<Self> {
        let output = shape.output();
        let (mut before, mut padded) = ([0; 2], [0; 2]);
        for axis in 0..2 {
            let reach = shape.dilation[axis] * (shape.kernel[axis] - 1);
            before[axis] = reach.checked_sub(shape.padding[axis].0)?;
            padded[axis] = shape.input[axis] + reach;
            let spread = (output[axis] - 1) * shape.stride[axis] + 1;
            padded[axis].checked_sub(before[axis] + spread)?;
        }
        let slide = Self {
            input: output,
            output: shape.input,
            spread: shape.stride,
            before,
            padded,
            stride: [1, 1],
            channels: [shape.channels[1], shape.channels[0]],
            taps: shape.taps(),
            backward: true,
            runs: Vec::new(),
        };
        Some(slide.with_runs(shape))
    }

    fn with_runs(mut self, shape: &ConvShape) -> Self {
        let [rows, columns] = shape.kernel;
        let inputs = self.channels[0];
        let (mut products, width) = (0, self.padded[1]);
        // Without dilation the taps of a row are neighbours.
        let taps_of_run = if shape.dilation[1] == 1 { columns } else { 1 };
        for tap in (0..rows * columns).step_by(taps_of_run) {
            let at = [tap / columns, tap % columns];
            let pixel = at[0] * shape.dilation[0] * width + at[1] * shape.dilation[1];
            let len = taps_of_run * inputs;
            self.runs.push(Run {
                tap,
                start: pixel * inputs,
                len,
                products,
            });
            products += len.div_ceil(DEPTH);
        }
        self
    }

    /// Pixels of a tile: a row of the output in equal parts.
    pub(super) fn rows(&self) -> usize {
        let width = self.output[1];
        width.div_ceil(width.div_ceil(ROWS).max(1))
    }

    /// Elements of a picture that is written.
    pub(super) fn written(&self) -> usize {
        self.output[0] * self.output[1] * self.channels[1]
    }

    fn blocks(&self) -> usize {
        self.channels[1].div_ceil(ROWS)
    }

    /// Right factors `[product][block of 16 outputs]`, two bf16s to an element.
    pub(super) fn packed(&self, weight: &[f32]) -> Vec<f32> {
        let [inputs, outputs] = self.channels;
        let blocks = self.blocks();
        let products = |run: &Run| run.len.div_ceil(DEPTH);
        let all: usize = self.runs.iter().map(products).sum();
        let mut packed = vec![0.0; all * blocks * FACTOR / 2];
        let mut rest = packed.as_mut_slice();
        let mut parts = Vec::with_capacity(self.runs.len());
        for run in &self.runs {
            let (part, after) = rest.split_at_mut(products(run) * blocks * FACTOR / 2);
            parts.push((run, part));
            rest = after;
        }
        let at = |output: usize, element: usize, run: &Run| {
            let (tap, input) = (run.tap + element / inputs, element % inputs);
            if element >= run.len {
                0
            } else if self.backward {
                bits(weight[(input * outputs + output) * self.taps + self.taps - 1 - tap])
            } else {
                bits(weight[(output * inputs + input) * self.taps + tap])
            }
        };
        parts.into_par_iter().for_each(|(run, part)| {
            for pair in 0..run.len.div_ceil(2) {
                let (product, row) = (2 * pair / DEPTH, pair % (DEPTH / 2));
                for output in 0..outputs {
                    let factor = product * blocks + output / ROWS;
                    let word =
                        u32::from(at(output, 2 * pair, run)) | u32::from(at(output, 2 * pair + 1, run)) << 16;
                    part[factor * FACTOR / 2 + row * ROWS + output % ROWS] = f32::from_bits(word);
                }
            }
        });
        packed
    }

    /// The pictures, rounded, with their padding around them, and as much after the last as a
    /// factor may reach too far.
    fn padded(&self, pictures: usize, input: &[f32]) -> Vec<u16> {
        let channels = self.channels[0];
        let [height, width] = self.input;
        let mut padded = vec![0; pictures * self.padded[0] * self.padded[1] * channels + DEPTH];
        for row in 0..pictures * height {
            let (picture, y) = (row / height, row % height);
            let to = (picture * self.padded[0] + self.before[0] + y * self.spread[0]) * self.padded[1]
                + self.before[1];
            let from = &input[row * width * channels..][..width * channels];
            let to = &mut padded[to * channels..];
            // SAFETY: the machine has tiles, and the picture lies within the padded one.
            unsafe {
                if self.spread[1] == 1 {
                    round(from.as_ptr(), to.as_mut_ptr(), from.len());
                } else {
                    for (x, pixel) in from.chunks_exact(channels).enumerate() {
                        let to = &mut to[x * self.spread[1] * channels..][..channels];
                        round(pixel.as_ptr(), to.as_mut_ptr(), channels);
                    }
                }
            }
        }
        padded
    }

    /// Computes the convolution of some pictures.
    pub(super) fn run(&self, part: &Part<'_>) {
        let padded = self.padded(part.pictures, part.input);
        let rows = self.rows();
        // SAFETY: there are tiles, or this would not have been made.
        let tiles = unsafe { Tiles::new(rows) };
        let pieces = Pieces {
            rows,
            of_row: self.output[1].div_ceil(rows),
            count: part.pictures * self.output[0] * self.output[1].div_ceil(rows),
        };
        for block in (0..self.blocks()).step_by(2) {
            let bias = part.bias.map(|bias| {
                let mut padded = [0.0; 2 * ROWS];
                let of_blocks = &bias[block * ROWS..bias.len().min((block + 2) * ROWS)];
                padded[..of_blocks.len()].copy_from_slice(of_blocks);
                padded
            });
            let bias = bias.unwrap_or([0.0; 2 * ROWS]);
            for piece in (0..pieces.count).step_by(2) {
                // SAFETY: pieces lie within the padded pictures and the output, which nobody else
                // writes.
                unsafe { self.piece(&tiles, &padded, part, &pieces, [piece, block], &bias) };
            }
        }
    }

    /// Two pieces by two blocks of channels, or one where there is one left.
    #[inline(always)]
    unsafe fn piece(
        &self,
        tiles: &Tiles,
        padded: &[u16],
        part: &Part<'_>,
        pieces: &Pieces,
        [piece, block]: [usize; 2],
        bias: &[f32; 2 * ROWS],
    ) {
        let [inputs, outputs] = self.channels;
        let lefts = 1 + usize::from(piece + 1 < pieces.count);
        let rights = 1 + usize::from(block + 1 < self.blocks());
        let place = |left: usize| self.place(pieces, piece + left);
        unsafe {
            for left in 0..lefts {
                for right in 0..rights {
                    tiles.load([left, right], bias.as_ptr().add(right * ROWS), 0);
                }
            }
            let from = |left: usize| padded.as_ptr().add(place(left)[0] * inputs);
            let left = Factors {
                first: from(0),
                second: (lefts > 1).then(|| from(1)),
                pitch: 2 * self.stride[1] * inputs,
            };
            let weight = part.weight.as_ptr().cast::<u16>();
            for run in &self.runs {
                for product in 0..run.len.div_ceil(DEPTH) {
                    let first = weight.add(((run.products + product) * self.blocks() + block) * FACTOR);
                    let right = Factors {
                        first,
                        second: (rights > 1).then(|| first.add(FACTOR)),
                        pitch: 2 * DEPTH,
                    };
                    tiles.multiply(left.further(run.start + product * DEPTH), right);
                }
            }
            for left in 0..lefts {
                let to = part.output.sums().add(place(left)[1] * outputs);
                for right in 0..rights {
                    let channel = (block + right) * ROWS;
                    let (to, count) = (to.add(channel), outputs - channel);
                    if count >= ROWS {
                        tiles.store([left, right], to, 4 * outputs);
                    } else {
                        let mut sums = [0.0; ROWS * ROWS];
                        tiles.store([left, right], sums.as_mut_ptr(), 4 * ROWS);
                        for (row, sums) in sums.chunks_exact(ROWS).enumerate().take(pieces.rows) {
                            std::ptr::copy_nonoverlapping(sums.as_ptr(), to.add(row * outputs), count);
                        }
                    }
                }
            }
        }
    }

    /// The first pixel that a piece reads of the padded pictures, and the first that it writes.
    #[inline(always)]
    fn place(&self, pieces: &Pieces, piece: usize) -> [usize; 2] {
        let (row, piece) = (piece / pieces.of_row, piece % pieces.of_row);
        let (picture, y) = (row / self.output[0], row % self.output[0]);
        // The last piece of a row may compute pixels of its neighbour once more.
        let x = (piece * pieces.rows).min(self.output[1] - pieces.rows);
        let read = (picture * self.padded[0] + y * self.stride[0]) * self.padded[1] + x * self.stride[1];
        [read, row * self.output[1] + x]
    }
}

/// The pictures' rows, cut to the height of a tile.
struct Pieces {
    /// Pixels of a piece.
    rows: usize,
    /// Pieces of a row.
    of_row: usize,
    count: usize,
}
