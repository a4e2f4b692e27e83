//! How transforms are written: as text, the same in flags and in TOML files.
//!
//! A transform is its name and its options: `pad-crop:padding=4`, `flip`,
//! `random-resized-crop:size=224,min_scale=0.08`.

use super::{DataError, Transform};
use std::{fmt, str::FromStr};

impl FromStr for Transform {
    type Err = DataError;

    /// Reads `name` or `name:option=value,option=value`.
    fn from_str(text: &str) -> Result<Self, DataError> {
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
        let transform: Transform = table.try_into().map_err(|source| DataError::Transform {
            text: text.to_owned(),
            source,
        })?;
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
            Transform::Resize { size } | Transform::CentreCrop { size } | Transform::Cutout { size } => {
                write!(f, "size={size}")
            }
        }
    }
}

/// Lists of transforms as lists of their texts, for serde.
pub(super) mod texts {
    use super::Transform;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(transforms: &[Transform], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(transforms.iter().map(Transform::to_string))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Transform>, D::Error> {
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
        ] {
            assert_eq!(read(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn wrong_texts_say_what_is_wrong() {
        use std::error::Error;
        let error = |text: &str| {
            let error = text.parse::<Transform>().unwrap_err();
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
    }
}
