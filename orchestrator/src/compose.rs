//! The composition root: the only place that names a concrete store.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use updraft_auth::StoreFacts;
use updraft_engine::{ConnectionSource, EngineConfig, EngineError};
use updraft_store::accounts::Accounts;
use updraft_store::schema::MigrationStatus;
use updraft_store::{History, Idempotency, Logs, Reader, Scheduling, Store, StoreError, Upkeep};
use updraft_task::Registry;

use crate::cli::Session;
use crate::exit_code::{ExitCode, Failure};
use crate::project::Project;
use crate::remote::sockets;

/// How long a store is waited for that another command has for a moment.
const HELD: Duration = Duration::from_secs(10);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(25);

/// Where runs are kept.
#[derive(Debug, Clone)]
pub enum StoreUrl {
    /// One file.
    Sqlite(PathBuf),
    /// This process's memory: for `bench`, to see what the engine costs without a database.
    Memory,
    /// A server; the address may hold a password.
    Postgres(String),
}

impl StoreUrl {
    /// The store given by flag or `UPDRAFT_STORE`, else the project's own file.
    ///
    /// # Errors
    /// An address of neither form.
    pub fn choose(given: Option<&str>, project: &Project, cwd: &Path) -> Result<Self, Failure> {
        let Some(url) = given else { return Ok(Self::Sqlite(project.data_dir().join("updraft.db"))) };
        if let Some(path) = url.strip_prefix("sqlite:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            if path.is_empty() {
                return Err(Failure::input("`--store sqlite:` names no file").hint("write sqlite:PATH"));
            }
            let path = cwd.join(path);
            if path.is_dir() {
                return Err(Failure::input(format!("`--store sqlite:{}` is a folder", path.display()))
                    .hint("name a file in it: sqlite:FOLDER/updraft.db"));
            }
            return Ok(Self::Sqlite(path));
        }
        if url == "memory" {
            return Ok(Self::Memory);
        }
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            return Ok(Self::Postgres(url.to_owned()));
        }
        // The address may hold a password: only its scheme is repeated.
        let scheme = url.split(':').next().unwrap_or_default();
        Err(Failure::input(format!("`--store {scheme}:…` is no store that Updraft knows"))
            .hint("write sqlite:PATH or postgres://USER@HOST/DATABASE"))
    }

    /// For people: without a password.
    pub fn shown(&self) -> String {
        match self {
            Self::Sqlite(path) => format!("sqlite:{}", path.display()),
            Self::Memory => "memory".to_owned(),
            Self::Postgres(url) => match url.split_once("://").and_then(|(_, rest)| rest.rsplit_once('@')) {
                Some((_, place)) => format!("postgres://…@{}", place.split('?').next().unwrap_or(place)),
                None => url.split('?').next().unwrap_or(url).to_owned(),
            },
        }
    }
}

/// A store that this process may write to, by all its sides.
pub struct Opened {
    /// The engine's side.
    pub store: Arc<dyn Store>,
    /// The readers' side.
    pub reader: Arc<dyn Reader>,
    /// Schedules and limits.
    pub scheduling: Arc<dyn Scheduling>,
    /// Logs of attempts.
    pub logs: Arc<dyn Logs>,
    /// What a daemon needs besides; a store in memory has none of it.
    pub desk: Option<Desk>,
}

/// The sides of a store that only a daemon needs.
#[derive(Clone)]
pub struct Desk {
    /// Users, sessions, tokens, the audit log, connections.
    pub accounts: Arc<dyn Accounts>,
    /// Lists and pages.
    pub history: Arc<dyn History>,
    /// Keys under which requests may be made again.
    pub idempotency: Arc<dyn Idempotency>,
    /// Old runs, statistics, logs in few pieces.
    pub upkeep: Arc<dyn Upkeep>,
    /// How the way to it is protected.
    pub facts: StoreFacts,
}

impl Opened {
    /// What a daemon needs.
    ///
    /// # Errors
    /// A store in memory.
    pub fn desk(&self) -> Result<&Desk, Failure> {
        self.desk.as_ref().ok_or_else(forgetful)
    }
}

/// Opens the store for writing; on SQLite this process becomes its owner. What another command has for a moment is waited
/// for; a daemon or a run that has it answers on its socket, and is not.
///
/// # Errors
/// It cannot be reached, or another process holds it.
pub async fn open(session: &Session) -> Result<Opened, Failure> {
    let begin = Instant::now();
    loop {
        let error = match open_url(&session.store).await {
            Ok(opened) => return Ok(opened),
            Err(Refused::Other(failure)) => return Err(failure),
            Err(Refused::Store(error)) => error,
        };
        if !matches!(error, StoreError::Held { .. }) {
            let failure = Failure::from(error);
            return Err(if foreign(&session.store) { failure.hint(FOREIGN) } else { failure });
        }
        let answers = sockets(&session.store, &session.project).live().await.is_some();
        if answers || begin.elapsed() >= HELD {
            return Err(error.into());
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// The same for a store that is there already: nothing is made, and a server's tables stay as they are.
///
/// # Errors
/// As [`open`]; there is none.
pub async fn open_existing(session: &Session) -> Result<Opened, Failure> {
    match &session.store {
        StoreUrl::Sqlite(path) => {
            let unseen = |error: std::io::Error| {
                Failure::unreachable(format!("the store {} cannot be looked at: {error}", session.store.shown()))
                    .hint(FOREIGN)
            };
            if !path.try_exists().map_err(unseen)? {
                return Err(Failure::input(format!("there is no store {} yet", session.store.shown())).hint(
                    "`updraft dev` or the first `updraft run FILE` makes it; `--store` or `-C` names another one",
                ));
            }
            open(session).await
        }
        #[cfg(feature = "postgres")]
        StoreUrl::Postgres(url) => {
            let store = updraft_store_postgres::PgStore::open_existing(url).await?;
            Ok(on_postgres(store).await?)
        }
        #[cfg(not(feature = "postgres"))]
        StoreUrl::Postgres(_) => open(session).await,
        StoreUrl::Memory => Err(forgetful()),
    }
}

/// What to do where this user may not have the store.
const FOREIGN: &str = "whoever opens a SQLite store must be able to write to it and its folder, if only to have it for a moment: \
     do this as its owner, or ask a server (--server)";

/// Whether the store is a file that this user may not write to, or not in its folder.
fn foreign(url: &StoreUrl) -> bool {
    use nix::unistd::{AccessFlags, access};
    let StoreUrl::Sqlite(path) = url else { return false };
    let refused = |path: &Path| {
        matches!(access(path, AccessFlags::W_OK), Err(nix::errno::Errno::EACCES | nix::errno::Errno::EROFS))
    };
    refused(path) || path.parent().is_some_and(refused)
}

/// Whether the store is a file that is not there.
pub fn is_missing(url: &StoreUrl) -> bool {
    matches!(url, StoreUrl::Sqlite(path) if path.try_exists().is_ok_and(|there| !there))
}

/// Why a store was not opened.
enum Refused {
    /// It does not answer, or another process has it.
    Store(StoreError),
    /// It is none.
    Other(Failure),
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Store(error) => error.into(),
            Refused::Other(failure) => failure,
        }
    }
}

fn forgetful() -> Failure {
    Failure::input("`--store memory` keeps nothing: it is for `updraft bench` alone")
}

async fn open_url(url: &StoreUrl) -> Result<Opened, Refused> {
    match url {
        #[cfg(feature = "sqlite")]
        StoreUrl::Sqlite(path) => {
            use updraft_store_sqlite::{OpenOptions, SqliteStore};
            let store = Arc::new(SqliteStore::open(path, OpenOptions::default()).await?);
            Ok(Opened {
                reader: Arc::new(store.reader()),
                scheduling: Arc::<SqliteStore>::clone(&store),
                logs: Arc::<SqliteStore>::clone(&store),
                desk: Some(Desk {
                    accounts: Arc::<SqliteStore>::clone(&store),
                    history: Arc::<SqliteStore>::clone(&store),
                    idempotency: Arc::<SqliteStore>::clone(&store),
                    upkeep: Arc::<SqliteStore>::clone(&store),
                    facts: StoreFacts::Sqlite,
                }),
                store,
            })
        }
        #[cfg(feature = "postgres")]
        StoreUrl::Postgres(url) => Ok(on_postgres(updraft_store_postgres::PgStore::open(url).await?).await?),
        StoreUrl::Memory => Err(Refused::Other(forgetful())),
        #[cfg(not(all(feature = "sqlite", feature = "postgres")))]
        _ => Err(Refused::Other(unsupported(url))),
    }
}

#[cfg(not(all(feature = "sqlite", feature = "postgres")))]
fn unsupported(url: &StoreUrl) -> Failure {
    Failure::input(format!("this build of Updraft has no support for {}", url.shown()))
}

#[cfg(feature = "postgres")]
async fn on_postgres(store: updraft_store_postgres::PgStore) -> Result<Opened, StoreError> {
    use updraft_store_postgres::PgStore;
    let store = Arc::new(store);
    let way = store.protection().await?;
    Ok(Opened {
        reader: Arc::<PgStore>::clone(&store),
        scheduling: Arc::<PgStore>::clone(&store),
        logs: Arc::<PgStore>::clone(&store),
        desk: Some(Desk {
            accounts: Arc::<PgStore>::clone(&store),
            history: Arc::<PgStore>::clone(&store),
            idempotency: Arc::<PgStore>::clone(&store),
            upkeep: Arc::<PgStore>::clone(&store),
            facts: StoreFacts::Postgres { here: way.here, ssl_mode: way.ssl_mode.to_owned(), superuser: way.superuser },
        }),
        store,
    })
}

/// What the engine is started with.
pub fn engine_config(
    session: &Session,
    opened: &Opened,
    registry: Arc<Registry>,
    connections: impl ConnectionSource,
) -> EngineConfig {
    let mut config = EngineConfig::new(
        Arc::clone(&opened.store),
        Arc::clone(&opened.reader),
        registry,
        Arc::new(connections),
        session.project.dir.clone(),
    );
    config.logs = Some(Arc::clone(&opened.logs));
    config
}

/// A store to measure: the named one, memory, or a fresh file in `folder`.
///
/// # Errors
/// It cannot be reached.
pub async fn open_bench(session: &Session, folder: &Path) -> Result<Opened, Failure> {
    match (&session.store, session.store_given) {
        (StoreUrl::Memory, _) => {
            let store = updraft_store::memory::MemoryStore::new(crate::cli::now);
            Ok(Opened {
                store: Arc::new(store.clone()),
                reader: Arc::new(store.clone()),
                scheduling: Arc::new(store.clone()),
                logs: Arc::new(store),
                desk: None,
            })
        }
        (_, true) => open(session).await,
        (_, false) => Ok(open_url(&StoreUrl::Sqlite(folder.join("bench.db"))).await?),
    }
}

/// A failure of the engine with its exit code.
pub fn engine_failure(error: EngineError) -> Failure {
    let message = error.to_string();
    match error {
        EngineError::Store(error) => error.into(),
        EngineError::Io { .. } | EngineError::Held { .. } | EngineError::Stopping => Failure::unreachable(message),
        EngineError::Rejected { .. }
        | EngineError::KeyTaken(_)
        | EngineError::NoRun(_)
        | EngineError::NoWorkflow(_)
        | EngineError::RunOver { .. }
        | EngineError::Version { .. }
        | EngineError::Graph(_) => Failure::input(message),
        EngineError::Broken { .. } => Failure { code: ExitCode::RunFailed, message, hint: None },
    }
}

/// Brings the store's tables to this version; says how many steps that took.
///
/// # Errors
/// It cannot be reached, is held, or was made by a newer build.
pub async fn migrate(url: &StoreUrl) -> Result<usize, Failure> {
    match url {
        #[cfg(feature = "sqlite")]
        StoreUrl::Sqlite(path) => Ok(updraft_store_sqlite::SqliteStore::migrate(path).await?.len()),
        #[cfg(feature = "postgres")]
        StoreUrl::Postgres(url) => Ok(updraft_store_postgres::PgStore::migrate(url).await?),
        StoreUrl::Memory => Err(forgetful()),
        #[cfg(not(all(feature = "sqlite", feature = "postgres")))]
        url => Err(unsupported(url)),
    }
}

/// Lists the steps.
///
/// # Errors
/// As [`migrate`].
pub async fn migration_status(url: &StoreUrl) -> Result<Vec<MigrationStatus>, Failure> {
    match url {
        #[cfg(feature = "sqlite")]
        StoreUrl::Sqlite(path) => Ok(updraft_store_sqlite::SqliteStore::migration_status(path).await?),
        #[cfg(feature = "postgres")]
        StoreUrl::Postgres(url) => Ok(updraft_store_postgres::PgStore::migration_status(url).await?),
        StoreUrl::Memory => Err(forgetful()),
        #[cfg(not(all(feature = "sqlite", feature = "postgres")))]
        url => Err(unsupported(url)),
    }
}

/// How a store is.
pub enum StoreHealth {
    /// There is none yet.
    Missing,
    /// A process holds it.
    Held {
        /// Which.
        pid: u32,
        /// Whether it answers on its socket.
        answers: bool,
    },
    /// It answers.
    Good {
        /// Whether commits are durable; else the setting that is off.
        durable: Result<(), String>,
    },
}

/// A value of shared state, if there is a store that is free to be looked at, and the value in it.
pub async fn shared_value(session: &Session, scope: &str, key: &str) -> Option<String> {
    let free = matches!(store_health(session).await, Ok(StoreHealth::Good { .. }));
    let opened = if free { open_existing(session).await.ok()? } else { return None };
    let kept = opened.store.shared_state(scope, key).await;
    opened.store.close().await;
    kept.ok().flatten().map(|(value, _)| value)
}

/// Looks at the store without making it.
///
/// # Errors
/// It cannot be reached.
pub async fn store_health(session: &Session) -> Result<StoreHealth, Failure> {
    #[cfg(feature = "sqlite")]
    if let StoreUrl::Sqlite(path) = &session.store {
        if is_missing(&session.store) {
            return Ok(StoreHealth::Missing);
        }
        if let Some(pid) = updraft_store_sqlite::owner(path)? {
            let answers = sockets(&session.store, &session.project).live().await.is_some();
            return Ok(StoreHealth::Held { pid, answers });
        }
    }
    let opened = open(session).await?;
    let durable = opened.store.durable().await?;
    opened.store.close().await;
    Ok(StoreHealth::Good { durable })
}
