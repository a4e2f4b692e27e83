//! What a run of a network gives back.

use burn::tensor::Tensor;
use indexmap::IndexMap;

use crate::value::Value;

/// A tap or output that cannot be used as asked.
#[derive(Debug, thiserror::Error)]
pub enum TapError {
    /// The value was not asked for when the network ran.
    #[error("value `{value}` was not tapped")]
    NotTapped {
        /// Its name.
        value: String,
    },
    /// The value has another rank than needed.
    #[error("value `{value}` has shape {got:?}, expected rank {expected}")]
    Rank {
        /// Its name.
        value: String,
        /// Its extents.
        got: Vec<usize>,
        /// The rank that was needed.
        expected: usize,
    },
}

/// What a run gives back: the graph's outputs and the tapped values, by name.
#[derive(Clone, Debug, Default)]
pub struct Outputs {
    values: IndexMap<String, Value>,
}

impl Outputs {
    /// A value by name.
    ///
    /// # Errors
    /// A value that was not asked for.
    pub fn get(&self, name: &str) -> Result<&Value, TapError> {
        self.values.get(name).ok_or_else(|| TapError::NotTapped {
            value: name.to_owned(),
        })
    }

    /// A float value of rank `D` by name.
    ///
    /// # Errors
    /// A value that was not asked for, or of another rank.
    pub fn float<const D: usize>(&self, name: &str) -> Result<Tensor<D>, TapError> {
        let value = self.get(name)?;
        if value.rank() == D {
            return Ok(value.clone().float());
        }
        Err(TapError::Rank {
            value: name.to_owned(),
            got: value.dims(),
            expected: D,
        })
    }

    /// The same values, through which no gradient flows.
    pub(crate) fn detached(&self) -> Self {
        let detached = |(name, value): (&String, &Value)| (name.clone(), value.clone().detach());
        Self {
            values: self.values.iter().map(detached).collect(),
        }
    }

    /// Adds a value, or replaces the one of that name.
    pub fn insert(&mut self, name: &str, value: Value) {
        self.values.insert(name.to_owned(), value);
    }

    /// These values with one replaced.
    pub(crate) fn with(&self, name: &str, value: Value) -> Self {
        let mut values = self.values.clone();
        values.insert(name.to_owned(), value);
        Self { values }
    }

    /// These values with others' names: pairs (name here, name there). What was not asked for is
    /// left out.
    pub(crate) fn renamed<'a>(&self, pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let values = pairs
            .into_iter()
            .filter_map(|(here, there)| Some((there.to_owned(), self.values.get(here)?.clone())))
            .collect();
        Self { values }
    }

    /// The graph's first output.
    pub fn first(&self) -> Option<(&str, &Value)> {
        self.values.first().map(|(name, value)| (name.as_str(), value))
    }

    /// All values, the graph's outputs first.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.values.iter().map(|(name, value)| (name.as_str(), value))
    }
}
