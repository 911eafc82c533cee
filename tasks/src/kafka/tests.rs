//! Publishes to librdkafka's in-memory brokers and reads back with a consumer.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use datafusion::arrow::array::StringArray;
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::arrow::record_batch::RecordBatch;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Headers, Message as _};
use rdkafka::mocking::MockCluster;
use rdkafka::{Offset, TopicPartitionList};
use serde_json::{Value, json};
use updraft_task::testing::TestRun;
use updraft_task::{Dataset, Task, TaskError, Verdict};

use super::*;

struct Got {
    key: Option<String>,
    value: Value,
    headers: BTreeMap<String, String>,
}

fn consume(servers: &str, topic: &str, count: usize) -> Vec<Got> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", servers)
        .set("group.id", "test")
        .set("enable.auto.commit", "false")
        .create()
        .unwrap();
    let mut list = TopicPartitionList::new();
    for partition in 0..4 {
        list.add_partition_offset(topic, partition, Offset::Beginning).unwrap();
    }
    consumer.assign(&list).unwrap();
    let mut got = Vec::new();
    while got.len() < count {
        let message = consumer.poll(Duration::from_secs(20)).expect("a message within 20 s").unwrap();
        let headers = message.headers().map(|headers| {
            headers
                .iter()
                .map(|header| {
                    (header.key.to_owned(), String::from_utf8_lossy(header.value.unwrap_or_default()).into_owned())
                })
                .collect()
        });
        got.push(Got {
            key: message.key().map(|key| String::from_utf8_lossy(key).into_owned()),
            value: serde_json::from_slice(message.payload().unwrap()).unwrap(),
            headers: headers.unwrap_or_default(),
        });
    }
    got
}

async fn dataset(run: &TestRun, rows: &[(Option<&str>, &str)]) -> Dataset {
    let schema =
        Schema::new(vec![Field::new("icao24", DataType::Utf8, true), Field::new("callsign", DataType::Utf8, true)]);
    let keys: StringArray = rows.iter().map(|(key, _)| *key).collect();
    let names: StringArray = rows.iter().map(|(_, name)| Some(*name)).collect();
    let batch = RecordBatch::try_new(Arc::new(schema.clone()), vec![Arc::new(keys), Arc::new(names)]).unwrap();
    let lake = run.context("x", 1, None).lake().unwrap();
    crate::parquet::write_batches(&lake, "in/a.parquet", &schema, &[batch], Some("w/s/e/europe")).await.unwrap()
}

async fn publish(run: &TestRun, try_no: u32, with: Value) -> Result<PublishReport, TaskError> {
    KafkaPublish::run(serde_json::from_value(with).unwrap(), &run.context("publish", try_no, None)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_come_back_with_keys_headers_and_offsets_and_a_repeat_sends_the_same() {
    let brokers = MockCluster::new(1).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let run = TestRun::new(folder.path());
    run.connect("kafka", json!({ "kind": "kafka", "bootstrap_servers": brokers.bootstrap_servers() }));
    let names: Vec<String> = (0..500).map(|row| format!("{row:06x}")).collect();
    let rows: Vec<_> = names.iter().map(|name| (Some(name.as_str()), "BAW1")).collect();
    let input = json!({ "europe": { "accepted": 500, "dataset": dataset(&run, &rows).await } });
    let with = json!({ "input": input, "topic": "flights", "key": "icao24", "schema": "flight_state", "linger_ms": 5, "headers": { "source": "test" } });

    let first = publish(&run, 1, with.clone()).await.unwrap();
    assert_eq!((first.sent, first.dlq), (500, 0));
    assert_eq!(first.partitions.values().map(|part| part.records).sum::<u64>(), 500);
    assert!(first.partitions.len() > 1, "keys are spread");
    for part in first.partitions.values() {
        assert_eq!((part.first_offset, part.last_offset + 1), (0, i64::try_from(part.records).unwrap()));
    }
    let second = publish(&run, 2, with).await.unwrap();
    for (number, part) in &second.partitions {
        assert_eq!(part.first_offset, first.partitions[number].last_offset + 1, "a key goes to the same partition");
    }

    let servers = brokers.bootstrap_servers();
    let got = tokio::task::spawn_blocking(move || consume(&servers, "flights", 1_000)).await.unwrap();
    let keys: BTreeSet<_> = got.iter().filter_map(|got| got.key.clone()).collect();
    assert_eq!(keys.len(), 500);
    for message in &got {
        assert_eq!(message.value["icao24"].as_str(), message.key.as_deref());
        assert_eq!(message.value["schema_version"], 1);
        assert_eq!(message.headers["batch_id"], "w/s/e/europe");
        assert_eq!(message.headers["schema"], "flight_state/1");
        assert_eq!(message.headers["source"], "test");
        assert_eq!(message.headers["traceparent"].len(), 55);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_embedded_broker_acknowledges_by_the_same_path() {
    let folder = tempfile::tempdir().unwrap();
    let run = TestRun::new(folder.path());
    run.connect("kafka", json!({ "kind": "kafka", "embedded": true }));
    let input = dataset(&run, &[(Some("a"), "X"), (Some("b"), "Y")]).await;
    let with = json!({ "input": input, "topic": "flights", "key": "icao24", "linger_ms": 5 });
    let first = publish(&run, 1, with.clone()).await.unwrap();
    assert_eq!(first.sent, 2);
    assert_eq!(publish(&run, 1, with).await.unwrap(), first, "equal runs give equal reports");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_queue_slows_down_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let run = TestRun::new(folder.path());
    run.connect(
        "kafka",
        json!({ "kind": "kafka", "embedded": true, "options": { "queue.buffering.max.messages": "10" } }),
    );
    let names: Vec<String> = (0..300).map(|row| format!("{row:06x}")).collect();
    let rows: Vec<_> = names.iter().map(|name| (Some(name.as_str()), "BAW1")).collect();
    let with = json!({ "input": dataset(&run, &rows).await, "topic": "flights", "key": "icao24", "linger_ms": 0 });
    assert_eq!(publish(&run, 1, with).await.unwrap().sent, 300);
}

#[test]
fn waiting_is_useless_for_credentials_and_certificates_but_not_for_broken_connections() {
    use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
    for (code, reason, hopeless) in [
        (Code::Authentication, "SASL PLAIN failed", true),
        (Code::SSL, "SSL handshake failed: certificate verify failed", true),
        (Code::SSL, "SSL handshake failed: disconnected", false),
        (Code::Fatal, "sequence lost", true),
        (Code::AllBrokersDown, "1/1 brokers are down", false),
        (Code::BrokerTransportFailure, "connection refused", false),
    ] {
        assert_eq!(fault::is_hopeless(&KafkaError::Global(code), reason), hopeless, "{code:?} {reason}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_cannot_be_sent_go_to_the_dead_letter_topic_or_fail_the_task() {
    let brokers = MockCluster::new(1).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let run = TestRun::new(folder.path());
    let servers = brokers.bootstrap_servers();
    run.connect(
        "kafka",
        json!({ "kind": "kafka", "bootstrap_servers": servers, "options": { "message.max.bytes": "2000" } }),
    );
    let long = "x".repeat(5_000);
    for (rows, class, check) in [
        (vec![(Some("a"), "ok"), (Some("b"), long.as_str())], "TooLarge", "size"),
        (vec![(None, "ok")], "BadKey", "key"),
    ] {
        let input = dataset(&run, &rows).await;
        let topic = format!("flights.{check}");
        let mut with = json!({ "input": input, "topic": topic, "key": "icao24", "linger_ms": 5 });
        let error = publish(&run, 1, with.clone()).await.unwrap_err();
        assert_eq!((error.class(), error.verdict()), (class, &Verdict::Fail), "{error}");
        with["dead_letter"] = json!(format!("{topic}.dlq"));
        let report = publish(&run, 2, with).await.unwrap();
        assert_eq!((report.dlq, report.sent), (1, rows.len() as u64 - 1));
        let servers = servers.clone();
        let got = tokio::task::spawn_blocking(move || consume(&servers, &format!("{topic}.dlq"), 1)).await.unwrap();
        assert_eq!(got[0].value["check"], check);
        assert_eq!(got[0].value["object_key"], "in/a.parquet");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn brokers_that_do_not_answer_are_worth_another_try() {
    let brokers = MockCluster::new(1).unwrap();
    brokers.broker_down(1).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let run = TestRun::new(folder.path());
    run.connect("kafka", json!({ "kind": "kafka", "bootstrap_servers": brokers.bootstrap_servers() }));
    let input = dataset(&run, &[(Some("a"), "X")]).await;
    let with = json!({ "input": input, "topic": "flights", "linger_ms": 5, "message_timeout_ms": 1_500 });
    let error = publish(&run, 1, with).await.unwrap_err();
    assert_eq!((error.class(), error.verdict()), ("Broker", &Verdict::Retry { after: None }), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_attempt_ends_while_it_waits_for_brokers() {
    let brokers = MockCluster::new(1).unwrap();
    brokers.broker_down(1).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let run = TestRun::new(folder.path());
    run.connect("kafka", json!({ "kind": "kafka", "bootstrap_servers": brokers.bootstrap_servers() }));
    let input = dataset(&run, &[(Some("a"), "X")]).await;
    run.cancel();
    let error = publish(&run, 1, json!({ "input": input, "topic": "flights" })).await.unwrap_err();
    assert_eq!(error.class(), "Cancelled");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reading_meets_brokers_that_are_away_and_ends_when_it_is_cancelled() {
    let brokers = MockCluster::new(1).unwrap();
    brokers.broker_down(1).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let run = TestRun::new(folder.path());
    run.connect("kafka", json!({ "kind": "kafka", "bootstrap_servers": brokers.bootstrap_servers() }));
    let read = async |with: Value| {
        let params = serde_json::from_value(with).unwrap();
        KafkaConsume::run(params, &run.context("read", 1, None)).await.unwrap_err()
    };
    let with = json!({ "topic": "flights", "output": { "prefix": "out" }, "timeout_ms": 1_000 });
    let error = read(with).await;
    assert_eq!((error.class(), error.verdict()), ("Broker", &Verdict::Retry { after: None }), "{error}");
    run.cancel();
    assert_eq!(read(json!({ "topic": "flights", "output": { "prefix": "out" } })).await.class(), "Cancelled");
}

#[tokio::test]
async fn nothing_is_to_be_read_from_the_embedded_broker() {
    let folder = tempfile::tempdir().unwrap();
    let run = TestRun::new(folder.path());
    run.connect("kafka", json!({ "kind": "kafka", "embedded": true }));
    let params = serde_json::from_value(json!({ "topic": "flights", "output": { "prefix": "out" } })).unwrap();
    let error = KafkaConsume::run(params, &run.context("read", 1, None)).await.unwrap_err();
    assert_eq!(error.class(), "BadConnection");
}

#[test]
fn a_connection_needs_brokers_and_sets_only_what_is_listed() {
    for (fields, part) in [
        (json!({}), "no brokers"),
        (json!({ "embedded": true, "bootstrap_servers": "h:1" }), "leave one out"),
        (json!({ "embedded": true, "options": { "enable.idempotence": "false" } }), "these can: batch.size"),
    ] {
        let connection: KafkaConnection = serde_json::from_value(fields).unwrap();
        let error = connection.config().unwrap_err();
        assert!(error.message().contains(part), "{error}");
    }
}

#[test]
fn client_errors_keep_their_meaning() {
    use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
    for (code, class) in [
        (Code::SaslAuthenticationFailed, "Auth"),
        (Code::SSL, "Auth"),
        (Code::MessageSizeTooLarge, "TooLarge"),
        (Code::UnknownTopicOrPartition, "UnknownTopic"),
        (Code::Fatal, "Fatal"),
        (Code::MessageTimedOut, "Broker"),
        (Code::NotEnoughReplicas, "Broker"),
    ] {
        let error = fault::task_error("publish", &KafkaError::MessageProduction(code), None);
        assert_eq!(error.class(), class, "{code:?}");
        let known = KafkaPublish::ERRORS.iter().find(|known| known.name == class).expect("documented");
        assert_eq!(known.retryable, matches!(error.verdict(), Verdict::Retry { .. }));
    }
}
