//! What numbers the factors of a convolution are rounded to.
//!
//! bf16 is the upper half of an `f32`: the same range, 8 bits of precision. A product of two such
//! numbers is exact in `f32`, and sums stay `f32`, so that what rounds is the factors alone,
//! wherever the product is computed: in matrix tiles (`simd::tiles`) or by the kernels for `f32`.

/// The precision of a convolution's factors: input, weight, and gradient of the output. Sums and
/// everything else are `f32`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Rounding {
    /// As they are.
    #[default]
    Fp32,
    /// Rounded to the nearest bf16, ties to even.
    Bf16,
}

/// The bits of the nearest bf16.
#[inline(always)]
pub(crate) fn bits(value: f32) -> u16 {
    let bits = value.to_bits();
    if value.is_nan() {
        // Rounding could carry a NaN's bits into an infinity.
        return (bits >> 16) as u16 | 0x40;
    }
    (bits.wrapping_add(0x7fff + (bits >> 16 & 1)) >> 16) as u16
}

/// The nearest bf16.
pub fn rounded(value: f32) -> f32 {
    f32::from_bits(u32::from(bits(value)) << 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_of_two_neighbours_is_taken_and_the_even_one_between_them() {
        let step = 1.0 / 128.0;
        assert_eq!(rounded(1.0 + 0.4 * step), 1.0);
        assert_eq!(rounded(1.0 + 0.6 * step), 1.0 + step);
        assert_eq!(rounded(1.0 + 0.5 * step), 1.0);
        assert_eq!(rounded(-1.0 - 1.5 * step), -1.0 - 2.0 * step);
    }

    #[test]
    fn what_is_no_number_stays_what_it_is() {
        assert!(rounded(f32::from_bits(0x7fff_ffff)).is_nan());
        assert_eq!(rounded(f32::NEG_INFINITY), f32::NEG_INFINITY);
        assert_eq!(rounded(f32::MAX), f32::INFINITY);
        assert_eq!(rounded(-0.0).to_bits(), (-0.0f32).to_bits());
    }
}
