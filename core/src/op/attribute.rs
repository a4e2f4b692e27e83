//! The attributes of a node as its file writes them.

use burn::tensor::TensorData;
use indexmap::IndexMap;

/// One attribute's value.
#[derive(Clone, Debug, PartialEq)]
pub enum Attribute {
    /// An integer.
    Int(i64),
    /// A float.
    Float(f32),
    /// A text; ONNX allows bytes that are no UTF-8.
    String(Vec<u8>),
    /// Integers.
    Ints(Vec<i64>),
    /// Floats.
    Floats(Vec<f32>),
    /// Texts.
    Strings(Vec<Vec<u8>>),
    /// A tensor with its name.
    Tensor(String, TensorData),
    /// Something that no supported operator reads (a subgraph, a sparse tensor), as encoded bytes.
    Opaque(Vec<u8>),
}

impl Attribute {
    /// What messages call this kind of value.
    pub fn describe(&self) -> String {
        match self {
            Attribute::Int(value) => format!("the integer {value}"),
            Attribute::Float(value) => format!("the float {value}"),
            Attribute::String(value) => format!("the text \"{}\"", String::from_utf8_lossy(value)),
            Attribute::Ints(values) => format!("the integers {values:?}"),
            Attribute::Floats(values) => format!("the floats {values:?}"),
            Attribute::Strings(_) => "a list of texts".to_owned(),
            Attribute::Tensor(_, data) => format!("a tensor of shape {:?}", data.shape()),
            Attribute::Opaque(_) => "a value of another kind".to_owned(),
        }
    }
}

/// A node's attributes by name, in the order of the file.
pub type Attributes = IndexMap<String, Attribute>;

impl From<i64> for Attribute {
    fn from(value: i64) -> Self {
        Attribute::Int(value)
    }
}

impl From<f32> for Attribute {
    fn from(value: f32) -> Self {
        Attribute::Float(value)
    }
}

impl From<&str> for Attribute {
    fn from(value: &str) -> Self {
        Attribute::String(value.as_bytes().to_vec())
    }
}

impl From<Vec<i64>> for Attribute {
    fn from(values: Vec<i64>) -> Self {
        Attribute::Ints(values)
    }
}
