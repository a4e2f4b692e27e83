//! What a sweep may set: options of the run's methods, and keys of its configuration by their
//! dotted paths.

use potstill_core::data::GlyphOptions;
use potstill_core::names::{did_you_mean, nearest};
use potstill_core::plugin::{PluginSpec, find};
use potstill_core::train::TrainConfig;
use potstill_run::{DataConfig, ExportConfig, RunConfig, RunError};
use serde::de::{DeserializeOwned, Deserializer, Error, Visitor};
use serde::forward_to_deserialize_any;
use toml::{Table, Value};

use crate::error::CliError;

/// A swept key, found in the run.
#[derive(Clone, Debug, PartialEq)]
pub enum Key {
    /// An option of a method.
    Option {
        /// The method.
        plugin: String,
        /// The option.
        option: String,
    },
    /// A path in the configuration.
    Path(Vec<String>),
}

impl Key {
    /// Finds what `text` names in a run.
    ///
    /// # Errors
    /// A key that the run does not have, with those that are near.
    pub fn find(text: &str, run: &RunConfig) -> Result<Self, CliError> {
        let refuse = |reason: String| {
            CliError::from(RunError::Flag {
                flag: "--set",
                got: text.to_owned(),
                reason,
            })
        };
        let plugins = &run.plugin;
        if let Some((plugin, option)) = text.split_once('.')
            && !run_keys()?.iter().any(|key| key == plugin)
        {
            if let Some(spec) = plugins.iter().find(|spec| spec.name == plugin) {
                check_option(spec, option)?;
                return Ok(Self::Option {
                    plugin: plugin.to_owned(),
                    option: option.to_owned(),
                });
            }
            if let Ok(entry) = find(plugin) {
                return Err(refuse(format!(
                    "is of a method that the run does not have; add [[plugin]] name = \"{}\"",
                    entry.name
                )));
            }
        }
        if text == "out" {
            return Err(refuse(
                "is chosen by the sweep; --out is the folder of all its runs".to_owned(),
            ));
        }
        let path: Vec<String> = text.split('.').map(str::to_owned).collect();
        // The configuration's own types say what is a key; the value does not matter, as only an
        // unknown key is looked for.
        let mut table = Table::try_from(run)?;
        let known = set(&mut table, &path, Value::Boolean(true));
        let unknown = |error: &toml::de::Error| error.message().contains("unknown field");
        let tried = Value::Table(table).try_into::<RunConfig>();
        if known && tried.err().is_none_or(|error| !unknown(&error)) {
            return Ok(Self::Path(path));
        }
        let mut keys = all_keys(run)?;
        for spec in plugins {
            let options = (find(&spec.name)?.options)();
            keys.extend(
                options
                    .iter()
                    .map(|option| format!("{}.{}", spec.name, option.name)),
            );
        }
        let near = nearest(text, keys.iter().map(String::as_str), 3);
        Err(refuse(format!(
            "is no key of the run{}; keys are <method>.<option>, or paths in the run's TOML, as training.epochs",
            did_you_mean(&near)
        )))
    }

    /// Puts a value in a configuration.
    ///
    /// # Errors
    /// A value that the key cannot have.
    pub fn apply(&self, run: &RunConfig, text: &str, value: &Value) -> Result<RunConfig, CliError> {
        match self {
            Self::Option { plugin, option } => {
                let mut run = run.clone();
                for spec in run.plugin.iter_mut().filter(|spec| spec.name == *plugin) {
                    spec.options.insert(option.clone(), value.clone());
                }
                Ok(run)
            }
            Self::Path(path) => {
                let mut table = Table::try_from(run)?;
                set(&mut table, path, value.clone());
                let run =
                    Value::Table(table)
                        .try_into()
                        .map_err(|error: toml::de::Error| RunError::Flag {
                            flag: "--set",
                            got: format!("{text}={value}"),
                            reason: format!("is refused: {}", error.message()),
                        })?;
                Ok(run)
            }
        }
    }
}

fn check_option(spec: &PluginSpec, option: &str) -> Result<(), CliError> {
    Ok(find(&spec.name)?.check_option(option)?)
}

/// Sets a path in a table, with the tables on its way; says whether there was one.
fn set(table: &mut Table, path: &[String], value: Value) -> bool {
    match path {
        [] => false,
        [last] => {
            table.insert(last.clone(), value);
            true
        }
        [first, rest @ ..] => {
            let inner = table
                .entry(first.clone())
                .or_insert_with(|| Value::Table(Table::new()));
            match inner {
                Value::Table(inner) => set(inner, rest, value),
                _ => false,
            }
        }
    }
}

fn run_keys() -> Result<Vec<String>, CliError> {
    Ok(fields::<RunConfig>("")
        .into_iter()
        .filter(|key| key != "plugin")
        .collect())
}

/// Every path that a run's TOML may have: the fields of the types, set or not, and what tagged
/// choices have at present.
fn all_keys(run: &RunConfig) -> Result<Vec<String>, CliError> {
    let mut keys = fields::<RunConfig>("");
    keys.extend(fields::<DataConfig>("data."));
    keys.extend(fields::<GlyphOptions>("data.glyphs."));
    keys.extend(fields::<TrainConfig>("training."));
    keys.extend(fields::<ExportConfig>("export."));
    let table = Table::try_from(run)?;
    for choice in ["optimizer", "schedule"] {
        let chosen = table
            .get("training")
            .and_then(|training| training.get(choice)?.as_table());
        let names = chosen.into_iter().flat_map(Table::keys);
        keys.extend(names.map(|name| format!("training.{choice}.{name}")));
    }
    Ok(keys)
}

/// The names of a struct's fields as they are written.
fn fields<T: DeserializeOwned>(prefix: &str) -> Vec<String> {
    let mut names = FieldNames(&[]);
    // It always refuses, after it has seen what it is asked for.
    drop(T::deserialize(&mut names));
    names.0.iter().map(|name| format!("{prefix}{name}")).collect()
}

/// A deserializer that only notes which fields a struct asks for.
struct FieldNames(&'static [&'static str]);

impl<'de> Deserializer<'de> for &mut FieldNames {
    type Error = serde::de::value::Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Self::Error> {
        Err(Self::Error::custom("no struct"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Self::Error> {
        self.0 = fields;
        Err(Self::Error::custom("only its fields"))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct newtype_struct seq
        tuple tuple_struct map enum identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run() -> RunConfig {
        toml::from_str("[[plugin]]\nname = \"kd\"\n").unwrap()
    }

    fn message(key: &str) -> String {
        Key::find(key, &run()).unwrap_err().to_string()
    }

    #[test]
    fn keys_are_options_and_paths_set_or_not() {
        assert_eq!(
            Key::find("kd.temperature", &run()).unwrap(),
            Key::Option {
                plugin: "kd".to_owned(),
                option: "temperature".to_owned()
            }
        );
        for path in [
            "seed",
            "student",
            "threads",
            "data.limit",
            "data.glyphs.difficulty",
            "training.learning-rate",
            "training.max-steps",
            "training.optimizer.momentum",
            "export.fold",
        ] {
            let found = Key::find(path, &run()).unwrap();
            assert_eq!(found, Key::Path(path.split('.').map(str::to_owned).collect()));
        }
    }

    #[test]
    fn an_unknown_key_is_refused_with_what_is_near() {
        for (key, near) in [
            ("kd.temprature", "`temperature`"),
            ("sed", "`seed`"),
            ("training.learnin-rate", "`training.learning-rate`"),
            ("trainin.epochs", "`training.epochs`"),
            ("training.max-step", "`training.max-steps`"),
            ("data.limits", "`data.limit`"),
            ("seed.more", "`seed`"),
            ("training.optimizer.momentu", "`training.optimizer.momentum`"),
        ] {
            let message = message(key);
            assert!(message.contains(near), "{key}: {message}");
        }
        assert!(message("out").contains("--out"), "{}", message("out"));
    }

    #[test]
    fn values_arrive_and_wrong_ones_are_refused() {
        let set = |key: &str, value: Value| Key::find(key, &run()).unwrap().apply(&run(), key, &value);
        assert_eq!(set("seed", Value::Integer(7)).unwrap().seed, 7);
        assert_eq!(set("data.limit", Value::Integer(7)).unwrap().data.limit, Some(7));
        let plugins = set("kd.temperature", Value::Integer(7)).unwrap().plugin;
        assert_eq!(plugins[0].to_string(), "kd:temperature=7");
        let error = set("training.epochs", Value::String("two".to_owned())).unwrap_err();
        let message = error.to_string();
        assert!(
            message.contains("training.epochs") && message.contains("two"),
            "{message}"
        );
    }
}
