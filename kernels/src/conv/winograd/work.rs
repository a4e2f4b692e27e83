//! The space in which transformed tiles are at work, and how many there are at a time.

use std::cell::Cell;

use crate::memory::Space;

/// Elements between the places of the transformed tiles: without them, places would lie in the same
/// sets of the L1 cache for many numbers of channels.
pub(super) const GAP: usize = 16;

thread_local! {
    /// Transformed tiles: nobody clears or allocates them again for every few pictures. Taken out
    /// while in use: what a closure runs would not be compiled for the instruction set.
    pub(super) static WORK: Cell<[Space; 2]> = const { Cell::new([Space::new(), Space::new()]) };
}

/// How many of `all` tiles, each of so many elements before and after, are at work at a time so
/// that they take some `bytes`: chunks of one size, without rests that would not fill `rows` of
/// registers.
pub(super) fn tiles_at_once(all: usize, elements: usize, bytes: usize, rows: usize) -> usize {
    let most = (bytes / (4 * elements)).clamp(rows, 96);
    all.div_ceil(all.div_ceil(most).max(1)).next_multiple_of(rows)
}
