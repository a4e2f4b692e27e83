//! Data sets. Each gets the bytes in every place where a reader would look for such a file.

use std::io::Write;
use std::path::Path;

use flate2::{Compression, write::GzEncoder};
use potstill_core::data::{DataSpec, ImageFolder, Split, Whitening, dataset, open};
use tempfile::TempDir;

use super::place::{folder, put};
use super::worded;

thread_local! {
    static CIFAR: TempDir = folder();
    static IDX: TempDir = folder();
    static PICTURE: TempDir = folder();
    static WHITENING: TempDir = folder();
}

/// Opens a split and reads its first and last image.
fn read(name: &str, place: &Path, split: Split) {
    let spec = DataSpec {
        name: name.to_owned(),
        dir: Some(place.to_owned()),
        ..DataSpec::default()
    };
    let Some(source) = worded(open(&spec, split)) else {
        return;
    };
    for index in [0, source.len().saturating_sub(1)] {
        worded(source.label(index));
        worded(source.read(index));
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() + 64), Compression::none());
    encoder
        .write_all(bytes)
        .and_then(|()| encoder.finish())
        .expect("memory takes what is written")
}

/// CIFAR's binary layout: the bytes as a file of records, as a gzip file, and as an archive inside
/// one.
pub fn cifar(bytes: &[u8]) {
    CIFAR.with(|folder| {
        let folder = folder.path();
        put(folder, "plain/train.bin", bytes);
        put(folder, "plain/test_batch.bin", bytes);
        read("cifar100", &folder.join("plain"), Split::Train);
        read("cifar10", &folder.join("plain"), Split::Test);
        for (name, archive) in [("compressed.tar.gz", bytes), ("tar.tar.gz", &gzip(bytes))] {
            let path = put(folder, name, archive);
            read("cifar100", &path, Split::Train);
            read("cifar10", &path, Split::Train);
        }
    });
}

/// MNIST's idx files: the bytes as images and as labels, as they are and as a gzip file.
pub fn idx(bytes: &[u8]) {
    let images = [&[0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 28, 0, 0, 0, 28][..], &[7; 784]].concat();
    let labels = [0, 0, 8, 1, 0, 0, 0, 1, 7];
    IDX.with(|folder| {
        for (place, images, labels) in [("images", bytes, &labels[..]), ("labels", &images, bytes)] {
            let place = folder.path().join(place);
            put(&place, "train-images-idx3-ubyte", images);
            put(&place, "train-labels-idx1-ubyte", labels);
            put(&place, "t10k-images-idx3-ubyte.gz", bytes);
            put(&place, "t10k-labels-idx1-ubyte.gz", &gzip(labels));
            read("mnist", &place, Split::Train);
            read("mnist", &place, Split::Test);
        }
    });
}

/// A picture in a folder of one class: what the bytes are decides the format.
pub fn picture(bytes: &[u8]) {
    PICTURE.with(|folder| {
        put(folder.path(), "train/class/picture.png", bytes);
        let Some(pictures) = worded(ImageFolder::open(folder.path(), Split::Train)) else {
            return;
        };
        worded(potstill_core::data::Source::read(&pictures, 0));
    });
}

/// Lines: as the list of classes beside ImageNet's validation pictures, and as the names of
/// Market-1501's pictures.
pub fn names(bytes: &[u8]) {
    const MOST_FILES: usize = 8;
    let folder = folder();
    let folder = folder.path();
    put(folder, "train/class/a.png", b"");
    put(folder, "val/ILSVRC2012_val_00000001.JPEG", b"");
    put(folder, "val_labels.txt", bytes);
    read("folder", folder, Split::Test);
    let text = String::from_utf8_lossy(bytes);
    let is_name = |name: &&str| {
        !name.is_empty() && name.len() < 200 && !name.contains(['/', '\0']) && !name.starts_with('.')
    };
    for name in text.lines().filter(is_name).take(MOST_FILES) {
        for place in ["bounding_box_train", "query", "bounding_box_test"] {
            put(folder, &format!("{place}/{name}"), b"");
        }
    }
    read("market1501", folder, Split::Train);
    read("market1501", folder, Split::Test);
    let spec = DataSpec {
        name: "market1501".to_owned(),
        dir: Some(folder.to_owned()),
        ..DataSpec::default()
    };
    if let Some(retrieval) = worded(dataset(&spec.name)).and_then(|info| info.retrieval) {
        worded(retrieval(&spec));
    }
}

/// A fitted whitening.
pub fn whitening(bytes: &[u8]) {
    WHITENING.with(|folder| {
        let path = put(folder.path(), Whitening::FILE, bytes);
        let Some(whitening) = worded(Whitening::read(&path, None)) else {
            return;
        };
        worded(whitening.check(&[], [3, 2, 2]));
        worded(whitening.sha256());
    });
}
