//! The gradient of the weight: for each tap, the product of the output's gradient, channel by
//! pixel, with the input, pixel by channel.
//!
//! Both maps are laid out along the padded input's rows, the gradient with zeros where it has none,
//! so that a tap is a distance along the input. A stride parts the input into phases, of which each
//! tap sees one. As pairs of neighbouring pixels are read together, a phase is kept twice, for even
//! and for odd distances.

use std::ops::Range;

use super::super::algorithm::SumsPart;
use super::super::shape::ConvShape;
use super::round::{interleave, round, turn};
use crate::simd::tiles::{DEPTH, Factors, ROWS, Tiles};

#[derive(Debug)]
pub(super) struct Maps {
    /// Height and width of the input and of the output.
    input: [usize; 2],
    output: [usize; 2],
    /// Zeros before the input, and its extents with all zeros.
    before: [usize; 2],
    padded: [usize; 2],
    /// Width of a phase.
    width: usize,
    /// Channels of input and output.
    channels: [usize; 2],
    taps: Vec<Tap>,
    /// Pixels over which the products sum, of one picture: a multiple of their depth.
    pixels: usize,
    /// For each phase, where its pixels are in the padded input: those that products and distances
    /// reach, an even number, and one more.
    phases: Vec<Vec<u32>>,
}

/// Where a tap sees the input.
#[derive(Clone, Copy, Debug)]
struct Tap {
    phase: usize,
    /// How far along the phase.
    distance: usize,
}

impl Maps {
    pub(super) fn new(shape: &ConvShape) -> Self {
        let output = shape.output();
        let padded = [0, 1].map(|axis| shape.padding[axis].0 + shape.input[axis] + shape.padding[axis].1);
        let width = padded[1].div_ceil(shape.stride[1]);
        let taps: Vec<Tap> = (0..shape.taps())
            .map(|tap| {
                let at = [tap / shape.kernel[1], tap % shape.kernel[1]];
                let at = [0, 1].map(|axis| at[axis] * shape.dilation[axis]);
                let phase = [0, 1].map(|axis| at[axis] % shape.stride[axis]);
                let steps = [0, 1].map(|axis| at[axis] / shape.stride[axis]);
                Tap {
                    phase: phase[0] * shape.stride[1] + phase[1],
                    distance: steps[0] * width + steps[1],
                }
            })
            .collect();
        let pixels = ((output[0] - 1) * width + output[1]).next_multiple_of(DEPTH);
        let reach = taps.iter().map(|tap| tap.distance).max().unwrap_or_default();
        let all = padded[0] * padded[1];
        let phases = (0..shape.stride[0] * shape.stride[1]).map(|phase| {
            let phase = [phase / shape.stride[1], phase % shape.stride[1]];
            let pixel = |place: usize| {
                let at = [place / width, place % width];
                let [y, x] = [0, 1].map(|axis| at[axis] * shape.stride[axis] + phase[axis]);
                // What lies beyond meets a gradient of zero: any zeros will do.
                if x < padded[1] && y < padded[0] {
                    (y * padded[1] + x) as u32
                } else {
                    all as u32
                }
            };
            let places = (pixels + reach + 1).next_multiple_of(2) + 1;
            (0..places).map(pixel).collect()
        });
        Self {
            input: shape.input,
            output,
            before: shape.padding.map(|(before, _)| before),
            padded,
            width,
            channels: shape.channels,
            pixels,
            phases: phases.collect(),
            taps,
        }
    }

    /// Channels of input and output, filled up to whole tiles.
    fn filled(&self) -> [usize; 2] {
        self.channels.map(|channels| channels.next_multiple_of(ROWS))
    }

    /// Of `[block of outputs][tap][output of the block][input]`.
    pub(super) fn sums_len(&self) -> usize {
        let [inputs, outputs] = self.filled();
        self.taps.len() * inputs * outputs
    }

    /// Two blocks of outputs each.
    pub(super) fn sums_parts(&self) -> Vec<Range<usize>> {
        let of_pair = 2 * ROWS * self.taps.len() * self.filled()[0];
        let starts = (0..self.sums_len()).step_by(of_pair);
        starts
            .map(|start| start..(start + of_pair).min(self.sums_len()))
            .collect()
    }

    /// Adds the gradient over some pictures to some parts, which begin at `sums`.
    pub(super) fn add(&self, part: SumsPart<'_>, parts: Range<usize>, sums: &mut [f32]) {
        let [inputs, outputs] = self.filled();
        let blocks = 2 * parts.start..(2 * parts.end).min(outputs / ROWS);
        let input = self.pairs(part.pictures, part.input);
        let gradient = self.turned(part.pictures, part.output, &blocks);
        let pitch = part.pictures * self.pixels;
        let of_block = self.taps.len() * ROWS * inputs;
        // SAFETY: there are tiles, or this would not have been made.
        let tiles = unsafe { Tiles::new(ROWS) };
        let columns: Vec<(usize, usize)> = (0..self.taps.len())
            .flat_map(|tap| (0..inputs).step_by(ROWS).map(move |channel| (tap, channel)))
            .collect();
        for (pair, block) in blocks.clone().step_by(2).enumerate() {
            let lefts = (blocks.end - block).min(2);
            for columns in columns.chunks(2) {
                let place = |left: usize, (tap, channel): (usize, usize)| {
                    (2 * pair + left) * of_block + tap * ROWS * inputs + channel
                };
                // SAFETY: the sums of these blocks, and the factors of these pictures, are there.
                unsafe {
                    for left in 0..lefts {
                        for (right, column) in columns.iter().enumerate() {
                            let from = sums.as_ptr().add(place(left, *column));
                            tiles.load([left, right], from, 4 * inputs);
                        }
                    }
                    for picture in 0..part.pictures {
                        let row = |left: usize| {
                            let row = (2 * pair + left) * ROWS * pitch;
                            gradient.as_ptr().add(row + picture * self.pixels)
                        };
                        let left = Factors {
                            first: row(0),
                            second: (lefts > 1).then(|| row(1)),
                            pitch: 2 * pitch,
                        };
                        let column = |(tap, channel): (usize, usize)| {
                            input.at(picture, self.taps[tap]).add(2 * channel)
                        };
                        let right = Factors {
                            first: column(columns[0]),
                            second: columns.get(1).map(|second| column(*second)),
                            pitch: 4 * inputs,
                        };
                        for pixel in (0..self.pixels).step_by(DEPTH) {
                            tiles.multiply(left.further(pixel), right.further(pixel * inputs));
                        }
                    }
                    for left in 0..lefts {
                        for (right, column) in columns.iter().enumerate() {
                            let to = sums.as_mut_ptr().add(place(left, *column));
                            tiles.store([left, right], to, 4 * inputs);
                        }
                    }
                }
            }
        }
    }

    /// The gradient in ONNX's order, of `len` elements.
    pub(super) fn gradient(&self, sums: &[f32], len: usize) -> Vec<f32> {
        let [inputs, outputs] = self.channels;
        let (filled, taps) = (self.filled()[0], self.taps.len());
        let mut gradient = vec![0.0; len];
        for output in 0..outputs {
            for tap in 0..taps {
                let row = ((output / ROWS * taps + tap) * ROWS + output % ROWS) * filled;
                for (input, sum) in sums[row..row + inputs].iter().enumerate() {
                    gradient[(output * inputs + input) * taps + tap] = *sum;
                }
            }
        }
        gradient
    }

    /// The input's pixels in pairs.
    fn pairs(&self, pictures: usize, input: &[f32]) -> Pairs {
        let (channels, filled) = (self.channels[0], self.filled()[0]);
        let [height, width] = self.input;
        // The last pixel stays zero.
        let mut padded = vec![0u16; (self.padded[0] * self.padded[1] + 1) * filled];
        let places = self.phases[0].len() - 1;
        let mut pairs = Pairs {
            elements: vec![0; 2 * pictures * self.phases.len() * places * filled],
            phases: self.phases.len(),
            of_phase: places * filled,
            filled,
        };
        for picture in 0..pictures {
            for y in 0..height {
                let at = (self.before[0] + y) * self.padded[1] + self.before[1];
                let from = &input[(picture * height + y) * width * channels..][..width * channels];
                let to = &mut padded[at * filled..][..width * filled];
                // SAFETY: the machine has tiles.
                unsafe {
                    if channels == filled {
                        round(from.as_ptr(), to.as_mut_ptr(), from.len());
                    } else {
                        for (from, to) in from.chunks_exact(channels).zip(to.chunks_exact_mut(filled)) {
                            round(from.as_ptr(), to.as_mut_ptr(), channels);
                        }
                    }
                }
            }
            for (phase, pixels) in self.phases.iter().enumerate() {
                for odd in 0..2 {
                    let start = pairs.start(picture, phase, odd);
                    let to = pairs.elements[start..][..pairs.of_phase].chunks_exact_mut(2 * filled);
                    for (pixels, to) in pixels[odd..].chunks_exact(2).zip(to) {
                        let [even, odd] =
                            [pixels[0], pixels[1]].map(|pixel| &padded[pixel as usize * filled..][..filled]);
                        // SAFETY: the machine has tiles.
                        unsafe { interleave(even.as_ptr(), odd.as_ptr(), to.as_mut_ptr(), filled) };
                    }
                }
            }
        }
        pairs
    }

    /// The gradient of some blocks of outputs: `[output][picture][pixel of a phase]`.
    fn turned(&self, pictures: usize, gradient: &[f32], blocks: &Range<usize>) -> Vec<u16> {
        let channels = self.channels[1];
        let [height, width] = self.output;
        let pitch = pictures * self.pixels;
        let mut turned = vec![0; blocks.len() * ROWS * pitch];
        for row in 0..pictures * height {
            let (picture, y) = (row / height, row % height);
            for x in (0..width).step_by(ROWS) {
                let at = picture * self.pixels + y * self.width + x;
                for block in blocks.clone() {
                    let channel = block * ROWS;
                    let extents = [(width - x).min(ROWS), (channels - channel).min(ROWS)];
                    // SAFETY: the machine has tiles; pixels and rows are there.
                    unsafe {
                        turn(
                            gradient.as_ptr().add((row * width + x) * channels + channel),
                            channels,
                            extents,
                            turned
                                .as_mut_ptr()
                                .add((block - blocks.start) * ROWS * pitch + at),
                            pitch,
                        );
                    }
                }
            }
        }
        turned
    }
}

/// Pairs of neighbouring pixels: `[picture][phase][even, odd][pair][channel][2]`.
struct Pairs {
    elements: Vec<u16>,
    phases: usize,
    of_phase: usize,
    filled: usize,
}

impl Pairs {
    fn start(&self, picture: usize, phase: usize, odd: usize) -> usize {
        (2 * (picture * self.phases + phase) + odd) * self.of_phase
    }

    /// The pair where a tap begins to see a picture.
    ///
    /// # Safety
    /// It is there.
    #[inline(always)]
    unsafe fn at(&self, picture: usize, tap: Tap) -> *const u16 {
        let odd = tap.distance % 2;
        let start = self.start(picture, tap.phase, odd) + (tap.distance - odd) * self.filled;
        unsafe { self.elements.as_ptr().add(start) }
    }
}
