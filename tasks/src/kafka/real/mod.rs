//! Tests on Apache Kafka, where transactions, retention and compaction are what they say.

mod consume;
mod publish;
mod throughput;
mod topics;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use datafusion::arrow::array::{Int64Array, StringArray};
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::arrow::record_batch::RecordBatch;
use rdkafka::message::Headers as _;
use rdkafka::producer::{FutureProducer, FutureRecord, Producer as _};
use rdkafka::{ClientConfig, Message as _};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use updraft_task::Dataset;
use updraft_task::testing::TestRun;
use updraft_testkit::services::Own;
use updraft_testkit::services::kafka::{self, Broker, Prefix};

use super::KafkaConnection;
use super::reader::{Isolation, Reader, Watermarks};

const LIMIT: Duration = Duration::from_mins(1);

/// What blocks runs on a thread that may.
async fn apart<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.unwrap()
}

/// Names on the shared broker.
async fn shared() -> Option<(Prefix, String)> {
    let prefix = apart(|| kafka::fresh_prefix().unwrap()).await?;
    let servers = prefix.address().bootstrap_servers();
    Some((prefix, servers))
}

async fn own() -> Option<(Own<Broker>, String)> {
    let broker = apart(|| kafka::own_server().unwrap()).await?;
    let servers = broker.address().bootstrap_servers();
    Some((broker, servers))
}

/// A run whose connection `kafka` has transactions.
fn run_at(folder: &std::path::Path, servers: &str, batches: &str) -> TestRun {
    let run = TestRun::new(folder);
    let connection =
        json!({ "kind": "kafka", "bootstrap_servers": servers, "transactions": true, "batches_topic": batches });
    run.connect("kafka", connection);
    run
}

/// A dataset of `count` rows of different keys, the first `without_key` of them null.
async fn rows(run: &TestRun, (count, without_key): (usize, usize), batch: &str) -> Dataset {
    let schema =
        Schema::new(vec![Field::new("icao24", DataType::Utf8, true), Field::new("number", DataType::Int64, false)]);
    let keys: StringArray = (0..count).map(|row| (row >= without_key).then(|| format!("{row:06x}"))).collect();
    let numbers: Int64Array = (0..i64::try_from(count).unwrap()).map(Some).collect();
    let rows = RecordBatch::try_new(Arc::new(schema.clone()), vec![Arc::new(keys), Arc::new(numbers)]).unwrap();
    let lake = run.context("x", 1, None).lake().unwrap();
    let key = format!("in/{count}-{}.parquet", batch.replace('/', "_"));
    crate::parquet::write_batches(&lake, &key, &schema, &[rows], Some(batch)).await.unwrap()
}

/// A record as it lies on the broker.
#[derive(Debug)]
struct Record {
    partition: i32,
    offset: i64,
    key: Option<String>,
    value: Option<Value>,
    headers: BTreeMap<String, String>,
}

fn reader(servers: &str, isolation: Isolation) -> Reader {
    let connection: KafkaConnection = serde_json::from_value(json!({ "bootstrap_servers": servers })).unwrap();
    Reader::open(&connection, isolation, LIMIT, CancellationToken::default()).unwrap()
}

/// What each partition holds as this isolation sees it.
async fn marks(servers: &str, topic: &str, isolation: Isolation) -> Vec<Watermarks> {
    let (servers, topic) = (servers.to_owned(), topic.to_owned());
    apart(move || {
        let reader = reader(&servers, isolation);
        let partitions = reader.partitions(&topic).unwrap().unwrap_or_default();
        partitions.into_iter().map(|partition| reader.watermarks(&topic, partition).unwrap()).collect()
    })
    .await
}

/// All records of a topic that this isolation sees.
async fn records(servers: &str, topic: &str, isolation: Isolation) -> Vec<Record> {
    let (servers, topic) = (servers.to_owned(), topic.to_owned());
    apart(move || {
        let reader = reader(&servers, isolation);
        let mut records = Vec::new();
        for partition in reader.partitions(&topic).unwrap().unwrap_or_default() {
            let marks = reader.watermarks(&topic, partition).unwrap();
            reader
                .read(&topic, partition, (marks.low, marks.high), |message| {
                    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                    let headers = message.headers().into_iter().flat_map(|headers| headers.iter());
                    records.push(Record {
                        partition,
                        offset: message.offset(),
                        key: message.key().map(text),
                        value: message.payload().and_then(|value| serde_json::from_slice(value).ok()),
                        headers: headers
                            .map(|header| (header.key.to_owned(), text(header.value.unwrap_or_default())))
                            .collect(),
                    });
                    Ok(())
                })
                .unwrap();
        }
        records
    })
    .await
}

/// Number of records, and of different keys among them.
fn counted(records: &[Record]) -> (usize, usize) {
    (records.len(), records.iter().filter_map(|record| record.key.as_deref()).collect::<BTreeSet<_>>().len())
}

/// Sends records as they are, each acknowledged: partition, key, value, timestamp.
async fn send(servers: &str, topic: &str, records: Vec<(i32, Option<&[u8]>, Option<&[u8]>, Option<i64>)>) {
    let producer: FutureProducer =
        ClientConfig::new().set("bootstrap.servers", servers).set("linger.ms", "0").create().unwrap();
    for (partition, key, value, at_ms) in records {
        let mut record = FutureRecord::<[u8], [u8]>::to(topic).partition(partition);
        record.key = key;
        record.payload = value;
        record.timestamp = at_ms;
        producer.send(record, LIMIT).await.unwrap();
    }
}

/// A producer with a transaction that is open and holds one acknowledged record.
async fn open_transaction(servers: &str, id: &str, (topic, partition): (&str, i32)) -> FutureProducer {
    let producer: FutureProducer = ClientConfig::new()
        .set("bootstrap.servers", servers)
        .set("transactional.id", id)
        .set("linger.ms", "0")
        .create()
        .unwrap();
    let producer = apart(move || {
        producer.init_transactions(LIMIT).unwrap();
        producer.begin_transaction().unwrap();
        producer
    })
    .await;
    let record = FutureRecord::<str, str>::to(topic).partition(partition).key("open").payload(r#"{"icao24":"open"}"#);
    producer.send(record, LIMIT).await.unwrap();
    producer
}

async fn end_transaction(producer: FutureProducer, commit: bool) {
    apart(move || {
        if commit { producer.commit_transaction(LIMIT) } else { producer.abort_transaction(LIMIT) }.unwrap();
    })
    .await;
}
