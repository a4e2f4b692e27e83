//! Where the tiles of a convolution read and write.

use super::super::ConvShape;
use super::super::packed::Direction;

/// The geometry of one direction.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tiling {
    /// Height and width of what is read and of what is written.
    pub(super) input: [usize; 2],
    pub(super) output: [usize; 2],
    /// Zeros before the input.
    before: [usize; 2],
    /// Channels of what is read and of what is written.
    pub(super) channels: [usize; 2],
    /// Outputs of a tile, along each axis.
    side: usize,
}

impl Tiling {
    pub(super) fn new(shape: &ConvShape, direction: Direction, side: usize) -> Self {
        let before = shape.padding.map(|(before, _)| before);
        match direction {
            Direction::Forward => Self {
                input: shape.input,
                output: shape.output(),
                before,
                channels: shape.channels,
                side,
            },
            Direction::Backward => Self {
                input: shape.output(),
                output: shape.input,
                // The kernel turned round begins before the pixels that it reaches.
                before: before.map(|before| 2 - before),
                channels: [shape.channels[1], shape.channels[0]],
                side,
            },
        }
    }

    fn grid(&self) -> [usize; 2] {
        self.output.map(|extent| extent.div_ceil(self.side))
    }

    /// Tiles of one picture.
    pub(super) fn tiles(&self) -> usize {
        self.grid().iter().product()
    }

    /// Picture, and place of the first output pixel, of a tile.
    #[inline(always)]
    pub(super) fn place(&self, tile: usize) -> (usize, [usize; 2]) {
        let (picture, tile) = (tile / self.tiles(), tile % self.tiles());
        let columns = self.grid()[1];
        (picture, [tile / columns * self.side, tile % columns * self.side])
    }

    /// The pixels that a tile reads, in the pictures from `input` on; `zeros` where it reaches beyond its picture.
    #[inline(always)]
    pub(super) fn sources<const SIDE: usize>(
        &self,
        tile: usize,
        input: *const f32,
        zeros: *const f32,
    ) -> [[*const f32; SIDE]; SIDE] {
        let (picture, at) = self.place(tile);
        let [height, width] = self.input;
        let mut sources = [[zeros; SIDE]; SIDE];
        for (row, sources) in sources.iter_mut().enumerate() {
            let y = (at[0] + row).wrapping_sub(self.before[0]);
            for (column, source) in sources.iter_mut().enumerate() {
                let x = (at[1] + column).wrapping_sub(self.before[1]);
                if y < height && x < width {
                    let pixel = (picture * height + y) * width + x;
                    *source = input.wrapping_add(pixel * self.channels[0]);
                }
            }
        }
        sources
    }
}
