//! Neighbouring nodes that run as one block: convolution, normalisation, residual sum, activation.
//!
//! Found once, when a network is made, on any graph: what fuses are nodes that follow one another
//! and whose values nobody else reads. A fusion is used in a run that keeps none of these values,
//! if the tensors are where the block's kernels work; else its nodes run one by one.

use std::collections::HashMap;

use potstill_kernels::conv::ConvShape;
use potstill_kernels::norm::Clamp;

use super::instruction::Instruction;
use crate::cpu::BlockOp;
use crate::graph::Graph;
use crate::ops::Window;
use crate::ops::batch_norm::BatchNorm;
use crate::ops::binarize::Binarize;
use crate::ops::binary::{Arithmetic, Binary};
use crate::ops::clip::Clip;
use crate::ops::conv::ConvOp;
use crate::ops::fake_quantize::FakeQuantizeWeight;
use crate::ops::relu::Relu;

/// Nodes that run as one.
#[derive(Debug)]
pub(super) struct Fusion {
    /// The instructions, in order.
    pub instructions: Vec<usize>,
    /// What they do together beside the convolution.
    pub block: BlockOp,
    /// Groups and window of the convolution.
    conv: Option<(usize, Window)>,
    /// Slots of the block's inputs.
    pub slots: Slots,
    /// The instruction that normalises, with its operator.
    pub norm: Option<(usize, BatchNorm)>,
    /// The slots between the instructions, and those of outputs that nobody reads: a fusion fills
    /// none of them.
    pub inner: Vec<usize>,
    /// The slot of the result.
    pub output: usize,
}

/// Slots of a block's inputs.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Slots {
    pub x: usize,
    pub weight: Option<usize>,
    pub bias: Option<usize>,
    pub norm: [Option<usize>; 4],
    pub residual: Option<usize>,
}

/// How far a block has come; its parts follow one another in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Start,
    Conv,
    Norm,
    Sum,
    Activation,
}

impl Fusion {
    /// All fusions of a graph; no instruction is in two. `slots` are those of the graph's values.
    pub fn find(graph: &Graph, instructions: &[Instruction], slots: &HashMap<String, usize>) -> Vec<Self> {
        let mut readers = vec![Vec::new(); slots.len()];
        for (index, instruction) in instructions.iter().enumerate() {
            for slot in instruction.inputs.iter().flatten() {
                readers[*slot].push(index);
            }
        }
        for output in &graph.outputs {
            // A graph's output is never inside a fusion.
            if let Some(slot) = slots.get(&output.name) {
                readers[*slot].push(usize::MAX);
            }
        }
        let mut claimed = vec![false; instructions.len()];
        let mut fusions = Vec::new();
        for first in 0..instructions.len() {
            if claimed[first] {
                continue;
            }
            let mut fusion = Draft::new(graph, instructions, &readers);
            let mut next = Some(first);
            while let Some(instruction) =
                next.filter(|instruction| !claimed[*instruction] && fusion.take(*instruction))
            {
                next = match readers[fusion.output.unwrap_or_default()].as_slice() {
                    [only] if *only != usize::MAX => Some(*only),
                    _ => None,
                };
                debug_assert_eq!(fusion.instructions.last(), Some(&instruction));
            }
            if let Some(fusion) = fusion.finish() {
                fusion
                    .instructions
                    .iter()
                    .for_each(|instruction| claimed[*instruction] = true);
                fusions.push(fusion);
            }
        }
        fusions
    }

    /// The extents of its convolution on such an input; `None` where there is none, or not over two
    /// axes.
    pub fn conv_shape(&self, x: &[usize], weight: &[usize]) -> Option<ConvShape> {
        let (groups, window) = self.conv.as_ref()?;
        let (&[batch, inputs, height, width], &[outputs, _, rows, columns]) = (x, weight) else {
            return None;
        };
        let pads = window.pads(&[height, width]);
        let pair = |values: &[usize]| [values[0], values[1]];
        Some(ConvShape {
            batch,
            input: [height, width],
            channels: [inputs, outputs],
            groups: *groups,
            kernel: [rows, columns],
            stride: pair(&window.strides),
            dilation: pair(&window.dilations),
            padding: [pads[0], pads[1]],
        })
    }

    /// Whether it has a convolution.
    pub fn convolves(&self) -> bool {
        self.conv.is_some()
    }

    /// The last of its instructions, in whose place it runs: all inputs are there by then.
    pub fn last(&self) -> usize {
        self.instructions.last().copied().unwrap_or_default()
    }
}

/// A fusion in the making.
struct Draft<'a> {
    graph: &'a Graph,
    all: &'a [Instruction],
    /// For each slot, the instructions that read it.
    readers: &'a [Vec<usize>],
    part: Part,
    instructions: Vec<usize>,
    block: BlockOp,
    conv: Option<(usize, Window)>,
    slots: Slots,
    norm: Option<(usize, BatchNorm)>,
    inner: Vec<usize>,
    output: Option<usize>,
}

impl<'a> Draft<'a> {
    fn new(graph: &'a Graph, all: &'a [Instruction], readers: &'a [Vec<usize>]) -> Self {
        Self {
            graph,
            all,
            readers,
            part: Part::Start,
            instructions: Vec::new(),
            block: BlockOp::new(None, Clamp::NONE),
            conv: None,
            slots: Slots::default(),
            norm: None,
            inner: Vec::new(),
            output: None,
        }
    }

    /// Adds an instruction if it can come next.
    fn take(&mut self, index: usize) -> bool {
        let instruction = &self.all[index];
        let node = &self.graph.nodes[instruction.node];
        let input = |place: usize| instruction.inputs.get(place).copied().flatten();
        let Some((Some(output), others)) = instruction.outputs.split_first() else {
            return false;
        };
        let others = others.iter().flatten();
        if others.clone().any(|slot| !self.readers[*slot].is_empty()) {
            return false;
        }
        let (Some(first), before) = (input(0), self.output) else {
            return false;
        };
        // What came before must be what the instruction works on.
        let follows = before.is_none_or(|before| before == first);
        let part = if let Some(conv) = node.op.downcast::<ConvOp>() {
            let window = input(1).and_then(|weight| self.window(conv, weight));
            let (Some(window), Part::Start) = (window, self.part) else {
                return false;
            };
            self.conv = Some((conv.groups, window));
            (self.slots.weight, self.slots.bias) = (input(1), input(2));
            Part::Conv
        } else if let Some(norm) = node.op.downcast::<BatchNorm>() {
            if !follows || self.part >= Part::Norm {
                return false;
            }
            self.block.epsilon = Some(norm.epsilon);
            self.slots.norm = [input(1), input(2), input(3), input(4)];
            self.norm = Some((index, norm.clone()));
            Part::Norm
        } else if let Some(Binary(Arithmetic::Add)) = node.op.downcast::<Binary>() {
            let Some(second) = input(1).filter(|second| *second != first && self.part < Part::Sum) else {
                return false;
            };
            self.slots.residual = Some(match before {
                Some(before) if before == second => first,
                _ => second,
            });
            Part::Sum
        } else {
            let Some(clamp) = self
                .clamp(instruction)
                .filter(|_| follows && self.part < Part::Activation)
            else {
                return false;
            };
            self.block.clamp = clamp;
            Part::Activation
        };
        if let Some(before) = before {
            self.inner.push(before);
        } else {
            self.slots.x = first;
        }
        self.part = part;
        self.instructions.push(index);
        self.inner.extend(others);
        self.output = Some(*output);
        true
    }

    /// The window of a convolution over two axes whose weight is stored.
    fn window(&self, conv: &ConvOp, weight: usize) -> Option<Window> {
        let (_, weight) = self.graph.tensors.get_index(self.stored(weight)?)?;
        let dims = weight.data.shape().to_vec();
        (dims.len() == 4).then(|| conv.window(&dims).ok()).flatten()
    }

    /// The slot of the stored tensor behind a weight, which may be rounded on its way.
    fn stored(&self, weight: usize) -> Option<usize> {
        if weight < self.graph.tensors.len() {
            return Some(weight);
        }
        let made = |instruction: &&Instruction| instruction.outputs.first() == Some(&Some(weight));
        let instruction = self.all.iter().find(made)?;
        let op = &self.graph.nodes[instruction.node].op;
        let keeps_shape =
            op.downcast::<FakeQuantizeWeight>().is_some() || op.downcast::<Binarize>().is_some();
        keeps_shape
            .then(|| instruction.inputs.first().copied().flatten())
            .flatten()
    }

    /// The bounds of an activation that only clamps.
    fn clamp(&self, instruction: &Instruction) -> Option<Clamp> {
        let op = &self.graph.nodes[instruction.node].op;
        if op.downcast::<Relu>().is_some() {
            return Some(Clamp::RELU);
        }
        let clip = op.downcast::<Clip>()?;
        let stored = |place: usize| match instruction.inputs.get(place).copied().flatten() {
            None => Some(None),
            Some(slot) => {
                let (_, tensor) = self.graph.tensors.get_index(slot)?;
                (tensor.data.shape().num_elements() == 1).then(|| tensor.data.iter::<f32>().next())
            }
        };
        let [low, high] = clip.bounds([stored(1)?, stored(2)?]);
        let clamp = Clamp {
            low: low.unwrap_or(f32::NEG_INFINITY),
            high: high.unwrap_or(f32::INFINITY),
        };
        // Where the bounds cross, the upper one wins, and no gradient flows: left to the operator.
        (clamp.low < clamp.high).then_some(clamp)
    }

    fn finish(self) -> Option<Fusion> {
        Some(Fusion {
            output: self.output?,
            instructions: self.instructions,
            block: self.block,
            conv: self.conv,
            slots: self.slots,
            norm: self.norm,
            inner: self.inner,
        })
    }
}
