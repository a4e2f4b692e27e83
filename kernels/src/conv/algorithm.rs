//! The ways to compute a convolution, behind one trait: [by its definition](super::direct), by
//! [minimal filtering](super::winograd), or in bf16 on [matrix tiles](super::tiled); and those to
//! sum its weight's gradient, behind another.

use std::ops::Range;

use super::geometry::Geometry;
use super::output::Output;
use super::packed::{Direction, Layout};
use super::shape::ConvShape;
use crate::simd::Simd;

/// A way to compute a convolution of some extents.
pub(super) trait Algorithm: Sync {
    /// A weight of ONNX's order as the kernels read it.
    fn packed(&self, simd: Simd, weight: &[f32], direction: Direction) -> Vec<f32>;

    /// Computes the convolution of some pictures.
    fn convolve(&self, simd: Simd, part: Part<'_>);
}

/// A convolution of some pictures, or of some tiles of them.
pub(super) struct Part<'a> {
    pub(super) geometry: &'a Geometry,
    pub(super) direction: Direction,
    /// Tiles of the geometry's table; minimal filtering computes all pictures whatever they are.
    pub(super) tiles: Range<usize>,
    pub(super) pictures: usize,
    /// `[picture][pixel][channel]`
    pub(super) input: &'a [f32],
    /// As many zeros as a picture has channels.
    pub(super) zeros: &'a [f32],
    /// Packed.
    pub(super) weight: &'a [f32],
    /// One element per output channel.
    pub(super) bias: Option<&'a [f32]>,
    /// From the first pixel of the first picture on.
    pub(super) output: Output,
}

/// A way to sum the gradient of a weight over pictures.
pub(super) trait WeightSums: Sync {
    /// Elements of the gradient while it is summed.
    fn sums_len(&self) -> usize;

    /// Parts of it that can be summed apart: where each lies.
    fn sums_parts(&self) -> Vec<Range<usize>>;

    /// Adds the gradient over some pictures to some of its parts, which begin at `sums`.
    fn add_weight_gradient(&self, simd: Simd, part: SumsPart<'_>, parts: Range<usize>, sums: &mut [f32]);

    /// What the sums of some pictures add to the gradient, where it is added up in another form:
    /// once, after all of these pictures.
    fn contribution(&self, _simd: Simd, sums: Vec<f32>) -> Vec<f32> {
        sums
    }

    /// The gradient in ONNX's order, of `len` elements, from all contributions.
    fn weight_gradient(&self, sums: &[f32], len: usize) -> Vec<f32>;
}

/// Pictures over which a weight's gradient is summed.
pub(super) struct SumsPart<'a> {
    pub(super) geometry: &'a Geometry,
    pub(super) pictures: usize,
    /// `[picture][pixel][channel]`
    pub(super) input: &'a [f32],
    /// The output's gradient, `[picture][pixel][channel]`.
    pub(super) output: &'a [f32],
}

/// How weights are packed for each direction.
#[derive(Debug)]
pub(super) struct Layouts {
    pub(super) forward: Layout,
    pub(super) backward: Layout,
}

impl Layouts {
    pub(super) fn new(shape: &ConvShape, simd: Simd) -> Self {
        Self {
            forward: Layout::new(shape, Direction::Forward, simd.lanes()),
            backward: Layout::new(shape, Direction::Backward, simd.lanes()),
        }
    }

    pub(super) fn of(&self, direction: Direction) -> &Layout {
        match direction {
            Direction::Forward => &self.forward,
            Direction::Backward => &self.backward,
        }
    }
}
