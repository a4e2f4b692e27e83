//! Small valid files of every kind, and a few that once did harm.

use std::collections::HashMap;
use std::io::{Cursor, Write};
use std::path::Path;

use flate2::{Compression, write::GzEncoder};
use image::{ImageFormat, Rgb, RgbImage};
use safetensors::{Dtype, serialize, tensor::TensorView};

use super::targets::runs;

/// Named bytes.
pub type Seeds = Vec<(String, Vec<u8>)>;

/// The seeds of a target.
pub fn of(target: &str) -> Seeds {
    match target {
        "onnx" | "network" => models(),
        "cifar" => numbered(cifar()),
        "idx" => numbered(idx()),
        "picture" => numbered(pictures()),
        "names" => numbered([
            b"a.JPEG class\nILSVRC2012_val_00000001.JPEG class\n".to_vec(),
            b"ImageId,PredictionString\nILSVRC2012_val_00000001,class 85 1 499 272 \n".to_vec(),
            b"0002_c1s1_000451_03.jpg\n0002_c1s1_000451_04.jpg\n-1_c6s4_001877_02.jpg\n0000_c3s2_000000_00.png".to_vec(),
            (0..8).map(|frame| format!("1501_c2s1_{frame:06}_01.jpg\n")).collect::<String>().into_bytes(),
        ]),
        "whitening" => numbered([whitening(&[3, 1, 2], &[6, 6]), whitening(&[1, 2, 2], &[4, 4])]),
        "cache" => numbered(caches()),
        "checkpoint" => numbered(runs::checkpoint_parts()),
        "record" => numbered([record()]),
        "settings" => settings(),
        other => panic!("{other} has no seeds"),
    }
}

fn numbered(files: impl IntoIterator<Item = Vec<u8>>) -> Seeds {
    let name = |(number, bytes): (usize, Vec<u8>)| (format!("seed-{number}"), bytes);
    files.into_iter().enumerate().map(name).collect()
}

/// The workspace.
pub fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// The files of a folder with this ending, in the order of their names.
fn files(folder: &str, ending: &str) -> Seeds {
    let mut files: Seeds = std::fs::read_dir(root().join(folder))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == ending))
        .map(|path| {
            (
                path.file_name().unwrap().to_string_lossy().into_owned(),
                std::fs::read(&path).unwrap(),
            )
        })
        .collect();
    files.sort();
    files
}

/// A model for each operator, and for each form of it.
fn models() -> Seeds {
    files("tests/interop/operators", "onnx")
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn tar(name: &str, bytes: &[u8]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(bytes.len() as u64);
    header.set_mode(0o644);
    header.set_cksum();
    archive.append_data(&mut header, name, bytes).unwrap();
    archive.into_inner().unwrap()
}

fn cifar() -> Vec<Vec<u8>> {
    let record = [&[3, 7][..], &[90; 3072]].concat();
    let batch = [&[7][..], &[90; 3072]].concat();
    let archive = tar("cifar-100-binary/train.bin", &record);
    let long = tar(&format!("{}/train.bin", "folder/".repeat(30)), &record);
    vec![
        [record.clone(), record.clone()].concat(),
        batch.clone(),
        gzip(&archive),
        archive,
        long,
        tar("data_batch_1.bin", &batch),
        sparse(&record),
    ]
}

/// An archive with a file that consists of a hole and a record: the header alone says how long the
/// hole is.
fn sparse(record: &[u8]) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.set_path("train.bin").unwrap();
    header.set_entry_type(tar::EntryType::GNUSparse);
    header.set_size(record.len() as u64);
    header.set_mode(0o644);
    let hole = 100 * record.len();
    let gnu = header.as_gnu_mut().unwrap();
    octal(&mut gnu.sparse[0].offset, hole);
    octal(&mut gnu.sparse[0].numbytes, record.len());
    octal(&mut gnu.realsize, hole + record.len());
    header.set_cksum();
    let padding = record.len().next_multiple_of(512) - record.len();
    [header.as_bytes(), record, &vec![0; padding + 1024]].concat()
}

fn octal(field: &mut [u8], number: usize) {
    let text = format!("{number:0width$o}\0", width = field.len() - 1);
    field.copy_from_slice(text.as_bytes());
}

fn idx() -> Vec<Vec<u8>> {
    let images = [&[0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 28, 0, 0, 0, 28][..], &[9; 784]].concat();
    let labels = vec![0, 0, 8, 1, 0, 0, 0, 1, 7];
    vec![gzip(&images), gzip(&labels), images, labels]
}

fn pictures() -> Vec<Vec<u8>> {
    let picture = RgbImage::from_fn(9, 7, |x, y| Rgb([x as u8 * 20, y as u8 * 30, 99]));
    let written = |format| {
        let mut bytes = Cursor::new(Vec::new());
        picture.write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    };
    vec![
        written(ImageFormat::Png),
        written(ImageFormat::Jpeg),
        written(ImageFormat::WebP),
    ]
}

fn tensors(tensors: &[(&str, Dtype, &[usize])], metadata: &[(&str, &str)]) -> Vec<u8> {
    let contents: Vec<Vec<u8>> = tensors
        .iter()
        .map(|(_, dtype, shape)| vec![0; shape.iter().product::<usize>() * dtype.bitsize() / 8])
        .collect();
    let views = tensors
        .iter()
        .zip(&contents)
        .map(|((name, dtype, shape), bytes)| {
            (*name, TensorView::new(*dtype, shape.to_vec(), bytes).unwrap())
        });
    let metadata: HashMap<String, String> = metadata
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect();
    serialize(views, Some(metadata)).unwrap()
}

fn whitening(mean: &[usize], matrix: &[usize]) -> Vec<u8> {
    tensors(
        &[("mean", Dtype::F32, mean), ("matrix", Dtype::F32, matrix)],
        &[("normalise", "gcn:scale=55,bias=0 zca:eps=0.1")],
    )
}

fn record() -> Vec<u8> {
    tensors(
        &[
            ("student_logits", Dtype::F32, &[2, 3]),
            ("members", Dtype::F32, &[2, 3, 2]),
            ("labels", Dtype::I64, &[2]),
            ("loss", Dtype::F32, &[]),
            ("grad.student_logits", Dtype::F32, &[2, 3]),
        ],
        &[("hp.epoch", "3")],
    )
}

/// A file of the target's own key, one of another, and one that is cut off.
fn caches() -> Vec<Vec<u8>> {
    let file = |samples: usize| {
        let mut key = runs::cache_key();
        key.pictures.samples = samples;
        let text = serde_json::to_vec(&key).unwrap();
        let mut bytes = [
            b"PSOUTPUT",
            &1_u32.to_le_bytes()[..],
            &(text.len() as u32).to_le_bytes(),
            &text,
        ]
        .concat();
        bytes.extend(crc(&text).to_le_bytes());
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        bytes.resize(key.file_bytes().unwrap() as usize, 0);
        bytes
    };
    let own = file(5);
    let mut full = own.clone();
    let index = own.len() - 10 * (8 + 4 + 2 * 3 + 4 + 2 * 4);
    for record in 0..10 {
        full[index + 8 * record..][..4].copy_from_slice(b"FILL");
    }
    vec![own[..own.len() / 2].to_vec(), own, full, file(6)]
}

/// CRC-32, as a gzip file has it at its end.
fn crc(bytes: &[u8]) -> u32 {
    let zipped = gzip(bytes);
    let end = zipped.len() - 8;
    u32::from_le_bytes(zipped[end..end + 4].try_into().unwrap())
}

/// The recipes' tables one by one, and a text of each notation.
fn settings() -> Seeds {
    let mut seeds = numbered(
        [
            "pad-crop:padding=4",
            "random-resized-crop:size=224,min_scale=0.08",
            "stretch:height=160,width=64",
            "zca:samples=9,eps=1e-3",
            "linear(0.9, 0.5, 80)",
            "step(0.1, 10=0.2, 20=0.3)",
            "kd:temperature=4,alpha=linear(0.9, 0.5, 80),teacher-errors=skip",
            "train = ['flip']\ntest = ['centre-crop:size=8']\nmean = [0.5]\nstd = [0.25]\nnormalise = ['gcn', 'zca']",
            "name = 'glyphs'\nglyphs = { train = 40, difficulty = 0.5 }",
        ]
        .map(|text| text.as_bytes().to_vec()),
    );
    for (name, bytes) in files("recipes", "toml") {
        let recipe: toml::Table = toml::from_str(std::str::from_utf8(&bytes).unwrap()).unwrap();
        for (key, value) in &recipe {
            if let Some(table) = value.as_table() {
                seeds.push((
                    format!("{name}.{key}"),
                    toml::to_string(table).unwrap().into_bytes(),
                ));
            }
        }
    }
    seeds
}
