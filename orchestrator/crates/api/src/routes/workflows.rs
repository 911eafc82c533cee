//! Workflows, their runs' grid, graph, durations, calendar, schedule and versions.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{Answer, unwired};
use crate::dto::{
    Calendar, Durations, Graph, Grid, RunState, SchedulePreview, Trigger, VersionDetail, VersionPage, Workflow,
    WorkflowPage,
};
use crate::extract::{List, Path, Query};
use crate::state::ApiState;

/// Which workflows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum WorkflowFilter {
    /// Their file is there and they are not paused.
    Active,
    /// Paused.
    Paused,
    /// Their file is gone.
    Retired,
    /// Their last finished run failed.
    Failing,
    /// A fire is due and has no run.
    Late,
    /// A run is under way.
    Running,
}

/// In which order; `-` turns it around.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, ToSchema)]
pub(crate) enum WorkflowSort {
    /// What asks for people first.
    #[default]
    #[serde(rename = "attention")]
    Attention,
    /// What asks for people last.
    #[serde(rename = "-attention")]
    AttentionLast,
    /// By id.
    #[serde(rename = "name")]
    Name,
    /// By id, backwards.
    #[serde(rename = "-name")]
    NameLast,
    /// The one that ran longest ago first.
    #[serde(rename = "last_run")]
    LastRun,
    /// The one that ran last first.
    #[serde(rename = "-last_run")]
    LastRunLast,
    /// The one that fires next first.
    #[serde(rename = "next_fire")]
    NextFire,
    /// The one that fires next last.
    #[serde(rename = "-next_fire")]
    NextFireLast,
}

/// Query of the list of workflows.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct WorkflowsQuery {
    /// Part of the id, the description or a tag.
    #[param(max_length = 200)]
    pub search: Option<String>,
    /// With this label.
    pub tag: Option<String>,
    /// Of this owner.
    pub owner: Option<String>,
    /// In this state.
    #[param(inline)]
    pub state: Option<WorkflowFilter>,
    /// In this order.
    #[param(inline)]
    pub sort: Option<WorkflowSort>,
    /// At most so many.
    #[param(minimum = 1, maximum = 500, default = 50)]
    pub limit: Option<u32>,
    /// `next` of the page before.
    pub cursor: Option<String>,
}

/// Workflows.
#[utoipa::path(get, path = "/workflows", tag = "workflows", params(WorkflowsQuery),
    responses((status = 200, body = WorkflowPage)))]
pub(crate) async fn list(
    State(_api): State<ApiState>,
    Query(_query): Query<WorkflowsQuery>,
) -> Answer<Json<WorkflowPage>> {
    Err(unwired())
}

/// A workflow.
#[utoipa::path(get, path = "/workflows/{workflow}", tag = "workflows",
    params(("workflow" = String, Path, description = "Its id")), responses((status = 200, body = Workflow)))]
pub(crate) async fn show(State(_api): State<ApiState>, Path(_workflow): Path<String>) -> Answer<Json<Workflow>> {
    Err(unwired())
}

/// Query of the grid.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct GridQuery {
    /// Newest runs, at most so many.
    #[param(minimum = 1, maximum = 500, default = 60)]
    pub runs: Option<u32>,
    /// Older than this run.
    pub before: Option<Uuid>,
    /// Only runs of these triggers.
    #[param(value_type = Option<Vec<Trigger>>)]
    pub trigger: Option<List<Trigger>>,
    /// Only runs in these states.
    #[param(value_type = Option<Vec<RunState>>)]
    pub state: Option<List<RunState>>,
}

/// Runs by tasks.
#[utoipa::path(get, path = "/workflows/{workflow}/grid", tag = "workflows",
    params(("workflow" = String, Path, description = "Its id"), GridQuery), responses((status = 200, body = Grid)))]
pub(crate) async fn grid(
    State(_api): State<ApiState>,
    Path(_workflow): Path<String>,
    Query(_query): Query<GridQuery>,
) -> Answer<Json<Grid>> {
    Err(unwired())
}

/// Query of the graph.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct GraphQuery {
    /// Of this version; the newest if left out.
    #[param(minimum = 1)]
    pub version: Option<u64>,
}

/// The graph with coordinates.
#[utoipa::path(get, path = "/workflows/{workflow}/graph", tag = "workflows",
    params(("workflow" = String, Path, description = "Its id"), GraphQuery), responses((status = 200, body = Graph)))]
pub(crate) async fn graph(
    State(_api): State<ApiState>,
    Path(_workflow): Path<String>,
    Query(_query): Query<GraphQuery>,
) -> Answer<Json<Graph>> {
    Err(unwired())
}

/// Query of the durations.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct DurationsQuery {
    /// Newest runs, at most so many.
    #[param(minimum = 1, maximum = 500, default = 100)]
    pub runs: Option<u32>,
}

/// How long runs and their tasks take.
#[utoipa::path(get, path = "/workflows/{workflow}/durations", tag = "workflows",
    params(("workflow" = String, Path, description = "Its id"), DurationsQuery),
    responses((status = 200, body = Durations)))]
pub(crate) async fn durations(
    State(_api): State<ApiState>,
    Path(_workflow): Path<String>,
    Query(_query): Query<DurationsQuery>,
) -> Answer<Json<Durations>> {
    Err(unwired())
}

/// Query of the calendar.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct CalendarQuery {
    /// The year; this one if left out.
    #[param(minimum = 1970, maximum = 9998)]
    pub year: Option<i32>,
    /// IANA zone of the days; UTC if left out.
    pub zone: Option<String>,
}

/// A year of runs.
#[utoipa::path(get, path = "/workflows/{workflow}/calendar", tag = "workflows",
    params(("workflow" = String, Path, description = "Its id"), CalendarQuery),
    responses((status = 200, body = Calendar)))]
pub(crate) async fn calendar(
    State(_api): State<ApiState>,
    Path(_workflow): Path<String>,
    Query(_query): Query<CalendarQuery>,
) -> Answer<Json<Calendar>> {
    Err(unwired())
}

/// Query of the schedule.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct ScheduleQuery {
    /// Fires, at most so many.
    #[param(minimum = 1, maximum = 100, default = 10)]
    pub n: Option<u32>,
    /// IANA zone of `local`; the schedule's if left out.
    pub zone: Option<String>,
}

/// The schedule and its next fires.
#[utoipa::path(get, path = "/workflows/{workflow}/schedule", tag = "workflows",
    params(("workflow" = String, Path, description = "Its id"), ScheduleQuery),
    responses((status = 200, body = SchedulePreview)))]
pub(crate) async fn schedule(
    State(_api): State<ApiState>,
    Path(_workflow): Path<String>,
    Query(_query): Query<ScheduleQuery>,
) -> Answer<Json<SchedulePreview>> {
    Err(unwired())
}

/// Query of a list that has nothing but pages.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct PageQuery {
    /// At most so many.
    #[param(minimum = 1, maximum = 500, default = 50)]
    pub limit: Option<u32>,
    /// `next` of the page before.
    pub cursor: Option<String>,
}

/// Versions, newest first.
#[utoipa::path(get, path = "/workflows/{workflow}/versions", tag = "workflows",
    params(("workflow" = String, Path, description = "Its id"), PageQuery), responses((status = 200, body = VersionPage)))]
pub(crate) async fn versions(
    State(_api): State<ApiState>,
    Path(_workflow): Path<String>,
    Query(_query): Query<PageQuery>,
) -> Answer<Json<VersionPage>> {
    Err(unwired())
}

/// A version with its source.
#[utoipa::path(get, path = "/workflows/{workflow}/versions/{version}", tag = "workflows",
    params(("workflow" = String, Path, description = "Its id"), ("version" = u64, Path, description = "From 1")),
    responses((status = 200, body = VersionDetail)))]
pub(crate) async fn version(
    State(_api): State<ApiState>,
    Path((_workflow, _version)): Path<(String, u64)>,
) -> Answer<Json<VersionDetail>> {
    Err(unwired())
}
