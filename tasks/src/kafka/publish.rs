//! `kafka.publish`: rows of datasets as messages, by an idempotent producer, with a delivery report per partition.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::message::{Header, OwnedHeaders};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use updraft_task::{ConnectionNeed, Context, Dataset, Effects, ErrorClass, Input, Task, TaskError};

use super::connection::KafkaConnection;
use super::fault::{AUTH, BROKER, FATAL, FENCED, TOO_LARGE, UNKNOWN_TOPIC, is_too_large};
use super::ledger::{self, BatchRecord};
use super::reader::{NOT_STABLE, OFFSETS_GONE};
use super::rows;
use super::sender::{Ends, Message, Sender, Taken};
use crate::batch::of_dataset;
use crate::parquet;

/// Most of what waits to be sent, in KiB, where the connection does not say.
const QUEUE_KIB: &str = "65536";

/// Form of a message's value.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MessageFormat {
    /// A JSON object by column name, nulls kept, instants as RFC 3339.
    #[default]
    Json,
}

/// Compression of what is sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Compression {
    /// None.
    None,
    /// gzip.
    Gzip,
    /// LZ4.
    Lz4,
    /// Snappy.
    Snappy,
    /// Zstandard.
    #[default]
    Zstd,
}

impl Compression {
    const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Lz4 => "lz4",
            Self::Snappy => "snappy",
            Self::Zstd => "zstd",
        }
    }
}

/// Parameters of `kafka.publish`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PublishParams {
    /// Parquet datasets whose rows become messages: one, a list, or a map of names to `{dataset}`.
    pub input: Input,
    /// Topic.
    pub topic: String,
    /// Column that gives the key; rows with equal keys keep their order. Without it messages have no key.
    #[serde(default)]
    pub key: Option<String>,
    /// More headers; `schema`, `batch_id`, `traceparent` and `fence` (the number of the attempt) are always there.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Form of the values.
    #[serde(default)]
    pub format: MessageFormat,
    /// Name of the values' schema, in the header `schema`; the topic if left out.
    #[serde(default)]
    pub schema: Option<String>,
    /// Version of the schema, put into values that have no `schema_version` of their own.
    #[serde(default = "one")]
    pub schema_version: u32,
    /// Compression of what is sent.
    #[serde(default)]
    pub compression: Compression,
    /// How long messages wait for company, in milliseconds.
    #[serde(default = "linger_ms")]
    pub linger_ms: u64,
    /// How long a message may wait for its acknowledgement, retries included, in milliseconds.
    #[serde(default = "message_timeout_ms")]
    pub message_timeout_ms: u64,
    /// Topic for rows that cannot be sent (too large, no key); without it they fail the task.
    #[serde(default)]
    pub dead_letter: Option<String>,
}

const fn one() -> u32 {
    1
}

const fn linger_ms() -> u64 {
    50
}

/// Longer than a broker needs to come back.
const fn message_timeout_ms() -> u64 {
    120_000
}

/// What one partition acknowledged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PartitionReport {
    /// Messages.
    pub records: u64,
    /// Lowest offset.
    pub first_offset: i64,
    /// Highest offset.
    pub last_offset: i64,
    /// Bytes of keys and values, uncompressed.
    pub bytes: u64,
}

impl PartitionReport {
    pub(super) const fn first(offset: i64, bytes: u64) -> Self {
        Self { records: 1, first_offset: offset, last_offset: offset, bytes }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.records += other.records;
        self.first_offset = self.first_offset.min(other.first_offset);
        self.last_offset = self.last_offset.max(other.last_offset);
        self.bytes += other.bytes;
    }
}

/// Output of `kafka.publish`.
#[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PublishReport {
    /// Topic.
    pub topic: String,
    /// Messages that brokers acknowledged, without those of the dead-letter topic.
    pub sent: u64,
    /// Their keys and values in bytes, uncompressed.
    pub bytes: u64,
    /// Rows that went to the dead-letter topic.
    pub dlq: u64,
    /// Batches whose rows were sent (the first 100).
    pub batches: Vec<String>,
    /// Batches that had been published before: they are reported as they were then, and nothing of them was sent again.
    pub repeated: u64,
    /// Acknowledged messages by partition.
    pub partitions: BTreeMap<String, PartitionReport>,
}

/// The task.
#[derive(Debug)]
pub struct KafkaPublish;

impl Task for KafkaPublish {
    const TYPE: &'static str = "kafka.publish";
    const SUMMARY: &'static str = "publishes the rows of datasets to a Kafka topic";
    /// Without transactions an attempt that is cut off may have sent a part; the next one sends all again, with the same
    /// keys and `batch_id`. On a connection with `transactions: true` readers of what is committed see each batch once.
    const EFFECTS: Effects = Effects::AtLeastOnce;
    const CONNECTION: ConnectionNeed = ConnectionNeed::Required(&["kafka"]);
    const ERRORS: &'static [ErrorClass] = &[
        BROKER,
        FATAL,
        FENCED,
        AUTH,
        TOO_LARGE,
        UNKNOWN_TOPIC,
        OFFSETS_GONE,
        NOT_STABLE,
        ErrorClass {
            name: "BadKey",
            retryable: false,
            meaning: "the key column is missing, or a row has none and there is no dead-letter topic",
        },
        ErrorClass {
            name: "BadBatchRecord",
            retryable: false,
            meaning: "the batches topic holds a record of this batch that does not read",
        },
        ErrorClass { name: "Scratch", retryable: true, meaning: "the scratch folder cannot be made" },
        ErrorClass { name: "BadRow", retryable: false, meaning: "a column's type cannot be written as JSON" },
        ErrorClass { name: "BadConnection", retryable: false, meaning: "the connection's settings are not usable" },
        ErrorClass { name: "BadParquet", retryable: false, meaning: "a dataset is not Parquet or is broken" },
        ErrorClass { name: "CorruptDataset", retryable: false, meaning: "a dataset was changed after its task ended" },
        ErrorClass { name: "NotFound", retryable: false, meaning: "a dataset is gone" },
        ErrorClass { name: "LakeDenied", retryable: false, meaning: "the lake refuses access" },
        ErrorClass { name: "Lake", retryable: true, meaning: "the lake cannot be reached" },
    ];
    const EXAMPLE: &'static str = r#"
- id: publish_states
  type: kafka.publish
  with:
    input: "{{ tasks.split_and_validate.output.regions }}"
    topic: processed_flights
    key: icao24
    schema: flight_state
  depends_on: [split_and_validate]
"#;

    type Params = PublishParams;
    type Output = PublishReport;

    async fn run(params: PublishParams, ctx: &Context) -> Result<PublishReport, TaskError> {
        let connection: KafkaConnection = ctx.connection()?;
        let input = params.input.resolved(&ctx.lake()?).await?;
        let batches = batches(&input, ctx);
        let mut config = connection.config()?;
        set_producer(&mut config, &params, &connection, ctx);
        let mut sender = Sender::open(ctx, config, connection.place()).await?;
        let result = attempt(&params, ctx, &connection, &batches, &mut sender).await;
        if let Err(error) = &result
            && !sender.committed
        {
            ctx.warn(format!(
                "{} messages were acknowledged{} before this attempt ended: {error}",
                sender.acknowledged,
                if connection.transactions { ", none of them committed," } else { "" }
            ));
            if connection.transactions
                && let Err(error) = sender.abort().await
            {
                ctx.debug(format!("the transaction is left to its time limit or the next attempt: {error}"));
            }
        }
        sender.close().await?;
        let report = result?;
        ctx.info(format!(
            "{}: {} messages to {} partition(s) of {}, {} to the dead-letter topic, {} of {} batches had been published before",
            params.topic,
            report.sent,
            report.partitions.len(),
            connection.place(),
            report.dlq,
            report.repeated,
            batches.len()
        ));
        Ok(report)
    }
}

fn set_producer(config: &mut ClientConfig, params: &PublishParams, connection: &KafkaConnection, ctx: &Context) {
    let mut timeout = params.message_timeout_ms.max(params.linger_ms + 1);
    if connection.transactions {
        timeout = timeout.min(connection.transaction_timeout_ms);
        config
            .set("transactional.id", ctx.idempotency_key())
            .set("transaction.timeout.ms", connection.transaction_timeout_ms.to_string());
    }
    if !connection.options.contains_key("queue.buffering.max.kbytes") {
        config.set("queue.buffering.max.kbytes", QUEUE_KIB);
    }
    config
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("partitioner", "murmur2_random")
        .set("compression.type", params.compression.name())
        .set("linger.ms", params.linger_ms.to_string())
        .set("message.timeout.ms", timeout.to_string());
}

/// The datasets by batch, in order; several of one batch are one.
fn batches<'a>(input: &'a Input, ctx: &Context) -> Vec<(String, Vec<&'a Dataset>)> {
    let mut batches: Vec<(String, Vec<&Dataset>)> = Vec::new();
    for (index, (name, dataset)) in input.datasets().into_iter().enumerate() {
        let batch = of_dataset(ctx.run(), index, name, dataset);
        match batches.iter_mut().find(|(known, _)| *known == batch) {
            Some((_, datasets)) => datasets.push(dataset),
            None => batches.push((batch, vec![dataset])),
        }
    }
    batches
}

/// All of it: with transactions, what had been published is looked up first, and each batch's record is part of the same
/// transaction.
async fn attempt(
    params: &PublishParams,
    ctx: &Context,
    connection: &KafkaConnection,
    batches: &[(String, Vec<&Dataset>)],
    sender: &mut Sender<'_>,
) -> Result<PublishReport, TaskError> {
    let limit = Duration::from_millis(params.message_timeout_ms);
    let mut reports: Vec<Option<BatchRecord>> = vec![None; batches.len()];
    if connection.transactions {
        let wanted: Vec<String> = batches.iter().map(|(batch, _)| ledger::key(batch, &params.topic)).collect();
        // First the fence: afterwards no earlier attempt can commit unseen.
        sender.begin(limit).await?;
        reports = ledger::find(ctx, connection, &wanted, limit).await?;
    }
    let repeated = reports.iter().flatten().count();
    let mut fresh = Vec::new();
    for (number, (batch, datasets)) in batches.iter().enumerate() {
        let sources: Vec<String> = datasets.iter().map(|dataset| dataset.sha256.clone()).collect();
        match &reports[number] {
            Some(found) if found.sources != sources => ctx.warn(format!(
                "batch {batch} was published to {} before from other data; nothing is sent. To publish it again, write a \
                 record without value for the key `{}` to {}",
                params.topic,
                ledger::key(batch, &params.topic),
                connection.batches_topic
            )),
            Some(_) => {}
            None => {
                let dlq = publish_batch(params, ctx, number, batch, datasets, sender).await?;
                fresh.push((number, dlq, sources));
            }
        }
    }
    sender.settle(limit).await?;
    for (number, dlq, sources) in fresh {
        let (batch, _) = &batches[number];
        let partitions = sender.report.remove(&number).unwrap_or_default();
        let record = BatchRecord {
            batch_id: batch.clone(),
            topic: params.topic.clone(),
            sent: partitions.values().map(|part| part.records).sum(),
            bytes: partitions.values().map(|part| part.bytes).sum(),
            dlq,
            sources,
            partitions,
        };
        if connection.transactions {
            let (key, value) = (ledger::key(batch, &params.topic), record.to_json());
            let headers = headers(params, ctx, batch);
            let message =
                Message { topic: &connection.batches_topic, key: Some(&key), value: &value, headers: &headers };
            if let Taken::Refused(error) = sender.send(&message, None).await? {
                return Err(sender.error(&error).context(format!("batches topic {}", connection.batches_topic)));
            }
        }
        reports[number] = Some(record);
    }
    if connection.transactions {
        sender.settle(limit).await?;
        sender.commit(limit).await?;
        let mut ends = Ends::new();
        for record in reports.iter().flatten() {
            ends.extend(record.ends()?);
        }
        ends.extend(sender.ends());
        // So long may another producer's transaction stand before it.
        let others = Duration::from_millis(connection.transaction_timeout_ms);
        sender.wait_until_readable(ends, limit.max(others)).await?;
    }
    Ok(summed(params, reports.into_iter().flatten(), repeated as u64))
}

fn summed(params: &PublishParams, records: impl Iterator<Item = BatchRecord>, repeated: u64) -> PublishReport {
    let mut report = PublishReport {
        topic: params.topic.clone(),
        sent: 0,
        bytes: 0,
        dlq: 0,
        batches: Vec::new(),
        repeated,
        partitions: BTreeMap::new(),
    };
    for record in records {
        report.sent += record.sent;
        report.bytes += record.bytes;
        report.dlq += record.dlq;
        if report.batches.len() < 100 {
            report.batches.push(record.batch_id);
        }
        for (number, part) in record.partitions {
            report.partitions.entry(number).and_modify(|known| known.merge(&part)).or_insert(part);
        }
    }
    report
}

/// Sends the rows of one batch; answers how many went to the dead-letter topic.
async fn publish_batch(
    params: &PublishParams,
    ctx: &Context,
    number: usize,
    batch: &str,
    datasets: &[&Dataset],
    sender: &mut Sender<'_>,
) -> Result<u64, TaskError> {
    let lake = ctx.lake()?;
    let headers = headers(params, ctx, batch);
    let mut dlq = 0;
    for dataset in datasets {
        let copy = ctx.scratch_dir()?.join(format!("publish-{number}.parquet"));
        let mut row_no = 0_u64;
        for rows in parquet::stream_batches(&lake, dataset, &copy).await? {
            let rows = rows?;
            let values = match params.format {
                MessageFormat::Json => rows::to_json(&rows, params.schema_version)?,
            };
            let keys = params.key.as_deref().map(|column| rows::keys(&rows, column)).transpose()?;
            for (row, value) in values.iter().enumerate() {
                let place = Place { batch, object_key: &dataset.uri, index: row_no };
                row_no += 1;
                let key = keys.as_ref().map(|keys| keys[row].as_deref());
                if key == Some(None) {
                    let reason = format!("`{}` is null", params.key.as_deref().unwrap_or_default());
                    let refused = Refused { class: "BadKey", check: "key", reason, key: None, row: Some(value) };
                    dead_letter(params, sender, &headers, &place, refused).await?;
                    dlq += 1;
                    continue;
                }
                let key = key.flatten();
                let message = Message { topic: &params.topic, key, value, headers: &headers };
                match sender.send(&message, Some(number)).await? {
                    Taken::Sent => {}
                    Taken::Refused(error) if is_too_large(&error) => {
                        let reason = format!("{} bytes: {error}", value.len());
                        let refused = Refused { class: TOO_LARGE.name, check: "size", reason, key, row: None };
                        dead_letter(params, sender, &headers, &place, refused).await?;
                        dlq += 1;
                    }
                    Taken::Refused(error) => return Err(sender.error(&error)),
                }
            }
        }
        // The next dataset takes its place; what is left when an attempt ends goes with its scratch folder.
        std::fs::remove_file(&copy).ok();
    }
    Ok(dlq)
}

/// Headers of every message of a batch; equal in every attempt but for the span of `traceparent` and the fence.
fn headers(params: &PublishParams, ctx: &Context, batch: &str) -> OwnedHeaders {
    let schema = format!("{}/{}", params.schema.as_deref().unwrap_or(&params.topic), params.schema_version);
    let span = ctx.attempt().attempt_id.0.simple().to_string();
    let trace = format!("00-{}-{}-01", ctx.run().run_id.0.simple(), &span[16..]);
    let fence = ctx.attempt().dispatch_no.to_string();
    let fixed =
        [("schema", schema.as_str()), ("batch_id", batch), ("traceparent", trace.as_str()), ("fence", fence.as_str())];
    let own = params.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    fixed
        .into_iter()
        .chain(own)
        .fold(OwnedHeaders::new(), |headers, (key, value)| headers.insert(Header { key, value: Some(value) }))
}

/// Where a row comes from.
struct Place<'a> {
    batch: &'a str,
    object_key: &'a str,
    index: u64,
}

/// A row that cannot be sent, and why.
struct Refused<'a> {
    class: &'static str,
    check: &'static str,
    reason: String,
    key: Option<&'a str>,
    row: Option<&'a str>,
}

async fn dead_letter(
    params: &PublishParams,
    sender: &mut Sender<'_>,
    headers: &OwnedHeaders,
    place: &Place<'_>,
    refused: Refused<'_>,
) -> Result<(), TaskError> {
    let Some(topic) = &params.dead_letter else {
        return Err(TaskError::fail(
            refused.class,
            format!(
                "row {} of `{}` (key {}) cannot be sent: {}. Set `dead_letter: <topic>` to go on without such rows",
                place.index,
                place.object_key,
                refused.key.unwrap_or("none"),
                refused.reason
            ),
        ));
    };
    let value = json!({
        "schema_version": 1,
        "reason": refused.reason,
        "check": refused.check,
        "key": refused.key,
        "row": refused.row,
        "batch_id": place.batch,
        "object_key": place.object_key,
        "index": place.index,
    })
    .to_string();
    match sender.send(&Message { topic, key: refused.key, value: &value, headers }, None).await? {
        Taken::Sent => Ok(()),
        Taken::Refused(error) => Err(sender.error(&error).context(format!("dead-letter topic {topic}"))),
    }
}
