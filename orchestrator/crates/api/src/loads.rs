//! What several routes need of the store, gathered once: a run with its rows, its task runs, its rendered parameters.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value};
use updraft_model::graph::Compiled;
use updraft_model::id::{RunId, TaskKey};
use updraft_model::state::RunState;
use updraft_model::time::Timestamp;
use updraft_spec::template::{ContextBuilder, render_map};
use updraft_store::history::{AttemptLine, RunLine};
use updraft_store::read::RunDetail;

use crate::dto::{ActionHint, Actions, Reason, Run, TaskRun};
use crate::problem::Problem;
use crate::read;
use crate::read::task::{Rows, Sources};
use crate::reasons;
use crate::state::ApiState;
use crate::versions::Version;
use crate::words::count;

/// A run with its rows, as of about one instant.
pub(crate) struct Loaded {
    pub line: RunLine,
    pub detail: RunDetail,
    pub version: Arc<Version>,
    pub now: Timestamp,
}

/// A run.
pub(crate) async fn load(api: &ApiState, run: RunId) -> Result<Loaded, Problem> {
    let missing = || Problem::not_found(format!("run {run}"));
    let line = api.history().run_line(run).await?.ok_or_else(missing)?;
    let detail = api.reader().detail(run).await?.ok_or_else(missing)?;
    let version = api.versions().get(detail.run.row.facts.version_id).await?;
    Ok(Loaded { line, detail, version, now: api.now() })
}

impl Loaded {
    pub(crate) fn compiled(&self) -> &Compiled {
        &self.version.compiled
    }

    pub(crate) fn params(&self) -> Map<String, Value> {
        match serde_json::from_str(&self.detail.run.row.facts.conf) {
            Ok(Value::Object(params)) => params,
            Ok(_) | Err(_) => Map::new(),
        }
    }

    /// As `GET /runs/{run}` answers it.
    pub(crate) async fn run(&self, api: &ApiState) -> Result<Run, Problem> {
        let newest = api.history().versions(&self.line.workflow, None, 1).await?;
        let row = &self.detail.run.row;
        Ok(Run {
            summary: read::run::summary(&self.line, self.now),
            params: self.params(),
            run_key: row.facts.run_key.clone(),
            queue: row.facts.queue.clone(),
            priority: row.facts.priority,
            version_is_newest: newest.items.first().is_none_or(|newest| newest.number == self.line.version_no),
            sha256: self.version.sha256.clone(),
            path: self.version.path.clone(),
            sentence: read::run::sentence(&self.line, &self.detail, self.now),
            events: row.version,
            run_version: row.version,
            actions: actions(&self.line, &self.detail),
        })
    }

    /// Its task runs, in file order.
    pub(crate) async fn tasks(&self, api: &ApiState) -> Result<Vec<TaskRun>, Problem> {
        let run = self.line.run_id;
        let attempts = api.history().attempts(run, None).await?;
        let logs = first_errors(api, run).await?;
        let reasons = reasons::of_run(api, self).await?;
        Ok(self.rows(&attempts, &logs, &reasons).all())
    }

    pub(crate) fn rows<'a>(
        &'a self,
        attempts: &'a [AttemptLine],
        logs: &'a BTreeMap<(TaskKey, u32), Option<u64>>,
        reasons: &'a BTreeMap<TaskKey, Reason>,
    ) -> Rows<'a> {
        Rows::new(Sources { detail: &self.detail, compiled: self.compiled(), attempts, logs, reasons, now: self.now })
    }

    /// The parameters of a task as its attempt got them: rendered by the engine's own rules. Templates read no secrets.
    pub(crate) async fn rendered(&self, api: &ApiState, key: &TaskKey) -> Result<Option<Map<String, Value>>, Problem> {
        let compiled = self.compiled();
        let (Some(task), Some(at)) =
            (compiled.workflow.task(key.task.as_str()), compiled.graph.position(key.task.as_str()))
        else {
            return Ok(None);
        };
        let done: BTreeMap<&TaskKey, _> = self.detail.task_runs.iter().map(|row| (&row.key, row)).collect();
        let work = self.detail.work.iter().find(|row| row.dispatch.key == *key);
        let own = done.get(key);
        let Some(try_no) =
            work.map(|row| row.dispatch.try_no).or(own.map(|row| row.try_no)).filter(|try_no| *try_no > 0)
        else {
            return Ok(None);
        };
        let closure = compiled.graph.upstream_closure([at]);
        let above = compiled.graph.indices().filter(|&task| task != at && closure[task as usize]);
        let above: Vec<TaskKey> = above.map(|task| TaskKey::of(compiled.graph.id(task).clone())).collect();
        let ended = above.iter().filter_map(|key| done.get(key)).filter(|row| row.dispatch_no > 0);
        let wanted: Vec<_> = ended.map(|row| (row.key.clone(), row.dispatch_no)).collect();
        let outputs: BTreeMap<TaskKey, Value> = api
            .reader()
            .outputs(self.line.run_id, &wanted)
            .await?
            .into_iter()
            .filter_map(|(key, text)| Some((key, serde_json::from_str(&text).ok()?)))
            .collect();
        let mut builder =
            ContextBuilder::new(&compiled.workflow, &self.detail.run.row.facts, &self.params()).task(task, try_no);
        for key in &above {
            if let Some(row) = done.get(key) {
                builder = builder.upstream(key.task.as_str(), row.state.name(), outputs.get(key));
            }
        }
        // What cannot be rendered any more is told by the attempt itself.
        Ok(render_map(&task.with, &builder.env(&compiled.workflow.env).build()).ok())
    }
}

/// Attempts of a run that have said something, with the line of the first error.
pub(crate) async fn first_errors(api: &ApiState, run: RunId) -> Result<BTreeMap<(TaskKey, u32), Option<u64>>, Problem> {
    let infos = api.logs().infos(run).await?;
    let line = |info: &updraft_store::logs::LogInfo| info.first_error.as_ref().map(|mark| mark.line);
    Ok(infos.iter().map(|(log, info)| ((log.key.clone(), log.dispatch_no), line(info))).collect())
}

/// What can be done with a run now.
fn actions(line: &RunLine, detail: &RunDetail) -> Actions {
    let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    let hint = |verb: &str, tasks: u32| Some(ActionHint { label: format!("{verb} {}", count(tasks, "task")), tasks });
    let retryable = number(read::run::retryable(detail).len());
    let retry = if retryable > 0 { hint("Re-run", retryable) } else { None };
    let open = line.tasks_total.saturating_sub(line.tasks_done);
    match line.state {
        RunState::Queued | RunState::Running => Actions {
            retry: retry.filter(|_| line.state == RunState::Running),
            cancel: Some(ActionHint {
                label: format!("Cancel the run: {} not done", count(open, "task")),
                tasks: open,
            }),
            mark: hint("Mark", open),
            ..Actions::default()
        },
        RunState::Cancelling => Actions { mark: hint("Mark", open), ..Actions::default() },
        RunState::Succeeded | RunState::Failed | RunState::Cancelled => Actions {
            retry,
            rerun: Some(ActionHint {
                label: format!("Re-run all {}", count(line.tasks_total, "task")),
                tasks: line.tasks_total,
            }),
            mark: hint("Mark", line.tasks_total),
            ..Actions::default()
        },
        RunState::Broken => Actions {
            repair: Some(ActionHint { label: "Repair the run".to_owned(), tasks: open }),
            ..Actions::default()
        },
    }
}
