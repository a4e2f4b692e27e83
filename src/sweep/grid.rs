//! The runs of a sweep: every combination of the values that it is asked for.

use std::collections::HashSet;
use std::path::Path;
use std::str::FromStr;

use potstill_core::plugin::values;
use potstill_run::RunConfig;
use potstill_run::RunError;
use serde::{Deserialize, Serialize};
use toml::Value;

use super::keys::Key;
use crate::error::CliError;

/// The longest folder name that a combination is given.
const LONGEST_NAME: usize = 120;

/// A key and the values that it takes, as `--set KEY=VALUE,VALUE` has them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Setting {
    /// `<method>.<option>`, or a path in the run's TOML.
    pub key: String,
    /// Its values, in the order in which they are run.
    pub values: Vec<Value>,
}

impl FromStr for Setting {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some((key, list)) = text.split_once('=') else {
            return Err("expected KEY=VALUE,VALUE".to_owned());
        };
        let setting = Self {
            key: key.trim().to_owned(),
            values: values(list),
        };
        if setting.values.is_empty() {
            return Err(format!(
                "`{}` has no value; expected KEY=VALUE,VALUE",
                setting.key
            ));
        }
        Ok(setting)
    }
}

/// One run of a sweep.
#[derive(Clone, Debug)]
pub struct Combination {
    /// Its folder's name within the sweep's, which tells its values.
    pub name: String,
    /// The place of each key's value among the key's values.
    pub places: Vec<usize>,
    /// What decides it.
    pub config: RunConfig,
}

/// All combinations, the last key's values changing fastest; each has a folder below `out`.
///
/// # Errors
/// A key that the run does not have, a value that it cannot take, a key or a value that is given
/// twice.
pub fn combinations(
    base: &RunConfig,
    settings: &[Setting],
    out: &Path,
) -> Result<Vec<Combination>, CliError> {
    let mut keys = Vec::new();
    for (index, setting) in settings.iter().enumerate() {
        let refuse = |got: &str, reason: &str| {
            Err(RunError::Flag {
                flag: "--set",
                got: got.to_owned(),
                reason: reason.to_owned(),
            }
            .into())
        };
        if settings[..index].iter().any(|earlier| earlier.key == setting.key) {
            return refuse(&setting.key, "is given twice; list all its values after one =");
        }
        for (index, value) in setting.values.iter().enumerate() {
            if setting.values[..index].contains(value) {
                return refuse(&format!("{}={}", setting.key, plain(value)), "is given twice");
            }
        }
        keys.push(Key::find(&setting.key, base)?);
    }
    let count = settings.iter().map(|setting| setting.values.len()).product();
    let mut names = HashSet::new();
    (0..count)
        .map(|number| {
            let places = places(number, settings);
            let mut config = base.clone();
            for ((key, setting), place) in keys.iter().zip(settings).zip(&places) {
                config = key.apply(&config, &setting.key, &setting.values[*place])?;
            }
            let name = free(folder_name(settings, &places), &mut names);
            config.out = out.join(&name);
            Ok(Combination { name, places, config })
        })
        .collect()
}

/// The digits of `number` in the mixed base of the settings' lengths.
fn places(mut number: usize, settings: &[Setting]) -> Vec<usize> {
    let mut places: Vec<usize> = settings
        .iter()
        .rev()
        .map(|setting| {
            let place = number % setting.values.len();
            number /= setting.values.len();
            place
        })
        .collect();
    places.reverse();
    places
}

/// A key's last word where that says enough.
pub fn short_key<'a>(key: &'a str, settings: &[Setting]) -> &'a str {
    let last = |key: &'a str| key.rsplit('.').next().unwrap_or(key);
    let alike = settings
        .iter()
        .filter(|setting| setting.key.rsplit('.').next() == key.rsplit('.').next());
    if alike.count() > 1 { key } else { last(key) }
}

/// A value as people write it: texts without quotes.
pub fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// `key=value,key=value`, with nothing in it that a file system minds.
fn folder_name(settings: &[Setting], places: &[usize]) -> String {
    let piece = |(setting, place): (&Setting, &usize)| {
        format!(
            "{}={}",
            short_key(&setting.key, settings),
            plain(&setting.values[*place])
        )
    };
    let name = settings
        .iter()
        .zip(places)
        .map(piece)
        .collect::<Vec<_>>()
        .join(",");
    let tame = |character: char| match character {
        letter if letter.is_alphanumeric() => letter,
        kept @ ('.' | ',' | '=' | '-' | '+' | '_') => kept,
        _ => '_',
    };
    let tamed: String = name.chars().map(tame).take(LONGEST_NAME).collect();
    // A folder whose name begins with a dot is hidden.
    tamed.trim_start_matches('.').to_owned()
}

/// A name that no earlier combination has: what two names lost may have been all that told them
/// apart.
fn free(name: String, taken: &mut HashSet<String>) -> String {
    let mut found = name.clone();
    let mut number = 2;
    while !taken.insert(found.clone()) {
        found = format!("{name}-{number}");
        number += 1;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(texts: &[&str]) -> Vec<Setting> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn named(texts: &[&str]) -> Vec<String> {
        let base: RunConfig = toml::from_str("[[plugin]]\nname = \"kd\"\n").unwrap();
        let found = combinations(&base, &settings(texts), Path::new("sweep")).unwrap();
        for combination in &found {
            assert_eq!(combination.config.out, Path::new("sweep").join(&combination.name));
        }
        found.into_iter().map(|combination| combination.name).collect()
    }

    #[test]
    fn the_last_key_changes_fastest() {
        assert_eq!(
            named(&["kd.temperature=1,2", "kd.alpha=0.5,0.9"]),
            [
                "temperature=1,alpha=0.5",
                "temperature=1,alpha=0.9",
                "temperature=2,alpha=0.5",
                "temperature=2,alpha=0.9"
            ]
        );
    }

    #[test]
    fn names_of_folders_are_tame_and_differ() {
        assert_eq!(
            named(&["kd.alpha=linear(0.9,0.5,8),linear[0.9,0.5,8]"]),
            ["alpha=linear_0.9,0.5,8_", "alpha=linear_0.9,0.5,8_-2"]
        );
        assert_eq!(
            named(&["seed=1", "data.glyphs.seed=2"]),
            ["seed=1,data.glyphs.seed=2"]
        );
    }

    #[test]
    fn what_is_given_twice_is_refused() {
        let base = RunConfig::default();
        for (texts, piece) in [
            (vec!["seed=1", "seed=2"], "`seed` is given twice"),
            (vec!["seed=1,2,1"], "`seed=1` is given twice"),
        ] {
            let error = combinations(&base, &settings(&texts), Path::new("x")).unwrap_err();
            assert!(error.to_string().contains(piece), "{error}");
        }
    }

    #[test]
    fn a_setting_without_key_or_value_is_refused() {
        assert!("seed".parse::<Setting>().is_err());
        assert!("seed=".parse::<Setting>().is_err());
    }
}
