//! Seeded random operations over two stores: equal answers and equal rows, or the seed of the difference.
//!
//! The operations are those that an engine, several of them, and people make, a good part of them too late, twice, or under
//! a wrong fence. They are synthetic: stores know no rule, so the events need not make sense.
//!
//! `UPDRAFT_DIFFERENTIAL_SEED` repeats one seed; a seed that found something becomes a line in [`FOUND`].

use std::sync::Arc;

use updraft_model::event::Event;
use updraft_model::id::{AttemptId, RunId, Stamp, TaskKey, WorkerNo};
use updraft_model::record::{ClearedRow, RunProjection, WorkRow};
use updraft_model::state::{Cause, Outcome, Place, RunState};
use updraft_model::time::Timestamp;
use uuid::Uuid;

use crate::conformance::world::{self, At, QUEUE};
use crate::read::RunFilter;
use crate::{
    Batch, Expected, Lane, Loaded, LoadedRun, Locked, Peer, Pick, Reader, RunCommit, Store, StoreError, TaskStateKey,
};

/// Seeds that once showed a difference; every differential test runs them first.
pub const FOUND: &[u64] = &[];

/// Both faces of a store.
#[derive(Clone)]
pub struct Side {
    /// The engine's.
    pub store: Arc<dyn Store>,
    /// The readers'.
    pub reader: Arc<dyn Reader>,
}

/// Splitmix64: small, and the same everywhere.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.next() % n.max(1) as u64).unwrap_or(0)
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        from.get(self.below(from.len()))
    }

    fn uuid(&mut self) -> Uuid {
        uuid::Builder::from_random_bytes((u128::from(self.next()) << 64 | u128::from(self.next())).to_be_bytes())
            .into_uuid()
    }
}

/// Plays `steps` operations of this seed on both stores, which must be empty.
///
/// # Panics
/// At the first difference, naming the seed, the step and the operation.
pub async fn play(seed: u64, steps: usize, left: Side, right: Side) {
    let mut game = Game {
        dice: Dice(seed),
        seed,
        left,
        right,
        clock_ms: 1_800_000_000_000,
        published: Vec::new(),
        workers: Vec::new(),
        seen: Vec::new(),
        tasks: 10,
    };
    game.prepare().await;
    for step in 0..steps {
        game.step(step).await;
        if step % 50 == 49 {
            game.compare_rows(step).await;
        }
    }
    game.compare_rows(steps).await;
}

struct Game {
    dice: Dice,
    seed: u64,
    left: Side,
    right: Side,
    clock_ms: i64,
    published: Vec<crate::Published>,
    workers: Vec<WorkerNo>,
    /// States in which runs were seen, old ones too.
    seen: Vec<(RunId, u64, Stamp)>,
    /// Number of the last task name.
    tasks: usize,
}

/// What an error says to its caller: its kind.
fn shown<T: std::fmt::Debug>(answer: Result<T, StoreError>) -> String {
    match answer {
        Ok(value) => format!("{value:?}"),
        Err(error) => {
            let text = format!("{error:?}");
            format!("error {}", text.split(['(', ' ', '{']).next().unwrap_or_default())
        }
    }
}

/// Leases and evidence follow each store's own clock and connections.
fn without_lease(peers: Vec<Peer>) -> Vec<Peer> {
    peers.into_iter().map(|peer| Peer { lease_until: Timestamp::default(), alive: None, ..peer }).collect()
}

impl Game {
    fn now(&mut self) -> Timestamp {
        self.clock_ms += 1 + i64::try_from(self.dice.below(2000)).unwrap_or(0);
        Timestamp::from_millis(self.clock_ms)
    }

    fn same(&self, step: usize, what: &str, left: &str, right: &str) {
        assert_eq!(
            left,
            right,
            "stores `{}` and `{}` differ: seed {}, step {step}, {what}",
            self.left.store.kind(),
            self.right.store.kind(),
            self.seed
        );
    }

    async fn prepare(&mut self) {
        for workflow in ["etl", "other"] {
            let (version, at) = (world::version_of(workflow, 'a'), self.now());
            let left = self.left.store.publish(&version, at).await.expect("publish");
            let right = self.right.store.publish(&version, at).await.expect("publish");
            assert_eq!(left, right, "the stores are not empty");
            self.published.push(left);
        }
        for _ in 0..2 {
            self.register(0).await;
        }
    }

    async fn register(&mut self, step: usize) {
        let info = world::worker_named("w");
        let (left, right) = (self.left.store.register(&info).await, self.right.store.register(&info).await);
        if let Ok(worker) = left {
            self.workers.push(worker);
        }
        self.same(step, "register", &shown(left), &shown(right));
    }

    async fn step(&mut self, step: usize) {
        match self.dice.below(24) {
            0..=9 => self.commit(step).await,
            10..=12 => self.lane(step).await,
            13..=15 => self.claim(step).await,
            16 => self.due(step).await,
            17 | 18 => self.load(step).await,
            19 => self.workers(step).await,
            20 | 21 => self.kept(step).await,
            _ => self.read(step).await,
        }
    }

    /// A run that exists, as the left store has it.
    async fn some_run(&mut self) -> Option<LoadedRun> {
        let recent = self.seen.len().saturating_sub(40);
        let (run, ..) = *self.dice.pick(&self.seen[recent..])?;
        match self.left.store.load(&[(run, None)]).await.expect("load").pop() {
            Some(Loaded::Full(full)) => Some(*full),
            Some(Loaded::Missing(_) | Loaded::Tail(..) | Loaded::Unchanged(_)) | None => None,
        }
    }

    fn row(&mut self, run: RunId, task: usize, at: Timestamp) -> WorkRow {
        let worker = self.dice.pick(&self.workers).copied().unwrap_or(WorkerNo(1));
        let place = match self.dice.below(4) {
            0 | 1 => At::Executing(worker, AttemptId(self.dice.uuid())),
            2 => At::Ready(i64::try_from(self.dice.below(5)).unwrap_or(0)),
            _ => At::Timer(at + std::time::Duration::from_millis(self.dice.next() % 20_000)),
        };
        let mut row = world::work(run, &format!("t{task}"), place, at);
        if self.dice.one_in(5) {
            row.queue = "second".to_owned();
        }
        row
    }

    fn new_run(&mut self) -> RunCommit {
        let run = RunId(self.dice.uuid());
        let at = self.now();
        let published = *self.dice.pick(&self.published).expect("published first");
        let work = (0..self.dice.below(4)).map(|task| self.row(run, task, at)).collect();
        let key = if self.dice.one_in(6) { format!("key {}", self.dice.below(3)) } else { run.to_string() };
        let facts = updraft_model::record::RunFacts {
            run_id: run,
            workflow_id: published.workflow_id,
            version_id: published.version_id,
            run_key: key,
            trigger: updraft_model::state::Trigger::Manual,
            logical_at: at,
            interval: updraft_model::time::DataInterval { start: at, end: at },
            conf: "{\"ü\":1}".to_owned(),
            queue: QUEUE.to_owned(),
            priority: 0,
            created_at: at,
        };
        RunCommit {
            run_id: run,
            expected: Expected::New(Box::new(facts)),
            stamp: Stamp(self.dice.uuid()),
            actor: "cli:test".to_owned(),
            events: vec![Event::RunStarted {}],
            run: world::running(at),
            ended: Vec::new(),
            task_runs: Vec::new(),
            cleared: Vec::new(),
            work,
            removed: Vec::new(),
        }
    }

    /// A commit on a loaded run: ends some executing rows, dispatches some, sometimes ends the run.
    fn change(&mut self, loaded: &LoadedRun, executing: &[WorkRow]) -> RunCommit {
        let (run, at) = (loaded.row.facts.run_id, self.now());
        let mut commit = RunCommit {
            run_id: run,
            expected: Expected::At { version: loaded.row.version, stamp: loaded.row.stamp },
            stamp: Stamp(self.dice.uuid()),
            actor: "worker:1".to_owned(),
            events: vec![Event::RunRepaired { by: format!("step {}", self.dice.below(100)) }],
            run: loaded.row.projection.clone(),
            ended: Vec::new(),
            task_runs: Vec::new(),
            cleared: Vec::new(),
            work: Vec::new(),
            removed: Vec::new(),
        };
        for row in executing {
            if self.dice.one_in(3) {
                continue;
            }
            let mut ended = world::ended(row);
            if self.dice.one_in(12) {
                ended.attempt_id = AttemptId(self.dice.uuid());
            }
            if self.dice.one_in(3) {
                (ended.outcome, ended.output) = (Outcome::Failed, None);
                let mut again = self.row(run, 0, at);
                again.dispatch = row.dispatch.clone();
                again.dispatch.dispatch_no += 1;
                commit.work.push(again);
            } else {
                commit.task_runs.push(world::task_run(row, at));
                commit.removed.push(row.dispatch.key.clone());
            }
            commit.ended.push(ended);
        }
        // Always new names: only lanes touch rows that are ready.
        for _ in 0..self.dice.below(3) {
            self.tasks += 1;
            commit.work.push(self.row(run, self.tasks, at));
        }
        for over in &loaded.task_runs {
            if self.dice.one_in(6) && commit.task_runs.iter().all(|row| row.key != over.key) {
                let (generation, dispatch_no, try_no) = (over.generation + 1, over.dispatch_no, over.try_no);
                let expanded_n = over.expanded_n;
                commit.cleared.push(ClearedRow { key: over.key.clone(), generation, dispatch_no, try_no, expanded_n });
            }
        }
        let mapped = TaskKey::of("m");
        let free =
            commit.task_runs.iter().all(|row| row.key != mapped) && commit.cleared.iter().all(|row| row.key != mapped);
        if self.dice.one_in(6) && free {
            let n = u32::try_from(self.dice.below(4)).unwrap_or(0);
            commit.events.push(Event::TaskExpanded { task: mapped.task.clone(), n, generation: 0 });
            let expanded_n = Some(n);
            commit.cleared.push(ClearedRow { key: mapped, generation: 0, dispatch_no: 0, try_no: 0, expanded_n });
        }
        if self.dice.one_in(8) {
            let waits = self.dice.one_in(3);
            let queue = self.dice.one_in(2).then(|| "second".to_owned());
            let version_id = self.dice.pick(&self.published).expect("published first").version_id;
            commit.events.push(Event::RunReopened {
                generation: commit.run.generation + 1,
                version_id,
                tasks: Vec::new(),
                by: "ops".to_owned(),
                reason: String::new(),
                queue,
                waits,
            });
            let state = if waits { RunState::Queued } else { RunState::Running };
            let (generation, started_at) = (commit.run.generation + 1, (!waits).then_some(at));
            commit.run = RunProjection { state, cause: None, generation, started_at, ended_at: None };
        } else if self.dice.one_in(10) {
            let (state, cause) = (RunState::Failed, Some(Cause::TaskFailed));
            commit.run = RunProjection { state, cause, ended_at: Some(at), ..commit.run };
        }
        commit
    }

    /// Makes a commit come too late, or forget something.
    fn spoil(&mut self, commit: &mut RunCommit) {
        match self.dice.below(12) {
            0 => commit.expected = Expected::At { version: 1, stamp: Stamp(self.dice.uuid()) },
            1 => {
                if let Expected::At { version, .. } = &mut commit.expected {
                    *version += 1;
                }
            }
            2 => commit.run.started_at = None,
            3 => commit.actor.push('\0'),
            _ => {}
        }
    }

    async fn commit(&mut self, step: usize) {
        let mut runs: Vec<RunCommit> = Vec::new();
        for _ in 0..=self.dice.below(3) {
            let mut commit = match self.some_run().await {
                Some(loaded) if !self.dice.one_in(4) => {
                    let executing: Vec<WorkRow> =
                        loaded.work.iter().filter(|row| row.place == Place::Executing).cloned().collect();
                    self.change(&loaded, &executing)
                }
                Some(_) | None => self.new_run(),
            };
            if self.dice.one_in(3) {
                self.spoil(&mut commit);
            }
            if runs.iter().all(|other| other.run_id != commit.run_id) || self.dice.one_in(20) {
                runs.push(commit);
            }
        }
        let queue = if self.dice.one_in(3) { "second" } else { QUEUE }.to_owned();
        let attempts = (0..self.dice.below(3)).map(|_| AttemptId(self.dice.uuid())).collect();
        let pick = self.dice.one_in(2).then_some(Pick { queue, attempts });
        let worker_no = self.dice.pick(&self.workers).copied().unwrap_or(WorkerNo(1));
        let batch = Batch { worker_no, at: self.now(), runs, pick };
        let (left, right) = (self.left.store.commit(&batch).await, self.right.store.commit(&batch).await);
        for commit in &batch.runs {
            self.remember(commit);
        }
        self.same(step, &format!("commit {batch:?}"), &shown(left), &shown(right));
    }

    fn remember(&mut self, commit: &RunCommit) {
        let version = match commit.expected {
            Expected::New(_) => 1,
            Expected::At { version, .. } => version + 1,
        };
        self.seen.push((commit.run_id, version, commit.stamp));
    }

    async fn lane(&mut self, step: usize) {
        let Some(loaded) = self.some_run().await else { return };
        let run = loaded.row.facts.run_id;
        let worker = self.dice.pick(&self.workers).copied().unwrap_or(WorkerNo(1));
        let lane = match self.dice.below(4) {
            0 => Lane::Plain,
            1 => Lane::Cancel,
            2 => Lane::Clear,
            _ => Lane::Reap(worker),
        };
        let of_lane = |row: &WorkRow| {
            row.place == Place::Executing && (lane != Lane::Reap(worker) || row.worker_no == Some(worker))
        };
        let executing: Vec<WorkRow> = loaded.work.iter().filter(|row| of_lane(row)).cloned().collect();
        let commit = (!self.dice.one_in(4)).then(|| self.change(&loaded, &executing));
        let at = self.now();
        let mut answers = Vec::new();
        for side in [&self.left, &self.right] {
            let (decided, (tell, told)) = (commit.clone(), tokio::sync::oneshot::channel());
            let decide = Box::new(move |mut locked: Locked| {
                locked.removed.sort_by(|a, b| a.dispatch.key.cmp(&b.dispatch.key));
                locked.executing.sort_by(|a, b| a.dispatch.key.cmp(&b.dispatch.key));
                // The test always waits for it.
                let _ = tell.send(format!("{locked:?}"));
                decided
            });
            let outcome = side.store.commit_locked(run, lane, at, decide).await;
            answers.push(format!("{} after {:?}", shown(outcome), told.await));
        }
        if let Some(commit) = &commit {
            self.remember(commit);
        }
        self.same(step, &format!("lane {lane:?} on {run} with {commit:?}"), &answers[0], &answers[1]);
    }

    async fn claim(&mut self, step: usize) {
        let worker = self.dice.pick(&self.workers).copied().unwrap_or(WorkerNo(1));
        let queue = if self.dice.one_in(3) { "second" } else { QUEUE };
        let ids: Vec<AttemptId> = (0..self.dice.below(4)).map(|_| AttemptId(self.dice.uuid())).collect();
        let at = self.now();
        let left = self.left.store.claim(worker, queue, &ids, at).await;
        let right = self.right.store.claim(worker, queue, &ids, at).await;
        self.same(step, &format!("claim of {worker} in {queue}"), &shown(left), &shown(right));
    }

    async fn due(&mut self, step: usize) {
        let (now, limit) = (self.now(), u32::try_from(self.dice.below(4)).unwrap_or(0));
        let (left, right) = (self.left.store.due(now, limit).await, self.right.store.due(now, limit).await);
        self.same(step, &format!("due {limit}"), &shown(left), &shown(right));
        let queues = [QUEUE.to_owned(), "second".to_owned()];
        let (left, right) = (self.left.store.next_due(&queues).await, self.right.store.next_due(&queues).await);
        self.same(step, "next due", &shown(left), &shown(right));
    }

    async fn load(&mut self, step: usize) {
        let mut question = Vec::new();
        for _ in 0..=self.dice.below(3) {
            let Some((run, version, stamp)) = self.dice.pick(&self.seen).copied() else { return };
            let (left, right) = (
                self.left.store.outcome(run, version, stamp).await,
                self.right.store.outcome(run, version, stamp).await,
            );
            self.same(step, &format!("outcome of {run} at {version}"), &shown(left), &shown(right));
            question.push((run, (!self.dice.one_in(4)).then_some((version, stamp))));
        }
        let (left, right) = (self.left.store.load(&question).await, self.right.store.load(&question).await);
        self.same(step, &format!("load {question:?}"), &shown(left), &shown(right));
    }

    async fn workers(&mut self, step: usize) {
        let Some(worker) = self.dice.pick(&self.workers).copied() else { return };
        match self.dice.below(8) {
            0 | 1 => self.register(step).await,
            2 => {
                let (left, right) = (self.left.store.leave(worker).await, self.right.store.leave(worker).await);
                self.same(step, "leave", &shown(left), &shown(right));
            }
            3 => {
                let mut answers = Vec::new();
                for side in [&self.left, &self.right] {
                    let peers = side.store.peers().await.expect("peers");
                    let seen = peers.into_iter().find(|peer| peer.worker_no == worker);
                    answers.push(match seen {
                        Some(seen) => shown(side.store.condemn(&seen).await),
                        None => "no peer".to_owned(),
                    });
                }
                self.same(step, &format!("condemn {worker}"), &answers[0], &answers[1]);
            }
            _ => {
                let mut answers = Vec::new();
                for side in [&self.left, &self.right] {
                    let beaten = side.store.beat(worker).await.map(|mut beaten| {
                        beaten.executing.sort_by(|a, b| (a.run_id, &a.dispatch.key).cmp(&(b.run_id, &b.dispatch.key)));
                        (beaten.executing, beaten.active)
                    });
                    answers.push(shown(beaten));
                }
                self.same(step, &format!("beat of {worker}"), &answers[0], &answers[1]);
            }
        }
        let (left, right) = (self.left.store.peers().await, self.right.store.peers().await);
        self.same(step, "peers", &shown(left.map(without_lease)), &shown(right.map(without_lease)));
    }

    async fn kept(&mut self, step: usize) {
        let (name, value) = (format!("n{}", self.dice.below(4)), format!("{}", self.dice.below(1000)));
        if self.dice.one_in(2) {
            let run_id = self.dice.pick(&self.seen).map_or(RunId(Uuid::nil()), |(run, ..)| *run);
            let loaded = self.left.store.load(&[(run_id, None)]).await.ok().and_then(|mut loaded| loaded.pop());
            let work = if let Some(Loaded::Full(full)) = loaded { full.work } else { Vec::new() };
            let row = self.dice.pick(&work).map_or_else(|| self.row(run_id, 0, Timestamp::default()), WorkRow::clone);
            let generation = row.dispatch.generation + u32::from(self.dice.one_in(8));
            let at = TaskStateKey { run_id, key: row.dispatch.key, generation, name };
            let by = row.attempt_id.filter(|_| !self.dice.one_in(4)).unwrap_or_else(|| AttemptId(self.dice.uuid()));
            let left = self.left.store.put_task_state(&at, by, &value).await;
            let right = self.right.store.put_task_state(&at, by, &value).await;
            self.same(step, "put task state", &shown(left), &shown(right));
            let (left, right) = (self.left.store.task_state(&at).await, self.right.store.task_state(&at).await);
            self.same(step, "task state", &shown(left), &shown(right));
        } else {
            let (expected, at) = (self.dice.next() % 3, self.now());
            let left = self.left.store.set_shared_state("s", &name, &value, expected, at).await;
            let right = self.right.store.set_shared_state("s", &name, &value, expected, at).await;
            self.same(step, "set shared state", &shown(left), &shown(right));
            let (left, right) =
                (self.left.store.shared_state("s", &name).await, self.right.store.shared_state("s", &name).await);
            self.same(step, "shared state", &shown(left), &shown(right));
        }
    }

    async fn read(&mut self, step: usize) {
        let states = [RunState::Running, RunState::Failed, RunState::Succeeded];
        let filter = RunFilter {
            workflow: self.dice.one_in(2).then(|| "etl".to_owned()),
            states: states.into_iter().filter(|_| self.dice.one_in(3)).collect(),
            before: self.dice.pick(&self.seen).map(|(run, ..)| *run),
            limit: u32::try_from(self.dice.below(6)).unwrap_or(0),
        };
        let (left, right) = (self.left.reader.runs(&filter).await, self.right.reader.runs(&filter).await);
        self.same(step, &format!("runs {filter:?}"), &shown(left), &shown(right));
        let Some((run, version, _)) = self.dice.pick(&self.seen).copied() else { return };
        let prefix: String = run.to_string().chars().take(3 + self.dice.below(8)).collect();
        let left = self.left.reader.runs_by_prefix(&prefix).await;
        let right = self.right.reader.runs_by_prefix(&prefix).await;
        self.same(step, &format!("prefix {prefix}"), &shown(left), &shown(right));
        let (left, right) =
            (self.left.reader.history(run, version).await, self.right.reader.history(run, version).await);
        self.same(step, &format!("history of {run}"), &shown(left), &shown(right));
    }

    /// Every run, whole.
    async fn compare_rows(&mut self, step: usize) {
        let mut runs: Vec<RunId> = self.seen.iter().map(|(run, ..)| *run).collect();
        runs.sort();
        runs.dedup();
        for run in runs {
            let (left, right) = (self.left.reader.detail(run).await, self.right.reader.detail(run).await);
            self.same(step, &format!("rows of {run}"), &shown(left), &shown(right));
            let (left, right) = (self.left.reader.history(run, 0).await, self.right.reader.history(run, 0).await);
            self.same(step, &format!("log of {run}"), &shown(left), &shown(right));
        }
    }
}

/// The seeds to play: the found ones and `fresh` new ones, or the one asked for in `UPDRAFT_DIFFERENTIAL_SEED`.
///
/// # Panics
/// If that variable holds no number.
#[expect(clippy::disallowed_methods, reason = "a test's own switch")]
pub fn seeds(fresh: u64) -> Vec<u64> {
    match std::env::var("UPDRAFT_DIFFERENTIAL_SEED") {
        Ok(seed) => vec![seed.parse().expect("UPDRAFT_DIFFERENTIAL_SEED is a number")],
        Err(_) => FOUND.iter().copied().chain(1..=fresh).collect(),
    }
}
