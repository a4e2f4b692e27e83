//! A method as it stands in TOML: a table with its `name` and its options.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use toml::{Table, Value};

use super::spec::PluginSpec;

impl Serialize for PluginSpec {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut table = Table::new();
        table.insert("name".to_owned(), Value::String(self.name.clone()));
        table.extend(self.options.clone());
        table.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for PluginSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut options = Table::deserialize(deserializer)?;
        match options.remove("name") {
            Some(Value::String(name)) => Ok(Self { name, options }),
            other => {
                let got = other.map(|name| name.to_string()).unwrap_or_default();
                Err(D::Error::custom(format!(
                    "[[plugin]]: `{got}` is no method's name; each such table has one, as `name = \"kd\"`"
                )))
            }
        }
    }
}
