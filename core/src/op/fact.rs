//! What is known of a value without running the network: element type, extents, and, for what is
//! computed from constants, its content.

use crate::value::{Kind, Value};

/// ONNX's element types, with ONNX's own numbers (`TensorProto.DataType`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(i32)]
#[allow(missing_docs, reason = "the names are the specification's")]
pub enum ElementType {
    Float = 1,
    Uint8 = 2,
    Int8 = 3,
    Uint16 = 4,
    Int16 = 5,
    Int32 = 6,
    Int64 = 7,
    Bool = 9,
    Float16 = 10,
    Double = 11,
    Uint32 = 12,
    Uint64 = 13,
    Bfloat16 = 16,
}

impl ElementType {
    /// All types that Potstill reads.
    pub(crate) const ALL: [ElementType; 13] = [
        ElementType::Float,
        ElementType::Uint8,
        ElementType::Int8,
        ElementType::Uint16,
        ElementType::Int16,
        ElementType::Int32,
        ElementType::Int64,
        ElementType::Bool,
        ElementType::Float16,
        ElementType::Double,
        ElementType::Uint32,
        ElementType::Uint64,
        ElementType::Bfloat16,
    ];

    /// The type with ONNX's number `code`, if Potstill reads it.
    pub fn from_code(code: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|element| *element as i64 == code)
    }

    /// As what the elements run.
    pub fn kind(self) -> Kind {
        match self {
            ElementType::Float | ElementType::Float16 | ElementType::Double | ElementType::Bfloat16 => {
                Kind::Float
            }
            ElementType::Bool => Kind::Bool,
            _ => Kind::Int,
        }
    }
}

/// The extent of an axis as a file declares it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Dim {
    /// A number.
    Known(usize),
    /// A name such as `batch`: any extent, the same wherever the name stands.
    Symbol(String),
    /// Nothing is said.
    Unknown,
}

impl std::fmt::Display for Dim {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Dim::Known(extent) => write!(f, "{extent}"),
            Dim::Symbol(name) => f.write_str(name),
            Dim::Unknown => f.write_str("?"),
        }
    }
}

/// A value as a file declares it.
#[derive(Clone, Debug, PartialEq)]
pub struct ValueInfo {
    /// The value's name.
    pub name: String,
    /// The element type, where it is stated and known.
    pub element: Option<ElementType>,
    /// The extents; `None` where the file states no shape at all.
    pub dims: Option<Vec<Dim>>,
    /// Free text of the file.
    pub doc: String,
}

impl ValueInfo {
    /// A float value of stated extents.
    pub fn float(name: impl Into<String>, dims: Vec<Dim>) -> Self {
        Self {
            name: name.into(),
            element: Some(ElementType::Float),
            dims: Some(dims),
            doc: String::new(),
        }
    }

    /// The shape as text: `[batch, 3, 32, 32]`.
    pub fn shape_text(&self) -> String {
        match &self.dims {
            None => "[?]".to_owned(),
            Some(dims) => {
                let dims: Vec<String> = dims.iter().map(Dim::to_string).collect();
                format!("[{}]", dims.join(", "))
            }
        }
    }

    /// The extents with every open axis set to `batch` if it is the first, to 1 otherwise; `None`
    /// without a shape.
    pub fn dims_at(&self, batch: usize) -> Option<Vec<usize>> {
        let dims = self.dims.as_ref()?;
        let extent = |(axis, dim): (usize, &Dim)| match dim {
            Dim::Known(extent) => *extent,
            _ if axis == 0 => batch,
            _ => 1,
        };
        Some(dims.iter().enumerate().map(extent).collect())
    }
}

/// What is known of a value at one batch size.
#[derive(Clone, Debug)]
pub struct Fact {
    /// The kind of the elements.
    pub kind: Kind,
    /// The extents; empty for a scalar.
    pub dims: Vec<usize>,
    /// The content, where it follows from constants and shapes alone.
    pub value: Option<Value>,
}

impl Fact {
    /// A value of known kind and extents.
    pub fn new(kind: Kind, dims: impl Into<Vec<usize>>) -> Self {
        Self {
            kind,
            dims: dims.into(),
            value: None,
        }
    }

    /// A float of known extents.
    pub fn float(dims: impl Into<Vec<usize>>) -> Self {
        Self::new(Kind::Float, dims)
    }

    /// A value that is known entirely.
    pub fn known(value: Value) -> Self {
        Self {
            kind: value.kind(),
            dims: value.dims(),
            value: Some(value),
        }
    }

    /// The number of elements.
    pub fn len(&self) -> usize {
        self.dims.iter().product()
    }

    /// Whether an axis has extent 0.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number of axes.
    pub fn rank(&self) -> usize {
        self.dims.len()
    }

    /// The integers of a known value.
    pub fn ints(&self) -> Option<Vec<i64>> {
        self.value.as_ref().and_then(Value::to_ints)
    }
}
