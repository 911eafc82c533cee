//! A consumer that joins no group: partitions are read from one offset to another, by blocking calls.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::BorrowedMessage;
use rdkafka::{Message as _, Offset, TopicPartitionList};
use schemars::JsonSchema;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;
use updraft_task::{ErrorClass, TaskError};

use super::connection::KafkaConnection;
use super::fault::{BROKER, UNKNOWN_TOPIC, is_hopeless, task_error};
use super::sender::Watch;

pub(super) const OFFSETS_GONE: ErrorClass = ErrorClass {
    name: "OffsetsGone",
    retryable: false,
    meaning: "records that were to be read are deleted (by retention, or with their topic)",
};
pub(super) const NOT_STABLE: ErrorClass = ErrorClass {
    name: "NotStable",
    retryable: true,
    meaning: "records up to the end are not all written yet, or a transaction before it is still open",
};
pub(super) const GROUP_IN_USE: ErrorClass = ErrorClass {
    name: "GroupInUse",
    retryable: false,
    meaning: "the consumer group has members of its own, so its offsets are theirs to move",
};

/// How long one call to brokers blocks at most.
const CALL: Duration = Duration::from_secs(5);
/// How long one wait for a record blocks at most: a cancelled attempt ends within it.
const POLL: Duration = Duration::from_millis(200);

impl ConsumerContext for Watch {}

/// Whose records are seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Isolation {
    /// Those of committed transactions, and those of none.
    #[default]
    Committed,
    /// All of them, also those of transactions that are open or were aborted.
    All,
}

/// The first offset that is kept, and the one after the last that can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Watermarks {
    pub(super) low: i64,
    pub(super) high: i64,
}

/// Partitions of a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shape {
    /// Their numbers, sorted.
    pub(super) partitions: Vec<i32>,
    /// Copies of each.
    pub(super) copies: usize,
}

/// A consumer; every call blocks.
pub(super) struct Reader {
    consumer: BaseConsumer<Watch>,
    watch: Watch,
    place: String,
    limit: Duration,
    cancelled: CancellationToken,
}

impl Reader {
    /// `limit`: how long brokers may be away.
    pub(super) fn open(
        connection: &KafkaConnection,
        isolation: Isolation,
        limit: Duration,
        cancelled: CancellationToken,
    ) -> Result<Self, TaskError> {
        // The client wants a name.
        Self::of_group(connection, "updraft", isolation, limit, cancelled)
    }

    /// A reader that sees and moves a group's offsets. It never joins the group.
    pub(super) fn of_group(
        connection: &KafkaConnection,
        group: &str,
        isolation: Isolation,
        limit: Duration,
        cancelled: CancellationToken,
    ) -> Result<Self, TaskError> {
        let level = match isolation {
            Isolation::Committed => "read_committed",
            Isolation::All => "read_uncommitted",
        };
        let mut config = connection.config()?;
        config
            .set("group.id", group)
            // As long as a commit waits for the group's coordinator.
            .set("session.timeout.ms", "6000")
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "error")
            .set("enable.partition.eof", "true")
            .set("queued.max.messages.kbytes", "16384")
            .set("fetch.wait.max.ms", "100")
            .set("allow.auto.create.topics", "false")
            .set("isolation.level", level);
        let watch = Watch::default();
        let consumer = config.create_with_context(watch.clone()).map_err(|error| {
            TaskError::fail("BadConnection", format!("the consumer for {} cannot be made: {error}", connection.place()))
        })?;
        Ok(Self { consumer, watch, place: connection.place().to_owned(), limit, cancelled })
    }

    fn error(&self, doing: &str, error: &KafkaError) -> TaskError {
        task_error(&format!("{doing} at {}", self.place), error, self.watch.last().as_deref())
    }

    /// Calls until brokers answer, the limit is reached or the error is of a lasting kind.
    fn insist<T>(&self, doing: &str, call: impl Fn() -> Result<T, KafkaError>) -> Result<T, TaskError> {
        let deadline = Instant::now() + self.limit;
        loop {
            if self.cancelled.is_cancelled() {
                return Err(TaskError::cancelled());
            }
            let error = match call() {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            let told = self.error(doing, &error);
            if !passing(&told) || Instant::now() >= deadline {
                return Err(told);
            }
            std::thread::sleep(POLL);
        }
    }

    /// The topic's partitions; `None`: there is no such topic.
    pub(super) fn partitions(&self, topic: &str) -> Result<Option<Vec<i32>>, TaskError> {
        Ok(self.shape(topic)?.map(|shape| shape.partitions))
    }

    /// The topic's partitions and copies; `None`: there is no such topic. Asking does not make it.
    pub(super) fn shape(&self, topic: &str) -> Result<Option<Shape>, TaskError> {
        let doing = format!("look up topic {topic}");
        let metadata = self.insist(&doing, || self.consumer.fetch_metadata(Some(topic), CALL))?;
        let Some(found) = metadata.topics().iter().find(|found| found.name() == topic) else { return Ok(None) };
        match found.error().map(Code::from) {
            Some(Code::UnknownTopicOrPartition | Code::UnknownTopic) => return Ok(None),
            Some(code) => return Err(self.error(&doing, &KafkaError::MetadataFetch(code))),
            None => {}
        }
        let mut numbers: Vec<i32> = found.partitions().iter().map(rdkafka::metadata::MetadataPartition::id).collect();
        numbers.sort_unstable();
        let copies = found.partitions().iter().map(|partition| partition.replicas().len()).max().unwrap_or_default();
        Ok((!numbers.is_empty()).then_some(Shape { partitions: numbers, copies }))
    }

    /// What a partition holds; `high` is as far as this reader's isolation lets it read now.
    pub(super) fn watermarks(&self, topic: &str, partition: i32) -> Result<Watermarks, TaskError> {
        let (low, high) = self.insist(&format!("ask for the offsets of {topic}/{partition}"), || {
            self.consumer.fetch_watermarks(topic, partition, CALL)
        })?;
        Ok(Watermarks { low, high })
    }

    /// The first offset of each partition whose record is not older than an instant (Unix milliseconds); `None`: all are
    /// older.
    pub(super) fn offsets_at(
        &self,
        topic: &str,
        partitions: &[i32],
        at_ms: i64,
    ) -> Result<BTreeMap<i32, Option<i64>>, TaskError> {
        // Brokers take negative ones for words.
        let at = Offset::Offset(at_ms.max(0));
        self.insist(&format!("ask for offsets by time of {topic}"), || {
            let list = listed(topic, partitions.iter().map(|partition| (*partition, at)))?;
            offsets(&self.consumer.offsets_for_times(list, CALL)?)
        })
    }

    /// What the group has committed; `None`: nothing.
    pub(super) fn committed(&self, topic: &str, partitions: &[i32]) -> Result<BTreeMap<i32, Option<i64>>, TaskError> {
        self.insist(&format!("ask for the group's offsets of {topic}"), || {
            let list = listed(topic, partitions.iter().map(|partition| (*partition, Offset::Invalid)))?;
            offsets(&self.consumer.committed_offsets(list, CALL)?)
        })
    }

    /// Moves the group's offsets.
    pub(super) fn commit(&self, topic: &str, to: &BTreeMap<i32, i64>) -> Result<(), TaskError> {
        let doing = format!("commit the group's offsets of {topic}");
        let result = self.insist(&doing, || {
            let list = listed(topic, to.iter().map(|(partition, offset)| (*partition, Offset::Offset(*offset))))?;
            match self.consumer.commit(&list, CommitMode::Sync) {
                Err(error) if is_members_matter(&error) => Ok(Err(error)),
                other => other.map(Ok),
            }
        })?;
        result.map_err(|error| {
            TaskError::fail(
                GROUP_IN_USE.name,
                format!(
                    "cannot {doing} at {}: {error}. Give this workflow a group of its own, or stop the group's consumers",
                    self.place
                ),
            )
        })
    }

    /// Waits until what this reader may see reaches `end`: transactions that were open are over.
    pub(super) fn wait_until_stable(&self, topic: &str, partition: i32, end: i64) -> Result<(), TaskError> {
        let deadline = Instant::now() + self.limit;
        loop {
            let high = self.watermarks(topic, partition)?.high;
            if high >= end {
                return Ok(());
            }
            if self.cancelled.is_cancelled() {
                return Err(TaskError::cancelled());
            }
            if Instant::now() >= deadline {
                return Err(TaskError::retry(
                    NOT_STABLE.name,
                    format!(
                        "{topic}/{partition} at {} can be read up to offset {high} and not to {end} yet: records are not \
                         written, or a transaction is open there, which brokers end at its time limit, unless one that was \
                         killed has forgotten it (KAFKA-20734; `kafka-transactions.sh find-hanging` names it)",
                        self.place
                    ),
                ));
            }
            std::thread::sleep(POLL);
        }
    }

    /// Reads the records with `start` ≤ offset < `end`, in order. `end` must be readable already
    /// ([`Self::wait_until_stable`]): the last offsets may be of aborted records and of markers, or compacted away, so
    /// the end of the partition ends the reading too.
    pub(super) fn read(
        &self,
        topic: &str,
        partition: i32,
        (start, end): (i64, i64),
        take: impl FnMut(&BorrowedMessage<'_>) -> Result<(), TaskError>,
    ) -> Result<(), TaskError> {
        if start >= end {
            return Ok(());
        }
        let result = self.read_assigned(topic, partition, (start, end), take);
        self.consumer.unassign().map_err(|error| self.error(&format!("read {topic}/{partition}"), &error))?;
        result
    }

    fn read_assigned(
        &self,
        topic: &str,
        partition: i32,
        (start, end): (i64, i64),
        mut take: impl FnMut(&BorrowedMessage<'_>) -> Result<(), TaskError>,
    ) -> Result<(), TaskError> {
        let doing = format!("read {topic}/{partition}");
        let assign = |from: i64| {
            listed(topic, [(partition, Offset::Offset(from))])
                .and_then(|list| self.consumer.assign(&list))
                .map_err(|error| self.error(&doing, &error))
        };
        assign(start)?;
        let mut deadline = Instant::now() + self.limit;
        let mut position = start;
        let mut end_is_known = false;
        loop {
            if self.cancelled.is_cancelled() {
                return Err(TaskError::cancelled());
            }
            match self.consumer.poll(POLL) {
                Some(Ok(message)) if message.offset() >= end => return Ok(()),
                Some(Ok(message)) => {
                    take(&message)?;
                    position = message.offset() + 1;
                    if position >= end {
                        return Ok(());
                    }
                    deadline = Instant::now() + self.limit;
                }
                Some(Err(KafkaError::PartitionEOF(_))) if end_is_known => return Ok(()),
                // A broker that has just come back may take less for all there is: what it says counts when it says so
                // again while it knows of everything up to `end`.
                Some(Err(KafkaError::PartitionEOF(_))) => {
                    end_is_known = self.watermarks(topic, partition)?.high >= end;
                    if !end_is_known {
                        std::thread::sleep(POLL);
                    }
                    assign(position)?;
                }
                Some(Err(error)) => {
                    let code = error.rdkafka_error_code();
                    if matches!(code, Some(Code::OffsetOutOfRange | Code::AutoOffsetReset)) {
                        return Err(self.gone(topic, partition, (position, end)));
                    }
                    let told = self.error(&doing, &error);
                    if !passing(&told) || is_hopeless(&error, "") {
                        return Err(told);
                    }
                }
                None => {}
            }
            if Instant::now() >= deadline {
                return Err(TaskError::retry(
                    BROKER.name,
                    format!(
                        "cannot {doing} at {}: nothing came for {} s, at offset {position} of {end}{}",
                        self.place,
                        self.limit.as_secs(),
                        self.watch.last().map(|last| format!(" (last from the client: {last})")).unwrap_or_default()
                    ),
                ));
            }
        }
    }

    /// The error for records that brokers do not have any more.
    pub(super) fn gone(&self, topic: &str, partition: i32, (start, end): (i64, i64)) -> TaskError {
        let kept = match self.watermarks(topic, partition) {
            Ok(Watermarks { low, high }) => format!("it keeps offsets {low} to {high} (exclusive)"),
            Err(_) => "what it keeps is not known".to_owned(),
        };
        TaskError::fail(
            OFFSETS_GONE.name,
            format!(
                "records {start} to {end} (exclusive) of {topic}/{partition} at {} are not all there: {kept}. Retention \
                 deleted them, or the topic was made anew; start later, or read them from where they were archived",
                self.place
            ),
        )
    }
}

/// Whether waiting may help. A broker that has just come back does not know its partitions yet; a topic that is not there
/// at all is found by [`Reader::partitions`].
fn passing(error: &TaskError) -> bool {
    error.class() == BROKER.name || error.class() == UNKNOWN_TOPIC.name
}

fn is_members_matter(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(Code::UnknownMemberId | Code::IllegalGeneration | Code::StaleMemberEpoch | Code::RebalanceInProgress)
    )
}

fn listed(topic: &str, offsets: impl IntoIterator<Item = (i32, Offset)>) -> Result<TopicPartitionList, KafkaError> {
    let mut list = TopicPartitionList::new();
    for (partition, offset) in offsets {
        list.add_partition_offset(topic, partition, offset)?;
    }
    Ok(list)
}

/// The offsets of a list; `None` where brokers answered none.
fn offsets(list: &TopicPartitionList) -> Result<BTreeMap<i32, Option<i64>>, KafkaError> {
    let mut found = BTreeMap::new();
    for element in list.elements() {
        element.error()?;
        let offset = match element.offset() {
            Offset::Offset(offset) => Some(offset),
            Offset::Beginning | Offset::End | Offset::Stored | Offset::Invalid | Offset::OffsetTail(_) => None,
        };
        found.insert(element.partition(), offset);
    }
    Ok(found)
}

/// Offsets by the numbers of partitions, out of a parameter.
pub(super) fn by_partition(name: &str, offsets: &BTreeMap<String, i64>) -> Result<BTreeMap<i32, i64>, TaskError> {
    let number = |(partition, offset): (&String, &i64)| match partition.parse::<i32>() {
        Ok(number) if number >= 0 && *offset >= 0 => Ok((number, *offset)),
        Ok(_) | Err(_) => Err(TaskError::fail(
            "BadParameters",
            format!("`{name}`: `{partition}: {offset}` is not the number of a partition with an offset from 0"),
        )),
    };
    offsets.iter().map(number).collect()
}
