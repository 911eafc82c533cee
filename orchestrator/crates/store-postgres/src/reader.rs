//! History, as people and programs read it: connections of its own, plans made for the filters given.

use std::sync::Arc;

use async_trait::async_trait;
use sqlx::PgConnection;
use sqlx::postgres::PgRow;
use updraft_model::event::Event;
use updraft_model::id::{AttemptId, RunId, TaskId, TaskKey, VersionId, WorkerNo};
use updraft_model::record::{AttemptRow, RunMetric, TaskItem};
use updraft_model::state::{Cause, Outcome};
use updraft_store::read::{HistoryEntry, RunDetail, RunFilter, RunView, VersionView};
use updraft_store::{Purpose, Reader, StoreError};
use uuid::Uuid;

use crate::line::{Lease, Lost, guarded};
use crate::{Inner, PgStore, error, row, sql};

/// Shortest prefix of a run's id that is looked up.
const PREFIX_DIGITS: usize = 4;

fn view(found: &PgRow) -> Result<RunView, StoreError> {
    let (row, only) = row::run(found, 0)?;
    Ok(RunView { workflow: row::get(found, 20)?, row, only })
}

impl PgStore {
    /// One statement on a reader's connection.
    pub(crate) async fn read<T, F>(&self, ask: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut PgConnection) -> futures::future::BoxFuture<'c, Result<T, sqlx::Error>>
            + Send
            + 'static,
    {
        let inner = Arc::clone(&self.inner);
        guarded(Lost::Nothing, async move {
            let mut lease = inner.readers.lease().await?;
            inner.counters.round_trip(Purpose::Read);
            let answer = ask(&mut lease.connection).await;
            lease.settle(answer).map_err(|error| error::plain(&error))
        })
        .await
    }
}

#[async_trait]
impl Reader for PgStore {
    async fn runs(&self, filter: &RunFilter) -> Result<Vec<RunView>, StoreError> {
        let workflow = filter.workflow.clone();
        let states: Vec<&'static str> = filter.states.iter().map(|state| state.name()).collect();
        let before = filter.before.map(|run| run.0);
        let limit = i64::from(filter.limit);
        let rows = self
            .read(move |connection| {
                Box::pin(async move {
                    sqlx::query(sql::RUNS)
                        .bind(workflow)
                        .bind(states)
                        .bind(before)
                        .bind(limit)
                        .fetch_all(connection)
                        .await
                })
            })
            .await?;
        rows.iter().map(view).collect()
    }

    async fn run(&self, run: RunId) -> Result<Option<RunView>, StoreError> {
        let found = self.read(move |c| Box::pin(sqlx::query(sql::RUN).bind(run.0).fetch_optional(c))).await?;
        found.as_ref().map(view).transpose()
    }

    async fn runs_by_prefix(&self, prefix: &str) -> Result<Vec<RunId>, StoreError> {
        let Some((first, last)) = bounds(prefix) else { return Ok(Vec::new()) };
        let found: Vec<(Uuid,)> = self
            .read(move |connection| {
                Box::pin(
                    sqlx::query_as(
                        "SELECT run_id FROM run WHERE run_id BETWEEN $1 AND $2 ORDER BY run_id DESC LIMIT 10",
                    )
                    .bind(first)
                    .bind(last)
                    .fetch_all(connection),
                )
            })
            .await?;
        Ok(found.into_iter().map(|(run,)| RunId(run)).collect())
    }

    async fn detail(&self, run: RunId) -> Result<Option<RunDetail>, StoreError> {
        let inner = Arc::clone(&self.inner);
        guarded(Lost::Nothing, async move {
            let mut lease = inner.readers.lease().await?;
            control(&mut lease, &inner, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
            let found = detail(&mut lease, &inner, run).await?;
            control(&mut lease, &inner, "COMMIT").await?;
            lease.give_back();
            Ok(found)
        })
        .await
    }

    async fn outputs(&self, run: RunId, of: &[(TaskKey, u32)]) -> Result<Vec<(TaskKey, String)>, StoreError> {
        let tasks: Vec<String> = of.iter().map(|(key, _)| key.task.to_string()).collect();
        let indexes: Vec<i32> = of.iter().map(|(key, _)| key.map_index.0).collect();
        let numbers: Vec<i64> = of.iter().map(|(_, dispatch_no)| i64::from(*dispatch_no)).collect();
        let rows = self
            .read(move |connection| {
                Box::pin(async move {
                    sqlx::query(
                        "SELECT a.task_id, a.map_index, a.output
                         FROM unnest($2::text[], $3::int4[], $4::int8[]) WITH ORDINALITY AS k(task_id, map_index, dispatch_no, i)
                         JOIN attempt a ON a.run_id = $1 AND a.task_id = k.task_id AND a.map_index = k.map_index
                             AND a.dispatch_no = k.dispatch_no
                         WHERE a.output IS NOT NULL ORDER BY k.i",
                    )
                    .bind(run.0)
                    .bind(tasks)
                    .bind(indexes)
                    .bind(numbers)
                    .fetch_all(connection)
                    .await
                })
            })
            .await?;
        rows.iter().map(|found| Ok((row::key(found, 0, 1)?, row::get(found, 2)?))).collect()
    }

    async fn history(&self, run: RunId, from: u64) -> Result<Vec<HistoryEntry>, StoreError> {
        let from = i64::try_from(from).unwrap_or(i64::MAX);
        let rows = self
            .read(move |connection| {
                Box::pin(
                    sqlx::query(
                        "SELECT version, at, actor, body FROM run_log WHERE run_id = $1 AND version >= $2 ORDER BY version",
                    )
                    .bind(run.0)
                    .bind(from)
                    .fetch_all(connection),
                )
            })
            .await?;
        rows.iter()
            .map(|found| {
                let version = row::big_count(found, 0)?;
                let id = format!("{run} version {version}");
                let events: Vec<Event> = row::json(row::get(found, 3)?, ("run_log", "body"), id)?;
                Ok(HistoryEntry { version, at: row::at(found, 1)?, actor: row::get(found, 2)?, events })
            })
            .collect()
    }

    async fn version(&self, version: VersionId) -> Result<Option<VersionView>, StoreError> {
        let found = self
            .read(move |connection| {
                Box::pin(
                    sqlx::query(
                        "SELECT w.name, v.version_id, v.sha256, v.source, v.path, v.compiled
                         FROM workflow_version v JOIN workflow w ON w.workflow_id = v.workflow_id
                         WHERE v.version_id = $1",
                    )
                    .bind(version.0)
                    .fetch_optional(connection),
                )
            })
            .await?;
        let read = |found: &PgRow| {
            Ok(VersionView {
                workflow: row::get(found, 0)?,
                version_id: VersionId(row::get(found, 1)?),
                sha256: row::get(found, 2)?,
                source: row::get(found, 3)?,
                path: row::get(found, 4)?,
                compiled: row::get(found, 5)?,
            })
        };
        found.as_ref().map(read).transpose()
    }
}

async fn control(lease: &mut Lease, inner: &Inner, statement: &'static str) -> Result<(), StoreError> {
    inner.counters.round_trip(Purpose::Read);
    let done = sqlx::raw_sql(statement).execute(&mut lease.connection).await;
    done.map(|_| ()).map_err(|error| error::plain(&error))
}

async fn rows(lease: &mut Lease, inner: &Inner, statement: &'static str, run: RunId) -> Result<Vec<PgRow>, StoreError> {
    inner.counters.round_trip(Purpose::Read);
    let found = sqlx::query(statement).bind(run.0).fetch_all(&mut lease.connection).await;
    found.map_err(|error| error::plain(&error))
}

async fn detail(lease: &mut Lease, inner: &Inner, run: RunId) -> Result<Option<RunDetail>, StoreError> {
    let found = rows(lease, inner, sql::RUN, run).await?;
    let Some(found) = found.first() else { return Ok(None) };
    let task_runs = rows(
        lease,
        inner,
        "SELECT task_id, map_index, generation, dispatch_no, try_no, losses, state, cause, started_at, ended_at,
             expanded_n
         FROM task_run WHERE run_id = $1 AND state <> 'waiting' ORDER BY task_id, map_index",
        run,
    )
    .await?;
    let expanded = rows(
        lease,
        inner,
        "SELECT task_id, expanded_n FROM task_run WHERE run_id = $1 AND expanded_n IS NOT NULL ORDER BY task_id",
        run,
    )
    .await?;
    let work = rows(
        lease,
        inner,
        "SELECT run_id, task_id, map_index, dispatch_no, try_no, losses, generation, place, due_at, queue, rank,
             worker_no, attempt_id, claimed_at, cancel_at
         FROM work WHERE run_id = $1 ORDER BY task_id, map_index",
        run,
    )
    .await?;
    let attempts = rows(
        lease,
        inner,
        "SELECT task_id, map_index, dispatch_no, attempt_id, try_no, generation, worker_no, claimed_at, started_at,
             ended_at, outcome, cause, class, message, output
         FROM attempt WHERE run_id = $1 ORDER BY task_id, map_index, dispatch_no",
        run,
    )
    .await?;
    let items = rows(
        lease,
        inner,
        "SELECT task_id, map_index, dispatch_no, kind, name, state, seconds, value, message
         FROM task_item WHERE run_id = $1 ORDER BY task_id, map_index, dispatch_no, seq",
        run,
    )
    .await?;
    let metrics = rows(
        lease,
        inner,
        "SELECT task_id, name, value, unit, labels FROM run_metric WHERE run_id = $1
         ORDER BY task_id, name COLLATE \"C\", labels COLLATE \"C\"",
        run,
    )
    .await?;
    Ok(Some(RunDetail {
        run: view(found)?,
        task_runs: task_runs.iter().map(|one| row::task_run(run, one)).collect::<Result<_, _>>()?,
        expanded: expanded
            .iter()
            .map(|one| Ok((TaskId::from(row::get::<String>(one, 0)?), row::count(one, 1)?)))
            .collect::<Result<_, StoreError>>()?,
        work: work.iter().map(row::work).collect::<Result<_, _>>()?,
        attempts: attempts.iter().map(|one| attempt(run, one)).collect::<Result<_, _>>()?,
        items: items.iter().map(item).collect::<Result<_, _>>()?,
        metrics: metrics.iter().map(|one| metric(run, one)).collect::<Result<_, _>>()?,
    }))
}

fn attempt(run: RunId, found: &PgRow) -> Result<AttemptRow, StoreError> {
    Ok(AttemptRow {
        key: row::key(found, 0, 1)?,
        dispatch_no: row::count(found, 2)?,
        attempt_id: AttemptId(row::get(found, 3)?),
        try_no: row::count(found, 4)?,
        generation: row::count(found, 5)?,
        worker_no: row::get::<Option<i64>>(found, 6)?.map(WorkerNo),
        claimed_at: row::opt_at(found, 7)?,
        started_at: row::opt_at(found, 8)?,
        ended_at: row::at(found, 9)?,
        outcome: row::named(Outcome::parse, row::get(found, 10)?, ("attempt", "outcome"), run)?,
        cause: row::named(Cause::parse, row::get(found, 11)?, ("attempt", "cause"), run)?,
        class: row::get(found, 12)?,
        message: row::get(found, 13)?,
        output: row::get(found, 14)?,
    })
}

fn item(found: &PgRow) -> Result<(TaskKey, u32, TaskItem), StoreError> {
    let item = TaskItem {
        kind: row::get(found, 3)?,
        name: row::get(found, 4)?,
        state: row::get(found, 5)?,
        seconds: row::get(found, 6)?,
        value: row::get(found, 7)?,
        message: row::get(found, 8)?,
    };
    Ok((row::key(found, 0, 1)?, row::count(found, 2)?, item))
}

fn metric(run: RunId, found: &PgRow) -> Result<(TaskId, RunMetric), StoreError> {
    let metric = RunMetric {
        name: row::get(found, 1)?,
        value: row::get(found, 2)?,
        unit: row::get(found, 3)?,
        labels: row::json(row::get(found, 4)?, ("run_metric", "labels"), run)?,
    };
    Ok((TaskId::from(row::get::<&str>(found, 0)?), metric))
}

/// The first and the last id that begin with these digits; hyphens are for the eye.
fn bounds(prefix: &str) -> Option<(Uuid, Uuid)> {
    let digits: String = prefix.chars().filter(|letter| *letter != '-').collect();
    if !(PREFIX_DIGITS..=32).contains(&digits.len()) {
        return None;
    }
    let first = Uuid::parse_str(&format!("{digits:0<32}")).ok()?;
    let last = Uuid::parse_str(&format!("{digits:f<32}")).ok()?;
    Some((first, last))
}

#[cfg(test)]
mod tests {
    use super::bounds;

    #[test]
    fn a_prefix_is_a_range_of_ids() {
        for prefix in ["018f", "018F", "018f-"] {
            let (first, last) = bounds(prefix).unwrap();
            assert_eq!(first.to_string(), "018f0000-0000-0000-0000-000000000000");
            assert_eq!(last.to_string(), "018fffff-ffff-ffff-ffff-ffffffffffff");
        }
        for bad in ["018", "xyz!", "", "018%"] {
            assert!(bounds(bad).is_none(), "{bad}");
        }
    }
}
