//! Files that users met and that were read wrongly, refused or exported wrongly once, each beside
//! what ONNX Runtime 1.32 answers (`tests/records/faults`).

use std::path::{Path, PathBuf};

use potstill_core::npz::{NpzReader, elements};
use potstill_evidence::record;

use crate::potstill::{done, fresh, pictures_of_cifar100, refused, trained};

fn array(path: &Path, name: &str) -> Vec<f32> {
    let mut archive = NpzReader::open(path).unwrap();
    let array = archive
        .array(name)
        .unwrap()
        .unwrap_or_else(|| panic!("no `{name}`"));
    elements(array)
        .unwrap()
        .unwrap()
        .convert::<f32>()
        .try_to_vec()
        .unwrap()
}

/// The file of a fault, named by its number and what follows.
fn file_of(name: &str) -> PathBuf {
    record(&format!("faults/{}.onnx", name.replacen('-', "/", 1)))
}

/// What `potstill run` answers on a record of inputs, and what ONNX Runtime does.
fn answers(folder: &Path, file: &Path, inputs: &str, expected: &str) -> (Vec<f32>, Vec<f32>) {
    let inputs = record(&format!("faults/{inputs}.npz"));
    let (file, inputs) = (file.display(), inputs.display());
    done(folder, &format!("run {file} --input {inputs} --output out.npz"));
    let expected = array(&record("faults/onnx_runtime.npz"), expected);
    (array(&folder.join("out.npz"), "logits"), expected)
}

/// The largest difference over the largest logit.
fn difference((ours, theirs): (Vec<f32>, Vec<f32>)) -> f32 {
    assert_eq!(ours.len(), theirs.len());
    let largest = theirs.iter().fold(0.0_f32, |largest, x| largest.max(x.abs()));
    let apart = ours.iter().zip(&theirs).map(|(a, b)| (a - b).abs());
    apart.fold(0.0_f32, |most, x| if x.is_nan() { x } else { most.max(x) }) / largest
}

#[test]
fn what_users_sent_runs_as_in_onnx_runtime() {
    let folder = fresh();
    for (name, inputs, tolerance) in [
        ("01-bn_dropout_train_dynamo", "floats", 1e-4),
        ("01-si_min", "floats", 1e-4),
        ("02-g_scale_names", "floats", 1e-4),
        ("03-uint8_nhwc", "bytes-last", 1e-4),
        ("04-optional_empty2", "floats", 1e-4),
        ("06-vit_small", "floats", 1e-4),
        ("07-g_l2_q0.01", "floats", 1e-4),
        ("08-plain", "floats", 1e-4),
        // ONNX Runtime rounds to 16 bits after every operator.
        ("09-ortfp16_plain", "floats", 1e-2),
        ("09-unsorted", "floats", 1e-4),
        ("10-squeeze_trace", "floats", 1e-4),
        ("16-fp16", "halves", 1e-2),
        ("16-qdq", "floats", 1e-2),
        ("18-plain_fp16io", "halves", 1e-2),
        ("18-uint8_nchw", "bytes", 1e-4),
        ("19-extra_layernorm", "floats", 1e-4),
        ("19-extra_maxpool_indices", "floats", 1e-4),
        ("20-uint8_add_wrap", "floats", 1e-4),
        ("25-opset25", "floats", 1e-4),
        ("25-pos_bilinear_aa1_hw", "floats", 1e-4),
    ] {
        let file = file_of(name);
        let apart = difference(answers(folder.path(), &file, inputs, name));
        assert!(apart <= tolerance, "{name}: {apart}");
    }
}

#[test]
fn what_users_sent_is_written_again_and_computes_the_same() {
    let folder = fresh();
    for (name, arguments, tolerance) in [
        ("01-si_min", "", 1e-4),
        ("01-bn_dropout_train_dynamo", "--opset 18", 1e-4),
        ("04-optional_empty2", "", 1e-4),
        // Constants of its own are called as the quantiser would call its scales.
        ("02-g_scale_names", "--precision int8 --data glyphs", 3e-2),
        ("02-g_scale_names", "--precision fp16 --data glyphs", 1e-2),
        ("08-plain", "--precision int8 --reduce-range --data glyphs", 1e-1),
    ] {
        let file = file_of(name);
        let export = format!("export {} -o again.onnx {arguments}", file.display());
        done(folder.path(), &export);
        let again = folder.path().join("again.onnx");
        let apart = difference(answers(folder.path(), &again, "floats", name));
        assert!(apart <= tolerance, "{name} {arguments}: {apart}");
    }
}

#[test]
fn a_students_file_that_cannot_be_trained_is_refused_before_the_run() {
    let folder = fresh();
    let qdq = file_of("16-qdq");
    let arguments = format!("distill --data glyphs --student {} --out run", qdq.display());
    refused(folder.path(), &arguments, &["qdq.onnx", "computes in integers"]);
    assert!(!folder.path().join("run").exists());
}

#[test]
fn a_teacher_without_numbers_is_named_before_the_run() {
    let folder = fresh();
    pictures_of_cifar100(folder.path());
    for (name, words) in [
        ("23-nan_logits", "logits that are no numbers"),
        ("03-uint8_nhwc", "elements of type Uint8"),
    ] {
        let teacher = file_of(name);
        let arguments = format!(
            "eval {} --data cifar100 --data-dir . --device cpu",
            teacher.display()
        );
        refused(folder.path(), &arguments, &[words]);
    }
}

#[test]
fn another_value_of_a_teacher_can_be_its_logits() {
    let folder = fresh();
    let distill =
        "distill --data glyphs --teacher embedded:glyphs-resnet20 --student resnet8 --plugin kd --dry-run";
    refused(
        folder.path(),
        &format!("{distill} --teacher-output logitz"),
        &["no value `logitz`; did you mean `logits`?"],
    );
    let answer = done(folder.path(), &format!("{distill} --teacher-output logits"));
    assert!(answer.stdout.contains("output = \"logits\""), "{}", answer.stdout);
}

#[cfg(unix)]
#[test]
fn a_folder_in_which_a_run_is_under_way_is_left_alone() {
    let folder = trained();
    let run = folder.path().join("run");
    let held = std::fs::File::open(&run).unwrap();
    held.lock().unwrap();
    let before = std::fs::read(run.join("run.toml")).unwrap();
    for arguments in ["distill --resume --out run", "distill tiny.toml"] {
        refused(folder.path(), arguments, &["run is under way in"]);
    }
    assert_eq!(std::fs::read(run.join("run.toml")).unwrap(), before);
    drop(held);
    refused(folder.path(), "distill tiny.toml", &["run"]);
}
