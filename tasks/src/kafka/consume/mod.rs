//! `kafka.consume`: the records of a topic from one offset to another as a dataset.

mod columns;
mod plan;
mod sink;

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::Message as _;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use updraft_task::lake::sha256_hex;
use updraft_task::{ConnectionNeed, Context, Dataset, Effects, ErrorClass, Task, TaskError};

pub use columns::ColumnSpec;
use columns::Columns;
use plan::{Spans, Wanted};
use sink::{PLACE, Rules, Sink, Written};

use super::connection::KafkaConnection;
use super::fault::{AUTH, BROKER, UNKNOWN_TOPIC};
use super::reader::{Isolation, NOT_STABLE, OFFSETS_GONE, Reader, Watermarks};
use super::sender::blocking;
use crate::batch::OutputPlace;

/// Where the reading starts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Start {
    /// At the oldest record that is kept.
    #[default]
    Beginning,
    /// Where the consumer group `group` stands (`kafka.commit` moves it); at the oldest record where it has no offset yet.
    Group,
    /// At the first record that is not older than this instant (RFC 3339), such as `{{ data_interval_start }}`.
    Timestamp(String),
    /// At these offsets by partition, such as another task's `output.offsets`; only these partitions are read.
    Offsets(BTreeMap<String, i64>),
}

/// Where the reading ends. The end itself is not read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// After what can be read when the first attempt begins: up to the first open transaction, if there is one.
    #[default]
    Now,
    /// Before the first record that is not older than this instant (RFC 3339). Transactions that are open before it are
    /// waited for.
    Timestamp(String),
    /// Before these offsets by partition; only these partitions are read.
    Offsets(BTreeMap<String, i64>),
}

/// What to do where records from the start on are deleted already.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Gone {
    /// The task fails with `OffsetsGone`.
    #[default]
    Fail,
    /// What is left is read; `lost` says how many offsets are missing.
    Skip,
}

/// How keys are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum KeyForm {
    /// As text; a record whose key is not UTF-8 goes to the quarantine.
    #[default]
    Text,
    /// Base64 of its bytes.
    Base64,
}

/// Parameters of `kafka.consume`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConsumeParams {
    /// Topic.
    pub topic: String,
    /// Where the reading starts.
    #[serde(default)]
    pub from: Start,
    /// Where it ends.
    #[serde(default)]
    pub to: End,
    /// Consumer group for `from: group`. It is only read: `kafka.commit` moves it once the result is safe.
    #[serde(default)]
    pub group: Option<String>,
    /// Whose records are read.
    #[serde(default)]
    pub isolation: Isolation,
    /// Fields of the values (JSON objects) with their types, such as another dataset's `schema`; other fields are left
    /// out. Without it the values are kept as text in the column `_value`.
    #[serde(default)]
    pub columns: Vec<ColumnSpec>,
    /// What the header `schema` must say, such as `flight_state/1`; records where it does not go to the quarantine.
    #[serde(default)]
    pub schema: Option<String>,
    /// How keys are written to the column `_key`.
    #[serde(default)]
    pub key: KeyForm,
    /// What to do where records from the start on are deleted already.
    #[serde(default)]
    pub on_gone: Gone,
    /// Where the dataset goes; what goes to the quarantine lies below `quarantine/` under the same key. With `from: group`
    /// the batch is named after the offsets it starts at, if `batch_id` is left out.
    pub output: OutputPlace,
    /// How long brokers may be away, or a transaction before the end may stay open, in milliseconds.
    #[serde(default = "timeout_ms")]
    pub timeout_ms: u64,
}

/// Longer than a broker needs to come back.
const fn timeout_ms() -> u64 {
    120_000
}

/// What was found in a partition.
#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    read: u64,
    tombstones: u64,
    quarantined: u64,
    lost: u64,
}

/// What was read of one partition.
#[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PartitionRead {
    /// First offset that was to be read.
    pub start: i64,
    /// Offset after the last one.
    pub end: i64,
    /// Records that were read. Markers of transactions, aborted records and compacted ones have offsets too, so that there
    /// may be fewer than `end - start`.
    pub read: u64,
    /// Those among them that went to the quarantine.
    pub quarantined: u64,
    /// Those among them without a value.
    pub tombstones: u64,
    /// Offsets from `start` on that were deleted already (`on_gone: skip`).
    pub lost: u64,
    /// First offset that brokers keep.
    pub low: i64,
    /// High watermark: the offset after the last record.
    pub high: i64,
    /// As far as could be read: before the first open transaction.
    pub stable: i64,
    /// Offsets that are left after `end`.
    pub lag: u64,
}

/// Output of `kafka.consume`. Watermarks and lags are those that this attempt found before it read.
#[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ConsumeReport {
    /// Topic.
    pub topic: String,
    /// The rows, in the order of partition and offset: the columns, then `_topic`, `_partition`, `_offset`, `_timestamp` and
    /// `_key`.
    pub dataset: Dataset,
    /// Number of them: records that were read without those of the quarantine and those without a value.
    pub rows: u64,
    /// Records that cannot be rows: topic, partition, offset, timestamp, check, reason, key and value in base64. Null if
    /// there are none.
    pub quarantine: Option<Dataset>,
    /// Number of them.
    pub quarantined: u64,
    /// Records without a value, which are left out.
    pub tombstones: u64,
    /// Offsets that were deleted already (`on_gone: skip`).
    pub lost: u64,
    /// Offsets that are left after the ends.
    pub lag: u64,
    /// The ends by partition: where the next reading starts, for `kafka.commit`.
    pub offsets: BTreeMap<String, i64>,
    /// What was read, by partition.
    pub partitions: BTreeMap<String, PartitionRead>,
}

/// The task.
#[derive(Debug)]
pub struct KafkaConsume;

impl Task for KafkaConsume {
    const TYPE: &'static str = "kafka.consume";
    const SUMMARY: &'static str = "reads the records of a Kafka topic, from one offset to another, into a dataset";
    /// The offsets are kept before anything is read, and the same records give the same bytes under the same key. Nothing
    /// is moved on brokers.
    const EFFECTS: Effects = Effects::Idempotent;
    const CONNECTION: ConnectionNeed = ConnectionNeed::Required(&["kafka"]);
    const ERRORS: &'static [ErrorClass] = &[
        BROKER,
        AUTH,
        UNKNOWN_TOPIC,
        OFFSETS_GONE,
        NOT_STABLE,
        ErrorClass {
            name: "BadParameters",
            retryable: false,
            meaning: "`from`, `to`, `group` or `columns` are not of their form or do not fit each other or the topic",
        },
        ErrorClass { name: "BadState", retryable: false, meaning: "the offsets that were kept do not read" },
        ErrorClass { name: "Fenced", retryable: false, meaning: "a later attempt took over" },
        ErrorClass { name: "Store", retryable: true, meaning: "the offsets cannot be kept just now" },
        ErrorClass { name: "Scratch", retryable: true, meaning: "the scratch folder cannot be made or written" },
        ErrorClass { name: "BadConnection", retryable: false, meaning: "the connection's settings are not usable" },
        ErrorClass { name: "BadParquet", retryable: false, meaning: "the rows cannot be stored" },
        ErrorClass { name: "BadKey", retryable: false, meaning: "`output.prefix` is no key of the lake" },
        ErrorClass { name: "LakeDenied", retryable: false, meaning: "the lake refuses access" },
        ErrorClass { name: "Lake", retryable: true, meaning: "the lake cannot be reached" },
    ];
    const EXAMPLE: &'static str = r#"
- id: read_states
  type: kafka.consume
  with:
    topic: processed_flights
    from: { timestamp: "{{ data_interval_start }}" }
    to: { timestamp: "{{ data_interval_end }}" }
    columns:
      - { name: icao24, type: Utf8, nullable: false }
      - { name: velocity_mps, type: Float64 }
    output: { prefix: processed-data/from_kafka }
"#;

    type Params = ConsumeParams;
    type Output = ConsumeReport;

    async fn run(params: ConsumeParams, ctx: &Context) -> Result<ConsumeReport, TaskError> {
        let connection: KafkaConnection = ctx.connection()?;
        connection.must_be_shared()?;
        let group = group(&params)?;
        let wanted = Wanted {
            topic: params.topic.clone(),
            from: params.from.clone(),
            to: params.to.clone(),
            on_gone: params.on_gone,
        };
        wanted.checked()?;
        let rules = Rules {
            topic: params.topic.clone(),
            columns: Columns::of(&params.columns, &PLACE)?,
            key: params.key,
            schema: params.schema.clone(),
        };
        let lake = ctx.lake()?;
        let limit = Duration::from_millis(params.timeout_ms);
        let of = |isolation| Reader::of_group(&connection, &group, isolation, limit, ctx.cancelled().clone());
        let readers = Readers { all: of(Isolation::All)?, seen: of(params.isolation)? };

        let (readers, wanted, spans) = decided(ctx, readers, wanted).await?;
        let total: i64 = spans.values().map(|span| span.end - span.start).sum();
        ctx.info(format!(
            "{}: {total} offsets of {} partition(s) of {} are to be read",
            params.topic,
            spans.len(),
            connection.place()
        ));
        let read = blocking({
            let (ctx, spans) = (ctx.clone(), spans.clone());
            move || read(&ctx, &readers, &wanted, &spans, rules)
        })
        .await??;
        report(&params, ctx, &lake, &spans, read).await
    }
}

/// Name of the group whose offsets are asked for; any, if none are.
fn group(params: &ConsumeParams) -> Result<String, TaskError> {
    match (&params.from, &params.group) {
        (Start::Group, None) => {
            Err(TaskError::fail("BadParameters", "`from: group` needs the name of one: set `group`".to_owned()))
        }
        (Start::Beginning | Start::Timestamp(_) | Start::Offsets(_), Some(group)) => Err(TaskError::fail(
            "BadParameters",
            format!("`group: {group}` has no meaning without `from: group`: set that, or leave `group` out"),
        )),
        (Start::Group, Some(group)) => Ok(group.clone()),
        (Start::Beginning | Start::Timestamp(_) | Start::Offsets(_), None) => Ok("updraft".to_owned()),
    }
}

struct Readers {
    all: Reader,
    seen: Reader,
}

async fn decided(ctx: &Context, readers: Readers, wanted: Wanted) -> Result<(Readers, Wanted, Spans), TaskError> {
    if let Some(spans) = plan::kept(ctx).await? {
        ctx.info("the offsets are those that an earlier attempt decided on");
        return Ok((readers, wanted, spans));
    }
    let (readers, wanted, spans) = blocking(move || {
        let spans = wanted.decide(&readers.all, &readers.seen);
        spans.map(|spans| (readers, wanted, spans))
    })
    .await??;
    let spans = plan::keep(ctx, &spans).await?;
    Ok((readers, wanted, spans))
}

/// What a partition held before it was read, and what was found in it.
struct Found {
    marks: Watermarks,
    stable: i64,
    counts: Counts,
}

struct Read {
    partitions: BTreeMap<i32, Found>,
    rows: Written,
    quarantine: Option<Written>,
}

/// Reads partition after partition, so that the same records come in the same order. Blocks.
fn read(ctx: &Context, readers: &Readers, wanted: &Wanted, spans: &Spans, rules: Rules) -> Result<Read, TaskError> {
    let Readers { all, seen } = readers;
    let topic = wanted.topic.as_str();
    let mut held = BTreeMap::new();
    for partition in spans.keys() {
        let marks = all.watermarks(topic, *partition)?;
        held.insert(*partition, (marks, seen.watermarks(topic, *partition)?.high));
    }
    let total = spans.values().map(|span| u64::try_from(span.end - span.start).unwrap_or(0)).sum();
    let mut sink = Sink::create(rules, ctx.scratch_dir()?)?;
    let mut partitions = BTreeMap::new();
    let (mut done, mut taken) = (0, 0_u64);
    for (partition, span) in spans {
        let partition = *partition;
        seen.wait_until_stable(topic, partition, span.end)?;
        let (mut position, mut lost) = (span.start, 0);
        loop {
            let low = all.watermarks(topic, partition)?.low;
            if position < low && position < span.end {
                if wanted.on_gone == Gone::Fail {
                    return Err(all.gone(topic, partition, (position, span.end)));
                }
                lost += u64::try_from(low.min(span.end) - position).unwrap_or(0);
                position = low.min(span.end);
            }
            let result = seen.read(topic, partition, (position, span.end), |message| {
                position = message.offset() + 1;
                taken += 1;
                if taken.is_multiple_of(10_000) {
                    let within = u64::try_from(position - span.start).unwrap_or(0);
                    ctx.progress(done + within, Some(total), "offsets");
                }
                sink.take(message)
            });
            match result {
                // Retention was faster than we.
                Err(error) if error.class() == OFFSETS_GONE.name && wanted.on_gone == Gone::Skip => {
                    if all.watermarks(topic, partition)?.low <= position {
                        return Err(error);
                    }
                }
                other => break other?,
            }
        }
        done += u64::try_from(span.end - span.start).unwrap_or(0);
        let counts = Counts { lost, ..sink.next_partition()? };
        let (marks, stable) = held[&partition];
        partitions.insert(partition, Found { marks, stable, counts });
    }
    let (rows, quarantine) = sink.close()?;
    Ok(Read { partitions, rows, quarantine })
}

async fn report(
    params: &ConsumeParams,
    ctx: &Context,
    lake: &updraft_task::Lake,
    spans: &Spans,
    read: Read,
) -> Result<ConsumeReport, TaskError> {
    let (batch, key) = place(params, ctx, spans).of(ctx.run());
    let rows = read.rows.rows;
    let quarantine = match read.quarantine {
        Some(written) => Some(written.put(lake, &format!("quarantine/{key}.parquet"), &batch).await?),
        None => None,
    };
    let dataset = read.rows.put(lake, &format!("{key}.parquet"), &batch).await?;
    let mut report = ConsumeReport {
        topic: params.topic.clone(),
        dataset,
        rows,
        quarantine,
        quarantined: 0,
        tombstones: 0,
        lost: 0,
        lag: 0,
        offsets: spans.iter().map(|(partition, span)| (partition.to_string(), span.end)).collect(),
        partitions: BTreeMap::new(),
    };
    for (partition, Found { marks, stable, counts }) in read.partitions {
        let span = spans[&partition];
        let lag = u64::try_from(marks.high - span.end).unwrap_or(0);
        report.quarantined += counts.quarantined;
        report.tombstones += counts.tombstones;
        report.lost += counts.lost;
        report.lag += lag;
        let part = PartitionRead {
            start: span.start,
            end: span.end,
            read: counts.read,
            quarantined: counts.quarantined,
            tombstones: counts.tombstones,
            lost: counts.lost,
            low: marks.low,
            high: marks.high,
            stable,
            lag,
        };
        report.partitions.insert(partition.to_string(), part);
    }
    ctx.info(format!(
        "{}: {} rows, {} to the quarantine, {} without a value; {} offsets are left",
        params.topic, report.rows, report.quarantined, report.tombstones, report.lag
    ));
    if report.quarantined > 0 {
        ctx.warn(format!("{} records cannot be rows: `quarantine` has them with reasons", report.quarantined));
    }
    if report.lost > 0 {
        ctx.warn(format!("{} offsets had been deleted before they were read", report.lost));
    }
    Ok(report)
}

/// With a group two runs of one interval need not read the same; but two that start at the same offsets do, if the first
/// one's result was never committed: what they read is then one batch, so that loads of the second replace the first.
fn place(params: &ConsumeParams, ctx: &Context, spans: &Spans) -> OutputPlace {
    let batch_id = match (&params.output.batch_id, &params.group) {
        (Some(batch), _) => Some(batch.clone()),
        (None, None) => None,
        (None, Some(group)) => {
            let starts: Vec<String> =
                spans.iter().map(|(partition, span)| format!("{partition}:{}", span.start)).collect();
            let starts = &sha256_hex(starts.join(",").as_bytes())[..16];
            Some(format!("{}/{group}/{}/{starts}", ctx.run().workflow, params.topic))
        }
    };
    OutputPlace { prefix: params.output.prefix.clone(), batch_id }
}
