//! Whole filters removed, with everything that depends on them, on any graph.
//!
//! Each channel of each value is numbered; what must go together is joined: the same channel before and after a normalisation, both sides of a sum, a
//! depthwise filter and its input, the places that a channel has in a concatenation or in what a Flatten makes of it. A set of joined channels is removed
//! from every stored tensor that it appears in, or not at all. What an operator does with channels that is not known here keeps them as they are, so a
//! graph is never made inconsistent; such sets, and those of inputs and outputs, stay.
//!
//! Which sets go: those with the least score, over all layers at once.
//! - `l1`: the sum of a filter's magnitudes over the mean of its layer. H. Li et al., "Pruning Filters for Efficient ConvNets", 2017 (arXiv 1608.08710).
//! - `batch-norm`: the magnitude of the normalisation's factor. Z. Liu et al., "Learning Efficient Convolutional Networks through Network Slimming", 2017
//!   (arXiv 1708.06519).
//!
//! An eighth of each layer's filters stays whatever their scores.

use std::collections::{HashMap, HashSet};

use burn::tensor::{Bytes, DType, TensorData};
use indexmap::IndexMap;

use super::{Attribute, Facts, Graph, GraphError, Node, infer, summarise};
use crate::ops::concat::Concat;
use crate::ops::conv::ConvOp;
use crate::ops::gemm::Gemm;
use crate::ops::resolve_axis;

/// By what filters are ranked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Criterion {
    /// The sum of a filter's magnitudes, over the mean of its layer.
    L1,
    /// The magnitude of the factor of the normalisation behind it.
    BatchNorm,
}

/// A smaller network, and what it cost before and after.
#[derive(Clone, Debug)]
pub struct Pruned {
    /// The network.
    pub graph: Graph,
    /// Multiply-adds of one picture before and after.
    pub multiply_adds: [u64; 2],
    /// Filters of convolutions and products before and after.
    pub filters: [usize; 2],
}

/// Of a layer's filters, one in so many stays.
const KEPT_OF: usize = 8;

/// Operators that treat each channel by itself and keep their number; zero stays zero in most of them.
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

/// Removes filters until at most `share` of the multiply-adds are left.
///
/// # Errors
/// A graph that does not run; a share that cannot be reached, with the least that can.
pub fn prune(graph: &Graph, share: f64, by: Criterion) -> Result<Pruned, GraphError> {
    let before = summarise(graph)?.multiply_adds;
    let channels = Channels::of(graph)?;
    let order = channels.order(graph, by);
    if order.is_empty() {
        return Err(GraphError::Prune {
            reason: match by {
                Criterion::L1 => "no filter can be removed by itself".to_owned(),
                Criterion::BatchNorm => {
                    "no filter with a BatchNormalization behind it can be removed; those of an exported student are folded, \
                     which --by l1 does without"
                        .to_owned()
                }
            },
        });
    }
    let target = (share * before as f64) as u64;
    let cut = |count: usize| -> Result<(Graph, u64), GraphError> {
        let graph = channels.without(graph, &order[..count].iter().copied().collect());
        let cost = summarise(&graph)?.multiply_adds;
        Ok((graph, cost))
    };
    let least = cut(order.len())?;
    if least.1 > target {
        return Err(GraphError::Prune {
            reason: format!(
                "{:.1} % of the multiply-adds cannot be reached: {:.1} % are left when an eighth of each layer is",
                100.0 * share,
                100.0 * least.1 as f64 / before.max(1) as f64
            ),
        });
    }
    let (mut low, mut high) = (0, order.len());
    while low < high {
        let middle = low.midpoint(high);
        if cut(middle)?.1 <= target {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    let (pruned, after) = cut(high)?;
    pruned.validate()?;
    let count = |graph: &Graph| -> usize {
        channels
            .filters
            .iter()
            .filter_map(|(name, axis)| graph.tensors.get(name)?.data.shape().get(*axis).copied())
            .sum()
    };
    Ok(Pruned {
        multiply_adds: [before, after],
        filters: [count(graph), count(&pruned)],
        graph: pruned,
    })
}

/// What depends on what: channels by number, joined into sets.
#[derive(Default)]
struct Channels {
    /// A forest whose roots stand for sets.
    parents: Vec<usize>,
    /// Sets that stay, by any of their channels.
    locked: Vec<usize>,
    /// The channels of a value, along axis 1.
    values: HashMap<String, Vec<usize>>,
    /// The channels along an axis of a stored tensor.
    slices: IndexMap<(String, usize), Vec<usize>>,
    /// Weights with the axis of their filters.
    filters: Vec<(String, usize)>,
    /// Factors of normalisations.
    factors: Vec<String>,
    /// Depthwise convolutions by node, with the channels of their input.
    depthwise: Vec<(usize, Vec<usize>)>,
}

impl Channels {
    fn of(graph: &Graph) -> Result<Self, GraphError> {
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

    fn root(&self, mut atom: usize) -> usize {
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

    fn fresh(&mut self, count: usize) -> Vec<usize> {
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

    /// Says which channels an axis of a stored tensor has. `None`, and nothing changed, where they do not fit.
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

    /// A stored tensor that broadcasts against channels `atoms` of a value with `rank` axes: a single number, or one for each channel.
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

    /// The sets that may go, the least important first; an eighth of each layer's filters is not among them.
    fn order(&self, graph: &Graph, by: Criterion) -> Vec<usize> {
        let locked: HashSet<usize> = self.locked.iter().map(|atom| self.root(*atom)).collect();
        let mut scores: HashMap<usize, (f64, usize)> = HashMap::new();
        let mut score = |atoms: &[usize], of_channels: &[f64]| {
            for (atom, one) in atoms.iter().zip(of_channels) {
                let score = scores.entry(self.root(*atom)).or_default();
                *score = (score.0 + one, score.1 + 1);
            }
        };
        match by {
            Criterion::L1 => {
                for (name, axis) in &self.filters {
                    if let Some(atoms) = self.slices.get(&(name.clone(), *axis)) {
                        score(atoms, &magnitudes(graph, name, *axis));
                    }
                }
            }
            Criterion::BatchNorm => {
                for name in &self.factors {
                    if let Some(atoms) = self.slices.get(&(name.clone(), 0)) {
                        let values = graph.tensors.get(name).map(|tensor| tensor.data.clone());
                        let values = values.map(|data| data.convert_dtype(DType::F64));
                        let values: Vec<f64> = values
                            .iter()
                            .flat_map(|data| data.iter::<f64>())
                            .map(f64::abs)
                            .collect();
                        score(atoms, &values);
                    }
                }
            }
        }
        let mut order: Vec<(usize, f64)> = scores
            .into_iter()
            .filter(|(root, _)| !locked.contains(root))
            .map(|(root, (sum, count))| (root, sum / count.max(1) as f64))
            .collect();
        order.sort_by(|a, b| a.1.total_cmp(&b.1).then(a.0.cmp(&b.0)));
        let mut layers: Vec<(usize, HashMap<usize, usize>)> = Vec::new();
        for (name, axis) in &self.filters {
            let Some(atoms) = self.slices.get(&(name.clone(), *axis)) else {
                continue;
            };
            let mut sets: HashMap<usize, usize> = HashMap::new();
            for atom in atoms {
                *sets.entry(self.root(*atom)).or_default() += 1;
            }
            layers.push((atoms.len() - atoms.len().div_ceil(KEPT_OF), sets));
        }
        let may_go = |(root, _): &(usize, f64)| {
            let touched = |(left, sets): &(usize, HashMap<usize, usize>)| {
                sets.get(root).is_none_or(|count| count <= left)
            };
            if !layers.iter().all(touched) {
                return false;
            }
            for (left, sets) in &mut layers {
                *left -= sets.get(root).copied().unwrap_or(0);
            }
            true
        };
        order.retain(may_go);
        order.into_iter().map(|(root, _)| root).collect()
    }

    /// The graph without these sets.
    fn without(&self, graph: &Graph, removed: &HashSet<usize>) -> Graph {
        let mut pruned = graph.clone();
        // What files state on values in between no longer holds.
        pruned.annotations.clear();
        let stays = |atom: &usize| !removed.contains(&self.root(*atom));
        for ((name, axis), atoms) in &self.slices {
            if atoms.iter().all(stays) {
                continue;
            }
            let kept: Vec<usize> = (0..atoms.len()).filter(|place| stays(&atoms[*place])).collect();
            if let Some(tensor) = pruned.tensors.get_mut(name) {
                tensor.data = select(&tensor.data, *axis, &kept);
            }
        }
        for (index, inputs) in &self.depthwise {
            let node = &mut pruned.nodes[*index];
            let Some(mut conv) = node.op.downcast::<ConvOp>().cloned() else {
                continue;
            };
            conv.groups = inputs.iter().filter(|atom| stays(atom)).count();
            node.attributes
                .insert("group".to_owned(), Attribute::Int(conv.groups as i64));
            node.op = Box::new(conv);
        }
        pruned
    }
}

/// The sum of magnitudes of each entry of an axis, over the mean of all entries.
fn magnitudes(graph: &Graph, name: &str, axis: usize) -> Vec<f64> {
    let Some(tensor) = graph.tensors.get(name) else {
        return Vec::new();
    };
    let dims = tensor.data.shape().to_vec();
    let inner: usize = dims[axis + 1..].iter().product();
    let mut sums = vec![0.0; dims[axis]];
    let values = tensor.data.clone().convert_dtype(DType::F64);
    for (i, value) in values.iter::<f64>().enumerate() {
        sums[(i / inner.max(1)) % dims[axis]] += value.abs();
    }
    let mean = sums.iter().sum::<f64>() / sums.len().max(1) as f64;
    sums.iter().map(|sum| sum / mean.max(f64::MIN_POSITIVE)).collect()
}

/// Entries of one axis.
fn select(data: &TensorData, axis: usize, kept: &[usize]) -> TensorData {
    let mut dims = data.shape().to_vec();
    let inner = dims[axis + 1..].iter().product::<usize>() * data.dtype().size();
    let outer: usize = dims[..axis].iter().product();
    let bytes = data.bytes();
    let mut chosen = Vec::with_capacity(outer * kept.len() * inner);
    for block in 0..outer {
        for place in kept {
            let start = (block * dims[axis] + place) * inner;
            chosen.extend_from_slice(&bytes[start..start + inner]);
        }
    }
    dims[axis] = kept.len();
    TensorData::from_bytes(Bytes::from_bytes_vec(chosen), dims, data.dtype())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::Network;
    use crate::ops::Mode;
    use crate::value::Value;
    use crate::zoo;
    use burn::tensor::{Device, Tensor};

    fn outputs(graph: &Graph, size: usize) -> Vec<f32> {
        let device = Device::flex();
        let values: Vec<f32> = (0..2 * 3 * size * size)
            .map(|i| (i as f32 * 0.37).sin())
            .collect();
        let pictures = Tensor::<4>::from_data(TensorData::new(values, [2, 3, size, size]), &device);
        let network = Network::new(graph.clone(), &device).unwrap();
        let outputs = network
            .forward(Value::from(pictures), &[], Mode::Inference)
            .unwrap();
        outputs.first().unwrap().1.to_floats().unwrap()
    }

    /// Zeroes what makes the channels of these sets, in every tensor whose axis 0 they run along.
    fn zeroed(graph: &Graph, channels: &Channels, sets: &HashSet<usize>) -> Graph {
        let mut graph = graph.clone();
        let filters: HashSet<&String> = channels.filters.iter().map(|(name, _)| name).collect();
        for ((name, axis), atoms) in &channels.slices {
            let makes = channels.filters.contains(&(name.clone(), *axis));
            // Scales, shifts and means too; a variance of zero is as good as another.
            if !makes && filters.contains(name) {
                continue;
            }
            let tensor = graph.tensors.get_mut(name).unwrap();
            // Shapes are kept as they are.
            if !tensor.data.dtype().is_float() {
                continue;
            }
            let dims = tensor.data.shape().to_vec();
            let inner: usize = dims[axis + 1..].iter().product();
            let mut values: Vec<f32> = tensor.data.iter().collect();
            for (i, value) in values.iter_mut().enumerate() {
                if sets.contains(&channels.root(atoms[(i / inner) % dims[*axis]])) {
                    *value = 0.0;
                }
            }
            tensor.data = TensorData::new(values, dims);
        }
        graph
    }

    #[test]
    fn removing_zeroed_filters_leaves_the_outputs_as_they_were() {
        for name in [
            "resnet8",
            "vgg8",
            "mobilenetv2",
            "mobilenetv1-0.5",
            "wrn-16-1",
            "densenet40",
            "shufflenetv2",
        ] {
            let Ok(graph) = zoo::build(name, 10, [3, 32, 32], 3) else {
                continue;
            };
            let channels = Channels::of(&graph).unwrap();
            let order = channels.order(&graph, Criterion::L1);
            assert!(!order.is_empty(), "{name}");
            for part in [3, 2] {
                let sets: HashSet<usize> = order.iter().copied().step_by(part).collect();
                let zeroed = zeroed(&graph, &channels, &sets);
                let cut = channels.without(&zeroed, &sets);
                assert!(cut.parameters() < graph.parameters(), "{name}");
                let (before, after) = (outputs(&zeroed, 32), outputs(&cut, 32));
                let largest = before.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
                for (a, b) in before.iter().zip(&after) {
                    assert!((a - b).abs() <= 1e-4 * largest.max(1e-3), "{name}: {a} and {b}");
                }
            }
        }
    }

    #[test]
    fn half_of_the_multiply_adds_is_reached_from_below_and_closely() {
        for by in [Criterion::L1, Criterion::BatchNorm] {
            let mut graph = zoo::build("resnet20", 10, [3, 32, 32], 3).unwrap();
            for (index, tensor) in graph.tensors.values_mut().enumerate() {
                if tensor.data.shape().rank() == 1 {
                    let count = tensor.len();
                    let values: Vec<f32> = (0..count)
                        .map(|i| 0.5 + ((i * 7 + index) % 13) as f32 / 13.0)
                        .collect();
                    tensor.data = TensorData::new(values, [count]);
                }
            }
            let pruned = prune(&graph, 0.5, by).unwrap();
            let [before, after] = pruned.multiply_adds;
            let share = after as f64 / before as f64;
            assert!((0.4..=0.5).contains(&share), "{by:?}: {share}");
            assert!(pruned.filters[1] < pruned.filters[0]);
            assert!(outputs(&pruned.graph, 32).iter().all(|x| x.is_finite()));
        }
    }

    #[test]
    fn a_share_that_cannot_be_reached_is_refused_with_the_least_that_can() {
        let graph = zoo::build("resnet8", 10, [3, 32, 32], 3).unwrap();
        let refused = prune(&graph, 1e-6, Criterion::L1);
        assert!(matches!(refused, Err(GraphError::Prune { .. })), "{refused:?}");
    }
}
