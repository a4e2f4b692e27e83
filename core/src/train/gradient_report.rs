//! The numbers of a gradient report, and their mean over a run.

use indexmap::IndexMap;

/// Weights, norms and cosines by name: `kd.weight`, `kd.logits.norm`, `kd.parameters.norm`,
/// `ce~kd.logits.cosine`, `ce~kd.parameters.cosine`.
pub type GradientReport = IndexMap<String, f64>;

/// The mean of each number over the reports that have it.
pub(super) fn mean(reports: &[GradientReport]) -> GradientReport {
    let mut sums: IndexMap<String, (f64, usize)> = IndexMap::new();
    for (name, value) in reports.iter().flatten() {
        let (sum, count) = sums.entry(name.clone()).or_default();
        *sum += value;
        *count += 1;
    }
    let mean = |(name, (sum, count)): (String, (f64, usize))| (name, sum / count as f64);
    sums.into_iter().map(mean).collect()
}
