//! The project file `updraft.yaml`: workflow folders and connection profiles, with the environment over them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Map, Value, json};
use updraft_auth::connections::{PREFIX, variable_name};
use updraft_task::{Connection, Registry};

use crate::exit_code::Failure;

/// Name of the project file.
pub const FILE: &str = "updraft.yaml";
/// Folder of a project's own data: store, logs, scratch, embedded lake.
pub const DATA_DIR: &str = ".updraft";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ProjectFile {
    #[serde(default = "default_workflows")]
    workflows: Vec<PathBuf>,
    #[serde(default = "default_source")]
    source: String,
    #[serde(default = "default_profile")]
    default_profile: String,
    #[serde(default)]
    server: ServerSettings,
    #[serde(default)]
    profiles: BTreeMap<String, Profile>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Profile {
    #[serde(default)]
    connections: BTreeMap<String, Map<String, Value>>,
}

/// `server:` of the project file: how `serve` opens to others, and how much it does at a time.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerSettings {
    /// Addresses to listen on [default: 127.0.0.1:8765].
    #[serde(default)]
    pub listen: Vec<std::net::SocketAddr>,
    /// Why others than this machine may reach it; needed for any other address than loopback.
    pub reason: Option<String>,
    /// What people type into their browser.
    pub public_url: Option<String>,
    /// TLS ends before this server.
    pub behind_proxy: Option<ProxySettings>,
    /// TLS ends here.
    pub tls: Option<TlsSettings>,
    /// A file with the master key; `UPDRAFT_MASTER_KEY` goes before it.
    pub master_key_file: Option<PathBuf>,
    /// Queues on which tasks may run shell commands, where others can reach the server.
    pub shell_queues: Option<Vec<String>>,
    /// Whether connections may be tested from the pages, where others can reach the server.
    pub connection_test: Option<bool>,
    /// Attempts that run at one time [default: 32].
    pub slots: Option<u32>,
    /// Queues that are served [default: `default`].
    pub queues: Option<Vec<String>>,
    /// How long history is kept.
    #[serde(default)]
    pub retention: Retention,
}

/// `server.behind_proxy`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProxySettings {
    /// Networks that the proxy comes from: `10.0.0.0/8`.
    pub trusted: Vec<String>,
}

/// `server.tls`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsSettings {
    /// PEM, the chain.
    pub certificate: PathBuf,
    /// PEM, the key; readable by this user alone.
    pub key: PathBuf,
}

/// `server.retention`: durations such as `90d`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retention {
    /// Logs of attempts.
    #[serde(default = "default_log_retention", with = "updraft_model::span::text")]
    pub logs: std::time::Duration,
}

impl Default for Retention {
    fn default() -> Self {
        Self { logs: default_log_retention() }
    }
}

fn default_log_retention() -> std::time::Duration {
    std::time::Duration::from_hours(90 * 24)
}

fn default_source() -> String {
    "main".to_owned()
}

fn default_workflows() -> Vec<PathBuf> {
    vec!["workflows".into()]
}

fn default_profile() -> String {
    "embedded".to_owned()
}

/// A project: where it lies, where its workflows are, and its profiles.
#[derive(Debug)]
pub struct Project {
    /// Its folder; relative paths are relative to it.
    pub dir: PathBuf,
    /// Its workflow folders, absolute.
    pub workflows: Vec<PathBuf>,
    /// Whether there is a project file.
    pub has_file: bool,
    /// Id of its workflow folders: versions remember it.
    pub source: String,
    /// How `serve` opens.
    pub server: ServerSettings,
    default_profile: String,
    profiles: BTreeMap<String, Profile>,
}

impl Project {
    /// Finds the project by walking up from `from`; without a project file, `from` is the project with built-in defaults.
    ///
    /// # Errors
    /// The file cannot be read, or holds what it may not: with file, line and column.
    pub fn find(from: &Path) -> Result<Self, Failure> {
        let Some(dir) = from.ancestors().find(|dir| dir.join(FILE).is_file()) else {
            return Ok(Self::built_in(from));
        };
        let path = dir.join(FILE);
        let text = std::fs::read_to_string(&path)
            .map_err(|error| Failure::input(format!("cannot read {}: {error}", path.display())))?;
        let file: ProjectFile = serde_yaml::from_str(&text).map_err(|error| {
            let place = error.location().map_or_else(String::new, |at| format!(":{}:{}", at.line(), at.column()));
            Failure::input(format!("{}{place}: {error}", path.display())).hint(
                "known keys: `workflows`, `source`, `default_profile`, `server`, `profiles: {NAME: {connections: {NAME: {kind, …}}}}`",
            )
        })?;
        let mut profiles = file.profiles;
        if profiles.is_empty() {
            profiles = built_in_profiles();
        }
        Ok(Self {
            dir: dir.to_owned(),
            workflows: file.workflows.iter().map(|folder| dir.join(folder)).collect(),
            has_file: true,
            source: file.source,
            server: file.server,
            default_profile: file.default_profile,
            profiles,
        })
    }

    fn built_in(dir: &Path) -> Self {
        Self {
            dir: dir.to_owned(),
            workflows: default_workflows().iter().map(|folder| dir.join(folder)).collect(),
            has_file: false,
            source: default_source(),
            server: ServerSettings::default(),
            default_profile: default_profile(),
            profiles: built_in_profiles(),
        }
    }

    /// The project's own folder for data.
    pub fn data_dir(&self) -> PathBuf {
        self.dir.join(DATA_DIR)
    }

    /// The entries of a profile as they are written.
    ///
    /// # Errors
    /// An unknown profile.
    pub fn profile_entries(&self, profile: Option<&str>) -> Result<BTreeMap<String, Map<String, Value>>, Failure> {
        Ok(self.profile(profile)?.1.connections.clone())
    }

    fn profile(&self, name: Option<&str>) -> Result<(&str, &Profile), Failure> {
        let name = name.unwrap_or(&self.default_profile);
        let (name, profile) = self.profiles.get_key_value(name).ok_or_else(|| {
            let known: Vec<&str> = self.profiles.keys().map(String::as_str).collect();
            Failure::input(format!("there is no profile `{name}`; known: {}", known.join(", ")))
                .hint(format!("profiles stand in {}", self.dir.join(FILE).display()))
        })?;
        Ok((name, profile))
    }

    /// The connections of a profile with the environment over them, and warnings about variables that fit none.
    ///
    /// # Errors
    /// An unknown profile, a connection without a known kind, two names that collide in the environment, a variable for a
    /// field that the kind does not have, or whose value does not fit.
    pub fn connections(
        &self,
        profile: Option<&str>,
        registry: &Registry,
        environment: &BTreeMap<String, String>,
    ) -> Result<Connections, Failure> {
        let (name, profile) = self.profile(profile)?;
        let mut variables: BTreeMap<&str, &str> =
            environment.iter().filter_map(|(key, value)| Some((key.strip_prefix(PREFIX)?, value.as_str()))).collect();
        let (mut connections, mut warnings) = (BTreeMap::new(), Vec::new());
        let mut taken: BTreeMap<String, &str> = BTreeMap::new();
        for (name, entry) in &profile.connections {
            let upper = variable_name(name);
            if let Some(other) = taken.insert(upper.clone(), name) {
                return Err(Failure::input(format!(
                    "the connections `{other}` and `{name}` collide in the environment (`{PREFIX}{upper}__…`): rename one"
                )));
            }
            let mut fields = entry.clone();
            let kind_key = format!("{upper}__KIND");
            let kind = match (variables.remove(kind_key.as_str()), fields.remove("kind")) {
                (Some(kind), _) => kind.to_owned(),
                (None, Some(Value::String(kind))) => kind,
                (None, Some(_) | None) => {
                    return Err(Failure::input(format!("connection `{name}` has no `kind`"))
                        .hint(format!("known kinds: {}", kinds(registry))));
                }
            };
            let Some(schema) = registry.connection(&kind) else {
                // Not fatal: a build without some tasks still runs what needs none of them. A task that names it is refused.
                if self.has_file {
                    let known = kinds(registry);
                    warnings.push(format!(
                        "connection `{name}` has the kind `{kind}`, which this build does not know ({known})"
                    ));
                }
                variables.retain(|key, _| !key.starts_with(&format!("{upper}__")));
                continue;
            };
            let properties = schema.schema.get("properties").and_then(Value::as_object);
            let mut known: BTreeMap<String, (&str, &Value)> = BTreeMap::new();
            for (field, property) in properties.into_iter().flatten() {
                if let Some((other, _)) = known.insert(variable_name(field), (field, property)) {
                    return Err(Failure::input(format!(
                        "the fields `{other}` and `{field}` of kind `{kind}` collide in the environment"
                    )));
                }
            }
            let prefix = format!("{upper}__");
            let own: Vec<(&str, &str)> = variables
                .iter()
                .filter_map(|(key, value)| Some((key.strip_prefix(prefix.as_str())?, *value)))
                .collect();
            for (field_upper, value) in own {
                variables.remove(format!("{prefix}{field_upper}").as_str());
                let Some((field, property)) = known.get(field_upper) else {
                    let fields: Vec<&str> = known.values().map(|(field, _)| *field).collect();
                    return Err(Failure::input(format!(
                        "{PREFIX}{prefix}{field_upper}: kind `{kind}` has no such field; it has {}",
                        fields.join(", ")
                    )));
                };
                fields.insert(
                    (*field).to_owned(),
                    typed(value, property).map_err(|reason| {
                        Failure::input(format!("{PREFIX}{prefix}{field_upper} does not fit field `{field}`: {reason}"))
                    })?,
                );
            }
            connections.insert(name.clone(), Connection { name: name.clone(), kind, fields });
        }
        let unused = |key: &&str| format!("{PREFIX}{key} fits no connection of profile `{name}` and is not used");
        warnings.extend(variables.keys().map(unused));
        Ok(Connections { by_name: connections, warnings })
    }
}

/// The connections of the chosen profile.
#[derive(Debug)]
pub struct Connections {
    /// The connections.
    pub by_name: BTreeMap<String, Connection>,
    /// Variables that were not used.
    pub warnings: Vec<String>,
}

fn kinds(registry: &Registry) -> String {
    registry.connections().map(|kind| kind.name).collect::<Vec<_>>().join(", ")
}

/// A variable's value in the field's type: text as it is, everything else as JSON. The value is never repeated: it may be secret.
fn typed(value: &str, property: &Value) -> Result<Value, String> {
    if accepts(property, "string") {
        return Ok(Value::String(value.to_owned()));
    }
    serde_json::from_str(value).map_err(|_| "it is not JSON (true, 5, [\"a\"])".to_owned())
}

fn accepts(schema: &Value, wanted: &str) -> bool {
    match schema.get("type") {
        Some(Value::String(name)) => name == wanted,
        Some(Value::Array(names)) => names.iter().any(|name| name == wanted),
        Some(_) | None => ["anyOf", "oneOf"].iter().any(|key| {
            schema.get(key).and_then(Value::as_array).is_some_and(|any| any.iter().any(|one| accepts(one, wanted)))
        }),
    }
}

fn built_in_profiles() -> BTreeMap<String, Profile> {
    let entries = [
        ("lake", json!({ "kind": "lake", "url": format!("{DATA_DIR}/lake") })),
        ("warehouse", json!({ "kind": "warehouse", "engine": "lake" })),
        ("kafka", json!({ "kind": "kafka", "embedded": true })),
        ("opensky", json!({ "kind": "opensky" })),
    ];
    let connections =
        entries.into_iter().filter_map(|(name, entry)| Some((name.to_owned(), entry.as_object()?.clone()))).collect();
    BTreeMap::from([(default_profile(), Profile { connections })])
}

#[cfg(test)]
mod tests {
    use super::*;
    use schemars::JsonSchema;
    use updraft_task::{ConnectionKind, Secret};

    #[derive(Deserialize, JsonSchema)]
    #[expect(dead_code, reason = "read through its schema only")]
    struct Api {
        base_url: String,
        client_secret: Option<Secret>,
        port: Option<u16>,
    }

    impl ConnectionKind for Api {
        const KIND: &'static str = "api";
        const SUMMARY: &'static str = "a test kind";
    }

    fn registry() -> Registry {
        let mut registry = Registry::new();
        registry.add_connection::<Api>();
        registry
    }

    fn project(text: &str) -> (tempfile::TempDir, Result<Project, Failure>) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(FILE), text).unwrap();
        let below = dir.path().join("a/b");
        std::fs::create_dir_all(&below).unwrap();
        let project = Project::find(&below);
        (dir, project)
    }

    const YAML: &str =
        "default_profile: dev\nprofiles:\n  dev:\n    connections:\n      my-api: {kind: api, base_url: http://a}\n";

    fn env(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn the_file_is_found_by_walking_up_and_the_environment_wins() {
        let (dir, project) = project(YAML);
        let project = project.unwrap();
        assert_eq!(project.dir, dir.path());
        let variables = env(&[
            ("UPDRAFT_CONN_MY_API__BASE_URL", "http://b"),
            ("UPDRAFT_CONN_MY_API__PORT", "81"),
            ("UPDRAFT_CONN_OTHER__X", "1"),
        ]);
        let connections = project.connections(None, &registry(), &variables).unwrap();
        let api = &connections.by_name["my-api"];
        assert_eq!(api.fields["base_url"], "http://b");
        assert_eq!(api.fields["port"], 81);
        assert_eq!(connections.warnings, ["UPDRAFT_CONN_OTHER__X fits no connection of profile `dev` and is not used"]);
    }

    #[test]
    fn a_variable_for_an_unknown_field_is_refused_without_its_value() {
        let (_dir, project) = project(YAML);
        let project = project.unwrap();
        let error = project
            .connections(None, &registry(), &env(&[("UPDRAFT_CONN_MY_API__CLIENT_SECRT", "hunter2")]))
            .unwrap_err();
        assert!(error.message.contains("client_secret"), "{}", error.message);
        assert!(!error.message.contains("hunter2"));
        let error =
            project.connections(None, &registry(), &env(&[("UPDRAFT_CONN_MY_API__PORT", "hunter2")])).unwrap_err();
        assert!(!error.message.contains("hunter2"), "{}", error.message);
    }

    #[test]
    fn names_that_collide_in_the_environment_are_refused() {
        let (_dir, project) = project(
            "profiles:\n  embedded:\n    connections:\n      a-b: {kind: api, base_url: x}\n      a_b: {kind: api, base_url: y}\n",
        );
        let error = project.unwrap().connections(None, &registry(), &env(&[])).unwrap_err();
        assert!(error.message.contains("collide"), "{}", error.message);
    }

    #[test]
    fn an_unknown_key_names_its_line() {
        let (_dir, project) = project("workflow: [x]\n");
        let error = project.unwrap_err();
        assert!(error.message.contains("updraft.yaml:1:1"), "{}", error.message);
    }
}
