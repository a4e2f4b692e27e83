//! Why a device cannot be had, or cannot be trusted.

use super::DeviceChoice;
use crate::graph::GraphError;
use crate::names::did_you_mean;
use crate::network::TapError;

/// A device, or a number of threads, that cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// A word that names no choice.
    #[error("no device `{name}`{}; known: {}", did_you_mean(near), known.join(", "))]
    UnknownChoice {
        /// What was asked for.
        name: String,
        /// Choices that resemble it.
        near: Vec<String>,
        /// All choices.
        known: Vec<&'static str>,
    },
    /// A backend that was left out when the program was built.
    #[error(
        "this program was built without `{choice}`: `cargo build --release --features {choice}` has it; there is: {}",
        there.join(", ")
    )]
    NotBuilt {
        /// What was asked for.
        choice: DeviceChoice,
        /// The devices of this machine.
        there: Vec<String>,
    },
    /// A backend without a device, or without one that opens.
    #[error("no usable `{choice}` device on this machine; there is: {}", there.join(", "))]
    NotFound {
        /// What was asked for.
        choice: DeviceChoice,
        /// The devices of this machine, with what is wrong with them.
        there: Vec<String>,
    },
    /// A number of threads that cannot be set.
    #[error("cannot use {got} threads: {reason}")]
    Threads {
        /// The number asked for.
        got: usize,
        /// Why not.
        reason: String,
    },
}

/// Why a device failed its self-test.
#[derive(Debug, thiserror::Error)]
pub enum SelfTestError {
    /// A result that is not the CPU's.
    #[error("{what} differs from the CPU's by {deviation:.1e} of its size, allowed {allowed:.0e}")]
    Differs {
        /// What was compared: `loss`, ``gradient of `conv1.weight` `` and so on.
        what: String,
        /// The largest difference over the CPU's largest entry.
        deviation: f64,
        /// What would do.
        allowed: f64,
    },
    /// The runtime or its driver gave up.
    #[error("it stopped: {reason}")]
    Stopped {
        /// What it said.
        reason: String,
    },
    /// The small network does not run at all.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// The small network's output has another rank.
    #[error(transparent)]
    Tap(#[from] TapError),
}
