//! Cases with the real model: runs that `decide` drives through a store, whose log replays to exactly their rows (F37).

use std::sync::Arc;

use updraft_model::effects::Effects;
use updraft_model::event::Event;
use updraft_model::graph::Compiled;
use updraft_model::id::{RunId, Stamp, TaskId, WorkerNo};
use updraft_model::input::{AttemptResult, Halted, Input, Retryable};
use updraft_model::record::{RunFacts, WorkRow};
use updraft_model::retry::RetryPolicy;
use updraft_model::run::{Commit, Limits, Run, Snapshot, Versions};
use updraft_model::schedule::{Catchup, DataIntervalKind, Overlap};
use updraft_model::state::{Cause, Outcome, Place, RunState, Trigger};
use updraft_model::time::{DataInterval, Timestamp};
use updraft_model::trigger_rule::TriggerRule;
use updraft_model::workflow::{Task, Workflow};
use uuid::Uuid;

use super::world::{At, QUEUE, World, attempt, work};
use crate::{Expected, Lane, LaneOutcome, LoadedRun, Reader, RunCommit, Store};

/// The state that a run's rows say.
///
/// # Panics
/// If the rows contradict the workflow.
pub fn of_rows(compiled: &Arc<Compiled>, loaded: LoadedRun) -> Run {
    let snapshot = Snapshot {
        row: loaded.row,
        only: loaded.only,
        events: loaded.events,
        task_runs: loaded.task_runs,
        cleared: loaded.cleared,
        dispatched: loaded.work.into_iter().map(|row| row.dispatch).collect(),
    };
    Run::load(Arc::clone(compiled), snapshot, Limits::default()).expect("rows that the model knows")
}

/// Replays a run's log on its one version and compares the result with its rows. Any test that made a run may call it.
///
/// # Panics
/// If they differ, or the run is not there.
pub async fn assert_replays(store: &dyn Store, reader: &dyn Reader, run: RunId, compiled: &Arc<Compiled>) {
    let view = reader.run(run).await.expect("run").expect("the run is there");
    let versions = Versions::from([(view.row.facts.version_id, Arc::clone(compiled))]);
    assert_replays_on(store, reader, run, &versions).await;
}

/// The same for a run that went on with other versions.
///
/// # Panics
/// If they differ, or the run or a version of it is not there.
pub async fn assert_replays_on(store: &dyn Store, reader: &dyn Reader, run: RunId, versions: &Versions) {
    let Some(crate::Loaded::Full(loaded)) = store.load(&[(run, None)]).await.expect("load").pop() else {
        panic!("run {run} is not there")
    };
    let (facts, last) = (loaded.row.facts.clone(), loaded.row.stamp);
    let history = reader.history(run, 0).await.expect("history");
    let commits =
        history.iter().map(|entry| Commit { version: entry.version, stamp: last, at: entry.at, events: &entry.events });
    let replayed = Run::replay(versions, facts, Limits::default(), commits).expect("a log that follows");
    assert_eq!(of_rows(replayed.compiled(), *loaded), replayed, "the log of run {run} does not replay to its rows");
}

pub(super) fn diamond() -> Arc<Compiled> {
    let task = |id: &str, depends_on: &[&str]| Task {
        id: TaskId::from(id),
        task_type: "noop".to_owned(),
        with: serde_json::Map::new(),
        conn: None,
        depends_on: depends_on.iter().map(|id| TaskId::from(*id)).collect(),
        trigger_rule: TriggerRule::AllSuccess,
        when: None,
        allow_failure: false,
        retry: RetryPolicy { limit: 1, ..RetryPolicy::default() },
        timeout: None,
        env: std::collections::BTreeMap::new(),
    };
    let workflow = Workflow {
        id: "etl".to_owned(),
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
        tasks: vec![task("a", &[]), task("b", &["a"]), task("c", &["a"]), task("d", &["b", "c"])],
    };
    Arc::new(Compiled::new(workflow).expect("no cycle"))
}

/// The rows that follow from a step, ready rows for what is due at once.
pub(super) fn rows_of(run: &Run, events: &[Event], expected: Expected, at: Timestamp) -> RunCommit {
    let effects = Effects::of(run, events);
    let run_id = run.facts().run_id;
    RunCommit {
        run_id,
        expected,
        stamp: Stamp(Uuid::new_v4()),
        actor: "test".to_owned(),
        events: events.to_vec(),
        run: effects.run,
        ended: Vec::new(),
        task_runs: effects.task_runs,
        cleared: effects.cleared,
        work: effects
            .dispatched
            .into_iter()
            .map(|dispatched| {
                let place = dispatched.due.map_or(At::Ready(0), At::Timer);
                WorkRow { dispatch: dispatched.dispatch, ..work(run_id, "", place, at) }
            })
            .collect(),
        removed: effects.removed,
    }
}

pub(super) struct Drive<'w> {
    pub(super) world: &'w World,
    pub(super) run: Run,
}

impl<'w> Drive<'w> {
    /// Created and started in one commit.
    pub(super) async fn start(world: &'w World, compiled: &Arc<Compiled>) -> Self {
        Self::start_mapped(world, compiled, &[]).await
    }

    /// The same, with tasks that run as so many instances.
    pub(super) async fn start_mapped(world: &'w World, compiled: &Arc<Compiled>, mapped: &[(&str, u32)]) -> Self {
        let (run_id, at) = (RunId(Uuid::now_v7()), world.now());
        let facts = RunFacts {
            run_id,
            workflow_id: world.published.workflow_id,
            version_id: world.published.version_id,
            run_key: run_id.to_string(),
            trigger: Trigger::Manual,
            logical_at: at,
            interval: DataInterval { start: at, end: at },
            conf: "{}".to_owned(),
            queue: QUEUE.to_owned(),
            priority: 0,
            created_at: at,
        };
        let mut run = Run::unborn(Arc::clone(compiled), facts.clone(), Limits::default());
        let create = Input::Create { by: "test".to_owned(), conf_sha256: "0".repeat(64), only: None };
        let mut events = run.step(create, at).expect("created");
        for (task, n) in mapped {
            events.extend(run.step(Input::Expand { task: (*task).into(), n: *n }, at).expect("mapped"));
        }
        events.extend(run.step(Input::Start, at).expect("started"));
        let commit = rows_of(&run, &events, Expected::New(Box::new(facts)), at);
        let mut drive = Self { world, run };
        drive.write(commit, at).await;
        drive
    }

    async fn write(&mut self, commit: RunCommit, at: Timestamp) {
        let stamp = commit.stamp;
        let batch = crate::Batch { at, ..self.world.batch(vec![commit]) };
        self.world.apply(&batch).await;
        self.run.committed(stamp);
    }

    fn expected(&self) -> Expected {
        Expected::At { version: self.run.version(), stamp: self.run.stamp() }
    }

    /// Claims whatever is ready, timers included.
    pub(super) async fn claim(&self) -> Vec<WorkRow> {
        let long_after = Timestamp::from_millis(4_000_000_000_000);
        self.world.store.due(long_after, 100).await.expect("due");
        let ids: Vec<_> = (0..10).map(|_| attempt()).collect();
        self.world.store.claim(self.world.worker, QUEUE, &ids, self.world.now()).await.expect("claim")
    }

    pub(super) async fn finish(&mut self, row: &WorkRow, result: AttemptResult) {
        let at = self.world.now();
        let mut ended = super::world::ended(row);
        if !matches!(result, AttemptResult::Succeeded { .. }) {
            (ended.outcome, ended.output) = (Outcome::Failed, None);
        }
        let input = Input::Finish {
            key: row.dispatch.key.clone(),
            dispatch_no: row.dispatch.dispatch_no,
            result,
            started_at: row.claimed_at,
            worker: row.worker_no,
        };
        let expected = self.expected();
        let events = self.run.step(input, at).expect("a finish");
        let mut commit = rows_of(&self.run, &events, expected, at);
        commit.ended.push(ended);
        self.write(commit, at).await;
    }

    /// The rows say what was decided.
    pub(super) async fn check_rows(&self, compiled: &Arc<Compiled>) {
        let loaded = self.world.full(self.run.facts().run_id).await;
        assert_eq!(of_rows(compiled, loaded), self.run, "the rows differ from the state that was decided on");
    }

    pub(super) async fn check(&self, compiled: &Arc<Compiled>) {
        self.check_rows(compiled).await;
        let run = self.run.facts().run_id;
        assert_replays(&*self.world.store, &*self.world.reader, run, compiled).await;
    }
}

/// Success, a retry over a timer, a worker's death, and the end.
pub async fn the_log_of_a_real_run_replays_to_its_rows(world: &World) {
    let compiled = diamond();
    let mut drive = Drive::start(world, &compiled).await;
    drive.check(&compiled).await;
    let a = drive.claim().await;
    drive.finish(&a[0], AttemptResult::Succeeded { bytes: 2 }).await;
    drive.check(&compiled).await;
    let both = drive.claim().await;
    assert_eq!(both.len(), 2);
    let failed = AttemptResult::Failed { class: "X".to_owned(), message: "ü".to_owned(), retryable: Retryable::YES };
    drive.finish(&both[0], failed).await;
    drive.check(&compiled).await;
    lose(world, &mut drive, both[1].worker_no).await;
    drive.check(&compiled).await;
    let again = drive.claim().await;
    assert_eq!(again.len(), 2, "the retry and the lost one");
    for row in &again {
        drive.finish(row, AttemptResult::Succeeded { bytes: 0 }).await;
        drive.check(&compiled).await;
    }
    let d = drive.claim().await;
    drive.finish(&d[0], AttemptResult::Skipped { reason: "nothing to do".to_owned() }).await;
    drive.check(&compiled).await;
    assert_eq!(drive.run.projection().state, RunState::Succeeded);
}

/// Ends what this worker executes as lost, in a lane.
async fn lose(world: &World, drive: &mut Drive<'_>, worker: Option<WorkerNo>) {
    let (run_id, at) = (drive.run.facts().run_id, world.now());
    let (mut run, worker) = (drive.run.clone(), worker.expect("it executes"));
    let (tell, told) = tokio::sync::oneshot::channel();
    let decide = Box::new(move |locked: crate::Locked| {
        let expected = Expected::At { version: locked.run.row.version, stamp: locked.run.row.stamp };
        let row = &locked.executing[0];
        let input = Input::Finish {
            key: row.dispatch.key.clone(),
            dispatch_no: row.dispatch.dispatch_no,
            result: AttemptResult::Lost { cause: Cause::WorkerDied, message: String::new() },
            started_at: None,
            worker: row.worker_no,
        };
        let events = run.step(input, at).expect("lost");
        let mut commit = rows_of(&run, &events, expected, at);
        let mut ended = super::world::ended(row);
        (ended.outcome, ended.cause, ended.output) = (Outcome::Lost, Cause::WorkerDied, None);
        commit.ended.push(ended);
        run.committed(commit.stamp);
        // The test always waits for it.
        let _ = tell.send(run);
        Some(commit)
    });
    let outcome = world.store.commit_locked(run_id, Lane::Reap(worker), at, decide).await.expect("lane");
    assert_eq!(outcome, LaneOutcome::Applied);
    drive.run = told.await.expect("decided");
}

/// A cancel in the middle: what waits goes at once, what executes when it comes back.
pub async fn the_log_of_a_cancelled_run_replays_to_its_rows(world: &World) {
    let compiled = diamond();
    let mut drive = Drive::start(world, &compiled).await;
    let a = drive.claim().await;
    drive.finish(&a[0], AttemptResult::Succeeded { bytes: 2 }).await;
    let one = world.store.claim(world.worker, QUEUE, &[attempt()], world.now()).await.expect("claim");
    let (mut run, at) = (drive.run.clone(), world.now());
    let (tell, told) = tokio::sync::oneshot::channel();
    let decide = Box::new(move |locked: crate::Locked| {
        let expected = Expected::At { version: locked.run.row.version, stamp: locked.run.row.stamp };
        let keys = |rows: &[WorkRow]| rows.iter().map(|row| row.dispatch.key.clone()).collect();
        let halted = Halted { removed: keys(&locked.removed), executing: keys(&locked.executing) };
        let input = Input::Cancel { by: "ops".to_owned(), reason: "enough".to_owned(), halted };
        let events = run.step(input, at).expect("cancelled");
        let commit = rows_of(&run, &events, expected, at);
        run.committed(commit.stamp);
        // The test always waits for it.
        let _ = tell.send(run);
        Some(commit)
    });
    let run_id = drive.run.facts().run_id;
    let outcome = world.store.commit_locked(run_id, Lane::Cancel, at, decide).await.expect("lane");
    assert_eq!(outcome, LaneOutcome::Applied);
    drive.run = told.await.expect("decided");
    drive.check(&compiled).await;
    let loaded = world.full(run_id).await;
    assert_eq!(
        loaded.work.iter().map(|row| (row.place, row.cancel_at)).collect::<Vec<_>>(),
        [(Place::Executing, Some(at))]
    );
    drive.finish(&one[0], AttemptResult::Cancelled).await;
    drive.check(&compiled).await;
    assert_eq!(drive.run.projection().state, RunState::Cancelled);
}
