//! What a hop and a fan-out cost the store, beside a bare commit in the same file. For whoever changes the hot path:
//! `cargo test -p updraft-store-sqlite --test speed -- --ignored --nocapture`. The figures that are promised come from
//! `updraft bench`.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::float_cmp,
    reason = "tests say what they expect"
)]

use std::time::Instant;

use updraft_store::conformance::World;
use updraft_store::conformance::world::{At, after, attempt, work};
use updraft_store_sqlite::{OpenOptions, SqliteStore};

const HOPS: usize = 2000;
const ROUNDS: usize = 20;

fn percentile(sorted: &[u128], percent: usize) -> u128 {
    sorted[(sorted.len() - 1) * percent / 100]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement, not a test"]
async fn hops_beside_bare_commits() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = SqliteStore::open(folder.path().join("store.db"), OpenOptions::default()).await.expect("open");
    let reader = store.reader();
    let world = World::new(std::sync::Arc::new(store), std::sync::Arc::new(reader)).await;
    let (mut bare, mut hops) = (Vec::new(), Vec::new());
    let (mut known, mut row) = world.start_executing().await;
    for n in 0..HOPS {
        let began = Instant::now();
        world.store.bare_commit().await.expect("bare commit");
        bare.push(began.elapsed().as_micros());
        let (hop, next) = world.hop(known, &row, &format!("t{n}"));
        let batch = world.batch(vec![hop]);
        let began = Instant::now();
        world.apply(&batch).await;
        hops.push(began.elapsed().as_micros());
        (known, row) = (after(&batch.runs[0]), next);
    }
    bare.sort_unstable();
    hops.sort_unstable();
    for (what, times) in [("bare commit", &bare), ("hop", &hops)] {
        eprintln!("{what}: p50 {} µs, p99 {} µs", percentile(times, 50), percentile(times, 99));
    }
    for width in [100, 256] {
        let mut rows = Vec::new();
        let mut known = world
            .start(|run| {
                rows = (0..width)
                    .map(|n| work(run, &format!("s{n}"), At::Executing(world.worker, attempt()), world.now()))
                    .collect();
                rows.clone()
            })
            .await;
        let began = Instant::now();
        for round in 0..ROUNDS {
            let mut commit = world.next(known);
            rows.iter().for_each(|row| world.end(&mut commit, row));
            rows = (0..width)
                .map(|n| work(known.run, &format!("r{round}_{n}"), At::Executing(world.worker, attempt()), world.now()))
                .collect();
            commit.work.clone_from(&rows);
            known = after(&commit);
            world.apply(&world.batch(vec![commit])).await;
        }
        let per_task = began.elapsed().as_micros() / (ROUNDS * width) as u128;
        eprintln!("finish {width} and start {width} in one commit: {per_task} µs a task");
    }
    world.close().await;
}
