//! What a user may ask for with `--device`.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The device that a run asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeviceChoice {
    /// A GPU that passes the self-test, else the CPU.
    #[default]
    Auto,
    /// The CPU, with kernels of Potstill's own on Burn's Flex backend.
    Cpu,
    /// The CPU with nothing but Burn's own operators: slower, and what the kernels are compared
    /// with.
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
}
