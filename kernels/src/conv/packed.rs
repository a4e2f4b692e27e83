//! Weights in the order in which the kernels read them.
//!
//! Output channels are cut into blocks of one or two registers; within a block the order is `[tap][in][channel of the block]`, so that a
//! tile reads a block from front to back.

use super::ConvShape;

/// Some neighbouring output channels, the last registers filled up with zeros.
#[derive(Clone, Copy, Debug)]
pub(super) struct Block {
    /// The first output channel.
    pub(super) output: usize,
    /// How many there are.
    pub(super) count: usize,
    /// Registers, 1 or 2.
    pub(super) registers: usize,
    /// The first of the input channels that they see.
    pub(super) input: usize,
    /// Where its weights begin.
    pub(super) start: usize,
}

/// A weight cut into blocks.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) blocks: Vec<Block>,
    /// Input channels that an output channel sees.
    pub(super) inputs: usize,
    /// Output channels of a group.
    outputs: usize,
    /// Elements in all.
    pub(super) len: usize,
    taps: usize,
    lanes: usize,
}

/// Which way a packed weight is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    /// From inputs to outputs.
    Forward,
    /// From gradients of outputs to gradients of inputs.
    Backward,
}

impl Layout {
    pub(super) fn new(shape: &ConvShape, direction: Direction, lanes: usize) -> Self {
        let per_group = shape.channels.map(|channels| channels / shape.groups);
        let [inputs, outputs] = match direction {
            Direction::Forward => per_group,
            Direction::Backward => [per_group[1], per_group[0]],
        };
        let taps = shape.taps();
        let (mut blocks, mut start) = (Vec::new(), 0);
        for group in 0..shape.groups {
            for first in (0..outputs).step_by(2 * lanes) {
                let count = (outputs - first).min(2 * lanes);
                let registers = count.div_ceil(lanes);
                blocks.push(Block {
                    output: group * outputs + first,
                    count,
                    registers,
                    input: group * inputs,
                    start,
                });
                start += taps * inputs * registers * lanes;
            }
        }
        Self {
            blocks,
            inputs,
            outputs,
            len: start,
            taps,
            lanes,
        }
    }

    /// A weight of ONNX's order, packed.
    pub(super) fn pack(&self, weight: &[f32], direction: Direction) -> Vec<f32> {
        let mut packed = vec![0.0; self.len];
        self.each(direction, |at, weight_at| packed[at] = weight[weight_at]);
        packed
    }

    /// A packed weight, in ONNX's order.
    pub(super) fn unpack(&self, packed: &[f32], weight: &mut [f32]) {
        self.each(Direction::Forward, |at, weight_at| weight[weight_at] = packed[at]);
    }

    /// Pairs (place in the packed weight, place in ONNX's).
    #[inline]
    fn each(&self, direction: Direction, mut visit: impl FnMut(usize, usize)) {
        for block in &self.blocks {
            let width = block.registers * self.lanes;
            for tap in 0..self.taps {
                for input in 0..self.inputs {
                    let at = block.start + (tap * self.inputs + input) * width;
                    for channel in 0..block.count {
                        let weight_at = match direction {
                            Direction::Forward => (block.output + channel) * self.inputs + input,
                            // The weight's second axis counts within the group.
                            Direction::Backward => {
                                let group = block.input / self.inputs;
                                let in_group = block.output + channel - group * self.outputs;
                                (block.input + input) * self.outputs + in_group
                            }
                        };
                        visit(at + channel, weight_at * self.taps + tap);
                    }
                }
            }
        }
    }
}
