//! Connections: typed, named, outside workflows; secrets that do not print.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use crate::TaskError;

/// A text that is never printed, logged or serialized.
#[derive(Clone)]
pub struct Secret(SecretString);

impl Secret {
    /// Wraps a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(SecretString::from(text.into()))
    }

    /// The text. Call it where it is used, and nowhere else.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

impl JsonSchema for Secret {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Secret".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "writeOnly": true, "format": "password" })
    }
}

/// A kind of connection: the typed form of a profile's entry (without `kind`).
pub trait ConnectionKind: DeserializeOwned + JsonSchema + Send + Sync {
    /// Name in `kind:`.
    const KIND: &'static str;
    /// One line for lists.
    const SUMMARY: &'static str;
}

/// A connection as resolved from profile and environment, not yet typed.
#[derive(Clone, PartialEq)]
pub struct Connection {
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: String,
    /// Its fields, environment over profile, without `kind`.
    pub fields: Map<String, Value>,
}

impl fmt::Debug for Connection {
    /// Field names only: values may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("name", &self.name)
            .field("kind", &self.kind)
            .field("fields", &self.fields.keys().collect::<Vec<_>>())
            .finish()
    }
}

impl Connection {
    /// The typed form.
    ///
    /// # Errors
    /// `fail`, class `BadConnection`: the kind differs, a field is unknown, missing or of the wrong type. Values are not repeated.
    pub fn typed<C: ConnectionKind>(&self) -> Result<C, TaskError> {
        if self.kind != C::KIND {
            return Err(TaskError::fail(
                "BadConnection",
                format!("connection `{}` is of kind `{}`, but `{}` is needed", self.name, self.kind, C::KIND),
            ));
        }
        serde_path_to_error::deserialize(Value::Object(self.fields.clone())).map_err(|error| {
            TaskError::fail(
                "BadConnection",
                format!(
                    "connection `{}` ({}), field `{}`: {}",
                    self.name,
                    C::KIND,
                    error.path(),
                    reason(&error.inner().to_string())
                ),
            )
        })
    }
}

/// serde repeats the offending value ("invalid type: string \"hunter2\"…"); keep what was expected, drop the value.
fn reason(text: &str) -> String {
    match (text.find(": "), text.find(", expected ")) {
        (Some(start), Some(end)) if text.starts_with("invalid ") && start < end => {
            format!("{}{}", &text[..start], &text[end..])
        }
        (_, _) => text.to_owned(),
    }
}
