//! A consumer without a group's business: partitions are read from one offset to another, by blocking calls. It reads only
//! what is committed.

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::BorrowedMessage;
use rdkafka::{Message as _, Offset, TopicPartitionList};
use tokio_util::sync::CancellationToken;
use updraft_task::{ErrorClass, TaskError};

use super::connection::KafkaConnection;
use super::fault::{BROKER, is_hopeless, task_error};
use super::sender::Watch;

pub(super) const OFFSETS_GONE: ErrorClass = ErrorClass {
    name: "OffsetsGone",
    retryable: false,
    meaning: "records that were to be read are deleted (by retention, or with their topic)",
};

/// How long one call to brokers blocks at most.
const CALL: Duration = Duration::from_secs(5);
/// How long one wait for a record blocks at most: a cancelled attempt ends within it.
const POLL: Duration = Duration::from_millis(200);

impl ConsumerContext for Watch {}

/// Whose records are seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Isolation {
    /// Those of committed transactions, and those of none.
    Committed,
    /// All of them.
    All,
}

/// The first offset that is kept, and the one after the last that can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Watermarks {
    pub(super) low: i64,
    pub(super) high: i64,
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
        let level = match isolation {
            Isolation::Committed => "read_committed",
            Isolation::All => "read_uncommitted",
        };
        let mut config = connection.config()?;
        // The group is never joined; the client only wants a name.
        config
            .set("group.id", "updraft")
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
            if told.class() != BROKER.name || Instant::now() >= deadline {
                return Err(told);
            }
            std::thread::sleep(POLL);
        }
    }

    /// The topic's partitions; `None`: there is no such topic.
    pub(super) fn partitions(&self, topic: &str) -> Result<Option<Vec<i32>>, TaskError> {
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
        Ok(if numbers.is_empty() { None } else { Some(numbers) })
    }

    /// What a partition holds; `high` is as far as this reader's isolation lets it read now.
    pub(super) fn watermarks(&self, topic: &str, partition: i32) -> Result<Watermarks, TaskError> {
        let (low, high) = self.insist(&format!("ask for the offsets of {topic}/{partition}"), || {
            self.consumer.fetch_watermarks(topic, partition, CALL)
        })?;
        Ok(Watermarks { low, high })
    }

    /// Waits until what this reader may see reaches `end`: transactions that were open are over.
    pub(super) fn wait_until_stable(&self, topic: &str, partition: i32, end: i64) -> Result<(), TaskError> {
        let deadline = Instant::now() + self.limit;
        while self.watermarks(topic, partition)?.high < end {
            if self.cancelled.is_cancelled() {
                return Err(TaskError::cancelled());
            }
            if Instant::now() >= deadline {
                return Err(TaskError::retry(
                    BROKER.name,
                    format!(
                        "{topic}/{partition} at {} has a transaction open before offset {end}; brokers end it at its time limit",
                        self.place
                    ),
                ));
            }
            std::thread::sleep(POLL);
        }
        Ok(())
    }

    /// Reads the committed records with `start` ≤ offset < `end`, in order. `end` must be readable already
    /// ([`Self::wait_until_stable`]): the last offsets may be of aborted records and of markers, which are never seen, so
    /// the end of the partition ends the reading too.
    pub(super) fn read(
        &self,
        topic: &str,
        partition: i32,
        (start, end): (i64, i64),
        mut take: impl FnMut(&BorrowedMessage<'_>) -> Result<(), TaskError>,
    ) -> Result<(), TaskError> {
        if start >= end {
            return Ok(());
        }
        let doing = format!("read {topic}/{partition}");
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Offset(start))
            .and_then(|()| self.consumer.assign(&list))
            .map_err(|error| self.error(&doing, &error))?;
        let mut deadline = Instant::now() + self.limit;
        let mut position = start;
        let result = loop {
            if self.cancelled.is_cancelled() {
                break Err(TaskError::cancelled());
            }
            match self.consumer.poll(POLL) {
                Some(Ok(message)) if message.offset() >= end => break Ok(()),
                Some(Ok(message)) => {
                    if let Err(error) = take(&message) {
                        break Err(error);
                    }
                    position = message.offset() + 1;
                    if position >= end {
                        break Ok(());
                    }
                    deadline = Instant::now() + self.limit;
                }
                Some(Err(KafkaError::PartitionEOF(_))) => break Ok(()),
                Some(Err(error)) => {
                    let code = error.rdkafka_error_code();
                    if matches!(code, Some(Code::OffsetOutOfRange | Code::AutoOffsetReset)) {
                        break Err(self.gone(topic, partition, (position, end)));
                    }
                    let told = self.error(&doing, &error);
                    if told.class() != BROKER.name || is_hopeless(&error, "") {
                        break Err(told);
                    }
                }
                None => {}
            }
            if Instant::now() >= deadline {
                break Err(TaskError::retry(
                    BROKER.name,
                    format!(
                        "cannot {doing} at {}: nothing came for {} s, at offset {position} of {end}{}",
                        self.place,
                        self.limit.as_secs(),
                        self.watch.last().map(|last| format!(" (last from the client: {last})")).unwrap_or_default()
                    ),
                ));
            }
        };
        self.consumer.unassign().map_err(|error| self.error(&doing, &error))?;
        result
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
