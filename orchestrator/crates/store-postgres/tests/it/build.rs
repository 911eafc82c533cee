//! Stores on a schema of their own, and runs to write into them.

use updraft_model::event::Event;
use updraft_model::id::{AttemptId, RunId, Stamp, TaskKey, VersionId, WorkerNo, WorkflowId};
use updraft_model::record::{Dispatch, EndedAttempt, RunFacts, RunProjection, WorkRow};
use updraft_model::state::{Cause, DispatchWhy, Outcome, Place, RunState, Trigger};
use updraft_model::time::{DataInterval, Timestamp};
use updraft_store::{Batch, Committed, Expected, RunCommit, Store, WorkerInfo};
use updraft_store_postgres::PgStore;
use updraft_testkit::postgres::{Schema, fresh_schema};
use uuid::Uuid;

/// The instant of everything that these tests write.
pub(crate) const AT: Timestamp = Timestamp::from_millis(1_750_000_000_123);

/// A store and the schema that ends with it.
pub(crate) struct Fresh {
    pub(crate) store: PgStore,
    pub(crate) schema: Schema,
}

/// A store in an empty schema; `None`, after a loud skip, without a server.
pub(crate) async fn fresh() -> Option<Fresh> {
    let schema = tokio::task::block_in_place(fresh_schema).unwrap()?;
    let store = PgStore::open(schema.url()).await.unwrap();
    Some(Fresh { store, schema })
}

pub(crate) fn worker_info(name: &str) -> WorkerInfo {
    WorkerInfo {
        name: name.to_owned(),
        host: "here".to_owned(),
        pid: 1,
        build: "test".to_owned(),
        queues: vec!["q".to_owned()],
        slots: 8,
    }
}

pub(crate) fn stamp() -> Stamp {
    Stamp(Uuid::new_v4())
}

pub(crate) fn attempt() -> AttemptId {
    AttemptId(Uuid::new_v4())
}

pub(crate) fn running() -> RunProjection {
    RunProjection { state: RunState::Running, cause: None, generation: 0, started_at: Some(AT), ended_at: None }
}

pub(crate) fn work(run: RunId, task: &str, dispatch_no: u32) -> WorkRow {
    WorkRow {
        run_id: run,
        dispatch: Dispatch { key: TaskKey::of(task), dispatch_no, try_no: 1, losses: 0, generation: 0 },
        place: Place::Ready,
        due_at: None,
        queue: "q".to_owned(),
        rank: 0,
        worker_no: None,
        attempt_id: None,
        claimed_at: None,
        cancel_at: None,
    }
}

pub(crate) fn executing(run: RunId, task: &str, dispatch_no: u32, worker: WorkerNo, attempt: AttemptId) -> WorkRow {
    WorkRow {
        place: Place::Executing,
        worker_no: Some(worker),
        attempt_id: Some(attempt),
        claimed_at: Some(AT),
        ..work(run, task, dispatch_no)
    }
}

pub(crate) fn ended(task: &str, dispatch_no: u32, attempt: AttemptId) -> EndedAttempt {
    EndedAttempt {
        key: TaskKey::of(task),
        dispatch_no,
        attempt_id: attempt,
        outcome: Outcome::Succeeded,
        cause: Cause::Task,
        class: None,
        message: None,
        started_at: Some(AT),
        output: Some(r#"{"rows":1744}"#.to_owned()),
        items: Vec::new(),
        metrics: Vec::new(),
    }
}

fn dispatched(task: &str, dispatch_no: u32) -> Event {
    Event::TaskDispatched {
        subject: (&TaskKey::of(task)).into(),
        dispatch_no,
        try_no: 1,
        generation: 0,
        losses: 0,
        why: DispatchWhy::First,
        due: None,
    }
}

/// A new run with these `work` rows.
pub(crate) fn new_run(run: RunId, work: Vec<WorkRow>) -> RunCommit {
    let facts = RunFacts {
        run_id: run,
        workflow_id: WorkflowId(1),
        version_id: VersionId(1),
        run_key: run.to_string(),
        trigger: Trigger::Manual,
        logical_at: AT,
        interval: DataInterval { start: AT, end: AT },
        conf: "{}".to_owned(),
        queue: "q".to_owned(),
        priority: 0,
        created_at: AT,
    };
    RunCommit {
        run_id: run,
        expected: Expected::New(Box::new(facts)),
        stamp: stamp(),
        actor: "test".to_owned(),
        events: vec![Event::RunStarted {}],
        run: running(),
        ended: Vec::new(),
        task_runs: Vec::new(),
        cleared: Vec::new(),
        work,
        removed: Vec::new(),
    }
}

/// The commit after the one at `version` under `known`, which writes nothing but events.
pub(crate) fn next(run: RunId, version: u64, known: Stamp) -> RunCommit {
    RunCommit {
        run_id: run,
        expected: Expected::At { version, stamp: known },
        stamp: stamp(),
        actor: "test".to_owned(),
        events: vec![dispatched("t", 1)],
        run: running(),
        ended: Vec::new(),
        task_runs: Vec::new(),
        cleared: Vec::new(),
        work: Vec::new(),
        removed: Vec::new(),
    }
}

pub(crate) fn run_id() -> RunId {
    RunId(Uuid::now_v7())
}

pub(crate) fn batch(worker: WorkerNo, runs: Vec<RunCommit>) -> Batch {
    Batch { worker_no: worker, at: AT, runs, pick: None }
}

/// Commits what must be applied.
pub(crate) async fn apply(store: &PgStore, batch: &Batch) -> Vec<WorkRow> {
    match store.commit(batch).await.unwrap() {
        Committed::Applied { picked } => picked,
        Committed::Refused { runs, worker_inactive } => panic!("refused: {runs:?}, worker inactive: {worker_inactive}"),
    }
}
