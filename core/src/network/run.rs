//! Running a network: node by node, each value dropped after its last use.

use burn::tensor::Device;

use super::Network;
use super::fusion::Fusion;
use super::instruction::Instruction;
use super::outputs::Outputs;
use super::program::{Action, Schedule, Source};
use crate::cpu::{BlockInputs, BlockMode, Fork, on_pool};
use crate::graph::{Facts, GraphError};
use crate::op::{Dim, Fact, ValueInfo};
use crate::op::{Inputs, Mode, RunContext};
use crate::value::Value;

/// A value that somebody still reads.
#[derive(Clone, Debug)]
enum LiveValue {
    /// It is read once, or nobody minds how its gradients are added.
    Plain(Value),
    /// Several read it.
    Forked(Fork),
}

impl LiveValue {
    fn forked(self) -> Self {
        match self {
            Self::Plain(value) => Self::Forked(Fork::new(value)),
            forked => forked,
        }
    }

    /// What a reader gets.
    fn read(&self) -> Value {
        match self {
            Self::Plain(value) => value.clone(),
            Self::Forked(fork) => fork.alias(),
        }
    }

    /// What the last reader gets.
    fn into_value(self) -> Value {
        match self {
            Self::Plain(value) => value,
            Self::Forked(fork) => fork.alias(),
        }
    }
}

impl Network {
    /// Runs on one input, as image classifiers have; returns the outputs and the values named in
    /// `taps`.
    ///
    /// # Errors
    /// A network with several inputs, an input of another shape, an unknown tap, or what an
    /// operator refuses.
    pub fn forward(&self, input: Value, taps: &[&str], mode: Mode) -> Result<Outputs, GraphError> {
        self.run([(self.only_input()?, input)], taps, mode)
    }

    /// Runs on one input as far as the named values need it, and returns these alone.
    ///
    /// # Errors
    /// As [`forward`](Self::forward).
    pub(crate) fn forward_to(
        &self,
        input: Value,
        values: &[&str],
        mode: Mode,
    ) -> Result<Outputs, GraphError> {
        self.evaluate([(self.only_input()?, input)], values.iter().copied(), mode)
    }

    fn only_input(&self) -> Result<String, GraphError> {
        match self.graph().inputs.as_slice() {
            [only] => Ok(only.name.clone()),
            inputs => {
                let names: Vec<&str> = inputs.iter().map(|input| input.name.as_str()).collect();
                Err(GraphError::InputCount {
                    got: inputs.len(),
                    names: names.join(", "),
                })
            }
        }
    }

    /// Runs on named inputs.
    ///
    /// # Errors
    /// A missing input, one of another shape or kind, an unknown tap, or what an operator refuses.
    pub fn run(
        &self,
        inputs: impl IntoIterator<Item = (String, Value)>,
        taps: &[&str],
        mode: Mode,
    ) -> Result<Outputs, GraphError> {
        let outputs = self.graph().outputs.iter().map(|output| output.name.as_str());
        self.evaluate(inputs, outputs.chain(taps.iter().copied()), mode)
    }

    fn evaluate<'a>(
        &self,
        inputs: impl IntoIterator<Item = (String, Value)>,
        values: impl Iterator<Item = &'a str>,
        mode: Mode,
    ) -> Result<Outputs, GraphError> {
        let (inputs, values): (Vec<_>, Vec<_>) = (inputs.into_iter().collect(), values.collect());
        // A GPU's queue belongs to a thread, and so do running statistics that training moved,
        // until they settle.
        if mode == Mode::Inference && self.device() == Device::flex() {
            self.settle();
            return on_pool(|| self.evaluate_here(inputs, &values, mode));
        }
        self.evaluate_here(inputs, &values, mode)
    }

    fn evaluate_here(
        &self,
        inputs: Vec<(String, Value)>,
        values: &[&str],
        mode: Mode,
    ) -> Result<Outputs, GraphError> {
        let program = &self.program;
        let mut slots: Vec<Option<LiveValue>> = vec![None; program.len()];
        self.feed(inputs, &mut slots)?;
        let mut wanted: Vec<(&str, usize)> = Vec::new();
        for name in values {
            match program.slot(name) {
                Some(slot) => wanted.push((name, slot)),
                None => program.graph().check_value(name)?,
            }
        }
        let mut keep = vec![false; program.len()];
        for (_, slot) in &wanted {
            keep[*slot] = true;
        }
        self.load(&mut slots);
        let context = RunContext {
            mode,
            device: self.device(),
            precision: self.precision(mode),
        };
        let schedule = program.schedule(&keep);
        for index in 0..schedule.actions.len() {
            self.act(index, &schedule, &keep, &mut slots, &context)?;
        }
        let mut outputs = Outputs::default();
        for (name, slot) in wanted {
            if let Some(value) = &slots[slot] {
                outputs.insert(name, value.read());
            }
        }
        Ok(outputs)
    }

    /// Puts the inputs in their slots, and checks them against what the file declares and what
    /// inference says.
    fn feed(&self, inputs: Vec<(String, Value)>, slots: &mut [Option<LiveValue>]) -> Result<(), GraphError> {
        let program = &self.program;
        let graph = program.graph();
        for (name, value) in inputs {
            let declared = graph.inputs.iter().find(|input| input.name == name);
            let Some(declared) = declared else {
                graph.check_value(&name)?;
                return Err(GraphError::NoValue {
                    value: name,
                    near: Vec::new(),
                });
            };
            check_shape(declared, &value)?;
            if let Some(slot) = program.slot(&name) {
                slots[slot] = Some(LiveValue::Plain(value));
            }
        }
        let mut facts = Facts::with_capacity(graph.inputs.len());
        for input in &graph.inputs {
            let value = program
                .slot(&input.name)
                .and_then(|slot| slots[slot].as_ref())
                .map(LiveValue::read);
            let value = value.ok_or_else(|| GraphError::MissingInput {
                input: input.name.clone(),
            })?;
            facts.insert(input.name.clone(), Fact::new(value.kind(), value.dims()));
        }
        program.check(facts)
    }

    /// Puts weights, buffers and constants in their slots.
    fn load(&self, slots: &mut [Option<LiveValue>]) {
        for (slot, source) in self.program.sources().iter().enumerate() {
            slots[slot] = Some(LiveValue::Plain(match source {
                Source::Weight { index, scalar } => self.weights[*index].value(*scalar),
                Source::Constant { index, scalar } => self.constants[*index].value(*scalar),
                Source::Buffer(index) => self.buffers[*index].value_sync().into(),
                Source::Host(value) => value.as_ref().clone(),
            }));
        }
    }

    /// One action of a schedule: a node, or several as one; then drops what nobody reads any more.
    fn act(
        &self,
        index: usize,
        schedule: &Schedule,
        keep: &[bool],
        slots: &mut [Option<LiveValue>],
        context: &RunContext,
    ) -> Result<(), GraphError> {
        let program = &self.program;
        let action = schedule.actions[index];
        let ends = |slot: usize| schedule.last_use[slot] == Some(index) && !keep[slot];
        match action {
            Action::Instruction(instruction) => {
                self.run_instruction(&program.instructions[instruction], slots, ends, context)?;
            }
            Action::Fusion(fusion) => {
                let fusion = &program.fusions[fusion];
                if !self.run_fusion(fusion, slots, context.mode) {
                    for instruction in program.instructions_of(action) {
                        self.run_instruction(instruction, slots, |_| false, context)?;
                    }
                    fusion.inner.iter().for_each(|slot| slots[*slot] = None);
                }
            }
        }
        for slot in program
            .instructions_of(action)
            .flat_map(|instruction| instruction.outputs.iter().flatten())
        {
            // Only training's readers send gradients back.
            if schedule.readers[*slot] > 1 && context.mode != Mode::Inference {
                slots[*slot] = slots[*slot].take().map(LiveValue::forked);
            }
        }
        for slot in program
            .instructions_of(action)
            .flat_map(|instruction| instruction.inputs.iter().flatten())
        {
            if ends(*slot) {
                slots[*slot] = None;
            }
        }
        Ok(())
    }

    /// Runs one node. It may take the inputs of which `ends` says that nobody reads them later.
    fn run_instruction(
        &self,
        instruction: &Instruction,
        slots: &mut [Option<LiveValue>],
        ends: impl Fn(usize) -> bool,
        context: &RunContext,
    ) -> Result<(), GraphError> {
        let mut inputs = Vec::with_capacity(instruction.inputs.len());
        for slot in &instruction.inputs {
            inputs.push(match slot {
                None => None,
                Some(slot) if ends(*slot) => {
                    // A node may read one value twice; only its last mention may take it.
                    let again = instruction
                        .inputs
                        .iter()
                        .filter(|other| **other == Some(*slot))
                        .count()
                        > 1;
                    if again {
                        slots[*slot].as_ref().map(LiveValue::read)
                    } else {
                        slots[*slot].take().map(LiveValue::into_value)
                    }
                }
                Some(slot) => slots[*slot].as_ref().map(LiveValue::read),
            });
        }
        let node = &self.program.graph().nodes[instruction.node];
        let values = node
            .op
            .run(&Inputs(&inputs), context)
            .map_err(|source| GraphError::Node {
                node: node.label().to_owned(),
                op: node.op.name().to_owned(),
                source,
            })?;
        if context.mode == Mode::Training {
            for (output, buffer) in &instruction.updates {
                if let Some(value) = values.get(*output) {
                    self.buffers[*buffer].update(value.clone().float::<1>());
                }
            }
        }
        for (slot, value) in instruction.outputs.iter().zip(values) {
            if let Some(slot) = slot {
                slots[*slot] = Some(LiveValue::Plain(value));
            }
        }
        Ok(())
    }

    /// Runs some nodes as one; false if they have to run one by one.
    fn run_fusion(&self, fusion: &Fusion, slots: &mut [Option<LiveValue>], mode: Mode) -> bool {
        let value = |slot: Option<usize>| slot.and_then(|slot| slots[slot].as_ref()).map(LiveValue::read);
        let of = &fusion.slots;
        let (x, weight) = (value(Some(of.x)), value(of.weight));
        let conv = match (&x, &weight) {
            (Some(x), Some(weight)) => fusion.conv_shape(&x.dims(), &weight.dims()),
            _ => None,
        };
        if conv.is_none() && fusion.convolves() {
            return false;
        }
        let inputs = BlockInputs {
            x,
            conv,
            precision: self.precision(mode),
            weight,
            bias: value(of.bias),
            norm: of.norm.map(value),
            residual: value(of.residual),
        };
        let statistics_of = match mode {
            Mode::Training | Mode::Rehearsal => BlockMode::Training,
            Mode::Inference => BlockMode::Inference,
        };
        let Some(outputs) = fusion.block.run(&inputs, statistics_of) else {
            return false;
        };
        if let (Mode::Training, Some((instruction, operator)), Some(batch)) =
            (mode, &fusion.norm, outputs.statistics)
            && let [_, _, Some(mean), Some(variance)] = inputs.norm
        {
            let count = outputs.y.len() / batch[0].len().max(1);
            let moved = operator.moved([mean, variance], batch, count);
            for (output, buffer) in &self.program.instructions[*instruction].updates {
                if let Some(value) = output.checked_sub(1).and_then(|output| moved.get(output)) {
                    self.buffers[*buffer].update(value.clone().float::<1>());
                }
            }
        }
        slots[fusion.output] = Some(LiveValue::Plain(outputs.y));
        true
    }
}

fn check_shape(declared: &ValueInfo, value: &Value) -> Result<(), GraphError> {
    let dims = value.dims();
    let fits = |expected: &[Dim]| {
        expected.len() == dims.len()
            && expected.iter().zip(&dims).all(|(expected, got)| match expected {
                Dim::Known(expected) => expected == got,
                Dim::Symbol(_) | Dim::Unknown => true,
            })
    };
    if declared.dims.as_deref().is_none_or(fits) {
        return Ok(());
    }
    Err(GraphError::InputShape {
        input: declared.name.clone(),
        expected: declared.shape_text(),
        got: format!("{dims:?}"),
    })
}
