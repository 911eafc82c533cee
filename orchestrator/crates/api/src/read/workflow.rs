//! Workflows, their grid, durations, calendar and versions.

use chrono::NaiveDate;
use updraft_model::time::Timestamp;
use updraft_spec::diagnostic::JsonDiagnostic;
use updraft_store::history::{self, Attention as Wants, RunBar as Bar, RunLine, WorkflowLine};

use super::run::{ran, summary, waited};
use super::{of_millis, time};
use crate::dto::{
    Attention, CalendarDay, CellExtra, Diagnostic, DurationPoint, Durations, Grid, GridRun, GridTask, RunBar,
    ScheduleText, Severity, TaskDurations, Time, Version, WorkflowState, WorkflowSummary,
};

/// What the store's lists do not know of a workflow.
pub(crate) struct Beside {
    /// When it runs by itself.
    pub schedule: Option<ScheduleText>,
    /// Its newest run in full.
    pub last_run: Option<RunLine>,
    /// Diagnostics of its file.
    pub diagnostics: u32,
    /// Why it does not run.
    pub why_not: Option<String>,
}

/// A workflow as a row of a list.
pub(crate) fn line(of: WorkflowLine, beside: Beside, now: Timestamp) -> WorkflowSummary {
    WorkflowSummary {
        id: of.name,
        description: of.description,
        owner: of.owner,
        tags: of.tags,
        paused: of.paused,
        state: if of.retired { WorkflowState::Retired } else { WorkflowState::Active },
        attention: attention(of.attention),
        schedule: beside.schedule,
        next_fire: time(of.next_fire),
        recent: of.bars.iter().map(|one| bar(one, now)).collect(),
        last_run: beside.last_run.map(|run| summary(&run, now)),
        median_seconds: of.usual.map(|usual| of_millis(usual.median)),
        p95_seconds: of.usual.map(|usual| of_millis(usual.p95)),
        why_not: beside.why_not,
        diagnostics: beside.diagnostics,
        version: u64::from(of.version_no),
        path: of.path,
    }
}

fn attention(of: Wants) -> Attention {
    match of {
        Wants::Failing => Attention::Failing,
        Wants::Late => Attention::Late,
        Wants::Running => Attention::Running,
        Wants::Ok => Attention::Ok,
        Wants::Paused => Attention::Paused,
        Wants::None => Attention::None,
    }
}

fn bar(of: &Bar, now: Timestamp) -> RunBar {
    RunBar {
        id: of.run_id.0,
        state: of.state.into(),
        trigger: of.trigger.into(),
        logical_date: Time(of.logical_at),
        seconds: ran(of.started_at, of.ended_at, now),
        wait_seconds: Some(waited(of.created_at, of.started_at, of.ended_at, now)),
        masked: of.masked,
        attempts_extra: of.attempts_extra,
    }
}

/// Columns above which cells that only waited and ran say nothing of it: they are too small for it, and there are many.
const DENSE: usize = 100;

/// A cell with nothing but how long it waited and ran.
fn is_plain(of: &history::CellExtra) -> bool {
    of.attempts.is_none() && of.mapped.is_none() && of.error.is_none()
}

/// Runs by tasks.
pub(crate) fn grid(workflow: String, of: history::Grid, planned: Vec<Timestamp>, now: Timestamp) -> Grid {
    let task = |task: history::GridTask| GridTask {
        id: task.id,
        task_type: task.task_type,
        depth: task.depth,
        removed: task.removed.then_some(true),
    };
    let dense = of.runs.len() > DENSE;
    Grid {
        workflow,
        tasks: of.tasks.into_iter().map(task).collect(),
        runs: of.runs.into_iter().map(|run| grid_run(run, dense, now)).collect(),
        more: of.more,
        median_seconds: of.median_ms.map(of_millis),
        planned: planned.into_iter().map(Time).collect(),
    }
}

fn grid_run(of: history::GridRun, dense: bool, now: Timestamp) -> GridRun {
    let line = of.line;
    GridRun {
        id: line.run_id.0,
        state: line.state.into(),
        trigger: line.trigger.into(),
        logical_date: Time(line.logical_at),
        created_at: Time(line.created_at),
        started_at: time(line.started_at),
        ended_at: time(line.ended_at),
        seconds: ran(line.started_at, line.ended_at, now),
        wait_seconds: Some(waited(line.created_at, line.started_at, line.ended_at, now)),
        version: u64::from(line.version_no),
        version_changed: line.version_changed,
        masked: line.masked,
        generation: line.generation,
        cells: of.cells,
        extra: of
            .extra
            .into_iter()
            .filter(|(_, extra)| !(dense && is_plain(extra)))
            .map(|(task, extra)| (task.to_string(), cell(extra)))
            .collect(),
    }
}

fn cell(of: history::CellExtra) -> CellExtra {
    let millis = |millis: Option<i64>| millis.and_then(|millis| u64::try_from(millis).ok());
    CellExtra {
        a: of.attempts,
        w: millis(of.wait_ms),
        m: millis(of.run_ms),
        n: of.mapped.map(|mapped| mapped.total),
        ns: of.mapped.map(|mapped| mapped.succeeded),
        nf: of.mapped.map(|mapped| mapped.failed),
        nr: of.mapped.map(|mapped| mapped.running),
        e: of.error.map(|error| crate::words::first_line(&error, 120)),
    }
}

/// How long runs and their tasks take.
pub(crate) fn durations(of: history::Durations, now: Timestamp) -> Durations {
    let point = |point: history::DurationPoint| DurationPoint {
        run: point.run_id.0,
        at: Time(point.created_at),
        seconds: ran(point.started_at, point.ended_at, now),
        wait_seconds: Some(waited(point.created_at, point.started_at, point.ended_at, now)),
        state: point.state.into(),
        trigger: point.trigger.into(),
        version: u64::from(point.version_no),
    };
    let task = |task: history::TaskDurations| TaskDurations {
        task: task.task,
        median_seconds: task.seconds.map(|spread| of_millis(spread.median)),
        p95_seconds: task.seconds.map(|spread| of_millis(spread.p95)),
        wait_median_seconds: task.wait.map(|spread| of_millis(spread.median)),
        retries: task.retries,
        failures: task.failures,
        runs: task.runs,
    };
    Durations {
        points: of.points.into_iter().map(point).collect(),
        median_seconds: of.run.map(|spread| of_millis(spread.median)),
        p95_seconds: of.run.map(|spread| of_millis(spread.p95)),
        tasks: of.tasks.into_iter().map(task).collect(),
    }
}

/// A civil day by its number since 1970-01-01.
pub(crate) fn date(day: i32) -> String {
    // 1970-01-01 is day 719,163 of the common era.
    NaiveDate::from_num_days_from_ce_opt(day.saturating_add(719_163)).map_or_else(String::new, |date| date.to_string())
}

pub(crate) fn day(of: history::Day) -> CalendarDay {
    CalendarDay { date: date(of.day), succeeded: of.succeeded, failed: of.failed, other: of.other }
}

pub(crate) fn version(of: &history::VersionLine) -> Version {
    Version {
        version: u64::from(of.number),
        sha256: of.sha256.clone(),
        created_at: Time(of.created_at),
        path: of.path.clone(),
        current: of.current,
        runs: Some(u64::from(of.runs)),
    }
}

/// A diagnostic of a file.
pub(crate) fn diagnostic(of: &JsonDiagnostic) -> Diagnostic {
    let number = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    Diagnostic {
        code: of.code.to_owned(),
        severity: match of.severity {
            updraft_spec::Severity::Error => Severity::Error,
            updraft_spec::Severity::Warning => Severity::Warning,
        },
        message: of.message.clone(),
        path: of.file.clone(),
        line: number(of.line),
        column: number(of.column),
        end_line: Some(number(of.end_line)),
        end_column: Some(number(of.end_column)),
        hint: of.hint.clone(),
        excerpt: None,
    }
}

#[cfg(test)]
mod tests {
    use updraft_model::id::RunId;
    use updraft_model::state::{RunState, Trigger};

    use super::*;

    fn column() -> history::GridRun {
        let at = Timestamp::from_millis(0);
        let waited = history::CellExtra { wait_ms: Some(5_000), run_ms: Some(10), ..history::CellExtra::default() };
        let tried = history::CellExtra { attempts: Some(2), ..waited.clone() };
        let line = history::GridRunLine {
            run_id: RunId(uuid::Uuid::nil()),
            state: RunState::Succeeded,
            trigger: Trigger::Manual,
            logical_at: at,
            created_at: at,
            started_at: None,
            ended_at: None,
            version_no: 1,
            version_changed: false,
            masked: false,
            generation: 0,
        };
        history::GridRun { line, cells: "ss".to_owned(), extra: vec![(0, waited), (1, tried)] }
    }

    #[test]
    fn many_columns_say_less_of_plain_cells() {
        let said = |columns: usize| {
            let runs = vec![column(); columns];
            let of = history::Grid { tasks: Vec::new(), runs, more: false, median_ms: None };
            let grid = grid("w".to_owned(), of, Vec::new(), Timestamp::from_millis(0));
            grid.runs.iter().flat_map(|run| run.extra.keys().cloned()).take(2).collect::<Vec<_>>()
        };
        assert_eq!(said(DENSE), ["0", "1"]);
        assert_eq!(said(DENSE + 1), ["1", "1"]);
    }
}
