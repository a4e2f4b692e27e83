//! The options of a method, each declared once: from a line of [`options!`](crate::options) follow
//! the field with its type, the default, the check before training, what `potstill plugins` lists,
//! and the documentation.

use std::fmt;
use std::ops::{Bound, Range, RangeFrom, RangeInclusive};

use serde::de::DeserializeOwned;
use serde::{Serialize, Serializer};
use toml::{Table, Value};

use super::error::PluginError;
use crate::schedule::Schedule;

/// Declares the options of a method, and with them the structure that holds them.
///
/// A line is `name: type = default;` or `name: type = default, in range;`, below a comment that
/// says what the option does. Users write the name in kebab-case. The type is any that serde reads;
/// one with a range is a [`Numbers`]. A range is `0.0..`, `1..`, `0.0..=1.0`, `0.0..1.0`, or one
/// that leaves out where it begins: `above(0.0)`, `above(0.0).below(1.0)`. What no range says
/// stands in a function that is named behind `check`.
///
/// ```
/// use potstill_core::options;
/// use potstill_core::plugin::{Options, PluginError};
/// use potstill_core::schedule::Schedule;
///
/// options! {
///     /// A method with two options.
///     pub struct Soft for "soft", check Soft::not_both {
///         /// T
///         temperature: f64 = 2.0, in above(0.0);
///         /// α, weight of the soft term; a number or a schedule
///         alpha: Schedule = Schedule::Constant(0.9), in 0.0..=1.0;
///     }
/// }
///
/// impl Soft {
///     fn not_both(&self) -> Result<(), PluginError> {
///         match (self.temperature, self.alpha.range()) {
///             (1.0, (0.0, 0.0)) => {
///                 let expected = "above 0 without a temperature";
///                 Err(PluginError::bad_value(Self::PLUGIN, "alpha", 0, expected))
///             }
///             _ => Ok(()),
///         }
///     }
/// }
///
/// let method = Soft::read("alpha = 0.5".parse()?)?;
/// assert_eq!((method.temperature, method.alpha), (2.0, Schedule::Constant(0.5)));
/// let refusal = Soft::read("temperature = 0".parse()?).unwrap_err().to_string();
/// assert_eq!(refusal, "plugin `soft`: option `temperature` is 0, expected a number above 0");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[macro_export]
macro_rules! options {
    (
        $(#[$meta:meta])*
        $visibility:vis struct $name:ident for $plugin:literal $(, check $check:path)? {
            $(
                $(#[doc = $doc:literal])+
                $option:ident: $type:ty = $default:expr $(, in $range:expr)?;
            )*
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq)]
        $visibility struct $name {
            $(
                $(#[doc = $doc])+
                ///
                #[doc = concat!("Default: `", stringify!($default), "`")]
                $(#[doc = concat!("; range: `", stringify!($range), "`")])?
                pub $option: $type,
            )*
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $($option: $default),* }
            }
        }

        impl $crate::plugin::Options for $name {
            const PLUGIN: &'static str = $plugin;

            fn declared() -> Vec<$crate::plugin::PluginOption> {
                vec![$(
                    $crate::plugin::PluginOption::new(stringify!($option), &Self::default().$option, concat!($($doc),+))
                        $(.within($crate::options!(@limits $range)))?
                ),*]
            }

            fn given(given: &$crate::plugin::Given) -> Result<Self, $crate::plugin::PluginError> {
                let read = Self { $($option: given.read(stringify!($option), $default)?),* };
                $($(given.check(stringify!($option), &read.$option, $crate::options!(@limits $range))?;)?)*
                $($check(&read)?;)?
                Ok(read)
            }
        }
    };
    (@limits $range:expr) => {{
        #[allow(unused_imports, reason = "only ranges that leave out where they begin use it")]
        use $crate::plugin::above;
        $crate::plugin::Limits::from($range)
    }};
}

/// A configuration that [`options!`](crate::options) declares.
pub trait Options: Sized {
    /// The name of the method.
    const PLUGIN: &'static str;

    /// The options as `potstill plugins` lists them.
    fn declared() -> Vec<PluginOption>;

    /// The configuration that a user gave.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    fn given(given: &Given) -> Result<Self, PluginError>;

    /// The configuration from a table of options; those that it lacks have their defaults.
    ///
    /// # Errors
    /// A value of another type, outside its range, or one that does not go with the others.
    fn read(options: Table) -> Result<Self, PluginError> {
        Self::given(&Given {
            plugin: Self::PLUGIN,
            options,
        })
    }
}

/// One option of a method.
#[derive(Clone, Debug, Serialize)]
pub struct PluginOption {
    /// Its key.
    pub name: String,
    /// Its default; `None` where it follows from something else unless it is given.
    pub default: Option<Value>,
    /// The numbers that it may be; `None` where the type says everything.
    pub range: Option<Limits>,
    /// What it does, with its unit.
    pub doc: String,
}

impl PluginOption {
    /// An option from its declaration: the name of its field, its default, the lines of its
    /// comment.
    pub fn new(field: &str, default: &impl Serialize, doc: &str) -> Self {
        Self {
            name: key(field),
            default: Value::try_from(default).ok(),
            range: None,
            doc: doc.trim().to_owned(),
        }
    }

    /// The same with a range.
    pub fn within(mut self, limits: Limits) -> Self {
        self.range = Some(limits);
        self
    }
}

/// The key under which users give the option of a field.
fn key(field: &str) -> String {
    field.replace('_', "-")
}

/// The options that a user gave for a method.
#[derive(Clone, Debug)]
pub struct Given {
    plugin: &'static str,
    options: Table,
}

impl Given {
    /// The value for a field; its default where none was given.
    ///
    /// # Errors
    /// [`PluginError::Config`] with the key, in the deserializer's words.
    pub fn read<T: DeserializeOwned>(&self, field: &str, default: T) -> Result<T, PluginError> {
        let key = key(field);
        let Some(value) = self.options.get(&key) else {
            return Ok(default);
        };
        if let Some(number) = not_finite(value) {
            return Err(PluginError::bad_value(
                self.plugin,
                &key,
                number.to_string(),
                "finite numbers",
            ));
        }
        value
            .clone()
            .try_into()
            .map_err(|error: toml::de::Error| PluginError::Config {
                plugin: self.plugin.to_owned(),
                message: format!("option `{key}`: {}", error.message()),
            })
    }

    /// Refuses a field's value outside its limits.
    ///
    /// # Errors
    /// [`PluginError::BadValue`] with the key, the value and the limits.
    pub fn check<T: Numbers>(&self, field: &str, value: &T, limits: Limits) -> Result<(), PluginError> {
        match value.extremes() {
            Some((low, high)) if !(limits.contain(low) && limits.contain(high)) => {
                Err(PluginError::bad_value(
                    self.plugin,
                    &key(field),
                    value.written(),
                    &limits.asked_of(T::NOUN),
                ))
            }
            _ => Ok(()),
        }
    }
}

/// A number of a value that is NaN or infinite.
fn not_finite(value: &Value) -> Option<f64> {
    match value {
        Value::Float(number) => (!number.is_finite()).then_some(*number),
        Value::Array(values) => values.iter().find_map(not_finite),
        Value::Table(table) => table.values().find_map(not_finite),
        _ => None,
    }
}

/// A value that is a number, or goes through several.
pub trait Numbers {
    /// What an error calls it.
    const NOUN: &'static str = "a number";

    /// The smallest and the largest number; `None` where there are none.
    fn extremes(&self) -> Option<(f64, f64)>;

    /// The value as a user writes it.
    fn written(&self) -> String;
}

macro_rules! numbers {
    ($($type:ty),*) => {$(
        impl Numbers for $type {
            fn extremes(&self) -> Option<(f64, f64)> {
                Some((*self as f64, *self as f64))
            }

            fn written(&self) -> String {
                self.to_string()
            }
        }
    )*};
}

numbers!(f64, u32, usize);

impl Numbers for Schedule {
    const NOUN: &'static str = "values";

    fn extremes(&self) -> Option<(f64, f64)> {
        Some(self.range())
    }

    fn written(&self) -> String {
        self.to_string()
    }
}

impl<T: Numbers> Numbers for Option<T> {
    const NOUN: &'static str = T::NOUN;

    fn extremes(&self) -> Option<(f64, f64)> {
        self.as_ref().and_then(T::extremes)
    }

    fn written(&self) -> String {
        self.as_ref().map(T::written).unwrap_or_default()
    }
}

/// The numbers that an option may be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    low: Bound<f64>,
    high: Bound<f64>,
}

/// Numbers above this one.
pub fn above(low: f64) -> Limits {
    Limits {
        low: Bound::Excluded(low),
        high: Bound::Unbounded,
    }
}

impl Limits {
    /// Of these numbers those below this one.
    pub fn below(mut self, high: f64) -> Self {
        self.high = Bound::Excluded(high);
        self
    }

    /// Whether a number is one of them; what is not finite never is.
    pub fn contain(&self, number: f64) -> bool {
        number.is_finite() && std::ops::RangeBounds::contains(&(self.low, self.high), &number)
    }

    /// What an error asks of what it calls `noun`.
    fn asked_of(&self, noun: &str) -> String {
        match (self.low, self.high) {
            (Bound::Included(_), Bound::Unbounded) => format!("{noun} of {self}"),
            (Bound::Included(_), _) => format!("{noun} from {self}"),
            _ => format!("{noun} {self}"),
        }
    }
}

impl<T: Into<f64>> From<RangeFrom<T>> for Limits {
    fn from(range: RangeFrom<T>) -> Self {
        Self {
            low: Bound::Included(range.start.into()),
            high: Bound::Unbounded,
        }
    }
}

impl<T: Into<f64>> From<Range<T>> for Limits {
    fn from(range: Range<T>) -> Self {
        Self {
            low: Bound::Included(range.start.into()),
            high: Bound::Excluded(range.end.into()),
        }
    }
}

impl<T: Into<f64>> From<RangeInclusive<T>> for Limits {
    fn from(range: RangeInclusive<T>) -> Self {
        let (low, high) = range.into_inner();
        Self {
            low: Bound::Included(low.into()),
            high: Bound::Included(high.into()),
        }
    }
}

impl fmt::Display for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.low {
            Bound::Included(low) => write!(f, "{low}")?,
            Bound::Excluded(low) => write!(f, "above {low}")?,
            Bound::Unbounded => {}
        }
        match (self.low, self.high) {
            (Bound::Included(_), Bound::Unbounded) => f.write_str(" or more"),
            (_, Bound::Unbounded) => Ok(()),
            (Bound::Included(_), Bound::Included(high)) => write!(f, " to {high}"),
            (Bound::Included(_), Bound::Excluded(high)) => write!(f, " to below {high}"),
            (_, Bound::Included(high)) => write!(f, " and at most {high}"),
            (_, Bound::Excluded(high)) => write!(f, " and below {high}"),
        }
    }
}

impl Serialize for Limits {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    crate::options! {
        /// Options of every kind.
        struct Example for "example" {
            /// T, at which
            /// targets are made
            temperature: f64 = 2.0, in above(0.0);
            /// α
            soft_weight: Schedule = Schedule::Constant(0.5), in 0.0..=1.0;
            /// m
            members: usize = 3, in 2..;
            /// λ
            lambda: Option<Schedule> = None, in 0.0..;
            /// names
            names: Vec<String> = Vec::new();
        }
    }

    fn read(options: &str) -> Result<Example, String> {
        Example::read(options.parse().unwrap()).map_err(|error| error.to_string())
    }

    #[test]
    fn an_option_is_listed_as_it_was_declared() {
        let declared = Example::declared();
        let names: Vec<&str> = declared.iter().map(|option| option.name.as_str()).collect();
        assert_eq!(
            names,
            ["temperature", "soft-weight", "members", "lambda", "names"]
        );
        assert_eq!(declared[0].doc, "T, at which targets are made");
        assert_eq!(declared[0].default, Some(Value::Float(2.0)));
        assert_eq!(
            declared[3].default, None,
            "what follows from something else has no default to list"
        );
        let ranges: Vec<Option<String>> = declared
            .iter()
            .map(|option| option.range.map(|limits| limits.to_string()))
            .collect();
        let expected = ["above 0", "0 to 1", "2 or more", "0 or more"].map(|text| Some(text.to_owned()));
        assert_eq!(ranges[..4], expected);
        assert_eq!(ranges[4], None);
    }

    #[test]
    fn what_is_not_given_has_its_default() {
        let read = read("soft-weight = \"linear(0, 1, 20)\"\nlambda = 3").unwrap();
        assert_eq!(read.temperature, Example::default().temperature);
        assert_eq!(read.soft_weight.at(10.0), 0.5);
        assert_eq!(read.lambda, Some(Schedule::Constant(3.0)));
    }

    #[test]
    fn a_value_outside_its_range_is_refused_with_the_range() {
        for (options, refusal) in [
            ("temperature = 0", "`temperature` is 0, expected a number above 0"),
            (
                "temperature = inf",
                "`temperature` is inf, expected finite numbers",
            ),
            ("lambda = nan", "`lambda` is NaN, expected finite numbers"),
            (
                "soft-weight = \"linear(0, 1.5, 20)\"",
                "`soft-weight` is linear(0, 1.5, 20), expected values from 0 to 1",
            ),
            ("members = 1", "`members` is 1, expected a number of 2 or more"),
            ("lambda = -1", "`lambda` is -1, expected values of 0 or more"),
        ] {
            let refused = read(options).unwrap_err();
            assert!(refused.ends_with(refusal), "{options}: {refused}");
        }
    }

    #[test]
    fn a_value_of_another_type_is_refused_with_its_key() {
        let refused = read("members = \"many\"").unwrap_err();
        assert!(refused.contains("option `members`: "), "{refused}");
        assert!(refused.contains("many"), "{refused}");
    }

    #[test]
    fn limits_contain_what_they_say() {
        let open = above(0.0).below(1.0);
        assert!(!open.contain(0.0) && open.contain(0.5) && !open.contain(1.0));
        assert_eq!(open.to_string(), "above 0 and below 1");
        let half = Limits::from(0.0..1.0);
        assert!(half.contain(0.0) && !half.contain(1.0) && !half.contain(f64::NAN));
        assert_eq!(half.asked_of("a number"), "a number from 0 to below 1");
    }
}
