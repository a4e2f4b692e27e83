//! Files as other programs write them, as students and on their way to another precision: what
//! their authors named, left out, shared or typed must not cost a training.

use std::fs;
use std::path::Path;

use burn::tensor::TensorData;
use potstill_core::builder::{Conv, GraphBuilder};
use potstill_core::graph::{Graph, Init, Role};
use potstill_evidence::record;
use potstill_exporters::encode;
use potstill_teachers::decode_file;

use crate::potstill::{done, fresh, pictures_of_cifar100, refused};

/// A training of two steps on CIFAR-100's pictures.
const STEPS: &str = "distill --data cifar100 --data-dir . --device cpu --limit 32 --batch-size 16 --epochs 1";

/// A folder with pictures, and this file of `tests/records/faults` as `student.onnx`.
fn with_file(name: &str) -> tempfile::TempDir {
    let folder = fresh();
    pictures_of_cifar100(folder.path());
    let file = record(&format!("faults/{name}"));
    fs::copy(file, folder.path().join("student.onnx")).unwrap();
    folder
}

fn with_graph(graph: &Graph) -> tempfile::TempDir {
    let folder = fresh();
    pictures_of_cifar100(folder.path());
    fs::write(folder.path().join("student.onnx"), encode(graph).unwrap()).unwrap();
    folder
}

fn floats(file: &Path, tensor: &str) -> Vec<f32> {
    let graph = decode_file(file).unwrap();
    graph.tensors[tensor].data.iter().collect()
}

/// Symbols in `value_info`, in a file of PyTorch's exporter and in the smallest one; a bias left
/// out by an empty name; nodes of one name; weights in half precision.
#[test]
fn a_file_that_onnx_runtime_runs_is_trained_and_written() {
    for (name, flags) in [
        ("01/si_min.onnx", ""),
        ("01/bn_dropout_train_dynamo.onnx", "--opset 18"),
        ("04/optional_empty2.onnx", ""),
        ("16/same_node_names.onnx", ""),
        ("16/fp16.onnx", ""),
    ] {
        let folder = with_file(name);
        let folder = folder.path();
        done(
            folder,
            &format!("{STEPS} --student student.onnx {flags} --out out"),
        );
        assert!(folder.join("out/student.onnx").is_file(), "{name}");
        done(folder, "export student.onnx -o again.onnx");
        for file in ["out/student.onnx", "again.onnx"] {
            done(folder, &format!("bench {file} --repetitions 1 --warm-up 0"));
            let graph = decode_file(&folder.join(file)).unwrap();
            let mut names: Vec<&str> = graph.nodes.iter().map(|node| node.name.as_str()).collect();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), graph.nodes.len(), "{name}: {names:?}");
        }
    }
}

#[test]
fn a_quantised_file_is_no_student_and_is_not_quantised_twice() {
    let folder = with_file("16/qdq.onnx");
    let folder = folder.path();
    refused(
        folder,
        &format!("{STEPS} --student student.onnx --out out"),
        &["student.onnx", "`w0_DequantizeLinear`", "integers"],
    );
    assert!(!folder.join("out").exists());
    for precision in ["int8", "fp16"] {
        let flags = "--data cifar100 --data-dir . --limit 16";
        refused(
            folder,
            &format!("export student.onnx -o x.onnx --precision {precision} {flags}"),
            &["DequantizeLinear", "integers already"],
        );
    }
    assert!(!folder.join("x.onnx").exists());
    // As it is, it can be written.
    done(folder, "export student.onnx -o x.onnx");
}

/// tract 0.23 has no Col2Im; its blocks of one pixel make it a Reshape.
#[test]
fn what_the_export_would_refuse_is_refused_before_the_first_step() {
    let mut b = GraphBuilder::new("net", 0);
    let x = b.input("input", &[3, 32, 32]);
    let x = b.conv("conv", &x, Conv::same(4, 3)).unwrap();
    let shape = b.ints("shape", &[0, 4, 1024]);
    let columns = b.node("columns", "Reshape", &[&x, &shape], []).unwrap();
    let (picture, block) = (b.ints("picture", &[32, 32]), b.ints("block", &[1, 1]));
    let inputs = [columns.as_str(), &picture, &block];
    let x = b.node("folded", "Col2Im", &inputs, []).unwrap();
    let x = b.global_pool("pool", &x).unwrap();
    let y = b.linear("fc", &x, 100).unwrap();
    b.output("logits", &y).unwrap();
    let mut graph = b.finish().unwrap();
    graph.model.opsets.insert(String::new(), 18);
    let folder = with_graph(&graph);
    let folder = folder.path();
    let run = format!("{STEPS} --student student.onnx --opset 18 --out out");
    for run in [run.clone(), format!("{run} --dry-run")] {
        refused(
            folder,
            &run,
            &["`student.onnx` could not be written", "tract", "Col2Im"],
        );
        assert!(!folder.join("out").exists());
    }
}

#[test]
fn a_network_without_weights_to_train_is_no_student() {
    let mut b = GraphBuilder::new("net", 0);
    let x = b.input("input", &[3, 32, 32]);
    let x = b.global_pool("pool", &x).unwrap();
    let numbers = TensorData::new(vec![0.5_f32; 300], [3, 100]);
    let weight = [(
        "value",
        potstill_core::op::Attribute::Tensor(String::new(), numbers),
    )];
    let weight = b.node("weight", "Constant", &[], weight).unwrap();
    let y = b.node("logits", "MatMul", &[&x, &weight], []).unwrap();
    b.output("logits", &y).unwrap();
    let folder = with_graph(&b.finish().unwrap());
    let folder = folder.path();
    refused(
        folder,
        &format!("{STEPS} --student student.onnx --out out"),
        &["student.onnx cannot be a student", "`logits`", "no stored weight"],
    );
    assert!(!folder.join("out").exists());
}

/// ONNX Runtime's loss on the file is the one printed for fp32; with the constants overwritten,
/// that of int8 was half of it.
#[test]
fn a_networks_own_tensors_keep_their_numbers_in_integers() {
    let folder = with_file("02/g_scale_names.onnx");
    let folder = folder.path();
    let flags = "--data cifar100 --data-dir .";
    let printed = done(
        folder,
        &format!("export student.onnx -o x.onnx --precision int8 {flags}"),
    )
    .stdout;
    let loss = |network: &str| -> f64 {
        let row = printed.lines().find(|row| row.trim().starts_with(network));
        let fields: Vec<&str> = row.unwrap().split_whitespace().collect();
        fields[fields.len() - 2].parse().unwrap()
    };
    let (fp32, int8) = (loss("fp32"), loss("int8"));
    assert!((fp32 - int8).abs() < 0.01 * fp32, "{printed}");
    for tensor in ["input_scale", "conv1_scale"] {
        assert_eq!(
            floats(&folder.join("student.onnx"), tensor),
            floats(&folder.join("x.onnx"), tensor)
        );
    }
}

/// The whole numbers of the least and the largest weight, and how they may be stored.
#[test]
fn reduce_range_keeps_weights_within_seven_bits() {
    let folder = with_file("08/plain.onnx");
    let folder = folder.path();
    let flags = "--data cifar100 --data-dir .";
    let export = |more: &str| {
        let arguments = format!("export student.onnx -o x.onnx {flags} {more}");
        done(folder, &arguments);
        let graph = decode_file(&folder.join("x.onnx")).unwrap();
        let weights = graph
            .tensors
            .iter()
            .filter(|(name, tensor)| name.ends_with("_quantized") && tensor.data.shape().rank() > 1);
        let whole = weights.flat_map(|(_, tensor)| tensor.data.iter::<i64>().collect::<Vec<_>>());
        whole.map(i64::abs).max()
    };
    assert_eq!(export("--precision int8"), Some(127));
    assert_eq!(export("--precision int8 --reduce-range"), Some(64));
    for precision in ["fp32", "fp16"] {
        refused(
            folder,
            &format!("export student.onnx -o y.onnx {flags} --precision {precision} --reduce-range"),
            &["--reduce-range", "int8"],
        );
    }
    assert!(!folder.join("y.onnx").exists());
}

#[test]
fn an_epsilon_survives_half_precision() {
    let folder = with_file("07/g_l2_q0.01.onnx");
    let folder = folder.path();
    let arguments = "export student.onnx -o x.onnx --precision fp16 --data cifar100 --data-dir .";
    let printed = done(folder, arguments).stdout;
    assert!(!printed.contains("NaN"), "{printed}");
}

/// relu(−1.9 − min x) is 0 for every picture of CIFAR-100, whose black is −1.897; drawn numbers go
/// down to −2. It is divided by itself and a difference that half precision does not have.
#[test]
fn a_file_whose_loss_is_no_number_is_not_written() {
    let mut b = GraphBuilder::new("net", 0);
    let x = b.input("input", &[3, 32, 32]);
    let x = b.node("flat", "Flatten", &[&x], []).unwrap();
    let axes = [("axes", vec![1].into()), ("keepdims", 1.into())];
    let x = b.node("least", "ReduceMin", &[&x], axes).unwrap();
    let mut number = |name: &str, number: f32| {
        b.store(
            name,
            Role::Constant,
            TensorData::new(vec![number], Vec::<usize>::new()),
        )
    };
    let (black, one, above) = (number("black", -1.9), number("one", 1.0), number("above", 1.0001));
    let x = b.node("below", "Sub", &[&black, &x], []).unwrap();
    let x = b.relu("positive", &x).unwrap();
    let small = b.node("small", "Sub", &[&above, &one], []).unwrap();
    let floor = b.node("floor", "Add", &[&x, &small], []).unwrap();
    let x = b.node("share", "Div", &[&x, &floor], []).unwrap();
    let weight = b.tensor("weight", Role::Weight, &[1, 100], Init::Normal(1.0));
    let y = b.node("logits", "MatMul", &[&x, &weight], []).unwrap();
    b.output("logits", &y).unwrap();
    let folder = with_graph(&b.finish().unwrap());
    let folder = folder.path();
    refused(
        folder,
        "export student.onnx -o x.onnx --precision fp16 --data cifar100 --data-dir .",
        &["in float16, node `small`"],
    );
    assert!(!folder.join("x.onnx").exists());
}

/// Classifiers of stores say the class beside the logits.
#[test]
fn a_network_that_also_gives_the_class_is_trained_and_written() {
    let mut b = GraphBuilder::new("net", 0);
    let x = b.input("input", &[3, 32, 32]);
    let x = b.conv("conv", &x, Conv::same(4, 3)).unwrap();
    let x = b.global_pool("pool", &x).unwrap();
    let y = b.linear("fc", &x, 100).unwrap();
    b.output("logits", &y).unwrap();
    let arguments = [("axis", 1.into()), ("keepdims", 0.into())];
    let class = b.node("class", "ArgMax", &["logits"], arguments).unwrap();
    b.output("class", &class).unwrap();
    let folder = with_graph(&b.finish().unwrap());
    let folder = folder.path();
    done(folder, &format!("{STEPS} --student student.onnx --out out"));
    let written = decode_file(&folder.join("out/student.onnx")).unwrap();
    assert_eq!(written.outputs.len(), 2);
    let flags = "--data cifar100 --data-dir . --limit 16 --calibration-samples 16";
    for precision in ["fp16", "int8"] {
        done(
            folder,
            &format!("export out/student.onnx -o x.onnx --precision {precision} {flags}"),
        );
    }
}

#[test]
fn a_weight_that_is_no_number_is_refused_before_the_first_step() {
    let mut b = GraphBuilder::new("net", 0);
    let x = b.input("input", &[3, 32, 32]);
    let x = b.global_pool("pool", &x).unwrap();
    let y = b.linear("fc", &x, 100).unwrap();
    b.output("logits", &y).unwrap();
    let sound = b.finish().unwrap();
    for number in [f32::NAN, f32::INFINITY] {
        let mut graph = sound.clone();
        let bias = &mut graph.tensors["fc.bias"];
        let mut numbers: Vec<f32> = bias.data.iter().collect();
        numbers[3] = number;
        bias.data = TensorData::new(numbers, [100]);
        let folder = with_graph(&graph);
        let folder = folder.path();
        let run = format!("{STEPS} --student student.onnx --out out");
        refused(
            folder,
            &run,
            &["student.onnx", "`fc.bias`", &number.to_string(), "--init random"],
        );
        assert!(!folder.join("out").exists());
        done(folder, &format!("{run} --init random"));
    }
}
