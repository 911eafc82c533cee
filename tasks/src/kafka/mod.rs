//! Kafka: the connection kind, and `kafka.publish`. The embedded profile uses librdkafka's own in-memory broker by the same
//! code path; it lives as long as one producer, has four partitions per topic and keeps 5 MiB or 100,000 messages of each.

mod connection;
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

pub use connection::{KafkaConnection, SecurityProtocol};
pub use publish::{Compression, KafkaPublish, MessageFormat, PartitionReport, PublishParams, PublishReport};
