//! In which order channels go.
//!
//! Sets of channels are ranked over all layers at once, the least important first:
//! - `l1`: the sum of a filter's magnitudes over the mean of its layer. H. Li et al., "Pruning
//!   Filters for Efficient ConvNets", 2017 (arXiv 1608.08710).
//! - `batch-norm`: the magnitude of the normalisation's factor. Z. Liu et al., "Learning Efficient
//!   Convolutional Networks through Network Slimming", 2017 (arXiv 1708.06519).
//!
//! An eighth of each layer's filters stays whatever their scores. Runtimes compute blocks of 4, 8
//! or 16 channels, so that a width between two multiples can cost more than the wider one: a
//! layer's sets then go in steps that end at multiples.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::num::NonZeroUsize;

use burn::tensor::DType;

use crate::graph::Graph;
use crate::passes::prune::Criterion;
use crate::passes::prune::channels::Channels;

/// Of a layer's filters, one in so many stays.
const KEPT_OF: usize = 8;

impl Channels {
    /// The sets that may go with their scores, the least important first; an eighth of each layer's
    /// filters is not among them.
    pub(super) fn ranked(&self, graph: &Graph, by: Criterion) -> Vec<(usize, f64)> {
        let locked: HashSet<usize> = self.locked.iter().map(|atom| self.root(*atom)).collect();
        let mut scores: HashMap<usize, (f64, usize)> = HashMap::new();
        let mut score = |atoms: &[usize], of_channels: &[f64]| {
            for (atom, one) in atoms.iter().zip(of_channels) {
                let score = scores.entry(self.root(*atom)).or_default();
                *score = (score.0 + one, score.1 + 1);
            }
        };
        match by {
            Criterion::L1 => {
                for (name, axis) in &self.filters {
                    if let Some(atoms) = self.slices.get(&(name.clone(), *axis)) {
                        score(atoms, &magnitudes(graph, name, *axis));
                    }
                }
            }
            Criterion::BatchNorm => {
                for name in &self.factors {
                    if let Some(atoms) = self.slices.get(&(name.clone(), 0)) {
                        let values = graph.tensors.get(name).map(|tensor| tensor.data.clone());
                        let values = values.map(|data| data.convert_dtype(DType::F64));
                        let values: Vec<f64> = values
                            .iter()
                            .flat_map(|data| data.iter::<f64>())
                            .map(f64::abs)
                            .collect();
                        score(atoms, &values);
                    }
                }
            }
        }
        let mut ranked: Vec<(usize, f64)> = scores
            .into_iter()
            .filter(|(root, _)| !locked.contains(root))
            .map(|(root, (sum, count))| (root, sum / count.max(1) as f64))
            .collect();
        ranked.sort_by(|a, b| a.1.total_cmp(&b.1).then(a.0.cmp(&b.0)));
        self.keep_an_eighth(&mut ranked);
        ranked
    }

    fn keep_an_eighth(&self, ranked: &mut Vec<(usize, f64)>) {
        let mut layers: Vec<(usize, HashMap<usize, usize>)> = Vec::new();
        for (name, axis) in &self.filters {
            let Some(atoms) = self.slices.get(&(name.clone(), *axis)) else {
                continue;
            };
            let mut sets: HashMap<usize, usize> = HashMap::new();
            for atom in atoms {
                *sets.entry(self.root(*atom)).or_default() += 1;
            }
            layers.push((atoms.len() - atoms.len().div_ceil(KEPT_OF), sets));
        }
        ranked.retain(|(root, _)| {
            let touched = |(left, sets): &(usize, HashMap<usize, usize>)| {
                sets.get(root).is_none_or(|count| count <= left)
            };
            if !layers.iter().all(touched) {
                return false;
            }
            for (left, sets) in &mut layers {
                *left -= sets.get(root).copied().unwrap_or(0);
            }
            true
        });
    }

    /// What goes at once, so that a layer that loses channels keeps a multiple of `round_to`:
    /// ranked by the mean score of each step. What is left over of a layer after its last whole
    /// step stays.
    pub(super) fn steps(&self, ranked: &[(usize, f64)], round_to: NonZeroUsize) -> Vec<Vec<usize>> {
        let round_to = round_to.get();
        // Sets that appear in the same places of the same tensors make up a width together.
        let mut places: BTreeMap<usize, BTreeMap<usize, usize>> = BTreeMap::new();
        for (tensor, atoms) in self.slices.values().enumerate() {
            for atom in atoms {
                let place = places.entry(self.root(*atom)).or_default();
                *place.entry(tensor).or_default() += 1;
            }
        }
        let mut widths: HashMap<&BTreeMap<usize, usize>, usize> = HashMap::new();
        for place in places.values() {
            *widths.entry(place).or_default() += 1;
        }
        let mut open: HashMap<&BTreeMap<usize, usize>, Vec<(usize, f64)>> = HashMap::new();
        let mut steps: Vec<(Vec<usize>, f64)> = Vec::new();
        for (root, score) in ranked {
            let Some(place) = places.get(root) else { continue };
            let step = open.entry(place).or_default();
            step.push((*root, *score));
            let width = widths.entry(place).or_default();
            if (*width - step.len()).is_multiple_of(round_to) {
                *width -= step.len();
                let mean = step.iter().map(|(_, score)| score).sum::<f64>() / step.len() as f64;
                steps.push((step.drain(..).map(|(root, _)| root).collect(), mean));
            }
        }
        // Stable: the steps of a layer stay in their order.
        steps.sort_by(|a, b| a.1.total_cmp(&b.1));
        steps.into_iter().map(|(step, _)| step).collect()
    }
}

/// The sum of magnitudes of each entry of an axis, over the mean of all entries.
fn magnitudes(graph: &Graph, name: &str, axis: usize) -> Vec<f64> {
    let Some(tensor) = graph.tensors.get(name) else {
        return Vec::new();
    };
    let dims = tensor.data.shape().to_vec();
    let inner: usize = dims[axis + 1..].iter().product();
    let mut sums = vec![0.0; dims[axis]];
    let values = tensor.data.clone().convert_dtype(DType::F64);
    for (i, value) in values.iter::<f64>().enumerate() {
        sums[(i / inner.max(1)) % dims[axis]] += value.abs();
    }
    let mean = sums.iter().sum::<f64>() / sums.len().max(1) as f64;
    sums.iter().map(|sum| sum / mean.max(f64::MIN_POSITIVE)).collect()
}
