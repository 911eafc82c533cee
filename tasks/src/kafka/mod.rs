//! Kafka: the connection kind, `kafka.publish` and `kafka.consume`. For publishing, the embedded profile uses librdkafka's own in-memory broker by the same
//! code path; it lives as long as one producer, has four partitions per topic and keeps 5 MiB or 100,000 messages of each.

mod commit;
mod connection;
mod consume;
mod fault;
mod ledger;
mod publish;
mod reader;
#[cfg(test)]
mod real;
mod rows;
mod sender;
#[cfg(test)]
mod tests;
mod topics;

pub use commit::{CommitParams, CommitReport, Committed, KafkaCommit};
pub use connection::{KafkaConnection, SecurityProtocol};
pub use consume::{ColumnSpec, ConsumeParams, ConsumeReport, End, Gone, KafkaConsume, KeyForm, PartitionRead, Start};
pub use publish::{Compression, KafkaPublish, MessageFormat, PartitionReport, PublishParams, PublishReport};
pub use reader::Isolation;
pub use topics::{Action, Change, KafkaTopics, TopicPlan, TopicSpec, TopicsParams, TopicsReport};
