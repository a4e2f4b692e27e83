//! ShuffleNet V2: Practical Guidelines for Efficient CNN Architecture Design, N. Ma et al., 2018
//! (arXiv 1807.11164), for 32 × 32 pictures.
//!
//! Table 5 at width 1, as Tian et al. 2019 (arXiv 1910.10699, RepDistiller) use it; tensors are
//! named as there. Departure of that code from the paper: the stem is a 1 × 1 convolution without
//! stride or pool. The weights are drawn as everywhere in the zoo, where that code leaves them to
//! PyTorch.

use super::layers::{Layer, conv_bn, conv_bn_relu, halves, shuffle};
use super::{Architecture, Design, Landmarks};
use crate::builder::{Conv, GraphBuilder};

/// Channels of the stem.
const STEM: usize = 24;
/// (channels, units that keep the size) of the stages; one unit that halves the picture stands
/// before them.
const STAGES: [(usize, usize); 3] = [(116, 3), (232, 7), (464, 3)];
/// Channels before the classifier.
const LAST: usize = 1024;

#[derive(Clone, Copy, Debug)]
struct ShuffleNetV2;

impl Design for ShuffleNetV2 {
    fn layers(&self, b: &mut GraphBuilder, x: &str, classes: usize) -> Layer {
        let mut y = conv_bn_relu(b, ["conv1", "bn1", "relu"], x, Conv::same(STEM, 1))?;
        for (stage, (width, units)) in STAGES.into_iter().enumerate() {
            y = halving_unit(b, &format!("layer{}.0", stage + 1), &y, width)?;
            for unit in 1..=units {
                y = split_unit(b, &format!("layer{}.{unit}", stage + 1), &y)?;
            }
        }
        let y = conv_bn_relu(b, ["conv2", "bn2", "relu2"], &y, Conv::same(LAST, 1))?;
        let features = b.global_pool("avgpool", &y)?;
        b.linear("linear", &features, classes)
    }

    fn landmarks(&self) -> Landmarks {
        let end =
            |(stage, (_, units)): (usize, (usize, usize))| format!("layer{}.{units}.shuffle", stage + 1);
        let ends = STAGES.into_iter().enumerate().map(end);
        Landmarks::new(std::iter::once("relu".to_owned()).chain(ends), "avgpool")
    }
}

/// Figure 3 c: half of the channels passes by, the other half goes through three convolutions.
fn split_unit(b: &mut GraphBuilder, name: &str, x: &str) -> Layer {
    let layer = |part: &str| format!("{name}.{part}");
    let width = b.channels(x) / 2;
    let [kept, y] = halves(b, &layer("split"), x)?;
    let pointwise = Conv::same(width, 1);
    let y = conv_bn_relu(
        b,
        [&layer("conv1"), &layer("bn1"), &layer("relu1")],
        &y,
        pointwise,
    )?;
    let depthwise = Conv::same(width, 3).groups(width);
    let y = conv_bn(b, [&layer("conv2"), &layer("bn2")], &y, depthwise)?;
    let y = conv_bn_relu(
        b,
        [&layer("conv3"), &layer("bn3"), &layer("relu2")],
        &y,
        pointwise,
    )?;
    let y = b.concat(&layer("concat"), &[&kept, &y])?;
    shuffle(b, &layer("shuffle"), &y, 2)
}

/// Figure 3 d: all channels go both ways, and each way gives half of the new width.
fn halving_unit(b: &mut GraphBuilder, name: &str, x: &str, width: usize) -> Layer {
    let layer = |part: &str| format!("{name}.{part}");
    let (channels, half) = (b.channels(x), width / 2);
    let pointwise = Conv::same(half, 1);
    let depthwise = |channels: usize| Conv::same(channels, 3).stride(2).groups(channels);
    let left = conv_bn(b, [&layer("conv1"), &layer("bn1")], x, depthwise(channels))?;
    let left = conv_bn_relu(
        b,
        [&layer("conv2"), &layer("bn2"), &layer("relu1")],
        &left,
        pointwise,
    )?;
    let right = conv_bn_relu(b, [&layer("conv3"), &layer("bn3"), &layer("relu2")], x, pointwise)?;
    let right = conv_bn(b, [&layer("conv4"), &layer("bn4")], &right, depthwise(half))?;
    let right = conv_bn_relu(
        b,
        [&layer("conv5"), &layer("bn5"), &layer("relu3")],
        &right,
        pointwise,
    )?;
    let y = b.concat(&layer("concat"), &[&left, &right])?;
    shuffle(b, &layer("shuffle"), &y, 2)
}

/// The registry's entries.
pub(super) const ARCHITECTURES: &[Architecture] = &[Architecture {
    name: "shufflenetv2",
    family: "shufflenetv2",
    summary: "channel split and shuffle, width 1",
    paper: "Ma et al. 2018, arXiv 1807.11164",
    input: [3, 32, 32],
    design: &ShuffleNetV2,
}];
