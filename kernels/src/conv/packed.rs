//! Weights in the order in which the kernels read them.
//!
//! Output channels are cut into blocks of one or two registers; within a block the order is
//! `[tap][in][channel of the block]`, so that a tile reads a block from front to back.

use std::ops::Range;

use rayon::prelude::*;

use super::shape::ConvShape;
use crate::parallel::Shared;

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
        let shared = Shared::new(&mut packed);
        self.blocks
            .par_iter()
            .with_min_len(self.blocks_per_task())
            .for_each(|block| {
                // SAFETY: blocks do not overlap.
                let part = unsafe { shared.part(self.range(block)) };
                self.places(block, direction)
                    .each(self, |at, weight_at| part[at] = weight[weight_at]);
            });
        packed
    }

    /// A packed weight, in ONNX's order.
    pub(super) fn unpack(&self, packed: &[f32], weight: &mut [f32]) {
        let filter = self.taps * self.inputs;
        let shared = Shared::new(weight);
        self.blocks
            .par_iter()
            .with_min_len(self.blocks_per_task())
            .for_each(|block| {
                let rows = block.output * filter..(block.output + block.count) * filter;
                // SAFETY: blocks do not overlap, and a forward block's filters follow one another.
                let (first, filters) = (rows.start, unsafe { shared.part(rows) });
                let part = &packed[self.range(block)];
                self.places(block, Direction::Forward)
                    .each(self, |at, weight_at| filters[weight_at - first] = part[at]);
            });
    }

    /// Where a block's weights are.
    pub(super) fn range(&self, block: &Block) -> Range<usize> {
        block.start..block.start + self.taps * self.inputs * block.registers * self.lanes
    }

    /// Small weights are packed faster than a thread is woken.
    fn blocks_per_task(&self) -> usize {
        (TASK_ELEMENTS * self.blocks.len()).div_ceil(self.len.max(1))
    }

    /// Where a block's channels lie in a weight of ONNX's order, of which a backward block reads
    /// the second axis, which counts within the group.
    fn places(&self, block: &Block, direction: Direction) -> Places {
        let width = block.registers * self.lanes;
        let channels = block.count;
        match direction {
            Direction::Forward => Places {
                first: block.output * self.inputs,
                by_channel: self.inputs,
                by_input: 1,
                channels,
                width,
            },
            Direction::Backward => {
                let group = block.input / self.inputs;
                Places {
                    first: block.input * self.outputs + block.output - group * self.outputs,
                    by_channel: 1,
                    by_input: self.outputs,
                    channels,
                    width,
                }
            }
        }
    }
}

/// Elements that are worth a task of their own.
const TASK_ELEMENTS: usize = 1 << 15;

/// Strides of a block in a weight of ONNX's order, in kernels of all taps.
struct Places {
    first: usize,
    by_channel: usize,
    by_input: usize,
    channels: usize,
    width: usize,
}

impl Places {
    /// Pairs (place in the block, place in ONNX's weight).
    #[inline]
    fn each(&self, layout: &Layout, mut visit: impl FnMut(usize, usize)) {
        for channel in 0..self.channels {
            for input in 0..layout.inputs {
                let from = (self.first + channel * self.by_channel + input * self.by_input) * layout.taps;
                for tap in 0..layout.taps {
                    visit((tap * layout.inputs + input) * self.width + channel, from + tap);
                }
            }
        }
    }
}
