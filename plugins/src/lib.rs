//! Distillation methods, one file each. A method registers itself with `inventory` in its own file; a binary that wants them mentions this
//! crate once (`use potstill_plugins as _;`). Each is a cargo feature, so that a build can leave it out.

#[cfg(feature = "kd")]
pub mod kd;
