//! Convolution: forward, gradient of the data, gradient of the weight.
//!
//! Nothing is copied or padded before: a [table](table) says where each tile of output pixels reads. Work is cut into groups of pictures, small
//! enough for a cache and many enough to keep the registers busy; what a caller does with a group's result before the next one begins
//! (statistics, activation) finds it in the cache.

mod dense;
mod depthwise;
mod packed;
mod pairs;
mod shape;
mod table;
mod weight_gradient;

use std::ops::Range;

use rayon::prelude::*;

use crate::parallel::{Shared, written};
use crate::simd::{Lanes, Simd};
use packed::{Direction, Layout};
use pairs::Pairs;
pub use shape::ConvShape;
use table::Table;

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
    forward: Layout,
    backward: Layout,
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

impl Conv {
    /// Makes a convolution ready for an instruction set.
    pub fn new(shape: ConvShape, simd: Simd) -> Self {
        let [read, written] = shape.pixels();
        let pictures = GROUP_PIXELS
            .div_ceil(written.max(1))
            .min(shape.batch.div_ceil(TASKS))
            .max(1);
        let geometry = |pictures: usize| Geometry::new(&shape, pictures, [read, written], simd);
        let left = shape.batch % pictures;
        Self {
            whole: geometry(pictures),
            rest: (left > 0).then(|| geometry(left)),
            forward: Layout::new(&shape, Direction::Forward, simd.lanes()),
            backward: Layout::new(&shape, Direction::Backward, simd.lanes()),
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

    /// The instruction set that it uses.
    pub fn simd(&self) -> Simd {
        self.simd
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
        let weight = self.packed(weight, Direction::Forward);
        let [read, per_picture] = self.shape.pixels();
        let channels = self.shape.channels;
        assert_eq!(input.len(), self.shape.input_len(), "the input's elements");
        // Few groups are cut into ranges of tiles.
        let cuts = TASKS.div_ceil(self.groups().max(1));
        let mut finished = Vec::new();
        // SAFETY: every pixel is in one tile, and every tile in one task.
        let output = unsafe {
            written(self.shape.output_len(), |output| {
                let output = Shared::new(output);
                let mut tasks = Vec::new();
                for group in 0..self.groups() {
                    let tiles = self.geometry(group).forward.tiles.len();
                    let size = tiles.div_ceil(cuts).max(TASK_TILES);
                    tasks.extend(
                        (0..tiles)
                            .step_by(size)
                            .map(|first| (group, first..(first + size).min(tiles))),
                    );
                }
                finished = tasks
                    .into_par_iter()
                    .map(|(group, tiles)| {
                        let (pictures, geometry) = (self.group(group), self.geometry(group));
                        let first = pictures.start * per_picture;
                        let span = geometry.forward.span(tiles.clone());
                        let span = first + span.start..first + span.end;
                        let to = output.part(span.start * channels[1]..span.end * channels[1]);
                        // Tiles count pixels from the group's first.
                        let origin = to.as_mut_ptr().wrapping_sub((span.start - first) * channels[1]);
                        self.convolve(
                            &geometry.forward,
                            tiles,
                            &input[pictures.start * read * channels[0]..pictures.end * read * channels[0]],
                            &weight,
                            Direction::Forward,
                            bias,
                            origin,
                        );
                        finish(span, to)
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
        let weight_packed = of_input.then(|| self.packed(weight, Direction::Backward));
        let length = self.gradient_len();
        let by_task = of_weight && length * 4 <= PARTIAL_BYTES;
        let later = of_weight && !by_task;
        let groups = self.groups();
        let [read, per_picture] = self.shape.pixels();
        let channels = self.shape.channels;
        let pixels = |group: usize| {
            let pictures = self.group(group);
            pictures.start * per_picture..pictures.end * per_picture
        };
        let inputs = |group: usize| {
            let pictures = self.group(group);
            pictures.start * read * channels[0]..pictures.end * read * channels[0]
        };
        // Tasks share out the groups by number, so that sums do not depend on the threads.
        let size = groups.div_ceil(TASKS).max(1);
        let tasks: Vec<Range<usize>> = (0..groups)
            .step_by(size)
            .map(|first| first..(first + size).min(groups))
            .collect();
        let mut kept = match output {
            OutputGradient::Made(_) if later => vec![0.0; self.shape.output_len()],
            _ => Vec::new(),
        };
        let keep = Shared::new(&mut kept);
        let mut partial = Vec::new();
        let mut run = |data: Option<Shared>| {
            partial = tasks
                .par_iter()
                .map(|task| {
                    let mut sums = vec![0.0; if by_task { length } else { 0 }];
                    let mut scratch = Vec::new();
                    for group in task.clone() {
                        let span = pixels(group);
                        let elements = span.start * channels[1]..span.end * channels[1];
                        let gradient: &[f32] = match &output {
                            OutputGradient::Ready(gradient) => &gradient[elements],
                            OutputGradient::Made(make) => {
                                let part = if later {
                                    // SAFETY: each group is in one task.
                                    unsafe { keep.part(elements) }
                                } else {
                                    scratch.resize(elements.len(), 0.0);
                                    &mut scratch[..]
                                };
                                make(span, part);
                                part
                            }
                        };
                        if let (Some(data), Some(weight)) = (data, &weight_packed) {
                            let table = &self.geometry(group).backward;
                            // SAFETY: each group is in one task.
                            let to = unsafe { data.part(inputs(group)) };
                            let tiles = 0..table.tiles.len();
                            self.convolve(
                                table,
                                tiles,
                                gradient,
                                weight,
                                Direction::Backward,
                                None,
                                to.as_mut_ptr(),
                            );
                        }
                        if by_task {
                            self.add_weight_gradient(
                                group,
                                &input[inputs(group)],
                                gradient,
                                0..self.blocks(),
                                &mut sums,
                            );
                        }
                    }
                    sums
                })
                .collect();
        };
        let data = if of_input {
            // SAFETY: the backward table has every input pixel in one tile.
            Some(unsafe { written(self.shape.input_len(), |data| run(Some(Shared::new(data)))) })
        } else {
            if by_task || later {
                run(None);
            }
            None
        };
        let sums = if by_task {
            Some(summed(partial))
        } else if later {
            let all: &[f32] = match output {
                OutputGradient::Ready(gradient) => gradient,
                OutputGradient::Made(_) => &kept,
            };
            let mut sums = vec![0.0; length];
            let shared = Shared::new(&mut sums);
            (0..self.blocks()).into_par_iter().for_each(|block| {
                // SAFETY: each block is in one task.
                let part = unsafe { shared.part(self.block_range(block)) };
                for group in 0..groups {
                    let span = pixels(group);
                    let gradient = &all[span.start * channels[1]..span.end * channels[1]];
                    self.add_weight_gradient(group, &input[inputs(group)], gradient, block..block + 1, part);
                }
            });
            Some(sums)
        } else {
            None
        };
        ConvGradients {
            input: data,
            weight: sums.map(|sums| self.unpacked(&sums)),
        }
    }

    fn packed(&self, weight: &[f32], direction: Direction) -> Vec<f32> {
        assert_eq!(weight.len(), self.shape.weight_len(), "the weight's elements");
        if self.shape.is_depthwise() {
            let (taps, channels) = (self.shape.taps(), self.shape.channels[0]);
            let mut packed = vec![0.0; weight.len()];
            for (channel, weight) in weight.chunks_exact(taps).enumerate() {
                for (tap, element) in weight.iter().enumerate() {
                    packed[tap * channels + channel] = *element;
                }
            }
            return packed;
        }
        self.layout(direction).pack(weight, direction)
    }

    fn layout(&self, direction: Direction) -> &Layout {
        match direction {
            Direction::Forward => &self.forward,
            Direction::Backward => &self.backward,
        }
    }

    /// Elements of the weight's gradient while it is summed.
    fn gradient_len(&self) -> usize {
        if self.shape.is_depthwise() {
            self.shape.weight_len()
        } else {
            self.forward.len
        }
    }

    /// Parts of the weight's gradient that can be summed apart.
    fn blocks(&self) -> usize {
        if self.shape.is_depthwise() {
            1
        } else {
            self.forward.blocks.len()
        }
    }

    /// Where a part is.
    fn block_range(&self, block: usize) -> Range<usize> {
        if self.shape.is_depthwise() {
            return 0..self.gradient_len();
        }
        self.forward.range(&self.forward.blocks[block])
    }

    /// The weight's gradient in ONNX's order.
    fn unpacked(&self, sums: &[f32]) -> Vec<f32> {
        let mut weight = vec![0.0; self.shape.weight_len()];
        if self.shape.is_depthwise() {
            let (taps, channels) = (self.shape.taps(), self.shape.channels[0]);
            for (channel, weight) in weight.chunks_exact_mut(taps).enumerate() {
                for (tap, element) in weight.iter_mut().enumerate() {
                    *element = sums[tap * channels + channel];
                }
            }
        } else {
            self.forward.unpack(sums, &mut weight);
        }
        weight
    }

    #[allow(clippy::too_many_arguments)]
    fn convolve(
        &self,
        table: &Table,
        tiles: Range<usize>,
        input: &[f32],
        weight: &[f32],
        direction: Direction,
        bias: Option<&[f32]>,
        output: *mut f32,
    ) {
        let channels = match direction {
            Direction::Forward => self.shape.channels,
            Direction::Backward => [self.shape.channels[1], self.shape.channels[0]],
        };
        let zeros = &self.zeros;
        if self.shape.is_depthwise() {
            self.simd.run(depthwise::Convolve {
                table,
                tiles,
                input,
                zeros,
                weight,
                bias,
                output,
                channels: channels[0],
            });
        } else {
            self.simd.run(dense::Convolve {
                table,
                tiles,
                input,
                zeros,
                layout: self.layout(direction),
                weight,
                bias,
                output,
                channels,
            });
        }
    }

    fn add_weight_gradient(
        &self,
        group: usize,
        input: &[f32],
        output: &[f32],
        blocks: Range<usize>,
        gradient: &mut [f32],
    ) {
        let pairs = &self.geometry(group).pairs;
        let gradient = gradient.as_mut_ptr();
        if self.shape.is_depthwise() {
            self.simd.run(depthwise::WeightGradient {
                pairs,
                input,
                output,
                gradient,
                channels: self.shape.channels[0],
            });
        } else {
            self.simd.run(weight_gradient::WeightGradient {
                pairs,
                input,
                output,
                layout: &self.forward,
                blocks,
                gradient,
                channels: self.shape.channels,
            });
        }
    }
}

impl Geometry {
    fn new(shape: &ConvShape, pictures: usize, [read, written]: [usize; 2], simd: Simd) -> Self {
        struct Width;
        impl crate::simd::Kernel for Width {
            type Output = usize;
            #[inline(always)]
            fn run<L: Lanes>(self) -> usize {
                L::PIXELS
            }
        }
        let width = simd.run(Width);
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
                taps,
                width,
                |_| 0,
                |pixel, tap| shape.source(pixel, tap),
            ),
            backward: Table::new(pictures, [written, read], taps, width, phase, |pixel, tap| {
                shape.sink(pixel, tap)
            }),
            pairs: Pairs::new(shape, pictures),
        }
    }
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
