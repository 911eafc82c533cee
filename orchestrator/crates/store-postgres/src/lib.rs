//! The PostgreSQL store: the traits of `updraft_store` over one schema of one database.
//!
//! No rule lives here. The hot statements are files in `queries/`, with the names that the SQLite store uses, to be read
//! side by side. How connections are kept clean is in `line`, how a commit is one statement in `commit`, what may wait
//! for what in `lane`.
//!
//! Connections: one for commits, two for lanes, two for claims, loads and looks, two for schedules and new runs, four for
//! readers, three for accounts, one for logs, one per registered worker for its heartbeat, one to send and one to receive
//! wake-ups; each opened when it is first needed.
#![warn(missing_docs)]

mod accounts;
mod batch;
mod commit;
mod error;
mod history;
mod idempotency;
mod kept;
mod lane;
mod line;
mod load;
mod logs;
mod migrate;
#[cfg(test)]
mod plans;
mod reader;
mod row;
mod scheduling;
mod sql;
mod store;
mod target;
mod upkeep;
mod wake;
mod worker;

use std::sync::{Arc, OnceLock};

use updraft_store::history::facts::FactsCache;
use updraft_store::schema::MigrationStatus;
use updraft_store::{Counters, Purpose, StoreError};
use uuid::Uuid;

use crate::line::{Line, Lost};
use crate::target::{Target, Use};
use crate::wake::{Ear, Notifier};
use crate::worker::Pulses;

/// How the way to the server is protected, for the policy of the door.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Protection {
    /// Through a unix socket, or on a loopback address.
    pub here: bool,
    /// Its `sslmode`.
    pub ssl_mode: &'static str,
    /// Whether the role that is used is a superuser.
    pub superuser: bool,
}

/// A store in PostgreSQL. Clones share their connections.
#[derive(Clone)]
pub struct PgStore {
    inner: Arc<Inner>,
}

struct Inner {
    /// Tells this process's notifications from others'.
    id: Uuid,
    target: Target,
    counters: Arc<Counters>,
    committer: Arc<Line>,
    lanes: Arc<Line>,
    looks: Arc<Line>,
    schedules: Arc<Line>,
    readers: Arc<Line>,
    facts: FactsCache,
    accounts: Arc<Line>,
    logs: Arc<Line>,
    hints: Arc<Line>,
    notifier: Notifier,
    pulses: Pulses,
    ear: OnceLock<Ear>,
    runtime: tokio::runtime::Handle,
}

impl PgStore {
    /// Opens a store: `postgres://USER:PASSWORD@HOST:PORT/DATABASE?schema=NAME`. Makes the tables if there are none, and
    /// refuses those of another build.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if the server cannot be reached, [`StoreError::Schema`] if the tables are another
    /// build's.
    pub async fn open(url: &str) -> Result<Self, StoreError> {
        let target = Target::parse(url)?;
        migrate::run(&target).await?;
        Ok(Self::on(target))
    }

    /// Opens a store that must be at this build's migrations already: changes nothing.
    ///
    /// # Errors
    /// As [`PgStore::open`]; also [`StoreError::Schema`] if migrations are missing.
    pub async fn open_existing(url: &str) -> Result<Self, StoreError> {
        let target = Target::parse(url)?;
        migrate::check(&target).await?;
        Ok(Self::on(target))
    }

    /// Applies the migrations that are missing; says how many there were.
    ///
    /// # Errors
    /// As [`PgStore::open`].
    pub async fn migrate(url: &str) -> Result<usize, StoreError> {
        migrate::run(&Target::parse(url)?).await
    }

    /// Lists the migrations that this build or the store knows; changes nothing.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if the server cannot be reached.
    pub async fn migration_status(url: &str) -> Result<Vec<MigrationStatus>, StoreError> {
        migrate::status(&Target::parse(url)?).await
    }

    /// Host, port, database and schema, for messages. No password.
    pub fn place(&self) -> String {
        self.inner.target.place()
    }

    /// How the way to the server is protected.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if the server cannot be reached.
    pub async fn protection(&self) -> Result<Protection, StoreError> {
        let superuser = self
            .ask(
                |inner| &inner.accounts,
                Purpose::Admin,
                Lost::Nothing,
                |connection| {
                    let sql = "SELECT rolsuper FROM pg_roles WHERE rolname = current_user";
                    Box::pin(sqlx::query_scalar(sql).fetch_one(connection))
                },
            )
            .await?;
        let target = &self.inner.target;
        Ok(Protection { here: target.is_here(), ssl_mode: target.ssl_mode(), superuser })
    }

    fn on(target: Target) -> Self {
        let counters = Arc::new(Counters::default());
        let engine = |size| Line::new(target.options(Use::Engine), size);
        let id = Uuid::new_v4();
        let hints = Line::new(target.options(Use::Wake), 1);
        let notifier = Notifier::start(Arc::clone(&hints), target.channel(), id, Arc::clone(&counters));
        let inner = Inner {
            id,
            committer: engine(1),
            lanes: engine(2),
            looks: engine(2),
            schedules: engine(2),
            readers: Line::new(target.options(Use::Reader), 4),
            facts: FactsCache::default(),
            accounts: Line::new(target.options(Use::Accounts), 3),
            logs: Line::new(target.options(Use::Logs), 1),
            hints,
            notifier,
            pulses: Pulses::new(target.options(Use::Heartbeat)),
            ear: OnceLock::new(),
            runtime: tokio::runtime::Handle::current(),
            counters,
            target,
        };
        Self { inner: Arc::new(inner) }
    }

    fn ear(&self) -> &Ear {
        let inner = &self.inner;
        inner.ear.get_or_init(|| {
            Ear::open(&inner.runtime, inner.target.options(Use::Wake), inner.target.channel(), inner.id)
        })
    }
}

impl std::fmt::Debug for PgStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PgStore").field("place", &self.place()).finish_non_exhaustive()
    }
}
