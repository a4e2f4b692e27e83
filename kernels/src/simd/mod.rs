//! Vector registers behind one trait, and the choice of instruction set at run time.
//!
//! A kernel is written once over `Lanes` and compiled once per instruction set: `Simd::run`
//! enters a function with the right target features, into which the kernel is inlined.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;
mod peak;
mod portable;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
pub(crate) mod tiles;

/// A register of neighbouring `f32`s.
///
/// # Safety
/// `load` and `store` touch `N` elements from the pointer on, their `_part` forms `count`; these
/// must be valid, and need not be aligned.
pub(crate) trait Lanes: Copy {
    /// Elements in a register.
    const N: usize;
    /// Output pixels that a convolution's tile accumulates at once, beside two registers of
    /// channels: as many as the register file holds.
    const PIXELS: usize;

    fn splat(value: f32) -> Self;
    unsafe fn load(from: *const f32) -> Self;
    unsafe fn store(self, to: *mut f32);
    /// The first `count` elements, at most `N`; 0 in the other lanes.
    unsafe fn load_part(from: *const f32, count: usize) -> Self;
    /// Writes the first `count` lanes, at most `N`.
    unsafe fn store_part(self, to: *mut f32, count: usize);
    fn add(self, other: Self) -> Self;
    fn sub(self, other: Self) -> Self;
    fn mul(self, other: Self) -> Self;
    /// `self · a + b`, rounded once where the machine can.
    fn mul_add(self, a: Self, b: Self) -> Self;
    fn max(self, other: Self) -> Self;
    fn min(self, other: Self) -> Self;
    /// `self` where `low < value < high`, 0 elsewhere.
    fn where_between(self, value: Self, low: Self, high: Self) -> Self;
}

/// The first `count` elements, at most a register's.
///
/// # Safety
/// They are there.
#[inline(always)]
pub(crate) unsafe fn load<L: Lanes>(from: *const f32, count: usize) -> L {
    unsafe {
        if count == L::N {
            L::load(from)
        } else {
            L::load_part(from, count)
        }
    }
}

/// Writes the first `count` lanes, at most a register's.
///
/// # Safety
/// They are there.
#[inline(always)]
pub(crate) unsafe fn store<L: Lanes>(register: L, to: *mut f32, count: usize) {
    unsafe {
        if count == L::N {
            register.store(to);
        } else {
            register.store_part(to, count);
        }
    }
}

/// Visits (first, count) of each register's worth of `len` elements.
#[inline(always)]
pub(crate) fn by_registers<L: Lanes>(len: usize, mut visit: impl FnMut(usize, usize)) {
    let whole = len / L::N * L::N;
    for first in (0..whole).step_by(L::N) {
        visit(first, L::N);
    }
    if whole < len {
        visit(whole, len - whole);
    }
}

/// What [`Simd::run`] runs. Implementations mark `run` as `#[inline(always)]`.
pub(crate) trait Kernel {
    type Output;
    fn run<L: Lanes>(self) -> Self::Output;
}

/// An instruction set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Simd {
    /// 16 lanes.
    #[cfg(target_arch = "x86_64")]
    Avx512,
    /// 8 lanes with fused multiply-add.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// 4 lanes.
    #[cfg(target_arch = "aarch64")]
    Neon,
    /// Whatever the compiler makes of arrays of 4.
    Portable,
}

impl Simd {
    /// The instruction sets of this machine, the best first.
    pub fn available() -> Vec<Self> {
        let mut found = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx512f") {
                found.push(Self::Avx512);
            }
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                found.push(Self::Avx2);
            }
        }
        #[cfg(target_arch = "aarch64")]
        found.push(Self::Neon);
        found.push(Self::Portable);
        found
    }

    /// The best instruction set of this machine.
    pub fn best() -> Self {
        static BEST: std::sync::OnceLock<Simd> = std::sync::OnceLock::new();
        *BEST.get_or_init(|| Self::available()[0])
    }

    /// `f32`s in a register.
    pub fn lanes(self) -> usize {
        struct Count;
        impl Kernel for Count {
            type Output = usize;
            #[inline(always)]
            fn run<L: Lanes>(self) -> usize {
                L::N
            }
        }
        self.run(Count)
    }

    /// Runs a kernel, compiled for this instruction set.
    #[inline]
    pub(crate) fn run<K: Kernel>(self, kernel: K) -> K::Output {
        match self {
            // SAFETY: values of these variants come from `available`, which looked.
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => unsafe { avx512::run(kernel) },
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => unsafe { avx2::run(kernel) },
            #[cfg(target_arch = "aarch64")]
            Self::Neon => kernel.run::<neon::F32x4>(),
            Self::Portable => kernel.run::<portable::F32x4>(),
        }
    }
}
