//! From `f32`s to bf16s in the orders that tiles read.

use std::arch::x86_64::*;

/// Rounds `len` neighbouring elements.
///
/// # Safety
/// They are there, and room for them; the machine has tiles.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
pub(super) unsafe fn round(from: *const f32, to: *mut u16, len: usize) {
    let whole = len / 16 * 16;
    for at in (0..whole).step_by(16) {
        unsafe { store(_mm512_cvtneps_pbh(_mm512_loadu_ps(from.add(at))), to.add(at), !0) };
    }
    if whole < len {
        let mask = first(len - whole);
        unsafe {
            let elements = _mm512_maskz_loadu_ps(mask, from.add(whole));
            store(_mm512_cvtneps_pbh(elements), to.add(whole), mask);
        }
    }
}

/// A mask of the first `count` of 16 lanes.
fn first(count: usize) -> u16 {
    if count >= 16 { !0 } else { (1 << count) - 1 }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
unsafe fn store(rounded: __m256bh, to: *mut u16, mask: u16) {
    // SAFETY: both are 256 bits.
    unsafe { _mm256_mask_storeu_epi16(to.cast(), mask, std::mem::transmute::<__m256bh, __m256i>(rounded)) };
}

/// Lays two rows of `len` bf16s side by side, element by element.
///
/// # Safety
/// The rows are there, and room for twice as many.
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
pub(super) unsafe fn interleave(even: *const u16, odd: *const u16, to: *mut u16, len: usize) {
    let whole = len / 16 * 16;
    for at in (0..whole).step_by(16) {
        unsafe {
            let low = _mm512_cvtepu16_epi32(_mm256_loadu_si256(even.add(at).cast()));
            let high = _mm512_cvtepu16_epi32(_mm256_loadu_si256(odd.add(at).cast()));
            let both = _mm512_or_si512(low, _mm512_slli_epi32::<16>(high));
            _mm512_storeu_si512(to.add(2 * at).cast(), both);
        }
    }
    for at in whole..len {
        unsafe {
            *to.add(2 * at) = *even.add(at);
            *to.add(2 * at + 1) = *odd.add(at);
        }
    }
}

/// Turns `pixels` pixels, at most 16, of `channels` channels, at most 16, `pitch` elements apart,
/// into rows of one channel each, `to_pitch` elements apart.
///
/// # Safety
/// The pixels are there, and room for the rows.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
pub(super) unsafe fn turn(
    from: *const f32,
    pitch: usize,
    [pixels, channels]: [usize; 2],
    to: *mut u16,
    to_pitch: usize,
) {
    let mut rows = [_mm512_setzero_ps(); 16];
    for (pixel, row) in rows.iter_mut().enumerate().take(pixels) {
        *row = unsafe { _mm512_maskz_loadu_ps(first(channels), from.add(pixel * pitch)) };
    }
    for (channel, row) in turned(rows).into_iter().enumerate().take(channels) {
        unsafe { store(_mm512_cvtneps_pbh(row), to.add(channel * to_pitch), first(pixels)) };
    }
}

/// A 16 × 16 matrix turned over: pairs of rows, then of pairs, then quarters of registers.
#[target_feature(enable = "avx512f")]
fn turned(rows: [__m512; 16]) -> [__m512; 16] {
    let mut pairs = rows;
    for at in (0..16).step_by(2) {
        pairs[at] = _mm512_unpacklo_ps(rows[at], rows[at + 1]);
        pairs[at + 1] = _mm512_unpackhi_ps(rows[at], rows[at + 1]);
    }
    // fours[4 · f + c] holds column 4 · q + c of the rows 4 · f to 4 · f + 3 in its quarter q.
    let mut fours = pairs;
    for at in (0..16).step_by(4) {
        let [a, b, c, d] = [at, at + 1, at + 2, at + 3].map(|row| _mm512_castps_pd(pairs[row]));
        fours[at] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, c));
        fours[at + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, c));
        fours[at + 2] = _mm512_castpd_ps(_mm512_unpacklo_pd(b, d));
        fours[at + 3] = _mm512_castpd_ps(_mm512_unpackhi_pd(b, d));
    }
    let mut columns = fours;
    for column in 0..4 {
        let [a, b, c, d] = [0, 4, 8, 12].map(|four| fours[four + column]);
        let low = [
            _mm512_shuffle_f32x4::<0b01_00_01_00>(a, b),
            _mm512_shuffle_f32x4::<0b01_00_01_00>(c, d),
        ];
        let high = [
            _mm512_shuffle_f32x4::<0b11_10_11_10>(a, b),
            _mm512_shuffle_f32x4::<0b11_10_11_10>(c, d),
        ];
        columns[column] = _mm512_shuffle_f32x4::<0b10_00_10_00>(low[0], low[1]);
        columns[column + 4] = _mm512_shuffle_f32x4::<0b11_01_11_01>(low[0], low[1]);
        columns[column + 8] = _mm512_shuffle_f32x4::<0b10_00_10_00>(high[0], high[1]);
        columns[column + 12] = _mm512_shuffle_f32x4::<0b11_01_11_01>(high[0], high[1]);
    }
    columns
}
