//! Recorded tensors: what a method computes from them is compared with a reference implementation's
//! numbers ([`check`](super::check)).
//!
//! A record is a safetensors file: inputs under plain names, the loss under `loss`, its parts under
//! `term.<name>`, the gradient with respect to an input under `grad.<input>`. Which inputs are
//! differentiated follows from which gradients are recorded.

use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::{Device, Int, Tensor, TensorData};
use safetensors::{Dtype, SafeTensors};

use super::error::{PluginError, RecordError};
use crate::names::nearest;
use crate::value::{Kind, Value};

/// Recorded tensors as a plugin reads them.
#[derive(Debug)]
pub struct Recorded {
    pub(super) values: BTreeMap<String, Value>,
    epoch: f64,
}

impl Recorded {
    /// Reads a record; inputs with a recorded gradient are tracked.
    ///
    /// # Errors
    /// A file that is missing, truncated or no safetensors file.
    pub fn open(path: &Path) -> Result<Self, PluginError> {
        let refuse = |source| PluginError::Record {
            path: path.display().to_string(),
            source,
        };
        let bytes = std::fs::read(path).map_err(|error| refuse(error.into()))?;
        let file = SafeTensors::deserialize(&bytes).map_err(|error| refuse(error.into()))?;
        let device = Device::flex().autodiff();
        let mut values = BTreeMap::new();
        for (name, view) in file.iter() {
            let shape = view.shape().to_vec();
            let data = match view.dtype() {
                Dtype::F32 => TensorData::new(numbers(view.data(), f32::from_le_bytes), shape),
                Dtype::I64 => TensorData::new(numbers(view.data(), i64::from_le_bytes), shape),
                other => {
                    let source = RecordError::ElementType {
                        tensor: name.to_owned(),
                        got: format!("{other:?}"),
                    };
                    return Err(refuse(source));
                }
            };
            values.insert(name.to_owned(), Value::from_data(data, &device));
        }
        let tracked: Vec<String> = values
            .keys()
            .filter_map(|name| name.strip_prefix("grad."))
            .map(str::to_owned)
            .collect();
        for name in tracked {
            if let Some(value) = values.get_mut(&name)
                && value.kind() == Kind::Float
            {
                let scalar = value.is_scalar();
                let leaf = value.clone().float::<1>().require_grad();
                *value = if scalar {
                    Value::from(leaf).into_scalar()
                } else {
                    leaf.into()
                };
            }
        }
        let metadata = SafeTensors::read_metadata(&bytes)
            .map_err(|error| refuse(error.into()))?
            .1;
        let epoch = metadata
            .metadata()
            .as_ref()
            .and_then(|pairs| pairs.get("hp.epoch")?.parse().ok());
        Ok(Self {
            values,
            epoch: epoch.unwrap_or(0.0),
        })
    }

    pub(super) fn get(&self, name: &str) -> Result<&Value, PluginError> {
        self.values.get(name).ok_or_else(|| PluginError::NotRecorded {
            tensor: name.to_owned(),
            near: nearest(name, self.values.keys().map(String::as_str), 3),
        })
    }

    fn of_kind(&self, name: &str, kind: Kind, rank: usize) -> Result<Value, PluginError> {
        let value = self.get(name)?;
        if value.kind() == kind && value.rank() == rank {
            return Ok(value.clone());
        }
        Err(PluginError::RecordedShape {
            tensor: name.to_owned(),
            got: format!("{} {:?}", value.kind(), value.dims()),
            expected: format!("{kind} of rank {rank}"),
        })
    }

    /// A recorded float tensor of rank `D`.
    ///
    /// # Errors
    /// A missing tensor or one of another kind or rank.
    pub fn float<const D: usize>(&self, name: &str) -> Result<Tensor<D>, PluginError> {
        Ok(self.of_kind(name, Kind::Float, D)?.float())
    }

    /// A recorded integer tensor of rank `D`.
    ///
    /// # Errors
    /// A missing tensor or one of another kind or rank.
    pub fn int<const D: usize>(&self, name: &str) -> Result<Tensor<D, Int>, PluginError> {
        Ok(self.of_kind(name, Kind::Int, D)?.int())
    }

    /// A recorded float tensor of another tensor's shape.
    ///
    /// # Errors
    /// A missing tensor or one of another kind or shape.
    pub fn float_like<const D: usize>(
        &self,
        name: &str,
        other: &Tensor<D>,
    ) -> Result<Tensor<D>, PluginError> {
        let tensor = self.float::<D>(name)?;
        if tensor.dims() == other.dims() {
            return Ok(tensor);
        }
        Err(PluginError::RecordedShape {
            tensor: name.to_owned(),
            got: format!("{:?}", tensor.dims()),
            expected: format!("{:?}", other.dims()),
        })
    }

    /// The true classes `[batch]` of logits `[batch, classes]`.
    ///
    /// # Errors
    /// A missing tensor, another number of labels than of rows, none at all, or a label that is no
    /// class.
    pub fn labels(&self, name: &str, logits: &Tensor<2>) -> Result<Tensor<1, Int>, PluginError> {
        let labels = self.int::<1>(name)?;
        let refuse = |got: String, expected: String| PluginError::RecordedShape {
            tensor: name.to_owned(),
            got,
            expected,
        };
        let [batch, classes] = logits.dims();
        if batch == 0 || labels.dims() != [batch] {
            return Err(refuse(
                format!("{:?}", labels.dims()),
                format!("[{}], a label for each row of logits", batch.max(1)),
            ));
        }
        let is_class = |label: &i64| usize::try_from(*label).is_ok_and(|label| label < classes);
        match labels.to_data().iter::<i64>().find(|label| !is_class(label)) {
            None => Ok(labels),
            Some(label) => Err(refuse(
                format!("{label} in one place"),
                format!("class numbers below {classes}"),
            )),
        }
    }

    /// Whether the record has a tensor.
    pub fn has(&self, name: &str) -> bool {
        self.values.contains_key(name)
    }

    /// The epoch that the record was made at (`hp.epoch` of its metadata), 0 where it says nothing:
    /// schedules are read there.
    pub fn epoch(&self) -> f64 {
        self.epoch
    }

    /// Logits `[batch, classes, members]` taken apart: `[batch, classes]` each.
    ///
    /// # Errors
    /// A missing tensor, one of another rank, or one without members.
    pub fn members(&self, name: &str) -> Result<Vec<Tensor<2>>, PluginError> {
        let logits = self.float::<3>(name)?;
        let dims = logits.dims();
        if dims.contains(&0) {
            return Err(PluginError::RecordedShape {
                tensor: name.to_owned(),
                got: format!("{dims:?}"),
                expected: "[batch, classes, members], none of them 0".to_owned(),
            });
        }
        let member = |index| logits.clone().narrow(2, index, 1).squeeze_dim::<2>(2);
        Ok((0..dims[2]).map(member).collect())
    }

    /// The recorded names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.values.keys().map(String::as_str)
    }
}

fn numbers<T, const N: usize>(bytes: &[u8], read: fn([u8; N]) -> T) -> Vec<T> {
    // `as_chunks` leaves a remainder only for a view whose size is no multiple of its element,
    // which safetensors refuses.
    bytes
        .as_chunks::<N>()
        .0
        .iter()
        .map(|chunk| read(*chunk))
        .collect()
}
