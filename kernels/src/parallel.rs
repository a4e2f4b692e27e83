//! Output that several threads write, each its own part.

use std::ops::Range;

/// A buffer that tasks write to at places of their own.
#[derive(Clone, Copy)]
pub(crate) struct Shared {
    start: *mut f32,
    len: usize,
}

// SAFETY: whoever takes a part promises that no other task has it.
unsafe impl Send for Shared {}
unsafe impl Sync for Shared {}

impl Shared {
    pub(crate) fn new(buffer: &mut [f32]) -> Self {
        Self {
            start: buffer.as_mut_ptr(),
            len: buffer.len(),
        }
    }

    /// The elements of a range.
    ///
    /// # Safety
    /// No two tasks hold overlapping ranges at a time, and the buffer outlives the tasks.
    pub(crate) unsafe fn part<'a>(self, range: Range<usize>) -> &'a mut [f32] {
        assert!(range.start <= range.end && range.end <= self.len);
        unsafe { std::slice::from_raw_parts_mut(self.start.add(range.start), range.len()) }
    }
}

/// A vector whose elements `fill` writes, every one of them: memory that is overwritten is not
/// cleared before.
///
/// # Safety
/// `fill` writes each element and reads none that it has not written.
pub(crate) unsafe fn written(len: usize, fill: impl FnOnce(&mut [f32])) -> Vec<f32> {
    let mut buffer: Vec<f32> = Vec::with_capacity(len);
    // Every bit pattern is an f32; the contract is that none is read before it is written.
    fill(unsafe { std::slice::from_raw_parts_mut(buffer.as_mut_ptr(), len) });
    unsafe { buffer.set_len(len) };
    buffer
}
