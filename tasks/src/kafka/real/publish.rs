//! `kafka.publish`: what is committed is there once, whatever happens to attempts and brokers.

use std::pin::pin;

use updraft_task::{Dataset, Task, TaskError, Verdict};
use updraft_testkit::services::kafka::Address;

use super::*;
use crate::kafka::{KafkaPublish, PublishReport};

async fn publish(
    run: &TestRun,
    (task, try_no): (&str, u32),
    topic: &str,
    (input, more): (&Dataset, Value),
) -> Result<PublishReport, TaskError> {
    let mut with = json!({ "input": input, "topic": topic, "key": "icao24" });
    with.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
    KafkaPublish::run(serde_json::from_value(with).unwrap(), &run.context(task, try_no, None)).await
}

/// Blocks until the topic has this many records (and fewer than `below`), those of open transactions included.
fn wait_for(address: &Address, topic: &str, (least, below): (i64, usize)) {
    let count = || address.end_offsets(topic).map_or(0, |ends| ends.iter().sum::<i64>());
    while count() < least {
        std::thread::sleep(Duration::from_millis(2));
    }
    let found = count();
    assert!(usize::try_from(found).unwrap() < below, "{found} of {below} records are there: this is not the middle");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_is_published_once_whoever_publishes_it_and_other_batches_are_not_held_back() {
    let Some((prefix, servers)) = shared().await else { return };
    let (topic, batches) = (prefix.of("flights"), prefix.of("batches"));
    prefix.address().create_topic(&topic, 3, &[]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let run = run_at(folder.path(), &servers, &batches);
    let input = rows(&run, (500, 0), "w/a/europe").await;
    let with = json!({ "schema": "flight_state", "schema_version": 2, "headers": { "source": "test" } });

    let first = publish(&run, (&prefix.of("one"), 1), &topic, (&input, with.clone())).await.unwrap();
    assert_eq!((first.sent, first.repeated, first.batches.as_slice()), (500, 0, &["w/a/europe".to_owned()][..]));
    let committed = records(&servers, &topic, Isolation::Committed).await;
    for record in &committed {
        let header = |name: &str| record.headers[name].as_str();
        assert_eq!((header("schema"), header("batch_id"), header("source")), ("flight_state/2", "w/a/europe", "test"));
        assert_eq!((header("fence"), header("traceparent").len()), ("1", 55));
        assert_eq!(record.value.as_ref().unwrap()["icao24"].as_str(), record.key.as_deref());
    }
    assert_eq!(first.partitions.len(), 3);
    for (number, part) in &first.partitions {
        let of: Vec<_> = committed.iter().filter(|record| record.partition.to_string() == *number).collect();
        let (low, high) = (of.first().unwrap().offset, of.last().unwrap().offset);
        assert_eq!((part.records, part.first_offset, part.last_offset), (of.len() as u64, low, high));
    }

    // Another run of the interval: another transactional id, the same batch.
    let again = publish(&run, (&prefix.of("two"), 1), &topic, (&input, with.clone())).await.unwrap();
    assert_eq!(again, PublishReport { repeated: 1, ..first });
    let other = rows(&run, (20, 0), "w/b/europe").await;
    assert_eq!(publish(&run, (&prefix.of("two"), 2), &topic, (&other, with)).await.unwrap().sent, 20);
    assert_eq!(counted(&records(&servers, &topic, Isolation::All).await), (520, 500));
    assert_eq!(counted(&records(&servers, &batches, Isolation::Committed).await), (2, 2));
    let configs = "--describe --topic";
    let arguments: Vec<String> = configs.split(' ').map(str::to_owned).chain([batches.clone()]).collect();
    let address = prefix.address().clone();
    let said = apart(move || {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        address.tool("org.apache.kafka.tools.TopicCommand", &arguments, "").unwrap()
    })
    .await;
    assert!(said.contains("cleanup.policy=compact"), "{said}");
    apart(move || drop(prefix)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_attempt_that_was_taken_for_dead_is_fenced_and_nothing_of_it_is_read() {
    const ROWS: usize = 60_000;
    let Some((prefix, servers)) = shared().await else { return };
    let (topic, batches, task) = (prefix.of("flights"), prefix.of("batches"), prefix.of("publish"));
    prefix.address().create_topic(&topic, 3, &[]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let run = run_at(folder.path(), &servers, &batches);
    let input = rows(&run, (ROWS, 0), "w/a/europe").await;

    let address = prefix.address().clone();
    let mut seen = tokio::task::spawn_blocking({
        let topic = topic.clone();
        move || wait_for(&address, &topic, (1_000, ROWS))
    });
    let mut zombie = pin!(publish(&run, (&task, 1), &topic, (&input, json!({}))));
    tokio::select! {
        seen = &mut seen => seen.unwrap(),
        early = &mut zombie => panic!("{early:?}"),
    }
    // From here on it is not polled: it hangs, while its producer still holds the transaction open.
    let second = publish(&run, (&task, 2), &topic, (&input, json!({}))).await.unwrap();
    assert_eq!((second.sent, second.repeated), (ROWS as u64, 0));
    let fenced = zombie.await.unwrap_err();
    assert_eq!((fenced.class(), fenced.verdict()), ("ProducerFenced", &Verdict::Retry { after: None }), "{fenced}");

    let committed = records(&servers, &topic, Isolation::Committed).await;
    assert_eq!(counted(&committed), (ROWS, ROWS));
    assert!(committed.iter().all(|record| record.headers["fence"] == "2"));
    let all = records(&servers, &topic, Isolation::All).await;
    assert!(all.iter().any(|record| record.headers["fence"] == "1"), "the zombie's records do lie there");
    assert_eq!(counted(&records(&servers, &batches, Isolation::Committed).await), (1, 1));
    // A third attempt, as after a lost answer, finds the report.
    let third = publish(&run, (&task, 3), &topic, (&input, json!({}))).await.unwrap();
    assert_eq!(third, PublishReport { repeated: 1, ..second });
    apart(move || drop(prefix)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_attempt_leaves_neither_records_nor_dead_letters_and_the_next_one_sends_all() {
    const ROWS: usize = 60_000;
    let Some((prefix, servers)) = shared().await else { return };
    let (topic, dead, batches) = (prefix.of("flights"), prefix.of("flights.dlq"), prefix.of("batches"));
    let task = prefix.of("publish");
    prefix.address().create_topic(&topic, 3, &[]).unwrap();
    prefix.address().create_topic(&dead, 1, &[]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let stopped = run_at(folder.path(), &servers, &batches);
    let input = rows(&stopped, (ROWS, 10), "w/a/europe").await;
    let with = json!({ "dead_letter": dead });

    let address = prefix.address().clone();
    let mut seen = tokio::task::spawn_blocking({
        let topic = topic.clone();
        move || wait_for(&address, &topic, (1_000, ROWS))
    });
    let mut first = pin!(publish(&stopped, (&task, 1), &topic, (&input, with.clone())));
    tokio::select! {
        seen = &mut seen => seen.unwrap(),
        early = &mut first => panic!("{early:?}"),
    }
    stopped.cancel();
    assert_eq!(first.await.unwrap_err().class(), "Cancelled");
    // The transaction is over, not left to its time limit: what is committed reaches to the end.
    for topic in [&topic, &dead] {
        let all = marks(&servers, topic, Isolation::All).await;
        assert!(all.iter().any(|marks| marks.high > 0));
        assert_eq!(marks(&servers, topic, Isolation::Committed).await, all);
        assert_eq!(counted(&records(&servers, topic, Isolation::Committed).await), (0, 0));
    }

    let again = run_at(folder.path(), &servers, &batches);
    let report = publish(&again, (&task, 2), &topic, (&input, with)).await.unwrap();
    assert_eq!((report.sent, report.dlq, report.repeated), (ROWS as u64 - 10, 10, 0));
    assert_eq!(counted(&records(&servers, &topic, Isolation::Committed).await), (ROWS - 10, ROWS - 10));
    let dead = records(&servers, &dead, Isolation::Committed).await;
    assert_eq!(dead.len(), 10);
    assert!(dead.iter().all(|record| record.value.as_ref().unwrap()["check"] == "key"));
    apart(move || drop(prefix)).await;
}

/// Publishes until it is done, as the engine's retries would; answers the report and the number of attempts.
async fn publish_stubbornly(run: &TestRun, topic: &str, (input, with): (&Dataset, Value)) -> (PublishReport, u32) {
    for try_no in 1..=5 {
        match publish(run, ("publish", try_no), topic, (input, with.clone())).await {
            Ok(report) => return (report, try_no),
            Err(error) => {
                assert!(matches!(error.class(), "Broker" | "ProducerFenced" | "Fatal"), "{error}");
                assert_eq!(error.verdict(), &Verdict::Retry { after: None });
            }
        }
    }
    panic!("five attempts were not enough");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_killed_in_the_middle_of_a_hundred_thousand_records_loses_and_doubles_none() {
    let Some((mut broker, servers)) = own().await else { return };
    broker.address().create_topic("flights", 3, &[]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let run = run_at(folder.path(), &servers, "updraft.batches");
    let input = rows(&run, (100_000, 0), "w/a/europe").await;
    let outage = tokio::task::spawn_blocking(move || {
        wait_for(broker.address(), "flights", (1_000, 100_000));
        broker.kill().unwrap();
        broker.start_again().unwrap();
        broker
    });
    let (report, tries) = publish_stubbornly(&run, "flights", (&input, json!({}))).await;
    let broker = outage.await.unwrap();
    // Attempts wait for longer than a broker needs to come back.
    assert_eq!((report.sent, tries), (100_000, 1));
    assert_eq!(counted(&records(&servers, "flights", Isolation::Committed).await), (100_000, 100_000));
    apart(move || drop(broker)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_away_for_longer_than_an_attempt_waits_is_met_again_by_the_next_one() {
    let Some((mut broker, servers)) = own().await else { return };
    broker.address().create_topic("flights", 3, &[]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let run = run_at(folder.path(), &servers, "updraft.batches");
    let input = rows(&run, (100_000, 0), "w/a/europe").await;
    let with = json!({ "message_timeout_ms": 3_000 });
    let address = broker.address().clone();
    let outage = tokio::task::spawn_blocking(move || {
        wait_for(&address, "flights", (1_000, 100_000));
        broker.kill().unwrap();
        broker
    });
    let error = publish(&run, ("publish", 1), "flights", (&input, with.clone())).await.unwrap_err();
    assert_eq!((error.class(), error.verdict()), ("Broker", &Verdict::Retry { after: None }), "{error}");
    let mut broker = outage.await.unwrap();
    let broker = apart(move || {
        broker.start_again().unwrap();
        broker
    })
    .await;
    let report = publish(&run, ("publish", 2), "flights", (&input, json!({}))).await.unwrap();
    assert_eq!((report.sent, report.repeated), (100_000, 0));
    assert_eq!(counted(&records(&servers, "flights", Isolation::Committed).await), (100_000, 100_000));
    apart(move || drop(broker)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_read_yet_is_waited_for_and_is_not_sent_again() {
    let Some((prefix, servers)) = shared().await else { return };
    let (topic, batches) = (prefix.of("flights"), prefix.of("batches"));
    prefix.address().create_topic(&topic, 1, &[]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let run = run_at(folder.path(), &servers, &batches);
    let input = rows(&run, (100, 0), "w/a/europe").await;
    let other = open_transaction(&servers, &prefix.of("other"), (&topic, 0)).await;

    let hasty = run_at(folder.path(), &servers, &batches);
    let connection = json!({
        "kind": "kafka", "bootstrap_servers": servers, "transactions": true, "batches_topic": batches, "transaction_timeout_ms": 6_000,
    });
    hasty.connect("kafka", connection);
    let with = json!({ "message_timeout_ms": 3_000 });
    let error = publish(&hasty, (&prefix.of("publish"), 1), &topic, (&input, with)).await.unwrap_err();
    assert_eq!((error.class(), error.verdict()), ("NotStable", &Verdict::Retry { after: None }), "{error}");
    let stands = "can be read up to offset 0 and not to 101 yet";
    assert!(error.message().contains(stands), "{error}");
    let said = hasty.lines().into_iter().filter(|(_, line)| line.contains(stands) && line.ends_with("; waiting"));
    assert_eq!(said.count(), 1, "{:#?}", hasty.lines());
    assert!(!hasty.lines().iter().any(|(_, line)| line.contains("none of them committed")), "{:#?}", hasty.lines());

    // Neither an attempt that finds the batch published nor one that publishes another ends before the transaction does.
    let (first, second) = (prefix.of("publish"), prefix.of("later"));
    let rows_of_b = rows(&run, (20, 0), "w/b/europe").await;
    let mut both = pin!(async {
        tokio::join!(
            publish(&run, (&first, 2), &topic, (&input, json!({}))),
            publish(&run, (&second, 1), &topic, (&rows_of_b, json!({}))),
        )
    });
    tokio::select! {
        early = &mut both => panic!("{early:?}"),
        () = tokio::time::sleep(Duration::from_secs(2)) => {}
    }
    end_transaction(other, true).await;
    let (again, later) = both.await;
    let (again, later) = (again.unwrap(), later.unwrap());
    assert_eq!((again.sent, again.repeated, later.sent, later.repeated), (100, 1, 20, 0));
    assert_eq!(counted(&records(&servers, &topic, Isolation::Committed).await), (121, 101));
    apart(move || drop(prefix)).await;
}

/// A commit is acknowledged before its markers are written to the partitions, and Kafka 4.3 forgets those that were not when
/// it is killed (KAFKA-20734); with many partitions the moment is long enough to be met.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_killed_right_after_a_publish_has_ended_holds_all_of_it() {
    const PARTITIONS: i32 = 120;
    let Some((mut broker, servers)) = own().await else { return };
    broker.address().create_topic("flights", PARTITIONS, &[]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let run = run_at(folder.path(), &servers, "updraft.batches");
    for round in 1..=3 {
        let input = rows(&run, (500, 0), &format!("w/{round}/europe")).await;
        let report = publish(&run, (&format!("publish{round}"), 1), "flights", (&input, json!({}))).await.unwrap();
        assert_eq!(report.sent, 500);
        broker = apart(move || {
            broker.kill().unwrap();
            broker.start_again().unwrap();
            broker
        })
        .await;
        let committed = marks(&servers, "flights", Isolation::Committed).await;
        assert_eq!(committed, marks(&servers, "flights", Isolation::All).await);
        for (partition, part) in &report.partitions {
            assert!(committed[partition.parse::<usize>().unwrap()].high > part.last_offset, "{partition}: {part:?}");
        }
    }
    apart(move || drop(broker)).await;
}
