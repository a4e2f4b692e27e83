//! 3 × 3 convolution with stride 1 by Winograd's minimal filtering: F(2 × 2, 3 × 3) needs 16
//! multiplications where the definition has 36, F(4 × 4, 3 × 3) needs 36 where it has 144. A.
//! Lavin, S. Gray: "Fast Algorithms for Convolutional Neural Networks", 2015 (arXiv 1509.09308),
//! section 4.
//!
//! Y = Aᵀ [ (G g Gᵀ) ⊙ (Bᵀ d B) ] A for each [tile](tiling) d of the input. With the places of a
//! tile apart, the product in the middle is a matrix product of tiles by channels, summed over the
//! input's channels. The gradient of the data is the same convolution with the kernel turned round.
//! The gradient of the [weight](sums) is the adjoint of the same.

mod convolve;
mod input;
mod sums;
mod tiling;
mod transform;
mod weight;
mod work;

use std::ops::Range;

use super::algorithm::{Algorithm, Layouts, Part, SumsPart, WeightSums};
use super::packed::Direction;
use super::shape::ConvShape;
use crate::simd::Simd;
use convolve::Convolve;
use sums::{AddProducts, TransformSums};
use tiling::Tiling;
use transform::{Four, Two};
use weight::TransformWeight;

/// Minimal filtering of a convolution of some extents.
#[derive(Debug)]
pub(super) struct Minimal {
    size: Size,
    forward: Tiling,
    backward: Tiling,
    /// How weights are packed, before and after their transform.
    kernels: Layouts,
    transformed: Layouts,
}

/// Outputs of a tile, along each axis.
#[derive(Clone, Copy, Debug)]
enum Size {
    Two,
    Four,
}

/// Where tiles of some size pay: the transforms must cost little beside the product, and its
/// weights come from a cache.
#[derive(Clone, Copy)]
struct Bounds {
    /// Channels of what is read and of what is written, at least.
    channels: usize,
    /// Bytes of the transformed weight, at most: larger ones are read from memory again for every
    /// few tiles.
    bytes: usize,
}

/// [Tiles of two and of four](Size), against the definition.
const BOUNDS: [Bounds; 2] = [
    Bounds {
        channels: 64,
        bytes: 4 << 20,
    },
    Bounds {
        channels: 16,
        bytes: 1 << 20,
    },
];
/// Against [kernels](super::same) that come near to the machine's peak.
const BOUNDS_BESIDE_SAME: [Bounds; 2] = [
    Bounds {
        channels: 64,
        bytes: 2 << 20,
    },
    Bounds {
        channels: 16,
        bytes: 1 << 20,
    },
];

impl Size {
    fn of(shape: &ConvShape, [two, four]: [Bounds; 2]) -> Option<Self> {
        let fits = shape.kernel == [3, 3]
            && shape.stride == [1, 1]
            && shape.dilation == [1, 1]
            && shape.groups == 1
            && shape.padding.iter().all(|(before, _)| *before <= 2)
            && shape.output().iter().all(|extent| *extent >= 4);
        let [inputs, outputs] = shape.channels;
        let pays = |size: Self, bounds: Bounds| {
            let bytes = 4 * size.side().pow(2) * inputs * outputs;
            let computed = shape
                .output()
                .map(|extent| extent.next_multiple_of(size.outputs()));
            // Tiles reach beyond maps that they do not divide.
            let [computed, wanted] = [computed, shape.output()].map(|extents| extents[0] * extents[1]);
            fits && inputs.min(outputs) >= bounds.channels
                && bytes <= bounds.bytes
                && 2 * computed <= 3 * wanted
        };
        // The larger one saves more, where its weights are small enough.
        [(Self::Four, four), (Self::Two, two)]
            .into_iter()
            .find(|(size, bounds)| pays(*size, *bounds))
            .map(|(size, _)| size)
    }

    /// Outputs of a tile along an axis.
    fn outputs(self) -> usize {
        match self {
            Self::Two => 2,
            Self::Four => 4,
        }
    }

    /// Inputs of a tile along an axis.
    fn side(self) -> usize {
        self.outputs() + 2
    }
}

impl Minimal {
    /// `None` where it does not pay, or is not possible; `beside_same` says whether the convolution
    /// has [kernels](super::same) of its own.
    pub(super) fn new(shape: &ConvShape, simd: Simd, beside_same: bool) -> Option<Self> {
        let bounds = if beside_same { BOUNDS_BESIDE_SAME } else { BOUNDS };
        let size = Size::of(shape, bounds)?;
        let transformed = ConvShape {
            kernel: [size.side(); 2],
            ..shape.clone()
        };
        Some(Self {
            size,
            forward: Tiling::new(shape, Direction::Forward, size.outputs()),
            backward: Tiling::new(shape, Direction::Backward, size.outputs()),
            kernels: Layouts::new(shape, simd),
            transformed: Layouts::new(&transformed, simd),
        })
    }
}

impl Minimal {
    /// Whether the weight's gradient is summed like this too: with tiles of two it was no faster
    /// than by its definition.
    pub(super) fn sums(&self) -> Option<&Self> {
        matches!(self.size, Size::Four).then_some(self)
    }
}

impl WeightSums for Minimal {
    fn sums_len(&self) -> usize {
        self.transformed.forward.len
    }

    fn sums_parts(&self) -> Vec<Range<usize>> {
        let layout = &self.transformed.forward;
        layout.blocks.iter().map(|block| layout.range(block)).collect()
    }

    fn add_weight_gradient(&self, simd: Simd, part: SumsPart<'_>, parts: Range<usize>, sums: &mut [f32]) {
        let (tiling, layout) = (&self.forward, &self.transformed.forward);
        match self.size {
            Size::Two => simd.run(AddProducts::<Two, 4, 2>::new(tiling, part, layout, parts, sums)),
            Size::Four => simd.run(AddProducts::<Four, 6, 4>::new(tiling, part, layout, parts, sums)),
        }
    }

    fn contribution(&self, simd: Simd, sums: Vec<f32>) -> Vec<f32> {
        let layouts = [&self.transformed, &self.kernels].map(|layouts| &layouts.forward);
        match self.size {
            Size::Two => simd.run(TransformSums::<Two, 4, 2>::new(layouts, &sums)),
            Size::Four => simd.run(TransformSums::<Four, 6, 4>::new(layouts, &sums)),
        }
    }

    fn weight_gradient(&self, sums: &[f32], len: usize) -> Vec<f32> {
        let mut gradient = vec![0.0; len];
        self.kernels.forward.unpack(sums, &mut gradient);
        gradient
    }
}

impl Algorithm for Minimal {
    fn packed(&self, simd: Simd, weight: &[f32], direction: Direction) -> Vec<f32> {
        let layouts = [&self.kernels, &self.transformed].map(|layouts| layouts.of(direction));
        let weight = layouts[0].pack(weight, direction);
        let turned = direction == Direction::Backward;
        match self.size {
            Size::Two => simd.run(TransformWeight::<Two, 4, 2>::new(layouts, &weight, turned)),
            Size::Four => simd.run(TransformWeight::<Four, 6, 4>::new(layouts, &weight, turned)),
        }
    }

    fn convolve(&self, simd: Simd, part: Part<'_>) {
        let layout = self.transformed.of(part.direction);
        let tiling = match part.direction {
            Direction::Forward => &self.forward,
            Direction::Backward => &self.backward,
        };
        match self.size {
            Size::Two => simd.run(Convolve::<Two, 4, 2>::new(tiling, layout, part)),
            Size::Four => simd.run(Convolve::<Four, 6, 4>::new(tiling, layout, part)),
        }
    }
}
