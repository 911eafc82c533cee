//! [`Store`] for PostgreSQL: which connection each operation takes, and what is counted.

use std::sync::Arc;

use async_trait::async_trait;
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use sqlx::{PgConnection, Row};
use tokio::sync::broadcast::error::RecvError;
use updraft_model::id::{AttemptId, RunId, Stamp, WorkerNo};
use updraft_model::record::WorkRow;
use updraft_model::time::Timestamp;
use updraft_store::{
    Batch, Beaten, Committed, Counters, Lane, LaneFn, LaneOutcome, Loaded, Look, NewVersion, NextDue, Peer, Published,
    Purpose, Store, StoreError, TaskStateKey, Wake, WorkerInfo, check,
};
use uuid::Uuid;

use crate::batch::Encoded;
use crate::line::{Line, Lost, guarded};
use crate::load::Question;
use crate::{Inner, PgStore, error, kept, lane, row, sql, worker};

/// Which error a failed statement becomes.
fn failure(lost: Lost, error: &sqlx::Error) -> StoreError {
    match lost {
        Lost::Nothing => error::plain(error),
        Lost::Commit => error::of_commit(error),
    }
}

impl PgStore {
    /// One statement, or a transaction that ends by itself, on a connection of a line.
    pub(crate) async fn ask<T, F>(
        &self,
        line: fn(&Inner) -> &Arc<Line>,
        purpose: Purpose,
        lost: Lost,
        ask: F,
    ) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut PgConnection) -> BoxFuture<'c, Result<T, sqlx::Error>> + Send + 'static,
    {
        let inner = Arc::clone(&self.inner);
        guarded(lost, async move {
            let mut lease = line(&inner).lease().await?;
            inner.counters.round_trip(purpose);
            let answer = ask(&mut lease.connection).await;
            lease.settle(answer).map_err(|error| failure(lost, &error))
        })
        .await
    }

    pub(crate) fn committed(&self, purpose: Purpose, wrote: bool) {
        if wrote {
            self.inner.counters.committed(purpose);
        }
    }
}

fn looks(inner: &Inner) -> &Arc<Line> {
    &inner.looks
}

fn committer(inner: &Inner) -> &Arc<Line> {
    &inner.committer
}

#[async_trait]
impl Store for PgStore {
    fn kind(&self) -> &'static str {
        "postgres"
    }

    async fn load(&self, runs: &[(RunId, Option<(u64, Stamp)>)]) -> Result<Vec<Loaded>, StoreError> {
        let question = Question::new(runs);
        let inner = Arc::clone(&self.inner);
        guarded(Lost::Nothing, async move {
            let mut lease = inner.looks.lease().await?;
            inner.counters.round_trip(Purpose::Engine);
            let rows = question.ask(&mut lease.connection).await;
            let rows = lease.settle(rows).map_err(|error| error::plain(&error))?;
            question.answers(&rows)
        })
        .await
    }

    async fn commit(&self, batch: &Batch) -> Result<Committed, StoreError> {
        let encoded = Encoded::batch(batch)?;
        let inner = Arc::clone(&self.inner);
        guarded(Lost::Commit, async move {
            let mut lease = inner.committer.lease().await?;
            let answer = encoded.execute(&mut lease.connection, &inner.counters).await;
            let committed = lease.settle(answer).map_err(|error| error::of_commit(&error))??;
            match &committed {
                Committed::Applied { picked } => {
                    if !picked.is_empty() || !encoded.is_empty() {
                        inner.counters.committed(Purpose::Engine);
                    }
                    inner.notifier.hint(encoded.into_hints());
                }
                Committed::Refused { .. } => {}
            }
            Ok(committed)
        })
        .await
    }

    async fn commit_locked(
        &self,
        run: RunId,
        lane: Lane,
        at: Timestamp,
        decide: LaneFn,
    ) -> Result<LaneOutcome, StoreError> {
        let inner = Arc::clone(&self.inner);
        guarded(Lost::Commit, async move {
            let lease = inner.lanes.lease().await?;
            let (outcome, hints) = lane::run(lease, &inner.counters, run, lane, at, decide).await?;
            inner.notifier.hint(hints);
            Ok(outcome)
        })
        .await
    }

    async fn claim(
        &self,
        worker_no: WorkerNo,
        queue: &str,
        attempts: &[AttemptId],
        at: Timestamp,
    ) -> Result<Vec<WorkRow>, StoreError> {
        let queue = queue.to_owned();
        let ids: Vec<Uuid> = attempts.iter().map(|id| id.0).collect();
        let rows = self
            .ask(looks, Purpose::Poll, Lost::Commit, move |connection| {
                Box::pin(
                    sqlx::query(sql::CLAIM)
                        .bind(worker_no.0)
                        .bind(queue)
                        .bind(ids)
                        .bind(at.to_datetime())
                        .fetch_all(connection),
                )
            })
            .await?;
        self.committed(Purpose::Poll, !rows.is_empty());
        let mut claimed = rows.iter().map(row::work).collect::<Result<Vec<_>, _>>()?;
        claimed.sort_by(|a, b| (a.rank, a.run_id, &a.dispatch.key).cmp(&(b.rank, b.run_id, &b.dispatch.key)));
        Ok(claimed)
    }

    async fn due(&self, now: Timestamp, limit: u32) -> Result<u32, StoreError> {
        let moved: Vec<(String,)> = self
            .ask(looks, Purpose::Poll, Lost::Commit, move |connection| {
                Box::pin(sqlx::query_as(sql::DUE).bind(now.to_datetime()).bind(i64::from(limit)).fetch_all(connection))
            })
            .await?;
        self.committed(Purpose::Poll, !moved.is_empty());
        let count = u32::try_from(moved.len()).unwrap_or(limit);
        let queues: std::collections::BTreeSet<String> = moved.into_iter().map(|(queue,)| queue).collect();
        self.inner.notifier.hint(queues.into_iter().map(Wake::Queue).collect());
        Ok(count)
    }

    async fn outcome(&self, run: RunId, version: u64, stamp: Stamp) -> Result<bool, StoreError> {
        let version = kept::number(version)?;
        self.ask(looks, Purpose::Engine, Lost::Nothing, move |connection| {
            Box::pin(sqlx::query_scalar(sql::OUTCOME).bind(run.0).bind(version).bind(stamp.0).fetch_one(connection))
        })
        .await
    }

    async fn register(&self, info: &WorkerInfo) -> Result<WorkerNo, StoreError> {
        let inner = Arc::clone(&self.inner);
        let info = info.clone();
        guarded(Lost::Commit, async move { inner.pulses.register(&inner.counters, &info).await }).await
    }

    async fn beat(&self, worker_no: WorkerNo) -> Result<Beaten, StoreError> {
        let inner = Arc::clone(&self.inner);
        guarded(Lost::Commit, async move { inner.pulses.beat(&inner.counters, worker_no).await }).await
    }

    async fn leave(&self, worker_no: WorkerNo) -> Result<(), StoreError> {
        let inner = Arc::clone(&self.inner);
        guarded(Lost::Commit, async move { inner.pulses.leave(&inner.counters, worker_no).await }).await
    }

    async fn look(&self, worker_no: WorkerNo) -> Result<Look, StoreError> {
        let inner = Arc::clone(&self.inner);
        guarded(Lost::Nothing, async move { inner.pulses.look(&inner.counters, worker_no).await }).await
    }

    async fn suspect(&self, seen: &Peer) -> Result<bool, StoreError> {
        let (worker_no, state, lease_until) = (seen.worker_no, seen.state, seen.lease_until);
        let suspected = self
            .ask(looks, Purpose::Heartbeat, Lost::Commit, move |connection| {
                Box::pin(worker::suspect(connection, worker_no, state, lease_until))
            })
            .await?;
        self.committed(Purpose::Heartbeat, suspected);
        Ok(suspected)
    }

    async fn executing(&self, worker_no: WorkerNo) -> Result<Vec<WorkRow>, StoreError> {
        let rows = self
            .ask(looks, Purpose::Heartbeat, Lost::Nothing, move |connection| {
                Box::pin(sqlx::query(sql::EXECUTING).bind(worker_no.0).fetch_all(connection))
            })
            .await?;
        let mut rows = rows.iter().map(row::work).collect::<Result<Vec<_>, _>>()?;
        rows.sort_by(|a, b| (a.rank, a.run_id, &a.dispatch.key).cmp(&(b.rank, b.run_id, &b.dispatch.key)));
        Ok(rows)
    }

    async fn peers(&self) -> Result<Vec<Peer>, StoreError> {
        let rows = self
            .ask(looks, Purpose::Heartbeat, Lost::Nothing, |connection| {
                Box::pin(sqlx::query(sql::PEERS).fetch_all(connection))
            })
            .await?;
        rows.iter().map(worker::peer).collect()
    }

    async fn condemn(&self, seen: &Peer) -> Result<bool, StoreError> {
        let (worker_no, state, lease_until) = (seen.worker_no, seen.state, seen.lease_until);
        let condemned = self
            .ask(looks, Purpose::Heartbeat, Lost::Commit, move |connection| {
                Box::pin(worker::condemn(connection, worker_no, state, lease_until))
            })
            .await?;
        self.committed(Purpose::Heartbeat, condemned);
        Ok(condemned)
    }

    async fn next_due(&self, queues: &[String]) -> Result<NextDue, StoreError> {
        let queues = queues.to_vec();
        let found = self
            .ask(looks, Purpose::Poll, Lost::Nothing, move |connection| {
                Box::pin(async move { sqlx::query(sql::NEXT_DUE).bind(queues).fetch_one(connection).await })
            })
            .await?;
        Ok(NextDue { timer: row::opt_at(&found, 0)?, ready: row::get(&found, 1)? })
    }

    fn wakes(&self) -> BoxStream<'static, Wake> {
        let receiver = self.ear().subscribe();
        futures::stream::unfold(receiver, |mut receiver| async move {
            match receiver.recv().await {
                Ok(wake) => Some((wake, receiver)),
                Err(RecvError::Lagged(_)) => Some((Wake::Everything, receiver)),
                Err(RecvError::Closed) => None,
            }
        })
        .boxed()
    }

    async fn publish(&self, version: &NewVersion, at: Timestamp) -> Result<Published, StoreError> {
        let wanted = version.clone();
        let found = self
            .ask(looks, Purpose::Admin, Lost::Nothing, move |connection| {
                Box::pin(async move { kept::published(connection, &wanted).await })
            })
            .await?;
        if let Some(found) = found {
            return Ok(found);
        }
        let inner = Arc::clone(&self.inner);
        let version = version.clone();
        guarded(Lost::Commit, async move {
            let mut lease = inner.looks.lease().await?;
            inner.counters.round_trip(Purpose::Admin);
            let published = kept::publish(&mut lease.connection, &version, at).await;
            let published = published.map_err(|error| error::of_commit(&error))?;
            lease.give_back();
            inner.counters.committed(Purpose::Admin);
            Ok(published)
        })
        .await
    }

    async fn put_task_state(
        &self,
        at: &TaskStateKey,
        by: AttemptId,
        value: &str,
    ) -> Result<Option<String>, StoreError> {
        check::kept_value(&at.name, value)?;
        let (key, text) = (at.clone(), value.to_owned());
        let (executes, put) = self
            .ask(looks, Purpose::Admin, Lost::Commit, move |connection| {
                Box::pin(async move { kept::put_task_state(connection, &key, by, &text).await })
            })
            .await?;
        if put {
            self.committed(Purpose::Admin, true);
            return Ok(Some(value.to_owned()));
        }
        if !executes {
            return Ok(None);
        }
        let stands = self.task_state(at).await?;
        stands.map(Some).ok_or_else(|| StoreError::Conflict(format!("task state `{}` was removed meanwhile", at.name)))
    }

    async fn task_state(&self, at: &TaskStateKey) -> Result<Option<String>, StoreError> {
        let key = at.clone();
        self.ask(looks, Purpose::Admin, Lost::Nothing, move |connection| {
            Box::pin(async move { kept::task_state(connection, &key).await })
        })
        .await
    }

    async fn shared_state(&self, scope: &str, key: &str) -> Result<Option<(String, u64)>, StoreError> {
        let (scope, key) = (scope.to_owned(), key.to_owned());
        let found = self
            .ask(looks, Purpose::Admin, Lost::Nothing, move |connection| {
                Box::pin(async move { kept::shared_state(connection, &scope, &key).await })
            })
            .await?;
        found
            .map(|(value, version)| {
                let version = u64::try_from(version)
                    .map_err(|_| row::inconsistent("shared_state", "version", version, "it is negative"))?;
                Ok((value, version))
            })
            .transpose()
    }

    async fn set_shared_state(
        &self,
        scope: &str,
        key: &str,
        value: &str,
        expected: u64,
        at: Timestamp,
    ) -> Result<bool, StoreError> {
        check::kept_value(key, value)?;
        check::text("scope", scope, usize::MAX)?;
        let expected = kept::number(expected)?;
        let (scope, key, value) = (scope.to_owned(), key.to_owned(), value.to_owned());
        let set = self
            .ask(looks, Purpose::Admin, Lost::Commit, move |connection| {
                Box::pin(async move { kept::set_shared_state(connection, (&scope, &key), &value, expected, at).await })
            })
            .await?;
        self.committed(Purpose::Admin, set);
        Ok(set)
    }

    fn counters(&self) -> &Counters {
        &self.inner.counters
    }

    async fn bare_commit(&self) -> Result<(), StoreError> {
        self.ask(committer, Purpose::Bench, Lost::Commit, |connection| {
            Box::pin(sqlx::query("INSERT INTO bench_commit (v) VALUES ($1)").bind(1_i32).execute(connection))
        })
        .await?;
        self.committed(Purpose::Bench, true);
        Ok(())
    }

    async fn durable(&self) -> Result<Result<(), String>, StoreError> {
        let found = self
            .ask(committer, Purpose::Bench, Lost::Nothing, |connection| {
                Box::pin(
                    sqlx::query("SELECT current_setting('fsync'), current_setting('synchronous_commit')")
                        .fetch_one(connection),
                )
            })
            .await?;
        for (column, setting) in ["fsync", "synchronous_commit"].into_iter().enumerate() {
            let value: &str = found.try_get(column).map_err(|error| error::plain(&error))?;
            if value == "off" {
                return Ok(Err(format!("{setting} is off on this server: a commit may be lost with it")));
            }
        }
        Ok(Ok(()))
    }

    async fn close(&self) {
        let inner = &self.inner;
        if let Some(ear) = inner.ear.get() {
            ear.close();
        }
        for line in [
            &inner.committer,
            &inner.lanes,
            &inner.looks,
            &inner.schedules,
            &inner.readers,
            &inner.accounts,
            &inner.logs,
            &inner.hints,
        ] {
            line.close().await;
        }
        inner.pulses.close().await;
    }
}
