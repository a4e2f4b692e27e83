//! Students as ONNX files, checked before anybody gets them.
//!
//! | module | what lives there |
//! | --- | --- |
//! | [`encode`] | a [`Graph`](potstill_core::graph::Graph) as an ONNX model, written beside its name and renamed |
//! | [`inference`] | what a file keeps from training, left behind |
//! | [`fold`] | BatchNorm into the convolution before it |
//! | [`retarget`] | the same graph in another operator set |
//! | [`verify`] | the file run by an independent runtime, against the network |
//! | [`export`] | the row of these stages that `potstill` runs |

pub mod encode;
mod error;
pub mod export;
pub mod fold;
pub mod inference;
pub mod retarget;
pub mod verify;

pub use encode::{encode, write};
pub use error::ExportError;
pub use export::{Export, Provenance};
