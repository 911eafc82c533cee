//! Logs of attempts: text, lines as JSON, or a stream.

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use updraft_model::id::RunId;
use updraft_store::logs::{self, LogAt, LogInfo, LogKey, SearchQuery};
use utoipa::IntoParams;
use uuid::Uuid;

use super::Answer;
use super::runs::wants;
use crate::dto::LogLine;
use crate::events;
use crate::extract::{Path, Query, search};
use crate::problem::Problem;
use crate::read::{self, log};
use crate::state::ApiState;

/// Most bytes of one answer, and the number if nobody says how many.
const MOST_BYTES: u64 = 8 << 20;
const DEFAULT_BYTES: u64 = 1 << 20;
/// Most lines of one answer: of a part, and of a search.
const MOST_LINES: usize = 10_000;
const MOST_FOUND: usize = 1_000;
/// Lines around a line.
const AROUND: u64 = 400;
/// Most bytes that one search looks through, and the number if nobody says how many.
const MOST_SEARCHED: u64 = 64 << 20;
const DEFAULT_SEARCHED: u64 = 16 << 20;

/// Query of a log.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct LogQuery {
    /// The mapped instance.
    #[param(minimum = 0)]
    #[serde(default, deserialize_with = "crate::extract::within::<0, { i64::MAX }, _, _>")]
    pub map_index: Option<i32>,
    /// From this byte on.
    #[param(maximum = 9_223_372_036_854_775_807_i64)]
    pub offset: Option<u64>,
    /// At most so many bytes (1 MiB); with `search` or `level`, so many are looked through (16 MiB).
    #[param(minimum = 1, maximum = 9_223_372_036_854_775_807_i64)]
    pub limit: Option<u64>,
    /// The last so many lines.
    #[param(minimum = 1, maximum = 10000)]
    pub tail: Option<u32>,
    /// The lines around this one.
    #[param(minimum = 1, maximum = 4_294_967_295_i64)]
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
        ("last-event-id" = Option<u64>, Header, maximum = 9_223_372_036_854_775_807_i64, description = "Byte at which a stream goes on"),
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
        ("x-log-next" = u64, description = "Byte at which the next part begins"),
    ))))]
pub(crate) async fn log(
    State(api): State<ApiState>,
    Path((run, task, n)): Path<(Uuid, String, u32)>,
    Query(query): Query<LogQuery>,
    headers: HeaderMap,
) -> Answer<Response> {
    query.check()?;
    let (run, key) = (RunId(run), read::key(&task, query.map_index));
    let attempts = api.history().attempts(run, Some(&key)).await?;
    let attempt = attempts.iter().find(|line| line.n == n);
    let attempt = attempt.ok_or_else(|| Problem::not_found(format!("attempt {n} of `{key}` of run {run}")))?;
    let last = events::last_event_id(&headers)?;
    let over = attempt.outcome.is_some();
    let log = LogKey { run_id: run, key, dispatch_no: attempt.dispatch_no };
    if wants(&headers, "text/event-stream") {
        let from = last.or(query.offset).unwrap_or(0);
        return Ok(events::log(&api, log, from));
    }
    let as_lines = wants(&headers, "application/x-ndjson");
    let mut response = if as_lines || query.is_selective() {
        lines(&api, &log, &query, as_lines).await?
    } else {
        let limit = query.limit.unwrap_or(DEFAULT_BYTES).min(MOST_BYTES);
        let found = logs::read_text(&**api.logs(), &log, query.offset.unwrap_or(0), limit).await?;
        let mut response = text(found.text);
        number(&mut response, "x-log-next", found.next);
        response
    };
    let info = api.logs().info(&log).await?;
    describe(&mut response, info.as_ref(), over);
    Ok(response)
}

impl LogQuery {
    fn check(&self) -> Answer<()> {
        // What the store counts in.
        let bytes = i64::MAX.unsigned_abs();
        if self.offset.is_some_and(|offset| offset > bytes) {
            return Err(Problem::bad_request("bad_query", format!("`offset` must be 0 to {bytes}")));
        }
        let numbers = [("limit", self.limit, bytes), ("around", self.around, u64::from(u32::MAX))];
        let tail = ("tail", self.tail.map(u64::from), MOST_LINES as u64);
        for (name, given, most) in numbers.into_iter().chain([tail]) {
            if given.is_some_and(|given| given == 0 || given > most) {
                return Err(Problem::bad_request("bad_query", format!("`{name}` must be 1 to {most}")));
            }
        }
        Ok(())
    }

    /// It asks for some lines, not for bytes.
    fn is_selective(&self) -> bool {
        self.tail.is_some() || self.around.is_some() || self.level.is_some() || self.search.is_some()
    }
}

/// Some lines, as JSON or as text.
async fn lines(api: &ApiState, key: &LogKey, query: &LogQuery, as_json: bool) -> Answer<Response> {
    let logs = &**api.logs();
    let (found, next) = if query.level.is_some() || query.search.is_some() {
        let search = SearchQuery {
            text: search(query.search.clone())?,
            level: query.level.map(log::level_of),
            from: query.offset.unwrap_or(0),
            max_lines: MOST_FOUND,
            max_bytes: query.limit.unwrap_or(DEFAULT_SEARCHED).min(MOST_SEARCHED),
        };
        let found = logs::search(logs, key, &search).await?;
        (found.lines, found.next)
    } else {
        let page = match (query.tail, query.around) {
            (Some(tail), _) => logs::tail(logs, key, u64::from(tail)).await?,
            (None, Some(line)) => logs::around(logs, key, line, AROUND).await?,
            (None, None) => {
                let bytes = query.limit.unwrap_or(DEFAULT_BYTES).min(MOST_BYTES);
                logs::lines_from(logs, key, LogAt::Offset(query.offset.unwrap_or(0)), MOST_LINES, bytes).await?
            }
        };
        (page.lines, Some(page.next))
    };
    let mut body = String::new();
    for line in &found {
        if as_json {
            let line: LogLine = log::line_of(line);
            body.push_str(&serde_json::to_string(&line).map_err(Problem::internal)?);
        } else {
            body.push_str(&line.text);
        }
        body.push('\n');
    }
    let mut response = text(body);
    if as_json {
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    }
    if let Some(next) = next {
        number(&mut response, "x-log-next", next);
    }
    Ok(response)
}

fn text(body: String) -> Response {
    ([(CONTENT_TYPE, "text/plain; charset=utf-8")], body).into_response()
}

fn number(response: &mut Response, name: &'static str, value: u64) {
    response.headers_mut().insert(HeaderName::from_static(name), HeaderValue::from(value));
}

/// What is known of the whole log.
fn describe(response: &mut Response, info: Option<&LogInfo>, over: bool) {
    number(response, "x-log-bytes", info.map_or(0, |info| info.bytes));
    if let Some(info) = info {
        number(response, "x-log-lines", info.lines);
        if let Some(mark) = &info.first_error {
            number(response, "x-log-first-error-line", mark.line);
            number(response, "x-log-first-error-offset", mark.offset);
        }
    }
    // An attempt that never said anything has no log that could be complete.
    let complete = info.map_or(over, |info| info.complete);
    let truncated = info.is_some_and(|info| info.gap.is_some());
    for (name, is) in [("x-log-complete", complete), ("x-log-truncated", truncated)] {
        let value = HeaderValue::from_static(if is { "true" } else { "false" });
        response.headers_mut().insert(HeaderName::from_static(name), value);
    }
}
