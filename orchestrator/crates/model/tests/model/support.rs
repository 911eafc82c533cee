//! Workflows, runs and inputs in few words.

use std::sync::Arc;

use updraft_model::event::Event;
use updraft_model::graph::Compiled;
use updraft_model::id::{MapIndex, RunId, Stamp, TaskId, TaskKey, VersionId, WorkerNo, WorkflowId};
use updraft_model::input::{AttemptResult, Input, Mark, Retry, RetryWhat, Retryable, Standing};
use updraft_model::mapped::Mapped;
use updraft_model::record::RunFacts;
use updraft_model::retry::RetryPolicy;
use updraft_model::run::{Commit, Limits, Run, Slot, Versions};
use updraft_model::schedule::{Catchup, DataIntervalKind, Overlap};
use updraft_model::state::{Cause, FinalState, Place, Trigger};
use updraft_model::time::{DataInterval, Timestamp};
use updraft_model::trigger_rule::TriggerRule;
use updraft_model::workflow::{Task, Workflow};
use uuid::Uuid;

pub fn task(id: &str, depends_on: &[&str]) -> Task {
    Task {
        id: TaskId::from(id),
        task_type: "noop".to_owned(),
        with: serde_json::Map::new(),
        conn: None,
        depends_on: depends_on.iter().map(|id| TaskId::from(*id)).collect(),
        trigger_rule: TriggerRule::AllSuccess,
        when: None,
        allow_failure: false,
        retry: RetryPolicy::default(),
        timeout: None,
        env: std::collections::BTreeMap::new(),
    }
}

pub fn workflow(tasks: Vec<Task>) -> Workflow {
    Workflow {
        id: "w".to_owned(),
        description: None,
        owner: None,
        tags: Vec::new(),
        schedule: None,
        jitter: None,
        start_date: None,
        end_date: None,
        catchup: Catchup::None,
        data_interval: DataIntervalKind::Window,
        max_active_runs: 1,
        overlap: Overlap::Queue,
        paused: false,
        max_active_tasks: None,
        timeout: None,
        params: serde_json::Map::new(),
        vars: serde_json::Map::new(),
        env: std::collections::BTreeMap::new(),
        tasks,
    }
}

pub fn compiled(workflow: Workflow) -> Arc<Compiled> {
    Arc::new(Compiled::new(workflow).expect("an acyclic workflow"))
}

pub fn facts() -> RunFacts {
    RunFacts {
        run_id: RunId(Uuid::from_u128(0x0192_0000_0000_7000_8000_0000_0000_0001)),
        workflow_id: WorkflowId(1),
        version_id: VersionId(2),
        run_key: "k".to_owned(),
        trigger: Trigger::Manual,
        logical_at: at(0),
        interval: DataInterval { start: at(0), end: at(0) },
        conf: "{}".to_owned(),
        queue: "q".to_owned(),
        priority: 0,
        created_at: at(0),
    }
}

/// The key that is shown as `a`, or `a[0]`.
pub fn key(name: &str) -> TaskKey {
    match name.strip_suffix(']').and_then(|name| name.split_once('[')) {
        None => TaskKey::of(name),
        Some((task, index)) => TaskKey { task: task.into(), map_index: MapIndex(index.parse().expect("a number")) },
    }
}

pub fn expand(task: &str, n: u32) -> Input {
    Input::Expand { task: task.into(), n }
}

pub fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(1_700_000_000_000 + millis)
}

pub fn create(only: Option<&[&str]>) -> Input {
    Input::Create {
        by: "cli:test".to_owned(),
        conf_sha256: "0".repeat(64),
        only: only.map(|tasks| tasks.iter().map(|task| TaskId::from(*task)).collect()),
    }
}

/// A run with its whole history, so that it can be replayed.
pub struct Driven {
    pub run: Run,
    pub log: Vec<(Timestamp, Vec<Event>)>,
    pub clock: i64,
    /// The versions that its history names.
    pub versions: Versions,
}

impl Driven {
    pub fn new(compiled: &Arc<Compiled>, limits: Limits) -> Self {
        let versions = Versions::from([(facts().version_id, Arc::clone(compiled))]);
        Self { run: Run::unborn(Arc::clone(compiled), facts(), limits), log: Vec::new(), clock: 0, versions }
    }

    /// Created and started.
    pub fn started(workflow: Workflow) -> Self {
        let mut driven = Self::new(&compiled(workflow), Limits::default());
        driven.give(create(None));
        driven.give(Input::Start);
        driven
    }

    pub fn now(&self) -> Timestamp {
        at(self.clock)
    }

    /// One input, one commit.
    pub fn give(&mut self, input: Input) -> Vec<Event> {
        self.try_give(input).expect("the input is accepted")
    }

    pub fn try_give(&mut self, input: Input) -> Result<Vec<Event>, updraft_model::input::Reject> {
        self.clock += 1_000;
        let events = self.run.step(input, self.now())?;
        self.run.committed(stamp(self.log.len()));
        self.log.push((self.now(), events.clone()));
        Ok(events)
    }

    pub fn finish(&mut self, task: &str, result: AttemptResult) -> Vec<Event> {
        let input = self.finishing(task, result);
        self.give(input)
    }

    pub fn finishing(&self, task: &str, result: AttemptResult) -> Input {
        let key = key(task);
        let Some(Slot::Dispatched(numbers)) = self.run.slot_of(&key).copied() else {
            panic!("`{task}` is not dispatched: {:?}", self.run.slot_of(&key));
        };
        Input::Finish {
            key,
            dispatch_no: numbers.dispatch_no,
            result,
            started_at: Some(at(self.clock)),
            worker: Some(WorkerNo(7)),
        }
    }

    /// Names of dispatched task runs, in file order; instances as `m[0]`.
    pub fn dispatched(&self) -> Vec<String> {
        let (run, graph) = (&self.run, &self.run.compiled().graph);
        let is_dispatched = |slot: &Slot| matches!(slot, Slot::Dispatched(_));
        graph
            .indices()
            .flat_map(|task| {
                let own = is_dispatched(run.slot(task)).then(|| graph.id(task).to_string());
                let instances = run.mapped(task).into_iter().flat_map(Mapped::slots);
                let instances = instances.filter(move |(_, slot)| is_dispatched(slot));
                own.into_iter().chain(instances.map(move |(index, _)| format!("{}[{}]", graph.id(task), index.0)))
            })
            .collect()
    }

    /// How a task run ended.
    pub fn ended(&self, task: &str) -> Option<(FinalState, Cause)> {
        match self.run.slot_of(&key(task)) {
            Some(Slot::Final { state, cause, .. }) => Some((*state, *cause)),
            Some(Slot::Waiting(_) | Slot::Dispatched(_) | Slot::Ended { .. }) | None => None,
        }
    }

    pub fn replayed(&self, limits: Limits) -> Run {
        let history = self.log.iter().enumerate().map(|(n, (at, events))| Commit {
            version: n as u64 + 1,
            stamp: stamp(n),
            at: *at,
            events,
        });
        Run::replay(&self.versions, facts(), limits, history).expect("a legal history")
    }
}

pub fn standing(task: &str, place: Place) -> Standing {
    let executes = place == Place::Executing;
    let (worker, claimed_at) = (executes.then_some(WorkerNo(7)), executes.then(|| at(5)));
    Standing { key: key(task), place, worker, claimed_at }
}

/// A retry of what failed, on the pinned version.
pub fn retry(what: RetryWhat, tasks: &[&str]) -> Retry {
    Retry {
        what,
        tasks: tasks.iter().map(|task| key(task)).collect(),
        downstream: false,
        version: None,
        queue: None,
        waits: false,
        by: "ops".to_owned(),
        reason: "again".to_owned(),
        work: Vec::new(),
    }
}

pub fn mark(state: FinalState, tasks: Option<&[&str]>) -> Mark {
    Mark {
        tasks: tasks.map(|tasks| tasks.iter().map(|task| key(task)).collect()),
        state,
        by: "ops".to_owned(),
        reason: "seen".to_owned(),
        work: Vec::new(),
    }
}

pub fn stamp(n: usize) -> Stamp {
    Stamp(Uuid::from_u128(n as u128 + 1))
}

pub fn ok() -> AttemptResult {
    AttemptResult::Succeeded { bytes: 2 }
}

pub fn skip() -> AttemptResult {
    AttemptResult::Skipped { reason: "nothing to do".to_owned() }
}

pub fn fail() -> AttemptResult {
    AttemptResult::Failed { class: "Bad".to_owned(), message: "no".to_owned(), retryable: Retryable::Never }
}

pub fn retryable(class: &str, after_ms: u64) -> AttemptResult {
    AttemptResult::Failed {
        class: class.to_owned(),
        message: "later".to_owned(),
        retryable: Retryable::After(std::time::Duration::from_millis(after_ms)),
    }
}
