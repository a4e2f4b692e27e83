//! MNIST and Fashion-MNIST: idx files, gzipped or not.
//!
//! Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, *Gradient-Based Learning Applied to Document
//! Recognition*, 1998; H. Xiao, K. Rasul, R. Vollgraf, arXiv:1708.07747. An idx file is a
//! big-endian header (two zero bytes, the element type, the number of dimensions, each dimension as
//! 32 bits), then the bytes.

use super::{DataError, InMemory, Split, source::owned};
use flate2::read::MultiGzDecoder;
use std::{
    fs::File,
    io::{BufReader, ErrorKind, Read},
    path::{Path, PathBuf},
};

const SIDE: u32 = 28;

pub(super) const DIGITS: [&str; 10] = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];

pub(super) const FASHION: [&str; 10] = [
    "t-shirt",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle boot",
];

/// Reads one split from `dir` (or `dir/raw`, where torchvision puts the files).
///
/// # Errors
/// [`DataError::Missing`], [`DataError::Header`], [`DataError::Truncated`], [`DataError::TooLong`],
/// [`DataError::Label`], [`DataError::Io`].
pub(super) fn open(
    what: &'static str,
    classes: &[&str],
    dir: &Path,
    split: Split,
) -> Result<InMemory, DataError> {
    let prefix = match split {
        Split::Train => "train",
        Split::Test => "t10k",
    };
    let images_path = find(what, dir, &format!("{prefix}-images"), "idx3-ubyte")?;
    let labels_path = find(what, dir, &format!("{prefix}-labels"), "idx1-ubyte")?;
    let pixels = read(&images_path, [Some(SIDE), Some(SIDE)])?;
    let labels = read(&labels_path, [None, None])?;
    let count = pixels.len() / (SIDE * SIDE) as usize;
    if labels.len() != count {
        let (expected, got) = (count.to_string(), labels.len().to_string());
        return Err(DataError::Header {
            path: labels_path,
            field: "the number of labels",
            expected,
            got,
        });
    }
    if count == 0 {
        return Err(DataError::Empty { path: images_path });
    }
    let labels: Vec<usize> = labels.into_iter().map(usize::from).collect();
    if let Some((record, &label)) = labels
        .iter()
        .enumerate()
        .find(|&(_, &label)| label >= classes.len())
    {
        return Err(DataError::Label {
            path: labels_path,
            record,
            label,
            classes: classes.len(),
        });
    }
    InMemory::new([1, SIDE as usize, SIDE as usize], owned(classes), labels, pixels)
}

/// The first of the names under which mirrors keep a file.
fn find(what: &'static str, dir: &Path, stem: &str, kind: &str) -> Result<PathBuf, DataError> {
    let names = [
        format!("{stem}-{kind}"),
        format!("{stem}-{kind}.gz"),
        format!("{stem}.{kind}"),
        format!("{stem}.{kind}.gz"),
    ];
    let places = [dir.to_owned(), dir.join("raw")];
    let found = places
        .iter()
        .flat_map(|place| names.iter().map(|name| place.join(name)))
        .find(|path| path.is_file());
    found.ok_or_else(|| DataError::Missing {
        what,
        dir: dir.to_owned(),
        expected: names[..2].iter().map(|name| format!("`{name}`")).collect(),
    })
}

/// The bytes of an idx file whose dimensions after the first are `inner`.
fn read(path: &Path, inner: [Option<u32>; 2]) -> Result<Vec<u8>, DataError> {
    let io = |source| DataError::Io {
        action: "read",
        path: path.to_owned(),
        source,
    };
    let file = BufReader::new(File::open(path).map_err(io)?);
    let mut reader: Box<dyn Read> = match path.extension() {
        Some(extension) if extension == "gz" => Box::new(MultiGzDecoder::new(file)),
        _ => Box::new(file),
    };

    let inner: Vec<u32> = inner.into_iter().flatten().collect();
    let items = header(&mut reader, path, &inner)?;
    let item: usize = inner.iter().map(|&side| side as usize).product();
    let expected = items as usize * item;
    // The buffer grows with what is read, never with what the header claims; one byte more shows a
    // file that goes on.
    let mut bytes = Vec::new();
    match reader.take(expected as u64 + 1).read_to_end(&mut bytes) {
        Ok(_) => {}
        Err(source) if source.kind() == ErrorKind::UnexpectedEof => {}
        Err(source) => return Err(io(source)),
    }
    if bytes.len() > expected {
        return Err(DataError::TooLong {
            path: path.to_owned(),
            expected,
        });
    }
    if bytes.len() < expected {
        let (record, got) = (bytes.len() / item, bytes.len() % item);
        return Err(DataError::Truncated {
            path: path.to_owned(),
            record,
            expected: item,
            got,
        });
    }
    Ok(bytes)
}

/// Reads the header of an idx file whose dimensions after the first are `inner`: the number of
/// items.
fn header(reader: &mut impl Read, path: &Path, inner: &[u32]) -> Result<u32, DataError> {
    let fields = [
        "the magic number",
        "the number of items",
        "the number of rows",
        "the number of columns",
    ];
    // 0x08: unsigned bytes.
    let magic = 0x0800 + 1 + inner.len() as u32;
    let expected = [Some(magic), None]
        .into_iter()
        .chain(inner.iter().copied().map(Some));
    let mut items = 0;
    for (number, (field, expected)) in fields.into_iter().zip(expected).enumerate() {
        let mut word = [0; 4];
        reader
            .read_exact(&mut word)
            .map_err(|source| match source.kind() {
                ErrorKind::UnexpectedEof => DataError::Header {
                    path: path.to_owned(),
                    field,
                    expected: "4 bytes".into(),
                    got: "the end of the file".into(),
                },
                _ => DataError::Io {
                    action: "read",
                    path: path.to_owned(),
                    source,
                },
            })?;
        let got = u32::from_be_bytes(word);
        if let Some(expected) = expected
            && got != expected
        {
            return Err(DataError::Header {
                path: path.to_owned(),
                field,
                expected: format!("{expected:#x}"),
                got: format!("{got:#x}"),
            });
        }
        if number == 1 {
            items = got;
        }
    }
    Ok(items)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Source;
    use flate2::{Compression, write::GzEncoder};
    use std::{fs, io::Write};

    fn idx(magic: u32, dimensions: &[u32], bytes: &[u8]) -> Vec<u8> {
        let mut file = magic.to_be_bytes().to_vec();
        dimensions.iter().for_each(|side| file.extend(side.to_be_bytes()));
        file.extend(bytes);
        file
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn images(count: u32) -> Vec<u8> {
        let pixels: Vec<u8> = (0..count as usize * 784).map(|n| (n / 784) as u8).collect();
        idx(0x803, &[count, 28, 28], &pixels)
    }

    fn open_with(images: &[u8], labels: &[u8]) -> Result<InMemory, DataError> {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("train-images-idx3-ubyte"), images).unwrap();
        fs::write(dir.path().join("train-labels-idx1-ubyte.gz"), gzip(labels)).unwrap();
        open("MNIST", &DIGITS, dir.path(), Split::Train)
    }

    #[test]
    fn plain_and_gzipped_files_are_read() {
        let source = open_with(&images(2), &idx(0x801, &[2], &[3, 9])).unwrap();
        assert_eq!(
            (source.len(), source.channels(), source.size()),
            (2, 1, Some([28, 28]))
        );
        let sample = source.read(1).unwrap();
        assert_eq!((sample.label, sample.image.pixels), (9, vec![1; 784]));
    }

    #[test]
    fn a_header_that_promises_too_much_is_a_truncation_not_an_allocation() {
        let huge = idx(0x803, &[u32::MAX, 28, 28], &[0; 800]);
        let error = open_with(&huge, &idx(0x801, &[1], &[0])).unwrap_err();
        assert!(
            matches!(
                error,
                DataError::Truncated {
                    record: 1,
                    expected: 784,
                    got: 16,
                    ..
                }
            ),
            "{error}"
        );
    }

    #[test]
    fn each_way_to_break_a_file_has_its_error() {
        let labels = idx(0x801, &[2], &[0, 1]);
        let error = |images: &[u8], labels: &[u8]| open_with(images, labels).unwrap_err();
        assert!(matches!(
            error(&idx(0x801, &[2], &[]), &labels),
            DataError::Header {
                field: "the magic number",
                ..
            }
        ));
        assert!(matches!(
            error(&idx(0x803, &[2, 28, 29], &[]), &labels),
            DataError::Header {
                field: "the number of columns",
                ..
            }
        ));
        assert!(matches!(error(&[0, 0, 8], &labels), DataError::Header { .. }));
        assert!(matches!(
            error(&[images(2), vec![0]].concat(), &labels),
            DataError::TooLong { expected: 1568, .. }
        ));
        assert!(matches!(
            error(&images(3), &labels),
            DataError::Header {
                field: "the number of labels",
                ..
            }
        ));
        assert!(matches!(
            error(&images(0), &idx(0x801, &[0], &[])),
            DataError::Empty { .. }
        ));
        assert!(matches!(
            error(&images(2), &idx(0x801, &[2], &[0, 10])),
            DataError::Label {
                record: 1,
                label: 10,
                classes: 10,
                ..
            }
        ));
        let dir = tempfile::tempdir().unwrap();
        let missing = open("MNIST", &DIGITS, dir.path(), Split::Test).unwrap_err();
        assert!(
            missing.to_string().contains("t10k-images-idx3-ubyte.gz"),
            "{missing}"
        );
    }
}
