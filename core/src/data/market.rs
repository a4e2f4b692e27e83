//! Market-1501 (L. Zheng et al., *Scalable Person Re-identification: A Benchmark*, ICCV 2015):
//! people seen by six cameras.
//!
//! It is a set for retrieval. The people to be found are others than those of the training
//! pictures, so that no classifier can name them: its test is a *query* picture against a
//! *gallery*. Training has the people of `bounding_box_train` as its classes. As a classifier's
//! validation, one in ten of their pictures is held out; that number only tells whether training
//! gets on.
//!
//! A file's name says who is seen where: `0002_c1s1_000451_03.jpg` is person 2 by camera 1, in
//! sequence 1, frame 451, box 3. In the gallery, person 0000 stands for somebody who is nobody in
//! the queries, and -1 for junk, which the protocol leaves out.

use super::{
    DataError, Sample, Source, Split,
    picture::{decode, is_picture, last_name, list},
};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

/// The folder inside the data set's archive.
const ARCHIVE: &str = "Market-1501-v15.09.15";
const TRAIN: &str = "bounding_box_train";
const QUERY: &str = "query";
const GALLERY: &str = "bounding_box_test";

/// Of each person's training pictures, in the order of their names, every tenth is held out, from
/// this one on, counted from 0.
const FIRST_HELD_OUT: usize = 4;
const HELD_OUT_EVERY: usize = 10;

/// Who is seen, and by which camera.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Sighting {
    /// The person; 0 for nobody of the queries, -1 for junk.
    pub identity: i32,
    /// The camera.
    pub camera: u32,
}

impl Sighting {
    /// Whether the protocol leaves the picture out.
    pub(crate) fn is_junk(self) -> bool {
        self.identity == -1
    }
}

/// Pictures with who is seen on them.
#[derive(Clone)]
pub struct Sightings {
    /// The pictures.
    pub source: Arc<dyn Source>,
    /// Who is seen, in the order of the pictures.
    pub sightings: Vec<Sighting>,
}

/// A test of retrieval: each query picture is looked for in the gallery.
#[derive(Clone)]
pub struct RetrievalTest {
    /// What is looked for.
    pub query: Sightings,
    /// Where it is looked for.
    pub gallery: Sightings,
}

/// Pictures of one folder.
#[derive(Clone, Debug)]
pub(super) struct Market {
    classes: Vec<String>,
    pictures: Vec<Picture>,
}

#[derive(Clone, Debug)]
struct Picture {
    path: PathBuf,
    sighting: Sighting,
    label: usize,
}

/// The training pictures without those held out ([`Split::Train`]), or the latter
/// ([`Split::Test`]).
///
/// # Errors
/// [`DataError::Missing`], [`DataError::MarketName`], [`DataError::Empty`],
/// [`DataError::NoHeldOut`], [`DataError::Io`].
pub(super) fn open(dir: &Path, split: Split) -> Result<Market, DataError> {
    let folder = folder(dir, TRAIN)?;
    let mut market = read(&folder)?;
    let mut seen = vec![0_usize; market.classes.len()];
    market.pictures.retain(|picture| {
        let number = seen[picture.label];
        seen[picture.label] += 1;
        (number % HELD_OUT_EVERY == FIRST_HELD_OUT) == (split == Split::Test)
    });
    if market.pictures.is_empty() {
        return Err(DataError::NoHeldOut {
            path: folder,
            expected: FIRST_HELD_OUT + 1,
        });
    }
    Ok(market)
}

/// The queries and the gallery, without junk.
///
/// # Errors
/// As [`open`].
pub(super) fn open_retrieval(dir: &Path) -> Result<RetrievalTest, DataError> {
    let sightings = |name| -> Result<Sightings, DataError> {
        let market = read(&folder(dir, name)?)?;
        Ok(Sightings {
            sightings: market.pictures.iter().map(|picture| picture.sighting).collect(),
            source: Arc::new(market),
        })
    };
    Ok(RetrievalTest {
        query: sightings(QUERY)?,
        gallery: sightings(GALLERY)?,
    })
}

fn folder(dir: &Path, name: &str) -> Result<PathBuf, DataError> {
    let places = [dir.join(name), dir.join(ARCHIVE).join(name)];
    let found = places.into_iter().find(|path| path.is_dir());
    found.ok_or_else(|| DataError::Missing {
        what: "Market-1501",
        dir: dir.to_owned(),
        expected: vec![format!("`{name}/`"), format!("`{ARCHIVE}/{name}/`")],
    })
}

/// All pictures of a folder but junk; classes are its people in ascending order.
fn read(folder: &Path) -> Result<Market, DataError> {
    let mut pictures = Vec::new();
    for path in list(folder, is_picture)? {
        let Some(sighting) = sighting(&last_name(&path)) else {
            return Err(DataError::MarketName { path });
        };
        if !sighting.is_junk() {
            pictures.push((path, sighting));
        }
    }
    if pictures.is_empty() {
        return Err(DataError::Empty {
            path: folder.to_owned(),
        });
    }
    let mut people: Vec<i32> = pictures.iter().map(|(_, sighting)| sighting.identity).collect();
    people.sort_unstable();
    people.dedup();
    let labelled = |(path, sighting): (PathBuf, Sighting)| Picture {
        path,
        sighting,
        label: people.partition_point(|&person| person < sighting.identity),
    };
    Ok(Market {
        pictures: pictures.into_iter().map(labelled).collect(),
        classes: people.iter().map(|person| format!("{person:04}")).collect(),
    })
}

/// What a file's name says: `0002_c1s1_000451_03.jpg`.
fn sighting(name: &str) -> Option<Sighting> {
    let (stem, _) = name.split_once('.')?;
    let mut parts = stem.split('_');
    let identity = match parts.next()? {
        "-1" => -1,
        text => i32::try_from(number(text)?).ok()?,
    };
    let (camera, sequence) = parts.next()?.strip_prefix('c')?.split_once('s')?;
    number(sequence)?;
    let (frame, number_of_box) = (parts.next()?, parts.next()?);
    number(frame)?;
    number(number_of_box)?;
    let camera = number(camera)?;
    parts.next().is_none().then_some(Sighting { identity, camera })
}

/// A number of digits alone; `parse` would also take a sign.
fn number(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

impl Market {
    fn picture(&self, index: usize) -> Result<&Picture, DataError> {
        self.pictures.get(index).ok_or(DataError::Index {
            index,
            len: self.pictures.len(),
        })
    }
}

impl Source for Market {
    fn len(&self) -> usize {
        self.pictures.len()
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn channels(&self) -> usize {
        3
    }

    fn size(&self) -> Option<[usize; 2]> {
        None
    }

    fn label(&self, index: usize) -> Result<usize, DataError> {
        Ok(self.picture(index)?.label)
    }

    fn read(&self, index: usize) -> Result<Sample, DataError> {
        let picture = self.picture(index)?;
        Ok(Sample {
            image: decode(&picture.path)?,
            label: picture.label,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{Rgb, RgbImage};
    use std::fs;

    fn draw(dir: &Path, folder: &str, names: &[String]) {
        fs::create_dir_all(dir.join(folder)).unwrap();
        for name in names {
            RgbImage::from_pixel(8, 16, Rgb([name.len() as u8; 3]))
                .save(dir.join(folder).join(name))
                .unwrap();
        }
    }

    fn names(identities: &[(&str, usize)]) -> Vec<String> {
        let several = |(identity, count): &(&str, usize)| -> Vec<String> {
            (0..*count)
                .map(|frame| format!("{identity}_c{}s1_{frame:06}_01.jpg", frame % 2 + 1))
                .collect()
        };
        identities.iter().flat_map(several).collect()
    }

    #[test]
    fn names_say_person_and_camera() {
        let read = |name| sighting(name).map(|seen| (seen.identity, seen.camera));
        assert_eq!(read("0002_c1s1_000451_03.jpg"), Some((2, 1)));
        assert_eq!(read("-1_c6s4_001877_02.jpg"), Some((-1, 6)));
        assert_eq!(read("0000_c3s2_000000_00.jpg.jpg"), Some((0, 3)));
        for wrong in [
            "0002.jpg",
            "0002_c1_000451_03.jpg",
            "two_c1s1_000451_03.jpg",
            "-2_c1s1_000451_03.jpg",
            "+2_c1s1_000451_03.jpg",
            "0002_c1s1_000451.jpg",
            "0002_c1s1_000451_03_04.jpg",
            "0002_cs1_000451_03.jpg",
            "_c1s1_000451_03.jpg",
            "99999999999_c1s1_000451_03.jpg",
        ] {
            assert_eq!(sighting(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn people_become_classes_in_ascending_order_and_a_tenth_is_held_out() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join(ARCHIVE);
        draw(&root, TRAIN, &names(&[("0007", 15), ("0002", 4), ("1500", 6)]));
        fs::write(root.join(TRAIN).join("Thumbs.db"), "no picture").unwrap();
        let open = |split| open(dir.path(), split).unwrap();
        let (train, held_out) = (open(Split::Train), open(Split::Test));
        assert_eq!(train.classes(), ["0002", "0007", "1500"]);
        assert_eq!(held_out.classes(), train.classes());
        let labels = |market: &Market| -> Vec<usize> {
            (0..market.len())
                .map(|index| market.label(index).unwrap())
                .collect()
        };
        assert_eq!(labels(&held_out), [1, 1, 2]);
        assert_eq!(labels(&train).len(), 25 - 3);
        let kept: Vec<&PathBuf> = train.pictures.iter().map(|picture| &picture.path).collect();
        assert!(
            held_out
                .pictures
                .iter()
                .all(|picture| !kept.contains(&&picture.path))
        );
        assert_eq!(train.read(0).unwrap().image.shape, [3, 16, 8]);
    }

    #[test]
    fn the_gallery_keeps_distractors_and_leaves_junk_out() {
        let dir = tempfile::tempdir().unwrap();
        draw(dir.path(), QUERY, &names(&[("0003", 1)]));
        draw(
            dir.path(),
            GALLERY,
            &names(&[("0003", 2), ("0000", 1), ("-1", 3)]),
        );
        let RetrievalTest { query, gallery } = open_retrieval(dir.path()).unwrap();
        let seen = |set: &Sightings| -> Vec<(i32, u32)> {
            set.sightings
                .iter()
                .map(|seen| (seen.identity, seen.camera))
                .collect()
        };
        assert_eq!(seen(&query), [(3, 1)]);
        assert_eq!(seen(&gallery), [(0, 1), (3, 1), (3, 2)]);
        assert_eq!(gallery.source.len(), 3);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let error = open(dir.path(), Split::Train).unwrap_err().to_string();
        assert!(error.contains("`bounding_box_train/`"), "{error}");
        draw(dir.path(), TRAIN, &names(&[("0001", 3)]));
        let error = open(dir.path(), Split::Test).unwrap_err().to_string();
        assert!(error.contains("no identity of 5 pictures"), "{error}");
        draw(dir.path(), TRAIN, &["holiday.jpg".to_owned()]);
        let error = open(dir.path(), Split::Train).unwrap_err().to_string();
        assert!(
            error.contains("holiday.jpg") && error.contains("0002_c1s1_000451_03.jpg"),
            "{error}"
        );
        draw(dir.path(), QUERY, &[]);
        assert!(matches!(
            open_retrieval(dir.path()).err().unwrap(),
            DataError::Empty { path } if path.ends_with(QUERY)
        ));
    }
}
