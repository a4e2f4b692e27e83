//! CPU kernels for what training a small convolutional network consists of, on plain slices.
//!
//! Pictures and feature maps are **channels-last**: `[batch, height, width, channels]`, so that a
//! vector register holds neighbouring channels of one pixel, a 1×1 convolution is a matrix product,
//! and a normalisation's constants are read along with the data. Weights come and go in ONNX's
//! order, `[out, in / groups, height, width]`, and are packed for each call: they are small.
//!
//! | module | what it has |
//! | --- | --- |
//! | [`simd`] | vector registers behind one trait, and the choice of instruction set at run time |
//! | [`conv`] | convolution: forward, gradient of the data, gradient of the weight; dense, grouped, depthwise |
//! | [`memory`] | an allocator whose large buffers begin at a line of the cache |
//! | [`norm`] | batch normalisation with activation and residual sum, forward and backward, in one pass each |
//! | [`pool`] | maximum and average pooling |
//! | [`precision`] | factors of convolutions in fp32 or bf16 |
//!
//! Work is split over rayon's threads by the shapes alone: no number depends on how many threads
//! there are.

pub mod block;
pub mod conv;
pub mod memory;
pub mod norm;
pub mod pool;
pub mod precision;
pub mod simd;

mod parallel;
