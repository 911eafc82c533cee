//! How each kind of connection is opened, and the file and folder that they need.

use std::fs::{DirBuilder, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Executor};
use updraft_store::StoreError;

use crate::error;

const BUSY: Duration = Duration::from_secs(5);

/// Makes the file and its folder if they are missing, readable by this user alone.
pub(crate) fn prepare_file(path: &Path) -> Result<(), StoreError> {
    let unavailable = |what: &Path, error: std::io::Error| {
        StoreError::Unavailable(format!("cannot create {}: {error}", what.display()))
    };
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty())
        && !parent.exists()
    {
        DirBuilder::new().recursive(true).mode(0o700).create(parent).map_err(|error| unavailable(parent, error))?;
    }
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map(drop)
        .map_err(|error| unavailable(path, error))
}

fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .busy_timeout(BUSY)
        .pragma("temp_store", "MEMORY")
        .disable_statement_logging()
}

/// A connection that writes: durable commits, no checkpoints of its own (engine.md F28).
pub(crate) async fn writer(path: &Path) -> Result<SqliteConnection, StoreError> {
    let options = options(path)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .pragma("wal_autocheckpoint", "0")
        .pragma("journal_size_limit", "-1")
        .pragma("cache_size", "-16384");
    options.connect().await.map_err(|error| error::plain(&error))
}

/// Gives a writing connection the statement behind `INSERT INTO hop`.
pub(crate) async fn install_commit(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    connection.execute(include_str!("../queries/commit.sql")).await.map_err(|error| error::plain(&error))?;
    Ok(())
}

/// A connection that only reads.
pub(crate) async fn reader(path: &Path) -> Result<SqliteConnection, StoreError> {
    options(path).read_only(true).connect().await.map_err(|error| error::plain(&error))
}
