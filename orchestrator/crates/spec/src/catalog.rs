//! What exists around a workflow file: task types and connections, as data.
//!
//! The binary fills it from its registry and the project file; nothing here knows either.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Mutex, OnceLock, PoisonError};

use serde_json::Value;

/// Whether a task type has a `conn:`, and of which kinds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum ConnNeed {
    /// It has none.
    #[default]
    None,
    /// It may name one of these kinds.
    Optional(Vec<String>),
    /// It must name one of these kinds. Left out, the connection called like the first kind is taken.
    Required(Vec<String>),
}

/// What is known about a task type.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskSpec {
    /// Name in workflow files.
    pub name: String,
    /// One line.
    pub summary: String,
    /// JSON Schema of `with:`.
    pub params: Value,
    /// JSON Schema of the output.
    pub output: Value,
    /// Its connection.
    pub conn: ConnNeed,
    /// Error classes that it can end with; empty if they are not known.
    pub errors: Vec<String>,
}

#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) spec: TaskSpec,
    validator: OnceLock<Result<jsonschema::Validator, String>>,
}

impl Known {
    /// The compiled schema of `with:`, made on first use; or why the schema itself is broken.
    pub(crate) fn validator(&self) -> Result<&jsonschema::Validator, &str> {
        self.validator
            .get_or_init(|| crate::check::compile(&self.spec.params).map_err(|error| error.to_string()))
            .as_ref()
            .map_err(String::as_str)
    }
}

/// Task types and connections by name. Make one per project and check all files with it: it keeps compiled schemas.
#[derive(Debug, Default)]
pub struct Catalog {
    tasks: BTreeMap<String, Known>,
    connections: BTreeMap<String, String>,
    /// Schemas of params that were found good, as JSON text: many files declare the same ones.
    good_params: Mutex<HashSet<String>>,
}

/// Files are checked on many threads with one catalog.
const _: () = {
    const fn shared<T: Send + Sync>() {}
    shared::<Catalog>();
};

/// Most schemas of params that are remembered.
const MOST_PARAMS: usize = 10_000;

impl Catalog {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a task type; one of the same name is replaced.
    pub fn add_task(&mut self, spec: TaskSpec) -> &mut Self {
        self.tasks.insert(spec.name.clone(), Known { spec, validator: OnceLock::new() });
        self
    }

    /// Adds a connection of a kind; one of the same name is replaced.
    pub fn add_connection(&mut self, name: impl Into<String>, kind: impl Into<String>) -> &mut Self {
        self.connections.insert(name.into(), kind.into());
        self
    }

    /// The task type of that name.
    pub fn task(&self, name: &str) -> Option<&TaskSpec> {
        self.known(name).map(|known| &known.spec)
    }

    /// All task types, by name.
    pub fn tasks(&self) -> impl Iterator<Item = &TaskSpec> {
        self.tasks.values().map(|known| &known.spec)
    }

    /// The kind of a connection.
    pub fn connection(&self, name: &str) -> Option<&str> {
        self.connections.get(name).map(String::as_str)
    }

    /// All connections as name and kind, by name.
    pub fn connections(&self) -> impl Iterator<Item = (&str, &str)> {
        self.connections.iter().map(|(name, kind)| (name.as_str(), kind.as_str()))
    }

    pub(crate) fn known(&self, name: &str) -> Option<&Known> {
        self.tasks.get(name)
    }

    /// Whether the schema of a param was found good before.
    pub(crate) fn knows_params(&self, schema: &str) -> bool {
        self.good_params.lock().unwrap_or_else(PoisonError::into_inner).contains(schema)
    }

    /// Remembers a good schema of a param.
    pub(crate) fn remember_params(&self, schema: String) {
        let mut good = self.good_params.lock().unwrap_or_else(PoisonError::into_inner);
        if good.len() < MOST_PARAMS {
            good.insert(schema);
        }
    }
}
