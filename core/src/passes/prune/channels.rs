//! Which channels of a network go together.
//!
//! Each channel of each value is numbered; what must go together is joined: the same channel before
//! and after a normalisation, both sides of a sum, a depthwise filter and its input, the places
//! that a channel has in a concatenation or in what a Flatten makes of it. What an operator does
//! with channels that is not known here keeps them as they are, so a graph is never made
//! inconsistent; such sets, and those of inputs and outputs, stay.

use std::collections::{HashMap, HashSet};

use indexmap::IndexMap;

use crate::graph::{Facts, Graph, GraphError, Node, infer};
use crate::op::Attribute;
use crate::op::resolve_axis;
use crate::ops::concat::Concat;
use crate::ops::conv::ConvOp;
use crate::ops::gemm::Gemm;

/// Operators that treat each channel by itself and keep their number; zero stays zero in most of
/// them.
const EACH_CHANNEL: &[&str] = &[
    "Relu",
    "LeakyRelu",
    "ThresholdedRelu",
    "Elu",
    "Selu",
    "Celu",
    "Sigmoid",
    "HardSigmoid",
    "HardSwish",
    "Tanh",
    "Softplus",
    "Softsign",
    "Mish",
    "Gelu",
    "Erf",
    "Clip",
    "Dropout",
    "Identity",
    "MaxPool",
    "AveragePool",
    "GlobalAveragePool",
    "GlobalMaxPool",
];

/// What depends on what: channels by number, joined into sets.
#[derive(Default)]
pub(super) struct Channels {
    /// A forest whose roots stand for sets.
    pub(super) parents: Vec<usize>,
    /// Sets that stay, by any of their channels.
    pub(super) locked: Vec<usize>,
    /// The channels of a value, along axis 1.
    pub(super) values: HashMap<String, Vec<usize>>,
    /// The channels along an axis of a stored tensor.
    pub(super) slices: IndexMap<(String, usize), Vec<usize>>,
    /// Weights with the axis of their filters.
    pub(super) filters: Vec<(String, usize)>,
    /// Factors of normalisations.
    pub(super) factors: Vec<String>,
    /// Depthwise convolutions by node, with the channels of their input.
    pub(super) depthwise: Vec<(usize, Vec<usize>)>,
}

impl Channels {
    /// Follows the channels of every value through a graph.
    ///
    /// # Errors
    /// A graph that does not run.
    pub(super) fn of(graph: &Graph) -> Result<Self, GraphError> {
        let facts = infer(graph, 1)?;
        let mut channels = Self::default();
        for input in &graph.inputs {
            channels.locked_value(&input.name, &facts);
        }
        for (index, node) in graph.nodes.iter().enumerate() {
            if channels.follow(graph, &facts, index, node).is_none() {
                channels.keep(graph, node);
            }
        }
        for output in &graph.outputs {
            let atoms = channels.values.get(&output.name).cloned();
            channels.locked.extend(atoms.unwrap_or_default());
        }
        Ok(channels)
    }

    pub(super) fn root(&self, mut atom: usize) -> usize {
        while self.parents[atom] != atom {
            atom = self.parents[atom];
        }
        atom
    }

    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        self.parents[a.max(b)] = a.min(b);
    }

    fn join_all(&mut self, a: &[usize], b: &[usize]) {
        for (a, b) in a.iter().zip(b) {
            self.join(*a, *b);
        }
    }

    pub(super) fn fresh(&mut self, count: usize) -> Vec<usize> {
        let atoms: Vec<usize> = (self.parents.len()..self.parents.len() + count).collect();
        self.parents.extend(&atoms);
        atoms
    }

    fn locked_value(&mut self, name: &str, facts: &Facts) -> Option<Vec<usize>> {
        let count = *facts.get(name)?.dims.get(1)?;
        let atoms = self.fresh(count);
        self.locked.extend(&atoms);
        self.values.insert(name.to_owned(), atoms.clone());
        Some(atoms)
    }

    /// The channels of a value; of one that nothing is known of, such as stay.
    fn value(&mut self, name: &str, facts: &Facts) -> Option<Vec<usize>> {
        match self.values.get(name) {
            Some(atoms) => Some(atoms.clone()),
            None => self.locked_value(name, facts),
        }
    }

    /// Says which channels an axis of a stored tensor has. `None`, and nothing changed, where they
    /// do not fit.
    fn slice(&mut self, graph: &Graph, tensor: &str, axis: usize, atoms: &[usize]) -> Option<()> {
        let extent = *graph.tensors.get(tensor)?.data.shape().get(axis)?;
        if extent != atoms.len() {
            return None;
        }
        let key = (tensor.to_owned(), axis);
        match self.slices.get(&key).cloned() {
            Some(known) => self.join_all(&known, atoms),
            None => {
                self.slices.insert(key, atoms.to_vec());
            }
        }
        Some(())
    }

    /// Keeps all channels that a node reads, and the tensors beside them as they are.
    fn keep(&mut self, graph: &Graph, node: &Node) {
        for input in &node.inputs {
            let atoms = self.values.get(input).cloned().unwrap_or_default();
            self.locked.extend(atoms);
            if graph.tensors.contains_key(input) {
                // Whoever else reads the tensor must leave it alone too.
                let of_tensor = self.slices.iter().filter(|((name, _), _)| name == input);
                let atoms: Vec<usize> = of_tensor.flat_map(|(_, atoms)| atoms.clone()).collect();
                self.locked.extend(atoms);
                let dims = graph.tensors[input].data.shape().to_vec();
                for (axis, extent) in dims.into_iter().enumerate() {
                    if !self.slices.contains_key(&(input.clone(), axis)) {
                        let atoms = self.fresh(extent);
                        self.locked.extend(&atoms);
                        self.slices.insert((input.clone(), axis), atoms);
                    }
                }
            }
        }
    }

    /// Follows the channels through a node; `None` where it is not known how.
    fn follow(&mut self, graph: &Graph, facts: &Facts, index: usize, node: &Node) -> Option<()> {
        let input = node.inputs.first()?;
        let output = node.outputs.first()?.clone();
        let stored = |place: usize| -> Option<&String> {
            node.inputs
                .get(place)
                .filter(|name| graph.tensors.contains_key(*name))
        };
        let atoms = match node.op.name() {
            "Conv" => self.convolution(graph, facts, index, node)?,
            "BatchNormalization" => {
                let atoms = self.value(input, facts)?;
                for place in 1..5 {
                    self.slice(graph, stored(place)?, 0, &atoms)?;
                }
                self.factors.push(stored(1)?.clone());
                atoms
            }
            "PRelu" => {
                let atoms = self.value(input, facts)?;
                self.beside(graph, stored(1)?, facts.get(input)?.rank(), &atoms)?;
                atoms
            }
            "Add" | "Sub" | "Mul" | "Div" => self.binary(graph, facts, node)?,
            "Concat" => {
                let concat = node.op.downcast::<Concat>()?;
                let rank = facts.get(input)?.rank();
                if resolve_axis(concat.axis, rank).ok()? != 1 {
                    return None;
                }
                let mut atoms = Vec::new();
                for input in &node.inputs {
                    atoms.extend(self.value(input, facts)?);
                }
                atoms
            }
            "Flatten" | "Reshape" | "Squeeze" => {
                let (from, to) = (&facts.get(input)?.dims, &facts.get(&output)?.dims);
                let per_channel: usize = from.get(2..)?.iter().product();
                let flat = to.len() == 2 && to[0] == from[0] && to[1] == from.get(1)? * per_channel;
                // A shape that states the number of features would have to be written anew.
                let open = node.op.name() != "Reshape" || {
                    let shape = graph.tensors.get(stored(1)?)?;
                    shape.data.iter::<i64>().last() == Some(-1)
                };
                if !flat || !open {
                    return None;
                }
                let atoms = self.value(input, facts)?;
                atoms
                    .iter()
                    .flat_map(|atom| std::iter::repeat_n(*atom, per_channel))
                    .collect()
            }
            "ReduceMean" => {
                let stated = match node.attributes.get("axes") {
                    Some(Attribute::Ints(axes)) => axes.clone(),
                    _ => graph.tensors.get(stored(1)?)?.data.iter::<i64>().collect(),
                };
                let rank = facts.get(input)?.rank();
                let axes: Option<HashSet<usize>> =
                    stated.iter().map(|axis| resolve_axis(*axis, rank).ok()).collect();
                if axes? != (2..rank).collect() {
                    return None;
                }
                self.value(input, facts)?
            }
            "Gemm" | "MatMul" => self.product(graph, facts, node)?,
            name if EACH_CHANNEL.contains(&name) => self.value(input, facts)?,
            _ => return None,
        };
        if facts.get(&output)?.dims.get(1) != Some(&atoms.len()) {
            return None;
        }
        self.values.insert(output, atoms);
        Some(())
    }

    fn convolution(&mut self, graph: &Graph, facts: &Facts, index: usize, node: &Node) -> Option<Vec<usize>> {
        let conv = node.op.downcast::<ConvOp>()?;
        let weight = node.inputs.get(1)?;
        let dims = graph.tensors.get(weight)?.data.shape().to_vec();
        let bias = node.inputs.get(2).filter(|name| !name.is_empty());
        if bias.is_some_and(|bias| !graph.tensors.contains_key(bias)) {
            return None;
        }
        let inputs = self.value(node.inputs.first()?, facts)?;
        let outputs = self.fresh(dims[0]);
        let (per_group, made) = (dims[1], dims[0] / conv.groups.max(1));
        if conv.groups > 1 && per_group == 1 {
            for (place, atom) in outputs.iter().enumerate() {
                self.join(*atom, inputs[place / made.max(1)]);
            }
            self.depthwise.push((index, inputs));
        } else {
            // Groups stay equal: the same place goes in all of them, or in none.
            for group in 1..conv.groups {
                for place in 0..per_group {
                    self.join(inputs[place], inputs[group * per_group + place]);
                }
                for place in 0..made {
                    self.join(outputs[place], outputs[group * made + place]);
                }
            }
            self.slice(graph, weight, 1, &inputs[..per_group])?;
        }
        self.slice(graph, weight, 0, &outputs)?;
        if let Some(bias) = bias {
            self.slice(graph, bias, 0, &outputs)?;
        }
        self.filters.push((weight.clone(), 0));
        Some(outputs)
    }

    fn product(&mut self, graph: &Graph, facts: &Facts, node: &Node) -> Option<Vec<usize>> {
        let weight = node.inputs.get(1)?;
        let dims = graph.tensors.get(weight)?.data.shape().to_vec();
        let axis = node.channel_axis(dims.len())?;
        let transposed = node.op.downcast::<Gemm>().is_some_and(|gemm| gemm.transpose_a);
        if transposed || facts.get(node.inputs.first()?)?.rank() != 2 {
            return None;
        }
        let bias = node.inputs.get(2).filter(|name| !name.is_empty());
        if bias.is_some_and(|bias| !graph.tensors.contains_key(bias)) {
            return None;
        }
        let inputs = self.value(node.inputs.first()?, facts)?;
        let outputs = self.fresh(dims[axis]);
        self.slice(graph, weight, 1 - axis, &inputs)?;
        self.slice(graph, weight, axis, &outputs)?;
        if let Some(bias) = bias {
            self.beside(graph, bias, 2, &outputs)?;
        }
        self.filters.push((weight.clone(), axis));
        Some(outputs)
    }

    fn binary(&mut self, graph: &Graph, facts: &Facts, node: &Node) -> Option<Vec<usize>> {
        let [a, b] = node.inputs.as_slice() else {
            return None;
        };
        let (rank_a, rank_b) = (facts.get(a)?.rank(), facts.get(b)?.rank());
        match (graph.tensors.contains_key(a), graph.tensors.contains_key(b)) {
            (false, true) => {
                let atoms = self.value(a, facts)?;
                self.beside(graph, b, rank_a, &atoms)?;
                Some(atoms)
            }
            (true, false) => {
                let atoms = self.value(b, facts)?;
                self.beside(graph, a, rank_b, &atoms)?;
                Some(atoms)
            }
            (false, false) if rank_a == rank_b => {
                let (a, b) = (self.value(a, facts)?, self.value(b, facts)?);
                if a.len() != b.len() {
                    return None;
                }
                self.join_all(&a, &b);
                Some(a)
            }
            _ => None,
        }
    }

    /// A stored tensor that broadcasts against channels `atoms` of a value with `rank` axes: a
    /// single number, or one for each channel.
    fn beside(&mut self, graph: &Graph, tensor: &str, rank: usize, atoms: &[usize]) -> Option<()> {
        let dims = graph.tensors.get(tensor)?.data.shape().to_vec();
        if dims.iter().all(|extent| *extent == 1) && atoms.len() != 1 {
            return Some(());
        }
        let axis = (dims.len() + 1).checked_sub(rank)?;
        let others = dims
            .iter()
            .enumerate()
            .any(|(other, extent)| other != axis && *extent != 1);
        if others {
            return None;
        }
        self.slice(graph, tensor, axis, atoms)
    }
}
