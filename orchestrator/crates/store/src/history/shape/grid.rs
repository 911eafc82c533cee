//! Runs × tasks.

use std::collections::HashMap;
use std::sync::Arc;

use updraft_model::id::VersionId;
use updraft_model::record::shown_state;
use updraft_model::state::{FinalState, Place, RunState, TaskRunState, Trigger};

use super::{bad, fields, first_line, number, spread};
use crate::StoreError;
use crate::history::cell::{NONE, letter};
use crate::history::facts::{FactsOf, VersionFacts};
use crate::history::tuple::Tuple;
use crate::history::{CellExtra, Grid, GridRun, GridRunLine, GridTask, Instances};

/// Columns of a grid's run, in order. `done`: a line a task run that is over, its name alone if it succeeded at once, else
/// `task, map_index, state, dispatch_no, run_ms, expanded_n`; a mapped task is there from its expansion on. `work`: `task, map_index, place, dispatch_no, deferred`. `waits`:
/// `task, map_index, wait_ms`. Tabs between. `errors`: JSON `[[task, map_index, class, message, cause], …]`.
pub const COLUMNS: &str = "run_id, version_id, number, state, trigger, logical_at, created_at, started_at, ended_at, \
generation, only_tasks, done, work, waits, errors";

/// The versions that a grid's rows are pinned to.
pub fn facts_needed(rows: &[Tuple]) -> Result<Vec<VersionId>, StoreError> {
    let mut versions = rows.iter().map(|row| row.int(1, "version_id").map(VersionId)).collect::<Result<Vec<_>, _>>()?;
    versions.sort_unstable();
    versions.dedup();
    Ok(versions)
}

/// Builds a grid of these rows (newest first, one more than `limit` if there are older ones), with what is known of their
/// versions and the workflow's newest one.
pub fn grid(rows: &[Tuple], limit: u32, newest: VersionId, facts: &FactsOf) -> Result<Grid, StoreError> {
    let none = Arc::new(VersionFacts::default());
    let newest_facts = facts.get(&newest).unwrap_or(&none);
    let mut tasks: Vec<GridTask> = newest_facts.tasks.iter().map(|task| row_of(task, false)).collect();
    let mut position: HashMap<&str, usize> =
        newest_facts.tasks.iter().enumerate().map(|(at, task)| (task.id.as_str(), at)).collect();
    let shown = &rows[..rows.len().min(limit as usize)];
    for version in facts_needed(shown)?.iter().rev() {
        for task in &facts.get(version).unwrap_or(&none).tasks {
            if !position.contains_key(task.id.as_str()) {
                position.insert(&task.id, tasks.len());
                tasks.push(row_of(task, true));
            }
        }
    }
    let mut runs = Vec::with_capacity(shown.len());
    for row in shown {
        let version = VersionId(row.int(1, "version_id")?);
        runs.push(column(row, &tasks, &position, facts.get(&version).unwrap_or(&none))?);
    }
    for at in 0..runs.len() {
        // The row after it is the run before it.
        let older = runs.get(at + 1).map(|run: &GridRun| run.line.version_no);
        runs[at].line.version_changed = older.is_some_and(|older| older != runs[at].line.version_no);
    }
    runs.reverse();
    let durations = runs
        .iter()
        .filter(|run| run.line.state == RunState::Succeeded)
        .filter_map(|run| Some(run.line.ended_at?.as_millis() - run.line.started_at?.as_millis()))
        .collect();
    Ok(Grid {
        tasks,
        runs,
        more: rows.len() > limit as usize,
        median_ms: spread(durations).map(|spread| spread.median),
    })
}

fn row_of(task: &crate::history::facts::TaskFacts, removed: bool) -> GridTask {
    GridTask { id: task.id.clone(), task_type: task.task_type.clone(), depth: task.depth, removed }
}

/// What is known of one cell while its rows are read.
#[derive(Default, Clone)]
struct Cell {
    done: Option<FinalState>,
    work: Option<(Place, bool)>,
    instances: Instances,
    extra: Option<Box<CellExtra>>,
    dispatch_no: u32,
    run_ms: Option<i64>,
    /// Of the instances: how the cell looks if the task itself has no row.
    unfinished: bool,
    /// How many instances there are, begun or not.
    expanded: Option<u32>,
    /// Instances that have rows.
    begun: u32,
}

impl Cell {
    fn extra(&mut self) -> &mut CellExtra {
        self.extra.get_or_insert_default()
    }

    fn count_instance(&mut self) {
        self.begun += 1;
        self.instances.total = self.begun.max(self.expanded.unwrap_or(0));
    }
}

fn column(
    row: &Tuple,
    tasks: &[GridTask],
    position: &HashMap<&str, usize>,
    facts: &VersionFacts,
) -> Result<GridRun, StoreError> {
    let mut cells = vec![Cell::default(); tasks.len()];
    done_rows(row.opt_text(11, "done")?.unwrap_or_default(), &mut cells, position)?;
    work_rows(row.opt_text(12, "work")?.unwrap_or_default(), &mut cells, position)?;
    for line in row.opt_text(13, "waits")?.unwrap_or_default().lines() {
        let mut part = fields(line);
        let Some(&at) = part.next().and_then(|task| position.get(task)) else { continue };
        let wait = number(part.nth(1)).ok_or_else(|| bad("waits", line))?;
        let extra = cells[at].extra();
        extra.wait_ms = extra.wait_ms.max(Some(wait));
    }
    let errors: Vec<(String, i32, Option<String>, Option<String>, String)> =
        row.opt_json(14, "errors")?.unwrap_or_default();
    let mut failed = false;
    // What an attempt said comes before what is said of a mapped task.
    let (said, unsaid): (Vec<_>, Vec<_>) = errors.into_iter().partition(|(_, _, class, ..)| class.is_some());
    for (task, _, class, message, cause) in said.into_iter().chain(unsaid) {
        failed = true;
        let Some(&at) = position.get(task.as_str()) else { continue };
        let line = message.as_deref().and_then(first_line).map(str::to_owned).or(class).unwrap_or(cause);
        let extra = cells[at].extra();
        if extra.error.is_none() {
            extra.error = Some(line);
        }
    }
    let only: Option<Vec<String>> = row.opt_json(10, "only_tasks")?;
    let mut letters = String::with_capacity(tasks.len());
    let mut extras = Vec::new();
    for (at, (task, mut cell)) in tasks.iter().zip(cells).enumerate() {
        let chosen = facts.position(&task.id).is_some() && only.as_ref().is_none_or(|only| only.contains(&task.id));
        let state = shown(&cell);
        let known = cell.done.is_some() || cell.work.is_some() || cell.instances.total > 0;
        letters.push(if known || chosen { letter(state) } else { NONE });
        if cell.dispatch_no > 1 {
            cell.extra().attempts = Some(cell.dispatch_no);
        }
        if cell.instances.total > 0 {
            cell.extra().mapped = Some(cell.instances);
        }
        if let Some(extra) = cell.extra.take().filter(|extra| !extra.is_empty()) {
            let extra = CellExtra { run_ms: cell.run_ms, ..*extra };
            extras.push((u32::try_from(at).unwrap_or(u32::MAX), extra));
        }
    }
    let state = row.named(3, "state", RunState::parse)?;
    Ok(GridRun {
        line: GridRunLine {
            run_id: row.run(0, "run_id")?,
            state,
            trigger: row.named(4, "trigger", Trigger::parse)?,
            logical_at: row.at(5, "logical_at")?,
            created_at: row.at(6, "created_at")?,
            started_at: row.opt_at(7, "started_at")?,
            ended_at: row.opt_at(8, "ended_at")?,
            version_no: row.count(2, "number")?,
            version_changed: false,
            masked: failed && state == RunState::Succeeded,
            generation: row.count(9, "generation")?,
        },
        cells: letters,
        extra: extras,
    })
}

/// As [`shown_state`] says; a mapped task without a row of its own looks like its instances.
fn shown(cell: &Cell) -> TaskRunState {
    if cell.done.is_none() && cell.work.is_none() && cell.instances.total > 0 {
        let open = cell.expanded.is_some();
        return if open && cell.begun == 0 {
            TaskRunState::Waiting
        } else if cell.instances.running > 0 || cell.unfinished || open {
            TaskRunState::Running
        } else if cell.instances.failed > 0 {
            TaskRunState::Failed
        } else {
            TaskRunState::Succeeded
        };
    }
    shown_state(cell.done, cell.work)
}

fn done_rows(text: &str, cells: &mut [Cell], position: &HashMap<&str, usize>) -> Result<(), StoreError> {
    for line in text.lines() {
        let mut part = fields(line);
        let task = part.next().unwrap_or_default();
        let Some(&at) = position.get(task) else { continue };
        let cell = &mut cells[at];
        let Some(index) = part.next() else {
            cell.done = Some(FinalState::Succeeded);
            continue;
        };
        let index = number(Some(index)).ok_or_else(|| bad("done", line))?;
        let state = part.next().and_then(FinalState::parse);
        let dispatch_no = number(part.next()).and_then(|no| u32::try_from(no).ok()).unwrap_or(0);
        let run_ms = number(part.next());
        if let Some(n) = number(part.next()).and_then(|n| u32::try_from(n).ok()) {
            cell.expanded = Some(n);
            cell.instances.total = cell.instances.total.max(n);
        }
        // Rows of a task run that is open, or open again, say nothing of its state.
        let Some(state) = state else { continue };
        cell.dispatch_no = cell.dispatch_no.max(dispatch_no);
        cell.run_ms = cell.run_ms.max(run_ms);
        if index < 0 {
            cell.done = Some(state);
        } else {
            cell.count_instance();
            match state {
                FinalState::Succeeded => cell.instances.succeeded += 1,
                FinalState::Failed | FinalState::UpstreamFailed => cell.instances.failed += 1,
                FinalState::Skipped | FinalState::Cancelled | FinalState::Removed => {}
            }
        }
    }
    Ok(())
}

fn work_rows(text: &str, cells: &mut [Cell], position: &HashMap<&str, usize>) -> Result<(), StoreError> {
    for line in text.lines() {
        let mut part = fields(line);
        let Some(&at) = part.next().and_then(|task| position.get(task)) else { continue };
        let index = number(part.next()).ok_or_else(|| bad("work", line))?;
        let place = part.next().and_then(Place::parse).ok_or_else(|| bad("work", line))?;
        let dispatch_no = number(part.next()).and_then(|no| u32::try_from(no).ok()).unwrap_or(0);
        let deferred = number(part.next()).unwrap_or(0) != 0;
        let cell = &mut cells[at];
        cell.dispatch_no = cell.dispatch_no.max(dispatch_no);
        if index < 0 {
            cell.work = Some((place, deferred));
        } else {
            cell.count_instance();
            cell.unfinished = true;
            cell.instances.running += u32::from(place == Place::Executing);
        }
    }
    Ok(())
}
