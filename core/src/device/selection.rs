//! From a choice to a device, with the reason.

use std::str::FromStr;

use burn::tensor::Device;

use super::found::{self, Backend, Found};
use super::{DeviceChoice, DeviceError, SelfTestError, available, self_test};
use crate::cpu;
use crate::names::nearest;

/// The device that a run takes.
#[derive(Clone, Debug)]
pub struct Resolved {
    /// The device, without autodiff.
    pub device: Device,
    /// What drives it.
    pub backend: Backend,
    /// Its name: `cpu`, `wgpu (llvmpipe, software device)`.
    pub name: String,
    /// Why this one, as a fragment: `as asked`, `no GPU here`.
    pub why: String,
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

/// The device for a choice. [`DeviceChoice::Cpu`] and [`DeviceChoice::Flex`] touch no driver, and
/// are one device of Burn's: which of the two was resolved last holds for the whole process.
///
/// `auto` takes the first GPU that passes its self-test, never a software device, else the CPU. A
/// device that is named is not tested: whoever names it wants it, and the test takes a minute on a
/// software device.
///
/// # Errors
/// A named backend that is not built, or has no device that opens.
pub fn resolve(choice: DeviceChoice) -> Result<Resolved, DeviceError> {
    cpu::use_kernels(choice != DeviceChoice::Flex);
    match choice {
        DeviceChoice::Cpu => named(choice, &[found::cpu()]),
        DeviceChoice::Flex => Ok(Resolved {
            name: "cpu (Burn's operators)".to_owned(),
            ..named(DeviceChoice::Cpu, &[found::cpu()])?
        }),
        DeviceChoice::Auto => Ok(automatic(available(), |device| self_test(device).map(drop))),
        DeviceChoice::Wgpu | DeviceChoice::Cuda => named(choice, available()),
    }
}

/// What `auto` says of a machine on which this build finds no GPU.
const NO_GPU: &str = match cfg!(any(feature = "wgpu", feature = "cuda")) {
    true => "no GPU here",
    false => "built without GPUs; `--features wgpu` has them",
};

fn named(choice: DeviceChoice, found: &[Found]) -> Result<Resolved, DeviceError> {
    let (backend, built) = match choice {
        DeviceChoice::Auto | DeviceChoice::Cpu | DeviceChoice::Flex => (Backend::Cpu, true),
        DeviceChoice::Wgpu => (Backend::Wgpu, cfg!(feature = "wgpu")),
        DeviceChoice::Cuda => (Backend::Cuda, cfg!(feature = "cuda")),
    };
    let there = || found.iter().map(Found::to_string).collect();
    if !built {
        return Err(DeviceError::NotBuilt {
            choice,
            there: there(),
        });
    }
    found
        .iter()
        .filter(|found| found.backend == backend)
        .find_map(|found| take(found, "as asked".to_owned()))
        .ok_or_else(|| DeviceError::NotFound {
            choice,
            there: there(),
        })
}

fn automatic(found: &[Found], test: impl Fn(&Device) -> Result<(), SelfTestError>) -> Resolved {
    let mut passed_over = Vec::new();
    for candidate in found.iter().filter(|found| found.backend != Backend::Cpu) {
        let refusal = match &candidate.device {
            Err(_) => candidate.to_string(),
            Ok(_) if !candidate.hardware.is_gpu() => format!("{candidate} is no GPU"),
            Ok(device) => match test(device) {
                Err(error) => format!("{candidate} fails its self-test: {}", chain(&error)),
                Ok(()) => {
                    if let Some(taken) = take(candidate, "it passes its self-test".to_owned()) {
                        return taken;
                    }
                    continue;
                }
            },
        };
        passed_over.push(refusal);
    }
    let why = if passed_over.is_empty() {
        NO_GPU.to_owned()
    } else {
        passed_over.join("; ")
    };
    Resolved {
        device: Device::flex(),
        backend: Backend::Cpu,
        name: found::cpu().to_string(),
        why,
    }
}

fn take(found: &Found, why: String) -> Option<Resolved> {
    Some(Resolved {
        device: found.device.as_ref().ok()?.clone(),
        backend: found.backend,
        name: found.to_string(),
        why,
    })
}

/// An error with its causes on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::Hardware;

    #[test]
    fn an_unknown_device_is_answered_with_the_near_and_the_known_ones() {
        let message = "wgpuu".parse::<DeviceChoice>().unwrap_err().to_string();
        assert_eq!(
            message,
            "no device `wgpuu`; did you mean `wgpu`?; known: auto, cpu, flex, wgpu, cuda"
        );
    }

    fn gpu(name: &str, hardware: Hardware, device: Result<Device, String>) -> Found {
        Found {
            backend: Backend::Wgpu,
            hardware,
            name: name.to_owned(),
            driver: "Vulkan".to_owned(),
            device,
        }
    }

    fn wrong() -> SelfTestError {
        SelfTestError::Differs {
            what: "the loss".to_owned(),
            deviation: 0.25,
            allowed: 1e-3,
        }
    }

    #[test]
    fn auto_takes_the_first_gpu_that_passes() {
        let found = [
            gpu("A", Hardware::DiscreteGpu, Err("out of memory".to_owned())),
            gpu("B", Hardware::IntegratedGpu, Ok(Device::flex())),
            found::cpu(),
        ];
        let taken = automatic(&found, |_| Ok(()));
        assert_eq!(taken.name, "wgpu (B, integrated GPU)");
        assert_eq!(taken.why, "it passes its self-test");
    }

    #[test]
    fn auto_takes_the_cpu_where_no_gpu_passes_and_says_why() {
        let found = [
            gpu("A", Hardware::DiscreteGpu, Err("out of memory".to_owned())),
            gpu("B", Hardware::IntegratedGpu, Ok(Device::flex())),
            gpu("llvmpipe", Hardware::Software, Ok(Device::flex())),
            found::cpu(),
        ];
        let taken = automatic(&found, |_| Err(wrong()));
        assert_eq!(taken.backend, Backend::Cpu);
        assert_eq!(
            taken.why,
            "wgpu (A, discrete GPU) which does not open: out of memory; wgpu (B, integrated GPU) fails its self-test: the loss differs \
             from the CPU's by 2.5e-1 of its size, allowed 1e-3; wgpu (llvmpipe, software device) is no GPU"
        );
    }

    #[test]
    fn auto_never_tests_a_software_device() {
        let found = [gpu("llvmpipe", Hardware::Software, Ok(Device::flex()))];
        let taken = automatic(&found, |_| panic!("tested"));
        assert_eq!(taken.name, "cpu");
    }

    #[test]
    fn auto_on_a_machine_of_nothing_else_says_so() {
        assert_eq!(automatic(&[found::cpu()], |_| Ok(())).why, NO_GPU);
    }

    #[cfg(feature = "wgpu")]
    #[test]
    fn a_named_device_may_be_a_software_one_and_a_missing_one_is_answered_with_what_there_is() {
        let software = gpu("llvmpipe", Hardware::Software, Ok(Device::flex()));
        let taken = named(DeviceChoice::Wgpu, &[software, found::cpu()]).unwrap();
        assert_eq!(taken.name, "wgpu (llvmpipe, software device)");

        let broken = gpu("A", Hardware::DiscreteGpu, Err("out of memory".to_owned()));
        let error = named(DeviceChoice::Wgpu, &[broken, found::cpu()]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "no usable `wgpu` device on this machine; there is: wgpu (A, discrete GPU) which does not open: out of memory, cpu"
        );
    }

    #[cfg(not(feature = "cuda"))]
    #[test]
    fn a_backend_that_was_left_out_is_named_with_its_feature() {
        let error = named(DeviceChoice::Cuda, &[found::cpu()]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "this program was built without `cuda`: `cargo build --release --features cuda` has it; there is: cpu"
        );
    }

    #[test]
    fn the_cpu_resolves_without_a_driver() {
        let taken = resolve(DeviceChoice::Cpu).unwrap();
        assert_eq!((taken.name.as_str(), taken.why.as_str()), ("cpu", "as asked"));
    }
}
