//! From a trained network to a checked file: take the weights, leave training behind, fold, move to the operator set, describe, encode, verify, write.

use std::path::Path;

use indexmap::IndexMap;
use potstill_core::graph::Graph;

use crate::ExportError;
use crate::encode::{encode, write};
use crate::fold::fold_batch_norm;
use crate::inference::inference_form;
use crate::retarget::retarget;
use crate::verify::verify;

/// What a file should say about where it comes from, as ONNX metadata: keys and values.
pub type Provenance = IndexMap<String, String>;

/// How a student is written.
#[derive(Clone, Debug)]
pub struct Export {
    /// ONNX's operator set.
    pub opset: i64,
    /// Whether BatchNorm is folded into convolutions.
    pub fold: bool,
    /// Whether the file is run by tract before it gets its name.
    pub verify: bool,
    /// Metadata: classes, preprocessing, provenance.
    pub provenance: Provenance,
}

impl Default for Export {
    fn default() -> Self {
        Self {
            opset: 17,
            fold: true,
            verify: true,
            provenance: Provenance::new(),
        }
    }
}

/// What was written.
#[derive(Clone, Copy, Debug)]
pub struct Written {
    /// Bytes of the file.
    pub bytes: usize,
    /// BatchNorms that were folded.
    pub folded: usize,
    /// Largest relative difference between the file in tract and the network; `None` where it was not run.
    pub difference: Option<f64>,
}

/// Pictures on which a file is checked: more than one, so that a fixed batch axis would show.
const CHECKED_PICTURES: usize = 3;

impl Export {
    /// Writes a graph. A file that fails its check is not left behind.
    ///
    /// # Errors
    /// Everything that [`ExportError`] lists.
    pub fn write(&self, graph: &Graph, path: &Path) -> Result<Written, ExportError> {
        let mut exported = graph.clone();
        inference_form(&mut exported);
        let folded = if self.fold {
            fold_batch_norm(&mut exported)
        } else {
            0
        };
        retarget(&mut exported, self.opset)?;
        exported.model.metadata.extend(self.provenance.clone());
        let bytes = encode(&exported)?;
        // Compared with the graph before folding: the check covers the folding too.
        let difference = self
            .verify
            .then(|| verify(&bytes, graph, CHECKED_PICTURES))
            .transpose()?;
        write(path, &bytes)?;
        Ok(Written {
            bytes: bytes.len(),
            folded,
            difference,
        })
    }
}
