//! `name:key=value,key=value` on the command line, `[[plugin]]` tables in TOML: what a user writes,
//! before its types are known.

use toml::{Table, Value};

use super::error::PluginError;

/// A plugin as a user asks for it: its name and the options that were written.
#[derive(Clone, Debug, PartialEq)]
pub struct PluginSpec {
    /// The registered name.
    pub name: String,
    /// The options that were written; the others keep their defaults.
    pub options: Table,
}

impl std::str::FromStr for PluginSpec {
    type Err = PluginError;

    fn from_str(text: &str) -> Result<Self, PluginError> {
        let (name, rest) = text.split_once(':').unwrap_or((text, ""));
        let mut options = Table::new();
        for piece in pieces(rest) {
            let Some((key, value)) = piece.split_once('=') else {
                return Err(PluginError::Syntax {
                    plugin: name.to_owned(),
                    text: piece.to_owned(),
                });
            };
            options.insert(key.trim().to_owned(), scalar(value.trim()));
        }
        Ok(Self {
            name: name.trim().to_owned(),
            options,
        })
    }
}

impl std::fmt::Display for PluginSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name)?;
        for (i, (key, value)) in self.options.iter().enumerate() {
            let lead = if i == 0 { ':' } else { ',' };
            match value {
                Value::String(text) => write!(f, "{lead}{key}={text}")?,
                other => write!(f, "{lead}{key}={other}")?,
            }
        }
        Ok(())
    }
}

/// Splits at commas outside brackets, so that `alpha=linear(0.9,0.5,80)` stays whole.
fn pieces(text: &str) -> Vec<&str> {
    let (mut depth, mut start, mut found) = (0_usize, 0, Vec::new());
    for (at, character) in text.char_indices() {
        match character {
            '(' | '[' => depth += 1,
            ')' | ']' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                found.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    found.push(&text[start..]);
    found
        .into_iter()
        .filter(|piece| !piece.trim().is_empty())
        .collect()
}

/// Values as a flag lists them: apart by commas outside brackets, each as TOML reads it, and as a
/// text where it does not.
pub fn values(text: &str) -> Vec<Value> {
    pieces(text)
        .into_iter()
        .map(|piece| scalar(piece.trim()))
        .collect()
}

/// A value as TOML reads it; what TOML cannot read is a text.
fn scalar(text: &str) -> Value {
    text.parse::<Value>()
        .unwrap_or_else(|_| Value::String(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_reads_as_name_and_typed_options() {
        let spec: PluginSpec = "kd:temperature=4,alpha=linear(0.9, 0.5, 80),teacher-errors=skip"
            .parse()
            .unwrap();
        assert_eq!(spec.name, "kd");
        assert_eq!(spec.options["temperature"], Value::Integer(4));
        assert_eq!(
            spec.options["alpha"],
            Value::String("linear(0.9, 0.5, 80)".to_owned())
        );
        assert_eq!(spec.options["teacher-errors"], Value::String("skip".to_owned()));
    }

    #[test]
    fn a_list_of_values_keeps_brackets_whole() {
        assert_eq!(
            values("1, 0.5,linear(0.9,0.5,80),[1,2]"),
            [
                Value::Integer(1),
                Value::Float(0.5),
                Value::String("linear(0.9,0.5,80)".to_owned()),
                Value::Array(vec![Value::Integer(1), Value::Integer(2)])
            ]
        );
    }

    #[test]
    fn a_bare_name_has_no_options() {
        assert!("kd".parse::<PluginSpec>().unwrap().options.is_empty());
    }

    #[test]
    fn an_option_without_a_value_is_refused() {
        let error = "kd:temperature".parse::<PluginSpec>().unwrap_err();
        assert!(matches!(error, PluginError::Syntax { .. }));
    }

    #[test]
    fn writing_a_flag_reads_back_the_same() {
        let spec: PluginSpec = "kd:temperature=4.5,teacher-errors=skip".parse().unwrap();
        assert_eq!(spec.to_string().parse::<PluginSpec>().unwrap(), spec);
    }
}
