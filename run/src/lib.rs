//! A distillation run as a library: a teacher's ONNX file in, a student's ONNX file out.
//!
//! A run is a row of types, each made of the one before:
//!
//! | type | what it is |
//! | --- | --- |
//! | [`RunConfig`] | what is asked for; the same keys as in the TOML file of `potstill distill` |
//! | [`Planned`] | networks, methods, data, device: everything that can be refused has been; nothing is written |
//! | [`Opened`] | the run's folder and the files of teachers' outputs |
//! | [`Outcome`] | the student, and the comparison with its teachers |
//!
//! ```
//! use potstill_run::core::train::{Interrupter, Silent};
//! use potstill_run::{Outcome, RunConfig};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let out = folder.path().join("run");
//! let mut config: RunConfig = "
//!     teacher = ['embedded:glyphs-resnet20']
//!     student = 'resnet8'
//!     [data]
//!     name = 'glyphs'
//!     limit = 64
//!     [training]
//!     epochs = 1
//!     [[plugin]]
//!     name = 'kd'
//!     temperature = 4
//! "
//! .parse()?;
//! config.out = out;
//! let run = config.plan()?.open(false)?;
//! if let Outcome::Finished(finished) = run.train(&Interrupter::default(), &mut Silent)? {
//!     for row in &finished.rows {
//!         println!("{}: {:.2} %", row.network, row.top1);
//!     }
//!     assert!(finished.student.is_file());
//! }
//! # Ok(())
//! # }
//! ```
//!
//! The methods of `potstill-plugins` are registered with this crate.

mod comparison;
mod config;
mod data;
pub mod default_run;
mod error;
pub mod evaluation;
mod folder;
mod free_run;
mod opened;
mod planned;
pub mod preprocessing;
mod rehearsal;
mod restored;
pub mod retrieval;
mod selection;
mod student_file;
mod students;
pub mod teachers;
mod training;

pub use comparison::Row;
pub use config::{DataConfig, ExportConfig, Init, Own, RunConfig, TeacherConfig};
pub use data::{Data, split};
pub use error::RunError;
pub use folder::{MetricsFile, RunFolder};
pub use free_run::free_run;
pub use opened::{Finished, Opened, Outcome};
pub use planned::{Planned, PlannedCache, device};
pub use potstill_core as core;
pub use restored::Restored;
pub use selection::Selection;
pub use student_file::TrainedStudent;

// Without a mention, a crate of nothing but registrations may not be linked at all.
use potstill_plugins as _;
