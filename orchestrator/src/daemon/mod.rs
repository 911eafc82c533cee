//! The daemon: what `dev` and `serve` start, in which order, and how it ends.
//!
//! ```text
//! store ─▶ vault, connections ─▶ door ─▶ engine ─▶ catalog ─▶ scheduler ─▶ upkeep ─▶ API (addresses, socket)
//! ```
//! Ends in the opposite order: nothing new comes in, running attempts get their time, the worker says good-bye.

mod connections;
mod door;
mod front;
mod previews;
mod roles;
mod upkeep;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use data_encoding::BASE64;
use secrecy::{ExposeSecret as _, SecretString};
use updraft_api::Listener;
use updraft_auth::{Audit, Authenticator, Door, KeyOrigin, LogIn, ShellPolicy, Vault};
use updraft_catalog::{Catalog, CatalogConfig};
use updraft_engine::scheduler::{Scheduler, SchedulerConfig};
use updraft_engine::{Clock as _, Engine, Probe, SystemClock, Watch};
use updraft_model::run::Limits;
use updraft_store::Store;
use updraft_task::Registry;

pub use connections::kinds;
pub use front::{Around, Front, Served, beside, spec};
pub use roles::{Role, Roles};

use crate::cli::{self, Session};
use crate::compose::{self, Desk, Opened};
use crate::exit_code::Failure;

/// What a daemon is started with.
pub struct Options {
    /// What it does.
    pub roles: Roles,
    /// Where it listens; nowhere but on its socket if empty.
    pub listen: Vec<SocketAddr>,
    /// Workflow folders, absolute.
    pub folders: Vec<PathBuf>,
    /// Profile whose connections are used.
    pub profile: Option<String>,
    /// Attempts at one time.
    pub slots: Option<u32>,
    /// Why others may reach it.
    pub reason: Option<String>,
    /// Whoever has the link is the local admin (`dev`).
    pub dev: bool,
    /// Socket for commands beside this process.
    pub socket: PathBuf,
    /// Secrets may be written through it: it makes a master key where there is none.
    pub seals: bool,
    /// What `updraft bench` looks at it with.
    pub bench: Option<Bench>,
}

/// A daemon that is measured.
pub struct Bench {
    /// The task types that it runs instead of the session's.
    pub registry: Arc<Registry>,
    /// Looks at bodies.
    pub probe: Arc<dyn Probe>,
}

impl Options {
    /// For a process that answers on its socket alone.
    pub fn beside(socket: PathBuf, profile: Option<String>) -> Self {
        Self {
            roles: Roles::api(),
            listen: Vec::new(),
            folders: Vec::new(),
            profile,
            slots: None,
            reason: None,
            dev: false,
            socket,
            seals: true,
            bench: None,
        }
    }

    /// Whether it is such a process: it looks after nobody, and is no part of what stands behind a proxy.
    fn is_alone(&self) -> bool {
        self.listen.is_empty() && self.roles == Roles::api()
    }
}

/// A running daemon.
pub struct Daemon {
    /// Where it listens.
    pub addresses: Vec<SocketAddr>,
    /// How people get in, for the first time or with every start of `dev`: a path with a token.
    pub login_path: Option<String>,
    /// How it opens.
    pub door: Door,
    store: Arc<dyn Store>,
    engine: Arc<Engine>,
    catalog: Option<Arc<Catalog>>,
    scheduler: Option<Scheduler>,
    upkeep: upkeep::Upkeep,
    served: Served,
}

/// Starts a daemon on an opened store.
///
/// # Errors
/// The door must not open, an address is taken; the store is closed then.
pub async fn start(session: &Session, options: Options, opened: Opened) -> Result<Daemon, Failure> {
    let started = start_on(session, options, &opened).await;
    if started.is_err() {
        opened.store.close().await;
    }
    started
}

/// Starts a daemon on a store that is open; the daemon closes it.
///
/// # Errors
/// As [`start`]; the store is then still open.
pub async fn start_on(session: &Session, options: Options, opened: &Opened) -> Result<Daemon, Failure> {
    let settings = &session.project.server;
    let front = Front::open(session, &options, opened).await?;
    let (clock, connections) = (Arc::clone(&front.clock), Arc::clone(&front.connections));
    for warning in connections.warnings() {
        tracing::warn!("{warning}");
    }

    let registry = options.bench.as_ref().map_or(&session.registry, |bench| &bench.registry);
    let mut config = compose::engine_config(session, opened, Arc::clone(registry), front.connections_for_tasks());
    config.clock = Arc::<SystemClock>::clone(&clock);
    config.probe = options.bench.as_ref().map(|bench| Arc::clone(&bench.probe));
    config.logs = Some(Arc::clone(&opened.logs));
    config.watch = (!options.is_alone()).then(Watch::default);
    config.scheduling = Some(Arc::clone(&opened.scheduling));
    let scheduler = options.roles.has(Role::Scheduler).then(|| {
        let clock = Arc::<SystemClock>::clone(&clock);
        let config = SchedulerConfig::new(Arc::clone(&opened.scheduling), clock, opened.store.kind());
        Scheduler::start(SchedulerConfig { store_clock: true, ..config })
    });
    config.scheduler = scheduler.as_ref().map(Scheduler::handle);
    // Without slots nothing is claimed from them; a run that is re-opened out of a private queue moves to the first.
    config.queues = settings.queues.clone().unwrap_or_else(|| vec![SchedulerConfig::QUEUE.to_owned()]);
    let slots = options.slots.or(settings.slots).unwrap_or(config.slots);
    config.slots = if options.roles.has(Role::Worker) { slots } else { 0 };
    config.command_queues = match &front.door.shell {
        ShellPolicy::Everywhere => None,
        ShellPolicy::Queues(queues) => Some(queues.clone()),
    };
    // Its runs are carried out by every worker of their queue, so that more is dispatched than it takes itself.
    config.dispatch_window = Limits::for_slots(slots).window;
    let engine = Arc::new(Engine::start(config).await.map_err(compose::engine_failure)?);
    if options.is_alone() {
        // It does not live until they are taken up by themselves.
        engine.take_up_logs().await;
    }
    let checked_against = spec(registry, &connections);

    let mut catalog = None;
    if options.roles.has(Role::Scheduler) && !options.folders.is_empty() {
        let config = CatalogConfig {
            folders: options.folders.clone(),
            project: session.project.dir.clone(),
            source: session.project.source.clone(),
            spec: checked_against.clone(),
            store: Arc::clone(&opened.scheduling),
            now: cli::now,
        };
        let started = Catalog::start(config).await.map_err(|error| Failure::unreachable(error.to_string()))?;
        catalog = Some(Arc::new(started));
    }
    if let (Some(catalog), Some(scheduler)) = (&catalog, &scheduler) {
        // A publication may have brought the next fire nearer.
        let (mut changes, scheduler) = (catalog.changes(), scheduler.handle());
        scheduler.notify();
        tokio::spawn(async move {
            while changes.changed().await.is_ok() {
                scheduler.notify();
            }
        });
    }

    let (desk, audit_clock) = (opened.desk()?, Arc::clone(&clock));
    let upkeep = upkeep::Upkeep::start(upkeep::Work {
        store: Arc::clone(&desk.upkeep),
        idempotency: Arc::clone(&desk.idempotency),
        audit: Audit::new(Arc::clone(&desk.accounts), Arc::new(move || audit_clock.now())),
        compacted: Arc::default(),
        logs: Arc::clone(&opened.logs),
        authenticator: Arc::clone(&front.authenticator),
        connections: Arc::clone(&connections),
        retention: settings.retention.clone(),
    })
    .await
    .map_err(|error| Failure::unreachable(format!("the daemon's own upkeep does not start: {error}")))?;

    let mut listeners = Vec::new();
    if options.roles.has(Role::Api) {
        for address in &front.door.listen {
            let listener = match &front.door.tls {
                Some(tls) => Listener::tls(*address, &tls.certificate, &tls.key).await,
                None => Listener::tcp(*address).await,
            };
            listeners.push(listener.map_err(|error| {
                Failure::input(format!("cannot listen on {address}: {error}"))
                    .hint("another process may have it: choose one by --listen, or 127.0.0.1:0 for any that is free")
            })?);
        }
    }
    let addresses: Vec<SocketAddr> = listeners.iter().filter_map(Listener::address).collect();
    listeners.push(beside(&options.socket)?);

    let login_path = login_path(session, &options, &front.authenticator).await?;
    let (store, door) = (Arc::clone(&opened.store), front.door.clone());
    let around = Around {
        engine: Arc::clone(&engine),
        scheduler: scheduler.as_ref().map(Scheduler::handle),
        catalog: catalog.clone(),
        registry: Arc::clone(registry),
        spec: checked_against,
        upkeep: upkeep.source(),
    };
    let served = front.serve(session, opened, around, listeners)?;
    Ok(Daemon { addresses, login_path, door, store, engine, catalog, scheduler, upkeep, served })
}

fn key_origin(session: &Session) -> KeyOrigin {
    let file = session.project.server.master_key_file.as_ref();
    KeyOrigin::choose(
        session.environment.get(updraft_auth::vault::KEY_VARIABLE).cloned(),
        file.map(|file| session.project.dir.join(file)),
        session.project.data_dir().join("master.key"),
    )
}

/// The keys that seal secrets at rest.
///
/// # Errors
/// A key that is refused, with the reason.
pub fn vault(session: &Session) -> Result<Vault, Failure> {
    Vault::load(key_origin(session)).map_err(|error| Failure::input(error.to_string()))
}

/// The same for a process through which no secret is written: where there is no key yet, none is made in anybody's folder.
fn vault_for_reading(session: &Session) -> Result<Vault, Failure> {
    let passing = match key_origin(session) {
        KeyOrigin::Generated(path) if !path.exists() => {
            let random = [uuid::Uuid::new_v4(), uuid::Uuid::new_v4()].map(uuid::Uuid::into_bytes).concat();
            KeyOrigin::Text(SecretString::from(BASE64.encode(&random)))
        }
        origin @ (KeyOrigin::Text(_) | KeyOrigin::File(_) | KeyOrigin::Generated(_)) => origin,
    };
    Vault::load(passing).map_err(|error| Failure::input(error.to_string()))
}

/// `dev`'s link, or the one for the first admin.
async fn login_path(
    session: &Session,
    options: &Options,
    authenticator: &Authenticator,
) -> Result<Option<String>, Failure> {
    let failed = |error: updraft_auth::AuthError| Failure::unreachable(error.to_string());
    if !options.roles.has(Role::Api) || options.listen.is_empty() {
        return Ok(None);
    }
    if options.dev {
        let file = session.project.data_dir().join("login-link");
        let link = authenticator.dev_link(Some(&file)).map_err(failed)?;
        return Ok(Some(format!("/login-link?token={}", link.token.expose_secret())));
    }
    let link = authenticator.first_admin_link().await.map_err(failed)?;
    Ok(link.map(|link| format!("/setup?token={}", link.token.expose_secret())))
}

/// Who can log in to a `serve`.
async fn log_in(options: &Options, desk: &Desk) -> Result<LogIn, Failure> {
    if options.dev {
        return Ok(LogIn::DevLink);
    }
    Ok(if desk.accounts.has_admin().await? { LogIn::Admin } else { LogIn::FirstAdminLink })
}

impl Daemon {
    /// Its first address as people type it.
    pub fn url(&self) -> Option<String> {
        if let Some(url) = &self.door.public_url {
            return Some(url.clone());
        }
        let scheme = if self.door.tls.is_some() { "https" } else { "http" };
        self.addresses.first().map(|address| format!("{scheme}://{address}"))
    }

    /// Takes nothing new; running attempts get their time.
    pub async fn drain(&self) {
        if let Some(scheduler) = &self.scheduler {
            scheduler.shutdown().await;
        }
        self.engine.drain().await;
    }

    /// Kills running attempts; they are repeated elsewhere, or at the next start.
    pub async fn abort(&self) {
        self.engine.abort().await;
    }

    /// Ends everything.
    pub async fn shutdown(self) {
        self.served.close();
        if let Some(scheduler) = &self.scheduler {
            scheduler.shutdown().await;
        }
        if let Some(catalog) = &self.catalog {
            catalog.shutdown().await;
        }
        self.upkeep.shutdown().await;
        self.served.end().await;
        self.engine.shutdown().await;
        self.store.close().await;
    }
}
