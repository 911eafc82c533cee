//! Cases of `commit_locked`: one run under its lock.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt;
use updraft_model::event::Event;
use updraft_model::id::{Stamp, WorkerNo};
use updraft_model::record::WorkRow;
use updraft_model::state::Place;
use uuid::Uuid;

use super::world::{At, Known, World, attempt, dispatched, running, task_run, work};
use crate::{Expected, Lane, LaneFn, LaneOutcome, Locked, RunCommit, Wake};

/// A decision that keeps what it saw.
fn seeing(decide: impl FnOnce(&Locked) -> Option<RunCommit> + Send + 'static) -> (LaneFn, Arc<Mutex<Option<Locked>>>) {
    let seen = Arc::new(Mutex::new(None));
    let keep = Arc::clone(&seen);
    let lane: LaneFn = Box::new(move |locked| {
        let decided = decide(&locked);
        *keep.lock().expect("no panic") = Some(locked);
        decided
    });
    (lane, seen)
}

fn taken(seen: &Mutex<Option<Locked>>) -> Locked {
    seen.lock().expect("no panic").take().expect("the decision was asked")
}

/// A commit that goes on from what a lane sees.
fn on(locked: &Locked, actor: &str) -> RunCommit {
    let row = &locked.run.row;
    RunCommit {
        run_id: row.facts.run_id,
        expected: Expected::At { version: row.version, stamp: row.stamp },
        stamp: Stamp(Uuid::new_v4()),
        actor: actor.to_owned(),
        events: vec![Event::RunRepaired { by: actor.to_owned() }],
        run: row.projection.clone(),
        ended: Vec::new(),
        task_runs: Vec::new(),
        cleared: Vec::new(),
        work: Vec::new(),
        removed: Vec::new(),
    }
}

async fn mixed(world: &World) -> (Known, WorkRow) {
    let executing = Mutex::new(None);
    let known = world
        .start(|run| {
            let row = work(run, "busy", At::Executing(world.worker, attempt()), world.now());
            *executing.lock().expect("no panic") = Some(row.clone());
            vec![
                row,
                work(run, "ready", At::Ready(1), world.now()),
                work(run, "timer", At::Timer(world.now()), world.now()),
            ]
        })
        .await;
    (known, executing.into_inner().expect("no panic").expect("made"))
}

/// It sees what a load sees, and writes one commit.
pub async fn a_lane_sees_the_run_as_it_is_and_writes(world: &World) {
    let (known, busy) = mixed(world).await;
    let loaded = world.full(known.run).await;
    let (decide, seen) = seeing(|locked| Some(on(locked, "lane")));
    let at = world.now();
    let outcome = world.store.commit_locked(known.run, Lane::Plain, at, decide).await.expect("lane");
    assert_eq!(outcome, LaneOutcome::Applied);
    let locked = taken(&seen);
    assert_eq!(locked.run, loaded);
    assert_eq!((locked.removed, locked.executing), (vec![], vec![busy]));
    let history = world.reader.history(known.run, 2).await.expect("history");
    assert_eq!((history[0].version, history[0].at, history[0].actor.as_str()), (2, at, "lane"));
    assert_eq!(world.full(known.run).await.work, loaded.work);
}

/// Not even what the lane itself did stays.
pub async fn a_lane_that_decides_nothing_changes_nothing(world: &World) {
    let (known, _) = mixed(world).await;
    let before = world.everything(&[known.run]).await;
    let (decide, seen) = seeing(|_| None);
    let outcome = world.store.commit_locked(known.run, Lane::Cancel, world.now(), decide).await.expect("lane");
    assert_eq!(outcome, LaneOutcome::Nothing);
    assert_eq!(taken(&seen).removed.len(), 2);
    assert_eq!(world.everything(&[known.run]).await, before);
}

/// F19: what waits is gone, what executes is flagged and its worker woken; a second cancel keeps the first instant.
pub async fn a_cancelling_lane_deletes_what_waits_and_flags_what_executes(world: &World) {
    let (known, busy) = mixed(world).await;
    let before = world.full(known.run).await;
    let mut wakes = world.store.wakes();
    let (decide, seen) = seeing(|locked| Some(on(locked, "canceller")));
    let at = world.now();
    let outcome = world.store.commit_locked(known.run, Lane::Cancel, at, decide).await.expect("lane");
    assert_eq!(outcome, LaneOutcome::Applied);
    let flagged = WorkRow { cancel_at: Some(at), ..busy };
    let locked = taken(&seen);
    assert_eq!(locked.run, before, "the run is shown as it was before the lane touched it");
    assert_eq!(locked.executing, std::slice::from_ref(&flagged));
    let mut removed: Vec<String> = locked.removed.iter().map(|row| row.dispatch.key.to_string()).collect();
    removed.sort();
    assert_eq!(removed, ["ready", "timer"]);
    assert_eq!(world.full(known.run).await.work, std::slice::from_ref(&flagged));
    let beaten = world.store.beat(world.worker).await.expect("beat");
    assert_eq!(beaten.executing, std::slice::from_ref(&flagged));
    let woken = async {
        while let Some(wake) = wakes.next().await {
            if matches!(wake, Wake::Cancel(worker) if worker == world.worker) || wake == Wake::Everything {
                return true;
            }
        }
        false
    };
    assert!(tokio::time::timeout(Duration::from_secs(10), woken).await.expect("a wake-up within 10 s"));

    let (decide, _) = seeing(|locked| Some(on(locked, "canceller")));
    world.store.commit_locked(known.run, Lane::Cancel, world.now(), decide).await.expect("lane");
    assert_eq!(world.full(known.run).await.work, [flagged]);
}

/// The rows of the dead worker alone; their attempts end as lost in the same commit.
pub async fn a_reaping_lane_lists_the_rows_of_one_worker(world: &World) {
    let other = world.store.register(&super::world::worker_named("other")).await.expect("register");
    let known = world
        .start(|run| {
            vec![
                work(run, "mine", At::Executing(world.worker, attempt()), world.now()),
                work(run, "theirs", At::Executing(other, attempt()), world.now()),
            ]
        })
        .await;
    let at = world.now();
    let (decide, seen) = seeing(move |locked| {
        let mut commit = on(locked, "reaper");
        for row in &locked.executing {
            let mut again =
                WorkRow { place: Place::Ready, worker_no: None, attempt_id: None, claimed_at: None, ..row.clone() };
            again.dispatch.dispatch_no += 1;
            again.dispatch.losses += 1;
            let mut ended = super::world::ended(row);
            ended.outcome = updraft_model::state::Outcome::Lost;
            ended.cause = updraft_model::state::Cause::WorkerDied;
            ended.output = None;
            commit.ended.push(ended);
            commit.events.push(dispatched(&again));
            commit.work.push(again);
        }
        Some(commit)
    });
    let outcome = world.store.commit_locked(known.run, Lane::Reap(other), at, decide).await.expect("lane");
    assert_eq!(outcome, LaneOutcome::Applied);
    let locked = taken(&seen);
    assert_eq!(locked.executing.iter().map(|row| row.worker_no).collect::<Vec<_>>(), [Some(other)]);
    let detail = world.reader.detail(known.run).await.expect("detail").expect("there");
    assert_eq!(detail.attempts.len(), 1);
    assert_eq!((detail.attempts[0].worker_no, detail.attempts[0].ended_at), (Some(other), at));
    let theirs = &detail.work[1];
    assert_eq!((theirs.place, theirs.dispatch.dispatch_no, theirs.dispatch.losses), (Place::Ready, 2, 1));
    assert_eq!(detail.work[0].worker_no, Some(world.worker));
}

/// No such run.
pub async fn a_lane_on_a_missing_run_says_so(world: &World) {
    let missing = updraft_model::id::RunId(Uuid::now_v7());
    let (decide, seen) = seeing(|_| None);
    let outcome = world.store.commit_locked(missing, Lane::Plain, world.now(), decide).await.expect("lane");
    assert_eq!(outcome, LaneOutcome::Missing);
    assert!(seen.lock().expect("no panic").is_none(), "the decision was asked about nothing");
}

/// A late finish in a lane.
pub async fn a_lane_with_a_broken_fence_writes_nothing(world: &World) {
    let (known, busy) = world.start_executing().await;
    let before = world.everything(&[known.run]).await;
    let mut late = busy.clone();
    late.attempt_id = Some(attempt());
    let key = late.dispatch.key.clone();
    let at = world.now();
    let (decide, _) = seeing(move |locked| {
        let mut commit = on(locked, "late");
        commit.ended.push(super::world::ended(&late));
        commit.task_runs.push(task_run(&late, at));
        commit.removed.push(late.dispatch.key.clone());
        Some(commit)
    });
    let outcome = world.store.commit_locked(known.run, Lane::Plain, at, decide).await.expect("lane");
    assert_eq!(outcome, LaneOutcome::Fenced(vec![key]));
    assert_eq!(world.everything(&[known.run]).await, before);
}

/// Each sees what the one before wrote.
pub async fn lanes_of_one_run_wait_for_each_other(world: &World) {
    let known = world.start(|_| vec![]).await;
    let lanes = (0..16).map(|n| {
        let (decide, _) = seeing(move |locked| Some(on(locked, &format!("lane {n}"))));
        world.store.commit_locked(known.run, Lane::Plain, world.now(), decide)
    });
    for outcome in futures::future::join_all(lanes).await {
        assert_eq!(outcome.expect("lane"), LaneOutcome::Applied);
    }
    assert_eq!(world.full(known.run).await.row.version, 17);
    assert_eq!(world.reader.history(known.run, 0).await.expect("history").len(), 17);
}

/// A lane ends a run; the run's row says so.
pub async fn a_lane_can_end_a_run(world: &World) {
    let known = world.start(|_| vec![]).await;
    let at = world.now();
    let end = updraft_model::record::RunProjection {
        state: updraft_model::state::RunState::Cancelled,
        cause: Some(updraft_model::state::Cause::CancelRequested),
        ended_at: Some(at),
        ..running(at)
    };
    let written = end.clone();
    let (decide, _) = seeing(move |locked| Some(RunCommit { run: written, ..on(locked, "lane") }));
    world.store.commit_locked(known.run, Lane::Cancel, at, decide).await.expect("lane");
    assert_eq!(world.full(known.run).await.row.projection, end);
    assert_eq!(world.store.beat(WorkerNo(world.worker.0)).await.expect("beat").executing, []);
}
