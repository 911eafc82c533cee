//! The project file `updraft.yaml`: workflow folders and connection profiles, with the environment over them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Map, Value, json};
use updraft_auth::Sources;
use updraft_auth::connections::PREFIX;

use crate::exit_code::Failure;

/// Name of the project file.
pub const FILE: &str = "updraft.yaml";
/// Folder of a project's own data: store, logs, scratch, embedded lake.
pub const DATA_DIR: &str = ".updraft";
/// In [`DATA_DIR`]: profiles laid over those of the project file, written by whoever starts servers for this machine alone
/// (`cargo xtask services up`). Holds secrets.
const LOCAL_FILE: &str = "services.yaml";

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

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct LocalFile {
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
    /// Runs that are over, with all they have; for ever if not said.
    #[serde(default, with = "updraft_model::span::option")]
    pub runs: Option<std::time::Duration>,
}

impl Default for Retention {
    fn default() -> Self {
        Self { logs: default_log_retention(), runs: None }
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
        let file: ProjectFile = read_yaml(
            &path,
            "known keys: `workflows`, `source`, `default_profile`, `server`, `profiles: {NAME: {connections: {NAME: {kind, …}}}}`",
        )?;
        let mut profiles = file.profiles;
        if profiles.is_empty() {
            profiles = built_in_profiles();
        }
        let local = dir.join(DATA_DIR).join(LOCAL_FILE);
        if local.is_file() {
            let hint = "`cargo xtask services up` writes this file; delete it to do without those servers";
            let local: LocalFile = read_yaml(&local, hint)?;
            lay_over(&mut profiles, local.profiles);
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

    /// What connections are made of besides the store: the entries of a profile, and the variables for them.
    ///
    /// # Errors
    /// An unknown profile.
    pub fn sources(&self, profile: Option<&str>, environment: &BTreeMap<String, String>) -> Result<Sources, Failure> {
        let name = profile.unwrap_or(&self.default_profile);
        let profile = self.profiles.get(name).ok_or_else(|| {
            let known: Vec<&str> = self.profiles.keys().map(String::as_str).collect();
            Failure::input(format!("there is no profile `{name}`; known: {}", known.join(", ")))
                .hint(format!("profiles stand in {}", self.dir.join(FILE).display()))
        })?;
        let own = environment.iter().filter(|(variable, _)| variable.starts_with(PREFIX));
        let environment = own.map(|(variable, value)| (variable.clone(), value.clone())).collect();
        Ok(Sources { profile: profile.connections.clone(), environment })
    }
}

/// Reads a file; an error in it has line and column, and this hint.
fn read_yaml<T: serde::de::DeserializeOwned>(path: &Path, hint: &str) -> Result<T, Failure> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::input(format!("cannot read {}: {error}", path.display())))?;
    serde_yaml::from_str(&text).map_err(|error| {
        let place = error.location().map_or_else(String::new, |at| format!(":{}:{}", at.line(), at.column()));
        Failure::input(format!("{}{place}: {error}", path.display())).hint(hint)
    })
}

/// Lays profiles over others of the same name, field by field.
fn lay_over(profiles: &mut BTreeMap<String, Profile>, over: BTreeMap<String, Profile>) {
    for (name, profile) in over {
        let under = &mut profiles.entry(name).or_default().connections;
        for (connection, fields) in profile.connections {
            under.entry(connection).or_default().extend(fields);
        }
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

    fn project(text: &str) -> (tempfile::TempDir, Result<Project, Failure>) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(FILE), text).unwrap();
        let below = dir.path().join("a/b");
        std::fs::create_dir_all(&below).unwrap();
        let project = Project::find(&below);
        (dir, project)
    }

    #[test]
    fn the_file_is_found_by_walking_up_and_profiles_are_chosen_by_name() {
        let (dir, project) = project(
            "default_profile: dev\nprofiles:\n  dev:\n    connections:\n      my-api: {kind: api, base_url: http://a}\n",
        );
        let project = project.unwrap();
        assert_eq!(project.dir, dir.path());
        let variables = ["UPDRAFT_CONN_MY_API__PORT", "HOME"].map(|name| (name.to_owned(), "1".to_owned()));
        let sources = project.sources(None, &BTreeMap::from(variables)).unwrap();
        assert_eq!(sources.profile["my-api"]["base_url"], "http://a");
        assert_eq!(sources.environment.keys().collect::<Vec<_>>(), ["UPDRAFT_CONN_MY_API__PORT"]);
        let unknown = project.sources(Some("prod"), &BTreeMap::new()).unwrap_err();
        assert!(unknown.message.contains("known: dev"), "{}", unknown.message);
    }

    #[test]
    fn profiles_of_this_machine_are_laid_over_the_projects() {
        let (dir, project) =
            project("profiles:\n  embedded:\n    connections:\n      api: {kind: api, base_url: http://a}\n");
        assert!(project.unwrap().sources(Some("services"), &BTreeMap::new()).is_err());
        std::fs::create_dir(dir.path().join(DATA_DIR)).unwrap();
        let file = dir.path().join(DATA_DIR).join(LOCAL_FILE);
        let local = "profiles:\n  embedded:\n    connections:\n      api: {token: s}\n  \
                     services:\n    connections:\n      other: {kind: api, base_url: http://o}\n";
        std::fs::write(&file, local).unwrap();
        let project = Project::find(dir.path()).unwrap();
        let under = project.sources(None, &BTreeMap::new()).unwrap().profile.remove("api").unwrap();
        assert_eq!((&under["base_url"], &under["token"]), (&json!("http://a"), &json!("s")));
        let services = project.sources(Some("services"), &BTreeMap::new()).unwrap();
        assert_eq!(services.profile["other"]["base_url"], "http://o");

        std::fs::write(&file, "profile: {}\n").unwrap();
        let error = Project::find(dir.path()).unwrap_err();
        assert!(error.message.contains("services.yaml:1:1"), "{}", error.message);
    }

    #[test]
    fn an_unknown_key_names_its_line() {
        let (_dir, project) = project("workflow: [x]\n");
        let error = project.unwrap_err();
        assert!(error.message.contains("updraft.yaml:1:1"), "{}", error.message);
    }
}
