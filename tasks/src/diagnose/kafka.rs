//! Kafka: brokers, the addresses that they give, topics.

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::metadata::Metadata;
use tokio::net::TcpStream;

use super::{Gravity, LIMIT, Needs, Problem};
use crate::kafka::KafkaConnection;

/// What the cluster says of itself.
struct Cluster {
    brokers: Vec<String>,
    topics: Vec<String>,
}

pub(super) async fn look(connection: KafkaConnection, needs: &Needs) -> Vec<Problem> {
    if connection.embedded {
        return Vec::new();
    }
    let place = connection.place().to_owned();
    let asked = tokio::task::spawn_blocking(move || ask(&connection)).await;
    let cluster = match asked {
        Ok(Ok(cluster)) => cluster,
        Ok(Err(reason)) => {
            return vec![Problem::new(
                "kafka_unreachable",
                Gravity::Unreachable,
                format!("Kafka at {place} does not answer: {reason}"),
                "start it (make up, or cargo xtask services up kafka) and look into its log (make logs SERVICE=kafka); check \
                 `bootstrap_servers`",
            )];
        }
        Err(error) => {
            return vec![Problem::new("kafka_unreachable", Gravity::Unreachable, error.to_string(), "try again")];
        }
    };
    let mut found = Vec::new();
    for broker in cluster.brokers {
        let answers = tokio::time::timeout(LIMIT, TcpStream::connect(&broker)).await.is_ok_and(|opened| opened.is_ok());
        if !answers {
            found.push(Problem::new(
                "kafka_advertised_address",
                Gravity::Error,
                format!("Kafka at {place} answers, and says that it is at {broker}, where nobody answers from here"),
                "`advertised.listeners` of the broker must be an address that this host reaches",
            ));
        }
    }
    for topic in needs.topics.iter().filter(|topic| !cluster.topics.contains(topic)) {
        found.push(Problem::new(
            "topic_missing",
            Gravity::Error,
            format!("Kafka at {place} has no topic {topic}, which a workflow names"),
            "make it: docker compose run --rm kafka-topics, cargo xtask services up kafka, or a task kafka.topics",
        ));
    }
    found
}

/// A client that has heard of an advertised address may ask there, where nobody answers: then another one asks.
fn metadata(config: &ClientConfig) -> Result<Metadata, String> {
    let ask = || config.create::<BaseConsumer>()?.fetch_metadata(None, LIMIT / 2);
    ask().or_else(|_| ask()).or_else(|_| ask()).map_err(|error| error.to_string())
}

fn ask(connection: &KafkaConnection) -> Result<Cluster, String> {
    let mut config = connection.config().map_err(|error| error.to_string())?;
    // A look is no reason to write to the log.
    config.set("log_level", "0");
    let metadata = metadata(&config)?;
    Ok(Cluster {
        brokers: metadata.brokers().iter().map(|broker| format!("{}:{}", broker.host(), broker.port())).collect(),
        topics: metadata.topics().iter().map(|topic| topic.name().to_owned()).collect(),
    })
}
