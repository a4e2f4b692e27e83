//! The transforms of a run: what training and test images go through, and the numbers they become.

use super::{DataError, Image, Normalisation, Source, Split, Transform, Whitening, normalise, notation};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

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
    /// What takes the place of mean and standard deviation; empty where these hold. The mean stays
    /// the colour that `cutout` paints.
    #[serde(default, with = "notation::texts", skip_serializing_if = "Vec::is_empty")]
    pub normalise: Vec<Normalisation>,
    /// What `zca` has learnt from the training pictures; a [`Loader`](super::Loader) gives no batch
    /// of a pipeline with `zca` that lacks it.
    #[serde(skip)]
    pub whitening: Option<Arc<Whitening>>,
}

impl Pipeline {
    /// Checks everything that can be known before an image is read.
    ///
    /// # Errors
    /// [`DataError::Range`], [`DataError::Channels`], [`DataError::NormaliseOrder`],
    /// [`DataError::TooSmall`], [`DataError::SizeNotFixed`], [`DataError::TooLargeToWhiten`].
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

        Normalisation::check_all(&self.normalise)?;
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

        if self.whitens() {
            Whitening::check_size([channels, height, width])?;
        }
        let numbers = match self.normalise.first() {
            Some(&Normalisation::Gcn { scale, bias }) => Numbers::Contrast { scale, bias },
            Some(Normalisation::Zca { .. }) => {
                Numbers::per_channel(&vec![0.0; channels], &vec![1.0; channels])
            }
            None => Numbers::per_channel(&self.mean, &self.std),
        };
        Ok(Preparation {
            transforms: transforms.clone(),
            mean: self.mean.clone(),
            numbers,
            whitens: self.whitens(),
            shape: [channels, height, width],
        })
    }

    /// What decides the numbers of a split's prepared images, beside the images and the random
    /// draws, as one text.
    ///
    /// # Errors
    /// [`DataError::WhiteningFile`] for a whitening that cannot be written.
    pub fn describe(&self, split: Split) -> Result<String, DataError> {
        let transforms = match split {
            Split::Train => &self.train,
            Split::Test => &self.test,
        };
        let texts = |texts: Vec<String>| format!("[{}]", texts.join(" "));
        let mut text = format!(
            "{} mean={:?} std={:?}",
            texts(transforms.iter().map(ToString::to_string).collect()),
            self.mean,
            self.std,
        );
        if !self.normalise.is_empty() {
            let steps = self.normalise.iter().map(ToString::to_string).collect();
            text += &format!(" normalise={}", texts(steps));
        }
        if let Some(whitening) = self.whitening.as_deref().filter(|_| self.whitens()) {
            text += &format!(" whitening={}", whitening.sha256()?);
        }
        Ok(text)
    }

    /// Whether batches are to be whitened.
    pub fn whitens(&self) -> bool {
        self.normalise
            .iter()
            .any(|step| matches!(step, Normalisation::Zca { .. }))
    }
}

/// How a byte becomes a number.
#[derive(Clone, Debug)]
enum Numbers {
    /// The normalised number of each byte, per channel.
    PerChannel(Vec<[f32; 256]>),
    /// By the contrast of its picture.
    Contrast { scale: f64, bias: f64 },
}

impl Numbers {
    fn per_channel(mean: &[f32], std: &[f32]) -> Self {
        // In this order of operations the numbers are those of torchvision's ToTensor and
        // Normalize, bit for bit.
        let value = |byte: u8, mean, std| (f32::from(byte) / 255.0 - mean) / std;
        let values = |(&mean, &std): (&f32, &f32)| std::array::from_fn(|byte| value(byte as u8, mean, std));
        Numbers::PerChannel(mean.iter().zip(std).map(values).collect())
    }
}

/// A pipeline that fits a data set: from an image to the network's input.
#[derive(Clone, Debug)]
pub struct Preparation {
    transforms: Vec<Transform>,
    mean: Vec<f32>,
    numbers: Numbers,
    whitens: bool,
    shape: [usize; 3],
}

impl Preparation {
    /// `[channels, height, width]` of every prepared image.
    pub fn shape(&self) -> [usize; 3] {
        self.shape
    }

    /// Whether batches of prepared images are still to be whitened.
    pub(super) fn whitens(&self) -> bool {
        self.whitens
    }

    /// Transforms and normalises image `index` into `out` (`[channels, height, width]`), drawing
    /// from `rng`. Whitening, a product with a large matrix, is left to the device that a batch
    /// goes to.
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
        match &self.numbers {
            Numbers::Contrast { scale, bias } => normalise::contrast(&image.pixels, *scale, *bias, out),
            Numbers::PerChannel(channels) => {
                let plane = self.shape[1] * self.shape[2];
                let planes = image.pixels.chunks_exact(plane).zip(out.chunks_exact_mut(plane));
                for (values, (bytes, out)) in channels.iter().zip(planes) {
                    out.iter_mut()
                        .zip(bytes)
                        .for_each(|(out, &byte)| *out = values[usize::from(byte)]);
                }
            }
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
            normalise: vec![],
            whitening: None,
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
    fn contrast_takes_the_place_of_mean_and_deviation_over_all_channels() {
        let contrast = Pipeline {
            normalise: vec!["gcn:scale=2".parse().unwrap()],
            ..pipeline(&[])
        };
        let preparation = contrast.resolve(&source(), Split::Test).unwrap();
        let mut out = [0.0; 8];
        let image = source().read(0).unwrap().image;
        preparation
            .apply(0, image, &mut stream(0, Purpose::Augment, 0, 0), &mut out)
            .unwrap();
        // Mean 102 over both channels, squares 2 (102² + 51² + 0 + 153²).
        let norm = 72_828.0_f32.sqrt();
        for (got, pixel) in out.iter().zip([0.0, 51.0, 102.0, 255.0].repeat(2)) {
            assert!((got - 2.0 * (pixel - 102.0) / norm).abs() < 1e-6, "{out:?}");
        }
    }

    #[test]
    fn what_does_not_fit_is_refused_before_an_image_is_read() {
        let resolve = |pipeline: Pipeline| pipeline.resolve(&source(), Split::Test).unwrap_err();
        assert!(matches!(
            resolve(pipeline(&["centre-crop:size=3"])),
            DataError::TooSmall {
                expected: [3, 3],
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
    fn a_description_says_what_decides_the_numbers() {
        let pipeline = pipeline(&["centre-crop:size=2"]);
        assert_eq!(
            pipeline.describe(Split::Test).unwrap(),
            "[centre-crop:size=2] mean=[0.4, 0.0] std=[0.2, 0.5]"
        );
        assert_eq!(
            pipeline.describe(Split::Train).unwrap(),
            "[] mean=[0.4, 0.0] std=[0.2, 0.5]"
        );
        let contrast = Pipeline {
            normalise: vec!["gcn".parse().unwrap()],
            ..pipeline
        };
        let text = contrast.describe(Split::Train).unwrap();
        assert!(text.ends_with("normalise=[gcn:scale=55,bias=0]"), "{text}");
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
        let whitened = format!("normalise = ['gcn', 'zca:eps=0.5']\n{text}");
        let read = toml::from_str::<Pipeline>(&whitened).unwrap();
        assert_eq!(read.normalise[1].to_string(), "zca:eps=0.5");
        assert_eq!(
            toml::from_str::<Pipeline>(&toml::to_string(&read).unwrap()).unwrap(),
            read
        );
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
