//! Workflows, their runs' grid, graph, durations, calendar, schedule and versions.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use updraft_model::id::{RunId, VersionId};
use updraft_store::history::{GridAsk, WorkflowSort as Sort, WorkflowState as Doing, WorkflowsAsk};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::Answer;
use super::runs::model_list;
use crate::dto::{
    Calendar, Durations, Graph, Grid, PlannedDay, RunState, SchedulePreview, Time, Trigger, VersionDetail, VersionPage,
    Workflow, WorkflowPage,
};
use crate::extract::{List, Path, Query, search};
use crate::problem::Problem;
use crate::state::ApiState;
use crate::workflows::{Found, find, summaries, summary};
use crate::{page, read, schedules, workflows};

/// Fires that the grid and the calendar show ahead.
const PLANNED: usize = 3;
const PLANNED_YEAR: usize = 2_000;

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
#[utoipa::path(get, operation_id = "list_workflows", path = "/workflows", tag = "workflows", params(WorkflowsQuery),
    responses((status = 200, body = WorkflowPage)))]
pub(crate) async fn list(
    State(api): State<ApiState>,
    Query(query): Query<WorkflowsQuery>,
) -> Answer<Json<WorkflowPage>> {
    let now = api.now();
    let sort = query.sort.unwrap_or_default();
    let ask = WorkflowsAsk {
        search: search(query.search)?,
        tag: query.tag,
        owner: query.owner,
        state: query.state.map(|state| match state {
            WorkflowFilter::Active => Doing::Active,
            WorkflowFilter::Paused => Doing::Paused,
            WorkflowFilter::Retired => Doing::Retired,
            WorkflowFilter::Failing => Doing::Failing,
            WorkflowFilter::Late => Doing::Late,
            WorkflowFilter::Running => Doing::Running,
        }),
        sort: match sort {
            WorkflowSort::Attention | WorkflowSort::AttentionLast => Sort::Attention,
            WorkflowSort::Name | WorkflowSort::NameLast => Sort::Name,
            WorkflowSort::LastRun | WorkflowSort::LastRunLast => Sort::LastRun,
            WorkflowSort::NextFire | WorkflowSort::NextFireLast => Sort::NextFire,
        },
        descending: match sort {
            WorkflowSort::Attention | WorkflowSort::Name | WorkflowSort::LastRun | WorkflowSort::NextFire => false,
            WorkflowSort::AttentionLast
            | WorkflowSort::NameLast
            | WorkflowSort::LastRunLast
            | WorkflowSort::NextFireLast => true,
        },
        after: page::open(query.cursor.as_deref(), |name| Some(name.to_owned()))?,
        limit: page::limit(query.limit)?,
        now,
    };
    let found = api.history().workflow_lines(&ask).await?;
    Ok(Json(WorkflowPage {
        items: summaries(&api, found.items, now).await?,
        next: found.next.map(|name| page::seal(&name)),
        tags: found.tags,
    }))
}

/// A workflow.
#[utoipa::path(get, operation_id = "show_workflow", path = "/workflows/{workflow}", tag = "workflows",
    params(("workflow" = String, Path, description = "Its id")), responses((status = 200, body = Workflow)))]
pub(crate) async fn show(State(api): State<ApiState>, Path(workflow): Path<String>) -> Answer<Json<Workflow>> {
    Ok(Json(facts(&api, &find(&api, &workflow).await?).await?))
}

/// What is known of a workflow.
pub(super) async fn facts(api: &ApiState, found: &Found) -> Answer<Workflow> {
    let last = match &found.line.last_run {
        Some(bar) => api.reader().run(bar.run_id).await?,
        None => None,
    };
    let standing = schedules::standing(api, found).await?;
    let written = found.written();
    Ok(Workflow {
        params_schema: workflows::params_schema(written),
        last_params: last.and_then(|run| serde_json::from_str(&run.row.facts.conf).ok()),
        tasks: workflows::tasks(written),
        catchup: read::schedule::catchup(written.catchup),
        data_interval: read::schedule::data_interval(written.data_interval).to_owned(),
        max_active_runs: written.max_active_runs,
        max_active_tasks: written.max_active_tasks,
        overlap: read::schedule::overlap(written.overlap).to_owned(),
        timeout_seconds: written.timeout.map(read::in_seconds),
        start_date: written.start_date.map(Time),
        end_date: written.end_date.map(Time),
        diagnostics_list: workflows::diagnostics(api, &found.line.name, &found.line.path),
        versions: u64::from(found.line.versions),
        skipped_fires: standing.skipped.total,
        sha256: found.version.sha256.clone(),
        source_id: schedules::source(api, found).await?,
        summary: summary(api, found.line.clone(), found.now).await?,
    })
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
    State(api): State<ApiState>,
    Path(workflow): Path<String>,
    Query(query): Query<GridQuery>,
) -> Answer<Json<Grid>> {
    let ask = query.ask()?;
    Ok(Json(grid_of(&api, &find(&api, &workflow).await?, &ask).await?))
}

impl GridQuery {
    pub(super) fn ask(self) -> Answer<GridAsk> {
        Ok(GridAsk {
            runs: page::within("runs", self.runs, 60, page::MOST)?,
            before: self.before.map(RunId),
            triggers: model_list(self.trigger),
            states: model_list(self.state),
        })
    }
}

/// Runs by tasks of a workflow.
pub(super) async fn grid_of(api: &ApiState, found: &Found, ask: &GridAsk) -> Answer<Grid> {
    let workflow = &found.line.name;
    let grid = api.history().grid(workflow, ask).await?;
    let grid = grid.ok_or_else(|| Problem::not_found(format!("workflow `{workflow}`")))?;
    let planned = schedules::planned(api, found, PLANNED).await?;
    Ok(read::workflow::grid(workflow.clone(), grid, planned, found.now))
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
    State(api): State<ApiState>,
    Path(workflow): Path<String>,
    Query(query): Query<GraphQuery>,
) -> Answer<Json<Graph>> {
    let version = match query.version {
        None => find(&api, &workflow).await?.version_id(),
        Some(number) => {
            let found = api.history().version_source(&workflow, Some(number_of(number)?)).await?;
            VersionId(found.ok_or_else(|| no_version(&workflow, number))?.line.version_id)
        }
    };
    Ok(Json(graph_of(&api, version).await?))
}

/// The graph of a version.
pub(super) async fn graph_of(api: &ApiState, version: VersionId) -> Answer<Graph> {
    let compiled = api.versions().get(version).await?;
    Ok((*api.graphs().of(version, &compiled.compiled).await).clone())
}

fn number_of(version: u64) -> Answer<u32> {
    u32::try_from(version).map_err(|_| Problem::not_found(format!("version {version}")))
}

fn no_version(workflow: &str, version: u64) -> Problem {
    Problem::not_found(format!("version {version} of workflow `{workflow}`"))
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
    State(api): State<ApiState>,
    Path(workflow): Path<String>,
    Query(query): Query<DurationsQuery>,
) -> Answer<Json<Durations>> {
    let runs = page::within("runs", query.runs, 100, page::MOST)?;
    let found = api.history().durations(&workflow, runs).await?;
    let found = found.ok_or_else(|| Problem::not_found(format!("workflow `{workflow}`")))?;
    Ok(Json(read::workflow::durations(found, api.now())))
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
    State(api): State<ApiState>,
    Path(workflow): Path<String>,
    Query(query): Query<CalendarQuery>,
) -> Answer<Json<Calendar>> {
    Ok(Json(calendar_of(&api, &find(&api, &workflow).await?, query).await?))
}

/// A year of a workflow's runs.
pub(super) async fn calendar_of(api: &ApiState, found: &Found, query: CalendarQuery) -> Answer<Calendar> {
    let name = query.zone.unwrap_or_else(|| "UTC".to_owned());
    let zone = read::schedule::known_zone(&name)?;
    let this_year = || read::schedule::civil_date(&zone, found.now).and_then(|date| date.get(..4)?.parse().ok());
    let year = query.year.or_else(this_year).unwrap_or(1970);
    let (from, until) = read::schedule::year(&zone, year)?;
    let shifts = read::schedule::shifts(&zone, from, until);
    let days = api.history().calendar(&found.line.name, from, until, &shifts).await?;
    let mut planned: BTreeMap<String, u32> = BTreeMap::new();
    if found.now < until {
        for at in schedules::planned(api, found, PLANNED_YEAR).await? {
            if at >= from
                && at < until
                && let Some(date) = read::schedule::civil_date(&zone, at)
            {
                *planned.entry(date).or_default() += 1;
            }
        }
    }
    let failing = days.iter().filter(|day| day.failed > 0).count();
    Ok(Calendar {
        year,
        zone: name,
        days: days.into_iter().map(read::workflow::day).collect(),
        planned: planned.into_iter().map(|(date, count)| PlannedDay { date, count }).collect(),
        failing_days: u32::try_from(failing).unwrap_or(u32::MAX),
    })
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
    State(api): State<ApiState>,
    Path(workflow): Path<String>,
    Query(query): Query<ScheduleQuery>,
) -> Answer<Json<SchedulePreview>> {
    let n = query.fires()?;
    Ok(Json(schedule_of(&api, &find(&api, &workflow).await?, n, query.zone.as_deref()).await?))
}

impl ScheduleQuery {
    pub(super) fn fires(&self) -> Answer<usize> {
        Ok(usize::try_from(page::within("n", self.n, 10, 100)?).unwrap_or(usize::MAX))
    }
}

/// A workflow's schedule and its next `n` fires.
pub(super) async fn schedule_of(
    api: &ApiState,
    found: &Found,
    n: usize,
    zone: Option<&str>,
) -> Answer<SchedulePreview> {
    let standing = schedules::standing(api, found).await?;
    read::schedule::schedule(found.written(), standing, zone, n, found.now)
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
    State(api): State<ApiState>,
    Path(workflow): Path<String>,
    Query(query): Query<PageQuery>,
) -> Answer<Json<VersionPage>> {
    let limit = page::limit(query.limit)?;
    let before = page::open(query.cursor.as_deref(), |number| number.parse::<u32>().ok())?;
    Ok(Json(versions_of(&api, &find(&api, &workflow).await?, before, limit).await?))
}

/// Versions of a workflow, newest first, at most `limit` of those before a number.
pub(super) async fn versions_of(api: &ApiState, of: &Found, before: Option<u32>, limit: u32) -> Answer<VersionPage> {
    let found = api.history().versions(&of.line.name, before, limit).await?;
    Ok(VersionPage {
        items: found.items.iter().map(read::workflow::version).collect(),
        next: found.next.map(|number| page::seal(&number.to_string())),
    })
}

/// A version with its source.
#[utoipa::path(get, path = "/workflows/{workflow}/versions/{version}", tag = "workflows",
    params(("workflow" = String, Path, description = "Its id"), ("version" = u64, Path, description = "From 1")),
    responses((status = 200, body = VersionDetail)))]
pub(crate) async fn version(
    State(api): State<ApiState>,
    Path((workflow, version)): Path<(String, u64)>,
) -> Answer<Json<VersionDetail>> {
    let found = api.history().version_source(&workflow, Some(number_of(version)?)).await?;
    let found = found.ok_or_else(|| no_version(&workflow, version))?;
    let (path, source) = (found.line.path.clone(), found.source.clone());
    let spec = Arc::clone(&api.config().spec.borrow());
    let checked = tokio::task::spawn_blocking(move || {
        let checked = updraft_spec::check(&path, &source, &spec);
        updraft_spec::diagnostic::report([(&checked.source, checked.diagnostics.as_slice())]).diagnostics
    });
    let diagnostics = checked.await.map_err(Problem::internal)?;
    Ok(Json(VersionDetail {
        version,
        sha256: found.line.sha256,
        source: found.source,
        path: found.line.path,
        created_at: Time(found.line.created_at),
        diagnostics: diagnostics.iter().map(read::workflow::diagnostic).collect(),
    }))
}
