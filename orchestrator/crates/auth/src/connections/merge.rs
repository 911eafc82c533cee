//! How one connection comes out of its sources. Nothing here reads or opens anything: rows of the store and their opened
//! secrets come in, so that commands without a store merge by the same rules.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};
use updraft_store::accounts::StoredConnection;

use super::{ConnectionView, KindSpec, PREFIX, Resolved, Source, Sources, environment, field, variable_name};
use crate::vault::VaultError;

/// Opens the secrets of a row.
pub(super) type Open<'a> = &'a dyn Fn(&StoredConnection) -> Result<Map<String, Value>, VaultError>;

/// What a look at the sources found.
#[derive(Default, PartialEq)]
pub struct Snapshot {
    resolved: BTreeMap<String, Resolved>,
    views: BTreeMap<String, ConnectionView>,
    warnings: Vec<String>,
    refused: Vec<String>,
}

impl Snapshot {
    /// What the environment and the project file give where there is no store.
    pub fn of_files(kinds: Vec<KindSpec>, sources: &Sources) -> Self {
        let kinds = kinds.into_iter().map(|kind| (kind.name.clone(), field::Kind::new(kind))).collect();
        Merge { kinds: &kinds, sources }.look(&[], &|_| Ok(Map::new()))
    }

    /// A connection as tasks get it; `None` if there is none of that name with a known kind.
    pub fn get(&self, name: &str) -> Option<&Resolved> {
        self.resolved.get(name)
    }

    /// All that tasks can get.
    pub fn all(&self) -> impl Iterator<Item = &Resolved> {
        self.resolved.values()
    }

    /// One as people see it.
    pub fn view(&self, name: &str) -> Option<&ConnectionView> {
        self.views.get(name)
    }

    /// All as people see them.
    pub fn views(&self) -> impl Iterator<Item = &ConnectionView> {
        self.views.values()
    }

    /// Variables that fit no connection.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// What was written wrongly in the environment or the project file, so that what was meant does not count: variables for
    /// fields that there are not or that do not fit, names that collide, entries without a kind. Never with a value.
    pub fn refused(&self) -> &[String] {
        &self.refused
    }
}

/// The sources that do not change, and the kinds.
pub(super) struct Merge<'a> {
    pub(super) kinds: &'a BTreeMap<String, field::Kind>,
    pub(super) sources: &'a Sources,
}

/// One connection.
pub(super) struct Merged {
    pub(super) resolved: Option<Resolved>,
    view: ConnectionView,
    /// The variables that belong to it.
    variables: Vec<String>,
    refused: Vec<String>,
}

impl Merge<'_> {
    /// All connections.
    pub(super) fn look(&self, stored: &[StoredConnection], open: Open<'_>) -> Snapshot {
        let stored: BTreeMap<&str, &StoredConnection> = stored.iter().map(|row| (row.name.as_str(), row)).collect();
        let names: BTreeSet<&str> =
            self.sources.profile.keys().map(String::as_str).chain(stored.keys().copied()).collect();
        let mut snapshot = Snapshot { refused: self.collisions(), ..Snapshot::default() };
        let mut used = BTreeSet::new();
        for name in names {
            let merged = self.one(name, stored.get(name).copied(), open);
            used.extend(merged.variables);
            snapshot.refused.extend(merged.refused);
            snapshot.resolved.extend(merged.resolved.map(|resolved| (name.to_owned(), resolved)));
            snapshot.views.insert(name.to_owned(), merged.view);
        }
        let unused = self.sources.environment.keys().filter(|key| !used.contains(*key));
        snapshot.warnings = unused.map(|key| format!("{key} fits no connection and is not used")).collect();
        snapshot
    }

    /// Entries of the profile that have the same variables.
    fn collisions(&self) -> Vec<String> {
        let mut taken: BTreeMap<String, &str> = BTreeMap::new();
        let mut found = Vec::new();
        for name in self.sources.profile.keys() {
            let upper = variable_name(name);
            if let Some(other) = taken.insert(upper.clone(), name) {
                found.push(format!(
                    "the connections `{other}` and `{name}` collide in the environment ({PREFIX}{upper}__…): rename one"
                ));
            }
        }
        found
    }

    /// One connection out of its three sources.
    pub(super) fn one(&self, name: &str, row: Option<&StoredConnection>, open: Open<'_>) -> Merged {
        let own = environment::of_connection(name, &self.sources.environment);
        let variables: Vec<String> = own.iter().map(|variable| variable.key.to_owned()).collect();
        let profile = self.sources.profile.get(name);
        let in_profile = profile.and_then(|entry| entry.get("kind")).and_then(Value::as_str);
        let in_environment = own.iter().find(|variable| variable.field == "KIND").map(|variable| variable.value);
        let (kind, source) = match (in_environment, in_profile, row) {
            (Some(kind), _, _) => (kind, Source::Environment),
            (None, Some(kind), _) => (kind, Source::File),
            (None, None, Some(row)) => (row.kind.as_str(), Source::Store),
            (None, None, None) => ("", Source::Unset),
        };
        let mut view = ConnectionView {
            name: name.to_owned(),
            kind: kind.to_owned(),
            source,
            fields: Vec::new(),
            updated_at: row.map(|row| row.updated_at),
            updated_by: row.map(|row| row.updated_by.clone()),
            error: None,
        };
        let Some(known) = self.kinds.get(kind) else {
            let mut refused = Vec::new();
            view.error = Some(if kind.is_empty() {
                let kinds: Vec<&str> = self.kinds.keys().map(String::as_str).collect();
                refused.push(format!("connection `{name}` has no `kind`; known: {}", kinds.join(", ")));
                "it has no `kind`".to_owned()
            } else {
                format!("this build does not know the kind `{kind}`")
            });
            return Merged { resolved: None, view, variables, refused };
        };
        let (mut problems, mut refused) = (Vec::new(), Vec::new());
        let mut fields: BTreeMap<String, (Value, Source)> = BTreeMap::new();
        let mut put = |from: &Map<String, Value>, source: Source| {
            for (field, value) in from.iter().filter(|(field, _)| *field != "kind") {
                fields.insert(field.clone(), (value.clone(), source));
            }
        };
        // The weakest source first.
        match row {
            Some(row) if row.kind == kind => {
                put(&row.fields, Source::Store);
                match open(row) {
                    Ok(secrets) => put(&secrets, Source::Store),
                    Err(error) => problems.push(error.to_string()),
                }
            }
            Some(row) => problems.push(format!(
                "the store holds a connection of kind `{}` under this name, which is not used beside `{kind}`",
                row.kind
            )),
            None => {}
        }
        if let Some(profile) = profile {
            put(profile, Source::File);
        }
        for variable in own.iter().filter(|variable| variable.field != "KIND") {
            match known.of_variable(variable) {
                Ok((field, value)) => drop(fields.insert(field, (value, Source::Environment))),
                Err(problem) => {
                    refused.push(problem.clone());
                    problems.push(problem);
                }
            }
        }
        let merged: Map<String, Value> =
            fields.iter().map(|(field, (value, _))| (field.clone(), value.clone())).collect();
        problems.extend(known.unknown(&merged).iter().chain(&known.problems(&merged)).map(ToString::to_string));
        view.fields = known.views(&fields);
        if !problems.is_empty() {
            view.error = Some(problems.join("; "));
        }
        let resolved = Resolved { name: name.to_owned(), kind: kind.to_owned(), fields: merged };
        Merged { resolved: Some(resolved), view, variables, refused }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn look(profile: Value, environment: &[(&str, &str)]) -> Snapshot {
        let schema = json!({ "type": "object", "properties": {
            "base_url": { "type": "string" }, "client_secret": { "type": ["string", "null"], "writeOnly": true },
            "port": { "type": ["integer", "null"] },
        }});
        let kinds = vec![KindSpec { name: "api".to_owned(), summary: "a test kind".to_owned(), schema }];
        let environment = environment.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let profile = serde_json::from_value(profile).expect("entries");
        Snapshot::of_files(kinds, &Sources { profile, environment })
    }

    #[test]
    fn the_environment_stands_over_the_file_and_strangers_are_warned_of() {
        let found = look(
            json!({ "my-api": { "kind": "api", "base_url": "http://a" } }),
            &[
                ("UPDRAFT_CONN_MY_API__BASE_URL", "http://b"),
                ("UPDRAFT_CONN_MY_API__PORT", "81"),
                ("UPDRAFT_CONN_OTHER__X", "1"),
            ],
        );
        let api = found.get("my-api").expect("it is there");
        assert_eq!((&api.fields["base_url"], &api.fields["port"]), (&json!("http://b"), &json!(81)));
        assert_eq!(found.warnings(), ["UPDRAFT_CONN_OTHER__X fits no connection and is not used"]);
        assert!(found.refused().is_empty());
    }

    #[test]
    fn what_is_written_wrongly_is_refused_without_its_value() {
        let api = || json!({ "my-api": { "kind": "api", "base_url": "http://a" } });
        for (profile, environment, told) in [
            (api(), vec![("UPDRAFT_CONN_MY_API__CLIENT_SECRT", "hunter2")], "CLIENT_SECRET"),
            (api(), vec![("UPDRAFT_CONN_MY_API__PORT", "hunter2")], "port"),
            (json!({ "a-b": { "kind": "api" }, "a_b": { "kind": "api" } }), vec![], "collide"),
            (json!({ "a": { "base_url": "x" } }), vec![], "no `kind`"),
        ] {
            let found = look(profile, &environment);
            let refused = found.refused().join("; ");
            assert!(refused.contains(told) && !refused.contains("hunter2"), "{refused}");
        }
    }
}
