//! Which input pixel meets which output pixel, tap by tap: what the weight's gradient sums over.

use std::ops::Range;

use super::shape::ConvShape;

/// Pairs (input pixel, output pixel), in elements from the first picture on, padding left out, in
/// chunks of neighbouring output pixels that stay in the innermost cache.
#[derive(Debug)]
pub(super) struct Pairs {
    pairs: Vec<(u32, u32)>,
    /// Places in `pairs`: `[chunk][tap]`.
    ranges: Vec<Range<u32>>,
    taps: usize,
}

/// Bytes of input and output that a chunk may have: half of an L1 cache, which holds some of the
/// gradient too.
const CHUNK_BYTES: usize = 16 << 10;

impl Pairs {
    /// The pairs of some pictures.
    pub(super) fn new(shape: &ConvShape, pictures: usize) -> Self {
        let [read, written] = shape.pixels();
        let pixel_bytes = 4 * (shape.channels[0] + shape.channels[1]);
        let chunk = (CHUNK_BYTES / pixel_bytes).clamp(32, 256);
        let pixels: Vec<usize> = (0..pictures * written).collect();
        let (mut pairs, mut ranges) = (Vec::new(), Vec::new());
        for outputs in pixels.chunks(chunk) {
            for tap in 0..shape.taps() {
                let start = pairs.len() as u32;
                pairs.extend(outputs.iter().filter_map(|output| {
                    let (picture, pixel) = (output / written, output % written);
                    let source = shape.source(pixel, tap)?;
                    let from = (picture * read + source) * shape.channels[0];
                    Some((from as u32, (output * shape.channels[1]) as u32))
                }));
                ranges.push(start..pairs.len() as u32);
            }
        }
        Self {
            pairs,
            ranges,
            taps: shape.taps(),
        }
    }

    /// For each chunk, the range of each tap.
    #[inline(always)]
    pub(super) fn chunks(&self) -> std::slice::ChunksExact<'_, Range<u32>> {
        self.ranges.chunks_exact(self.taps)
    }

    /// The pairs of a range.
    #[inline(always)]
    pub(super) fn of(&self, range: &Range<u32>) -> &[(u32, u32)] {
        &self.pairs[range.start as usize..range.end as usize]
    }
}
