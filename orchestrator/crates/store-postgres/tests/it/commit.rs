//! The one-statement commit: shapes, races, refusals.

use updraft_model::id::{TaskKey, WorkerNo};
use updraft_store::{Loaded, Pick, RunCommit, Store};

use crate::build::{apply, attempt, batch, ended, executing, fresh, new_run, next, run_id, work, worker_info};

fn chain_hop(
    run: updraft_model::id::RunId,
    n: u32,
    known: updraft_model::id::Stamp,
    a: updraft_model::id::AttemptId,
    worker: WorkerNo,
    b: updraft_model::id::AttemptId,
) -> RunCommit {
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
    let before = store.counters().round_trips(updraft_store::Purpose::Engine);
    for n in 1..=300_u32 {
        let b = attempt();
        let commit = chain_hop(run, n, known, a, worker, b);
        known = commit.stamp;
        let start = std::time::Instant::now();
        apply(store, &batch(worker, vec![commit])).await;
        hops.push(start.elapsed());
        let start = std::time::Instant::now();
        store.bare_commit().await.unwrap();
        bare.push(start.elapsed());
        a = b;
    }
    assert_eq!(store.counters().round_trips(updraft_store::Purpose::Engine) - before, 300);
    hops.sort();
    bare.sort();
    println!("hop p50 {:?} p99 {:?}; B p50 {:?} p99 {:?}", hops[150], hops[297], bare[150], bare[297]);
    let loaded = store.load(&[(run, None)]).await.unwrap();
    let [Loaded::Full(loaded)] = loaded.as_slice() else { panic!("{loaded:?}") };
    assert_eq!(loaded.row.version, 301);
    assert_eq!(loaded.work.len(), 1);
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_run_by_256_and_256_runs_by_one_are_both_cheap() {
    let Some(fresh) = fresh().await else { return };
    let store = &fresh.store;
    let worker = store.register(&worker_info("w")).await.unwrap();
    for (runs, tasks) in [(1_usize, 256_usize), (256, 1), (1, 256), (256, 1)] {
        let ids: Vec<_> = (0..runs).map(|_| (run_id(), (0..tasks).map(|_| attempt()).collect::<Vec<_>>())).collect();
        let created: Vec<RunCommit> = ids
            .iter()
            .map(|(run, attempts)| {
                let rows = attempts.iter().enumerate();
                new_run(*run, rows.map(|(n, a)| executing(*run, &format!("t{n}"), 1, worker, *a)).collect())
            })
            .collect();
        let stamps: Vec<_> = created.iter().map(|one| one.stamp).collect();
        let start = std::time::Instant::now();
        apply(store, &batch(worker, created)).await;
        let creating = start.elapsed();
        let finished = ids.iter().zip(stamps).map(|((run, attempts), known)| {
            let mut commit = next(*run, 1, known);
            commit.ended = attempts.iter().enumerate().map(|(n, a)| ended(&format!("t{n}"), 1, *a)).collect();
            commit.removed = (0..tasks).map(|n| TaskKey::of(format!("t{n}"))).collect();
            commit.work = (0..tasks).map(|n| work(*run, &format!("u{n}"), 1)).collect();
            commit
        });
        let mut finish = batch(worker, finished.collect());
        finish.pick = Some(Pick { queue: "q".to_owned(), attempts: (0..32).map(|_| attempt()).collect() });
        let start = std::time::Instant::now();
        apply(store, &finish).await;
        println!("{runs} runs x {tasks}: create {creating:?}, finish and dispatch {:?}", start.elapsed());
    }
    let claimed =
        store.claim(worker, "q", &(0..5000).map(|_| attempt()).collect::<Vec<_>>(), crate::build::AT).await.unwrap();
    println!("claimed {}", claimed.len());
    store.close().await;
}
