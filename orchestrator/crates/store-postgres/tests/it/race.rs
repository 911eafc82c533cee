//! Transactions that meet: exactly one of two equal ones is applied, nobody waits for a run but lanes, nobody deadlocks.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use sqlx::{Connection, PgConnection, Row};
use updraft_model::id::{RunId, TaskKey};
use updraft_model::state::Place;
use updraft_store::{Committed, Lane, LaneOutcome, Locked, Refusal, Store, TaskStateKey, Wake};
use updraft_store_postgres::PgStore;

use crate::build::{
    AT, Fresh, apply, attempt, batch, ended, executing, fresh, new_run, next, run_id, work, worker_info,
};

/// A second process as far as the database can tell.
pub(crate) async fn another(fresh: &Fresh) -> PgStore {
    PgStore::open(fresh.schema.url()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_two_equal_commits_at_once_exactly_one_is_applied() {
    let Some(fresh) = fresh().await else { return };
    let (one, two) = (&fresh.store, another(&fresh).await);
    let worker = one.register(&worker_info("w")).await.unwrap();
    let run = run_id();
    let first = new_run(run, vec![]);
    let mut known = first.stamp;
    apply(one, &batch(worker, vec![first])).await;
    for version in 1..=60 {
        let (a, b) = (next(run, version, known), next(run, version, known));
        let stamps = [a.stamp, b.stamp];
        let (a, b) = (batch(worker, vec![a]), batch(worker, vec![b]));
        let (a, b) = tokio::join!(one.commit(&a), two.commit(&b));
        let applied: Vec<bool> =
            [a.unwrap(), b.unwrap()].iter().map(|answer| matches!(answer, Committed::Applied { .. })).collect();
        assert_eq!(applied.iter().filter(|yes| **yes).count(), 1, "version {version}: {applied:?}");
        known = if applied[0] { stamps[0] } else { stamps[1] };
        for (stamp, applied) in stamps.into_iter().zip(applied) {
            assert_eq!(two.outcome(run, version + 1, stamp).await.unwrap(), applied);
        }
    }
    two.close().await;
    one.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_two_runs_with_one_key_made_at_once_exactly_one_exists() {
    let Some(fresh) = fresh().await else { return };
    let (one, two) = (&fresh.store, another(&fresh).await);
    let worker = one.register(&worker_info("w")).await.unwrap();
    for round in 0..60 {
        let make = || {
            let mut commit = new_run(run_id(), vec![]);
            if let updraft_store::Expected::New(facts) = &mut commit.expected {
                facts.run_key = format!("2026-01-01 #{round}");
            }
            commit
        };
        let (a, b) = (make(), make());
        let ids = [a.run_id, b.run_id];
        let (a, b) = (batch(worker, vec![a]), batch(worker, vec![b]));
        let (a, b) = tokio::join!(one.commit(&a), two.commit(&b));
        match (a.unwrap(), b.unwrap()) {
            (Committed::Applied { .. }, Committed::Refused { runs, .. }) => {
                assert_eq!(runs, [(ids[1], Refusal::KeyTaken)]);
            }
            (Committed::Refused { runs, .. }, Committed::Applied { .. }) => {
                assert_eq!(runs, [(ids[0], Refusal::KeyTaken)]);
            }
            both => panic!("round {round}: {both:?}"),
        }
    }
    two.close().await;
    one.close().await;
}

/// A lane that stops in its decision until it is told to go on.
fn pausing(
    decide: impl FnOnce(Locked) -> Option<updraft_store::RunCommit> + Send + 'static,
) -> (updraft_store::LaneFn, mpsc::Receiver<()>, mpsc::Sender<()>) {
    let (reached, has_reached) = mpsc::channel();
    let (go_on, may_go_on) = mpsc::channel::<()>();
    let paused = move |locked| {
        reached.send(()).unwrap();
        tokio::task::block_in_place(|| may_go_on.recv()).unwrap();
        decide(locked)
    };
    (Box::new(paused), has_reached, go_on)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_batch_does_not_wait_for_a_run_that_a_lane_holds_and_names_it() {
    let Some(fresh) = fresh().await else { return };
    let (one, two) = (fresh.store.clone(), another(&fresh).await);
    let worker = one.register(&worker_info("w")).await.unwrap();
    let (held, free) = (new_run(run_id(), vec![]), new_run(run_id(), vec![]));
    let (in_lane, idle) = ((held.run_id, held.stamp), (free.run_id, free.stamp));
    apply(&one, &batch(worker, vec![held, free])).await;
    let (decide, has_reached, go_on) = pausing(|_| None);
    let lane = tokio::spawn({
        let one = one.clone();
        async move { one.commit_locked(in_lane.0, Lane::Plain, AT, decide).await }
    });
    tokio::task::block_in_place(|| has_reached.recv()).unwrap();
    let start = Instant::now();
    let both = batch(worker, vec![next(in_lane.0, 1, in_lane.1), next(idle.0, 1, idle.1)]);
    let answer = two.commit(&both).await.unwrap();
    assert_eq!(answer, Committed::Refused { runs: vec![(in_lane.0, Refusal::Contended)], worker_inactive: false },);
    assert!(start.elapsed() < Duration::from_secs(2), "it waited");
    apply(&two, &batch(worker, vec![next(idle.0, 1, idle.1)])).await;
    go_on.send(()).unwrap();
    assert_eq!(lane.await.unwrap().unwrap(), LaneOutcome::Nothing);
    apply(&two, &batch(worker, vec![next(in_lane.0, 1, in_lane.1)])).await;
    two.close().await;
    one.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_cancel_sees_the_claim_that_it_waited_for() {
    let Some(fresh) = fresh().await else { return };
    let store = fresh.store.clone();
    let worker = store.register(&worker_info("w")).await.unwrap();
    let run = run_id();
    apply(&store, &batch(worker, vec![new_run(run, vec![work(run, "a", 1), work(run, "b", 1)])])).await;
    // A claim that has written and not yet committed.
    let mut other = PgConnection::connect(fresh.schema.url()).await.unwrap();
    sqlx::raw_sql("BEGIN").execute(&mut other).await.unwrap();
    let claimed = sqlx::query(include_str!("../../queries/claim.sql"))
        .bind(worker.0)
        .bind("q")
        .bind(vec![attempt().0])
        .bind(AT.to_datetime())
        .fetch_all(&mut other)
        .await
        .unwrap();
    let claimed: String = claimed[0].get(1);
    let lane = tokio::spawn({
        let store = store.clone();
        async move {
            let (seen, sees) = mpsc::channel();
            let decide = move |locked: Locked| {
                let commit = next(locked.run.row.facts.run_id, locked.run.row.version, locked.run.row.stamp);
                seen.send((locked.removed, locked.executing)).unwrap();
                Some(commit)
            };
            let outcome = store.commit_locked(run, Lane::Cancel, AT, Box::new(decide)).await.unwrap();
            (outcome, sees.recv().unwrap())
        }
    });
    wait_until_waiting(fresh.schema.url()).await;
    sqlx::raw_sql("COMMIT").execute(&mut other).await.unwrap();
    let (outcome, (removed, executing)) = lane.await.unwrap();
    assert_eq!(outcome, LaneOutcome::Applied);
    let names = |rows: &[updraft_model::record::WorkRow]| -> Vec<String> {
        rows.iter().map(|row| row.dispatch.key.to_string()).collect()
    };
    assert_eq!(names(&executing), [claimed.as_str()]);
    assert_eq!(executing[0].cancel_at, Some(AT));
    assert_eq!(names(&removed), [if claimed == "a" { "b" } else { "a" }]);
    assert_eq!(store.claim(worker, "q", &[attempt()], AT).await.unwrap(), []);
    store.close().await;
}

/// A task run that is being taken from an attempt: what the attempt puts meanwhile waits, and is then refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_value_put_while_its_task_run_is_taken_away_is_refused() {
    let Some(fresh) = fresh().await else { return };
    let store = fresh.store.clone();
    let worker = store.register(&worker_info("w")).await.unwrap();
    let (run, zombie, next) = (run_id(), attempt(), attempt());
    apply(&store, &batch(worker, vec![new_run(run, vec![executing(run, "a", 1, worker, zombie)])])).await;
    let key = TaskStateKey { run_id: run, key: TaskKey::of("a"), generation: 0, name: "n".to_owned() };
    let mut other = PgConnection::connect(fresh.schema.url()).await.unwrap();
    sqlx::raw_sql("BEGIN").execute(&mut other).await.unwrap();
    sqlx::query("UPDATE work SET attempt_id = $1, dispatch_no = 2").bind(next.0).execute(&mut other).await.unwrap();
    let put = tokio::spawn({
        let (store, key) = (store.clone(), key.clone());
        async move { store.put_task_state(&key, zombie, "1").await.unwrap() }
    });
    wait_until_waiting(fresh.schema.url()).await;
    sqlx::raw_sql("COMMIT").execute(&mut other).await.unwrap();
    assert_eq!(put.await.unwrap(), None);
    assert_eq!(store.task_state(&key).await.unwrap(), None);
    assert_eq!(store.put_task_state(&key, next, "2").await.unwrap().as_deref(), Some("2"));
    store.close().await;
}

/// Until some session of the schema waits for a lock.
async fn wait_until_waiting(url: &str) {
    let mut watcher = PgConnection::connect(url).await.unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let waiting: bool = sqlx::query_scalar(
            "SELECT EXISTS (SELECT 1 FROM pg_locks l JOIN pg_locks h ON h.pid = ANY (pg_blocking_pids(l.pid))
             WHERE NOT l.granted AND h.relation = 'work'::regclass)",
        )
        .fetch_one(&mut watcher)
        .await
        .unwrap();
        if waiting {
            return;
        }
        assert!(Instant::now() < deadline, "nobody came to wait");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn claims_that_run_while_a_cancel_decides_get_nothing_of_its_run() {
    let Some(fresh) = fresh().await else { return };
    let (one, two) = (fresh.store.clone(), another(&fresh).await);
    let worker = one.register(&worker_info("w")).await.unwrap();
    let run = run_id();
    let first = new_run(run, vec![work(run, "a", 1), work(run, "b", 1)]);
    apply(&one, &batch(worker, vec![first])).await;
    let (decide, has_reached, go_on) =
        pausing(|locked| Some(next(locked.run.row.facts.run_id, locked.run.row.version, locked.run.row.stamp)));
    let lane = tokio::spawn({
        let one = one.clone();
        async move { one.commit_locked(run, Lane::Cancel, AT, decide).await }
    });
    tokio::task::block_in_place(|| has_reached.recv()).unwrap();
    assert_eq!(two.claim(worker, "q", &[attempt(), attempt()], AT).await.unwrap(), []);
    go_on.send(()).unwrap();
    assert_eq!(lane.await.unwrap().unwrap(), LaneOutcome::Applied);
    assert_eq!(two.claim(worker, "q", &[attempt(), attempt()], AT).await.unwrap(), []);
    two.close().await;
    one.close().await;
}

/// One actor of the random load; returns how many of its commits were applied.
async fn actor(store: PgStore, seed: u64, runs: Vec<RunId>, until: Instant) -> u64 {
    let worker = store.register(&worker_info(&format!("w{seed}"))).await.unwrap();
    let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut draw = move |n: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        usize::try_from(random % n as u64).unwrap()
    };
    let mut applied = 0;
    while Instant::now() < until {
        let failed = match draw(6) {
            0 => store.claim(worker, "q", &[attempt(), attempt(), attempt()], AT).await.err(),
            1 => store.due(AT, 10).await.err(),
            2 | 3 => {
                let chosen: Vec<_> = (0..=draw(4)).map(|_| (runs[draw(runs.len())], None)).collect();
                match store.load(&chosen).await {
                    Ok(loaded) => match store.commit(&hops(worker, loaded)).await {
                        Ok(Committed::Applied { .. }) => {
                            applied += 1;
                            None
                        }
                        Ok(Committed::Refused { .. }) => None,
                        Err(error) => Some(error),
                    },
                    Err(error) => Some(error),
                }
            }
            4 => {
                let decide = move |locked: Locked| {
                    let row = &locked.run.row;
                    let mut commit = next(row.facts.run_id, row.version, row.stamp);
                    // No fence is ever given twice: hops count on from here by one.
                    let number = u32::try_from(row.version).unwrap() * 100;
                    commit.work = ["a", "b", "c", "d"].map(|task| work(row.facts.run_id, task, number)).to_vec();
                    commit.work.retain(|one| !locked.executing.iter().any(|x| x.dispatch.key == one.dispatch.key));
                    Some(commit)
                };
                store.commit_locked(runs[draw(runs.len())], Lane::Cancel, AT, Box::new(decide)).await.err()
            }
            _ => store.commit_locked(runs[draw(runs.len())], Lane::Reap(worker), AT, Box::new(|_| None)).await.err(),
        };
        if let Some(error) = failed {
            let text = error.to_string();
            // A lane may give up waiting (55P03); a deadlock would be 40P01.
            assert!(text.contains("55P03"), "{text}");
        }
    }
    applied
}

/// A batch that ends what executes in these runs and dispatches it again.
fn hops(worker: updraft_model::id::WorkerNo, loaded: Vec<updraft_store::Loaded>) -> updraft_store::Batch {
    let mut commits: Vec<updraft_store::RunCommit> = Vec::new();
    for one in loaded {
        let updraft_store::Loaded::Full(run) = one else { continue };
        let id = run.row.facts.run_id;
        if commits.iter().any(|commit| commit.run_id == id) {
            continue;
        }
        let mut commit = next(id, run.row.version, run.row.stamp);
        for row in run.work.iter().filter(|row| row.place == Place::Executing) {
            let name = row.dispatch.key.task.as_str();
            let number = row.dispatch.dispatch_no;
            commit.ended.push(ended(name, number, row.attempt_id.unwrap()));
            match number % 3 {
                0 => commit.work.push(work(id, name, number + 1)),
                1 => commit.work.push(updraft_model::record::WorkRow {
                    place: Place::Timer,
                    due_at: Some(AT),
                    ..work(id, name, number + 1)
                }),
                _ => commit.work.push(executing(id, name, number + 1, worker, attempt())),
            }
        }
        commits.push(commit);
    }
    batch(worker, commits)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn random_load_of_four_processes_deadlocks_nowhere_and_leaves_a_gap_free_log() {
    let Some(database) = tokio::task::block_in_place(updraft_testkit::postgres::fresh_database).unwrap() else {
        return;
    };
    let store = PgStore::open(database.url()).await.unwrap();
    let worker = store.register(&worker_info("w")).await.unwrap();
    let runs: Vec<RunId> = (0..8).map(|_| run_id()).collect();
    let made = runs.iter().map(|run| new_run(*run, ["a", "b", "c", "d"].map(|task| work(*run, task, 1)).to_vec()));
    apply(&store, &batch(worker, made.collect())).await;
    let until = Instant::now() + Duration::from_secs(4);
    let mut actors = Vec::new();
    for seed in 1..=4 {
        let store = PgStore::open(database.url()).await.unwrap();
        actors.push(tokio::spawn(actor(store, seed, runs.clone(), until)));
    }
    let mut applied = 0;
    for actor in actors {
        applied += actor.await.unwrap();
    }
    assert!(applied > 20, "only {applied} commits were applied");
    store.close().await;
    let mut look = PgConnection::connect(database.url()).await.unwrap();
    let deadlocks: i64 =
        sqlx::query_scalar("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
            .fetch_one(&mut look)
            .await
            .unwrap();
    assert_eq!(deadlocks, 0);
    let torn: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM updraft.run r WHERE r.version <> (SELECT count(*) FROM updraft.run_log g WHERE g.run_id = r.run_id)
             OR r.stamp <> (SELECT stamp FROM updraft.run_log g WHERE g.run_id = r.run_id ORDER BY version DESC LIMIT 1)
             OR r.events <> (SELECT sum(json_array_length(body::json)) FROM updraft.run_log g WHERE g.run_id = r.run_id)",
    )
    .fetch_one(&mut look)
    .await
    .unwrap();
    assert_eq!(torn, 0);
    look.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn other_processes_hear_of_ready_rows_and_cancels_also_after_their_connection_broke() {
    use futures::StreamExt;
    let Some(fresh) = fresh().await else { return };
    let (one, two) = (&fresh.store, another(&fresh).await);
    let worker = one.register(&worker_info("w")).await.unwrap();
    let mut wakes = two.wakes();
    assert_eq!(wakes.next().await, Some(Wake::Everything));
    let run = run_id();
    let a = attempt();
    apply(one, &batch(worker, vec![new_run(run, vec![work(run, "b", 1), executing(run, "a", 1, worker, a)])])).await;
    hear(&mut wakes, &Wake::Queue("q".to_owned())).await;
    let mut admin = PgConnection::connect(fresh.schema.url()).await.unwrap();
    sqlx::query(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE application_name = 'updraft wake' AND query LIKE 'LISTEN%' || current_schema() || '%'",
    )
    .execute(&mut admin)
    .await
    .unwrap();
    hear(&mut wakes, &Wake::Everything).await;
    let decide = |locked: Locked| {
        let row = &locked.run.row;
        let mut commit = next(row.facts.run_id, row.version, row.stamp);
        commit.removed = vec![TaskKey::of("b")];
        Some(commit)
    };
    one.commit_locked(run, Lane::Cancel, AT, Box::new(decide)).await.unwrap();
    hear(&mut wakes, &Wake::Cancel(worker)).await;
    two.close().await;
    one.close().await;
}

async fn hear(wakes: &mut futures::stream::BoxStream<'static, Wake>, wanted: &Wake) {
    use futures::StreamExt;
    let found = tokio::time::timeout(
        Duration::from_secs(20),
        wakes.any(|wake| {
            let found = wake == *wanted;
            async move { found }
        }),
    );
    assert!(found.await.unwrap_or(false), "{wanted:?} was not heard of");
}
