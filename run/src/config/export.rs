//! How the student is written: the table `[export]`.

use potstill_exporters::Export;
use potstill_exporters::quantise::WeightBits;
use serde::{Deserialize, Serialize};

/// How to write the student.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct ExportConfig {
    /// ONNX's operator set.
    pub opset: i64,
    /// Folds BatchNorm into convolutions.
    pub fold: bool,
    /// Gives the weights of a student in int8 seven bits, for processors without VNNI.
    pub reduce_range: bool,
}

impl Default for ExportConfig {
    fn default() -> Self {
        Self {
            opset: 17,
            fold: true,
            reduce_range: false,
        }
    }
}

impl ExportConfig {
    /// As the exporter takes it.
    pub fn export(&self) -> Export {
        Export {
            opset: self.opset,
            fold: self.fold,
            weights: if self.reduce_range {
                WeightBits::Seven
            } else {
                WeightBits::Eight
            },
            ..Export::default()
        }
    }
}
