//! The recorded models after a pass: export and import give back the same model, folding the same
//! numbers.

use std::path::Path;

use onnx_protobuf::{GraphProto, Message, ModelProto};
use potstill_core::graph::{Attribute, Graph, Node, StoredTensor};
use potstill_evidence::record;
use potstill_exporters::encode;
use potstill_exporters::fold::fold_batch_norm;
use potstill_teachers::{decode, decode_file};

use crate::case::{Case, cases, reason, walk};
use crate::operators::{check_values, on_records, running};

/// Encodes a graph and decodes it again.
fn around(graph: &Graph) -> Result<(Vec<u8>, Graph), String> {
    let bytes = encode(graph).map_err(|error| reason(&error))?;
    let again = decode(&bytes, None).map_err(|error| reason(&error))?;
    Ok((bytes, again))
}

/// Fails unless two graphs agree in everything that a file states.
fn same_graph(one: &Graph, other: &Graph) -> Result<(), String> {
    let parts: [(&str, bool); 6] = [
        ("name", one.name == other.name),
        ("inputs", one.inputs == other.inputs),
        ("outputs", one.outputs == other.outputs),
        ("annotations", one.annotations == other.annotations),
        ("model", one.model == other.model),
        (
            "order of opsets",
            one.model.opsets.iter().eq(other.model.opsets.iter()),
        ),
    ];
    if let Some((part, _)) = parts.iter().find(|(_, same)| !same) {
        return Err(format!("another {part} after export and import"));
    }
    if one.nodes.len() != other.nodes.len() || one.tensors.len() != other.tensors.len() {
        return Err("another number of nodes or tensors after export and import".to_owned());
    }
    for (a, b) in one.nodes.iter().zip(&other.nodes) {
        if !same_node(a, b) {
            return Err(format!("{a:?} became {b:?}"));
        }
    }
    for ((name, a), (other_name, b)) in one.tensors.iter().zip(&other.tensors) {
        if name != other_name || !same_tensor(a, b) {
            return Err(format!("tensor `{name}` became another one, `{other_name}`"));
        }
    }
    Ok(())
}

fn same_node(one: &Node, other: &Node) -> bool {
    one.name == other.name
        // The operator with the attributes that it has read.
        && format!("{:?}", one.op) == format!("{:?}", other.op)
        && one.op.name() == other.op.name()
        && one.inputs == other.inputs
        && one.outputs == other.outputs
        && one.doc == other.doc
        && one.attributes.len() == other.attributes.len()
        && one.attributes.iter().zip(&other.attributes).all(|(a, b)| a.0 == b.0 && same_attribute(a.1, b.1))
}

fn same_attribute(one: &Attribute, other: &Attribute) -> bool {
    match (one, other) {
        (Attribute::Tensor(name, a), Attribute::Tensor(other, b)) => {
            name == other && a.dtype() == b.dtype() && a.shape() == b.shape() && a.bytes() == b.bytes()
        }
        _ => one == other,
    }
}

fn same_tensor(one: &StoredTensor, other: &StoredTensor) -> bool {
    one.role == other.role
        && one.data.dtype() == other.data.dtype()
        && one.data.shape() == other.data.shape()
        && one.data.bytes() == other.data.bytes()
}

/// Fails unless what is encoded is the file itself, read without this project's decoder. Tensors
/// are left out: their bytes may move from typed fields to raw ones.
fn same_file(path: &Path, bytes: &[u8]) -> Result<(), String> {
    let parse = |bytes: &[u8]| {
        let mut model = ModelProto::parse_from_bytes(bytes).map_err(|error| error.to_string())?;
        let graph = model.graph.as_mut().ok_or("no graph")?;
        graph.initializer.clear();
        for attribute in graph.node.iter_mut().flat_map(|node| &mut node.attribute) {
            attribute.t.clear();
        }
        Ok::<_, String>(model)
    };
    let original = parse(&std::fs::read(path).map_err(|error| error.to_string())?)?;
    let written = parse(bytes)?;
    // Calls and branches are other nodes now.
    let calls = |model: &ModelProto| !model.functions.is_empty();
    if calls(&original) || original.graph.node.iter().any(|node| node.op_type == "If") {
        let domains: Vec<&str> = written
            .opset_import
            .iter()
            .map(|set| set.domain.as_str())
            .collect();
        let straight = !calls(&written) && written.graph.node.iter().all(|node| node.domain.is_empty());
        let named = format!("{} was written with functions of {domains:?}", path.display());
        return (straight && domains == [""]).then_some(()).ok_or(named);
    }
    for (original, written) in original.graph.node.iter().zip(&written.graph.node) {
        if original != written {
            return Err(format!("node {original:?} was written as {written:?}"));
        }
    }
    let graph = |model: &ModelProto| GraphProto {
        node: Vec::new(),
        ..model.graph.clone().unwrap_or_default()
    };
    if graph(&original) != graph(&written) {
        let (original, written) = (graph(&original), graph(&written));
        return Err(format!("graph {original:?} was written as {written:?}"));
    }
    if original != written {
        return Err(format!("model {} was written as another", path.display()));
    }
    Ok(())
}

fn survives_export_and_import(path: &Path) -> Result<(), String> {
    let graph = decode_file(path).map_err(|error| reason(&error))?;
    let (bytes, again) = around(&graph)?;
    same_graph(&graph, &again)?;
    same_file(path, &bytes)
}

#[test]
fn export_after_import_gives_back_the_model() {
    let (operators, networks) = (cases("operators"), cases("networks"));
    let models: Vec<&Case> = running(&operators).chain(&networks).collect();
    walk(models, |case| survives_export_and_import(&case.path()));
}

#[test]
fn export_after_import_gives_back_whole_networks() {
    for model in ["resnet20x2-cifar100.onnx", "student-resnet8-with-batchnorm.onnx"] {
        if let Err(difference) = survives_export_and_import(&record(&format!("pytorch/{model}"))) {
            panic!("{model}: {difference}");
        }
    }
}

#[test]
fn folding_leaves_the_outputs_as_they_were() {
    let normalised = |case: &&Case| {
        case.graph().is_ok_and(|graph| {
            graph
                .nodes
                .iter()
                .any(|node| node.op.name() == "BatchNormalization")
        })
    };
    let (operators, networks) = (cases("operators"), cases("networks"));
    let models: Vec<&Case> = running(&operators).chain(&networks).filter(normalised).collect();
    assert!(models.len() >= 10, "only {} models with BatchNorm", models.len());
    walk(models, |case| {
        on_records(case, |graph, record| {
            let mut folded = graph.clone();
            fold_batch_norm(&mut folded);
            folded.validate().map_err(|error| reason(&error))?;
            check_values(&folded, record)
        })
    });
}

#[test]
fn every_batch_norm_after_a_convolution_folds() {
    for name in [
        "residual_batchnorm_legacy_opset17",
        "mobile_batchnorm_legacy_opset14",
    ] {
        let case = cases("networks")
            .into_iter()
            .find(|case| case.name == name)
            .unwrap();
        let mut graph = case.graph().unwrap();
        assert!(fold_batch_norm(&mut graph) > 0, "{name}");
        assert!(
            !graph
                .nodes
                .iter()
                .any(|node| node.op.name() == "BatchNormalization"),
            "{name} still has a BatchNorm"
        );
    }
}
