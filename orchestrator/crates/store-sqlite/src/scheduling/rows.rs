//! Rows as records.

use std::collections::BTreeMap;

use sqlx::Row;
use sqlx::sqlite::SqliteRow;
use updraft_model::id::{RunId, VersionId, WorkflowId};
use updraft_model::schedule::plan::{Load, Progress, Skipped};
use updraft_model::time::Timestamp;
use updraft_store::scheduling::{
    Before, Due, DueSchedule, Paused, PublishedWorkflow, ScheduleRow, ScheduleState, ScheduleTotals, SkippedFire,
    SourceFile, progress, reason,
};
use updraft_store::{Published, StoreError};

use crate::error;

pub(super) fn cell<'r, T>(row: &'r SqliteRow, at: usize) -> Result<T, StoreError>
where
    T: sqlx::Decode<'r, sqlx::Sqlite> + sqlx::Type<sqlx::Sqlite>,
{
    row.try_get(at).map_err(|error| error::plain(&error))
}

pub(super) fn number<T: TryFrom<i64>>(row: &SqliteRow, at: usize) -> Result<T, StoreError> {
    let number: i64 = cell(row, at)?;
    T::try_from(number).map_err(|_| StoreError::Other(format!("column {at} holds {number}, which is out of range")))
}

fn instant(row: &SqliteRow, at: usize) -> Result<Timestamp, StoreError> {
    cell(row, at).map(Timestamp::from_millis)
}

fn opt_instant(row: &SqliteRow, at: usize) -> Result<Option<Timestamp>, StoreError> {
    Ok(cell::<Option<i64>>(row, at)?.map(Timestamp::from_millis))
}

pub(super) fn run_id(row: &SqliteRow, at: usize) -> Result<RunId, StoreError> {
    let text: String = cell(row, at)?;
    text.parse().map_err(|_| StoreError::Other(format!("`{text}` is no id of a run")))
}

pub(super) fn progress_text(progress: &Progress) -> String {
    serde_json::to_string(progress).expect("numbers and lists are always JSON")
}

pub(super) fn version_list(versions: &[VersionId]) -> String {
    let rows: Vec<[i64; 1]> = versions.iter().map(|version| [version.0]).collect();
    serde_json::to_string(&rows).expect("numbers are always JSON")
}

pub(super) fn published_workflow(row: &SqliteRow) -> Result<PublishedWorkflow, StoreError> {
    Ok(PublishedWorkflow {
        workflow: cell(row, 0)?,
        workflow_id: WorkflowId(cell(row, 1)?),
        version_id: VersionId(cell(row, 2)?),
        sha256: cell(row, 3)?,
        source: cell(row, 4)?,
        retired: cell(row, 5)?,
        paused: cell(row, 6)?,
    })
}

/// A workflow before a publication.
pub(super) struct Known {
    pub(super) retired: bool,
    pub(super) schedule: Option<Before>,
}

pub(super) fn known(row: &SqliteRow) -> Result<(String, Known), StoreError> {
    let workflow = WorkflowId(cell(row, 4)?);
    let schedule = match cell::<Option<String>>(row, 2)? {
        None => None,
        Some(text) => Some(Before {
            progress: progress(&text, workflow)?,
            compiled: cell::<Option<String>>(row, 3)?.unwrap_or_default(),
        }),
    };
    Ok((cell(row, 0)?, Known { retired: cell(row, 1)?, schedule }))
}

pub(super) fn current(row: &SqliteRow) -> Result<(String, (Published, bool)), StoreError> {
    let published = Published { workflow_id: WorkflowId(cell(row, 1)?), version_id: VersionId(cell(row, 2)?) };
    Ok((cell(row, 0)?, (published, cell(row, 3)?)))
}

pub(super) fn due(row: &SqliteRow) -> Result<Due, StoreError> {
    Ok(Due { workflow_id: WorkflowId(cell(row, 0)?), version_id: VersionId(cell(row, 1)?), due_at: instant(row, 2)? })
}

pub(super) fn due_schedule(row: &SqliteRow) -> Result<DueSchedule, StoreError> {
    let workflow_id = WorkflowId(cell(row, 0)?);
    Ok(DueSchedule {
        workflow_id,
        version_id: VersionId(cell(row, 1)?),
        progress: progress(&cell::<String>(row, 2)?, workflow_id)?,
        load: Load::default(),
        max_active_runs: number(row, 3)?,
    })
}

/// One group of open runs.
pub(super) fn add_load(loads: &mut BTreeMap<WorkflowId, Load>, row: &SqliteRow) -> Result<(), StoreError> {
    let load = loads.entry(WorkflowId(cell(row, 0)?)).or_default();
    let (state, by_schedule, count): (String, bool, u32) = (cell(row, 1)?, cell(row, 2)?, number(row, 3)?);
    if state == "queued" {
        load.queued += count;
        load.queued_by_schedule += if by_schedule { count } else { 0 };
    } else {
        load.running += count;
    }
    Ok(())
}

pub(super) fn schedule_row(row: &SqliteRow) -> Result<ScheduleRow, StoreError> {
    let workflow_id = WorkflowId(cell(row, 1)?);
    let paused = if cell(row, 2)? {
        Some(Paused { at: opt_instant(row, 3)?, by: cell(row, 4)?, reason: cell(row, 5)? })
    } else {
        None
    };
    let schedule = match cell::<Option<i64>>(row, 8)? {
        None => None,
        Some(version) => Some(ScheduleState {
            version_id: VersionId(version),
            next_fire_at: opt_instant(row, 9)?,
            below: cell::<Option<i64>>(row, 10)?.and_then(|below| u32::try_from(below).ok()),
            progress: progress(&cell::<String>(row, 11)?, workflow_id)?,
            skipped: number(row, 12)?,
            error: cell(row, 13)?,
        }),
    };
    Ok(ScheduleRow {
        workflow: cell(row, 0)?,
        workflow_id,
        paused,
        retired_at: opt_instant(row, 6)?,
        max_active_runs: number(row, 7)?,
        schedule,
    })
}

pub(super) fn totals(row: &SqliteRow) -> Result<ScheduleTotals, StoreError> {
    Ok(ScheduleTotals {
        active: number(row, 0)?,
        due: number(row, 1)?,
        next: opt_instant(row, 2)?,
        skipped: number(row, 3)?,
        errors: number(row, 4)?,
    })
}

pub(super) fn skipped_fire(row: &SqliteRow) -> Result<SkippedFire, StoreError> {
    let skipped = Skipped {
        from: instant(row, 1)?,
        until: instant(row, 2)?,
        count: number(row, 3)?,
        reason: reason(&cell::<String>(row, 4)?)?,
    };
    Ok(SkippedFire { workflow: cell(row, 0)?, skipped, at: instant(row, 5)? })
}

/// The columns of a file from column `first` on.
pub(super) fn source_file(row: &SqliteRow, first: usize) -> Result<SourceFile, StoreError> {
    Ok(SourceFile {
        path: cell(row, first)?,
        workflow: cell(row, first + 1)?,
        sha256: cell(row, first + 2)?,
        diagnostics: cell(row, first + 3)?,
        broken: cell(row, first + 4)?,
        since: instant(row, first + 5)?,
    })
}
