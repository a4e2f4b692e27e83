//! Mixed precision: what convolutions round their factors to while a network trains.
//!
//! Weights, optimizer, normalisation and loss are fp32 whatever the precision, and so are the sums
//! of a convolution on the CPU (Micikevicius et al. 2018, arXiv 1710.03740; bf16 needs no scaling
//! of the loss). Students are evaluated, and exported, in fp32; frozen teachers run in the
//! training's precision.

use std::fmt;
use std::str::FromStr;

use burn::tensor::{Device, FloatDType, Tensor};
use potstill_kernels::precision::Rounding;
use serde::{Deserialize, Serialize};

use crate::names::{did_you_mean, nearest};

/// The precision of convolutions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Precision {
    /// Single precision throughout.
    #[default]
    Fp32,
    /// Input, weight and the output's gradient rounded to bf16: on the CPU in our own kernels, with
    /// sums in fp32, on matrix tiles (AMX) where it has them; elsewhere by Burn's operators, whose
    /// results are bf16 too. Depthwise convolutions stay fp32 on the CPU.
    Bf16,
}

/// A precision that cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum PrecisionError {
    /// A word that names none.
    #[error("no precision `{name}`{}; known: {}", did_you_mean(near), known.join(", "))]
    Unknown {
        /// What was asked for.
        name: String,
        /// Precisions that resemble it.
        near: Vec<String>,
        /// All precisions.
        known: Vec<&'static str>,
    },
    /// One in which a device does not compute.
    #[error("this device does not compute in {precision}; leave the precision at fp32, or take --device cpu")]
    Device {
        /// What was asked for.
        precision: Precision,
    },
}

impl Precision {
    /// Every precision, in the order in which help texts list them.
    pub const ALL: [Precision; 2] = [Precision::Fp32, Precision::Bf16];

    /// The word that is typed.
    pub fn name(self) -> &'static str {
        match self {
            Precision::Fp32 => "fp32",
            Precision::Bf16 => "bf16",
        }
    }

    /// Whether it is the default.
    pub fn is_fp32(&self) -> bool {
        *self == Precision::Fp32
    }

    /// Refuses what a device does not compute in.
    ///
    /// # Errors
    /// A device without bf16.
    pub fn check(self, device: &Device) -> Result<(), PrecisionError> {
        if self == Precision::Bf16 && !device.supports_dtype(FloatDType::BF16) {
            return Err(PrecisionError::Device { precision: self });
        }
        Ok(())
    }

    /// For the CPU's kernels.
    pub(crate) fn of_kernels(self) -> Rounding {
        match self {
            Precision::Fp32 => Rounding::Fp32,
            Precision::Bf16 => Rounding::Bf16,
        }
    }

    /// A factor for Burn's operators.
    pub(crate) fn factor<const D: usize>(self, factor: Tensor<D>) -> Tensor<D> {
        match self {
            Precision::Fp32 => factor,
            Precision::Bf16 => factor.cast(FloatDType::BF16),
        }
    }

    /// What Burn's operators made of such factors, as networks go on with it.
    pub(crate) fn product<const D: usize>(self, product: Tensor<D>) -> Tensor<D> {
        match self {
            Precision::Fp32 => product,
            Precision::Bf16 => product.cast(FloatDType::F32),
        }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Precision {
    type Err = PrecisionError;

    fn from_str(text: &str) -> Result<Self, PrecisionError> {
        let known = Self::ALL.map(Precision::name);
        Self::ALL
            .into_iter()
            .find(|precision| precision.name() == text)
            .ok_or_else(|| PrecisionError::Unknown {
                name: text.to_owned(),
                near: nearest(text, known, 2),
                known: known.to_vec(),
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_precision_reads_back_from_what_it_prints() {
        for precision in Precision::ALL {
            assert_eq!(precision.to_string().parse::<Precision>().unwrap(), precision);
            let json = serde_json::to_string(&precision).unwrap();
            assert_eq!(json, format!("\"{precision}\""));
        }
    }

    #[test]
    fn an_unknown_precision_is_answered_with_the_near_and_the_known_ones() {
        let message = "fp16".parse::<Precision>().unwrap_err().to_string();
        assert_eq!(
            message,
            "no precision `fp16`; did you mean `bf16`?; known: fp32, bf16"
        );
    }
}
