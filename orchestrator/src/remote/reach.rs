//! The way to the API, chosen.

use std::path::PathBuf;

use super::{Api, sockets};
use crate::cli::{Session, who};
use crate::compose::StoreUrl;
use crate::daemon::{self, Daemon, Options, Roles};
use crate::exit_code::Failure;

/// Does something over the API: of the given server, of a daemon on this store, or of this process for a moment.
///
/// # Errors
/// What `work` says; there is no store, or it cannot be reached.
pub async fn with<T>(session: &Session, work: impl AsyncFnOnce(&Api) -> Result<T, Failure>) -> Result<T, Failure> {
    if let Some((url, token)) = &session.server {
        return work(&Api::server(url, token.clone())?).await;
    }
    if let Some(socket) = sockets(&session.store, &session.project).live().await {
        return work(&Api::socket(&socket, who(session))?).await;
    }
    let own = Own::start(session).await?;
    let done = work(&Api::socket(&own.socket, who(session))?).await;
    own.stop().await;
    done
}

/// The same API, served by this process to itself.
struct Own {
    daemon: Daemon,
    socket: PathBuf,
}

impl Own {
    async fn start(session: &Session) -> Result<Self, Failure> {
        if let StoreUrl::Sqlite(path) = &session.store
            && !path.exists()
        {
            return Err(Failure::input(format!("there is no store {} yet", session.store.shown()))
                .hint("`updraft dev` or the first `updraft run FILE` makes it"));
        }
        let socket = std::env::temp_dir().join(format!("updraft-{}.sock", std::process::id()));
        let options = Options {
            roles: Roles::api(),
            listen: Vec::new(),
            folders: Vec::new(),
            profile: None,
            slots: None,
            reason: None,
            dev: false,
            socket: socket.clone(),
            bench: None,
        };
        Ok(Self { daemon: daemon::start(session, options).await?, socket })
    }

    async fn stop(self) {
        self.daemon.shutdown().await;
    }
}
