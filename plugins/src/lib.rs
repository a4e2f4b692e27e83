//! Distillation methods, one file each. A method registers itself with `inventory` in its own file;
//! a binary that wants them mentions this crate once (`use potstill_plugins as _;`). Each is a
//! cargo feature, so that a build can leave it out.

#[cfg(feature = "ab")]
pub mod ab;
#[cfg(feature = "at")]
pub mod at;
#[cfg(feature = "binarize")]
pub mod binarize;
#[cfg(feature = "cc")]
pub mod cc;
#[cfg(feature = "cl-ilr")]
pub mod cl_ilr;
#[cfg(feature = "crd")]
pub mod crd;
#[cfg(feature = "dist")]
pub mod dist;
#[cfg(feature = "dkd")]
pub mod dkd;
#[cfg(feature = "dml")]
pub mod dml;
#[cfg(feature = "dot")]
pub mod dot;
#[cfg(feature = "fitnets")]
pub mod fitnets;
#[cfg(feature = "fsp")]
pub mod fsp;
#[cfg(feature = "ft")]
pub mod ft;
#[cfg(feature = "kd")]
pub mod kd;
#[cfg(feature = "kdsvd")]
pub mod kdsvd;
#[cfg(feature = "lskd")]
pub mod lskd;
#[cfg(feature = "nst")]
pub mod nst;
#[cfg(feature = "ofd")]
pub mod ofd;
#[cfg(feature = "okddip")]
pub mod okddip;
#[cfg(feature = "one")]
pub mod one;
#[cfg(feature = "pkt")]
pub mod pkt;
#[cfg(feature = "qat")]
pub mod qat;
#[cfg(feature = "reviewkd")]
pub mod reviewkd;
#[cfg(feature = "rkd")]
pub mod rkd;
#[cfg(feature = "sp")]
pub mod sp;
#[cfg(feature = "tf-kd")]
pub mod tf_kd;
#[cfg(feature = "vid")]
pub mod vid;

#[allow(dead_code, reason = "which methods a build has is up to its features")]
mod features;
#[allow(dead_code, reason = "which methods a build has is up to its features")]
mod form;
#[allow(dead_code, reason = "which methods a build has is up to its features")]
mod layers;
#[allow(unused, reason = "which methods a build has is up to its features")]
mod pairs;
#[cfg(test)]
mod records;
