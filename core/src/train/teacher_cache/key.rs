//! What a teacher's outputs follow from: the name and the head of the file that keeps them.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::fault::CacheFault;
use crate::data::{DataError, DataSpec, DataSummary, Pipeline, Source, Split};
use crate::graph::infer;
use crate::plugin::{Architecture, Objective, PluginError};
use crate::precision::Precision;
use crate::train::TrainError;
use crate::value::Kind;

/// Digits of the key's hash in a file's name.
const NAME_DIGITS: usize = 16;

/// The pictures that a run shows to its teachers.
///
/// The fingerprint looks at a few of a data set's images; a picture that differs all the same is
/// noticed by its own checksum when it comes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pictures {
    /// The data set's name.
    pub data: String,
    /// [`DataSummary::fingerprint`] of the training split.
    pub fingerprint: String,
    /// [`Pipeline::describe`].
    pub transforms: String,
    /// What augmentation follows from.
    pub seed: u64,
    /// Augmented views of each picture, at least 1.
    pub views: usize,
    /// The number of pictures that take part.
    pub samples: usize,
}

impl Pictures {
    /// The first `samples` training pictures of a data set, in `views` views.
    ///
    /// # Errors
    /// What the source raises.
    pub fn new(
        spec: &DataSpec,
        source: &dyn Source,
        pipeline: &Pipeline,
        seed: u64,
        views: usize,
        samples: usize,
    ) -> Result<Self, DataError> {
        Ok(Self {
            data: spec.name.clone(),
            fingerprint: DataSummary::new(spec, Split::Train, source)?.fingerprint,
            transforms: pipeline.describe(Split::Train)?,
            seed,
            views,
            samples,
        })
    }
}

/// A value of a teacher that is kept for each picture.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeptValue {
    /// Its name in the teacher.
    pub name: String,
    /// Its extents for one picture, without the batch axis.
    pub shape: Vec<usize>,
}

impl KeptValue {
    fn of(teacher: &Architecture<'_>, name: &str) -> Result<Self, TrainError> {
        teacher.check_value(name)?;
        let two = infer(teacher.graph, 2).map_err(PluginError::from)?;
        if let (Some(one), Some(two)) = (teacher.facts.get(name), two.get(name))
            && one.kind == Kind::Float
            && let ([1, shape @ ..], [2, same @ ..]) = (&one.dims[..], &two.dims[..])
            && shape == same
        {
            return Ok(Self {
                name: name.to_owned(),
                shape: shape.to_vec(),
            });
        }
        Err(TrainError::CacheValue {
            value: name.to_owned(),
        })
    }

    /// Its numbers for one picture.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether an axis has extent 0.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What one teacher's outputs follow from. Equal keys mean equal outputs, up to the rounding of the
/// device that computed them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CacheKey {
    /// [`Graph::fingerprint`](crate::graph::Graph::fingerprint).
    pub teacher: String,
    /// What it computes in.
    #[serde(default, skip_serializing_if = "Precision::is_fp32")]
    pub precision: Precision,
    /// What it sees.
    pub pictures: Pictures,
    /// What is kept: the logits, then what the methods tap in any stage.
    pub values: Vec<KeptValue>,
}

impl CacheKey {
    /// The key of one of a run's teachers, computing in some precision, and what it sees.
    pub(super) fn new(
        objective: &Objective,
        teacher: &Architecture<'_>,
        precision: Precision,
        pictures: Pictures,
    ) -> Result<Self, TrainError> {
        let staged = objective.stages.iter().flat_map(|stage| &stage.teacher_values);
        let mut names = vec![&teacher.logits];
        for name in objective.teacher_taps.iter().chain(staged) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        Ok(Self {
            teacher: teacher.graph.fingerprint(),
            precision,
            pictures,
            values: names
                .into_iter()
                .map(|name| KeptValue::of(teacher, name))
                .collect::<Result<_, _>>()?,
        })
    }

    /// The name of the file, `<data>-<views>-views-<hash>.outputs`.
    pub fn file_name(&self) -> String {
        let mut hash = format!("{:x}", Sha256::digest(self.encode()));
        hash.truncate(NAME_DIGITS);
        let Pictures { data, views, .. } = &self.pictures;
        format!("{data}-{views}-views-{hash}.outputs")
    }

    /// As it stands in the file.
    pub(super) fn encode(&self) -> Vec<u8> {
        // Texts, numbers and lists of them: nothing that JSON could refuse.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// What tells the key of a file that was found from this one.
    pub(super) fn difference(&self, found: &Self) -> CacheFault {
        let (own, other) = (&self.pictures, &found.pictures);
        let values = |key: &Self| {
            let value = |value: &KeptValue| format!("{}{:?}", value.name, value.shape);
            key.values.iter().map(value).collect::<Vec<_>>().join(" ")
        };
        let parts = [
            ("another teacher", found.teacher.clone(), self.teacher.clone()),
            (
                "another precision",
                found.precision.to_string(),
                self.precision.to_string(),
            ),
            ("another data set", other.data.clone(), own.data.clone()),
            ("other data", other.fingerprint.clone(), own.fingerprint.clone()),
            (
                "other transforms",
                other.transforms.clone(),
                own.transforms.clone(),
            ),
            ("another seed", other.seed.to_string(), own.seed.to_string()),
            ("other views", other.views.to_string(), own.views.to_string()),
            (
                "other pictures",
                other.samples.to_string(),
                own.samples.to_string(),
            ),
            ("other values", values(found), values(self)),
        ];
        match parts.into_iter().find(|(_, got, expected)| got != expected) {
            Some((what, got, expected)) => CacheFault::Other { what, got, expected },
            None => CacheFault::Header {
                problem: "it is written in another way".to_owned(),
            },
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The key of a teacher that is tapped at nothing and one value, of 5 pictures in 2 views.
    pub fn key() -> CacheKey {
        CacheKey {
            teacher: "a".repeat(64),
            precision: Precision::Fp32,
            pictures: Pictures {
                data: "glyphs".to_owned(),
                fingerprint: "b".repeat(64),
                transforms: "[flip] mean=[0.5] std=[0.5]".to_owned(),
                seed: 0,
                views: 2,
                samples: 5,
            },
            values: vec![
                KeptValue {
                    name: "logits".to_owned(),
                    shape: vec![3],
                },
                KeptValue {
                    name: "hint".to_owned(),
                    shape: vec![2, 1, 2],
                },
            ],
        }
    }

    #[test]
    fn each_part_of_the_key_makes_another_file_and_is_named_where_it_differs() {
        let own = key();
        let altered = |alter: &dyn Fn(&mut CacheKey)| {
            let mut other = key();
            alter(&mut other);
            other
        };
        let others = [
            ("another teacher", altered(&|key| key.teacher = "c".to_owned())),
            (
                "another data set",
                altered(&|key| key.pictures.data = "mnist".to_owned()),
            ),
            (
                "other data",
                altered(&|key| key.pictures.fingerprint = "d".to_owned()),
            ),
            (
                "other transforms",
                altered(&|key| key.pictures.transforms = "[]".to_owned()),
            ),
            ("another seed", altered(&|key| key.pictures.seed = 1)),
            ("other views", altered(&|key| key.pictures.views = 3)),
            ("other pictures", altered(&|key| key.pictures.samples = 6)),
            (
                "another precision",
                altered(&|key| key.precision = Precision::Bf16),
            ),
            ("other values", altered(&|key| key.values.truncate(1))),
        ];
        for (expected, other) in others {
            assert_ne!(own.file_name(), other.file_name(), "{expected}");
            let CacheFault::Other { what, .. } = own.difference(&other) else {
                panic!("{expected}");
            };
            assert_eq!(what, expected);
        }
    }
}
