//! The data sets that the program knows, as one table, and how one of them is opened.

use super::{
    DataError, GlyphOptions, Glyphs, ImageFolder, Pipeline, Source, Split, Transform,
    cifar::{self, CIFAR10, CIFAR100},
    market::{self, RetrievalTest},
    mnist::{self, DIGITS, FASHION},
};
use serde::{Deserialize, Serialize};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

/// A data set as a configuration names it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DataSpec {
    /// Its name in [`DATASETS`].
    pub name: String,
    /// The folder (or archive) that holds it; `glyphs` needs none.
    pub dir: Option<PathBuf>,
    /// Whether files that `dir` lacks are fetched from the data set's public home.
    pub download: bool,
    /// What `glyphs` draws.
    pub glyphs: GlyphOptions,
}

impl Default for DataSpec {
    /// `glyphs`, which needs no files.
    fn default() -> Self {
        Self {
            name: "glyphs".to_owned(),
            dir: None,
            download: false,
            glyphs: GlyphOptions::default(),
        }
    }
}

/// Opens one split of a data set that is specified by name.
type Open = fn(&DataSpec, Split) -> Result<Arc<dyn Source>, DataError>;

/// Opens the test of retrieval of a data set.
type OpenRetrieval = fn(&DataSpec) -> Result<RetrievalTest, DataError>;

/// What the program knows about a data set before it is opened.
#[derive(Debug)]
pub struct DatasetInfo {
    /// The name in flags and files.
    pub name: &'static str,
    /// One line for lists.
    pub summary: &'static str,
    /// `[channels, height, width]` after the default transforms.
    pub shape: [usize; 3],
    /// The number of classes, where the files do not decide it.
    pub classes: Option<usize>,
    /// Mean of each channel of the training images, of pixels in 0 to 1.
    pub mean: &'static [f32],
    /// Standard deviation of each channel.
    pub std: &'static [f32],
    /// The default transforms of training images.
    pub train: &'static [Transform],
    /// The default transforms of test images.
    pub test: &'static [Transform],
    /// Its public home, where it has one.
    pub home: Option<Home>,
    open: Open,
    /// Queries and gallery, where networks are judged by what they find rather than by classes.
    pub retrieval: Option<OpenRetrieval>,
}

/// Where a data set can be fetched.
#[derive(Clone, Copy, Debug)]
pub struct Home {
    /// The address of the folder, with a slash at its end.
    pub url: &'static str,
    /// File names with their published MD5.
    pub files: &'static [(&'static str, &'static str)],
}

impl DatasetInfo {
    /// The default transforms and normalisation.
    pub fn pipeline(&self) -> Pipeline {
        Pipeline {
            train: self.train.to_vec(),
            test: self.test.to_vec(),
            mean: self.mean.to_vec(),
            std: self.std.to_vec(),
            normalise: Vec::new(),
            whitening: None,
        }
    }
}

/// The entry of `name`.
///
/// # Errors
/// [`DataError::UnknownDataset`] with the known names and the nearest of them.
pub fn dataset(name: &str) -> Result<&'static DatasetInfo, DataError> {
    DATASETS.iter().find(|info| info.name == name).ok_or_else(|| {
        let distance = |known: &&str| strsim::damerau_levenshtein(&name.to_lowercase(), known);
        let known: Vec<_> = DATASETS.iter().map(|info| info.name).collect();
        let nearest = known
            .iter()
            .copied()
            .min_by_key(distance)
            .filter(|known| distance(known) <= known.len() / 2);
        DataError::UnknownDataset {
            name: name.to_owned(),
            known,
            nearest,
        }
    })
}

/// Opens `split` of `spec`; where its files are missing and may be downloaded, they are fetched
/// first.
///
/// # Errors
/// [`DataError::UnknownDataset`], [`DataError::NoFolder`], what the download and the reader raise.
pub fn open(spec: &DataSpec, split: Split) -> Result<Arc<dyn Source>, DataError> {
    let info = dataset(&spec.name)?;
    match (info.open)(spec, split) {
        Err(DataError::Missing { .. }) if spec.download => {
            fetch(info, spec)?;
            (info.open)(spec, split)
        }
        opened => opened,
    }
}

#[cfg(feature = "download")]
fn fetch(info: &DatasetInfo, spec: &DataSpec) -> Result<(), DataError> {
    let Some(home) = info.home else {
        return Err(DataError::NoDownload {
            name: info.name,
            reason: "it has no public home",
        });
    };
    super::download::fetch(home.url, home.files, folder(spec)?)
}

#[cfg(not(feature = "download"))]
fn fetch(info: &DatasetInfo, _: &DataSpec) -> Result<(), DataError> {
    Err(DataError::NoDownload {
        name: info.name,
        reason: "this build leaves out the feature `download`",
    })
}

fn folder(spec: &DataSpec) -> Result<&Path, DataError> {
    spec.dir.as_deref().ok_or_else(|| DataError::NoFolder {
        name: spec.name.clone(),
    })
}

const CIFAR_TRAIN: &[Transform] = &[
    Transform::PadCrop { padding: 4 },
    Transform::Flip { probability: 0.5 },
];

/// Of ImageNet's training pictures, as torchvision has them.
const IMAGENET_MEAN: &[f32] = &[0.485, 0.456, 0.406];
const IMAGENET_STD: &[f32] = &[0.229, 0.224, 0.225];

/// The known data sets, by name.
pub static DATASETS: &[DatasetInfo] = &[
    DatasetInfo {
        name: "cifar10",
        summary: "CIFAR-10: 60,000 colour photographs of 32x32 pixels",
        shape: [3, 32, 32],
        classes: Some(10),
        mean: &[0.4914, 0.4822, 0.4465],
        std: &[0.2470, 0.2435, 0.2616],
        train: CIFAR_TRAIN,
        test: &[],
        home: Some(Home {
            url: "https://www.cs.toronto.edu/~kriz/",
            files: &[("cifar-10-binary.tar.gz", "c32a1d4ab5d03f1284b67883e8d87530")],
        }),
        open: |spec, split| Ok(Arc::new(cifar::open(&CIFAR10, folder(spec)?, split)?)),
        retrieval: None,
    },
    DatasetInfo {
        name: "cifar100",
        summary: "CIFAR-100: 60,000 colour photographs of 32x32 pixels",
        shape: [3, 32, 32],
        classes: Some(100),
        mean: &[0.5071, 0.4865, 0.4409],
        std: &[0.2673, 0.2564, 0.2762],
        train: CIFAR_TRAIN,
        test: &[],
        home: Some(Home {
            url: "https://www.cs.toronto.edu/~kriz/",
            files: &[("cifar-100-binary.tar.gz", "03b5dce01913d631647c71ecec9e9cb8")],
        }),
        open: |spec, split| Ok(Arc::new(cifar::open(&CIFAR100, folder(spec)?, split)?)),
        retrieval: None,
    },
    DatasetInfo {
        name: "fashion-mnist",
        summary: "Fashion-MNIST: 70,000 grey pictures of clothes, 28x28 pixels",
        shape: [1, 28, 28],
        classes: Some(10),
        mean: &[0.2860],
        std: &[0.3530],
        train: &[
            Transform::PadCrop { padding: 2 },
            Transform::Flip { probability: 0.5 },
        ],
        test: &[],
        home: Some(Home {
            url: "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
            files: &[
                ("train-images-idx3-ubyte.gz", "8d4fb7e6c68d591d4c3dfef9ec88bf0d"),
                ("train-labels-idx1-ubyte.gz", "25c81989df183df01b3e8a0aad5dffbe"),
                ("t10k-images-idx3-ubyte.gz", "bef4ecab320f06d8554ea6380940ec79"),
                ("t10k-labels-idx1-ubyte.gz", "bb300cfdad3c16e7a12a480ee83cd310"),
            ],
        }),
        open: |spec, split| {
            Ok(Arc::new(mnist::open(
                "Fashion-MNIST",
                &FASHION,
                folder(spec)?,
                split,
            )?))
        },
        retrieval: None,
    },
    DatasetInfo {
        name: "folder",
        summary: "pictures in the ImageNet layout: train/CLASS/*.jpg, val/CLASS/*.jpg",
        shape: [3, 224, 224],
        classes: None,
        mean: IMAGENET_MEAN,
        std: IMAGENET_STD,
        train: &[
            Transform::RandomResizedCrop {
                size: 224,
                min_scale: 0.08,
            },
            Transform::Flip { probability: 0.5 },
        ],
        test: &[
            Transform::Resize { size: 256 },
            Transform::CentreCrop { size: 224 },
        ],
        home: None,
        open: |spec, split| Ok(Arc::new(ImageFolder::open(folder(spec)?, split)?)),
        retrieval: None,
    },
    DatasetInfo {
        name: "glyphs",
        summary: "20 classes of shapes that the program draws itself, 32x32 pixels",
        shape: [3, 32, 32],
        classes: Some(20),
        mean: &[0.45, 0.45, 0.45],
        std: &[0.237, 0.237, 0.237],
        // Mirroring would make `ess` and `zed` one class.
        train: &[Transform::PadCrop { padding: 2 }],
        test: &[],
        home: None,
        open: |spec, split| Ok(Arc::new(Glyphs::new(&spec.glyphs, split)?)),
        retrieval: None,
    },
    DatasetInfo {
        name: "market1501",
        summary: "Market-1501: people seen by six cameras, for retrieval",
        shape: [3, 160, 64],
        classes: None,
        mean: IMAGENET_MEAN,
        std: IMAGENET_STD,
        // Enlarged by an eighth, then cut: the usual training pictures of person re-identification.
        train: &[
            Transform::Stretch {
                height: 180,
                width: 72,
            },
            Transform::RandomCrop {
                height: 160,
                width: 64,
            },
            Transform::Flip { probability: 0.5 },
        ],
        test: &[Transform::Stretch {
            height: 160,
            width: 64,
        }],
        home: None,
        open: |spec, split| Ok(Arc::new(market::open(folder(spec)?, split)?)),
        retrieval: Some(|spec| market::open_retrieval(folder(spec)?)),
    },
    DatasetInfo {
        name: "mnist",
        summary: "MNIST: 70,000 grey handwritten digits, 28x28 pixels",
        shape: [1, 28, 28],
        classes: Some(10),
        mean: &[0.1307],
        std: &[0.3081],
        train: &[Transform::PadCrop { padding: 2 }],
        test: &[],
        home: Some(Home {
            url: "https://ossci-datasets.s3.amazonaws.com/mnist/",
            files: &[
                ("train-images-idx3-ubyte.gz", "f68b3c2dcbeaaa9fbdd348bbdeb94873"),
                ("train-labels-idx1-ubyte.gz", "d53e105ee54ea40749a09fcbcd1e9432"),
                ("t10k-images-idx3-ubyte.gz", "9fb629c4189551a2d022fa330f9573f3"),
                ("t10k-labels-idx1-ubyte.gz", "ec29112dd5afa0611ce80d1b7f02629c"),
            ],
        }),
        open: |spec, split| Ok(Arc::new(mnist::open("MNIST", &DIGITS, folder(spec)?, split)?)),
        retrieval: None,
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_its_defaults_fit_each_other() {
        assert!(DATASETS.is_sorted_by_key(|info| info.name));
        for info in DATASETS {
            let [channels, height, width] = info.shape;
            assert_eq!(
                (info.mean.len(), info.std.len()),
                (channels, channels),
                "{}",
                info.name
            );
            let natural = (!matches!(info.name, "folder" | "market1501")).then_some([height, width]);
            for transforms in [info.train, info.test] {
                let size = transforms.iter().fold(natural, |size, transform| {
                    transform.check().unwrap();
                    transform.size(size).unwrap()
                });
                assert_eq!(size, Some([height, width]), "{}", info.name);
            }
            let text = toml::to_string(&info.pipeline()).unwrap();
            assert_eq!(toml::from_str::<Pipeline>(&text).unwrap(), info.pipeline());
        }
    }

    #[test]
    fn an_unknown_name_lists_the_known_and_the_nearest() {
        let spec = |name: &str| DataSpec {
            name: name.into(),
            ..DataSpec::default()
        };
        let error = |name| open(&spec(name), Split::Train).err().unwrap().to_string();
        assert_eq!(
            error("cifar-100"),
            "no data set `cifar-100` (did you mean `cifar100`?); known are cifar10, cifar100, fashion-mnist, folder, glyphs, market1501, mnist"
        );
        assert!(error("FashionMNIST").contains("did you mean `fashion-mnist`?"));
        assert!(!error("imagenet-22k").contains("did you mean"));
        assert!(error("cifar10").contains("name its folder"));
    }

    #[test]
    fn a_data_set_without_a_home_cannot_be_downloaded() {
        let dir = tempfile::tempdir().unwrap();
        let spec = DataSpec {
            name: "folder".into(),
            dir: Some(dir.path().to_owned()),
            download: true,
            ..DataSpec::default()
        };
        assert!(matches!(
            open(&spec, Split::Train),
            Err(DataError::NoDownload { name: "folder", .. })
        ));
    }

    #[test]
    fn a_specification_survives_toml_and_refuses_unknown_keys() {
        let spec: DataSpec = toml::from_str("name = 'glyphs'\nglyphs = { train = 40 }").unwrap();
        assert_eq!(
            spec.glyphs,
            GlyphOptions {
                train: 40,
                ..GlyphOptions::default()
            }
        );
        assert_eq!(
            toml::from_str::<DataSpec>(&toml::to_string(&spec).unwrap()).unwrap(),
            spec
        );
        let error = toml::from_str::<DataSpec>("nmae = 'glyphs'")
            .unwrap_err()
            .to_string();
        assert!(error.contains("unknown field `nmae`"), "{error}");
        assert_eq!(open(&spec, Split::Train).unwrap().len(), 40);
    }
}
