//! `export --precision`, `bench` and `prune`; students that learn in integers or with binary
//! weights.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::potstill::{done, fresh, network, refused, trained};

fn inspect(folder: &Path, name: &str) -> Value {
    done(folder, &format!("inspect {name} --format json")).json()
}

fn count(report: &Value, operator: &str) -> u64 {
    report["operators"][operator].as_u64().unwrap_or(0)
}

fn accuracy(folder: &Path, name: &str) -> f64 {
    let arguments = format!("eval {name} --limit 40 --device cpu --format json");
    done(folder, &arguments).json()["top1"].as_f64().unwrap()
}

/// The percentages of the column top-1, by network, of what `export` prints.
fn printed(stdout: &str) -> Vec<(String, f64)> {
    let row = |line: &str| {
        let (name, rest) = line.trim().split_once("  ")?;
        let top1 = rest.split('%').next()?.trim().parse().ok()?;
        Some((name.to_owned(), top1))
    };
    stdout.lines().filter_map(row).collect()
}

#[test]
fn a_student_in_integers_keeps_its_accuracy_here_and_in_tract() {
    let folder = trained();
    let folder = folder.path();
    let fp32 = inspect(folder, "run/student.onnx");
    for calibration in ["min-max", "percentile", "entropy"] {
        let arguments = format!(
            "export run -o int8.onnx --precision int8 --calibration {calibration} --calibration-samples 48"
        );
        let answer = done(folder, &arguments);
        let rows = printed(&answer.stdout);
        let names: Vec<&str> = rows.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["fp32", "int8", "int8 in tract"], "{}", answer.stdout);
        // One picture of 40 is 2.5 %.
        assert!((rows[1].1 - rows[2].1).abs() <= 2.6, "{}", answer.stdout);
        assert_eq!(rows[1].1, accuracy(folder, "int8.onnx"));
        let int8 = inspect(folder, "int8.onnx");
        let convolutions = count(&fp32, "Conv") + count(&fp32, "Gemm");
        assert!(count(&int8, "QuantizeLinear") > convolutions, "{int8}");
        // Every weight and every bias has one of its own.
        let dequantised = count(&int8, "QuantizeLinear") + 2 * convolutions;
        assert_eq!(count(&int8, "DequantizeLinear"), dequantised);
        assert_eq!(int8["multiply_adds"], fp32["multiply_adds"]);
        assert_eq!(int8["metadata"], fp32["metadata"]);
    }
    let size = |name: &str| fs::metadata(folder.join(name)).unwrap().len();
    assert!(size("int8.onnx") < size("run/student.onnx") / 2);
    // A plain file with the same pictures gives the same integers.
    let toml = fs::read_to_string(folder.join("run/run.toml")).unwrap();
    assert!(toml.contains("glyphs"));
    done(
        folder,
        "export run/student.onnx -o plain.onnx --precision fp16 --data glyphs --limit 40",
    );
    assert!(size("plain.onnx") < size("run/student.onnx") * 6 / 10);
    assert_eq!(count(&inspect(folder, "plain.onnx"), "Cast"), 2);
}

#[test]
fn integers_need_an_operator_set_with_scales_for_each_channel() {
    let folder = trained();
    refused(
        folder.path(),
        "export run -o int8.onnx --precision int8 --opset 12",
        &["operator set 12", "13"],
    );
    assert!(!folder.path().join("int8.onnx").exists());
}

#[test]
fn half_precision_computes_between_casts() {
    let folder = trained();
    let folder = folder.path();
    let rows = printed(&done(folder, "export run -o half.onnx --precision fp16").stdout);
    assert_eq!(rows.len(), 2);
    assert!((rows[0].1 - rows[1].1).abs() <= 2.6, "{rows:?}");
    let report = inspect(folder, "half.onnx");
    assert_eq!(count(&report, "Cast"), 2);
    assert_eq!(report["inputs"][0]["name"], "input");
}

#[test]
fn bench_tells_time_size_and_multiply_adds_of_each_file() {
    let folder = fresh();
    let folder = folder.path();
    network(folder, "a.onnx", 10, [3, 32, 32]);
    network(folder, "b.onnx", 20, [3, 32, 32]);
    let arguments = "bench a.onnx b.onnx --batch-size 2 --repetitions 5 --warm-up 1 --format json";
    let reports = done(folder, arguments).json();
    assert_eq!(reports.as_array().map(Vec::len), Some(2));
    for report in reports.as_array().unwrap() {
        let median = report["median_ms"].as_f64().unwrap();
        assert!(median > 0.0 && report["p95_ms"].as_f64().unwrap() >= median);
        let file = report["file"].as_str().unwrap();
        assert_eq!(report["bytes"], fs::metadata(folder.join(file)).unwrap().len());
        assert_eq!(report["multiply_adds"], inspect(folder, file)["multiply_adds"]);
    }
    let table = done(folder, "bench a.onnx --repetitions 2 --warm-up 0").stdout;
    assert!(table.contains("median") && table.contains(" ms"), "{table}");
    refused(folder, "bench tiny.toml", &["tiny.toml"]);
}

#[test]
fn a_run_is_pruned_and_distilled_again() {
    let folder = trained();
    let folder = folder.path();
    let answer = done(folder, "prune run --macs 0.5 --out small --epochs 1");
    assert!(answer.stdout.contains("pruned.onnx"), "{}", answer.stdout);
    let before = inspect(folder, "run/student.onnx")["multiply_adds"]
        .as_u64()
        .unwrap();
    // BatchNorm counts one for each element; the student is folded.
    let after = inspect(folder, "small/student.onnx")["multiply_adds"]
        .as_u64()
        .unwrap();
    assert!(
        after * 100 <= before * 52 && after * 100 >= before * 35,
        "{after} of {before}"
    );
    let config = fs::read_to_string(folder.join("small/run.toml")).unwrap();
    assert!(
        config.contains("unpruned.onnx") && config.contains("kd"),
        "{config}"
    );
    accuracy(folder, "small/student.onnx");
    refused(folder, "prune run --out small", &["small"]);
}

#[test]
fn a_file_is_pruned_without_data() {
    let folder = fresh();
    let folder = folder.path();
    network(folder, "net.onnx", 10, [3, 32, 32]);
    done(folder, "prune net.onnx --macs 0.6 --out pruned.onnx");
    let cost = |name: &str| inspect(folder, name)["multiply_adds"].as_u64().unwrap();
    assert!(cost("pruned.onnx") * 10 <= cost("net.onnx") * 6);
    done(folder, "prune net.onnx --macs 0.6 --round-to 4 --out fours.onnx");
    assert!(cost("fours.onnx") * 10 <= cost("net.onnx") * 6);
    for (flags, named) in [
        ("--round-to 0", "--round-to"),
        ("--round-to 1000", "multiple of 1000"),
    ] {
        refused(folder, &format!("prune net.onnx {flags} --out x.onnx"), &[named]);
    }
    refused(folder, "prune net.onnx --macs 0.6", &["--out"]);
    refused(
        folder,
        "prune net.onnx --macs 1.5 --out x.onnx",
        &["--macs", "1.5"],
    );
    refused(
        folder,
        "prune net.onnx --macs 0.6 --by batch-norm --out x.onnx",
        &["--by l1"],
    );
    assert!(!folder.join("x.onnx").exists());
}

#[test]
fn a_student_that_learns_in_integers_is_written_in_them() {
    let folder = fresh();
    let folder = folder.path();
    let config = fs::read_to_string(folder.join("tiny.toml")).unwrap();
    fs::write(
        folder.join("qat.toml"),
        format!("{config}\n[[plugin]]\nname = \"qat\"\n"),
    )
    .unwrap();
    done(folder, "distill qat.toml");
    let result: Value = serde_json::from_slice(&fs::read(folder.join("run/result.json")).unwrap()).unwrap();
    let report = inspect(folder, "run/student.onnx");
    assert!(count(&report, "QuantizeLinear") > 5, "{report}");
    assert_eq!(count(&report, "BatchNormalization"), 0);
    // The file computes what was validated: one picture of 40 may be rounded to another side.
    let validated = result[0]["top1"].as_f64().unwrap();
    assert!(
        (validated - accuracy(folder, "run/student.onnx")).abs() <= 2.6,
        "{result}"
    );
    // Written anew, the ranges are those of training.
    done(folder, "export run -o again.onnx");
    assert_eq!(
        fs::read(folder.join("again.onnx")).unwrap(),
        fs::read(folder.join("run/student.onnx")).unwrap()
    );
    refused(folder, "export run -o half.onnx --precision fp16", &["qat"]);
}

#[test]
fn a_binary_student_is_written_with_two_values_in_each_filter() {
    let folder = fresh();
    let folder = folder.path();
    let config = fs::read_to_string(folder.join("tiny.toml")).unwrap();
    fs::write(
        folder.join("bin.toml"),
        format!("{config}\n[[plugin]]\nname = \"binarize\"\n"),
    )
    .unwrap();
    done(folder, "distill bin.toml");
    let result: Value = serde_json::from_slice(&fs::read(folder.join("run/result.json")).unwrap()).unwrap();
    let validated = result[0]["top1"].as_f64().unwrap();
    assert!(
        (validated - accuracy(folder, "run/student.onnx")).abs() <= 2.6,
        "{result}"
    );
    let graph = potstill_teachers::decode_file(&folder.join("run/student.onnx")).unwrap();
    let mut binary = 0;
    let layers: Vec<usize> = (0..graph.nodes.len())
        .filter(|index| graph.weight_of(*index).is_some())
        .collect();
    for index in &layers {
        let (name, axis) = graph.weight_of(*index).unwrap();
        if axis != 0 {
            continue;
        }
        let data = &graph.tensors[&name].data;
        let values: Vec<f32> = data.iter().collect();
        let filters = data.shape().to_vec()[0];
        let mut filters = values.chunks_exact(values.len() / filters);
        binary += usize::from(filters.all(|filter| filter.iter().all(|w| w.abs() == filter[0].abs())));
    }
    assert_eq!(binary, layers.len() - 2);
}
