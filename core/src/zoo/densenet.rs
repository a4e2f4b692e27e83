//! Densely Connected Convolutional Networks, G. Huang, Z. Liu, L. van der Maaten, K. Weinberger,
//! 2016 (arXiv 1608.06993).
//!
//! The plain network for 32 × 32 pictures of section 4.2: 16 channels, three dense blocks whose
//! layers (BatchNorm, ReLU, 3 × 3 convolution) add k channels each to all that came before,
//! transitions (BatchNorm, ReLU, 1 × 1 convolution, 2 × 2 average pool) that keep the width. No
//! bottleneck, no compression, no dropout.

use super::layers::Layer;
use super::{Architecture, Design, Landmarks};
use crate::builder::{Conv, GraphBuilder, Pool};

/// Channels before the first block.
const STEM: usize = 16;
/// Dense blocks.
const BLOCKS: usize = 3;

#[derive(Clone, Copy, Debug)]
struct DenseNet {
    depth: usize,
    /// Channels that each layer adds: the paper's k.
    growth: usize,
}

impl DenseNet {
    /// Layers of each block; stem, transitions and classifier count one each.
    fn layers_per_block(&self) -> usize {
        (self.depth - 1 - BLOCKS) / BLOCKS
    }
}

impl Design for DenseNet {
    fn layers(&self, b: &mut GraphBuilder, x: &str, classes: usize) -> Layer {
        let mut y = b.conv("conv1", x, Conv::same(STEM, 3))?;
        for block in 1..=BLOCKS {
            for layer in 0..self.layers_per_block() {
                let name = format!("block{block}.layer.{layer}");
                let new = bn_relu_conv(b, &name, &y, Conv::same(self.growth, 3))?;
                y = b.concat(&format!("{name}.concat"), &[&y, &new])?;
            }
            if block < BLOCKS {
                let name = format!("trans{block}");
                let width = b.channels(&y);
                y = bn_relu_conv(b, &name, &y, Conv::same(width, 1))?;
                let pool = Pool {
                    kernel: 2,
                    stride: 2,
                    pad: 0,
                };
                y = b.average_pool(&format!("{name}.pool"), &y, pool)?;
            }
        }
        let y = b.batch_norm("bn1", &y)?;
        let y = b.relu("relu", &y)?;
        let features = b.global_pool("avgpool", &y)?;
        b.linear("fc", &features, classes)
    }

    fn landmarks(&self) -> Landmarks {
        let last = self.layers_per_block() - 1;
        let ends = (1..=BLOCKS).map(|block| format!("block{block}.layer.{last}.concat"));
        Landmarks {
            split: format!("trans{}.pool", BLOCKS - 1),
            ..Landmarks::new(std::iter::once("conv1".to_owned()).chain(ends), "avgpool")
        }
    }
}

fn bn_relu_conv(b: &mut GraphBuilder, name: &str, x: &str, conv: Conv) -> Layer {
    let y = b.batch_norm(&format!("{name}.bn1"), x)?;
    let y = b.relu(&format!("{name}.relu"), &y)?;
    b.conv(&format!("{name}.conv1"), &y, conv)
}

/// The registry's entries.
pub(super) const ARCHITECTURES: &[Architecture] = &[Architecture {
    name: "densenet-40-12",
    family: "densenet",
    summary: "40 layers, growth 12, no bottleneck",
    paper: "Huang et al. 2016, arXiv 1608.06993",
    input: [3, 32, 32],
    design: &DenseNet {
        depth: 40,
        growth: 12,
    },
}];
