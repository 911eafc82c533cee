//! `kafka.topics`: what is named comes out as named, what is not stays, and a repeat does nothing.

use updraft_task::{Task, TaskError, Verdict};

use super::*;
use crate::kafka::{Action, KafkaTopics, TopicsReport};

async fn ensure(run: &TestRun, topics: Value, dry_run: bool) -> Result<TopicsReport, TaskError> {
    let with = json!({ "topics": topics, "dry_run": dry_run, "timeout_ms": 30_000 });
    KafkaTopics::run(serde_json::from_value(with).unwrap(), &run.context("topics", 1, None)).await
}

async fn described(prefix: &Prefix, topic: &str) -> String {
    let (address, topic) = (prefix.address().clone(), topic.to_owned());
    apart(move || address.tool("org.apache.kafka.tools.TopicCommand", &["--describe", "--topic", &topic], "").unwrap())
        .await
}

/// What was planned, as one line each.
fn lines(report: &TopicsReport) -> Vec<String> {
    let word = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
    let changes = report.topics.iter().flat_map(|topic| &topic.changes);
    changes.map(|change| format!("{} {} {}", change.what, word(&change.from), word(&change.to))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn topics_are_made_grown_and_set_and_a_repeat_changes_nothing() {
    let Some((prefix, servers)) = shared().await else { return };
    let (one, two) = (prefix.of("one"), prefix.of("two"));
    let folder = tempfile::tempdir().unwrap();
    let run = run_at(folder.path(), &servers, &prefix.of("batches"));
    let wanted = json!([
        { "name": one, "partitions": 3, "replication": 1, "config": { "retention.ms": 172_800_000, "min.cleanable.dirty.ratio": 0.50 } },
        { "name": two, "partitions": 1, "config": { "cleanup.policy": "compact" } },
    ]);
    let planned = ensure(&run, wanted.clone(), true).await.unwrap();
    assert_eq!((planned.dry_run, planned.created, planned.changed, planned.unchanged), (true, 2, 0, 0));
    assert!(
        !apart({
            let address = prefix.address().clone();
            let one = one.clone();
            move || address.topics().unwrap().contains(&one)
        })
        .await
    );
    let made = ensure(&run, wanted.clone(), false).await.unwrap();
    assert_eq!((made.created, &made.topics), (2, &planned.topics));
    assert_eq!(lines(&made)[..2], ["partitions - 3", "replication - 1"]);
    let again = ensure(&run, wanted, false).await.unwrap();
    assert_eq!((again.created, again.changed, again.unchanged), (0, 0, 2), "{again:?}");

    // Somebody else's setting stays, one is taken back, one is set, and partitions grow.
    let change = json!([
        { "name": one, "partitions": 5, "config": { "segment.ms": 600_000 } },
        { "name": two, "partitions": 1, "config": { "cleanup.policy": null } },
    ]);
    let planned = ensure(&run, change.clone(), true).await.unwrap();
    assert!(described(&prefix, &one).await.contains("PartitionCount: 3"));
    let changed = ensure(&run, change.clone(), false).await.unwrap();
    assert_eq!((changed.changed, &changed.topics), (2, &planned.topics));
    let expected = ["partitions 3 5", "segment.ms 604800000 600000", "cleanup.policy compact -"];
    assert_eq!(lines(&changed), expected);
    let said = described(&prefix, &one).await;
    for part in ["PartitionCount: 5", "retention.ms=172800000", "segment.ms=600000", "min.cleanable.dirty.ratio=0.5"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(!described(&prefix, &two).await.contains("cleanup.policy"));
    assert_eq!(ensure(&run, change, false).await.unwrap().unchanged, 2);
    assert!(made.topics.iter().all(|topic| topic.action == Action::Created));
    apart(move || drop(prefix)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_done_changes_nothing() {
    let Some((prefix, servers)) = shared().await else { return };
    let (there, new) = (prefix.of("there"), prefix.of("new"));
    prefix.address().create_topic(&there, 3, &[("retention.ms", "1000")]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let run = run_at(folder.path(), &servers, &prefix.of("batches"));
    for (spec, class, part) in [
        (json!({ "name": there, "partitions": 2 }), "CannotChange", "cannot shrink to 2"),
        (json!({ "name": there, "partitions": 3, "replication": 2 }), "CannotChange", "kafka-reassign-partitions"),
        (json!({ "name": there, "partitions": 3, "config": { "retention": 1 } }), "CannotChange", "`retention`"),
        (json!({ "name": there, "partitions": 4, "config": { "retention.ms": "soon" } }), "BadParameters", "soon"),
        (
            json!({ "name": prefix.of("a"), "partitions": 1, "config": { "nonsense": 1 } }),
            "BadParameters",
            "nonsense=1",
        ),
        (json!({ "name": prefix.of("a"), "partitions": 1, "replication": 9 }), "BadParameters", "eplication"),
        (json!({ "name": "a b", "partitions": 1 }), "BadParameters", "a b"),
        (json!({ "name": prefix.of("a"), "partitions": 0 }), "BadParameters", "partitions: 0"),
        (json!({ "name": new, "partitions": 1 }), "BadParameters", "twice"),
    ] {
        let error = ensure(&run, json!([{ "name": new, "partitions": 1 }, spec]), false).await.unwrap_err();
        assert_eq!((error.class(), error.verdict()), (class, &Verdict::Fail), "{error}");
        assert!(error.message().contains(part), "{error}");
    }
    let topics = apart({
        let address = prefix.address().clone();
        move || address.topics().unwrap()
    })
    .await;
    assert!(!topics.contains(&new));
    let said = described(&prefix, &there).await;
    assert!(said.contains("PartitionCount: 3") && said.contains("retention.ms=1000"), "{said}");
    apart(move || drop(prefix)).await;
}
