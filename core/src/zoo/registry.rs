//! The list of architectures, and how one is built by its name.
//!
//! The record is data: listing, completion, documentation and tests read it.

use std::sync::LazyLock;

use super::FAMILIES;
use crate::builder::GraphBuilder;
use crate::graph::{Graph, GraphError};
use crate::names::{did_you_mean, nearest};

/// Most classes that a network is built for.
const MAX_CLASSES: usize = 100_000;
/// Most channels that a picture may have.
const MAX_CHANNELS: usize = 1024;
/// Largest height and width of a picture.
const MAX_EXTENT: usize = 16_384;

/// A network that can be built by its name.
#[derive(Clone, Copy, Debug)]
pub struct Architecture {
    /// What the user types.
    pub name: &'static str,
    /// The family: its file.
    pub family: &'static str,
    /// Half a line on what distinguishes it within the family.
    pub summary: &'static str,
    /// Authors, year, arXiv number.
    pub paper: &'static str,
    /// The input that it was designed for: channels, height, width.
    pub input: [usize; 3],
    /// Its layers.
    pub design: &'static dyn Design,
}

impl Architecture {
    /// The classes of the data set that it was designed for: CIFAR-100's, or ImageNet's for large
    /// pictures.
    pub fn usual_classes(&self) -> usize {
        if self.input[1] > 64 { 1000 } else { 100 }
    }
}

/// What a family implements.
pub trait Design: std::fmt::Debug + Sync {
    /// Adds all layers from the picture `x` `[batch, channels, height, width]` to the logits
    /// `[batch, classes]`, and gives back their name.
    ///
    /// # Errors
    /// A picture too small for the network.
    fn layers(&self, builder: &mut GraphBuilder, x: &str, classes: usize) -> Result<String, GraphError>;

    /// The values of the network that methods look for.
    fn landmarks(&self) -> Landmarks;
}

/// Values of a network that methods look for, by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Landmarks {
    /// What each stage gives to the next, the stem's output first where it is one: the candidates
    /// for hints. `[batch, channels, height, width]` each.
    pub stages: Vec<String>,
    /// The value from which the last stage starts: where branches part by default. All that follows
    /// reads nothing before it.
    pub split: String,
    /// The pooled features that the classifier reads, `[batch, features]`.
    pub features: String,
}

impl Landmarks {
    /// Landmarks of a network whose last stage starts where the one before ends.
    pub(super) fn new(stages: impl IntoIterator<Item = String>, features: &str) -> Self {
        let stages: Vec<String> = stages.into_iter().collect();
        let split = stages.iter().rev().nth(1).cloned().unwrap_or_default();
        Self {
            stages,
            split,
            features: features.to_owned(),
        }
    }
}

/// A network that cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum ZooError {
    /// A name that no architecture has.
    #[error("no network `{name}`{}; known: {}", did_you_mean(near), known.join(", "))]
    Unknown {
        /// What was asked for.
        name: String,
        /// Names that resemble it.
        near: Vec<String>,
        /// All names.
        known: Vec<&'static str>,
    },
    /// No classes, or too many.
    #[error("{got} classes, expected 1 to {MAX_CLASSES}")]
    Classes {
        /// What was asked for.
        got: usize,
    },
    /// An input that is no picture.
    #[error("an input of {got:?}, expected 1 to {MAX_CHANNELS} channels and 1 to {MAX_EXTENT} pixels a side")]
    NoPicture {
        /// Channels, height, width.
        got: [usize; 3],
    },
    /// A picture too small for the network.
    #[error("network `{name}` cannot take an input of {input:?}")]
    Input {
        /// The network.
        name: &'static str,
        /// Channels, height, width.
        input: [usize; 3],
        /// The layer that refuses it.
        #[source]
        source: GraphError,
    },
}

/// All architectures, family by family.
pub fn architectures() -> &'static [Architecture] {
    static ALL: LazyLock<Vec<Architecture>> = LazyLock::new(|| FAMILIES.concat());
    &ALL
}

/// The architecture of a name.
///
/// # Errors
/// [`ZooError::Unknown`] with the nearest names.
pub fn find(name: &str) -> Result<&'static Architecture, ZooError> {
    architectures()
        .iter()
        .find(|architecture| architecture.name == name)
        .ok_or_else(|| {
            let known: Vec<&str> = architectures()
                .iter()
                .map(|architecture| architecture.name)
                .collect();
            ZooError::Unknown {
                name: name.to_owned(),
                near: nearest(name, known.iter().copied(), 3),
                known,
            }
        })
}

/// Builds a network for pictures `input` = [channels, height, width], its weights drawn from
/// `seed`.
///
/// The graph has the input `input` `[batch, channels, height, width]` and the output `logits`
/// `[batch, classes]`.
///
/// ```
/// use potstill_core::zoo;
///
/// let graph = zoo::build("resnet8", 10, [3, 32, 32], 0)?;
/// assert_eq!(graph.inputs[0].shape_text(), "[batch, 3, 32, 32]");
/// assert_eq!(graph.outputs[0].name, "logits");
/// # Ok::<(), potstill_core::zoo::ZooError>(())
/// ```
///
/// # Errors
/// An unknown name, no classes, or an input that the network cannot take.
pub fn build(name: &str, classes: usize, input: [usize; 3], seed: u64) -> Result<Graph, ZooError> {
    let architecture = find(name)?;
    if !(1..=MAX_CLASSES).contains(&classes) {
        return Err(ZooError::Classes { got: classes });
    }
    let [channels, height, width] = input;
    let extents = 1..=MAX_EXTENT;
    if !(1..=MAX_CHANNELS).contains(&channels) || !extents.contains(&height) || !extents.contains(&width) {
        return Err(ZooError::NoPicture { got: input });
    }
    let mut builder = GraphBuilder::new(name, seed);
    let x = builder.input("input", &input);
    let refuse = |source| ZooError::Input {
        name: architecture.name,
        input,
        source,
    };
    let logits = architecture
        .design
        .layers(&mut builder, &x, classes)
        .map_err(refuse)?;
    builder.output("logits", &logits).map_err(refuse)?;
    builder.finish().map_err(refuse)
}

/// The values of a network that methods look for; they are the same for every input and number of
/// classes.
///
/// # Errors
/// [`ZooError::Unknown`] with the nearest names.
pub fn landmarks(name: &str) -> Result<Landmarks, ZooError> {
    Ok(find(name)?.design.landmarks())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use burn::tensor::{Device, Gradients, Tensor, TensorData};

    use super::*;
    use crate::graph::{infer, summarise};
    use crate::network::{Network, Parameter};
    use crate::op::Mode;
    use crate::value::Value;

    fn graph(architecture: &Architecture, classes: usize) -> Graph {
        build(architecture.name, classes, architecture.input, 1).unwrap()
    }

    fn small() -> impl Iterator<Item = &'static Architecture> {
        architectures()
            .iter()
            .filter(|architecture| architecture.input == [3, 32, 32])
    }

    /// Pictures that differ from one another and from pixel to pixel.
    fn pictures(batch: usize, input: [usize; 3], device: &Device) -> Value {
        let count = batch * input.iter().product::<usize>();
        let values: Vec<f32> = (0..count).map(|i| ((i * 7919) as f32 * 0.37).sin()).collect();
        let data = TensorData::new(values, [batch, input[0], input[1], input[2]]);
        Value::from_data(data, device)
    }

    fn floats(value: &Value) -> Vec<f32> {
        value.to_floats().unwrap()
    }

    /// (name, classes, parameters).
    ///
    /// On 100 classes: the networks of RepDistiller (Tian et al. 2019), sum(p.numel() for p in
    /// model.parameters()). On 1000: the same for torchvision.models.resnet18() and so on, and for
    /// timm.create_model("mobilenetv1_100"). densenet-40-12 on 10: the 1.0 M of the paper's table 2
    /// as its reimplementations count them.
    const PUBLISHED: &[(&str, usize, usize)] = &[
        ("resnet8", 100, 83_892),
        ("resnet14", 100, 181_108),
        ("resnet20", 100, 278_324),
        ("resnet32", 100, 472_756),
        ("resnet44", 100, 667_188),
        ("resnet56", 100, 861_620),
        ("resnet110", 100, 1_736_564),
        ("resnet8x4", 100, 1_233_540),
        ("resnet32x4", 100, 7_433_860),
        ("wrn-16-1", 100, 180_916),
        ("wrn-16-2", 100, 703_284),
        ("wrn-40-1", 100, 569_780),
        ("wrn-40-2", 100, 2_255_156),
        ("vgg8", 100, 3_965_028),
        ("vgg13", 100, 9_462_180),
        ("vgg16", 100, 14_774_436),
        ("mobilenetv2", 100, 812_836),
        ("shufflenetv1", 100, 949_258),
        ("shufflenetv2", 100, 1_355_528),
        ("densenet-40-12", 10, 1_019_722),
        ("resnet18", 1000, 11_689_512),
        ("resnet34", 1000, 21_797_672),
        ("resnet50", 1000, 25_557_032),
        ("mobilenetv1", 1000, 4_231_976),
    ];

    #[test]
    fn parameter_counts_are_the_published_ones() {
        for &(name, classes, parameters) in PUBLISHED {
            let graph = build(name, classes, find(name).unwrap().input, 1).unwrap();
            assert_eq!(graph.parameters(), parameters, "{name}");
        }
    }

    #[test]
    fn fitnets_are_as_large_as_the_paper_rounds_them() {
        // Romero et al. 2014, table 3, on 10 classes; the head of the family's file explains the
        // one that is off.
        for (name, parameters, tolerance) in [
            ("fitnet-1", 250e3, 0.02),
            ("fitnet-2", 862e3, 0.02),
            ("fitnet-3", 1.6e6, 0.07),
            ("fitnet-4", 2.5e6, 0.03),
        ] {
            let built = graph(find(name).unwrap(), 10).parameters() as f64;
            assert!((built / parameters - 1.0).abs() < tolerance, "{name}: {built}");
        }
    }

    #[test]
    fn multiply_adds_are_the_published_ones() {
        // He et al. 2015, table 1 (resnet50 with the later stride: torchvision's 4.09 G), and the
        // usual counts of its CIFAR networks; Howard et al. 2017, table 8; Romero et al. 2014,
        // table 3.
        for (name, classes, multiply_adds) in [
            ("resnet20", 100, 41e6),
            ("resnet56", 100, 126e6),
            ("resnet18", 1000, 1.82e9),
            ("resnet34", 1000, 3.67e9),
            ("resnet50", 1000, 4.1e9),
            ("mobilenetv1", 1000, 569e6),
            ("fitnet-1", 10, 30e6),
            ("fitnet-2", 10, 108e6),
            ("fitnet-4", 10, 382e6),
        ] {
            let summary = summarise(&graph(find(name).unwrap(), classes)).unwrap();
            let counted = summary.multiply_adds as f64;
            assert!((counted / multiply_adds - 1.0).abs() < 0.03, "{name}: {counted}");
        }
    }

    /// 1234567 as "1,234,567".
    fn grouped(count: usize) -> String {
        let digits = count.to_string();
        let groups: Vec<&str> = digits
            .as_bytes()
            .rchunks(3)
            .rev()
            .map(|group| std::str::from_utf8(group).unwrap())
            .collect();
        groups.join(",")
    }

    #[test]
    fn the_table_in_the_documentation_is_what_the_code_counts() {
        let mut rows = String::new();
        for architecture in architectures() {
            let classes = if architecture.input == [3, 32, 32] {
                100
            } else {
                1000
            };
            let summary = summarise(&graph(architecture, classes)).unwrap();
            let Architecture {
                name,
                summary: text,
                paper,
                ..
            } = architecture;
            let input = architecture.input.map(|extent| extent.to_string()).join(" × ");
            let parameters = grouped(summary.parameters);
            let millions = summary.multiply_adds as f64 / 1e6;
            rows += &format!("| `{name}` | {text} | {input} | {parameters} | {millions:.1} M | {paper} |\n");
        }
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/networks.md");
        let page = std::fs::read_to_string(path).unwrap();
        assert!(page.contains(&rows), "docs/networks.md lacks these rows:\n{rows}");
    }

    #[test]
    fn names_are_unique_and_each_gives_its_record() {
        let names: HashSet<&str> = architectures()
            .iter()
            .map(|architecture| architecture.name)
            .collect();
        assert_eq!(names.len(), architectures().len());
        for name in names {
            assert_eq!(find(name).unwrap().name, name);
        }
    }

    #[test]
    fn every_network_gives_one_row_of_logits_per_picture() {
        for architecture in architectures() {
            let graph = graph(architecture, 7);
            assert_eq!(
                infer(&graph, 2).unwrap()["logits"].dims,
                [2, 7],
                "{}",
                architecture.name
            );
            assert_eq!(graph.outputs.len(), 1);
            assert_eq!(graph.inputs[0].name, "input");
        }
    }

    #[test]
    fn small_networks_take_other_pictures() {
        for architecture in small() {
            for input in [[1, 28, 28], [3, 64, 64], [3, 40, 24]] {
                let graph = build(architecture.name, 10, input, 1).unwrap();
                assert_eq!(
                    infer(&graph, 2).unwrap()["logits"].dims,
                    [2, 10],
                    "{}",
                    architecture.name
                );
            }
        }
    }

    #[test]
    fn landmarks_are_values_of_the_network() {
        for architecture in architectures() {
            let graph = graph(architecture, 10);
            let facts = infer(&graph, 2).unwrap();
            let landmarks = landmarks(architecture.name).unwrap();
            let known: HashSet<&str> = graph.value_names().collect();
            for value in landmarks
                .stages
                .iter()
                .chain([&landmarks.split, &landmarks.features])
            {
                assert!(known.contains(value.as_str()), "{}: {value}", architecture.name);
            }
            for stage in &landmarks.stages {
                assert_eq!(facts[stage].rank(), 4, "{}: {stage}", architecture.name);
            }
            assert_eq!(facts[&landmarks.features].rank(), 2, "{}", architecture.name);
        }
    }

    #[test]
    fn all_that_follows_the_split_reads_nothing_before_it() {
        for architecture in architectures() {
            let graph = graph(architecture, 10);
            let split = landmarks(architecture.name).unwrap().split;
            let after = &graph.nodes[graph.producer(&split).unwrap() + 1..];
            let mut allowed: HashSet<&str> = graph.tensors.keys().map(String::as_str).collect();
            allowed.insert(&split);
            for node in after {
                for input in &node.inputs {
                    assert!(
                        allowed.contains(input.as_str()),
                        "{}: `{}` reads `{input}`",
                        architecture.name,
                        node.name
                    );
                }
                allowed.extend(node.outputs.iter().map(String::as_str));
            }
        }
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_nearest() {
        let error = build("resnet21", 10, [3, 32, 32], 1).unwrap_err();
        assert!(matches!(&error, ZooError::Unknown { near, .. } if near.contains(&"resnet20".to_owned())));
        assert!(
            error
                .to_string()
                .starts_with("no network `resnet21`; did you mean")
        );
        assert!(matches!(landmarks("x"), Err(ZooError::Unknown { .. })));
    }

    #[test]
    fn inputs_that_a_network_cannot_take_are_refused() {
        let refused = |name, classes, input| build(name, classes, input, 1).unwrap_err();
        assert!(matches!(
            refused("vgg8", 10, [3, 4, 4]),
            ZooError::Input {
                name: "vgg8",
                input: [3, 4, 4],
                ..
            }
        ));
        assert!(matches!(
            refused("resnet8", 0, [3, 32, 32]),
            ZooError::Classes { got: 0 }
        ));
        for input in [[0, 32, 32], [3, 0, 32], [3, 32, usize::MAX], [usize::MAX, 32, 32]] {
            assert!(matches!(
                refused("resnet8", 10, input),
                ZooError::NoPicture { .. }
            ));
        }
    }

    #[test]
    fn every_network_builds_or_refuses_whatever_the_size() {
        for architecture in small() {
            for extent in 1..12 {
                match build(architecture.name, 10, [3, extent, 12 - extent], 1) {
                    Ok(graph) => assert_eq!(infer(&graph, 2).unwrap()["logits"].dims, [2, 10]),
                    Err(error) => assert!(matches!(error, ZooError::Input { .. }), "{error}"),
                }
            }
        }
    }

    #[test]
    fn weights_depend_on_the_seed_alone() {
        let weight = |seed| {
            let graph = build("resnet8", 10, [3, 32, 32], seed).unwrap();
            let weight: Vec<f32> = graph.tensors["conv1.weight"].data.iter().collect();
            weight
        };
        assert_eq!(weight(1), weight(1));
        assert_ne!(weight(1), weight(2));
    }

    #[test]
    fn small_networks_give_finite_logits_in_both_modes() {
        let device = Device::flex();
        for architecture in small() {
            let network = Network::new(graph(architecture, 10), &device).unwrap();
            for mode in [Mode::Inference, Mode::Training] {
                let x = pictures(2, architecture.input, &device);
                let outputs = network.forward(x, &[], mode).unwrap();
                let logits = outputs.get("logits").unwrap();
                assert_eq!(logits.dims(), [2, 10]);
                assert!(
                    floats(logits).iter().all(|logit| logit.is_finite()),
                    "{} in {mode:?}",
                    architecture.name
                );
            }
        }
    }

    /// The gradient of a parameter, flat.
    fn gradient(parameter: &Parameter, gradients: &Gradients) -> Option<Vec<f32>> {
        fn flat<const D: usize>(gradient: Tensor<D>) -> Vec<f32> {
            floats(&Value::from(gradient))
        }
        match parameter {
            Parameter::Rank1(param) => param.val().grad(gradients).map(flat),
            Parameter::Rank2(param) => param.val().grad(gradients).map(flat),
            Parameter::Rank3(param) => param.val().grad(gradients).map(flat),
            Parameter::Rank4(param) => param.val().grad(gradients).map(flat),
            Parameter::Rank5(param) => param.val().grad(gradients).map(flat),
            Parameter::Rank6(param) => param.val().grad(gradients).map(flat),
        }
    }

    #[test]
    fn all_parameters_get_a_gradient() {
        let device = Device::flex().autodiff();
        for name in [
            "resnet8",
            "wrn-16-1",
            "vgg8",
            "densenet-40-12",
            "mobilenetv2",
            "shufflenetv1",
            "shufflenetv2",
            "fitnet-1",
        ] {
            let network = Network::new(graph(find(name).unwrap(), 10), &device).unwrap();
            let x = pictures(2, [3, 32, 32], &device);
            let outputs = network.forward(x, &[], Mode::Training).unwrap();
            let logits: Tensor<2> = outputs.float("logits").unwrap();
            let gradients = (logits.clone() * logits).sum().backward();
            for tensor in network.tensors() {
                let Some(parameter) = network.weight(&tensor.name) else {
                    continue;
                };
                let gradient = gradient(parameter, &gradients);
                let gradient = gradient.unwrap_or_else(|| panic!("{name}: {} has none", tensor.name));
                assert!(gradient.iter().all(|g| g.is_finite()), "{name}: {}", tensor.name);
                // A shift that the next BatchNorm takes away again has a gradient of 0; kernels and
                // matrices have not.
                let moves = gradient.iter().any(|g| *g != 0.0);
                assert!(moves || tensor.value.rank() == 1, "{name}: {}", tensor.name);
            }
        }
    }
}
