//! MobileNetV2: Inverted Residuals and Linear Bottlenecks, M. Sandler et al., 2018 (arXiv
//! 1801.04381), for 32 × 32 pictures.
//!
//! Table 2 at half width, as Tian et al. 2019 (arXiv 1910.10699, RepDistiller) use it under the
//! name MobileNetV2; tensors are named as there.
//!
//! Departures from the paper, all of that code: the second stage does not halve the picture, so
//! that the last map is 2 × 2 at 32 × 32; ReLU is not clipped at 6; the first stage's block has an
//! expanding convolution too, although it expands by 1; the 1280 channels at the end are not
//! halved. The classifier is drawn from a normal distribution of deviation 0.01.

use super::layers::{Layer, conv_bn, conv_bn_relu, narrow_linear};
use super::{Architecture, Design, Landmarks};
use crate::builder::{Conv, GraphBuilder};

/// Channels of the stem: half of 32.
const STEM: usize = 16;
/// Channels before the classifier.
const LAST: usize = 1280;

/// Blocks of one width.
struct Stage {
    /// How many times wider a block is inside.
    expansion: usize,
    width: usize,
    blocks: usize,
    /// Stride of the first block.
    stride: usize,
}

const fn stage(expansion: usize, width: usize, blocks: usize, stride: usize) -> Stage {
    Stage {
        expansion,
        width,
        blocks,
        stride,
    }
}

/// Table 2 with its widths halved.
const STAGES: [Stage; 7] = [
    stage(1, 8, 1, 1),
    stage(6, 12, 2, 1),
    stage(6, 16, 3, 2),
    stage(6, 32, 4, 2),
    stage(6, 48, 3, 1),
    stage(6, 80, 3, 2),
    stage(6, 160, 1, 1),
];

#[derive(Clone, Copy, Debug)]
struct MobileNetV2;

impl Design for MobileNetV2 {
    fn layers(&self, b: &mut GraphBuilder, x: &str, classes: usize) -> Layer {
        let stem = Conv::same(STEM, 3).stride(2);
        let mut y = conv_bn_relu(b, ["conv1.0", "conv1.1", "conv1.2"], x, stem)?;
        for (index, stage) in STAGES.iter().enumerate() {
            for block in 0..stage.blocks {
                let stride = if block == 0 { stage.stride } else { 1 };
                let name = format!("blocks.{index}.{block}");
                y = inverted_residual(b, &name, &y, stage, stride)?;
            }
        }
        let y = conv_bn_relu(b, ["conv2.0", "conv2.1", "conv2.2"], &y, Conv::same(LAST, 1))?;
        let features = b.global_pool("avgpool", &y)?;
        narrow_linear(b, "classifier.0", &features, classes)
    }

    fn landmarks(&self) -> Landmarks {
        // The last stage at each resolution.
        let ends = ["conv1.2", "blocks.1.1.add", "blocks.2.2.add", "blocks.4.2.add"];
        let last = "blocks.6.0.conv.7";
        Landmarks::new(ends.into_iter().chain([last]).map(str::to_owned), "avgpool")
    }
}

/// 1 × 1 to the inner width, 3 × 3 depthwise, 1 × 1 back without activation; the input is added
/// where the shape stays.
fn inverted_residual(b: &mut GraphBuilder, name: &str, x: &str, stage: &Stage, stride: usize) -> Layer {
    let channels = b.channels(x);
    let inner = channels * stage.expansion;
    let module = |index: usize| format!("{name}.conv.{index}");
    let expand = Conv::same(inner, 1);
    let y = conv_bn_relu(b, [&module(0), &module(1), &module(2)], x, expand)?;
    let depthwise = Conv::same(inner, 3).stride(stride).groups(inner);
    let y = conv_bn_relu(b, [&module(3), &module(4), &module(5)], &y, depthwise)?;
    let y = conv_bn(b, [&module(6), &module(7)], &y, Conv::same(stage.width, 1))?;
    if stride == 1 && channels == stage.width {
        b.add(&format!("{name}.add"), x, &y)
    } else {
        Ok(y)
    }
}

/// The registry's entries.
pub(super) const ARCHITECTURES: &[Architecture] = &[Architecture {
    name: "mobilenetv2",
    family: "mobilenetv2",
    summary: "inverted residuals, width 0.5, expansion 6",
    paper: "Sandler et al. 2018, arXiv 1801.04381",
    input: [3, 32, 32],
    design: &MobileNetV2,
}];
