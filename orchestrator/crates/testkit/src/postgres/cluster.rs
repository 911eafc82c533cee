//! A cluster of one test's own.

use std::path::Path;

use anyhow::Result;
use nix::sys::signal::Signal;

use super::{LocalUrl, install::Install};
use crate::services::Own;

/// A PostgreSQL server of its own: started, stopped, crashed, killed and started again. It is ended, and its data
/// deleted, with this value.
pub type Cluster = Own<Install>;

impl Cluster {
    /// Where to connect to, over TCP.
    pub fn url(&self) -> String {
        LocalUrl { port: self.port() }.to_string()
    }

    /// The TCP port on loopback. It stays the same over restarts.
    pub fn port(&self) -> u16 {
        self.address().port
    }

    /// The folder of the unix socket.
    pub fn socket_folder(&self) -> &Path {
        self.folder()
    }

    /// Stops at once without writing anything (`immediate`); the next start recovers.
    ///
    /// # Errors
    /// It does not run, or does not end in time.
    pub fn crash(&mut self) -> Result<()> {
        self.end(Signal::SIGQUIT)
    }
}
