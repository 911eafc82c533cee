//! Rows as records, and records as lists.

use std::collections::BTreeMap;

use serde::Serialize;
use sqlx::postgres::PgRow;
use updraft_model::id::{VersionId, WorkflowId};
use updraft_model::schedule::plan::{Load, Next, Progress, Skipped};
use updraft_model::time::Timestamp;
use updraft_store::scheduling::{
    Before, Due, DueSchedule, Paused, PublishedWorkflow, ScheduleRow, ScheduleState, ScheduleTotals, ScheduledVersion,
    SkippedFire, SourceFile, progress, reason,
};
use updraft_store::{Published, StoreError};

use crate::row::{at, big_count, count, get, opt_at};

pub(super) fn list<T: Serialize>(rows: &[T]) -> Result<String, StoreError> {
    serde_json::to_string(rows)
        .map_err(|error| StoreError::Rejected(format!("a row cannot be written as JSON: {error}")))
}

#[derive(Serialize)]
struct Publication<'a> {
    w: &'a str,
    h: &'a str,
    s: &'a str,
    p: &'a str,
    c: &'a str,
    i: &'a str,
    m: u32,
    b: bool,
}

pub(super) fn publications(versions: &[ScheduledVersion]) -> Result<String, StoreError> {
    let rows: Vec<Publication<'_>> = versions
        .iter()
        .map(|one| Publication {
            w: &one.version.workflow,
            h: &one.version.sha256,
            s: &one.version.source,
            p: &one.version.path,
            c: &one.version.compiled,
            i: &one.source,
            m: one.workflow.max_active_runs,
            b: one.workflow.paused,
        })
        .collect();
    list(&rows)
}

/// What is kept of a schedule.
#[derive(Serialize)]
pub(super) struct Kept {
    #[serde(rename = "w")]
    workflow: i64,
    #[serde(rename = "v")]
    version: Option<i64>,
    #[serde(rename = "p")]
    progress: Option<String>,
    #[serde(rename = "c")]
    cursor: Option<Timestamp>,
    #[serde(rename = "n")]
    next: Option<Timestamp>,
    #[serde(rename = "b")]
    below: Option<u32>,
    #[serde(rename = "e")]
    error: Option<String>,
}

impl Kept {
    pub(super) fn of(workflow: WorkflowId) -> Self {
        Self { workflow: workflow.0, version: None, progress: None, cursor: None, next: None, below: None, error: None }
    }

    pub(super) fn with(self, progress: &Progress, next: Next) -> Self {
        let text = serde_json::to_string(progress).expect("numbers and lists are always JSON");
        Self { progress: Some(text), cursor: Some(progress.cursor), next: next.at, below: next.below, ..self }
    }

    pub(super) fn of_version(self, version: VersionId) -> Self {
        Self { version: Some(version.0), ..self }
    }

    pub(super) fn failed(self, error: Option<String>) -> Self {
        Self { error, ..self }
    }
}

#[derive(Serialize)]
struct SkippedArg<'a> {
    w: i64,
    f: Timestamp,
    u: Timestamp,
    c: u64,
    r: &'a str,
}

pub(super) fn skipped_list(skipped: &[(WorkflowId, Skipped)]) -> Result<String, StoreError> {
    let rows: Vec<SkippedArg<'_>> = skipped
        .iter()
        .map(|(workflow, one)| SkippedArg {
            w: workflow.0,
            f: one.from,
            u: one.until,
            c: one.count,
            r: one.reason.name(),
        })
        .collect();
    list(&rows)
}

#[derive(Serialize)]
struct FileArg<'a> {
    p: &'a str,
    w: Option<&'a str>,
    h: &'a str,
    d: &'a str,
    b: bool,
    s: Timestamp,
}

pub(super) fn files(files: &[SourceFile]) -> Result<String, StoreError> {
    let rows: Vec<FileArg<'_>> = files
        .iter()
        .map(|file| FileArg {
            p: &file.path,
            w: file.workflow.as_deref(),
            h: &file.sha256,
            d: &file.diagnostics,
            b: file.broken,
            s: file.since,
        })
        .collect();
    list(&rows)
}

pub(super) fn published_workflow(row: &PgRow) -> Result<PublishedWorkflow, StoreError> {
    Ok(PublishedWorkflow {
        workflow: get(row, 0)?,
        workflow_id: WorkflowId(get(row, 1)?),
        version_id: VersionId(get(row, 2)?),
        sha256: get(row, 3)?,
        source: get(row, 4)?,
        retired: get(row, 5)?,
        paused: get(row, 6)?,
    })
}

/// A workflow before a publication.
pub(super) struct Known {
    pub(super) retired: bool,
    pub(super) schedule: Option<Before>,
}

pub(super) fn known(row: &PgRow) -> Result<(String, Known), StoreError> {
    let workflow = WorkflowId(get(row, 4)?);
    let schedule = match get::<Option<&str>>(row, 2)? {
        None => None,
        Some(text) => Some(Before {
            progress: progress(text, workflow)?,
            compiled: get::<Option<String>>(row, 3)?.unwrap_or_default(),
        }),
    };
    Ok((get(row, 0)?, Known { retired: get(row, 1)?, schedule }))
}

pub(super) fn current(row: &PgRow) -> Result<(String, (Published, bool)), StoreError> {
    let published = Published { workflow_id: WorkflowId(get(row, 1)?), version_id: VersionId(get(row, 2)?) };
    Ok((get(row, 0)?, (published, get(row, 3)?)))
}

pub(super) fn due(row: &PgRow) -> Result<Due, StoreError> {
    Ok(Due { workflow_id: WorkflowId(get(row, 0)?), version_id: VersionId(get(row, 1)?), due_at: at(row, 2)? })
}

pub(super) fn due_schedule(row: &PgRow) -> Result<DueSchedule, StoreError> {
    let workflow_id = WorkflowId(get(row, 0)?);
    Ok(DueSchedule {
        workflow_id,
        version_id: VersionId(get(row, 1)?),
        progress: progress(get(row, 2)?, workflow_id)?,
        load: Load::default(),
        max_active_runs: count(row, 3)?,
    })
}

/// One group of open runs.
pub(super) fn add_load(loads: &mut BTreeMap<WorkflowId, Load>, row: &PgRow) -> Result<(), StoreError> {
    let load = loads.entry(WorkflowId(get(row, 0)?)).or_default();
    let (state, by_schedule): (&str, bool) = (get(row, 1)?, get(row, 2)?);
    let count = u32::try_from(big_count(row, 3)?).unwrap_or(u32::MAX);
    if state == "queued" {
        load.queued = load.queued.saturating_add(count);
        load.queued_by_schedule = load.queued_by_schedule.saturating_add(if by_schedule { count } else { 0 });
    } else {
        load.running = load.running.saturating_add(count);
    }
    Ok(())
}

pub(super) fn schedule_row(row: &PgRow) -> Result<ScheduleRow, StoreError> {
    let workflow_id = WorkflowId(get(row, 1)?);
    let paused =
        if get(row, 2)? { Some(Paused { at: opt_at(row, 3)?, by: get(row, 4)?, reason: get(row, 5)? }) } else { None };
    let schedule = match get::<Option<i64>>(row, 8)? {
        None => None,
        Some(version) => Some(ScheduleState {
            version_id: VersionId(version),
            next_fire_at: opt_at(row, 9)?,
            below: get::<Option<i32>>(row, 10)?.and_then(|below| u32::try_from(below).ok()),
            progress: progress(get(row, 11)?, workflow_id)?,
            skipped: big_count(row, 12)?,
            error: get(row, 13)?,
        }),
    };
    Ok(ScheduleRow {
        workflow: get(row, 0)?,
        workflow_id,
        paused,
        retired_at: opt_at(row, 6)?,
        max_active_runs: count(row, 7)?,
        schedule,
    })
}

pub(super) fn totals(row: &PgRow) -> Result<ScheduleTotals, StoreError> {
    Ok(ScheduleTotals {
        active: big_count(row, 0)?,
        due: big_count(row, 1)?,
        next: opt_at(row, 2)?,
        skipped: big_count(row, 3)?,
        errors: big_count(row, 4)?,
    })
}

pub(super) fn skipped_fire(row: &PgRow) -> Result<SkippedFire, StoreError> {
    let skipped =
        Skipped { from: at(row, 1)?, until: at(row, 2)?, count: big_count(row, 3)?, reason: reason(get(row, 4)?)? };
    Ok(SkippedFire { workflow: get(row, 0)?, skipped, at: at(row, 5)? })
}

/// The columns of a file from column `first` on.
pub(super) fn source_file(row: &PgRow, first: usize) -> Result<SourceFile, StoreError> {
    Ok(SourceFile {
        path: get(row, first)?,
        workflow: get(row, first + 1)?,
        sha256: get(row, first + 2)?,
        diagnostics: get(row, first + 3)?,
        broken: get(row, first + 4)?,
        since: at(row, first + 5)?,
    })
}
