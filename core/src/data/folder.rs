//! Folders of pictures in the ImageNet layout: `train/CLASS/*` and `val/CLASS/*` (or `test/CLASS/*`).
//!
//! Only names are read when the data set is opened; a picture is decoded when it is asked for, by the thread
//! that prepares its batch. Classes are the folders of `train` in the order of their names, as torchvision's
//! `ImageFolder` has them.

use super::{DataError, Image, Sample, Source, Split};
use image::ImageReader;
use std::path::{Path, PathBuf};

const EXTENSIONS: [&str; 4] = ["png", "jpg", "jpeg", "webp"];

/// One split of a folder of pictures; every picture is read as RGB.
#[derive(Clone, Debug)]
pub struct ImageFolder {
    classes: Vec<String>,
    files: Vec<(PathBuf, usize)>,
}

impl ImageFolder {
    /// Lists the pictures of `split` under `dir`.
    ///
    /// # Errors
    /// [`DataError::Missing`] without the split's folder, [`DataError::UnknownClass`] where a test class is
    /// not a training class, [`DataError::Empty`] without pictures, [`DataError::Io`].
    pub fn open(dir: &Path, split: Split) -> Result<Self, DataError> {
        let names: &[&str] = match split {
            Split::Train => &["train"],
            Split::Test => &["val", "test"],
        };
        let Some(root) = names.iter().map(|name| dir.join(name)).find(|path| path.is_dir()) else {
            let expected = names.iter().map(|name| format!("`{name}/CLASS/`")).collect();
            return Err(DataError::Missing {
                what: "image folder",
                dir: dir.to_owned(),
                expected,
            });
        };
        let train = dir.join("train");
        let folders = list(&root, Path::is_dir)?;
        let class_folders = if train.is_dir() {
            list(&train, Path::is_dir)?
        } else {
            folders.clone()
        };
        let classes: Vec<String> = class_folders.iter().map(|path| last_name(path)).collect();

        let mut files = Vec::new();
        for folder in folders {
            let label = classes.binary_search(&last_name(&folder));
            let label = label.map_err(|_| DataError::UnknownClass {
                path: folder.clone(),
                known: classes.len(),
            })?;
            files.extend(list(&folder, is_picture)?.into_iter().map(|path| (path, label)));
        }
        if files.is_empty() {
            return Err(DataError::Empty { path: root });
        }
        Ok(Self { classes, files })
    }

    fn file(&self, index: usize) -> Result<&(PathBuf, usize), DataError> {
        self.files.get(index).ok_or(DataError::Index {
            index,
            len: self.files.len(),
        })
    }
}

impl Source for ImageFolder {
    fn len(&self) -> usize {
        self.files.len()
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
        Ok(self.file(index)?.1)
    }

    fn read(&self, index: usize) -> Result<Sample, DataError> {
        let (path, label) = self.file(index)?;
        let io = |source| DataError::Io {
            action: "read",
            path: path.clone(),
            source,
        };
        // The content decides the format: ImageNet itself has a PNG that is called JPEG.
        let reader = ImageReader::open(path)
            .map_err(io)?
            .with_guessed_format()
            .map_err(io)?;
        let picture = reader
            .decode()
            .map_err(|source| DataError::Decode {
                path: path.clone(),
                source,
            })?
            .into_rgb8();
        let shape = [3, picture.height() as usize, picture.width() as usize];
        Ok(Sample {
            image: Image::from_interleaved(shape, picture.as_raw()),
            label: *label,
        })
    }
}

/// What lies in `dir` and is wanted, in the order of the names.
fn list(dir: &Path, wanted: impl Fn(&Path) -> bool) -> Result<Vec<PathBuf>, DataError> {
    let io = |source| DataError::Io {
        action: "list",
        path: dir.to_owned(),
        source,
    };
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(io)? {
        let path = entry.map_err(io)?.path();
        if wanted(&path) {
            paths.push(path);
        }
    }
    // By the text, in which classes are also looked up: paths compare part by part and could order otherwise.
    paths.sort_by_cached_key(|path| last_name(path));
    Ok(paths)
}

fn last_name(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

fn is_picture(path: &Path) -> bool {
    let extension = path
        .extension()
        .unwrap_or_default()
        .to_string_lossy()
        .to_lowercase();
    EXTENSIONS.contains(&extension.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{ImageFormat, Rgb, RgbImage};
    use std::fs;

    fn picture(colour: [u8; 3]) -> RgbImage {
        RgbImage::from_pixel(6, 4, Rgb(colour))
    }

    #[test]
    fn png_jpeg_and_webp_are_read_in_the_order_of_their_names() {
        let dir = tempfile::tempdir().unwrap();
        for class in ["train/cat", "train/ant", "val/cat"] {
            fs::create_dir_all(dir.path().join(class)).unwrap();
        }
        let save = |colour, path: &str, format| {
            picture(colour)
                .save_with_format(dir.path().join(path), format)
                .unwrap()
        };
        save([250, 10, 20], "train/cat/b.png", ImageFormat::Png);
        save([10, 250, 20], "train/cat/a.JPG", ImageFormat::Jpeg);
        save([10, 20, 250], "train/ant/x.webp", ImageFormat::WebP);
        save([1, 2, 3], "val/cat/misnamed.jpeg", ImageFormat::Png);
        fs::write(dir.path().join("train/cat/notes.txt"), "no picture").unwrap();

        let train = ImageFolder::open(dir.path(), Split::Train).unwrap();
        assert_eq!(train.classes(), ["ant", "cat"]);
        let samples: Vec<_> = (0..train.len()).map(|index| train.read(index).unwrap()).collect();
        assert_eq!(
            samples.iter().map(|sample| sample.label).collect::<Vec<_>>(),
            [0, 1, 1]
        );
        assert_eq!(samples[0].image.pixels[48..], [250; 24]);
        assert_eq!(samples[2].image.pixels, [[250; 24], [10; 24], [20; 24]].concat());
        // JPEG loses a little.
        assert!(samples[1].image.pixels[24..48].iter().all(|&green| green > 240));
        assert!(samples.iter().all(|sample| sample.image.shape == [3, 4, 6]));

        let test = ImageFolder::open(dir.path(), Split::Test).unwrap();
        assert_eq!((test.len(), test.label(0).unwrap()), (1, 1));
        assert_eq!(test.read(0).unwrap().image.pixels[0], 1);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let error = ImageFolder::open(dir.path(), Split::Test).unwrap_err();
        assert!(
            error.to_string().contains("`val/CLASS/`, or `test/CLASS/`"),
            "{error}"
        );
        fs::create_dir_all(dir.path().join("train/cat")).unwrap();
        assert!(matches!(
            ImageFolder::open(dir.path(), Split::Train),
            Err(DataError::Empty { .. })
        ));
        fs::write(dir.path().join("train/cat/broken.png"), "no picture").unwrap();
        let train = ImageFolder::open(dir.path(), Split::Train).unwrap();
        let error = train.read(0).unwrap_err();
        assert!(error.to_string().contains("broken.png"), "{error}");
        fs::create_dir_all(dir.path().join("test/dog")).unwrap();
        assert!(matches!(
            ImageFolder::open(dir.path(), Split::Test),
            Err(DataError::UnknownClass { known: 1, .. })
        ));
    }
}
