//! Connections of one purpose, and the rule that keeps them clean (reliability.md §3.13).
//!
//! A connection is taken out of its line to be used and put back only after an end that is known to be good. Whatever
//! else happens to it (an error, a panic, a dropped future) closes it, and the server rolls back what was open. So no
//! transaction can outlive its user, and no half-read answer can be read by the next one; sqlx's pool and its
//! transaction guards, which promise less, are not used here. Statements run in tasks of their own ([`guarded`]): a
//! caller that goes away does not cut them off.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, PgConnection};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use updraft_store::StoreError;

use crate::error;

/// The longest that anybody waits for an answer. The server gives up earlier (`statement_timeout`); if even that is not
/// heard of, the network is gone without a word.
const PATIENCE: Duration = Duration::from_secs(45);

/// What a lost answer means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lost {
    /// Nothing happened.
    Nothing,
    /// Something may have been written.
    Commit,
}

/// Runs a store operation to its end, also if the caller stops waiting for it; but not for ever.
pub(crate) async fn guarded<T, F>(lost: Lost, operation: F) -> Result<T, StoreError>
where
    T: Send + 'static,
    F: Future<Output = Result<T, StoreError>> + Send + 'static,
{
    guarded_for(PATIENCE, lost, operation).await
}

async fn guarded_for<T, F>(patience: Duration, lost: Lost, operation: F) -> Result<T, StoreError>
where
    T: Send + 'static,
    F: Future<Output = Result<T, StoreError>> + Send + 'static,
{
    match tokio::spawn(tokio::time::timeout(patience, operation)).await {
        Ok(Ok(result)) => result,
        Ok(Err(_elapsed)) => {
            let text = format!("PostgreSQL did not answer for {} s", patience.as_secs_f32());
            Err(match lost {
                Lost::Nothing => StoreError::Unavailable(text),
                Lost::Commit => StoreError::UnknownOutcome(text),
            })
        }
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
            // What broke this connection has broken the idle ones too: they would fail one after the other.
            Err(_) => self.line.idle.lock().unwrap_or_else(PoisonError::into_inner).clear(),
        }
        result
    }

    /// Ends the use in a state known to be good: outside any transaction, every answer read.
    pub(crate) fn give_back(self) {
        let Self { connection, line, _permit } = self;
        line.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_operation_goes_on_when_its_caller_is_gone() {
        let (ready, started) = tokio::sync::oneshot::channel();
        let (go_on, may_go_on) = tokio::sync::oneshot::channel::<()>();
        let (done, is_done) = tokio::sync::oneshot::channel();
        let operation = async move {
            ready.send(()).unwrap();
            may_go_on.await.unwrap();
            done.send(()).unwrap();
            Ok(())
        };
        let mut caller = Box::pin(guarded(Lost::Commit, operation));
        tokio::select! {
            result = &mut caller => panic!("it ended: {result:?}"),
            begun = started => begun.unwrap(),
        }
        drop(caller);
        go_on.send(()).unwrap();
        is_done.await.unwrap();
    }

    #[tokio::test]
    async fn an_answer_that_never_comes_is_given_up_by_what_it_may_have_done() {
        let never = || std::future::pending::<Result<(), StoreError>>();
        let tick = Duration::from_millis(1);
        assert!(matches!(guarded_for(tick, Lost::Nothing, never()).await, Err(StoreError::Unavailable(_))));
        assert!(matches!(guarded_for(tick, Lost::Commit, never()).await, Err(StoreError::UnknownOutcome(_))));
    }
}
