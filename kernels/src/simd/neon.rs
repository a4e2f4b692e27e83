//! NEON: 32 registers of 4 lanes, which every AArch64 machine has.

use std::arch::aarch64::*;

use super::Lanes;

#[derive(Clone, Copy)]
pub struct F32x4(float32x4_t);

// SAFETY of every block: NEON is part of AArch64.
impl Lanes for F32x4 {
    const N: usize = 4;
    const PIXELS: usize = 8;

    #[inline(always)]
    fn splat(value: f32) -> Self {
        Self(unsafe { vdupq_n_f32(value) })
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        Self(unsafe { vld1q_f32(from) })
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        unsafe { vst1q_f32(to, self.0) }
    }
    #[inline(always)]
    unsafe fn load_part(from: *const f32, count: usize) -> Self {
        let mut lanes = [0.0; 4];
        unsafe { std::ptr::copy_nonoverlapping(from, lanes.as_mut_ptr(), count.min(4)) };
        unsafe { Self::load(lanes.as_ptr()) }
    }
    #[inline(always)]
    unsafe fn store_part(self, to: *mut f32, count: usize) {
        let mut lanes = [0.0; 4];
        unsafe {
            self.store(lanes.as_mut_ptr());
            std::ptr::copy_nonoverlapping(lanes.as_ptr(), to, count.min(4));
        }
    }
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        Self(unsafe { vaddq_f32(self.0, other.0) })
    }
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        Self(unsafe { vsubq_f32(self.0, other.0) })
    }
    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        Self(unsafe { vmulq_f32(self.0, other.0) })
    }
    #[inline(always)]
    fn mul_add(self, a: Self, b: Self) -> Self {
        Self(unsafe { vfmaq_f32(b.0, self.0, a.0) })
    }
    #[inline(always)]
    fn max(self, other: Self) -> Self {
        Self(unsafe { vmaxq_f32(self.0, other.0) })
    }
    #[inline(always)]
    fn min(self, other: Self) -> Self {
        Self(unsafe { vminq_f32(self.0, other.0) })
    }
    #[inline(always)]
    fn where_between(self, value: Self, low: Self, high: Self) -> Self {
        unsafe {
            let both = vandq_u32(vcgtq_f32(value.0, low.0), vcltq_f32(value.0, high.0));
            Self(vreinterpretq_f32_u32(vandq_u32(
                vreinterpretq_u32_f32(self.0),
                both,
            )))
        }
    }
}
