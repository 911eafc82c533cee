//! The streams themselves: each pulls at its own pace.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use futures::{Stream, StreamExt as _, stream};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;
use updraft_model::id::RunId;
use updraft_store::logs::LogKey;
use updraft_store::read::HistoryEntry;

use super::Hint;
use super::feed::{Commit, Feed, PAGE};
use crate::dto::{EventEntry, LogLine, Me, Time};
use crate::problem::Problem;
use crate::read::log::line_of;
use crate::state::ApiState;

/// Comments that keep proxies from closing a silent stream.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// A look without a hint: another process may have written and its hint been lost.
const LOOK: Duration = Duration::from_secs(5);
type Said = Result<Event, Infallible>;

fn respond(api: &ApiState, events: impl Stream<Item = Said> + Send + 'static) -> Response {
    let guard = api.metrics().stream_opened();
    let events = events.map(move |event| {
        let _open = &guard;
        event
    });
    sent(events, api.stop().clone(), KEEP_ALIVE)
}

/// Until the server ends; a silent stream says a comment after each `pause`.
fn sent(events: impl Stream<Item = Said> + Send + 'static, stop: CancellationToken, pause: Duration) -> Response {
    let until_stop = events.take_until(stop.cancelled_owned());
    let mut response = Sse::new(until_stop).keep_alive(KeepAlive::new().interval(pause)).into_response();
    response.headers_mut().insert("x-accel-buffering", axum::http::HeaderValue::from_static("no"));
    response
}

fn json(event: Event, data: &impl serde::Serialize) -> Event {
    event.json_data(data).unwrap_or_else(|error| {
        tracing::error!(%error, "an event could not be written");
        Event::default().comment("lost")
    })
}

/// Hints for lists. The first word is always `reset`, with who listens: they read their lists again.
pub(crate) fn hints(api: &ApiState, who: &Me) -> Response {
    let first = stream::iter([Ok(json(Event::default().event("reset"), who))]);
    let hints = heard(api.hub().subscribe()).map(|hint| Ok(hint_event(&hint)));
    respond(api, first.chain(hints))
}

fn heard(hints: Receiver<Arc<Hint>>) -> impl Stream<Item = Arc<Hint>> + Send {
    stream::unfold(hints, |mut hints| async move {
        let hint = match hints.recv().await {
            Ok(hint) => hint,
            // It read too slowly: what was missed is covered by reading everything again.
            Err(RecvError::Lagged(_)) => Arc::new(Hint::Reset),
            Err(RecvError::Closed) => return None,
        };
        Some((hint, hints))
    })
}

fn hint_event(hint: &Hint) -> Event {
    match hint {
        Hint::Reset => Event::default().event("reset").data("{}"),
        Hint::Run(run) => json(Event::default().event("run"), run),
        Hint::Catalog { workflow } => {
            json(Event::default().event("catalog"), &serde_json::json!({ "workflow": workflow }))
        }
    }
}

struct Following {
    api: ApiState,
    run: RunId,
    after: u64,
    hints: Receiver<Arc<Hint>>,
    feed: Arc<Feed>,
    ready: VecDeque<Arc<Commit>>,
    /// The last read found the end: the next one is for a hint.
    at_end: bool,
}

/// A run's commits behind a version, gap-free, and what follows.
pub(crate) fn run_events(api: &ApiState, run: RunId, after: u64) -> Response {
    // Listen before the first read: what is committed in between is then heard of.
    let hints = api.hub().subscribe();
    let feed = api.feeds().of(run);
    let following = Following { api: api.clone(), run, after, hints, feed, ready: VecDeque::new(), at_end: false };
    let events = stream::unfold(following, |mut following| async move {
        loop {
            if let Some(commit) = following.ready.pop_front() {
                following.after = commit.version;
                return Some((Ok(commit_event(&commit)), following));
            }
            if following.at_end {
                following.wait().await;
            }
            match following.feed.behind(following.api.history(), following.after).await {
                Ok(commits) => {
                    following.at_end = commits.len() < PAGE as usize;
                    following.ready = commits.into();
                }
                Err(error) => {
                    tracing::debug!(%error, "a stream of events waits for the store");
                    following.at_end = false;
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
        }
    });
    respond(api, events)
}

impl Following {
    /// Until something about the run was heard, or for [`LOOK`].
    async fn wait(&mut self) {
        let (run, after) = (self.run, self.after);
        let heard = async {
            loop {
                match self.hints.recv().await {
                    Ok(hint) => match &*hint {
                        Hint::Run(hint) if hint.run == run && hint.version > after => return,
                        Hint::Reset => return,
                        Hint::Run(_) | Hint::Catalog { .. } => {}
                    },
                    Err(RecvError::Lagged(_)) => return,
                    Err(RecvError::Closed) => std::future::pending().await,
                }
            }
        };
        // Either way the next read decides.
        let _ = tokio::time::timeout(LOOK, heard).await;
    }
}

fn commit_event(commit: &Commit) -> Event {
    Event::default().event("commit").id(commit.version.to_string()).data(&commit.data)
}

/// A commit in the contract's shape.
pub(crate) fn event_entry(entry: HistoryEntry) -> EventEntry {
    let events = entry.events.iter().map(|event| serde_json::to_value(event).unwrap_or_default()).collect();
    EventEntry { version: entry.version, at: Time(entry.at), actor: entry.actor, events }
}

/// A log from a byte on, as it grows; ends with `end` when nothing more will come.
///
/// The id of each line is the byte behind it: where a client that lost the stream goes on.
pub(crate) fn log(api: &ApiState, log: LogKey, from: u64) -> Response {
    let pages = updraft_store::logs::follow(Arc::clone(api.logs()), log, from);
    let events = pages.flat_map(|page| {
        let events: Vec<Said> = match page {
            Err(error) => {
                tracing::debug!(%error, "a followed log waits for the store");
                Vec::new()
            }
            Ok(page) => {
                let end = page.is_end();
                let behind: Vec<u64> = page.lines.iter().skip(1).map(|line| line.offset).chain([page.next]).collect();
                let mut events: Vec<Said> =
                    page.lines.iter().zip(&behind).map(|(line, next)| Ok(line_event(line_of(line), *next))).collect();
                if end {
                    let last = Event::default().event("end").id(page.next.to_string());
                    events.push(Ok(json(last, &serde_json::json!({ "bytes": page.next }))));
                }
                events
            }
        };
        stream::iter(events)
    });
    respond(api, events)
}

fn line_event(line: LogLine, next: u64) -> Event {
    json(Event::default().event("line").id(next.to_string()), &line)
}

/// Why a stream cannot begin: the id that the client gives is none of ours.
pub(crate) fn last_event_id(headers: &axum::http::HeaderMap) -> Result<Option<u64>, Problem> {
    let Some(value) = headers.get("last-event-id") else { return Ok(None) };
    let text = value.to_str().unwrap_or_default();
    // What the store counts in.
    let id = text.parse().ok().filter(|id: &u64| i64::try_from(*id).is_ok());
    id.map(Some).ok_or_else(|| {
        Problem::bad_request("bad_event_id", format!("`Last-Event-ID: {text}` is no id that this stream sent"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_silent_stream_says_a_comment_now_and_then_and_ends_with_the_server() {
        let stop = CancellationToken::new();
        let events = stream::iter([Ok(hint_event(&Hint::Reset))]).chain(stream::pending());
        let mut body = sent(events, stop.clone(), Duration::from_millis(40)).into_body().into_data_stream();
        assert_eq!(body.next().await.unwrap().unwrap(), "event: reset\ndata: {}\n\n");
        let begun = std::time::Instant::now();
        for beat in 1..=3 {
            let comment = body.next().await.unwrap().unwrap();
            assert!(comment.starts_with(b":") && comment.ends_with(b"\n\n"), "{comment:?}");
            assert!(begun.elapsed() >= Duration::from_millis(40 * beat - 5));
        }
        stop.cancel();
        assert!(body.next().await.is_none());
    }

    /// Whoever reads too slowly is told to read everything again, and goes on.
    #[tokio::test]
    async fn hints_that_were_missed_are_a_reset() {
        let (sender, receiver) = tokio::sync::broadcast::channel(2);
        for at in 0..5 {
            let _ = sender.send(Arc::new(Hint::Catalog { workflow: Some(format!("w{at}")) }));
        }
        let mut hints = Box::pin(heard(receiver));
        let mut seen = Vec::new();
        for _ in 0..3 {
            seen.push(hints.next().await.unwrap());
        }
        drop(sender);
        assert!(hints.next().await.is_none());
        assert!(matches!(*seen[0], Hint::Reset), "{seen:?}");
        assert!(matches!(&*seen[2], Hint::Catalog { workflow: Some(name) } if name == "w4"), "{seen:?}");
    }
}
