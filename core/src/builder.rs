//! Writing a network by hand: what the zoo, regressors and gates are made with.
//!
//! Names follow PyTorch's: a layer `layer1.0.conv1` has the tensors `layer1.0.conv1.weight` and
//! `…bias`, and its output value carries the layer's name, so that a tap is written as one would
//! write it there.

use burn::tensor::TensorData;

use crate::graph::infer::{node_facts, tensor_fact};
use crate::graph::{Facts, Graph, GraphError, Init, Node, StoredTensor};
use crate::op::OpError;
use crate::op::{Attribute, Attributes, Dim, Fact, Role, ValueInfo};
use crate::ops::table;

/// The operator set that the builder writes.
pub(crate) const BUILDER_OPSET: i64 = 17;

/// The shape of a 2-D convolution.
#[derive(Clone, Copy, Debug)]
pub struct Conv {
    /// Output channels.
    pub out: usize,
    /// Height and width of the kernel.
    pub kernel: usize,
    /// Step along both axes.
    pub stride: usize,
    /// Zeros around the picture, on each side.
    pub pad: usize,
    /// Groups of channels that do not see one another.
    pub groups: usize,
    /// Whether a bias is added.
    pub bias: bool,
}

impl Conv {
    /// A convolution that keeps the picture's extent at stride 1, without bias: what stands before
    /// a BatchNorm.
    pub fn same(out: usize, kernel: usize) -> Self {
        Self {
            out,
            kernel,
            stride: 1,
            pad: kernel / 2,
            groups: 1,
            bias: false,
        }
    }

    /// With another stride.
    pub fn stride(self, stride: usize) -> Self {
        Self { stride, ..self }
    }

    /// With another padding.
    pub fn pad(self, pad: usize) -> Self {
        Self { pad, ..self }
    }

    /// In groups.
    pub fn groups(self, groups: usize) -> Self {
        Self { groups, ..self }
    }

    /// With a bias.
    pub fn with_bias(self) -> Self {
        Self { bias: true, ..self }
    }
}

/// The shape of a 2-D pool.
#[derive(Clone, Copy, Debug)]
pub struct Pool {
    /// Height and width of the window.
    pub kernel: usize,
    /// Step along both axes.
    pub stride: usize,
    /// Border on each side.
    pub pad: usize,
}

/// Builds a [`Graph`] node by node, with shapes checked at once.
#[derive(Debug)]
pub struct GraphBuilder {
    graph: Graph,
    facts: Facts,
    seed: u64,
}

impl GraphBuilder {
    /// An empty network; weights are drawn from `seed`.
    pub fn new(name: &str, seed: u64) -> Self {
        let mut graph = Graph {
            name: name.to_owned(),
            ..Graph::default()
        };
        graph.model.opsets.insert(String::new(), BUILDER_OPSET);
        graph.model.producer = "potstill".to_owned();
        graph.model.producer_version = env!("CARGO_PKG_VERSION").to_owned();
        Self {
            graph,
            facts: Facts::default(),
            seed,
        }
    }

    /// Declares a float input `[batch, dims…]`.
    pub fn input(&mut self, name: &str, dims: &[usize]) -> String {
        let mut declared = vec![Dim::Symbol("batch".to_owned())];
        declared.extend(dims.iter().map(|extent| Dim::Known(*extent)));
        self.graph.inputs.push(ValueInfo::float(name, declared));
        let mut at_one = vec![1];
        at_one.extend(dims);
        self.facts.insert(name.to_owned(), Fact::float(at_one));
        name.to_owned()
    }

    /// The extents of a value at batch 1; empty for a name that is none.
    pub fn dims(&self, value: &str) -> Vec<usize> {
        self.facts
            .get(value)
            .map(|fact| fact.dims.clone())
            .unwrap_or_default()
    }

    /// The channels (axis 1) of a value; 0 for a name that is none.
    pub fn channels(&self, value: &str) -> usize {
        self.dims(value).get(1).copied().unwrap_or(0)
    }

    /// Stores a float tensor drawn by `init`.
    pub fn tensor(&mut self, name: &str, role: Role, dims: &[usize], init: Init) -> String {
        let data = init.draw(name, dims, self.seed);
        self.store(name, role, data)
    }

    /// Stores integers, as shapes and axes are given.
    pub fn ints(&mut self, name: &str, values: &[i64]) -> String {
        self.store(
            name,
            Role::Constant,
            TensorData::new(values.to_vec(), vec![values.len()]),
        )
    }

    /// Stores any tensor.
    pub fn store(&mut self, name: &str, role: Role, data: TensorData) -> String {
        let tensor = StoredTensor { role, data };
        self.facts.insert(name.to_owned(), tensor_fact(&tensor));
        self.graph.tensors.insert(name.to_owned(), tensor);
        name.to_owned()
    }

    /// Adds a node with one output of the node's name.
    ///
    /// # Errors
    /// An unknown operator or attribute, or inputs that do not fit.
    pub fn node(
        &mut self,
        name: &str,
        op: &str,
        inputs: &[&str],
        attributes: impl IntoIterator<Item = (&'static str, Attribute)>,
    ) -> Result<String, GraphError> {
        Ok(self
            .node_with_outputs(name, op, inputs, &[name], attributes)?
            .remove(0))
    }

    /// Adds a node with several outputs.
    ///
    /// # Errors
    /// As [`node`](Self::node).
    pub fn node_with_outputs(
        &mut self,
        name: &str,
        op: &str,
        inputs: &[&str],
        outputs: &[&str],
        attributes: impl IntoIterator<Item = (&'static str, Attribute)>,
    ) -> Result<Vec<String>, GraphError> {
        let attributes: Attributes = attributes
            .into_iter()
            .map(|(name, attribute)| (name.to_owned(), attribute))
            .collect();
        let refuse = |source| GraphError::Node {
            node: name.to_owned(),
            op: op.to_owned(),
            source,
        };
        let typed = table::read(op, BUILDER_OPSET, inputs.len(), outputs.len(), &attributes)
            .unwrap_or_else(|| {
                Err(OpError::Unsupported {
                    what: format!("operator `{op}`"),
                })
            })
            .map_err(refuse)?;
        let node = Node {
            name: name.to_owned(),
            op: typed,
            attributes,
            inputs: inputs.iter().map(|&input| input.to_owned()).collect(),
            outputs: outputs.iter().map(|&output| output.to_owned()).collect(),
            doc: String::new(),
        };
        let made = node_facts(&node, &self.facts)?;
        for (output, fact) in node.outputs.iter().zip(made) {
            self.facts.insert(output.clone(), fact);
        }
        let outputs = node.outputs.clone();
        self.graph.nodes.push(node);
        Ok(outputs)
    }

    /// A 2-D convolution with weights drawn by [`Init::KaimingFanOut`] and a bias of 0.
    ///
    /// # Errors
    /// An input that does not fit.
    pub fn conv(&mut self, name: &str, x: &str, conv: Conv) -> Result<String, GraphError> {
        let dims = [
            conv.out,
            self.channels(x) / conv.groups.max(1),
            conv.kernel,
            conv.kernel,
        ];
        let weight = self.tensor(
            &format!("{name}.weight"),
            Role::Weight,
            &dims,
            Init::KaimingFanOut,
        );
        let mut inputs = vec![x.to_owned(), weight];
        if conv.bias {
            inputs.push(self.tensor(
                &format!("{name}.bias"),
                Role::Weight,
                &[conv.out],
                Init::Fill(0.0),
            ));
        }
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        let (kernel, stride, pad) = (conv.kernel as i64, conv.stride as i64, conv.pad as i64);
        self.node(
            name,
            "Conv",
            &inputs,
            [
                ("dilations", vec![1, 1].into()),
                ("group", (conv.groups as i64).into()),
                ("kernel_shape", vec![kernel; 2].into()),
                ("pads", vec![pad; 4].into()),
                ("strides", vec![stride; 2].into()),
            ],
        )
    }

    /// Batch normalisation with scale 1 and shift 0.
    ///
    /// # Errors
    /// An input without channels.
    pub fn batch_norm(&mut self, name: &str, x: &str) -> Result<String, GraphError> {
        let channels = [self.channels(x)];
        let tensors = [
            self.tensor(
                &format!("{name}.weight"),
                Role::Weight,
                &channels,
                Init::Fill(1.0),
            ),
            self.tensor(&format!("{name}.bias"), Role::Weight, &channels, Init::Fill(0.0)),
            self.tensor(
                &format!("{name}.running_mean"),
                Role::Buffer,
                &channels,
                Init::Fill(0.0),
            ),
            self.tensor(
                &format!("{name}.running_var"),
                Role::Buffer,
                &channels,
                Init::Fill(1.0),
            ),
        ];
        let [scale, bias, mean, variance] = tensors.each_ref().map(String::as_str);
        self.node(
            name,
            "BatchNormalization",
            &[x, scale, bias, mean, variance],
            [("epsilon", 1e-5.into()), ("momentum", 0.9.into())],
        )
    }

    /// max(x, 0).
    ///
    /// # Errors
    /// An unknown input.
    pub fn relu(&mut self, name: &str, x: &str) -> Result<String, GraphError> {
        self.node(name, "Relu", &[x], [])
    }

    /// a + b.
    ///
    /// # Errors
    /// Shapes that do not broadcast.
    pub fn add(&mut self, name: &str, a: &str, b: &str) -> Result<String, GraphError> {
        self.node(name, "Add", &[a, b], [])
    }

    /// Joins channels.
    ///
    /// # Errors
    /// Shapes that differ elsewhere.
    pub fn concat(&mut self, name: &str, values: &[&str]) -> Result<String, GraphError> {
        self.node(name, "Concat", values, [("axis", 1.into())])
    }

    /// The largest of each window.
    ///
    /// # Errors
    /// An input smaller than the window.
    pub fn max_pool(&mut self, name: &str, x: &str, pool: Pool) -> Result<String, GraphError> {
        self.node(name, "MaxPool", &[x], window(pool))
    }

    /// The mean of each window.
    ///
    /// # Errors
    /// An input smaller than the window.
    pub(crate) fn average_pool(&mut self, name: &str, x: &str, pool: Pool) -> Result<String, GraphError> {
        self.node(name, "AveragePool", &[x], window(pool))
    }

    /// The mean of each channel, as `[batch, channels]`.
    ///
    /// # Errors
    /// An input without spatial axes.
    pub fn global_pool(&mut self, name: &str, x: &str) -> Result<String, GraphError> {
        let pooled = self.node(&format!("{name}.pool"), "GlobalAveragePool", &[x], [])?;
        self.node(name, "Flatten", &[&pooled], [("axis", 1.into())])
    }

    /// A linear layer on `[batch, features]`, drawn as PyTorch draws it with a bias of 0.
    ///
    /// # Errors
    /// An input of another rank.
    pub fn linear(&mut self, name: &str, x: &str, out: usize) -> Result<String, GraphError> {
        let fan_in = self.channels(x);
        let init = Init::LinearUniform { fan_in };
        let weight = self.tensor(&format!("{name}.weight"), Role::Weight, &[out, fan_in], init);
        let bias = self.tensor(&format!("{name}.bias"), Role::Weight, &[out], Init::Fill(0.0));
        self.node(name, "Gemm", &[x, &weight, &bias], [("transB", 1.into())])
    }

    /// Declares an output under a name of its own: the last value is renamed to it.
    ///
    /// # Errors
    /// A value that no node makes.
    pub fn output(&mut self, name: &str, value: &str) -> Result<(), GraphError> {
        let unknown = || GraphError::UnknownOutput {
            value: value.to_owned(),
        };
        let fact = self.facts.get(value).cloned().ok_or_else(unknown)?;
        let producer = self.graph.producer(value).ok_or_else(unknown)?;
        for output in self.graph.nodes[producer]
            .outputs
            .iter_mut()
            .filter(|output| *output == value)
        {
            *output = name.to_owned();
        }
        for node in &mut self.graph.nodes {
            for input in node.inputs.iter_mut().filter(|input| *input == value) {
                *input = name.to_owned();
            }
        }
        let mut dims = vec![Dim::Symbol("batch".to_owned())];
        dims.extend(fact.dims.iter().skip(1).map(|extent| Dim::Known(*extent)));
        self.facts.insert(name.to_owned(), fact);
        self.graph.outputs.push(ValueInfo::float(name, dims));
        Ok(())
    }

    /// The finished graph.
    ///
    /// # Errors
    /// What [`Graph::validate`] refuses: two layers of one name, say.
    pub fn finish(self) -> Result<Graph, GraphError> {
        self.graph.validate()?;
        Ok(self.graph)
    }
}

fn window(pool: Pool) -> [(&'static str, Attribute); 3] {
    [
        ("kernel_shape", vec![pool.kernel as i64; 2].into()),
        ("pads", vec![pool.pad as i64; 4].into()),
        ("strides", vec![pool.stride as i64; 2].into()),
    ]
}
