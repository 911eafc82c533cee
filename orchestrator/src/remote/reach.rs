//! The way to the API, chosen.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::{Api, sockets};
use crate::cli::{Session, who};
use crate::compose;
use crate::daemon::{self, Daemon, Options};
use crate::exit_code::{ExitCode, Failure};

/// How long what was reached once may stay away while something is waited for: a restart takes no longer.
const AWAY: Duration = Duration::from_secs(30);
/// Least time between two steps on the store itself: in between it is free for a daemon.
const FREE: Duration = Duration::from_secs(1);

/// Does something over the API: of the given server, of a process that has this store, or of this process for a moment.
///
/// # Errors
/// What `work` says; there is no store, or it cannot be reached.
pub async fn with<T>(session: &Session, work: impl AsyncFnOnce(&Api) -> Result<T, Failure>) -> Result<T, Failure> {
    match Way::find(session).await? {
        Way::There(api) => work(&api).await,
        Way::Here(own) => {
            let done = work(&own.api).await;
            own.stop().await;
            done
        }
    }
}

/// Does something in steps until one of them is the last. Between two steps the way is looked for anew where the other side
/// has gone, and a store that this process opens itself is free for others.
///
/// # Errors
/// What `step` says, and for too long that the other side is away.
pub async fn until<T>(
    session: &Session,
    pause: Duration,
    mut step: impl AsyncFnMut(&Api) -> Result<Option<T>, Failure>,
) -> Result<T, Failure> {
    let mut reached: Option<Instant> = None;
    loop {
        let mut wait = pause;
        let done = match Way::find(session).await {
            Ok(Way::There(api)) => loop {
                let done = step(&api).await;
                if !matches!(done, Ok(None)) {
                    break done;
                }
                reached = Some(Instant::now());
                tokio::time::sleep(pause).await;
            },
            Ok(Way::Here(own)) => {
                let done = step(&own.api).await;
                own.stop().await;
                wait = pause.max(FREE);
                done
            }
            Err(failure) => Err(failure),
        };
        match done {
            Ok(Some(done)) => return Ok(done),
            Ok(None) => reached = Some(Instant::now()),
            Err(failure) => {
                let patient = failure.code == ExitCode::Unreachable && reached.is_some_and(|at| at.elapsed() < AWAY);
                if !patient {
                    return Err(failure);
                }
            }
        }
        tokio::time::sleep(wait).await;
    }
}

enum Way {
    /// To another process.
    There(Api),
    /// To this one.
    Here(Box<Own>),
}

impl Way {
    async fn find(session: &Session) -> Result<Self, Failure> {
        if let Some((url, token)) = &session.server {
            return Ok(Self::There(Api::server(url, token.clone())?));
        }
        let sockets = sockets(&session.store, &session.project);
        if let Some(socket) = sockets.live().await {
            return Ok(Self::There(Api::socket(&socket, who(session))?));
        }
        match Own::start(session).await {
            Ok(own) => Ok(Self::Here(Box::new(own))),
            // A daemon may have been about to start.
            Err(failure) => match sockets.live().await {
                Some(socket) => Ok(Self::There(Api::socket(&socket, who(session))?)),
                None => Err(failure),
            },
        }
    }
}

/// The same API, served by this process to itself.
struct Own {
    daemon: Daemon,
    api: Api,
}

impl Own {
    async fn start(session: &Session) -> Result<Self, Failure> {
        let opened = compose::open_existing(session).await?;
        // Not beside the store: this process ends before others could make use of it.
        let socket: PathBuf = std::env::temp_dir().join(format!("updraft-{}.sock", std::process::id()));
        let options = Options { seals: session.seals, ..Options::beside(socket.clone(), None) };
        let daemon = daemon::start(session, options, opened).await?;
        let api = Api::socket(&socket, who(session))?.momentarily();
        Ok(Self { daemon, api })
    }

    async fn stop(self) {
        self.daemon.shutdown().await;
    }
}
