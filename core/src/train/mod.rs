//! Training students: the loop, what drives it and what it leaves behind.
//!
//! | module | what lives there |
//! | --- | --- |
//! | [`config`] | what a user chooses: epochs, optimizer, learning rate, stopping; typed and checked |
//! | [`learning_rate`] | the learning rate of each step |
//! | [`distillation`] | students and auxiliary networks as one Burn module |
//! | [`step`] | a step of it, and the update that follows |
//! | `setup` | what a run is made of and what it leaves |
//! | `run` | its loop over stages, epochs and steps: evaluation, checkpoints, stopping, resuming |
//! | `stages` | the epochs of a run's stages |
//! | `descent` | the optimizer and the learning rate of a stage |
//! | `pending` | the numbers of steps, fetched from the device |
//! | [`checkpoint`] | everything that a run needs to go on exactly where it stopped |
//! | `interrupter` | stops a run after its step |
//! | `view` | what a step needs of each network, and how its members find it |
//! | [`teacher_cache`] | teachers' outputs, computed once for each view of a picture |
//! | `gradient_norms`, `gradient_report` | how strongly each loss term pulls |
//! | `sound_record` | records of a checkpoint, looked at before Burn takes them up |
//! | `restored` | where an optimizer's state lies when a run goes on |
//! | [`observer`] | what a run tells to whoever watches it |

pub mod checkpoint;
pub mod config;
mod descent;
pub mod distillation;
mod error;
mod gradient_norms;
mod gradient_report;
mod interrupter;
pub mod learning_rate;
pub mod observer;
mod pending;
mod restored;
mod run;
mod setup;
mod sound_record;
mod stages;
pub mod step;
pub mod teacher_cache;
mod view;

pub use config::{OptimizerConfig, ScheduleConfig, TrainConfig};
pub use distillation::{Distillation, Frozen};
pub use error::TrainError;
pub use gradient_report::GradientReport;
pub use interrupter::Interrupter;
pub use observer::{Event, Observer, Silent};
pub use run::train;
pub use setup::{Outcome, Setup, Trained};
pub use step::{Gradients, StepReport};
pub use teacher_cache::{CacheKey, CacheSetup, Pictures, TeacherCache};
