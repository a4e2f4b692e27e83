//! AVX2 with FMA: 16 registers of 8 lanes.

use std::arch::x86_64::*;

use super::{Kernel, Lanes};

#[derive(Clone, Copy)]
pub struct F32x8(__m256);

/// # Safety
/// The machine has AVX2 and FMA.
#[target_feature(enable = "avx2,fma")]
pub unsafe fn run<K: Kernel>(kernel: K) -> K::Output {
    kernel.run::<F32x8>()
}

/// Lanes below `count` have their sign bit set, as masked moves want it.
#[inline(always)]
fn mask(count: usize) -> __m256i {
    unsafe {
        let lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
        _mm256_cmpgt_epi32(_mm256_set1_epi32(count as i32), lane)
    }
}

// SAFETY of every block: values of this type are made inside `run` only.
impl Lanes for F32x8 {
    const N: usize = 8;
    // 6 × 2 accumulators, 2 weights, 1 input.
    const PIXELS: usize = 6;

    #[inline(always)]
    fn splat(value: f32) -> Self {
        Self(unsafe { _mm256_set1_ps(value) })
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        Self(unsafe { _mm256_loadu_ps(from) })
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        unsafe { _mm256_storeu_ps(to, self.0) }
    }
    #[inline(always)]
    unsafe fn load_part(from: *const f32, count: usize) -> Self {
        Self(unsafe { _mm256_maskload_ps(from, mask(count)) })
    }
    #[inline(always)]
    unsafe fn store_part(self, to: *mut f32, count: usize) {
        unsafe { _mm256_maskstore_ps(to, mask(count), self.0) }
    }
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        Self(unsafe { _mm256_add_ps(self.0, other.0) })
    }
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        Self(unsafe { _mm256_sub_ps(self.0, other.0) })
    }
    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        Self(unsafe { _mm256_mul_ps(self.0, other.0) })
    }
    #[inline(always)]
    fn mul_add(self, a: Self, b: Self) -> Self {
        Self(unsafe { _mm256_fmadd_ps(self.0, a.0, b.0) })
    }
    #[inline(always)]
    fn max(self, other: Self) -> Self {
        Self(unsafe { _mm256_max_ps(self.0, other.0) })
    }
    #[inline(always)]
    fn min(self, other: Self) -> Self {
        Self(unsafe { _mm256_min_ps(self.0, other.0) })
    }
    #[inline(always)]
    fn where_between(self, value: Self, low: Self, high: Self) -> Self {
        unsafe {
            let above = _mm256_cmp_ps::<_CMP_GT_OQ>(value.0, low.0);
            let below = _mm256_cmp_ps::<_CMP_LT_OQ>(value.0, high.0);
            Self(_mm256_and_ps(self.0, _mm256_and_ps(above, below)))
        }
    }
}
