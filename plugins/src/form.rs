//! Whose arithmetic a method follows.

use serde::{Deserialize, Serialize};

/// Whose arithmetic a method follows, where a paper and the code that its numbers come from differ.
/// What the difference is, the head of each method says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Form {
    /// The paper's.
    Paper,
    /// That of the reference code.
    Code,
}
