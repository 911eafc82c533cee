//! Runs, their task runs and events.

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{Answer, unwired};
use crate::dto::{EventPage, Run, RunPage, RunState, RunView, TaskPage, TaskRunView, Time, Trigger};
use crate::extract::{List, Path, Query};
use crate::state::ApiState;

/// In which order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, ToSchema)]
pub(crate) enum RunSort {
    /// Newest first.
    #[default]
    #[serde(rename = "-created_at")]
    Newest,
    /// Oldest first.
    #[serde(rename = "created_at")]
    Oldest,
    /// Latest logical date first.
    #[serde(rename = "-logical_date")]
    LatestData,
    /// Earliest logical date first.
    #[serde(rename = "logical_date")]
    EarliestData,
    /// The one that ended last first.
    #[serde(rename = "-ended_at")]
    LastEnded,
}

/// By which instant `since` and `until` count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RunInstant {
    /// When it was made.
    Created,
    /// When it ended.
    Ended,
    /// Its logical date.
    Logical,
}

/// Query of the list of runs.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct RunsQuery {
    /// Of this workflow.
    pub workflow: Option<String>,
    /// In one of these states.
    #[param(value_type = Option<Vec<RunState>>)]
    pub state: Option<List<RunState>>,
    /// Of these triggers.
    #[param(value_type = Option<Vec<Trigger>>)]
    pub trigger: Option<List<Trigger>>,
    /// At or after.
    #[param(value_type = Option<Time>)]
    pub since: Option<Time>,
    /// Before.
    #[param(value_type = Option<Time>)]
    pub until: Option<Time>,
    /// By which instant; when it ended, else was made, if left out.
    #[param(inline)]
    pub by: Option<RunInstant>,
    /// Part of the workflow's id, the note, or first digits of the run's id.
    #[param(max_length = 200)]
    pub search: Option<String>,
    /// In this order.
    #[param(inline)]
    pub sort: Option<RunSort>,
    /// At most so many.
    #[param(minimum = 1, maximum = 500, default = 50)]
    pub limit: Option<u32>,
    /// `next` of the page before.
    pub cursor: Option<String>,
}

/// Runs.
#[utoipa::path(get, path = "/runs", tag = "runs", params(RunsQuery), responses((status = 200, body = RunPage)))]
pub(crate) async fn list(State(_api): State<ApiState>, Query(_query): Query<RunsQuery>) -> Answer<Json<RunPage>> {
    Err(unwired())
}

/// A run.
#[utoipa::path(get, path = "/runs/{run}", tag = "runs", params(("run" = Uuid, Path, description = "Its id")),
    responses((status = 200, body = Run)))]
pub(crate) async fn show(State(_api): State<ApiState>, Path(_run): Path<Uuid>) -> Answer<Json<Run>> {
    Err(unwired())
}

/// Everything that the page of a run shows.
#[utoipa::path(get, path = "/runs/{run}/view", tag = "runs", params(("run" = Uuid, Path, description = "Its id")),
    responses((status = 200, body = RunView)))]
pub(crate) async fn view(State(_api): State<ApiState>, Path(_run): Path<Uuid>) -> Answer<Json<RunView>> {
    Err(unwired())
}

/// Its task runs, in file order.
#[utoipa::path(get, path = "/runs/{run}/tasks", tag = "runs", params(("run" = Uuid, Path, description = "Its id")),
    responses((status = 200, body = TaskPage)))]
pub(crate) async fn tasks(State(_api): State<ApiState>, Path(_run): Path<Uuid>) -> Answer<Json<TaskPage>> {
    Err(unwired())
}

/// Query of a task run.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct TaskQuery {
    /// Its mapped instance.
    #[param(minimum = 0)]
    pub map_index: Option<i32>,
}

/// Everything that the page of a task run shows.
#[utoipa::path(get, path = "/runs/{run}/tasks/{task}", tag = "runs",
    params(("run" = Uuid, Path, description = "Its id"), ("task" = String, Path, description = "The task"), TaskQuery),
    responses((status = 200, body = TaskRunView)))]
pub(crate) async fn task(
    State(_api): State<ApiState>,
    Path((_run, _task)): Path<(Uuid, String)>,
    Query(_query): Query<TaskQuery>,
) -> Answer<Json<TaskRunView>> {
    Err(unwired())
}

/// Query of a log.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct LogQuery {
    /// The mapped instance.
    #[param(minimum = 0)]
    pub map_index: Option<i32>,
    /// From this byte on.
    pub offset: Option<u64>,
    /// At most so many bytes.
    #[param(minimum = 1)]
    pub limit: Option<u64>,
    /// The last so many lines.
    #[param(minimum = 1, maximum = 10000)]
    pub tail: Option<u32>,
    /// The lines around this one.
    #[param(minimum = 1)]
    pub around: Option<u64>,
    /// Only lines of this weight or more.
    pub level: Option<crate::dto::LogLevel>,
    /// Only lines that contain this text.
    #[param(max_length = 200)]
    pub search: Option<String>,
}

/// The log of an attempt: text, NDJSON or a stream, by `Accept`.
#[utoipa::path(get, path = "/runs/{run}/tasks/{task}/attempts/{n}/log", tag = "runs",
    params(
        ("run" = Uuid, Path, description = "Its id"), ("task" = String, Path, description = "The task"),
        ("n" = u32, Path, minimum = 1, description = "Attempts of the task run counted from 1"), LogQuery,
        ("last-event-id" = Option<u64>, Header, description = "Byte at which a stream goes on"),
    ),
    responses((status = 200, description = "The log", content(
        (String = "text/plain"), (String = "application/x-ndjson"), (String = "text/event-stream"),
    ), headers(
        ("x-log-bytes" = u64, description = "Bytes of the whole log so far"),
        ("x-log-lines" = u64, description = "Lines of the whole log so far"),
        ("x-log-first-error-line" = u64, description = "Line of the first error"),
        ("x-log-first-error-offset" = u64, description = "Byte at which it begins"),
        ("x-log-complete" = bool, description = "Nothing more will come"),
        ("x-log-truncated" = bool, description = "The middle was not kept"),
    ))))]
pub(crate) async fn log(
    State(_api): State<ApiState>,
    Path((_run, _task, _n)): Path<(Uuid, String, u32)>,
    Query(_query): Query<LogQuery>,
    _headers: HeaderMap,
) -> Answer<Response> {
    Err(unwired())
}

/// Query of a run's events.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct EventsQuery {
    /// After this version.
    pub since_version: Option<u64>,
    /// At most so many commits.
    #[param(minimum = 1, maximum = 500, default = 50)]
    pub limit: Option<u32>,
    /// `next` of the page before.
    pub cursor: Option<String>,
}

/// A run's events: a page of JSON, or a stream that goes on exactly behind `Last-Event-ID`.
#[utoipa::path(get, path = "/runs/{run}/events", tag = "runs",
    params(
        ("run" = Uuid, Path, description = "Its id"), EventsQuery,
        ("last-event-id" = Option<u64>, Header, description = "Version behind which a stream goes on"),
    ),
    responses((status = 200, description = "Commits of the run", content(
        (EventPage = "application/json"), (String = "text/event-stream"),
    ))))]
pub(crate) async fn events(
    State(_api): State<ApiState>,
    Path(_run): Path<Uuid>,
    Query(_query): Query<EventsQuery>,
    _headers: HeaderMap,
) -> Answer<Response> {
    Err(unwired())
}

/// Hints that something changed, without replay: `reset` first, then `run` and `catalog`.
#[utoipa::path(get, path = "/events", tag = "runs",
    responses((status = 200, description = "Hints", body = String, content_type = "text/event-stream")))]
pub(crate) async fn hints(State(_api): State<ApiState>) -> Answer<Response> {
    Err(unwired())
}
