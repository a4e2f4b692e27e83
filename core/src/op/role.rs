//! What an input that is stored beside the nodes is for.

/// What a stored tensor is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Trained by the optimizer.
    Weight,
    /// Moved by training itself: running statistics.
    Buffer,
    /// Left alone: shapes, axes, fixed factors.
    Constant,
}
