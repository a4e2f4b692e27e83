//! A network's structure, as methods look at it while they plan.

use super::error::PluginError;
use crate::graph::{Facts, Graph, infer};

/// A network as a plugin sees it while planning: its structure, not its weights.
#[derive(Clone, Debug)]
pub struct Architecture<'a> {
    /// The member's or the teacher's name.
    pub name: String,
    /// The network.
    pub graph: &'a Graph,
    /// The value that holds the logits `[batch, classes]`.
    pub logits: String,
    /// Shapes of all its values at batch 1.
    pub facts: Facts,
}

impl<'a> Architecture<'a> {
    /// Of a network whose first output is its logits.
    ///
    /// # Errors
    /// A node that refuses its inputs.
    pub fn new(name: &str, graph: &'a Graph) -> Result<Self, PluginError> {
        let logits = graph
            .outputs
            .first()
            .map(|output| output.name.clone())
            .unwrap_or_default();
        Ok(Self {
            name: name.to_owned(),
            graph,
            logits,
            facts: infer(graph, 1)?,
        })
    }

    /// Refuses a name that is no value of the network.
    ///
    /// # Errors
    /// [`PluginError::Value`] with the network and the nearest names.
    pub fn check_value(&self, value: &str) -> Result<(), PluginError> {
        self.graph
            .check_value(value)
            .map_err(|source| PluginError::Value {
                network: self.name.clone(),
                source,
            })
    }

    /// The extents of a value at batch 1.
    ///
    /// # Errors
    /// A value that the network does not have, with the nearest names.
    pub fn dims(&self, value: &str) -> Result<Vec<usize>, PluginError> {
        self.check_value(value)?;
        Ok(self
            .facts
            .get(value)
            .map(|fact| fact.dims.clone())
            .unwrap_or_default())
    }

    /// The features that the classifier reads.
    pub fn features(&self) -> Option<String> {
        self.graph.features_before(&self.logits).map(str::to_owned)
    }
}
