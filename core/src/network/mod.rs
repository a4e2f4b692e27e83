//! A graph that runs: its tensors on a device, as a Burn module that Burn's optimizers, records and
//! learner work on.

mod fusion;
mod instruction;
mod outputs;
mod parameter;
mod program;
mod run;

pub use outputs::{Outputs, TapError};
pub use parameter::Parameter;

use std::sync::Arc;

use burn::module::{Module, RunningState};
use burn::tensor::{Device, Tensor};
use burn_optim::GradientsParams;

use crate::graph::{Graph, GraphError, StoredTensor, infer};
use crate::op::Mode;
use crate::op::{Dim, Role, ValueInfo};
use crate::precision::Precision;
use crate::value::{Kind, Value};
use program::{Program, Source};

/// A network on a device.
///
/// Cloning is cheap: tensors are shared. Floats run as `f32` whatever their type in the file.
///
/// Two grey pictures through an untrained network, with the features that its classifier reads:
///
/// ```
/// use burn::tensor::{Device, TensorData};
/// use potstill_core::network::Network;
/// use potstill_core::op::Mode;
/// use potstill_core::value::Value;
/// use potstill_core::zoo;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let device = Device::flex();
/// let network = Network::new(zoo::build("resnet8", 10, [3, 32, 32], 0)?, &device)?;
/// let pictures = TensorData::new(vec![0.5f32; 2 * 3 * 32 * 32], [2, 3, 32, 32]);
/// let pictures = Value::from_data(pictures, &device);
/// let outputs = network.forward(pictures, &["avgpool"], Mode::Inference)?;
/// assert_eq!(outputs.float::<2>("logits")?.dims(), [2, 10]);
/// assert_eq!(outputs.float::<2>("avgpool")?.dims(), [2, 64]);
/// # Ok(())
/// # }
/// ```
#[derive(Module, Debug)]
pub struct Network {
    /// Trained by the optimizer.
    weights: Vec<Parameter>,
    /// Fixed floats, moved with the network from device to device.
    constants: Vec<Parameter>,
    /// Running statistics of rank 1.
    buffers: Vec<RunningState<Tensor<1>>>,
    /// Names, order of execution, integers.
    #[module(skip)]
    program: Arc<Program>,
    /// Of convolutions in inference mode, and in the others.
    #[module(skip)]
    precisions: [Precision; 2],
}

/// A tensor of a network with its name.
#[derive(Clone, Debug)]
pub struct NamedTensor {
    /// Its name in the graph.
    pub name: String,
    /// What it is for.
    pub role: Role,
    /// Its elements.
    pub value: Value,
}

impl Network {
    /// Puts a graph on a device. Weights are tracked for gradients where the device is one of
    /// autodiff.
    ///
    /// # Errors
    /// A graph that is inconsistent, or whose shapes do not fit at batch 1 and 2.
    pub fn new(graph: Graph, device: &Device) -> Result<Self, GraphError> {
        graph.validate()?;
        for (name, tensor) in &graph.tensors {
            check_size(name, tensor)?;
        }
        // What depends on the batch size only shows at a second one. Other extents that the file
        // leaves open are checked when they come.
        if graph.inputs.iter().all(open_in_batch_alone) {
            for batch in [1, 2] {
                infer(&graph, batch)?;
            }
        }
        let (mut weights, mut constants, mut buffers) = (Vec::new(), Vec::new(), Vec::new());
        let mut sources = Vec::with_capacity(graph.tensors.len());
        for tensor in graph.tensors.values() {
            let scalar = tensor.data.shape().rank() == 0;
            let source = match (kind(tensor), tensor.role) {
                (Kind::Float, Role::Buffer) if tensor.data.shape().rank() == 1 => {
                    let value = Value::from_data(tensor.data.clone(), device);
                    buffers.push(RunningState::new(value.float::<1>()));
                    Source::Buffer(buffers.len() - 1)
                }
                (Kind::Float, Role::Weight) => {
                    weights.push(Parameter::new(tensor.data.clone(), device, true)?);
                    Source::Weight {
                        index: weights.len() - 1,
                        scalar,
                    }
                }
                (Kind::Float, _) => {
                    constants.push(Parameter::new(tensor.data.clone(), device, false)?);
                    Source::Constant {
                        index: constants.len() - 1,
                        scalar,
                    }
                }
                _ => Source::Host(Box::new(Value::from_data(tensor.data.clone(), &Device::flex()))),
            };
            sources.push(source);
        }
        let program = Arc::new(Program::new(graph, sources));
        Ok(Self {
            weights,
            constants,
            buffers,
            program,
            precisions: [Precision::Fp32; 2],
        })
    }

    /// The same network with another precision of its convolutions while it trains; in inference it
    /// computes in fp32, as it does after an export.
    pub fn training_in(mut self, precision: Precision) -> Self {
        self.precisions = [Precision::Fp32, precision];
        self
    }

    /// The same network with another precision of its convolutions, in inference as well: one that
    /// does not learn.
    pub fn frozen_in(mut self, precision: Precision) -> Self {
        self.precisions = [precision; 2];
        self
    }

    fn precision(&self, mode: Mode) -> Precision {
        self.precisions[usize::from(mode != Mode::Inference)]
    }

    /// The graph as it was given; its tensors hold the initial values. [`to_graph`](Self::to_graph)
    /// gives the current ones.
    pub fn graph(&self) -> &Graph {
        self.program.graph()
    }

    /// The graph with the network's current weights and statistics.
    pub fn to_graph(&self) -> Graph {
        let mut graph = self.graph().clone();
        for tensor in self.tensors() {
            if let Some(stored) = graph.tensors.get_mut(&tensor.name) {
                // Files keep their element type: a half-precision weight goes back as one.
                stored.data = tensor.value.into_data().convert_dtype(stored.data.dtype());
            }
        }
        graph
    }

    /// Weights and buffers by name, in the order of the graph.
    pub fn tensors(&self) -> Vec<NamedTensor> {
        let graph = self.graph();
        let named = |(name, stored): (&String, &StoredTensor), source: &Source| {
            let value = match source {
                Source::Weight { index, scalar } => self.weights[*index].value(*scalar),
                Source::Buffer(index) => self.buffers[*index].value_sync().into(),
                Source::Constant { .. } | Source::Host(_) => return None,
            };
            Some(NamedTensor {
                name: name.clone(),
                role: stored.role,
                value: value.detach(),
            })
        };
        graph
            .tensors
            .iter()
            .zip(self.program.sources())
            .filter_map(|(tensor, source)| named(tensor, source))
            .collect()
    }

    /// Takes over what training left pending in the running statistics: Burn keeps a thread's
    /// newest update apart until the next one comes.
    pub fn settle(&self) {
        for buffer in &self.buffers {
            buffer.value_sync();
        }
    }

    /// The parameter behind a weight's name.
    pub fn weight(&self, name: &str) -> Option<&Parameter> {
        let index = self.graph().tensors.get_index_of(name)?;
        match &self.program.sources()[index] {
            Source::Weight { index, .. } => self.weights.get(*index),
            _ => None,
        }
    }

    /// The gradient of each weight, flattened, in the order of the graph; `None` for one that no
    /// loss reached.
    pub fn gradients(&self, gradients: &GradientsParams) -> Vec<Option<Tensor<1>>> {
        self.weights
            .iter()
            .map(|weight| weight.gradient(gradients))
            .collect()
    }

    /// Replaces the gradient of each weight that has one by what `change` makes of it: the weight's
    /// number, its gradient and its value, flattened.
    pub fn change_gradients(
        &self,
        gradients: &mut GradientsParams,
        mut change: impl FnMut(usize, Tensor<1>, Tensor<1>) -> Tensor<1>,
    ) {
        for (index, weight) in self.weights.iter().enumerate() {
            weight.change_gradient(gradients, |gradient, value| change(index, gradient, value));
        }
    }

    /// The device of the network's floats.
    pub fn device(&self) -> Device {
        self.devices().into_iter().next().unwrap_or_else(Device::flex)
    }

    /// Trainable parameters.
    pub fn parameters(&self) -> usize {
        self.weights.iter().map(Parameter::len).sum()
    }
}

/// Whether an input states every extent but its first.
fn open_in_batch_alone(input: &ValueInfo) -> bool {
    input
        .dims
        .as_ref()
        .is_some_and(|dims| dims.iter().skip(1).all(|dim| matches!(dim, Dim::Known(_))))
}

fn kind(tensor: &StoredTensor) -> Kind {
    let dtype = tensor.data.dtype();
    if dtype.is_bool() {
        Kind::Bool
    } else if dtype.is_float() {
        Kind::Float
    } else {
        Kind::Int
    }
}

fn check_size(name: &str, tensor: &StoredTensor) -> Result<(), GraphError> {
    let expected = tensor.len();
    let got = tensor.data.bytes().len() / tensor.data.dtype().size().max(1);
    if got == expected {
        return Ok(());
    }
    let shape = tensor.data.shape().to_vec();
    Err(GraphError::TensorSize {
        tensor: name.to_owned(),
        shape,
        expected,
        got,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::zoo;

    #[test]
    fn a_learning_network_rounds_while_it_trains_and_a_frozen_one_always() {
        let device = Device::flex();
        let graph = zoo::build("resnet8", 10, [3, 32, 32], 0).unwrap();
        let pictures = crate::ops::testing::ramp(&[2, 3, 32, 32], -1.0, 1e-3);
        let logits = |network: &Network, mode: Mode| {
            let outputs = network.forward(pictures.clone(), &[], mode).unwrap();
            outputs.get("logits").unwrap().to_floats().unwrap()
        };
        let plain = Network::new(graph, &device).unwrap();
        let learning = plain.clone().training_in(Precision::Bf16);
        let frozen = plain.clone().frozen_in(Precision::Bf16);
        let near = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 0.05);
        let [trained, exact] = [Mode::Rehearsal, Mode::Inference].map(|mode| logits(&plain, mode));
        for (rounded, expected) in [
            (logits(&learning, Mode::Rehearsal), &trained),
            (logits(&frozen, Mode::Inference), &exact),
        ] {
            assert_ne!(&rounded, expected);
            assert!(near(&rounded, expected), "{rounded:?} {expected:?}");
        }
        assert_eq!(logits(&learning, Mode::Inference), exact);
    }
}
