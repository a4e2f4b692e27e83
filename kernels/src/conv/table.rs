//! Where a convolution reads: for each tile of neighbouring output pixels, and each tap, one input
//! pixel per output pixel.
//!
//! With the positions in a table, one kernel serves every stride, dilation and padding without
//! copying or padding the input, and both directions: the gradient of the data reads output pixels
//! for input pixels. (The indirect convolution of Dukhan 2019, arXiv 1907.02129.)

use std::ops::Range;

/// Tiles over the pixels of a few pictures.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) tiles: Vec<Tile>,
    /// The pixel that each place of a tile writes.
    outputs: Vec<u32>,
    /// Taps of the tiles.
    taps: Vec<u16>,
    /// For each tile and tap, where the pixel that each place reads begins, in elements;
    /// [`PADDING`] where it reads zeros.
    inputs: Vec<i32>,
}

/// Stands for a pixel outside the picture.
const PADDING: i32 = -1;

/// Some output pixels that are computed together.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tile {
    /// Places in `outputs`.
    outputs: u32,
    pixels: u8,
    /// Places in `taps`.
    taps: u32,
    tap_count: u16,
    /// First place in `inputs`.
    inputs: u32,
}

/// What a table is made for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extents {
    pub(super) pictures: usize,
    /// Pixels of a picture that is read.
    pub(super) read: usize,
    /// Elements of a pixel that is read.
    pub(super) channels: usize,
    /// Pixels of a picture that is written.
    pub(super) written: usize,
    pub(super) taps: usize,
    /// Pixels of a tile, at most.
    pub(super) width: usize,
}

impl Table {
    /// `class` keeps pixels of unlike taps apart; `source` is the pixel read through a tap.
    pub(super) fn new(
        of: Extents,
        class: impl Fn(usize) -> usize,
        source: impl Fn(usize, usize) -> Option<usize>,
    ) -> Self {
        let mut order: Vec<(usize, usize)> = Vec::with_capacity(of.pictures * of.written);
        order.extend((0..of.pictures).flat_map(|picture| (0..of.written).map(move |pixel| (picture, pixel))));
        // Stable: within a class, pixels stay in the order of memory.
        order.sort_by_key(|(_, pixel)| class(*pixel));
        let mut table = Self {
            tiles: Vec::new(),
            outputs: Vec::with_capacity(order.len()),
            taps: Vec::new(),
            inputs: Vec::new(),
        };
        for alike in order.chunk_by(|a, b| class(a.1) == class(b.1)) {
            let mut rest = alike;
            let mut tiles = alike.len().div_ceil(of.width);
            while !rest.is_empty() {
                // As even as possible: 16 pixels in tiles of 6 are 6, 5, 5.
                let (tile, after) = rest.split_at(rest.len().div_ceil(tiles));
                (rest, tiles) = (after, tiles - 1);
                let first = Tile {
                    outputs: table.outputs.len() as u32,
                    pixels: tile.len() as u8,
                    taps: table.taps.len() as u32,
                    tap_count: 0,
                    inputs: table.inputs.len() as u32,
                };
                table.outputs.extend(
                    tile.iter()
                        .map(|(picture, pixel)| (picture * of.written + pixel) as u32),
                );
                for tap in 0..of.taps {
                    let sources = || tile.iter().map(|(picture, pixel)| (picture, source(*pixel, tap)));
                    if sources().any(|(_, source)| source.is_some()) {
                        table.taps.push(tap as u16);
                        table.inputs.extend(sources().map(|(picture, source)| {
                            source.map_or(PADDING, |source| {
                                ((picture * of.read + source) * of.channels) as i32
                            })
                        }));
                    }
                }
                table.tiles.push(Tile {
                    tap_count: (table.taps.len() as u32 - first.taps) as u16,
                    ..first
                });
            }
        }
        table
    }

    /// The pixels that a tile writes.
    #[inline(always)]
    pub(super) fn outputs(&self, tile: &Tile) -> &[u32] {
        &self.outputs[tile.outputs as usize..][..tile.pixels as usize]
    }

    /// A tile's taps.
    #[inline(always)]
    pub(super) fn taps(&self, tile: &Tile) -> &[u16] {
        &self.taps[tile.taps as usize..][..tile.tap_count as usize]
    }

    /// Where a tile reads: `[tap][pixel]`.
    #[inline(always)]
    pub(super) fn inputs(&self, tile: &Tile) -> &[i32] {
        &self.inputs[tile.inputs as usize..][..tile.pixels as usize * tile.tap_count as usize]
    }

    /// The pixels that some tiles write, where the table was made with one class: they follow one
    /// another.
    pub(super) fn span(&self, tiles: Range<usize>) -> Range<usize> {
        let start = |tile: usize| {
            self.tiles
                .get(tile)
                .map_or(self.outputs.len(), |tile| tile.outputs as usize)
        };
        start(tiles.start)..start(tiles.end)
    }
}

/// Where `PIXELS` places of a tile read through one tap: pointers to the first channel, to `zeros`
/// in the padding.
///
/// # Safety
/// `inputs` holds `PIXELS` entries of a table for the picture at `from`.
#[inline(always)]
pub(super) unsafe fn sources<const PIXELS: usize>(
    inputs: *const i32,
    from: *const f32,
    zeros: *const f32,
) -> [*const f32; PIXELS] {
    std::array::from_fn(|place| unsafe {
        match *inputs.add(place) {
            PADDING => zeros,
            start => from.add(start as usize),
        }
    })
}
