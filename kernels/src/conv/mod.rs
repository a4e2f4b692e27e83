//! Convolution: forward, gradient of the data, gradient of the weight.
//!
//! Nothing is copied or padded before: a [table](table) says where each tile of output pixels reads; 3 × 3 kernels are [transformed](winograd) tile by tile where that
//! saves multiplications. Work is cut into groups of pictures, small enough for a cache and many enough to keep the registers busy; what a caller does with a
//! group's result before the next one begins (statistics, activation) finds it in the cache.

mod algorithm;
mod dense;
mod depthwise;
mod direct;
mod packed;
mod pairs;
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
use crate::precision::{Precision, rounded};
use crate::simd::{Lanes, Simd};
use algorithm::{Algorithm, Part, SumsPart, WeightSums};
use direct::Direct;
use packed::Direction;
use pairs::Pairs;
pub use shape::ConvShape;
use table::Table;
use winograd::Minimal;

/// A convolution of some extents, made ready: make it once, use it at every step.
#[derive(Debug)]
pub struct Conv {
    shape: ConvShape,
    simd: Simd,
    /// Pictures of a group; the last group may have fewer.
    pictures: usize,
    whole: Geometry,
    /// Of the last group where it has fewer pictures.
    rest: Option<Geometry>,
    direct: Direct,
    minimal: Option<Minimal>,
    precision: Precision,
    /// Computes in bf16, if that is the precision and the machine can.
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    tiled: Option<tiled::Tiled>,
    zeros: Vec<f32>,
}

/// Where a group's pixels are.
#[derive(Debug)]
struct Geometry {
    forward: Table,
    backward: Table,
    pairs: Pairs,
}

/// Output pixels that a group has at least, if the batch has them: enough that going through the weights once for each group is cheap.
const GROUP_PIXELS: usize = 256;
/// A batch is cut into at least as many tasks: some for each core of a usual machine.
const TASKS: usize = 16;
/// Tiles that a task has at least.
const TASK_TILES: usize = 8;
/// Sums of the weight's gradient are kept for each task and added up in the end while they are smaller than this; else tasks share the channels.
const PARTIAL_BYTES: usize = 1 << 20;

/// The output's gradient, as the backward pass takes it.
pub enum OutputGradient<'a> {
    /// In memory, `[batch, height, width, channels]`.
    Ready(&'a [f32]),
    /// Made for the given output pixels when they are needed, each once.
    Made(&'a (dyn Fn(Range<usize>, &mut [f32]) + Sync)),
}

/// What a backward pass computed; `None` where it was not asked for.
#[derive(Debug, Default)]
pub struct ConvGradients {
    /// `[batch, height, width, channels]`
    pub input: Option<Vec<f32>>,
    /// `[out, in / groups, height, width]`
    pub weight: Option<Vec<f32>>,
}

/// A weight in the order in which a convolution reads it.
#[derive(Clone, Debug)]
pub struct PackedWeight(Vec<f32>);

impl Conv {
    /// Whether the positions of a convolution of these extents can be counted in the tables: pictures of some billion elements cannot.
    pub fn supports(shape: &ConvShape) -> bool {
        let [read, written] = shape.pixels();
        let picture = (read.saturating_mul(shape.channels[0])).max(written.saturating_mul(shape.channels[1]));
        let group = picture.saturating_mul(GROUP_PIXELS.div_ceil(written.max(1)));
        group <= i32::MAX as usize && shape.taps() <= usize::from(u16::MAX)
    }

    /// Makes a convolution ready for an instruction set. The extents are [supported](Self::supports). A depthwise one is no product of matrices, and computes
    /// in fp32 whatever the precision.
    ///
    /// bf16 runs on the machine's matrix tiles if `simd` is its best instruction set; otherwise factors are rounded before the kernels for `f32`, which takes longer than fp32.
    pub fn new(shape: ConvShape, simd: Simd, precision: Precision) -> Self {
        let precision = match precision {
            Precision::Bf16 if !shape.is_depthwise() => Precision::Bf16,
            _ => Precision::Fp32,
        };
        let [_, written] = shape.pixels();
        let pictures = GROUP_PIXELS
            .div_ceil(written.max(1))
            .min(shape.batch.div_ceil(TASKS))
            .max(1);
        let left = shape.batch % pictures;
        Self {
            whole: Geometry::new(&shape, pictures, simd),
            rest: (left > 0).then(|| Geometry::new(&shape, left, simd)),
            direct: Direct::new(&shape, simd),
            minimal: Minimal::new(&shape, simd),
            precision,
            #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
            tiled: (precision == Precision::Bf16 && simd == Simd::best())
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
            Precision::Fp32 => Cow::Borrowed(elements),
            Precision::Bf16 => elements
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

    /// The output, `[batch, height, width, channels]`, of an input `[batch, height, width, channels]`, a weight
    /// `[out, in / groups, height, width]` and a bias `[out]`.
    pub fn forward(&self, input: &[f32], weight: &[f32], bias: Option<&[f32]>) -> Vec<f32> {
        self.forward_with(input, weight, bias, |_, _| ()).0
    }

    /// As [`forward`](Self::forward); each task gives its output pixels (counted over the batch) and their values to `finish` while they are in the cache. What
    /// `finish` returns comes back in the order of the pixels.
    pub fn forward_with<R: Send>(
        &self,
        input: &[f32],
        weight: &[f32],
        bias: Option<&[f32]>,
        finish: impl Fn(Range<usize>, &mut [f32]) -> R + Sync,
    ) -> (Vec<f32>, Vec<R>) {
        self.forward_packed(input, &self.pack(weight), bias, finish)
    }

    /// A weight `[out, in / groups, height, width]` as [`forward_packed`](Self::forward_packed) of this very convolution reads it.
    pub fn pack(&self, weight: &[f32]) -> PackedWeight {
        assert_eq!(weight.len(), self.shape.weight_len(), "the weight's elements");
        let (algorithm, rounds) = self.forward_algorithm();
        let weight = if rounds {
            Cow::Borrowed(weight)
        } else {
            self.factors(weight)
        };
        PackedWeight(algorithm.packed(&weight, Direction::Forward))
    }

    /// Tasks that a group of pictures is cut into, where there are few.
    fn cuts(&self) -> usize {
        TASKS.div_ceil(self.groups().max(1))
    }

    /// The algorithm of the forward direction, and whether it rounds its factors itself.
    fn forward_algorithm(&self) -> (&dyn Algorithm, bool) {
        // Few groups are cut into ranges of tiles, which only the definition knows.
        match (self.tiles(), &self.minimal) {
            (Some(tiles), _) if self.cuts() == 1 => (tiles, true),
            (_, Some(minimal)) if self.cuts() == 1 => (minimal, false),
            _ => (&self.direct, false),
        }
    }

    /// As [`forward_with`](Self::forward_with), with a weight that this convolution [packed](Self::pack) before.
    pub fn forward_packed<R: Send>(
        &self,
        input: &[f32],
        weight: &PackedWeight,
        bias: Option<&[f32]>,
        finish: impl Fn(Range<usize>, &mut [f32]) -> R + Sync,
    ) -> (Vec<f32>, Vec<R>) {
        assert_eq!(input.len(), self.shape.input_len(), "the input's elements");
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
                        let to = output.part(self.output_elements(&pixels));
                        let part = Part {
                            geometry,
                            direction: Direction::Forward,
                            tiles,
                            pictures: self.group(group).len(),
                            input: &input[self.input_elements(group)],
                            zeros: &self.zeros,
                            weight: &weight.0,
                            bias,
                            // Tiles count pixels from the group's first.
                            output: to.as_mut_ptr().wrapping_sub(self.output_elements(&span).start),
                        };
                        algorithm.convolve(self.simd, part);
                        finish(pixels, to)
                    })
                    .collect();
            })
        };
        (output, finished)
    }

    /// The gradients of the input, if `of_input`, and of the weight, if `of_weight`.
    pub fn backward(
        &self,
        input: &[f32],
        weight: &[f32],
        output: OutputGradient<'_>,
        of_input: bool,
        of_weight: bool,
    ) -> ConvGradients {
        self.check(input, weight);
        let on_tiles = self.is_tiled();
        let [input, weight] = match on_tiles {
            true => [input, weight].map(Cow::Borrowed),
            false => [input, weight].map(|factor| self.factors(factor)),
        };
        let output = match output {
            OutputGradient::Ready(gradient) if !on_tiles => Gradient::Ready(self.factors(gradient)),
            OutputGradient::Ready(gradient) => Gradient::Ready(Cow::Borrowed(gradient)),
            OutputGradient::Made(make) => Gradient::Made(make),
        };
        let summing: &dyn WeightSums = match self.tiles() {
            Some(tiles) => tiles,
            None => &self.direct,
        };
        let by_task = of_weight && summing.sums_len() * 4 <= PARTIAL_BYTES;
        let later = of_weight && !by_task;
        // Tasks share out the groups by number, so that sums do not depend on the threads.
        let groups = self.groups();
        let size = groups.div_ceil(TASKS).max(1);
        let tasks: Vec<Range<usize>> = (0..groups)
            .step_by(size)
            .map(|first| first..(first + size).min(groups))
            .collect();
        let mut kept = match output {
            Gradient::Made(_) if later => vec![0.0; self.shape.output_len()],
            _ => Vec::new(),
        };
        let keep = Shared::new(&mut kept);
        let sums_of = |group: usize, gradient: &[f32], parts: Range<usize>, sums: &mut [f32]| {
            let part = SumsPart {
                geometry: self.geometry(group),
                pictures: self.group(group).len(),
                input: &input[self.input_elements(group)],
                output: gradient,
            };
            summing.add_weight_gradient(self.simd, part, parts, sums);
        };
        let data: &dyn Algorithm = match (self.tiles(), &self.minimal) {
            (Some(tiles), _) => tiles,
            (None, Some(minimal)) => minimal,
            (None, None) => &self.direct,
        };
        let data_weight = of_input.then(|| data.packed(&weight, Direction::Backward));
        let data_of = |group: usize, gradient: &[f32], weight: &[f32], to: &mut [f32]| {
            let geometry = self.geometry(group);
            let part = Part {
                geometry,
                direction: Direction::Backward,
                tiles: 0..geometry.backward.tiles.len(),
                pictures: self.group(group).len(),
                input: gradient,
                zeros: &self.zeros,
                weight,
                bias: None,
                output: to.as_mut_ptr(),
            };
            data.convolve(self.simd, part);
        };
        let parts = summing.sums_parts().len();
        let mut partial = Vec::new();
        let mut run = |to: Option<Shared>| {
            partial = tasks
                .par_iter()
                .map(|task| {
                    let mut sums = vec![0.0; if by_task { summing.sums_len() } else { 0 }];
                    let mut scratch = Vec::new();
                    for group in task.clone() {
                        let pixels = self.output_pixels(group);
                        let elements = self.output_elements(&pixels);
                        let gradient: &[f32] = match &output {
                            Gradient::Ready(gradient) => &gradient[elements],
                            Gradient::Made(make) => {
                                let part = if later {
                                    // SAFETY: each group is in one task.
                                    unsafe { keep.part(elements) }
                                } else {
                                    scratch.resize(elements.len(), 0.0);
                                    &mut scratch[..]
                                };
                                make(pixels, part);
                                if self.precision == Precision::Bf16 && !on_tiles {
                                    part.iter_mut().for_each(|element| *element = rounded(*element));
                                }
                                part
                            }
                        };
                        if let (Some(to), Some(weight)) = (to, &data_weight) {
                            // SAFETY: each group is in one task.
                            data_of(group, gradient, weight, unsafe {
                                to.part(self.input_elements(group))
                            });
                        }
                        if by_task {
                            sums_of(group, gradient, 0..parts, &mut sums);
                        }
                    }
                    sums
                })
                .collect();
        };
        let of_data = if of_input {
            // SAFETY: every input pixel is in one tile of the backward direction.
            Some(unsafe { written(self.shape.input_len(), |data| run(Some(Shared::new(data)))) })
        } else {
            if of_weight {
                run(None);
            }
            None
        };
        let sums = if by_task {
            Some(summed(partial))
        } else if later {
            let all: &[f32] = match &output {
                Gradient::Ready(gradient) => gradient,
                Gradient::Made(_) => &kept,
            };
            let mut sums = vec![0.0; summing.sums_len()];
            let shared = Shared::new(&mut sums);
            summing
                .sums_parts()
                .into_par_iter()
                .enumerate()
                .for_each(|(index, range)| {
                    // SAFETY: parts do not overlap, and each is in one task.
                    let part = unsafe { shared.part(range) };
                    for group in 0..groups {
                        let elements = self.output_elements(&self.output_pixels(group));
                        sums_of(group, &all[elements], index..index + 1, part);
                    }
                });
            Some(sums)
        } else {
            None
        };
        ConvGradients {
            input: of_data,
            weight: sums.map(|sums| summing.weight_gradient(&sums, self.shape.weight_len())),
        }
    }

    /// The kernels read without looking, so that wrong lengths end here.
    fn check(&self, input: &[f32], weight: &[f32]) {
        assert_eq!(input.len(), self.shape.input_len(), "the input's elements");
        assert_eq!(weight.len(), self.shape.weight_len(), "the weight's elements");
    }
}

impl Geometry {
    fn new(shape: &ConvShape, pictures: usize, simd: Simd) -> Self {
        struct Width;
        impl crate::simd::Kernel for Width {
            type Output = usize;
            #[inline(always)]
            fn run<L: Lanes>(self) -> usize {
                L::PIXELS
            }
        }
        let width = simd.run(Width);
        let [read, written] = shape.pixels();
        let taps = shape.taps();
        // Through a stride, neighbouring input pixels are seen by different taps.
        let phase = |pixel: usize| {
            let at = [pixel / shape.input[1], pixel % shape.input[1]];
            at[0] % shape.stride[0] * shape.stride[1] + at[1] % shape.stride[1]
        };
        Self {
            forward: Table::new(
                pictures,
                [read, written],
                shape.channels[0],
                taps,
                width,
                |_| 0,
                |pixel, tap| shape.source(pixel, tap),
            ),
            backward: Table::new(
                pictures,
                [written, read],
                shape.channels[1],
                taps,
                width,
                phase,
                |pixel, tap| shape.sink(pixel, tap),
            ),
            pairs: Pairs::new(shape, pictures),
        }
    }
}

/// An output's gradient, rounded where it must be.
enum Gradient<'a> {
    Ready(Cow<'a, [f32]>),
    Made(&'a (dyn Fn(Range<usize>, &mut [f32]) + Sync)),
}

/// The sum of vectors of one length, in their order.
fn summed(vectors: Vec<Vec<f32>>) -> Vec<f32> {
    let mut vectors = vectors.into_iter();
    let mut sum = vectors.next().unwrap_or_default();
    for vector in vectors {
        for (sum, element) in sum.iter_mut().zip(vector) {
            *sum += element;
        }
    }
    sum
}
