//! From an ONNX file, from anywhere, to a checked network that does not learn: teachers, and
//! students under test.
//!
//! | module | what lives there |
//! | --- | --- |
//! | [`adapt`] | what stands between the student's pictures and a teacher of other ones |
//! | [`compiled`] | teachers that are part of the program, registered by crates of compiled networks |
//! | [`decode`] | an ONNX model as a [`Graph`](potstill_core::graph::Graph); every name kept |
//! | [`classifier`] | a graph checked against the data, frozen on a device: teachers and students under test |

pub mod adapt;
pub mod classifier;
pub mod compiled;
mod decode;
mod error;
mod inline;
mod legacy;
mod node;
mod order;
mod proto;
mod widths;

pub use adapt::Adaptation;
pub use classifier::{Classifier, ClassifierError};
pub use compiled::{CompiledError, CompiledTeacher};
pub use decode::{decode, decode_file};
pub use error::DecodeError;
