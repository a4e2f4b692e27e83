//! A step of each method on a small cohort: its gradients against finite differences of its loss.
//!
//! Targets let the gradient through and forks do not rescale it here, as otherwise the gradient is
//! on purpose not that of the loss; those forms are held against the records of reference
//! implementations, in each method's file.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test that unwraps says where it failed"
)]

use burn::tensor::{Device, Int, Tensor, TensorData};
use potstill_core::builder::{Conv, GraphBuilder};
use potstill_core::data::Batch;
use potstill_core::graph::{Graph, GraphError, Init, Role};
use potstill_core::network::Network;
use potstill_core::plugin::{Method, Plugin, PluginSpec, Students, Time, cohort_of, prepare};
use potstill_core::precision::Precision;
use potstill_core::train::distillation::{Distillation, TimedBatch};
use potstill_core::train::{Frozen, OptimizerConfig, TrainConfig};
use potstill_plugins as _;

const CLASSES: usize = 4;
const PICTURES: [usize; 4] = [6, 2, 6, 6];
/// How far the weights move to either side, as a Euclidean length.
const DISTANCE: f32 = 2e-2;

/// Smooth everywhere: a kink between two evaluations would not be the gradient's fault.
fn graph(width: usize, seed: u64) -> Result<Graph, GraphError> {
    let mut b = GraphBuilder::new("smooth", seed);
    let mut x = b.input("pictures", &PICTURES[1..]);
    for layer in ["low", "high"] {
        x = b.conv(&format!("{layer}.conv"), &x, Conv::same(width, 3))?;
        x = b.batch_norm(&format!("{layer}.bn"), &x)?;
        x = b.node(layer, "Sigmoid", &[&x], [])?;
    }
    x = b.global_pool("pool", &x)?;
    x = b.linear("fc", &x, CLASSES)?;
    b.output("logits", &x)?;
    b.finish()
}

/// One batch of pictures and labels, halfway through ten epochs.
fn item(stage: Option<usize>) -> TimedBatch {
    let pictures: TensorData = Init::Normal(1.0).draw("pictures", &PICTURES, 0);
    let labels: Vec<i64> = (0..PICTURES[0]).map(|index| (index % CLASSES) as i64).collect();
    TimedBatch {
        batch: Batch {
            images: Tensor::from_data(pictures, &Device::flex()),
            labels: Tensor::<1, Int>::from_data(TensorData::new(labels, [PICTURES[0]]), &Device::flex()),
            indices: (0..PICTURES[0]).collect(),
            epoch: 0,
            view: 0,
            checksums: Vec::new(),
            number: 0,
        },
        time: Time {
            step: 0,
            epoch: 5.0,
            epochs: 10,
            pictures: 100,
        },
        stage,
    }
}

struct Case {
    students: Students,
    plugin: PluginSpec,
    stage: Option<usize>,
}

impl Case {
    fn new(spec: &str, stage: Option<usize>) -> Self {
        let plugin: PluginSpec = spec.parse().unwrap();
        let plugins = vec![plugin.build().unwrap()];
        let cohort = cohort_of(&plugins).unwrap();
        let members = cohort.as_ref().map_or(1, |cohort| cohort.members(1).unwrap());
        let graphs = (0..members)
            .map(|member| graph(3, member as u64 + 1).unwrap())
            .collect();
        let forks =
            usize::from(spec.starts_with("one") || spec.starts_with("cl-ilr") || spec.starts_with("okddip"));
        let split = vec!["low".to_owned(); forks];
        let students = Students::new(cohort.as_ref(), graphs, &split).unwrap();
        Self {
            students,
            plugin,
            stage,
        }
    }

    /// The loss, and the gradient of each weight of each network, flattened.
    fn step(&self, students: &Students) -> (f64, Vec<Vec<f32>>) {
        let (model, mut methods, item) = self.model(students);
        let (gradients, report) = model
            .step(&mut methods, item)
            .unwrap_or_else(|error| panic!("{}: {error}", self.plugin));
        let gradients = model.students.iter().flat_map(|network| {
            let sizes = network
                .graph()
                .tensors
                .values()
                .filter(|tensor| tensor.role == Role::Weight);
            let sizes: Vec<usize> = sizes.map(|tensor| tensor.len()).collect();
            network.gradients(&gradients.whole).into_iter().zip(sizes).map(
                |(gradient, size)| match gradient {
                    Some(gradient) => gradient.into_data().iter().collect(),
                    None => vec![0.0; size],
                },
            )
        });
        (f64::from(report.loss.into_scalar::<f32>()), gradients.collect())
    }

    /// The networks on the CPU, the method, and the batch of every step.
    fn model(&self, students: &Students) -> (Distillation, Vec<Method>, TimedBatch) {
        let device = Device::flex();
        let teacher = Frozen {
            network: Network::new(graph(5, 9).unwrap(), &device).unwrap(),
            logits: "logits".to_owned(),
            cache: None,
        };
        let taught = teacher.network.graph().clone();
        let plugins: Vec<Box<dyn Plugin>> = vec![self.plugin.build().unwrap()];
        let objective = prepare(&plugins, students, [&taught], CLASSES, 10).unwrap();
        let model = Distillation::new(students, &objective, vec![teacher], Precision::Fp32, &device).unwrap();
        (model, objective.methods, item(self.stage))
    }

    /// The students with every weight moved along a direction.
    fn moved(&self, direction: &[Vec<f32>], by: f32) -> Students {
        let mut students = self.students.clone();
        let weights = students
            .networks
            .iter_mut()
            .flat_map(|network| network.tensors.values_mut())
            .filter(|tensor| tensor.role == Role::Weight);
        for (tensor, direction) in weights.zip(direction) {
            let values: Vec<f32> = tensor.data.iter().collect();
            assert_eq!(values.len(), direction.len());
            let moved: Vec<f32> = values.iter().zip(direction).map(|(x, d)| x + by * d).collect();
            tensor.data = TensorData::new(moved, tensor.data.shape().to_vec());
        }
        students
    }

    fn slope(&self, direction: &[Vec<f32>]) -> f64 {
        let (ahead, _) = self.step(&self.moved(direction, DISTANCE));
        let (behind, _) = self.step(&self.moved(direction, -DISTANCE));
        (ahead - behind) / f64::from(2.0 * DISTANCE)
    }
}

fn normalised(direction: Vec<Vec<f32>>) -> Vec<Vec<f32>> {
    let norm = direction.iter().flatten().map(|x| x * x).sum::<f32>().sqrt();
    direction
        .into_iter()
        .map(|part| part.into_iter().map(|x| x / norm).collect())
        .collect()
}

#[test]
fn every_method_has_the_gradient_of_its_loss() {
    let hint = "fitnets:hint=high,guided=low";
    for (spec, stage) in [
        ("kd:temperature=4,alpha=0.9", None),
        (hint, Some(0)),
        (hint, None),
        ("fitnets:hint=high,guided=low,stages=joint,reduction=mean", None),
        ("dml:peers=3,detach-target=false", None),
        ("dml:peers=3,detach-target=false,target=ensemble", None),
        ("one:weight=1", None),
        ("cl-ilr:forks=[3],rescale=false,detach-target=false", None),
        ("okddip:weight=1", None),
        ("okddip:weight=1,members=3,leader-target=mean", None),
    ] {
        let case = Case::new(spec, stage);
        let (_, gradient) = case.step(&case.students);
        let norm = gradient
            .iter()
            .flatten()
            .map(|x| f64::from(x * x))
            .sum::<f64>()
            .sqrt();
        assert!(norm > 1e-3, "{spec}: no gradient");
        let steepest = normalised(gradient.clone());
        let slope = case.slope(&steepest);
        assert!(
            (slope - norm).abs() < 0.01 * norm,
            "{spec} {stage:?}: slope {slope}, gradient {norm}"
        );
        // Any other direction: every weight alone counts as much as its gradient says.
        let other: Vec<Vec<f32>> = gradient
            .iter()
            .enumerate()
            .map(|(tensor, part)| {
                let draw =
                    |(index, g): (usize, &f32)| g.signum() * (((index * 31 + tensor * 17) % 7) as f32 + 0.5);
                part.iter().enumerate().map(draw).collect()
            })
            .collect();
        let other = normalised(other);
        let product = gradient.iter().flatten().zip(other.iter().flatten());
        let expected: f64 = product.map(|(g, d)| f64::from(g * d)).sum();
        let slope = case.slope(&other);
        assert!(
            (slope - expected).abs() < 0.01 * norm,
            "{spec} {stage:?}: slope {slope}, expected {expected}"
        );
    }
}

/// The first peer's update is the same in both orders; the second one's is not, as it sees what the
/// first has become.
#[test]
fn a_peer_that_is_updated_later_sees_what_those_before_it_have_become() {
    let case = Case::new("dml:peers=2", None);
    let weights = |model: &Distillation| -> Vec<Vec<f32>> {
        let weight = |network: &Network| network.to_graph().tensors["fc.weight"].data.iter().collect();
        model.students.iter().map(weight).collect()
    };
    let config = TrainConfig::default();
    let (model, mut methods, item) = case.model(&case.students);
    let before = weights(&model);
    let (gradients, _) = model.step(&mut methods, item.clone()).unwrap();
    let mut optimizer = config.build_optimizer();
    let together = model
        .update(&mut methods, &mut optimizer, 0.1, gradients, item.time)
        .unwrap();
    let (model, mut methods, item) = case.model(&case.students);
    let (in_turn, report) = model
        .step_in_turn(&mut methods, item, &mut config.build_optimizer(), 0.1)
        .unwrap();
    assert_eq!(report.terms.len(), 4);
    let (together, in_turn) = (weights(&together), weights(&in_turn));
    let apart = |a: &[f32], b: &[f32]| {
        a.iter()
            .zip(b)
            .fold(0.0_f32, |most, (a, b)| most.max((a - b).abs()))
    };
    assert!(apart(&before[0], &in_turn[0]) > 1e-4 && apart(&before[1], &in_turn[1]) > 1e-4);
    assert!(
        apart(&together[0], &in_turn[0]) < 1e-7,
        "{}",
        apart(&together[0], &in_turn[0])
    );
    assert!(
        apart(&together[1], &in_turn[1]) > 1e-6,
        "{}",
        apart(&together[1], &in_turn[1])
    );
}

/// With Δ = 0 both momenta are SGD's, so that two steps are those of SGD with momentum and decay;
/// with another Δ they are not.
#[test]
fn dot_without_a_difference_is_sgd_with_momentum() {
    let sgd = |momentum: f64, weight_decay: f32| TrainConfig {
        optimizer: OptimizerConfig::Sgd {
            momentum,
            nesterov: false,
            weight_decay,
        },
        ..TrainConfig::default()
    };
    let train = |methods: &[&str], config: &TrainConfig| -> Vec<f32> {
        let students = Students::single(graph(3, 1).unwrap());
        let teacher = Frozen {
            network: Network::new(graph(5, 9).unwrap(), &Device::flex()).unwrap(),
            logits: "logits".to_owned(),
            cache: None,
        };
        let taught = teacher.network.graph().clone();
        let plugins: Vec<Box<dyn Plugin>> = methods
            .iter()
            .map(|method| method.parse::<PluginSpec>().unwrap().build().unwrap())
            .collect();
        let mut objective = prepare(&plugins, &students, [&taught], CLASSES, 10).unwrap();
        let device = Device::flex();
        let mut model =
            Distillation::new(&students, &objective, vec![teacher], Precision::Fp32, &device).unwrap();
        let methods = &mut objective.methods;
        let mut optimizer = config.build_optimizer();
        for _ in 0..3 {
            let item = item(None);
            let (gradients, _) = model.step(methods, item.clone()).unwrap();
            model = model
                .update(methods, &mut optimizer, 0.1, gradients, item.time)
                .unwrap();
        }
        let graph = model.students[0].to_graph();
        ["low.conv.weight", "fc.weight"]
            .iter()
            .flat_map(|name| graph.tensors[*name].data.iter::<f32>().collect::<Vec<_>>())
            .collect()
    };
    let expected = train(&["kd"], &sgd(0.9, 5e-4));
    let apart = |ours: &[f32]| {
        ours.iter()
            .zip(&expected)
            .fold(0.0_f32, |most, (a, b)| most.max((a - b).abs()))
    };
    let same = train(&["kd", "dot:delta=0"], &sgd(0.0, 0.0));
    assert!(apart(&same) < 1e-6, "{}", apart(&same));
    let other = train(&["kd", "dot"], &sgd(0.0, 0.0));
    assert!(apart(&other) > 1e-5, "{}", apart(&other));
}
