//! Connections: what a caller that goes away, a server that cuts a session, and a dead worker leave behind.

use std::time::{Duration, Instant};

use sqlx::{Connection, PgConnection};
use updraft_model::id::TaskKey;
use updraft_store::{Batch, Committed, Lane, LaneOutcome, Purpose, Refusal, Store, StoreError, WorkerState};
use updraft_store_postgres::PgStore;

use crate::build::{AT, apply, attempt, batch, ended, executing, fresh, new_run, next, run_id, work, worker_info};
use crate::race::another;

/// Sessions of this schema's engine that are in the middle of something although nobody uses them.
async fn open_transactions(look: &mut PgConnection, database: &str) -> i64 {
    sqlx::query_scalar(
        "SELECT count(*) FROM pg_stat_activity
         WHERE application_name LIKE 'updraft%' AND datname = $1 AND state LIKE 'idle in transaction%'",
    )
    .bind(database)
    .fetch_one(look)
    .await
    .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_that_go_away_leave_no_open_transaction_and_no_half_read_answer() {
    let Some(database) = tokio::task::block_in_place(updraft_testkit::postgres::fresh_database).unwrap() else {
        return;
    };
    // Each answer takes 2 ms, so that callers leave in the middle of every step: begin, lock, load, write, commit.
    let (proxy, url) = behind_a_proxy(database.url());
    proxy.delay(Duration::from_millis(1));
    let store = PgStore::open(&url).await.unwrap();
    let worker = store.register(&worker_info("w")).await.unwrap();
    let run = run_id();
    let first = new_run(run, vec![work(run, "a", 1)]);
    let mut known = (1, first.stamp);
    apply(&store, &batch(worker, vec![first])).await;
    let mut dropped = 0_u32;
    for round in 0..120_u64 {
        let patience = Duration::from_micros(200 * (round % 50));
        let commit = next(run, known.0, known.1);
        let stamp = commit.stamp;
        let group: Batch = batch(worker, vec![commit]);
        let answered = if round % 2 == 0 {
            tokio::time::timeout(patience, store.commit(&group)).await.is_ok()
        } else {
            let [commit] = <[_; 1]>::try_from(group.runs).unwrap();
            let lane = store.commit_locked(run, Lane::Plain, AT, Box::new(|_| Some(commit)));
            tokio::time::timeout(patience, lane).await.is_ok()
        };
        dropped += u32::from(!answered);
        // The statement goes on without its caller; the next user of the connection comes after it.
        if store.commit(&batch(worker, vec![next(run, u64::MAX >> 2, stamp)])).await.is_ok()
            && wait_for(&store, run, known.0 + 1, stamp).await
        {
            known = (known.0 + 1, stamp);
        }
    }
    assert!(dropped > 20, "only {dropped} callers went away");
    assert_eq!(known.0, 121, "a commit was lost with its caller");
    let mut look = PgConnection::connect(database.url()).await.unwrap();
    let name: String = sqlx::query_scalar("SELECT current_database()").fetch_one(&mut look).await.unwrap();
    assert_eq!(open_transactions(&mut look, &name).await, 0);
    apply(&store, &batch(worker, vec![next(run, known.0, known.1)])).await;
    store.close().await;
    look.close().await.unwrap();
}

/// The same database by a way that can be slowed down and cut.
fn behind_a_proxy(url: &str) -> (updraft_testkit::proxy::Proxy, String) {
    let authority = url.split("://").nth(1).unwrap().split(['/', '?']).next().unwrap();
    let address = authority.rsplit('@').next().unwrap();
    let proxy = updraft_testkit::proxy::Proxy::start(address.parse().unwrap()).unwrap();
    let url = url.replace(address, &proxy.address().to_string());
    (proxy, url)
}

/// Until a commit whose caller went away is applied.
async fn wait_for(
    store: &PgStore,
    run: updraft_model::id::RunId,
    version: u64,
    stamp: updraft_model::id::Stamp,
) -> bool {
    let deadline = Instant::now() + Duration::from_secs(10);
    while Instant::now() < deadline {
        if store.outcome(run, version, stamp).await.unwrap() {
            return true;
        }
    }
    false
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_on_a_cut_connection_has_an_unknown_outcome_that_can_be_asked_for() {
    let Some(database) = tokio::task::block_in_place(updraft_testkit::postgres::fresh_database).unwrap() else {
        return;
    };
    let store = &PgStore::open(database.url()).await.unwrap();
    let worker = store.register(&worker_info("w")).await.unwrap();
    let run = run_id();
    let first = new_run(run, vec![]);
    let known = first.stamp;
    apply(store, &batch(worker, vec![first])).await;
    cut_engine_sessions(database.url()).await;
    let commit = next(run, 1, known);
    let stamp = commit.stamp;
    let group = batch(worker, vec![commit]);
    let answer = store.commit(&group).await;
    assert!(matches!(answer, Err(StoreError::UnknownOutcome(_))), "{answer:?}");
    assert!(!outcome_after_reconnect(store, run, stamp).await);
    apply(store, &group).await;
    assert!(store.outcome(run, 2, stamp).await.unwrap());
    store.close().await;
}

async fn outcome_after_reconnect(
    store: &PgStore,
    run: updraft_model::id::RunId,
    stamp: updraft_model::id::Stamp,
) -> bool {
    loop {
        match store.outcome(run, 2, stamp).await {
            Ok(applied) => return applied,
            // Each of the other connections notices in its own time that it was cut.
            Err(StoreError::Unavailable(_)) => {}
            Err(other) => panic!("{other}"),
        }
    }
}

/// Ends the sessions whose last statement was one of this schema's commits, claims or looks.
async fn cut_engine_sessions(url: &str) {
    let mut admin = PgConnection::connect(url).await.unwrap();
    let cut: i64 = sqlx::query_scalar(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
         WHERE datname = current_database() AND application_name = 'updraft engine' AND query LIKE '-- commit:%'",
    )
    .fetch_one(&mut admin)
    .await
    .unwrap();
    assert!(cut > 0, "there was no session to cut");
    admin.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_cannot_be_reached_is_unavailable_and_comes_back() {
    let Some(database) = tokio::task::block_in_place(updraft_testkit::postgres::fresh_database).unwrap() else {
        return;
    };
    let (proxy, url) = behind_a_proxy(database.url());
    let store = PgStore::open(&url).await.unwrap();
    let run = run_id();
    assert!(!store.outcome(run, 1, crate::build::stamp()).await.unwrap());
    proxy.refuse();
    for _ in 0..3 {
        let answer = store.outcome(run, 1, crate::build::stamp()).await;
        assert!(matches!(answer, Err(StoreError::Unavailable(_))), "{answer:?}");
    }
    let opened = PgStore::open(&url).await;
    assert!(matches!(opened, Err(StoreError::Unavailable(_))), "{opened:?}");
    proxy.resume();
    assert!(!store.outcome(run, 1, crate::build::stamp()).await.unwrap());
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_lock_tells_a_dead_worker_from_a_living_one() {
    let Some(fresh) = fresh().await else { return };
    let (one, two) = (&fresh.store, another(&fresh).await);
    let dying = another(&fresh).await;
    let (living, dead) =
        (one.register(&worker_info("a")).await.unwrap(), dying.register(&worker_info("b")).await.unwrap());
    let alive = async |store: &PgStore| -> Vec<_> {
        store.peers().await.unwrap().iter().map(|peer| (peer.worker_no, peer.alive)).collect()
    };
    assert_eq!(alive(&two).await, [(living, Some(true)), (dead, Some(true))]);
    dying.close().await;
    let deadline = Instant::now() + Duration::from_secs(10);
    while alive(&two).await != [(living, Some(true)), (dead, Some(false))] {
        assert!(Instant::now() < deadline, "{:?}", alive(&two).await);
    }
    let seen = two.peers().await.unwrap().into_iter().find(|peer| peer.worker_no == dead).unwrap();
    assert!(two.condemn(&seen).await.unwrap());
    assert!(!two.condemn(&seen).await.unwrap(), "it was dead already");
    assert!(!two.beat(dead).await.unwrap().active);
    let run = run_id();
    let a = attempt();
    let group = batch(dead, vec![new_run(run, vec![executing(run, "a", 1, dead, a)])]);
    assert_eq!(two.commit(&group).await.unwrap(), Committed::Refused { runs: vec![], worker_inactive: true });
    two.close().await;
    one.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_heartbeat_whose_session_was_cut_takes_its_lock_again() {
    let Some(fresh) = fresh().await else { return };
    let (one, two) = (&fresh.store, another(&fresh).await);
    let worker = one.register(&worker_info("a")).await.unwrap();
    let mut admin = PgConnection::connect(fresh.schema.url()).await.unwrap();
    let cut = "SELECT count(pg_terminate_backend(l.pid)) FROM pg_locks l
        WHERE l.locktype = 'advisory' AND l.objid = $1::oid AND l.objsubid = 2
            AND l.classid = current_schema()::regnamespace::oid";
    let cut: i64 = sqlx::query_scalar(cut).bind(i32::try_from(worker.0).unwrap()).fetch_one(&mut admin).await.unwrap();
    assert_eq!(cut, 1);
    let first = one.beat(worker).await;
    assert!(first.is_err(), "the cut went unnoticed: {first:?}");
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let beaten = one.beat(worker).await.unwrap();
        assert!(beaten.active);
        if two.peers().await.unwrap()[0].alive == Some(true) {
            break;
        }
        assert!(Instant::now() < deadline, "the lock was not taken again");
    }
    one.leave(worker).await.unwrap();
    let peers = two.peers().await.unwrap();
    assert!(peers.iter().all(|peer| peer.state != WorkerState::Active), "{peers:?}");
    two.close().await;
    one.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_fence_or_stamp_writes_nothing_at_all() {
    let Some(fresh) = fresh().await else { return };
    let store = &fresh.store;
    let worker = store.register(&worker_info("w")).await.unwrap();
    let run = run_id();
    let a = attempt();
    let first = new_run(run, vec![executing(run, "a", 1, worker, a)]);
    let known = first.stamp;
    apply(store, &batch(worker, vec![first])).await;
    let finish = |number, attempt, stamp| {
        let mut commit = next(run, 1, stamp);
        commit.ended = vec![ended("a", number, attempt)];
        commit.removed = vec![TaskKey::of("a")];
        commit.work = vec![work(run, "b", 1)];
        batch(worker, vec![commit])
    };
    let before = contents(fresh.schema.url()).await;
    let fenced = vec![(run, Refusal::Fenced(vec![TaskKey::of("a")]))];
    for (group, why) in [
        (finish(2, a, known), fenced.clone()),
        (finish(1, attempt(), known), fenced),
        (finish(1, a, crate::build::stamp()), vec![(run, Refusal::Contended)]),
    ] {
        assert_eq!(store.commit(&group).await.unwrap(), Committed::Refused { runs: why, worker_inactive: false });
        assert_eq!(contents(fresh.schema.url()).await, before);
    }
    apply(store, &finish(1, a, known)).await;
    assert_ne!(contents(fresh.schema.url()).await, before);
    store.close().await;
}

/// Everything that a commit could have written, as text.
async fn contents(url: &str) -> String {
    let mut look = PgConnection::connect(url).await.unwrap();
    sqlx::query_scalar(
        "SELECT concat((SELECT json_agg(r) FROM run r), (SELECT json_agg(g ORDER BY version) FROM run_log g),
             (SELECT json_agg(w) FROM work w), (SELECT json_agg(t) FROM task_run t), (SELECT json_agg(a) FROM attempt a))",
    )
    .fetch_one(&mut look)
    .await
    .unwrap()
}

/// What opening, preparing and the server's own work cost is the same for a short chain and a long one; what differs is
/// the hops.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counted_commits_are_those_that_the_server_counts() {
    let Some((short_commits, short_found)) = chain(20).await else { return };
    let Some((long_commits, long_found)) = chain(220).await else { return };
    let (commits, found) = (long_commits - short_commits, long_found - short_found);
    assert!(commits >= 400, "{commits}");
    assert!(found.abs_diff(commits) <= 8, "the server counted {found} transactions, the store {commits} commits");
}

/// A chain of hops beside bare commits: the store's commits of all purposes, the server's transactions.
async fn chain(hops: u32) -> Option<(u64, u64)> {
    let database = tokio::task::block_in_place(updraft_testkit::postgres::fresh_database).unwrap()?;
    let store = PgStore::open(database.url()).await.unwrap();
    let worker = store.register(&worker_info("w")).await.unwrap();
    let run = run_id();
    let mut a = attempt();
    let first = new_run(run, vec![executing(run, "t0", 1, worker, a)]);
    let mut known = first.stamp;
    apply(&store, &batch(worker, vec![first])).await;
    for n in 0..hops {
        let b = attempt();
        let mut commit = next(run, u64::from(n) + 1, known);
        known = commit.stamp;
        commit.ended = vec![ended(&format!("t{n}"), 1, a)];
        commit.removed = vec![TaskKey::of(format!("t{n}"))];
        commit.work = vec![executing(run, &format!("t{}", n + 1), 1, worker, b)];
        if n % 4 == 0 {
            let lane = store.commit_locked(run, Lane::Plain, AT, Box::new(move |_| Some(commit)));
            assert_eq!(lane.await.unwrap(), LaneOutcome::Applied);
        } else {
            apply(&store, &batch(worker, vec![commit])).await;
        }
        store.bare_commit().await.unwrap();
        a = b;
    }
    store.close().await;
    let commits = Purpose::ALL.iter().map(|purpose| store.counters().commits(*purpose)).sum();
    Some((commits, transactions(database.url()).await))
}

/// `xact_commit` of a database once all its sessions have ended: that is when they report.
async fn transactions(url: &str) -> u64 {
    let name = url.split('?').next().unwrap().rsplit('/').next().unwrap().to_owned();
    let server = tokio::task::block_in_place(updraft_testkit::postgres::server).unwrap().unwrap();
    let mut look = PgConnection::connect(&server).await.unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let (sessions, count): (i64, i64) = sqlx::query_as(
            "SELECT (SELECT count(*) FROM pg_stat_activity WHERE datname = $1), xact_commit
             FROM pg_stat_database WHERE datname = $1",
        )
        .bind(&name)
        .fetch_one(&mut look)
        .await
        .unwrap();
        if sessions == 0 {
            return u64::try_from(count).unwrap();
        }
        assert!(Instant::now() < deadline, "{sessions} sessions stay open after the store was closed");
    }
}
