//! The same graph in another version of ONNX's operator set.

use potstill_core::graph::Graph;
use potstill_core::ops::aligned::Aligned;
use potstill_core::ops::table;

use crate::ExportError;

/// Moves a graph to an operator set. Every operator whose written form did not change in between is
/// carried over as it is.
///
/// # Errors
/// A version outside the supported range, or the first node whose form differs.
pub fn retarget(graph: &mut Graph, opset: i64) -> Result<(), ExportError> {
    let range = table::OLDEST_WRITTEN..=table::NEWEST_WRITTEN;
    if !range.contains(&opset) {
        return Err(ExportError::Opset {
            got: opset,
            oldest: *range.start(),
            newest: *range.end(),
        });
    }
    let from = graph.model.opset();
    let (low, high) = (from.min(opset), from.max(opset));
    for node in &graph.nodes {
        let forms = table::find(node.op.name()).map_or(&[][..], |operator| operator.forms);
        let changed = forms.iter().any(|form| (low + 1..=high).contains(form));
        if changed || node.op.downcast::<Aligned>().is_some() {
            return Err(ExportError::Form {
                node: node.label().to_owned(),
                op: node.op.name().to_owned(),
                from,
                to: opset,
            });
        }
    }
    graph.model.opsets.insert(String::new(), opset);
    graph.model.ir_version = 0;
    Ok(())
}
