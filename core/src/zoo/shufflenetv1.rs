//! ShuffleNet: An Extremely Efficient Convolutional Neural Network for Mobile Devices, X. Zhang et
//! al., 2017 (arXiv 1707.01083), for 32 × 32 pictures.
//!
//! Table 1 with 3 groups, as Tian et al. 2019 (arXiv 1910.10699, RepDistiller) use it; tensors are
//! named as there. Departures from the paper, all of that code: the stem is a 1 × 1 convolution
//! without stride or pool; the inner width is a quarter of what the block adds, not of its output;
//! ReLU follows the depthwise convolution too. The weights are drawn as everywhere in the zoo,
//! where that code leaves them to PyTorch.

use super::layers::{Layer, conv_bn, conv_bn_relu, shuffle};
use super::{Architecture, Design, Landmarks};
use crate::builder::{Conv, GraphBuilder};
use crate::op::Attribute;

/// Channels of the stem.
const STEM: usize = 24;
/// (channels, blocks) of the stages; the first block of each halves the picture.
const STAGES: [(usize, usize); 3] = [(240, 4), (480, 8), (960, 4)];
/// Groups of the pointwise convolutions.
const GROUPS: usize = 3;

#[derive(Clone, Copy, Debug)]
struct ShuffleNetV1;

impl Design for ShuffleNetV1 {
    fn layers(&self, b: &mut GraphBuilder, x: &str, classes: usize) -> Layer {
        let mut y = conv_bn_relu(b, ["conv1", "bn1", "relu"], x, Conv::same(STEM, 1))?;
        for (stage, (width, blocks)) in STAGES.into_iter().enumerate() {
            for block in 0..blocks {
                let name = format!("layer{}.{block}", stage + 1);
                y = unit(b, &name, &y, width, block == 0)?;
            }
        }
        let features = b.global_pool("avgpool", &y)?;
        b.linear("linear", &features, classes)
    }

    fn landmarks(&self) -> Landmarks {
        let end = |(stage, (_, blocks)): (usize, (usize, usize))| {
            format!("layer{}.{}.relu3", stage + 1, blocks - 1)
        };
        let ends = STAGES.into_iter().enumerate().map(end);
        Landmarks::new(std::iter::once("relu".to_owned()).chain(ends), "avgpool")
    }
}

/// Figure 2, b and c: a unit that adds its input, or, where it halves the picture, joins the pooled
/// input.
fn unit(b: &mut GraphBuilder, name: &str, x: &str, width: usize, halve: bool) -> Layer {
    let channels = b.channels(x);
    let (stride, added) = if halve { (2, width - channels) } else { (1, width) };
    let inner = added / 4;
    // The paper leaves the first pointwise convolution ungrouped: its input is too narrow.
    let groups = if channels == STEM { 1 } else { GROUPS };
    let layer = |part: &str| format!("{name}.{part}");
    let reduce = Conv::same(inner, 1).groups(groups);
    let y = conv_bn_relu(b, [&layer("conv1"), &layer("bn1"), &layer("relu1")], x, reduce)?;
    let y = if groups > 1 {
        shuffle(b, &layer("shuffle1"), &y, groups)?
    } else {
        y
    };
    let depthwise = Conv::same(inner, 3).stride(stride).groups(inner);
    let y = conv_bn_relu(
        b,
        [&layer("conv2"), &layer("bn2"), &layer("relu2")],
        &y,
        depthwise,
    )?;
    let expand = Conv::same(added, 1).groups(GROUPS);
    let y = conv_bn(b, [&layer("conv3"), &layer("bn3")], &y, expand)?;
    let y = if halve {
        let shortcut = padded_mean(b, &layer("shortcut"), x)?;
        b.concat(&layer("concat"), &[&y, &shortcut])?
    } else {
        b.add(&layer("add"), &y, x)?
    };
    b.relu(&layer("relu3"), &y)
}

/// 3 × 3 average pool with stride 2 that counts its border of zeros, as PyTorch does by default and
/// ONNX does not.
fn padded_mean(b: &mut GraphBuilder, name: &str, x: &str) -> Layer {
    let attributes: [(&'static str, Attribute); 4] = [
        ("count_include_pad", 1.into()),
        ("kernel_shape", vec![3; 2].into()),
        ("pads", vec![1; 4].into()),
        ("strides", vec![2; 2].into()),
    ];
    b.node(name, "AveragePool", &[x], attributes)
}

/// The registry's entries.
pub(super) const ARCHITECTURES: &[Architecture] = &[Architecture {
    name: "shufflenetv1",
    family: "shufflenetv1",
    summary: "grouped pointwise convolutions with channel shuffle, 3 groups",
    paper: "Zhang et al. 2017, arXiv 1707.01083",
    input: [3, 32, 32],
    design: &ShuffleNetV1,
}];
