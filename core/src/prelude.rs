//! What most users of the core need: `use potstill_core::prelude::*;`.
//!
//! ```
//! use potstill_core::prelude::*;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let graph: Graph = zoo::build("resnet8", 10, [3, 32, 32], 0)?;
//! let network = Network::new(graph, &Device::flex())?;
//! let pictures = Tensor::<4>::zeros([2, 3, 32, 32], &Device::flex());
//! let outputs = network.forward(Value::from(pictures), &[], Mode::Inference)?;
//! assert_eq!(outputs.float::<2>("logits")?.dims(), [2, 10]);
//! # Ok(())
//! # }
//! ```

pub use burn::tensor::{Device, Tensor};

pub use crate::builder::GraphBuilder;
pub use crate::data::{Loader, LoaderOptions, Pipeline, Source, Split};
pub use crate::graph::{Graph, GraphError};
pub use crate::network::{Network, Outputs};
pub use crate::op::Mode;
pub use crate::plugin::{
    Options, Paper, Plan, Plugin, PluginEntry, PluginError, PluginSpec, Prepared, Recorded, Step, Students,
    Term,
};
pub use crate::schedule::Schedule;
pub use crate::train::{Event, Interrupter, Observer, Outcome, Setup, Silent, TrainConfig, train};
pub use crate::value::Value;
pub use crate::{options, zoo};
