//! Folders of pictures in the ImageNet layout: `train/CLASS/*` and `val/CLASS/*` (or
//! `test/CLASS/*`).
//!
//! Only names are read when the data set is opened; a picture is decoded when it is asked for, by
//! the thread that prepares its batch. Classes are the folders of `train` in the order of their
//! names, as torchvision's `ImageFolder` has them.
//!
//! ImageNet's own archive of validation pictures has no class folders. Its ground truth numbers the
//! classes in an order of its own, which only a MATLAB file explains; what is read here instead is
//! a list of files and class names.

use super::{
    DataError, Sample, Source, Split,
    picture::{decode, is_picture, last_name, list},
};
use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

/// Where the classes of a `val` without class folders stand, beside it.
const LABELS: &str = "val_labels.txt";

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
    /// [`DataError::Missing`] without the split's folder, [`DataError::UnknownClass`] where a test
    /// class is not a training class, [`DataError::Flat`] and [`DataError::FlatLabel`] where
    /// pictures without class folders lack their classes, [`DataError::Empty`] without pictures,
    /// [`DataError::Io`].
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
            files = flat(dir, root, &classes)?;
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
        Ok(Sample {
            image: decode(path)?,
            label: *label,
        })
    }
}

/// The pictures that lie in `root` itself, with the classes that a list beside it gives them.
fn flat(dir: &Path, root: PathBuf, classes: &[String]) -> Result<Vec<(PathBuf, usize)>, DataError> {
    let pictures = list(&root, is_picture)?;
    if pictures.is_empty() {
        return Err(DataError::Empty { path: root });
    }
    let path = dir.join(LABELS);
    if root != dir.join("val") || !path.is_file() {
        return Err(DataError::Flat {
            labels: (root == dir.join("val")).then_some(path),
            root,
            pictures: pictures.len(),
        });
    }
    let labels = read_labels(&path)?;
    let labelled = |picture: PathBuf| {
        let Some((line, class)) = labels.get(&stem(&picture)) else {
            return Err(DataError::FlatLabel {
                path: path.clone(),
                problem: format!("has no line for `{}`", last_name(&picture)),
            });
        };
        match classes.binary_search(class) {
            Ok(label) => Ok((picture, label)),
            Err(_) => Err(DataError::FlatLabel {
                path: path.clone(),
                problem: format!("line {line}: `{class}` is no folder of `train`"),
            }),
        }
    };
    pictures.into_iter().map(labelled).collect()
}

/// The classes of pictures that lie in one folder, by file name: the lines of `val_labels.txt`,
/// each with a file and its class, separated by a space or a comma, with or without the file's
/// ending; what follows on a line does not count.
fn read_labels(path: &Path) -> Result<HashMap<String, (usize, String)>, DataError> {
    let text = std::fs::read_to_string(path).map_err(|source| DataError::Io {
        action: "read",
        path: path.to_owned(),
        source,
    })?;
    let mut labels = HashMap::new();
    for (line, text) in text.lines().enumerate() {
        let mut fields = text.split([',', ' ', '\t']).filter(|field| !field.is_empty());
        if let (Some(file), Some(class)) = (fields.next(), fields.next()) {
            labels.insert(stem(Path::new(file)), (line + 1, class.to_owned()));
        }
    }
    Ok(labels)
}

/// A picture's name without its ending; other dots belong to the name.
fn stem(path: &Path) -> String {
    match is_picture(path) {
        true => last_name(&path.with_extension("")),
        false => last_name(path),
    }
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
                .unwrap();
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
    fn imagenets_archive_of_validation_pictures_needs_a_list_of_classes() {
        let dir = tempfile::tempdir().unwrap();
        for class in ["train/n01440764", "train/n01751748", "val"] {
            fs::create_dir_all(dir.path().join(class)).unwrap();
        }
        let names = ["ILSVRC2012_val_00000001", "ILSVRC2012_val_00000002"];
        for name in names {
            let path = dir.path().join(format!("val/{name}.JPEG"));
            picture([9, 9, 9])
                .save_with_format(path, ImageFormat::Jpeg)
                .unwrap();
        }
        let open = |labels: Option<&str>| {
            if let Some(labels) = labels {
                fs::write(dir.path().join(LABELS), labels).unwrap();
            }
            let opened = ImageFolder::open(dir.path(), Split::Test);
            opened.map(|folder| [0, 1].map(|index| folder.label(index).unwrap()))
        };
        let error = open(None).unwrap_err().to_string();
        assert!(
            error.contains("2 pictures and no class folders") && error.contains("val_labels.txt"),
            "{error}"
        );
        let own = format!("{}.JPEG n01751748\n{}.JPEG n01440764\n", names[0], names[1]);
        assert_eq!(open(Some(&own)).unwrap(), [1, 0]);
        // As Kaggle's LOC_val_solution.csv has it.
        let kaggle = format!(
            "ImageId,PredictionString\n{},n01440764 85 1 499 272 \n{},n01751748 1 2 3 4 \n",
            names[0], names[1]
        );
        assert_eq!(open(Some(&kaggle)).unwrap(), [0, 1]);
        let error = open(Some(&own.replace("n01440764", "490")))
            .unwrap_err()
            .to_string();
        assert!(error.contains("line 2: `490` is no folder of `train`"), "{error}");
        let error = open(Some("")).unwrap_err().to_string();
        assert!(
            error.contains("no line for `ILSVRC2012_val_00000001.JPEG`"),
            "{error}"
        );
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
