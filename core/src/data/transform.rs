//! The transforms between a data set's image and the network's input.
//!
//! All of them take and give 8-bit images, as torchvision's do on PIL images; the turn to
//! normalised numbers comes once, at the end ([`Pipeline`](super::Pipeline)). Their text form is in
//! `notation`.

use super::{
    DataError, Image,
    resize::{Window, crop, resize},
};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Larger sides than this are a typing error, and would only exhaust the memory.
const LARGEST_SIDE: usize = 8192;

/// One step from image to image. Sizes are in pixels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Transform {
    /// Pads all sides with black, then cuts the original size out of a random place.
    PadCrop {
        /// Added on each side.
        #[serde(default = "padding")]
        padding: usize,
    },
    /// Mirrors left and right.
    Flip {
        /// How often.
        #[serde(default = "probability")]
        probability: f64,
    },
    /// Cuts out a random part of the area with an aspect ratio of 3/4 to 4/3, resized to a square
    /// (C. Szegedy et al., *Going Deeper with Convolutions*, arXiv:1409.4842, with torchvision's
    /// rule for what does not fit).
    RandomResizedCrop {
        /// Side of the result.
        size: usize,
        /// Smallest part of the area; the largest is all of it.
        #[serde(default = "min_scale")]
        min_scale: f64,
    },
    /// Scales so that the shorter side has this size; the aspect ratio stays.
    Resize {
        /// The shorter side.
        size: usize,
    },
    /// Scales to this size exactly, whatever becomes of the aspect ratio.
    Stretch {
        /// Height of the result.
        height: usize,
        /// Width of the result.
        width: usize,
    },
    /// Cuts this size out of a random place.
    RandomCrop {
        /// Height of the result.
        height: usize,
        /// Width of the result.
        width: usize,
    },
    /// Cuts a square out of the middle.
    #[serde(alias = "center-crop")]
    CentreCrop {
        /// Side of the square.
        size: usize,
    },
    /// Paints a square at a random place in the mean colour, which is zero once normalised (T.
    /// DeVries, G. Taylor, *Improved Regularization of Convolutional Neural Networks with Cutout*,
    /// arXiv:1708.04552). The mean is rounded to a byte.
    Cutout {
        /// Side of the square; parts of it may fall outside the image.
        size: usize,
    },
}

fn padding() -> usize {
    4
}

fn probability() -> f64 {
    0.5
}

fn min_scale() -> f64 {
    0.08
}

impl Transform {
    /// Its name as it is written.
    pub fn name(&self) -> &'static str {
        match self {
            Transform::PadCrop { .. } => "pad-crop",
            Transform::Flip { .. } => "flip",
            Transform::RandomResizedCrop { .. } => "random-resized-crop",
            Transform::Resize { .. } => "resize",
            Transform::Stretch { .. } => "stretch",
            Transform::RandomCrop { .. } => "random-crop",
            Transform::CentreCrop { .. } => "centre-crop",
            Transform::Cutout { .. } => "cutout",
        }
    }

    /// Refuses options outside their range.
    ///
    /// # Errors
    /// [`DataError::Range`].
    pub fn check(&self) -> Result<(), DataError> {
        let side = |option, size: usize| {
            (1..=LARGEST_SIDE)
                .contains(&size)
                .then_some(())
                .ok_or_else(|| self.range(option, "1 to 8192", size))
        };
        match *self {
            Transform::PadCrop { padding } => side("padding", padding),
            Transform::Flip { probability } if !(0.0..=1.0).contains(&probability) => {
                Err(self.range("probability", "0 to 1", probability))
            }
            Transform::Flip { .. } => Ok(()),
            Transform::RandomResizedCrop { min_scale, .. } if !(min_scale > 0.0 && min_scale <= 1.0) => {
                Err(self.range("min_scale", "more than 0, at most 1", min_scale))
            }
            Transform::RandomResizedCrop { size, .. }
            | Transform::Resize { size }
            | Transform::CentreCrop { size }
            | Transform::Cutout { size } => side("size", size),
            Transform::Stretch { height, width } | Transform::RandomCrop { height, width } => {
                side("height", height)?;
                side("width", width)
            }
        }
    }

    fn range(&self, option: &'static str, expected: &'static str, got: impl fmt::Display) -> DataError {
        DataError::Range {
            what: self.name(),
            option,
            expected,
            got: got.to_string(),
        }
    }

    /// `[height, width]` of the result for an input of that size, or nothing where the size of the
    /// input matters and is unknown.
    ///
    /// # Errors
    /// [`DataError::TooSmall`] where the input cannot hold the crop, [`DataError::Range`] where a
    /// strip of an image would become too long.
    pub fn size(&self, input: Option<[usize; 2]>) -> Result<Option<[usize; 2]>, DataError> {
        match *self {
            Transform::PadCrop { .. } | Transform::Flip { .. } | Transform::Cutout { .. } => Ok(input),
            Transform::RandomResizedCrop { size, .. } => Ok(Some([size, size])),
            Transform::Resize { size } => match input.map(|input| scaled(input, size)) {
                Some(output) if output.iter().any(|&side| side > LARGEST_SIDE) => {
                    Err(self.range("the longer side", "at most 8192", output[0].max(output[1])))
                }
                output => Ok(output),
            },
            Transform::Stretch { height, width } => Ok(Some([height, width])),
            Transform::RandomCrop { height, width } => self.cut(input, [height, width]),
            Transform::CentreCrop { size } => self.cut(input, [size, size]),
        }
    }

    /// The size of what is cut out of an input of that size, or of an unknown one.
    fn cut(&self, input: Option<[usize; 2]>, size: [usize; 2]) -> Result<Option<[usize; 2]>, DataError> {
        match input {
            Some(got) if got[0] < size[0] || got[1] < size[1] => Err(DataError::TooSmall {
                transform: self.name(),
                expected: size,
                got,
            }),
            _ => Ok(Some(size)),
        }
    }

    /// The transformed image; random choices are drawn from `rng`, `mean` is the data set's, per
    /// channel, in 0 to 1.
    ///
    /// # Errors
    /// As [`Transform::size`].
    pub(super) fn apply(&self, image: Image, rng: &mut ChaCha8Rng, mean: &[f32]) -> Result<Image, DataError> {
        let [height, width] = image.size();
        Ok(match *self {
            Transform::PadCrop { padding } => {
                let mut offset = || rng.random_range(0..=2 * padding) as isize - padding as isize;
                let (down, right) = (offset(), offset());
                shifted(&image, down, right)
            }
            Transform::Flip { probability } => {
                let mut image = image;
                if rng.random_bool(probability) {
                    image.pixels.chunks_exact_mut(width).for_each(<[u8]>::reverse);
                }
                image
            }
            Transform::RandomResizedCrop { size, min_scale } => {
                let window = random_window([height, width], min_scale, rng);
                resize(crop(&image, window), [size, size])
            }
            Transform::Resize { size } => {
                self.size(Some([height, width]))?;
                resize(image, scaled([height, width], size))
            }
            Transform::Stretch { height, width } => resize(image, [height, width]),
            Transform::RandomCrop {
                height: rows,
                width: columns,
            } => {
                self.size(Some([height, width]))?;
                let top = rng.random_range(0..=height - rows);
                let left = rng.random_range(0..=width - columns);
                crop(
                    &image,
                    Window {
                        top,
                        left,
                        height: rows,
                        width: columns,
                    },
                )
            }
            Transform::CentreCrop { size } => {
                self.size(Some([height, width]))?;
                // Halves go to the even number, as Python's round() does it.
                let start = |side: usize| ((side - size) as f64 / 2.0).round_ties_even() as usize;
                crop(
                    &image,
                    Window {
                        top: start(height),
                        left: start(width),
                        height: size,
                        width: size,
                    },
                )
            }
            Transform::Cutout { size } => {
                let mut image = image;
                let mut span = |side: usize| {
                    let centre = rng.random_range(0..side) + size;
                    let start = centre - size / 2;
                    start.saturating_sub(size).min(side)..(start + size).saturating_sub(size).min(side)
                };
                let (rows, columns) = (span(height), span(width));
                for (plane, mean) in image.pixels.chunks_exact_mut(height * width).zip(mean) {
                    for row in plane.chunks_exact_mut(width).skip(rows.start).take(rows.len()) {
                        row[columns.clone()].fill((mean * 255.0).round() as u8);
                    }
                }
                image
            }
        })
    }
}

/// The size with the shorter side at `size`; the longer one is rounded down, as torchvision has it.
fn scaled([height, width]: [usize; 2], size: usize) -> [usize; 2] {
    if height <= width {
        [size, size * width / height]
    } else {
        [size * height / width, size]
    }
}

/// What a window of the image's own size shows when it is moved, with black beyond the borders.
fn shifted(image: &Image, down: isize, right: isize) -> Image {
    let [_, height, width] = image.shape;
    let mut pixels = vec![0; image.pixels.len()];
    let kept = width.saturating_sub(right.unsigned_abs());
    let (from, to) = (right.max(0) as usize, (-right).max(0) as usize);
    if kept > 0 {
        for (plane, out) in image
            .pixels
            .chunks_exact(height * width)
            .zip(pixels.chunks_exact_mut(height * width))
        {
            for (row, out) in out.chunks_exact_mut(width).enumerate() {
                let source = row as isize + down;
                if (0..height as isize).contains(&source) {
                    let start = source as usize * width;
                    out[to..to + kept].copy_from_slice(&plane[start + from..start + from + kept]);
                }
            }
        }
    }
    Image {
        shape: image.shape,
        pixels,
    }
}

/// torchvision's `RandomResizedCrop.get_params`: ten tries, then the largest centred window of a
/// permitted ratio.
fn random_window([height, width]: [usize; 2], min_scale: f64, rng: &mut ChaCha8Rng) -> Window {
    let (narrowest, widest) = (3.0 / 4.0, 4.0 / 3.0_f64);
    let area = (height * width) as f64;
    for _ in 0..10 {
        let target = area * rng.random_range(min_scale..=1.0);
        let ratio = rng.random_range(f64::ln(narrowest)..=widest.ln()).exp();
        let [window_height, window_width] =
            [target / ratio, target * ratio].map(|side| side.sqrt().round_ties_even() as usize);
        if (1..=height).contains(&window_height) && (1..=width).contains(&window_width) {
            let top = rng.random_range(0..=height - window_height);
            let left = rng.random_range(0..=width - window_width);
            return Window {
                top,
                left,
                height: window_height,
                width: window_width,
            };
        }
    }
    let ratio = width as f64 / height as f64;
    let [window_height, window_width] = if ratio < narrowest {
        [
            ((width as f64 / narrowest).round_ties_even() as usize).clamp(1, height),
            width,
        ]
    } else if ratio > widest {
        [
            height,
            ((height as f64 * widest).round_ties_even() as usize).clamp(1, width),
        ]
    } else {
        [height, width]
    };
    let (top, left) = ((height - window_height) / 2, (width - window_width) / 2);
    Window {
        top,
        left,
        height: window_height,
        width: window_width,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Purpose, stream};

    fn counting(channels: usize, height: usize, width: usize) -> Image {
        Image {
            shape: [channels, height, width],
            pixels: (1..=(channels * height * width) as u8).collect(),
        }
    }

    fn rng(index: u64) -> ChaCha8Rng {
        stream(7, Purpose::Augment, 0, index)
    }

    #[test]
    fn a_shift_shows_black_beyond_the_border() {
        let image = counting(2, 2, 3);
        assert_eq!(shifted(&image, 0, 0), image);
        assert_eq!(
            shifted(&image, 1, -1).pixels,
            [0, 4, 5, 0, 0, 0, 0, 10, 11, 0, 0, 0]
        );
        assert_eq!(
            shifted(&image, -1, 2).pixels,
            [0, 0, 0, 3, 0, 0, 0, 0, 0, 9, 0, 0]
        );
        assert_eq!(shifted(&image, 0, 3).pixels, [0; 12]);
    }

    #[test]
    fn pad_crop_reaches_every_place_equally() {
        let image = counting(1, 3, 3);
        let crop = Transform::PadCrop { padding: 1 };
        let mut counts = std::collections::HashMap::new();
        for index in 0..9000 {
            *counts
                .entry(crop.apply(image.clone(), &mut rng(index), &[]).unwrap().pixels)
                .or_insert(0) += 1;
        }
        assert_eq!(counts.len(), 9);
        // 1000 each; the standard deviation is 30.
        assert!(
            counts.values().all(|&count| (850..1150).contains(&count)),
            "{counts:?}"
        );
    }

    #[test]
    fn a_flip_mirrors_each_row_half_of_the_time() {
        let image = counting(2, 1, 3);
        let always = Transform::Flip { probability: 1.0 };
        assert_eq!(
            always.apply(image.clone(), &mut rng(0), &[]).unwrap().pixels,
            [3, 2, 1, 6, 5, 4]
        );
        let half = Transform::Flip { probability: 0.5 };
        let flipped = (0..1000)
            .filter(|&index| half.apply(image.clone(), &mut rng(index), &[]).unwrap() != image)
            .count();
        assert!((430..570).contains(&flipped), "{flipped}");
    }

    // int(round((side - 4) / 2.0)) for the sides 5 and 7: 0 and 2 (Python 3.11).
    #[test]
    fn a_centre_crop_rounds_as_torchvision_does() {
        let cropped = |side| {
            let image = Image {
                shape: [1, 4, side],
                pixels: (0..4).flat_map(|_| 0..side as u8).collect(),
            };
            Transform::CentreCrop { size: 4 }
                .apply(image, &mut rng(0), &[])
                .unwrap()
                .pixels[0]
        };
        assert_eq!((cropped(5), cropped(6), cropped(7)), (0, 1, 2));
        let error = Transform::CentreCrop { size: 4 }
            .apply(counting(1, 3, 9), &mut rng(0), &[])
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "centre-crop needs at least 4x4 pixels, got 3x9"
        );
    }

    // torchvision.transforms.Resize(256) on 333x500: 256x384; Resize(5) on 7x9 and 9x7: 5x6 and 6x5
    // (torchvision 0.29.2).
    #[test]
    fn resize_keeps_the_aspect_ratio() {
        assert_eq!(scaled([333, 500], 256), [256, 384]);
        assert_eq!((scaled([7, 9], 5), scaled([9, 7], 5)), ([5, 6], [6, 5]));
    }

    #[test]
    fn stretch_changes_the_aspect_ratio_and_random_crop_reaches_every_place() {
        let stretched = Transform::Stretch { height: 4, width: 2 }
            .apply(counting(3, 2, 6), &mut rng(0), &[])
            .unwrap();
        assert_eq!(stretched.shape, [3, 4, 2]);
        let crop = Transform::RandomCrop { height: 1, width: 2 };
        let mut seen = std::collections::BTreeSet::new();
        for index in 0..300 {
            let cropped = crop.apply(counting(1, 2, 3), &mut rng(index), &[]).unwrap();
            assert_eq!(cropped.shape, [1, 1, 2]);
            seen.insert(cropped.pixels);
        }
        assert_eq!(
            seen.into_iter().collect::<Vec<_>>(),
            [[1, 2], [2, 3], [4, 5], [5, 6]]
        );
        let error = crop.apply(counting(1, 3, 1), &mut rng(0), &[]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "random-crop needs at least 1x2 pixels, got 3x1"
        );
    }

    #[test]
    fn random_windows_lie_inside_and_keep_area_and_ratio() {
        for (index, size) in [[40, 60], [500, 333], [10, 200], [200, 10]]
            .into_iter()
            .cycle()
            .take(2000)
            .enumerate()
        {
            let Window {
                top,
                left,
                height,
                width,
            } = random_window(size, 0.3, &mut rng(index as u64));
            assert!(top + height <= size[0] && left + width <= size[1]);
            if size.iter().all(|&side| side > 10) {
                let part = (height * width) as f64 / (size[0] * size[1]) as f64;
                assert!((0.28..=1.0).contains(&part), "{part}");
            }
            assert!((0.7..1.43).contains(&(width as f64 / height as f64)));
        }
    }

    #[test]
    fn cutout_paints_the_mean_inside_the_image() {
        let image = Image {
            shape: [2, 6, 6],
            pixels: vec![200; 72],
        };
        let mut areas = std::collections::BTreeSet::new();
        for index in 0..300 {
            let out = Transform::Cutout { size: 4 }
                .apply(image.clone(), &mut rng(index), &[0.5, 0.2])
                .unwrap();
            let (first, second) = out.pixels.split_at(36);
            let painted = first.iter().filter(|&&pixel| pixel == 128).count();
            assert_eq!(painted, second.iter().filter(|&&pixel| pixel == 51).count());
            areas.insert(painted);
        }
        // Centre at 0 to 5, square from centre-2 to centre+2: 2, 3 or 4 pixels stay inside on each
        // axis.
        assert_eq!(areas.into_iter().collect::<Vec<_>>(), [4, 6, 8, 9, 12, 16]);
    }
}
