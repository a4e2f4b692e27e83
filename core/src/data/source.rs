//! A data set as the rest of the program sees it: random access to labelled 8-bit images.

use super::DataError;
use serde::{Deserialize, Serialize};
use std::{fmt, path::Path};

/// Which part of a data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    /// The images that networks are trained on.
    Train,
    /// The images that networks are judged by.
    Test,
}

impl Split {
    /// `train` or `test`.
    pub fn name(self) -> &'static str {
        match self {
            Split::Train => "train",
            Split::Test => "test",
        }
    }
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// An 8-bit image, planes first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// `[channels, height, width]`.
    pub shape: [usize; 3],
    /// `[channels, height, width]`, row by row.
    pub pixels: Vec<u8>,
}

impl Image {
    /// The image with these interleaved `[height, width, channels]` bytes.
    pub(crate) fn from_interleaved(shape: [usize; 3], bytes: &[u8]) -> Self {
        let [channels, height, width] = shape;
        let mut pixels = Vec::with_capacity(bytes.len());
        for channel in 0..channels {
            pixels.extend(bytes.iter().skip(channel).step_by(channels).take(height * width));
        }
        Self { shape, pixels }
    }

    /// `[height, width]`.
    pub fn size(&self) -> [usize; 2] {
        [self.shape[1], self.shape[2]]
    }
}

/// An image with its class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// The image, before any transform.
    pub image: Image,
    /// The class number, less than the number of classes.
    pub label: usize,
}

/// Random access to one split of a data set, from any thread.
pub trait Source: Send + Sync {
    /// The number of images.
    fn len(&self) -> usize;

    /// Whether there are no images.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The class names; a label is an index into them.
    fn classes(&self) -> &[String];

    /// The number of colour channels of every image.
    fn channels(&self) -> usize;

    /// `[height, width]` of every image, or nothing where they differ.
    fn size(&self) -> Option<[usize; 2]>;

    /// The class of image `index`, without reading the image.
    ///
    /// # Errors
    /// [`DataError::Index`] beyond the end.
    fn label(&self, index: usize) -> Result<usize, DataError>;

    /// The file of image `index`, where it has one of its own.
    fn path(&self, _index: usize) -> Option<&Path> {
        None
    }

    /// What whoever opened the data set should know: files that were left out.
    fn notes(&self) -> Vec<String> {
        Vec::new()
    }

    /// Image `index` with its class.
    ///
    /// # Errors
    /// [`DataError::Index`] beyond the end; whatever the file behind the image raises.
    fn read(&self, index: usize) -> Result<Sample, DataError>;
}

/// Images of one size, held in memory.
#[derive(Clone, Debug)]
pub struct InMemory {
    shape: [usize; 3],
    classes: Vec<String>,
    labels: Vec<usize>,
    pixels: Vec<u8>,
}

impl InMemory {
    /// A data set of `labels.len()` images of `shape` (`[channels, height, width]`), with `pixels`
    /// `[images, channels, height, width]`.
    ///
    /// # Errors
    /// [`DataError::Size`] where the buffers' lengths do not fit, or a label is not a class.
    pub fn new(
        shape: [usize; 3],
        classes: Vec<String>,
        labels: Vec<usize>,
        pixels: Vec<u8>,
    ) -> Result<Self, DataError> {
        let expected = labels.len() * shape.iter().product::<usize>();
        if pixels.len() != expected {
            return Err(DataError::Size {
                what: "bytes of pixels",
                expected,
                got: pixels.len(),
            });
        }
        if let Some(&label) = labels.iter().find(|&&label| label >= classes.len()) {
            return Err(DataError::Size {
                what: "classes for the largest label",
                expected: label + 1,
                got: classes.len(),
            });
        }
        Ok(Self {
            shape,
            classes,
            labels,
            pixels,
        })
    }
}

impl Source for InMemory {
    fn len(&self) -> usize {
        self.labels.len()
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn channels(&self) -> usize {
        self.shape[0]
    }

    fn size(&self) -> Option<[usize; 2]> {
        Some([self.shape[1], self.shape[2]])
    }

    fn label(&self, index: usize) -> Result<usize, DataError> {
        self.labels.get(index).copied().ok_or(DataError::Index {
            index,
            len: self.len(),
        })
    }

    fn read(&self, index: usize) -> Result<Sample, DataError> {
        let label = self.label(index)?;
        let bytes = self.shape.iter().product::<usize>();
        let pixels = self.pixels[index * bytes..(index + 1) * bytes].to_vec();
        Ok(Sample {
            image: Image {
                shape: self.shape,
                pixels,
            },
            label,
        })
    }
}

/// Class names as the trait hands them out.
pub(super) fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interleaved_bytes_become_planes() {
        let image = Image::from_interleaved([3, 1, 2], &[1, 2, 3, 4, 5, 6]);
        assert_eq!(image.pixels, [1, 4, 2, 5, 3, 6]);
    }

    #[test]
    fn buffers_that_do_not_fit_are_refused() {
        let classes = owned(&["a", "b"]);
        assert!(matches!(
            InMemory::new([1, 2, 2], classes.clone(), vec![0, 1], vec![0; 7]),
            Err(DataError::Size {
                expected: 8,
                got: 7,
                ..
            })
        ));
        assert!(matches!(
            InMemory::new([1, 1, 1], classes.clone(), vec![2], vec![0]),
            Err(DataError::Size {
                expected: 3,
                got: 2,
                ..
            })
        ));
        let source = InMemory::new([1, 1, 1], classes, vec![1], vec![9]).unwrap();
        assert_eq!(source.read(0).unwrap().image.pixels, [9]);
        assert!(matches!(
            source.read(1),
            Err(DataError::Index { index: 1, len: 1 })
        ));
    }
}
