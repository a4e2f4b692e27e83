//! Deep Residual Learning for Image Recognition, K. He, X. Zhang, S. Ren, J. Sun, 2015 (arXiv
//! 1512.03385).
//!
//! For 32 × 32 pictures the networks of section 4.2, 6 n + 2 layers deep, as Tian et al. 2019
//! (arXiv 1910.10699, RepDistiller) define them; from there also the wide ones, `x4`, with stages
//! of 64, 128 and 256 channels behind a stem of 32. For ImageNet the networks of table 1, with
//! tensors named as in torchvision.
//!
//! Departures from the paper, both those of the code named above: where the shape changes, the
//! shortcut is a 1 × 1 convolution with BatchNorm (the paper's option B; its CIFAR networks use A,
//! without parameters); a bottleneck strides in its 3 × 3 convolution, not in the first 1 × 1
//! (known as ResNet v1.5).

use super::layers::{Layer, conv_bn, conv_bn_relu};
use super::{Architecture, Design, Landmarks};
use crate::builder::{Conv, GraphBuilder, Pool};

/// What comes before the first stage.
#[derive(Clone, Copy, Debug)]
enum Stem {
    /// One 3 × 3 convolution of this many channels.
    Plain(usize),
    /// A 7 × 7 convolution with stride 2 and a 3 × 3 max pool with stride 2.
    ImageNet,
}

/// What the stages repeat.
#[derive(Clone, Copy, Debug)]
enum Block {
    /// Two 3 × 3 convolutions.
    Basic,
    /// 1 × 1, 3 × 3 and 1 × 1, the last four times as wide.
    Bottleneck,
}

/// A stem, and stages of blocks of which each but the first halves the picture.
#[derive(Clone, Copy, Debug)]
struct ResNet {
    stem: Stem,
    block: Block,
    /// (channels, blocks) of each stage.
    stages: &'static [(usize, usize)],
}

impl Design for ResNet {
    fn layers(&self, b: &mut GraphBuilder, x: &str, classes: usize) -> Layer {
        let mut y = self.stem(b, x)?;
        for (stage, &(width, blocks)) in self.stages.iter().enumerate() {
            for block in 0..blocks {
                let stride = if stage > 0 && block == 0 { 2 } else { 1 };
                let name = format!("layer{}.{block}", stage + 1);
                y = self.block.layers(b, &name, &y, width, stride)?;
            }
        }
        let features = b.global_pool("avgpool", &y)?;
        b.linear("fc", &features, classes)
    }

    fn landmarks(&self) -> Landmarks {
        let stem = match self.stem {
            Stem::Plain(_) => "relu",
            Stem::ImageNet => "maxpool",
        };
        let last = self.block.last_relu();
        let end = |(stage, (_, blocks)): (usize, &(usize, usize))| {
            format!("layer{}.{}.{last}", stage + 1, blocks - 1)
        };
        let ends = self.stages.iter().enumerate().map(end);
        Landmarks::new(std::iter::once(stem.to_owned()).chain(ends), "avgpool")
    }
}

impl ResNet {
    fn stem(&self, b: &mut GraphBuilder, x: &str) -> Layer {
        let names = ["conv1", "bn1", "relu"];
        match self.stem {
            Stem::Plain(width) => conv_bn_relu(b, names, x, Conv::same(width, 3)),
            Stem::ImageNet => {
                let y = conv_bn_relu(b, names, x, Conv::same(64, 7).stride(2))?;
                let pool = Pool {
                    kernel: 3,
                    stride: 2,
                    pad: 1,
                };
                b.max_pool("maxpool", &y, pool)
            }
        }
    }
}

impl Block {
    fn last_relu(self) -> &'static str {
        match self {
            Block::Basic => "relu2",
            Block::Bottleneck => "relu3",
        }
    }

    fn layers(self, b: &mut GraphBuilder, name: &str, x: &str, width: usize, stride: usize) -> Layer {
        let convs: &[Conv] = match self {
            Block::Basic => &[Conv::same(width, 3).stride(stride), Conv::same(width, 3)],
            Block::Bottleneck => &[
                Conv::same(width, 1),
                Conv::same(width, 3).stride(stride),
                Conv::same(4 * width, 1),
            ],
        };
        let mut y = x.to_owned();
        for (i, &conv) in convs.iter().enumerate() {
            if i > 0 {
                y = b.relu(&format!("{name}.relu{i}"), &y)?;
            }
            let names = [format!("{name}.conv{}", i + 1), format!("{name}.bn{}", i + 1)];
            y = conv_bn(b, names.each_ref().map(String::as_str), &y, conv)?;
        }
        let shortcut = if b.dims(x) == b.dims(&y) {
            x.to_owned()
        } else {
            let names = [format!("{name}.downsample.0"), format!("{name}.downsample.1")];
            let conv = Conv::same(b.channels(&y), 1).stride(stride);
            conv_bn(b, names.each_ref().map(String::as_str), x, conv)?
        };
        let sum = b.add(&format!("{name}.add"), &y, &shortcut)?;
        b.relu(&format!("{name}.{}", self.last_relu()), &sum)
    }
}

const fn plain(stem: usize, stages: &'static [(usize, usize)]) -> ResNet {
    ResNet {
        stem: Stem::Plain(stem),
        block: Block::Basic,
        stages,
    }
}

const fn imagenet(block: Block, stages: &'static [(usize, usize)]) -> ResNet {
    ResNet {
        stem: Stem::ImageNet,
        block,
        stages,
    }
}

const fn entry(
    name: &'static str,
    input: [usize; 3],
    summary: &'static str,
    design: &'static ResNet,
) -> Architecture {
    Architecture {
        name,
        family: "resnet",
        summary,
        paper: "He et al. 2015, arXiv 1512.03385",
        input,
        design,
    }
}

const SMALL: [usize; 3] = [3, 32, 32];
const LARGE: [usize; 3] = [3, 224, 224];

/// The registry's entries.
pub(super) const ARCHITECTURES: &[Architecture] = &[
    entry(
        "resnet8",
        SMALL,
        "8 layers, 16 to 64 channels",
        &plain(16, &[(16, 1), (32, 1), (64, 1)]),
    ),
    entry(
        "resnet14",
        SMALL,
        "14 layers, 16 to 64 channels",
        &plain(16, &[(16, 2), (32, 2), (64, 2)]),
    ),
    entry(
        "resnet20",
        SMALL,
        "20 layers, 16 to 64 channels",
        &plain(16, &[(16, 3), (32, 3), (64, 3)]),
    ),
    entry(
        "resnet32",
        SMALL,
        "32 layers, 16 to 64 channels",
        &plain(16, &[(16, 5), (32, 5), (64, 5)]),
    ),
    entry(
        "resnet44",
        SMALL,
        "44 layers, 16 to 64 channels",
        &plain(16, &[(16, 7), (32, 7), (64, 7)]),
    ),
    entry(
        "resnet56",
        SMALL,
        "56 layers, 16 to 64 channels",
        &plain(16, &[(16, 9), (32, 9), (64, 9)]),
    ),
    entry(
        "resnet110",
        SMALL,
        "110 layers, 16 to 64 channels",
        &plain(16, &[(16, 18), (32, 18), (64, 18)]),
    ),
    entry(
        "resnet8x4",
        SMALL,
        "8 layers, 64 to 256 channels",
        &plain(32, &[(64, 1), (128, 1), (256, 1)]),
    ),
    entry(
        "resnet32x4",
        SMALL,
        "32 layers, 64 to 256 channels",
        &plain(32, &[(64, 5), (128, 5), (256, 5)]),
    ),
    entry(
        "resnet18",
        LARGE,
        "18 layers, basic blocks",
        &imagenet(Block::Basic, &[(64, 2), (128, 2), (256, 2), (512, 2)]),
    ),
    entry(
        "resnet34",
        LARGE,
        "34 layers, basic blocks",
        &imagenet(Block::Basic, &[(64, 3), (128, 4), (256, 6), (512, 3)]),
    ),
    entry(
        "resnet50",
        LARGE,
        "50 layers, bottleneck blocks",
        &imagenet(Block::Bottleneck, &[(64, 3), (128, 4), (256, 6), (512, 3)]),
    ),
];
