//! The runs that are out of the batch path, and what waits for their lock. At most one lane works on a run.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use updraft_model::event::Event;
use updraft_model::id::{RunId, VersionId};
use updraft_model::state::{Place, RunState};

use super::command::{Finish, Job, Reply};
use super::lane::{self, LaneDone, Order};
use super::{Command, Committer};
use crate::error::EngineError;
use crate::event::EngineEvent;
use crate::owned::Stop;
use crate::run_handle::RunEnd;
use crate::shared::locked;

/// How long hints about runs gather before one look at all of them.
const GATHER_HINTS: Duration = Duration::from_millis(250);

#[derive(Default)]
struct Waiting {
    finishes: Vec<Finish>,
    jobs: VecDeque<(Job, Option<Reply>)>,
    working: bool,
}

/// See the module.
#[derive(Default)]
pub(super) struct Lanes(HashMap<RunId, Waiting>);

impl Lanes {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn holds(&self, run_id: RunId) -> bool {
        self.0.contains_key(&run_id)
    }

    pub(super) fn add(&mut self, finish: Finish) {
        self.0.entry(finish.run_id).or_default().finishes.push(finish);
    }
}

impl Committer {
    pub(super) async fn enter_lane(&mut self, run_id: RunId, job: Job, reply: Option<Reply>) {
        self.lanes.0.entry(run_id).or_default().jobs.push_back((job, reply));
        self.drive_lanes().await;
    }

    /// Starts a lane for every run that has something waiting and no lane at work.
    pub(super) async fn drive_lanes(&mut self) {
        let idle: Vec<RunId> =
            self.lanes.0.iter().filter(|(_, waiting)| !waiting.working).map(|(run_id, _)| *run_id).collect();
        for run_id in idle {
            self.drive_lane(run_id).await;
        }
    }

    async fn drive_lane(&mut self, run_id: RunId) {
        let Some(waiting) = self.lanes.0.get_mut(&run_id) else { return };
        if waiting.finishes.is_empty() && waiting.jobs.is_empty() {
            self.lanes.0.remove(&run_id);
            return;
        }
        waiting.working = true;
        let finishes = std::mem::take(&mut waiting.finishes);
        // Results first: a cancel then finds fewer attempts executing.
        let job = if finishes.is_empty() { waiting.jobs.pop_front() } else { None };
        // The lane reads the run anew; what is cached may be wrong by then.
        self.cache.remove(&run_id);
        let (version, plan) = match self.lane_plan(run_id).await {
            Ok(known) => known,
            Err(error) => {
                for finish in &finishes {
                    self.drop_finish(finish, &error.to_string());
                }
                if let Some((_, Some(reply))) = job {
                    let _ = reply.send(Err(error));
                }
                if let Some(waiting) = self.lanes.0.get_mut(&run_id) {
                    waiting.working = false;
                }
                Box::pin(self.drive_lane(run_id)).await;
                return;
            }
        };
        let order = Order { run_id, version, plan, finishes, job, limits: self.limits() };
        tokio::spawn(lane::work(Arc::clone(&self.shared), order));
    }

    /// The version that the run is thought to be on: the lane looks again under the lock.
    async fn lane_plan(&mut self, run_id: RunId) -> Result<(VersionId, Arc<crate::plan::Plan>), EngineError> {
        if let Some((version, plan)) = self.open.get(&run_id) {
            return Ok((*version, Arc::clone(plan)));
        }
        let view = self.shared.config.reader.run(run_id).await?.ok_or(EngineError::NoRun(run_id))?;
        let version = view.row.facts.version_id;
        Ok((version, self.plan_of(run_id, version).await?))
    }

    /// A lane has written, or found nothing to write.
    pub(super) async fn lane_done(&mut self, done: LaneDone) {
        let run_id = done.run_id;
        for finish in done.accepted {
            self.accepted(finish);
        }
        for (finish, why) in done.dropped {
            self.drop_finish(&finish, &why);
        }
        if let Some(waiting) = self.lanes.0.get_mut(&run_id) {
            waiting.working = false;
            waiting.finishes.extend(done.again);
        }
        for row in &done.stopped {
            if let Some(owned) = row.attempt_id.and_then(|id| locked(&self.shared.owned).get(&id).cloned()) {
                owned.stop(Stop::Cancel);
            }
        }
        for row in &done.ended {
            if let Some(owned) = row.attempt_id.and_then(|id| locked(&self.shared.owned).get(&id).cloned()) {
                owned.stop(Stop::Fenced);
            }
        }
        for event in done.events.iter().filter_map(|event| EngineEvent::of(run_id, event)) {
            self.shared.tell(event);
        }
        if let Some(run) = done.run {
            for row in &done.work {
                match row.place {
                    Place::Ready => self.heads.added(row),
                    Place::Timer => {
                        if let Some(due) = row.due_at {
                            self.shared.timer_at(due);
                        }
                    }
                    Place::Executing | Place::Polled | Place::Gated | Place::Waiting => {}
                }
            }
            self.after_commit(run_id, &run);
            let facts = run.facts();
            if done.events.iter().any(|event| matches!(event, Event::RunReopened { .. })) {
                self.plans.insert(facts.version_id, Arc::clone(&done.plan));
                if let (RunState::Queued, Some(scheduler)) = (run.projection().state, &self.shared.config.scheduler) {
                    // Room may have come since it was counted.
                    scheduler.run_ended(facts.workflow_id);
                }
                if let (Some(timeout), Some(from)) = (run.compiled().workflow.timeout, run.projection().started_at) {
                    crate::timers::watch_run(&self.shared, run_id, from + timeout);
                }
            }
            if let Some(open) = self.open.get_mut(&run_id) {
                *open = (facts.version_id, Arc::clone(&done.plan));
            }
            let over = run.projection().state.is_final();
            self.keep_run(run, done.plan);
            if over {
                self.forget(run_id);
            }
        }
        if let Some(detail) = done.broken {
            self.shared.warn(Some(run_id), format!("the run is set aside: {detail}"));
            self.shared.run_ended(run_id, RunEnd::Broken { detail });
            self.forget(run_id);
        }
        if let Some((reply, result)) = done.reply {
            let _ = reply.send(result);
        }
        self.drive_lane(run_id).await;
    }

    /// Another process may have moved this run on. Hints gather a little, since most echo commits of our own.
    pub(super) fn hinted(&mut self, run_id: RunId) {
        if !self.open.contains_key(&run_id) {
            return;
        }
        if self.hints.is_empty() {
            let shared = Arc::clone(&self.shared);
            tokio::spawn(async move {
                tokio::time::sleep(GATHER_HINTS).await;
                shared.command(Command::Changed(None));
            });
        }
        self.hints.insert(run_id);
    }

    /// Who waits for a run that another process has ended is told. One load for all of them: those that were hinted at,
    /// or all if none was.
    pub(super) async fn look_at_runs(&mut self) {
        let hints = std::mem::take(&mut self.hints);
        // A run with attempts of ours tells of itself: their results find it changed.
        let busy: HashSet<RunId> = locked(&self.shared.owned).values().map(|owned| owned.run_id).collect();
        let asked: Vec<RunId> = self
            .open
            .keys()
            .copied()
            .filter(|run_id| hints.is_empty() || hints.contains(run_id))
            .filter(|run_id| !busy.contains(run_id) && !self.lanes.holds(*run_id))
            .collect();
        let question: Vec<_> = asked
            .iter()
            .map(|run_id| {
                let known = self.cache.get_mut(run_id).map(|cached| (cached.run.version(), cached.run.stamp()));
                (*run_id, known)
            })
            .collect();
        if question.is_empty() {
            return;
        }
        let Ok(answers) = self.shared.config.store.load(&question).await else { return };
        for answer in answers {
            match answer {
                updraft_store::Loaded::Unchanged(_) | updraft_store::Loaded::Missing(_) => {}
                updraft_store::Loaded::Tail(run_id, tail) => self.caught_up(run_id, &tail),
                updraft_store::Loaded::Full(full) => {
                    let run_id = full.row.facts.run_id;
                    let projection = full.row.projection;
                    self.cache.remove(&run_id);
                    if projection.state.is_final() {
                        self.shared.run_ended(run_id, RunEnd::Finished(projection));
                        self.forget(run_id);
                    }
                }
            }
        }
    }

    fn caught_up(&mut self, run_id: RunId, tail: &[updraft_store::LogEntry]) {
        let Some(mut cached) = self.cache.remove(&run_id) else { return };
        if tail.iter().any(|entry| cached.run.version_after(&entry.events).is_some()) {
            // On another version now: out of the cache, and the next input loads it whole.
            return;
        }
        for entry in tail {
            let commit = updraft_model::run::Commit {
                version: entry.version,
                stamp: entry.stamp,
                at: entry.at,
                events: &entry.events,
            };
            if let Err(illegal) = cached.run.catch_up(&commit) {
                // Out of the cache: the next input loads it whole and says what is wrong, if something is.
                tracing::warn!(run.id = %run_id, "its tail does not follow on what is known: {illegal}");
                return;
            }
        }
        for event in tail.iter().flat_map(|entry| &entry.events).filter_map(|event| EngineEvent::of(run_id, event)) {
            self.shared.tell(event);
        }
        self.after_commit(run_id, &cached.run);
        let over = cached.run.projection().state.is_final();
        let bytes = cached.bytes();
        self.cache.insert(run_id, cached, bytes);
        if over {
            self.forget(run_id);
        }
    }

    /// Starts the clock of a run's own time limit.
    pub(super) fn watch_timeout(&self, create: &super::command::Create) {
        if let Some(timeout) = create.plan.compiled.workflow.timeout {
            crate::timers::watch_run(&self.shared, create.facts.run_id, create.facts.created_at + timeout);
        }
    }
}

impl From<LaneDone> for Command {
    fn from(done: LaneDone) -> Self {
        Self::LaneDone(Box::new(done))
    }
}
