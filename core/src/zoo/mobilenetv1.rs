//! MobileNets: Efficient Convolutional Neural Networks for Mobile Vision Applications, A. Howard et
//! al., 2017 (arXiv 1704.04861).
//!
//! Table 1 at width 1: a 3 × 3 convolution, then 13 depthwise separable blocks (3 × 3 depthwise, 1
//! × 1 pointwise, each with BatchNorm and ReLU). Tensors are named as in timm's `mobilenetv1_100`,
//! which clips its ReLU at 6 where the paper and this network do not.

use super::layers::{Layer, conv_bn_relu};
use super::{Architecture, Design, Landmarks};
use crate::builder::{Conv, GraphBuilder};

/// Channels of the stem.
const STEM: usize = 32;
/// (channels, blocks) of the stages; the first block of each but the first halves the picture.
const STAGES: [(usize, usize); 5] = [(64, 1), (128, 2), (256, 2), (512, 6), (1024, 2)];

#[derive(Clone, Copy, Debug)]
struct MobileNetV1;

impl Design for MobileNetV1 {
    fn layers(&self, b: &mut GraphBuilder, x: &str, classes: usize) -> Layer {
        let stem = Conv::same(STEM, 3).stride(2);
        let mut y = conv_bn_relu(b, ["conv_stem", "bn1", "relu"], x, stem)?;
        for (stage, (width, blocks)) in STAGES.into_iter().enumerate() {
            for block in 0..blocks {
                let stride = if stage > 0 && block == 0 { 2 } else { 1 };
                let name = |layer: &str| format!("blocks.{stage}.{block}.{layer}");
                let channels = b.channels(&y);
                let depthwise = Conv::same(channels, 3).stride(stride).groups(channels);
                y = conv_bn_relu(b, [&name("conv_dw"), &name("bn1"), &name("relu1")], &y, depthwise)?;
                let pointwise = Conv::same(width, 1);
                y = conv_bn_relu(b, [&name("conv_pw"), &name("bn2"), &name("relu2")], &y, pointwise)?;
            }
        }
        let features = b.global_pool("avgpool", &y)?;
        b.linear("classifier", &features, classes)
    }

    fn landmarks(&self) -> Landmarks {
        let end =
            |(stage, (_, blocks)): (usize, (usize, usize))| format!("blocks.{stage}.{}.relu2", blocks - 1);
        Landmarks::new(STAGES.into_iter().enumerate().map(end), "avgpool")
    }
}

/// The registry's entries.
pub(super) const ARCHITECTURES: &[Architecture] = &[Architecture {
    name: "mobilenetv1",
    family: "mobilenetv1",
    summary: "depthwise separable convolutions, width 1",
    paper: "Howard et al. 2017, arXiv 1704.04861",
    input: [3, 224, 224],
    design: &MobileNetV1,
}];
