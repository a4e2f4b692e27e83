//! Where the pixels of a group of pictures are, for each direction and for the gradient of the
//! weight.

use super::pairs::Pairs;
use super::shape::ConvShape;
use super::table::{Extents, Table};
use crate::simd::{Lanes, Simd};

/// Where a group's pixels are.
#[derive(Debug)]
pub(super) struct Geometry {
    pub(super) forward: Table,
    pub(super) backward: Table,
    pub(super) pairs: Pairs,
}

impl Geometry {
    pub(super) fn new(shape: &ConvShape, pictures: usize, simd: Simd) -> Self {
        struct Width;
        impl crate::simd::Kernel for Width {
            type Output = usize;
            #[inline(always)]
            fn run<L: Lanes>(self) -> usize {
                L::PIXELS
            }
        }
        let [input, output] = shape.pixels();
        let forward = Extents {
            pictures,
            read: input,
            channels: shape.channels[0],
            written: output,
            taps: shape.taps(),
            width: simd.run(Width),
        };
        let backward = Extents {
            read: output,
            channels: shape.channels[1],
            written: input,
            ..forward
        };
        // Through a stride, neighbouring input pixels are seen by different taps.
        let phase = |pixel: usize| {
            let at = [pixel / shape.input[1], pixel % shape.input[1]];
            at[0] % shape.stride[0] * shape.stride[1] + at[1] % shape.stride[1]
        };
        Self {
            forward: Table::new(forward, |_| 0, |pixel, tap| shape.source(pixel, tap)),
            backward: Table::new(backward, phase, |pixel, tap| shape.sink(pixel, tap)),
            pairs: Pairs::new(shape, pictures),
        }
    }
}
