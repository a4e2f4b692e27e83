//! How the student is written: the table `[export]`.

use potstill_exporters::Export;
use serde::{Deserialize, Serialize};

/// How to write the student.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct ExportConfig {
    /// ONNX's operator set.
    pub opset: i64,
    /// Folds BatchNorm into convolutions.
    pub fold: bool,
}

impl Default for ExportConfig {
    fn default() -> Self {
        Self {
            opset: 17,
            fold: true,
        }
    }
}

impl ExportConfig {
    /// As the exporter takes it.
    pub fn export(&self) -> Export {
        Export {
            opset: self.opset,
            fold: self.fold,
            ..Export::default()
        }
    }
}
