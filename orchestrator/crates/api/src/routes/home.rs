//! The first page.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use updraft_model::time::Timestamp;
use updraft_store::history::HomeAsk;

use super::Answer;
use crate::dto::{FileDiagnostics, Home, HomeCounts, HomeWindow, Incident, IncidentKind, LateFire, Time};
use crate::read::home::{incident, other, waiting};
use crate::read::run::summary;
use crate::state::ApiState;
use crate::words::count;
use crate::{health, reasons, schedules, workflows};

/// What the counts look back on.
const WINDOW: Duration = Duration::from_hours(24);
/// Rows of each list.
const ROWS: u32 = 50;
/// Next fires.
const NEXT: u32 = 5;
/// Next fires of one workflow: what fires each minute does not hide the others.
const NEXT_OF_ONE: usize = 2;

/// What failed, what is late, what runs and what waits: all that the first page shows.
#[utoipa::path(get, path = "/home", tag = "home", responses((status = 200, body = Home)))]
pub(crate) async fn home(State(api): State<ApiState>) -> Answer<Json<Home>> {
    let now = api.now();
    let since = now - WINDOW;
    let ask = HomeAsk { since, until: now, limit: ROWS };
    let (found, late, next, broken_files, health) = futures::join!(
        api.history().home(&ask),
        schedules::late(&api, now),
        schedules::next(&api, None, NEXT, NEXT_OF_ONE),
        workflows::broken_files(&api),
        health::all(&api, now),
    );
    let (found, late, broken_files) = (found?, late?, broken_files?);
    let skipped = api.scheduling().skipped_fires(None, Some(since), 1_000).await?;
    let skipped_fires = skipped.iter().map(|one| one.skipped.count).sum();
    let mut incidents: Vec<Incident> = found.incidents.iter().map(incident).collect();
    incidents.extend(broken_files.iter().map(broken));
    incidents.extend(late.iter().map(|fire| overdue(fire, now)));
    incidents.extend(skipped.iter().map(left_out));
    incidents.sort_by_key(|one| std::cmp::Reverse(one.at));
    incidents.truncate(usize::try_from(ROWS).unwrap_or(usize::MAX));
    let reasons = reasons::of_waiting(&api, &found.waiting).await?;
    let mut waits: Vec<_> =
        found.waiting.iter().zip(reasons).map(|(line, reason)| waiting(line, reason, now)).collect();
    let held = reasons::held_back(&api, &found.running).await?;
    let held_back = held.len() as u64;
    waits.extend(held);
    waits.sort_by_key(|one| one.since);
    waits.truncate(usize::try_from(ROWS).unwrap_or(usize::MAX));
    let counts = found.counts;
    Ok(Json(Home {
        now: Time(now),
        window: HomeWindow {
            since: Time(since),
            until: Time(now),
            label: "runs that ended in the last 24 h".to_owned(),
        },
        counts: HomeCounts {
            failed: u64::from(counts.failed),
            late: late.len() as u64,
            running: u64::from(counts.running),
            queued: u64::from(counts.queued),
            waiting_tasks: u64::from(counts.waiting_tasks) + held_back,
            succeeded: u64::from(counts.succeeded),
            skipped_fires,
        },
        incidents,
        running: found.running.iter().map(|line| summary(line, now)).collect(),
        waiting: waits,
        next: next?,
        late,
        broken_files,
        health,
    }))
}

fn broken(file: &FileDiagnostics) -> Incident {
    let first = file.diagnostics.first();
    let said = first.map_or_else(|| "it cannot be run".to_owned(), |one| one.message.clone());
    let more = match file.diagnostics.len() {
        0 | 1 => String::new(),
        all => format!(" (and {} more)", all - 1),
    };
    let kept = file.kept_version.map(|version| format!("; version {version} goes on running")).unwrap_or_default();
    let cause = format!("{}: {said}{more}{kept}", file.path);
    let workflow = file.workflow.clone().unwrap_or_default();
    let mut made = other(IncidentKind::FileBroken, format!("file_broken:{}", file.path), workflow, file.since, cause);
    made.error_class = first.map(|one| one.code.clone());
    made.line = first.map(|one| format!("{}:{}: {}", one.line, one.column, one.message));
    made
}

fn overdue(fire: &LateFire, _: Timestamp) -> Incident {
    let id = format!("late:{}:{}", fire.workflow, fire.due);
    other(IncidentKind::Late, id, fire.workflow.clone(), fire.due, fire.reason.clone())
}

fn left_out(of: &updraft_store::scheduling::SkippedFire) -> Incident {
    let cause = format!("{} left out: {}", count(of.skipped.count, "fire"), schedules::reason(of.skipped.reason));
    let id = format!("fires_skipped:{}:{}", of.workflow, of.at);
    other(IncidentKind::FiresSkipped, id, of.workflow.clone(), Time(of.at), cause)
}
