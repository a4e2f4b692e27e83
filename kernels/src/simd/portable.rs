//! Arrays of four, for machines without a path of their own.

use super::Lanes;

#[derive(Clone, Copy)]
pub struct F32x4([f32; 4]);

impl F32x4 {
    #[inline(always)]
    fn zip(self, other: Self, f: impl Fn(f32, f32) -> f32) -> Self {
        Self(std::array::from_fn(|lane| f(self.0[lane], other.0[lane])))
    }
}

impl Lanes for F32x4 {
    const N: usize = 4;
    const PIXELS: usize = 4;

    #[inline(always)]
    fn splat(value: f32) -> Self {
        Self([value; 4])
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        Self(unsafe { from.cast::<[f32; 4]>().read_unaligned() })
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        unsafe { to.cast::<[f32; 4]>().write_unaligned(self.0) }
    }
    #[inline(always)]
    unsafe fn load_part(from: *const f32, count: usize) -> Self {
        let mut lanes = [0.0; 4];
        unsafe { std::ptr::copy_nonoverlapping(from, lanes.as_mut_ptr(), count.min(4)) };
        Self(lanes)
    }
    #[inline(always)]
    unsafe fn store_part(self, to: *mut f32, count: usize) {
        unsafe { std::ptr::copy_nonoverlapping(self.0.as_ptr(), to, count.min(4)) }
    }
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        self.zip(other, |a, b| a + b)
    }
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        self.zip(other, |a, b| a - b)
    }
    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        self.zip(other, |a, b| a * b)
    }
    #[inline(always)]
    fn mul_add(self, a: Self, b: Self) -> Self {
        // Not `f32::mul_add`, which is a function call where the machine has no such instruction.
        self.mul(a).add(b)
    }
    #[inline(always)]
    fn max(self, other: Self) -> Self {
        self.zip(other, |a, b| if a > b { a } else { b })
    }
    #[inline(always)]
    fn min(self, other: Self) -> Self {
        self.zip(other, |a, b| if a < b { a } else { b })
    }
    #[inline(always)]
    fn where_between(self, value: Self, low: Self, high: Self) -> Self {
        Self(std::array::from_fn(|lane| {
            if value.0[lane] > low.0[lane] && value.0[lane] < high.0[lane] {
                self.0[lane]
            } else {
                0.0
            }
        }))
    }
}
