//! Running a method on recorded tensors: how its loss and gradients are compared with a reference
//! implementation's.

use burn::tensor::{Device, Tensor};
use indexmap::IndexMap;

use super::error::PluginError;
use super::hooks::Plugin;
use super::record::Recorded;
use super::step::Term;
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

/// A recorded gradient whose largest entry is below this share of the largest of all gradients is 0
/// up to rounding: that of a bias before a BatchNorm, say.
const ROUNDING: f64 = 1e-6;

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

/// Differences are relative to the largest recorded entry; where that is nothing but rounding
/// beside `scale`, to `scale`.
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
