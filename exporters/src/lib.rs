//! Students as ONNX files, checked before anybody gets them.
//!
//! | module | what lives there |
//! | --- | --- |
//! | [`mod@encode`] | a [`Graph`](potstill_core::graph::Graph) as an ONNX model, written beside its name and renamed |
//! | [`inference`] | what a file keeps from training, left behind |
//! | [`settle`] | what exists in training alone, put into a file's terms |
//! | [`fold`] | BatchNorm into the convolution before it |
//! | [`quantise`] | 8-bit integers in QDQ form, and their calibration |
//! | [`fp16`] | half precision |
//! | [`retarget`] | the same graph in another operator set |
//! | [`runtime`] | a file in tract |
//! | [`verify`] | the file run there, against the network |
//! | [`export`] | the row of these stages that `potstill` runs |

pub mod encode;
mod error;
pub mod export;
pub mod fold;
pub mod fp16;
pub mod inference;
pub mod quantise;
pub mod retarget;
pub mod runtime;
pub mod settle;
pub mod verify;

pub use encode::{encode, write};
pub use error::ExportError;
pub use export::{Export, ExportPrecision, Provenance};
