//! The one-statement commit: shapes, races, refusals.

use std::time::{Duration, Instant};

use updraft_model::id::{AttemptId, RunId, Stamp, TaskKey, WorkerNo};
use updraft_store::{Batch, Loaded, Pick, Purpose, RunCommit, Store};
use updraft_store_postgres::PgStore;

use crate::build::{AT, apply, attempt, batch, ended, executing, fresh, new_run, next, run_id, work, worker_info};

fn chain_hop(run: RunId, n: u32, known: Stamp, a: AttemptId, worker: WorkerNo, b: AttemptId) -> RunCommit {
    let mut commit = next(run, u64::from(n), known);
    commit.ended = vec![ended(&format!("t{n}"), 1, a)];
    commit.removed = vec![TaskKey::of(format!("t{n}"))];
    commit.work = vec![executing(run, &format!("t{}", n + 1), 1, worker, b)];
    commit
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chain_is_one_commit_and_one_round_trip_a_hop() {
    let Some(fresh) = fresh().await else { return };
    let store = &fresh.store;
    let worker = store.register(&worker_info("w")).await.unwrap();
    let run = run_id();
    let mut a = attempt();
    let first = new_run(run, vec![executing(run, "t1", 1, worker, a)]);
    let mut known = first.stamp;
    apply(store, &batch(worker, vec![first])).await;
    let mut hops = Vec::new();
    let mut bare = Vec::new();
    let before = store.counters().round_trips(Purpose::Engine);
    for n in 1..=300_u32 {
        let b = attempt();
        let commit = chain_hop(run, n, known, a, worker, b);
        known = commit.stamp;
        let start = Instant::now();
        apply(store, &batch(worker, vec![commit])).await;
        hops.push(start.elapsed());
        let start = Instant::now();
        store.bare_commit().await.unwrap();
        bare.push(start.elapsed());
        a = b;
    }
    assert_eq!(store.counters().round_trips(Purpose::Engine) - before, 300);
    hops.sort();
    bare.sort();
    println!("hop p50 {:?} p99 {:?}; B p50 {:?} p99 {:?}", hops[150], hops[297], bare[150], bare[297]);
    let loaded = store.load(&[(run, None)]).await.unwrap();
    let [Loaded::Full(loaded)] = loaded.as_slice() else { panic!("{loaded:?}") };
    assert_eq!(loaded.row.version, 301);
    assert_eq!(loaded.work.len(), 1);
    store.close().await;
}

/// A plan that joins two lists takes half a second for 256 runs (engine.md F24); this one takes some milliseconds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_run_by_256_and_256_runs_by_one_are_both_cheap() {
    let Some(fresh) = fresh().await else { return };
    let store = &fresh.store;
    let worker = store.register(&worker_info("w")).await.unwrap();
    for (runs, tasks) in [(1_usize, 256_usize), (256, 1)] {
        let mut best = Duration::MAX;
        for _ in 0..3 {
            let commits = finish_all(store, worker, runs, tasks).await;
            let start = Instant::now();
            let picked = apply(store, &commits).await;
            best = best.min(start.elapsed());
            assert!(picked.len() <= 32);
        }
        println!("{runs} runs x {tasks} tasks: finish, dispatch and pick in {best:?}");
        assert!(best < Duration::from_millis(250), "{runs} runs x {tasks}: {best:?}");
    }
    let ready = store.claim(worker, "q", &(0..5000).map(|_| attempt()).collect::<Vec<_>>(), AT).await.unwrap();
    assert!(ready.len() > 1200, "{} rows were ready", ready.len());
    store.close().await;
}

/// Makes runs whose tasks execute, and the batch that ends them all and dispatches as many.
async fn finish_all(store: &PgStore, worker: WorkerNo, runs: usize, tasks: usize) -> Batch {
    let ids: Vec<_> = (0..runs).map(|_| (run_id(), (0..tasks).map(|_| attempt()).collect::<Vec<_>>())).collect();
    let created: Vec<RunCommit> = ids
        .iter()
        .map(|(run, attempts)| {
            let rows = attempts.iter().enumerate();
            new_run(*run, rows.map(|(n, a)| executing(*run, &format!("t{n}"), 1, worker, *a)).collect())
        })
        .collect();
    let stamps: Vec<_> = created.iter().map(|one| one.stamp).collect();
    apply(store, &batch(worker, created)).await;
    let finished = ids.iter().zip(stamps).map(|((run, attempts), known)| {
        let mut commit = next(*run, 1, known);
        commit.ended = attempts.iter().enumerate().map(|(n, a)| ended(&format!("t{n}"), 1, *a)).collect();
        commit.removed = (0..tasks).map(|n| TaskKey::of(format!("t{n}"))).collect();
        commit.work = (0..tasks).map(|n| work(*run, &format!("u{n}"), 1)).collect();
        commit
    });
    let pick = Pick { queue: "q".to_owned(), attempts: (0..32).map(|_| attempt()).collect() };
    Batch { pick: Some(pick), ..batch(worker, finished.collect()) }
}
