//! The architectures that students are made of, one family per file, written with the graph's
//! builder.
//!
//! | file | networks |
//! | --- | --- |
//! | `resnet` | `resnet8` … `resnet110`, `resnet8x4`, `resnet32x4` for 32 × 32; `resnet18`, `resnet34`, `resnet50` for ImageNet |
//! | `wide_resnet` | `wrn-16-1`, `wrn-16-2`, `wrn-40-1`, `wrn-40-2` |
//! | `vgg` | `vgg8`, `vgg13`, `vgg16` |
//! | `densenet` | `densenet-40-12` |
//! | `mobilenetv1` | `mobilenetv1` for ImageNet |
//! | `mobilenetv2` | `mobilenetv2` |
//! | `shufflenetv1` | `shufflenetv1` |
//! | `shufflenetv2` | `shufflenetv2` |
//! | `fitnet` | `fitnet-1` … `fitnet-4` |
//!
//! `registry` lists and builds them, `layers` holds the few layers that several families share.
//!
//! Names follow the PyTorch code that a family cites: tensors are called as in its `state_dict`,
//! values as the module that makes them. Every network has one input `input` `[batch, channels,
//! height, width]` and one output `logits` `[batch, classes]`. All pool globally before the
//! classifier, so that they take pictures of other sizes than the default one.

mod layers;
mod registry;

mod densenet;
mod fitnet;
mod mobilenetv1;
mod mobilenetv2;
mod resnet;
mod shufflenetv1;
mod shufflenetv2;
mod vgg;
mod wide_resnet;

pub use registry::{Architecture, Design, Landmarks, ZooError, architectures, build, find, landmarks};

/// The families in the order in which they are listed.
const FAMILIES: &[&[Architecture]] = &[
    resnet::ARCHITECTURES,
    wide_resnet::ARCHITECTURES,
    vgg::ARCHITECTURES,
    densenet::ARCHITECTURES,
    mobilenetv1::ARCHITECTURES,
    mobilenetv2::ARCHITECTURES,
    shufflenetv1::ARCHITECTURES,
    shufflenetv2::ARCHITECTURES,
    fitnet::ARCHITECTURES,
];
