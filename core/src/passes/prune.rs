//! Whole filters removed, with everything that depends on them, on any graph.
//!
//! `channels` finds the sets of channels that depend on one another. A set is removed from every
//! stored tensor that it appears in, or not at all.
//!
//! `ranking` says in which order sets go: those with the least score, over all layers at once, as
//! many of a layer together as keep its width round.

use std::collections::HashSet;
use std::num::NonZeroUsize;

use burn::tensor::{Bytes, TensorData};

use self::channels::Channels;
use crate::graph::{Graph, GraphError, summarise};
use crate::op::Attribute;
use crate::ops::conv::ConvOp;

mod channels;
mod ranking;

/// By what filters are ranked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Criterion {
    /// The sum of a filter's magnitudes, over the mean of its layer.
    L1,
    /// The magnitude of the factor of the normalisation behind it.
    BatchNorm,
}

/// A smaller network, and what it cost before and after.
#[derive(Clone, Debug)]
pub struct Pruned {
    /// The network.
    pub graph: Graph,
    /// Multiply-adds of one picture before and after.
    pub multiply_adds: [u64; 2],
    /// Filters of convolutions and products before and after.
    pub filters: [usize; 2],
}

/// Removes filters until at most `share` of the multiply-adds are left. A layer that loses some
/// keeps a multiple of `round_to`.
///
/// # Errors
/// A graph that does not run; a share that cannot be reached, with the least that can.
pub fn prune(graph: &Graph, share: f64, by: Criterion, round_to: NonZeroUsize) -> Result<Pruned, GraphError> {
    let before = summarise(graph)?.multiply_adds;
    let channels = Channels::of(graph)?;
    let ranked = channels.ranked(graph, by);
    let steps = channels.steps(&ranked, round_to);
    if steps.is_empty() {
        return Err(GraphError::Prune {
            reason: match by {
                _ if !ranked.is_empty() => {
                    format!("no layer can be cut to a multiple of {round_to} channels and keep an eighth of its own: a smaller --round-to removes more")
                }
                Criterion::L1 => "no filter can be removed by itself".to_owned(),
                Criterion::BatchNorm => {
                    "no filter with a BatchNormalization behind it can be removed; those of an exported student are folded, \
                     which --by l1 does without"
                        .to_owned()
                }
            },
        });
    }
    let target = (share * before as f64) as u64;
    let cut = |count: usize| -> Result<(Graph, u64), GraphError> {
        let graph = channels.without(graph, &steps[..count].iter().flatten().copied().collect());
        let cost = summarise(&graph)?.multiply_adds;
        Ok((graph, cost))
    };
    let least = cut(steps.len())?;
    if least.1 > target {
        return Err(GraphError::Prune {
            reason: format!(
                "{:.1} % of the multiply-adds cannot be reached: {:.1} % are left when an eighth of each layer is{}",
                100.0 * share,
                100.0 * least.1 as f64 / before.max(1) as f64,
                if round_to.get() > 1 {
                    format!(", widths being multiples of {round_to}: a smaller --round-to removes more")
                } else {
                    String::new()
                }
            ),
        });
    }
    let (mut low, mut high) = (0, steps.len());
    while low < high {
        let middle = low.midpoint(high);
        if cut(middle)?.1 <= target {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    let (pruned, after) = cut(high)?;
    pruned.validate()?;
    let count = |graph: &Graph| -> usize {
        channels
            .filters
            .iter()
            .filter_map(|(name, axis)| graph.tensors.get(name)?.data.shape().get(*axis).copied())
            .sum()
    };
    Ok(Pruned {
        multiply_adds: [before, after],
        filters: [count(graph), count(&pruned)],
        graph: pruned,
    })
}

impl Channels {
    /// The graph without these sets.
    fn without(&self, graph: &Graph, removed: &HashSet<usize>) -> Graph {
        let mut pruned = graph.clone();
        // What files state on values in between no longer holds.
        pruned.annotations.clear();
        let stays = |atom: &usize| !removed.contains(&self.root(*atom));
        for ((name, axis), atoms) in &self.slices {
            if atoms.iter().all(stays) {
                continue;
            }
            let kept: Vec<usize> = (0..atoms.len()).filter(|place| stays(&atoms[*place])).collect();
            if let Some(tensor) = pruned.tensors.get_mut(name) {
                tensor.data = select(&tensor.data, *axis, &kept);
            }
        }
        for (index, inputs) in &self.depthwise {
            let node = &mut pruned.nodes[*index];
            let Some(mut conv) = node.op.downcast::<ConvOp>().cloned() else {
                continue;
            };
            conv.groups = inputs.iter().filter(|atom| stays(atom)).count();
            node.attributes
                .insert("group".to_owned(), Attribute::Int(conv.groups as i64));
            node.op = Box::new(conv);
        }
        pruned
    }
}

/// Entries of one axis.
fn select(data: &TensorData, axis: usize, kept: &[usize]) -> TensorData {
    let mut dims = data.shape().to_vec();
    let inner = dims[axis + 1..].iter().product::<usize>() * data.dtype().size();
    let outer: usize = dims[..axis].iter().product();
    let bytes = data.bytes();
    let mut chosen = Vec::with_capacity(outer * kept.len() * inner);
    for block in 0..outer {
        for place in kept {
            let start = (block * dims[axis] + place) * inner;
            chosen.extend_from_slice(&bytes[start..start + inner]);
        }
    }
    dims[axis] = kept.len();
    TensorData::from_bytes(Bytes::from_bytes_vec(chosen), dims, data.dtype())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::Network;
    use crate::op::Mode;
    use crate::value::Value;
    use crate::zoo;
    use burn::tensor::{Device, Tensor};

    fn outputs(graph: &Graph, size: usize) -> Vec<f32> {
        let device = Device::flex();
        let values: Vec<f32> = (0..2 * 3 * size * size)
            .map(|i| (i as f32 * 0.37).sin())
            .collect();
        let pictures = Tensor::<4>::from_data(TensorData::new(values, [2, 3, size, size]), &device);
        let network = Network::new(graph.clone(), &device).unwrap();
        let outputs = network
            .forward(Value::from(pictures), &[], Mode::Inference)
            .unwrap();
        outputs.first().unwrap().1.to_floats().unwrap()
    }

    /// Zeroes what makes the channels of these sets, in every tensor whose axis 0 they run along.
    fn zeroed(graph: &Graph, channels: &Channels, sets: &HashSet<usize>) -> Graph {
        let mut graph = graph.clone();
        let filters: HashSet<&String> = channels.filters.iter().map(|(name, _)| name).collect();
        for ((name, axis), atoms) in &channels.slices {
            let makes = channels.filters.contains(&(name.clone(), *axis));
            // Scales, shifts and means too; a variance of zero is as good as another.
            if !makes && filters.contains(name) {
                continue;
            }
            let tensor = graph.tensors.get_mut(name).unwrap();
            // Shapes are kept as they are.
            if !tensor.data.dtype().is_float() {
                continue;
            }
            let dims = tensor.data.shape().to_vec();
            let inner: usize = dims[axis + 1..].iter().product();
            let mut values: Vec<f32> = tensor.data.iter().collect();
            for (i, value) in values.iter_mut().enumerate() {
                if sets.contains(&channels.root(atoms[(i / inner) % dims[*axis]])) {
                    *value = 0.0;
                }
            }
            tensor.data = TensorData::new(values, dims);
        }
        graph
    }

    #[test]
    fn removing_zeroed_filters_leaves_the_outputs_as_they_were() {
        for name in [
            "resnet8",
            "vgg8",
            "mobilenetv2",
            "mobilenetv1",
            "wrn-16-1",
            "densenet-40-12",
            "shufflenetv2",
        ] {
            let graph = zoo::build(name, 10, [3, 32, 32], 3).unwrap();
            let channels = Channels::of(&graph).unwrap();
            let ranked = channels.ranked(&graph, Criterion::L1);
            assert!(!ranked.is_empty(), "{name}");
            for part in [3, 2] {
                let sets: HashSet<usize> = ranked.iter().map(|(set, _)| *set).step_by(part).collect();
                let zeroed = zeroed(&graph, &channels, &sets);
                let cut = channels.without(&zeroed, &sets);
                assert!(cut.parameters() < graph.parameters(), "{name}");
                let (before, after) = (outputs(&zeroed, 32), outputs(&cut, 32));
                let largest = before.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
                for (a, b) in before.iter().zip(&after) {
                    assert!((a - b).abs() <= 1e-4 * largest.max(1e-3), "{name}: {a} and {b}");
                }
            }
        }
    }

    #[test]
    fn half_of_the_multiply_adds_is_reached_from_below_and_closely() {
        for by in [Criterion::L1, Criterion::BatchNorm] {
            let mut graph = zoo::build("resnet20", 10, [3, 32, 32], 3).unwrap();
            for (index, tensor) in graph.tensors.values_mut().enumerate() {
                if tensor.data.shape().rank() == 1 {
                    let count = tensor.len();
                    let values: Vec<f32> = (0..count)
                        .map(|i| 0.5 + ((i * 7 + index) % 13) as f32 / 13.0)
                        .collect();
                    tensor.data = TensorData::new(values, [count]);
                }
            }
            let pruned = prune(&graph, 0.5, by, NonZeroUsize::MIN).unwrap();
            let [before, after] = pruned.multiply_adds;
            let share = after as f64 / before as f64;
            assert!((0.4..=0.5).contains(&share), "{by:?}: {share}");
            assert!(pruned.filters[1] < pruned.filters[0]);
            assert!(outputs(&pruned.graph, 32).iter().all(|x| x.is_finite()));
        }
    }

    #[test]
    fn a_share_that_cannot_be_reached_is_refused_with_the_least_that_can() {
        let graph = zoo::build("resnet8", 10, [3, 32, 32], 3).unwrap();
        let refused = prune(&graph, 1e-6, Criterion::L1, NonZeroUsize::MIN);
        assert!(matches!(refused, Err(GraphError::Prune { .. })), "{refused:?}");
    }
    #[test]
    fn layers_that_lose_filters_keep_a_multiple_of_what_is_asked() {
        let eight = NonZeroUsize::new(8).unwrap();
        for name in ["resnet20", "mobilenetv2", "vgg8", "densenet-40-12"] {
            let graph = zoo::build(name, 10, [3, 32, 32], 3).unwrap();
            let pruned = prune(&graph, 0.5, Criterion::L1, eight).unwrap();
            let [before, after] = pruned.multiply_adds;
            let share = after as f64 / before as f64;
            assert!((0.35..=0.5).contains(&share), "{name}: {share}");
            assert!(outputs(&pruned.graph, 32).iter().all(|x| x.is_finite()), "{name}");
            let mut cut = 0;
            for (filters, axis) in &Channels::of(&graph).unwrap().filters {
                let width = |graph: &Graph| graph.tensors[filters].data.shape()[*axis];
                if width(&pruned.graph) < width(&graph) {
                    assert_eq!(width(&pruned.graph) % 8, 0, "{name}: {filters}");
                    cut += 1;
                }
            }
            assert!(cut > 0, "{name}");
        }
    }

    #[test]
    fn widths_that_no_layer_can_be_cut_to_are_refused() {
        let graph = zoo::build("resnet8", 10, [3, 32, 32], 3).unwrap();
        let wide = NonZeroUsize::new(64).unwrap();
        let refused = prune(&graph, 0.5, Criterion::L1, wide).unwrap_err().to_string();
        assert!(refused.contains("multiple of 64"), "{refused}");
    }
}
