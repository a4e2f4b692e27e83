//! Bᵀ d B of the tiles that a convolution, or the gradient of its weight, reads.

use std::ops::Range;

use super::tiling::{Source, Tiling};
use super::transform::Transform;
use crate::simd::{Lanes, by_registers, load, store};

/// Writes Bᵀ d B of some tiles, `[place][tile][channel]`, the places `apart` elements apart.
///
/// # Safety
/// The input holds the tiles' pictures, `to` has room for the tiles.
#[inline(always)]
pub(super) unsafe fn transform_inputs<L, T, const SIDE: usize, const OUT: usize>(
    tiling: &Tiling,
    input: &[f32],
    tiles: Range<usize>,
    to: *mut f32,
    apart: usize,
) where
    L: Lanes,
    T: Transform<SIDE, OUT>,
{
    let channels = tiling.channels[0];
    for (index, tile) in tiles.enumerate() {
        let Source {
            rows,
            columns: inside,
        } = tiling.source::<SIDE>(tile, input.as_ptr());
        by_registers::<L>(
            channels,
            #[inline(always)]
            |channel, lanes| unsafe {
                let mut to = to.add(index * channels + channel);
                let mut columns = [[L::splat(0.0); SIDE]; SIDE];
                for (column, made) in columns.iter_mut().enumerate() {
                    if column >= inside[0] && column < inside[1] {
                        let mut elements = [L::splat(0.0); SIDE];
                        for (element, row) in elements.iter_mut().zip(rows) {
                            *element = load(row.wrapping_add(column * channels + channel), lanes);
                        }
                        *made = T::input(elements);
                    }
                }
                for row in 0..SIDE {
                    let mut elements = [L::splat(0.0); SIDE];
                    for (element, column) in elements.iter_mut().zip(&columns) {
                        *element = column[row];
                    }
                    for element in T::input(elements) {
                        store(element, to, lanes);
                        to = to.wrapping_add(apart);
                    }
                }
            },
        );
    }
}
