//! Durable schedules, the limit of runs that run at one time, pausing, and the publication of workflows with all that.
//!
//! A schedule's row says when to look at it. [`Scheduling::fire`] locks rows that are due, hands each to a pure planner and
//! writes what it answers, runs included, in the transaction that moves the row on: two processes never make two runs of
//! one fire, and one that dies in the middle leaves everything as it was.
//!
//! A workflow's row is the lock for its number of running runs. Whoever takes it holds no run, and waits for no other
//! workflow; [`Scheduling::fire`] takes what is free and never waits.

use std::sync::Arc;

use async_trait::async_trait;
use updraft_model::id::{RunId, VersionId, WorkerNo, WorkflowId};
use updraft_model::schedule::plan::{Load, Next, Progress, Room, SkipReason, Skipped, Synced, sync};
use updraft_model::time::Timestamp;
use updraft_model::workflow::Workflow;

use crate::{LoadedRun, NewVersion, Published, RunCommit, StoreError};

/// Most schedules that one transaction of [`Scheduling::fire`] moves on.
pub const FIRE_BATCH: u32 = 100;

/// Under which shared value the release of the zone database stands that next fires were computed by.
pub const ZONE_SCOPE: &str = "updraft";
/// See [`ZONE_SCOPE`].
pub const ZONE_KEY: &str = "tzdb";

/// A version to be made current, with its schedule.
#[derive(Debug, Clone)]
pub struct ScheduledVersion {
    /// The version.
    pub version: NewVersion,
    /// What it says.
    pub workflow: Workflow,
    /// Id of the folder that it comes from; empty if it does not come from one.
    pub source: String,
}

/// A workflow as publishers see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishedWorkflow {
    /// Its name.
    pub workflow: String,
    /// Its number.
    pub workflow_id: WorkflowId,
    /// Its current version.
    pub version_id: VersionId,
    /// sha-256 of its current version, hex.
    pub sha256: String,
    /// Id of the folder that published it last; empty if it did not come from one.
    pub source: String,
    /// Its file was gone.
    pub retired: bool,
    /// It fires nothing.
    pub paused: bool,
}

/// How a file of a workflow folder stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceFile {
    /// Relative to the project.
    pub path: String,
    /// The workflow it defines, or defined before it broke, if that can be told.
    pub workflow: Option<String>,
    /// sha-256 of its bytes if they were published from this folder, hex; else empty.
    pub sha256: String,
    /// Diagnostics, as JSON.
    pub diagnostics: String,
    /// It cannot be run.
    pub broken: bool,
    /// Since when it is as it is.
    pub since: Timestamp,
}

/// A workflow and what is known of its schedule.
#[derive(Debug, Clone, PartialEq)]
pub struct ScheduleRow {
    /// The workflow's name.
    pub workflow: String,
    /// Its number.
    pub workflow_id: WorkflowId,
    /// It fires nothing.
    pub paused: Option<Paused>,
    /// Since when its file is gone.
    pub retired_at: Option<Timestamp>,
    /// Runs that may run at one time.
    pub max_active_runs: u32,
    /// Its schedule; `None` = by hand only.
    pub schedule: Option<ScheduleState>,
}

/// Who paused a workflow.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Paused {
    /// When.
    pub at: Option<Timestamp>,
    /// Who.
    pub by: Option<String>,
    /// Why.
    pub reason: Option<String>,
}

/// What is known of a schedule.
#[derive(Debug, Clone, PartialEq)]
pub struct ScheduleState {
    /// The version that it is part of.
    pub version_id: VersionId,
    /// When it is looked at next; for most schedules the next fire.
    pub next_fire_at: Option<Timestamp>,
    /// It is looked at as soon as fewer runs than this are open.
    pub below: Option<u32>,
    /// What is remembered.
    pub progress: Progress,
    /// Fires that did not become runs, ever.
    pub skipped: u64,
    /// Why it cannot be computed.
    pub error: Option<String>,
}

/// Fires in a row that did not become runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SkippedFire {
    /// Of which workflow.
    pub workflow: String,
    /// Which, and why.
    pub skipped: Skipped,
    /// When that was decided.
    pub at: Timestamp,
}

/// All schedules at a glance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ScheduleTotals {
    /// Schedules of workflows that are neither paused nor retired.
    pub active: u64,
    /// Of these, due and not yet looked at.
    pub due: u64,
    /// The next one.
    pub next: Option<Timestamp>,
    /// Fires that did not become runs, ever.
    pub skipped: u64,
    /// Schedules that cannot be computed.
    pub errors: u64,
}

/// A schedule that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// Whose.
    pub workflow_id: WorkflowId,
    /// The version that it is part of.
    pub version_id: VersionId,
    /// Since when.
    pub due_at: Timestamp,
}

/// A schedule under its lock.
#[derive(Debug, Clone, PartialEq)]
pub struct DueSchedule {
    /// Whose.
    pub workflow_id: WorkflowId,
    /// The version that it is part of.
    pub version_id: VersionId,
    /// What is remembered.
    pub progress: Progress,
    /// How busy the workflow is.
    pub load: Load,
    /// Runs that may run at one time.
    pub max_active_runs: u32,
}

/// What to do about a schedule that is due.
#[derive(Debug, Clone, PartialEq)]
pub enum FireDecision {
    /// Write this.
    Move {
        /// New runs. One whose key is taken is left out: its fire has a run.
        runs: Vec<RunCommit>,
        /// Fires to record.
        skipped: Vec<Skipped>,
        /// What to remember.
        progress: Progress,
        /// When to look again.
        next: Next,
    },
    /// It cannot be computed: put it aside with this reason.
    Broken(String),
    /// Leave it as it is: its version is not known here yet.
    Leave,
}

/// Decides about one schedule; called under its lock, so it must not wait for anything.
pub type FireFn = Arc<dyn Fn(&DueSchedule) -> FireDecision + Send + Sync>;

/// What [`Scheduling::fire`] did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Fired {
    /// Schedules moved on.
    pub moved: u32,
    /// Runs made.
    pub created: u32,
    /// Fires recorded as skipped.
    pub skipped: u64,
}

/// Decides about queued runs of a workflow: what to write for those that start.
pub type StartFn = Box<dyn FnOnce(Vec<LoadedRun>) -> Vec<RunCommit> + Send>;

/// What [`Scheduling::start_runs`] did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StartedRuns {
    /// Runs that started.
    pub started: Vec<RunId>,
    /// Runs that still wait.
    pub queued: u32,
    /// The workflow's schedule is due now: it waited for this.
    pub schedule_due: bool,
}

/// Decides how a new run is written, by how busy its workflow is; `None` = not at all.
pub type AdmitFn = Box<dyn FnOnce(Load, u32) -> Option<RunCommit> + Send>;

/// What [`Scheduling::create_run`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admitted {
    /// The run was written.
    Created,
    /// The decision was to write nothing.
    Nothing,
    /// A run with this key, or this id, exists.
    KeyTaken,
    /// The run claims work for a worker that is not active: nothing was written.
    WorkerInactive,
    /// No such workflow.
    NoWorkflow,
}

/// Schedules and limits. See the module.
#[async_trait]
pub trait Scheduling: Send + Sync + 'static {
    /// Every workflow that was ever published.
    async fn workflows(&self) -> Result<Vec<PublishedWorkflow>, StoreError>;

    /// Makes versions current, with their schedules, in one commit; brings retired workflows back. Whether a workflow that
    /// is known is paused stays as it is. Answers in the order of the question.
    async fn publish_all(&self, versions: &[ScheduledVersion], at: Timestamp) -> Result<Vec<Published>, StoreError>;

    /// Retires workflows: no new scheduled runs, history stays. Says how many were not retired before.
    async fn retire(&self, workflows: &[String], at: Timestamp) -> Result<u32, StoreError>;

    /// Pauses or unpauses a workflow's schedule; `None` if there is no such workflow, else whether that changed anything.
    async fn set_paused(
        &self,
        workflow: &str,
        paused: bool,
        by: &str,
        reason: Option<&str>,
        at: Timestamp,
    ) -> Result<Option<bool>, StoreError>;

    /// Files of a folder as they were reported last.
    async fn source_files(&self, source: &str, folder: &str) -> Result<Vec<SourceFile>, StoreError>;

    /// All files that cannot be run, with their source and folder.
    async fn broken_files(&self) -> Result<Vec<(String, String, SourceFile)>, StoreError>;

    /// Writes down how files of a folder stand, and forgets those that are gone, in one commit.
    async fn report_files(
        &self,
        source: &str,
        folder: &str,
        changed: &[SourceFile],
        gone: &[String],
    ) -> Result<(), StoreError>;

    /// The earliest instant at which a schedule is to be looked at.
    async fn next_fire(&self) -> Result<Option<Timestamp>, StoreError>;

    /// Schedules that are due, earliest first.
    async fn due_schedules(&self, now: Timestamp, limit: u32) -> Result<Vec<Due>, StoreError>;

    /// The stored form of versions, for those that exist.
    async fn compiled(&self, versions: &[VersionId]) -> Result<Vec<(VersionId, String)>, StoreError>;

    /// Moves on those of these schedules that are due and that nobody else holds, in one transaction (engine.md §2 step
    /// 11). On an error nothing was written.
    async fn fire(&self, workflows: &[WorkflowId], now: Timestamp, decide: FireFn) -> Result<Fired, StoreError>;

    /// Puts a schedule aside: it is not looked at until it is published anew.
    async fn quarantine(&self, workflow: WorkflowId, error: &str, at: Timestamp) -> Result<(), StoreError>;

    /// Starts queued runs of a workflow while there is room: locks the workflow, counts, hands the first queued runs that
    /// nobody holds to `decide`, and writes what it answers, in one transaction (F12). Makes the workflow's schedule due
    /// if it waited for this.
    async fn start_runs(&self, workflow: WorkflowId, at: Timestamp, decide: StartFn)
    -> Result<StartedRuns, StoreError>;

    /// How busy a workflow is now, without a lock: what an answer of before may say. `None` = no such workflow.
    async fn room(&self, workflow: WorkflowId) -> Result<Option<Room>, StoreError>;

    /// Workflows for which [`Scheduling::start_runs`] has something to do: the sweep behind the signals.
    async fn startable(&self) -> Result<Vec<WorkflowId>, StoreError>;

    /// Makes a run under its workflow's lock: one commit, which may start it and claim its first tasks for a worker.
    async fn create_run(
        &self,
        workflow: WorkflowId,
        worker: Option<WorkerNo>,
        at: Timestamp,
        decide: AdmitFn,
    ) -> Result<Admitted, StoreError>;

    /// Workflows with what is known of their schedules, by name.
    async fn schedules(&self, after: Option<&str>, limit: u32) -> Result<Vec<ScheduleRow>, StoreError>;

    /// One of them.
    async fn schedule(&self, workflow: &str) -> Result<Option<ScheduleRow>, StoreError>;

    /// Says by which release of the zone database fires are computed from now on. If it is another one than before,
    /// schedules in a zone are looked at at once, so that their next fire is computed anew; what their cursors have passed
    /// stays decided. Says how many.
    async fn zone_rules(&self, release: &str, now: Timestamp) -> Result<u64, StoreError>;

    /// The clock that decides what is due, where that is not this host's: the database's (reliability.md §3.16).
    async fn clock(&self) -> Result<Option<Timestamp>, StoreError>;

    /// The schedules that fire next.
    async fn next_schedules(&self, limit: u32) -> Result<Vec<ScheduleRow>, StoreError>;

    /// All schedules at a glance.
    async fn schedule_totals(&self, now: Timestamp) -> Result<ScheduleTotals, StoreError>;

    /// What did not become runs, newest first: of one workflow or all, recorded since an instant.
    async fn skipped_fires(
        &self,
        workflow: Option<&str>,
        since: Option<Timestamp>,
        limit: u32,
    ) -> Result<Vec<SkippedFire>, StoreError>;
}

/// What a store knows of a workflow's schedule before a publication.
#[derive(Debug, Clone, PartialEq)]
pub struct Before {
    /// The version that the schedule belongs to, as stored.
    pub compiled: String,
    /// What is remembered.
    pub progress: Progress,
}

/// What a publication means for a schedule: the model's answer, for stores. An error becomes the schedule's.
pub fn synced(
    before: Option<&Before>,
    workflow: &Workflow,
    (stopped, returned): (bool, bool),
    now: Timestamp,
) -> (Synced, Option<String>) {
    // A version that this build cannot read counts as another schedule.
    let old: Option<Workflow> = before.and_then(|before| serde_json::from_str(&before.compiled).ok());
    let known = before.map(|before| (old.as_ref(), &before.progress));
    match sync(known, workflow, (stopped, returned), now) {
        Ok(synced) => (synced, None),
        Err(error) => {
            let progress = before.map_or_else(|| Progress::new(workflow, now), |before| before.progress.clone());
            (Synced { progress: Some(progress), next: Next::default(), skipped: None }, Some(error.to_string()))
        }
    }
}

/// When a schedule is looked at after a pause: the model's answer, for stores.
///
/// # Errors
/// Why it cannot be computed.
pub fn resumed(compiled: &str, progress: &Progress, now: Timestamp) -> Result<Next, String> {
    let workflow: Workflow = serde_json::from_str(compiled).map_err(|error| error.to_string())?;
    updraft_model::schedule::plan::first_look(&workflow, progress, now).map_err(|error| error.to_string())
}

/// Reads a stored reason.
///
/// # Errors
/// A name that this build does not know.
pub fn reason(name: &str) -> Result<SkipReason, StoreError> {
    SkipReason::from_name(name).ok_or_else(|| StoreError::Inconsistent {
        table: "skipped_fire",
        column: "reason",
        id: String::new(),
        detail: format!("`{name}` is not in the list of this build"),
    })
}

/// Reads what is remembered of a schedule.
///
/// # Errors
/// Text that is none.
pub fn progress(text: &str, workflow: WorkflowId) -> Result<Progress, StoreError> {
    serde_json::from_str(text).map_err(|error| StoreError::Inconsistent {
        table: "schedule",
        column: "progress",
        id: workflow.0.to_string(),
        detail: error.to_string(),
    })
}
