//! What a split holds, for reports and for naming caches.

use super::{DataError, DataSpec, Source, Split};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt;

/// Images that the fingerprint looks at.
const PROBES: usize = 16;

/// The figures of one split.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataSummary {
    /// The data set's name in the catalog.
    pub name: String,
    /// The split.
    pub split: Split,
    /// The number of images.
    pub samples: usize,
    /// The number of classes.
    pub classes: usize,
    /// The numbers of images of the smallest and the largest class.
    pub per_class: [usize; 2],
    /// The number of colour channels.
    pub channels: usize,
    /// `[height, width]`, or nothing where images differ.
    pub size: Option<[usize; 2]>,
    /// SHA-256, in hexadecimal, of the figures above and of 16 images spread over the split: equal
    /// where the data set is the same, different (nearly always) where it is not. It costs the
    /// reading of these images, not of all.
    pub fingerprint: String,
}

impl DataSummary {
    /// The figures of `source`, which is `split` of `spec`.
    ///
    /// # Errors
    /// What the source raises.
    pub fn new(spec: &DataSpec, split: Split, source: &dyn Source) -> Result<Self, DataError> {
        let (samples, classes) = (source.len(), source.classes());
        let mut counts = vec![0_usize; classes.len()];
        let mut hash = Sha256::new();
        let number = |hash: &mut Sha256, number: usize| hash.update((number as u64).to_le_bytes());
        for text in [spec.name.as_str(), split.name()]
            .into_iter()
            .chain(classes.iter().map(String::as_str))
        {
            number(&mut hash, text.len());
            hash.update(text);
        }
        number(&mut hash, samples);
        for index in 0..samples {
            let label = source.label(index)?;
            // A source whose label is no class has a bug; that is no reason to index beyond the
            // counts.
            if let Some(count) = counts.get_mut(label) {
                *count += 1;
            }
        }
        for probe in 0..PROBES.min(samples) {
            let sample = source.read(probe * samples / PROBES.min(samples))?;
            sample
                .image
                .shape
                .into_iter()
                .chain([sample.label])
                .for_each(|part| number(&mut hash, part));
            hash.update(&sample.image.pixels);
        }
        Ok(Self {
            name: spec.name.clone(),
            split,
            samples,
            classes: classes.len(),
            per_class: [counts.iter().min(), counts.iter().max()].map(|count| count.copied().unwrap_or(0)),
            channels: source.channels(),
            size: source.size(),
            fingerprint: format!("{:x}", hash.finalize()),
        })
    }
}

impl fmt::Display for DataSummary {
    /// One line: `cifar100 test: 10000 images, 3x32x32, 100 classes of 100`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {} images, ", self.name, self.split, self.samples)?;
        match self.size {
            Some([height, width]) => write!(f, "{}x{height}x{width}, ", self.channels)?,
            None => write!(f, "{} channels, ", self.channels)?,
        }
        let [least, most] = self.per_class;
        write!(f, "{} classes of {least}", self.classes)?;
        if most > least {
            write!(f, " to {most}")
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::InMemory;

    #[test]
    fn the_fingerprint_follows_what_matters() {
        let spec = DataSpec {
            name: "cifar10".into(),
            ..DataSpec::default()
        };
        let summary = |labels: &[usize], first: u8, split| {
            let pixels = (0..labels.len() as u8 * 2).map(|n| n + first).collect();
            let source =
                InMemory::new([1, 1, 2], vec!["a".into(), "b".into()], labels.to_vec(), pixels).unwrap();
            DataSummary::new(&spec, split, &source).unwrap()
        };
        let one = summary(&[0, 1, 1], 0, Split::Train);
        assert_eq!(
            one.to_string(),
            "cifar10 train: 3 images, 1x1x2, 2 classes of 1 to 2"
        );
        assert_eq!(one, summary(&[0, 1, 1], 0, Split::Train));
        assert_eq!(one.fingerprint.len(), 64);
        for other in [
            summary(&[0, 0, 1], 0, Split::Train),
            summary(&[0, 1, 1], 1, Split::Train),
            summary(&[0, 1, 1], 0, Split::Test),
        ] {
            assert_ne!(one.fingerprint, other.fingerprint);
        }
    }
}
