//! The order of execution with names resolved to slots: made once, read at every step.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};

use super::fusion::Fusion;
use super::instruction::Instruction;
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

/// Kinds and extents of all inputs, in the graph's order.
type Signature = Vec<(Kind, Vec<usize>)>;

/// One thing to do.
#[derive(Clone, Copy, Debug)]
pub(super) enum Action {
    /// Run an instruction.
    Instruction(usize),
    /// Run a fusion.
    Fusion(usize),
}

/// What one run does.
#[derive(Debug)]
pub(super) struct Schedule {
    /// In order.
    pub actions: Vec<Action>,
    /// For each slot, the last action that reads it.
    pub last_use: Vec<Option<usize>>,
    /// For each slot, how many actions read it, and the caller, if it was asked for.
    pub readers: Vec<usize>,
}

/// A graph made ready to run.
#[derive(Debug)]
pub(super) struct Program {
    graph: Graph,
    sources: Vec<Source>,
    slots: HashMap<String, usize>,
    /// The instructions in order.
    pub instructions: Vec<Instruction>,
    /// Instructions that can run as one.
    pub fusions: Vec<Fusion>,
    /// Kinds and extents of inputs that every operator takes.
    checked: Mutex<HashSet<Signature>>,
}

/// So many sets of extents are remembered: pictures of all sizes must not fill the memory.
const REMEMBERED: usize = 256;

impl Program {
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
        let slot = |name: &String| slots.get(name).copied();
        let mut instructions = Vec::with_capacity(graph.nodes.len());
        for (index, node) in graph.nodes.iter().enumerate() {
            let inputs: Vec<Option<usize>> = node.inputs.iter().map(slot).collect();
            let outputs: Vec<Option<usize>> = node.outputs.iter().map(slot).collect();
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
            instructions.push(Instruction {
                node: index,
                inputs,
                outputs,
                updates,
            });
        }
        let fusions = Fusion::find(&graph, &instructions, &slots);
        Self {
            graph,
            sources,
            slots,
            instructions,
            fusions,
            checked: Mutex::default(),
        }
    }

    /// Refuses inputs that some operator does not take, so that running them cannot fail on a
    /// shape; `inputs` are in the graph's order. Each set of kinds and extents is inferred once.
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

    /// What to run, in order, so that the wanted slots are filled.
    pub fn schedule(&self, wanted: &[bool]) -> Schedule {
        let mut read = wanted.to_vec();
        let mut needed = vec![false; self.instructions.len()];
        for (index, instruction) in self.instructions.iter().enumerate().rev() {
            if instruction.outputs.iter().flatten().any(|slot| read[*slot]) {
                needed[index] = true;
                instruction
                    .inputs
                    .iter()
                    .flatten()
                    .for_each(|slot| read[*slot] = true);
            }
        }
        // What each instruction is replaced by: nothing, or a fusion in the place of its last
        // instruction.
        let mut instead: Vec<Option<Option<usize>>> = vec![None; self.instructions.len()];
        for (index, fusion) in self.fusions.iter().enumerate() {
            if needed[fusion.last()] && fusion.inner.iter().all(|slot| !wanted[*slot]) {
                fusion
                    .instructions
                    .iter()
                    .for_each(|instruction| instead[*instruction] = Some(None));
                instead[fusion.last()] = Some(Some(index));
            }
        }
        let mut schedule = Schedule {
            actions: Vec::with_capacity(self.instructions.len()),
            last_use: vec![None; self.slots.len()],
            readers: wanted.iter().map(|wanted| usize::from(*wanted)).collect(),
        };
        for index in (0..self.instructions.len()).filter(|index| needed[*index]) {
            let action = match instead[index] {
                None => Action::Instruction(index),
                Some(Some(fusion)) => Action::Fusion(fusion),
                Some(None) => continue,
            };
            for instruction in self.instructions_of(action) {
                for slot in instruction.inputs.iter().flatten() {
                    schedule.last_use[*slot] = Some(schedule.actions.len());
                    schedule.readers[*slot] += 1;
                }
            }
            schedule.actions.push(action);
        }
        schedule
    }

    /// The instructions that an action stands for.
    pub fn instructions_of(&self, action: Action) -> impl Iterator<Item = &Instruction> {
        let (single, fused) = match action {
            Action::Instruction(instruction) => (Some(instruction), None),
            Action::Fusion(fusion) => (None, Some(&self.fusions[fusion].instructions)),
        };
        single
            .into_iter()
            .chain(fused.into_iter().flatten().copied())
            .map(|instruction| &self.instructions[instruction])
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
