//! The devices of this machine.
//!
//! wgpu's adapters are opened through Burn's fallible interface (`Device::wgpu_options`), for a
//! device that is merely named is opened at its first tensor, and panics there if it is not to be
//! had. An adapter can be opened so only once in a process: the list is made once and kept.

use std::fmt;
use std::sync::OnceLock;

use burn::tensor::Device;
use serde::{Serialize, Serializer};

/// What drives a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Backend {
    /// Burn's Flex, on the CPU.
    Cpu,
    /// Vulkan, Metal, DirectX 12 or OpenGL, through wgpu.
    Wgpu,
    /// NVIDIA's CUDA.
    Cuda,
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Backend::Cpu => "cpu",
            Backend::Wgpu => "wgpu",
            Backend::Cuda => "cuda",
        })
    }
}

/// What a device is made of; the order is that of preference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Hardware {
    /// A GPU with memory of its own.
    DiscreteGpu,
    /// A GPU that shares the CPU's memory.
    IntegratedGpu,
    /// A GPU that a virtual machine is given.
    VirtualGpu,
    /// The driver does not say.
    Unknown,
    /// A GPU played by the CPU: llvmpipe, SwiftShader, WARP.
    Software,
    /// The CPU itself.
    Cpu,
}

impl Hardware {
    /// Whether it is known to be a GPU of silicon.
    pub fn is_gpu(self) -> bool {
        matches!(
            self,
            Hardware::DiscreteGpu | Hardware::IntegratedGpu | Hardware::VirtualGpu
        )
    }
}

impl fmt::Display for Hardware {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Hardware::DiscreteGpu => "discrete GPU",
            Hardware::IntegratedGpu => "integrated GPU",
            Hardware::VirtualGpu => "virtual GPU",
            Hardware::Unknown => "unknown hardware",
            Hardware::Software => "software device",
            Hardware::Cpu => "CPU",
        })
    }
}

/// A device of this machine.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Found {
    /// What drives it.
    pub backend: Backend,
    /// What it is made of.
    pub hardware: Hardware,
    /// Its name, as its driver gives it.
    pub name: String,
    /// The interface and the driver behind it: `Vulkan, llvmpipe Mesa 22.3.6`.
    pub driver: String,
    /// The open device, without autodiff, or why it does not open.
    #[serde(rename = "unusable", serialize_with = "reason")]
    pub device: Result<Device, String>,
}

fn reason<S: Serializer>(device: &Result<Device, String>, serializer: S) -> Result<S::Ok, S::Error> {
    device.as_ref().err().serialize(serializer)
}

impl fmt::Display for Found {
    /// `wgpu (llvmpipe, software device)`, with the reason if it does not open.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.backend)?;
        if self.backend != Backend::Cpu {
            write!(f, " ({}, {})", self.name, self.hardware)?;
        }
        match &self.device {
            Ok(_) => Ok(()),
            Err(reason) => write!(f, " which does not open: {reason}"),
        }
    }
}

/// The CPU: always there.
pub fn cpu() -> Found {
    Found {
        backend: Backend::Cpu,
        hardware: Hardware::Cpu,
        name: "CPU".to_owned(),
        driver: "Burn Flex".to_owned(),
        device: Ok(Device::flex()),
    }
}

/// Every device that this build reaches, the preferred ones first and the CPU last. Opens them; a
/// machine without any driver gives the CPU alone.
///
/// A wgpu adapter on which a tensor was already made, other than through this list, is given as one
/// that does not open.
#[allow(
    clippy::vec_init_then_push,
    reason = "GPUs come first, in a build that has them"
)]
pub fn available() -> &'static [Found] {
    static FOUND: OnceLock<Vec<Found>> = OnceLock::new();
    FOUND.get_or_init(|| {
        let gpus: [Vec<Found>; 2] = [
            #[cfg(feature = "cuda")]
            cuda::devices(),
            #[cfg(not(feature = "cuda"))]
            Vec::new(),
            #[cfg(feature = "wgpu")]
            wgpu::devices(),
            #[cfg(not(feature = "wgpu"))]
            Vec::new(),
        ];
        let mut found = gpus.concat();
        found.push(cpu());
        // Stable: of two like devices, CUDA's stays before wgpu's.
        found.sort_by_key(|found| found.hardware);
        found
    })
}

#[cfg(feature = "wgpu")]
mod wgpu {
    use burn::backend::{CubeDevice, DispatchDevice, WgpuDeviceKind};
    use burn::tensor::wgpu::WgpuInitError;
    use burn::tensor::{Device, DeviceKind, DeviceType};

    use super::{Backend, Found, Hardware};
    use crate::device::panics::caught;

    pub(super) fn devices() -> Vec<Found> {
        let adapters = caught(|| Device::enumerate(DeviceType::Wgpu)).ok();
        adapters
            .iter()
            .flat_map(|adapters| adapters.iter())
            .filter_map(|device| match device.as_dispatch() {
                DispatchDevice::Cube(CubeDevice::Wgpu(device)) => Some(open(device.kind.clone())),
                _ => None,
            })
            .collect()
    }

    fn open(adapter: WgpuDeviceKind) -> Found {
        let (hardware, kind) = match adapter {
            WgpuDeviceKind::DiscreteGpu(n) => (Hardware::DiscreteGpu, Some(DeviceKind::DiscreteGpu(n))),
            WgpuDeviceKind::IntegratedGpu(n) => (Hardware::IntegratedGpu, Some(DeviceKind::IntegratedGpu(n))),
            WgpuDeviceKind::VirtualGpu(n) => (Hardware::VirtualGpu, Some(DeviceKind::VirtualGpu(n))),
            WgpuDeviceKind::Cpu => (Hardware::Software, Some(DeviceKind::Cpu)),
            _ => (Hardware::Unknown, None),
        };
        let unusable = |reason: String| Found {
            backend: Backend::Wgpu,
            hardware,
            name: format!("{adapter:?}"),
            driver: String::new(),
            device: Err(reason),
        };
        let Some(kind) = kind else {
            return unusable("its driver does not say what it is, so Burn cannot name it".to_owned());
        };
        let setup = caught(|| Device::wgpu_options().device_kind(kind).init_with_setup())
            .and_then(|setup| setup.map_err(|error: WgpuInitError| error.to_string()));
        match setup {
            Err(reason) => unusable(reason),
            Ok((device, setup)) => {
                let info = setup.adapter.get_info();
                let driver = format!("{:?}, {} {}", info.backend, info.driver, info.driver_info);
                Found {
                    backend: Backend::Wgpu,
                    hardware,
                    name: info.name,
                    driver: driver.trim_end().to_owned(),
                    device: Ok(device),
                }
            }
        }
    }
}

#[cfg(feature = "cuda")]
mod cuda {
    use burn::tensor::{Device, DeviceType};

    use super::{Backend, Found, Hardware};
    use crate::device::panics::caught;

    pub(super) fn devices() -> Vec<Found> {
        let devices = caught(|| Device::enumerate(DeviceType::Cuda)).ok();
        devices
            .iter()
            .flat_map(|devices| devices.iter())
            .enumerate()
            .map(|(number, device)| {
                // Burn has no fallible way to open a CUDA device.
                let identity = caught(|| device.identity());
                let name = match &identity {
                    Ok(Some(identity)) => identity.name.clone(),
                    _ => format!("device {number}"),
                };
                Found {
                    backend: Backend::Cuda,
                    hardware: Hardware::DiscreteGpu,
                    name,
                    driver: "CUDA".to_owned(),
                    device: identity.map(|_| device.clone()),
                }
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cpu_is_always_found_and_comes_last() {
        let found = available();
        let last = found.last().unwrap();
        assert_eq!(last.backend, Backend::Cpu);
        assert!(last.device.is_ok());
    }

    #[test]
    fn a_device_that_does_not_open_serializes_with_the_reason() {
        let mut found = cpu();
        assert_eq!(
            serde_json::to_value(&found).unwrap()["unusable"],
            serde_json::Value::Null
        );
        found.device = Err("out of memory".to_owned());
        assert_eq!(serde_json::to_value(&found).unwrap()["unusable"], "out of memory");
    }
}
