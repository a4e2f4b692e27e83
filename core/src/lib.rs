//! The core of Potstill: what every network, data set and method has in common.
//!
//! | module | what lives there |
//! | --- | --- |
//! | [`graph`] | the one representation of a network: named values, nodes, tensors; inference of shapes |
//! | [`op`] | what an operator is: its interface, facts, attributes |
//! | [`ops`] | the ONNX operators, one file each, and their table |
//! | [`builder`] | networks written by hand |
//! | [`passes`] | what changes graphs: branching, pruning, other classifiers |
//! | [`value`] | a tensor without its rank and kind in the type, as a graph needs it |
//! | [`network`] | a graph with its tensors on a device: a Burn module |
//! | [`zoo`] | student architectures, written with the graph's builder |
//! | [`data`] | data sets, transforms, batches prepared ahead |
//! | [`device`] | the devices of a machine, their self-test, which one a run takes |
//! | [`plugin`] | the hooks of a distillation method, their registry, and the check against recorded numbers |
//! | [`loss`], [`schedule`] | what methods share: cross-entropy and KL, weights that change over time |
//! | [`prelude`] | what most users of the core need |
//! | [`precision`] | fp32, or bf16 for the factors of convolutions |
//! | [`task`] | what is learnt: what a label is, which loss speaks for it, which metrics judge |
//! | [`train`] | the loop over epochs, checkpoints, evaluation |
//! | [`files`] | files that appear whole or not at all |
//! | [`npz`] | arrays by name in NumPy's `.npz` |
//! | [`names`] | "did you mean …?" |
//!
//! The core knows no distillation method and not how ONNX is encoded: methods live in
//! `potstill-plugins`, decoding in `potstill-teachers`, encoding in `potstill-exporters`.

pub mod builder;
mod cpu;
pub mod data;
pub mod device;
pub mod files;
pub mod graph;
pub mod loss;
pub mod names;
pub mod network;
pub mod npz;
pub mod op;
pub mod ops;
pub mod passes;
pub mod plugin;
pub mod precision;
pub mod prelude;
pub mod schedule;
pub mod task;
pub mod train;
pub mod value;
pub mod zoo;
