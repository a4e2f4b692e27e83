//! Running a method on recorded tensors: how its loss and gradients are compared with a reference implementation's.
//!
//! A record is a safetensors file: inputs under plain names, the loss under `loss`, its parts under `term.<name>`, the gradient with respect to
//! an input under `grad.<input>`. Which inputs are differentiated follows from which gradients are recorded.

use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::{Device, Int, Tensor, TensorData};
use indexmap::IndexMap;
use safetensors::{Dtype, SafeTensors};

use super::error::RecordError;
use super::{Plugin, PluginError, Term};
use crate::names::nearest;
use crate::value::{Kind, Value};

/// Relative differences up to which numbers agree.
#[derive(Clone, Copy, Debug)]
pub struct Tolerance {
    /// Of the loss.
    pub loss: f64,
    /// Of a gradient: largest difference over the largest entry.
    pub gradient: f64,
}

impl Default for Tolerance {
    fn default() -> Self {
        Self {
            loss: 1e-5,
            gradient: 1e-4,
        }
    }
}

/// A recorded gradient whose largest entry is below this share of the largest of all gradients is 0 up to rounding: that of a bias before a
/// BatchNorm, say.
const ROUNDING: f64 = 1e-6;

/// Recorded tensors as a plugin reads them.
#[derive(Debug)]
pub struct Recorded {
    values: BTreeMap<String, Value>,
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

    fn get(&self, name: &str) -> Result<&Value, PluginError> {
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
    /// A missing tensor, another number of labels than of rows, none at all, or a label that is no class.
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

    /// The epoch that the record was made at (`hp.epoch` of its metadata), 0 where it says nothing: schedules are read there.
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
    // `as_chunks` leaves a remainder only for a view whose size is no multiple of its element, which safetensors refuses.
    bytes
        .as_chunks::<N>()
        .0
        .iter()
        .map(|chunk| read(*chunk))
        .collect()
}

/// One number or tensor against its record.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Comparison {
    /// `loss`, `term.soft`, `grad.student_logits`, …
    pub name: String,
    /// The computed value: a number, or a gradient's norm.
    pub computed: f64,
    /// The recorded value in the same form; `None` where the record has none.
    pub recorded: Option<f64>,
    /// Largest difference over largest recorded entry.
    pub relative_error: Option<f64>,
    /// Whether the difference is within tolerance; true where there is nothing to compare.
    pub agrees: bool,
}

/// All comparisons of one check.
#[derive(Clone, Debug, serde::Serialize)]
pub struct CheckReport {
    /// Loss first, then terms, then gradients.
    pub comparisons: Vec<Comparison>,
}

impl CheckReport {
    /// Whether everything that could be compared agrees.
    pub fn agrees(&self) -> bool {
        self.comparisons.iter().all(|comparison| comparison.agrees)
    }
}

/// Runs a plugin on recorded tensors and compares loss, terms and gradients.
///
/// # Errors
/// A record that lacks what the plugin needs, or that records no `loss`.
pub fn check(
    plugin: &dyn Plugin,
    record: &Recorded,
    tolerance: Tolerance,
) -> Result<CheckReport, PluginError> {
    let terms = plugin.recorded(record)?;
    let total = Term::total(&terms).ok_or_else(|| PluginError::Count {
        plugin: plugin.name().to_owned(),
        what: "terms".to_owned(),
        got: 0,
        expected: "at least one".to_owned(),
    })?;
    let loss = record.get("loss")?.clone();
    let mut comparisons = vec![compare(
        "loss".to_owned(),
        &total.clone().into(),
        Some(&loss),
        tolerance.loss,
        0.0,
    )];
    let scale = record
        .values
        .iter()
        .filter(|(name, _)| name.starts_with("grad."))
        .fold(0.0_f64, |scale, (_, value)| {
            scale.max(largest_of(&numbers_of(value)))
        });
    // Members' terms of one name are recorded as one tensor `[members]`.
    let mut by_name: IndexMap<&str, Vec<Tensor<1>>> = IndexMap::new();
    for term in &terms {
        by_name.entry(term.name).or_default().push(term.value.clone());
    }
    for (name, values) in by_name {
        let name = format!("term.{name}");
        let recorded = record.values.get(&name);
        let values = Value::from(Tensor::cat(values, 0));
        comparisons.push(compare(name, &values, recorded, tolerance.loss, 0.0));
    }
    // A leaf of its own: a loss that depends on no tracked input has gradients too, all 0.
    let leaf = Tensor::<1>::zeros([1], &Device::flex().autodiff()).require_grad();
    let gradients = (total + leaf).backward();
    for (name, recorded) in &record.values {
        let Some(input) = name.strip_prefix("grad.") else {
            continue;
        };
        let leaf = record.get(input)?.clone();
        for (tensor, value) in [(input, &leaf), (name.as_str(), recorded)] {
            if value.kind() != Kind::Float || value.dims() != leaf.dims() {
                return Err(PluginError::RecordedShape {
                    tensor: tensor.to_owned(),
                    got: format!("{} {:?}", value.kind(), value.dims()),
                    expected: format!("{} {:?}", Kind::Float, leaf.dims()),
                });
            }
        }
        let computed = match leaf.float::<1>().grad(&gradients) {
            Some(gradient) => Value::from(gradient),
            None => Value::from(recorded.clone().float::<1>().detach() * 0.0),
        };
        comparisons.push(compare(
            name.clone(),
            &computed,
            Some(recorded),
            tolerance.gradient,
            scale,
        ));
    }
    Ok(CheckReport { comparisons })
}

fn numbers_of(value: &Value) -> Vec<f64> {
    value
        .to_floats()
        .unwrap_or_default()
        .into_iter()
        .map(f64::from)
        .collect()
}

fn largest_of(numbers: &[f64]) -> f64 {
    numbers.iter().fold(0.0_f64, |largest, x| largest.max(x.abs()))
}

/// Differences are relative to the largest recorded entry; where that is nothing but rounding beside `scale`, to `scale`.
fn compare(
    name: String,
    computed: &Value,
    recorded: Option<&Value>,
    tolerance: f64,
    scale: f64,
) -> Comparison {
    let norm = |numbers: &[f64]| match numbers {
        [only] => *only,
        many => many.iter().map(|x| x * x).sum::<f64>().sqrt(),
    };
    let ours = numbers_of(computed);
    let Some(theirs) = recorded.map(numbers_of) else {
        return Comparison {
            name,
            computed: norm(&ours),
            recorded: None,
            relative_error: None,
            agrees: true,
        };
    };
    let own = largest_of(&theirs);
    let largest = if own < ROUNDING * scale { scale } else { own };
    let difference = ours
        .iter()
        .zip(&theirs)
        .fold(0.0_f64, |most, (a, b)| most.max((a - b).abs()));
    let relative = if ours.len() != theirs.len() || ours.iter().any(|x| !x.is_finite()) {
        f64::INFINITY
    } else if largest == 0.0 {
        difference
    } else {
        difference / largest
    };
    Comparison {
        name,
        computed: norm(&ours),
        recorded: Some(norm(&theirs)),
        relative_error: Some(relative),
        agrees: relative <= tolerance,
    }
}
