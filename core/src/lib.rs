//! The core of Potstill: what every network, data set and method has in common.
//!
//! | module | what lives there |
//! | --- | --- |
//! | [`graph`] | the one representation of a network: named values, nodes, tensors; builder, inference of shapes, passes |
//! | [`ops`] | the ONNX operators, one file each |
//! | [`value`] | a tensor without its rank and kind in the type, as a graph needs it |
//! | [`network`] | a graph with its tensors on a device: a Burn module |
//! | [`zoo`] | architectures that students are made of, one family per file |
//! | [`names`] | "did you mean …?" |
//!
//! The core knows no distillation method and no file format: methods live in `potstill-plugins`, decoding in `potstill-teachers`, encoding in
//! `potstill-exporters`.

pub mod graph;
pub mod names;
pub mod network;
pub mod ops;
pub mod value;
pub mod zoo;
