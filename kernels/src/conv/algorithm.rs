//! The two ways to compute a convolution, behind one trait: [by its definition](super::direct), or by [minimal filtering](super::winograd).

use std::ops::Range;

use super::packed::{Direction, Layout};
use super::{ConvShape, Geometry};
use crate::simd::Simd;

/// A way to compute a convolution of some extents.
pub(super) trait Algorithm: Sync {
    /// A weight of ONNX's order as the kernels read it.
    fn packed(&self, weight: &[f32], direction: Direction) -> Vec<f32>;

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
    /// The first pixel of the first picture, which tasks share.
    pub(super) output: *mut f32,
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
