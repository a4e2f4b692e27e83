//! Both gradients of a convolution, group by group: where a group's gradient of the output is in
//! the cache, the data's is computed from it, and the weight's summed.

use std::borrow::Cow;
use std::ops::Range;

use rayon::prelude::*;

use super::algorithm::{Algorithm, Part, SumsPart, WeightSums};
use super::output::Output;
use super::packed::Direction;
use super::winograd::Minimal;
use super::{Convolution, TASKS};
use crate::parallel::{Shared, written};
use crate::precision::{Rounding, rounded};

/// Sums of the weight's gradient are kept for each task and added up in the end while they are
/// smaller than this; else tasks share the channels.
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

/// Which gradients are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WantedGradients {
    /// The input's.
    pub input: bool,
    /// The weight's.
    pub weight: bool,
}

impl Convolution {
    /// The gradients of the input and of the weight, as far as they are wanted.
    pub fn backward(
        &self,
        input: &[f32],
        weight: &[f32],
        output: OutputGradient<'_>,
        wanted: WantedGradients,
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
        let minimal = self.minimal.as_ref().and_then(Minimal::sums);
        let summing: &dyn WeightSums = match (self.tiles(), minimal, &self.same_sums) {
            (Some(tiles), _, _) => tiles,
            (None, Some(minimal), _) => minimal,
            (None, None, Some(same)) => same,
            (None, None, None) => &self.direct,
        };
        let data: &dyn Algorithm = match self.tiles() {
            Some(tiles) => tiles,
            None => self.for_f32(),
        };
        let pass = Pass {
            conv: self,
            input: &input,
            output,
            weight: wanted
                .input
                .then(|| data.packed(self.simd, &weight, Direction::Backward)),
            data,
            summing,
            sums: match wanted.weight {
                true if summing.sums_len() * 4 <= PARTIAL_BYTES => Sums::ByTask,
                true => Sums::Later,
                false => Sums::None,
            },
        };
        pass.run()
    }
}

/// Where the weight's gradient is summed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sums {
    /// Nowhere: nobody wants it.
    None,
    /// In each task, over its groups.
    ByTask,
    /// After all groups, each task taking some of the channels.
    Later,
}

/// A backward pass.
struct Pass<'a> {
    conv: &'a Convolution,
    input: &'a [f32],
    output: Gradient<'a>,
    /// How the data's gradient is computed, and the weight for it, if it is wanted.
    data: &'a dyn Algorithm,
    weight: Option<Vec<f32>>,
    /// How the weight's gradient is summed, and where.
    summing: &'a dyn WeightSums,
    sums: Sums,
}

impl Pass<'_> {
    fn run(&self) -> ConvGradients {
        let shape = &self.conv.shape;
        let mut kept = match self.output {
            Gradient::Made(_) if self.sums == Sums::Later => vec![0.0; shape.output_len()],
            _ => Vec::new(),
        };
        let keep = Shared::new(&mut kept);
        let mut partial = Vec::new();
        let input = if self.weight.is_some() {
            // SAFETY: every input pixel is in one tile of the backward direction.
            Some(unsafe {
                written(shape.input_len(), |data| {
                    partial = self.tasks(Some(Shared::new(data)), keep);
                })
            })
        } else {
            if self.sums != Sums::None {
                partial = self.tasks(None, keep);
            }
            None
        };
        let sums = match self.sums {
            Sums::None => None,
            Sums::ByTask => Some(summed(partial)),
            Sums::Later => Some(self.summed_later(&kept)),
        };
        ConvGradients {
            input,
            weight: sums.map(|sums| self.summing.weight_gradient(&sums, shape.weight_len())),
        }
    }

    /// Goes through all groups, writes the data's gradient `to` its place, and gives each task's
    /// sums.
    fn tasks(&self, to: Option<Shared>, keep: Shared) -> Vec<Vec<f32>> {
        // Tasks share out the groups by number, so that sums do not depend on the threads.
        let groups = self.conv.groups();
        let size = groups.div_ceil(TASKS).max(1);
        let tasks: Vec<Range<usize>> = (0..groups)
            .step_by(size)
            .map(|first| first..(first + size).min(groups))
            .collect();
        tasks
            .par_iter()
            .map(|task| self.task(task.clone(), to, keep))
            .collect()
    }

    fn task(&self, groups: Range<usize>, to: Option<Shared>, keep: Shared) -> Vec<f32> {
        let by_task = self.sums == Sums::ByTask;
        let parts = self.summing.sums_parts().len();
        let mut sums = vec![0.0; if by_task { self.summing.sums_len() } else { 0 }];
        let mut scratch = Vec::new();
        for group in groups {
            let gradient = self.gradient(group, keep, &mut scratch);
            if let (Some(to), Some(weight)) = (to, &self.weight) {
                // SAFETY: each group is in one task.
                let to = unsafe { to.part(self.conv.input_elements(group)) };
                self.data_gradient(group, gradient, weight, to);
            }
            if by_task {
                self.add_sums(group, gradient, 0..parts, &mut sums);
            }
        }
        if by_task {
            sums = self.summing.contribution(self.conv.simd, sums);
        }
        sums
    }

    /// A group's gradient of the output, made now where it is not ready: in `keep` where the
    /// weight's gradient is summed later.
    fn gradient<'s>(&'s self, group: usize, keep: Shared, scratch: &'s mut Vec<f32>) -> &'s [f32] {
        let pixels = self.conv.output_pixels(group);
        let elements = self.conv.output_elements(&pixels);
        match &self.output {
            Gradient::Ready(gradient) => &gradient[elements],
            Gradient::Made(make) => {
                let part = if self.sums == Sums::Later {
                    // SAFETY: each group is in one task.
                    unsafe { keep.part(elements) }
                } else {
                    scratch.resize(elements.len(), 0.0);
                    &mut scratch[..]
                };
                make(pixels, part);
                if self.conv.precision == Rounding::Bf16 && !self.conv.is_tiled() {
                    part.iter_mut().for_each(|element| *element = rounded(*element));
                }
                part
            }
        }
    }

    fn data_gradient(&self, group: usize, gradient: &[f32], weight: &[f32], to: &mut [f32]) {
        let geometry = self.conv.geometry(group);
        let part = Part {
            geometry,
            direction: Direction::Backward,
            tiles: 0..geometry.backward.tiles.len(),
            pictures: self.conv.group(group).len(),
            input: gradient,
            zeros: &self.conv.zeros,
            weight,
            bias: None,
            output: Output::plain(to.as_mut_ptr()),
        };
        self.data.convolve(self.conv.simd, part);
    }

    fn add_sums(&self, group: usize, gradient: &[f32], parts: Range<usize>, sums: &mut [f32]) {
        let part = SumsPart {
            geometry: self.conv.geometry(group),
            pictures: self.conv.group(group).len(),
            input: &self.input[self.conv.input_elements(group)],
            output: gradient,
        };
        self.summing
            .add_weight_gradient(self.conv.simd, part, parts, sums);
    }

    /// The sums over all groups, by channels; `kept` is the output's gradient where it had to be
    /// made.
    fn summed_later(&self, kept: &[f32]) -> Vec<f32> {
        let all: &[f32] = match &self.output {
            Gradient::Ready(gradient) => gradient,
            Gradient::Made(_) => kept,
        };
        let mut sums = vec![0.0; self.summing.sums_len()];
        let shared = Shared::new(&mut sums);
        self.summing
            .sums_parts()
            .into_par_iter()
            .enumerate()
            .for_each(|(index, range)| {
                // SAFETY: parts do not overlap, and each is in one task.
                let part = unsafe { shared.part(range) };
                for group in 0..self.conv.groups() {
                    let elements = self.conv.output_elements(&self.conv.output_pixels(group));
                    self.add_sums(group, &all[elements], index..index + 1, part);
                }
            });
        self.summing.contribution(self.conv.simd, sums)
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
