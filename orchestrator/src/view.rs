//! A run as one document: what `run --json` and `runs show --json` print and what tables are made from.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;
use updraft_model::id::TaskKey;
use updraft_model::record::{AttemptRow, RunRow, TaskRunRow, WorkRow, shown_state};
use updraft_model::state::{Cause, Outcome, RunState, TaskRunState};
use updraft_model::time::{DataInterval, Timestamp};
use updraft_model::workflow::Workflow;
use updraft_store::read::RunDetail;

/// A run and its tasks, in file order.
#[derive(Debug, Serialize)]
pub struct RunDocument {
    /// The run.
    pub run: RunPart,
    /// Its tasks, never-started ones included.
    pub tasks: Vec<TaskPart>,
}

/// The run's part.
#[derive(Debug, Serialize)]
pub struct RunPart {
    /// Its id.
    pub id: String,
    /// Name of its workflow.
    pub workflow: String,
    /// Where it is.
    pub state: RunState,
    /// Why it ended.
    pub cause: Option<Cause>,
    /// Logical date, RFC 3339 UTC.
    pub logical_date: String,
    /// The data it is for.
    pub data_interval: IntervalPart,
    /// When it began.
    pub started_at: Option<String>,
    /// When it ended.
    pub ended_at: Option<String>,
}

/// A data interval, RFC 3339 UTC.
#[derive(Debug, Serialize)]
pub struct IntervalPart {
    /// First instant.
    pub start: String,
    /// First instant after.
    pub end: String,
}

/// A task's part.
#[derive(Debug, Serialize)]
pub struct TaskPart {
    /// The task.
    pub id: String,
    /// Its task type.
    #[serde(rename = "type")]
    pub task_type: String,
    /// Where it is.
    pub state: TaskRunState,
    /// Why it ended.
    pub cause: Option<Cause>,
    /// What its last attempt said; the reason of a skip with class `skipped`.
    pub error: Option<ErrorPart>,
    /// Attempts so far, one under way included.
    pub attempts: usize,
    /// From the start of the first attempt to the end of the last, waits between tries included.
    pub seconds: Option<f64>,
    /// Output of its last attempt.
    pub output: Option<Value>,
}

/// An error.
#[derive(Debug, Clone, Serialize)]
pub struct ErrorPart {
    /// Its class.
    pub class: String,
    /// What happened.
    pub message: String,
}

fn text(at: Option<Timestamp>) -> Option<String> {
    at.map(|at| at.to_string())
}

impl RunDocument {
    /// Puts a run together from its rows; `now` ends the seconds of what still runs.
    pub fn new(detail: &RunDetail, workflow: &Workflow, now: Timestamp) -> Self {
        let done: BTreeMap<&TaskKey, &TaskRunRow> = detail.task_runs.iter().map(|row| (&row.key, row)).collect();
        let work: BTreeMap<&TaskKey, &WorkRow> = detail.work.iter().map(|row| (&row.dispatch.key, row)).collect();
        let mut attempts: BTreeMap<&TaskKey, Vec<&AttemptRow>> = BTreeMap::new();
        for attempt in &detail.attempts {
            attempts.entry(&attempt.key).or_default().push(attempt);
        }
        let row = &detail.run.row;
        let chosen = |id: &str| detail.run.only.as_ref().is_none_or(|only| only.iter().any(|task| task.as_str() == id));
        let tasks = workflow
            .tasks
            .iter()
            .filter(|task| chosen(task.id.as_str()))
            .map(|task| {
                let key = TaskKey::of(task.id.clone());
                let own = attempts.get(&key).map_or(&[][..], Vec::as_slice);
                task_part(
                    &task.id.to_string(),
                    &task.task_type,
                    done.get(&key).copied(),
                    work.get(&key).copied(),
                    own,
                    now,
                )
            })
            .collect();
        Self { run: RunPart::new(&detail.run.workflow, row), tasks }
    }
}

impl RunPart {
    /// A run's part from its row.
    pub fn new(workflow: &str, row: &RunRow) -> Self {
        let DataInterval { start, end } = row.facts.interval;
        Self {
            id: row.facts.run_id.to_string(),
            workflow: workflow.to_owned(),
            state: row.projection.state,
            cause: row.projection.cause,
            logical_date: row.facts.logical_at.to_string(),
            data_interval: IntervalPart { start: start.to_string(), end: end.to_string() },
            started_at: text(row.projection.started_at),
            ended_at: text(row.projection.ended_at),
        }
    }
}

fn task_part(
    id: &str,
    task_type: &str,
    done: Option<&TaskRunRow>,
    work: Option<&WorkRow>,
    attempts: &[&AttemptRow],
    now: Timestamp,
) -> TaskPart {
    // A deferral's timer is told from a retry's by the attempt before it.
    let deferred = attempts.last().is_some_and(|attempt| attempt.outcome == Outcome::Deferred);
    let executing = work.is_some_and(|row| row.place == updraft_model::state::Place::Executing);
    let first = attempts.iter().find_map(|attempt| attempt.started_at.or(attempt.claimed_at));
    let first = first.or(work.and_then(|row| row.claimed_at));
    let end = if executing { Some(now) } else { attempts.last().map(|attempt| attempt.ended_at) };
    let last = attempts.last();
    let state = shown_state(done.map(|row| row.state), work.map(|row| (row.place, deferred)));
    // A task that was skipped with its upstreams has no attempt that could say so.
    let unstarted = || {
        let cause = done.filter(|_| state == TaskRunState::Skipped)?.cause;
        Some(ErrorPart { class: SKIPPED.to_owned(), message: cause.in_words().to_owned() })
    };
    TaskPart {
        id: id.to_owned(),
        task_type: task_type.to_owned(),
        state,
        cause: done.map(|row| row.cause),
        error: last.map_or_else(unstarted, |attempt| error_part(attempt)),
        attempts: attempts.len() + usize::from(executing),
        seconds: first.zip(end).map(|(start, end)| end.since(start).as_secs_f64()),
        output: last.and_then(|attempt| attempt.output.as_deref()).and_then(|text| serde_json::from_str(text).ok()),
    }
}

/// Class of every skip.
const SKIPPED: &str = "skipped";

fn error_part(attempt: &AttemptRow) -> Option<ErrorPart> {
    let class = match attempt.outcome {
        Outcome::Succeeded | Outcome::Deferred => return None,
        Outcome::Skipped => SKIPPED,
        Outcome::Failed | Outcome::TimedOut | Outcome::Lost | Outcome::Cancelled => {
            attempt.class.as_deref().unwrap_or(attempt.cause.name())
        }
    };
    let said = attempt.message.clone().filter(|message| !message.is_empty());
    Some(ErrorPart { class: class.to_owned(), message: said.unwrap_or_else(|| attempt.cause.in_words().to_owned()) })
}
