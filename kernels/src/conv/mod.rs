//! Convolution: forward, gradient of the data, gradient of the weight.
//!
//! Nothing is copied or padded before: a table (`table`) says where each tile of output pixels
//! reads; 3 × 3 kernels are transformed (`winograd`) tile by tile where that saves multiplications.
//! Work is cut into groups of pictures, small enough for a cache and many enough to keep the
//! registers busy; what a caller does with a group's result before the next one begins (statistics,
//! activation) finds it in the cache.

mod algorithm;
mod backward;
mod dense;
mod depthwise;
mod direct;
mod geometry;
mod output;
mod packed;
mod pairs;
mod same;
mod same_sums;
mod shape;
mod table;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod tiled;
mod weight_gradient;
mod winograd;

use std::borrow::Cow;
use std::ops::Range;

use rayon::prelude::*;

use crate::parallel::{Shared, written};
use crate::precision::{Rounding, rounded};
use crate::simd::Simd;
use algorithm::{Algorithm, Part, WeightSums};
pub use backward::{ConvGradients, OutputGradient, WantedGradients};
use direct::Direct;
use geometry::Geometry;
pub use output::Ending;
use output::Output;
use packed::Direction;
use same::Same;
use same_sums::SameSums;
pub use shape::ConvShape;
use winograd::Minimal;

/// A convolution of some extents, made ready: make it once, use it at every step.
#[derive(Debug)]
pub struct Convolution {
    shape: ConvShape,
    simd: Simd,
    /// Pictures of a group; the last group may have fewer.
    pictures: usize,
    whole: Geometry,
    /// Of the last group where it has fewer pictures.
    rest: Option<Geometry>,
    direct: Direct,
    minimal: Option<Minimal>,
    same: Option<Same>,
    same_sums: Option<SameSums>,
    precision: Rounding,
    /// Computes in bf16, if that is the precision and the machine can.
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    tiled: Option<tiled::Tiled>,
    zeros: Vec<f32>,
}

/// Output pixels that a group has at least, if the batch has them: enough that going through the
/// weights once for each group is cheap.
const GROUP_PIXELS: usize = 256;
/// A batch is cut into at least as many tasks: some for each core of a usual machine.
const TASKS: usize = 16;
/// Tiles that a task has at least.
const TASK_TILES: usize = 8;

/// A weight in the order in which one convolution reads it.
#[derive(Clone, Debug)]
pub struct PackedWeight {
    elements: Vec<f32>,
    /// The convolution.
    of: (ConvShape, Simd, Rounding),
}

impl Convolution {
    /// Whether the positions of a convolution of these extents can be counted in the tables:
    /// pictures of some billion elements cannot.
    pub fn supports(shape: &ConvShape) -> bool {
        let [read, written] = shape.pixels();
        let picture = (read.saturating_mul(shape.channels[0])).max(written.saturating_mul(shape.channels[1]));
        let group = picture.saturating_mul(GROUP_PIXELS.div_ceil(written.max(1)));
        group <= i32::MAX as usize && shape.taps() <= usize::from(u16::MAX)
    }

    /// Makes a convolution ready for an instruction set. The extents are
    /// [supported](Self::supports). A depthwise one is no product of matrices, and computes in fp32
    /// whatever the precision.
    ///
    /// bf16 runs on the machine's matrix tiles if `simd` is its best instruction set; otherwise
    /// factors are rounded before the kernels for `f32`, which takes longer than fp32.
    pub fn new(shape: ConvShape, simd: Simd, precision: Rounding) -> Self {
        let precision = match precision {
            Rounding::Bf16 if !shape.is_depthwise() => Rounding::Bf16,
            _ => Rounding::Fp32,
        };
        let [_, written] = shape.pixels();
        let pictures = GROUP_PIXELS
            .div_ceil(written.max(1))
            .min(shape.batch.div_ceil(TASKS))
            .max(1);
        let left = shape.batch % pictures;
        let same = Same::new(&shape, simd);
        Self {
            whole: Geometry::new(&shape, pictures, simd),
            rest: (left > 0).then(|| Geometry::new(&shape, left, simd)),
            direct: Direct::new(&shape, simd),
            minimal: Minimal::new(&shape, simd, same.is_some()),
            same,
            same_sums: SameSums::new(&shape, simd),
            precision,
            #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
            tiled: (precision == Rounding::Bf16 && simd == Simd::best())
                .then(|| tiled::Tiled::new(&shape))
                .flatten(),
            zeros: vec![0.0; shape.channels[0].max(shape.channels[1])],
            pictures,
            shape,
            simd,
        }
    }

    /// Its extents.
    pub fn shape(&self) -> &ConvShape {
        &self.shape
    }

    /// What decides how it reads a weight.
    fn identity(&self) -> (ConvShape, Simd, Rounding) {
        (self.shape.clone(), self.simd, self.precision)
    }

    /// Whether it computes in bf16 on matrix tiles.
    pub fn is_tiled(&self) -> bool {
        self.tiles().is_some()
    }

    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    fn tiles(&self) -> Option<&(impl Algorithm + WeightSums)> {
        self.tiled.as_ref()
    }

    #[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
    fn tiles(&self) -> Option<&Direct> {
        None
    }

    /// What the kernels for `f32` compute with in place of some elements.
    fn factors<'a>(&self, elements: &'a [f32]) -> Cow<'a, [f32]> {
        match self.precision {
            Rounding::Fp32 => Cow::Borrowed(elements),
            Rounding::Bf16 => elements
                .par_iter()
                .copied()
                .map(rounded)
                .collect::<Vec<_>>()
                .into(),
        }
    }

    fn groups(&self) -> usize {
        self.shape.batch.div_ceil(self.pictures)
    }

    fn geometry(&self, group: usize) -> &Geometry {
        match &self.rest {
            Some(rest) if group + 1 == self.groups() => rest,
            _ => &self.whole,
        }
    }

    /// The pictures of a group.
    fn group(&self, group: usize) -> Range<usize> {
        group * self.pictures..((group + 1) * self.pictures).min(self.shape.batch)
    }

    /// The pixels of a group's output, counted over the batch.
    fn output_pixels(&self, group: usize) -> Range<usize> {
        let (pictures, pixels) = (self.group(group), self.shape.pixels()[1]);
        pictures.start * pixels..pictures.end * pixels
    }

    /// The elements of a group's input.
    fn input_elements(&self, group: usize) -> Range<usize> {
        let (pictures, len) = (self.group(group), self.shape.pixels()[0] * self.shape.channels[0]);
        pictures.start * len..pictures.end * len
    }

    /// The elements of some output pixels.
    fn output_elements(&self, pixels: &Range<usize>) -> Range<usize> {
        pixels.start * self.shape.channels[1]..pixels.end * self.shape.channels[1]
    }

    /// The output, `[batch, height, width, channels]`, of an input `[batch, height, width,
    /// channels]`, a weight `[out, in / groups, height, width]` and a bias `[out]`.
    pub fn forward(&self, input: &[f32], weight: &[f32], bias: Option<&[f32]>) -> Vec<f32> {
        self.forward_with(input, weight, bias, |_, _| ()).0
    }

    /// As [`forward`](Self::forward); each task gives its output pixels (counted over the batch)
    /// and their values to `finish` while they are in the cache. What `finish` returns comes back
    /// in the order of the pixels.
    pub fn forward_with<R: Send>(
        &self,
        input: &[f32],
        weight: &[f32],
        bias: Option<&[f32]>,
        finish: impl Fn(Range<usize>, &mut [f32]) -> R + Sync,
    ) -> (Vec<f32>, Vec<R>) {
        self.run(input, &self.pack(weight), bias, Ending::NONE, finish)
    }

    /// A weight `[out, in / groups, height, width]` as [`infer`](Self::infer) of this very
    /// convolution reads it.
    ///
    /// # Panics
    /// If the weight has another number of elements.
    pub fn pack(&self, weight: &[f32]) -> PackedWeight {
        assert_eq!(weight.len(), self.shape.weight_len(), "the weight's elements");
        let (algorithm, rounds) = self.forward_algorithm();
        let weight = if rounds {
            Cow::Borrowed(weight)
        } else {
            self.factors(weight)
        };
        PackedWeight {
            elements: algorithm.packed(self.simd, &weight, Direction::Forward),
            of: self.identity(),
        }
    }

    /// Tasks that a group of pictures is cut into, where there are few.
    fn cuts(&self) -> usize {
        TASKS.div_ceil(self.groups().max(1))
    }

    /// The algorithm of the forward direction, and whether it rounds its factors itself.
    fn forward_algorithm(&self) -> (&dyn Algorithm, bool) {
        // Few groups are cut into ranges of tiles, which only the definition knows.
        if self.cuts() > 1 {
            return (&self.direct, false);
        }
        match self.tiles() {
            Some(tiles) => (tiles, true),
            None => (self.for_f32(), false),
        }
    }

    /// The algorithm of whole pictures in `f32`.
    fn for_f32(&self) -> &dyn Algorithm {
        match (&self.minimal, &self.same) {
            (Some(minimal), _) => minimal,
            (None, Some(same)) => same,
            (None, None) => &self.direct,
        }
    }

    /// As [`forward`](Self::forward), with a weight that this convolution [packed](Self::pack)
    /// before, and what follows it.
    pub fn infer(
        &self,
        input: &[f32],
        weight: &PackedWeight,
        bias: Option<&[f32]>,
        ending: Ending<'_>,
    ) -> Vec<f32> {
        self.run(input, weight, bias, ending, |_, _| ()).0
    }

    fn run<R: Send>(
        &self,
        input: &[f32],
        weight: &PackedWeight,
        bias: Option<&[f32]>,
        ending: Ending<'_>,
        finish: impl Fn(Range<usize>, &mut [f32]) -> R + Sync,
    ) -> (Vec<f32>, Vec<R>) {
        assert_eq!(input.len(), self.shape.input_len(), "the input's elements");
        assert_eq!(weight.of, self.identity(), "the weight's convolution");
        let (algorithm, rounds) = self.forward_algorithm();
        let input = if rounds {
            Cow::Borrowed(input)
        } else {
            self.factors(input)
        };
        let cuts = self.cuts();
        let mut tasks = Vec::new();
        for group in 0..self.groups() {
            let tiles = self.geometry(group).forward.tiles.len();
            let size = if cuts == 1 {
                tiles
            } else {
                tiles.div_ceil(cuts).max(TASK_TILES)
            };
            tasks.extend(
                (0..tiles)
                    .step_by(size)
                    .map(|first| (group, first..(first + size).min(tiles))),
            );
        }
        let mut finished = Vec::new();
        // SAFETY: every pixel is in one tile, and every tile in one task.
        let output = unsafe {
            written(self.shape.output_len(), |output| {
                let output = Shared::new(output);
                finished = tasks
                    .into_par_iter()
                    .map(|(group, tiles)| {
                        let (geometry, first) = (self.geometry(group), self.output_pixels(group).start);
                        let span = geometry.forward.span(tiles.clone());
                        let pixels = first + span.start..first + span.end;
                        let elements = self.output_elements(&pixels);
                        let to = output.part(elements.clone());
                        let part = Part {
                            geometry,
                            direction: Direction::Forward,
                            tiles,
                            pictures: self.group(group).len(),
                            input: &input[self.input_elements(group)],
                            zeros: &self.zeros,
                            weight: &weight.elements,
                            bias,
                            // Tiles count pixels from the group's first.
                            output: Output::ending(
                                to,
                                elements.start,
                                self.output_elements(&span).start,
                                &ending,
                            ),
                        };
                        algorithm.convolve(self.simd, part);
                        finish(pixels, to)
                    })
                    .collect();
            })
        };
        (output, finished)
    }

    /// The kernels read without looking, so that wrong lengths end here.
    fn check(&self, input: &[f32], weight: &[f32]) {
        assert_eq!(input.len(), self.shape.input_len(), "the input's elements");
        assert_eq!(weight.len(), self.shape.weight_len(), "the weight's elements");
    }
}
