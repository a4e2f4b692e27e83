//! The network: three convolutions with BatchNorm, and a linear layer on the mean of their maps.

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::pool::{AdaptiveAvgPool2d, AdaptiveAvgPool2dConfig};
use burn::nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig, PaddingConfig2d, Relu};
use burn::tensor::{Device, Tensor};

/// A 3 × 3 convolution, normalised and rectified.
#[derive(Module, Debug)]
struct Stage {
    conv: Conv2d,
    norm: BatchNorm,
    relu: Relu,
}

impl Stage {
    fn new(channels: [usize; 2], stride: usize, device: &Device) -> Self {
        Self {
            conv: Conv2dConfig::new(channels, [3, 3])
                .with_stride([stride, stride])
                .with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1))
                .with_bias(false)
                .init(device),
            norm: BatchNormConfig::new(channels[1]).init(device),
            relu: Relu::new(),
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.relu.forward(self.norm.forward(self.conv.forward(x)))
    }
}

/// A classifier of small pictures.
#[derive(Module, Debug)]
pub struct Net {
    stem: Stage,
    middle: Stage,
    top: Stage,
    pool: AdaptiveAvgPool2d,
    classifier: Linear,
}

impl Net {
    /// A network with fresh weights for so many classes.
    pub fn new(classes: usize, device: &Device) -> Self {
        Self {
            stem: Stage::new([3, 16], 1, device),
            middle: Stage::new([16, 32], 2, device),
            top: Stage::new([32, 64], 2, device),
            pool: AdaptiveAvgPool2dConfig::new([1, 1]).init(),
            classifier: LinearConfig::new(64, classes).init(device),
        }
    }

    /// Logits `[batch, classes]` of pictures `[batch, 3, height, width]`.
    pub fn forward(&self, pictures: Tensor<4>) -> Tensor<2> {
        let x = self.stem.forward(pictures);
        let x = self.top.forward(self.middle.forward(x));
        let features = self.pool.forward(x);
        let [batch, channels, _, _] = features.dims();
        self.classifier.forward(features.reshape([batch, channels]))
    }
}
