//! When the write-ahead log goes back into the database (engine.md F28): never inside a commit. A connection of its own
//! does it, without waiting for anybody, when the log is over 4 MiB; over 64 MiB it waits for readers and says so.

use std::sync::Arc;

use sqlx::sqlite::SqliteConnection;
use sqlx::{Executor, Row};
use tokio::sync::{Notify, oneshot};

/// Bytes of one page in the log, with its header.
const FRAME_BYTES: i64 = 4096 + 24;
const PASSIVE_OVER_BYTES: i64 = 4 << 20;
const RESTART_OVER_BYTES: i64 = 64 << 20;

/// The task that does it.
pub(crate) struct Checkpointer {
    stop: oneshot::Sender<()>,
    ended: oneshot::Receiver<()>,
}

impl Checkpointer {
    pub(crate) fn start(connection: SqliteConnection, look: Arc<Notify>) -> Self {
        let (stop, mut stopped) = oneshot::channel();
        let (end, ended) = oneshot::channel();
        tokio::spawn(async move {
            let mut connection = connection;
            loop {
                tokio::select! {
                    _ = &mut stopped => break,
                    () = look.notified() => {}
                }
                if let Err(error) = look_and_do(&mut connection).await {
                    tracing::warn!(%error, "the store's write-ahead log could not be checkpointed; it goes on growing");
                }
            }
            if let Err(error) = sqlx::Connection::close(connection).await {
                tracing::warn!(%error, "the store's checkpointer did not close in good order");
            }
            // The store may be gone.
            let _ = end.send(());
        });
        Self { stop, ended }
    }

    pub(crate) async fn close(self) {
        // Errors mean that the task ended already.
        let _ = self.stop.send(());
        let _ = self.ended.await;
    }
}

async fn look_and_do(connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    let bytes = log_frames(connection, "PRAGMA wal_checkpoint(NOOP)").await? * FRAME_BYTES;
    if bytes <= PASSIVE_OVER_BYTES {
        return Ok(());
    }
    log_frames(connection, "PRAGMA wal_checkpoint(PASSIVE)").await?;
    if bytes > RESTART_OVER_BYTES {
        tracing::warn!(
            bytes,
            "the store's write-ahead log has outgrown 64 MiB (a long reader?); waiting to restart it"
        );
        log_frames(connection, "PRAGMA wal_checkpoint(RESTART)").await?;
    }
    Ok(())
}

/// Frames in the log, as a checkpoint reports them.
async fn log_frames(connection: &mut SqliteConnection, pragma: &'static str) -> Result<i64, sqlx::Error> {
    connection.fetch_one(pragma).await?.try_get(1)
}
