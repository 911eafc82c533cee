//! Connections from their three sources: a field comes from the environment, else from the project file's profile, else
//! from the store; and whoever looks is told which. Secret fields go in and never come out.
//!
//! What tasks get is a snapshot in memory, made anew after every change: a change counts from the next attempt on,
//! without a restart. Several daemons on one PostgreSQL call [`Connections::refresh`] from time to time.

mod environment;
mod field;
mod merge;
mod probe;

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use secrecy::ExposeSecret as _;
use serde::Serialize;
use serde_json::{Map, Value};
use tokio::sync::watch;
use updraft_model::time::Timestamp;
use updraft_store::StoreError;
use updraft_store::accounts::{Accounts, StoredConnection};

pub use environment::{PREFIX, variable_name};
pub use merge::Snapshot;
pub use probe::{ProbeCheck, Probed, addresses, probe, refuse_address};

use self::merge::Merge;
use crate::audit;
use crate::vault::{Vault, VaultError};

/// A kind of connection, as the registry of task types knows it.
#[derive(Debug, Clone)]
pub struct KindSpec {
    /// Name in `kind:`.
    pub name: String,
    /// One line.
    pub summary: String,
    /// JSON Schema of its fields; secret ones are `writeOnly`.
    pub schema: Value,
}

/// The sources that do not change while a process runs.
#[derive(Clone, Default)]
pub struct Sources {
    /// Entries of the chosen profile, with `kind`.
    pub profile: BTreeMap<String, Map<String, Value>>,
    /// Variables `UPDRAFT_CONN_NAME__FIELD`, with the prefix.
    pub environment: BTreeMap<String, String>,
}

impl std::fmt::Debug for Sources {
    /// Names only: values may be secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sources")
            .field("profile", &self.profile.keys().collect::<Vec<_>>())
            .field("environment", &self.environment.keys().collect::<Vec<_>>())
            .finish()
    }
}

/// Where something comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// A variable of this process.
    Environment,
    /// The profile in `updraft.yaml`.
    File,
    /// The store.
    Store,
    /// The kind's own default.
    Default,
    /// From nowhere.
    Unset,
}

/// A connection as tasks get it, secrets included.
#[derive(Clone, PartialEq)]
pub struct Resolved {
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: String,
    /// Its fields.
    pub fields: Map<String, Value>,
}

impl std::fmt::Debug for Resolved {
    /// Field names only: values may be secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Resolved")
            .field("name", &self.name)
            .field("kind", &self.kind)
            .field("fields", &self.fields.keys().collect::<Vec<_>>())
            .finish()
    }
}

/// A field as people see it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FieldView {
    /// Its name.
    pub name: String,
    /// Where its value comes from.
    pub source: Source,
    /// Its value is never shown.
    pub secret: bool,
    /// Its value, unless it is secret; passwords inside addresses are masked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<Value>,
    /// Whether it has one.
    pub set: bool,
}

/// A connection as people see it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ConnectionView {
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: String,
    /// Where its kind, and so its existence, comes from.
    pub source: Source,
    /// All fields that its kind has.
    pub fields: Vec<FieldView>,
    /// When the store's part was last written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub updated_at: Option<Timestamp>,
    /// By whom.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub updated_by: Option<String>,
    /// Why it cannot be used as it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Why a connection was not written.
#[derive(Debug, thiserror::Error)]
pub enum ConnectionError {
    /// A name that cannot be one.
    #[error("`{0}` cannot be a connection's name: 1 to 64 of a–z, A–Z, 0–9, `_`, `-`, `.`, the first a letter")]
    BadName(String),
    /// Another connection has the same variables.
    #[error(
        "`{name}` and `{other}` would have the same variables in the environment ({PREFIX}{variable}__…): choose another name"
    )]
    Collides {
        /// The new one.
        name: String,
        /// The one that is there.
        other: String,
        /// The name in the environment.
        variable: String,
    },
    /// An unknown kind.
    #[error("there is no kind of connection `{kind}`; known: {known}")]
    UnknownKind {
        /// What was asked for.
        kind: String,
        /// What there is.
        known: String,
    },
    /// Fields that do not fit.
    #[error("the fields do not fit kind `{kind}`: {}", .problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    BadFields {
        /// The kind.
        kind: String,
        /// Each that is wrong.
        problems: Vec<FieldProblem>,
    },
    /// Somebody else wrote it at the same time.
    #[error("somebody else changed `{0}` at the same time: look at it again")]
    Raced(String),
    /// There is none in the store.
    #[error("there is no connection `{0}` in the store{1}")]
    Missing(String, &'static str),
    /// A secret could not be sealed or opened.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl ConnectionError {
    /// A stable code for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::BadName(_) => "bad_connection_name",
            Self::Collides { .. } => "connection_name_collides",
            Self::UnknownKind { .. } => "unknown_connection_kind",
            Self::BadFields { .. } => "bad_connection_fields",
            Self::Raced(_) => "connection_changed_meanwhile",
            Self::Missing(..) => "no_connection",
            Self::Vault(_) => "vault",
            Self::Store(error) if error.is_transient() => "store_unavailable",
            Self::Store(_) => "internal",
        }
    }

    /// The HTTP status that says the same.
    pub fn status(&self) -> u16 {
        match self {
            Self::BadName(_) | Self::Collides { .. } | Self::UnknownKind { .. } | Self::BadFields { .. } => 422,
            Self::Raced(_) => 409,
            Self::Missing(..) => 404,
            Self::Store(error) if error.is_transient() => 503,
            Self::Vault(_) | Self::Store(_) => 500,
        }
    }
}

/// One field that does not fit. Values are never repeated: they may be secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FieldProblem {
    /// JSON pointer into `fields`.
    pub pointer: String,
    /// What is wrong.
    pub message: String,
}

impl std::fmt::Display for FieldProblem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.pointer.is_empty() {
            f.write_str(&self.message)
        } else {
            write!(f, "{}: {}", self.pointer, self.message)
        }
    }
}

/// The service.
pub struct Connections {
    accounts: Arc<dyn Accounts>,
    vault: Arc<Vault>,
    kinds: BTreeMap<String, field::Kind>,
    sources: Sources,
    snapshot: RwLock<Arc<Snapshot>>,
    changes: watch::Sender<()>,
}

impl Connections {
    /// Looks at all sources for the first time.
    ///
    /// # Errors
    /// The store cannot be read. A connection that does not fit is no error here: its view says what is wrong.
    pub async fn open(
        accounts: Arc<dyn Accounts>,
        vault: Arc<Vault>,
        kinds: Vec<KindSpec>,
        sources: Sources,
    ) -> Result<Self, StoreError> {
        let kinds = kinds.into_iter().map(|kind| (kind.name.clone(), field::Kind::new(kind))).collect();
        let changes = watch::Sender::new(());
        let connections = Self { accounts, vault, kinds, sources, snapshot: RwLock::default(), changes };
        connections.refresh().await?;
        Ok(connections)
    }

    fn merge(&self) -> Merge<'_> {
        Merge { kinds: &self.kinds, sources: &self.sources }
    }

    /// What the last look found.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshot.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Looks again; says whether anything changed.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn refresh(&self) -> Result<bool, StoreError> {
        let stored = self.accounts.connections().await?;
        let new = Arc::new(self.merge().look(&stored, &|row| self.secrets(row)));
        let mut snapshot = self.snapshot.write().unwrap_or_else(PoisonError::into_inner);
        let changed = *snapshot != new;
        *snapshot = new;
        drop(snapshot);
        if changed {
            self.changes.send_replace(());
        }
        Ok(changed)
    }

    /// Tells when anything changed, whoever changed it.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    /// A connection as tasks get it; `None` if there is none of that name with a kind.
    pub fn get(&self, name: &str) -> Option<Resolved> {
        self.snapshot().get(name).cloned()
    }

    /// Names of all connections that tasks can get.
    pub fn names(&self) -> Vec<String> {
        self.snapshot().all().map(|one| one.name.clone()).collect()
    }

    /// All connections as people see them.
    pub fn list(&self) -> Vec<ConnectionView> {
        self.snapshot().views().cloned().collect()
    }

    /// One of them.
    pub fn view(&self, name: &str) -> Option<ConnectionView> {
        self.snapshot().view(name).cloned()
    }

    /// Variables that fit no connection, and the like.
    pub fn warnings(&self) -> Vec<String> {
        self.snapshot().warnings().to_vec()
    }

    /// The kinds that this build knows.
    pub fn kinds(&self) -> impl Iterator<Item = &KindSpec> {
        self.kinds.values().map(|kind| &kind.spec)
    }

    /// Writes the store's part of a connection. A secret field that is left out keeps its value; `null` takes it away.
    /// What is checked is what would come out, with the environment and the file over it.
    ///
    /// # Errors
    /// What is wrong with the name, the kind or the fields; never with a value in it.
    pub async fn put(
        &self,
        name: &str,
        kind: &str,
        fields: &Map<String, Value>,
        by: &str,
        at: Timestamp,
    ) -> Result<ConnectionView, ConnectionError> {
        self.check_name(name)?;
        let known = self.kinds.get(kind).ok_or_else(|| ConnectionError::UnknownKind {
            kind: kind.to_owned(),
            known: self.kinds.keys().map(String::as_str).collect::<Vec<_>>().join(", "),
        })?;
        let bad = |problems| ConnectionError::BadFields { kind: kind.to_owned(), problems };
        let unknown = known.unknown(fields);
        if !unknown.is_empty() {
            return Err(bad(unknown));
        }
        let before = self.accounts.stored_connection(name).await?;
        // Secrets of another kind are other secrets.
        let kept = match &before {
            Some(before) if before.kind == kind => self.secrets(before)?,
            Some(_) | None => Map::new(),
        };
        let (mut plain, mut secret) = (Map::new(), kept);
        for (field, value) in fields {
            match (known.is_secret(field), value) {
                (true, Value::Null) => drop(secret.remove(field)),
                (true, value) => drop(secret.insert(field.clone(), value.clone())),
                (false, Value::Null) => {}
                (false, value) => {
                    // What was shown masked and comes back as it was shown did not change.
                    let stood = before.as_ref().and_then(|before| before.fields.get(field));
                    let stood = stood.filter(|stood| audit::masked((*stood).clone()) == *value);
                    plain.insert(field.clone(), stood.unwrap_or(value).clone());
                }
            }
        }
        let mut sealed = BTreeMap::new();
        for (field, value) in &secret {
            // JSON, because a secret may be a map or a list of texts.
            let text = secrecy::SecretString::from(value.to_string());
            sealed.insert(field.clone(), self.vault.seal(name, field, text.expose_secret())?);
        }
        let expected = before.as_ref().map_or(0, |before| before.version);
        let row = StoredConnection {
            name: name.to_owned(),
            kind: kind.to_owned(),
            fields: plain,
            key_id: (!sealed.is_empty()).then(|| self.vault.newest().to_owned()),
            sealed,
            version: expected + 1,
            updated_at: at,
            updated_by: by.to_owned(),
        };
        let merged = self.merge().one(name, Some(&row), &|row| self.secrets(row));
        if let Some(resolved) = merged.resolved {
            let problems = self.kinds.get(&resolved.kind).map(|kind| kind.problems(&resolved.fields));
            let problems = problems.unwrap_or_default();
            if !problems.is_empty() {
                return Err(bad(problems));
            }
        }
        if !self.accounts.put_connection(&row, expected).await? {
            return Err(ConnectionError::Raced(name.to_owned()));
        }
        self.refresh().await?;
        self.view(name).ok_or_else(|| ConnectionError::Missing(name.to_owned(), ""))
    }

    /// Removes the store's part of a connection.
    ///
    /// # Errors
    /// There is none.
    pub async fn remove(&self, name: &str) -> Result<(), ConnectionError> {
        if !self.accounts.remove_connection(name).await? {
            let elsewhere = match self.view(name) {
                Some(_) => "; it comes from updraft.yaml or the environment: remove it there",
                None => "",
            };
            return Err(ConnectionError::Missing(name.to_owned(), elsewhere));
        }
        self.refresh().await?;
        Ok(())
    }

    /// Whether a connection's fields fit and the services that it names answer: a TCP connection to each address, nothing
    /// sent. `exposed`: addresses that a stranger could use this server to look at (link-local, metadata, loopback) are
    /// refused.
    ///
    /// # Errors
    /// There is no such connection.
    pub async fn test(&self, name: &str, exposed: bool) -> Result<Probed, ConnectionError> {
        let missing = || ConnectionError::Missing(name.to_owned(), ", in updraft.yaml or in the environment");
        let view = self.view(name).ok_or_else(missing)?;
        if let Some(error) = view.error {
            return Ok(Probed { ok: false, text: error, checks: Vec::new() });
        }
        let resolved = self.get(name).ok_or_else(missing)?;
        Ok(probe(&resolved.fields, exposed).await)
    }

    fn check_name(&self, name: &str) -> Result<(), ConnectionError> {
        let good = (1..=64).contains(&name.len())
            && name.bytes().all(|c| c.is_ascii_alphanumeric() || b"_-.".contains(&c))
            && name.bytes().next().is_some_and(|first| first.is_ascii_alphabetic());
        if !good {
            return Err(ConnectionError::BadName(name.chars().take(80).collect()));
        }
        let variable = variable_name(name);
        let snapshot = self.snapshot();
        match snapshot.views().find(|other| other.name != name && variable_name(&other.name) == variable) {
            Some(other) => {
                Err(ConnectionError::Collides { name: name.to_owned(), other: other.name.clone(), variable })
            }
            None => Ok(()),
        }
    }

    /// The opened secrets of a row.
    fn secrets(&self, row: &StoredConnection) -> Result<Map<String, Value>, VaultError> {
        let key_id = row.key_id.as_deref().unwrap_or_default();
        let open = |(field, sealed): (&String, &String)| {
            let text = self.vault.open(key_id, &row.name, field, sealed)?;
            let value = serde_json::from_str(text.expose_secret()).map_err(|_| VaultError::Damaged)?;
            Ok((field.clone(), value))
        };
        row.sealed.iter().map(open).collect()
    }
}
