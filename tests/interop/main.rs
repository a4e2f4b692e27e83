//! What Potstill computes, held against what ONNX Runtime computed: recorded models of one operator
//! or one small network each, and whole networks.
//!
//! | module | what is checked |
//! | --- | --- |
//! | [`operators`] | every recorded operator: values, shapes, gradients; what is refused, and why |
//! | [`networks`] | exports of small networks from two PyTorch exporters, at two batch sizes |
//! | [`passes`] | the same models after export and import, and after folding |
//! | [`teachers`] | whole networks that PyTorch exported, a trained teacher among them, and its recorded logits |
//! | [`broken`] | files that must be refused with an error |
//! | [`damage`] | every recorded model with random faults: any answer but a panic |
//!
//! The models and records are written by `operators.py` and `networks.py` in this folder; tests
//! only read them.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test that unwraps says where it failed"
)]

mod broken;
mod case;
mod damage;
mod networks;
mod operators;
mod passes;
mod record;
mod teachers;
