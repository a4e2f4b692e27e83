//! Matrix tiles (Intel's AMX): eight registers of 16 rows of 64 bytes, and an instruction that
//! multiplies two of them.
//!
//! A product adds to 16 × 16 sums the product of 16 × 32 and 32 × 16 bf16s; the second factor's
//! rows hold pairs: `[k / 2][column][k % 2]`. Rust has no stable functions for it yet, hence
//! assembly. Registers are used in fixed roles, as the kernels need them: four sums, two left
//! factors, two right ones.

use std::arch::asm;
use std::sync::OnceLock;

/// Rows of a tile, and columns of a tile of sums.
pub(crate) const ROWS: usize = 16;
/// Numbers that one product sums over.
pub(crate) const DEPTH: usize = 32;
/// bf16s of a packed right factor.
pub(crate) const FACTOR: usize = DEPTH * ROWS;

/// Whether this machine has tiles of bf16, and lets this process use them.
pub(crate) fn available() -> bool {
    static AVAILABLE: OnceLock<bool> = OnceLock::new();
    *AVAILABLE.get_or_init(|| supported() && permitted())
}

fn supported() -> bool {
    const TILES: u32 = 1 << 24;
    const TILES_OF_BF16: u32 = 1 << 22;
    let vectors = ["avx512f", "avx512bw", "avx512vl", "avx512bf16"];
    let has = |feature| match feature {
        "avx512f" => is_x86_feature_detected!("avx512f"),
        "avx512bw" => is_x86_feature_detected!("avx512bw"),
        "avx512vl" => is_x86_feature_detected!("avx512vl"),
        _ => is_x86_feature_detected!("avx512bf16"),
    };
    let found = std::arch::x86_64::__cpuid_count(7, 0).edx;
    vectors.into_iter().all(has) && found & TILES != 0 && found & TILES_OF_BF16 != 0
}

/// Asks Linux for the tiles: their state makes a thread's saved registers larger by 8 KiB, so that
/// a process has to want them.
fn permitted() -> bool {
    const ARCH_PRCTL: u64 = 158;
    const REQUEST_PERMISSION: u64 = 0x1023;
    const TILE_DATA: u64 = 18;
    let answer: i64;
    // SAFETY: the call touches no memory of this process.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") ARCH_PRCTL => answer,
            in("rdi") REQUEST_PERMISSION,
            in("rsi") TILE_DATA,
            out("rcx") _,
            out("r11") _,
            options(nostack),
        );
    }
    answer == 0
}

/// The registers of this thread, while it lives.
pub(crate) struct Tiles(());

#[repr(C, align(64))]
struct Config {
    palette: u8,
    start: u8,
    reserved: [u8; 14],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

impl Tiles {
    /// Makes the registers ready: sums and left factors of `rows` rows.
    ///
    /// # Safety
    /// Tiles are [available](available), and the thread has no other.
    pub(crate) unsafe fn new(rows: usize) -> Self {
        let mut config = Config {
            palette: 1,
            start: 0,
            reserved: [0; 14],
            row_bytes: [0; 16],
            rows: [0; 16],
        };
        config.row_bytes[..8].fill(64);
        config.rows[..6].fill(rows.min(ROWS) as u8);
        config.rows[6..8].fill(ROWS as u8);
        unsafe { asm!("ldtilecfg [{}]", in(reg) &raw const config, options(nostack)) };
        Self(())
    }

    /// Reads a sum, its rows `pitch` bytes apart: the sum of a left and a right factor, of two
    /// each.
    ///
    /// # Safety
    /// The rows are there.
    #[inline(always)]
    pub(crate) unsafe fn load(&self, [left, right]: [usize; 2], from: *const f32, pitch: usize) {
        unsafe {
            match 2 * right + left {
                0 => asm!("tileloadd tmm0, [{} + {}]", in(reg) from, in(reg) pitch, options(nostack)),
                1 => asm!("tileloadd tmm1, [{} + {}]", in(reg) from, in(reg) pitch, options(nostack)),
                2 => asm!("tileloadd tmm2, [{} + {}]", in(reg) from, in(reg) pitch, options(nostack)),
                _ => asm!("tileloadd tmm3, [{} + {}]", in(reg) from, in(reg) pitch, options(nostack)),
            }
        }
    }

    /// Writes a sum.
    ///
    /// # Safety
    /// There is room for the rows.
    #[inline(always)]
    pub(crate) unsafe fn store(&self, [left, right]: [usize; 2], to: *mut f32, pitch: usize) {
        unsafe {
            match 2 * right + left {
                0 => asm!("tilestored [{} + {}], tmm0", in(reg) to, in(reg) pitch, options(nostack)),
                1 => asm!("tilestored [{} + {}], tmm1", in(reg) to, in(reg) pitch, options(nostack)),
                2 => asm!("tilestored [{} + {}], tmm2", in(reg) to, in(reg) pitch, options(nostack)),
                _ => asm!("tilestored [{} + {}], tmm3", in(reg) to, in(reg) pitch, options(nostack)),
            }
        }
    }

    /// Adds the products of one or two left factors with one or two right ones, all pairs.
    ///
    /// # Safety
    /// The factors' rows are there.
    #[inline(always)]
    pub(crate) unsafe fn multiply(&self, left: Factors, right: Factors) {
        unsafe {
            asm!(
                "tileloadd tmm4, [{left} + {left_pitch}]",
                "tileloadd tmm6, [{right} + {right_pitch}]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                left = in(reg) left.first,
                left_pitch = in(reg) left.pitch,
                right = in(reg) right.first,
                right_pitch = in(reg) right.pitch,
                options(nostack),
            );
            if let Some(second) = left.second {
                asm!(
                    "tileloadd tmm5, [{left} + {pitch}]",
                    "tdpbf16ps tmm1, tmm5, tmm6",
                    left = in(reg) second,
                    pitch = in(reg) left.pitch,
                    options(nostack),
                );
            }
            if let Some(second) = right.second {
                asm!(
                    "tileloadd tmm7, [{right} + {pitch}]",
                    "tdpbf16ps tmm2, tmm4, tmm7",
                    right = in(reg) second,
                    pitch = in(reg) right.pitch,
                    options(nostack),
                );
                if left.second.is_some() {
                    asm!("tdpbf16ps tmm3, tmm5, tmm7", options(nomem, nostack));
                }
            }
        }
    }
}

impl Drop for Tiles {
    fn drop(&mut self) {
        // SAFETY: there are tiles, or this could not have been made.
        unsafe { asm!("tilerelease", options(nomem, nostack)) };
    }
}

/// One or two factors of a product, their rows `pitch` bytes apart.
#[derive(Clone, Copy)]
pub(crate) struct Factors {
    pub(crate) first: *const u16,
    pub(crate) second: Option<*const u16>,
    pub(crate) pitch: usize,
}

impl Factors {
    /// The same, some elements further on.
    ///
    /// # Safety
    /// They are there.
    #[inline(always)]
    pub(crate) unsafe fn further(self, elements: usize) -> Self {
        unsafe {
            Self {
                first: self.first.add(elements),
                second: self.second.map(|second| second.add(elements)),
                pitch: self.pitch,
            }
        }
    }
}
