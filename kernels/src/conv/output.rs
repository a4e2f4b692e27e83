//! Where a convolution's sums are written. What follows them in inference, a residual and an
//! activation, happens while they are in registers: a pass over the output less.

use crate::norm::{self, Clamp};
use crate::simd::{Lanes, Simd, load, store};

/// What follows a convolution before its output is written.
#[derive(Clone, Copy, Debug)]
pub struct Ending<'a> {
    /// Added first; like the output of the whole batch.
    pub residual: Option<&'a [f32]>,
    /// Then the sums are clamped.
    pub clamp: Clamp,
}

impl Ending<'_> {
    /// The sums are the output.
    pub const NONE: Self = Self {
        residual: None,
        clamp: Clamp::NONE,
    };
}

/// Output pixels that tasks share, `[pixel][channel]`.
#[derive(Clone, Copy)]
pub(super) struct Output {
    first: *mut f32,
    /// What is added, in the same places; null if there is nothing.
    residual: *const f32,
    clamp: Clamp,
}

impl Output {
    /// Output without an end.
    pub(super) fn plain(first: *mut f32) -> Self {
        Self {
            first,
            residual: std::ptr::null(),
            clamp: Clamp::NONE,
        }
    }

    /// Output whose element at `offset`, which may lie before it, counts as the first; `from` is
    /// its place in the whole batch's.
    pub(super) fn ending(to: &mut [f32], from: usize, offset: usize, ending: &Ending<'_>) -> Self {
        let residual = ending.residual.map(|residual| &residual[from..][..to.len()]);
        Self {
            first: to.as_mut_ptr().wrapping_sub(offset),
            residual: residual.map_or(std::ptr::null(), |residual| {
                residual.as_ptr().wrapping_sub(offset)
            }),
            clamp: ending.clamp,
        }
    }

    /// Writes `count` sums, at most a register's, from the element `at` on.
    ///
    /// # Safety
    /// These elements are there, and nobody else writes them.
    #[inline(always)]
    pub(super) unsafe fn write<L: Lanes>(&self, mut sum: L, at: usize, count: usize) {
        unsafe {
            if !self.residual.is_null() {
                sum = sum.add(load(self.residual.add(at), count));
            }
            store(self.clamp.of(sum), self.first.add(at), count);
        }
    }

    /// For kernels that write sums themselves.
    pub(super) fn sums(&self) -> *mut f32 {
        self.first
    }

    /// Ends the first `len` elements, where [`sums`](Self::sums) were written.
    ///
    /// # Safety
    /// These elements are there, and nobody else writes them.
    pub(super) unsafe fn end(&self, simd: Simd, len: usize) {
        if self.residual.is_null() && self.clamp.is_none() {
            return;
        }
        unsafe {
            let residual = (!self.residual.is_null()).then(|| std::slice::from_raw_parts(self.residual, len));
            let sums = std::slice::from_raw_parts_mut(self.first, len);
            norm::finish(simd, sums, residual, self.clamp);
        }
    }
}
