//! Kafka: brokers, the addresses that they give, topics.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::{ClientContext, Statistics};
use tokio::net::TcpStream;

use super::{Gravity, LIMIT, Needs, Problem};
use crate::kafka::KafkaConnection;

/// What the cluster says of itself.
struct Cluster {
    brokers: BTreeSet<String>,
    /// Or why it told its addresses and no more.
    topics: Result<BTreeSet<String>, String>,
}

pub(super) async fn look(connection: KafkaConnection, needs: &Needs) -> Vec<Problem> {
    if connection.embedded {
        return Vec::new();
    }
    let place = connection.place().to_owned();
    let unreachable = |reason: String| {
        vec![Problem::new(
            "kafka_unreachable",
            Gravity::Unreachable,
            format!("Kafka at {place} does not answer: {reason}"),
            "start it (make up, or cargo xtask services up kafka) and look into its log (make logs SERVICE=kafka); check \
             `bootstrap_servers`",
        )]
    };
    let asked = tokio::task::spawn_blocking(move || ask(&connection)).await;
    let cluster = match asked.map_err(|error| error.to_string()).flatten() {
        Ok(cluster) => cluster,
        Err(reason) => return unreachable(reason),
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
    let topics = match cluster.topics {
        Ok(topics) => topics,
        Err(reason) if found.is_empty() => return unreachable(reason),
        Err(_the_address_is_why) => return found,
    };
    for topic in needs.topics.iter().filter(|topic| !topics.contains(*topic)) {
        found.push(Problem::new(
            "topic_missing",
            Gravity::Error,
            format!("Kafka at {place} has no topic {topic}, which a workflow names"),
            "make it: docker compose run --rm kafka-topics, cargo xtask services up kafka, or a task kafka.topics",
        ));
    }
    found
}

/// The addresses that brokers gave a client, as its statistics tell them.
#[derive(Default)]
struct Learned(Mutex<BTreeSet<String>>);

impl ClientContext for Learned {
    fn stats(&self, statistics: Statistics) {
        let learned = statistics.brokers.into_values().filter(|broker| broker.source == "learned");
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(learned.map(|broker| broker.nodename));
    }
}

impl ConsumerContext for Learned {}

/// A client leaves `bootstrap_servers` as soon as it has heard of the advertised addresses, and asks there. If nobody answers
/// there, the metadata that it had are lost for the caller, and only its statistics still have the addresses.
fn ask(connection: &KafkaConnection) -> Result<Cluster, String> {
    let mut config = connection.config().map_err(|error| error.to_string())?;
    // A look is no reason to write to the log.
    config.set("log_level", "0").set("statistics.interval.ms", "100");
    let client: BaseConsumer<Learned> =
        config.create_with_context(Learned::default()).map_err(|error| error.to_string())?;
    let error = match client.fetch_metadata(None, LIMIT) {
        Ok(metadata) => {
            let brokers =
                metadata.brokers().iter().map(|broker| format!("{}:{}", broker.host(), broker.port())).collect();
            let topics = metadata.topics().iter().map(|topic| topic.name().to_owned()).collect();
            return Ok(Cluster { brokers, topics: Ok(topics) });
        }
        Err(error) => error.to_string(),
    };
    // Its statistics have waited all the while; the last of them may be on the way.
    let until = Instant::now() + Duration::from_secs(1);
    while Instant::now() < until {
        let _errors_of_connections = client.poll(Duration::from_millis(100));
    }
    let brokers = client.context().0.lock().unwrap_or_else(PoisonError::into_inner).clone();
    if brokers.is_empty() { Err(error) } else { Ok(Cluster { brokers, topics: Err(error) }) }
}
