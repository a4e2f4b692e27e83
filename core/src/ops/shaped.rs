//! What facts and values have in common, so that an operator works out its plan once, for inference
//! and for the run.
//!
//! Reshaping operators take shapes and axes from attributes or inputs. While shapes are inferred an
//! input is a [`Fact`], when the network runs it is a [`Value`]; extents and integers are read from
//! both in the same way.

use crate::op::{Fact, Inputs, MOST_ELEMENTS, NodeReader, OpError, element_count, resolve_axis};
use crate::value::{Kind, Value};

/// A fact or a value.
pub trait Shaped {
    /// The kind of the elements.
    fn elements(&self) -> Kind;
    /// The extent of each axis.
    fn extents(&self) -> Vec<usize>;
    /// The content, if it consists of integers and is known.
    fn integers(&self) -> Option<Vec<i64>>;
}

impl Shaped for Fact {
    fn elements(&self) -> Kind {
        self.kind
    }

    fn extents(&self) -> Vec<usize> {
        self.dims.clone()
    }

    fn integers(&self) -> Option<Vec<i64>> {
        self.ints()
    }
}

impl Shaped for Value {
    fn elements(&self) -> Kind {
        self.kind()
    }

    fn extents(&self) -> Vec<usize> {
        self.dims()
    }

    fn integers(&self) -> Option<Vec<i64>> {
        self.to_ints()
    }
}

impl<T: Shaped> Inputs<'_, T> {
    /// The integers of a required input.
    pub(super) fn integers(&self, index: usize, name: &'static str) -> Result<Vec<i64>, OpError> {
        let input = self.required(index, name)?;
        if input.elements() != Kind::Int {
            return Err(OpError::Kind {
                name,
                expected: Kind::Int,
                got: input.elements(),
            });
        }
        input.integers().ok_or(OpError::NotConstant { name })
    }

    /// The integers of an input that may be absent.
    pub(super) fn optional_integers(
        &self,
        index: usize,
        name: &'static str,
    ) -> Result<Option<Vec<i64>>, OpError> {
        match self.optional(index) {
            None => Ok(None),
            Some(_) => self.integers(index, name).map(Some),
        }
    }
}

/// Integers that earlier operator sets write as an attribute and later ones as an input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum IntList {
    /// The attribute's content.
    Attribute(Option<Vec<i64>>),
    /// The input's position and name.
    Input(usize, &'static str),
}

impl IntList {
    /// The attribute `name`, or from operator set `since` on the input of that name at `index`.
    pub(super) fn read(
        node: &NodeReader<'_>,
        name: &'static str,
        index: usize,
        since: i64,
    ) -> Result<Self, OpError> {
        if node.opset >= since {
            Ok(Self::Input(index, name))
        } else {
            node.ints(name).map(Self::Attribute)
        }
    }

    /// The integers; `None` where the file states none.
    pub(super) fn get<T: Shaped>(&self, inputs: &Inputs<'_, T>) -> Result<Option<Vec<i64>>, OpError> {
        match self {
            Self::Attribute(values) => Ok(values.clone()),
            Self::Input(index, name) => inputs.optional_integers(*index, name),
        }
    }

    /// The integers of a list called `attribute` that must be there.
    pub(super) fn required<T: Shaped>(
        &self,
        inputs: &Inputs<'_, T>,
        attribute: &'static str,
    ) -> Result<Vec<i64>, OpError> {
        self.get(inputs)?.ok_or_else(|| match self {
            Self::Attribute(_) => OpError::MissingAttribute {
                attribute: attribute.to_owned(),
            },
            Self::Input(index, name) => OpError::MissingInput { index: *index, name },
        })
    }
}

/// The axes that possibly negative numbers name, sorted.
///
/// # Errors
/// An axis beyond the rank, or one that is named twice.
pub(super) fn resolve_axes(axes: &[i64], rank: usize) -> Result<Vec<usize>, OpError> {
    let mut resolved: Vec<usize> = axes
        .iter()
        .map(|axis| resolve_axis(*axis, rank))
        .collect::<Result<_, _>>()?;
    resolved.sort_unstable();
    if resolved.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(OpError::Content {
            name: "axes",
            got: format!("{axes:?}"),
            expected: "each axis once".to_owned(),
        });
    }
    Ok(resolved)
}

/// Extents from integers of a file.
///
/// # Errors
/// A negative extent, or more elements than a tensor may have.
pub(super) fn extents(name: &'static str, values: &[i64]) -> Result<Vec<usize>, OpError> {
    let extents: Option<Vec<usize>> = values.iter().map(|value| usize::try_from(*value).ok()).collect();
    let fits = |dims: &Vec<usize>| element_count(dims).is_some();
    extents.filter(fits).ok_or_else(|| OpError::Content {
        name,
        got: format!("{values:?}"),
        expected: format!("extents of 0 or more, at most {MOST_ELEMENTS} elements"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_count_from_either_end_and_come_out_sorted() {
        assert_eq!(resolve_axes(&[-1, 0], 3), Ok(vec![0, 2]));
        assert!(matches!(resolve_axes(&[-1, 2], 3), Err(OpError::Content { .. })));
        assert!(matches!(
            resolve_axes(&[3], 3),
            Err(OpError::Axis { axis: 3, rank: 3 })
        ));
    }

    #[test]
    fn a_tensor_beyond_all_memory_is_refused() {
        assert!(matches!(
            extents("shape", &[1 << 40, 1 << 40]),
            Err(OpError::Content { .. })
        ));
        // [2^60, 2^60, 0] would overflow on its way to 0.
        assert!(matches!(
            extents("shape", &[1 << 60, 1 << 60, 0]),
            Err(OpError::Content { .. })
        ));
        assert_eq!(extents("shape", &[1 << 20, 0]), Ok(vec![1 << 20, 0]));
    }
}
