//! Memory that a step has freed is kept for the next one, and begins where registers find it.
//!
//! A step of training allocates the same large blocks as the one before it. The C library of most
//! Linux systems hands such blocks back to the kernel when they are freed, and the kernel clears
//! each page again when it is next touched: a sixth of a step's time for a small network.

pub use potstill_kernels::memory::Aligned;

/// Keeps freed memory in the process, for the whole process. A program calls it once, before it
/// computes; a library should leave the choice to the program. Does something on Linux with the GNU
/// C library, where the allocator is its own.
pub fn keep_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: `mallopt` only sets numbers, and is told numbers that it knows; one that it refuses
    // changes nothing.
    unsafe {
        // No block gets a mapping of its own, which would end when it is freed.
        libc::mallopt(libc::M_MMAP_MAX, 0);
        // Free memory at the heap's end stays, up to 2 GiB.
        libc::mallopt(libc::M_TRIM_THRESHOLD, i32::MAX);
    }
}
