//! What the store knows of schedules, in the contract's shapes.

use std::collections::BinaryHeap;

use updraft_model::schedule::plan::SkipReason;
use updraft_model::time::Timestamp;
use updraft_model::workflow::Workflow;
use updraft_store::scheduling::{ScheduleRow, SkippedFire};

use crate::dto::{LateFire, NextFire, SchedulePreview, SkippedFires, SkippedSpan, Time};
use crate::problem::Problem;
use crate::read::schedule::{Standing, next_fires, text};
use crate::state::ApiState;
use crate::words;
use crate::workflows::{Found, LATE};

/// Skipped stretches that are shown.
const RECENT: u32 = 20;
/// Schedules that are looked through for the next fires.
const LOOKED_THROUGH: u32 = 500;

/// How a workflow's schedule stands.
pub(crate) async fn standing(api: &ApiState, found: &Found) -> Result<Standing, Problem> {
    let row = api.scheduling().schedule(&found.line.name).await?;
    let Some(ScheduleRow { schedule: Some(state), .. }) = row else {
        return Ok(Standing { paused: found.line.paused, anchor: found.now, ..Standing::default() });
    };
    let recent = api.scheduling().skipped_fires(Some(&found.line.name), None, RECENT).await?;
    Ok(Standing {
        paused: found.line.paused,
        anchor: state.progress.anchor,
        cursor: Some(state.progress.cursor),
        skipped: SkippedFires { total: state.skipped, recent: recent.iter().map(span).collect() },
    })
}

fn span(of: &SkippedFire) -> SkippedSpan {
    SkippedSpan {
        from: Time(of.skipped.from),
        until: Time(of.skipped.until),
        count: of.skipped.count,
        reason: reason(of.skipped.reason).to_owned(),
        at: Time(of.at),
    }
}

/// Why fires did not become runs, in words.
pub(crate) const fn reason(of: SkipReason) -> &'static str {
    match of {
        SkipReason::Catchup => "missed while nothing ran, and `catchup` leaves them out",
        SkipReason::CatchupLimit => "missed while nothing ran, and more than `catchup` makes up for",
        SkipReason::Overlap => "runs were under way, and `overlap` leaves them out",
        SkipReason::Backlog => "too many runs waited already",
        SkipReason::Edited => "the schedule was edited before they could run",
    }
}

/// Folder that a workflow was published from.
pub(crate) async fn source(api: &ApiState, found: &Found) -> Result<Option<String>, Problem> {
    let published = api.scheduling().workflows().await?;
    let own = published.into_iter().find(|one| one.workflow_id == found.line.workflow_id);
    Ok(own.map(|one| one.source).filter(|source| !source.is_empty()))
}

/// The schedule of a workflow that no store knows yet, as `GET /workflows/{workflow}/schedule` answers it: what counts from its
/// first publication counts from `now`.
///
/// # Errors
/// An unknown zone, or a schedule that cannot be computed, in words.
pub fn schedule_preview(
    workflow: &Workflow,
    zone: Option<&str>,
    n: usize,
    now: Timestamp,
) -> Result<SchedulePreview, String> {
    let standing = Standing { paused: workflow.paused, anchor: now, ..Standing::default() };
    crate::read::schedule::schedule(workflow, standing, zone, n, now).map_err(|problem| problem.detail().to_owned())
}

/// The next fires of a workflow that is neither paused nor retired.
pub(crate) async fn planned(api: &ApiState, found: &Found, n: usize) -> Result<Vec<Timestamp>, Problem> {
    if found.line.paused || found.line.retired || found.written().schedule.is_none() {
        return Ok(Vec::new());
    }
    let standing = standing(api, found).await?;
    Ok(next_fires(found.written(), standing.anchor, found.now, n))
}

/// The next fires of all workflows, or of one, earliest first.
pub(crate) async fn next(
    api: &ApiState,
    workflow: Option<&str>,
    n: u32,
    of_one: usize,
) -> Result<Vec<NextFire>, Problem> {
    let rows = match workflow {
        Some(workflow) => {
            let row = api.scheduling().schedule(workflow).await?;
            vec![row.ok_or_else(|| Problem::not_found(format!("workflow `{workflow}`")))?]
        }
        None => api.scheduling().next_schedules(n.min(LOOKED_THROUGH)).await?,
    };
    let (now, n) = (api.now(), usize::try_from(n).unwrap_or(usize::MAX));
    // The latest of the earliest is on top, and makes room.
    let mut fires: BinaryHeap<(Timestamp, usize)> = BinaryHeap::new();
    let mut written = Vec::with_capacity(rows.len());
    for row in &rows {
        let live = row.paused.is_none() && row.retired_at.is_none();
        let Some(state) = row.schedule.as_ref().filter(|_| live) else { continue };
        let version = api.versions().get(state.version_id).await?;
        let said = text(&version.compiled.workflow).map(|said| said.text).unwrap_or_default();
        let at = written.len();
        written.push((row.workflow.clone(), said));
        for fire in next_fires(&version.compiled.workflow, state.progress.anchor, now, n.min(of_one)) {
            if fires.len() == n && fires.peek().is_some_and(|(latest, _)| *latest <= fire) {
                break;
            }
            fires.push((fire, at));
            if fires.len() > n {
                fires.pop();
            }
        }
    }
    Ok(fires.into_sorted_vec().into_iter().map(|(at, whose)| fire(&written[whose], at, now)).collect())
}

fn fire((workflow, schedule): &(String, String), at: Timestamp, now: Timestamp) -> NextFire {
    NextFire {
        workflow: workflow.clone(),
        at: Time(at),
        in_seconds: crate::read::seconds(now, at),
        schedule: schedule.clone(),
    }
}

/// Fires that are due and have no run.
pub(crate) async fn late(api: &ApiState, now: Timestamp) -> Result<Vec<LateFire>, Problem> {
    let rows = api.scheduling().next_schedules(LOOKED_THROUGH).await?;
    let mut late = Vec::new();
    for row in rows {
        let live = row.paused.is_none() && row.retired_at.is_none();
        let Some(state) = row.schedule.filter(|_| live) else { continue };
        let Some(due) = state.next_fire_at.filter(|due| now.since(*due) >= LATE) else { continue };
        let reason = match (&state.error, state.below) {
            (Some(error), _) => format!("its schedule cannot be computed: {error}"),
            (None, Some(below)) => format!("it waits until fewer than {} are open", words::count(below, "run")),
            (None, None) => "no process with the role `scheduler` has looked at it".to_owned(),
        };
        late.push(LateFire {
            workflow: row.workflow,
            due: Time(due),
            late_seconds: crate::read::seconds(due, now),
            reason,
        });
    }
    Ok(late)
}
