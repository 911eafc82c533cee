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

/// How long one call of a transaction's step blocks at most.
const STEP: Duration = Duration::from_secs(2);

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

struct Pending {
    delivery: DeliveryFuture,
    batch: Option<usize>,
    bytes: u64,
}

pub(super) struct Sender<'a> {
    ctx: &'a Context,
    producer: FutureProducer<Watch>,
    watch: Watch,
    place: String,
    pending: VecDeque<Pending>,
    /// Acknowledged messages of the main topic, by batch and partition.
    pub(super) report: BTreeMap<usize, BTreeMap<String, PartitionReport>>,
    /// All of them.
    pub(super) acknowledged: u64,
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
            report: BTreeMap::new(),
            acknowledged: 0,
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
                    self.pending.push_back(Pending { delivery, batch, bytes: message.bytes() });
                    return Ok(Taken::Sent);
                }
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) if !self.pending.is_empty() => {
                    self.settle_oldest().await?;
                }
                Err((error, _)) => return Ok(Taken::Refused(error)),
            }
        }
    }

    async fn settle_oldest(&mut self) -> Result<(), TaskError> {
        let Some(Pending { delivery, batch, bytes }) = self.pending.pop_front() else { return Ok(()) };
        let result = tokio::select! {
            biased;
            () = self.ctx.cancelled().cancelled() => return Err(TaskError::cancelled()),
            result = delivery => result,
            error = self.watch.hopeless() => return Err(self.error(&error)),
        };
        let result: OwnedDeliveryResult = result.map_err(|_| self.error(&KafkaError::Canceled))?;
        let delivery = result.map_err(|(error, _)| self.error(&error))?;
        self.acknowledged += 1;
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
    pub(super) async fn commit(&self, limit: Duration) -> Result<(), TaskError> {
        self.step("commit", limit, Producer::commit_transaction).await
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
