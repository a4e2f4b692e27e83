//! Counts what the program holds, so that a reader that believes a header is noticed.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

static HELD: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);
/// The system is not asked for a piece larger than this: what the reader does then, an abort, would
/// tell nobody the input.
static LARGEST: AtomicUsize = AtomicUsize::new(usize::MAX);
static START: AtomicUsize = AtomicUsize::new(0);
static INPUT: Mutex<String> = Mutex::new(String::new());

/// The system's allocator, with a count.
pub struct Counting;

/// From here on, pieces far beyond `limit` are refused with the name of the input.
pub fn begin(limit: usize, input: &str) {
    input.clone_into(&mut INPUT.lock().unwrap_or_else(PoisonError::into_inner));
    let held = HELD.load(Relaxed);
    START.store(held, Relaxed);
    MOST.store(held, Relaxed);
    LARGEST.store(limit.saturating_mul(16), Relaxed);
}

/// The most that was held at a time since [`begin`], beyond what was held before.
pub fn end() -> usize {
    LARGEST.store(usize::MAX, Relaxed);
    MOST.load(Relaxed).saturating_sub(START.load(Relaxed))
}

fn take(size: usize) {
    let held = HELD.fetch_add(size, Relaxed) + size;
    MOST.fetch_max(held, Relaxed);
}

fn refused(size: usize) -> bool {
    let refused = size > LARGEST.load(Relaxed);
    if refused {
        LARGEST.store(usize::MAX, Relaxed);
        let input = INPUT.lock().unwrap_or_else(PoisonError::into_inner);
        eprintln!("{size} bytes at once are asked for at {input}");
    }
    refused
}

// SAFETY: every call is the system's own; what is counted beside it changes no pointer.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if refused(layout.size()) {
            return std::ptr::null_mut();
        }
        take(layout.size());
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if refused(layout.size()) {
            return std::ptr::null_mut();
        }
        take(layout.size());
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if refused(size) {
            return std::ptr::null_mut();
        }
        take(size);
        HELD.fetch_sub(layout.size(), Relaxed);
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, size) }
    }
}
