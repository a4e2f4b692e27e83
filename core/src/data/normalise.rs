//! Normalisations that take the place of mean and standard deviation: global contrast normalisation
//! and ZCA whitening, the preprocessing of maxout networks (I. J. Goodfellow et al., *Maxout
//! Networks*, arXiv:1302.4389, section 5) that FitNets took over (A. Romero et al.,
//! arXiv:1412.6550).
//!
//! Their numbers are those of the maxout networks' code, pylearn2: a contrast scale of 55 over the
//! Euclidean norm of pixels in 0 to 255, which for CIFAR's 3072 numbers is a deviation of 0.99 (55
//! is about the root of 3072), then a ZCA with a filter bias of 0.1.

use super::DataError;
use serde::{Deserialize, Serialize};

/// pylearn2's `min_divisor`: a picture of one colour has nothing that could be scaled.
const LEAST_DIVISOR: f64 = 1e-8;

/// One step of what replaces mean and standard deviation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Normalisation {
    /// Global contrast normalisation of each picture by itself: with m the mean over all of its
    /// numbers x (pixels in 0 to 255, all channels), scale · (x − m) / √(bias + Σ (x − m)²). A
    /// divisor below 1e-8 counts as 1.
    Gcn {
        /// The norm of the result, where the bias is small.
        #[serde(default = "scale")]
        scale: f64,
        /// Added to the sum of squares, in squared steps of an 8-bit pixel.
        #[serde(default)]
        bias: f64,
    },
    /// ZCA whitening: (x − m) U (S + eps)^(−1/2) Uᵀ, with the mean m and the covariance U S Uᵀ of
    /// the training pictures. Without `gcn` before it, x are pixels in 0 to 1.
    Zca {
        /// Added to the variances, so that directions without contrast are not blown up.
        #[serde(default = "eps")]
        eps: f64,
        /// Fits on so many training pictures at most, spread evenly over the split; on all of them
        /// where not given.
        #[serde(default)]
        samples: Option<usize>,
    },
}

fn scale() -> f64 {
    55.0
}

fn eps() -> f64 {
    0.1
}

impl Normalisation {
    /// The names as they are written.
    pub const NAMES: [&'static str; 2] = ["gcn", "zca"];

    /// Refuses options outside their range.
    ///
    /// # Errors
    /// [`DataError::Range`].
    pub fn check(&self) -> Result<(), DataError> {
        let positive = |number: f64| number.is_finite() && number > 0.0;
        let refuse = |what, option, expected, got: String| {
            Err(DataError::Range {
                what,
                option,
                expected,
                got,
            })
        };
        match *self {
            Normalisation::Gcn { scale, .. } if !positive(scale) => {
                refuse("gcn", "scale", "more than 0", scale.to_string())
            }
            Normalisation::Gcn { bias, .. } if !(positive(bias) || bias == 0.0) => {
                refuse("gcn", "bias", "0 or more", bias.to_string())
            }
            Normalisation::Zca { eps, .. } if !positive(eps) => {
                refuse("zca", "eps", "more than 0", eps.to_string())
            }
            Normalisation::Zca { samples: Some(0), .. } => {
                refuse("zca", "samples", "1 or more", "0".to_owned())
            }
            _ => Ok(()),
        }
    }

    /// Refuses steps outside their ranges, and every list but `gcn`, `zca` and `gcn`, `zca`.
    ///
    /// # Errors
    /// [`DataError::Range`], [`DataError::NormaliseOrder`].
    pub fn check_all(steps: &[Self]) -> Result<(), DataError> {
        steps.iter().try_for_each(Self::check)?;
        match steps {
            [] | [_] | [Normalisation::Gcn { .. }, Normalisation::Zca { .. }] => Ok(()),
            _ => Err(DataError::NormaliseOrder {
                got: steps.iter().map(ToString::to_string).collect(),
            }),
        }
    }
}

/// Writes the contrast-normalised numbers of a picture's `pixels` to `out`.
pub(super) fn contrast(pixels: &[u8], scale: f64, bias: f64, out: &mut [f32]) {
    let (mut sum, mut squares) = (0_u64, 0_u64);
    for &pixel in pixels {
        sum += u64::from(pixel);
        squares += u64::from(pixel).pow(2);
    }
    let count = pixels.len() as f64;
    let mean = sum as f64 / count;
    // In whole numbers: a picture of one colour has a spread of exactly 0.
    let spread = pixels.len() as u128 * u128::from(squares) - u128::from(sum).pow(2);
    let divisor = (bias + spread as f64 / count).sqrt() / scale;
    let divisor = if divisor < LEAST_DIVISOR { 1.0 } else { divisor };
    let values: [f32; 256] = std::array::from_fn(|byte| ((byte as f64 - mean) / divisor) as f32);
    out.iter_mut()
        .zip(pixels)
        .for_each(|(out, &pixel)| *out = values[usize::from(pixel)]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normalised(pixels: &[u8], scale: f64, bias: f64) -> Vec<f32> {
        let mut out = vec![0.0; pixels.len()];
        contrast(pixels, scale, bias, &mut out);
        out
    }

    // x = np.array([0, 10, 20, 40, 80, 255], float); y = x - x.mean(); s * y / np.sqrt(b + (y **
    // 2).sum())
    #[test]
    fn contrast_is_numpys() {
        let pixels = [0, 10, 20, 40, 80, 255];
        for (scale, bias, expected) in [
            (
                55.0,
                0.0,
                [-17.274450, -14.715272, -12.156095, -7.037739, 3.198972, 47.984584],
            ),
            (
                1.0,
                10_000.0,
                [-0.284763, -0.242576, -0.200389, -0.116015, 0.052734, 0.791009],
            ),
        ] {
            let got = normalised(&pixels, scale, bias);
            assert!(
                got.iter()
                    .zip(expected)
                    .all(|(got, expected): (&f32, f64)| (f64::from(*got) - expected).abs() < 1e-5),
                "{got:?}"
            );
        }
    }

    #[test]
    fn a_picture_of_one_colour_becomes_zero() {
        assert_eq!(normalised(&[7; 12], 55.0, 0.0), [0.0; 12]);
    }

    #[test]
    fn steps_have_one_order() {
        let check = |texts: &[&str]| {
            let steps: Vec<Normalisation> = texts.iter().map(|text| text.parse().unwrap()).collect();
            Normalisation::check_all(&steps)
        };
        for right in [&["gcn"][..], &["zca"], &["gcn", "zca"], &[]] {
            check(right).unwrap();
        }
        for wrong in [&["zca", "gcn"][..], &["gcn", "gcn"], &["gcn", "zca", "zca"]] {
            let error = check(wrong).unwrap_err().to_string();
            assert!(error.contains("`gcn`, `zca`, or `gcn` and then `zca`"), "{error}");
        }
    }
}
