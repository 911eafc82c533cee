//! The tables of the memory store and the operations on them, each of which is all or nothing.

use std::collections::{BTreeMap, HashSet};

use updraft_model::id::{AttemptId, MapIndex, RunId, Stamp, TaskId, TaskKey, VersionId, WorkerNo, WorkflowId};
use updraft_model::record::{AttemptRow, ClearedRow, EndedAttempt, RunMetric, RunRow, TaskItem, TaskRunRow, WorkRow};
use updraft_model::state::Place;
use updraft_model::time::Timestamp;

use crate::logs::LogKey;
use crate::read::VersionView;
use crate::scheduling::{ZONE_KEY, ZONE_SCOPE};
use crate::schema::TAIL_ROWS;
use crate::{
    Batch, Committed, Expected, Loaded, LoadedRun, LogEntry, NewVersion, NextDue, Peer, Published, Refusal, RunCommit,
    StoreError, TaskStateKey, WorkerInfo, WorkerState, check,
};

/// A run with its log.
#[derive(Debug, Clone)]
pub(super) struct Run {
    pub(super) row: RunRow,
    pub(super) only: Option<Vec<TaskId>>,
    pub(super) log: Vec<LogEntry>,
}

type AttemptKey = (RunId, TaskKey, u32);

/// Everything, by key.
#[derive(Debug, Clone, Default)]
pub(super) struct Tables {
    /// Names; a workflow's number is its position, from 1.
    workflows: Vec<String>,
    versions: Vec<(WorkflowId, VersionView)>,
    pub(super) runs: BTreeMap<RunId, Run>,
    run_keys: HashSet<(WorkflowId, String)>,
    pub(super) task_runs: BTreeMap<(RunId, TaskKey), TaskRunRow>,
    /// Rows of `task_run` in state `waiting`; a key is here or in `task_runs`.
    cleared: BTreeMap<(RunId, TaskKey), ClearedRow>,
    pub(super) work: BTreeMap<(RunId, TaskKey), WorkRow>,
    pub(super) attempts: BTreeMap<AttemptKey, AttemptRow>,
    pub(super) items: BTreeMap<AttemptKey, Vec<TaskItem>>,
    /// By run, task, name and labels as JSON.
    pub(super) metrics: BTreeMap<(RunId, TaskId, String, String), RunMetric>,
    workers: BTreeMap<WorkerNo, Peer>,
    pub(super) logs: BTreeMap<LogKey, super::logs::Log>,
    task_state: BTreeMap<(RunId, TaskKey, u32, String), String>,
    shared_state: BTreeMap<(String, String), (String, u64)>,
    pub(super) schedules: super::scheduling::Schedules,
}

impl Tables {
    /// Removes runs that were over before an instant, with all that belongs to them.
    pub(super) fn purge_runs(&mut self, before: Timestamp, limit: u32) -> u64 {
        let mut over: Vec<(Timestamp, RunId)> = self
            .runs
            .iter()
            .filter_map(|(id, run)| Some((run.row.projection.ended_at.filter(|ended| *ended < before)?, *id)))
            .collect();
        over.sort_unstable();
        over.truncate(limit as usize);
        let gone: HashSet<RunId> = over.iter().map(|(_, run)| *run).collect();
        for run in &gone {
            if let Some(run) = self.runs.remove(run) {
                self.run_keys.remove(&(run.row.facts.workflow_id, run.row.facts.run_key.clone()));
            }
        }
        self.task_runs.retain(|(run, _), _| !gone.contains(run));
        self.cleared.retain(|(run, _), _| !gone.contains(run));
        self.attempts.retain(|(run, ..), _| !gone.contains(run));
        self.items.retain(|(run, ..), _| !gone.contains(run));
        self.metrics.retain(|(run, ..), _| !gone.contains(run));
        self.logs.retain(|log, _| !gone.contains(&log.run_id));
        self.task_state.retain(|(run, ..), _| !gone.contains(run));
        gone.len() as u64
    }

    /// Says by which release of the zone database fires are computed; true if it is another one than before.
    pub(super) fn zone_rules(&mut self, release: &str) -> bool {
        let key = (ZONE_SCOPE.to_owned(), ZONE_KEY.to_owned());
        let (value, version) = self.shared_state.entry(key).or_insert_with(|| (String::new(), 0));
        let another = value != release;
        if another {
            release.clone_into(value);
            *version += 1;
        }
        another
    }

    pub(super) fn log(&self, run: RunId) -> &[LogEntry] {
        self.runs.get(&run).map_or(&[], |run| &run.log)
    }

    pub(super) fn load(&self, run: RunId, known: Option<(u64, Stamp)>) -> Loaded {
        if let Some((version, stamp)) = known {
            let mut newer = self.log(run).iter().skip_while(|entry| entry.version < version);
            if newer.next().is_some_and(|entry| entry.version == version && entry.stamp == stamp) {
                let tail: Vec<LogEntry> = newer.cloned().collect();
                if tail.is_empty() {
                    return Loaded::Unchanged(run);
                }
                if tail.len() as u64 <= TAIL_ROWS {
                    return Loaded::Tail(run, tail);
                }
            }
        }
        self.full(run).map_or(Loaded::Missing(run), |full| Loaded::Full(Box::new(full)))
    }

    pub(super) fn full(&self, id: RunId) -> Option<LoadedRun> {
        let run = self.runs.get(&id)?;
        Some(LoadedRun {
            row: run.row.clone(),
            only: run.only.clone(),
            events: run.log.iter().map(|entry| entry.events.len() as u64).sum(),
            task_runs: of_run(&self.task_runs, id),
            cleared: of_run(&self.cleared, id),
            work: of_run(&self.work, id),
        })
    }

    pub(super) fn commit(&mut self, batch: &Batch) -> Result<Committed, StoreError> {
        let mut refused: Vec<(RunId, Refusal)> =
            batch.runs.iter().filter_map(|run| self.refusal(run).map(|refusal| (run.run_id, refusal))).collect();
        refused.sort_by_key(|(run, _)| *run);
        let claims = batch.pick.as_ref().is_some_and(|pick| !pick.attempts.is_empty())
            || batch.runs.iter().any(|run| run.work.iter().any(|row| row.place == Place::Executing));
        let worker_inactive = claims && !self.is_active(batch.worker_no);
        if worker_inactive || !refused.is_empty() {
            return Ok(Committed::Refused { runs: refused, worker_inactive });
        }
        batch.runs.iter().try_for_each(|run| self.check(run))?;
        let picked = match &batch.pick {
            Some(pick) => self.pick(batch.worker_no, &pick.queue, &pick.attempts, batch.at),
            None => Vec::new(),
        };
        for run in &batch.runs {
            self.apply(run, batch.at);
        }
        Ok(Committed::Applied { picked })
    }

    /// What stands in the way of one run's part.
    pub(super) fn refusal(&self, commit: &RunCommit) -> Option<Refusal> {
        match &commit.expected {
            Expected::New(facts) => {
                let key = (facts.workflow_id, facts.run_key.clone());
                if self.runs.contains_key(&commit.run_id) || self.run_keys.contains(&key) {
                    return Some(Refusal::KeyTaken);
                }
            }
            Expected::At { version, stamp } => {
                let stands = |run: &Run| run.row.version == *version && run.row.stamp == *stamp;
                if !self.runs.get(&commit.run_id).is_some_and(stands) {
                    return Some(Refusal::Contended);
                }
            }
        }
        let fenced: Vec<TaskKey> =
            commit.ended.iter().filter(|ended| !self.holds(commit.run_id, ended)).map(|e| e.key.clone()).collect();
        (!fenced.is_empty()).then_some(Refusal::Fenced(fenced))
    }

    /// The fence.
    fn holds(&self, run: RunId, ended: &EndedAttempt) -> bool {
        self.work.get(&(run, ended.key.clone())).is_some_and(|row| {
            row.dispatch.dispatch_no == ended.dispatch_no && row.attempt_id == Some(ended.attempt_id)
        })
    }

    /// What a primary key would refuse.
    pub(super) fn check(&self, commit: &RunCommit) -> Result<(), StoreError> {
        let taken =
            |ended: &&EndedAttempt| self.attempts.contains_key(&(commit.run_id, ended.key.clone(), ended.dispatch_no));
        match commit.ended.iter().find(taken) {
            None => Ok(()),
            Some(ended) => Err(StoreError::Rejected(format!(
                "attempt {} of {} in run {} exists",
                ended.dispatch_no, ended.key, commit.run_id
            ))),
        }
    }

    /// Writes one run's part, which was neither refused nor rejected.
    pub(super) fn apply(&mut self, commit: &RunCommit, at: Timestamp) {
        let id = commit.run_id;
        let entry = |version| LogEntry {
            version,
            stamp: commit.stamp,
            at,
            actor: commit.actor.clone(),
            events: commit.events.clone(),
        };
        match (&commit.expected, self.runs.get_mut(&id)) {
            (Expected::New(facts), _) => {
                let row = RunRow {
                    facts: (**facts).clone(),
                    projection: commit.run.clone(),
                    version: 1,
                    stamp: commit.stamp,
                };
                let only = check::only_of(&commit.events).map(<[TaskId]>::to_vec);
                self.run_keys.insert((facts.workflow_id, facts.run_key.clone()));
                self.runs.insert(id, Run { row, only, log: vec![entry(1)] });
            }
            (Expected::At { version, .. }, Some(run)) => {
                run.row.projection = commit.run.clone();
                if let Some((version_id, queue)) = check::reopened_of(&commit.events) {
                    run.row.facts.version_id = version_id;
                    run.row.facts.queue = queue.map_or_else(|| run.row.facts.queue.clone(), str::to_owned);
                }
                run.row.version = version + 1;
                run.row.stamp = commit.stamp;
                run.log.push(entry(version + 1));
            }
            (Expected::At { .. }, None) => return,
        }
        for ended in &commit.ended {
            self.end(id, ended, at);
        }
        for key in &commit.removed {
            self.work.remove(&(id, key.clone()));
        }
        for row in &commit.task_runs {
            self.cleared.remove(&(id, row.key.clone()));
            self.task_runs.insert((id, row.key.clone()), row.clone());
        }
        for row in &commit.cleared {
            self.task_runs.remove(&(id, row.key.clone()));
            self.cleared.insert((id, row.key.clone()), row.clone());
        }
        for row in &commit.work {
            self.work.insert((id, row.dispatch.key.clone()), row.clone());
        }
    }

    fn end(&mut self, run: RunId, ended: &EndedAttempt, at: Timestamp) {
        let Some(work) = self.work.get(&(run, ended.key.clone())) else { return };
        let key = (run, ended.key.clone(), ended.dispatch_no);
        let row = AttemptRow {
            key: ended.key.clone(),
            dispatch_no: ended.dispatch_no,
            attempt_id: ended.attempt_id,
            try_no: work.dispatch.try_no,
            generation: work.dispatch.generation,
            worker_no: work.worker_no,
            claimed_at: work.claimed_at,
            started_at: ended.started_at,
            ended_at: at,
            outcome: ended.outcome,
            cause: ended.cause,
            class: ended.class.clone(),
            message: ended.message.clone(),
            output: ended.output.clone(),
        };
        self.attempts.insert(key.clone(), row);
        self.items.insert(key, ended.items.clone());
        for metric in &ended.metrics {
            let labels = serde_json::to_string(&metric.labels).expect("text by text is always JSON");
            self.metrics.insert((run, ended.key.task.clone(), metric.name.clone(), labels), metric.clone());
        }
    }

    /// Claims ready rows, best rank first.
    pub(super) fn pick(
        &mut self,
        worker: WorkerNo,
        queue: &str,
        attempts: &[AttemptId],
        at: Timestamp,
    ) -> Vec<WorkRow> {
        let mut ready: Vec<&mut WorkRow> =
            self.work.values_mut().filter(|row| row.place == Place::Ready && row.queue == queue).collect();
        ready.sort_by(|a, b| (a.rank, a.run_id, &a.dispatch.key).cmp(&(b.rank, b.run_id, &b.dispatch.key)));
        ready
            .into_iter()
            .zip(attempts)
            .map(|(row, attempt)| {
                row.place = Place::Executing;
                row.worker_no = Some(worker);
                row.attempt_id = Some(*attempt);
                row.claimed_at = Some(at);
                row.clone()
            })
            .collect()
    }

    /// A run's executing rows, of all workers or of one.
    pub(super) fn executing(&self, run: RunId, worker: Option<WorkerNo>) -> Vec<WorkRow> {
        of_run(&self.work, run)
            .into_iter()
            .filter(|row| row.place == Place::Executing && (worker.is_none() || row.worker_no == worker))
            .collect()
    }

    /// What a cancel would delete, and what it would flag, flagged.
    pub(super) fn cancelling(&self, run: RunId, at: Timestamp) -> (Vec<WorkRow>, Vec<WorkRow>) {
        let (mut executing, removed): (Vec<WorkRow>, Vec<WorkRow>) =
            of_run(&self.work, run).into_iter().partition(|row| row.place == Place::Executing);
        for row in &mut executing {
            row.cancel_at.get_or_insert(at);
        }
        (removed, executing)
    }

    /// Does it.
    pub(super) fn cancel(&mut self, run: RunId, removed: &[WorkRow], flagged: Vec<WorkRow>) {
        for row in removed {
            self.work.remove(&(run, row.dispatch.key.clone()));
        }
        for row in flagged {
            self.work.insert((run, row.dispatch.key.clone()), row);
        }
    }

    /// Makes due timers ready; says their queues.
    pub(super) fn due(&mut self, now: Timestamp, limit: u32) -> Vec<String> {
        let mut due: Vec<&mut WorkRow> = self
            .work
            .values_mut()
            .filter(|row| row.place == Place::Timer && row.due_at.is_some_and(|due| due <= now))
            .collect();
        due.sort_by(|a, b| (a.due_at, a.run_id, &a.dispatch.key).cmp(&(b.due_at, b.run_id, &b.dispatch.key)));
        due.into_iter()
            .take(limit as usize)
            .map(|row| {
                row.place = Place::Ready;
                row.due_at = None;
                row.queue.clone()
            })
            .collect()
    }

    pub(super) fn next_due(&self, queues: &[String]) -> NextDue {
        let ready = self.work.values().filter(|row| row.place == Place::Ready && queues.contains(&row.queue));
        NextDue {
            timer: self.work.values().filter(|row| row.place == Place::Timer).filter_map(|row| row.due_at).min(),
            ready: ready.map(|row| row.rank).min(),
        }
    }

    pub(super) fn register(&mut self, info: &WorkerInfo, lease_until: Timestamp) -> WorkerNo {
        let worker_no = WorkerNo(self.workers.last_key_value().map_or(1, |(last, _)| last.0 + 1));
        let peer =
            Peer { worker_no, info: info.clone(), state: WorkerState::Active, lease_until, alive: None, busy: 0 };
        self.workers.insert(worker_no, peer);
        worker_no
    }

    pub(super) fn is_active(&self, worker: WorkerNo) -> bool {
        self.workers.get(&worker).is_some_and(|peer| peer.state == WorkerState::Active)
    }

    pub(super) fn renew(&mut self, worker: WorkerNo, lease_until: Timestamp) -> bool {
        let renewed = self.serving(worker).map(|peer| {
            peer.lease_until = lease_until;
            if peer.state == WorkerState::Suspect {
                peer.state = WorkerState::Active;
            }
        });
        renewed.is_some()
    }

    pub(super) fn set_state(&mut self, worker: WorkerNo, state: WorkerState) -> bool {
        self.serving(worker).map(|peer| peer.state = state).is_some()
    }

    fn serving(&mut self, worker: WorkerNo) -> Option<&mut Peer> {
        self.workers.get_mut(&worker).filter(|peer| match peer.state {
            WorkerState::Active | WorkerState::Draining | WorkerState::Suspect => true,
            WorkerState::Dead | WorkerState::Gone => false,
        })
    }

    pub(super) fn rows_of(&self, worker: WorkerNo) -> Vec<WorkRow> {
        let mut rows: Vec<WorkRow> = self.work.values().filter(|row| row.worker_no == Some(worker)).cloned().collect();
        rows.sort_by(|a, b| (a.rank, a.run_id, &a.dispatch.key).cmp(&(b.rank, b.run_id, &b.dispatch.key)));
        rows
    }

    pub(super) fn peers(&self) -> Vec<Peer> {
        let holding: HashSet<WorkerNo> = self.work.values().filter_map(|row| row.worker_no).collect();
        self.workers
            .values()
            .filter(|peer| match peer.state {
                WorkerState::Active | WorkerState::Draining | WorkerState::Suspect => true,
                WorkerState::Dead | WorkerState::Gone => holding.contains(&peer.worker_no),
            })
            .map(|peer| {
                let busy = self.work.values().filter(|row| row.worker_no == Some(peer.worker_no)).count();
                Peer { busy: u32::try_from(busy).unwrap_or(u32::MAX), ..peer.clone() }
            })
            .collect()
    }

    pub(super) fn suspect(&mut self, seen: &Peer) -> bool {
        match self.workers.get_mut(&seen.worker_no) {
            Some(peer)
                if peer.state == seen.state
                    && peer.lease_until == seen.lease_until
                    && matches!(peer.state, WorkerState::Active | WorkerState::Draining) =>
            {
                peer.state = WorkerState::Suspect;
                true
            }
            Some(_) | None => false,
        }
    }

    pub(super) fn condemn(&mut self, seen: &Peer) -> bool {
        match self.workers.get_mut(&seen.worker_no) {
            Some(peer) if peer.state == seen.state && peer.lease_until == seen.lease_until => {
                peer.state = WorkerState::Dead;
                true
            }
            Some(_) | None => false,
        }
    }

    pub(super) fn publish(&mut self, new: &NewVersion, _at: Timestamp) -> (Published, bool) {
        let position = self.workflows.iter().position(|name| *name == new.workflow).unwrap_or_else(|| {
            self.workflows.push(new.workflow.clone());
            self.workflows.len() - 1
        });
        let workflow_id = WorkflowId(number(position));
        let known = self.versions.iter().find(|(of, version)| *of == workflow_id && version.sha256 == new.sha256);
        if let Some((_, version)) = known {
            return (Published { workflow_id, version_id: version.version_id }, false);
        }
        let version_id = VersionId(number(self.versions.len()));
        let version = VersionView {
            workflow: new.workflow.clone(),
            version_id,
            sha256: new.sha256.clone(),
            source: new.source.clone(),
            path: new.path.clone(),
            compiled: new.compiled.clone(),
        };
        self.versions.push((workflow_id, version));
        (Published { workflow_id, version_id }, true)
    }

    pub(super) fn version(&self, id: VersionId) -> Option<&VersionView> {
        self.versions.iter().map(|(_, version)| version).find(|version| version.version_id == id)
    }

    pub(super) fn workflow(&self, id: WorkflowId) -> Option<&str> {
        let position = usize::try_from(id.0).ok()?.checked_sub(1)?;
        self.workflows.get(position).map(String::as_str)
    }

    pub(super) fn put_task_state(&mut self, at: &TaskStateKey, by: AttemptId, value: &str) -> Option<String> {
        self.work.get(&(at.run_id, at.key.clone())).filter(|row| {
            row.place == Place::Executing && row.attempt_id == Some(by) && row.dispatch.generation == at.generation
        })?;
        Some(self.task_state.entry(state_key(at)).or_insert_with(|| value.to_owned()).clone())
    }

    pub(super) fn task_state(&self, at: &TaskStateKey) -> Option<String> {
        self.task_state.get(&state_key(at)).cloned()
    }

    pub(super) fn shared_state(&self, scope: &str, key: &str) -> Option<(String, u64)> {
        self.shared_state.get(&(scope.to_owned(), key.to_owned())).cloned()
    }

    pub(super) fn set_shared_state(&mut self, scope: &str, key: &str, value: &str, expected: u64) -> bool {
        let at = (scope.to_owned(), key.to_owned());
        let version = self.shared_state.get(&at).map_or(0, |(_, version)| *version);
        if version == expected {
            self.shared_state.insert(at, (value.to_owned(), version + 1));
        }
        version == expected
    }
}

fn number(position: usize) -> i64 {
    i64::try_from(position).map_or(i64::MAX, |position| position + 1)
}

fn state_key(at: &TaskStateKey) -> (RunId, TaskKey, u32, String) {
    (at.run_id, at.key.clone(), at.generation, at.name.clone())
}

fn of_run<T: Clone>(table: &BTreeMap<(RunId, TaskKey), T>, run: RunId) -> Vec<T> {
    let first = TaskKey { task: TaskId::from(""), map_index: MapIndex(i32::MIN) };
    table.range((run, first)..).take_while(|((of, _), _)| *of == run).map(|(_, row)| row.clone()).collect()
}
