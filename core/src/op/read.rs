//! Reading a node: typed attributes with defaults, and errors that name what was wrong.

use std::cell::RefCell;
use std::collections::BTreeSet;

use burn::tensor::{DType, TensorData};

use crate::names::nearest;
use crate::op::{Attribute, Attributes, OpError};

/// The largest stride, kernel or padding: products of two must not overflow.
pub(crate) const LARGEST_SIZE: usize = i32::MAX as usize;

/// A node as an operator's `read` function sees it. Attributes that were not asked for are refused
/// afterwards.
#[derive(Debug)]
pub struct NodeReader<'a> {
    /// The operator's name in the file.
    pub op: &'a str,
    /// The version of ONNX's operator set that the file uses.
    pub opset: i64,
    /// How many inputs the node lists.
    pub inputs: usize,
    /// How many outputs the node lists.
    pub outputs: usize,
    stored: &'a [Option<DType>],
    attributes: &'a Attributes,
    asked: RefCell<BTreeSet<&'static str>>,
}

impl<'a> NodeReader<'a> {
    /// A reader over a node's attributes; `stored` are the element types of those inputs that are
    /// stored.
    pub fn new(
        op: &'a str,
        opset: i64,
        stored: &'a [Option<DType>],
        outputs: usize,
        attributes: &'a Attributes,
    ) -> Self {
        Self {
            op,
            opset,
            inputs: stored.len(),
            outputs,
            stored,
            attributes,
            asked: RefCell::default(),
        }
    }

    /// The element type of an input, if it is stored.
    pub(crate) fn stored_type(&self, input: usize) -> Option<DType> {
        self.stored.get(input).copied().flatten()
    }

    fn get<T>(
        &self,
        name: &'static str,
        expected: &str,
        convert: impl FnOnce(&'a Attribute) -> Option<T>,
    ) -> Result<Option<T>, OpError> {
        self.asked.borrow_mut().insert(name);
        let Some(attribute) = self.attributes.get(name) else {
            return Ok(None);
        };
        match convert(attribute) {
            Some(value) => Ok(Some(value)),
            None => Err(self.bad(name, attribute.describe(), expected)),
        }
    }

    /// The error for an attribute that is there but of no use.
    pub fn bad(&self, name: &str, got: impl Into<String>, expected: impl Into<String>) -> OpError {
        OpError::BadAttribute {
            attribute: name.to_owned(),
            got: got.into(),
            expected: expected.into(),
        }
    }

    /// An integer.
    ///
    /// # Errors
    /// An attribute of another type.
    pub fn int(&self, name: &'static str) -> Result<Option<i64>, OpError> {
        self.get(name, "an integer", |attribute| match attribute {
            Attribute::Int(value) => Some(*value),
            _ => None,
        })
    }

    /// An integer that must be there.
    ///
    /// # Errors
    /// A missing attribute or another type.
    pub(crate) fn required_int(&self, name: &'static str) -> Result<i64, OpError> {
        self.int(name)?.ok_or_else(|| OpError::MissingAttribute {
            attribute: name.to_owned(),
        })
    }

    /// A flag, written as 0 or 1.
    ///
    /// # Errors
    /// Another type or number.
    pub fn flag(&self, name: &'static str, default: bool) -> Result<bool, OpError> {
        match self.int(name)? {
            None => Ok(default),
            Some(0) => Ok(false),
            Some(1) => Ok(true),
            Some(other) => Err(self.bad(name, other.to_string(), "0 or 1")),
        }
    }

    /// A float that may be absent.
    ///
    /// # Errors
    /// An attribute of another type.
    pub fn number(&self, name: &'static str) -> Result<Option<f32>, OpError> {
        self.get(name, "a float", |attribute| match attribute {
            Attribute::Float(value) => Some(*value),
            _ => None,
        })
    }

    /// A float.
    ///
    /// # Errors
    /// An attribute of another type.
    pub fn float(&self, name: &'static str, default: f32) -> Result<f32, OpError> {
        Ok(self.number(name)?.unwrap_or(default))
    }

    /// Integers.
    ///
    /// # Errors
    /// An attribute of another type.
    pub fn ints(&self, name: &'static str) -> Result<Option<Vec<i64>>, OpError> {
        self.get(name, "a list of integers", |attribute| match attribute {
            Attribute::Ints(values) => Some(values.clone()),
            _ => None,
        })
    }

    /// Floats.
    ///
    /// # Errors
    /// An attribute of another type.
    pub fn floats(&self, name: &'static str) -> Result<Option<Vec<f32>>, OpError> {
        self.get(name, "a list of floats", |attribute| match attribute {
            Attribute::Floats(values) => Some(values.clone()),
            _ => None,
        })
    }

    /// A text.
    ///
    /// # Errors
    /// Another type, or bytes that are no UTF-8.
    pub fn text(&self, name: &'static str) -> Result<Option<&'a str>, OpError> {
        self.get(name, "a text", |attribute| match attribute {
            Attribute::String(bytes) => std::str::from_utf8(bytes).ok(),
            _ => None,
        })
    }

    /// Texts.
    ///
    /// # Errors
    /// Another type, or bytes that are no UTF-8.
    pub fn texts(&self, name: &'static str) -> Result<Option<Vec<String>>, OpError> {
        self.get(name, "a list of texts", |attribute| match attribute {
            Attribute::Strings(texts) => texts
                .iter()
                .map(|bytes| String::from_utf8(bytes.clone()).ok())
                .collect(),
            _ => None,
        })
    }

    /// A tensor.
    ///
    /// # Errors
    /// An attribute of another type.
    pub fn tensor(&self, name: &'static str) -> Result<Option<&'a TensorData>, OpError> {
        self.get(name, "a tensor", |attribute| match attribute {
            Attribute::Tensor(_, data) => Some(data),
            _ => None,
        })
    }

    /// Sizes along spatial axes: `default` where the attribute is absent.
    ///
    /// # Errors
    /// A negative entry, one beyond `LARGEST_SIZE`, or another number of entries than `axes`.
    pub fn sizes(&self, name: &'static str, axes: usize, default: usize) -> Result<Vec<usize>, OpError> {
        let Some(values) = self.ints(name)? else {
            return Ok(vec![default; axes]);
        };
        let sizes: Option<Vec<usize>> = values
            .iter()
            .map(|value| usize::try_from(*value).ok().filter(|size| *size <= LARGEST_SIZE))
            .collect();
        sizes.filter(|sizes| sizes.len() == axes).ok_or_else(|| {
            self.bad(
                name,
                format!("{values:?}"),
                format!("{axes} numbers from 0 to {LARGEST_SIZE}"),
            )
        })
    }

    /// Refuses attributes that the operator did not ask for.
    ///
    /// # Errors
    /// [`OpError::UnknownAttribute`] for the first one.
    pub fn finish(&self) -> Result<(), OpError> {
        let asked = self.asked.borrow();
        match self.attributes.keys().find(|name| !asked.contains(name.as_str())) {
            None => Ok(()),
            Some(name) => Err(OpError::UnknownAttribute {
                attribute: name.clone(),
                near: nearest(name, asked.iter().copied(), 2),
            }),
        }
    }
}
