//! Where buffers begin: a register of 64 bytes that straddles two lines of the cache takes two
//! loads, or two stores, in place of one.
//!
//! What `malloc` returns begins at a multiple of 16 bytes, so that hardly any register of a large
//! buffer lies in one line: minimal filtering, which stores most, is the slower for it. A program
//! that trains installs [`Aligned`]; the kernels' own work space begins at a line whatever the
//! allocator.

use std::alloc::{GlobalAlloc, Layout, System};

/// Bytes of a line of the cache, and of the widest register.
pub(crate) const LINE: usize = 64;

/// Buffers from here on begin at a line.
const LARGE: usize = 1 << 10;

/// The system's allocator, whose large buffers begin at a line of the cache: `#[global_allocator]
/// static MEMORY: Aligned = Aligned;`
///
/// It asks for a line more, and keeps the place that it got before the buffer. (`aligned_alloc` of
/// glibc does not find the hole that a buffer of the same size left.) A program that shares buffers
/// with libraries of another allocator cannot have it: who frees one must know of that place.
#[derive(Debug)]
pub struct Aligned;

/// The layout to ask the system for, where a buffer shall begin at a line.
fn with_room(layout: Layout) -> Option<Layout> {
    let large = layout.size() >= LARGE && layout.align() <= LINE;
    let size = layout.size().checked_add(LINE).filter(|_| large)?;
    // 16 bytes are what every system's `malloc` keeps to; the place fits between two such
    // addresses.
    Layout::from_size_align(size, 16).ok()
}

/// The first line after the start of a buffer with [room](with_room): 16 to 64 bytes.
fn line_after(start: *mut u8) -> *mut u8 {
    start.wrapping_add(LINE - start.addr() % LINE)
}

/// Where a buffer in what the system gave begins, which it remembers right before.
///
/// # Safety
/// `start` is null, or the beginning of a buffer with [room](with_room).
unsafe fn at_line(start: *mut u8) -> *mut u8 {
    if start.is_null() {
        return start;
    }
    let buffer = line_after(start);
    unsafe { buffer.cast::<*mut u8>().sub(1).write(start) };
    buffer
}

/// What the system gave for a buffer.
///
/// # Safety
/// [`at_line`] returned it.
unsafe fn start_of(buffer: *mut u8) -> *mut u8 {
    unsafe { buffer.cast::<*mut u8>().sub(1).read() }
}

// SAFETY: as the system's; a buffer with room lies within what the system gave, at a multiple of 64
// bytes.
unsafe impl GlobalAlloc for Aligned {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        unsafe {
            match with_room(layout) {
                Some(room) => at_line(System.alloc(room)),
                None => System.alloc(layout),
            }
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        unsafe {
            match with_room(layout) {
                Some(room) => at_line(System.alloc_zeroed(room)),
                None => System.alloc_zeroed(layout),
            }
        }
    }

    unsafe fn dealloc(&self, buffer: *mut u8, layout: Layout) {
        unsafe {
            match with_room(layout) {
                Some(room) => System.dealloc(start_of(buffer), room),
                None => System.dealloc(buffer, layout),
            }
        }
    }

    unsafe fn realloc(&self, buffer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        unsafe {
            let Ok(wanted) = Layout::from_size_align(size, layout.align()) else {
                return std::ptr::null_mut();
            };
            match (with_room(layout), with_room(wanted)) {
                (None, None) => System.realloc(buffer, layout, size),
                (Some(from), Some(to)) => {
                    let start = start_of(buffer);
                    let before = buffer.offset_from_unsigned(start);
                    let moved = System.realloc(start, from, to.size());
                    if !moved.is_null() {
                        // The new place may be another distance from a line. What is remembered may
                        // lie where the elements were.
                        let kept = layout.size().min(size);
                        std::ptr::copy(moved.add(before), line_after(moved), kept);
                    }
                    at_line(moved)
                }
                _ => {
                    let moved = self.alloc(wanted);
                    if !moved.is_null() {
                        std::ptr::copy_nonoverlapping(buffer, moved, layout.size().min(size));
                        self.dealloc(buffer, layout);
                    }
                    moved
                }
            }
        }
    }
}

/// Work space that is used again and again, and begins at a line of the cache.
#[derive(Debug, Default)]
pub(crate) struct Space(Vec<f32>);

impl Space {
    pub(crate) const fn new() -> Self {
        Self(Vec::new())
    }

    /// Room for so many elements. What is in it is anybody's.
    pub(crate) fn with_room(&mut self, len: usize) -> *mut f32 {
        let len = len + LINE / size_of::<f32>();
        if self.0.len() < len {
            self.0.resize(len, 0.0);
        }
        let start = self.0.as_mut_ptr();
        start.wrapping_add(start.align_offset(LINE))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A buffer whose bytes count from 0.
    fn counted(layout: Layout) -> *mut u8 {
        unsafe {
            let buffer = Aligned.alloc(layout);
            assert!(!buffer.is_null());
            for index in 0..layout.size() {
                buffer.add(index).write(index as u8);
            }
            buffer
        }
    }

    proptest! {
        #[test]
        fn a_buffer_keeps_its_bytes_and_begins_where_it_should_however_often_it_grows_and_shrinks(
            sizes in prop::collection::vec(1usize..5000, 2..8),
            align in 0usize..9,
            large in prop::bool::ANY,
        ) {
            let align = 1usize << align;
            let sizes: Vec<usize> = sizes.into_iter().map(|size| if large { 300 * size } else { size }).collect();
            let mut layout = Layout::from_size_align(sizes[0], align).unwrap();
            let mut buffer = counted(layout);
            // Others in between, so that the system moves the buffer.
            let mut others = Vec::new();
            for &size in &sizes[1..] {
                others.push((counted(layout), layout));
                let known = layout.size().min(size);
                buffer = unsafe { Aligned.realloc(buffer, layout, size) };
                layout = Layout::from_size_align(size, align).unwrap();
                prop_assert_eq!(buffer.addr() % align, 0);
                if size >= LARGE {
                    prop_assert_eq!(buffer.addr() % LINE, 0);
                }
                for index in 0..size {
                    unsafe {
                        if index < known {
                            prop_assert_eq!(buffer.add(index).read(), index as u8);
                        }
                        buffer.add(index).write(index as u8);
                    }
                }
            }
            others.push((buffer, layout));
            for (other, layout) in others {
                for index in 0..layout.size() {
                    prop_assert_eq!(unsafe { other.add(index).read() }, index as u8);
                }
                unsafe { Aligned.dealloc(other, layout) };
            }
        }
    }

    #[test]
    fn zeroed_buffers_are_zero_when_their_memory_was_used_before() {
        let layout = Layout::from_size_align(4096, 4).unwrap();
        unsafe {
            let used = counted(layout);
            Aligned.dealloc(used, layout);
            let zeroed = Aligned.alloc_zeroed(layout);
            assert!(
                std::slice::from_raw_parts(zeroed, 4096)
                    .iter()
                    .all(|byte| *byte == 0)
            );
            assert_eq!(zeroed.addr() % LINE, 0);
            Aligned.dealloc(zeroed, layout);
        }
    }
}
