//! Where networks run: what this machine has, whether it computes correctly, and which of it a run
//! takes.
//!
//! | module | what lives there |
//! | --- | --- |
//! | [`choice`] | what a user may ask for: `auto`, `cpu`, `flex`, `wgpu`, `cuda` |
//! | [`found`] | the devices of this machine, opened without a panic |
//! | [`mod@self_test`] | a small network on a device, compared with the CPU |
//! | [`selection`] | from a choice to a device, with the reason |
//! | [`memory`] | freed memory is kept for the next step; large buffers begin at a line of the cache |
//! | [`threads`] | how many threads the CPU backend uses |
//!
//! GPU runtimes panic where a driver disappoints them; `panics` turns that into an error, so that
//! no broken driver ends a run that the CPU could have done.

pub mod choice;
mod error;
pub mod found;
pub mod memory;
mod panics;
pub mod selection;
pub mod self_test;
pub mod threads;

pub use choice::DeviceChoice;
pub use error::{DeviceError, SelfTestError};
pub use found::{Backend, Found, Hardware, available};
pub use memory::{Aligned, keep_freed_memory};
pub use panics::caught;
pub use selection::{Resolved, resolve};
pub use self_test::{Report, self_test};
pub use threads::set_threads;
