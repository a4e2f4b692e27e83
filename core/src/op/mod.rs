//! What an operator is, whichever it is: its interface, what it is told of its inputs, what may be
//! wrong with them.
//!
//! | module | what lives there |
//! | --- | --- |
//! | `operator` | [`Op`]: shape, run, cost; [`Operator`], the entry by which files name one |
//! | `inputs` | [`Inputs`] of a node, while shapes are inferred and while it runs |
//! | `fact` | [`Fact`]: what is known of a value without running the network |
//! | `attribute`, `read` | attributes as a file states them, and how an operator reads them |
//! | `role` | what a stored input is for |
//! | `shape` | axes, broadcasting, numbers of elements |
//!
//! The operators themselves are in [`ops`](crate::ops), which nothing here knows.

mod attribute;
mod error;
mod fact;
mod inputs;
mod operator;
pub(crate) mod read;
mod role;
mod shape;

pub use attribute::{Attribute, Attributes};
pub use error::OpError;
pub use fact::{Dim, ElementType, Fact, ValueInfo};
pub use inputs::Inputs;
pub use operator::{Mode, Op, OpClone, Operator, RunContext};
pub use read::NodeReader;
pub use role::Role;
pub(crate) use shape::{MOST_ELEMENTS, broadcast, element_count, resolve_axis, work};
