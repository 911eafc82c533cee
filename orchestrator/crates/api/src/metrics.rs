//! Prometheus text. What the server counts itself is kept; what the store knows is asked for at each scrape. The names are
//! documented in `docs/metrics.md`; a test compares.

use std::sync::atomic::AtomicU64;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use updraft_auth::metrics_open_to;
use updraft_store::{Counters, Purpose, WorkerState};

use crate::problem::Problem;
use crate::serve::Peer;
use crate::state::ApiState;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    method: String,
    route: String,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabel {
    route: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabel {
    state: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct QueueLabel {
    queue: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PurposeLabel {
    purpose: &'static str,
}

/// What the server counts.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    seconds: Family<RouteLabel, Histogram, fn() -> Histogram>,
    streams: Gauge,
}

/// An open stream; counts until it is dropped.
#[derive(Debug)]
pub(crate) struct OpenStream(Gauge);

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.0.dec();
    }
}

fn histogram() -> Histogram {
    Histogram::new([0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0])
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut registry = Registry::with_prefix("updraft");
        let metrics = Self {
            requests: Family::default(),
            seconds: Family::new_with_constructor(histogram as fn() -> Histogram),
            streams: Gauge::default(),
            registry: Registry::default(),
        };
        registry.register("http_requests", "Requests answered", metrics.requests.clone());
        registry.register("http_request_seconds", "Time to the head of the answer", metrics.seconds.clone());
        registry.register("http_open_streams", "Event and log streams that are open", metrics.streams.clone());
        Self { registry, ..metrics }
    }

    /// Counts a stream until what is returned is dropped.
    pub(crate) fn stream_opened(&self) -> OpenStream {
        self.streams.inc();
        OpenStream(self.streams.clone())
    }
}

/// Counts requests by route, never by address: an id in a label would make as many series as there are runs.
pub(crate) async fn measure(State(api): State<ApiState>, request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map_or("page", MatchedPath::as_str).to_owned();
    let method = request.method().as_str().to_owned();
    let begun = Instant::now();
    let response = next.run(request).await;
    let metrics = api.metrics();
    metrics.seconds.get_or_create(&RouteLabel { route: route.clone() }).observe(begun.elapsed().as_secs_f64());
    metrics.requests.get_or_create(&RequestLabels { method, route, status: response.status().as_u16() }).inc();
    response
}

/// `GET /metrics`, for peers on this machine.
pub(crate) async fn scrape(State(api): State<ApiState>, request: Request) -> Result<Response, Problem> {
    // Behind a proxy every peer looks near: what a proxy passed on is not for it.
    let passed_on = ["x-forwarded-for", "forwarded"].iter().any(|name| request.headers().contains_key(*name));
    let open = match request.extensions().get::<Peer>() {
        Some(Peer::Tcp { address, .. }) => metrics_open_to(address.ip(), passed_on),
        Some(Peer::Unix { .. }) => true,
        None => false,
    };
    if !open {
        return Err(Problem::not_found("this address"));
    }
    let found = looked_up(&api).await?;
    let mut text = String::new();
    encode_registry(&mut text, &api.metrics().registry)
        .and_then(|()| encode_registry(&mut text, &found))
        .and_then(|()| encode_eof(&mut text))
        .map_err(Problem::internal)?;
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(CONTENT_TYPE, kind)], text).into_response())
}

async fn looked_up(api: &ApiState) -> Result<Registry, Problem> {
    let mut registry = Registry::with_prefix("updraft");
    let info = prometheus_client::metrics::info::Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]);
    registry.register("build", "This build", info);
    let started: Gauge = Gauge::default();
    started.set(api.started_at().as_millis().div_euclid(1000));
    registry.register("start_time_seconds", "When this process began, Unix time", started);
    store_counters(&mut registry, api.store().counters());
    let (ready, executing) = (Family::<QueueLabel, Gauge>::default(), Family::<QueueLabel, Gauge>::default());
    let oldest = Family::<QueueLabel, Gauge<f64, AtomicU64>>::default();
    let now = api.now();
    for depth in api.history().queues().await? {
        // Queues of single runs are one series: there are as many as runs.
        let queue = if depth.queue.starts_with("run:") { "run".to_owned() } else { depth.queue };
        let label = QueueLabel { queue };
        ready.get_or_create(&label).inc_by(i64::from(depth.ready));
        executing.get_or_create(&label).inc_by(i64::from(depth.executing));
        let waited = depth.oldest.map_or(0.0, |since| now.since(since).as_secs_f64());
        let longest = oldest.get_or_create(&label);
        longest.set(longest.get().max(waited));
    }
    registry.register("queue_ready", "Task runs that a worker could take", ready);
    registry.register("queue_executing", "Task runs that workers execute", executing);
    registry.register("queue_oldest_seconds", "How long the first of the line has waited", oldest);
    let totals = api.scheduling().schedule_totals(now).await?;
    let due: Gauge = Gauge::default();
    due.set(i64::try_from(totals.due).unwrap_or(i64::MAX));
    registry.register("schedules_due", "Schedules that are due and not yet looked at", due);
    let skipped: Counter = Counter::default();
    skipped.inc_by(totals.skipped);
    registry.register("skipped_fires", "Fires that did not become runs, ever", skipped);
    let workers = Family::<StateLabel, Gauge>::default();
    for peer in api.store().peers().await? {
        workers.get_or_create(&StateLabel { state: worker_state(peer.state) }).inc();
    }
    registry.register("workers", "Workers", workers);
    Ok(registry)
}

/// The one spelling of where a worker is.
pub(crate) fn worker_state(state: WorkerState) -> &'static str {
    match state {
        WorkerState::Active => "active",
        WorkerState::Draining => "draining",
        WorkerState::Suspect => "suspect",
        WorkerState::Dead => "dead",
        WorkerState::Gone => "gone",
    }
}

fn store_counters(registry: &mut Registry, counters: &Counters) {
    let (commits, trips) = (Family::<PurposeLabel, Counter>::default(), Family::<PurposeLabel, Counter>::default());
    for purpose in Purpose::ALL {
        let label = PurposeLabel { purpose: purpose.name() };
        commits.get_or_create(&label).inc_by(counters.commits(purpose));
        trips.get_or_create(&label).inc_by(counters.round_trips(purpose));
    }
    registry.register("store_commits", "Transactions of this process that wrote", commits);
    registry.register("store_round_trips", "Requests of this process that waited for the database", trips);
}
