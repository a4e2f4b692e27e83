//! How transforms and normalisations are written: as text, the same in flags, TOML files and
//! metadata.
//!
//! Each is its name and its options: `pad-crop:padding=4`, `flip`,
//! `random-resized-crop:size=224,min_scale=0.08`, `zca:eps=0.1`.

use super::{DataError, Normalisation, Transform};
use serde::de::DeserializeOwned;
use std::{fmt, str::FromStr};

/// Reads `name` or `name:option=value,option=value` as a tagged type.
fn read<T: DeserializeOwned>(text: &str) -> Result<T, DataError> {
    let (name, options) = text.split_once(':').unwrap_or((text, ""));
    let mut table = toml::Table::new();
    table.insert("name".into(), name.trim().into());
    for option in options
        .split(',')
        .map(str::trim)
        .filter(|option| !option.is_empty())
    {
        let wrong = |problem| DataError::TransformOption {
            text: text.to_owned(),
            option: option.to_owned(),
            problem,
        };
        let (key, value) = option.split_once('=').ok_or_else(|| wrong("has no value"))?;
        let value = value.trim();
        let integer = value.parse::<i64>().map(toml::Value::from);
        let number = integer.or_else(|_| value.parse::<f64>().map(toml::Value::from));
        let value = number.unwrap_or_else(|_| value.into());
        if table.insert(key.trim().into(), value).is_some() {
            return Err(wrong("stands twice"));
        }
    }
    table.try_into().map_err(|source| DataError::Transform {
        text: text.to_owned(),
        source,
    })
}

impl FromStr for Normalisation {
    type Err = DataError;

    fn from_str(text: &str) -> Result<Self, DataError> {
        let step: Normalisation = read(text)?;
        step.check()?;
        Ok(step)
    }
}

impl fmt::Display for Normalisation {
    /// Writes what [`FromStr`] reads, every option that is set included.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Normalisation::Gcn { scale, bias } => write!(f, "gcn:scale={scale},bias={bias}"),
            Normalisation::Zca { eps, samples: None } => write!(f, "zca:eps={eps}"),
            Normalisation::Zca {
                eps,
                samples: Some(samples),
            } => write!(f, "zca:eps={eps},samples={samples}"),
        }
    }
}

impl FromStr for Transform {
    type Err = DataError;

    /// Reads `name` or `name:option=value,option=value`.
    fn from_str(text: &str) -> Result<Self, DataError> {
        let name = text.split(':').next().unwrap_or_default().trim();
        if Normalisation::NAMES.contains(&name) {
            return Err(DataError::Misplaced {
                text: text.to_owned(),
            });
        }
        let transform: Transform = read(text)?;
        transform.check()?;
        Ok(transform)
    }
}

impl fmt::Display for Transform {
    /// Writes what [`FromStr`] reads, every option included.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.name())?;
        match self {
            Transform::PadCrop { padding } => write!(f, "padding={padding}"),
            Transform::Flip { probability } => write!(f, "probability={probability}"),
            Transform::RandomResizedCrop { size, min_scale } => {
                write!(f, "size={size},min_scale={min_scale}")
            }
            Transform::Stretch { height, width } | Transform::RandomCrop { height, width } => {
                write!(f, "height={height},width={width}")
            }
            Transform::Resize { size } | Transform::CentreCrop { size } | Transform::Cutout { size } => {
                write!(f, "size={size}")
            }
        }
    }
}

/// Lists of transforms or normalisations as lists of their texts, for serde.
pub(super) mod texts {
    use super::DataError;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};
    use std::{fmt::Display, str::FromStr};

    pub fn serialize<T: Display, S: Serializer>(steps: &[T], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(steps.iter().map(T::to_string))
    }

    pub fn deserialize<'de, T: FromStr<Err = DataError>, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<T>, D::Error> {
        let texts = Vec::<String>::deserialize(deserializer)?;
        texts
            .iter()
            .map(|text| text.parse().map_err(|error| D::Error::custom(Chain(error))))
            .collect()
    }

    /// serde keeps an error's text only, so the cause has to be in it.
    struct Chain(super::DataError);

    impl std::fmt::Display for Chain {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            write!(f, "{}", self.0)?;
            match std::error::Error::source(&self.0) {
                Some(cause) => write!(f, ": {cause}"),
                None => Ok(()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_read_and_written() {
        let read = |text: &str| text.parse::<Transform>();
        assert_eq!(read("pad-crop").unwrap(), Transform::PadCrop { padding: 4 });
        assert_eq!(
            read("flip: probability = 1").unwrap(),
            Transform::Flip { probability: 1.0 }
        );
        assert_eq!(
            read("center-crop:size=9").unwrap(),
            read("centre-crop:size=9").unwrap()
        );
        for text in [
            "pad-crop:padding=2",
            "flip:probability=0.5",
            "resize:size=256",
            "cutout:size=8",
            "random-resized-crop:size=224,min_scale=0.08",
            "stretch:height=160,width=64",
            "random-crop:height=160,width=64",
        ] {
            assert_eq!(read(text).unwrap().to_string(), text);
        }
        let read = |text: &str| text.parse::<Normalisation>().unwrap().to_string();
        assert_eq!(read("gcn"), "gcn:scale=55,bias=0");
        assert_eq!(read("gcn:scale=1,bias=10"), "gcn:scale=1,bias=10");
        assert_eq!(read("zca"), "zca:eps=0.1");
        assert_eq!(read("zca: samples=9, eps=1e-3"), "zca:eps=0.001,samples=9");
    }

    #[test]
    fn wrong_texts_say_what_is_wrong() {
        use std::error::Error;
        let error = |text: &str| {
            let normalises = text.starts_with("zca") || text.starts_with("gcn");
            let error = match normalises {
                true => text.parse::<Normalisation>().unwrap_err(),
                false => text.parse::<Transform>().unwrap_err(),
            };
            let cause = error.source().map(|cause| cause.to_string()).unwrap_or_default();
            format!("{error}: {cause}")
        };
        assert!(
            error("flop").contains("unknown variant `flop`"),
            "{}",
            error("flop")
        );
        assert!(error("resize").contains("missing field `size`"));
        assert!(
            error("flip:often=1").contains("unknown field `often`, expected `probability`"),
            "{}",
            error("flip:often=1")
        );
        assert!(error("resize:256").contains("option `256` of transform `resize:256` has no value"));
        assert!(error("resize:size=1,size=2").contains("option `size=2` of transform"));
        assert!(error("flip:name=cutout,size=2").contains("stands twice"));
        assert!(error("resize:size=large").contains("invalid type: string"));
        assert!(error("resize:size=0").contains("`size` of resize is 0, expected 1 to 8192"));
        assert!(error("flip:probability=2").contains("0 to 1"));
        assert!(error("random-resized-crop:size=8,min_scale=0").contains("more than 0"));
        assert!(error("random-crop:height=0,width=3").contains("`height` of random-crop is 0"));
        assert!(error("zca:eps=0").contains("`eps` of zca is 0, expected more than 0"));
        assert!(error("zca:samples=0").contains("`samples` of zca is 0"));
        assert!(error("gcn:scale=-1").contains("`scale` of gcn is -1"));
        assert!(error("gcn:bias=-1").contains("`bias` of gcn is -1"));
        assert!(error("gcn:sale=1").contains("unknown field `sale`"));
        let misplaced = "zca".parse::<Transform>().unwrap_err().to_string();
        assert!(misplaced.contains("`normalise`"), "{misplaced}");
    }
}
