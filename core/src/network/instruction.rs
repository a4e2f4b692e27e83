//! A node as it is run: names are slots.

/// One node with its names resolved.
#[derive(Debug)]
pub(super) struct Instruction {
    /// Index of the node in the graph.
    pub node: usize,
    /// Slots of the inputs.
    pub inputs: Vec<Option<usize>>,
    /// Slots of the outputs; `None` for one that nobody asked for.
    pub outputs: Vec<Option<usize>>,
    /// Pairs (output, buffer) that training moves.
    pub updates: Vec<(usize, usize)>,
}
