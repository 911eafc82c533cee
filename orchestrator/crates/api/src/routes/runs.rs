//! Runs, their task runs and events.

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header::ACCEPT;
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use updraft_model::id::RunId;
use updraft_model::time::Timestamp;
use updraft_store::history::{RunCursor, RunSort as Sort, RunsAsk, WindowBy};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::Answer;
use crate::auth::Caller;
use crate::dto::{EventPage, Run, RunPage, RunState, RunView, TaskPage, Time, Trigger, UsualRun, UsualTask};
use crate::extract::{List, Path, Query, search};
use crate::loads::load;
use crate::problem::Problem;
use crate::state::ApiState;
use crate::{events, page, read};

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
#[utoipa::path(get, operation_id = "list_runs", path = "/runs", tag = "runs", params(RunsQuery),
    responses((status = 200, body = RunPage)))]
pub(crate) async fn list(State(api): State<ApiState>, Query(query): Query<RunsQuery>) -> Answer<Json<RunPage>> {
    let ask = RunsAsk {
        workflow: query.workflow,
        states: model_list(query.state),
        triggers: model_list(query.trigger),
        by: match query.by {
            None => WindowBy::Happened,
            Some(RunInstant::Created) => WindowBy::Created,
            Some(RunInstant::Ended) => WindowBy::Ended,
            Some(RunInstant::Logical) => WindowBy::Logical,
        },
        since: query.since.map(|at| at.0),
        until: query.until.map(|at| at.0),
        search: search(query.search)?,
        sort: match query.sort.unwrap_or_default() {
            RunSort::Newest => Sort::NewestCreated,
            RunSort::Oldest => Sort::OldestCreated,
            RunSort::LatestData => Sort::NewestLogical,
            RunSort::EarliestData => Sort::OldestLogical,
            RunSort::LastEnded => Sort::NewestEnded,
        },
        after: page::open(query.cursor.as_deref(), cursor)?,
        limit: page::limit(query.limit)?,
    };
    let found = api.history().run_lines(&ask).await?;
    let now = api.now();
    Ok(Json(RunPage {
        items: found.items.iter().map(|line| read::run::summary(line, now)).collect(),
        next: found.next.map(|next| page::seal(&format!("{} {}", next.at.as_millis(), next.run))),
    }))
}

fn cursor(text: &str) -> Option<RunCursor> {
    let (at, run) = text.split_once(' ')?;
    Some(RunCursor { at: Timestamp::from_millis(at.parse().ok()?), run: run.parse().ok()? })
}

/// A list of the query in the model's words.
pub(crate) fn model_list<T: Into<M>, M>(list: Option<List<T>>) -> Vec<M> {
    list.map(|list| list.0.into_iter().map(Into::into).collect()).unwrap_or_default()
}

/// A run.
#[utoipa::path(get, operation_id = "show_run", path = "/runs/{run}", tag = "runs",
    params(("run" = Uuid, Path, description = "Its id")),
    responses((status = 200, body = Run)))]
pub(crate) async fn show(State(api): State<ApiState>, Path(run): Path<Uuid>) -> Answer<Json<Run>> {
    let loaded = load(&api, RunId(run)).await?;
    Ok(Json(loaded.run(&api).await?))
}

/// Query of the page of a run.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct ViewQuery {
    /// With its first commits, at most so many; without any if left out.
    #[param(minimum = 1, maximum = 500)]
    pub events: Option<u32>,
}

/// Everything that the page of a run shows.
#[utoipa::path(get, operation_id = "view_run", path = "/runs/{run}/view", tag = "runs",
    params(("run" = Uuid, Path, description = "Its id"), ViewQuery), responses((status = 200, body = RunView)))]
pub(crate) async fn view(
    State(api): State<ApiState>,
    Path(run): Path<Uuid>,
    Query(query): Query<ViewQuery>,
) -> Answer<Json<RunView>> {
    let events = match query.events {
        Some(events) => Some(page::within("events", Some(events), events, page::MOST)?),
        None => None,
    };
    let loaded = load(&api, RunId(run)).await?;
    let tasks = loaded.tasks(&api).await?;
    let version = loaded.detail.run.row.facts.version_id;
    let graph = api.graphs().of(version, &loaded.version.compiled).await;
    let usual = api.history().usual(&loaded.line.workflow).await?;
    let neighbours = api.history().neighbours(RunId(run)).await?;
    Ok(Json(RunView {
        run: loaded.run(&api).await?,
        critical_path: read::task::critical_path(&tasks),
        tasks,
        graph: (*graph).clone(),
        usual: UsualRun {
            seconds: usual.run.map(|spread| read::of_millis(spread.median)),
            tasks: usual
                .tasks
                .into_iter()
                .map(|task| {
                    let start_seconds = read::of_millis(task.start_ms);
                    (task.task, UsualTask { start_seconds, seconds: read::of_millis(task.run_ms) })
                })
                .collect(),
        },
        previous: neighbours.previous.map(|run| run.0),
        next: neighbours.next.map(|run| run.0),
        events: match events {
            Some(limit) => Some(event_page(&api, RunId(run), 0, limit).await?),
            None => None,
        },
    }))
}

/// Its task runs, in file order.
#[utoipa::path(get, path = "/runs/{run}/tasks", tag = "runs", params(("run" = Uuid, Path, description = "Its id")),
    responses((status = 200, body = TaskPage)))]
pub(crate) async fn tasks(State(api): State<ApiState>, Path(run): Path<Uuid>) -> Answer<Json<TaskPage>> {
    let loaded = load(&api, RunId(run)).await?;
    Ok(Json(TaskPage { items: loaded.tasks(&api).await?, next: None }))
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
        ("last-event-id" = Option<u64>, Header, maximum = 9_223_372_036_854_775_807_i64, description = "Version behind which a stream goes on"),
    ),
    responses((status = 200, description = "Commits of the run", content(
        (EventPage = "application/json"), (String = "text/event-stream"),
    ))))]
pub(crate) async fn events(
    State(api): State<ApiState>,
    Path(run): Path<Uuid>,
    Query(query): Query<EventsQuery>,
    headers: HeaderMap,
) -> Answer<Response> {
    let run = RunId(run);
    api.reader().run(run).await?.ok_or_else(|| Problem::not_found(format!("run {run}")))?;
    let limit = page::limit(query.limit)?;
    let after = page::open(query.cursor.as_deref(), |text| text.parse::<u64>().ok())?;
    let after = after.or(query.since_version).unwrap_or(0);
    let last = events::last_event_id(&headers)?;
    if wants(&headers, "text/event-stream") {
        let after = last.unwrap_or(after);
        return Ok(events::run_events(&api, run, after));
    }
    Ok(Json(event_page(&api, run, after, limit).await?).into_response())
}

/// A run's commits behind a version.
async fn event_page(api: &ApiState, run: RunId, after: u64, limit: u32) -> Answer<EventPage> {
    let found = api.history().events(run, after, limit).await?;
    let full = found.len() >= usize::try_from(limit).unwrap_or(usize::MAX);
    let next = found.last().filter(|_| full).map(|last| page::seal(&last.version.to_string()));
    let items = found.into_iter().map(events::event_entry).collect();
    Ok(EventPage { items, next })
}

/// Whether the caller names this media type.
pub(crate) fn wants(headers: &HeaderMap, kind: &str) -> bool {
    headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()).any(|value| {
        value.split(',').any(|one| one.split(';').next().is_some_and(|name| name.trim().eq_ignore_ascii_case(kind)))
    })
}

/// Hints that something changed, without replay: `reset` first, whose data say who is asking, as `GET /me` does; then
/// `run` and `catalog`.
#[utoipa::path(get, path = "/events", tag = "runs",
    responses((status = 200, description = "Hints", body = String, content_type = "text/event-stream")))]
pub(crate) async fn hints(State(api): State<ApiState>, Caller(who): Caller) -> Response {
    events::hints(&api, &read::me(who))
}
