//! The file of a teacher's outputs.
//!
//! | part | bytes |
//! | --- | --- |
//! | magic, version, length of the key | 8, 4, 4 |
//! | the key as JSON, its CRC-32 | length, 4 |
//! | zeros up to a multiple of 8 | |
//! | index: for each record whether it is filled, and the checksum of the picture that it belongs to | 4, 4 each |
//! | records: for each value its CRC-32, and its numbers as 16-bit floats | 4, 2 each |
//!
//! All numbers are little-endian. Record `view · samples + picture` has its place from the start,
//! so the file has its full length at once; what was never written takes no room on a disk that
//! knows sparse files.
//!
//! Reading goes through a memory map, writing through the file: a full disk is then an error of the
//! write, and not a signal that ends the program. A record is marked as filled after its numbers
//! are written, and its checksums tell where a power failure has turned that order around.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use memmap2::Mmap;

use super::fault::CacheFault;
use super::key::CacheKey;
use crate::files::write_whole;
use crate::train::TrainError;

const MAGIC: [u8; 8] = *b"PSOUTPUT";
const VERSION: u32 = 1;
/// Magic, version and length of the key.
const HEAD: usize = 16;
/// The longest key that is read.
const MOST_KEY: usize = 1 << 20;
/// Bytes of the index for each record.
const ENTRY: u64 = 8;
/// Marks a record as filled; anything else but 0 is damage.
const FILLED: u32 = 0x4c4c_4946;

impl CacheKey {
    /// The length of the file, which takes this room once every view has come.
    ///
    /// # Errors
    /// [`TrainError::Setting`] for views without number.
    pub fn file_bytes(&self) -> Result<u64, TrainError> {
        Ok(Layout::new(self)?.file_bytes)
    }
}

/// Where everything lies in the file of a key.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    /// Everything before the index.
    head: Vec<u8>,
    records: u64,
    /// Numbers of each value.
    lengths: Vec<usize>,
    record_bytes: u64,
    /// The length of the file.
    pub file_bytes: u64,
}

impl Layout {
    /// # Errors
    /// [`TrainError::Setting`] where there are more views than a file can hold.
    pub fn new(key: &CacheKey) -> Result<Self, TrainError> {
        let text = key.encode();
        let mut head = MAGIC.to_vec();
        head.extend(VERSION.to_le_bytes());
        head.extend((text.len() as u32).to_le_bytes());
        head.extend(&text);
        head.extend(crc32fast::hash(&text).to_le_bytes());
        head.resize(head.len().next_multiple_of(8), 0);
        let lengths: Vec<usize> = key.values.iter().map(super::KeptValue::len).collect();
        let record_bytes = lengths.iter().map(|&length| value_bytes(length)).sum();
        let (views, samples) = (key.pictures.views as u64, key.pictures.samples as u64);
        let sizes = || {
            let records = views.checked_mul(samples)?;
            let file_bytes = records
                .checked_mul(ENTRY + record_bytes)?
                .checked_add(head.len() as u64)?;
            // Files are addressed by signed numbers, and mapped memory by the machine's own.
            let mapped = i64::try_from(file_bytes).is_ok() && usize::try_from(file_bytes).is_ok();
            mapped.then_some((records, file_bytes))
        };
        let (records, file_bytes) = sizes().ok_or_else(|| TrainError::Setting {
            key: "teacher-cache",
            got: views.to_string(),
            expected: "views that a file can hold".to_owned(),
        })?;
        Ok(Self {
            head,
            records,
            lengths,
            record_bytes,
            file_bytes,
        })
    }

    fn entry(&self, record: u64) -> u64 {
        self.head.len() as u64 + record * ENTRY
    }

    fn record(&self, record: u64) -> u64 {
        self.entry(self.records) + record * self.record_bytes
    }

    /// Where a value lies in the file.
    fn value(&self, record: u64, value: usize) -> u64 {
        let before = self.lengths[..value].iter().map(|&length| value_bytes(length));
        self.record(record) + before.sum::<u64>()
    }

    /// Refuses bytes that are not those of a whole file of this key.
    fn check(&self, bytes: &[u8], key: &CacheKey) -> Result<(), CacheFault> {
        if !bytes.starts_with(&MAGIC) {
            return Err(CacheFault::Magic);
        }
        let header = |problem: &str| CacheFault::Header {
            problem: problem.to_owned(),
        };
        let cut_off = || header("it is cut off");
        let number = |at: usize| {
            let bytes = bytes.get(at..)?.first_chunk()?;
            Some(u32::from_le_bytes(*bytes))
        };
        let version = number(8).ok_or_else(cut_off)?;
        if version != VERSION {
            return Err(CacheFault::Version {
                got: version,
                expected: VERSION,
            });
        }
        let length = number(12).ok_or_else(cut_off)? as usize;
        if length > MOST_KEY {
            return Err(header("its key is longer than any"));
        }
        let text = bytes.get(HEAD..HEAD + length).ok_or_else(cut_off)?;
        if number(HEAD + length).ok_or_else(cut_off)? != crc32fast::hash(text) {
            return Err(header("its checksum does not agree"));
        }
        if !bytes.starts_with(&self.head) {
            let found: CacheKey = serde_json::from_slice(text).map_err(|error| header(&error.to_string()))?;
            return Err(key.difference(&found));
        }
        if bytes.len() as u64 != self.file_bytes {
            return Err(CacheFault::Length {
                got: bytes.len() as u64,
                expected: self.file_bytes,
            });
        }
        Ok(())
    }
}

/// Checksum and numbers.
fn value_bytes(length: usize) -> u64 {
    4 + 2 * length as u64
}

/// An open file that fits its key.
#[derive(Debug)]
pub(super) struct OutputFile {
    path: PathBuf,
    file: File,
    map: Mmap,
    layout: Layout,
}

impl OutputFile {
    /// Opens the file of a key. One that is not there is made; one that cannot be used is replaced,
    /// and the reason comes with it.
    ///
    /// # Errors
    /// A disk that refuses.
    pub fn open(folder: &Path, key: &CacheKey) -> Result<(Self, Option<CacheFault>), TrainError> {
        let layout = Layout::new(key)?;
        let path = folder.join(key.file_name());
        let read = |source| TrainError::Read {
            path: path.clone(),
            source,
        };
        let fault = match map(&path) {
            Ok((file, map)) => match layout.check(&map, key) {
                Ok(()) => {
                    return Ok((
                        Self {
                            path,
                            file,
                            map,
                            layout,
                        },
                        None,
                    ));
                }
                Err(fault) => Some(fault),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(read(error)),
        };
        // A new file under the old name: another run that has the old one open goes on with it.
        std::fs::create_dir_all(folder)
            .and_then(|()| {
                write_whole(&path, |file| {
                    file.write_all(&layout.head)?;
                    file.set_len(layout.file_bytes)
                })
            })
            .map_err(|source| TrainError::Write {
                path: path.clone(),
                source,
            })?;
        let (file, map) = map(&path).map_err(read)?;
        let made = Self {
            path,
            file,
            map,
            layout,
        };
        Ok((made, fault))
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// How many records are filled.
    pub fn filled(&self) -> usize {
        let index = self.bytes(self.layout.entry(0), (self.layout.records * ENTRY) as usize);
        let filled = |entry: &&[u8]| entry.starts_with(&FILLED.to_le_bytes());
        index.chunks_exact(ENTRY as usize).filter(filled).count()
    }

    /// Whether a record holds these values of the picture with this checksum; `Err` is one that
    /// holds something else.
    pub fn holds(&self, record: u64, checksum: u32, values: &[usize]) -> Result<bool, Spoiled> {
        let entry = self.layout.entry(record);
        let filled = self.number(entry);
        if filled == 0 {
            return Ok(false);
        }
        let whole = |&value: &usize| {
            let at = self.layout.value(record, value);
            self.number(at) == crc32fast::hash(self.half_floats(record, value))
        };
        if filled != FILLED || !values.iter().all(whole) {
            return Err(Spoiled::Record);
        }
        if self.number(entry + 4) != checksum {
            return Err(Spoiled::Picture);
        }
        Ok(true)
    }

    /// A value of a record, as little-endian 16-bit floats.
    pub fn half_floats(&self, record: u64, value: usize) -> &[u8] {
        self.bytes(
            self.layout.value(record, value) + 4,
            2 * self.layout.lengths[value],
        )
    }

    /// Writes a record, and then marks it as filled.
    ///
    /// # Errors
    /// A full disk.
    pub fn write(&mut self, record: u64, checksum: u32, values: &[Vec<u8>]) -> Result<(), TrainError> {
        let mut bytes = Vec::with_capacity(self.layout.record_bytes as usize);
        for value in values {
            bytes.extend(crc32fast::hash(value).to_le_bytes());
            bytes.extend(value);
        }
        let mut entry = FILLED.to_le_bytes().to_vec();
        entry.extend(checksum.to_le_bytes());
        let mut put = |at, bytes: &[u8]| {
            self.file.seek(SeekFrom::Start(at))?;
            self.file.write_all(bytes)
        };
        put(self.layout.record(record), &bytes)
            .and_then(|()| put(self.layout.entry(record), &entry))
            .map_err(|source| TrainError::Write {
                path: self.path.clone(),
                source,
            })
    }

    fn number(&self, at: u64) -> u32 {
        let mut number = [0; 4];
        number.copy_from_slice(self.bytes(at, 4));
        u32::from_le_bytes(number)
    }

    /// The layout's places are within the map: its length was compared when the file was opened.
    fn bytes(&self, at: u64, length: usize) -> &[u8] {
        let at = at as usize;
        &self.map[at..at + length]
    }
}

/// What is wrong with a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spoiled {
    /// Its bytes.
    Record,
    /// Its picture is another one.
    Picture,
}

fn map(path: &Path) -> io::Result<(File, Mmap)> {
    let file = File::options().read(true).write(true).open(path)?;
    // SAFETY: this program never shortens such a file; it replaces it by a new one. Records may be
    // written while they are mapped, by this run between two readings or by another run that has
    // the same key: what is read is plain bytes, whose checksums are compared before they are used.
    let map = unsafe { Mmap::map(&file)? };
    Ok((file, map))
}

#[cfg(test)]
mod tests {
    use super::super::key::tests::key;
    use super::*;

    const PICTURE: u32 = 77;

    fn values(first: u8) -> Vec<Vec<u8>> {
        vec![(first..first + 6).collect(), (first..first + 8).collect()]
    }

    /// A folder with a file in which record 3 is filled.
    fn filled() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let (mut file, fault) = OutputFile::open(folder.path(), &key()).unwrap();
        assert_eq!((fault, file.filled()), (None, 0));
        file.write(3, PICTURE, &values(1)).unwrap();
        let path = file.path().to_owned();
        (folder, path)
    }

    /// Why the file is made anew after its bytes were changed.
    fn fault_after(change: impl FnOnce(&mut Vec<u8>)) -> Option<CacheFault> {
        let (folder, path) = filled();
        let mut bytes = std::fs::read(&path).unwrap();
        change(&mut bytes);
        std::fs::write(&path, bytes).unwrap();
        let (file, fault) = OutputFile::open(folder.path(), &key()).unwrap();
        assert_eq!(file.filled(), usize::from(fault.is_none()));
        assert_eq!(std::fs::metadata(&path).unwrap().len(), file.layout().file_bytes);
        fault
    }

    #[test]
    fn a_record_is_there_when_the_file_is_opened_again() {
        let (folder, path) = filled();
        let (file, fault) = OutputFile::open(folder.path(), &key()).unwrap();
        assert_eq!((fault, file.filled(), file.path()), (None, 1, path.as_path()));
        assert_eq!(file.holds(3, PICTURE, &[0, 1]), Ok(true));
        assert_eq!(file.half_floats(3, 0), values(1)[0]);
        assert_eq!(file.half_floats(3, 1), values(1)[1]);
        assert_eq!(file.holds(2, PICTURE, &[0, 1]), Ok(false));
        assert_eq!(file.holds(9, PICTURE, &[0, 1]), Ok(false));
        assert_eq!(file.holds(3, PICTURE + 1, &[0, 1]), Err(Spoiled::Picture));
    }

    #[test]
    fn a_record_that_was_written_is_read_through_the_open_map() {
        let (folder, _) = filled();
        let (mut file, _) = OutputFile::open(folder.path(), &key()).unwrap();
        for record in [9, 3] {
            file.write(record, 5, &values(20)).unwrap();
            assert_eq!(file.holds(record, 5, &[0, 1]), Ok(true));
            assert_eq!(file.half_floats(record, 1), values(20)[1]);
        }
        assert_eq!(file.filled(), 2);
    }

    #[test]
    fn a_file_that_is_whole_is_kept() {
        assert_eq!(fault_after(|_| {}), None);
    }

    #[test]
    fn a_damaged_header_is_named() {
        assert_eq!(fault_after(|bytes| bytes[0] ^= 1), Some(CacheFault::Magic));
        let version = CacheFault::Version {
            got: 3,
            expected: VERSION,
        };
        assert_eq!(fault_after(|bytes| bytes[8] = 3), Some(version));
        for at in [12, 15, 40, HEAD + key().encode().len()] {
            let fault = fault_after(|bytes| bytes[at] ^= 1);
            assert!(
                matches!(fault, Some(CacheFault::Header { .. })),
                "byte {at}: {fault:?}"
            );
        }
    }

    #[test]
    fn a_file_of_another_length_is_named() {
        let whole = Layout::new(&key()).unwrap().file_bytes;
        for got in [whole - 1, whole - 100, whole + 1] {
            let fault = fault_after(|bytes| bytes.resize(got as usize, 0));
            assert_eq!(fault, Some(CacheFault::Length { got, expected: whole }));
        }
        for length in [0, 5] {
            assert_eq!(
                fault_after(|bytes| bytes.truncate(length)),
                Some(CacheFault::Magic)
            );
        }
        for length in [10, 14, 100] {
            let fault = fault_after(|bytes| bytes.truncate(length));
            assert!(matches!(fault, Some(CacheFault::Header { .. })), "{fault:?}");
        }
    }

    #[test]
    fn a_file_of_another_key_under_the_name_is_named() {
        let (folder, path) = filled();
        let mut other = key();
        other.pictures.transforms = "[]".to_owned();
        std::fs::rename(&path, folder.path().join(other.file_name())).unwrap();
        let (file, fault) = OutputFile::open(folder.path(), &other).unwrap();
        assert_eq!(file.filled(), 0);
        assert_eq!(
            fault.unwrap().to_string(),
            "it was made for other transforms: `[flip] mean=[0.5] std=[0.5]`, expected `[]`"
        );
    }

    #[test]
    fn a_damaged_record_is_noticed_where_it_is_read() {
        let (folder, path) = filled();
        let layout = Layout::new(&key()).unwrap();
        let spoilt = |at: u64| {
            let mut bytes = std::fs::read(&path).unwrap();
            bytes[at as usize] ^= 4;
            std::fs::write(&path, &bytes).unwrap();
            let (file, fault) = OutputFile::open(folder.path(), &key()).unwrap();
            assert_eq!(fault, None);
            let found = (
                file.holds(3, PICTURE, &[0, 1]),
                file.holds(3, PICTURE, &[0]),
                file.holds(2, PICTURE, &[0, 1]),
            );
            bytes[at as usize] ^= 4;
            std::fs::write(&path, bytes).unwrap();
            found
        };
        let damaged = Err(Spoiled::Record);
        // The mark, the first value, the checksum of the second, the second.
        assert_eq!(spoilt(layout.entry(3)), (damaged, damaged, Ok(false)));
        assert_eq!(spoilt(layout.value(3, 0) + 5), (damaged, damaged, Ok(false)));
        assert_eq!(spoilt(layout.value(3, 1)), (damaged, Ok(true), Ok(false)));
        assert_eq!(spoilt(layout.value(3, 1) + 11), (damaged, Ok(true), Ok(false)));
    }
}
