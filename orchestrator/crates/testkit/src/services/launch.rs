//! What a server is, seen from outside: how its folder is made, what is run, how it is asked whether it is ready.

use std::{fmt::Debug, path::Path, time::Duration};

use anyhow::Result;
use nix::{sys::signal::Signal, unistd::User};
use serde::{Serialize, de::DeserializeOwned};

use crate::process::Program;

/// How long a server may take to answer: several times what it takes on a quiet machine.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);
pub(crate) const PAUSE: Duration = Duration::from_millis(20);

/// A server that can be started.
pub trait Kind: Debug {
    /// What a client has to know: ports, and secrets if there are any. Kept in a file of mode 0600.
    type Address: Debug + Clone + Serialize + DeserializeOwned;

    /// Name of its folder, its log and its row in `services status`.
    const NAME: &'static str;
    /// The signal that makes it end in order.
    const STOP: Signal = Signal::SIGTERM;
    /// The signal that makes it end when its data are about to be deleted.
    const DISCARD: Signal = Signal::SIGTERM;

    /// Whom it runs as, if not as us.
    fn user(&self) -> Option<&User> {
        None
    }

    /// Writes what it needs into an empty folder, and chooses its ports.
    ///
    /// # Errors
    /// Files cannot be written, or a program that prepares them fails.
    fn prepare(&self, folder: &Path) -> Result<Self::Address>;

    /// What is to be run.
    fn launch(&self, folder: &Path, address: &Self::Address) -> Program;

    /// Asks it whether it is ready for clients. Called again and again while it starts.
    ///
    /// # Errors
    /// It is not.
    fn check(address: &Self::Address) -> Result<()>;

    /// Whether this log of a failed start says that a process before it still holds something, so that another try helps.
    fn is_held(log: &str) -> bool {
        let _ = log;
        false
    }
}
