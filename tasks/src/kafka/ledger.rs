//! The compacted topic that says which batches were published: one record per batch and topic, written in the transaction
//! that published it.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::Message as _;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::RDKafkaErrorCode as Code;
use serde::{Deserialize, Serialize};
use serde_json::json;
use updraft_task::{Context, TaskError};

use super::connection::KafkaConnection;
use super::fault::task_error;
use super::publish::PartitionReport;
use super::reader::{Isolation, Reader};
use super::sender::{Ends, blocking};

/// What was published of one batch to one topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct BatchRecord {
    pub(super) batch_id: String,
    pub(super) topic: String,
    pub(super) sent: u64,
    pub(super) bytes: u64,
    pub(super) dlq: u64,
    /// sha-256 of the datasets.
    pub(super) sources: Vec<String>,
    pub(super) partitions: BTreeMap<String, PartitionReport>,
}

impl BatchRecord {
    /// The record's value.
    pub(super) fn to_json(&self) -> String {
        json!(self).to_string()
    }

    /// Where the batch ends on each partition.
    pub(super) fn ends(&self) -> Result<Ends, TaskError> {
        let mut ends = Ends::new();
        for (number, part) in &self.partitions {
            let partition = number.parse().map_err(|_| {
                let key = key(&self.batch_id, &self.topic);
                TaskError::fail("BadBatchRecord", format!("the record `{key}` tells of a partition `{number}`"))
            })?;
            ends.insert((self.topic.clone(), partition), part.last_offset + 1);
        }
        Ok(ends)
    }
}

/// Key of a batch's record. No topic's name holds a space.
pub(super) fn key(batch: &str, topic: &str) -> String {
    format!("{topic} {batch}")
}

/// The records of these keys, as far as there are any. Reads everything that was written up to now, transactions included
/// that were just being committed.
pub(super) async fn find(
    ctx: &Context,
    connection: &KafkaConnection,
    keys: &[String],
    limit: Duration,
) -> Result<Vec<Option<BatchRecord>>, TaskError> {
    let topic = connection.batches_topic.clone();
    let open = |isolation| Reader::open(connection, isolation, limit, ctx.cancelled().clone());
    let (all, committed) = (open(Isolation::All)?, open(Isolation::Committed)?);
    let (all, partitions) = blocking({
        let topic = topic.clone();
        move || all.partitions(&topic).map(|found| (all, found))
    })
    .await??;
    let Some(partitions) = partitions else {
        create(connection, limit).await?;
        return Ok(vec![None; keys.len()]);
    };
    let wanted: Vec<String> = keys.to_vec();
    blocking(move || {
        let mut found: Vec<Option<BatchRecord>> = vec![None; wanted.len()];
        for partition in partitions {
            let marks = all.watermarks(&topic, partition)?;
            committed.wait_until_stable(&topic, partition, marks.high)?;
            committed.read(&topic, partition, (marks.low, marks.high), |message| {
                let Some(at) = wanted.iter().position(|key| message.key() == Some(key.as_bytes())) else {
                    return Ok(());
                };
                let bad = |error: serde_json::Error| {
                    TaskError::fail(
                        "BadBatchRecord",
                        format!(
                            "the record {partition}/{} of {topic} with key `{}` does not read: {error}. Write a record \
                             without value for this key to have the batch published again",
                            message.offset(),
                            wanted[at]
                        ),
                    )
                };
                found[at] = message.payload().map(serde_json::from_slice).transpose().map_err(bad)?;
                Ok(())
            })?;
        }
        Ok(found)
    })
    .await?
}

async fn create(connection: &KafkaConnection, limit: Duration) -> Result<(), TaskError> {
    let topic = &connection.batches_topic;
    let doing = format!("make the batches topic {topic} at {}", connection.place());
    let admin: AdminClient<DefaultClientContext> =
        connection.config()?.create().map_err(|error| task_error(&doing, &error, None))?;
    // -1: as many copies as brokers make by default.
    let new = NewTopic::new(topic, 1, TopicReplication::Fixed(-1)).set("cleanup.policy", "compact");
    let options = AdminOptions::new().request_timeout(Some(limit)).operation_timeout(Some(limit));
    let results = admin.create_topics([&new], &options).await.map_err(|error| task_error(&doing, &error, None))?;
    for result in results {
        match result {
            Ok(_) | Err((_, Code::TopicAlreadyExists)) => {}
            Err((_, code)) => {
                return Err(task_error(&doing, &rdkafka::error::KafkaError::AdminOp(code), None));
            }
        }
    }
    Ok(())
}
