//! What a user may ask for with `--device`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::DeviceError;
use crate::names::nearest;

/// The device that a run asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeviceChoice {
    /// A GPU that passes the self-test, else the CPU.
    #[default]
    Auto,
    /// The CPU, with kernels of Potstill's own on Burn's Flex backend.
    Cpu,
    /// The CPU with nothing but Burn's own operators: slower, and what the kernels are compared with.
    Flex,
    /// The best device that wgpu reaches, be it a software one.
    Wgpu,
    /// The first CUDA device.
    Cuda,
}

impl DeviceChoice {
    /// Every choice, in the order in which help texts list them.
    pub const ALL: [DeviceChoice; 5] = [
        DeviceChoice::Auto,
        DeviceChoice::Cpu,
        DeviceChoice::Flex,
        DeviceChoice::Wgpu,
        DeviceChoice::Cuda,
    ];

    /// The word that is typed.
    pub fn name(self) -> &'static str {
        match self {
            DeviceChoice::Auto => "auto",
            DeviceChoice::Cpu => "cpu",
            DeviceChoice::Flex => "flex",
            DeviceChoice::Wgpu => "wgpu",
            DeviceChoice::Cuda => "cuda",
        }
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for DeviceChoice {
    type Err = DeviceError;

    fn from_str(text: &str) -> Result<Self, DeviceError> {
        let known = Self::ALL.map(DeviceChoice::name);
        Self::ALL
            .into_iter()
            .find(|choice| choice.name() == text)
            .ok_or_else(|| DeviceError::UnknownChoice {
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
    fn every_choice_reads_back_from_what_it_prints() {
        for choice in DeviceChoice::ALL {
            assert_eq!(choice.to_string().parse::<DeviceChoice>().unwrap(), choice);
            let json = serde_json::to_string(&choice).unwrap();
            assert_eq!(json, format!("\"{choice}\""));
        }
    }

    #[test]
    fn an_unknown_device_is_answered_with_the_near_and_the_known_ones() {
        let message = "wgpuu".parse::<DeviceChoice>().unwrap_err().to_string();
        assert_eq!(
            message,
            "no device `wgpuu`; did you mean `wgpu`?; known: auto, cpu, flex, wgpu, cuda"
        );
    }
}
