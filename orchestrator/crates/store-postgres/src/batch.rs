//! A batch as the commit's statement takes it: seven JSON lists and a handful of scalars, owning everything, so that it
//! outlives its caller. JSON and not arrays: a hop has one row in most lists, and each array parameter costs the server a
//! function scan of its own (measured for a hop: 0.11 ms against 0.16 ms, equal at a hundred rows).
//!
//! The one-letter names are the columns that `queries/commit.sql` reads.

use std::collections::{BTreeMap, HashSet};

use chrono::{DateTime, Utc};
use serde::Serialize;
use updraft_model::id::{AttemptId, MapIndex, RunId, Stamp, TaskId, WorkerNo};
use updraft_model::state::{Cause, Outcome, Place, RunState, Trigger};
use updraft_model::time::Timestamp;
use updraft_store::{Batch, Expected, Pick, RunCommit, StoreError, Wake, check};
use uuid::Uuid;

use crate::row::WAITING;

#[derive(Serialize)]
struct RunArg<'a> {
    r: RunId,
    #[serde(skip_serializing_if = "Option::is_none")]
    v: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    s: Option<Stamp>,
    z: Stamp,
    a: &'a str,
    b: String,
    n: usize,
    st: RunState,
    ca: Option<Cause>,
    g: u32,
    sa: Option<Timestamp>,
    ea: Option<Timestamp>,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    new: Option<NewRunArg<'a>>,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    reopened: Option<ReopenedArg<'a>>,
}

#[derive(Serialize)]
struct ReopenedArg<'a> {
    vi: i64,
    q: Option<&'a str>,
}

#[derive(Serialize)]
struct NewRunArg<'a> {
    w: i64,
    vi: i64,
    k: &'a str,
    tr: Trigger,
    la: Timestamp,
    ia: Timestamp,
    ib: Timestamp,
    cf: &'a str,
    q: &'a str,
    p: i32,
    o: Option<String>,
    cr: Timestamp,
}

#[derive(Serialize)]
struct EndedArg<'a> {
    r: RunId,
    t: &'a TaskId,
    i: MapIndex,
    d: u32,
    a: AttemptId,
    o: Outcome,
    c: Cause,
    k: Option<&'a str>,
    m: Option<&'a str>,
    s: Option<Timestamp>,
    y: Option<&'a str>,
}

#[derive(Serialize)]
struct KeyArg<'a> {
    r: RunId,
    t: &'a TaskId,
    i: MapIndex,
}

#[derive(Serialize)]
struct TaskRunArg<'a> {
    r: RunId,
    t: &'a TaskId,
    i: MapIndex,
    g: u32,
    d: u32,
    y: u32,
    l: u32,
    s: &'a str,
    c: Option<Cause>,
    b: Option<Timestamp>,
    e: Option<Timestamp>,
    n: Option<u32>,
}

#[derive(Serialize)]
struct WorkArg<'a> {
    r: RunId,
    t: &'a TaskId,
    i: MapIndex,
    d: u32,
    y: u32,
    l: u32,
    g: u32,
    p: Place,
    u: Option<Timestamp>,
    q: &'a str,
    k: i64,
    w: Option<WorkerNo>,
    a: Option<AttemptId>,
    c: Option<Timestamp>,
    x: Option<Timestamp>,
}

#[derive(Serialize)]
struct ItemArg<'a> {
    r: RunId,
    t: &'a TaskId,
    i: MapIndex,
    d: u32,
    n: usize,
    k: &'a str,
    m: &'a str,
    s: &'a str,
    e: Option<f64>,
    v: Option<f64>,
    x: Option<&'a str>,
}

#[derive(Serialize)]
struct MetricArg<'a> {
    r: RunId,
    t: &'a TaskId,
    n: &'a str,
    l: &'a str,
    v: f64,
    u: &'a str,
}

/// A batch as the statement takes it; owns everything, so that it outlives its caller.
pub(crate) struct Encoded {
    pub(crate) runs: String,
    pub(crate) ended: String,
    pub(crate) removed: String,
    pub(crate) task_runs: String,
    pub(crate) work: String,
    pub(crate) items: String,
    pub(crate) metrics: String,
    pub(crate) at: DateTime<Utc>,
    pub(crate) worker_no: i64,
    pub(crate) claims: bool,
    pub(crate) queue: String,
    pub(crate) attempts: Vec<Uuid>,
    /// Each run; with workflow and key if it is new.
    pub(crate) parts: Vec<(RunId, Option<(i64, String)>)>,
    hints: Vec<Wake>,
}

fn list<T: Serialize>(rows: &[T]) -> Result<String, StoreError> {
    serde_json::to_string(rows)
        .map_err(|error| StoreError::Rejected(format!("a row cannot be written as JSON: {error}")))
}

impl Encoded {
    /// A group commit.
    pub(crate) fn batch(batch: &Batch) -> Result<Self, StoreError> {
        check::batch(batch)?;
        let picks = batch.pick.as_ref().is_some_and(|pick| !pick.attempts.is_empty());
        let executes = |run: &RunCommit| run.work.iter().any(|row| row.place == Place::Executing);
        let claims = picks || batch.runs.iter().any(executes);
        Self::new(&batch.runs, batch.at, batch.worker_no.0, claims, batch.pick.as_ref())
    }

    /// What a lane decided for its one run.
    pub(crate) fn lane(commit: &RunCommit, at: Timestamp) -> Result<Self, StoreError> {
        check::run_commit(commit)?;
        Self::new(std::slice::from_ref(commit), at, 0, false, None)
    }

    /// Runs that are written under their workflow's lock; `worker` must be active.
    pub(crate) fn runs(commits: &[RunCommit], worker: Option<WorkerNo>, at: Timestamp) -> Result<Self, StoreError> {
        commits.iter().try_for_each(check::run_commit)?;
        Self::new(commits, at, worker.map_or(0, |worker| worker.0), worker.is_some(), None)
    }

    fn new(
        commits: &[RunCommit],
        at: Timestamp,
        worker_no: i64,
        claims: bool,
        pick: Option<&Pick>,
    ) -> Result<Self, StoreError> {
        let (mut runs, mut ended, mut removed) = (Vec::new(), Vec::new(), Vec::new());
        let (mut task_runs, mut work, mut items) = (Vec::new(), Vec::new(), Vec::new());
        // Recorded twice in one commit, the last one stands: the statement may meet each key once.
        let mut labels = Vec::new();
        for metric in commits.iter().flat_map(|commit| &commit.ended).flat_map(|ended| &ended.metrics) {
            labels.push(list_object(&metric.labels)?);
        }
        let mut labels = labels.iter();
        let mut metrics = BTreeMap::new();
        let mut hints = Vec::new();
        let mut queues = HashSet::new();
        for commit in commits {
            let r = commit.run_id;
            runs.push(run_arg(commit)?);
            for one in &commit.ended {
                let (t, i, d) = (&one.key.task, one.key.map_index, one.dispatch_no);
                ended.push(EndedArg {
                    r,
                    t,
                    i,
                    d,
                    a: one.attempt_id,
                    o: one.outcome,
                    c: one.cause,
                    k: one.class.as_deref(),
                    m: one.message.as_deref(),
                    s: one.started_at,
                    y: one.output.as_deref(),
                });
                for (n, item) in one.items.iter().enumerate() {
                    items.push(ItemArg {
                        r,
                        t,
                        i,
                        d,
                        n,
                        k: &item.kind,
                        m: &item.name,
                        s: &item.state,
                        e: item.seconds,
                        v: item.value,
                        x: item.message.as_deref(),
                    });
                }
                for (metric, l) in one.metrics.iter().zip(labels.by_ref()) {
                    let (n, v, u) = (metric.name.as_str(), metric.value, metric.unit.as_str());
                    metrics.insert((r, t, n, l), MetricArg { r, t, n, l, v, u });
                }
            }
            removed.extend(commit.removed.iter().map(|key| KeyArg { r, t: &key.task, i: key.map_index }));
            task_runs.extend(commit.task_runs.iter().map(|row| TaskRunArg {
                r,
                t: &row.key.task,
                i: row.key.map_index,
                g: row.generation,
                d: row.dispatch_no,
                y: row.try_no,
                l: row.losses,
                s: row.state.name(),
                c: Some(row.cause),
                b: row.started_at,
                e: Some(row.ended_at),
                n: row.expanded_n,
            }));
            task_runs.extend(commit.cleared.iter().map(|row| TaskRunArg {
                r,
                t: &row.key.task,
                i: row.key.map_index,
                g: row.generation,
                d: row.dispatch_no,
                y: row.try_no,
                l: 0,
                s: WAITING,
                c: None,
                b: None,
                e: None,
                n: row.expanded_n,
            }));
            for row in &commit.work {
                if row.place == Place::Ready && queues.insert(row.queue.as_str()) {
                    hints.push(Wake::Queue(row.queue.clone()));
                }
                work.push(WorkArg {
                    r,
                    t: &row.dispatch.key.task,
                    i: row.dispatch.key.map_index,
                    d: row.dispatch.dispatch_no,
                    y: row.dispatch.try_no,
                    l: row.dispatch.losses,
                    g: row.dispatch.generation,
                    p: row.place,
                    u: row.due_at,
                    q: &row.queue,
                    k: row.rank,
                    w: row.worker_no,
                    a: row.attempt_id,
                    c: row.claimed_at,
                    x: row.cancel_at,
                });
            }
            hints.push(Wake::Run(r));
        }
        Ok(Self {
            runs: list(&runs)?,
            ended: list(&ended)?,
            removed: list(&removed)?,
            task_runs: list(&task_runs)?,
            work: list(&work)?,
            items: list(&items)?,
            metrics: list(&metrics.into_values().collect::<Vec<_>>())?,
            at: at.to_datetime(),
            worker_no,
            claims,
            queue: pick.map(|pick| pick.queue.clone()).unwrap_or_default(),
            attempts: pick.map(|pick| pick.attempts.iter().map(|id| id.0).collect()).unwrap_or_default(),
            parts: commits.iter().map(|one| (one.run_id, new_key(one))).collect(),
            hints,
        })
    }

    /// Nothing to write but claims.
    pub(crate) fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// What others may want to know once this is committed.
    pub(crate) fn into_hints(self) -> Vec<Wake> {
        self.hints
    }
}

fn new_key(commit: &RunCommit) -> Option<(i64, String)> {
    match &commit.expected {
        Expected::New(facts) => Some((facts.workflow_id.0, facts.run_key.clone())),
        Expected::At { .. } => None,
    }
}

fn list_object(labels: &BTreeMap<String, String>) -> Result<String, StoreError> {
    serde_json::to_string(labels).map_err(|error| StoreError::Rejected(error.to_string()))
}

fn run_arg(commit: &RunCommit) -> Result<RunArg<'_>, StoreError> {
    let (v, s, new) = match &commit.expected {
        Expected::At { version, stamp } => (Some(*version), Some(*stamp), None),
        Expected::New(facts) => {
            let o = check::only_of(&commit.events).map(serde_json::to_string).transpose();
            let new = NewRunArg {
                w: facts.workflow_id.0,
                vi: facts.version_id.0,
                k: &facts.run_key,
                tr: facts.trigger,
                la: facts.logical_at,
                ia: facts.interval.start,
                ib: facts.interval.end,
                cf: &facts.conf,
                q: &facts.queue,
                p: facts.priority,
                o: o.map_err(|error| StoreError::Rejected(error.to_string()))?,
                cr: facts.created_at,
            };
            (None, None, Some(new))
        }
    };
    Ok(RunArg {
        r: commit.run_id,
        v,
        s,
        z: commit.stamp,
        a: &commit.actor,
        b: serde_json::to_string(&commit.events).map_err(|error| StoreError::Rejected(error.to_string()))?,
        n: commit.events.len(),
        st: commit.run.state,
        ca: commit.run.cause,
        g: commit.run.generation,
        sa: commit.run.started_at,
        ea: commit.run.ended_at,
        reopened: match &new {
            Some(_) => None,
            None => check::reopened_of(&commit.events).map(|(version, q)| ReopenedArg { vi: version.0, q }),
        },
        new,
    })
}
