//! A stand-in for the OpenSky API: plays recorded answers, counts credits, and fails on demand.
//!
//! It answers what `states/all`, `flights/*`, `tracks/all` and the token endpoint answer, as far as a client can tell
//! them apart. It has no history and no receivers: what it was not given to play does not exist.

mod area;
mod budget;
mod endpoint;
mod fault;
mod ledger;
mod reel;
mod reply;
mod server;
mod snapshot;

use std::{
    fmt,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    thread::JoinHandle,
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::{net::TcpListener, sync::oneshot};
use uuid::Uuid;

pub use area::{Area, history_credits, states_credits};
pub use fault::{Fault, PlannedFault, Target};
pub use ledger::{Ledger, Request, Totals};

use self::{
    reel::Recordings,
    server::{BASE_PATH, Server, TOKEN_PATH},
};

/// The time that the stand-in goes by.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>);

impl Clock {
    /// The machine's clock.
    pub fn system() -> Self {
        Self(Arc::new(Utc::now))
    }

    /// Whatever the function says.
    pub fn from_fn(now: impl Fn() -> DateTime<Utc> + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    fn now(&self) -> DateTime<Utc> {
        (self.0)()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

/// How the stand-in is to behave.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Files and folders to play, in this order.
    pub play: Vec<PathBuf>,
    /// Answers given in memory, played after the files. Of the same forms.
    pub answers: Vec<Value>,
    /// Leave the aircraft where they were recorded.
    pub still: bool,
    /// Credits of every bucket, instead of 400 for the anonymous and 4,000 for the registered.
    pub credits: Option<u32>,
    /// Lifetime of a token in seconds.
    pub token_ttl_s: u32,
    /// What goes wrong, in this order.
    pub faults: Vec<PlannedFault>,
    /// How late a slow answer is.
    pub slow: Duration,
    /// The one account's id.
    pub client_id: String,
    /// The one account's secret.
    pub client_secret: String,
    /// What time it is.
    pub clock: Clock,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            play: Vec::new(),
            answers: Vec::new(),
            still: false,
            credits: None,
            token_ttl_s: 1_800,
            faults: Vec::new(),
            slow: Duration::from_secs(45),
            client_id: "standin".to_owned(),
            client_secret: Uuid::new_v4().simple().to_string(),
            clock: Clock::system(),
        }
    }
}

/// What a client needs to know; the binary's first line.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Announcement {
    /// The API's base URL.
    pub url: String,
    /// The token endpoint.
    pub token_url: String,
    /// The account's id.
    pub client_id: String,
    /// The account's secret.
    pub client_secret: String,
    /// The process that serves.
    pub pid: u32,
}

/// A running stand-in. It ends, and cuts its connections, when it is stopped or dropped.
#[derive(Debug)]
pub struct Standin {
    announcement: Announcement,
    root: String,
    server: Arc<Server>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Standin {
    /// Starts serving on a thread of its own, so that synchronous and asynchronous tests use it alike.
    ///
    /// # Errors
    /// A file cannot be read or is no recording, or the address is taken.
    pub fn start(options: &Options) -> Result<Self> {
        let mut recordings = Recordings::load(&options.play)?;
        for answer in &options.answers {
            recordings.add(answer.clone())?;
        }
        let listener = std::net::TcpListener::bind(options.listen)
            .and_then(|listener| listener.set_nonblocking(true).map(|()| listener))
            .with_context(|| format!("cannot listen on {}", options.listen))?;
        let root = format!("http://{}", listener.local_addr().context("the listener has no address")?);
        let server = Arc::new(Server::new(options, recordings));
        let router = Arc::clone(&server).router();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("cannot start the stand-in's runtime")?;
        let (stop, stopped) = oneshot::channel();
        let listener = {
            let _inside = runtime.enter();
            TcpListener::from_std(listener).context("cannot hand the listener to the runtime")?
        };
        let thread = std::thread::Builder::new()
            .name("opensky-standin".to_owned())
            .spawn(move || {
                // Dropping the runtime afterwards drops every open connection, slow ones too.
                runtime.block_on(async {
                    tokio::select! {
                        served = async { axum::serve(listener, router).await } => drop(served),
                        _ = stopped => {}
                    }
                });
            })
            .map_err(|error| anyhow!(error).context("cannot start the stand-in's thread"))?;
        let announcement = Announcement {
            url: format!("{root}{BASE_PATH}"),
            token_url: format!("{root}{TOKEN_PATH}"),
            client_id: options.client_id.clone(),
            client_secret: options.client_secret.clone(),
            pid: std::process::id(),
        };
        Ok(Self { announcement, root, server, stop: Some(stop), thread: Some(thread) })
    }

    /// What a client needs to know.
    pub fn announcement(&self) -> &Announcement {
        &self.announcement
    }

    /// The API's base URL, without a slash at its end.
    pub fn url(&self) -> &str {
        &self.announcement.url
    }

    /// The token endpoint.
    pub fn token_url(&self) -> &str {
        &self.announcement.token_url
    }

    /// The server's root, under which `/_ledger` and `/_fail` lie.
    pub fn root_url(&self) -> &str {
        &self.root
    }

    /// What was asked so far.
    pub fn ledger(&self) -> Ledger {
        self.server.ledger()
    }

    /// Lets the next `calls` calls that can show the fault show it, after those planned before.
    pub fn fail(&self, fault: Fault, calls: u32) {
        self.server.plan(PlannedFault { fault, calls });
    }

    /// Forgets the faults still to come.
    pub fn heal(&self) {
        self.server.forget_faults();
    }

    /// Ends serving and cuts every connection.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        if let Some(stop) = self.stop.take() {
            // The thread has ended already if nobody listens any more.
            stop.send(()).ok();
        }
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

impl Drop for Standin {
    fn drop(&mut self) {
        self.end();
    }
}
