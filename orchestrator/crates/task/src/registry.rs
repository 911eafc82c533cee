//! Task types and connection kinds by name, erased of their Rust types.

use std::collections::BTreeMap;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value};

use crate::connection::ConnectionKind;
use crate::{ConnectionNeed, Context, Effects, ErrorClass, Task, TaskError};

type Running<'a> = Pin<Box<dyn Future<Output = Result<Value, TaskError>> + Send + 'a>>;

trait Runner: Send + Sync {
    fn run<'a>(&self, params: Value, ctx: &'a Context) -> Running<'a>;
}

struct Typed<T>(PhantomData<fn() -> T>);

impl<T: Task> Runner for Typed<T> {
    fn run<'a>(&self, params: Value, ctx: &'a Context) -> Running<'a> {
        Box::pin(async move {
            let params = serde_path_to_error::deserialize(params).map_err(|error| {
                TaskError::fail("BadParameters", format!("`with.{}` of {}: {}", error.path(), T::TYPE, error.inner()))
            })?;
            let output = T::run(params, ctx).await?;
            serde_json::to_value(output).map_err(|error| {
                TaskError::fail("BadOutput", format!("the output of {} is not JSON: {error}", T::TYPE))
            })
        })
    }
}

/// A task type: what is known about it, and how to run it.
pub struct TaskType {
    /// Name in workflow files.
    pub name: &'static str,
    /// One line.
    pub summary: &'static str,
    /// What a second execution does.
    pub effects: Effects,
    /// Its connection.
    pub connection: ConnectionNeed,
    /// It runs programs that the workflow names.
    pub runs_commands: bool,
    /// Error classes.
    pub errors: &'static [ErrorClass],
    /// An entry of a workflow file.
    pub example: &'static str,
    /// JSON Schema of `with:`.
    pub params: Value,
    /// JSON Schema of the output.
    pub output: Value,
    runner: Box<dyn Runner>,
}

impl std::fmt::Debug for TaskType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TaskType").field("name", &self.name).finish_non_exhaustive()
    }
}

impl TaskType {
    /// Runs the body with rendered parameters.
    ///
    /// # Errors
    /// What the body says; `fail` `BadParameters` if the parameters do not fit, `fail` `BadOutput` if the output is not JSON.
    pub fn run<'a>(
        &self,
        params: Value,
        ctx: &'a Context,
    ) -> impl Future<Output = Result<Value, TaskError>> + Send + 'a {
        self.runner.run(params, ctx)
    }
}

/// A connection kind: what is known about it.
#[derive(Debug, Clone)]
pub struct ConnectionType {
    /// Name in `kind:`.
    pub name: &'static str,
    /// One line.
    pub summary: &'static str,
    /// JSON Schema of its fields; secret ones are `writeOnly`.
    pub schema: Value,
}

impl ConnectionType {
    /// Names of its secret fields: texts, and maps or lists of them.
    pub fn secret_fields(&self) -> Vec<&str> {
        let fields = self.schema.get("properties").and_then(Value::as_object);
        fields.into_iter().flatten().filter(|(_, schema)| is_secret(schema)).map(|(name, _)| name.as_str()).collect()
    }
}

/// Schemas that a value may have instead of this one.
fn alternatives(schema: &Value) -> impl Iterator<Item = &Value> {
    ["anyOf", "oneOf"].into_iter().filter_map(|key| schema.get(key)?.as_array()).flatten()
}

/// Whether a text of this schema is secret, or all values of a map or list of it are.
fn is_secret(schema: &Value) -> bool {
    schema.get("writeOnly") == Some(&Value::Bool(true))
        || ["additionalProperties", "items"].iter().filter_map(|key| schema.get(key)).any(is_secret)
        || alternatives(schema).any(is_secret)
}

/// Texts inside a value.
fn texts<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
    match value {
        Value::String(text) => found.push(text),
        Value::Array(values) => values.iter().for_each(|value| texts(value, found)),
        Value::Object(fields) => fields.values().for_each(|value| texts(value, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Every task type and connection kind of a binary.
#[derive(Debug, Default)]
pub struct Registry {
    tasks: BTreeMap<&'static str, TaskType>,
    connections: BTreeMap<&'static str, ConnectionType>,
}

fn schema_of<T: schemars::JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    let mut schema = Value::from(settings.into_generator().into_root_schema_for::<T>());
    if let Some(object) = schema.as_object_mut() {
        object.remove("$schema");
    }
    schema
}

impl Registry {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a task type. A name that is there already is replaced: the binary's own wins over a library's.
    pub fn add<T: Task>(&mut self) -> &mut Self {
        self.tasks.insert(
            T::TYPE,
            TaskType {
                name: T::TYPE,
                summary: T::SUMMARY,
                effects: T::EFFECTS,
                connection: T::CONNECTION,
                runs_commands: T::RUNS_COMMANDS,
                errors: T::ERRORS,
                example: T::EXAMPLE,
                params: schema_of::<T::Params>(),
                output: schema_of::<T::Output>(),
                runner: Box::new(Typed::<T>(PhantomData)),
            },
        );
        self
    }

    /// Adds a connection kind.
    pub fn add_connection<C: ConnectionKind>(&mut self) -> &mut Self {
        let schema = schema_of::<C>();
        self.connections.insert(C::KIND, ConnectionType { name: C::KIND, summary: C::SUMMARY, schema });
        self
    }

    /// The task type of that name.
    pub fn task(&self, name: &str) -> Option<&TaskType> {
        self.tasks.get(name)
    }

    /// All task types, by name.
    pub fn tasks(&self) -> impl Iterator<Item = &TaskType> {
        self.tasks.values()
    }

    /// The connection kind of that name.
    pub fn connection(&self, kind: &str) -> Option<&ConnectionType> {
        self.connections.get(kind)
    }

    /// All connection kinds, by name.
    pub fn connections(&self) -> impl Iterator<Item = &ConnectionType> {
        self.connections.values()
    }

    /// The texts in a connection's secret fields, for masking: of a map or list every value.
    pub fn secrets<'a>(&'a self, kind: &str, fields: &'a Map<String, Value>) -> Vec<&'a str> {
        let Some(known) = self.connections.get(kind) else { return Vec::new() };
        let mut found = Vec::new();
        for value in known.secret_fields().into_iter().filter_map(|name| fields.get(name)) {
            texts(value, &mut found);
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::Secret;

    #[derive(serde::Deserialize, schemars::JsonSchema)]
    #[expect(dead_code, reason = "only its schema matters here")]
    struct Service {
        url: String,
        token: Option<Secret>,
        headers: BTreeMap<String, Secret>,
        tags: BTreeMap<String, String>,
        keys: Option<Vec<Secret>>,
    }

    impl ConnectionKind for Service {
        const KIND: &'static str = "service";
        const SUMMARY: &'static str = "something with secrets";
    }

    #[test]
    fn secrets_are_found_in_texts_maps_and_lists_and_nowhere_else() {
        let mut registry = Registry::new();
        registry.add_connection::<Service>();
        let fields = json!({
            "url": "http://a", "token": "t0", "headers": { "x-a": "h1", "x-b": "h2" }, "tags": { "a": "b" }, "keys": ["k1"],
        });
        let mut secrets = registry.secrets("service", fields.as_object().unwrap());
        secrets.sort_unstable();
        assert_eq!(secrets, ["h1", "h2", "k1", "t0"]);
        let mut names = registry.connection("service").unwrap().secret_fields();
        names.sort_unstable();
        assert_eq!(names, ["headers", "keys", "token"]);
        assert!(registry.secrets("unknown", fields.as_object().unwrap()).is_empty());
    }
}
