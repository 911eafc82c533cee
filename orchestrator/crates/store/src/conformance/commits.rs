//! Cases of `commit`: what is written, what is refused, and that a refused batch writes nothing.

use updraft_model::id::Stamp;
use uuid::Uuid;

use super::world::{At, World, after, attempt, work};
use crate::{Expected, Purpose, Refusal};

/// Facts, projection, log, work: what went in comes out.
pub async fn a_new_run_is_written_with_all_its_rows(world: &World) {
    let commit = world.new_run(|run| {
        vec![
            work(run, "a", At::Executing(world.worker, attempt()), world.now()),
            work(run, "b", At::Ready(7), world.now()),
            work(run, "c", At::Timer(world.now()), world.now()),
        ]
    });
    let batch = world.batch(vec![commit.clone()]);
    assert_eq!(world.apply(&batch).await, []);
    let loaded = world.full(commit.run_id).await;
    let Expected::New(facts) = &commit.expected else { unreachable!("it was made as new") };
    assert_eq!(loaded.row.facts, **facts);
    assert_eq!(loaded.row.projection, commit.run);
    assert_eq!((loaded.row.version, loaded.row.stamp), (1, commit.stamp));
    assert_eq!(loaded.events, commit.events.len() as u64);
    assert_eq!(loaded.work, commit.work);
    assert_eq!((loaded.task_runs, loaded.only), (vec![], None));
    let history = world.reader.history(commit.run_id, 0).await.expect("history");
    assert_eq!(history.len(), 1);
    assert_eq!((history[0].version, history[0].at, history[0].actor.as_str()), (1, batch.at, "cli:test"));
    assert_eq!(history[0].events, commit.events);
}

/// Another run with the same key in the same workflow, and the same run again.
pub async fn a_taken_run_key_writes_nothing(world: &World) {
    let first = world.new_run(|_| vec![]);
    world.apply(&world.batch(vec![first.clone()])).await;
    let mut second = world.new_run(|run| vec![work(run, "a", At::Ready(0), world.now())]);
    if let (Expected::New(second), Expected::New(first)) = (&mut second.expected, &first.expected) {
        second.run_key.clone_from(&first.run_key);
    }
    let good = world.new_run(|_| vec![]);
    let runs = [first.run_id, second.run_id, good.run_id];
    let batch = world.batch(vec![good, second.clone()]);
    assert_eq!(world.refused(&batch, &runs).await, (vec![(second.run_id, Refusal::KeyTaken)], false));
    let batch = world.batch(vec![first.clone()]);
    assert_eq!(world.refused(&batch, &runs).await, (vec![(first.run_id, Refusal::KeyTaken)], false));
}

/// Attempt, task run, work and log of one hop.
pub async fn a_hop_ends_an_attempt_and_dispatches_the_next(world: &World) {
    let (known, a) = world.start_executing().await;
    let (hop, b) = world.hop(known, &a, "b");
    let batch = world.batch(vec![hop.clone()]);
    world.apply(&batch).await;
    let detail = world.reader.detail(known.run).await.expect("detail").expect("the run is there");
    assert_eq!(detail.work, [b]);
    assert_eq!(detail.task_runs, hop.task_runs);
    assert_eq!((detail.run.row.version, detail.run.row.stamp), (2, hop.stamp));
    let attempt = &detail.attempts[0];
    assert_eq!(detail.attempts.len(), 1);
    assert_eq!((attempt.worker_no, attempt.claimed_at, attempt.ended_at), (a.worker_no, a.claimed_at, batch.at));
    assert_eq!((&attempt.output, attempt.attempt_id), (&hop.ended[0].output, hop.ended[0].attempt_id));
    assert_eq!((attempt.try_no, attempt.generation, attempt.dispatch_no), (1, 0, 1));
}

/// Promise 4: the counters say so.
pub async fn a_chain_of_hops_costs_one_commit_and_one_round_trip_each(world: &World) {
    let (mut known, mut row) = world.start_executing().await;
    let counters = world.store.counters();
    let before = (counters.commits(Purpose::Engine), counters.round_trips(Purpose::Engine));
    for n in 0..20 {
        let (hop, next) = world.hop(known, &row, &format!("t{n}"));
        world.apply(&world.batch(vec![hop.clone()])).await;
        (known, row) = (after(&hop), next);
    }
    let spent = (counters.commits(Purpose::Engine) - before.0, counters.round_trips(Purpose::Engine) - before.1);
    assert_eq!(spent, (20, 20));
}

/// Somebody else's commit came first.
pub async fn a_stale_version_writes_nothing(world: &World) {
    let (known, a) = world.start_executing().await;
    let other = world.next(known);
    world.apply(&world.batch(vec![other])).await;
    let (hop, _) = world.hop(known, &a, "b");
    let answer = world.refused(&world.batch(vec![hop]), &[known.run]).await;
    assert_eq!(answer, (vec![(known.run, Refusal::Contended)], false));
}

/// F3: a history that forked.
pub async fn the_right_version_with_a_wrong_stamp_writes_nothing(world: &World) {
    let (known, a) = world.start_executing().await;
    let (mut hop, _) = world.hop(known, &a, "b");
    hop.expected = Expected::At { version: known.version, stamp: Stamp(Uuid::new_v4()) };
    let answer = world.refused(&world.batch(vec![hop]), &[known.run]).await;
    assert_eq!(answer, (vec![(known.run, Refusal::Contended)], false));
}
