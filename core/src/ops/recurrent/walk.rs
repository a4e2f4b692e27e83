//! The cells of a recurrent layer, and their walk along a sequence.

use burn::tensor::Tensor;
use burn::tensor::activation::{relu, sigmoid};

/// What happens at a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cell {
    Rnn,
    Gru,
    Lstm,
}

impl Cell {
    pub(super) fn gates(self) -> usize {
        match self {
            Cell::Rnn => 1,
            Cell::Gru => 3,
            Cell::Lstm => 4,
        }
    }

    pub(super) fn activations(self) -> &'static [Activation] {
        match self {
            Cell::Rnn => &[Activation::Tanh],
            Cell::Gru => &[Activation::Sigmoid, Activation::Tanh],
            Cell::Lstm => &[Activation::Sigmoid, Activation::Tanh, Activation::Tanh],
        }
    }
}

/// A function inside a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Activation {
    Sigmoid,
    Tanh,
    Relu,
}

impl Activation {
    fn apply(self, x: Tensor<2>) -> Tensor<2> {
        match self {
            Activation::Sigmoid => sigmoid(x),
            Activation::Tanh => x.tanh(),
            Activation::Relu => relu(x),
        }
    }
}

/// The extents of a layer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extents {
    pub(super) steps: usize,
    pub(super) batch: usize,
    pub(super) inputs: usize,
    pub(super) hidden: usize,
}

/// One direction of a layer.
pub(super) struct Walk<'a> {
    pub(super) cell: Cell,
    /// Whether a GRU multiplies by r after the recurrence's product.
    pub(super) linear_before_reset: bool,
    /// f, g, h.
    pub(super) activations: &'a [Activation],
    /// What the inputs of all steps add to the gates, `[steps · batch, gates · hidden]`.
    pub(super) fed: Tensor<2>,
    /// `[hidden, gates · hidden]`
    pub(super) recurrence: Tensor<2>,
    /// The recurrence's bias, `[1, gates · hidden]`.
    pub(super) bias_h: Option<Tensor<2>>,
    /// `[3, hidden]`, for i, o, f.
    pub(super) peepholes: Option<Tensor<2>>,
    pub(super) of: Extents,
}

impl Walk<'_> {
    /// The states after a step from those before it.
    pub(super) fn step(&self, step: usize, h: Tensor<2>, c: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
        let (batch, hidden) = (self.of.batch, self.of.hidden);
        let fed = self.fed.clone().narrow(0, step * batch, batch);
        let recurrent = |h: Tensor<2>, gates: std::ops::Range<usize>| {
            let (start, length) = (gates.start * hidden, gates.len() * hidden);
            let product = h.matmul(self.recurrence.clone().narrow(1, start, length));
            match &self.bias_h {
                Some(bias) => product + bias.clone().narrow(1, start, length),
                None => product,
            }
        };
        let gate = |gates: &Tensor<2>, index: usize| gates.clone().narrow(1, index * hidden, hidden);
        let apply = |index: usize, x: Tensor<2>| self.activations[index].apply(x);
        match self.cell {
            Cell::Rnn => (apply(0, fed + recurrent(h, 0..1)), c),
            Cell::Gru => {
                let both = apply(
                    0,
                    fed.clone().narrow(1, 0, 2 * hidden) + recurrent(h.clone(), 0..2),
                );
                let (z, r) = (gate(&both, 0), gate(&both, 1));
                let candidate = if self.linear_before_reset {
                    r * recurrent(h.clone(), 2..3)
                } else {
                    recurrent(r * h.clone(), 2..3)
                };
                let candidate = apply(1, gate(&fed, 2) + candidate);
                // (1 − z) · h̃ + z · h
                (candidate.clone() + z * (h - candidate), c)
            }
            Cell::Lstm => {
                let gates = fed + recurrent(h, 0..4);
                let peep = |gate: Tensor<2>, row: usize, c: &Tensor<2>| match &self.peepholes {
                    Some(peepholes) => gate + peepholes.clone().narrow(0, row, 1) * c.clone(),
                    None => gate,
                };
                let i = apply(0, peep(gate(&gates, 0), 0, &c));
                let f = apply(0, peep(gate(&gates, 2), 2, &c));
                let c = f * c + i * apply(1, gate(&gates, 3));
                let o = apply(0, peep(gate(&gates, 1), 1, &c));
                (o * apply(2, c.clone()), c)
            }
        }
    }
}
