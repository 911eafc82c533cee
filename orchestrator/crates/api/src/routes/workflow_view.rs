//! The page of a workflow in one answer: its facts and the view that is open.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::Answer;
use super::runs::{self, RunInstant, RunSort, RunsQuery};
use super::workflows::{self, CalendarQuery, DurationsQuery, GraphQuery, GridQuery, ScheduleQuery};
use crate::dto::{RunState, Time, Trigger, VersionDetail, WorkflowCode, WorkflowView};
use crate::extract::{List, Path, Query};
use crate::state::ApiState;
use crate::workflows::find;

/// Versions that can be chosen from.
const VERSIONS: u32 = 200;

/// What of a workflow is shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum WorkflowShow {
    /// Runs by tasks.
    #[default]
    Grid,
    /// The graph.
    Graph,
    /// Runs.
    Runs,
    /// How long they take.
    Durations,
    /// A year of them.
    Calendar,
    /// When the next ones start.
    Schedule,
    /// The file.
    Code,
}

/// Query of the page of a workflow: what is shown, and what that view's own address takes. The keys of other views say
/// nothing.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct WorkflowViewQuery {
    /// The view; the grid if left out.
    #[param(inline)]
    pub show: Option<WorkflowShow>,
    /// Grid (60), durations (100): newest runs, at most so many.
    #[param(minimum = 1, maximum = 500)]
    #[serde(default, deserialize_with = "crate::extract::within::<1, 500, _, _>")]
    pub runs: Option<u32>,
    /// Grid: older than this run.
    pub before: Option<Uuid>,
    /// Grid, runs: only of these triggers.
    #[param(value_type = Option<Vec<Trigger>>)]
    pub trigger: Option<List<Trigger>>,
    /// Grid, runs: only in these states.
    #[param(value_type = Option<Vec<RunState>>)]
    pub state: Option<List<RunState>>,
    /// Runs: at or after.
    #[param(value_type = Option<Time>)]
    pub since: Option<Time>,
    /// Runs: before.
    #[param(value_type = Option<Time>)]
    pub until: Option<Time>,
    /// Runs: by which instant; when it ended, else was made, if left out.
    #[param(inline)]
    pub by: Option<RunInstant>,
    /// Runs: part of the note, or first digits of the run's id.
    #[param(max_length = 200)]
    pub search: Option<String>,
    /// Runs: in this order.
    #[param(inline)]
    pub sort: Option<RunSort>,
    /// Runs: at most so many.
    #[param(minimum = 1, maximum = 500, default = 50)]
    #[serde(default, deserialize_with = "crate::extract::within::<1, 500, _, _>")]
    pub limit: Option<u32>,
    /// Runs: `next` of the page before.
    pub cursor: Option<String>,
    /// Calendar: the year; this one if left out.
    #[param(minimum = 1970, maximum = 9998)]
    #[serde(default, deserialize_with = "crate::extract::within::<1970, 9998, _, _>")]
    pub year: Option<i32>,
    /// Calendar (UTC), schedule (its own): IANA zone.
    pub zone: Option<String>,
    /// Schedule: fires, at most so many.
    #[param(minimum = 1, maximum = 100, default = 10)]
    #[serde(default, deserialize_with = "crate::extract::within::<1, 100, _, _>")]
    pub n: Option<u32>,
    /// Graph, code: this version; the newest if left out.
    #[param(minimum = 1)]
    #[serde(default, deserialize_with = "crate::extract::within::<1, { i64::MAX }, _, _>")]
    pub version: Option<u64>,
    /// Code: compared with this version.
    #[param(minimum = 1)]
    #[serde(default, deserialize_with = "crate::extract::within::<1, { i64::MAX }, _, _>")]
    pub against: Option<u64>,
}

/// Everything that the page of a workflow shows.
#[utoipa::path(get, operation_id = "view_workflow", path = "/workflows/{workflow}/view", tag = "workflows",
    params(("workflow" = String, Path, description = "Its id"), WorkflowViewQuery),
    responses((status = 200, body = WorkflowView)))]
pub(crate) async fn view(
    State(api): State<ApiState>,
    Path(workflow): Path<String>,
    Query(query): Query<WorkflowViewQuery>,
) -> Answer<Json<WorkflowView>> {
    // Also where it does not count: a mistake is a mistake.
    query.zone.as_deref().map(crate::read::schedule::known_zone).transpose()?;
    let found = find(&api, &workflow).await?;
    let facts = workflows::facts(&api, &found).await?;
    let newest = facts.summary.version;
    let mut view = WorkflowView {
        workflow: facts,
        grid: None,
        graph: None,
        runs: None,
        durations: None,
        calendar: None,
        schedule: None,
        code: None,
    };
    match query.show.unwrap_or_default() {
        WorkflowShow::Grid => {
            let ask = GridQuery { runs: query.runs, before: query.before, trigger: query.trigger, state: query.state };
            view.grid = Some(workflows::grid_of(&api, &found, &ask.ask()?).await?);
        }
        WorkflowShow::Graph => {
            view.graph = Some(match query.version {
                None => workflows::graph_of(&api, found.version_id()).await?,
                version => workflows::graph(State(api), Path(workflow), Query(GraphQuery { version })).await?.0,
            });
        }
        WorkflowShow::Runs => {
            let ask = RunsQuery {
                workflow: Some(workflow),
                state: query.state,
                trigger: query.trigger,
                since: query.since,
                until: query.until,
                by: query.by,
                search: query.search,
                sort: query.sort,
                limit: query.limit,
                cursor: query.cursor,
            };
            view.runs = Some(runs::list(State(api), Query(ask)).await?.0);
        }
        WorkflowShow::Durations => {
            let ask = DurationsQuery { runs: query.runs };
            view.durations = Some(workflows::durations(State(api), Path(workflow), Query(ask)).await?.0);
        }
        WorkflowShow::Calendar => {
            let ask = CalendarQuery { year: query.year, zone: query.zone };
            view.calendar = Some(workflows::calendar_of(&api, &found, ask).await?);
        }
        WorkflowShow::Schedule => {
            let ask = ScheduleQuery { n: query.n, zone: query.zone };
            view.schedule = Some(workflows::schedule_of(&api, &found, ask.fires()?, ask.zone.as_deref()).await?);
        }
        WorkflowShow::Code => {
            let versions = workflows::versions_of(&api, &found, None, VERSIONS).await?;
            let version = source(&api, &workflow, query.version.unwrap_or(newest)).await?;
            let against = match query.against {
                Some(number) => Some(source(&api, &workflow, number).await?),
                None => None,
            };
            view.code = Some(WorkflowCode { versions: versions.items, version, against });
        }
    }
    Ok(Json(view))
}

async fn source(api: &ApiState, workflow: &str, number: u64) -> Answer<VersionDetail> {
    Ok(workflows::version(State(api.clone()), Path((workflow.to_owned(), number))).await?.0)
}
