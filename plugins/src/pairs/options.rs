//! The options that all methods have which compare values of student and teacher.

use potstill_core::plugin::{Options, PluginError, Recorded, Term};
use potstill_core::schedule::Schedule;
use serde::{Deserialize, Deserializer, Serialize};

use burn::tensor::Tensor;

/// Declares the options of a method that compares values: `hint`, `guided` and `weight`, whose
/// comment and default alone are written, and then its own, as in
/// [`options!`](potstill_core::options).
macro_rules! pair_options {
    (
        $(#[$meta:meta])*
        pub struct $name:ident for $plugin:literal {
            $($options:tt)*
        }
    ) => {
        $crate::pairs::pair_options! {
            $(#[$meta])*
            pub struct $name for $plugin, check $crate::pairs::check_pairs {
                $($options)*
            }
        }
    };
    (
        $(#[$meta:meta])*
        pub struct $name:ident for $plugin:literal, check $check:path {
            $(#[doc = $doc:literal])+
            weight = $weight:expr;
            $($options:tt)*
        }
    ) => {
        potstill_core::options! {
            $(#[$meta])*
            pub struct $name for $plugin, check $check {
                /// value of the teacher, or a list of them; suggested by the networks when empty
                hint: $crate::pairs::OneOrMany = $crate::pairs::OneOrMany::default();
                /// value of the student, one for each hint
                guided: $crate::pairs::OneOrMany = $crate::pairs::OneOrMany::default();
                $(#[doc = $doc])+
                weight: potstill_core::schedule::Schedule = potstill_core::schedule::Schedule::Constant($weight), in 0.0..;
                $($options)*
            }
        }

        impl $crate::pairs::PairOptions for $name {
            fn hint(&self) -> &[String] {
                &self.hint.0
            }

            fn guided(&self) -> &[String] {
                &self.guided.0
            }

            fn weight(&self) -> &potstill_core::schedule::Schedule {
                &self.weight
            }
        }
    };
}
pub(crate) use pair_options;

/// What [`pair_options!`] declares.
pub trait PairOptions: Options {
    /// Values of the teacher.
    fn hint(&self) -> &[String];

    /// Values of the student, one for each of the teacher's.
    fn guided(&self) -> &[String];

    /// The weight of the method's term.
    fn weight(&self) -> &Schedule;

    /// The method's term on a record.
    fn recorded_term(&self, value: Tensor<1>, record: &Recorded) -> Term {
        Term {
            name: Self::PLUGIN,
            value,
            weight: self.weight().at(record.epoch()),
        }
    }
}

/// Names of values, given as one or as a list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct OneOrMany(pub Vec<String>);

impl<'de> Deserialize<'de> for OneOrMany {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            One(String),
            Many(Vec<String>),
        }
        Ok(Self(match Written::deserialize(deserializer)? {
            Written::One(text) => vec![text],
            Written::Many(texts) => texts,
        }))
    }
}

/// Refuses another number of the student's values than of the teacher's.
///
/// # Errors
/// [`PluginError::BadValue`] for `guided`.
pub fn check_pairs<M: PairOptions>(method: &M) -> Result<(), PluginError> {
    check_lengths(M::PLUGIN, method.hint(), method.guided())
}

/// Refuses lists of different lengths.
///
/// # Errors
/// [`PluginError::BadValue`] for `guided`.
pub fn check_lengths(plugin: &str, hint: &[String], guided: &[String]) -> Result<(), PluginError> {
    if hint.len() == guided.len() {
        return Ok(());
    }
    let got = format!("{} for {} hints", guided.len(), hint.len());
    Err(PluginError::bad_value(
        plugin,
        "guided",
        got,
        "one value of the student for each hint",
    ))
}
