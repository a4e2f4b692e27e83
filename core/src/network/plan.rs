//! The order of execution with names resolved to slots: made once, read at every step.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};

use crate::graph::{Facts, Graph, GraphError, infer_from};
use crate::value::{Kind, Value};

/// Where a stored tensor's value is found.
#[derive(Clone, Debug)]
pub(super) enum Source {
    /// Among the trained parameters.
    Weight { index: usize, scalar: bool },
    /// Among the fixed floats.
    Constant { index: usize, scalar: bool },
    /// Among the running statistics.
    Buffer(usize),
    /// Integers and booleans, on the CPU.
    Host(Box<Value>),
}

/// One node with its names resolved.
#[derive(Debug)]
pub(super) struct Step {
    /// Index of the node in the graph.
    pub node: usize,
    /// Slots of the inputs.
    pub inputs: Vec<Option<usize>>,
    /// Slots of the outputs; `None` for one that nobody asked for.
    pub outputs: Vec<Option<usize>>,
    /// Pairs (output, buffer) that training moves.
    pub updates: Vec<(usize, usize)>,
}

/// Kinds and extents of all inputs, in the graph's order.
type Signature = Vec<(Kind, Vec<usize>)>;

/// A graph made ready to run.
#[derive(Debug)]
pub(super) struct Plan {
    graph: Graph,
    sources: Vec<Source>,
    slots: HashMap<String, usize>,
    /// The steps in order.
    pub steps: Vec<Step>,
    /// For each slot, the last step that reads it.
    pub last_use: Vec<Option<usize>>,
    /// Kinds and extents of inputs that every operator takes.
    checked: Mutex<HashSet<Signature>>,
}

/// So many sets of extents are remembered: pictures of all sizes must not fill the memory.
const REMEMBERED: usize = 256;

impl Plan {
    /// Resolves a validated graph; `sources` are parallel to its tensors.
    pub fn new(graph: Graph, sources: Vec<Source>) -> Self {
        let mut slots: HashMap<String, usize> = HashMap::new();
        // Tensors come first: slot = index of the source.
        for name in graph
            .tensors
            .keys()
            .map(String::as_str)
            .chain(graph.value_names())
        {
            let next = slots.len();
            slots.entry(name.to_owned()).or_insert(next);
        }
        let mut last_use = vec![None; slots.len()];
        let slot = |name: &String| slots.get(name).copied();
        let mut steps = Vec::with_capacity(graph.nodes.len());
        for (index, node) in graph.nodes.iter().enumerate() {
            let inputs: Vec<Option<usize>> = node.inputs.iter().map(slot).collect();
            let outputs: Vec<Option<usize>> = node.outputs.iter().map(slot).collect();
            for input in inputs.iter().flatten() {
                last_use[*input] = Some(index);
            }
            let buffer = |input: usize| match inputs.get(input).copied().flatten() {
                Some(slot) => match sources.get(slot) {
                    Some(Source::Buffer(buffer)) => Some(*buffer),
                    _ => None,
                },
                None => None,
            };
            let updates = node
                .op
                .updates()
                .iter()
                .filter_map(|(output, input)| Some((*output, buffer(*input)?)))
                .collect();
            steps.push(Step {
                node: index,
                inputs,
                outputs,
                updates,
            });
        }
        Self {
            graph,
            sources,
            slots,
            steps,
            last_use,
            checked: Mutex::default(),
        }
    }

    /// Refuses inputs that some operator does not take, so that running them cannot fail on a shape; `inputs` are in the graph's order. Each set of
    /// kinds and extents is inferred once.
    ///
    /// # Errors
    /// The first node that refuses.
    pub fn check(&self, inputs: Facts) -> Result<(), GraphError> {
        let key: Vec<(Kind, Vec<usize>)> = inputs
            .values()
            .map(|fact| (fact.kind, fact.dims.clone()))
            .collect();
        let checked = || self.checked.lock().unwrap_or_else(PoisonError::into_inner);
        if checked().contains(&key) {
            return Ok(());
        }
        infer_from(&self.graph, inputs)?;
        let mut checked = checked();
        if checked.len() >= REMEMBERED {
            checked.clear();
        }
        checked.insert(key);
        Ok(())
    }

    /// For each step, whether a wanted slot depends on it.
    pub fn needed(&self, wanted: &[bool]) -> Vec<bool> {
        let mut read = wanted.to_vec();
        let mut needed = vec![false; self.steps.len()];
        for (index, step) in self.steps.iter().enumerate().rev() {
            if step.outputs.iter().flatten().any(|slot| read[*slot]) {
                needed[index] = true;
                step.inputs.iter().flatten().for_each(|slot| read[*slot] = true);
            }
        }
        needed
    }

    /// The graph.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Where the stored tensors are, in the graph's order.
    pub fn sources(&self) -> &[Source] {
        &self.sources
    }

    /// The slot of a value.
    pub fn slot(&self, name: &str) -> Option<usize> {
        self.slots.get(name).copied()
    }

    /// The number of slots.
    pub fn len(&self) -> usize {
        self.slots.len()
    }
}
