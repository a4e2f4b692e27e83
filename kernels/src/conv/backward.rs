//! Both gradients of a convolution, group by group: where a group's gradient of the output is in the cache, the data's is computed from it, and the weight's summed.

use std::borrow::Cow;
use std::ops::Range;

use rayon::prelude::*;

use super::algorithm::{Algorithm, Part, SumsPart, WeightSums};
use super::output::Output;
use super::packed::Direction;
use super::winograd::Minimal;
use super::{Conv, TASKS};
use crate::parallel::{Shared, written};
use crate::precision::{Precision, rounded};

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
        let minimal = self.minimal.as_ref().and_then(Minimal::sums);
        let summing: &dyn WeightSums = match (self.tiles(), minimal, &self.same_sums) {
            (Some(tiles), _, _) => tiles,
            (None, Some(minimal), _) => minimal,
            (None, None, Some(same)) => same,
            (None, None, None) => &self.direct,
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
        let data: &dyn Algorithm = match self.tiles() {
            Some(tiles) => tiles,
            None => self.for_f32(),
        };
        let data_weight = of_input.then(|| data.packed(self.simd, &weight, Direction::Backward));
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
                output: Output::plain(to.as_mut_ptr()),
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
                    if by_task {
                        sums = summing.contribution(self.simd, sums);
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
            Some(summing.contribution(self.simd, sums))
        } else {
            None
        };
        ConvGradients {
            input: of_data,
            weight: sums.map(|sums| summing.weight_gradient(&sums, self.shape.weight_len())),
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
