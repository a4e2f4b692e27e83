//! The range that each value takes on pictures, from which its steps follow.
//!
//! - `min-max`: from the least to the largest number.
//! - `percentile`: without the outermost 0.001 %, half of it at each end.
//! - `entropy`: cut where the quantised distribution is nearest to the real one, by Kullback and
//!   Leibler's divergence. S. Migacz, "8-bit Inference with TensorRT", GTC 2017.
//!
//! A number that comes again and again (the zeros behind a ReLU, the background of a picture) is a
//! peak of one bin; behind a LeakyReLU or a SiLU, all that was negative is one of some bins. Such a
//! peak has a level or two of its own at any threshold, and so tells nothing about which is best;
//! spread over the bins of that level it would make every wide range look bad. The divergence is
//! therefore taken of a distribution without peaks that are narrower than two levels of the full
//! range: what J. Serra, "Image Analysis and Mathematical Morphology", 1982, calls its opening.

use burn::tensor::{Device, Tensor};
use indexmap::IndexMap;
use potstill_core::graph::Graph;
use potstill_core::network::Network;
use potstill_core::op::Mode;
use potstill_core::value::Value;

use crate::ExportError;

/// Least and largest number of values, by name.
pub type Ranges = IndexMap<String, [f32; 2]>;

/// How a range follows from the numbers seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Method {
    /// Everything.
    #[default]
    MinMax,
    /// Without the outermost.
    Percentile,
    /// By the divergence.
    Entropy,
}

/// What a network is calibrated on.
#[derive(Clone, Debug)]
pub struct Calibration {
    /// How.
    pub method: Method,
    /// Batches of pictures `[batch, channels, height, width]`, prepared as in inference.
    pub pictures: Vec<Tensor<4>>,
}

const BINS: usize = 2048;
/// The share that `percentile` leaves out.
const LEFT_OUT: f64 = 1e-5;

/// The ranges of `values` on the pictures.
///
/// # Errors
/// A network that does not run; no pictures.
pub fn calibrate(graph: &Graph, values: &[String], calibration: &Calibration) -> Result<Ranges, ExportError> {
    let network = Network::new(graph.clone(), &Device::flex())?;
    let taps: Vec<&str> = values.iter().map(String::as_str).collect();
    let each = |see: &mut dyn FnMut(usize, &[f32])| -> Result<(), ExportError> {
        for pictures in &calibration.pictures {
            let outputs = network.forward(Value::from(pictures.clone()), &taps, Mode::Inference)?;
            for (index, tap) in taps.iter().enumerate() {
                if let Ok(value) = outputs.get(tap) {
                    see(index, &value.to_floats().unwrap_or_default());
                }
            }
        }
        Ok(())
    };
    let mut ranges = vec![[f32::INFINITY, f32::NEG_INFINITY]; values.len()];
    each(&mut |index, numbers| {
        let [low, high] = &mut ranges[index];
        for x in numbers {
            *low = low.min(*x);
            *high = high.max(*x);
        }
    })?;
    if calibration.method != Method::MinMax {
        let bounds = |[low, high]: [f32; 2]| match calibration.method {
            Method::Entropy => [0.0, high.max(-low)],
            _ => [low, high],
        };
        let mut counts = vec![vec![0_u64; BINS]; values.len()];
        each(&mut |index, numbers| {
            let [low, high] = bounds(ranges[index]);
            let width = (high - low) / BINS as f32;
            for x in numbers {
                let x = if calibration.method == Method::Entropy {
                    x.abs()
                } else {
                    *x
                };
                let bin = ((x - low) / width) as usize;
                counts[index][bin.min(BINS - 1)] += 1;
            }
        })?;
        for (range, counts) in ranges.iter_mut().zip(&counts) {
            *range = match calibration.method {
                Method::Entropy => least_divergence(*range, counts),
                _ => without_outermost(*range, counts),
            };
        }
    }
    Ok(values.iter().cloned().zip(ranges).collect())
}

/// A range without half of [`LEFT_OUT`] at each end.
fn without_outermost([low, high]: [f32; 2], counts: &[u64]) -> [f32; 2] {
    let total: u64 = counts.iter().sum();
    let allowed = (total as f64 * LEFT_OUT / 2.0) as u64;
    let width = (high - low) / counts.len() as f32;
    let skipped = |counts: &mut dyn Iterator<Item = &u64>| {
        let mut sum = 0;
        counts
            .take_while(|count| {
                sum += **count;
                sum <= allowed
            })
            .count()
    };
    let (first, last) = (skipped(&mut counts.iter()), skipped(&mut counts.iter().rev()));
    [low + width * first as f32, high - width * last as f32]
}

/// All levels of a range that holds zero.
const LEVELS: f32 = 255.0;

/// The range up to the threshold at which the divergence is least.
fn least_divergence([low, high]: [f32; 2], counts: &[u64]) -> [f32; 2] {
    let largest = high.max(-low);
    // From zero to the larger end: all of them where nothing is on the other side.
    let share = largest / (high.max(0.0) - low.min(0.0));
    if !share.is_finite() {
        return [low, high];
    }
    let levels = (LEVELS * share).round() as usize;
    let smooth = without_peaks(counts, 2 * counts.len().div_ceil(levels));
    let mut best = (f64::INFINITY, counts.len());
    // Numbers beyond the threshold are moved: all of them count, peaks too.
    let mut beyond: u64 = counts[levels.min(counts.len())..].iter().sum();
    for kept in levels..=counts.len() {
        let divergence = divergence(&smooth[..kept], beyond as f64, levels);
        if divergence < best.0 {
            best = (divergence, kept);
        }
        beyond -= counts.get(kept).copied().unwrap_or(0);
    }
    let threshold = largest * best.1 as f32 / counts.len() as f32;
    [low.max(-threshold), high.min(threshold)]
}

/// Counts without peaks of fewer bins than `width`: of each bin the largest count that it and its
/// neighbours have in common, so many side by side.
fn without_peaks(counts: &[u64], width: usize) -> Vec<u64> {
    let windows = counts.windows(width);
    let common: Vec<u64> = windows
        .filter_map(|window| window.iter().min().copied())
        .collect();
    let last = common.len().saturating_sub(1);
    let opened = |bin: usize| {
        let windows = common.get(bin.saturating_sub(width - 1)..=bin.min(last));
        windows.and_then(|windows| windows.iter().max().copied())
    };
    (0..counts.len()).map(|bin| opened(bin).unwrap_or(0)).collect()
}

/// Kullback and Leibler's divergence of counts, the outliers in their last bin, from the same in
/// `levels` levels.
fn divergence(counts: &[u64], outliers: f64, levels: usize) -> f64 {
    let total = counts.iter().map(|count| *count as f64).sum::<f64>();
    if total == 0.0 {
        return f64::INFINITY;
    }
    let mut sum = 0.0;
    for level in 0..levels {
        let from = level * counts.len() / levels;
        let to = (level + 1) * counts.len() / levels;
        let bins = &counts[from..to];
        let filled = bins.iter().filter(|count| **count > 0).count();
        let mean = bins.iter().map(|count| *count as f64).sum::<f64>() / filled.max(1) as f64;
        for (bin, count) in bins.iter().enumerate() {
            let last = from + bin + 1 == counts.len();
            let p = (*count as f64 + if last { outliers } else { 0.0 }) / (total + outliers);
            if p > 0.0 {
                let q = if *count > 0 { mean / total } else { 0.0 };
                sum += p * (p / q.max(1e-9)).ln();
            }
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_outermost_numbers_are_left_out_at_both_ends() {
        let mut counts = vec![1_000_000_u64; 10];
        (counts[0], counts[9]) = (1, 1);
        assert_eq!(without_outermost([0.0, 10.0], &counts), [1.0, 9.0]);
        counts[0] = 1000;
        assert_eq!(without_outermost([0.0, 10.0], &counts), [0.0, 9.0]);
    }

    #[test]
    fn the_divergence_cuts_a_lone_outlier_and_keeps_a_full_range() {
        let mut counts = vec![0_u64; BINS];
        // Exponential, with one number far out.
        for (i, count) in counts.iter_mut().enumerate() {
            *count = (1e6 * (-(i as f64) / 60.0).exp()) as u64;
        }
        counts[BINS - 1] = 1;
        let [_, high] = least_divergence([0.0, 1.0], &counts);
        assert!(high < 0.9 && high > 0.1, "{high}");
        let even = vec![100; BINS];
        assert!(least_divergence([0.0, 1.0], &even)[1] > 0.95);
    }

    /// Behind a ReLU half of the numbers are zeros, and pictures have a background: neither says
    /// where the others are to be cut.
    #[test]
    fn a_peak_of_equal_numbers_does_not_cut_the_range() {
        let half_normal = |i: usize| (1e4 * (-0.5 * (i as f64 / 500.0).powi(2)).exp()) as u64;
        let plain: Vec<u64> = (0..BINS).map(half_normal).collect();
        let [_, expected] = least_divergence([0.0, 1.0], &plain);
        assert!(expected > 0.7, "{expected}");
        let total: u64 = plain.iter().sum();
        for peak in [0, 100] {
            let mut counts = plain.clone();
            counts[peak] += total;
            let [_, high] = least_divergence([0.0, 1.0], &counts);
            assert!((high - expected).abs() < 0.05, "{high} for {expected}");
        }
    }

    /// As behind a ReLU6: what is there a thousand times is no outlier.
    #[test]
    fn a_peak_at_the_end_of_the_range_is_not_cut_off() {
        let mut counts: Vec<u64> = (0..BINS).map(|i| (BINS - i) as u64).collect();
        counts[BINS - 1] = counts.iter().sum::<u64>() / 20;
        let [_, high] = least_divergence([0.0, 6.0], &counts);
        assert!(high > 5.9, "{high}");
    }

    /// Of normal numbers, whatever they were activated by, most of the range is kept. Peaks at zero
    /// and beside it had cut it to a quarter behind a ReLU, and to a third behind a LeakyReLU.
    #[test]
    fn a_peak_behind_an_activation_does_not_narrow_the_range() {
        let uniform = crate::runtime::pictures(12 * 200_000);
        let normal: Vec<f32> = uniform
            .chunks(12)
            .map(|twelve| twelve.iter().sum::<f32>() / 4.0)
            .collect();
        let sigmoid = |x: f32| 1.0 / (1.0 + (-x).exp());
        let activations: [(&str, &dyn Fn(f32) -> f32); 7] = [
            ("ReLU", &|x| x.max(0.0)),
            ("LeakyReLU", &|x| x.max(0.01 * x)),
            ("LeakyReLU of 0.1", &|x| x.max(0.1 * x)),
            ("SiLU", &|x| x * sigmoid(x)),
            ("GELU", &|x| x * sigmoid(1.702 * x)),
            ("HardSwish", &|x| x * ((x + 3.0) / 6.0).clamp(0.0, 1.0)),
            ("ELU", &|x| if x > 0.0 { x } else { x.exp() - 1.0 }),
        ];
        for (name, activation) in activations {
            for (factor, shift) in [(1.0, 0.0), (2.0, -1.0), (3.0, 1.0)] {
                let numbers: Vec<f32> = normal.iter().map(|x| activation(x * factor + shift)).collect();
                let low = numbers.iter().copied().fold(0.0, f32::min);
                let high = numbers.iter().copied().fold(0.0, f32::max);
                let mut counts = vec![0_u64; BINS];
                for x in &numbers {
                    counts[((x.abs() / high.max(-low) * BINS as f32) as usize).min(BINS - 1)] += 1;
                }
                let range = least_divergence([low, high], &counts);
                let kept = range[1].max(-range[0]) / high.max(-low);
                assert!(
                    kept > 0.6,
                    "{name} of {factor} x + {shift}: {kept} of [{low}, {high}]"
                );
            }
        }
    }

    #[test]
    fn a_value_that_is_always_zero_keeps_its_range() {
        let mut counts = vec![0_u64; BINS];
        counts[0] = 1000;
        assert_eq!(least_divergence([0.0, 0.0], &counts), [0.0, 0.0]);
    }
}
