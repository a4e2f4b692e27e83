//! A classifier: a graph checked against the data, frozen on a device. Teachers are such, and
//! whatever `eval` looks at.

use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor};
use potstill_core::graph::{Dim, Graph, GraphError, infer};
use potstill_core::network::{Network, Outputs};
use potstill_core::op::{ElementType, Mode};
use potstill_core::value::{Kind, Value};

use crate::{Adaptation, DecodeError, decode_file};

/// Why a file is no classifier for the data.
#[derive(Debug, thiserror::Error)]
pub enum ClassifierError {
    /// The file is no network that runs here.
    #[error("cannot import {path}")]
    Decode {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: DecodeError,
    },
    /// The network does not run as it stands.
    #[error("cannot run {path}")]
    Graph {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: GraphError,
    },
    /// More than one input or output, or an output that is no `[batch, classes]`.
    #[error("{path}: {what}, expected {expected}")]
    NotAClassifier {
        /// The file.
        path: PathBuf,
        /// What the network has.
        what: String,
        /// What a classifier has.
        expected: String,
    },
    /// A network for other pictures.
    #[error("{path}: input `{input}` is {got}, the data has pictures of {expected}")]
    InputShape {
        /// The file.
        path: PathBuf,
        /// The input's name.
        input: String,
        /// The declared shape.
        got: String,
        /// The data's shape.
        expected: String,
    },
    /// A network that takes pictures as they are in files.
    #[error(
        "{path}: input `{input}` takes elements of type {got:?}, expected floats: pictures are fed as (pixel / 255 - mean) / std; export the network without its own conversion, or with a float input that it multiplies back"
    )]
    InputElement {
        /// The file.
        path: PathBuf,
        /// The input's name.
        input: String,
        /// What it takes.
        got: ElementType,
    },
    /// A network for another number of classes.
    #[error("{path}: output `{output}` has {got} classes, the data has {expected}")]
    Classes {
        /// The file.
        path: PathBuf,
        /// The output's name.
        output: String,
        /// The network's classes.
        got: usize,
        /// The data's classes.
        expected: usize,
    },
}

/// A frozen network that gives `[batch, classes]` logits for `[batch, channels, height, width]`
/// pictures.
///
/// A teacher is one that does not learn; a student under test is one too.
#[derive(Clone, Debug)]
pub struct Classifier {
    /// Where it came from.
    pub path: PathBuf,
    /// The network, in inference mode and without gradients.
    pub network: Network,
    /// The number of classes.
    pub classes: usize,
    logits: String,
}

impl Classifier {
    /// Opens a classifier for pictures of a shape `[channels, height, width]`.
    ///
    /// # Errors
    /// A file that cannot be imported, is no classifier, or is one for other pictures.
    pub fn open(path: &Path, picture: [usize; 3], device: &Device) -> Result<Self, ClassifierError> {
        let graph = decode_file(path).map_err(|source| ClassifierError::Decode {
            path: path.to_owned(),
            source,
        })?;
        Self::new(path, graph, picture, device)
    }

    /// Checks an imported graph; `path` is for messages.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn new(
        path: &Path,
        graph: Graph,
        picture: [usize; 3],
        device: &Device,
    ) -> Result<Self, ClassifierError> {
        Self::adapted(path, graph, picture, &Adaptation::default(), device)
    }

    /// Checks an imported graph that takes other pictures, or has its classes in another order, and
    /// puts what it needs before and after it.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn adapted(
        path: &Path,
        mut graph: Graph,
        picture: [usize; 3],
        adaptation: &Adaptation,
        device: &Device,
    ) -> Result<Self, ClassifierError> {
        let path = path.to_owned();
        let adaptation = Adaptation {
            channels_last: is_channels_last(&graph, adaptation.picture(picture)),
            ..adaptation.clone()
        };
        check_classifier(&path, &mut graph, &adaptation, picture)?;
        let run = |source| ClassifierError::Graph {
            path: path.clone(),
            source,
        };
        adaptation.apply(&mut graph, picture).map_err(run)?;
        let logits = graph
            .outputs
            .first()
            .map_or("", |output| output.name.as_str())
            .to_owned();
        keep_batch_axis(&mut graph, &logits);
        let facts = infer(&graph, 2).map_err(run)?;
        let classes = match facts.get(&logits).map(|fact| fact.dims.as_slice()) {
            Some([2, classes]) => *classes,
            other => {
                let what = format!(
                    "output `{logits}` has shape {:?} at batch 2",
                    other.unwrap_or_default()
                );
                return Err(ClassifierError::NotAClassifier {
                    path,
                    what,
                    expected: "[batch, classes]".to_owned(),
                });
            }
        };
        let network = Network::new(graph, device).map_err(run)?;
        Ok(Self {
            path,
            network,
            classes,
            logits,
        })
    }

    /// Refuses another number of classes than the data's.
    ///
    /// # Errors
    /// [`ClassifierError::Classes`].
    pub fn check_classes(&self, expected: usize) -> Result<(), ClassifierError> {
        if self.classes == expected {
            return Ok(());
        }
        Err(ClassifierError::Classes {
            path: self.path.clone(),
            output: self.logits.clone(),
            got: self.classes,
            expected,
        })
    }

    /// The name of the output that holds the logits.
    pub fn logits(&self) -> &str {
        &self.logits
    }

    /// Runs on a batch `[batch, channels, height, width]`, without gradients.
    ///
    /// # Errors
    /// An unknown tap.
    pub fn forward(&self, pictures: Tensor<4>, taps: &[&str]) -> Result<Outputs, GraphError> {
        self.network.forward(Value::from(pictures), taps, Mode::Inference)
    }
}

/// Puts the batch axis back where the network squeezes it away at a batch of one picture:
/// `[classes]` there, `[batch, classes]` elsewhere, as of PyTorch's `squeeze()`.
fn keep_batch_axis(graph: &mut Graph, logits: &str) {
    let dims_at = |batch| {
        infer(graph, batch)
            .ok()?
            .get(logits)
            .map(|fact| fact.dims.clone())
    };
    let (Some(one), Some(two)) = (dims_at(1), dims_at(2)) else {
        return;
    };
    if let ([squeezed], [2, classes]) = (one.as_slice(), two.as_slice())
        && squeezed == classes
    {
        graph.reshape_output(logits, &[-1, *classes as i64]);
    }
}

/// Whether a graph states its input as `[batch, height, width, channels]`.
fn is_channels_last(graph: &Graph, [channels, height, _]: [usize; 3]) -> bool {
    let stated = graph.inputs.first().and_then(|input| input.dims.as_deref());
    match stated {
        Some([_, first, _, last]) => {
            channels != height && *last == Dim::Known(channels) && *first != Dim::Known(channels)
        }
        _ => false,
    }
}

/// One input for the pictures, at least one output; open axes of the input are set to the
/// picture's.
fn check_classifier(
    path: &Path,
    graph: &mut Graph,
    adaptation: &Adaptation,
    picture: [usize; 3],
) -> Result<(), ClassifierError> {
    let [channels, height, width] = adaptation.picture(picture);
    let picture = if adaptation.channels_last {
        [height, width, channels]
    } else {
        [channels, height, width]
    };
    let refuse = |what: String, expected: &str| ClassifierError::NotAClassifier {
        path: path.to_owned(),
        what,
        expected: expected.to_owned(),
    };
    let count = graph.inputs.len();
    let [input] = graph.inputs.as_mut_slice() else {
        return Err(refuse(format!("{count} inputs"), "one input of pictures"));
    };
    let mismatch = |got: String, input: &str| ClassifierError::InputShape {
        path: path.to_owned(),
        input: input.to_owned(),
        got,
        expected: format!("[batch, {}, {}, {}]", picture[0], picture[1], picture[2]),
    };
    if let Some(element) = input.element.filter(|element| element.kind() != Kind::Float) {
        return Err(ClassifierError::InputElement {
            path: path.to_owned(),
            input: input.name.clone(),
            got: element,
        });
    }
    let shape = input.shape_text();
    match &mut input.dims {
        Some(dims) if dims.len() == 4 => {
            if let Dim::Known(batch) = dims[0] {
                let what = format!("input `{}` has the fixed batch size {batch}", input.name);
                return Err(refuse(what, "a dynamic batch axis"));
            }
            for (dim, expected) in dims[1..].iter_mut().zip(picture) {
                match dim {
                    Dim::Known(extent) if *extent != expected => return Err(mismatch(shape, &input.name)),
                    dim => *dim = Dim::Known(expected),
                }
            }
        }
        Some(_) => return Err(mismatch(shape, &input.name)),
        dims @ None => {
            let known = picture.into_iter().map(Dim::Known);
            *dims = Some(
                [Dim::Symbol("batch".to_owned())]
                    .into_iter()
                    .chain(known)
                    .collect(),
            );
        }
    }
    if graph.outputs.is_empty() {
        return Err(refuse("no output".to_owned(), "an output of logits"));
    }
    Ok(())
}
