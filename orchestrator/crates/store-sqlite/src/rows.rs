//! Database rows into the model's. What the model forbids is `Inconsistent`, never a panic.

use sqlx::Row;
use sqlx::sqlite::SqliteRow;
use updraft_model::id::{AttemptId, MapIndex, RunId, Stamp, TaskId, TaskKey, VersionId, WorkerNo, WorkflowId};
use updraft_model::record::{
    AttemptRow, ClearedRow, Dispatch, RunFacts, RunMetric, RunProjection, RunRow, TaskItem, TaskRunRow, WorkRow,
};
use updraft_model::state::{Cause, FinalState, Outcome, Place, RunState, Trigger};
use updraft_model::time::{DataInterval, Timestamp};
use updraft_store::{LogEntry, Peer, StoreError, WorkerInfo, WorkerState};
use uuid::Uuid;

/// Columns of [`run`], in its order.
pub(crate) const RUN: &str = "r.run_id, r.workflow_id, r.version_id, r.run_key, r.trigger, r.logical_at, r.interval_start, \
r.interval_end, r.conf, r.queue, r.priority, r.created_at, r.state, r.cause, r.generation, r.started_at, r.ended_at, r.version, \
r.stamp, r.only_tasks, r.events";

/// A row of a known table under a known id, for messages.
pub(crate) struct Reading<'r> {
    row: &'r SqliteRow,
    table: &'static str,
    id: String,
}

impl<'r> Reading<'r> {
    pub(crate) fn new(row: &'r SqliteRow, table: &'static str) -> Self {
        let id = row.try_get::<String, _>(0).unwrap_or_default();
        Self { row, table, id }
    }

    /// The value of a column.
    pub(crate) fn get<T>(&self, column: &'static str) -> Result<T, StoreError>
    where
        T: sqlx::Decode<'r, sqlx::Sqlite> + sqlx::Type<sqlx::Sqlite>,
    {
        self.row.try_get(column).map_err(|error| self.bad(column, &error.to_string()))
    }

    pub(crate) fn bad(&self, column: &'static str, detail: &str) -> StoreError {
        StoreError::Inconsistent { table: self.table, column, id: self.id.clone(), detail: detail.to_owned() }
    }

    pub(crate) fn at(&self, column: &'static str) -> Result<Timestamp, StoreError> {
        self.get(column).map(Timestamp::from_millis)
    }

    pub(crate) fn opt_at(&self, column: &'static str) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.get::<Option<i64>>(column)?.map(Timestamp::from_millis))
    }

    fn uuid(&self, column: &'static str) -> Result<Uuid, StoreError> {
        let text: &str = self.get(column)?;
        Uuid::parse_str(text).map_err(|error| self.bad(column, &error.to_string()))
    }

    pub(crate) fn number<T: TryFrom<i64>>(&self, column: &'static str) -> Result<T, StoreError> {
        let number: i64 = self.get(column)?;
        T::try_from(number).map_err(|_| self.bad(column, &format!("{number} is out of range")))
    }

    pub(crate) fn name<T>(&self, column: &'static str, parse: impl Fn(&str) -> Option<T>) -> Result<T, StoreError> {
        let text: &str = self.get(column)?;
        parse(text).ok_or_else(|| self.bad(column, &format!("unknown value `{text}`")))
    }

    pub(crate) fn json<T: serde::de::DeserializeOwned>(&self, column: &'static str) -> Result<T, StoreError> {
        let text: &str = self.get(column)?;
        serde_json::from_str(text).map_err(|error| self.bad(column, &error.to_string()))
    }

    pub(crate) fn key(&self) -> Result<TaskKey, StoreError> {
        Ok(TaskKey { task: TaskId::from(self.get::<&str>("task_id")?), map_index: MapIndex(self.get("map_index")?) })
    }
}

pub(crate) fn uuid(text: &str, table: &'static str, column: &'static str) -> Result<Uuid, StoreError> {
    Uuid::parse_str(text).map_err(|error| StoreError::Inconsistent {
        table,
        column,
        id: text.to_owned(),
        detail: error.to_string(),
    })
}

/// A count as SQLite's integer.
pub(crate) fn to_i64(number: u64) -> Result<i64, StoreError> {
    i64::try_from(number).map_err(|_| StoreError::Rejected(format!("{number} is larger than a stored integer")))
}

/// A run's row with its chosen tasks and its number of events.
pub(crate) struct Run {
    pub(crate) row: RunRow,
    pub(crate) only: Option<Vec<TaskId>>,
    pub(crate) events: u64,
}

pub(crate) fn run(row: &SqliteRow) -> Result<Run, StoreError> {
    let r = Reading::new(row, "run");
    let cause = match r.get::<Option<&str>>("cause")? {
        None => None,
        Some(_) => Some(r.name("cause", Cause::parse)?),
    };
    let only = match r.get::<Option<&str>>("only_tasks")? {
        None => None,
        Some(_) => Some(r.json("only_tasks")?),
    };
    Ok(Run {
        row: RunRow {
            facts: RunFacts {
                run_id: RunId(r.uuid("run_id")?),
                workflow_id: WorkflowId(r.get("workflow_id")?),
                version_id: VersionId(r.get("version_id")?),
                run_key: r.get("run_key")?,
                trigger: r.name("trigger", Trigger::parse)?,
                logical_at: r.at("logical_at")?,
                interval: DataInterval { start: r.at("interval_start")?, end: r.at("interval_end")? },
                conf: r.get("conf")?,
                queue: r.get("queue")?,
                priority: r.number("priority")?,
                created_at: r.at("created_at")?,
            },
            projection: RunProjection {
                state: r.name("state", RunState::parse)?,
                cause,
                generation: r.number("generation")?,
                started_at: r.opt_at("started_at")?,
                ended_at: r.opt_at("ended_at")?,
            },
            version: r.number("version")?,
            stamp: Stamp(r.uuid("stamp")?),
        },
        only,
        events: r.number("events")?,
    })
}

/// State of a `task_run` row that begins anew.
pub(crate) const WAITING: &str = "waiting";

/// A row of `task_run`.
pub(crate) enum TaskRun {
    /// It is over.
    Over(TaskRunRow),
    /// It begins anew.
    Cleared(ClearedRow),
}

pub(crate) fn task_run(row: &SqliteRow) -> Result<TaskRun, StoreError> {
    let r = Reading::new(row, "task_run");
    let expanded_n = match r.get::<Option<i64>>("expanded_n")? {
        None => None,
        Some(_) => Some(r.number("expanded_n")?),
    };
    if r.get::<&str>("state")? == WAITING {
        return Ok(TaskRun::Cleared(ClearedRow {
            key: r.key()?,
            generation: r.number("generation")?,
            dispatch_no: r.number("dispatch_no")?,
            try_no: r.number("try_no")?,
            expanded_n,
        }));
    }
    Ok(TaskRun::Over(TaskRunRow {
        key: r.key()?,
        generation: r.number("generation")?,
        dispatch_no: r.number("dispatch_no")?,
        try_no: r.number("try_no")?,
        losses: r.number("losses")?,
        state: r.name("state", FinalState::parse)?,
        cause: r.name("cause", Cause::parse)?,
        started_at: r.opt_at("started_at")?,
        ended_at: r.at("ended_at")?,
        expanded_n,
    }))
}

pub(crate) fn work(row: &SqliteRow) -> Result<WorkRow, StoreError> {
    let r = Reading::new(row, "work");
    let attempt_id = match r.get::<Option<&str>>("attempt_id")? {
        None => None,
        Some(_) => Some(AttemptId(r.uuid("attempt_id")?)),
    };
    Ok(WorkRow {
        run_id: RunId(r.uuid("run_id")?),
        dispatch: Dispatch {
            key: r.key()?,
            dispatch_no: r.number("dispatch_no")?,
            try_no: r.number("try_no")?,
            losses: r.number("losses")?,
            generation: r.number("generation")?,
        },
        place: r.name("place", Place::parse)?,
        due_at: r.opt_at("due_at")?,
        queue: r.get("queue")?,
        rank: r.get("rank")?,
        worker_no: r.get::<Option<i64>>("worker_no")?.map(WorkerNo),
        attempt_id,
        claimed_at: r.opt_at("claimed_at")?,
        cancel_at: r.opt_at("cancel_at")?,
    })
}

pub(crate) fn attempt(row: &SqliteRow) -> Result<AttemptRow, StoreError> {
    let r = Reading::new(row, "attempt");
    Ok(AttemptRow {
        key: r.key()?,
        dispatch_no: r.number("dispatch_no")?,
        attempt_id: AttemptId(r.uuid("attempt_id")?),
        try_no: r.number("try_no")?,
        generation: r.number("generation")?,
        worker_no: r.get::<Option<i64>>("worker_no")?.map(WorkerNo),
        claimed_at: r.opt_at("claimed_at")?,
        started_at: r.opt_at("started_at")?,
        ended_at: r.at("ended_at")?,
        outcome: r.name("outcome", Outcome::parse)?,
        cause: r.name("cause", Cause::parse)?,
        class: r.get("class")?,
        message: r.get("message")?,
        output: r.get("output")?,
    })
}

pub(crate) fn item(row: &SqliteRow) -> Result<(TaskKey, u32, TaskItem), StoreError> {
    let r = Reading::new(row, "task_item");
    let item = TaskItem {
        kind: r.get("kind")?,
        name: r.get("name")?,
        state: r.get("state")?,
        seconds: r.get("seconds")?,
        value: r.get("value")?,
        message: r.get("message")?,
    };
    Ok((r.key()?, r.number("dispatch_no")?, item))
}

pub(crate) fn metric(row: &SqliteRow) -> Result<(TaskId, RunMetric), StoreError> {
    let r = Reading::new(row, "run_metric");
    let metric =
        RunMetric { name: r.get("name")?, value: r.get("value")?, unit: r.get("unit")?, labels: r.json("labels")? };
    Ok((TaskId::from(r.get::<&str>("task_id")?), metric))
}

pub(crate) fn log_entry(row: &SqliteRow) -> Result<LogEntry, StoreError> {
    let r = Reading::new(row, "run_log");
    Ok(LogEntry {
        version: r.number("version")?,
        stamp: Stamp(r.uuid("stamp")?),
        at: r.at("at")?,
        actor: r.get("actor")?,
        events: r.json("body")?,
    })
}

pub(crate) fn worker_state(state: WorkerState) -> &'static str {
    match state {
        WorkerState::Active => "active",
        WorkerState::Draining => "draining",
        WorkerState::Suspect => "suspect",
        WorkerState::Dead => "dead",
        WorkerState::Gone => "gone",
    }
}

pub(crate) fn peer(row: &SqliteRow) -> Result<Peer, StoreError> {
    let r = Reading::new(row, "worker");
    Ok(Peer {
        worker_no: WorkerNo(r.get("worker_no")?),
        info: WorkerInfo {
            name: r.get("name")?,
            host: r.get("host")?,
            pid: r.number("pid")?,
            build: r.get("build")?,
            queues: r.json("queues")?,
            slots: r.number("slots")?,
        },
        state: r.name("state", |text| match text {
            "active" => Some(WorkerState::Active),
            "draining" => Some(WorkerState::Draining),
            "suspect" => Some(WorkerState::Suspect),
            "dead" => Some(WorkerState::Dead),
            "gone" => Some(WorkerState::Gone),
            _ => None,
        })?,
        lease_until: r.at("lease_until")?,
        alive: None,
        busy: r.number("busy")?,
    })
}
