//! Text as people write it in YAML: `8080` and `true` are meant as text where text is wanted.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain(text) => f.write_str(text),
            Self::Number(number) => number.fmt(f),
            Self::Truth(truth) => truth.fmt(f),
        }
    }
}
