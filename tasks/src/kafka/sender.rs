//! One producer of one attempt: sends with backpressure, waits for every acknowledgement, counts by partition.
//! Whatever blocks in librdkafka runs on a blocking thread.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::OwnedHeaders;
use rdkafka::producer::future_producer::OwnedDeliveryResult;
use rdkafka::producer::{DeliveryFuture, FutureProducer, FutureRecord, Producer, PurgeConfig};
use rdkafka::{ClientConfig, ClientContext};
use tokio::sync::Notify;
use updraft_task::{Context, TaskError};

use super::fault::{BROKER, is_hopeless, task_error};
use super::publish::PartitionReport;
use super::reader::NOT_STABLE;

/// How long one call of a transaction's step blocks at most.
const STEP: Duration = Duration::from_secs(2);

/// Between two looks at what can be read.
const LOOK: Duration = Duration::from_millis(20);
/// After so long it is said what is waited for.
const QUIET: Duration = Duration::from_secs(5);

/// Messages of this producer that may be on their way at once.
const WINDOW: usize = 20_000;

/// Hears what the client says about its brokers.
#[derive(Clone, Default)]
pub(super) struct Watch(Arc<Heard>);

#[derive(Default)]
pub(super) struct Heard {
    last: Mutex<Option<String>>,
    hopeless: Mutex<Option<KafkaError>>,
    changed: Notify,
}

impl ClientContext for Watch {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        tracing::debug!(target: "librdkafka", ?level, facility, "{text}");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        *self.0.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(format!("{error}: {reason}"));
        if is_hopeless(&error, reason) {
            *self.0.hopeless.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
            self.0.changed.notify_one();
        }
    }
}

impl Watch {
    pub(super) fn last(&self) -> Option<String> {
        self.0.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Why waiting for brokers has become useless, if it has.
    fn given_up(&self) -> Option<KafkaError> {
        self.0.hopeless.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Ends when waiting for brokers has become useless.
    async fn hopeless(&self) -> KafkaError {
        loop {
            let heard = self.0.changed.notified();
            if let Some(error) = self.given_up() {
                return error;
            }
            heard.await;
        }
    }
}

/// One message.
pub(super) struct Message<'a> {
    pub(super) topic: &'a str,
    pub(super) key: Option<&'a str>,
    pub(super) value: &'a str,
    pub(super) headers: &'a OwnedHeaders,
}

impl Message<'_> {
    fn bytes(&self) -> u64 {
        (self.value.len() + self.key.map_or(0, str::len)) as u64
    }
}

/// What became of a message that was taken.
pub(super) enum Taken {
    /// It is on its way.
    Sent,
    /// The client refuses it.
    Refused(KafkaError),
}

/// Where what was acknowledged ends: by topic and partition, the offset after the last record.
pub(super) type Ends = BTreeMap<(String, i32), i64>;

struct Pending {
    delivery: DeliveryFuture,
    /// Index in [`Sender::topics`].
    topic: usize,
    batch: Option<usize>,
    bytes: u64,
}

pub(super) struct Sender<'a> {
    ctx: &'a Context,
    producer: FutureProducer<Watch>,
    watch: Watch,
    place: String,
    pending: VecDeque<Pending>,
    /// Names of the topics that were written to.
    topics: Vec<String>,
    ends: BTreeMap<(usize, i32), i64>,
    /// Acknowledged messages of the main topic, by batch and partition.
    pub(super) report: BTreeMap<usize, BTreeMap<String, PartitionReport>>,
    /// All of them.
    pub(super) acknowledged: u64,
    /// Whether the transaction is committed.
    pub(super) committed: bool,
}

impl<'a> Sender<'a> {
    pub(super) async fn open(ctx: &'a Context, config: ClientConfig, place: &str) -> Result<Sender<'a>, TaskError> {
        let watch = Watch::default();
        let context = watch.clone();
        let producer =
            blocking(move || config.create_with_context::<_, FutureProducer<Watch>>(context)).await?.map_err(
                |error| TaskError::fail("BadConnection", format!("the producer for {place} cannot be made: {error}")),
            )?;
        Ok(Self {
            ctx,
            producer,
            watch,
            place: place.to_owned(),
            pending: VecDeque::new(),
            topics: Vec::new(),
            ends: BTreeMap::new(),
            report: BTreeMap::new(),
            acknowledged: 0,
            committed: false,
        })
    }

    /// Sends a message; waits while the queue is full. Messages of a batch are counted, by partition.
    pub(super) async fn send(&mut self, message: &Message<'_>, batch: Option<usize>) -> Result<Taken, TaskError> {
        loop {
            if self.pending.len() >= WINDOW {
                self.settle_oldest().await?;
            }
            let mut record =
                FutureRecord::<str, str>::to(message.topic).payload(message.value).headers(message.headers.clone());
            if let Some(key) = message.key {
                record = record.key(key);
            }
            match self.producer.send_result(record) {
                Ok(delivery) => {
                    let topic = self.number_of(message.topic);
                    self.pending.push_back(Pending { delivery, topic, batch, bytes: message.bytes() });
                    return Ok(Taken::Sent);
                }
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) if !self.pending.is_empty() => {
                    self.settle_oldest().await?;
                }
                Err((error, _)) => return Ok(Taken::Refused(error)),
            }
        }
    }

    fn number_of(&mut self, topic: &str) -> usize {
        self.topics.iter().position(|known| known == topic).unwrap_or_else(|| {
            self.topics.push(topic.to_owned());
            self.topics.len() - 1
        })
    }

    async fn settle_oldest(&mut self) -> Result<(), TaskError> {
        let Some(Pending { delivery, topic, batch, bytes }) = self.pending.pop_front() else { return Ok(()) };
        let result = tokio::select! {
            biased;
            () = self.ctx.cancelled().cancelled() => return Err(TaskError::cancelled()),
            result = delivery => result,
            error = self.watch.hopeless() => return Err(self.error(&error)),
        };
        let result: OwnedDeliveryResult = result.map_err(|_| self.error(&KafkaError::Canceled))?;
        let delivery = result.map_err(|(error, _)| self.error(&error))?;
        self.acknowledged += 1;
        let end = self.ends.entry((topic, delivery.partition)).or_default();
        *end = (*end).max(delivery.offset + 1);
        if let Some(batch) = batch {
            let one = PartitionReport::first(delivery.offset, bytes);
            let parts = self.report.entry(batch).or_default();
            parts.entry(delivery.partition.to_string()).and_modify(|part| part.merge(&one)).or_insert(one);
        }
        if self.acknowledged.is_multiple_of(1_000) {
            self.ctx.progress(self.acknowledged, None, "messages");
        }
        Ok(())
    }

    pub(super) fn error(&self, error: &KafkaError) -> TaskError {
        let told =
            |error: &KafkaError| task_error(&format!("publish to {}", self.place), error, self.watch.last().as_deref());
        // Once a producer is done for, each call fails in a way of its own ("fatal", "purged"); the client keeps why, such as
        // a later attempt's fence.
        let fatal = self.producer.client().fatal_error().map(|(code, _)| KafkaError::Global(code));
        let Some(cause) = fatal.or_else(|| self.watch.given_up()) else { return told(error) };
        let known = told(&cause);
        if known.class() == BROKER.name { told(&KafkaError::Global(RDKafkaErrorCode::Fatal)) } else { known }
    }

    /// Waits until everything is acknowledged and the client's queue is empty.
    pub(super) async fn settle(&mut self, limit: Duration) -> Result<(), TaskError> {
        while !self.pending.is_empty() {
            self.settle_oldest().await?;
        }
        let producer = self.producer.clone();
        blocking(move || producer.flush(limit)).await?.map_err(|error| {
            TaskError::retry(BROKER.name, format!("flushing the producer for {} failed: {error}", self.place))
        })
    }

    /// Begins the attempt's transaction. Brokers end the one that an earlier attempt left open and fence its producer.
    pub(super) async fn begin(&self, limit: Duration) -> Result<(), TaskError> {
        self.step("begin a transaction", limit, Producer::init_transactions).await?;
        self.producer.begin_transaction().map_err(|error| self.error(&error))
    }

    /// Commits. When this fails the outcome may be unknown: the next attempt's [`Self::begin`] settles it, and the batches
    /// topic tells how.
    pub(super) async fn commit(&mut self, limit: Duration) -> Result<(), TaskError> {
        self.step("commit", limit, Producer::commit_transaction).await?;
        self.committed = true;
        Ok(())
    }

    /// Where everything that was acknowledged ends.
    pub(super) fn ends(&self) -> Ends {
        self.ends.iter().map(|((topic, partition), end)| ((self.topics[*topic].clone(), *partition), *end)).collect()
    }

    /// Waits until readers of what is committed see everything up to these ends. A commit is acknowledged before its
    /// markers are in the partitions, and a broker that is killed between the two may never write them
    /// (<https://issues.apache.org/jira/browse/KAFKA-20734>).
    pub(super) async fn wait_until_readable(&self, ends: Ends, limit: Duration) -> Result<(), TaskError> {
        let began = Instant::now();
        let mut told = false;
        for ((topic, partition), end) in ends {
            loop {
                let (producer, of) = (self.producer.clone(), topic.clone());
                // Like any client's: up to the first open transaction.
                let found = blocking(move || producer.client().fetch_watermarks(&of, partition, STEP)).await?;
                let stands = match found {
                    Ok((_, high)) if high >= end => break,
                    Ok((_, high)) => format!("can be read up to offset {high} and not to {end} yet"),
                    Err(error) => format!("does not tell how far it can be read: {error}"),
                };
                if self.ctx.cancelled().is_cancelled() {
                    return Err(TaskError::cancelled());
                }
                if let Some(error) = self.watch.given_up() {
                    return Err(self.error(&error));
                }
                let waits = format!(
                    "all is committed, but {topic}/{partition} at {} {stands}: another producer's transaction is open there, or \
                     the broker was killed right after this commit and has forgotten to end it (KAFKA-20734; \
                     `kafka-transactions.sh find-hanging` names it)",
                    self.place
                );
                if began.elapsed() >= limit {
                    let text = format!("{waits}. The next attempt looks again and sends nothing twice");
                    return Err(TaskError::retry(NOT_STABLE.name, text));
                }
                if began.elapsed() >= QUIET && !std::mem::replace(&mut told, true) {
                    self.ctx.warn(format!("{waits}; waiting"));
                }
                tokio::time::sleep(LOOK).await;
            }
        }
        Ok(())
    }

    /// Aborts as far as brokers can be reached; what is left open is ended by the next attempt or by its time limit.
    pub(super) async fn abort(&self) -> Result<(), TaskError> {
        let producer = self.producer.clone();
        blocking(move || {
            producer.purge(PurgeConfig::default().queue().inflight());
            producer.abort_transaction(STEP)
        })
        .await?
        .map_err(|error| self.error(&error))
    }

    /// A blocking step of a transaction, in slices, so that a cancelled attempt ends. librdkafka takes a repeated call
    /// after a retriable error as the same step.
    async fn step(
        &self,
        doing: &str,
        limit: Duration,
        call: fn(&FutureProducer<Watch>, Duration) -> KafkaResult<()>,
    ) -> Result<(), TaskError> {
        let deadline = Instant::now() + limit;
        loop {
            let producer = self.producer.clone();
            let error = match blocking(move || call(&producer, STEP)).await? {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            if self.ctx.cancelled().is_cancelled() {
                return Err(TaskError::cancelled());
            }
            let again = matches!(&error, KafkaError::Transaction(error) if error.is_retriable());
            if !again || Instant::now() >= deadline {
                return Err(self.error(&error).context(doing));
            }
        }
    }

    /// Ends the producer; what is not acknowledged yet is dropped from its queues.
    pub(super) async fn close(self) -> Result<(), TaskError> {
        let Self { producer, pending, .. } = self;
        blocking(move || {
            if !pending.is_empty() {
                producer.purge(PurgeConfig::default().queue().inflight());
            }
            drop(producer);
        })
        .await
    }
}

pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, TaskError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| TaskError::retry(BROKER.name, format!("the client's thread ended: {error}")))
}
