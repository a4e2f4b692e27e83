//! The inputs of a node, read with errors that name them.

use super::error::OpError;
use super::fact::Fact;
use crate::value::Kind;

/// The inputs of a node: facts while shapes are inferred, values while it runs.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a, T>(pub &'a [Option<T>]);

impl<'a, T> Inputs<'a, T> {
    /// An optional input.
    pub fn optional(&self, index: usize) -> Option<&'a T> {
        self.0.get(index).and_then(Option::as_ref)
    }

    /// An input that must be there.
    ///
    /// # Errors
    /// [`OpError::MissingInput`] with the name.
    pub fn required(&self, index: usize, name: &'static str) -> Result<&'a T, OpError> {
        self.optional(index).ok_or(OpError::MissingInput { index, name })
    }

    /// The inputs that are there, in order.
    pub fn present(&self) -> impl Iterator<Item = &'a T> + use<'a, T> {
        self.0.iter().flatten()
    }

    /// How many inputs the node lists.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether the node lists none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'a> Inputs<'a, Fact> {
    /// A required input of a certain kind.
    ///
    /// # Errors
    /// A missing input or another kind.
    pub(crate) fn of_kind(&self, index: usize, name: &'static str, kind: Kind) -> Result<&'a Fact, OpError> {
        let fact = self.required(index, name)?;
        if fact.kind == kind {
            return Ok(fact);
        }
        Err(OpError::Kind {
            name,
            expected: kind,
            got: fact.kind,
        })
    }

    /// A required float input of which no axis has extent 0: what reductions and products can be
    /// taken of.
    ///
    /// # Errors
    /// A missing input, another kind, or an empty tensor.
    pub fn filled(&self, index: usize, name: &'static str) -> Result<&'a Fact, OpError> {
        let fact = self.of_kind(index, name, Kind::Float)?;
        if !fact.is_empty() {
            return Ok(fact);
        }
        Err(OpError::Shape {
            name,
            got: fact.dims.clone(),
            expected: "at least one element".to_owned(),
        })
    }

    /// An optional float input.
    ///
    /// # Errors
    /// An input of another kind.
    pub(crate) fn optional_float(
        &self,
        index: usize,
        name: &'static str,
    ) -> Result<Option<&'a Fact>, OpError> {
        match self.optional(index) {
            None => Ok(None),
            Some(_) => self.of_kind(index, name, Kind::Float).map(Some),
        }
    }

    /// The integers of an input that must follow from constants and shapes alone.
    ///
    /// # Errors
    /// A missing input, or one that depends on the data.
    pub(crate) fn known_ints(&self, index: usize, name: &'static str) -> Result<Vec<i64>, OpError> {
        let fact = self.required(index, name)?;
        fact.ints().ok_or(OpError::NotConstant { name })
    }
}
