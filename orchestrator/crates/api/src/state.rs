//! What the server is started with, and what handlers share.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use updraft_auth::{Audit, Authenticator, Connections, Door};
use updraft_catalog::Catalog;
use updraft_engine::scheduler::SchedulerHandle;
use updraft_engine::{Clock, Engine};
use updraft_model::time::Timestamp;
use updraft_store::accounts::Accounts;
use updraft_store::logs::Logs;
use updraft_store::scheduling::Scheduling;
use updraft_store::{History, Idempotency, Reader, Store};
use updraft_task::Registry;

use crate::datasets::DatasetPreviewer;
use crate::denials::Denials;
use crate::dto::UpkeepJob;
use crate::events::{Feeds, Hub};
use crate::graph::Graphs;
use crate::metrics::Metrics;
use crate::openapi::openapi_json;
use crate::statics::Assets;
use crate::versions::Versions;

/// Tells how the daemon's own upkeep stands.
pub type UpkeepSource = Arc<dyn Fn() -> Vec<UpkeepJob> + Send + Sync>;

/// What the server is started with.
#[derive(Clone)]
pub struct ApiConfig {
    /// What makes and changes runs. A process without slots has one too.
    pub engine: Arc<Engine>,
    /// The engine's store.
    pub store: Arc<dyn Store>,
    /// Reads of single runs.
    pub reader: Arc<dyn Reader>,
    /// Reads of lists and pages.
    pub history: Arc<dyn History>,
    /// Logs of attempts.
    pub logs: Arc<dyn Logs>,
    /// Schedules, pausing, publications.
    pub scheduling: Arc<dyn Scheduling>,
    /// Users, sessions, the audit log.
    pub accounts: Arc<dyn Accounts>,
    /// Keys under which requests may be made again.
    pub idempotency: Arc<dyn Idempotency>,
    /// Who somebody is.
    pub authenticator: Arc<Authenticator>,
    /// What comes in at all.
    pub door: Arc<Door>,
    /// Connections out of their three sources.
    pub connections: Arc<Connections>,
    /// Told of pauses, where this process fires schedules.
    pub scheduler: Option<SchedulerHandle>,
    /// The workflow files; `None` in a process that reads none.
    pub catalog: Option<Arc<Catalog>>,
    /// Task types and kinds of connections that this build knows.
    pub registry: Arc<Registry>,
    /// What workflow files are checked against: always the newest.
    pub spec: watch::Receiver<Arc<updraft_spec::Catalog>>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The user interface, if this build carries one.
    pub assets: Option<Arc<dyn Assets>>,
    /// Looks into datasets, if this build can.
    pub previewer: Option<Arc<dyn DatasetPreviewer>>,
    /// How the daemon's own upkeep stands.
    pub upkeep: UpkeepSource,
    /// What this was built from, as `status` says it.
    pub build: String,
    /// Longest time to the head of an answer ([`crate::REQUEST_TIMEOUT`]).
    pub request_timeout: Duration,
    /// Cancelled at the end: open streams close.
    pub stop: CancellationToken,
}

/// Everything that handlers share.
#[derive(Clone)]
pub struct ApiState(Arc<Inner>);

struct Inner {
    config: ApiConfig,
    started_at: Timestamp,
    openapi: String,
    hub: Hub,
    feeds: Feeds,
    denials: Denials,
    graphs: Graphs,
    metrics: Metrics,
    versions: Versions,
}

impl ApiState {
    /// Begins to listen for changes. Needs a tokio runtime.
    pub fn new(config: ApiConfig) -> Self {
        let (reader, stop) = (Arc::clone(&config.reader), config.stop.clone());
        let hub = Hub::start(&config.store, Arc::clone(&reader), Some(config.engine.subscribe()), stop.clone());
        if let Some(catalog) = &config.catalog {
            hub.follow_catalog(catalog.changes(), stop);
        }
        Self(Arc::new(Inner {
            started_at: config.clock.now(),
            openapi: openapi_json(),
            hub,
            feeds: Feeds::default(),
            denials: Denials::default(),
            graphs: Graphs::default(),
            metrics: Metrics::new(),
            versions: Versions::new(reader),
            config,
        }))
    }

    pub(crate) fn config(&self) -> &ApiConfig {
        &self.0.config
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.0.config.engine
    }

    pub(crate) fn store(&self) -> &dyn Store {
        &*self.0.config.store
    }

    pub(crate) fn reader(&self) -> &dyn Reader {
        &*self.0.config.reader
    }

    pub(crate) fn history(&self) -> &dyn History {
        &*self.0.config.history
    }

    pub(crate) fn logs(&self) -> &Arc<dyn Logs> {
        &self.0.config.logs
    }

    pub(crate) fn scheduling(&self) -> &dyn Scheduling {
        &*self.0.config.scheduling
    }

    pub(crate) fn accounts(&self) -> &dyn Accounts {
        &*self.0.config.accounts
    }

    pub(crate) fn idempotency(&self) -> &dyn Idempotency {
        &*self.0.config.idempotency
    }

    pub(crate) fn authenticator(&self) -> &Authenticator {
        &self.0.config.authenticator
    }

    pub(crate) fn audit(&self) -> &Audit {
        self.0.config.authenticator.audit()
    }

    pub(crate) fn door(&self) -> &Door {
        &self.0.config.door
    }

    pub(crate) fn connections(&self) -> &Connections {
        &self.0.config.connections
    }

    pub(crate) fn catalog(&self) -> Option<&Catalog> {
        self.0.config.catalog.as_deref()
    }

    pub(crate) fn assets(&self) -> Option<&dyn Assets> {
        self.0.config.assets.as_deref()
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.0.config.clock.now()
    }

    pub(crate) fn started_at(&self) -> Timestamp {
        self.0.started_at
    }

    pub(crate) fn stop(&self) -> &CancellationToken {
        &self.0.config.stop
    }

    pub(crate) fn request_timeout(&self) -> Duration {
        self.0.config.request_timeout
    }

    pub(crate) fn hub(&self) -> &Hub {
        &self.0.hub
    }

    pub(crate) fn feeds(&self) -> &Feeds {
        &self.0.feeds
    }

    pub(crate) fn denials(&self) -> &Denials {
        &self.0.denials
    }

    pub(crate) fn graphs(&self) -> &Graphs {
        &self.0.graphs
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    pub(crate) fn versions(&self) -> &Versions {
        &self.0.versions
    }

    pub(crate) fn openapi_text(&self) -> String {
        self.0.openapi.clone()
    }
}
