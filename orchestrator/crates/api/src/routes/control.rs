//! What changes workflows and runs: trigger, pause, cancel, retry, mark, repair, notes. Each takes `?dry_run=true` and then
//! says what it would touch, and does nothing.

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use serde_json::json;
use updraft_auth::Principal;
use updraft_engine::{MarkRequest as Mark, Operation, RetryRequest as Retry};
use updraft_model::id::RunId;
use updraft_model::input::RetryWhat as What;
use updraft_model::state::FinalState;
use updraft_store::history::Note;
use utoipa::IntoParams;
use uuid::Uuid;

use super::Answer;
use crate::auth::{Caller, actor};
use crate::dto::{
    MarkRequest, MarkState, NewRun, Plan, Reasoned, RetryRequest, RetryVersion, RetryWhat, Run, RunNote, TaskChoice,
    WorkflowSummary,
};
use crate::extract::{Body, Path, Query, TEXT, check_text};
use crate::loads::load;
use crate::plans::{self, Made};
use crate::problem::{Problem, wrong};
use crate::read;
use crate::state::ApiState;
use crate::trigger;
use crate::workflows::{find, summary};

/// Query of every mutation that acts on runs.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct DryRun {
    /// Only say what it would touch: answers 200 with a `Plan`.
    pub dry_run: Option<bool>,
}

/// Makes a run.
#[utoipa::path(post, path = "/workflows/{workflow}/runs", tag = "runs",
    params(
        ("workflow" = String, Path, description = "Its id"), DryRun,
        ("idempotency-key" = Option<String>, Header, min_length = 1, max_length = 200, pattern = "^[!-~]+$",
            description = "The same key and body again answer 200 and the same run; another body 409"),
    ),
    request_body = Option<NewRun>,
    responses(
        (status = 201, description = "It was made", body = Run),
        (status = 200, description = "It was made before by this key, or the plan of a dry run", body = RunOrPlan),
    ))]
pub(crate) async fn trigger(
    State(api): State<ApiState>,
    Caller(who): Caller,
    Path(workflow): Path<String>,
    Query(query): Query<DryRun>,
    headers: HeaderMap,
    Body(new): Body<NewRun>,
) -> Answer<Response> {
    check_text("note", new.note.as_deref(), TEXT)?;
    check_text("reason", new.reason.as_deref(), TEXT)?;
    if query.is_dry() {
        trigger::check_key(&headers)?;
        return Ok(Json(trigger::plan(&api, &workflow, &new).await?).into_response());
    }
    trigger::run(&api, &who, &workflow, new, &headers).await
}

impl DryRun {
    fn is_dry(&self) -> bool {
        self.dry_run.unwrap_or(false)
    }
}

/// A run, or with `dry_run=true` what would be done.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "only its schema matters")]
pub(crate) enum RunOrPlan {
    /// Done.
    Run(Box<Run>),
    /// Not done.
    Plan(Plan),
}

/// A workflow, or with `dry_run=true` what would be done.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "only its schema matters")]
pub(crate) enum WorkflowOrPlan {
    /// Done.
    Workflow(Box<WorkflowSummary>),
    /// Not done.
    Plan(Plan),
}

/// Stops the schedule of a workflow from making runs.
#[utoipa::path(post, path = "/workflows/{workflow}/pause", tag = "workflows",
    params(("workflow" = String, Path, description = "Its id"), DryRun), request_body = Option<Reasoned>,
    responses((status = 200, body = WorkflowOrPlan)))]
pub(crate) async fn pause(
    State(api): State<ApiState>,
    Caller(who): Caller,
    Path(workflow): Path<String>,
    Query(query): Query<DryRun>,
    Body(body): Body<Reasoned>,
) -> Answer<Response> {
    set_paused(&api, &who, &workflow, true, &query, body.reason.as_deref()).await
}

/// Lets the schedule of a workflow make runs again.
#[utoipa::path(post, path = "/workflows/{workflow}/unpause", tag = "workflows",
    params(("workflow" = String, Path, description = "Its id"), DryRun), request_body = Option<Reasoned>,
    responses((status = 200, body = WorkflowOrPlan)))]
pub(crate) async fn unpause(
    State(api): State<ApiState>,
    Caller(who): Caller,
    Path(workflow): Path<String>,
    Query(query): Query<DryRun>,
    Body(body): Body<Reasoned>,
) -> Answer<Response> {
    set_paused(&api, &who, &workflow, false, &query, body.reason.as_deref()).await
}

async fn set_paused(
    api: &ApiState,
    who: &Principal,
    workflow: &str,
    paused: bool,
    query: &DryRun,
    reason: Option<&str>,
) -> Answer<Response> {
    check_text("reason", reason, TEXT)?;
    let found = find(api, workflow).await?;
    if query.is_dry() {
        return Ok(Json(plans::pause(&found, paused)).into_response());
    }
    let done = api.scheduling().set_paused(workflow, paused, &actor(who), reason, found.now).await?;
    if done.ok_or_else(|| Problem::not_found(format!("workflow `{workflow}`")))? {
        let action = if paused { "workflow.pause" } else { "workflow.unpause" };
        api.audit().record(who, action, workflow, reason, json!({})).await?;
        api.hub().catalog(Some(workflow.to_owned()));
        if let Some(scheduler) = &api.config().scheduler {
            scheduler.notify();
        }
    }
    let found = find(api, workflow).await?;
    Ok(Json(summary(api, found.line, found.now).await?).into_response())
}

/// Asks a run to stop.
#[utoipa::path(post, path = "/runs/{run}/cancel", tag = "runs",
    params(("run" = Uuid, Path, description = "Its id"), DryRun), request_body = Option<Reasoned>,
    responses((status = 200, body = RunOrPlan)))]
pub(crate) async fn cancel(
    State(api): State<ApiState>,
    Caller(who): Caller,
    Path(run): Path<Uuid>,
    Query(query): Query<DryRun>,
    Body(body): Body<Reasoned>,
) -> Answer<Response> {
    check_text("reason", body.reason.as_deref(), TEXT)?;
    let run = RunId(run);
    if query.is_dry() {
        return planned(&api, run, "cancel", &Operation::Cancel).await;
    }
    let said = body.reason.as_deref().unwrap_or_default();
    api.engine().cancel(run, &actor(&who), said).await?;
    told(&api, &who, run, "run.cancel", body.reason.as_deref(), json!({})).await
}

/// What an operation would do to a run.
async fn planned(api: &ApiState, run: RunId, action: &str, operation: &Operation) -> Answer<Response> {
    let loaded = load(api, run).await?;
    let preview = api.engine().preview(run, operation).await?;
    let made = Made { action, loaded: &loaded, preview };
    Ok(Json(plans::of_run(api, made).await?).into_response())
}

/// Writes down what was done, and answers with the run as it stands.
async fn told(
    api: &ApiState,
    who: &Principal,
    run: RunId,
    action: &str,
    reason: Option<&str>,
    detail: serde_json::Value,
) -> Answer<Response> {
    api.audit().record(who, action, &run.to_string(), reason, detail).await?;
    api.hub().touched(run);
    Ok(Json(load(api, run).await?.run(api).await?).into_response())
}

/// Runs task runs again: what failed, chosen ones, or all.
#[utoipa::path(post, path = "/runs/{run}/retry", tag = "runs",
    params(("run" = Uuid, Path, description = "Its id"), DryRun), request_body = Option<RetryRequest>,
    responses((status = 200, body = RunOrPlan)))]
pub(crate) async fn retry(
    State(api): State<ApiState>,
    Caller(who): Caller,
    Path(run): Path<Uuid>,
    Query(query): Query<DryRun>,
    Body(body): Body<RetryRequest>,
) -> Answer<Response> {
    check_text("reason", body.reason.as_deref(), TEXT)?;
    let run = RunId(run);
    let what = match (body.what, &body.tasks) {
        (Some(RetryWhat::Tasks) | None, Some(_)) => What::Tasks,
        (Some(RetryWhat::Tasks), None) => {
            let problem = Problem::unfit("body_unfit", "`what` is `tasks`, and `tasks` names none");
            return Err(problem.errors(vec![wrong("body_unfit", "/tasks", "it is missing")]));
        }
        (Some(RetryWhat::Failed | RetryWhat::All), Some(_)) => {
            let problem = Problem::unfit("body_unfit", "`tasks` names some, and `what` says which others");
            return Err(problem.errors(vec![wrong("body_unfit", "/what", "leave it out, or write `tasks`")]));
        }
        (Some(RetryWhat::All), None) => What::All,
        (Some(RetryWhat::Failed) | None, None) => What::Failed,
    };
    let newest = match body.version.unwrap_or_default() {
        RetryVersion::Pinned => None,
        RetryVersion::Newest => {
            let loaded = load(&api, run).await?;
            let found = find(&api, &loaded.line.workflow).await?;
            let changed = found.version_id() != loaded.detail.run.row.facts.version_id;
            changed.then(|| (found.version_id(), std::sync::Arc::clone(&found.version.compiled)))
        }
    };
    let tasks = body.tasks.unwrap_or_default();
    let detail = json!({
        "what": body.what, "tasks": tasks, "downstream": body.downstream, "version": body.version,
    });
    let retry = Retry {
        what,
        tasks: tasks.iter().map(key_of).collect(),
        downstream: body.downstream.unwrap_or(false),
        newest,
        queue: None,
        by: actor(&who),
        reason: body.reason.clone().unwrap_or_default(),
    };
    if query.is_dry() {
        return planned(&api, run, "retry", &Operation::Retry(retry)).await;
    }
    api.engine().retry(run, retry).await?;
    told(&api, &who, run, "run.retry", body.reason.as_deref(), detail).await
}

fn key_of(choice: &TaskChoice) -> updraft_model::id::TaskKey {
    match choice {
        TaskChoice::Task(task) => read::key(task, None),
        TaskChoice::Instance(one) => read::key(&one.task, one.map_index),
    }
}

/// Sets states by hand.
#[utoipa::path(post, path = "/runs/{run}/mark", tag = "runs",
    params(("run" = Uuid, Path, description = "Its id"), DryRun), request_body = MarkRequest,
    responses((status = 200, body = RunOrPlan)))]
pub(crate) async fn mark(
    State(api): State<ApiState>,
    Caller(who): Caller,
    Path(run): Path<Uuid>,
    Query(query): Query<DryRun>,
    Body(body): Body<MarkRequest>,
) -> Answer<Response> {
    check_text("reason", body.reason.as_deref(), TEXT)?;
    let run = RunId(run);
    let detail = json!({ "state": body.state, "tasks": body.tasks });
    let mark = Mark {
        tasks: body.tasks.map(|tasks| tasks.iter().map(key_of).collect()),
        state: match body.state {
            MarkState::Succeeded => FinalState::Succeeded,
            MarkState::Failed => FinalState::Failed,
        },
        by: actor(&who),
        reason: body.reason.clone().unwrap_or_default(),
    };
    if query.is_dry() {
        return planned(&api, run, "mark", &Operation::Mark(mark)).await;
    }
    api.engine().mark(run, mark).await?;
    told(&api, &who, run, "run.mark", body.reason.as_deref(), detail).await
}

/// Lets a run go on that was set aside.
#[utoipa::path(post, path = "/runs/{run}/repair", tag = "runs",
    params(("run" = Uuid, Path, description = "Its id"), DryRun), request_body = Option<Reasoned>,
    responses((status = 200, body = RunOrPlan)))]
pub(crate) async fn repair(
    State(api): State<ApiState>,
    Caller(who): Caller,
    Path(run): Path<Uuid>,
    Query(query): Query<DryRun>,
    Body(body): Body<Reasoned>,
) -> Answer<Response> {
    check_text("reason", body.reason.as_deref(), TEXT)?;
    let run = RunId(run);
    if query.is_dry() {
        let loaded = load(&api, run).await?;
        return Ok(Json(plans::repair(&loaded)?).into_response());
    }
    api.engine().repair(run, &actor(&who)).await?;
    told(&api, &who, run, "run.repair", body.reason.as_deref(), json!({})).await
}

/// Changes what is noted about a run.
#[utoipa::path(patch, path = "/runs/{run}", tag = "runs", params(("run" = Uuid, Path, description = "Its id")),
    request_body = RunNote, responses((status = 200, body = Run)))]
pub(crate) async fn note(
    State(api): State<ApiState>,
    Caller(who): Caller,
    Path(run): Path<Uuid>,
    Body(body): Body<RunNote>,
) -> Answer<Json<Run>> {
    check_text("note", body.note.as_deref(), TEXT)?;
    let run = RunId(run);
    let text = body.note.unwrap_or_default();
    let note = Note { text: text.clone(), by: actor(&who), at: api.now() };
    if !api.history().set_note(run, &note).await? {
        return Err(Problem::not_found(format!("run {run}")));
    }
    api.audit().record(&who, "run.note", &run.to_string(), None, json!({ "note": text })).await?;
    api.hub().touched(run);
    Ok(Json(load(&api, run).await?.run(&api).await?))
}
