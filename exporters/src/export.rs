//! From a trained network to a checked file: take the weights, leave training behind, fold, move to
//! the operator set, describe, encode, verify, write.

use std::path::Path;

use burn::tensor::Tensor;
use indexmap::IndexMap;
use potstill_core::graph::Graph;

use crate::ExportError;
use crate::encode::{encode, write};
use crate::fold::fold_batch_norm;
use crate::fp16::{refuse_change, refuse_overflow, to_half};
use crate::inference::inference_form;
use crate::quantise::{Calibration, Ranges, WeightBits, calibrate, quantise};
use crate::retarget::retarget;
use crate::settle::settle;
use crate::verify::{TOLERANCE, rehearse, verify};

/// What a file should say about where it comes from, as ONNX metadata: keys and values.
pub type Provenance = IndexMap<String, String>;

/// In which numbers a file computes.
#[derive(Clone, Debug, Default)]
pub enum ExportPrecision {
    /// 32-bit floats.
    #[default]
    Fp32,
    /// 16-bit floats between casts. On these pictures, prepared as in inference, no number may grow
    /// beyond what they hold, and the outputs must stay what they are; the first batch is looked
    /// at.
    Fp16(Vec<Tensor<4>>),
    /// 8-bit integers, in ranges that are found on pictures.
    Int8(Calibration),
}

/// For what is rounded to 255 steps of a value's range.
const ROUNDED_TOLERANCE: f64 = 5e-2;

impl ExportPrecision {
    /// Largest difference over largest value between the file in tract and the same graph in `f32`.
    ///
    /// `float16` has a unit roundoff of 2⁻¹¹, which some tens of layers add up. In integers, a
    /// number near the middle of two steps may be rounded to either; such a step is 1/255 of its
    /// value's range.
    fn tolerance(&self) -> f64 {
        match self {
            ExportPrecision::Fp32 => TOLERANCE,
            ExportPrecision::Fp16(_) => 1e-2,
            ExportPrecision::Int8(_) => ROUNDED_TOLERANCE,
        }
    }
}

/// How a student is written.
///
/// ```
/// use potstill_core::zoo;
/// use potstill_exporters::Export;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("student.onnx");
/// let student = zoo::build("resnet8", 10, [3, 32, 32], 0)?;
/// let export = Export { opset: 13, ..Export::default() };
/// let written = export.write(&student, &path)?;
/// println!("{} bytes, {} BatchNorms folded", written.bytes, written.folded);
/// // The file was run by tract and compared with the network before it got its name.
/// assert!(written.difference < Some(1e-4));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Export {
    /// ONNX's operator set.
    pub opset: i64,
    /// Whether BatchNorm is folded into convolutions.
    pub fold: bool,
    /// In which numbers the file computes.
    pub precision: ExportPrecision,
    /// How fine the weights of a file in integers are.
    pub weights: WeightBits,
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
            precision: ExportPrecision::Fp32,
            weights: WeightBits::Eight,
            verify: true,
            provenance: Provenance::new(),
        }
    }
}

/// A file that is made and checked, and not written yet.
#[derive(Clone, Debug)]
pub struct Made {
    /// Its content.
    pub content: Vec<u8>,
    /// BatchNorms that were folded.
    pub folded: usize,
    /// Largest relative difference between the file in tract and the network; `None` where it was
    /// not run.
    pub difference: Option<f64>,
}

impl Made {
    /// Writes it.
    ///
    /// # Errors
    /// The system's answer, with the path.
    pub fn write(&self, path: &Path) -> Result<Written, ExportError> {
        write(path, &self.content)?;
        Ok(Written {
            bytes: self.content.len(),
            folded: self.folded,
            difference: self.difference,
        })
    }
}

/// What was written.
#[derive(Clone, Copy, Debug)]
pub struct Written {
    /// Bytes of the file.
    pub bytes: usize,
    /// BatchNorms that were folded.
    pub folded: usize,
    /// Largest relative difference between the file in tract and the network; `None` where it was
    /// not run.
    pub difference: Option<f64>,
}

/// Pictures on which a file is checked: more than one, so that a fixed batch axis would show.
const CHECKED_PICTURES: usize = 3;

/// And on which an untrained one is.
const REHEARSED_PICTURES: usize = 2;

impl Export {
    /// Refuses a graph that cannot be written, before its weights are trained: it goes through all
    /// that [`make`](Self::make) does, in fp32 or in the integers that it is to learn, and is run
    /// by tract once.
    ///
    /// # Errors
    /// As [`make`](Self::make).
    pub fn check(&self, graph: &Graph) -> Result<(), ExportError> {
        let Stages {
            settled,
            exported,
            ranges,
            ..
        } = self.stages(graph)?;
        let check = |bytes: &[u8], graph: &Graph, tolerance: f64| match self.verify {
            true => rehearse(bytes, graph, REHEARSED_PICTURES, tolerance),
            false => Ok(()),
        };
        check(&encode(&exported)?, &settled, ROUNDED_TOLERANCE)?;
        if let Some(converted) = self.converted(exported, ranges)? {
            // Ranges that nothing has been seen of round to anything.
            check(&encode(&converted)?, &converted, f64::MAX)?;
        }
        Ok(())
    }

    /// The graph as it is written in 32-bit floats, and what is known of it.
    fn stages(&self, graph: &Graph) -> Result<Stages, ExportError> {
        let mut exported = graph.clone();
        inference_form(&mut exported);
        let ranges = settle(&mut exported)?;
        let settled = exported.clone();
        let folded = if self.fold {
            fold_batch_norm(&mut exported)
        } else {
            0
        };
        retarget(&mut exported, self.opset)?;
        exported.distinguish_nodes();
        // They follow from the inputs, and would have to follow every change below.
        exported.annotations.clear();
        exported.model.metadata.extend(self.provenance.clone());
        Ok(Stages {
            settled,
            exported,
            folded,
            ranges,
        })
    }

    /// A graph in the file's precision; `None` where it is in that already.
    fn converted(&self, mut graph: Graph, learnt: Option<Ranges>) -> Result<Option<Graph>, ExportError> {
        let seven = self.weights == WeightBits::Seven;
        match (&self.precision, learnt) {
            (ExportPrecision::Fp32 | ExportPrecision::Fp16(_), None) if seven => {
                return Err(ExportError::ReduceRange);
            }
            (ExportPrecision::Fp32, None) => return Ok(None),
            (ExportPrecision::Fp16(pictures), None) => {
                refuse_overflow(&graph, pictures)?;
                let single = graph.clone();
                to_half(&mut graph)?;
                refuse_change(&single, &graph, pictures)?;
            }
            (ExportPrecision::Fp16(_), Some(_)) => return Err(ExportError::LearntIntegers),
            (ExportPrecision::Int8(calibration), learnt) => {
                let values = graph.quantisable_values()?;
                let ranges = match learnt {
                    Some(ranges) if !ranges.is_empty() => ranges,
                    _ => calibrate(&graph, &values, calibration)?,
                };
                quantise(&mut graph, &ranges, self.weights)?;
            }
            (ExportPrecision::Fp32, Some(ranges)) => quantise(&mut graph, &ranges, self.weights)?,
        }
        graph.validate()?;
        Ok(Some(graph))
    }

    /// Makes a graph's file, and writes it. A file that fails its check is not left behind.
    ///
    /// # Errors
    /// Everything that [`ExportError`] lists.
    pub fn write(&self, graph: &Graph, path: &Path) -> Result<Written, ExportError> {
        self.make(graph)?.write(path)
    }

    /// Makes a graph's file and checks it.
    ///
    /// # Errors
    /// Everything that [`ExportError`] lists but a disk that refuses.
    pub fn make(&self, graph: &Graph) -> Result<Made, ExportError> {
        let Stages {
            settled,
            exported,
            folded,
            ranges,
        } = self.stages(graph)?;
        let tolerance = if ranges.is_some() {
            ROUNDED_TOLERANCE
        } else {
            self.precision.tolerance()
        };
        let check = |bytes: &[u8], graph: &Graph, tolerance: f64| {
            self.verify
                .then(|| verify(bytes, graph, CHECKED_PICTURES, tolerance))
                .transpose()
        };
        let mut content = encode(&exported)?;
        // Compared with the graph before folding: the check covers the folding too.
        let mut difference = check(&content, &settled, TOLERANCE)?;
        if let Some(converted) = self.converted(exported, ranges)? {
            content = encode(&converted)?;
            difference = check(&content, &converted, tolerance)?;
        }
        Ok(Made {
            content,
            folded,
            difference,
        })
    }
}

/// A graph on its way into a file.
struct Stages {
    /// In inference form, without what exists in training alone.
    settled: Graph,
    /// Folded and moved to the operator set.
    exported: Graph,
    /// BatchNorms that were folded.
    folded: usize,
    /// The ranges in which the student learnt to compute in integers.
    ranges: Option<Ranges>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::TensorData;
    use potstill_core::op::Role;
    use potstill_core::zoo;

    /// A network of the zoo whose running statistics are not those of a fresh one, so that folding
    /// has something to do.
    fn trained(name: &str, picture: [usize; 3]) -> Graph {
        let mut graph = zoo::build(name, 10, picture, 7).unwrap();
        for (index, tensor) in graph
            .tensors
            .values_mut()
            .filter(|tensor| tensor.role == Role::Buffer)
            .enumerate()
        {
            let draw = |i: usize| 0.5 + ((i * 37 + index * 11) % 17) as f32 / 17.0;
            let values: Vec<f32> = (0..tensor.len()).map(draw).collect();
            tensor.data = TensorData::new(values, tensor.data.shape().to_vec());
        }
        graph
    }

    fn batch_norms(graph: &Graph) -> usize {
        graph
            .nodes
            .iter()
            .filter(|node| node.op.name() == "BatchNormalization")
            .count()
    }

    #[test]
    fn a_network_of_each_family_exports_folded_and_agrees_in_tract() {
        let folder = tempfile::tempdir().unwrap();
        let mut families = Vec::new();
        for architecture in zoo::architectures()
            .iter()
            .filter(|architecture| architecture.input[1] == 32)
        {
            if families.contains(&architecture.family) {
                continue;
            }
            families.push(architecture.family);
            let graph = trained(architecture.name, architecture.input);
            let path = folder.path().join("student.onnx");
            let written = Export::default().write(&graph, &path).unwrap();
            // In DenseNet every BatchNorm stands before its convolution, where it cannot be folded.
            assert_eq!(
                written.folded == 0,
                architecture.family == "densenet",
                "{}",
                architecture.name
            );
            assert!(written.difference.unwrap() <= TOLERANCE);
        }
        assert!(families.len() >= 6, "{families:?}");
    }

    #[test]
    fn every_operator_set_can_be_written() {
        let folder = tempfile::tempdir().unwrap();
        let graph = trained("resnet8", [3, 32, 32]);
        for opset in 9..=21 {
            for fold in [true, false] {
                let export = Export {
                    opset,
                    fold,
                    ..Export::default()
                };
                export.write(&graph, &folder.path().join("student.onnx")).unwrap();
            }
        }
        let refused = Export {
            opset: 8,
            ..Export::default()
        }
        .write(&graph, &folder.path().join("x.onnx"));
        assert!(matches!(refused, Err(ExportError::Opset { got: 8, .. })));
    }

    #[test]
    fn folding_leaves_no_batch_norm_in_a_resnet() {
        let mut graph = trained("resnet20", [3, 32, 32]);
        let before = batch_norms(&graph);
        assert_eq!(fold_batch_norm(&mut graph), before);
        assert_eq!(batch_norms(&graph), 0);
        graph.validate().unwrap();
    }

    #[test]
    fn a_file_that_computes_something_else_is_an_error() {
        let graph = trained("resnet8", [3, 32, 32]);
        let other = zoo::build("resnet8", 10, [3, 32, 32], 8).unwrap();
        let bytes = encode(&graph).unwrap();
        assert!(matches!(
            verify(&bytes, &other, 2, TOLERANCE),
            Err(ExportError::Differs { .. })
        ));
    }

    #[test]
    fn nothing_is_left_where_the_file_cannot_be_written() {
        let folder = tempfile::tempdir().unwrap();
        let graph = zoo::build("resnet8", 10, [3, 32, 32], 8).unwrap();
        let path = folder.path().join("missing").join("student.onnx");
        assert!(matches!(
            Export::default().write(&graph, &path),
            Err(ExportError::Io { .. })
        ));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
