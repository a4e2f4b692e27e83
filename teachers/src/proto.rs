//! Pieces of an ONNX model in the graph's terms: tensors, attributes, declared values.

use std::path::Path;

use burn::tensor::{BoolStore, Bytes, DType, TensorData};
use onnx_protobuf::attribute_proto::AttributeType;
use onnx_protobuf::tensor_proto::DataLocation;
use onnx_protobuf::tensor_shape_proto::dimension;
use onnx_protobuf::{AttributeProto, Message, TensorProto, ValueInfoProto, type_proto};
use potstill_core::graph::{Attribute, Dim, ElementType, ValueInfo};

use crate::DecodeError;

/// A stored tensor; `folder` is where external data is looked for.
pub(crate) fn tensor(proto: &TensorProto, folder: Option<&Path>) -> Result<TensorData, DecodeError> {
    let refuse = |reason: String| DecodeError::Tensor {
        tensor: proto.name.clone(),
        reason,
    };
    let element = ElementType::from_code(i64::from(proto.data_type)).ok_or_else(|| {
        refuse(format!(
            "has element type {}, which is not supported",
            proto.data_type
        ))
    })?;
    let dims: Option<Vec<usize>> = proto
        .dims
        .iter()
        .map(|extent| usize::try_from(*extent).ok())
        .collect();
    let dims = dims.ok_or_else(|| refuse(format!("has the shape {:?}", proto.dims)))?;
    let count = dims
        .iter()
        .try_fold(1_usize, |product, extent| product.checked_mul(*extent));
    let dtype = dtype(element);
    let size = count
        .and_then(|count| count.checked_mul(dtype.size()))
        .ok_or_else(|| refuse(format!("has the shape {dims:?}, too large to store")))?;
    let count = size / dtype.size();
    let bytes = if proto.data_location.enum_value() == Ok(DataLocation::EXTERNAL) {
        external(proto, folder, size)?
    } else if !proto.raw_data.is_empty() {
        proto.raw_data.clone()
    } else {
        typed(proto, element)
    };
    if bytes.len() != size {
        let held = bytes.len() / dtype.size();
        return Err(refuse(format!(
            "holds {held} elements, its shape {dims:?} needs {count}"
        )));
    }
    if element == ElementType::Bool && bytes.iter().any(|byte| *byte > 1) {
        return Err(refuse("holds booleans other than 0 and 1".to_owned()));
    }
    if element == ElementType::Uint64
        && let Some(number) = beyond_signed(&bytes)
    {
        return Err(refuse(format!(
            "holds {number}, expected integers up to {}: they run as signed ones",
            i64::MAX
        )));
    }
    Ok(TensorData::from_bytes(Bytes::from_bytes_vec(bytes), dims, dtype))
}

/// The first of these unsigned integers that no signed one equals.
fn beyond_signed(bytes: &[u8]) -> Option<u64> {
    let (numbers, _) = bytes.as_chunks();
    let mut numbers = numbers.iter().map(|bytes| u64::from_le_bytes(*bytes));
    numbers.find(|number| i64::try_from(*number).is_err())
}

fn dtype(element: ElementType) -> DType {
    match element {
        ElementType::Float => DType::F32,
        ElementType::Double => DType::F64,
        ElementType::Float16 => DType::F16,
        ElementType::Bfloat16 => DType::BF16,
        ElementType::Int8 => DType::I8,
        ElementType::Int16 => DType::I16,
        ElementType::Int32 => DType::I32,
        ElementType::Int64 => DType::I64,
        ElementType::Uint8 => DType::U8,
        ElementType::Uint16 => DType::U16,
        ElementType::Uint32 => DType::U32,
        ElementType::Uint64 => DType::U64,
        ElementType::Bool => DType::Bool(BoolStore::Native),
    }
}

/// Elements from the typed fields, as little-endian bytes. Small types share `int32_data`, of which
/// they take the low bytes.
fn typed(proto: &TensorProto, element: ElementType) -> Vec<u8> {
    let low = |bytes: usize| {
        proto
            .int32_data
            .iter()
            .flat_map(move |x| x.to_le_bytes().into_iter().take(bytes))
            .collect()
    };
    match element {
        ElementType::Float => proto.float_data.iter().flat_map(|x| x.to_le_bytes()).collect(),
        ElementType::Double => proto.double_data.iter().flat_map(|x| x.to_le_bytes()).collect(),
        ElementType::Int64 => proto.int64_data.iter().flat_map(|x| x.to_le_bytes()).collect(),
        ElementType::Uint64 => proto.uint64_data.iter().flat_map(|x| x.to_le_bytes()).collect(),
        ElementType::Uint32 => proto
            .uint64_data
            .iter()
            .flat_map(|x| (*x as u32).to_le_bytes())
            .collect(),
        ElementType::Int32 => low(4),
        ElementType::Float16 | ElementType::Bfloat16 | ElementType::Int16 | ElementType::Uint16 => low(2),
        ElementType::Int8 | ElementType::Uint8 | ElementType::Bool => low(1),
    }
}

/// Elements from a file beside the model. The file must lie in the model's folder or below it.
fn external(proto: &TensorProto, folder: Option<&Path>, size: usize) -> Result<Vec<u8>, DecodeError> {
    use std::io::{Read, Seek, SeekFrom};

    let refuse = |reason: String| DecodeError::Tensor {
        tensor: proto.name.clone(),
        reason,
    };
    let entry = |key: &str| {
        proto
            .external_data
            .iter()
            .find(|entry| entry.key == key)
            .map(|entry| entry.value.as_str())
    };
    let number = |key: &str| match entry(key) {
        None => Ok(None),
        Some(text) => text
            .parse::<u64>()
            .map(Some)
            .map_err(|_| refuse(format!("has the external {key} `{text}`, expected a number"))),
    };
    let folder =
        folder.ok_or_else(|| refuse("has external data, but the model comes from no file".to_owned()))?;
    let location =
        entry("location").ok_or_else(|| refuse("has external data without a location".to_owned()))?;
    let inside = Path::new(location).components().all(|part| {
        matches!(
            part,
            std::path::Component::Normal(_) | std::path::Component::CurDir
        )
    });
    if !inside {
        return Err(refuse(format!(
            "has external data at `{location}`, outside the model's folder"
        )));
    }
    let (offset, length) = (number("offset")?.unwrap_or(0), number("length")?);
    if let Some(length) = length
        && length != size as u64
    {
        return Err(refuse(format!(
            "has {length} bytes of external data, its shape needs {size}"
        )));
    }
    let path = folder.join(location);
    let fail = |source| DecodeError::Io {
        path: path.display().to_string(),
        source,
    };
    let mut file = std::fs::File::open(&path).map_err(fail)?;
    let held = file.metadata().map_err(fail)?.len();
    if held < offset.saturating_add(size as u64) {
        return Err(refuse(format!(
            "needs {size} bytes from {offset} on of `{location}`, which holds {held}"
        )));
    }
    file.seek(SeekFrom::Start(offset)).map_err(fail)?;
    let mut bytes = vec![0; size];
    file.read_exact(&mut bytes).map_err(fail)?;
    Ok(bytes)
}

/// A node's attribute.
pub(crate) fn attribute(proto: &AttributeProto, folder: Option<&Path>) -> Result<Attribute, DecodeError> {
    Ok(match proto.type_.enum_value() {
        Ok(AttributeType::INT) => Attribute::Int(proto.i),
        Ok(AttributeType::FLOAT) => Attribute::Float(proto.f),
        Ok(AttributeType::STRING) => Attribute::String(proto.s.clone()),
        Ok(AttributeType::INTS) => Attribute::Ints(proto.ints.clone()),
        Ok(AttributeType::FLOATS) => Attribute::Floats(proto.floats.clone()),
        Ok(AttributeType::STRINGS) => Attribute::Strings(proto.strings.clone()),
        Ok(AttributeType::TENSOR) if proto.t.is_some() => {
            Attribute::Tensor(proto.t.name.clone(), tensor(&proto.t, folder)?)
        }
        _ => Attribute::Opaque(proto.write_to_bytes().map_err(|error| DecodeError::NotOnnx {
            reason: error.to_string(),
        })?),
    })
}

/// A declared input, output or value in between.
pub(crate) fn value_info(proto: &ValueInfoProto) -> Result<ValueInfo, DecodeError> {
    let unsupported = || DecodeError::Feature {
        what: format!("value `{}`, which is no tensor,", proto.name),
    };
    let (element, dims) = match proto.type_.as_ref().and_then(|kind| kind.value.as_ref()) {
        None => (None, None),
        Some(type_proto::Value::TensorType(tensor)) => {
            let dims = tensor.shape.as_ref().map(|shape| {
                let dim = |dim: &onnx_protobuf::tensor_shape_proto::Dimension| match &dim.value {
                    Some(dimension::Value::DimValue(extent)) => {
                        usize::try_from(*extent).map_or(Dim::Unknown, Dim::Known)
                    }
                    Some(dimension::Value::DimParam(name)) if !name.is_empty() => Dim::Symbol(name.clone()),
                    _ => Dim::Unknown,
                };
                shape.dim.iter().map(dim).collect()
            });
            (ElementType::from_code(i64::from(tensor.elem_type)), dims)
        }
        Some(_) => return Err(unsupported()),
    };
    Ok(ValueInfo {
        name: proto.name.clone(),
        element,
        dims,
        doc: proto.doc_string.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unsigned_integers_beyond_the_signed_ones_are_refused() {
        let read = |number: u64| {
            let stored = TensorProto {
                name: "shape".to_owned(),
                dims: vec![1],
                data_type: ElementType::Uint64 as i32,
                uint64_data: vec![number],
                ..TensorProto::default()
            };
            tensor(&stored, None).map(|data| data.iter::<u64>().collect::<Vec<_>>())
        };
        assert_eq!(read(i64::MAX as u64).unwrap(), [i64::MAX as u64]);
        let error = read(1 << 63).unwrap_err().to_string();
        assert!(
            error.contains("`shape` holds 9223372036854775808, expected"),
            "{error}"
        );
    }
}
