//! Small networks as PyTorch's two exporters write them, at two batch sizes.

use potstill_core::op::Mode;

use crate::case::{cases, walk};
use crate::operators::{check_facts, check_gradients, check_values, on_records};

/// Fewer exports than this, and something was lost.
const FEWEST: usize = 31;

#[test]
fn every_export_computes_what_onnx_runtime_computed() {
    let cases = cases("networks");
    walk(&cases, |case| on_records(case, check_values));
    println!("{} networks walked", cases.len());
    assert!(cases.len() >= FEWEST, "only {} networks", cases.len());
}

#[test]
fn inferred_shapes_are_the_computed_ones() {
    walk(&cases("networks"), |case| on_records(case, check_facts));
}

#[test]
fn gradients_reach_inputs_and_weights_and_are_finite() {
    for mode in [Mode::Inference, Mode::Training] {
        walk(&cases("networks"), |case| {
            on_records(case, |graph, record| check_gradients(graph, record, mode))
        });
    }
}
