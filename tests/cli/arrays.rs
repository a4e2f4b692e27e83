//! `run`: arrays in, arrays out.

use std::path::Path;

use npyz::WriterBuilder;
use npyz::npz::{NpzArchive, NpzWriter};

use crate::potstill::{done, network};

const PICTURE: [usize; 3] = [3, 32, 32];

/// Writes `count` pictures as the array `name` of an archive.
fn pictures(path: &Path, name: &str, count: usize, picture: [usize; 3]) {
    let mut archive = NpzWriter::create(path).unwrap();
    let shape: Vec<u64> = [count]
        .iter()
        .chain(&picture)
        .map(|extent| *extent as u64)
        .collect();
    let array = archive.array(name, Default::default()).unwrap();
    let mut writer = array.default_dtype().shape(&shape).begin_nd().unwrap();
    let elements = shape.iter().product::<u64>();
    writer
        .extend((0..elements).map(|index| (index as f32 * 0.37).sin()))
        .unwrap();
    writer.finish().unwrap();
}

fn array(path: &Path, name: &str) -> (Vec<u64>, Vec<f32>) {
    let mut archive = NpzArchive::open(path).unwrap();
    let array = archive.by_name(name).unwrap().unwrap();
    (array.shape().to_vec(), array.into_vec().unwrap())
}

#[test]
fn a_picture_gives_the_same_in_every_batch() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    network(folder, "network.onnx", 20, PICTURE);
    for count in [1, 3, 7] {
        pictures(&folder.join(format!("in{count}.npz")), "input", count, PICTURE);
        let arguments =
            format!("run network.onnx --input in{count}.npz --output out{count}.npz --tap layer1.0.add");
        let answer = done(folder, &arguments);
        assert!(
            answer.stdout.contains(&format!("logits [{count}, 20]")),
            "{answer:?}"
        );
    }
    let (_, alone) = array(&folder.join("out1.npz"), "logits");
    for count in [3, 7] {
        let out = folder.join(format!("out{count}.npz"));
        let (shape, logits) = array(&out, "logits");
        assert_eq!(shape, [count, 20]);
        for (one, among) in alone.iter().zip(&logits) {
            assert!((one - among).abs() < 1e-5, "{one} {among}");
        }
        assert_eq!(array(&out, "layer1.0.add").0[0], count);
    }
}
