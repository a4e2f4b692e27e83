//! A convolution by its definition, dense or depthwise, and the gradient of its weight.

use std::ops::Range;

use super::algorithm::{Algorithm, Layouts, Part, SumsPart, WeightSums};
use super::packed::Direction;
use super::shape::ConvShape;
use super::{dense, depthwise, weight_gradient};
use crate::simd::Simd;

/// As the definition says.
#[derive(Debug)]
pub(super) enum Direct {
    /// In groups.
    Dense { layouts: Layouts, channels: [usize; 2] },
    /// Every channel with a kernel of its own.
    Depthwise { taps: usize, channels: usize },
}

impl Direct {
    pub(super) fn new(shape: &ConvShape, simd: Simd) -> Self {
        if shape.is_depthwise() {
            return Self::Depthwise {
                taps: shape.taps(),
                channels: shape.channels[0],
            };
        }
        Self::Dense {
            layouts: Layouts::new(shape, simd),
            channels: shape.channels,
        }
    }
}

impl WeightSums for Direct {
    fn sums_len(&self) -> usize {
        match self {
            Self::Dense { layouts, .. } => layouts.forward.len,
            Self::Depthwise { taps, channels } => taps * channels,
        }
    }

    fn sums_parts(&self) -> Vec<Range<usize>> {
        match self {
            Self::Dense { layouts, .. } => {
                let layout = &layouts.forward;
                layout.blocks.iter().map(|block| layout.range(block)).collect()
            }
            Self::Depthwise { .. } => std::iter::once(0..self.sums_len()).collect(),
        }
    }

    fn add_weight_gradient(&self, simd: Simd, part: SumsPart<'_>, parts: Range<usize>, sums: &mut [f32]) {
        let (pairs, gradient) = (&part.geometry.pairs, sums.as_mut_ptr());
        let SumsPart { input, output, .. } = part;
        match self {
            Self::Dense { layouts, .. } => simd.run(weight_gradient::WeightGradient {
                pairs,
                input,
                output,
                layout: &layouts.forward,
                blocks: parts,
                gradient,
            }),
            Self::Depthwise { channels, .. } => simd.run(depthwise::WeightGradient {
                pairs,
                input,
                output,
                gradient,
                channels: *channels,
            }),
        }
    }

    fn weight_gradient(&self, sums: &[f32], len: usize) -> Vec<f32> {
        match self {
            Self::Dense { layouts, .. } => {
                let mut gradient = vec![0.0; len];
                layouts.forward.unpack(sums, &mut gradient);
                gradient
            }
            Self::Depthwise { channels, .. } => transposed(sums, *channels),
        }
    }
}

impl Algorithm for Direct {
    fn packed(&self, _simd: Simd, weight: &[f32], direction: Direction) -> Vec<f32> {
        match self {
            Self::Dense { layouts, .. } => layouts.of(direction).pack(weight, direction),
            Self::Depthwise { taps, .. } => transposed(weight, *taps),
        }
    }

    fn convolve(&self, simd: Simd, part: Part<'_>) {
        let table = match part.direction {
            Direction::Forward => &part.geometry.forward,
            Direction::Backward => &part.geometry.backward,
        };
        match self {
            Self::Dense { layouts, channels } => simd.run(dense::Convolve {
                table,
                tiles: part.tiles,
                input: part.input,
                zeros: part.zeros,
                layout: layouts.of(part.direction),
                weight: part.weight,
                bias: part.bias,
                output: part.output,
                channels: match part.direction {
                    Direction::Forward => channels[1],
                    Direction::Backward => channels[0],
                },
            }),
            Self::Depthwise { channels, .. } => simd.run(depthwise::Convolve {
                table,
                tiles: part.tiles,
                input: part.input,
                zeros: part.zeros,
                weight: part.weight,
                bias: part.bias,
                output: part.output,
                channels: *channels,
            }),
        }
    }
}

/// A matrix of rows of `columns` elements, transposed.
fn transposed(matrix: &[f32], columns: usize) -> Vec<f32> {
    let rows = matrix.len() / columns;
    let mut transposed = vec![0.0; matrix.len()];
    for (row, elements) in matrix.chunks_exact(columns).enumerate() {
        for (column, element) in elements.iter().enumerate() {
            transposed[column * rows + row] = *element;
        }
    }
    transposed
}
