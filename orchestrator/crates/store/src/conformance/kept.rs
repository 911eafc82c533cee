//! Cases of published versions, kept values and the baseline commit.

use updraft_model::id::{RunId, TaskKey};
use uuid::Uuid;

use super::world::{World, version_of};
use crate::schema::STATE_BYTES;
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

/// The first value stands, per task run, generation and name.
pub async fn task_state_is_put_once_a_generation(world: &World) {
    let key = |name: &str, generation| TaskStateKey {
        run_id: world.published_run(),
        key: TaskKey::of("a"),
        generation,
        name: name.to_owned(),
    };
    let (plan, other, next) = (key("plan", 0), key("other", 0), key("plan", 1));
    assert_eq!(world.store.task_state(&plan).await.expect("get"), None);
    assert_eq!(world.store.put_task_state(&plan, r#"{"a":1}"#).await.expect("put"), r#"{"a":1}"#);
    assert_eq!(world.store.put_task_state(&plan, r#"{"a":2}"#).await.expect("put"), r#"{"a":1}"#);
    assert_eq!(world.store.task_state(&plan).await.expect("get").as_deref(), Some(r#"{"a":1}"#));
    assert_eq!(world.store.task_state(&other).await.expect("get"), None);
    assert_eq!(world.store.put_task_state(&next, "3").await.expect("put"), "3");
    let elsewhere = TaskStateKey { run_id: RunId(Uuid::now_v7()), ..plan };
    assert_eq!(world.store.task_state(&elsewhere).await.expect("get"), None);
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
    let key =
        TaskStateKey { run_id: world.published_run(), key: TaskKey::of("a"), generation: 0, name: "big".to_owned() };
    for bad in [format!("{full}x"), "a\0b".to_owned()] {
        let put = world.store.put_task_state(&key, &bad).await;
        assert!(matches!(put, Err(StoreError::Rejected(_))), "{put:?}");
        let set = world.store.set_shared_state("s", "big", &bad, 0, world.now()).await;
        assert!(matches!(set, Err(StoreError::Rejected(_))), "{set:?}");
    }
    assert_eq!(world.store.task_state(&key).await.expect("get"), None);
    assert_eq!(world.store.shared_state("s", "big").await.expect("get"), None);
    assert_eq!(world.store.put_task_state(&key, &full).await.expect("put"), full);
    assert!(world.store.set_shared_state("s", "big", &full, 0, world.now()).await.expect("set"));
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
