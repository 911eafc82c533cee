//! The cached state of one run: everything that deciding needs, nothing that a claim changes.
//!
//! Where a dispatched task run is (ready, executing, waiting for its retry) is not known here: claims and timers change
//! that without the run (F1). Inside, tasks are positions; names appear only at the border.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::apply::Illegal;
use crate::event::Event;
use crate::graph::{Compiled, TaskIndex};
use crate::id::{MapIndex, Stamp, TaskId, TaskKey, VersionId};
use crate::input::Target;
use crate::judge::{Counts, Verdict, judge};
use crate::mapped::{At, Mapped};
use crate::record::{ClearedRow, Dispatch, RunFacts, RunProjection, RunRow, TaskRunRow};
use crate::state::{Cause, FinalState, RunState};
use crate::time::Timestamp;

/// Bounds that do not belong to the workflow. They are not part of a run's history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most task runs of one run that are dispatched at a time, besides `max_active_tasks` (F14).
    pub window: u32,
    /// Most events of one run.
    pub max_events: u64,
}

impl Limits {
    /// Most events of one run (engine.md §3.2).
    pub const MAX_EVENTS: u64 = 100_000;

    /// For this many live slots.
    pub fn for_slots(live_slots: u32) -> Self {
        Self { window: live_slots.saturating_mul(2).max(512), max_events: Self::MAX_EVENTS }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::for_slots(0)
    }
}

/// Numbers of a task run's last dispatch; zeros if there was none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Numbers {
    /// The fence.
    pub dispatch_no: u32,
    /// The try.
    pub try_no: u32,
    /// Attempts lost so far.
    pub losses: u32,
    /// Generation of the task run.
    pub generation: u32,
    /// Tries of the generations before this one: each has the whole budget of its retry policy. Zero once it is over.
    pub tries_before: u32,
}

impl Numbers {
    /// The try inside its generation, from 1.
    pub fn own_try(self) -> u32 {
        self.try_no.saturating_sub(self.tries_before)
    }
}

/// What a run knows about one task run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slot {
    /// Not dispatched in this generation; the numbers are those of the generation before, or zeros.
    Waiting(Numbers),
    /// It has a row in `work`.
    Dispatched(Numbers),
    /// Its attempt is over; the same commit says what follows.
    Ended {
        /// Of that attempt.
        numbers: Numbers,
        /// When its body began.
        started_at: Option<Timestamp>,
    },
    /// It is over.
    Final {
        /// Of its last dispatch.
        numbers: Numbers,
        /// How.
        state: FinalState,
        /// Why.
        cause: Cause,
        /// When the body of the attempt that decided it began.
        started_at: Option<Timestamp>,
        /// When.
        ended_at: Timestamp,
    },
}

impl Slot {
    /// How it ended, if it has.
    pub fn final_state(&self) -> Option<FinalState> {
        match self {
            Self::Final { state, .. } => Some(*state),
            Self::Waiting(_) | Self::Dispatched(_) | Self::Ended { .. } => None,
        }
    }

    /// Whether it waits.
    pub(crate) fn is_waiting(&self) -> bool {
        matches!(self, Self::Waiting(_))
    }
}

/// Workflow versions by number.
pub type Versions = BTreeMap<VersionId, Arc<Compiled>>;

/// A run's rows as a store hands them over.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    /// Its row.
    pub row: RunRow,
    /// Its chosen tasks, `None` = all.
    pub only: Option<Vec<TaskId>>,
    /// Number of events so far.
    pub events: u64,
    /// Task runs that are over.
    pub task_runs: Vec<TaskRunRow>,
    /// Task runs that begin anew and are not over again yet.
    pub cleared: Vec<ClearedRow>,
    /// Task runs that are dispatched.
    pub dispatched: Vec<Dispatch>,
}

/// One commit of a run's history.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Commit<'a> {
    /// The version it led to.
    pub version: u64,
    /// Its id.
    pub stamp: Stamp,
    /// When.
    pub at: Timestamp,
    /// What happened.
    pub events: &'a [Event],
}

/// The cached state of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    pub(crate) compiled: Arc<Compiled>,
    pub(crate) limits: Limits,
    pub(crate) facts: RunFacts,
    pub(crate) only: Option<Vec<TaskId>>,
    /// By position: part of this run.
    pub(crate) chosen: Vec<bool>,
    pub(crate) projection: RunProjection,
    pub(crate) version: u64,
    pub(crate) stamp: Stamp,
    pub(crate) events: u64,
    pub(crate) slots: Vec<Slot>,
    pub(crate) counts: Vec<Counts>,
    /// Chosen task runs that are not over.
    pub(crate) open: u32,
    pub(crate) dispatched: u32,
    /// Ended `failed` or `cancelled` without `allow_failure`.
    pub(crate) failures: u32,
    /// Ended `upstream_failed`.
    pub(crate) blocked: u32,
    /// Task runs of versions before this one that are not in its graph; they keep their numbers.
    pub(crate) gone: BTreeMap<TaskKey, Slot>,
    /// The version that the next `run_reopened` goes on with, if it is another one.
    pub(crate) next: Option<Target>,
    /// Of mapped tasks.
    pub(crate) instances: BTreeMap<TaskIndex, Mapped>,
    /// Rule satisfied, waiting for a place in the window, in file order. A mapped task is among them while an instance is
    /// left.
    pub(crate) startable: BTreeSet<TaskIndex>,
}

impl Run {
    /// A run before its first event.
    pub fn unborn(compiled: Arc<Compiled>, facts: RunFacts, limits: Limits) -> Self {
        let mut run = Self {
            limits,
            facts,
            only: None,
            chosen: Vec::new(),
            projection: RunProjection {
                state: RunState::Queued,
                cause: None,
                generation: 0,
                started_at: None,
                ended_at: None,
            },
            version: 0,
            stamp: Stamp(uuid::Uuid::nil()),
            events: 0,
            slots: Vec::new(),
            counts: Vec::new(),
            open: 0,
            dispatched: 0,
            failures: 0,
            blocked: 0,
            gone: BTreeMap::new(),
            next: None,
            instances: BTreeMap::new(),
            startable: BTreeSet::new(),
            compiled,
        };
        run.blank();
        run.choose(None);
        run
    }

    /// Everything waits; [`Run::choose`] completes it.
    pub(crate) fn blank(&mut self) {
        let graph = &self.compiled.graph;
        self.slots = vec![Slot::Waiting(Numbers::default()); graph.len()];
        let total = |task| u32::try_from(graph.upstream(task).len()).unwrap_or(u32::MAX);
        self.counts = graph.indices().map(|task| Counts { total: total(task), ..Counts::default() }).collect();
        (self.dispatched, self.failures, self.blocked) = (0, 0, 0);
        self.instances.clear();
    }

    /// Limits the run to these tasks with all their upstreams. Unknown names are not possible: `decide` refused them.
    pub(crate) fn choose(&mut self, only: Option<Vec<TaskId>>) {
        let graph = &self.compiled.graph;
        self.chosen = match &only {
            None => vec![true; graph.len()],
            Some(tasks) => graph.upstream_closure(tasks.iter().filter_map(|task| graph.position(task.as_str()))),
        };
        self.open = u32::try_from(self.chosen.iter().filter(|chosen| **chosen).count()).unwrap_or(u32::MAX);
        self.only = only;
        self.startable = graph.indices().filter(|&task| self.may_start(task)).collect();
    }

    /// From rows.
    ///
    /// # Errors
    /// A row names a task that the pinned version does not have, or two rows speak of one task run.
    pub fn load(compiled: Arc<Compiled>, snapshot: Snapshot, limits: Limits) -> Result<Self, Illegal> {
        let Snapshot { row, only, events, task_runs, cleared, dispatched } = snapshot;
        let mut run = Self::unborn(compiled, row.facts, limits);
        run.choose(only);
        run.projection = row.projection;
        run.version = row.version;
        run.stamp = row.stamp;
        run.events = events;
        let expanded = task_runs.iter().map(|row| (&row.key, row.expanded_n));
        for (key, n) in expanded.chain(cleared.iter().map(|row| (&row.key, row.expanded_n))) {
            if let (Some(task), Some(n)) = (run.position(key), n) {
                run.instances.insert(task, Mapped::new(n));
            }
        }
        for row in task_runs {
            let TaskRunRow { key, generation, dispatch_no, try_no, losses, state, cause, started_at, ended_at, .. } =
                row;
            let numbers = Numbers { dispatch_no, try_no, losses, generation, tries_before: 0 };
            if state == FinalState::Removed && run.locate(&key).is_none() {
                run.gone.insert(key, Slot::Final { numbers, state, cause, started_at, ended_at });
                continue;
            }
            let at = run.vacant(&key)?;
            if at.is_instance() {
                run.put(at, Slot::Final { numbers, state, cause, started_at, ended_at });
            } else {
                run.end(at.task, numbers, (state, cause), started_at, ended_at);
            }
        }
        for row in cleared {
            let at = run.vacant(&row.key)?;
            let ClearedRow { generation, dispatch_no, try_no, .. } = row;
            let numbers = Numbers { dispatch_no, try_no, losses: 0, generation, tries_before: try_no };
            run.put(at, Slot::Waiting(numbers));
        }
        for row in dispatched {
            let at = run.vacant(&row.key)?;
            run.dispatched += 1;
            let tries_before = match run.slot_at(at) {
                Some(Slot::Waiting(before)) => before.tries_before,
                Some(Slot::Dispatched(_) | Slot::Ended { .. } | Slot::Final { .. }) | None => 0,
            };
            let Dispatch { dispatch_no, try_no, losses, generation, .. } = row;
            let numbers = Numbers { dispatch_no, try_no, losses, generation, tries_before };
            run.put(at, Slot::Dispatched(numbers));
            run.weigh(at.task);
        }
        let mapped: Vec<TaskIndex> = run.instances.keys().copied().collect();
        mapped.into_iter().for_each(|task| run.weigh(task));
        Ok(run)
    }

    /// From its events alone, on the versions that they name. `facts` holds what events only hash or leave out (params,
    /// queue, created at).
    ///
    /// # Errors
    /// An event does not follow from the ones before it, or names a version that is not given.
    pub fn replay<'a>(
        versions: &Versions,
        mut facts: RunFacts,
        limits: Limits,
        history: impl IntoIterator<Item = Commit<'a>>,
    ) -> Result<Self, Illegal> {
        let get = |version: VersionId| versions.get(&version).cloned().ok_or(Illegal::UnknownVersion(version));
        let mut history = history.into_iter().peekable();
        let first = history.peek().and_then(|commit| commit.events.first());
        if let Some(Event::RunCreated { version_id, .. }) = first {
            facts.version_id = *version_id;
        }
        let mut run = Self::unborn(get(facts.version_id)?, facts, limits);
        for commit in history {
            if let Some(version_id) = run.version_after(commit.events) {
                run.bring(Target { version_id, compiled: get(version_id)? });
            }
            run.catch_up(&commit)?;
        }
        Ok(run)
    }

    /// The version that these events go on with, if it is not the one that is known: [`Run::bring`] it first.
    pub fn version_after(&self, events: &[Event]) -> Option<VersionId> {
        events.iter().find_map(|event| match event {
            Event::RunReopened { version_id, .. } if *version_id != self.facts.version_id => Some(*version_id),
            _ => None,
        })
    }

    /// Makes a version known, for a `run_reopened` that goes on with it.
    pub fn bring(&mut self, target: Target) {
        self.next = Some(target);
    }

    /// Takes in a commit that somebody else made. After an error the state is unusable: load it anew.
    ///
    /// # Errors
    /// It does not follow on the known version, an event does not follow, or it goes on with a version that was not
    /// brought.
    pub fn catch_up(&mut self, commit: &Commit<'_>) -> Result<(), Illegal> {
        if commit.version != self.version + 1 {
            return Err(Illegal::Gap { known: self.version, found: commit.version });
        }
        for event in commit.events {
            self.apply(event, commit.at)?;
        }
        self.committed(commit.stamp);
        Ok(())
    }

    /// The events applied since the last commit are now durable under this stamp.
    pub fn committed(&mut self, stamp: Stamp) {
        self.version += 1;
        self.stamp = stamp;
    }

    pub(crate) fn known(&self, key: &TaskKey) -> Result<At, Illegal> {
        self.locate(key).ok_or_else(|| Illegal::UnknownTask(key.clone()))
    }

    /// A task run of which no row has spoken yet.
    fn vacant(&self, key: &TaskKey) -> Result<At, Illegal> {
        let at = self.known(key)?;
        if self.slot_at(at).is_some_and(Slot::is_waiting) { Ok(at) } else { Err(Illegal::TwoRows(key.clone())) }
    }

    pub(crate) fn position(&self, key: &TaskKey) -> Option<TaskIndex> {
        let task = self.compiled.graph.position(key.task.as_str())?;
        (key.map_index == MapIndex::NONE && self.chosen[task as usize]).then_some(task)
    }

    /// Ends a task run: O(out-degree).
    pub(crate) fn end(
        &mut self,
        task: TaskIndex,
        numbers: Numbers,
        (state, cause): (FinalState, Cause),
        started_at: Option<Timestamp>,
        ended_at: Timestamp,
    ) {
        let numbers = Numbers { tries_before: 0, ..numbers };
        self.slots[task as usize] = Slot::Final { numbers, state, cause, started_at, ended_at };
        self.startable.remove(&task);
        self.open -= 1;
        self.failures += u32::from(counts_as_failure(&self.compiled, task, state));
        self.blocked += u32::from(state == FinalState::UpstreamFailed);
        let compiled = Arc::clone(&self.compiled);
        for &child in compiled.graph.downstream(task) {
            self.counts[child as usize].add(state);
            if self.may_start(child) {
                self.startable.insert(child);
            }
        }
    }

    pub(crate) fn verdict(&self, task: TaskIndex) -> Verdict {
        judge(self.compiled.task(task).trigger_rule, self.counts[task as usize])
    }

    /// What is compiled.
    pub fn compiled(&self) -> &Arc<Compiled> {
        &self.compiled
    }

    /// What never changes.
    pub fn facts(&self) -> &RunFacts {
        &self.facts
    }

    /// Its chosen tasks, `None` = all.
    pub fn only(&self) -> Option<&[TaskId]> {
        self.only.as_deref()
    }

    /// Task runs of earlier versions that are not in the graph any more.
    pub fn gone(&self) -> &BTreeMap<TaskKey, Slot> {
        &self.gone
    }

    /// Whether this task is part of the run.
    pub fn is_chosen(&self, task: TaskIndex) -> bool {
        self.chosen[task as usize]
    }

    /// The changing part of its row.
    pub fn projection(&self) -> &RunProjection {
        &self.projection
    }

    /// Number of commits so far; 0 before the first.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Id of the last commit.
    pub fn stamp(&self) -> Stamp {
        self.stamp
    }

    /// Number of events so far.
    pub fn events(&self) -> u64 {
        self.events
    }

    /// What is known about the task run at a position.
    pub fn slot(&self, task: TaskIndex) -> &Slot {
        &self.slots[task as usize]
    }

    /// What is known about a task run, or an instance of one.
    pub fn slot_of(&self, key: &TaskKey) -> Option<&Slot> {
        self.slot_at(self.locate(key)?)
    }

    /// How many task runs are dispatched.
    pub fn dispatched(&self) -> u32 {
        self.dispatched
    }

    /// How many chosen task runs are not over.
    pub fn open(&self) -> u32 {
        self.open
    }

    /// Task runs that could start but have no place yet, in file order.
    pub fn startable(&self) -> impl Iterator<Item = TaskIndex> + '_ {
        self.startable.iter().copied()
    }

    /// It has more events than a run may have: stop it through a lane with [`crate::input::Input::Abort`].
    pub fn is_over_event_limit(&self) -> bool {
        self.events >= self.limits.max_events && self.projection.state == RunState::Running
    }

    /// Changes the bounds, for instance when slots come or go.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// Most task runs dispatched at a time.
    pub fn width(&self) -> u32 {
        self.compiled.workflow.max_active_tasks.unwrap_or(u32::MAX).min(self.limits.window).max(1)
    }

    /// The key of the task at a position.
    pub fn key(&self, task: TaskIndex) -> TaskKey {
        TaskKey::of(self.compiled.graph.id(task).clone())
    }
}

/// Whether this end of this task makes the run fail.
pub(crate) fn counts_as_failure(compiled: &Compiled, task: TaskIndex, state: FinalState) -> bool {
    match state {
        FinalState::Failed | FinalState::Cancelled => !compiled.task(task).allow_failure,
        FinalState::Succeeded | FinalState::Skipped | FinalState::UpstreamFailed | FinalState::Removed => false,
    }
}
