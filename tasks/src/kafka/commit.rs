//! `kafka.commit`: moves a consumer group to where a `kafka.consume` ended. A task of its own, because only the engine knows
//! when that one's result, and whatever was made of it, is safe: then this task runs. Where it does not run, the next
//! run reads the same records again.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use updraft_task::{ConnectionNeed, Context, Effects, ErrorClass, Task, TaskError};

use super::connection::KafkaConnection;
use super::fault::{AUTH, BROKER, UNKNOWN_TOPIC};
use super::reader::{GROUP_IN_USE, Isolation, OFFSETS_GONE, Reader, by_partition};
use super::sender::blocking;

/// Parameters of `kafka.commit`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CommitParams {
    /// Topic.
    pub topic: String,
    /// Consumer group. It must have no members of its own.
    pub group: String,
    /// Where the group's next reading starts, by partition: `output.offsets` of a `kafka.consume`.
    pub offsets: BTreeMap<String, i64>,
    /// How long brokers may be away, in milliseconds.
    #[serde(default = "timeout_ms")]
    pub timeout_ms: u64,
}

const fn timeout_ms() -> u64 {
    120_000
}

/// One partition's offset in the group.
#[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Committed {
    /// Where the group stood; null if nowhere.
    pub from: Option<i64>,
    /// Where it stands now.
    pub to: i64,
}

/// Output of `kafka.commit`.
#[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct CommitReport {
    /// Topic.
    pub topic: String,
    /// Consumer group.
    pub group: String,
    /// Partitions whose offset was moved.
    pub moved: u64,
    /// Partitions where the group stood further already: they were left alone.
    pub ahead: u64,
    /// Offsets by partition.
    pub partitions: BTreeMap<String, Committed>,
}

/// The task.
#[derive(Debug)]
pub struct KafkaCommit;

impl Task for KafkaCommit {
    const TYPE: &'static str = "kafka.commit";
    const SUMMARY: &'static str = "moves a Kafka consumer group to where a kafka.consume ended";
    /// A group is only moved forward, so that an old run that is repeated does not move it back.
    const EFFECTS: Effects = Effects::Idempotent;
    const CONNECTION: ConnectionNeed = ConnectionNeed::Required(&["kafka"]);
    const ERRORS: &'static [ErrorClass] = &[
        BROKER,
        AUTH,
        UNKNOWN_TOPIC,
        GROUP_IN_USE,
        OFFSETS_GONE,
        ErrorClass {
            name: "BadParameters",
            retryable: false,
            meaning: "`offsets` are not offsets by partitions of the topic, or `group` is empty",
        },
        ErrorClass { name: "BadConnection", retryable: false, meaning: "the connection's settings are not usable" },
    ];
    const EXAMPLE: &'static str = r#"
- id: commit_offsets
  type: kafka.commit
  with:
    topic: processed_flights
    group: opensky_archive
    offsets: "{{ tasks.read_states.output.offsets }}"
  depends_on: [load_states]
"#;

    type Params = CommitParams;
    type Output = CommitReport;

    async fn run(params: CommitParams, ctx: &Context) -> Result<CommitReport, TaskError> {
        let connection: KafkaConnection = ctx.connection()?;
        connection.must_be_shared()?;
        if params.group.is_empty() {
            return Err(TaskError::fail("BadParameters", "`group` is empty: name the group"));
        }
        let offsets = by_partition("offsets", &params.offsets)?;
        let limit = Duration::from_millis(params.timeout_ms);
        let reader = Reader::of_group(&connection, &params.group, Isolation::All, limit, ctx.cancelled().clone())?;
        let report = blocking(move || commit(&params, &reader, &offsets)).await??;
        ctx.info(format!(
            "group {} of {}: {} partition(s) moved, {} stood further already",
            report.group, report.topic, report.moved, report.ahead
        ));
        Ok(report)
    }
}

fn commit(params: &CommitParams, reader: &Reader, offsets: &BTreeMap<i32, i64>) -> Result<CommitReport, TaskError> {
    let (topic, group) = (&params.topic, &params.group);
    let there = reader.partitions(topic)?.ok_or_else(|| {
        TaskError::fail(UNKNOWN_TOPIC.name, format!("there is no topic {topic}: create it, or correct its name"))
    })?;
    let partitions: Vec<i32> = offsets.keys().copied().collect();
    if let Some(missing) = partitions.iter().find(|partition| !there.contains(partition)) {
        return Err(TaskError::fail(
            "BadParameters",
            format!("`offsets` name partition {missing}, but {topic} has {} partitions, from 0", there.len()),
        ));
    }
    // An offset that does not exist would send the next reading to nowhere.
    for (partition, offset) in offsets {
        if reader.watermarks(topic, *partition)?.high < *offset {
            return Err(reader.gone(topic, *partition, (*offset, *offset)));
        }
    }
    let stands = if partitions.is_empty() { BTreeMap::new() } else { reader.committed(topic, &partitions)? };
    let stands = |partition: &i32| stands.get(partition).copied().flatten();
    let ahead = |partition: &i32, offset: i64| stands(partition).is_some_and(|stands| stands > offset);
    let moving: BTreeMap<i32, i64> = offsets
        .iter()
        .filter(|(partition, offset)| stands(partition).is_none_or(|stands| stands < **offset))
        .map(|(partition, offset)| (*partition, *offset))
        .collect();
    if !moving.is_empty() {
        reader.commit(topic, &moving)?;
    }
    let partition = |(partition, offset): (&i32, &i64)| {
        let from = stands(partition);
        (partition.to_string(), Committed { from, to: from.map_or(*offset, |from| from.max(*offset)) })
    };
    Ok(CommitReport {
        topic: topic.clone(),
        group: group.clone(),
        moved: moving.len() as u64,
        ahead: offsets.iter().filter(|(partition, offset)| ahead(partition, **offset)).count() as u64,
        partitions: offsets.iter().map(partition).collect(),
    })
}
