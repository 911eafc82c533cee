//! Stores that fail: no result is lost, none is counted twice.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use futures::stream::BoxStream;
use serde_json::{Value, json};
use updraft_engine::{Engine, EngineEvent, RunEnd};
use updraft_model::id::{AttemptId, RunId, Stamp, WorkerNo};
use updraft_model::record::WorkRow;
use updraft_model::state::{Cause, Outcome, RunState};
use updraft_model::time::Timestamp;
use updraft_store::{
    Batch, Beaten, Committed, Counters, Lane, LaneFn, LaneOutcome, Loaded, Look, NewVersion, NextDue, Peer, Published,
    Refusal, Store, StoreError, TaskStateKey, Wake, WorkerInfo,
};

use crate::support::{Place, bodies, chain, config, detail, ended, memory, outcomes, start, state_of, until, workflow};

/// What happens to one commit.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    /// Nothing.
    None,
    /// It never reached the store.
    Unavailable,
    /// It was applied, but the answer was lost.
    AppliedUnknown,
    /// It was lost, and so was the answer.
    LostUnknown,
    /// A passing conflict.
    Conflict,
    /// The disk is full.
    Full,
    /// Every run of it is busy.
    Busy,
    /// The worker is not active.
    Inactive,
    /// The data is refused.
    Rejected,
}

/// A store whose commits fail by plan; what is not planned works.
struct Faulty {
    inner: Arc<dyn Store>,
    plan: Mutex<VecDeque<Fault>>,
    /// The same for what task runs keep.
    kept: Mutex<VecDeque<Fault>>,
    /// Batches and lanes with an output that holds this are refused.
    poison: Option<&'static str>,
    lanes_fail_too: bool,
    seen: AtomicU64,
    beats_fail: std::sync::atomic::AtomicBool,
}

impl Faulty {
    fn next(&self) -> Fault {
        self.seen.fetch_add(1, Ordering::Relaxed);
        self.plan.lock().unwrap().pop_front().unwrap_or(Fault::None)
    }

    fn next_kept(&self) -> Fault {
        self.kept.lock().unwrap().pop_front().unwrap_or(Fault::None)
    }

    /// What an attempt keeps or shares, with the next fault planned for it.
    async fn keeping<T>(&self, call: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        match self.next_kept() {
            Fault::None => call.await,
            Fault::AppliedUnknown => {
                call.await?;
                Err(StoreError::UnknownOutcome("planned".to_owned()))
            }
            Fault::LostUnknown => Err(StoreError::UnknownOutcome("planned".to_owned())),
            Fault::Conflict => Err(StoreError::Conflict("planned".to_owned())),
            Fault::Full => Err(StoreError::Full("planned".to_owned())),
            Fault::Unavailable | Fault::Busy | Fault::Inactive => Err(away()),
            Fault::Rejected => Err(StoreError::Rejected("planned".to_owned())),
        }
    }
}

fn poisoned(commit: &updraft_store::RunCommit, poison: Option<&str>) -> bool {
    poison.is_some_and(|poison| {
        commit.ended.iter().any(|ended| ended.output.as_deref().is_some_and(|output| output.contains(poison)))
    })
}

fn away() -> StoreError {
    StoreError::Unavailable("planned".to_owned())
}

#[async_trait]
impl Store for Faulty {
    fn kind(&self) -> &'static str {
        self.inner.kind()
    }
    async fn load(&self, runs: &[(RunId, Option<(u64, Stamp)>)]) -> Result<Vec<Loaded>, StoreError> {
        self.inner.load(runs).await
    }
    async fn commit(&self, batch: &Batch) -> Result<Committed, StoreError> {
        if batch.runs.iter().any(|commit| poisoned(commit, self.poison)) {
            return Err(StoreError::Rejected("planned poison".to_owned()));
        }
        match self.next() {
            Fault::None => self.inner.commit(batch).await,
            Fault::Unavailable => Err(away()),
            Fault::AppliedUnknown => {
                self.inner.commit(batch).await?;
                Err(StoreError::UnknownOutcome("planned".to_owned()))
            }
            Fault::LostUnknown => Err(StoreError::UnknownOutcome("planned".to_owned())),
            Fault::Conflict => Err(StoreError::Conflict("planned".to_owned())),
            Fault::Full => Err(StoreError::Full("planned".to_owned())),
            Fault::Busy => Ok(Committed::Refused {
                runs: batch
                    .runs
                    .iter()
                    .filter(|run| matches!(run.expected, updraft_store::Expected::At { .. }))
                    .map(|run| (run.run_id, Refusal::Contended))
                    .collect(),
                worker_inactive: false,
            }),
            Fault::Inactive => Ok(Committed::Refused { runs: Vec::new(), worker_inactive: true }),
            Fault::Rejected => Err(StoreError::Rejected("planned".to_owned())),
        }
    }
    async fn commit_locked(
        &self,
        run: RunId,
        lane: Lane,
        at: Timestamp,
        decide: LaneFn,
    ) -> Result<LaneOutcome, StoreError> {
        if self.lanes_fail_too {
            match self.next() {
                Fault::AppliedUnknown => {
                    self.inner.commit_locked(run, lane, at, decide).await?;
                    return Err(StoreError::UnknownOutcome("planned".to_owned()));
                }
                Fault::LostUnknown => return Err(StoreError::UnknownOutcome("planned".to_owned())),
                Fault::Unavailable | Fault::Full | Fault::Busy => return Err(away()),
                Fault::Conflict | Fault::Inactive => return Err(StoreError::Conflict("planned".to_owned())),
                Fault::None | Fault::Rejected => {}
            }
        }
        let poison = self.poison;
        let refused = Arc::new(AtomicU64::new(0));
        let seen = Arc::clone(&refused);
        let checked: LaneFn = Box::new(move |locked| {
            let commit = decide(locked)?;
            if poisoned(&commit, poison) {
                seen.store(1, Ordering::Relaxed);
                return None;
            }
            Some(commit)
        });
        let outcome = self.inner.commit_locked(run, lane, at, checked).await?;
        if refused.load(Ordering::Relaxed) == 1 {
            return Err(StoreError::Rejected("planned poison".to_owned()));
        }
        Ok(outcome)
    }
    async fn claim(
        &self,
        worker_no: WorkerNo,
        queue: &str,
        attempts: &[AttemptId],
        at: Timestamp,
    ) -> Result<Vec<WorkRow>, StoreError> {
        self.inner.claim(worker_no, queue, attempts, at).await
    }
    async fn due(&self, now: Timestamp, limit: u32) -> Result<u32, StoreError> {
        self.inner.due(now, limit).await
    }
    async fn outcome(&self, run: RunId, version: u64, stamp: Stamp) -> Result<bool, StoreError> {
        if self.next() == Fault::Unavailable {
            return Err(away());
        }
        self.inner.outcome(run, version, stamp).await
    }
    async fn register(&self, info: &WorkerInfo) -> Result<WorkerNo, StoreError> {
        self.inner.register(info).await
    }
    async fn beat(&self, worker_no: WorkerNo) -> Result<Beaten, StoreError> {
        if self.beats_fail.load(Ordering::Relaxed) {
            return Err(away());
        }
        self.inner.beat(worker_no).await
    }
    async fn leave(&self, worker_no: WorkerNo) -> Result<(), StoreError> {
        self.inner.leave(worker_no).await
    }
    async fn peers(&self) -> Result<Vec<Peer>, StoreError> {
        self.inner.peers().await
    }
    async fn look(&self, worker_no: WorkerNo) -> Result<Look, StoreError> {
        self.inner.look(worker_no).await
    }
    async fn suspect(&self, seen: &Peer) -> Result<bool, StoreError> {
        self.inner.suspect(seen).await
    }
    async fn executing(&self, worker_no: WorkerNo) -> Result<Vec<WorkRow>, StoreError> {
        self.inner.executing(worker_no).await
    }
    async fn condemn(&self, seen: &Peer) -> Result<bool, StoreError> {
        self.inner.condemn(seen).await
    }
    async fn next_due(&self, queues: &[String]) -> Result<NextDue, StoreError> {
        self.inner.next_due(queues).await
    }
    fn wakes(&self) -> BoxStream<'static, Wake> {
        self.inner.wakes()
    }
    async fn publish(&self, version: &NewVersion, at: Timestamp) -> Result<Published, StoreError> {
        self.inner.publish(version, at).await
    }
    async fn put_task_state(
        &self,
        at: &TaskStateKey,
        by: AttemptId,
        value: &str,
    ) -> Result<Option<String>, StoreError> {
        self.keeping(self.inner.put_task_state(at, by, value)).await
    }
    async fn task_state(&self, at: &TaskStateKey) -> Result<Option<String>, StoreError> {
        self.keeping(self.inner.task_state(at)).await
    }
    async fn shared_state(&self, scope: &str, key: &str) -> Result<Option<(String, u64)>, StoreError> {
        self.keeping(self.inner.shared_state(scope, key)).await
    }
    async fn set_shared_state(
        &self,
        scope: &str,
        key: &str,
        value: &str,
        expected: u64,
        at: Timestamp,
    ) -> Result<bool, StoreError> {
        self.keeping(self.inner.set_shared_state(scope, key, value, expected, at)).await
    }
    fn counters(&self) -> &Counters {
        self.inner.counters()
    }
    async fn bare_commit(&self) -> Result<(), StoreError> {
        self.inner.bare_commit().await
    }
    async fn durable(&self) -> Result<Result<(), String>, StoreError> {
        self.inner.durable().await
    }
    async fn close(&self) {
        self.inner.close().await;
    }
}

fn faulty(plan: &[Fault], poison: Option<&'static str>, lanes_fail_too: bool) -> (Place, Arc<Faulty>) {
    let place = memory();
    let store = Arc::new(Faulty {
        inner: place.store,
        plan: Mutex::new(plan.iter().copied().collect()),
        kept: Mutex::default(),
        poison,
        lanes_fail_too,
        seen: AtomicU64::new(0),
        beats_fail: std::sync::atomic::AtomicBool::new(false),
    });
    (Place { store: Arc::clone(&store) as Arc<dyn Store>, reader: place.reader, logs: place.logs }, store)
}

/// Runs a chain through a plan of faults; every body must have run once, every result be in the history once.
async fn chain_survives(plan: &[Fault], lanes_fail_too: bool) {
    let (place, store) = faulty(plan, None, lanes_fail_too);
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::start(config(&place, folder.path())).await.unwrap();
    let length = 8;
    let mut run = start(&engine, &place, chain(length)).await;
    assert_eq!(state_of(&ended(&mut run).await), RunState::Succeeded, "{plan:?}");
    let detail = detail(&place, run.run_id()).await;
    for task in 0..length {
        let task = format!("t{task}");
        assert_eq!(bodies(run.run_id(), &task), [1], "{task} under {plan:?}");
        assert_eq!(outcomes(&detail, &task), [Outcome::Succeeded], "{task} under {plan:?}");
    }
    assert!(store.plan.lock().unwrap().is_empty(), "not every fault happened: {plan:?}");
    engine.shutdown().await;
    let left = std::fs::read_dir(folder.path().join(".updraft/spool")).map_or(0, Iterator::count);
    assert_eq!(left, 0, "results are left in the spool after {plan:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_fault_at_each_commit_loses_and_doubles_nothing() {
    for fault in [
        Fault::Unavailable,
        Fault::AppliedUnknown,
        Fault::LostUnknown,
        Fault::Conflict,
        Fault::Full,
        Fault::Busy,
        Fault::Inactive,
    ] {
        for at in 0..4 {
            if at == 0 && fault == Fault::Busy {
                continue;
            }
            let mut plan = vec![Fault::None; at];
            plan.push(fault);
            chain_survives(&plan, false).await;
        }
    }
}

/// An outage costs what an attempt keeps and shares some time, and no try; what the store refuses for good ends it.
#[tokio::test(flavor = "multi_thread")]
async fn what_an_attempt_keeps_outlives_an_outage() {
    use Fault::{AppliedUnknown, Conflict, Full, LostUnknown, None, Rejected, Unavailable};
    let keeps = || workflow(json!([{ "id": "a", "type": "act", "with": { "act": "keeps" } }]));
    let folder = tempfile::tempdir().unwrap();
    for plan in [
        vec![Unavailable, Unavailable, None, Unavailable, Conflict, Full],
        vec![None, AppliedUnknown, LostUnknown, None, AppliedUnknown],
    ] {
        let (place, store) = faulty(&[], Option::None, false);
        store.kept.lock().unwrap().extend(plan);
        let engine = Engine::start(config(&place, folder.path())).await.unwrap();
        let mut run = start(&engine, &place, keeps()).await;
        assert_eq!(state_of(&ended(&mut run).await), RunState::Succeeded);
        let detail = detail(&place, run.run_id()).await;
        assert_eq!(outcomes(&detail, "a"), [Outcome::Succeeded]);
        assert_eq!(detail.attempts[0].output.as_deref(), Some("[null,1,1]"));
        assert!(store.kept.lock().unwrap().is_empty());
        engine.shutdown().await;
    }
    // Set, read and set again: a lost answer is neither a lost race nor a second step.
    let shares = workflow(json!([{ "id": "a", "type": "act", "with": { "act": "shares" } }]));
    let (place, store) = faulty(&[], Option::None, false);
    let faults =
        [Unavailable, LostUnknown, AppliedUnknown, None, None, Conflict, None, None, AppliedUnknown, None, None];
    store.kept.lock().unwrap().extend(faults);
    let engine = Engine::start(config(&place, folder.path())).await.unwrap();
    let mut run = start(&engine, &place, shares).await;
    assert_eq!(state_of(&ended(&mut run).await), RunState::Succeeded);
    let detail_of_shares = detail(&place, run.run_id()).await;
    assert_eq!(outcomes(&detail_of_shares, "a"), [Outcome::Succeeded]);
    assert_eq!(detail_of_shares.attempts[0].output.as_deref(), Some(r#"[true,["a",1],false,true,["b",2]]"#));
    assert!(store.kept.lock().unwrap().is_empty());
    engine.shutdown().await;
    let (place, store) = faulty(&[], Option::None, false);
    store.kept.lock().unwrap().extend([None, Rejected]);
    let engine = Engine::start(config(&place, folder.path())).await.unwrap();
    let mut run = start(&engine, &place, keeps()).await;
    assert_eq!(state_of(&ended(&mut run).await), RunState::Failed);
    assert_eq!(detail(&place, run.run_id()).await.attempts[0].class.as_deref(), Some("Store"));
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_in_a_row_and_in_lanes_lose_and_double_nothing() {
    use Fault::{AppliedUnknown, Busy, Conflict, LostUnknown, None, Unavailable};
    for plan in [
        vec![None, Unavailable, Unavailable, Unavailable],
        vec![None, AppliedUnknown, Unavailable, Unavailable, None],
        vec![None, Busy, AppliedUnknown, None, Busy, LostUnknown],
        vec![None, Busy, Unavailable, Conflict, None, Busy],
        vec![None, LostUnknown, None, LostUnknown, None, AppliedUnknown],
    ] {
        chain_survives(&plan, true).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn random_faults_over_a_wide_graph_lose_and_double_nothing() {
    let kinds = [
        Fault::None,
        Fault::None,
        Fault::Unavailable,
        Fault::AppliedUnknown,
        Fault::LostUnknown,
        Fault::Conflict,
        Fault::Busy,
    ];
    for seed in 0..10_u64 {
        let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        let mut plan = vec![Fault::None];
        for _ in 0..30 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            plan.push(kinds[usize::try_from((state >> 33) % kinds.len() as u64).unwrap()]);
        }
        let (place, _) = faulty(&plan, None, true);
        let folder = tempfile::tempdir().unwrap();
        let mut config = config(&place, folder.path());
        config.slots = 3;
        let engine = Engine::start(config).await.unwrap();
        let mut tasks = vec![json!({ "id": "root", "type": "act" })];
        tasks.extend((0..30).map(|n| json!({ "id": format!("l{n}"), "type": "act", "depends_on": ["root"] })));
        let mut run = start(&engine, &place, workflow(Value::Array(tasks))).await;
        assert_eq!(state_of(&ended(&mut run).await), RunState::Succeeded, "seed {seed}");
        let detail = detail(&place, run.run_id()).await;
        for leaf in 0..30 {
            let leaf = format!("l{leaf}");
            assert_eq!(bodies(run.run_id(), &leaf), [1], "{leaf}, seed {seed}");
            assert_eq!(outcomes(&detail, &leaf), [Outcome::Succeeded], "{leaf}, seed {seed}");
        }
        engine.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_that_the_store_refuses_fails_its_own_attempt_only() {
    let (place, _) = faulty(&[], Some("poison"), false);
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::start(config(&place, folder.path())).await.unwrap();
    let bad = workflow(json!([
        { "id": "a", "type": "act", "with": { "say": "poison" } },
        { "id": "b", "type": "act" },
    ]));
    let mut guilty = start(&engine, &place, bad).await;
    let mut others = Vec::new();
    for _ in 0..5 {
        others.push(start(&engine, &place, chain(3)).await);
    }
    assert_eq!(state_of(&ended(&mut guilty).await), RunState::Failed);
    let found = detail(&place, guilty.run_id()).await;
    let attempt = found.attempts.iter().find(|row| row.key.task.as_str() == "a").unwrap();
    assert_eq!(attempt.cause, Cause::StoreRejected);
    assert_eq!(outcomes(&found, "b"), [Outcome::Succeeded]);
    for run in &mut others {
        assert_eq!(state_of(&ended(run).await), RunState::Succeeded);
    }
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_cannot_be_created_is_refused_to_who_asked() {
    let (place, _) = faulty(&[Fault::Rejected], None, false);
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::start(config(&place, folder.path())).await.unwrap();
    let new = crate::support::new_run(&*place.store, chain(1)).await;
    let refused = engine.create_run(new).await;
    assert!(matches!(refused, Err(updraft_engine::EngineError::Store(StoreError::Rejected(_)))), "{refused:?}");
    let mut run = start(&engine, &place, chain(1)).await;
    assert_eq!(state_of(&ended(&mut run).await), RunState::Succeeded, "the engine goes on");
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_that_finds_no_store_waits_on_disk_and_is_taken_at_the_resume() {
    let (place, store) = faulty(&[], None, true);
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::start(config(&place, folder.path())).await.unwrap();
    let mut events = engine.subscribe();
    let tasks = json!([
        { "id": "a", "type": "act", "with": { "act": "child", "argv": ["sh", "-c", "until test -e go; do sleep 0.01; done"] } },
        { "id": "b", "type": "act", "depends_on": ["a"] },
    ]);
    let mut run = start(&engine, &place, workflow(tasks)).await;
    until(&mut events, crate::support::attempt_started("a")).await;
    store.plan.lock().unwrap().extend([Fault::Unavailable; 10_000]);
    std::fs::write(folder.path().join("go"), "").unwrap();
    until(&mut events, |event| matches!(event, EngineEvent::Warning { .. })).await;
    engine.abort().await;
    engine.shutdown().await;
    assert_eq!(ended(&mut run).await, RunEnd::Interrupted);
    store.plan.lock().unwrap().clear();

    let engine = Engine::start(config(&place, folder.path())).await.unwrap();
    let mut resumed = engine.resume(run.run_id()).await.unwrap();
    assert_eq!(state_of(&ended(&mut resumed).await), RunState::Succeeded);
    assert_eq!(bodies(run.run_id(), "a"), [1], "its result lay on disk: it is not made again");
    assert_eq!(std::fs::read_dir(folder.path().join(".updraft/spool")).unwrap().count(), 0);
    assert_eq!(outcomes(&detail(&place, run.run_id()).await, "a"), [Outcome::Succeeded]);
    engine.shutdown().await;
}

/// F20: what was claimed by a process that is not sure of its lease does not begin.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_not_sure_of_its_lease_starts_nothing_until_it_is() {
    let (place, store) = faulty(&[], None, false);
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(&place, folder.path());
    config.heartbeat = std::time::Duration::from_millis(50);
    config.trust = Some(std::time::Duration::from_millis(200));
    store.beats_fail.store(true, Ordering::Relaxed);
    let engine = Engine::start(config).await.unwrap();
    let mut events = engine.subscribe();
    until(&mut events, |event| matches!(event, EngineEvent::Warning { message, .. } if message.contains("lease")))
        .await;
    let mut run = start(&engine, &place, chain(2)).await;
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    assert!(bodies(run.run_id(), "t0").is_empty(), "a body began without a lease");
    store.beats_fail.store(false, Ordering::Relaxed);
    assert_eq!(state_of(&ended(&mut run).await), RunState::Succeeded);
    assert_eq!(bodies(run.run_id(), "t0").len(), 1);
    engine.shutdown().await;
}

/// `on_lease_loss: kill` for what must not run twice; what may goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_may_have_run_out_stops_what_must_not_run_twice() {
    let (place, store) = faulty(&[], None, false);
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(&place, folder.path());
    config.heartbeat = std::time::Duration::from_millis(50);
    config.trust = Some(std::time::Duration::from_millis(400));
    let engine = Engine::start(config).await.unwrap();
    let mut events = engine.subscribe();
    let note = json!({ "act": "note", "argv": [folder.path()] });
    let tasks = json!([
        { "id": "may", "type": "act", "with": note },
        { "id": "must_not", "type": "once", "with": note },
    ]);
    let mut run = start(&engine, &place, workflow(tasks)).await;
    until(&mut events, crate::support::attempt_started("may")).await;
    store.beats_fail.store(true, Ordering::Relaxed);
    until(&mut events, |event| {
        matches!(event, EngineEvent::AttemptEnded { key, outcome: Outcome::Lost, .. } if key.task.as_str() == "must_not")
    })
    .await;
    std::fs::write(folder.path().join("go"), "").unwrap();
    store.beats_fail.store(false, Ordering::Relaxed);
    assert_eq!(state_of(&ended(&mut run).await), RunState::Succeeded);
    let detail = detail(&place, run.run_id()).await;
    assert_eq!(outcomes(&detail, "may"), [Outcome::Succeeded]);
    let lost = detail.attempts.iter().find(|row| row.outcome == Outcome::Lost).unwrap();
    assert!(lost.message.as_deref().unwrap().contains("could not renew its lease"), "{lost:?}");
    engine.shutdown().await;
}
