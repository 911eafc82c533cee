//! What the catalog asks of a store.

use async_trait::async_trait;
use updraft_model::time::Timestamp;
use updraft_model::workflow::Workflow;
use updraft_store::{NewVersion, StoreError};

/// A workflow as the store has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// Its name.
    pub workflow: String,
    /// sha-256 of its current version, hex.
    pub sha256: String,
    /// The source (folder id) that published it last; empty if it did not come from a folder.
    pub source: String,
    /// Its file was gone.
    pub retired: bool,
}

/// A version to be made current.
#[derive(Debug, Clone)]
pub struct Publication {
    /// The version.
    pub version: NewVersion,
    /// What it says: its schedule is taken from here.
    pub workflow: Workflow,
    /// The source that it comes from.
    pub source: String,
}

/// How a file of a folder stands, for people in other processes, and for the next start of this one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileReport {
    /// Relative to the project.
    pub path: String,
    /// The workflow it defines, if that can be told.
    pub workflow: Option<String>,
    /// sha-256 of its bytes, hex; empty while another file of the same workflow stands.
    pub sha256: String,
    /// Diagnostics, as JSON.
    pub diagnostics: String,
    /// It cannot be run.
    pub broken: bool,
    /// Since when it is as it is.
    pub since: Timestamp,
}

/// Where workflows are published. One commit a call: ten thousand files are few calls.
#[async_trait]
pub trait Publisher: Send + Sync + 'static {
    /// Every workflow that the store knows.
    async fn known(&self) -> Result<Vec<Known>, StoreError>;

    /// Files of this source and folder as they were reported last: what was published from here before.
    async fn reported(&self, source: &str, folder: &str) -> Result<Vec<FileReport>, StoreError>;

    /// Makes versions current, with their schedules; brings retired workflows back.
    async fn publish(&self, publications: &[Publication], at: Timestamp) -> Result<(), StoreError>;

    /// Retires workflows whose file is gone: no new runs, history stays.
    async fn retire(&self, workflows: &[String], at: Timestamp) -> Result<(), StoreError>;

    /// Writes down how files of a source and folder stand, and forgets those that are gone.
    async fn report(
        &self,
        source: &str,
        folder: &str,
        changed: &[FileReport],
        gone: &[String],
        at: Timestamp,
    ) -> Result<(), StoreError>;
}
