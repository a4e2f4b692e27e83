//! `glyphs`: a data set that the program draws itself, so that everything can be tried without
//! files.
//!
//! An image is a scene: a background with a gradient and stripes, strokes and fragments as clutter,
//! one large glyph of the class under rotation, scale, stretch, translation and jitter of its
//! corners, a patch that hides part of it, more clutter, and noise. [`GlyphOptions::difficulty`]
//! scales all of that. Image `index` of a split is a function of (seed, split, index) alone, and
//! its class is `index` modulo 20, so each prefix of a split is balanced.

mod raster;
mod scene;
mod shapes;

pub use shapes::GLYPH_CLASSES;

use super::{DataError, Image, Purpose, Sample, Source, Split, source::owned, stream};
use raster::SIDE;
use serde::{Deserialize, Serialize};

/// What is drawn.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GlyphOptions {
    /// Another seed gives other images of the same kind.
    pub seed: u64,
    /// The number of training images.
    pub train: usize,
    /// The number of test images.
    pub test: usize,
    /// From 0 (large whole glyphs on plain ground) to 1 (hardly recognisable).
    pub difficulty: f32,
}

impl Default for GlyphOptions {
    fn default() -> Self {
        Self {
            seed: 0,
            train: 10_000,
            test: 2_000,
            difficulty: 0.4,
        }
    }
}

/// One split of the data set; images are drawn when they are read.
#[derive(Clone, Debug)]
pub struct Glyphs {
    options: GlyphOptions,
    split: Split,
    classes: Vec<String>,
}

impl Glyphs {
    /// The images of `split`.
    ///
    /// # Errors
    /// [`DataError::Range`] for a difficulty outside 0 to 1 or a split without images.
    pub fn new(options: &GlyphOptions, split: Split) -> Result<Self, DataError> {
        let range = |option, expected, got: String| DataError::Range {
            what: "glyphs",
            option,
            expected,
            got,
        };
        if !(0.0..=1.0).contains(&options.difficulty) {
            return Err(range("difficulty", "0 to 1", options.difficulty.to_string()));
        }
        for (option, count) in [("train", options.train), ("test", options.test)] {
            if count == 0 {
                return Err(range(option, "at least 1", count.to_string()));
            }
        }
        Ok(Self {
            options: options.clone(),
            split,
            classes: owned(&GLYPH_CLASSES),
        })
    }
}

impl Source for Glyphs {
    fn len(&self) -> usize {
        match self.split {
            Split::Train => self.options.train,
            Split::Test => self.options.test,
        }
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn channels(&self) -> usize {
        3
    }

    fn size(&self) -> Option<[usize; 2]> {
        Some([SIDE, SIDE])
    }

    fn label(&self, index: usize) -> Result<usize, DataError> {
        let len = self.len();
        if index < len {
            Ok(index % GLYPH_CLASSES.len())
        } else {
            Err(DataError::Index { index, len })
        }
    }

    fn read(&self, index: usize) -> Result<Sample, DataError> {
        let label = self.label(index)?;
        let purpose = match self.split {
            Split::Train => Purpose::GlyphTrain,
            Split::Test => Purpose::GlyphTest,
        };
        let mut rng = stream(self.options.seed, purpose, 0, index as u64);
        let pixels = scene::draw(label, self.options.difficulty, &mut rng);
        Ok(Sample {
            image: Image {
                shape: [3, SIDE, SIDE],
                pixels,
            },
            label,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    fn glyphs(options: GlyphOptions, split: Split) -> Glyphs {
        Glyphs::new(&options, split).unwrap()
    }

    #[test]
    fn an_image_is_a_function_of_seed_split_and_index() {
        let pixels = |seed, split, index| {
            glyphs(
                GlyphOptions {
                    seed,
                    ..GlyphOptions::default()
                },
                split,
            )
            .read(index)
            .unwrap()
            .image
            .pixels
        };
        let first = pixels(3, Split::Train, 41);
        assert_eq!(first, pixels(3, Split::Train, 41));
        for other in [
            pixels(4, Split::Train, 41),
            pixels(3, Split::Test, 41),
            pixels(3, Split::Train, 61),
        ] {
            assert_ne!(first, other);
        }
        // However many images there are, and whichever were drawn before.
        let few = GlyphOptions {
            seed: 3,
            train: 42,
            ..GlyphOptions::default()
        };
        let few = glyphs(few, Split::Train);
        few.read(7).unwrap();
        assert_eq!(few.read(41).unwrap().image.pixels, first);
    }

    #[test]
    fn classes_are_balanced_in_every_prefix() {
        let source = glyphs(GlyphOptions::default(), Split::Test);
        assert_eq!((source.len(), source.classes().len()), (2000, 20));
        let mut counts = [0; 20];
        (0..200).for_each(|index| counts[source.label(index).unwrap()] += 1);
        assert_eq!(counts, [10; 20]);
        assert!(matches!(
            source.read(2000),
            Err(DataError::Index {
                index: 2000,
                len: 2000
            })
        ));
    }

    #[test]
    fn options_out_of_range_are_refused() {
        for wrong in [
            GlyphOptions {
                difficulty: 1.5,
                ..GlyphOptions::default()
            },
            GlyphOptions {
                difficulty: f32::NAN,
                ..GlyphOptions::default()
            },
            GlyphOptions {
                test: 0,
                ..GlyphOptions::default()
            },
        ] {
            assert!(matches!(
                Glyphs::new(&wrong, Split::Train),
                Err(DataError::Range { what: "glyphs", .. })
            ));
        }
    }

    #[test]
    fn the_catalogs_mean_and_deviation_are_those_of_the_images() {
        let info = crate::data::dataset("glyphs").unwrap();
        let source = glyphs(GlyphOptions::default(), Split::Train);
        let started = Instant::now();
        let mut sums = [[0.0_f64; 2]; 3];
        let images = 4000;
        for index in 0..images {
            let pixels = source.read(index).unwrap().image.pixels;
            for (sums, plane) in sums.iter_mut().zip(pixels.chunks_exact(SIDE * SIDE)) {
                for &byte in plane {
                    let value = f64::from(byte) / 255.0;
                    *sums = [sums[0] + value, sums[1] + value * value];
                }
            }
        }
        println!(
            "{:.0} glyphs per second",
            f64::from(images as u32) / started.elapsed().as_secs_f64()
        );
        let count = (images * SIDE * SIDE) as f64;
        for ((sums, &mean), &std) in sums.iter().zip(info.mean).zip(info.std) {
            let found = sums[0] / count;
            let deviation = (sums[1] / count - found * found).sqrt();
            assert!((found - f64::from(mean)).abs() < 0.02, "mean {found}");
            assert!((deviation - f64::from(std)).abs() < 0.02, "deviation {deviation}");
        }
    }
}
