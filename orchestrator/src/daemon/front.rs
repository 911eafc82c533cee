//! The API of a process: what stands before its engine (who may come in, connections), and how it is served. A daemon has
//! one, and so has a foreground `run`, on its socket alone.

use std::path::Path;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use updraft_api::{ApiConfig, ApiState, Assets, DatasetPreviewer, Listener, UpkeepSource};
use updraft_auth::{Authenticator, Connections, Door};
use updraft_catalog::Catalog;
use updraft_engine::scheduler::SchedulerHandle;
use updraft_engine::{Clock as _, Engine, SystemClock};
use updraft_task::Registry;

use super::previews::Previews;
use super::{Options, connections, door, key_origin, vault, vault_for_reading};
use crate::cli::{self, Session};
use crate::compose::Opened;
use crate::exit_code::Failure;
use crate::ui_assets::Pages;

/// What stands before the engine.
pub struct Front {
    /// How it opens.
    pub door: Door,
    /// Connections out of their three sources.
    pub connections: Arc<Connections>,
    /// Who somebody is.
    pub authenticator: Arc<Authenticator>,
    /// The time.
    pub clock: Arc<SystemClock>,
}

/// What stands around it once it is served.
pub struct Around {
    /// What makes and changes runs.
    pub engine: Arc<Engine>,
    /// Told of pauses, where this process fires schedules.
    pub scheduler: Option<SchedulerHandle>,
    /// The workflow files, in a process that reads some.
    pub catalog: Option<Arc<Catalog>>,
    /// Task types and kinds of connections.
    pub registry: Arc<Registry>,
    /// What files are checked against.
    pub spec: watch::Receiver<Arc<updraft_spec::Catalog>>,
    /// How the upkeep stands.
    pub upkeep: UpkeepSource,
}

/// A served API.
pub struct Served {
    stop: CancellationToken,
    server: JoinHandle<()>,
}

/// The socket beside the store.
///
/// # Errors
/// It cannot be made.
pub fn beside(socket: &Path) -> Result<Listener, Failure> {
    Listener::unix(socket)
        .map_err(|error| Failure::unreachable(format!("cannot listen on {}: {error}", socket.display())))
}

/// What workflow files are checked against, made anew when connections change.
pub fn spec(registry: &Arc<Registry>, connections: &Arc<Connections>) -> watch::Receiver<Arc<updraft_spec::Catalog>> {
    let (registry, mut changes) = (Arc::clone(registry), connections.changes());
    let (told, spec) = watch::channel(Arc::new(cli::spec_of(&registry, &connections.snapshot())));
    let connections = Arc::downgrade(connections);
    tokio::spawn(async move {
        while changes.changed().await.is_ok() {
            let Some(connections) = connections.upgrade() else { return };
            if told.send(Arc::new(cli::spec_of(&registry, &connections.snapshot()))).is_err() {
                return;
            }
        }
    });
    spec
}

impl Front {
    /// Judges the door and looks at connections.
    ///
    /// # Errors
    /// The door must not open, the master key is refused, an unknown profile, the store cannot be read.
    pub async fn open(session: &Session, options: &Options, opened: &Opened) -> Result<Self, Failure> {
        let desk = opened.desk()?;
        let door = door::open(session, options, desk, &key_origin(session)).await?;
        let vault = Arc::new(if options.seals { vault(session)? } else { vault_for_reading(session)? });
        let connections = Arc::new(connections::open(session, desk, vault, options.profile.as_deref()).await?);
        let clock = Arc::new(SystemClock::default());
        let auth_clock: updraft_auth::Clock = {
            let clock = Arc::clone(&clock);
            Arc::new(move || clock.now())
        };
        let authenticator = Arc::new(Authenticator::new(Arc::clone(&desk.accounts), door.auth, auth_clock));
        Ok(Self { door, connections, authenticator, clock })
    }

    /// What tasks get: always the newest.
    pub fn connections_for_tasks(&self) -> connections::ForTasks {
        connections::ForTasks(Arc::clone(&self.connections))
    }

    /// Serves the API.
    ///
    /// # Errors
    /// A store in memory.
    pub fn serve(
        self,
        session: &Session,
        opened: &Opened,
        around: Around,
        listeners: Vec<Listener>,
    ) -> Result<Served, Failure> {
        let desk = opened.desk()?.clone();
        let previewer: Arc<dyn DatasetPreviewer> = Arc::new(Previews::new(
            self.connections_for_tasks(),
            Arc::clone(&around.registry),
            session.project.dir.clone(),
        ));
        let stop = CancellationToken::new();
        let state = ApiState::new(ApiConfig {
            engine: around.engine,
            store: Arc::clone(&opened.store),
            reader: Arc::clone(&opened.reader),
            history: desk.history,
            logs: Arc::clone(&opened.logs),
            scheduling: Arc::clone(&opened.scheduling),
            accounts: desk.accounts,
            idempotency: desk.idempotency,
            scheduler: around.scheduler,
            authenticator: self.authenticator,
            connections: self.connections,
            door: Arc::new(self.door),
            catalog: around.catalog,
            registry: around.registry,
            spec: around.spec,
            clock: self.clock,
            assets: Pages::carried().map(|pages| Arc::new(pages) as Arc<dyn Assets>),
            previewer: Some(previewer),
            upkeep: around.upkeep,
            build: concat!("updraft ", env!("CARGO_PKG_VERSION")).to_owned(),
            request_timeout: updraft_api::REQUEST_TIMEOUT,
            stop: stop.clone(),
        });
        let server = tokio::spawn(updraft_api::serve(updraft_api::app(state), listeners, stop.clone()));
        Ok(Served { stop, server })
    }
}

impl Served {
    /// Lets nobody in any more; streams end.
    pub fn close(&self) {
        self.stop.cancel();
    }

    /// Waits for the requests that are under way.
    pub async fn end(self) {
        self.stop.cancel();
        if let Err(error) = self.server.await {
            tracing::warn!(%error, "the server did not end in good order");
        }
    }
}
