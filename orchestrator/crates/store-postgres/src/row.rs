//! Rows of the database as rows of the model, and back to what statements take. A value that the model forbids is an
//! error with table, column and key, never a panic.

use chrono::{DateTime, Utc};
use serde::Deserialize;
use sqlx::Row;
use sqlx::postgres::PgRow;
use updraft_model::id::{AttemptId, MapIndex, RunId, Stamp, TaskId, TaskKey, VersionId, WorkerNo, WorkflowId};
use updraft_model::record::{Dispatch, RunFacts, RunProjection, RunRow, TaskRunRow, WorkRow};
use updraft_model::state::{Cause, FinalState, Place, RunState, Trigger};
use updraft_model::time::{DataInterval, Timestamp};
use updraft_store::StoreError;
use uuid::Uuid;

use crate::error;

/// A column, by its place in the statement.
pub(crate) fn get<'r, T>(row: &'r PgRow, column: usize) -> Result<T, StoreError>
where
    T: sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
{
    row.try_get(column).map_err(|error| error::plain(&error))
}

pub(crate) fn at(row: &PgRow, column: usize) -> Result<Timestamp, StoreError> {
    Ok(Timestamp::from_datetime(get(row, column)?))
}

pub(crate) fn opt_at(row: &PgRow, column: usize) -> Result<Option<Timestamp>, StoreError> {
    Ok(get::<Option<DateTime<Utc>>>(row, column)?.map(Timestamp::from_datetime))
}

/// Counts are integers of 32 bits with a CHECK that they are not negative.
pub(crate) fn count(row: &PgRow, column: usize) -> Result<u32, StoreError> {
    let value: i32 = get(row, column)?;
    u32::try_from(value).map_err(|_| StoreError::Other(format!("column {column} holds {value}, which is no count")))
}

pub(crate) fn big_count(row: &PgRow, column: usize) -> Result<u64, StoreError> {
    let value: i64 = get(row, column)?;
    u64::try_from(value).map_err(|_| StoreError::Other(format!("column {column} holds {value}, which is no count")))
}

pub(crate) fn key(row: &PgRow, task: usize, map_index: usize) -> Result<TaskKey, StoreError> {
    Ok(TaskKey { task: TaskId::from(get::<&str>(row, task)?), map_index: MapIndex(get(row, map_index)?) })
}

/// Reads a closed list's name.
pub(crate) fn named<T>(
    parse: fn(&str) -> Option<T>,
    text: &str,
    (table, column): (&'static str, &'static str),
    id: impl ToString,
) -> Result<T, StoreError> {
    parse(text).ok_or_else(|| inconsistent(table, column, id, format!("`{text}` is not in the list of this build")))
}

pub(crate) fn inconsistent(
    table: &'static str,
    column: &'static str,
    id: impl ToString,
    detail: impl Into<String>,
) -> StoreError {
    StoreError::Inconsistent { table, column, id: id.to_string(), detail: detail.into() }
}

/// Reads JSON text of a column.
pub(crate) fn json<'t, T: Deserialize<'t>>(
    text: &'t str,
    (table, column): (&'static str, &'static str),
    id: impl ToString,
) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|error| inconsistent(table, column, id, error.to_string()))
}

/// The columns `run_id … cancel_at` of `work` in the table's order, from the first column on.
pub(crate) fn work(row: &PgRow) -> Result<WorkRow, StoreError> {
    let run_id = RunId(get(row, 0)?);
    Ok(WorkRow {
        run_id,
        dispatch: Dispatch {
            key: key(row, 1, 2)?,
            dispatch_no: count(row, 3)?,
            try_no: count(row, 4)?,
            losses: count(row, 5)?,
            generation: count(row, 6)?,
        },
        place: named(Place::parse, get(row, 7)?, ("work", "place"), run_id)?,
        due_at: opt_at(row, 8)?,
        queue: get(row, 9)?,
        rank: get(row, 10)?,
        worker_no: get::<Option<i64>>(row, 11)?.map(WorkerNo),
        attempt_id: get::<Option<Uuid>>(row, 12)?.map(AttemptId),
        claimed_at: opt_at(row, 13)?,
        cancel_at: opt_at(row, 14)?,
    })
}

/// The columns of `run` from column `first` on: `run_id … only_tasks`.
pub(crate) fn run(row: &PgRow, first: usize) -> Result<(RunRow, Option<Vec<TaskId>>), StoreError> {
    let run_id = RunId(get(row, first)?);
    let only = match get::<Option<&str>>(row, first + 19)? {
        Some(text) => Some(json(text, ("run", "only_tasks"), run_id)?),
        None => None,
    };
    let facts = RunFacts {
        run_id,
        workflow_id: WorkflowId(get(row, first + 1)?),
        version_id: VersionId(get(row, first + 2)?),
        run_key: get(row, first + 3)?,
        trigger: named(Trigger::parse, get(row, first + 4)?, ("run", "trigger"), run_id)?,
        logical_at: at(row, first + 5)?,
        interval: DataInterval { start: at(row, first + 6)?, end: at(row, first + 7)? },
        conf: get(row, first + 8)?,
        queue: get(row, first + 9)?,
        priority: get(row, first + 10)?,
        created_at: at(row, first + 11)?,
    };
    let projection = RunProjection {
        state: named(RunState::parse, get(row, first + 12)?, ("run", "state"), run_id)?,
        cause: match get::<Option<&str>>(row, first + 13)? {
            Some(text) => Some(named(Cause::parse, text, ("run", "cause"), run_id)?),
            None => None,
        },
        generation: count(row, first + 14)?,
        started_at: opt_at(row, first + 15)?,
        ended_at: opt_at(row, first + 16)?,
    };
    let row = RunRow { facts, projection, version: big_count(row, first + 17)?, stamp: Stamp(get(row, first + 18)?) };
    Ok((row, only))
}

/// A number from 0, if there is one.
pub(crate) fn opt_count(row: &PgRow, column: usize) -> Result<Option<u32>, StoreError> {
    match get::<Option<i32>>(row, column)? {
        None => Ok(None),
        Some(_) => count(row, column).map(Some),
    }
}

/// State of a `task_run` row that begins anew.
pub(crate) const WAITING: &str = "waiting";

/// The columns `task_id … ended_at` of `task_run` in the table's order, from the first column on.
pub(crate) fn task_run(run_id: RunId, row: &PgRow) -> Result<TaskRunRow, StoreError> {
    Ok(TaskRunRow {
        key: key(row, 0, 1)?,
        generation: count(row, 2)?,
        dispatch_no: count(row, 3)?,
        try_no: count(row, 4)?,
        losses: count(row, 5)?,
        state: named(FinalState::parse, get(row, 6)?, ("task_run", "state"), run_id)?,
        cause: named(Cause::parse, get(row, 7)?, ("task_run", "cause"), run_id)?,
        started_at: opt_at(row, 8)?,
        ended_at: at(row, 9)?,
        expanded_n: opt_count(row, 10)?,
    })
}
