//! What changes workflows and runs: trigger, pause, cancel, retry, mark, repair, notes. Each takes `?dry_run=true` and then
//! says what it would touch, and does nothing.

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Deserialize;
use utoipa::IntoParams;
use uuid::Uuid;

use super::{Answer, unwired};
use crate::dto::{MarkRequest, NewRun, Plan, Reasoned, RetryRequest, Run, RunNote, WorkflowSummary};
use crate::extract::{Body, Path, Query};
use crate::state::ApiState;

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
        ("idempotency-key" = Option<String>, Header, max_length = 200,
            description = "The same key and body again answer 200 and the same run; another body 409"),
    ),
    request_body = NewRun,
    responses(
        (status = 201, description = "It was made", body = Run),
        (status = 200, description = "It was made before by this key, or the plan of a dry run", body = RunOrPlan),
    ))]
pub(crate) async fn trigger(
    State(_api): State<ApiState>,
    Path(_workflow): Path<String>,
    Query(_query): Query<DryRun>,
    _headers: HeaderMap,
    Body(_new): Body<NewRun>,
) -> Answer<Response> {
    Err(unwired())
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
    params(("workflow" = String, Path, description = "Its id"), DryRun), request_body = Reasoned,
    responses((status = 200, body = WorkflowOrPlan)))]
pub(crate) async fn pause(
    State(_api): State<ApiState>,
    Path(_workflow): Path<String>,
    Query(_query): Query<DryRun>,
    Body(_body): Body<Reasoned>,
) -> Answer<Response> {
    Err(unwired())
}

/// Lets the schedule of a workflow make runs again.
#[utoipa::path(post, path = "/workflows/{workflow}/unpause", tag = "workflows",
    params(("workflow" = String, Path, description = "Its id"), DryRun), request_body = Reasoned,
    responses((status = 200, body = WorkflowOrPlan)))]
pub(crate) async fn unpause(
    State(_api): State<ApiState>,
    Path(_workflow): Path<String>,
    Query(_query): Query<DryRun>,
    Body(_body): Body<Reasoned>,
) -> Answer<Response> {
    Err(unwired())
}

/// Asks a run to stop.
#[utoipa::path(post, path = "/runs/{run}/cancel", tag = "runs",
    params(("run" = Uuid, Path, description = "Its id"), DryRun), request_body = Reasoned,
    responses((status = 200, body = RunOrPlan)))]
pub(crate) async fn cancel(
    State(_api): State<ApiState>,
    Path(_run): Path<Uuid>,
    Query(_query): Query<DryRun>,
    Body(_body): Body<Reasoned>,
) -> Answer<Response> {
    Err(unwired())
}

/// Runs task runs again: what failed, chosen ones, or all.
#[utoipa::path(post, path = "/runs/{run}/retry", tag = "runs",
    params(("run" = Uuid, Path, description = "Its id"), DryRun), request_body = RetryRequest,
    responses((status = 200, body = RunOrPlan)))]
pub(crate) async fn retry(
    State(_api): State<ApiState>,
    Path(_run): Path<Uuid>,
    Query(_query): Query<DryRun>,
    Body(_body): Body<RetryRequest>,
) -> Answer<Response> {
    Err(unwired())
}

/// Sets states by hand.
#[utoipa::path(post, path = "/runs/{run}/mark", tag = "runs",
    params(("run" = Uuid, Path, description = "Its id"), DryRun), request_body = MarkRequest,
    responses((status = 200, body = RunOrPlan)))]
pub(crate) async fn mark(
    State(_api): State<ApiState>,
    Path(_run): Path<Uuid>,
    Query(_query): Query<DryRun>,
    Body(_body): Body<MarkRequest>,
) -> Answer<Response> {
    Err(unwired())
}

/// Lets a run go on that was set aside.
#[utoipa::path(post, path = "/runs/{run}/repair", tag = "runs",
    params(("run" = Uuid, Path, description = "Its id"), DryRun), request_body = Reasoned,
    responses((status = 200, body = RunOrPlan)))]
pub(crate) async fn repair(
    State(_api): State<ApiState>,
    Path(_run): Path<Uuid>,
    Query(_query): Query<DryRun>,
    Body(_body): Body<Reasoned>,
) -> Answer<Response> {
    Err(unwired())
}

/// Changes what is noted about a run.
#[utoipa::path(patch, path = "/runs/{run}", tag = "runs", params(("run" = Uuid, Path, description = "Its id")),
    request_body = RunNote, responses((status = 200, body = Run)))]
pub(crate) async fn note(
    State(_api): State<ApiState>,
    Path(_run): Path<Uuid>,
    Body(_body): Body<RunNote>,
) -> Answer<Json<Run>> {
    Err(unwired())
}
