//! Connections of one purpose, and the rule that keeps them clean (reliability.md §3.13).
//!
//! A connection is taken out of its line to be used and put back only after an end that is known to be good. Whatever
//! else happens to it (an error, a panic, a dropped future) closes it, and the server rolls back what was open. So no
//! transaction can outlive its user, and no half-read answer can be read by the next one; sqlx's pool and its
//! transaction guards, which promise less, are not used here. Statements run in tasks of their own ([`guarded`]): a
//! caller that goes away does not cut them off.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, PgConnection};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use updraft_store::StoreError;

use crate::error;

/// Runs a store operation to its end, also if the caller stops waiting for it.
pub(crate) async fn guarded<T, F>(operation: F) -> Result<T, StoreError>
where
    T: Send + 'static,
    F: Future<Output = Result<T, StoreError>> + Send + 'static,
{
    match tokio::spawn(operation).await {
        Ok(result) => result,
        Err(end) => Err(StoreError::Other(format!("a store operation did not end: {end}"))),
    }
}

/// At most so many connections with the same settings, opened when they are needed.
pub(crate) struct Line {
    options: PgConnectOptions,
    permits: Arc<Semaphore>,
    size: u32,
    idle: Mutex<Vec<PgConnection>>,
}

impl Line {
    pub(crate) fn new(options: PgConnectOptions, size: u32) -> Arc<Self> {
        Arc::new(Self { options, permits: Arc::new(Semaphore::new(size as usize)), size, idle: Mutex::new(Vec::new()) })
    }

    /// A connection for one operation; waits for its turn.
    pub(crate) async fn lease(self: &Arc<Self>) -> Result<Lease, StoreError> {
        let permit = Arc::clone(&self.permits)
            .acquire_owned()
            .await
            .map_err(|_| StoreError::Unavailable("the store is closed".to_owned()))?;
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let connection = match idle {
            Some(connection) => connection,
            None => self.options.connect().await.map_err(|error| error::plain(&error))?,
        };
        Ok(Lease { connection, line: Arc::clone(self), _permit: permit })
    }

    /// Refuses new users, waits for the present ones, and says good-bye to the server.
    pub(crate) async fn close(&self) {
        if let Ok(all) = self.permits.acquire_many(self.size).await {
            all.forget();
        }
        self.permits.close();
        let idle = std::mem::take(&mut *self.idle.lock().unwrap_or_else(PoisonError::into_inner));
        for connection in idle {
            if let Err(error) = connection.close().await {
                tracing::debug!(%error, "a connection of the store did not close in good order");
            }
        }
    }
}

/// A connection in use. Dropped, it is closed; see [`Lease::settle`].
pub(crate) struct Lease {
    pub(crate) connection: PgConnection,
    line: Arc<Line>,
    _permit: OwnedSemaphorePermit,
}

impl Lease {
    /// Ends the use after an answer outside a transaction: the connection goes back unless the error spoiled it.
    pub(crate) fn settle<T>(self, result: Result<T, sqlx::Error>) -> Result<T, sqlx::Error> {
        match &result {
            Ok(_) => self.give_back(),
            Err(error) if error::leaves_connection_usable(error) => self.give_back(),
            Err(_) => {}
        }
        result
    }

    /// Ends the use in a state known to be good: outside any transaction, every answer read.
    pub(crate) fn give_back(self) {
        let Self { connection, line, _permit } = self;
        line.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
    }
}
