//! Loading runs: nothing newer, the tail of the log, or everything, in one statement (`queries/load.sql`).

use sqlx::PgConnection;
use sqlx::postgres::PgRow;
use updraft_model::event::Event;
use updraft_model::id::{AttemptId, MapIndex, RunId, Stamp, TaskId, TaskKey, WorkerNo};
use updraft_model::record::{ClearedRow, Dispatch, TaskRunRow, WorkRow};
use updraft_model::state::{Cause, FinalState, Place};
use updraft_model::time::Timestamp;
use updraft_store::{Loaded, LoadedRun, LogEntry, StoreError};
use uuid::Uuid;

use crate::error;
use crate::row;
use crate::sql;

type LogTuple = (u64, Stamp, Timestamp, String, String);
type TaskRunTuple =
    (TaskId, MapIndex, u32, u32, u32, u32, String, Option<Cause>, Option<Timestamp>, Option<Timestamp>, Option<u32>);
type WorkTuple = (
    TaskId,
    MapIndex,
    u32,
    u32,
    u32,
    u32,
    Place,
    Option<Timestamp>,
    String,
    i64,
    Option<WorkerNo>,
    Option<AttemptId>,
    Option<Timestamp>,
    Option<Timestamp>,
);

/// The ids and known states as the statement takes them.
pub(crate) struct Question {
    runs: Vec<Uuid>,
    versions: Vec<Option<i64>>,
    stamps: Vec<Option<Uuid>>,
}

impl Question {
    pub(crate) fn new(runs: &[(RunId, Option<(u64, Stamp)>)]) -> Self {
        Self {
            runs: runs.iter().map(|(run, _)| run.0).collect(),
            versions: runs
                .iter()
                .map(|(_, known)| known.and_then(|(version, _)| i64::try_from(version).ok()))
                .collect(),
            stamps: runs.iter().map(|(_, known)| known.map(|(_, stamp)| stamp.0)).collect(),
        }
    }

    pub(crate) async fn ask(&self, connection: &mut PgConnection) -> Result<Vec<PgRow>, sqlx::Error> {
        sqlx::query(sql::LOAD)
            .bind(self.runs.as_slice())
            .bind(self.versions.as_slice())
            .bind(self.stamps.as_slice())
            .fetch_all(connection)
            .await
    }

    pub(crate) fn answers(&self, rows: &[PgRow]) -> Result<Vec<Loaded>, StoreError> {
        rows.iter().zip(&self.runs).map(|(row, run)| loaded(RunId(*run), row)).collect()
    }
}

/// Everything about one run, in the transaction that holds its lock.
pub(crate) async fn whole(connection: &mut PgConnection, run: RunId) -> Result<LoadedRun, StoreError> {
    let question = Question::new(&[(run, None)]);
    let rows = question.ask(connection).await.map_err(|error| error::plain(&error))?;
    match question.answers(&rows)?.pop() {
        Some(Loaded::Full(run)) => Ok(*run),
        Some(Loaded::Missing(_) | Loaded::Unchanged(_) | Loaded::Tail(_, _)) | None => Err(StoreError::NoRun(run)),
    }
}

fn loaded(run: RunId, row: &PgRow) -> Result<Loaded, StoreError> {
    match row::get(row, 0)? {
        "m" => Ok(Loaded::Missing(run)),
        "u" => Ok(Loaded::Unchanged(run)),
        "t" => Ok(Loaded::Tail(run, tail(run, row)?)),
        _ => Ok(Loaded::Full(Box::new(full(run, row)?))),
    }
}

fn tail(run: RunId, row: &PgRow) -> Result<Vec<LogEntry>, StoreError> {
    let text: &str = row::get::<Option<&str>>(row, 1)?.unwrap_or("[]");
    let entries: Vec<LogTuple> = row::json(text, ("run_log", "version"), run)?;
    entries
        .into_iter()
        .map(|(version, stamp, at, actor, body)| {
            let events: Vec<Event> = row::json(&body, ("run_log", "body"), format!("{run} version {version}"))?;
            Ok(LogEntry { version, stamp, at, actor, events })
        })
        .collect()
}

fn full(run_id: RunId, row: &PgRow) -> Result<LoadedRun, StoreError> {
    let done: &str = row::get::<Option<&str>>(row, 2)?.unwrap_or("[]");
    let done: Vec<TaskRunTuple> = row::json(done, ("task_run", "state"), run_id)?;
    let work: &str = row::get::<Option<&str>>(row, 3)?.unwrap_or("[]");
    let work: Vec<WorkTuple> = row::json(work, ("work", "place"), run_id)?;
    let (run, only) = row::run(row, 4)?;
    let events = row::big_count(row, 24)?;
    let (mut task_runs, mut cleared) = (Vec::new(), Vec::new());
    for row in done {
        let (task, map_index, generation, dispatch_no, try_no, losses, ..) = row;
        let (.., state, cause, started_at, ended_at, expanded_n) = row;
        let key = TaskKey { task, map_index };
        match (cause, ended_at) {
            (Some(cause), Some(ended_at)) => {
                let state = row::named(FinalState::parse, &state, ("task_run", "state"), run_id)?;
                task_runs.push(TaskRunRow {
                    key,
                    generation,
                    dispatch_no,
                    try_no,
                    losses,
                    state,
                    cause,
                    started_at,
                    ended_at,
                    expanded_n,
                });
            }
            (None, None) if state == row::WAITING => {
                cleared.push(ClearedRow { key, generation, dispatch_no, try_no, expanded_n });
            }
            (Some(_) | None, _) => {
                let detail = format!("`{key}` is {state} without an end or a cause");
                return Err(row::inconsistent("task_run", "state", run_id, detail));
            }
        }
    }
    let work = work
        .into_iter()
        .map(|row| {
            let (task, map_index, dispatch_no, try_no, losses, generation, place, due_at, queue, rank, ..) = row;
            let (.., worker_no, attempt_id, claimed_at, cancel_at) = row;
            let dispatch = Dispatch { key: TaskKey { task, map_index }, dispatch_no, try_no, losses, generation };
            WorkRow { run_id, dispatch, place, due_at, queue, rank, worker_no, attempt_id, claimed_at, cancel_at }
        })
        .collect();
    Ok(LoadedRun { row: run, only, events, task_runs, cleared, work })
}
