//! A store with a workflow and a worker in it, and makers of rows with good defaults.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use updraft_model::event::{Event, Subject};
use updraft_model::id::{AttemptId, RunId, Stamp, TaskKey, WorkerNo};
use updraft_model::record::{Dispatch, EndedAttempt, RunFacts, RunProjection, TaskRunRow, WorkRow};
use updraft_model::state::{Cause, DispatchWhy, FinalState, Outcome, Place, RunState, Trigger};
use updraft_model::time::{DataInterval, Timestamp};
use uuid::Uuid;

use crate::{
    Batch, Committed, Expected, Loaded, LoadedRun, NewVersion, Pick, Published, Reader, RunCommit, Store, WorkerInfo,
};

/// The queue that rows are made for.
pub const QUEUE: &str = "default";

/// A store under test.
pub struct World {
    /// The engine's side.
    pub store: Arc<dyn Store>,
    /// The readers' side.
    pub reader: Arc<dyn Reader>,
    /// An active worker.
    pub worker: WorkerNo,
    /// A published version.
    pub published: Published,
    clock_ms: AtomicI64,
}

/// A run as the test knows it: enough to go on from.
#[derive(Debug, Clone, Copy)]
pub struct Known {
    /// The run.
    pub run: RunId,
    /// Its version.
    pub version: u64,
    /// Its stamp.
    pub stamp: Stamp,
}

/// Where [`World::work`] puts a row.
#[derive(Debug, Clone, Copy)]
pub enum At {
    /// Ready, with this rank.
    Ready(i64),
    /// Executing by this worker.
    Executing(WorkerNo, AttemptId),
    /// Waiting for this instant.
    Timer(Timestamp),
}

impl World {
    /// Publishes a version and registers a worker.
    pub async fn new(store: Arc<dyn Store>, reader: Arc<dyn Reader>) -> Self {
        let clock_ms = AtomicI64::new(1_800_000_000_000);
        let at = Timestamp::from_millis(1_800_000_000_000);
        let published = store.publish(&version_of("etl", 'a'), at).await.expect("publish");
        let worker = store.register(&worker_named("w")).await.expect("register");
        Self { store, reader, worker, published, clock_ms }
    }

    /// Ends the store.
    pub async fn close(&self) {
        self.store.close().await;
    }

    /// The next instant, a second after the last.
    pub fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.clock_ms.fetch_add(1000, Ordering::Relaxed) + 1000)
    }

    /// A new run of the published version with these rows.
    pub fn new_run(&self, work: impl FnOnce(RunId) -> Vec<WorkRow>) -> RunCommit {
        let (run_id, at) = (RunId(Uuid::now_v7()), self.now());
        let work = work(run_id);
        let mut events = vec![
            Event::RunCreated {
                workflow: self.published.workflow_id,
                version_id: self.published.version_id,
                run_key: run_id.to_string(),
                trigger: Trigger::Manual,
                interval: DataInterval { start: at, end: at },
                logical_at: at,
                priority: 3,
                by: "test".to_owned(),
                conf_sha256: "00".repeat(32),
                only: None,
            },
            Event::RunStarted {},
        ];
        events.extend(work.iter().map(dispatched));
        RunCommit {
            run_id,
            expected: Expected::New(Box::new(RunFacts {
                run_id,
                workflow_id: self.published.workflow_id,
                version_id: self.published.version_id,
                run_key: run_id.to_string(),
                trigger: Trigger::Manual,
                logical_at: at,
                interval: DataInterval { start: at, end: at },
                conf: r#"{"b":1,"a":"ü"}"#.to_owned(),
                queue: QUEUE.to_owned(),
                priority: 3,
                created_at: at,
            })),
            stamp: Stamp(Uuid::new_v4()),
            actor: "cli:test".to_owned(),
            events,
            run: running(at),
            ended: Vec::new(),
            task_runs: Vec::new(),
            cleared: Vec::new(),
            work,
            removed: Vec::new(),
        }
    }

    /// A commit that goes on from a known state and changes nothing yet.
    pub fn next(&self, known: Known) -> RunCommit {
        RunCommit {
            run_id: known.run,
            expected: Expected::At { version: known.version, stamp: known.stamp },
            stamp: Stamp(Uuid::new_v4()),
            actor: format!("worker:{}", self.worker),
            events: Vec::new(),
            run: running(self.now()),
            ended: Vec::new(),
            task_runs: Vec::new(),
            cleared: Vec::new(),
            work: Vec::new(),
            removed: Vec::new(),
        }
    }

    /// The hop from an executing task to the next one, which this worker executes.
    pub fn hop(&self, known: Known, from: &WorkRow, to: &str) -> (RunCommit, WorkRow) {
        let mut commit = self.next(known);
        let next = work(known.run, to, At::Executing(self.worker, attempt()), self.now());
        self.end(&mut commit, from);
        commit.events.push(dispatched(&next));
        commit.work.push(next.clone());
        (commit, next)
    }

    /// Ends an executing row well, as part of a commit.
    pub fn end(&self, commit: &mut RunCommit, row: &WorkRow) {
        let ended = ended(row);
        let key = row.dispatch.key.clone();
        commit.events.push(Event::AttemptEnded {
            subject: Subject::from(&key),
            dispatch_no: row.dispatch.dispatch_no,
            outcome: Outcome::Succeeded,
            cause: Cause::Task,
            class: None,
            message: None,
            started_at: row.claimed_at,
            worker: row.worker_no,
            bytes: u32::try_from(ended.output.as_ref().map_or(0, String::len)).unwrap_or(0),
        });
        commit.events.push(Event::TaskFinished {
            subject: Subject::from(&key),
            dispatch_no: Some(row.dispatch.dispatch_no),
            state: FinalState::Succeeded,
            cause: Cause::Task,
        });
        commit.ended.push(ended);
        commit.task_runs.push(task_run(row, self.now()));
        commit.removed.push(key);
    }

    /// A batch of these runs.
    pub fn batch(&self, runs: Vec<RunCommit>) -> Batch {
        Batch { worker_no: self.worker, at: self.now(), runs, pick: None }
    }

    /// A batch of these runs that claims `n` rows besides.
    pub fn picking(&self, runs: Vec<RunCommit>, n: usize) -> Batch {
        let pick = Pick { queue: QUEUE.to_owned(), attempts: (0..n).map(|_| attempt()).collect() };
        Batch { pick: Some(pick), ..self.batch(runs) }
    }

    /// Commits and expects it to be applied; says what was picked.
    pub async fn apply(&self, batch: &Batch) -> Vec<WorkRow> {
        match self.store.commit(batch).await.expect("commit") {
            Committed::Applied { picked } => picked,
            Committed::Refused { runs, worker_inactive } => {
                panic!("refused: {runs:?}, worker inactive: {worker_inactive}")
            }
        }
    }

    /// Makes a run with these rows; says how it stands.
    pub async fn start(&self, rows: impl FnOnce(RunId) -> Vec<WorkRow>) -> Known {
        let commit = self.new_run(rows);
        let known = after(&commit);
        self.apply(&self.batch(vec![commit])).await;
        known
    }

    /// Makes a run whose task `a` this worker executes.
    pub async fn start_executing(&self) -> (Known, WorkRow) {
        let mut row = None;
        let known = self
            .start(|run| {
                let made = work(run, "a", At::Executing(self.worker, attempt()), self.now());
                row = Some(made.clone());
                vec![made]
            })
            .await;
        (known, row.expect("the row was made"))
    }

    /// Loads a run in full.
    pub async fn full(&self, run: RunId) -> LoadedRun {
        let mut loaded = self.store.load(&[(run, None)]).await.expect("load");
        match loaded.pop() {
            Some(Loaded::Full(full)) => *full,
            other => panic!("expected a full load, got {other:?}"),
        }
    }

    /// Commits a batch that must be refused and must change nothing of these runs.
    pub async fn refused(&self, batch: &Batch, unchanged: &[RunId]) -> (Vec<(RunId, crate::Refusal)>, bool) {
        let before = self.everything(unchanged).await;
        let answer = self.store.commit(batch).await.expect("commit");
        assert_eq!(self.everything(unchanged).await, before, "a refused batch changed something");
        match answer {
            Committed::Refused { runs, worker_inactive } => (runs, worker_inactive),
            Committed::Applied { picked } => panic!("applied, picked {picked:?}"),
        }
    }

    /// All that readers see of these runs, with their logs.
    pub async fn everything(
        &self,
        runs: &[RunId],
    ) -> Vec<(Option<crate::read::RunDetail>, Vec<crate::read::HistoryEntry>)> {
        let mut all = Vec::new();
        for run in runs {
            let detail = self.reader.detail(*run).await.expect("detail");
            all.push((detail, self.reader.history(*run, 0).await.expect("history")));
        }
        all
    }
}

/// How a run stands after a commit.
pub fn after(commit: &RunCommit) -> Known {
    let version = match &commit.expected {
        Expected::New(_) => 1,
        Expected::At { version, .. } => version + 1,
    };
    Known { run: commit.run_id, version, stamp: commit.stamp }
}

/// A running run.
pub fn running(at: Timestamp) -> RunProjection {
    RunProjection { state: RunState::Running, cause: None, generation: 0, started_at: Some(at), ended_at: None }
}

/// A new attempt's id.
pub fn attempt() -> AttemptId {
    AttemptId(Uuid::new_v4())
}

/// A `work` row of the first dispatch.
pub fn work(run_id: RunId, task: &str, place: At, now: Timestamp) -> WorkRow {
    let row = WorkRow {
        run_id,
        dispatch: Dispatch { key: TaskKey::of(task), dispatch_no: 1, try_no: 1, losses: 0, generation: 0 },
        place: Place::Ready,
        due_at: None,
        queue: QUEUE.to_owned(),
        rank: 0,
        worker_no: None,
        attempt_id: None,
        claimed_at: None,
        cancel_at: None,
    };
    match place {
        At::Ready(rank) => WorkRow { rank, ..row },
        At::Timer(due) => WorkRow { place: Place::Timer, due_at: Some(due), ..row },
        At::Executing(worker, attempt) => WorkRow {
            place: Place::Executing,
            worker_no: Some(worker),
            attempt_id: Some(attempt),
            claimed_at: Some(now),
            ..row
        },
    }
}

/// A good end of an executing row.
pub fn ended(row: &WorkRow) -> EndedAttempt {
    EndedAttempt {
        key: row.dispatch.key.clone(),
        dispatch_no: row.dispatch.dispatch_no,
        attempt_id: row.attempt_id.expect("an executing row has an attempt"),
        outcome: Outcome::Succeeded,
        cause: Cause::Task,
        class: None,
        message: None,
        started_at: row.claimed_at,
        output: Some(r#"{"rows":12,"text":"a\u0000b — ü","list":[1,2.50]}"#.to_owned()),
        items: Vec::new(),
        metrics: Vec::new(),
    }
}

/// The task run of a good end.
pub fn task_run(row: &WorkRow, at: Timestamp) -> TaskRunRow {
    TaskRunRow {
        key: row.dispatch.key.clone(),
        generation: row.dispatch.generation,
        dispatch_no: row.dispatch.dispatch_no,
        try_no: row.dispatch.try_no,
        losses: row.dispatch.losses,
        state: FinalState::Succeeded,
        cause: Cause::Task,
        started_at: row.claimed_at,
        ended_at: at,
        expanded_n: None,
    }
}

/// The event behind a `work` row.
pub fn dispatched(row: &WorkRow) -> Event {
    Event::TaskDispatched {
        subject: Subject::from(&row.dispatch.key),
        dispatch_no: row.dispatch.dispatch_no,
        try_no: row.dispatch.try_no,
        generation: row.dispatch.generation,
        losses: row.dispatch.losses,
        why: DispatchWhy::First,
        due: row.due_at,
    }
}

/// A version of a workflow; `mark` tells contents apart.
pub fn version_of(workflow: &str, mark: char) -> NewVersion {
    NewVersion {
        workflow: workflow.to_owned(),
        sha256: mark.to_string().repeat(64),
        source: format!("id: {workflow}\n# {mark}\n"),
        path: format!("workflows/{workflow}.yaml"),
        compiled: "{}".to_owned(),
    }
}

/// A worker that serves [`QUEUE`].
pub fn worker_named(name: &str) -> WorkerInfo {
    WorkerInfo {
        name: name.to_owned(),
        host: "here".to_owned(),
        pid: 4711,
        build: "0.1.0".to_owned(),
        queues: vec![QUEUE.to_owned(), "run:ü".to_owned()],
        slots: 8,
    }
}
