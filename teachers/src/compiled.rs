//! Teachers that are part of the program: networks that another importer has turned into Rust
//! source.
//!
//! Such a network is one node of a graph, `Compiled`, with the file's input and outputs. All that
//! works on graphs works on it: its outputs are taps by their names,
//! [`Adaptation`](crate::Adaptation) stands before and after it, its metadata counts. What lies
//! between the file's outputs cannot be seen.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use burn::tensor::{Device, Tensor};
use potstill_core::device::caught;
use potstill_core::graph::{Fact, Graph, Node};
use potstill_core::names::{did_you_mean, nearest};
use potstill_core::op::{Inputs, Op, OpError, RunContext};
use potstill_core::value::{Kind, Value};

use crate::DecodeError;
use crate::decode::decode_head;

/// What stands before a compiled teacher's name, where a file would be named.
pub const PREFIX: &str = "compiled:";

/// A network of compiled code, on a device.
pub trait CompiledNetwork: Send + Sync {
    /// The outputs, in the file's order, for pictures `[batch, channels, height, width]`.
    fn forward(&self, pictures: Tensor<4>) -> Vec<Value>;

    /// The number of its trainable numbers.
    fn parameters(&self) -> usize;
}

/// A teacher that a crate registers with `inventory`.
pub struct CompiledTeacher {
    /// Its name, after [`PREFIX`].
    pub name: &'static str,
    /// Its ONNX file without nodes and tensors: input, outputs, metadata.
    pub head: &'static [u8],
    /// Equal where the file and its weights are equal.
    pub digest: &'static str,
    /// Puts it on a device.
    pub load: fn(&Device) -> Box<dyn CompiledNetwork>,
}

inventory::collect!(CompiledTeacher);

/// Why there is no such teacher.
#[derive(Debug, thiserror::Error)]
pub enum CompiledError {
    /// A name that is not compiled in.
    #[error(
        "no compiled teacher `{name}`: {}{} (to compile a folder of ONNX files in: POTSTILL_TEACHERS=FOLDER cargo build --release --features compiled-teachers)",
        list(known),
        did_you_mean(near)
    )]
    Unknown {
        /// The name.
        name: String,
        /// Names that resemble it.
        near: Vec<String>,
        /// All names.
        known: Vec<&'static str>,
    },
    /// The head of its file cannot be read.
    #[error("compiled teacher `{name}`")]
    Head {
        /// The name.
        name: &'static str,
        /// What is wrong.
        #[source]
        source: DecodeError,
    },
}

fn list(known: &[&str]) -> String {
    if known.is_empty() {
        return "this build has none".to_owned();
    }
    format!("this build has {}", known.join(", "))
}

/// The compiled teachers of this program, by name.
pub fn compiled_teachers() -> Vec<&'static CompiledTeacher> {
    let mut all: Vec<_> = inventory::iter::<CompiledTeacher>.into_iter().collect();
    all.sort_by_key(|teacher| teacher.name);
    all
}

impl CompiledTeacher {
    /// The teacher of a name.
    ///
    /// # Errors
    /// [`CompiledError::Unknown`].
    pub fn find(name: &str) -> Result<&'static Self, CompiledError> {
        let all = compiled_teachers();
        if let Some(found) = all.iter().find(|teacher| teacher.name == name) {
            return Ok(found);
        }
        let known: Vec<&str> = all.iter().map(|teacher| teacher.name).collect();
        Err(CompiledError::Unknown {
            name: name.to_owned(),
            near: nearest(name, known.iter().copied(), 3),
            known,
        })
    }

    /// What its file says of itself: a graph of input, outputs and metadata, without nodes.
    ///
    /// # Errors
    /// [`CompiledError::Head`].
    pub fn head(&self) -> Result<Graph, CompiledError> {
        decode_head(self.head).map_err(|source| CompiledError::Head {
            name: self.name,
            source,
        })
    }

    /// The teacher as a graph of one node, which runs on `device`.
    ///
    /// # Errors
    /// [`CompiledError::Head`].
    pub fn graph(&self, device: &Device) -> Result<Graph, CompiledError> {
        let mut graph = self.head()?;
        let op = Compiled(Arc::new(Loaded {
            network: (self.load)(device),
            device: device.clone(),
            outputs: Mutex::default(),
        }));
        graph.nodes.push(Node {
            name: self.name.to_owned(),
            op: Box::new(op),
            // Part of the graph's fingerprint, by which kept outputs are found again.
            attributes: [("digest".to_owned(), self.digest.into())].into(),
            inputs: graph.inputs.iter().map(|input| input.name.clone()).collect(),
            outputs: graph.outputs.iter().map(|output| output.name.clone()).collect(),
            doc: String::new(),
        });
        Ok(graph)
    }
}

/// A compiled network as an operator: `[batch, channels, height, width]` to the file's outputs.
#[derive(Clone)]
struct Compiled(Arc<Loaded>);

struct Loaded {
    network: Box<dyn CompiledNetwork>,
    device: Device,
    /// For each shape of one picture that has been asked for, the outputs.
    outputs: Mutex<HashMap<Vec<usize>, Vec<Extents>>>,
}

/// The shape of an output as a function of the batch size.
#[derive(Clone, Debug)]
struct Extents {
    kind: Kind,
    /// At batch 1, and what each further picture adds.
    axes: Vec<(usize, usize)>,
}

impl Extents {
    /// From the shapes at batch 1 and 2; nothing where an axis becomes shorter.
    fn between(one: &Value, two: &Value) -> Option<Self> {
        let (kind, one, two) = (one.kind(), one.dims(), two.dims());
        let axes = one.iter().zip(&two);
        let axes = axes.map(|(one, two)| Some((*one, two.checked_sub(*one)?)));
        Some(Self {
            kind,
            axes: axes.collect::<Option<_>>()?,
        })
    }

    fn at(&self, batch: usize) -> Fact {
        let more = batch.saturating_sub(1);
        let dims = self.axes.iter().map(|(one, step)| one + more * step);
        Fact::new(self.kind, dims.collect::<Vec<_>>())
    }
}

impl std::fmt::Debug for Compiled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Compiled")
    }
}

impl Loaded {
    /// Runs on one and on two black pictures: compiled code does not say what shapes it makes, and
    /// panics where it cannot make any.
    fn measure(&self, picture: &[usize]) -> Result<Vec<Extents>, OpError> {
        let refuse = |reason: String| OpError::Shape {
            name: "pictures",
            got: picture.to_vec(),
            expected: format!("pictures that the compiled network takes ({reason})"),
        };
        let &[channels, height, width] = picture else {
            return Err(refuse("[channels, height, width]".to_owned()));
        };
        let run = |batch| {
            let pictures = Tensor::zeros([batch, channels, height, width], &self.device);
            caught(|| self.network.forward(pictures))
        };
        let (one, two) = (run(1).map_err(refuse)?, run(2).map_err(refuse)?);
        let outputs = one.iter().zip(&two);
        let outputs = outputs.map(|(one, two)| {
            Extents::between(one, two).ok_or_else(|| refuse("two of them give less than one".to_owned()))
        });
        outputs.collect()
    }
}

impl Op for Compiled {
    fn name(&self) -> &'static str {
        "Compiled"
    }

    fn infer(&self, inputs: &Inputs<'_, Fact>) -> Result<Vec<Fact>, OpError> {
        let pictures = inputs.filled(0, "pictures")?;
        let (batch, picture) = match pictures.dims.split_first() {
            Some((batch, picture)) => (*batch, picture),
            None => (1, &[][..]),
        };
        let mut known = self.0.outputs.lock().unwrap_or_else(PoisonError::into_inner);
        if !known.contains_key(picture) {
            known.insert(picture.to_vec(), self.0.measure(picture)?);
        }
        let outputs = known.get(picture).into_iter().flatten();
        Ok(outputs.map(|extents| extents.at(batch)).collect())
    }

    fn run(&self, inputs: &Inputs<'_, Value>, _context: &RunContext) -> Result<Vec<Value>, OpError> {
        let pictures = inputs.required(0, "pictures")?.clone();
        Ok(self.0.network.forward(pictures.float()))
    }

    fn parameters(&self) -> usize {
        self.0.network.parameters()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use onnx_protobuf::tensor_shape_proto::Dimension;
    use onnx_protobuf::{GraphProto, Message, ModelProto, ValueInfoProto};
    use potstill_core::network::Network;
    use potstill_core::op::Mode;

    use super::*;
    use crate::Classifier;

    /// Means of the channels as logits, and the picture's first row; takes 4 × 4 pictures.
    struct Means;

    impl CompiledNetwork for Means {
        fn forward(&self, pictures: Tensor<4>) -> Vec<Value> {
            let [batch, channels, height, width] = pictures.dims();
            assert_eq!([height, width], [4, 4], "made for other pictures");
            let row = pictures.clone().narrow(2, 0, 1);
            let means = pictures.reshape([batch, channels, 16]).mean_dim(2);
            vec![means.reshape([batch, channels]).into(), row.into()]
        }

        fn parameters(&self) -> usize {
            7
        }
    }

    fn value(name: &str, dims: &[Option<i64>]) -> ValueInfoProto {
        let mut value = ValueInfoProto {
            name: name.to_owned(),
            ..ValueInfoProto::default()
        };
        let tensor = value.type_.mut_or_insert_default().mut_tensor_type();
        tensor.elem_type = 1;
        let shape = tensor.shape.mut_or_insert_default();
        for extent in dims {
            let mut dim = Dimension::new();
            match extent {
                Some(extent) => dim.set_dim_value(*extent),
                None => dim.set_dim_param("n".to_owned()),
            }
            shape.dim.push(dim);
        }
        value
    }

    fn means() -> Graph {
        let graph = GraphProto {
            input: vec![value("input", &[None, Some(3), None, None])],
            output: vec![
                value("logits", &[None, Some(3)]),
                value("row", &[None, Some(3), Some(1), Some(4)]),
            ],
            ..GraphProto::default()
        };
        let mut model = ModelProto::default();
        *model.graph.mut_or_insert_default() = graph;
        let teacher = CompiledTeacher {
            name: "means",
            head: model.write_to_bytes().unwrap().leak(),
            digest: "0",
            load: |_| Box::new(Means),
        };
        teacher.graph(&Device::flex()).unwrap()
    }

    #[test]
    fn a_compiled_network_is_a_node_whose_outputs_are_taps() {
        let device = Device::flex();
        let teacher = Classifier::new(Path::new("compiled:means"), means(), [3, 4, 4], &device).unwrap();
        assert_eq!((teacher.classes, teacher.network.graph().parameters()), (3, 7));
        let network = Network::new(teacher.network.graph().clone(), &device).unwrap();
        let pictures = Value::from(Tensor::<4>::ones([5, 3, 4, 4], &device));
        let outputs = network.forward(pictures, &["row"], Mode::Inference).unwrap();
        assert_eq!(outputs.get("row").unwrap().dims(), [5, 3, 1, 4]);
        assert_eq!(outputs.first().unwrap().1.to_floats().unwrap(), [1.0; 15]);
    }

    #[test]
    fn pictures_that_compiled_code_panics_on_are_refused() {
        let refused = Classifier::new(Path::new("compiled:means"), means(), [3, 8, 8], &Device::flex());
        let message = format!("{:?}", refused.unwrap_err());
        assert!(message.contains("made for other pictures"), "{message}");
    }

    #[test]
    fn an_unknown_name_comes_with_how_to_build() {
        let refused = CompiledTeacher::find("nonsense").err().unwrap().to_string();
        assert_eq!(
            refused,
            "no compiled teacher `nonsense`: this build has none (to compile a folder of ONNX files in: POTSTILL_TEACHERS=FOLDER cargo build --release --features compiled-teachers)"
        );
    }
}
