//! What people do to runs after the fact: retry, mark, and the look at what an operation will touch before it is done.
//!
//! It does not matter which engine carries the run: everything is decided under the run's lock, in a lane, and what is to
//! be executed lies in the run's queue afterwards. A run that a foreground process made lies in a queue of its own that
//! nobody else serves; re-opened by an engine that serves shared queues, it moves to the first of these.

use std::sync::Arc;

use updraft_model::graph::Compiled;
use updraft_model::id::{RunId, TaskKey, VersionId};
use updraft_model::input::{Halted, Input, Mark, Retry, RetryWhat, Standing, Target};
use updraft_model::preview::{Preview, preview};
use updraft_model::run::{Limits, Run};
use updraft_model::schedule::plan::Room;
use updraft_model::state::{FinalState, Place};
use updraft_store::Loaded;

use crate::committer::{Command, Job, load_locked, read_version};
use crate::engine::Engine;
use crate::error::EngineError;

/// Run task runs again.
#[derive(Debug, Clone, PartialEq)]
pub struct RetryRequest {
    /// Which.
    pub what: RetryWhat,
    /// The named ones, for [`RetryWhat::Tasks`].
    pub tasks: Vec<TaskKey>,
    /// Those downstream of the named ones too.
    pub downstream: bool,
    /// On this version; `None` = on the one that the run is pinned to.
    pub newest: Option<(VersionId, Arc<Compiled>)>,
    /// Where a re-opened run is claimed from; `None` = as before, and out of a private queue into the first shared one
    /// that this engine serves.
    pub queue: Option<String>,
    /// Who asks.
    pub by: String,
    /// Why.
    pub reason: String,
}

/// Say how task runs ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MarkRequest {
    /// Which; `None` = in a live run all that are not over, in a run that is over all that did not end well.
    pub tasks: Option<Vec<TaskKey>>,
    /// `succeeded` or `failed`.
    pub state: FinalState,
    /// Who says so.
    pub by: String,
    /// Why.
    pub reason: String,
}

/// Something that can be looked at before it is done.
#[derive(Debug, Clone, PartialEq)]
pub enum Operation {
    /// See [`Engine::retry`].
    Retry(RetryRequest),
    /// See [`Engine::mark`].
    Mark(MarkRequest),
    /// See [`Engine::cancel`].
    Cancel,
}

/// Name of the queue that a foreground process makes for one run.
pub(crate) fn private_queue(run_id: RunId) -> String {
    format!("run:{run_id}")
}

impl RetryRequest {
    /// For the model. `shared` is the queue that a run in a private one moves to; without room, a run that is over waits
    /// for a run slot.
    pub(crate) fn input(&self, run: &Run, work: Vec<Standing>, shared: Option<&str>, room: Option<Room>) -> Input {
        let facts = run.facts();
        let moves = facts.queue == private_queue(facts.run_id);
        let queue = self.queue.clone().or_else(|| shared.filter(|_| moves).map(str::to_owned));
        let target = |(version_id, compiled): &(VersionId, Arc<Compiled>)| Target {
            version_id: *version_id,
            compiled: Arc::clone(compiled),
        };
        Input::Retry(Box::new(Retry {
            what: self.what,
            tasks: self.tasks.clone(),
            downstream: self.downstream,
            version: self.newest.as_ref().map(target),
            queue,
            waits: room.is_some_and(|room| !room.is_free()),
            by: self.by.clone(),
            reason: self.reason.clone(),
            work,
        }))
    }
}

impl MarkRequest {
    /// For the model.
    pub(crate) fn input(&self, work: Vec<Standing>) -> Input {
        Input::Mark(Box::new(Mark {
            tasks: self.tasks.clone(),
            state: self.state,
            by: self.by.clone(),
            reason: self.reason.clone(),
            work,
        }))
    }
}

impl Engine {
    /// Runs task runs again. A run that is over is re-opened, on a newer version if one is given, and queued where its
    /// workflow has no run slot free: the scheduler starts it when one is. In a live run what is
    /// over begins anew, and what waits for its next try starts now.
    ///
    /// # Errors
    /// No such run, the model refuses ([`EngineError::Rejected`] says why), or the store fails.
    pub async fn retry(&self, run_id: RunId, request: RetryRequest) -> Result<(), EngineError> {
        self.ask(|reply| Command::Lane(run_id, Job::Retry(Box::new(request)), Some(reply))).await
    }

    /// Says how task runs ended, whatever they did. What executes is told to stop, and is over at once; what that lets
    /// start starts; the outcome of a run that is over is found anew.
    ///
    /// # Errors
    /// No such run, the model refuses ([`EngineError::Rejected`] says why), or the store fails.
    pub async fn mark(&self, run_id: RunId, request: MarkRequest) -> Result<(), EngineError> {
        self.ask(|reply| Command::Lane(run_id, Job::Mark(Box::new(request)), Some(reply))).await
    }

    /// What an operation would touch now. It is the operation's own decision, made and thrown away: nothing is locked or
    /// written, so that a run that moves on may answer differently later.
    ///
    /// # Errors
    /// What the operation itself would answer.
    pub async fn preview(&self, run_id: RunId, operation: &Operation) -> Result<Preview, EngineError> {
        let config = &self.shared.config;
        let Some(Loaded::Full(loaded)) = config.store.load(&[(run_id, None)]).await?.pop() else {
            return Err(EngineError::NoRun(run_id));
        };
        let compiled = read_version(&*config.reader, run_id, loaded.row.facts.version_id).await?;
        let work: Vec<Standing> = loaded.work.iter().map(Standing::from).collect();
        let limits = Limits { window: config.dispatch_window, ..Limits::default() };
        let run = load_locked(&compiled, *loaded, limits)
            .map_err(|illegal| EngineError::Broken { run_id, detail: illegal.to_string() })?;
        let input = match operation {
            Operation::Retry(retry) => {
                let room = match &config.scheduling {
                    Some(scheduling) => scheduling.room(run.facts().workflow_id).await?,
                    None => None,
                };
                retry.input(&run, work, config.queues.first().map(String::as_str), room)
            }
            Operation::Mark(mark) => mark.input(work),
            Operation::Cancel => {
                let (executing, removed): (Vec<_>, Vec<_>) =
                    work.into_iter().partition(|standing| standing.place == Place::Executing);
                let keys = |all: Vec<Standing>| all.into_iter().map(|standing| standing.key).collect();
                let halted = Halted { removed: keys(removed), executing: keys(executing) };
                Input::Cancel { by: String::new(), reason: String::new(), halted }
            }
        };
        preview(&run, &input, self.shared.now()).map_err(|reject| EngineError::Rejected { run_id, reject })
    }
}
