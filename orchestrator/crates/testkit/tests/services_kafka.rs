//! Apache Kafka: one broker, killed and started again.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "tests say what they expect")]

use std::{
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use updraft_testkit::{
    process::PATIENCE,
    services::{
        Own,
        kafka::{self, Address, Broker},
    },
};

const PRODUCER: &str = "org.apache.kafka.tools.ConsoleProducer";
const CONSUMER: &str = "org.apache.kafka.tools.consumer.ConsoleConsumer";

fn produce(address: &Address, topic: &str, lines: &str) {
    // With acknowledgement of all copies and without doubles, as it is by default.
    address.tool(PRODUCER, &["--topic", topic], lines).unwrap();
}

fn consume(address: &Address, topic: &str, count: usize) -> Vec<String> {
    let count = count.to_string();
    let arguments =
        ["--topic", topic, "--from-beginning", "--max-messages", &count, "--timeout-ms", "30000", "--group", topic];
    let said = address.tool(CONSUMER, &arguments, "").unwrap();
    said.lines().map(str::to_owned).collect()
}

#[test]
fn topics_are_made_on_purpose_written_and_read_and_gone_with_their_prefix() {
    let Some(prefix) = kafka::fresh_prefix().unwrap() else { return };
    let (address, topic) = (prefix.address().clone(), prefix.of("flights"));
    assert!(!address.topics().unwrap().contains(&topic));
    address.create_topic(&topic, 3, &[("cleanup.policy", "compact")]).unwrap();
    let twice = address.create_topic(&topic, 3, &[]).unwrap_err();
    assert!(twice.to_string().contains("error code 36"), "{twice}");
    let wrong = address.create_topic(&prefix.of("wrong"), 1, &[("no.such.setting", "1")]).unwrap_err();
    assert!(wrong.to_string().contains("no.such.setting"), "{wrong}");
    assert_eq!(address.end_offsets(&topic).unwrap(), [0, 0, 0]);

    let plain = prefix.of("plain");
    address.create_topic(&plain, 1, &[]).unwrap();
    produce(&address, &plain, "a\nb\nc\n");
    assert_eq!(address.end_offsets(&plain).unwrap(), [3]);
    assert_eq!(consume(&address, &plain, 3), ["a", "b", "c"]);
    drop(prefix);
    let topics = address.topics().unwrap();
    assert!(!topics.contains(&topic) && !topics.contains(&plain), "{topics:?}");
}

/// Storage is formatted by Kafka's own tool, so that features have the level of today: 2 brings transactions that fence
/// by themselves.
#[test]
fn features_are_not_those_of_storage_made_by_hand() {
    let Some(address) = kafka::server().unwrap() else { return };
    // FeatureCommand has an option of another name than the rest.
    let said = address.tool("org.apache.kafka.tools.FeatureCommand", &["describe"], "").unwrap();
    let level = |name: &str| {
        let line = said.lines().find(|line| line.contains(name)).unwrap();
        let (_, rest) = line.split_once("FinalizedVersionLevel: ").unwrap();
        rest.split_whitespace().next().unwrap().to_owned()
    };
    assert_eq!((level("transaction.version").as_str(), level("group.version").as_str()), ("2", "1"));
}

#[test]
fn records_outlive_stop_and_kill_and_nothing_stays_behind() {
    let Some(mut broker) = kafka::own_server().unwrap() else { return };
    let address = broker.address().clone();
    // Without the right binding of its logging interface Kafka says nothing at all.
    let deadline = Instant::now() + PATIENCE;
    while !broker.log().contains("Kafka Server started") {
        assert!(Instant::now() < deadline, "{}", broker.log());
        thread::sleep(Duration::from_millis(20));
    }
    address.create_topic("kept", 1, &[]).unwrap();
    let ends: [fn(&mut Own<Broker>) -> anyhow::Result<()>; 2] = [Own::stop, Own::kill];
    for (i, end) in ends.into_iter().enumerate() {
        produce(&address, "kept", &format!("{i}\n"));
        end(&mut broker).unwrap();
        assert!(address.topics().is_err(), "nobody listens");
        broker.start_again().unwrap();
        assert_eq!(address.end_offsets("kept").unwrap(), [i64::try_from(i).unwrap() + 1]);
    }
    assert_eq!(consume(&address, "kept", 2), ["0", "1"]);
    let (process, folder) = (PathBuf::from(format!("/proc/{}", broker.pid().unwrap())), broker.folder().to_owned());
    drop(broker);
    assert!(!process.exists() && !folder.exists());
}
