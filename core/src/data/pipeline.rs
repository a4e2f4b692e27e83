//! The transforms of a run: what training and test images go through, and the numbers they become.

use super::{DataError, Image, Source, Split, Transform, notation};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

/// What is done to the images of each split, as it is written in a configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pipeline {
    /// The transforms of training images, in order.
    #[serde(with = "notation::texts")]
    pub train: Vec<Transform>,
    /// The transforms of test images, in order.
    #[serde(with = "notation::texts")]
    pub test: Vec<Transform>,
    /// Mean of each channel, of pixels in 0 to 1.
    pub mean: Vec<f32>,
    /// Standard deviation of each channel, of pixels in 0 to 1.
    pub std: Vec<f32>,
}

impl Pipeline {
    /// Checks everything that can be known before an image is read.
    ///
    /// # Errors
    /// [`DataError::Range`], [`DataError::Channels`], [`DataError::TooSmall`], [`DataError::SizeNotFixed`].
    pub fn resolve(&self, source: &dyn Source, split: Split) -> Result<Preparation, DataError> {
        let channels = source.channels();
        for (option, values) in [("mean", &self.mean), ("std", &self.std)] {
            if values.len() != channels {
                return Err(DataError::Channels {
                    option,
                    channels,
                    got: values.len(),
                });
            }
        }
        let finite = |option, expected, got: f32| DataError::Range {
            what: "normalisation",
            option,
            expected,
            got: got.to_string(),
        };
        if let Some(&mean) = self.mean.iter().find(|mean| !mean.is_finite()) {
            return Err(finite("mean", "a number", mean));
        }
        if let Some(&std) = self.std.iter().find(|&&std| !(std.is_finite() && std > 0.0)) {
            return Err(finite("std", "more than 0", std));
        }

        let transforms = match split {
            Split::Train => &self.train,
            Split::Test => &self.test,
        };
        let mut size = source.size();
        for transform in transforms {
            transform.check()?;
            size = transform.size(size)?;
        }
        let [height, width] = size.ok_or(DataError::SizeNotFixed { split: split.name() })?;

        // In this order of operations the numbers are those of torchvision's ToTensor and Normalize, bit for
        // bit.
        let value = |byte: u8, mean, std| (f32::from(byte) / 255.0 - mean) / std;
        let values = |(&mean, &std): (&f32, &f32)| std::array::from_fn(|byte| value(byte as u8, mean, std));
        Ok(Preparation {
            transforms: transforms.clone(),
            mean: self.mean.clone(),
            values: self.mean.iter().zip(&self.std).map(values).collect(),
            shape: [channels, height, width],
        })
    }
}

/// A pipeline that fits a data set: from an image to the network's input.
#[derive(Clone, Debug)]
pub struct Preparation {
    transforms: Vec<Transform>,
    mean: Vec<f32>,
    /// The normalised number of each byte, per channel.
    values: Vec<[f32; 256]>,
    shape: [usize; 3],
}

impl Preparation {
    /// `[channels, height, width]` of every prepared image.
    pub fn shape(&self) -> [usize; 3] {
        self.shape
    }

    /// Transforms and normalises image `index` into `out` (`[channels, height, width]`), drawing from `rng`.
    ///
    /// # Errors
    /// [`DataError::Shape`] where the image or `out` has another size than announced,
    /// [`DataError::TooSmall`].
    pub fn apply(
        &self,
        index: usize,
        image: Image,
        rng: &mut ChaCha8Rng,
        out: &mut [f32],
    ) -> Result<(), DataError> {
        let mut image = image;
        for transform in &self.transforms {
            image = transform.apply(image, rng, &self.mean)?;
        }
        if image.shape != self.shape || out.len() != image.pixels.len() {
            return Err(DataError::Shape {
                index,
                expected: self.shape,
                got: image.shape,
            });
        }
        let plane = self.shape[1] * self.shape[2];
        for ((values, bytes), out) in self
            .values
            .iter()
            .zip(image.pixels.chunks_exact(plane))
            .zip(out.chunks_exact_mut(plane))
        {
            out.iter_mut()
                .zip(bytes)
                .for_each(|(out, &byte)| *out = values[usize::from(byte)]);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{InMemory, Purpose, stream};

    fn source() -> InMemory {
        InMemory::new(
            [2, 2, 2],
            vec!["a".into()],
            vec![0],
            vec![0, 51, 102, 255, 0, 51, 102, 255],
        )
        .unwrap()
    }

    fn pipeline(test: &[&str]) -> Pipeline {
        let test = test.iter().map(|text| text.parse().unwrap()).collect();
        Pipeline {
            train: vec![],
            test,
            mean: vec![0.4, 0.0],
            std: vec![0.2, 0.5],
        }
    }

    #[test]
    fn pixels_are_normalised_per_channel() {
        let preparation = pipeline(&[]).resolve(&source(), Split::Test).unwrap();
        let mut out = [0.0; 8];
        let image = source().read(0).unwrap().image;
        preparation
            .apply(0, image, &mut stream(0, Purpose::Augment, 0, 0), &mut out)
            .unwrap();
        let expected = [-2.0, -1.0, 0.0, 3.0, 0.0, 0.4, 0.8, 2.0];
        assert!(
            out.iter()
                .zip(expected)
                .all(|(got, expected)| (got - expected).abs() < 1e-6),
            "{out:?}"
        );
    }

    #[test]
    fn what_does_not_fit_is_refused_before_an_image_is_read() {
        let resolve = |pipeline: Pipeline| pipeline.resolve(&source(), Split::Test).unwrap_err();
        assert!(matches!(
            resolve(pipeline(&["centre-crop:size=3"])),
            DataError::TooSmall {
                expected: 3,
                got: [2, 2],
                ..
            }
        ));
        assert!(matches!(
            resolve(Pipeline {
                mean: vec![0.5],
                ..pipeline(&[])
            }),
            DataError::Channels {
                option: "mean",
                channels: 2,
                got: 1
            }
        ));
        assert!(matches!(
            resolve(Pipeline {
                std: vec![0.5, 0.0],
                ..pipeline(&[])
            }),
            DataError::Range { option: "std", .. }
        ));
    }

    #[test]
    fn a_pipeline_survives_toml_and_refuses_unknown_keys() {
        let pipeline = pipeline(&["resize:size=4", "centre-crop:size=4"]);
        let text = toml::to_string(&pipeline).unwrap();
        assert!(
            text.contains(r#"test = ["resize:size=4", "centre-crop:size=4"]"#),
            "{text}"
        );
        assert_eq!(toml::from_str::<Pipeline>(&text).unwrap(), pipeline);
        let wrong = toml::from_str::<Pipeline>(&format!("tset = []\n{text}"))
            .unwrap_err()
            .to_string();
        assert!(wrong.contains("unknown field `tset`"), "{wrong}");
        let wrong = toml::from_str::<Pipeline>(&text.replace("resize:size", "resize:sice"))
            .unwrap_err()
            .to_string();
        assert!(
            wrong.contains("cannot read transform `resize:sice=4`: unknown field `sice`, expected `size`"),
            "{wrong}"
        );
    }
}
