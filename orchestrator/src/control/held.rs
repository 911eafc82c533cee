//! A reader of a SQLite store that another process holds: through its socket while it lives, from the file once it is gone.

use std::sync::Arc;

use async_trait::async_trait;
use futures::future::BoxFuture;
use updraft_model::id::{RunId, TaskKey, VersionId};
use updraft_store::read::{HistoryEntry, RunDetail, RunFilter, RunView, VersionView};
use updraft_store::{Reader, StoreError};

use super::client::Client;

/// Opens the file itself.
pub type OpenFile = Box<dyn Fn() -> BoxFuture<'static, Result<Arc<dyn Reader>, StoreError>> + Send + Sync>;

/// The reader. Who follows a log or a run outlives the process that makes it.
pub struct HeldReader {
    owner: Client,
    file: OpenFile,
}

impl HeldReader {
    /// Asks `owner` first.
    pub fn new(owner: Client, file: OpenFile) -> Self {
        Self { owner, file }
    }
}

/// Asks the owner, and the file if the owner is gone.
macro_rules! ask {
    ($self:ident, $method:ident($($argument:expr),*)) => {
        match $self.owner.$method($($argument),*).await {
            Err(StoreError::Unavailable(_)) => ($self.file)().await?.$method($($argument),*).await,
            answer => answer,
        }
    };
}

#[async_trait]
impl Reader for HeldReader {
    async fn runs(&self, filter: &RunFilter) -> Result<Vec<RunView>, StoreError> {
        ask!(self, runs(filter))
    }

    async fn run(&self, run: RunId) -> Result<Option<RunView>, StoreError> {
        ask!(self, run(run))
    }

    async fn runs_by_prefix(&self, prefix: &str) -> Result<Vec<RunId>, StoreError> {
        ask!(self, runs_by_prefix(prefix))
    }

    async fn detail(&self, run: RunId) -> Result<Option<RunDetail>, StoreError> {
        ask!(self, detail(run))
    }

    async fn outputs(&self, run: RunId, of: &[(TaskKey, u32)]) -> Result<Vec<(TaskKey, String)>, StoreError> {
        ask!(self, outputs(run, of))
    }

    async fn history(&self, run: RunId, from: u64) -> Result<Vec<HistoryEntry>, StoreError> {
        ask!(self, history(run, from))
    }

    async fn version(&self, version: VersionId) -> Result<Option<VersionView>, StoreError> {
        ask!(self, version(version))
    }
}
