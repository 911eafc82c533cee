//! Lines of lists.

use std::collections::{BTreeSet, HashMap, HashSet};

use updraft_model::id::{MapIndex, TaskId, TaskKey, VersionId, WorkflowId};
use updraft_model::state::{Cause, RunState, Trigger};
use updraft_model::time::{DataInterval, Timestamp};

use super::{bad, fields, first_line, number, spread};
use crate::StoreError;
use crate::history::ask::{Page, RunCursor, RunSort, RunsAsk, WorkflowSort, WorkflowState, WorkflowsAsk};
use crate::history::line::{Attention, Failure, RunBar, RunLine, WorkflowLine, WorkflowsPage};
use crate::history::plan::Column;
use crate::history::tuple::Tuple;
use crate::history::{Note, VersionLine, VersionSource};

/// What a statement says of a run's first failure: task, map index, cause, its `dispatch_no`, class, message, number of the
/// attempt, attempts.
type FailureJson = (String, i32, String, u32, Option<String>, Option<String>, u32, u32);

fn failure(json: FailureJson) -> Result<Failure, StoreError> {
    let (task, index, cause, _, class, message, attempt, attempts) = json;
    Ok(Failure {
        key: TaskKey { task: TaskId::from(task), map_index: MapIndex(index) },
        attempt,
        attempts,
        cause: Cause::parse(&cause).ok_or_else(|| bad("cause", &cause))?,
        class,
        line: message.as_deref().and_then(first_line).map(str::to_owned),
    })
}

/// Runs: `run_id, workflow_id, name, version_id, number, run_key, state, cause, trigger, logical_at, interval_start,
/// interval_end, created_at, started_at, ended_at, generation, version, queue, priority, by, note, tasks, done, extra, failed,
/// failure`.
pub fn run_lines(rows: &[Tuple]) -> Result<Vec<RunLine>, StoreError> {
    rows.iter().map(run_line).collect()
}

fn run_line(row: &Tuple) -> Result<RunLine, StoreError> {
    let tasks_total = row.count(21, "tasks")?;
    let ended_at = row.opt_at(14, "ended_at")?;
    Ok(RunLine {
        run_id: row.run(0, "run_id")?,
        workflow_id: WorkflowId(row.int(1, "workflow_id")?),
        workflow: row.opt_string(2, "workflow")?.unwrap_or_default(),
        version_id: VersionId(row.int(3, "version_id")?),
        version_no: row.count(4, "number")?,
        run_key: row.text(5, "run_key")?.to_owned(),
        state: row.named(6, "state", RunState::parse)?,
        cause: row.opt_named(7, "cause", Cause::parse)?,
        trigger: row.named(8, "trigger", Trigger::parse)?,
        logical_at: row.at(9, "logical_at")?,
        interval: DataInterval { start: row.at(10, "interval_start")?, end: row.at(11, "interval_end")? },
        created_at: row.at(12, "created_at")?,
        started_at: row.opt_at(13, "started_at")?,
        ended_at,
        generation: row.count(15, "generation")?,
        version: u64::try_from(row.int(16, "version")?).unwrap_or(0),
        queue: row.text(17, "queue")?.to_owned(),
        priority: i32::try_from(row.int(18, "priority")?).unwrap_or(0),
        by: row.opt_string(19, "by")?.unwrap_or_default(),
        note: row.opt_string(20, "note")?,
        tasks_total,
        // A run that is over has no open task.
        tasks_done: if ended_at.is_some() { tasks_total } else { row.count(22, "done")? },
        attempts_extra: row.count(23, "extra")?,
        failed_tasks: row.count(24, "failed")?,
        failure: row.opt_json::<FailureJson>(25, "failure")?.map(failure).transpose()?,
        usual_ms: None,
    })
}

fn sort_value(line: &RunLine, sort: RunSort) -> Timestamp {
    match sort.column() {
        Column::Created => line.created_at,
        Column::Logical => line.logical_at,
        Column::Ended => line.ended_at.unwrap_or(line.created_at),
    }
}

/// Puts the parts of a list together: sorted, each run once, cut at the limit.
pub fn page_of_runs(ask: &RunsAsk, mut lines: Vec<RunLine>) -> Page<RunLine, RunCursor> {
    lines.sort_by_key(|line| (sort_value(line, ask.sort), line.run_id));
    if ask.sort.is_descending() {
        lines.reverse();
    }
    let mut seen = HashSet::with_capacity(lines.len());
    lines.retain(|line| seen.insert(line.run_id));
    let limit = ask.limit.max(1) as usize;
    let more = lines.len() > limit;
    lines.truncate(limit);
    let next = if more {
        lines.last().map(|line| RunCursor { at: sort_value(line, ask.sort), run: line.run_id })
    } else {
        None
    };
    Page { items: lines, next }
}

/// Durations of the last succeeded runs of workflows: `workflow_id, durations`, the latter numbers with spaces between.
pub fn usual_of(rows: &[Tuple]) -> Result<HashMap<i64, i64>, StoreError> {
    let mut usual = HashMap::with_capacity(rows.len());
    for row in rows {
        let text = row.opt_text(1, "durations")?.unwrap_or_default();
        let durations: Vec<i64> = text.split(' ').filter_map(|one| one.parse().ok()).collect();
        if let Some(spread) = spread(durations) {
            usual.insert(row.int(0, "workflow_id")?, spread.median);
        }
    }
    Ok(usual)
}

/// Workflows without their bars: `workflow_id, name, version_id, number, tasks, sha256, path, description, owner, tags,
/// versions, last_over (a state), open (states with commas), last_created, paused, retired, next_fire`.
pub fn workflow_rows(rows: &[Tuple], now: Timestamp) -> Result<Vec<(WorkflowLine, Option<Timestamp>)>, StoreError> {
    rows.iter().map(|row| workflow_row(row, now)).collect()
}

fn workflow_row(row: &Tuple, now: Timestamp) -> Result<(WorkflowLine, Option<Timestamp>), StoreError> {
    let open: Vec<&str> =
        row.opt_text(12, "open")?.unwrap_or_default().split(',').filter(|state| !state.is_empty()).collect();
    let over = row.opt_named(11, "last_over", RunState::parse)?;
    let (paused, retired) = (row.flag(14, "paused")?, row.flag(15, "retired")?);
    let next_fire = row.opt_at(16, "next_fire")?;
    let broken = open.contains(&RunState::Broken.name());
    let late = !paused && !retired && next_fire.is_some_and(|next| is_late(next, now));
    let attention = if retired {
        Attention::None
    } else if broken || over == Some(RunState::Failed) {
        Attention::Failing
    } else if late {
        Attention::Late
    } else if !open.is_empty() {
        Attention::Running
    } else if paused {
        Attention::Paused
    } else if over.is_some() {
        Attention::Ok
    } else {
        Attention::None
    };
    let line = WorkflowLine {
        workflow_id: WorkflowId(row.int(0, "workflow_id")?),
        name: row.text(1, "name")?.to_owned(),
        version_id: VersionId(row.opt_int(2, "version_id")?.unwrap_or(0)),
        version_no: row.count(3, "number")?,
        tasks: row.count(4, "tasks")?,
        sha256: row.opt_string(5, "sha256")?.unwrap_or_default(),
        path: row.opt_string(6, "path")?.unwrap_or_default(),
        description: row.opt_string(7, "description")?,
        owner: row.opt_string(8, "owner")?,
        tags: row.opt_json(9, "tags")?.unwrap_or_default(),
        versions: row.count(10, "versions")?,
        paused,
        retired,
        next_fire,
        attention,
        open_runs: u32::try_from(open.len()).unwrap_or(u32::MAX),
        last_run: None,
        bars: Vec::new(),
        usual: None,
    };
    Ok((line, row.opt_at(13, "last_created")?))
}

/// A fire that is this much overdue is late.
const LATE_AFTER_MS: i64 = 60_000;

fn is_late(next: Timestamp, now: Timestamp) -> bool {
    next.as_millis() + LATE_AFTER_MS < now.as_millis()
}

/// Chooses, sorts and cuts a page of workflows.
pub fn workflow_page(ask: &WorkflowsAsk, rows: Vec<(WorkflowLine, Option<Timestamp>)>) -> WorkflowsPage {
    let tags: BTreeSet<String> = rows.iter().flat_map(|(line, _)| line.tags.iter().cloned()).collect();
    let search = ask.search.as_deref().map(str::to_lowercase);
    let mut rows: Vec<(WorkflowLine, Option<Timestamp>)> =
        rows.into_iter().filter(|(line, _)| fits(ask, search.as_deref(), line)).collect();
    rows.sort_by(|(a, last_a), (b, last_b)| {
        let order = match ask.sort {
            WorkflowSort::Attention => a.attention.cmp(&b.attention),
            WorkflowSort::Name => std::cmp::Ordering::Equal,
            WorkflowSort::LastRun => last_a.cmp(last_b),
            // Those that fire stand before those that do not.
            WorkflowSort::NextFire => (a.next_fire.is_none(), a.next_fire).cmp(&(b.next_fire.is_none(), b.next_fire)),
        };
        let order = order.then_with(|| a.name.cmp(&b.name));
        if ask.descending { order.reverse() } else { order }
    });
    let mut items: Vec<WorkflowLine> = rows.into_iter().map(|(line, _)| line).collect();
    if let Some(after) = &ask.after
        && let Some(at) = items.iter().position(|line| line.name == *after)
    {
        items.drain(..=at);
    }
    let limit = ask.limit.max(1) as usize;
    let more = items.len() > limit;
    items.truncate(limit);
    let next = if more { items.last().map(|line| line.name.clone()) } else { None };
    WorkflowsPage { items, next, tags: tags.into_iter().collect() }
}

fn fits(ask: &WorkflowsAsk, search: Option<&str>, line: &WorkflowLine) -> bool {
    let says = |text: &str| search.is_none_or(|search| text.to_lowercase().contains(search));
    let found = says(&line.name)
        || line.description.as_deref().is_some_and(says)
        || line.owner.as_deref().is_some_and(says)
        || line.tags.iter().any(|tag| says(tag));
    let state = match ask.state {
        None => !line.retired,
        Some(WorkflowState::Active) => !line.paused && !line.retired,
        Some(WorkflowState::Paused) => line.paused && !line.retired,
        Some(WorkflowState::Retired) => line.retired,
        Some(WorkflowState::Failing) => line.attention == Attention::Failing,
        Some(WorkflowState::Late) => line.attention == Attention::Late,
        Some(WorkflowState::Running) => line.open_runs > 0 && !line.retired,
    };
    found
        && state
        && ask.tag.as_ref().is_none_or(|tag| line.tags.contains(tag))
        && ask.owner.as_ref().is_none_or(|owner| line.owner.as_ref() == Some(owner))
}

/// The bars of one workflow.
pub type BarRow = (i64, Vec<RunBar>);

/// Bars of workflows: `workflow_id, bars`: a line a run, newest first: run, state, trigger, logical, created, started, ended,
/// failed (0 = none), extra attempts; tabs between.
pub fn bars(rows: &[Tuple]) -> Result<Vec<BarRow>, StoreError> {
    let mut all = Vec::with_capacity(rows.len());
    for row in rows {
        let text = row.opt_text(1, "bars")?.unwrap_or_default();
        let mut bars: Vec<RunBar> = text.lines().map(bar).collect::<Result<_, _>>()?;
        bars.sort_by_key(|bar| (bar.created_at, bar.run_id));
        all.push((row.int(0, "workflow_id")?, bars));
    }
    Ok(all)
}

fn bar(line: &str) -> Result<RunBar, StoreError> {
    let mut part = fields(line);
    let unreadable = || bad("bars", line);
    let at = |text| number(text).map(Timestamp::from_millis);
    let run_id = part.next().and_then(|id| id.parse().ok()).ok_or_else(unreadable)?;
    let state = part.next().and_then(RunState::parse).ok_or_else(unreadable)?;
    Ok(RunBar {
        run_id,
        state,
        trigger: part.next().and_then(Trigger::parse).ok_or_else(unreadable)?,
        logical_at: at(part.next()).ok_or_else(unreadable)?,
        created_at: at(part.next()).ok_or_else(unreadable)?,
        started_at: at(part.next()),
        ended_at: at(part.next()),
        masked: number(part.next()).unwrap_or(0) != 0 && state == RunState::Succeeded,
        attempts_extra: number(part.next()).and_then(|extra| u32::try_from(extra).ok()).unwrap_or(0),
    })
}

/// Versions: `version_id, number, sha256, path, created_at, current, runs`.
pub fn version_lines(rows: &[Tuple], limit: u32) -> Result<Page<VersionLine, u32>, StoreError> {
    let mut items: Vec<VersionLine> = rows.iter().map(version_line).collect::<Result<_, _>>()?;
    let more = items.len() > limit as usize;
    items.truncate(limit as usize);
    let next = if more { items.last().map(|line| line.number) } else { None };
    Ok(Page { items, next })
}

fn version_line(row: &Tuple) -> Result<VersionLine, StoreError> {
    Ok(VersionLine {
        version_id: row.int(0, "version_id")?,
        number: row.count(1, "number")?,
        sha256: row.text(2, "sha256")?.to_owned(),
        path: row.text(3, "path")?.to_owned(),
        created_at: row.at(4, "created_at")?,
        current: row.flag(5, "current")?,
        runs: row.count(6, "runs")?,
    })
}

/// One version: the columns of [`version_lines`], then `workflow, source, compiled`.
pub fn version_source(rows: &[Tuple]) -> Result<Option<VersionSource>, StoreError> {
    let Some(row) = rows.first() else { return Ok(None) };
    Ok(Some(VersionSource {
        line: version_line(row)?,
        workflow: row.text(7, "workflow")?.to_owned(),
        source: row.text(8, "source")?.to_owned(),
        compiled: row.text(9, "compiled")?.to_owned(),
    }))
}

/// A note: `note, by, at`.
pub fn note(rows: &[Tuple]) -> Result<Option<Note>, StoreError> {
    let Some(row) = rows.first() else { return Ok(None) };
    Ok(Some(Note { text: row.text(0, "note")?.to_owned(), by: row.text(1, "by")?.to_owned(), at: row.at(2, "at")? }))
}
