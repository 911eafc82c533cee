//! Cases of `claim`, `due` and `next_due`: dispatch-owned rows that move without touching their run.

use std::collections::HashSet;

use updraft_model::id::AttemptId;
use updraft_model::record::WorkRow;
use updraft_model::state::Place;
use updraft_model::time::Timestamp;

use super::world::{At, QUEUE, World, attempt, work};
use crate::{NextDue, Purpose};

fn names(rows: &[WorkRow]) -> Vec<String> {
    rows.iter().map(|row| row.dispatch.key.to_string()).collect()
}

/// Best rank first, then the key; the first id to the first row; columns of an executing row.
pub async fn claims_go_by_rank_and_then_by_key(world: &World) {
    let known = world
        .start(|run| {
            [("c", 5), ("b", 5), ("a", 9), ("d", -1)]
                .map(|(task, rank)| work(run, task, At::Ready(rank), world.now()))
                .into()
        })
        .await;
    let ids: Vec<AttemptId> = (0..3).map(|_| attempt()).collect();
    let at = world.now();
    let claimed = world.store.claim(world.worker, QUEUE, &ids, at).await.expect("claim");
    assert_eq!(names(&claimed), ["d", "b", "c"]);
    for (row, id) in claimed.iter().zip(&ids) {
        assert_eq!((row.place, row.worker_no, row.attempt_id), (Place::Executing, Some(world.worker), Some(*id)));
        assert_eq!((row.claimed_at, row.due_at, row.cancel_at), (Some(at), None, None));
    }
    let loaded = world.full(known.run).await;
    assert_eq!((loaded.row.version, loaded.row.stamp), (known.version, known.stamp), "a claim touched its run");
    let left: Vec<_> = loaded.work.iter().filter(|row| row.place == Place::Ready).cloned().collect();
    assert_eq!(names(&left), ["a"]);
}

/// Rows of other queues, timers and executing rows stay.
pub async fn a_claim_takes_only_ready_rows_of_its_queue(world: &World) {
    world
        .start(|run| {
            let other = WorkRow { queue: "other".to_owned(), ..work(run, "other", At::Ready(0), world.now()) };
            vec![
                other,
                work(run, "timer", At::Timer(world.now()), world.now()),
                work(run, "busy", At::Executing(world.worker, attempt()), world.now()),
            ]
        })
        .await;
    assert_eq!(world.store.claim(world.worker, QUEUE, &[attempt()], world.now()).await.expect("claim"), []);
    let claimed = world.store.claim(world.worker, "other", &[attempt(), attempt()], world.now()).await.expect("claim");
    assert_eq!(names(&claimed), ["other"]);
    assert_eq!(world.store.claim(world.worker, "other", &[], world.now()).await.expect("claim"), []);
}

/// Every row goes to exactly one of eight claimers at once.
pub async fn claims_at_once_are_disjoint(world: &World) {
    const ROWS: usize = 100;
    world.start(|run| (0..ROWS).map(|n| work(run, &format!("t{n:03}"), At::Ready(0), world.now())).collect()).await;
    let claims = (0..8).map(|_| async {
        let mut mine = Vec::new();
        loop {
            let ids: Vec<AttemptId> = (0..7).map(|_| attempt()).collect();
            let claimed = world.store.claim(world.worker, QUEUE, &ids, world.now()).await.expect("claim");
            if claimed.is_empty() {
                return mine;
            }
            mine.extend(names(&claimed));
        }
    });
    let all: Vec<String> = futures::future::join_all(claims).await.into_iter().flatten().collect();
    assert_eq!(all.len(), ROWS);
    assert_eq!(all.into_iter().collect::<HashSet<_>>().len(), ROWS);
}

/// Left, condemned, or never there.
pub async fn an_inactive_worker_claims_nothing(world: &World) {
    world.start(|run| vec![work(run, "a", At::Ready(0), world.now())]).await;
    world.store.leave(world.worker).await.expect("leave");
    assert_eq!(world.store.claim(world.worker, QUEUE, &[attempt()], world.now()).await.expect("claim"), []);
    let nobody = updraft_model::id::WorkerNo(999);
    assert_eq!(world.store.claim(nobody, QUEUE, &[attempt()], world.now()).await.expect("claim"), []);
}

/// An idle installation does nothing: looking is not writing.
pub async fn looking_for_work_in_vain_is_no_commit(world: &World) {
    let counters = world.store.counters();
    let before = counters.snapshot();
    world.store.claim(world.worker, QUEUE, &[attempt()], world.now()).await.expect("claim");
    world.store.due(world.now(), 10).await.expect("due");
    world.store.next_due(&[QUEUE.to_owned()]).await.expect("next due");
    let polled = before["poll"];
    let after = counters.snapshot();
    assert_eq!(after["poll"], (polled.0, polled.1 + 3));
    assert_eq!(after["engine"], before["engine"]);
    assert_eq!(counters.commits(Purpose::Read), 0);
}

/// In the order of their instants, at most `limit`; the rank stays; what lies in the future stays.
pub async fn timers_become_ready_when_they_are_due(world: &World) {
    let at = |millis: i64| Timestamp::from_millis(1_900_000_000_000 + millis);
    let known = world
        .start(|run| {
            [("late", 300), ("first", 100), ("second", 200), ("future", 9000)]
                .map(|(task, millis)| WorkRow { rank: millis, ..work(run, task, At::Timer(at(millis)), world.now()) })
                .into()
        })
        .await;
    assert_eq!(world.store.due(at(99), 10).await.expect("due"), 0);
    assert_eq!(world.store.due(at(300), 2).await.expect("due"), 2);
    let places: Vec<(String, Place, i64)> = world
        .full(known.run)
        .await
        .work
        .iter()
        .map(|row| (row.dispatch.key.to_string(), row.place, row.rank))
        .collect();
    let expected = [
        ("first", Place::Ready, 100),
        ("future", Place::Timer, 9000),
        ("late", Place::Timer, 300),
        ("second", Place::Ready, 200),
    ]
    .map(|(task, place, rank)| (task.to_owned(), place, rank));
    assert_eq!(places, expected);
    assert_eq!(world.store.due(at(300), 10).await.expect("due"), 1);
    assert_eq!(world.store.due(at(300), 10).await.expect("due"), 0);
}

/// The earliest timer of all, the best rank of the asked queues.
pub async fn next_due_names_the_earliest_of_everything(world: &World) {
    let asked = [QUEUE.to_owned(), "second".to_owned()];
    assert_eq!(world.store.next_due(&asked).await.expect("next due"), NextDue::default());
    let (soon, later) = (world.now(), world.now());
    world
        .start(|run| {
            let in_queue = |task: &str, queue: &str, rank| WorkRow {
                queue: queue.to_owned(),
                ..work(run, task, At::Ready(rank), world.now())
            };
            vec![
                work(run, "t1", At::Timer(later), world.now()),
                work(run, "t2", At::Timer(soon), world.now()),
                in_queue("a", QUEUE, 50),
                in_queue("b", "second", 40),
                in_queue("c", "not asked", 1),
            ]
        })
        .await;
    let next = world.store.next_due(&asked).await.expect("next due");
    assert_eq!(next, NextDue { timer: Some(soon), ready: Some(40) });
    let next = world.store.next_due(&[]).await.expect("next due");
    assert_eq!(next, NextDue { timer: Some(soon), ready: None });
}
