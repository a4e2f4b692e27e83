//! Teachers that differ: another size, another normalisation, another order of the classes.

use std::fs;
use std::path::Path;

use potstill_core::data::GLYPH_CLASSES;

use crate::potstill::{done, fresh, network, refused};

/// Adds teachers and the method to the configuration of a tiny run.
fn taught(folder: &Path, teachers: &str, method: &str) {
    let path = folder.join("tiny.toml");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(
        path,
        format!("{text}\n{teachers}\n[[plugin]]\nname = \"kd\"\n{method}\n"),
    )
    .unwrap();
}

fn top1_of(folder: &Path, network: &str) -> f64 {
    let text = fs::read_to_string(folder.join("run/result.json")).unwrap();
    let rows: serde_json::Value = serde_json::from_str(&text).unwrap();
    let row = rows
        .as_array()
        .unwrap()
        .iter()
        .find(|row| row["network"].as_str().is_some_and(|name| name.contains(network)));
    row.unwrap_or_else(|| panic!("no `{network}` in {text}"))["top1"]
        .as_f64()
        .unwrap()
}

#[test]
fn teachers_of_other_pictures_and_classes_teach_beside_one_another() {
    let folder = fresh();
    let folder = folder.path();
    network(folder, "plain.onnx", 20, [3, 32, 32]);
    network(folder, "small.onnx", 20, [3, 16, 16]);
    fs::copy(folder.join("plain.onnx"), folder.join("reversed.onnx")).unwrap();
    let classes: Vec<&str> = GLYPH_CLASSES.iter().rev().copied().collect();
    fs::write(folder.join("classes.txt"), classes.join("\n")).unwrap();
    taught(
        folder,
        "[[teacher]]\nfile = \"plain.onnx\"\n\
         [[teacher]]\nfile = \"small.onnx\"\nsize = [16, 16]\nmean = [0.5, 0.5, 0.5]\nstd = [0.25, 0.25, 0.25]\n\
         [[teacher]]\nfile = \"reversed.onnx\"\nclasses = \"classes.txt\"\n",
        "teacher-weights = \"confidence\"",
    );
    done(folder, "distill tiny.toml");
    let kept = fs::read_to_string(folder.join("run/run.toml")).unwrap();
    assert!(
        kept.contains("size = [16, 16]") || kept.contains("size = [\n"),
        "{kept}"
    );
    // An untrained network with its classes backwards is right where the plain one would name the
    // mirrored class.
    assert!(top1_of(folder, "plain") <= 100.0 && top1_of(folder, "reversed") <= 100.0);
    done(folder, "distill --resume --out run --epochs 2");
}

#[test]
fn a_table_that_does_not_fit_is_refused() {
    for (teacher, pieces) in [
        ("size = [16, 16]", &["teacher.onnx", "32, 32", "16, 16"][..]),
        ("mean = [0.5]", &["teacher.mean", "3 channels"]),
        ("std = [0.0, 0.1, 0.1]", &["teacher.std", "above 0"]),
        (
            "classes = \"classes.txt\"",
            &["classes.txt", "`ring`", "did you mean `rings`"],
        ),
        ("classes = \"missing.txt\"", &["missing.txt"]),
        ("siez = [16, 16]", &["siez", "size"]),
    ] {
        let folder = fresh();
        let folder = folder.path();
        network(folder, "teacher.onnx", 20, [3, 32, 32]);
        let classes = GLYPH_CLASSES.map(|class| if class == "ring" { "rings" } else { class });
        fs::write(folder.join("classes.txt"), classes.join("\n")).unwrap();
        taught(
            folder,
            &format!("[[teacher]]\nfile = \"teacher.onnx\"\n{teacher}\n"),
            "",
        );
        refused(folder, "distill tiny.toml", pieces);
        assert!(!folder.join("run").exists(), "{teacher}");
    }
}
