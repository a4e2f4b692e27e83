//! Which values of a network are feature maps, and where its stages end.
//!
//! A value of four axes need not be a map `[batch, channels, height, width]`: attention weights are
//! `[batch, heads, tokens, tokens]`, and a channel shuffle passes through `[batch, groups,
//! channels, pixels]`. What a convolution makes is a map, and so is what keeps its places:
//! normalisation, pooling, activation, sums; and what moving the axes about and back restores.

use std::collections::{HashMap, HashSet};

use potstill_core::graph::{Fact, Node};
use potstill_core::plugin::Architecture;

/// Convolutions that read maps, below which a network is none of maps: a vision transformer cuts
/// its picture up by one convolution, which reads the picture.
const FEWEST_CONVOLUTIONS: usize = 2;

/// The last feature map of each stage: of each extent of more than one pixel, the last map that all
/// paths from the picture to the logits lead through, so that no inner value of the next block is
/// taken. None where the network is not one of maps.
///
/// A 1 × 1 convolution at the end belongs to what follows: to the block that widens the map before
/// it makes it smaller, or to the classifier, as in MobileNets. The stage ends before it.
pub(super) fn stage_ends(network: &Architecture<'_>) -> Vec<String> {
    let maps = Maps::of(network);
    if maps.convolutions < FEWEST_CONVOLUTIONS {
        return Vec::new();
    }
    let mut ends: Vec<(&[usize], &str)> = Vec::new();
    for name in passed_by_all(network) {
        let Some(extents) = maps.extents(name) else {
            continue;
        };
        match ends.iter_mut().find(|(known, _)| *known == extents) {
            Some(end) => end.1 = name,
            None => ends.push((extents, name)),
        }
    }
    let settled = ends.into_iter().map(|(extents, name)| {
        let before = maps
            .before_head(name)
            .filter(|name| maps.extents(name) == Some(extents));
        before.unwrap_or(name).to_owned()
    });
    settled.collect()
}

/// The values that all paths from the picture to the logits lead through, in their order: the
/// dominators of the logits. K. Cooper, T. Harvey, K. Kennedy: "A Simple, Fast Dominance
/// Algorithm", 2001; a graph without loops needs one pass.
fn passed_by_all<'a>(network: &'a Architecture<'_>) -> Vec<&'a str> {
    // Of each value that follows from the picture: its nearest dominator, and how many it has.
    let mut nearest: HashMap<&str, (&str, usize)> = HashMap::new();
    for input in &network.graph.inputs {
        nearest.insert(&input.name, ("", 0));
    }
    for node in &network.graph.nodes {
        let mut shared: Option<&str> = None;
        for input in node
            .inputs
            .iter()
            .filter(|input| nearest.contains_key(input.as_str()))
        {
            shared = Some(match shared {
                Some(other) => common(&nearest, other, input),
                None => input,
            });
        }
        let Some(shared) = shared else { continue };
        let depth = nearest.get(shared).map_or(0, |(_, depth)| depth + 1);
        for output in node.outputs.iter().filter(|name| !name.is_empty()) {
            nearest.insert(output, (shared, depth));
        }
    }
    let mut passed = Vec::new();
    let mut value = network.logits.as_str();
    while let Some((name, (before, _))) = nearest.get_key_value(value) {
        passed.push(*name);
        value = before;
    }
    passed.reverse();
    passed
}

/// The nearest value that dominates both; empty where none does.
fn common<'a>(nearest: &HashMap<&'a str, (&'a str, usize)>, mut a: &'a str, mut b: &'a str) -> &'a str {
    let depth = |value: &str| nearest.get(value).map_or(0, |(_, depth)| *depth);
    let before = |value: &str| nearest.get(value).map_or("", |(before, _)| before);
    while a != b {
        match depth(a) < depth(b) {
            true => b = before(b),
            false => a = before(a),
        }
    }
    a
}

/// The maps of a network.
struct Maps<'a> {
    network: &'a Architecture<'a>,
    producers: HashMap<&'a str, &'a Node>,
    maps: HashSet<&'a str>,
    /// Convolutions that read one.
    convolutions: usize,
}

impl<'a> Maps<'a> {
    fn of(network: &'a Architecture<'a>) -> Self {
        let mut found = Self {
            network,
            producers: HashMap::new(),
            maps: HashSet::new(),
            convolutions: 0,
        };
        // Of what data movement alone has made of a map: that map's shape.
        let mut moved: HashMap<&str, &[usize]> = HashMap::new();
        for node in &network.graph.nodes {
            let read = node.inputs.first().map_or("", String::as_str);
            let read_map = found.maps.contains(read);
            let origin = match read_map {
                true => found.dims(read),
                false => moved.get(read).copied(),
            };
            for output in node.outputs.iter().filter(|name| !name.is_empty()) {
                found.producers.insert(output, node);
                let Some(dims) = found.dims(output) else { continue };
                let is_map = match node.op.name() {
                    "Conv" | "ConvTranspose" => true,
                    "Reshape" | "Transpose" | "Squeeze" | "Unsqueeze" | "Flatten" => {
                        if let Some(origin) = origin {
                            moved.insert(output, origin);
                        }
                        origin == Some(dims)
                    }
                    name if keeps_places(name) => read_map,
                    // Elementwise, of any number of operands.
                    _ => node
                        .inputs
                        .iter()
                        .any(|input| found.maps.contains(input.as_str()) && found.dims(input) == Some(dims)),
                };
                if is_map && dims.len() == 4 {
                    found.maps.insert(output);
                }
            }
            found.convolutions += usize::from(node.op.name() == "Conv" && read_map);
        }
        found
    }

    fn dims(&self, value: &str) -> Option<&'a [usize]> {
        let fact: Option<&Fact> = self.network.facts.get(value);
        fact.map(|fact| fact.dims.as_slice())
    }

    /// Height and width of a map of more than one pixel.
    fn extents(&self, value: &str) -> Option<&'a [usize]> {
        let extents = self.dims(value).filter(|_| self.maps.contains(value))?.get(2..)?;
        (extents.iter().product::<usize>() > 1).then_some(extents)
    }

    /// What the 1 × 1 convolution reads that made a map, with normalisation and activation behind
    /// it; `None` where no such convolution did, or where it belongs to a block because it ends a
    /// depthwise one.
    fn before_head(&self, map: &str) -> Option<&'a str> {
        let head = self.convolution(map)?;
        let weight = self.dims(head.inputs.get(1)?)?;
        let read = head.inputs.first()?;
        let same_channels = self.dims(read)?.get(1) == weight.get(1);
        if weight.get(2..)? != [1, 1] || !same_channels || !self.maps.contains(read.as_str()) {
            return None;
        }
        let depthwise = self.convolution(read).is_some_and(|node| {
            let weight = node.inputs.get(1).and_then(|weight| self.dims(weight));
            weight.is_some_and(|dims| dims.get(1) == Some(&1))
        });
        (!depthwise).then_some(read.as_str())
    }

    /// The convolution that made a map, with nothing but normalisation and activation in between.
    fn convolution(&self, map: &str) -> Option<&'a Node> {
        let mut map = map;
        loop {
            let node = *self.producers.get(map)?;
            match node.op.name() {
                "Conv" => return Some(node),
                "BatchNormalization" | "Relu" | "Clip" | "HardSwish" | "Identity" | "LeakyRelu" | "PRelu"
                | "Sigmoid" | "Gelu" | "Elu" => map = node.inputs.first()?,
                // x · σ(x), written as two nodes.
                "Mul" => {
                    map = node
                        .inputs
                        .iter()
                        .find(|input| self.maps.contains(input.as_str()))?;
                }
                _ => return None,
            }
        }
    }
}

/// Operators whose first operand is the map and whose result keeps its places, at other extents or
/// with other channels too.
fn keeps_places(op: &str) -> bool {
    matches!(
        op,
        "MaxPool"
            | "AveragePool"
            | "LpPool"
            | "Resize"
            | "Upsample"
            | "BatchNormalization"
            | "InstanceNormalization"
            | "GroupNormalization"
            | "LRN"
            | "DepthToSpace"
            | "SpaceToDepth"
            | "Pad"
            | "Slice"
            | "Split"
            | "Gather"
            | "Concat"
    )
}

#[cfg(test)]
mod tests {
    use potstill_core::zoo;

    use super::*;

    fn ends_of(name: &str) -> Vec<String> {
        let graph = zoo::build(name, 100, [3, 32, 32], 0).unwrap();
        stage_ends(&Architecture::new(name, &graph).unwrap())
    }

    /// The features that RepDistiller's networks of these names give.
    #[test]
    fn stages_end_where_the_blocks_do() {
        for (network, last) in [
            ("resnet20", vec!["layer1", "layer2", "layer3"]),
            ("shufflenetv2", vec!["layer1", "layer2", "layer3"]),
            ("shufflenetv1", vec!["layer1", "layer2", "layer3"]),
        ] {
            let ends = ends_of(network);
            assert!(ends.len() >= last.len(), "{network}: {ends:?}");
            for (end, layer) in ends[ends.len() - last.len()..].iter().zip(last) {
                assert!(end.starts_with(layer), "{network}: {ends:?}");
            }
        }
    }

    #[test]
    fn no_stage_ends_at_a_head_of_the_classifier() {
        let graph = zoo::build("mobilenetv2", 100, [3, 32, 32], 0).unwrap();
        let network = Architecture::new("mobilenetv2", &graph).unwrap();
        let ends = stage_ends(&network);
        let channels: Vec<usize> = ends.iter().map(|end| network.dims(end).unwrap()[1]).collect();
        // The linear bottlenecks, not the widened maps nor the 1,280 channels of the head.
        assert!(
            channels.iter().all(|channels| *channels <= 160),
            "{ends:?} {channels:?}"
        );
    }
}
