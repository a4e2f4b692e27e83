//! Folders of pictures in the ImageNet layout: `train/CLASS/**` and `val/CLASS/**` (or
//! `test/CLASS/**`).
//!
//! Only names are read when the data set is opened; a picture is decoded when it is asked for, by
//! the thread that prepares its batch. Classes are the folders of `train` in the order of their
//! names, and pictures lie in them at any depth, in the order of torchvision's `ImageFolder`. Names
//! that begin with a dot, and the `__MACOSX` of archives, are passed over.
//!
//! ImageNet's own archive of validation pictures has no class folders. Its ground truth numbers the
//! classes in an order of its own, which only a MATLAB file explains; what is read here instead is
//! a list of files and class names.

use super::{
    DataError, Sample, Source, Split,
    flat_labels::FlatLabels,
    picture::{EXTENSIONS, decode, is_picture, last_name, list},
};
use std::{
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
};

/// Where the classes of a `val` without class folders stand, beside it.
const LABELS: &str = "val_labels.txt";

/// One split of a folder of pictures; every picture is read as RGB.
#[derive(Clone, Debug)]
pub struct ImageFolder {
    root: PathBuf,
    classes: Vec<String>,
    files: Vec<(PathBuf, usize)>,
    /// Files whose names do not end as a picture's.
    left_out: Vec<PathBuf>,
}

impl ImageFolder {
    /// Lists the pictures of `split` under `dir`.
    ///
    /// # Errors
    /// [`DataError::Missing`] without the split's folder, [`DataError::UnknownClass`] where a test
    /// class is not a training class, [`DataError::OneClass`], [`DataError::EmptyClass`] where a
    /// training class has no pictures, [`DataError::Flat`] and [`DataError::FlatLabel`] where
    /// pictures without class folders lack their classes, [`DataError::NoPictures`],
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
        let folders = list(&root, is_class)?;
        let class_folders = if train.is_dir() {
            list(&train, is_class)?
        } else {
            folders.clone()
        };
        let names: Vec<OsString> = class_folders.iter().map(|path| name(path).to_owned()).collect();
        let classes: Vec<String> = names.iter().map(|name| shown(name)).collect();

        let mut opened = Self {
            root,
            classes,
            files: Vec::new(),
            left_out: Vec::new(),
        };
        let mut without_pictures = None;
        for folder in folders {
            let label = names.binary_search_by(|known| known.as_os_str().cmp(name(&folder)));
            let label = label.map_err(|_| DataError::UnknownClass {
                path: folder.clone(),
                known: names.len(),
            })?;
            let before = opened.files.len();
            opened.list_class(&folder, label)?;
            if opened.files.len() == before {
                without_pictures.get_or_insert(folder);
            }
        }
        if let Some(path) = without_pictures.filter(|_| split == Split::Train && !opened.files.is_empty()) {
            return Err(DataError::EmptyClass { path });
        }
        if opened.files.is_empty() {
            opened.files = flat(dir, &opened.root, &opened.classes)?;
        }
        match opened.classes.as_slice() {
            [class] => Err(DataError::OneClass {
                path: class_folders[0].parent().unwrap_or(dir).to_owned(),
                class: class.clone(),
            }),
            _ => Ok(opened),
        }
    }

    /// Adds the pictures of a class folder and of the folders in it.
    fn list_class(&mut self, folder: &Path, label: usize) -> Result<(), DataError> {
        let mut folders = Vec::new();
        folders_under(folder, &mut Vec::new(), &mut folders)?;
        // As torchvision sorts what `os.walk` gives: by the whole path as text.
        folders.sort_by(|a, b| a.as_os_str().cmp(b.as_os_str()));
        for folder in folders {
            for path in list(&folder, |path| !is_hidden(path) && !path.is_dir())? {
                match is_picture(&path) {
                    true => self.files.push((path, label)),
                    false => self.left_out.push(path),
                }
            }
        }
        Ok(())
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

    fn path(&self, index: usize) -> Option<&Path> {
        self.files.get(index).map(|(path, _)| path.as_path())
    }

    fn notes(&self) -> Vec<String> {
        let Some(first) = self.left_out.first() else {
            return Vec::new();
        };
        let known = EXTENSIONS.map(|ending| format!(".{ending}")).join(", ");
        let files = match self.left_out.len() {
            1 => format!("`{}` is", first.display()),
            count => format!(
                "{count} files of `{}` are, `{}` the first,",
                self.root.display(),
                first.display()
            ),
        };
        vec![format!("{files} left out: pictures end in {known}")]
    }

    fn read(&self, index: usize) -> Result<Sample, DataError> {
        let (path, label) = self.file(index)?;
        Ok(Sample {
            image: decode(path)?,
            label: *label,
        })
    }
}

/// A folder and all folders in it; a link that leads back to one that it lies in is not followed.
fn folders_under(
    folder: &Path,
    around: &mut Vec<PathBuf>,
    found: &mut Vec<PathBuf>,
) -> Result<(), DataError> {
    let place = std::fs::canonicalize(folder).map_err(|source| DataError::Io {
        action: "list",
        path: folder.to_owned(),
        source,
    })?;
    if around.contains(&place) {
        return Ok(());
    }
    found.push(folder.to_owned());
    around.push(place);
    for inner in list(folder, is_class)? {
        folders_under(&inner, around, found)?;
    }
    around.pop();
    Ok(())
}

fn name(path: &Path) -> &OsStr {
    path.file_name().unwrap_or_default()
}

/// A name as text; bytes that are no UTF-8 as `\xe9`, so that different names stay different.
fn shown(name: &OsStr) -> String {
    let mut text = String::new();
    for chunk in name.as_encoded_bytes().utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|byte| format!("\\x{byte:02x}")));
    }
    text
}

/// What editors, systems and archives leave beside the data.
fn is_hidden(path: &Path) -> bool {
    let name = name(path).as_encoded_bytes();
    name.starts_with(b".") || name == b"__MACOSX"
}

fn is_class(path: &Path) -> bool {
    path.is_dir() && !is_hidden(path)
}

/// The pictures that lie in `root` itself, with the classes that a list beside it gives them.
fn flat(dir: &Path, root: &Path, classes: &[String]) -> Result<Vec<(PathBuf, usize)>, DataError> {
    let pictures = list(root, |path| is_picture(path) && !is_hidden(path))?;
    if pictures.is_empty() {
        return Err(DataError::NoPictures {
            path: root.to_owned(),
        });
    }
    let path = dir.join(LABELS);
    if root != dir.join("val") || !path.is_file() {
        return Err(DataError::Flat {
            labels: (root == dir.join("val")).then_some(path),
            root: root.to_owned(),
            pictures: pictures.len(),
        });
    }
    let labels = FlatLabels::read(&path)?;
    pictures
        .into_iter()
        .map(|picture| {
            let label = labels.of(&last_name(&picture), classes)?;
            Ok((picture, label))
        })
        .collect()
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

    /// As torchvision.datasets.ImageFolder lists the same folders, but for the hidden ones.
    #[test]
    fn pictures_lie_at_any_depth_and_hidden_names_are_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        for file in [
            "cat/b.png",
            "cat/sub/a.png",
            "cat/sub-2/c.bmp",
            "cat/.hidden/x.png",
            "cat/._b.png",
            "cat/notes.txt",
            "dog/d.JPG",
            ".ipynb_checkpoints/y.png",
            "__MACOSX/z.png",
        ] {
            let path = dir.path().join("train").join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "no picture").unwrap();
        }
        let train = ImageFolder::open(dir.path(), Split::Train).unwrap();
        assert_eq!(train.classes(), ["cat", "dog"]);
        let names: Vec<String> = train.files.iter().map(|(path, _)| last_name(path)).collect();
        assert_eq!(names, ["b.png", "a.png", "c.bmp", "d.JPG"]);
        assert!(train.notes()[0].contains("notes.txt"), "{:?}", train.notes());
    }

    #[cfg(unix)]
    #[test]
    fn classes_whose_names_are_no_utf8_stay_apart() {
        use std::os::unix::ffi::OsStrExt;
        let dir = tempfile::tempdir().unwrap();
        for class in [&b"caf\xe8"[..], b"caf\xe9", b"owl"] {
            let folder = dir.path().join("train").join(OsStr::from_bytes(class));
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("a.png"), "no picture").unwrap();
        }
        let train = ImageFolder::open(dir.path(), Split::Train).unwrap();
        assert_eq!(train.classes(), ["caf\\xe8", "caf\\xe9", "owl"]);
        assert_eq!([0, 1, 2].map(|index| train.label(index).unwrap()), [0, 1, 2]);
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
            Err(DataError::NoPictures { .. })
        ));
        fs::write(dir.path().join("train/cat/broken.png"), "no picture").unwrap();
        assert!(matches!(
            ImageFolder::open(dir.path(), Split::Train),
            Err(DataError::OneClass { class, .. }) if class == "cat"
        ));
        fs::create_dir_all(dir.path().join("train/ant")).unwrap();
        let error = ImageFolder::open(dir.path(), Split::Train).unwrap_err();
        assert!(
            matches!(&error, DataError::EmptyClass { path } if path.ends_with("ant")),
            "{error}"
        );
        fs::write(dir.path().join("train/ant/a.png"), "no picture").unwrap();
        let train = ImageFolder::open(dir.path(), Split::Train).unwrap();
        let error = train.read(1).unwrap_err();
        assert!(error.to_string().contains("broken.png"), "{error}");
        fs::create_dir_all(dir.path().join("test/dog")).unwrap();
        assert!(matches!(
            ImageFolder::open(dir.path(), Split::Test),
            Err(DataError::UnknownClass { known: 2, .. })
        ));
    }
}
