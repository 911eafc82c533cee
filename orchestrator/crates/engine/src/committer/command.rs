//! What is asked of the committer.

use std::sync::Arc;

use serde_json::Value;
use tokio::sync::oneshot;
use updraft_model::id::{AttemptId, RunId, TaskId, TaskKey, VersionId, WorkerNo};
use updraft_model::input::AttemptResult;
use updraft_model::record::{RunFacts, RunMetric, TaskItem};
use updraft_model::state::Cause;
use updraft_model::time::Timestamp;

use crate::error::EngineError;
use crate::operations::{MarkRequest, RetryRequest};
use crate::plan::Plan;

/// Answers who asked.
pub(crate) type Reply = oneshot::Sender<Result<(), EngineError>>;

/// See the module.
pub(crate) enum Command {
    /// An attempt of ours came back.
    Finish(Box<Finish>),
    /// Make a run.
    Create(Box<Create>),
    /// A run that was made outside the batch path, under its workflow's lock; what it claims for us is ours.
    Adopt(Box<crate::scheduler::Made>),
    /// A run on this version that this engine is to carry out from now on, from this queue.
    Open(RunId, VersionId, Arc<Plan>, String),
    /// Do something under a run's lock.
    Lane(RunId, Job, Option<Reply>),
    /// A lane has done its work.
    LaneDone(Box<super::lane::LaneDone>),
    /// Ready rows may be in this queue; `None` = in any.
    Look(Option<String>),
    /// Another process may have moved this run on; `None` = any.
    Changed(Option<RunId>),
    /// An attempt of ours ended without a result: its slot is free.
    Released,
    /// This worker has a new number and is active again.
    Registered,
    /// Stop when everything before this is done.
    Close(oneshot::Sender<()>),
}

/// The result of an attempt.
#[derive(Debug, Clone)]
pub(crate) struct Finish {
    pub run_id: RunId,
    pub key: TaskKey,
    pub dispatch_no: u32,
    pub attempt_id: AttemptId,
    pub result: AttemptResult,
    pub started_at: Option<Timestamp>,
    /// As canonical JSON, and as it was.
    pub output: Option<(String, Arc<Value>)>,
    pub items: Vec<TaskItem>,
    pub metrics: Vec<RunMetric>,
    /// It held a slot of this worker until now.
    pub had_slot: bool,
    /// It lies in the spool.
    pub spooled: bool,
}

impl Finish {
    /// What it weighs in a batch.
    pub(crate) fn bytes(&self) -> usize {
        let output = self.output.as_ref().map_or(0, |(text, _)| text.len());
        output + 256 + self.items.len() * 256 + self.metrics.len() * 128
    }
}

/// A run to be made.
pub(crate) struct Create {
    pub facts: RunFacts,
    pub plan: Arc<Plan>,
    pub by: String,
    pub only: Option<Vec<TaskId>>,
    pub reply: Option<Reply>,
}

/// What a lane is for.
#[derive(Debug, Clone)]
pub(crate) enum Job {
    /// Stop the run: a person asked for it.
    Cancel { by: String, reason: String },
    /// Stop the run: a limit was passed.
    Abort { cause: Cause },
    /// End what another worker left behind.
    Reap(Takeover),
    /// Begin task runs anew.
    Retry(Box<RetryRequest>),
    /// Say how task runs ended.
    Mark(Box<MarkRequest>),
    /// Judge everything anew, after a resume.
    Refresh,
    /// Let a run that was set aside go on.
    Repair { by: String },
    /// Set the run aside.
    Break { code: String, detail: String },
}

/// What is taken over from a worker.
#[derive(Debug, Clone)]
pub(crate) struct Takeover {
    pub worker_no: WorkerNo,
    /// It may still live: only what may be executed twice is taken.
    pub suspect: bool,
    /// Why, for the history.
    pub words: String,
}

/// A part of a batch.
pub(crate) enum Item {
    Finish(Box<Finish>),
    Create(Box<Create>),
}

impl Item {
    pub(crate) fn run_id(&self) -> RunId {
        match self {
            Self::Finish(finish) => finish.run_id,
            Self::Create(create) => create.facts.run_id,
        }
    }
}
