//! Connections.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::Time;

/// Where a field's value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FieldSource {
    /// An environment variable.
    Environment,
    /// The project's file.
    File,
    /// The store, sealed.
    Store,
    /// The kind's default.
    Default,
    /// Nowhere.
    Unset,
}

/// A field of a connection.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ConnectionField {
    /// Its name.
    pub name: String,
    /// Where its value comes from.
    pub source: FieldSource,
    /// It is never shown.
    pub secret: bool,
    /// Its value; never of a secret.
    pub value: Option<Value>,
    /// It has a value.
    pub set: bool,
}

/// Who uses a connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ConnectionUse {
    /// The workflow.
    pub workflow: String,
    /// Its task.
    pub task: String,
}

/// A named, typed connection.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Connection {
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: String,
    /// The strongest source of its fields.
    pub source: FieldSource,
    /// Its fields.
    pub fields: Vec<ConnectionField>,
    /// Who uses it.
    pub used_by: Vec<ConnectionUse>,
    /// When its stored part changed.
    pub updated_at: Option<Time>,
    /// Who changed it.
    pub updated_by: Option<String>,
    /// Why it cannot be used.
    pub error: Option<String>,
}

/// All connections.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ConnectionList {
    /// By name.
    pub items: Vec<Connection>,
    /// Kinds that this build knows.
    pub kinds: Vec<String>,
    /// The same with the schema of their fields, if they were asked for.
    pub forms: Option<Vec<ConnectionKind>>,
}

/// A kind of connection.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ConnectionKind {
    /// Its name.
    pub kind: String,
    /// One line.
    pub summary: String,
    /// JSON Schema of its fields; secrets are `writeOnly`.
    #[schema(value_type = Object)]
    pub schema: Value,
}

/// Kinds of connections.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ConnectionKinds {
    /// By name.
    pub items: Vec<ConnectionKind>,
}

/// A connection to be written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewConnection {
    /// Its kind.
    pub kind: String,
    /// Its fields; a secret that is left out stays as it is.
    #[schema(value_type = Object)]
    pub fields: Map<String, Value>,
    /// Why, for the audit log.
    #[serde(default)]
    #[schema(max_length = 500)]
    pub reason: Option<String>,
}

/// One address of a connection, tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ConnectionCheck {
    /// Host and port.
    pub address: String,
    /// It answered.
    pub ok: bool,
    /// In words.
    pub text: String,
}

/// A connection, tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ConnectionTest {
    /// All answered.
    pub ok: bool,
    /// In words.
    pub text: String,
    /// One by one.
    pub checks: Vec<ConnectionCheck>,
}
