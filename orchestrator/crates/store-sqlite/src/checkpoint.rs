//! When the write-ahead log goes back into the database (engine.md F28): never inside a commit. A connection of its own
//! does it, without waiting for anybody, when the log is over 4 MiB; over 64 MiB it waits for readers and says so.
//!
//! Under constant load that never ends with an empty log: meanwhile the writer has added to it, so it would grow to the
//! bound. Over 8 MiB the writer itself therefore copies the short rest between two commits, when nobody can add to it;
//! its next commit begins the log anew.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sqlx::sqlite::SqliteConnection;
use sqlx::{Executor, Row};
use tokio::sync::{Notify, oneshot};

/// Bytes of one page in the log, with its header.
const FRAME_BYTES: i64 = 4096 + 24;
const PASSIVE_OVER_BYTES: i64 = 4 << 20;
const FINISH_OVER_BYTES: i64 = 8 << 20;
const RESTART_OVER_BYTES: i64 = 64 << 20;

/// Copies what is in the log, as far as nobody has to be waited for.
pub(crate) const PASSIVE: &str = "PRAGMA wal_checkpoint(PASSIVE)";

/// What writer and checkpointer tell each other.
#[derive(Default)]
pub(crate) struct LogWatch {
    grown: Notify,
    finish: AtomicBool,
}

impl LogWatch {
    /// The writer has made some commits.
    pub(crate) fn grown(&self) {
        self.grown.notify_one();
    }

    /// Whether the writer should copy the rest, now that most is copied. Answers yes once.
    pub(crate) fn is_to_finish(&self) -> bool {
        self.finish.load(Ordering::Relaxed) && self.finish.swap(false, Ordering::Relaxed)
    }
}

/// The task that does it.
pub(crate) struct Checkpointer {
    stop: oneshot::Sender<()>,
    ended: oneshot::Receiver<()>,
}

impl Checkpointer {
    pub(crate) fn start(connection: SqliteConnection, watch: Arc<LogWatch>) -> Self {
        let (stop, mut stopped) = oneshot::channel();
        let (end, ended) = oneshot::channel();
        tokio::spawn(async move {
            let mut connection = connection;
            loop {
                tokio::select! {
                    _ = &mut stopped => break,
                    () = watch.grown.notified() => {}
                }
                if let Err(error) = look_and_do(&mut connection, &watch).await {
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

async fn look_and_do(connection: &mut SqliteConnection, watch: &LogWatch) -> Result<(), sqlx::Error> {
    let bytes = log_frames(connection, "PRAGMA wal_checkpoint(NOOP)").await? * FRAME_BYTES;
    if bytes <= PASSIVE_OVER_BYTES {
        return Ok(());
    }
    log_frames(connection, PASSIVE).await?;
    if bytes > FINISH_OVER_BYTES {
        watch.finish.store(true, Ordering::Relaxed);
    }
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
