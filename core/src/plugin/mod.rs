//! Distillation methods as plugins.
//!
//! The core runs the loop and calls hooks; what a method is stands in one file of
//! `potstill-plugins`, registered with [`inventory`]. Several plugins can be on at once: their
//! terms add up, each under its own name.
//!
//! # Lifecycle
//!
//! A method is configured ([`Plugin`]) and then prepared once for a run ([`Prepared`]).
//!
//! | hook | when | what a plugin does there |
//! | --- | --- | --- |
//! | [`Plugin::cohort`] | once, before the networks are built | says which students are trained together |
//! | [`Plugin::rewrite`] | once for each student, before its network is built | puts operators into the student's graph |
//! | [`Plugin::prepare`] | once, before training | declares terms, taps, auxiliary networks, stages; refuses what it cannot work with |
//! | [`Prepared::forward`] | each step, after all networks ran | derives further values for the losses of others or its own |
//! | [`Prepared::loss`] | each step, after every plugin's `forward` | returns named, weighted terms |
//! | [`Prepared::optimizer_step`] | each step, between gradients and optimizer | changes gradients or the learning rate |
//! | [`Prepared::epoch_end`] | after each epoch's evaluation | sees the metrics |
//! | [`Prepared::state`], [`Prepared::restore`] | at each checkpoint, and when a run goes on | keeps what the method remembers |
//! | [`Plugin::recorded`] | `potstill check` only | computes its terms from recorded tensors, without networks |

mod architecture;
mod check;
mod cohort;
mod ensemble;
mod error;
mod hooks;
mod library;
mod objective;
mod options;
mod plan;
mod prepare;
mod prepared;
mod record;
mod registry;
mod spec;
mod step;
mod written;

pub use crate::task::cohort::Chosen;
pub use architecture::Architecture;
pub use check::{CheckReport, Comparison, Tolerance, check};
pub use cohort::{Cohort, Structure, Student, Students};
pub use ensemble::gated;
pub use error::PluginError;
pub use hooks::Plugin;
pub use library::{LibraryError, STAMP, STAMP_SYMBOL, Stamp, load_library};
pub use objective::{Auxiliary, Gate, Method, Objective, Stage, Turns};
pub use options::{Given, Limits, Numbers, Options, PluginOption, above};
pub use plan::Plan;
pub use prepare::{build, cohort_of, prepare};
pub use prepared::{EpochMetrics, Prepared};
pub use record::Recorded;
pub use registry::{Paper, PluginEntry, entries, find};
pub use spec::{PluginSpec, values};
pub use step::{Member, Step, Term, Time, Update};
