//! Runs as the engine loads them: nothing newer, the tail of the log, or everything; each in one snapshot.

use sqlx::sqlite::{SqliteArguments, SqliteConnection, SqliteRow};
use sqlx::{Arguments, Executor, Row};
use updraft_model::id::{RunId, Stamp};
use updraft_store::schema::TAIL_ROWS;
use updraft_store::{Loaded, LoadedRun, LogEntry, StoreError};

use crate::{error, rows};

/// The full projection. Three statements in one request; the rows are told apart by their number of columns.
pub(crate) const FULL: &str = concat!(
    "/* load full */ SELECT r.run_id, r.workflow_id, r.version_id, r.run_key, r.trigger, r.logical_at, r.interval_start, \
     r.interval_end, r.conf, r.queue, r.priority, r.created_at, r.state, r.cause, r.generation, r.started_at, r.ended_at, \
     r.version, r.stamp, r.only_tasks, r.events FROM run r WHERE r.run_id = $1; ",
    "SELECT task_id, map_index, generation, dispatch_no, try_no, losses, state, cause, started_at, ended_at, expanded_n \
     FROM task_run WHERE run_id = $1 ORDER BY task_id, map_index; ",
    "SELECT run_id, task_id, map_index, dispatch_no, try_no, losses, generation, place, due_at, queue, rank, worker_no, \
     attempt_id, claimed_at, cancel_at FROM work WHERE run_id = $1 ORDER BY task_id, map_index"
);
const TASK_RUN_COLUMNS: usize = 11;
const WORK_COLUMNS: usize = 15;

pub(crate) const TAIL: &str = "/* load tail */ SELECT version, stamp, at, actor, body FROM run_log \
WHERE run_id = $1 AND version >= $2 ORDER BY version LIMIT $3";

/// One bound argument list.
pub(crate) fn arguments(
    add: impl FnOnce(&mut SqliteArguments) -> Result<(), sqlx::error::BoxDynError>,
) -> Result<SqliteArguments, StoreError> {
    let mut arguments = SqliteArguments::default();
    add(&mut arguments).map_err(|error| StoreError::Other(format!("arguments could not be encoded: {error}")))?;
    Ok(arguments)
}

/// All rows of a script.
pub(crate) async fn fetch(
    connection: &mut SqliteConnection,
    sql: &'static str,
    arguments: SqliteArguments,
) -> Result<Vec<SqliteRow>, StoreError> {
    connection.fetch_all(sqlx::query_with(sql, arguments)).await.map_err(|error| error::plain(&error))
}

/// Begins a snapshot, which lasts until [`end`]. A failed read leaves it open: the connection must then be dropped.
pub(crate) async fn begin(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    connection.execute("BEGIN").await.map(drop).map_err(|error| error::plain(&error))
}

/// Ends a snapshot.
pub(crate) async fn end(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    connection.execute("COMMIT").await.map(drop).map_err(|error| error::plain(&error))
}

/// One run, for somebody who knows it at a version.
pub(crate) async fn load(
    connection: &mut SqliteConnection,
    run: RunId,
    known: Option<(u64, Stamp)>,
) -> Result<Loaded, StoreError> {
    if let Some((version, stamp)) = known
        && let Some(tail) = tail(connection, run, version, stamp).await?
    {
        return Ok(if tail.is_empty() { Loaded::Unchanged(run) } else { Loaded::Tail(run, tail) });
    }
    begin(connection).await?;
    let loaded = full(connection, run).await?;
    end(connection).await?;
    Ok(loaded.map_or(Loaded::Missing(run), |loaded| Loaded::Full(Box::new(loaded))))
}

/// The log after the known version, if the known state is part of this history and not too far behind.
async fn tail(
    connection: &mut SqliteConnection,
    run: RunId,
    version: u64,
    stamp: Stamp,
) -> Result<Option<Vec<LogEntry>>, StoreError> {
    let from = rows::to_i64(version)?;
    // The known row, the tail, and one more that says that the tail is too long.
    let limit = rows::to_i64(TAIL_ROWS + 2)?;
    let arguments = arguments(|a| {
        a.add(run.to_string())?;
        a.add(from)?;
        a.add(limit)
    })?;
    let found = fetch(connection, TAIL, arguments).await?;
    let Some((known, rest)) = found.split_first() else { return Ok(None) };
    let known = rows::log_entry(known)?;
    if known.version != version || known.stamp != stamp || rest.len() as u64 > TAIL_ROWS {
        return Ok(None);
    }
    rest.iter().map(rows::log_entry).collect::<Result<Vec<_>, _>>().map(Some)
}

/// The full projection, inside a transaction of the caller.
pub(crate) async fn full(connection: &mut SqliteConnection, run: RunId) -> Result<Option<LoadedRun>, StoreError> {
    let found = fetch(connection, FULL, arguments(|a| a.add(run.to_string()))?).await?;
    let mut loaded = None;
    for row in &found {
        match (row.len(), &mut loaded) {
            (TASK_RUN_COLUMNS, Some(LoadedRun { task_runs, cleared, .. })) => match rows::task_run(row)? {
                rows::TaskRun::Over(over) => task_runs.push(over),
                rows::TaskRun::Cleared(anew) => cleared.push(anew),
            },
            (WORK_COLUMNS, Some(LoadedRun { work, .. })) => work.push(rows::work(row)?),
            (_, None) if row.len() > WORK_COLUMNS => {
                let rows::Run { row, only, events } = rows::run(row)?;
                let (task_runs, cleared, work) = (Vec::new(), Vec::new(), Vec::new());
                loaded = Some(LoadedRun { row, only, events, task_runs, cleared, work });
            }
            (_, None | Some(_)) => {
                return Err(StoreError::Inconsistent {
                    table: "run",
                    column: "run_id",
                    id: run.to_string(),
                    detail: "task runs or work without a run".to_owned(),
                });
            }
        }
    }
    Ok(loaded)
}
