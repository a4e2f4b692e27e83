//! Very Deep Convolutional Networks for Large-Scale Image Recognition, K. Simonyan, A. Zisserman,
//! 2014 (arXiv 1409.1556).
//!
//! Five stages of 3 × 3 convolutions, configurations B (`vgg13`) and D (`vgg16`) of table 1, and
//! one convolution per stage (`vgg8`).
//!
//! Departures from the paper, as in Tian et al. 2019 (arXiv 1910.10699, RepDistiller), whose tensor
//! names these are: BatchNorm behind each convolution (which keeps its bias), global average
//! pooling and one linear layer in place of three, weights of that layer from a normal distribution
//! of deviation 0.01. Of the five max pools the fourth stands only where the picture is 64 high or
//! more (there: exactly 64), the fifth never.

use super::layers::{Layer, conv_bn, narrow_linear};
use super::{Architecture, Design, Landmarks};
use crate::builder::{Conv, GraphBuilder, Pool};

/// Channels of the five stages.
const WIDTHS: [usize; 5] = [64, 128, 256, 512, 512];
/// Height from which the picture is halved before the last stage too.
const TALL: usize = 64;

#[derive(Clone, Copy, Debug)]
struct Vgg {
    /// Convolutions of each stage.
    convs: [usize; 5],
}

impl Design for Vgg {
    fn layers(&self, b: &mut GraphBuilder, x: &str, classes: usize) -> Layer {
        let height = b.dims(x).get(2).copied().unwrap_or(0);
        let mut y = x.to_owned();
        for (stage, (width, convs)) in WIDTHS.into_iter().zip(self.convs).enumerate() {
            if (1..=3).contains(&stage) || (stage == 4 && height >= TALL) {
                let pool = Pool {
                    kernel: 2,
                    stride: 2,
                    pad: 0,
                };
                y = b.max_pool(&format!("pool{}", stage - 1), &y, pool)?;
            }
            for conv in 0..convs {
                // The index counts modules as `Sequential` does: convolution, BatchNorm, ReLU.
                let name = |module: usize| format!("block{stage}.{}", 3 * conv + module);
                let conv_shape = Conv::same(width, 3).with_bias();
                y = conv_bn(b, [&name(0), &name(1)], &y, conv_shape)?;
                let relu = if conv + 1 == convs {
                    format!("block{stage}.relu")
                } else {
                    name(2)
                };
                y = b.relu(&relu, &y)?;
            }
        }
        let features = b.global_pool("avgpool", &y)?;
        narrow_linear(b, "classifier", &features, classes)
    }

    fn landmarks(&self) -> Landmarks {
        Landmarks::new((0..5).map(|stage| format!("block{stage}.relu")), "avgpool")
    }
}

const fn entry(name: &'static str, summary: &'static str, design: &'static Vgg) -> Architecture {
    Architecture {
        name,
        family: "vgg",
        summary,
        paper: "Simonyan and Zisserman 2014, arXiv 1409.1556",
        input: [3, 32, 32],
        design,
    }
}

/// The registry's entries.
pub(super) const ARCHITECTURES: &[Architecture] = &[
    entry(
        "vgg8",
        "one convolution per stage, BatchNorm",
        &Vgg {
            convs: [1, 1, 1, 1, 1],
        },
    ),
    entry(
        "vgg13",
        "configuration B, BatchNorm",
        &Vgg {
            convs: [2, 2, 2, 2, 2],
        },
    ),
    entry(
        "vgg16",
        "configuration D, BatchNorm",
        &Vgg {
            convs: [2, 2, 3, 3, 3],
        },
    ),
];
