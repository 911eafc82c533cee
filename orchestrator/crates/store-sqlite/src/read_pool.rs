//! Connections that only read, each in its own snapshot. A read is cut at its time limit, because a long one keeps the
//! write-ahead log from being re-used (engine.md F28). Reads run in tasks of their own: a caller that goes away leaves no
//! statement or transaction half done.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use sqlx::sqlite::SqliteConnection;
use tokio::sync::Semaphore;
use updraft_store::StoreError;

use crate::{connect, error};

/// SQLite's virtual machine looks at the clock each time it has made this many steps.
const STEPS_BETWEEN_LOOKS: i32 = 10_000;

struct Reading {
    connection: SqliteConnection,
    /// End of the running read, in milliseconds since `ReadPool::began`.
    cut_at: Arc<AtomicU64>,
}

/// At most `size` connections, opened when they are first needed.
pub(crate) struct ReadPool {
    path: PathBuf,
    limit: Duration,
    began: Instant,
    permits: Semaphore,
    idle: Mutex<Vec<Reading>>,
}

impl ReadPool {
    pub(crate) fn new(path: PathBuf, size: usize, limit: Duration) -> Arc<Self> {
        Arc::new(Self {
            path,
            limit,
            began: Instant::now(),
            permits: Semaphore::new(size),
            idle: Mutex::new(Vec::new()),
        })
    }

    /// Lets `read` have a connection.
    pub(crate) async fn read<T, F>(self: &Arc<Self>, read: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T, StoreError>> + Send + 'static,
    {
        let pool = Arc::clone(self);
        tokio::spawn(async move { pool.read_here(read).await })
            .await
            .map_err(|error| StoreError::Other(format!("a read ended abnormally: {error}")))?
    }

    async fn read_here<T, F>(&self, read: F) -> Result<T, StoreError>
    where
        F: for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T, StoreError>> + Send,
    {
        let _permit =
            self.permits.acquire().await.map_err(|_| StoreError::Unavailable("the store is closed".to_owned()))?;
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut reading = match idle {
            Some(reading) => reading,
            None => self.open().await?,
        };
        reading.cut_at.store(self.millis(Instant::now() + self.limit), Ordering::Relaxed);
        let answer = read(&mut reading.connection).await;
        reading.cut_at.store(u64::MAX, Ordering::Relaxed);
        // A connection whose read failed may be inside a transaction: it is not used again.
        if answer.is_ok() {
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(reading);
        }
        answer
    }

    async fn open(&self) -> Result<Reading, StoreError> {
        let mut connection = connect::reader(&self.path).await?;
        let cut_at = Arc::new(AtomicU64::new(u64::MAX));
        let (seen, began) = (Arc::clone(&cut_at), self.began);
        connection
            .lock_handle()
            .await
            .map_err(|error| error::plain(&error))?
            .set_progress_handler(STEPS_BETWEEN_LOOKS, move || {
                millis_since(began, Instant::now()) <= seen.load(Ordering::Relaxed)
            });
        Ok(Reading { connection, cut_at })
    }

    fn millis(&self, instant: Instant) -> u64 {
        millis_since(self.began, instant)
    }

    /// Ends the connections; reads under way end first.
    pub(crate) async fn close(&self) {
        self.permits.close();
        let idle = std::mem::take(&mut *self.idle.lock().unwrap_or_else(PoisonError::into_inner));
        for reading in idle {
            if let Err(error) = sqlx::Connection::close(reading.connection).await {
                tracing::warn!(%error, "a read connection of the store did not close in good order");
            }
        }
    }
}

fn millis_since(began: Instant, instant: Instant) -> u64 {
    u64::try_from(instant.saturating_duration_since(began).as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use sqlx::Executor;

    use super::*;

    /// F28: a long reader would keep the log from being re-used for ever.
    #[tokio::test]
    async fn a_read_is_cut_at_its_limit_and_the_next_one_works() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("empty.db");
        connect::prepare_file(&path).expect("make the file");
        drop(connect::writer(&path).await.expect("open"));
        let pool = ReadPool::new(path, 1, Duration::from_millis(50));
        let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";
        let read = |sql: &'static str| {
            let pool = Arc::clone(&pool);
            async move {
                pool.read(move |connection| {
                    Box::pin(
                        async move { connection.fetch_one(sql).await.map(drop).map_err(|error| error::plain(&error)) },
                    )
                })
                .await
            }
        };
        let cut = read(endless).await;
        assert!(matches!(&cut, Err(StoreError::Conflict(text)) if text.contains("cut")), "{cut:?}");
        read("SELECT 1").await.expect("the pool has its place back");
        pool.close().await;
        let closed = read("SELECT 1").await;
        assert!(matches!(closed, Err(StoreError::Unavailable(_))), "{closed:?}");
    }
}
