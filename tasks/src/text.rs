//! Text as people write it in YAML: `8080` and `true` are meant as text where text is wanted.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
#[cfg(feature = "sql")]
use updraft_task::TaskError;

/// A text; numbers and truth values are taken as they are written.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum Text {
    /// Text.
    Plain(String),
    /// A number, as JSON writes it.
    Number(serde_json::Number),
    /// `true` or `false`.
    Truth(bool),
}

/// Whether a name has letters, digits and `_` only: fit for a table, a key and SQL without quotes.
#[cfg(feature = "sql")]
pub(crate) fn is_plain_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// Refuses a table's name that is not plain.
///
/// # Errors
/// `fail` `BadTable`.
#[cfg(feature = "sql")]
pub(crate) fn named_plainly(table: &str) -> Result<(), TaskError> {
    if is_plain_name(table) {
        return Ok(());
    }
    Err(TaskError::fail("BadTable", format!("`table: {table}`: a table's name has letters, digits and `_` only")))
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain(text) => f.write_str(text),
            Self::Number(number) => number.fmt(f),
            Self::Truth(truth) => truth.fmt(f),
        }
    }
}
