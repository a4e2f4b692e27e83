//! Overhaul of feature distillation. B. Heo, J. Kim, S. Yun, H. Park, N. Kwak, J. Y. Choi: "A
//! Comprehensive Overhaul of Feature Distillation", 2019 (arXiv 1904.01866), equations 2 to 5.
//!
//! On values before their ReLU, s (student, after a connector: 1 × 1 convolution and BatchNorm) and
//! t: t' = max(t, m_c) with the margin m_c = E[t_c | t_c < 0] of each channel, and L = Σ d_p(t',
//! s), d_p = 0 where s ≤ t' ≤ 0 and (t' − s)² elsewhere: what is negative for the teacher only has
//! to be negative enough. Averaged over the batch, half for each map before the last.
//!
//! Departures: the paper takes m_c over the training set, or from the BatchNorm before the value,
//! which an exported teacher has folded away; here it is the mean over all that the teacher has
//! said so far in the run. Records hold the BatchNorm's weight and bias, from which m_c follows for
//! a Gaussian. The weights of the maps come from the authors' code.

use std::collections::BTreeMap;

use burn::tensor::{Tensor, TensorData};
use potstill_core::plugin::{
    Options, Paper, Plan, Plugin, PluginEntry, PluginError, Prepared, Recorded, Step, Term,
};
use potstill_core::schedule::Schedule;

use crate::features;
use crate::pairs::{self, PairOptions, Pairs, PreparedPairs, Suggestion, pair_options};

pair_options! {
    /// The overhaul of feature distillation.
    pub struct Ofd for "ofd" {
        /// factor of the term; a number or a schedule
        weight = 1e-3;
    }
}

/// The method at work.
#[derive(Debug)]
struct PreparedOfd {
    weight: Schedule,
    pairs: PreparedPairs,
    /// By student and place among its pairs.
    seen: BTreeMap<String, Seen>,
}

/// The negative values of a teacher's map so far, `[channels]` each.
#[derive(Clone, Debug)]
struct Seen {
    sum: Tensor<1>,
    count: Tensor<1>,
}

impl Seen {
    /// m_c; 0 for a channel that was never negative.
    fn margins(&self) -> Tensor<1> {
        self.sum.clone() / self.count.clone().clamp_min(1.0)
    }
}

/// The sum and the number of a map's negative values in each channel.
fn negatives(map: &Tensor<4>) -> (Tensor<1>, Tensor<1>) {
    let channels = map.dims()[1];
    let sum = |map: Tensor<4>| map.sum_dim(3).sum_dim(2).sum_dim(0).reshape([channels]);
    let below = map.clone().clamp_max(0.0);
    (sum(below.clone()), sum(below.lower_elem(0.0).float()))
}
impl Plugin for Ofd {
    fn name(&self) -> &'static str {
        Self::PLUGIN
    }

    fn prepare(&self, plan: &mut Plan<'_>) -> Result<Box<dyn Prepared>, PluginError> {
        let pairs = Pairs::new(self, Suggestion::BeforeActivation)
            .connected()
            .prepare::<4>(plan)?;
        plan.declare_term(Self::PLUGIN, "w · Σ d_p(max(t, m), s)");
        Ok(Box::new(PreparedOfd {
            weight: self.weight.clone(),
            pairs,
            seen: BTreeMap::new(),
        }))
    }

    fn recorded(&self, record: &Recorded) -> Result<Vec<Term>, PluginError> {
        let mut compared = Vec::new();
        for (place, (guided, hint)) in pairs::recorded::<4>(record)?.into_iter().enumerate() {
            let channels = hint.dims()[1];
            let of = |what: &str| {
                let name = format!("bn.{place}.{what}");
                let tensor = record.float::<1>(&name)?;
                if tensor.dims() == [channels] && guided.dims() == hint.dims() {
                    return Ok(tensor);
                }
                Err(PluginError::RecordedShape {
                    tensor: name,
                    got: format!(
                        "{:?} beside maps {:?} and {:?}",
                        tensor.dims(),
                        guided.dims(),
                        hint.dims()
                    ),
                    expected: format!("[{channels}], and maps of one shape"),
                })
            };
            let margins = gaussian_margins(&of("weight")?, &of("bias")?);
            compared.push((guided, hint, margins));
        }
        Ok(vec![self.recorded_term(distance(compared), record)])
    }
}

impl Prepared for PreparedOfd {
    fn loss(&mut self, step: &Step<'_>) -> Result<Vec<Term>, PluginError> {
        self.pairs.terms::<4>(step, &self.weight, |student, pairs| {
            let mut compared = Vec::new();
            for (place, (guided, hint)) in pairs.iter().enumerate() {
                let place = format!("{student}.{place}");
                let margins = margins(&mut self.seen, &place, hint, step.is_rehearsal());
                compared.push((guided.clone(), hint.clone(), margins));
            }
            Ok(distance(compared))
        })
    }

    fn state(&self) -> Vec<(String, Tensor<1>)> {
        let tensors = self.seen.iter().flat_map(|(place, seen)| {
            let sum = (format!("sum.{place}"), seen.sum.clone());
            [sum, (format!("count.{place}"), seen.count.clone())]
        });
        tensors.collect()
    }

    fn restore(&mut self, state: Vec<(String, Tensor<1>)>) {
        let (mut sums, mut counts) = (BTreeMap::new(), BTreeMap::new());
        for (name, tensor) in state {
            match name.split_once('.') {
                Some(("sum", place)) => sums.insert(place.to_owned(), tensor),
                Some(("count", place)) => counts.insert(place.to_owned(), tensor),
                _ => None,
            };
        }
        self.seen.clear();
        for (place, sum) in sums {
            if let Some(count) = counts.remove(&place) {
                self.seen.insert(place, Seen { sum, count });
            }
        }
    }
}

/// m_c over what the teacher has said at this place, this batch included, which is not remembered
/// where this is no step.
fn margins(
    seen: &mut BTreeMap<String, Seen>,
    place: &str,
    hint: &Tensor<4>,
    is_rehearsal: bool,
) -> Tensor<1> {
    let (sum, count) = negatives(hint);
    let device = sum.device();
    let now = match seen.get(place) {
        None => Seen { sum, count },
        Some(before) => Seen {
            sum: before.sum.clone().to_device(&device) + sum,
            count: before.count.clone().to_device(&device) + count,
        },
    };
    let margins = now.margins();
    if !is_rehearsal {
        seen.insert(place.to_owned(), now);
    }
    margins
}

/// Σ_i 2^−(n−i−1) / B Σ d_p of maps s and t and margins `[channels]`; maps of different extents at
/// the smaller ones.
fn distance(compared: Vec<(Tensor<4>, Tensor<4>, Tensor<1>)>) -> Tensor<1> {
    let last = compared.len().saturating_sub(1);
    let losses = compared
        .into_iter()
        .enumerate()
        .map(|(place, (guided, hint, margins))| {
            let (guided, hint) = features::pooled_alike(guided, hint);
            let [batch, channels, ..] = hint.dims();
            let target = hint.max_pair(margins.reshape([1, channels, 1, 1]));
            // Where both are negative, a student below the target is right.
            let right = guided.clone().lower_equal(target.clone()).float()
                * target.clone().lower_equal_elem(0.0).float();
            let squares = (target - guided).square() * (-right + 1.0);
            squares.sum() * (0.5_f64.powi((last - place) as i32) / batch.max(1) as f64)
        });
    features::summed(losses)
}

/// E[x | x < 0] of x ~ N(bias, weight²), or −3 |weight| where x is hardly ever negative: the
/// reference code's margins.
fn gaussian_margins(weight: &Tensor<1>, bias: &Tensor<1>) -> Tensor<1> {
    let numbers = |tensor: &Tensor<1>| tensor.to_data().iter::<f64>().collect::<Vec<f64>>();
    let margins: Vec<f64> = numbers(weight)
        .into_iter()
        .zip(numbers(bias))
        .map(|(weight, mean)| {
            let deviation = weight.abs();
            let below = normal_below(-mean / deviation);
            if below > 1e-3 {
                let density = (-0.5 * (mean / deviation).powi(2)).exp() / (std::f64::consts::TAU).sqrt();
                mean - deviation * density / below
            } else {
                -3.0 * deviation
            }
        })
        .collect();
    let count = margins.len();
    Tensor::from_data(TensorData::new(margins, [count]), &weight.device())
}

/// P(x < z) of a standard normal x, by Simpson's rule from where nothing is left; to 1e-9.
fn normal_below(z: f64) -> f64 {
    const FROM: f64 = -9.0;
    const STEPS: usize = 2000;
    let to = z.clamp(FROM, -FROM);
    let width = (to - FROM) / STEPS as f64;
    let density = |x: f64| (-0.5 * x * x).exp() / (std::f64::consts::TAU).sqrt();
    let sum: f64 = (0..=STEPS)
        .map(|step| {
            let weight = match step {
                0 | STEPS => 1.0,
                step if step % 2 == 1 => 4.0,
                _ => 2.0,
            };
            weight * density(FROM + width * step as f64)
        })
        .sum();
    sum * width / 3.0
}

inventory::submit! {
    PluginEntry::new::<Ofd>(
        "the teacher's maps before their ReLU, whose negative part only has to stay negative",
        Paper {
            title: "A Comprehensive Overhaul of Feature Distillation",
            authors: "Heo, Kim, Yun, Park, Kwak, Choi",
            year: 2019,
            arxiv: "1904.01866",
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    use crate::records::{assert_agrees, assert_differs};

    #[test]
    fn loss_and_gradients_agree_with_the_reference() {
        for record in ["ofd_one.safetensors", "ofd_three.safetensors"] {
            assert_agrees("ofd:weight=1", record, "student_feat.0");
            assert_differs("ofd:weight=2", record);
        }
    }

    #[test]
    fn a_rehearsal_before_the_first_step_is_not_remembered() {
        let map = |value: f32| Tensor::<4>::full([1, 1, 1, 2], value, &Device::flex());
        let mut seen = BTreeMap::new();
        let mut margin =
            |value, is_rehearsal| margins(&mut seen, "0.0", &map(value), is_rehearsal).into_scalar::<f32>();
        assert_eq!(margin(-4.0, true), -4.0);
        assert_eq!(margin(-1.0, false), -1.0);
        assert_eq!(margin(-3.0, true), -2.0);
        assert_eq!(margin(-2.0, false), -1.5);
    }

    #[test]
    fn a_margin_is_the_mean_of_what_is_negative() {
        let map = Tensor::<1>::from_data([-1.0, 3.0, -2.0, -3.0, 5.0, 1.0], &Device::flex());
        let (sum, count) = negatives(&map.reshape([1, 2, 1, 3]));
        let margins = Seen { sum, count }.margins();
        assert_eq!(margins.into_data().try_to_vec::<f32>().unwrap(), [-1.5, -3.0]);
    }
}
