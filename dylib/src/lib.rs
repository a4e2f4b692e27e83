//! The core, and Burn with it, as one shared library. Whoever links this crate uses the copy in it:
//! the program when it is built with the feature `dynamic`, and every library of methods, which
//! finds here, in the versions that belong together, all that a method is written with.

pub use burn;
pub use inventory;
pub use potstill_core;
pub use serde;
pub use thiserror;
pub use toml;
