//! Plays runs through the model in simulated time and writes what it decides, as the engine would.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap};

use anyhow::{Context as _, Result, bail};
use updraft_model::effects::Effects;
use updraft_model::event::Event;
use updraft_model::id::{AttemptId, RunId, Stamp, TaskId, TaskKey, WorkerNo};
use updraft_model::input::{AttemptResult, Input, Retryable};
use updraft_model::record::{EndedAttempt, RunFacts, WorkRow};
use updraft_model::run::{Limits, Run};
use updraft_model::state::{Cause, Place, Trigger};
use updraft_model::time::{DataInterval, Timestamp};
use updraft_store::{Batch, Committed, Expected, RunCommit, Store};

use crate::draft::Planted;
use crate::rng::Rng;
use crate::script::{Act, End, Script};

/// A run to plant.
#[derive(Clone)]
pub struct Spec {
    /// Of this workflow version.
    pub of: Planted,
    /// Why it exists.
    pub trigger: Trigger,
    /// Its logical date.
    pub logical_at: Timestamp,
    /// The data it is for.
    pub interval: DataInterval,
    /// When it is made.
    pub created_at: Timestamp,
    /// How long it waits for a run slot.
    pub queued_ms: i64,
    /// Who asked for it.
    pub by: String,
    /// Its params, canonical JSON.
    pub conf: String,
    /// Its priority.
    pub priority: i32,
    /// Tasks that run as so many instances.
    pub mapped: Vec<(TaskId, u32)>,
    /// What its attempts do.
    pub script: Script,
}

/// Runs of one commit, at most.
const RUNS_A_BATCH: usize = 256;
/// From a claim to the first poll of the body.
const START_MS: i64 = 5;
/// What is said of an attempt whose worker died.
const LOST_WORDS: &str = "worker planted/1 stopped answering";
/// Until a dead worker is noticed.
const NOTICED_MS: i64 = 38_000;

/// Writes planted runs.
pub struct Planter<'s> {
    store: &'s dyn Store,
    worker: WorkerNo,
    queue: String,
    rng: Rng,
    /// Nothing is written that happens later.
    now: Timestamp,
    /// What was written so far.
    pub written: Written,
}

/// What was written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Written {
    /// Runs.
    pub runs: u64,
    /// Task runs that are over.
    pub task_runs: u64,
    /// Commits.
    pub commits: u64,
}

struct Live {
    run: Run,
    spec: Spec,
    at_work: HashMap<TaskKey, Attempt>,
}

struct Attempt {
    dispatch_no: u32,
    attempt_id: AttemptId,
    started_at: Option<Timestamp>,
    act: Act,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Create,
    Start,
    End(TaskKey),
}

impl<'s> Planter<'s> {
    /// Writes as this worker, which must be active, nothing later than `now`.
    pub fn new(store: &'s dyn Store, worker: WorkerNo, queue: &str, seed: u64, now: Timestamp) -> Self {
        Self { store, worker, queue: queue.to_owned(), rng: Rng::new(seed), now, written: Written::default() }
    }

    /// Its source of numbers.
    pub fn rng(&mut self) -> &mut Rng {
        &mut self.rng
    }

    /// Plants runs that happen beside each other; says their ids in order.
    ///
    /// # Errors
    /// The model or the store refuses something.
    pub async fn plant(&mut self, specs: Vec<Spec>) -> Result<Vec<RunId>> {
        let mut ids = Vec::with_capacity(specs.len());
        let mut live: Vec<Option<Live>> = Vec::with_capacity(specs.len());
        let mut due = BinaryHeap::new();
        for spec in specs {
            let run_id = RunId(self.rng.uuid_v7(spec.created_at.as_millis()));
            due.push(Reverse((spec.created_at, live.len(), Step::Create)));
            ids.push(run_id);
            live.push(Some(Live { run: unborn(run_id, &self.queue, &spec), spec, at_work: HashMap::new() }));
        }
        while let Some(Reverse((at, _, _))) = due.peek()
            && *at <= self.now
        {
            let at = *at;
            let mut steps: BTreeMap<usize, Vec<Step>> = BTreeMap::new();
            while let Some(Reverse((when, _, _))) = due.peek()
                && *when == at
            {
                if let Some(Reverse((_, index, step))) = due.pop() {
                    steps.entry(index).or_default().push(step);
                }
            }
            let mut commits = Vec::with_capacity(steps.len().min(RUNS_A_BATCH));
            for (index, steps) in steps {
                let Some(one) = live[index].as_mut() else { continue };
                let commit = self.step(one, steps, at, |when, step| due.push(Reverse((when, index, step))))?;
                if one.run.projection().state.is_final() {
                    live[index] = None;
                }
                commits.push(commit);
                if commits.len() == RUNS_A_BATCH {
                    self.commit(at, std::mem::take(&mut commits)).await?;
                }
            }
            self.commit(at, commits).await?;
        }
        Ok(ids)
    }

    async fn commit(&mut self, at: Timestamp, runs: Vec<RunCommit>) -> Result<()> {
        if runs.is_empty() {
            return Ok(());
        }
        let new = runs.iter().filter(|run| matches!(run.expected, Expected::New(_))).count();
        let over: usize = runs.iter().map(|run| run.task_runs.len()).sum();
        let batch = Batch { worker_no: self.worker, at, runs, pick: None };
        match self.store.commit(&batch).await.context("a planted commit")? {
            Committed::Applied { .. } => {}
            Committed::Refused { runs, worker_inactive } => {
                bail!("a planted commit was refused: {runs:?}, worker inactive: {worker_inactive}")
            }
        }
        self.written.runs += u64::try_from(new)?;
        self.written.task_runs += u64::try_from(over)?;
        self.written.commits += 1;
        Ok(())
    }

    /// One run's part of the commit at an instant.
    fn step(
        &mut self,
        one: &mut Live,
        steps: Vec<Step>,
        at: Timestamp,
        mut later: impl FnMut(Timestamp, Step),
    ) -> Result<RunCommit> {
        let expected = if one.run.version() == 0 {
            Expected::New(Box::new(one.run.facts().clone()))
        } else {
            Expected::At { version: one.run.version(), stamp: one.run.stamp() }
        };
        let mut events = Vec::new();
        let mut ended = Vec::new();
        for step in steps {
            let input = match step {
                Step::Create => {
                    let create = Input::Create { by: one.spec.by.clone(), conf_sha256: "0".repeat(64), only: None };
                    events.extend(take(&mut one.run, create, at)?);
                    for (task, n) in &one.spec.mapped {
                        let expand = Input::Expand { task: task.clone(), n: *n };
                        events.extend(take(&mut one.run, expand, at)?);
                    }
                    if one.spec.queued_ms > 0 {
                        later(plus(at, one.spec.queued_ms), Step::Start);
                        continue;
                    }
                    Input::Start
                }
                Step::Start => Input::Start,
                Step::End(key) => {
                    let attempt = one.at_work.remove(&key).context("an attempt ended twice")?;
                    let (input, before) = (finish(&key, &attempt, self.worker), events.len());
                    events.extend(take(&mut one.run, input, at)?);
                    ended.extend(ended_attempt(key, attempt, events.get(before)));
                    continue;
                }
            };
            events.extend(take(&mut one.run, input, at)?);
        }
        let effects = Effects::of(&one.run, &events);
        let mut work = Vec::with_capacity(effects.dispatched.len());
        for dispatched in effects.dispatched {
            let key = dispatched.dispatch.key.clone();
            let ready = dispatched.due.unwrap_or(at);
            let act = (one.spec.script)(&key, dispatched.dispatch.dispatch_no);
            let claimed = plus(ready, act.wait_ms);
            let begun = plus(claimed, START_MS);
            let (started_at, end) = match act.end {
                End::NeverStarted => (None, plus(claimed, NOTICED_MS)),
                End::Lost => (Some(begun), plus(begun, act.run_ms + NOTICED_MS)),
                End::Good(_) | End::Bad(..) | End::Skip(_) => (Some(begun), plus(begun, act.run_ms)),
            };
            let attempt_id = AttemptId(self.rng.uuid_v4());
            let place = if claimed <= self.now {
                Place::Executing
            } else if ready > self.now {
                Place::Timer
            } else {
                Place::Ready
            };
            let executing = place == Place::Executing;
            work.push(WorkRow {
                run_id: one.run.facts().run_id,
                place,
                due_at: dispatched.due.filter(|_| place == Place::Timer),
                queue: self.queue.clone(),
                rank: updraft_model::rank(ready, one.spec.priority),
                worker_no: executing.then_some(self.worker),
                attempt_id: executing.then_some(attempt_id),
                claimed_at: executing.then_some(claimed),
                cancel_at: None,
                dispatch: dispatched.dispatch.clone(),
            });
            if executing {
                later(end, Step::End(key.clone()));
            }
            let dispatch_no = dispatched.dispatch.dispatch_no;
            one.at_work.insert(key, Attempt { dispatch_no, attempt_id, started_at, act });
        }
        let stamp = Stamp(self.rng.uuid_v4());
        one.run.committed(stamp);
        Ok(RunCommit {
            run_id: one.run.facts().run_id,
            expected,
            stamp,
            actor: if ended.is_empty() { one.spec.by.clone() } else { format!("worker:{}", self.worker) },
            events,
            run: effects.run,
            ended,
            task_runs: effects.task_runs,
            cleared: effects.cleared,
            work,
            removed: effects.removed,
        })
    }
}

fn plus(at: Timestamp, millis: i64) -> Timestamp {
    Timestamp::from_millis(at.as_millis().saturating_add(millis))
}

fn take(run: &mut Run, input: Input, at: Timestamp) -> Result<Vec<Event>> {
    run.step(input, at).map_err(|reject| anyhow::anyhow!("a planted step was refused: {reject}"))
}

fn unborn(run_id: RunId, queue: &str, spec: &Spec) -> Run {
    let run_key = match spec.trigger {
        Trigger::Schedule => spec.logical_at.to_string(),
        Trigger::Backfill => format!("backfill:{}", spec.logical_at),
        Trigger::Manual | Trigger::Asset | Trigger::Event | Trigger::Api => run_id.to_string(),
    };
    let facts = RunFacts {
        run_id,
        workflow_id: spec.of.published.workflow_id,
        version_id: spec.of.published.version_id,
        run_key,
        trigger: spec.trigger,
        logical_at: spec.logical_at,
        interval: spec.interval,
        conf: spec.conf.clone(),
        queue: queue.to_owned(),
        priority: spec.priority,
        created_at: spec.created_at,
    };
    Run::unborn(spec.of.compiled.clone(), facts, Limits::default())
}

fn finish(key: &TaskKey, attempt: &Attempt, worker: WorkerNo) -> Input {
    let result = match &attempt.act.end {
        End::Good(output) => AttemptResult::Succeeded {
            bytes: u32::try_from(output.as_ref().map_or(0, String::len)).unwrap_or(u32::MAX),
        },
        End::Bad(class, message) => {
            AttemptResult::Failed { class: class.clone(), message: message.clone(), retryable: Retryable::YES }
        }
        End::Skip(reason) => AttemptResult::Skipped { reason: reason.clone() },
        End::Lost | End::NeverStarted => {
            AttemptResult::Lost { cause: Cause::WorkerDied, message: LOST_WORDS.to_owned() }
        }
    };
    Input::Finish {
        key: key.clone(),
        dispatch_no: attempt.dispatch_no,
        result,
        started_at: attempt.started_at,
        worker: Some(worker),
    }
}

fn ended_attempt(key: TaskKey, attempt: Attempt, event: Option<&Event>) -> Option<EndedAttempt> {
    let Some(Event::AttemptEnded { outcome, cause, class, .. }) = event else { return None };
    let (output, message) = match attempt.act.end {
        End::Good(output) => (output, None),
        End::Bad(_, message) => (None, Some(message)),
        End::Skip(reason) => (None, Some(reason)),
        End::Lost | End::NeverStarted => (None, Some(LOST_WORDS.to_owned())),
    };
    Some(EndedAttempt {
        key,
        dispatch_no: attempt.dispatch_no,
        attempt_id: attempt.attempt_id,
        outcome: *outcome,
        cause: *cause,
        class: class.clone(),
        message,
        started_at: attempt.started_at,
        output,
        items: attempt.act.items,
        metrics: attempt.act.metrics,
    })
}
