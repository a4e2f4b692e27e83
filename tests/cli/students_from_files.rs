//! `--student any.onnx`: a network that another program wrote is trained, and leaves under its own
//! names.

use std::fs;
use std::path::Path;

use potstill_core::graph::{Graph, Role};
use potstill_teachers::decode_file;

use crate::potstill::{done, fresh, network, refused};

/// A file that PyTorch wrote in training-preserving mode, for pictures of 3 × 8 × 8 and 5 classes,
/// and a configuration that trains it.
fn from_pytorch(folder: &Path) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/interop/networks/residual_batchnorm_legacy_opset17.onnx");
    fs::copy(file, folder.join("mine.onnx")).unwrap();
    let path = folder.join("tiny.toml");
    let text = fs::read_to_string(&path).unwrap();
    let text = format!("{text}\n[data]\ntrain = [\"resize:size=8\", \"flip\"]\ntest = [\"resize:size=8\"]\n");
    fs::write(
        path,
        text.replace("student = \"resnet8\"", "student = \"mine.onnx\""),
    )
    .unwrap();
}

fn graph(folder: &Path, name: &str) -> Graph {
    decode_file(&folder.join(name)).unwrap()
}

fn floats(graph: &Graph, tensor: &str) -> Vec<f32> {
    graph.tensors[tensor].data.iter().collect()
}

#[test]
fn a_file_of_pytorch_is_trained_with_its_statistics_and_keeps_its_names() {
    let folder = fresh();
    let folder = folder.path();
    from_pytorch(folder);
    done(folder, "distill tiny.toml --classes 20");
    done(folder, "export run --no-fold -o trained.onnx");
    let (before, after) = (graph(folder, "mine.onnx"), graph(folder, "trained.onnx"));
    for (name, tensor) in &before.tensors {
        let trained = after.tensors.get(name).unwrap_or_else(|| panic!("no `{name}`"));
        assert_eq!(tensor.role, trained.role, "{name}");
        assert_ne!(tensor.data, trained.data, "{name} has not moved");
    }
    let values = |graph: &Graph| {
        let made = graph.nodes.iter().filter(|node| node.op.name() != "Identity");
        made.flat_map(|node| node.outputs.clone()).collect::<Vec<_>>()
    };
    assert_eq!(values(&before), values(&after));
    assert_eq!(after.tensors["head.weight"].data.shape().to_vec(), [20, 8]);
    // Equal when it was written, so that the file holds one for both; not tied for that.
    assert_ne!(
        floats(&after, "first_norm.weight"),
        floats(&after, "shortcut.1.weight")
    );
    let table = done(
        folder,
        "eval run/student.onnx --limit 40 --device cpu --format json",
    )
    .json();
    assert_eq!(table["samples"], 40);
}

/// `burn-module.onnx` is what `examples/burn-module` writes for 7 classes.
#[test]
fn a_module_of_burn_is_trained_with_its_statistics_and_gets_another_classifier() {
    let folder = fresh();
    let folder = folder.path();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli/burn-module.onnx");
    fs::copy(file, folder.join("module.onnx")).unwrap();
    refused(
        folder,
        "distill tiny.toml --student module.onnx",
        &["`module.onnx` has 7 classes", "--classes 20"],
    );
    done(folder, "distill tiny.toml --student module.onnx --classes 20");
    done(folder, "export run --no-fold -o trained.onnx");
    let (before, after) = (graph(folder, "module.onnx"), graph(folder, "trained.onnx"));
    let learns = |graph: &Graph| {
        let tensors = graph.tensors.iter();
        let learns = tensors.filter(|(_, tensor)| tensor.role != Role::Constant);
        learns.map(|(name, _)| name.clone()).collect::<Vec<_>>()
    };
    assert_eq!(learns(&before), learns(&after));
    for name in learns(&before) {
        assert_ne!(
            floats(&before, &name),
            floats(&after, &name),
            "{name} has not moved"
        );
    }
    // The exporter adds the bias in a shape of its own.
    assert_eq!(after.tensors["classifier.bias"].data.shape().to_vec(), [1, 20]);
    done(
        folder,
        "distill tiny.toml --student module.onnx --classes 20 --init random --out drawn",
    );
}

#[test]
fn a_file_gives_its_weights_or_its_architecture_alone() {
    let folder = fresh();
    let folder = folder.path();
    network(folder, "mine.onnx", 20, [3, 32, 32]);
    // Steps so short that the weights stay where they began.
    let begin = |init: &str| {
        done(
            folder,
            &format!("distill tiny.toml --student mine.onnx --learning-rate 1e-9 --out {init} --init {init}"),
        );
        done(folder, &format!("export {init} --no-fold -o {init}.onnx"));
        graph(folder, &format!("{init}.onnx"))
    };
    let (file, own, random) = (graph(folder, "mine.onnx"), begin("file"), begin("random"));
    let largest = |one: &Graph, other: &Graph, name: &str| {
        let pairs = floats(one, name).into_iter().zip(floats(other, name));
        pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
    };
    let weights: Vec<&String> = file
        .tensors
        .iter()
        .filter(|(_, tensor)| tensor.role == Role::Weight && tensor.data.shape().rank() > 1)
        .map(|(name, _)| name)
        .collect();
    assert!(!weights.is_empty());
    for name in weights {
        assert!(largest(&file, &own, name) < 1e-5, "{name}");
        assert!(largest(&file, &random, name) > 1e-2, "{name}");
    }
}

#[test]
fn a_file_for_other_classes_needs_to_be_told() {
    let folder = fresh();
    let folder = folder.path();
    network(folder, "mine.onnx", 10, [3, 32, 32]);
    refused(
        folder,
        "distill tiny.toml --student mine.onnx",
        &["mine.onnx", "has 10 classes", "the data has 20", "--classes 20"],
    );
    refused(
        folder,
        "distill tiny.toml --student mine.onnx --classes 7",
        &["--classes", "7", "20"],
    );
    assert!(!folder.join("run").exists());
    done(folder, "distill tiny.toml --student mine.onnx --classes 20");
    // Whoever goes on does so with the same network.
    refused(
        folder,
        "distill --resume --out run --init random",
        &["--init", "random", "is not what the run began with"],
    );
}
