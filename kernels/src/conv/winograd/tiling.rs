//! Where the tiles of a convolution read and write.

use super::super::packed::Direction;
use super::super::shape::ConvShape;

/// The geometry of one direction.
#[derive(Debug)]
pub(super) struct Tiling {
    /// Channels of what is read and of what is written.
    pub(super) channels: [usize; 2],
    /// Height and width of what is read and of what is written.
    input: [usize; 2],
    pub(super) output: [usize; 2],
    /// Tiles of a picture.
    tiles: Vec<Tile>,
    /// Rows of zeros, as wide as a tile.
    zeros: Vec<f32>,
}

/// A tile of a picture.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tile {
    /// Row and column of the first pixel that is read; less than 0 before the picture.
    from: [isize; 2],
    /// The first pixel that is written, in its picture.
    pub(super) to: usize,
    /// Rows and columns that are written.
    pub(super) inside: [usize; 2],
}

/// What a tile reads: pixels whose row or column lies beyond the picture are 0.
pub(super) struct Source<const SIDE: usize> {
    /// Where each row begins, were all columns inside; zeros for a row that is not.
    pub(super) rows: [*const f32; SIDE],
    /// The first column inside, and the one after the last.
    pub(super) columns: [usize; 2],
}

impl Tiling {
    /// Of tiles of `side` outputs along each axis.
    pub(super) fn new(shape: &ConvShape, direction: Direction, side: usize) -> Self {
        let before = shape.padding.map(|(before, _)| before);
        let (input, output, before, channels) = match direction {
            Direction::Forward => (shape.input, shape.output(), before, shape.channels),
            Direction::Backward => (
                shape.output(),
                shape.input,
                // The kernel turned round begins before the pixels that it reaches.
                before.map(|before| 2 - before),
                [shape.channels[1], shape.channels[0]],
            ),
        };
        let mut tiles = Vec::new();
        for top in (0..output[0]).step_by(side) {
            for left in (0..output[1]).step_by(side) {
                tiles.push(Tile {
                    from: [(top, before[0]), (left, before[1])]
                        .map(|(at, before)| at as isize - before as isize),
                    to: top * output[1] + left,
                    inside: [side.min(output[0] - top), side.min(output[1] - left)],
                });
            }
        }
        Self {
            channels,
            input,
            output,
            tiles,
            zeros: vec![0.0; (side + 2) * channels[0]],
        }
    }

    /// Tiles of one picture.
    pub(super) fn tiles(&self) -> usize {
        self.tiles.len()
    }

    /// Picture of a tile, and what it is there.
    #[inline(always)]
    pub(super) fn tile(&self, tile: usize) -> (usize, Tile) {
        let (picture, tile) = (tile / self.tiles(), tile % self.tiles());
        (picture, self.tiles[tile])
    }

    /// What a tile reads, in the pictures from `input` on.
    #[inline(always)]
    pub(super) fn source<const SIDE: usize>(&self, tile: usize, input: *const f32) -> Source<SIDE> {
        let (picture, tile) = self.tile(tile);
        let ([height, width], [top, left]) = (self.input.map(|extent| extent as isize), tile.from);
        let channels = self.channels[0] as isize;
        let mut row = ((picture as isize * height + top) * width + left) * channels;
        let mut rows = [self.zeros.as_ptr(); SIDE];
        for (index, source) in rows.iter_mut().enumerate() {
            if (0..height).contains(&(top + index as isize)) {
                *source = input.wrapping_offset(row);
            }
            row += width * channels;
        }
        Source {
            rows,
            columns: [-left, width - left].map(|column| column.clamp(0, SIDE as isize) as usize),
        }
    }
}
