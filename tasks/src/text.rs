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

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain(text) => f.write_str(text),
            Self::Number(number) => number.fmt(f),
            Self::Truth(truth) => truth.fmt(f),
        }
    }
}
