//! Wide Residual Networks, S. Zagoruyko, N. Komodakis, 2016 (arXiv 1605.07146).
//!
//! `wrn-d-k` is d = 6 n + 4 layers deep: three stages of n pre-activation blocks (BatchNorm, ReLU,
//! 3 × 3, twice) with 16 k, 32 k and 64 k channels. Where the width changes, the shortcut is a 1 ×
//! 1 convolution of the first ReLU's output. Without dropout, as Tian et al. 2019 (arXiv
//! 1910.10699, RepDistiller) use them; tensors are named as there.

use super::layers::Layer;
use super::{Architecture, Design, Landmarks};
use crate::builder::{Conv, GraphBuilder};

/// Channels before the first stage.
const STEM: usize = 16;

#[derive(Clone, Copy, Debug)]
struct WideResNet {
    depth: usize,
    widening: usize,
}

impl WideResNet {
    fn blocks(&self) -> usize {
        (self.depth - 4) / 6
    }
}

impl Design for WideResNet {
    fn layers(&self, b: &mut GraphBuilder, x: &str, classes: usize) -> Layer {
        let mut y = b.conv("conv1", x, Conv::same(STEM, 3))?;
        for stage in 0..3 {
            let width = (STEM * self.widening) << stage;
            for block in 0..self.blocks() {
                let stride = if stage > 0 && block == 0 { 2 } else { 1 };
                let name = format!("block{}.layer.{block}", stage + 1);
                y = pre_activation_block(b, &name, &y, width, stride)?;
            }
        }
        let y = b.batch_norm("bn1", &y)?;
        let y = b.relu("relu", &y)?;
        let features = b.global_pool("avgpool", &y)?;
        b.linear("fc", &features, classes)
    }

    fn landmarks(&self) -> Landmarks {
        let last = self.blocks() - 1;
        let ends = (1..=3).map(|stage| format!("block{stage}.layer.{last}.add"));
        Landmarks::new(std::iter::once("conv1".to_owned()).chain(ends), "avgpool")
    }
}

fn pre_activation_block(b: &mut GraphBuilder, name: &str, x: &str, width: usize, stride: usize) -> Layer {
    let y = b.batch_norm(&format!("{name}.bn1"), x)?;
    let active = b.relu(&format!("{name}.relu1"), &y)?;
    let y = b.conv(
        &format!("{name}.conv1"),
        &active,
        Conv::same(width, 3).stride(stride),
    )?;
    let y = b.batch_norm(&format!("{name}.bn2"), &y)?;
    let y = b.relu(&format!("{name}.relu2"), &y)?;
    let y = b.conv(&format!("{name}.conv2"), &y, Conv::same(width, 3))?;
    let shortcut = if b.channels(x) == width {
        x.to_owned()
    } else {
        b.conv(
            &format!("{name}.convShortcut"),
            &active,
            Conv::same(width, 1).stride(stride),
        )?
    };
    b.add(&format!("{name}.add"), &shortcut, &y)
}

const fn entry(name: &'static str, summary: &'static str, design: &'static WideResNet) -> Architecture {
    Architecture {
        name,
        family: "wide-resnet",
        summary,
        paper: "Zagoruyko and Komodakis 2016, arXiv 1605.07146",
        input: [3, 32, 32],
        design,
    }
}

/// The registry's entries.
pub(super) const ARCHITECTURES: &[Architecture] = &[
    entry(
        "wrn-16-1",
        "16 layers, 16 to 64 channels",
        &WideResNet {
            depth: 16,
            widening: 1,
        },
    ),
    entry(
        "wrn-16-2",
        "16 layers, 32 to 128 channels",
        &WideResNet {
            depth: 16,
            widening: 2,
        },
    ),
    entry(
        "wrn-40-1",
        "40 layers, 16 to 64 channels",
        &WideResNet {
            depth: 40,
            widening: 1,
        },
    ),
    entry(
        "wrn-40-2",
        "40 layers, 32 to 128 channels",
        &WideResNet {
            depth: 40,
            widening: 2,
        },
    ),
];
