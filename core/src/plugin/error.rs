//! What can be wrong with a plugin's name, options or inputs.

use crate::graph::GraphError;
use crate::names::did_you_mean;
use crate::network::TapError;

/// A plugin that cannot be built or run as asked.
#[derive(Debug, thiserror::Error)]
pub enum PluginError {
    /// A name that is not registered.
    #[error("no plugin `{name}`{}; known: {}", did_you_mean(near), known.join(", "))]
    Unknown {
        /// What was asked for.
        name: String,
        /// Registered names that resemble it.
        near: Vec<String>,
        /// All registered names.
        known: Vec<String>,
    },
    /// Two registrations of one name.
    #[error("plugin `{name}` is registered twice")]
    Twice {
        /// The name.
        name: String,
    },
    /// A plugin that was switched on twice.
    #[error("plugin `{name}` is given twice")]
    GivenTwice {
        /// The name.
        name: String,
    },
    /// An option that the plugin does not have.
    #[error("plugin `{plugin}` has no option `{option}`{}; its options: {}", did_you_mean(near), known.join(", "))]
    UnknownOption {
        /// The plugin.
        plugin: String,
        /// The option as written.
        option: String,
        /// Options that resemble it.
        near: Vec<String>,
        /// All of its options.
        known: Vec<String>,
    },
    /// A piece of `name:key=value,…` without `=`.
    #[error("plugin `{plugin}`: `{text}` is not of the form option=value")]
    Syntax {
        /// The plugin.
        plugin: String,
        /// The piece.
        text: String,
    },
    /// Students whose output does not fit the data.
    #[error("student `{student}` has {got} classes, the data has {expected}")]
    Classes {
        /// The student.
        student: String,
        /// Its classes.
        got: usize,
        /// The data's classes.
        expected: usize,
    },
    /// A value of the wrong type or outside its range.
    #[error("plugin `{plugin}`: option `{option}` is {got}, expected {expected}")]
    BadValue {
        /// The plugin.
        plugin: String,
        /// The option.
        option: String,
        /// The value as written.
        got: String,
        /// What would do.
        expected: String,
    },
    /// A configuration that serde refuses, in its words.
    #[error("plugin `{plugin}`: {message}")]
    Config {
        /// The plugin.
        plugin: String,
        /// What the deserializer says.
        message: String,
    },
    /// A method that distils without anything to distil from.
    #[error("plugin `{plugin}` needs a teacher (--teacher FILE)")]
    NeedsTeacher {
        /// The plugin.
        plugin: String,
    },
    /// A number of things other than the method needs.
    #[error("plugin `{plugin}`: {got} {what}, expected {expected}")]
    Count {
        /// The plugin.
        plugin: String,
        /// What is counted.
        what: String,
        /// How many there are.
        got: usize,
        /// How many are needed.
        expected: String,
    },
    /// Two methods that train different students together.
    #[error("plugins `{first}` and `{second}` ask for different cohorts of students")]
    Cohorts {
        /// One plugin.
        first: String,
        /// The other.
        second: String,
    },
    /// A number of students that makes no cohort.
    #[error("{got} students, expected {expected}")]
    Students {
        /// How many were named.
        got: usize,
        /// How many would do.
        expected: String,
    },
    /// A number of values to part at other than the number of forks.
    #[error("{got} values to split at, expected {expected}, one for each fork")]
    Splits {
        /// How many were named.
        got: usize,
        /// How many forks there are.
        expected: usize,
    },
    /// A value that a method needs and cannot find by itself.
    #[error("plugin `{plugin}` finds no {what} in `{network}`; name it with the option `{option}`")]
    NotFound {
        /// The plugin.
        plugin: String,
        /// What it looked for.
        what: String,
        /// Where.
        network: String,
        /// The option that names it.
        option: String,
    },
    /// A tensor that a record lacks.
    #[error("the record has no tensor `{tensor}`{}", did_you_mean(near))]
    NotRecorded {
        /// Its name.
        tensor: String,
        /// Recorded names that resemble it.
        near: Vec<String>,
    },
    /// A recorded tensor of another shape or type.
    #[error("recorded tensor `{tensor}` is {got}, expected {expected}")]
    RecordedShape {
        /// Its name.
        tensor: String,
        /// What the record holds.
        got: String,
        /// What is needed.
        expected: String,
    },
    /// A file that is no record.
    #[error("cannot read the record {path}")]
    Record {
        /// The file.
        path: String,
        /// What is wrong with it.
        #[source]
        source: RecordError,
    },
    /// A value that a network does not have.
    #[error("in `{network}`")]
    Value {
        /// The student or teacher.
        network: String,
        /// What was asked for and what is near it.
        #[source]
        source: GraphError,
    },
    /// A value that a graph does not have, or that does not fit.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// A tap that was not asked for or has another rank.
    #[error(transparent)]
    Tap(#[from] TapError),
}

impl PluginError {
    /// [`PluginError::BadValue`] from borrowed texts.
    pub fn bad_value(plugin: &str, option: &str, got: impl ToString, expected: &str) -> Self {
        PluginError::BadValue {
            plugin: plugin.to_owned(),
            option: option.to_owned(),
            got: got.to_string(),
            expected: expected.to_owned(),
        }
    }
}

/// Why a file is no record.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// It cannot be read.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// It is no safetensors file.
    #[error(transparent)]
    Format(#[from] safetensors::SafeTensorError),
    /// It holds elements of a type that losses do not use.
    #[error("tensor `{tensor}` has element type {got}, expected F32 or I64")]
    ElementType {
        /// The tensor.
        tensor: String,
        /// Its type.
        got: String,
    },
}
