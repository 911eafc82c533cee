//! The composition root: the only place that names a concrete store.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use updraft_auth::StoreFacts;
use updraft_engine::{ConnectionSource, Engine, EngineConfig, EngineError, NoConnections, RunEnd};
use updraft_model::id::RunId;
use updraft_store::accounts::Accounts;
use updraft_store::schema::MigrationStatus;
use updraft_store::{History, Idempotency, Logs, Reader, Scheduling, Store};
use updraft_task::{Connection, Registry};

use crate::cli::Session;
use crate::control::client::Client;
use crate::control::socket_path;
use crate::exit_code::{ExitCode, Failure};
use crate::project::{Connections, Project};

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
            return Ok(Self::Sqlite(cwd.join(path)));
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
    /// Where others ask for reads and cancels while a foreground run holds the file.
    pub socket: Option<PathBuf>,
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

/// Opens the store for writing; on SQLite this process becomes its owner.
///
/// # Errors
/// It cannot be reached, or another process holds it.
pub async fn open(session: &Session) -> Result<Opened, Failure> {
    open_url(&session.store).await.map_err(|failure| held_hint(failure, session))
}

fn held_hint(failure: Failure, session: &Session) -> Failure {
    match (&session.store, failure.hint.is_none() && failure.message.contains("held by")) {
        (StoreUrl::Sqlite(_), true) => failure.hint(
            "one process owns a SQLite store: wait for it, stop it, choose another file by --store, or use PostgreSQL for many",
        ),
        (StoreUrl::Sqlite(_) | StoreUrl::Postgres(_) | StoreUrl::Memory, _) => failure,
    }
}

fn forgetful() -> Failure {
    Failure::input("`--store memory` keeps nothing: it is for `updraft bench` alone")
}

async fn open_url(url: &StoreUrl) -> Result<Opened, Failure> {
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
                    facts: StoreFacts::Sqlite,
                }),
                store,
                socket: Some(socket_path(path)),
            })
        }
        #[cfg(feature = "postgres")]
        StoreUrl::Postgres(url) => {
            use updraft_store_postgres::PgStore;
            let store = Arc::new(PgStore::open(url).await?);
            let way = store.protection().await?;
            Ok(Opened {
                reader: Arc::<PgStore>::clone(&store),
                scheduling: Arc::<PgStore>::clone(&store),
                logs: Arc::<PgStore>::clone(&store),
                desk: Some(Desk {
                    accounts: Arc::<PgStore>::clone(&store),
                    history: Arc::<PgStore>::clone(&store),
                    idempotency: Arc::<PgStore>::clone(&store),
                    facts: StoreFacts::Postgres {
                        here: way.here,
                        ssl_mode: way.ssl_mode.to_owned(),
                        superuser: way.superuser,
                    },
                }),
                store,
                socket: None,
            })
        }
        StoreUrl::Memory => Err(forgetful()),
        #[cfg(not(all(feature = "sqlite", feature = "postgres")))]
        _ => Err(Failure::input(format!("this build of Updraft has no support for {}", url.shown()))),
    }
}

/// Opens the store for reading: through the socket of the process that holds it, else the file or server itself.
///
/// # Errors
/// There is no store, or it cannot be reached.
pub async fn reader(session: &Session) -> Result<Arc<dyn Reader>, Failure> {
    match &session.store {
        #[cfg(feature = "sqlite")]
        StoreUrl::Sqlite(path) => {
            use crate::control::held::{HeldReader, OpenFile};
            use updraft_store_sqlite::SqliteReader;
            if !path.exists() {
                return Err(Failure::input(format!("there is no store {} yet", session.store.shown()))
                    .hint("the first `updraft run FILE` makes it"));
            }
            if updraft_store_sqlite::owner(path)?.is_some()
                && let Some(client) = Client::connect(&socket_path(path)).await
            {
                let path = path.clone();
                let file: OpenFile = Box::new(move || {
                    let path = path.clone();
                    Box::pin(async move { Ok(Arc::new(SqliteReader::open(&path).await?) as Arc<dyn Reader>) })
                });
                return Ok(Arc::new(HeldReader::new(client, file)));
            }
            Ok(Arc::new(SqliteReader::open(path).await?))
        }
        #[cfg(feature = "postgres")]
        StoreUrl::Postgres(url) => Ok(Arc::new(updraft_store_postgres::PgStore::open_existing(url).await?)),
        StoreUrl::Memory => Err(forgetful()),
        #[cfg(not(all(feature = "sqlite", feature = "postgres")))]
        url => Err(Failure::input(format!("this build of Updraft has no support for {}", url.shown()))),
    }
}

/// Cancels a run, whoever carries it out; says in words what was done.
///
/// # Errors
/// The store cannot be reached, or the run is over.
pub async fn cancel(session: &Session, run: RunId, by: String, reason: String) -> Result<String, Failure> {
    if let StoreUrl::Sqlite(path) = &session.store
        && let Some(client) = Client::connect(&socket_path(path)).await
    {
        return client.cancel(run, by, reason).await.map_err(|error| Failure::input(error.to_string()));
    }
    let opened = open(session).await?;
    let engine = Engine::start(engine_config(session, &opened, Arc::new(Registry::new()), NoConnections))
        .await
        .map_err(engine_failure)?;
    let done = cancel_here(&engine, &opened, run, by, reason).await;
    engine.shutdown().await;
    opened.store.close().await;
    done
}

/// Cancels, and where nobody carries the run out any more, ends what its dead worker left.
async fn cancel_here(
    engine: &Engine,
    opened: &Opened,
    run: RunId,
    by: String,
    reason: String,
) -> Result<String, Failure> {
    engine.cancel(run, &by, &reason).await.map_err(engine_failure)?;
    match engine.resume(run).await {
        Ok(mut handle) => match handle.wait().await {
            RunEnd::Finished(projection) => Ok(format!("run {run} is {}", projection.state)),
            RunEnd::Broken { detail } => Err(Failure { code: ExitCode::RunFailed, message: detail, hint: None }),
            RunEnd::Interrupted => Err(Failure::unreachable("the engine stopped before the run was cancelled")),
        },
        Err(EngineError::Held { name, .. }) => {
            Ok(format!("run {run} is asked to stop; worker {name} ends its attempts"))
        }
        Err(EngineError::RunOver { .. }) => {
            let state = opened.reader.run(run).await?.map_or("over", |view| view.row.projection.state.name());
            Ok(format!("run {run} is {state}"))
        }
        Err(error) => Err(engine_failure(error)),
    }
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
    // A foreground run's queue is its own: dispatched rows beyond the slots would only be written to be claimed later.
    config.dispatch_window = config.slots;
    config.logs = Some(Arc::clone(&opened.logs));
    config
}

/// Opens the logs for reading, whoever holds the store.
///
/// # Errors
/// There is no store, or it cannot be reached.
pub async fn logs(session: &Session) -> Result<Arc<dyn Logs>, Failure> {
    match &session.store {
        #[cfg(feature = "sqlite")]
        StoreUrl::Sqlite(path) => Ok(Arc::new(updraft_store_sqlite::SqliteReader::open(path).await?)),
        #[cfg(feature = "postgres")]
        StoreUrl::Postgres(url) => Ok(Arc::new(updraft_store_postgres::PgStore::open_existing(url).await?)),
        StoreUrl::Memory => Err(forgetful()),
        #[cfg(not(all(feature = "sqlite", feature = "postgres")))]
        url => Err(Failure::input(format!("this build of Updraft has no support for {}", url.shown()))),
    }
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
                socket: None,
            })
        }
        (_, true) => open(session).await,
        (_, false) => open_url(&StoreUrl::Sqlite(folder.join("bench.db"))).await,
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

/// Connections of the chosen profile.
pub struct Connected(BTreeMap<String, Connection>);

impl Connected {
    /// From a resolved profile.
    pub fn new(connections: Connections) -> Self {
        Self(connections.by_name)
    }
}

impl ConnectionSource for Connected {
    fn connection(&self, name: &str) -> Option<Connection> {
        self.0.get(name).cloned()
    }

    fn names(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
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
        url => Err(Failure::input(format!("this build of Updraft has no support for {}", url.shown()))),
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
        url => Err(Failure::input(format!("this build of Updraft has no support for {}", url.shown()))),
    }
}

/// How a store is.
pub enum StoreHealth {
    /// There is none yet.
    Missing,
    /// A process holds it.
    Held(u32),
    /// It answers.
    Good {
        /// Whether commits are durable; else the setting that is off.
        durable: Result<(), String>,
    },
}

/// Looks at the store without making it.
///
/// # Errors
/// It cannot be reached.
pub async fn store_health(session: &Session) -> Result<StoreHealth, Failure> {
    #[cfg(feature = "sqlite")]
    if let StoreUrl::Sqlite(path) = &session.store {
        if !path.exists() {
            return Ok(StoreHealth::Missing);
        }
        if let Some(pid) = updraft_store_sqlite::owner(path)? {
            return Ok(StoreHealth::Held(pid));
        }
    }
    let opened = open(session).await?;
    let durable = opened.store.durable().await?;
    opened.store.close().await;
    Ok(StoreHealth::Good { durable })
}
