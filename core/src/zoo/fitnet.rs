//! FitNets: Hints for Thin Deep Nets, A. Romero et al., 2014 (arXiv 1412.6550).
//!
//! The thin and deep students for CIFAR of the paper's appendix: three stages of 3 × 3 maxout
//! convolutions with two pieces each, behind the first two a 2 × 2 max pool, behind the third one
//! over the whole map (8 × 8 at 32 × 32), then a maxout layer of 500 units and the classifier.
//!
//! Departures. BatchNorm stands between each convolution and its maxout, and takes the place of the
//! bias: the paper's plain networks train only with its staged hints or with RMSProp and tuned
//! rates per layer, while here any method should train them with SGD. The linear maxout has two
//! pieces, with which the counts of parameters agree with the paper's table (250 K, 862 K, 2.5 M;
//! of `fitnet-3` the table says 1.6 M, its layers make 1.5 M); the authors' published configuration
//! has five. Neither dropout nor bounds on the norm of kernels.

use super::layers::{Layer, halves};
use super::{Architecture, Design, Landmarks};
use crate::builder::{Conv, GraphBuilder, Pool};

/// Units of the maxout layer before the classifier.
const UNITS: usize = 500;

#[derive(Clone, Copy, Debug)]
struct FitNet {
    /// Channels behind each convolution's maxout, by stage.
    stages: [&'static [usize]; 3],
}

impl Design for FitNet {
    fn layers(&self, b: &mut GraphBuilder, x: &str, classes: usize) -> Layer {
        let mut y = x.to_owned();
        for (stage, widths) in self.stages.iter().enumerate() {
            for (layer, &width) in widths.iter().enumerate() {
                let name = format!("block{}.{layer}", stage + 1);
                y = b.conv(&format!("{name}.conv"), &y, Conv::same(2 * width, 3))?;
                y = b.batch_norm(&format!("{name}.bn"), &y)?;
                y = larger_half(b, &name, &y)?;
            }
            let name = format!("block{}.pool", stage + 1);
            y = if stage < 2 {
                let pool = Pool {
                    kernel: 2,
                    stride: 2,
                    pad: 0,
                };
                b.max_pool(&name, &y, pool)?
            } else {
                b.node(&name, "GlobalMaxPool", &[&y], [])?
            };
        }
        let y = b.node("flatten", "Flatten", &[&y], [("axis", 1.into())])?;
        let y = b.linear("fc1", &y, 2 * UNITS)?;
        let features = larger_half(b, "fc1", &y)?;
        b.linear("fc2", &features, classes)
    }

    fn landmarks(&self) -> Landmarks {
        let end =
            |(stage, widths): (usize, &&[usize])| format!("block{}.{}.maxout", stage + 1, widths.len() - 1);
        Landmarks {
            split: "block2.pool".to_owned(),
            ..Landmarks::new(self.stages.iter().enumerate().map(end), "fc1.maxout")
        }
    }
}

/// Maxout of two pieces (Goodfellow et al. 2013, arXiv 1302.4389): the elementwise maximum of the
/// two halves of the channels.
fn larger_half(b: &mut GraphBuilder, name: &str, x: &str) -> Layer {
    let [first, second] = halves(b, &format!("{name}.pieces"), x)?;
    b.node(&format!("{name}.maxout"), "Max", &[&first, &second], [])
}

const fn entry(name: &'static str, summary: &'static str, design: &'static FitNet) -> Architecture {
    Architecture {
        name,
        family: "fitnet",
        summary,
        paper: "Romero et al. 2014, arXiv 1412.6550",
        input: [3, 32, 32],
        design,
    }
}

/// The registry's entries.
pub(super) const ARCHITECTURES: &[Architecture] = &[
    entry(
        "fitnet-1",
        "11 layers, maxout, 16 to 64 channels",
        &FitNet {
            stages: [&[16, 16, 16], &[32, 32, 32], &[48, 48, 64]],
        },
    ),
    entry(
        "fitnet-2",
        "11 layers, maxout, 16 to 128 channels",
        &FitNet {
            stages: [&[16, 32, 32], &[48, 64, 80], &[96, 96, 128]],
        },
    ),
    entry(
        "fitnet-3",
        "13 layers, maxout, 32 to 128 channels",
        &FitNet {
            stages: [&[32, 48, 64, 64], &[80, 80, 80, 80], &[128, 128, 128]],
        },
    ),
    entry(
        "fitnet-4",
        "19 layers, maxout, 32 to 128 channels",
        &FitNet {
            stages: [&[32, 32, 32, 48, 48], &[80; 6], &[128; 6]],
        },
    ),
];
