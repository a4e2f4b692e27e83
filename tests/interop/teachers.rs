//! Whole networks that PyTorch exported (`tests/records/pytorch`), against what ONNX Runtime
//! computed with them.

use burn::tensor::{DType, Device, TensorData};
use potstill_core::graph::Role;
use potstill_core::network::Network;
use potstill_core::op::Mode;
use potstill_core::value::Value;
use potstill_evidence::record;
use potstill_exporters::Export;
use potstill_teachers::decode_file;

use crate::case::cases;
use crate::record::Record;

/// Absolute, on logits.
const TOLERANCE: f32 = 1e-4;

/// The teacher's 1,096,196 less the scale of each of its 1,568 normalised channels, which is folded
/// into the convolutions.
const PARAMETERS: usize = 1_094_628;

/// A ResNet-8 on 100 classes: convolutions 432 + 4,608 + 13,824 + 55,296, shortcuts 512 + 2,048,
/// normalisation 672, classifier 6,500.
const STUDENT_PARAMETERS: usize = 83_892;

#[test]
fn logits_are_those_of_onnx_runtime_at_any_batch_size() {
    let arrays = Record::open(&record("pytorch/resnet20x2-cifar100.npz"));
    let floats = |name: &str| -> Vec<f32> {
        arrays
            .array(name)
            .clone()
            .convert_dtype(DType::F32)
            .iter()
            .collect()
    };
    let (pictures, expected) = (floats("input"), floats("logits"));
    let graph = decode_file(&record("pytorch/resnet20x2-cifar100.onnx")).unwrap();
    assert_eq!(graph.parameters(), PARAMETERS);
    let network = Network::new(graph, &Device::flex()).unwrap();
    for batch in [1, 7, 64] {
        let fed = pictures[..batch * 3 * 32 * 32].to_vec();
        let input = Value::from_data(TensorData::new(fed, [batch, 3, 32, 32]), &Device::flex());
        let outputs = network.forward(input, &[], Mode::Inference).unwrap();
        let (name, logits) = outputs.first().unwrap();
        assert_eq!(logits.dims(), [batch, 100], "output `{name}`");
        let logits = logits.to_floats().unwrap();
        let worst = logits
            .iter()
            .zip(&expected)
            .map(|(a, b)| (a - b).abs())
            .fold(0.0, f32::max);
        assert!(worst <= TOLERANCE, "batch {batch}: {worst:e}");
    }
}

#[test]
fn a_student_in_training_form_keeps_names_and_parameters() {
    let graph = decode_file(&record("pytorch/student-resnet8-with-batchnorm.onnx")).unwrap();
    let role = |name: &str| graph.tensors.get(name).map(|tensor| tensor.role);
    for name in ["conv1.weight", "bn1.weight", "bn1.bias", "fc.weight", "fc.bias"] {
        assert_eq!(role(name), Some(Role::Weight), "{name}");
    }
    for name in ["bn1.running_mean", "bn1.running_var"] {
        assert_eq!(role(name), Some(Role::Buffer), "{name}");
    }
    assert_eq!(graph.parameters(), STUDENT_PARAMETERS);
}

#[test]
fn tensors_shared_through_identity_are_weights() {
    let case = cases("networks")
        .into_iter()
        .find(|case| case.name == "residual_batchnorm_legacy_opset17")
        .unwrap();
    let graph = case.graph().unwrap();
    let shared: Vec<&str> = graph
        .nodes
        .iter()
        .filter(|node| node.op.name() == "Identity")
        .map(|node| node.inputs[0].as_str())
        .collect();
    assert_eq!(shared.len(), 4);
    for name in shared {
        assert_eq!(graph.tensors[name].role, Role::Weight, "{name}");
    }
}

#[test]
fn an_exported_student_runs_in_tract_without_its_training_form() {
    let graph = decode_file(&record("pytorch/student-resnet8-with-batchnorm.onnx")).unwrap();
    let out = tempfile::tempdir().unwrap();
    for fold in [true, false] {
        let path = out.path().join("student.onnx");
        let written = Export {
            fold,
            ..Export::default()
        }
        .write(&graph, &path)
        .unwrap();
        assert_eq!(written.folded > 0, fold);
        let read = decode_file(&path).unwrap();
        assert!(read.nodes.iter().all(|node| node.outputs.len() == 1));
    }
}
