//! The unix socket beside a SQLite store that a live process holds: other commands read history and ask for cancels through it.
//!
//! One JSON object a line in, one out; the socket file belongs to its owner alone (0600). PostgreSQL needs none of this.

pub mod client;
#[cfg(feature = "sqlite")]
pub mod held;
pub mod server;

use serde::{Deserialize, Serialize};
use updraft_model::id::{RunId, TaskKey, VersionId};
use updraft_store::read::RunFilter;

/// What can be asked.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum Request {
    /// [`updraft_store::Reader::runs`].
    Runs {
        /// Which.
        filter: RunFilter,
    },
    /// [`updraft_store::Reader::run`].
    Run {
        /// Which.
        run: RunId,
    },
    /// [`updraft_store::Reader::runs_by_prefix`].
    RunsByPrefix {
        /// First digits.
        prefix: String,
    },
    /// [`updraft_store::Reader::detail`].
    Detail {
        /// Which.
        run: RunId,
    },
    /// [`updraft_store::Reader::outputs`].
    Outputs {
        /// Of this run.
        run: RunId,
        /// Which.
        of: Vec<(TaskKey, u32)>,
    },
    /// [`updraft_store::Reader::history`].
    History {
        /// Of this run.
        run: RunId,
        /// From this version on.
        from: u64,
    },
    /// [`updraft_store::Reader::version`].
    Version {
        /// Which.
        version: VersionId,
    },
    /// Cancels a run.
    Cancel {
        /// Which.
        run: RunId,
        /// Who asks.
        by: String,
        /// Why.
        reason: String,
    },
}

/// What comes back.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Response {
    /// The answer, in the form of the method's own.
    Ok(serde_json::Value),
    /// Why not.
    Error(String),
}

/// The socket of a store file.
pub fn socket_path(database: &std::path::Path) -> std::path::PathBuf {
    let mut name = database.file_name().unwrap_or_default().to_owned();
    name.push(".sock");
    database.with_file_name(name)
}
