//! A fitted ZCA whitening: the mean and the matrix that training pictures gave, the file that keeps
//! them, and their use on a device.
//!
//! The file goes with every student that was trained on whitened pictures, since nobody can compute
//! the matrix without the training pictures, and it is too large for the metadata of an ONNX file.
//! It is a safetensors file with `mean` `[channels, height, width]` and `matrix` `[numbers,
//! numbers]`, numbers = channels · height · width: a picture x becomes (x − mean) · matrix. What is
//! done to x before stands in the file's metadata under `normalise`, as it is written in
//! configurations.

use super::{Batch, DataError, Normalisation};
use crate::files::write_whole;
use burn::tensor::{Device, Tensor, TensorData};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use sha2::{Digest, Sha256};
use std::{collections::HashMap, fs, io::Write, path::Path};

/// The most numbers of a picture, 3 × 64 × 64: their matrix has 600 MB.
const MOST_NUMBERS: usize = 12_288;

/// What `zca` has learnt from training pictures.
#[derive(Clone, Debug, PartialEq)]
pub struct Whitening {
    pub(super) steps: Vec<Normalisation>,
    pub(super) shape: [usize; 3],
    /// `[numbers]`
    pub(super) mean: Vec<f32>,
    /// `[numbers, numbers]`, symmetric.
    pub(super) matrix: Vec<f32>,
}

impl Whitening {
    /// The name of its file, in a run folder and beside a student's ONNX file.
    pub const FILE: &'static str = "whitening.safetensors";

    /// Refuses pictures `[channels, height, width]` whose matrix would not fit the memory.
    ///
    /// # Errors
    /// [`DataError::TooLargeToWhiten`].
    pub(crate) fn check_size(shape: [usize; 3]) -> Result<(), DataError> {
        if shape.iter().product::<usize>() > MOST_NUMBERS {
            return Err(DataError::TooLargeToWhiten {
                shape,
                most: MOST_NUMBERS,
            });
        }
        Ok(())
    }

    /// Reads a file; with `sha256`, one of these very bytes (in hexadecimal).
    ///
    /// # Errors
    /// [`DataError::Io`] where it cannot be read, [`DataError::WhiteningHash`] where it is another
    /// one, [`DataError::WhiteningFile`] where it is damaged.
    pub fn read(path: &Path, sha256: Option<&str>) -> Result<Self, DataError> {
        let bytes = fs::read(path).map_err(|source| DataError::Io {
            action: "read",
            path: path.to_owned(),
            source,
        })?;
        if let Some(expected) = sha256 {
            let got = hash(&bytes);
            if !got.eq_ignore_ascii_case(expected) {
                return Err(DataError::WhiteningHash {
                    path: path.to_owned(),
                    expected: expected.to_owned(),
                    got,
                });
            }
        }
        Self::decode(&bytes).map_err(|problem| DataError::WhiteningFile {
            path: path.to_owned(),
            problem,
        })
    }

    /// Writes the file, where it does not stand already, and gives its SHA-256 in hexadecimal.
    ///
    /// # Errors
    /// [`DataError::OtherWhitening`] where `path` holds another one, [`DataError::Io`].
    pub fn write(&self, path: &Path) -> Result<String, DataError> {
        let io = |action| {
            move |source| DataError::Io {
                action,
                path: path.to_owned(),
                source,
            }
        };
        let bytes = self.encode().map_err(|problem| DataError::WhiteningFile {
            path: path.to_owned(),
            problem,
        })?;
        let own = hash(&bytes);
        if path.exists() {
            if hash(&fs::read(path).map_err(io("read"))?) != own {
                return Err(DataError::OtherWhitening {
                    path: path.to_owned(),
                });
            }
        } else {
            write_whole(path, |file| file.write_all(&bytes)).map_err(io("write"))?;
        }
        Ok(own)
    }

    /// The SHA-256 of its file, in hexadecimal.
    ///
    /// # Errors
    /// [`DataError::WhiteningFile`] for numbers that the file format refuses.
    pub fn sha256(&self) -> Result<String, DataError> {
        let bytes = self.encode().map_err(|problem| DataError::WhiteningFile {
            path: Self::FILE.into(),
            problem,
        })?;
        Ok(hash(&bytes))
    }

    /// Refuses to whiten for another pipeline than it was fitted for, or pictures of another shape.
    ///
    /// # Errors
    /// [`DataError::WhiteningMisfit`].
    pub fn check(&self, steps: &[Normalisation], shape: [usize; 3]) -> Result<(), DataError> {
        let text = |steps: &[Normalisation], shape| {
            let steps: Vec<String> = steps.iter().map(ToString::to_string).collect();
            format!("{} of {shape:?}", steps.join(" "))
        };
        let (got, expected) = (text(&self.steps, self.shape), text(steps, shape));
        if got == expected {
            return Ok(());
        }
        Err(DataError::WhiteningMisfit { got, expected })
    }

    /// Puts it on a device.
    pub(super) fn on(&self, device: &Device) -> OnDevice {
        let count = self.mean.len();
        OnDevice {
            mean: Tensor::from_data(TensorData::new(self.mean.clone(), [1, count]), device),
            matrix: Tensor::from_data(TensorData::new(self.matrix.clone(), [count, count]), device),
        }
    }

    fn encode(&self) -> Result<Vec<u8>, String> {
        let bytes = |numbers: &[f32]| numbers.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>();
        let (mean, matrix) = (bytes(&self.mean), bytes(&self.matrix));
        let count = self.mean.len();
        let view = |shape: &[usize], bytes| {
            TensorView::new(Dtype::F32, shape.to_vec(), bytes).map_err(|error| error.to_string())
        };
        let steps: Vec<String> = self.steps.iter().map(ToString::to_string).collect();
        // A single entry: the order of several would change from one writing to the next, and the
        // hash with it.
        let metadata = HashMap::from([("normalise".to_owned(), steps.join(" "))]);
        let tensors = [
            ("mean", view(&self.shape, &mean)?),
            ("matrix", view(&[count, count], &matrix)?),
        ];
        safetensors::serialize(tensors, Some(metadata)).map_err(|error| error.to_string())
    }

    fn decode(bytes: &[u8]) -> Result<Self, String> {
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(|error| error.to_string())?;
        let text = header
            .metadata()
            .as_ref()
            .and_then(|entries| entries.get("normalise"));
        let text = text.ok_or("its metadata has no `normalise`")?;
        let steps: Result<Vec<Normalisation>, _> = text.split_whitespace().map(str::parse).collect();
        let steps = steps.map_err(|error| error.to_string())?;
        let file = SafeTensors::deserialize(bytes).map_err(|error| error.to_string())?;
        let tensor = |name: &str| -> Result<(Vec<usize>, Vec<f32>), String> {
            let view = file.tensor(name).map_err(|error| error.to_string())?;
            if view.dtype() != Dtype::F32 {
                return Err(format!("`{name}` is {:?}, expected F32", view.dtype()));
            }
            let (numbers, _) = view.data().as_chunks();
            let numbers: Vec<f32> = numbers.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
            match numbers.iter().all(|number| number.is_finite()) {
                true => Ok((view.shape().to_vec(), numbers)),
                false => Err(format!("`{name}` has numbers that are not finite")),
            }
        };
        let ((shape, mean), (sides, matrix)) = (tensor("mean")?, tensor("matrix")?);
        let shape: [usize; 3] = shape
            .try_into()
            .map_err(|got| format!("`mean` has shape {got:?}, expected [channels, height, width]"))?;
        if sides != [mean.len(); 2] {
            return Err(format!(
                "`matrix` has shape {sides:?}, expected {:?}",
                [mean.len(); 2]
            ));
        }
        Ok(Self {
            steps,
            shape,
            mean,
            matrix,
        })
    }
}

fn hash(bytes: &[u8]) -> String {
    format!("{:x}", Sha256::digest(bytes))
}

/// A whitening where the pictures are.
#[derive(Clone, Debug)]
pub(super) struct OnDevice {
    /// `[1, numbers]`
    mean: Tensor<2>,
    /// `[numbers, numbers]`
    matrix: Tensor<2>,
}

impl OnDevice {
    /// Whitens the images of a batch, in one product for all of them.
    pub(super) fn apply(&self, batch: Batch) -> Batch {
        let shape = batch.images.dims();
        let count = shape[1..].iter().product::<usize>();
        let centred = batch.images.reshape([shape[0], count]) - self.mean.clone();
        Batch {
            images: centred.matmul(self.matrix.clone()).reshape(shape),
            ..batch
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{InMemory, Loader, LoaderOptions, Pipeline, Split, dataset};
    use std::sync::Arc;

    fn source() -> InMemory {
        let pixels = (0..6 * 12).map(|n| (n * n * 5 % 241) as u8).collect();
        InMemory::new([3, 2, 2], vec!["a".into()], vec![0; 6], pixels).unwrap()
    }

    fn pipeline(steps: &[&str]) -> Pipeline {
        Pipeline {
            normalise: steps.iter().map(|text| text.parse().unwrap()).collect(),
            train: vec![],
            ..dataset("cifar10").unwrap().pipeline()
        }
    }

    fn fitted() -> Whitening {
        Whitening::fit(&source(), &pipeline(&["gcn", "zca"]), None).unwrap()
    }

    #[test]
    fn a_file_gives_back_what_was_fitted_and_only_that() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(Whitening::FILE);
        let whitening = fitted();
        let hash = whitening.write(&path).unwrap();
        assert_eq!(Whitening::read(&path, Some(&hash)).unwrap(), whitening);
        assert_eq!(whitening.write(&path).unwrap(), hash);
        let other = Whitening::fit(&source(), &pipeline(&["gcn", "zca:eps=2"]), None).unwrap();
        assert!(matches!(
            other.write(&path),
            Err(DataError::OtherWhitening { .. })
        ));
        assert_eq!(Whitening::read(&path, None).unwrap(), whitening);
        let error = Whitening::read(&path, Some("00ff")).unwrap_err().to_string();
        assert!(error.contains(&hash) && error.contains("00ff"), "{error}");
    }

    #[test]
    fn a_damaged_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(Whitening::FILE);
        let whitening = fitted();
        whitening.write(&path).unwrap();
        let whole = fs::read(&path).unwrap();
        for cut in [0, 4, 100, whole.len() - 1] {
            fs::write(&path, &whole[..cut]).unwrap();
            assert!(
                matches!(Whitening::read(&path, None), Err(DataError::WhiteningFile { .. })),
                "{cut}"
            );
        }
        let refused = |damage: &dyn Fn(&mut Whitening), piece: &str| {
            let mut damaged = whitening.clone();
            damage(&mut damaged);
            fs::write(&path, damaged.encode().unwrap()).unwrap();
            let error = Whitening::read(&path, None).unwrap_err().to_string();
            assert!(error.contains(piece), "{error}");
        };
        refused(&|whitening| whitening.mean[3] = f32::NAN, "not finite");
    }

    #[test]
    fn a_loader_neither_skips_whitening_nor_uses_another() {
        let load = |pipeline: &Pipeline| {
            let source = Arc::new(source());
            let options = LoaderOptions::default();
            Loader::new(source, pipeline, Split::Train, options, &Device::flex())
        };
        let mut pipeline = pipeline(&["gcn", "zca"]);
        let error = load(&pipeline).unwrap().iter().next().unwrap().unwrap_err();
        assert!(error.to_string().contains("`zca` was not fitted"), "{error}");
        pipeline.whitening = Some(Arc::new(fitted()));
        let loader = load(&pipeline).unwrap();
        let batch = loader.iter().next().unwrap().unwrap();
        assert_eq!(batch.images.dims(), [6, 3, 2, 2]);
        pipeline.normalise.remove(0);
        let error = load(&pipeline).err().unwrap().to_string();
        assert!(
            error.contains("gcn:scale=55,bias=0 zca:eps=0.1 of [3, 2, 2]") && error.contains("expected zca"),
            "{error}"
        );
    }
}
