//! The other commands' side of the control socket: a [`Reader`] that asks the owner.

use std::io;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use updraft_model::id::{RunId, TaskKey, VersionId};
use updraft_store::read::{HistoryEntry, RunDetail, RunFilter, RunView, VersionView};
use updraft_store::{Reader, StoreError};

use super::{Request, Response};

/// A reader through the socket. Every request is a connection of its own: the owner may end between two.
#[derive(Debug, Clone)]
pub struct Client {
    path: PathBuf,
}

impl Client {
    /// A client, if somebody answers on the socket.
    pub async fn connect(path: &Path) -> Option<Self> {
        UnixStream::connect(path).await.ok()?;
        Some(Self { path: path.to_owned() })
    }

    /// Asks for a cancel; answers in words what was done.
    ///
    /// # Errors
    /// The owner is gone, or refuses.
    pub async fn cancel(&self, run: RunId, by: String, reason: String) -> Result<String, StoreError> {
        self.ask(&Request::Cancel { run, by, reason }).await
    }

    async fn ask<T: DeserializeOwned>(&self, request: &Request) -> Result<T, StoreError> {
        let gone = |error: io::Error| StoreError::Unavailable(format!("the process that holds the store: {error}"));
        let mut stream = UnixStream::connect(&self.path).await.map_err(gone)?;
        let mut text = serde_json::to_vec(request).map_err(|error| StoreError::Other(error.to_string()))?;
        text.push(b'\n');
        stream.write_all(&text).await.map_err(gone)?;
        let mut line = String::new();
        if BufReader::new(stream).read_line(&mut line).await.map_err(gone)? == 0 {
            return Err(StoreError::Unavailable("the process that holds the store ended".to_owned()));
        }
        let response = serde_json::from_str(&line)
            .map_err(|error| StoreError::Other(format!("the process that holds the store answers oddly: {error}")))?;
        match response {
            Response::Ok(value) => serde_json::from_value(value).map_err(|error| {
                StoreError::Other(format!("the process that holds the store is of another version: {error}"))
            }),
            Response::Error(message) => Err(StoreError::Other(message)),
        }
    }
}

#[async_trait]
impl Reader for Client {
    async fn runs(&self, filter: &RunFilter) -> Result<Vec<RunView>, StoreError> {
        self.ask(&Request::Runs { filter: filter.clone() }).await
    }

    async fn run(&self, run: RunId) -> Result<Option<RunView>, StoreError> {
        self.ask(&Request::Run { run }).await
    }

    async fn runs_by_prefix(&self, prefix: &str) -> Result<Vec<RunId>, StoreError> {
        self.ask(&Request::RunsByPrefix { prefix: prefix.to_owned() }).await
    }

    async fn detail(&self, run: RunId) -> Result<Option<RunDetail>, StoreError> {
        self.ask(&Request::Detail { run }).await
    }

    async fn outputs(&self, run: RunId, of: &[(TaskKey, u32)]) -> Result<Vec<(TaskKey, String)>, StoreError> {
        self.ask(&Request::Outputs { run, of: of.to_vec() }).await
    }

    async fn history(&self, run: RunId, from: u64) -> Result<Vec<HistoryEntry>, StoreError> {
        self.ask(&Request::History { run, from }).await
    }

    async fn version(&self, version: VersionId) -> Result<Option<VersionView>, StoreError> {
        self.ask(&Request::Version { version }).await
    }
}
