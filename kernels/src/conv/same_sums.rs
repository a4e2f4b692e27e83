//! The gradient of the weight of a convolution that [keeps the size](super::same) of its maps and
//! has no more output channels than a register has lanes: an input element is loaded once for the
//! three taps of a row of the kernel. (With two registers of outputs, an element is used often
//! enough as it is.)
//!
//! dW[tap][i][o] = Σ x[pixel under tap][i] · dy[pixel][o]. While a row of pixels goes by, the
//! gradients of three neighbouring output pixels are in registers: the one before the input pixel,
//! the one at it, and the one after it.

use std::ops::Range;

use super::algorithm::{SumsPart, WeightSums};
use super::packed::{Block, Direction, Layout};
use super::same::{LANES, keeps_size};
use super::shape::ConvShape;
use crate::simd::{Kernel, Lanes, Simd, load};

#[derive(Debug)]
pub(super) struct SameSums {
    size: [usize; 2],
    channels: [usize; 2],
    layout: Layout,
    /// Rows that are at work at a time.
    chunk: usize,
}

/// Bytes of input and output that a chunk may have: half of an L1 cache, which holds some of the
/// gradient too.
const CHUNK_BYTES: usize = 24 << 10;

impl SameSums {
    /// `None` for other convolutions.
    pub(super) fn new(shape: &ConvShape, simd: Simd) -> Option<Self> {
        let [inputs, outputs] = shape.channels;
        let row_bytes = 4 * shape.input[1] * (inputs + outputs);
        (keeps_size(shape, simd) && outputs <= LANES).then(|| Self {
            size: shape.input,
            channels: shape.channels,
            layout: Layout::new(shape, Direction::Forward, LANES),
            chunk: (CHUNK_BYTES / row_bytes.max(1)).max(1),
        })
    }
}

impl WeightSums for SameSums {
    fn sums_len(&self) -> usize {
        self.layout.len
    }

    fn sums_parts(&self) -> Vec<Range<usize>> {
        let blocks = self.layout.blocks.iter();
        blocks.map(|block| self.layout.range(block)).collect()
    }

    fn add_weight_gradient(&self, simd: Simd, part: SumsPart<'_>, parts: Range<usize>, sums: &mut [f32]) {
        simd.run(Add {
            size: self.size,
            channels: self.channels,
            rows: part.pictures * self.size[0],
            chunk: self.chunk,
            input: part.input,
            output: part.output,
            blocks: &self.layout.blocks[parts],
            sums: sums.as_mut_ptr(),
        });
    }

    fn weight_gradient(&self, sums: &[f32], len: usize) -> Vec<f32> {
        let mut gradient = vec![0.0; len];
        self.layout.unpack(sums, &mut gradient);
        gradient
    }
}

/// Adds the gradient over some pictures to some blocks of the weight.
struct Add<'a> {
    size: [usize; 2],
    channels: [usize; 2],
    /// Rows of all pictures.
    rows: usize,
    chunk: usize,
    input: &'a [f32],
    /// The output's gradient.
    output: &'a [f32],
    blocks: &'a [Block],
    /// Packed as the layout says, from the first of the blocks on.
    sums: *mut f32,
}

impl Kernel for Add<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self) {
        // Other instruction sets never come here, and shall not compile what follows.
        if L::N != LANES {
            return;
        }
        let origin = self.blocks.first().map_or(0, |block| block.start);
        let inputs = self.channels[0];
        for first_row in (0..self.rows).step_by(self.chunk) {
            let rows = first_row..(first_row + self.chunk).min(self.rows);
            for block in self.blocks {
                for tap in 0..3 {
                    let mut first = 0;
                    while first < inputs {
                        // So many by three taps leave registers for the rest.
                        let count = [8, 4, 3, 2, 1]
                            .into_iter()
                            .find(|count| first + count <= inputs)
                            .unwrap_or(1);
                        let at = block.start - origin + (3 * tap * inputs + first) * L::N;
                        // SAFETY: the sums of this block, and the rows, are there.
                        unsafe {
                            let (to, rows) = (self.sums.add(at), rows.clone());
                            match count {
                                8 => self.sweep::<L, 8>(block, tap, first, rows, to),
                                4 => self.sweep::<L, 4>(block, tap, first, rows, to),
                                3 => self.sweep::<L, 3>(block, tap, first, rows, to),
                                2 => self.sweep::<L, 2>(block, tap, first, rows, to),
                                _ => self.sweep::<L, 1>(block, tap, first, rows, to),
                            }
                        }
                        first += count;
                    }
                }
            }
        }
    }
}

impl Add<'_> {
    /// `COUNT` input channels from `first` on by the three taps of row `tap` of the kernel.
    #[inline(always)]
    unsafe fn sweep<L: Lanes, const COUNT: usize>(
        &self,
        block: &Block,
        tap: usize,
        first: usize,
        rows: Range<usize>,
        to: *mut f32,
    ) {
        let [inputs, outputs] = self.channels;
        let [height, width] = self.size;
        let place = |column: usize, channel: usize| (column * inputs + channel) * L::N;
        unsafe {
            let mut sums: [[L; COUNT]; 3] = std::array::from_fn(|column| {
                std::array::from_fn(|channel| L::load(to.add(place(column, channel))))
            });
            for row in rows {
                let y = row % height + tap;
                if y == 0 || y > height {
                    continue;
                }
                let mut input = self.input.as_ptr().add((row + tap - 1) * width * inputs + first);
                let mut output = self.output.as_ptr().add(row * width * outputs + block.output);
                let mut before = L::splat(0.0);
                let mut at = load::<L>(output, block.count);
                for x in 0..width {
                    output = output.add(outputs);
                    let after = if x + 1 < width {
                        load(output, block.count)
                    } else {
                        L::splat(0.0)
                    };
                    let [left, middle, right] = &mut sums;
                    for channel in 0..COUNT {
                        let element = L::splat(*input.add(channel));
                        left[channel] = element.mul_add(after, left[channel]);
                        middle[channel] = element.mul_add(at, middle[channel]);
                        right[channel] = element.mul_add(before, right[channel]);
                    }
                    input = input.add(inputs);
                    (before, at) = (at, after);
                }
            }
            for (column, sums) in sums.into_iter().enumerate() {
                for (channel, sum) in sums.into_iter().enumerate() {
                    sum.store(to.add(place(column, channel)));
                }
            }
        }
    }
}
