//! The page of a task run.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use serde_json::Value;
use updraft_model::id::{RunId, TaskKey};
use updraft_store::history::AttemptLine;
use updraft_store::logs::{self, LogKey};
use utoipa::IntoParams;
use uuid::Uuid;

use super::Answer;
use crate::dto::{Item, LogPage, Metric, TaskHistory, TaskRun, TaskRunView, TaskStateRef, Time};
use crate::extract::{Path, Query};
use crate::loads::{first_errors, load};
use crate::problem::Problem;
use crate::state::ApiState;
use crate::{datasets, read, reasons};

/// Runs of the same task that are shown beside.
const HISTORY: u32 = 20;
/// Lines of the log that come with the page.
const LOG_LINES: u64 = 200;

/// Query of a task run.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct TaskQuery {
    /// Its mapped instance.
    #[param(minimum = 0)]
    #[serde(default, deserialize_with = "crate::extract::within::<0, { i64::MAX }, _, _>")]
    pub map_index: Option<i32>,
    /// The attempt whose log comes along; the newest if left out.
    #[param(minimum = 1, maximum = 2_147_483_647)]
    #[serde(default, deserialize_with = "crate::extract::within::<1, 2147483647, _, _>")]
    pub attempt: Option<u32>,
    /// The line around which that log is opened; its first error if left out.
    #[param(minimum = 1, maximum = 9_223_372_036_854_775_807_i64)]
    #[serde(default, deserialize_with = "crate::extract::within::<1, { i64::MAX }, _, _>")]
    pub line: Option<u64>,
}

/// Everything that the page of a task run shows.
#[utoipa::path(get, path = "/runs/{run}/tasks/{task}", tag = "runs",
    params(("run" = Uuid, Path, description = "Its id"), ("task" = String, Path, description = "The task"), TaskQuery),
    responses((status = 200, body = TaskRunView)))]
pub(crate) async fn task(
    State(api): State<ApiState>,
    Path((run, task)): Path<(Uuid, String)>,
    Query(query): Query<TaskQuery>,
) -> Answer<Json<TaskRunView>> {
    let run = RunId(run);
    let key = read::key(&task, query.map_index);
    let loaded = load(&api, run).await?;
    let attempts = api.history().attempts(run, None).await?;
    let errors = first_errors(&api, run).await?;
    let reasons = reasons::of_run(&api, &loaded).await?;
    let all = loaded.rows(&attempts, &errors, &reasons).all();
    let same = |one: &&TaskRun| one.task == task && one.map_index == query.map_index;
    let own = all.iter().find(same).ok_or_else(|| Problem::not_found(format!("task run `{key}` of run {run}")))?;
    let written = loaded.compiled().workflow.task(&task);
    let last = attempts.iter().rfind(|line| line.key == key && line.output_bytes > 0);
    let output = match last {
        Some(line) => api.history().output(run, &key, line.dispatch_no).await?,
        None => None,
    };
    let output: Option<Value> = output.and_then(|text| serde_json::from_str(&text).ok());
    let mut datasets = output.as_ref().map(datasets::of_output).unwrap_or_default();
    datasets::look(api.config().previewer.as_deref(), &mut datasets).await;
    let history = api.history().task_history(&loaded.line.workflow, &key, HISTORY).await?;
    let before = history.iter().filter(|one| one.run_id < run).max_by_key(|one| one.run_id);
    let params_previous = match before {
        Some(before) => load(&api, before.run_id).await?.rendered(&api, &key).await?,
        None => None,
    };
    let newest = attempts.iter().rfind(|line| line.key == key);
    let mut tries: Vec<&AttemptLine> = attempts.iter().filter(|line| line.key == key).collect();
    if let Some(n) = query.attempt {
        tries.retain(|line| line.n == n);
    }
    let (log_attempt, log_head) = first_log(&api, run, &tries, query.line).await?.unzip();
    let instances: Vec<TaskRun> =
        all.iter().filter(|one| one.task == task && one.map_index.is_some()).cloned().collect();
    Ok(Json(TaskRunView {
        run: read::run::summary(&loaded.line, loaded.now),
        params_written: written.map(|task| task.with.clone()).unwrap_or_default(),
        params_rendered: loaded.rendered(&api, &key).await?,
        params_previous,
        output,
        output_schema: api.config().registry.task(&own.task_type).map(|known| known.output.clone()),
        items: items(&api, run, &key, newest).await?,
        metrics: api.history().metrics(run, &task).await?.into_iter().map(metric).collect(),
        datasets,
        siblings: all.iter().map(state_ref).collect(),
        upstream: all.iter().filter(|one| own.depends_on.contains(&one.task)).map(state_ref).collect(),
        downstream: downstream(loaded.compiled(), &task),
        history: history.into_iter().map(|one| earlier(one, loaded.now)).collect(),
        log_attempt,
        log_head,
        instances: (query.map_index.is_none() && !instances.is_empty()).then_some(instances),
        task_run: own.clone(),
    }))
}

fn state_ref(of: &TaskRun) -> TaskStateRef {
    TaskStateRef { task: of.task.clone(), map_index: of.map_index, state: of.state }
}

fn downstream(compiled: &updraft_model::graph::Compiled, task: &str) -> Vec<String> {
    let Some(at) = compiled.graph.position(task) else { return Vec::new() };
    compiled.graph.downstream(at).iter().map(|&child| compiled.graph.id(child).to_string()).collect()
}

fn metric(of: updraft_model::record::RunMetric) -> Metric {
    Metric { name: of.name, value: of.value, unit: of.unit, labels: of.labels.into_iter().collect::<BTreeMap<_, _>>() }
}

fn earlier(of: updraft_store::history::TaskHistory, now: updraft_model::time::Timestamp) -> TaskHistory {
    TaskHistory {
        run: of.run_id.0,
        state: of.state.into(),
        seconds: read::run::ran(of.started_at, of.ended_at, now),
        attempts: of.attempts,
        logical_date: Time(of.logical_at),
    }
}

/// Parts of the newest attempt's work: as they are now while it runs here, as they were recorded once it has ended.
async fn items(api: &ApiState, run: RunId, key: &TaskKey, newest: Option<&AttemptLine>) -> Answer<Vec<Item>> {
    let Some(newest) = newest else { return Ok(Vec::new()) };
    let own = if newest.outcome.is_none() {
        api.engine().live_items(run, key, newest.dispatch_no)
    } else {
        let found = api.history().items(run, key).await?;
        found.into_iter().filter(|(no, _)| *no == newest.dispatch_no).map(|(_, item)| item).collect()
    };
    let item = |item: updraft_model::record::TaskItem| Item {
        kind: item.kind,
        name: item.name,
        state: item.state,
        seconds: item.seconds,
        value: item.value,
        message: item.message,
    };
    Ok(own.into_iter().map(item).collect())
}

/// The newest of these attempts that left a log, with that log around the line, else its first error, else its end.
///
/// An attempt that is under way is the answer even if it has said nothing yet.
async fn first_log(
    api: &ApiState,
    run: RunId,
    tries: &[&AttemptLine],
    line: Option<u64>,
) -> Answer<Option<(u32, LogPage)>> {
    let logs = &**api.logs();
    for attempt in tries.iter().rev() {
        let log = LogKey { run_id: run, key: attempt.key.clone(), dispatch_no: attempt.dispatch_no };
        let Some(info) = logs.info(&log).await? else {
            if attempt.outcome.is_none() {
                return Ok(None);
            }
            continue;
        };
        let page = match (line, &info.first_error) {
            (Some(line), _) => logs::around(logs, &log, line, LOG_LINES).await?,
            (None, Some(mark)) => logs::around(logs, &log, mark.line, LOG_LINES).await?,
            (None, None) => logs::tail(logs, &log, LOG_LINES).await?,
        };
        return Ok(Some((attempt.n, read::log::page_of(&page))));
    }
    Ok(None)
}
