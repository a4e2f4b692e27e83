//! Convolution in bf16 on [matrix tiles](crate::simd::tiles): both directions [slide](slide) over
//! pictures, the gradient of the weight is a product of [maps](maps).
//!
//! Pictures are [rounded](round) group by group, in the cache, with their padding around them, so
//! that where a tile reads follows from its place.

mod maps;
mod round;
mod slide;

use std::ops::Range;

use super::algorithm::{Algorithm, Part, WeightSums};
use super::packed::Direction;
use super::shape::ConvShape;
use crate::simd::{Simd, tiles};
use maps::Maps;
use slide::Slide;

/// A dense convolution on tiles.
#[derive(Debug)]
pub(super) struct Tiled {
    forward: Slide,
    backward: Slide,
    maps: Maps,
}

/// Pixels that a tile's rows have at least, of 16: with fewer the vector kernels are as fast.
const MIN_ROWS: usize = 8;

impl Tiled {
    /// `None` where the machine has no tiles, or the convolution would leave them half empty.
    pub(super) fn new(shape: &ConvShape) -> Option<Self> {
        if !tiles::available() || shape.groups != 1 {
            return None;
        }
        let shape = flattened(shape);
        let (forward, backward) = (Slide::forward(&shape), Slide::backward(&shape)?);
        let narrow = [&forward, &backward].iter().any(|slide| slide.rows() < MIN_ROWS);
        (!narrow).then(|| Self {
            forward,
            backward,
            maps: Maps::new(&shape),
        })
    }
}

/// A 1 × 1 convolution sees one long row of pixels.
fn flattened(shape: &ConvShape) -> ConvShape {
    let flat = shape.taps() == 1 && shape.stride == [1, 1] && shape.padding == [(0, 0); 2];
    let mut shape = shape.clone();
    if flat {
        shape.input = [1, shape.input[0] * shape.input[1]];
    }
    shape
}

impl Algorithm for Tiled {
    fn packed(&self, _simd: Simd, weight: &[f32], direction: Direction) -> Vec<f32> {
        match direction {
            Direction::Forward => self.forward.packed(weight),
            Direction::Backward => self.backward.packed(weight),
        }
    }

    fn convolve(&self, simd: Simd, part: Part<'_>) {
        let slide = match part.direction {
            Direction::Forward => &self.forward,
            Direction::Backward => &self.backward,
        };
        let written = part.pictures * slide.written();
        slide.run(&part);
        // SAFETY: these pictures are this part's.
        unsafe { part.output.end(simd, written) };
    }
}

impl WeightSums for Tiled {
    fn sums_len(&self) -> usize {
        self.maps.sums_len()
    }

    fn sums_parts(&self) -> Vec<Range<usize>> {
        self.maps.sums_parts()
    }

    fn add_weight_gradient(
        &self,
        _simd: Simd,
        part: super::algorithm::SumsPart<'_>,
        parts: Range<usize>,
        sums: &mut [f32],
    ) {
        self.maps.add(part, parts, sums);
    }

    fn weight_gradient(&self, sums: &[f32], len: usize) -> Vec<f32> {
        self.maps.gradient(sums, len)
    }
}
