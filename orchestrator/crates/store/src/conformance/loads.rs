//! Cases of `load` and `outcome`: what somebody who knows a run at a version must hear.

use updraft_model::id::{RunId, Stamp};
use uuid::Uuid;

use super::world::{Known, World, after};
use crate::{Loaded, LogEntry, RunCommit};

/// Commits `n` times; says every state on the way, the first one too.
async fn advance(world: &World, from: Known, n: usize) -> (Vec<Known>, Vec<RunCommit>) {
    let (mut states, mut commits) = (vec![from], Vec::new());
    for _ in 0..n {
        let mut commit = world.next(states[states.len() - 1]);
        commit.events.push(updraft_model::event::Event::RunRepaired { by: format!("ü{}", commits.len()) });
        world.apply(&world.batch(vec![commit.clone()])).await;
        states.push(after(&commit));
        commits.push(commit);
    }
    (states, commits)
}

async fn load(world: &World, known: Known) -> Loaded {
    let mut loaded = world.store.load(&[(known.run, Some((known.version, known.stamp)))]).await.expect("load");
    assert_eq!(loaded.len(), 1);
    loaded.remove(0)
}

/// The known state is still true.
pub async fn a_run_that_did_not_move_is_unchanged(world: &World) {
    let (known, _) = world.start_executing().await;
    assert_eq!(load(world, known).await, Loaded::Unchanged(known.run));
    // A claim or a timer is no event: it invalidates nothing.
    world.store.due(world.now(), 10).await.expect("due");
    assert_eq!(load(world, known).await, Loaded::Unchanged(known.run));
}

/// Oldest first, directly on the known stamp.
pub async fn a_run_slightly_behind_gets_its_tail(world: &World) {
    let (known, _) = world.start_executing().await;
    let (states, commits) = advance(world, known, 3).await;
    let Loaded::Tail(run, tail) = load(world, states[1]).await else { panic!("expected a tail") };
    assert_eq!((run, tail.len()), (known.run, 2));
    for (entry, (state, commit)) in tail.iter().zip(states[2..].iter().zip(&commits[1..])) {
        let LogEntry { version, stamp, at: _, actor, events } = entry;
        assert_eq!((*version, *stamp), (state.version, state.stamp));
        assert_eq!((actor, events), (&commit.actor, &commit.events));
    }
}

/// 64 rows are a tail, 65 are not.
pub async fn a_run_far_behind_gets_everything(world: &World) {
    let (known, _) = world.start_executing().await;
    let (states, _) = advance(world, known, 65).await;
    let Loaded::Tail(_, tail) = load(world, states[1]).await else { panic!("expected a tail") };
    assert_eq!(tail.len(), 64);
    let Loaded::Full(full) = load(world, states[0]).await else { panic!("expected everything") };
    assert_eq!(*full, world.full(known.run).await);
    assert_eq!((full.row.version, full.row.stamp), (66, states[65].stamp));
    assert_eq!(full.events, 2 + 1 + 65);
}

/// F3: the same version under another stamp is another history.
pub async fn a_forked_history_gets_everything(world: &World) {
    let (known, _) = world.start_executing().await;
    advance(world, known, 2).await;
    for version in [1, 2, 3] {
        let forked = Known { version, stamp: Stamp(Uuid::new_v4()), ..known };
        assert!(matches!(load(world, forked).await, Loaded::Full(_)), "at version {version}");
    }
    let future = Known { version: 9, ..known };
    assert!(matches!(load(world, future).await, Loaded::Full(_)), "a version that this history lost");
}

/// In the order of the question; a run that is not there is missing, known or not.
pub async fn answers_come_in_the_order_of_the_question(world: &World) {
    let (a, _) = world.start_executing().await;
    let (b, _) = world.start_executing().await;
    let nobody = RunId(Uuid::now_v7());
    let question = [
        (b.run, None),
        (nobody, None),
        (a.run, Some((a.version, a.stamp))),
        (nobody, Some((1, a.stamp))),
        (b.run, Some((b.version, b.stamp))),
    ];
    let answers = world.store.load(&question).await.expect("load");
    assert!(matches!(&answers[0], Loaded::Full(full) if full.row.facts.run_id == b.run));
    assert_eq!(answers[1], Loaded::Missing(nobody));
    assert_eq!(answers[2], Loaded::Unchanged(a.run));
    assert_eq!(answers[3], Loaded::Missing(nobody));
    assert_eq!(answers[4], Loaded::Unchanged(b.run));
    assert_eq!(world.store.load(&[]).await.expect("load"), []);
}

/// F8: after a broken connection, this tells.
pub async fn an_outcome_tells_whether_a_commit_was_applied(world: &World) {
    let (known, _) = world.start_executing().await;
    let (states, _) = advance(world, known, 2).await;
    for state in &states {
        assert!(world.store.outcome(state.run, state.version, state.stamp).await.expect("outcome"));
        let other = Stamp(Uuid::new_v4());
        assert!(!world.store.outcome(state.run, state.version, other).await.expect("outcome"));
    }
    assert!(!world.store.outcome(known.run, 9, states[2].stamp).await.expect("outcome"));
    assert!(!world.store.outcome(RunId(Uuid::now_v7()), 1, known.stamp).await.expect("outcome"));
}
