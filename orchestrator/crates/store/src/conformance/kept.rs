//! Cases of published versions, kept values and the baseline commit.

use updraft_model::id::{MapIndex, RunId, TaskKey};
use updraft_model::record::WorkRow;
use uuid::Uuid;

use super::world::{At, Known, QUEUE, World, after, attempt, dispatched, ended, version_of, work};
use crate::schema::{STATE_BYTES, STATE_NAME_BYTES};
use crate::{Purpose, StoreError, TaskStateKey};

/// Equal by name and sha-256: the same numbers, nothing written twice.
pub async fn publishing_again_gives_the_same_numbers(world: &World) {
    let again = world.store.publish(&version_of("etl", 'a'), world.now()).await.expect("publish");
    assert_eq!(again, world.published);
    let commits = world.store.counters().commits(Purpose::Admin);
    world.store.publish(&version_of("etl", 'a'), world.now()).await.expect("publish");
    assert_eq!(world.store.counters().commits(Purpose::Admin), commits, "nothing was new");
    let newer = world.store.publish(&version_of("etl", 'b'), world.now()).await.expect("publish");
    assert_eq!(newer.workflow_id, world.published.workflow_id);
    assert_ne!(newer.version_id, world.published.version_id);
    let other = world.store.publish(&version_of("other", 'a'), world.now()).await.expect("publish");
    assert_ne!(other.workflow_id, world.published.workflow_id);
    assert_ne!(other.version_id, world.published.version_id);
    let back = world.store.publish(&version_of("etl", 'a'), world.now()).await.expect("publish");
    assert_eq!(back, world.published);
    let view = world.reader.version(newer.version_id).await.expect("version").expect("there");
    let expected = version_of("etl", 'b');
    assert_eq!((view.workflow, view.sha256, view.source), (expected.workflow, expected.sha256, expected.source));
    assert_eq!((view.path, view.compiled), (expected.path, expected.compiled));
    let nothing = updraft_model::id::VersionId(999);
    assert_eq!(world.reader.version(nothing).await.expect("version"), None);
}

/// Many publishers at once make one version.
pub async fn publishing_at_once_makes_one_version(world: &World) {
    let publishes = (0..8).map(|_| async { world.store.publish(&version_of("new", 'c'), world.now()).await });
    let published: Vec<_> =
        futures::future::join_all(publishes).await.into_iter().map(|published| published.expect("publish")).collect();
    assert!(published.iter().all(|one| *one == published[0]), "{published:?}");
}

fn state_key(known: &Known, row: &WorkRow, name: &str) -> TaskStateKey {
    TaskStateKey {
        run_id: known.run,
        key: row.dispatch.key.clone(),
        generation: row.dispatch.generation,
        name: name.to_owned(),
    }
}

/// The first value stands, per task run, generation and name.
pub async fn task_state_is_put_once_a_generation(world: &World) {
    let (known, row) = world.start_executing().await;
    let by = row.attempt_id.expect("it executes");
    let (plan, other) = (state_key(&known, &row, "plan"), state_key(&known, &row, "other"));
    let put = async |key, value| world.store.put_task_state(key, by, value).await.expect("put");
    assert_eq!(world.store.task_state(&plan).await.expect("get"), None);
    assert_eq!(put(&plan, r#"{"a":1}"#).await.as_deref(), Some(r#"{"a":1}"#));
    assert_eq!(put(&plan, r#"{"a":2}"#).await.as_deref(), Some(r#"{"a":1}"#));
    assert_eq!(world.store.task_state(&plan).await.expect("get").as_deref(), Some(r#"{"a":1}"#));
    assert_eq!(world.store.task_state(&other).await.expect("get"), None);
    assert_eq!(put(&other, "3").await.as_deref(), Some("3"));
    let next = TaskStateKey { generation: 1, ..plan.clone() };
    assert_eq!(world.store.task_state(&next).await.expect("get"), None);
    let elsewhere = TaskStateKey { run_id: RunId(Uuid::now_v7()), ..plan.clone() };
    assert_eq!(world.store.task_state(&elsewhere).await.expect("get"), None);
    let instance = TaskKey { map_index: MapIndex(0), ..plan.key.clone() };
    assert_eq!(world.store.task_state(&TaskStateKey { key: instance, ..plan }).await.expect("get"), None);
}

/// Of many values put at one time one stands, and everyone is told which.
pub async fn of_many_task_states_one_stands(world: &World) {
    let (known, row) = world.start_executing().await;
    let (key, by) = (state_key(&known, &row, "n"), row.attempt_id.expect("it executes"));
    let key = &key;
    let puts = (0..8).map(|n: u32| async move {
        world.store.put_task_state(key, by, &n.to_string()).await.expect("put").expect("ours")
    });
    let answers = futures::future::join_all(puts).await;
    let stands = world.store.task_state(key).await.expect("get").expect("there");
    assert!(answers.iter().all(|answer| *answer == stands), "{answers:?}, and {stands} stands");
}

/// Only the attempt that executes a task run puts anything; what its forerunners put, it finds.
pub async fn task_state_is_put_by_the_attempt_that_executes(world: &World) {
    let (known, row) = world.start_executing().await;
    let (first, plan) = (row.attempt_id.expect("it executes"), state_key(&known, &row, "plan"));
    let late = state_key(&known, &row, "late");
    let anew = TaskStateKey { generation: 1, ..plan.clone() };
    let elsewhere = TaskStateKey { key: TaskKey::of("b"), ..plan.clone() };
    let put = async |key, by| world.store.put_task_state(key, by, &by.to_string()).await.expect("put");
    assert_eq!(put(&plan, attempt()).await, None, "nobody knows this attempt");
    assert_eq!(put(&anew, first).await, None, "of another generation");
    assert_eq!(put(&elsewhere, first).await, None, "of another task");
    assert_eq!(put(&plan, first).await, Some(first.to_string()));
    // Taken from it, and ready for the next one: nobody executes it.
    let mut commit = world.next(known);
    commit.ended.push(ended(&row));
    let mut ready = work(known.run, "a", At::Ready(1), world.now());
    ready.dispatch.dispatch_no = 2;
    commit.events.push(dispatched(&ready));
    commit.work.push(ready);
    let known = after(&commit);
    world.apply(&world.batch(vec![commit])).await;
    assert_eq!(put(&late, first).await, None, "it waits to be claimed");
    let second = attempt();
    let claimed = world.store.claim(world.worker, QUEUE, &[second], world.now()).await.expect("claim");
    let row = claimed.first().expect("it was ready");
    assert_eq!(put(&late, first).await, None, "another attempt executes it");
    assert_eq!(put(&plan, first).await, None, "even what stands is not said to be its own");
    assert_eq!(put(&plan, second).await, Some(first.to_string()), "what the first one put stands");
    assert_eq!(put(&late, second).await, Some(second.to_string()));
    let mut commit = world.next(known);
    world.end(&mut commit, row);
    world.apply(&world.batch(vec![commit])).await;
    assert_eq!(put(&state_key(&known, row, "after"), second).await, None, "it is over");
    assert_eq!(world.store.task_state(&late).await.expect("get"), Some(second.to_string()));
}

/// Compare-and-set by version, from 1.
pub async fn shared_state_is_compared_and_set(world: &World) {
    let (store, at) = (&world.store, world.now());
    assert_eq!(store.shared_state("opensky", "hold").await.expect("get"), None);
    assert!(!store.set_shared_state("opensky", "hold", "x", 1, at).await.expect("set"), "there is no version 1");
    assert!(store.set_shared_state("opensky", "hold", "a", 0, at).await.expect("set"));
    assert!(!store.set_shared_state("opensky", "hold", "b", 0, at).await.expect("set"), "it exists");
    assert_eq!(store.shared_state("opensky", "hold").await.expect("get"), Some(("a".to_owned(), 1)));
    assert!(store.set_shared_state("opensky", "hold", "c", 1, at).await.expect("set"));
    assert!(!store.set_shared_state("opensky", "hold", "d", 1, at).await.expect("set"), "it moved on");
    assert_eq!(store.shared_state("opensky", "hold").await.expect("get"), Some(("c".to_owned(), 2)));
    assert_eq!(store.shared_state("other", "hold").await.expect("get"), None);
}

/// Of many at once exactly one sets it.
pub async fn of_many_setters_one_wins(world: &World) {
    let at = world.now();
    let sets = (0..8)
        .map(|n| async move { world.store.set_shared_state("s", "k", &n.to_string(), 0, at).await.expect("set") });
    let won = futures::future::join_all(sets).await;
    assert_eq!(won.iter().filter(|won| **won).count(), 1);
    let (value, version) = world.store.shared_state("s", "k").await.expect("get").expect("there");
    assert_eq!((won[value.parse::<usize>().expect("a number")], version), (true, 1));
}

/// At the limit it is kept, over it or with a NUL it is refused, and nothing is written.
pub async fn kept_values_have_a_limit(world: &World) {
    let full = "ü".repeat(STATE_BYTES / 2);
    let (known, row) = world.start_executing().await;
    let (key, by) = (state_key(&known, &row, "big"), row.attempt_id.expect("it executes"));
    for bad in [format!("{full}x"), "a\0b".to_owned()] {
        let put = world.store.put_task_state(&key, by, &bad).await;
        assert!(matches!(put, Err(StoreError::Rejected(_))), "{put:?}");
        let set = world.store.set_shared_state("s", "big", &bad, 0, world.now()).await;
        assert!(matches!(set, Err(StoreError::Rejected(_))), "{set:?}");
    }
    for name in ["n".repeat(STATE_NAME_BYTES + 1), "a\0b".to_owned()] {
        let put = world.store.put_task_state(&TaskStateKey { name, ..key.clone() }, by, "1").await;
        assert!(matches!(put, Err(StoreError::Rejected(_))), "{put:?}");
    }
    assert_eq!(world.store.task_state(&key).await.expect("get"), None);
    assert_eq!(world.store.shared_state("s", "big").await.expect("get"), None);
    assert_eq!(world.store.put_task_state(&key, by, &full).await.expect("put").as_ref(), Some(&full));
    assert!(world.store.set_shared_state("s", "big", &full, 0, world.now()).await.expect("set"));
    let long = TaskStateKey { name: "n".repeat(STATE_NAME_BYTES), ..key };
    assert_eq!(world.store.put_task_state(&long, by, "1").await.expect("put").as_deref(), Some("1"));
}

/// One commit, one round trip, under its own purpose.
pub async fn a_bare_commit_is_counted_as_the_baseline(world: &World) {
    let before = world.store.counters().snapshot();
    for _ in 0..3 {
        world.store.bare_commit().await.expect("bare commit");
    }
    let mut expected = before;
    expected.insert("bench", (3, 3));
    assert_eq!(world.store.counters().snapshot(), expected);
}
