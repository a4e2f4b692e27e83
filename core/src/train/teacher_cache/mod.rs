//! Teachers' outputs, computed once for each view of a picture and kept in a file.
//!
//! A loader that goes through K views shows a teacher the same pictures again after K epochs
//! ([`LoaderOptions::views`](crate::data::LoaderOptions)). What the teacher says about a view is
//! stored in half precision when the view first comes, and read from then on: in later epochs,
//! after an interruption, and by other runs with the same teacher on the same views. Values always
//! come back through the file, so that a run gives the same numbers whether it found its outputs
//! there or computed them.
//!
//! | module | what lives there |
//! | --- | --- |
//! | `key` | what outputs follow from: teacher, pictures, views, values; it names the file and heads it |
//! | `fault` | what makes a file, or a record of it, unusable |
//! | `file` | the file: header, index, records with checksums |
//! | `store` | the outputs of a batch, read or computed |
//! | `setup` | the files of a run's teachers, opened |

mod fault;
mod file;
mod key;
mod setup;
mod store;

pub use fault::CacheFault;
pub use key::{CacheKey, KeptValue, Pictures};
pub use setup::CacheSetup;
pub use store::TeacherCache;
