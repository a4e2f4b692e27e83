//! CIFAR-10 and CIFAR-100 in their binary layout, as a folder or as the original archive.
//!
//! A. Krizhevsky, *Learning Multiple Layers of Features from Tiny Images*, 2009; layout:
//! <https://www.cs.toronto.edu/~kriz/cifar.html>. A record is one label byte (CIFAR-100: coarse,
//! then fine) and 3,072 bytes of pixels, three planes of 32×32. A file may hold any whole number of
//! records, so that a part of the data set can be cut off with `head -c`.

use super::{DataError, InMemory, Split, source::owned};
use flate2::read::GzDecoder;
use std::{
    fs::File,
    io::{BufReader, ErrorKind, Read},
    path::{Path, PathBuf},
};

const SHAPE: [usize; 3] = [3, 32, 32];
const PIXELS: usize = 3 * 32 * 32;

/// How one of the two data sets is laid out.
pub(super) struct Layout {
    what: &'static str,
    folder: &'static str,
    archive: &'static str,
    train: &'static [&'static str],
    test: &'static [&'static str],
    /// Bytes before the pixels; the last one is the label.
    label_bytes: usize,
    classes: &'static [&'static str],
}

pub(super) const CIFAR10: Layout = Layout {
    what: "CIFAR-10",
    folder: "cifar-10-batches-bin",
    archive: "cifar-10-binary.tar.gz",
    train: &[
        "data_batch_1.bin",
        "data_batch_2.bin",
        "data_batch_3.bin",
        "data_batch_4.bin",
        "data_batch_5.bin",
    ],
    test: &["test_batch.bin"],
    label_bytes: 1,
    classes: &CIFAR10_CLASSES,
};

pub(super) const CIFAR100: Layout = Layout {
    what: "CIFAR-100",
    folder: "cifar-100-binary",
    archive: "cifar-100-binary.tar.gz",
    train: &["train.bin"],
    test: &["test.bin"],
    label_bytes: 2,
    classes: &CIFAR100_CLASSES,
};

/// Reads one split from `dir`: the files in it, the files in the archive's folder, the archive in
/// it, or an archive itself.
///
/// # Errors
/// [`DataError::Missing`] where nothing of that is there; [`DataError::Truncated`],
/// [`DataError::Label`] and [`DataError::Empty`] for what is wrong with a file; [`DataError::Io`].
pub(super) fn open(layout: &Layout, dir: &Path, split: Split) -> Result<InMemory, DataError> {
    let files = match split {
        Split::Train => layout.train,
        Split::Test => layout.test,
    };
    let records = if dir.is_file() {
        read_archive(layout, dir, files)?
    } else if let Some(folder) = [dir.to_owned(), dir.join(layout.folder)]
        .into_iter()
        .find(|folder| folder.join(files[0]).exists())
    {
        let mut records = Records::default();
        for file in files {
            let path = folder.join(file);
            let reader = File::open(&path).map_err(|source| DataError::Io {
                action: "open",
                path: path.clone(),
                source,
            })?;
            records.read(layout, BufReader::with_capacity(1 << 20, reader), &path)?;
        }
        records
    } else if dir.join(layout.archive).exists() {
        read_archive(layout, &dir.join(layout.archive), files)?
    } else {
        let expected = vec![
            format!("`{}`", files[0]),
            format!("`{}/{}`", layout.folder, files[0]),
            format!("`{}`", layout.archive),
        ];
        return Err(DataError::Missing {
            what: layout.what,
            dir: dir.to_owned(),
            expected,
        });
    };
    InMemory::new(SHAPE, owned(layout.classes), records.labels, records.pixels)
}

#[derive(Default)]
struct Records {
    labels: Vec<usize>,
    pixels: Vec<u8>,
}

impl Records {
    /// Appends all records of `reader`; `path` is its name in errors.
    fn read(&mut self, layout: &Layout, mut reader: impl Read, path: &Path) -> Result<(), DataError> {
        let mut bytes = vec![0; layout.label_bytes + PIXELS];
        for record in 0.. {
            let got = fill(&mut reader, &mut bytes).map_err(|source| DataError::Io {
                action: "read",
                path: path.to_owned(),
                source,
            })?;
            if got == 0 && record > 0 {
                break;
            }
            if got == 0 {
                return Err(DataError::Empty {
                    path: path.to_owned(),
                });
            }
            if got < bytes.len() {
                return Err(DataError::Truncated {
                    path: path.to_owned(),
                    record,
                    expected: bytes.len(),
                    got,
                });
            }
            let (labels, pixels) = bytes.split_at(layout.label_bytes);
            let label = usize::from(labels[layout.label_bytes - 1]);
            let classes = layout.classes.len();
            if label >= classes {
                return Err(DataError::Label {
                    path: path.to_owned(),
                    record,
                    label,
                    classes,
                });
            }
            self.labels.push(label);
            self.pixels.extend_from_slice(pixels);
        }
        Ok(())
    }
}

/// Reads `files` out of a `.tar.gz`, in the order of `files` whatever their order in the archive.
fn read_archive(layout: &Layout, path: &Path, files: &[&str]) -> Result<Records, DataError> {
    let unreadable = |source| DataError::Io {
        action: "read archive",
        path: path.to_owned(),
        source,
    };
    let file = File::open(path).map_err(unreadable)?;
    let mut archive = tar::Archive::new(GzDecoder::new(BufReader::with_capacity(1 << 20, file)));
    let mut found: Vec<Option<Records>> = files.iter().map(|_| None).collect();
    for entry in archive.entries().map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let name = entry.path().map_err(unreadable)?.into_owned();
        let wanted = files
            .iter()
            .position(|file| name.file_name().is_some_and(|last| last == *file));
        if let Some(place) = wanted {
            let kind = entry.header().entry_type();
            // A sparse file is as long as its header says, without bytes that would stand for it.
            if !kind.is_file() {
                return Err(DataError::Header {
                    path: path.join(name),
                    field: "the type of the archive's entry",
                    expected: "a plain file".into(),
                    got: format!("{kind:?}"),
                });
            }
            let mut records = Records::default();
            records.read(layout, entry, &path.join(name))?;
            found[place] = Some(records);
        }
        if found.iter().all(Option::is_some) {
            break;
        }
    }
    let mut all: Option<Records> = None;
    for (file, records) in files.iter().zip(found) {
        let Some(records) = records else {
            return Err(DataError::Missing {
                what: layout.what,
                dir: PathBuf::from(path),
                expected: vec![format!("`{file}`")],
            });
        };
        match &mut all {
            Some(all) => {
                all.labels.extend(records.labels);
                all.pixels.extend(records.pixels);
            }
            None => all = Some(records),
        }
    }
    Ok(all.unwrap_or_default())
}

/// Fills `buffer` as far as `reader` goes and returns how far that was.
fn fill(reader: &mut impl Read, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match reader.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            // A gzip stream that breaks off is a truncated record, like a plain file that does.
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => break,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

const CIFAR10_CLASSES: [&str; 10] = [
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
];

// The order of `fine_label_names.txt` in the archive.
#[rustfmt::skip]
const CIFAR100_CLASSES: [&str; 100] = [
    "apple", "aquarium_fish", "baby", "bear", "beaver", "bed", "bee", "beetle", "bicycle", "bottle",
    "bowl", "boy", "bridge", "bus", "butterfly", "camel", "can", "castle", "caterpillar", "cattle",
    "chair", "chimpanzee", "clock", "cloud", "cockroach", "couch", "crab", "crocodile", "cup", "dinosaur",
    "dolphin", "elephant", "flatfish", "forest", "fox", "girl", "hamster", "house", "kangaroo", "keyboard",
    "lamp", "lawn_mower", "leopard", "lion", "lizard", "lobster", "man", "maple_tree", "motorcycle", "mountain",
    "mouse", "mushroom", "oak_tree", "orange", "orchid", "otter", "palm_tree", "pear", "pickup_truck", "pine_tree",
    "plain", "plate", "poppy", "porcupine", "possum", "rabbit", "raccoon", "ray", "road", "rocket",
    "rose", "sea", "seal", "shark", "shrew", "skunk", "skyscraper", "snail", "snake", "spider",
    "squirrel", "streetcar", "sunflower", "sweet_pepper", "table", "tank", "telephone", "television", "tiger", "tractor",
    "train", "trout", "tulip", "turtle", "wardrobe", "whale", "willow_tree", "wolf", "woman", "worm",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Pipeline, Purpose, Source, dataset, stream};
    use crate::npz::NpzReader;
    use flate2::{Compression, write::GzEncoder};
    use potstill_evidence::{cifar100, record};
    use std::fs;

    /// CIFAR-100 records with these fine labels; every pixel of a record is its number.
    fn records(labels: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (number, &label) in labels.iter().enumerate() {
            bytes.extend([0, label]);
            bytes.extend([number as u8; PIXELS]);
        }
        bytes
    }

    fn archive(files: &[(&str, Vec<u8>)]) -> Vec<u8> {
        let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
        for (name, bytes) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o644);
            tar.append_data(&mut header, name, bytes.as_slice()).unwrap();
        }
        tar.into_inner().unwrap().finish().unwrap()
    }

    #[test]
    fn folder_and_archive_hold_the_same_images() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("train.bin"), records(&[7, 99, 0])).unwrap();
        let plain = open(&CIFAR100, dir.path(), Split::Train).unwrap();

        let packed = tempfile::tempdir().unwrap();
        let bytes = archive(&[
            ("cifar-100-binary/test.bin", records(&[1])),
            ("cifar-100-binary/train.bin", records(&[7, 99, 0])),
        ]);
        let path = packed.path().join("cifar-100-binary.tar.gz");
        fs::write(&path, bytes).unwrap();
        for place in [packed.path(), &path] {
            let source = open(&CIFAR100, place, Split::Train).unwrap();
            assert_eq!(source.len(), 3);
            for index in 0..3 {
                assert_eq!(source.read(index).unwrap(), plain.read(index).unwrap());
            }
        }
        assert_eq!(plain.classes()[plain.label(1).unwrap()], "worm");
    }

    #[test]
    fn cifar10_batches_keep_their_order_whatever_the_archives_order() {
        let dir = tempfile::tempdir().unwrap();
        let record = |label: u8| [vec![label], vec![label; PIXELS]].concat();
        let files: Vec<_> = (1..=5)
            .rev()
            .map(|n: u8| (format!("x/data_batch_{n}.bin"), record(n)))
            .collect();
        let files: Vec<_> = files
            .iter()
            .map(|(name, bytes)| (name.as_str(), bytes.clone()))
            .collect();
        fs::write(dir.path().join("cifar-10-binary.tar.gz"), archive(&files)).unwrap();
        let source = open(&CIFAR10, dir.path(), Split::Train).unwrap();
        let labels: Vec<_> = (0..5).map(|index| source.label(index).unwrap()).collect();
        assert_eq!(labels, [1, 2, 3, 4, 5]);
        let missing = open(&CIFAR10, dir.path(), Split::Test).err().unwrap();
        assert!(missing.to_string().contains("test_batch.bin"), "{missing}");
    }

    #[test]
    fn a_truncated_file_names_file_record_and_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("train.bin");
        fs::write(&path, &records(&[1, 2])[..4000]).unwrap();
        let error = open(&CIFAR100, dir.path(), Split::Train).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "`{}` is truncated: record 1 should have 3074 bytes, got 926",
                path.display()
            )
        );
        fs::write(&path, []).unwrap();
        assert!(matches!(
            open(&CIFAR100, dir.path(), Split::Train),
            Err(DataError::Empty { .. })
        ));
    }

    #[test]
    fn a_truncated_archive_is_an_error_that_names_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cifar-100-binary.tar.gz");
        let bytes = archive(&[(
            "train.bin",
            (0..20_000u32)
                .map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8 % 90)
                .collect(),
        )]);
        fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        let error = open(&CIFAR100, dir.path(), Split::Train).unwrap_err();
        assert!(matches!(error, DataError::Truncated { .. }), "{error:?}");
        assert!(error.to_string().contains("cifar-100-binary.tar.gz"));
        fs::write(&path, b"not gzip").unwrap();
        assert!(matches!(
            open(&CIFAR100, dir.path(), Split::Train),
            Err(DataError::Io { .. })
        ));
    }

    #[test]
    fn a_hole_that_only_the_archives_header_fills_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cifar-100-binary.tar.gz");
        let mut header = tar::Header::new_gnu();
        header.set_path("train.bin").unwrap();
        header.set_entry_type(tar::EntryType::GNUSparse);
        header.set_size(0);
        let gnu = header.as_gnu_mut().unwrap();
        // 8 GiB of zeros, which would be 2.8 million pictures of label 0.
        for field in [&mut gnu.sparse[0].offset, &mut gnu.realsize] {
            field.copy_from_slice(b"77777777000\0");
        }
        gnu.sparse[0].numbytes.copy_from_slice(b"00000000000\0");
        header.set_cksum();
        let mut zipped = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut zipped, &[header.as_bytes(), &[0; 1024][..]].concat()).unwrap();
        fs::write(&path, zipped.finish().unwrap()).unwrap();
        let error = open(&CIFAR100, dir.path(), Split::Train).unwrap_err().to_string();
        assert!(
            error.contains("train.bin") && error.contains("expected a plain file"),
            "{error}"
        );
    }

    #[test]
    fn a_label_beyond_the_classes_names_its_record() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("train.bin"), records(&[99, 100])).unwrap();
        let error = open(&CIFAR100, dir.path(), Split::Train).unwrap_err();
        assert!(
            matches!(
                error,
                DataError::Label {
                    record: 1,
                    label: 100,
                    classes: 100,
                    ..
                }
            ),
            "{error}"
        );
    }

    #[test]
    fn an_empty_folder_lists_what_was_looked_for() {
        let dir = tempfile::tempdir().unwrap();
        let text = open(&CIFAR100, dir.path(), Split::Test).unwrap_err().to_string();
        assert!(
            text.contains("`test.bin`, or `cifar-100-binary/test.bin`, or `cifar-100-binary.tar.gz`"),
            "{text}"
        );
    }

    #[test]
    fn the_original_archive_gives_what_pytorch_saw() {
        let Some(dir) = cifar100() else { return };
        let train = open(&CIFAR100, &dir, Split::Train).unwrap();
        assert_eq!(train.len(), 50_000);
        let test = open(&CIFAR100, &dir, Split::Test).unwrap();
        assert_eq!(test.len(), 10_000);

        // `input` and `labels`: test images as torchvision's ToTensor and Normalize gave them to a
        // teacher. They are looked for by what they show: archives differ in the order of their
        // records.
        let mut arrays = NpzReader::open(&record("pytorch/resnet20x2-cifar100.npz")).unwrap();
        let input: Vec<f32> = arrays.array("input").unwrap().unwrap().into_vec().unwrap();
        let labels: Vec<i64> = arrays.array("labels").unwrap().unwrap().into_vec().unwrap();
        let pipeline: Pipeline = dataset("cifar100").unwrap().pipeline();
        let preparation = pipeline.resolve(&test, Split::Test).unwrap();
        let mut image = vec![0.0; PIXELS];
        assert_eq!(labels.len(), 64);
        for (picture, (&label, theirs)) in labels.iter().zip(input.chunks_exact(PIXELS)).enumerate() {
            let mut same = 0;
            for index in 0..test.len() {
                let sample = test.read(index).unwrap();
                if sample.label as i64 != label {
                    continue;
                }
                let mut random = stream(0, Purpose::Augment, 0, 0);
                preparation
                    .apply(index, sample.image, &mut random, &mut image)
                    .unwrap();
                same += usize::from(image.iter().zip(theirs).all(|(a, b)| (a - b).abs() < 1e-5));
            }
            assert_eq!(same, 1, "test images of class {label} that are picture {picture}");
        }
    }
}
