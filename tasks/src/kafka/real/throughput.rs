//! A report: a million flight states through `kafka.publish` and `kafka.consume`, beside Kafka's own tools in the same run.

use std::fmt::Write as _;
use std::time::Instant;

use updraft_task::Task;
use updraft_testkit::services::kafka::Address;

use super::*;
use crate::kafka::{KafkaConsume, KafkaPublish};
use crate::million::{self, peak_mib};

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn rate(begun: Instant) -> (f64, f64) {
    let seconds = begun.elapsed().as_secs_f64();
    (seconds, million::STATES as f64 / seconds)
}

/// The line of a tool's answer in which `find` finds a rate, and the rate.
fn tool_rate(address: &Address, class: &str, arguments: &[&str], find: fn(&str) -> Option<f64>) -> (String, f64) {
    let said = address.tool(class, arguments, "").unwrap();
    let (line, rate) = said.lines().rev().find_map(|line| find(line).map(|rate| (line, rate))).expect("a rate");
    (line.to_owned(), rate)
}

/// `cargo test --release -p updraft-tasks --lib one_million_states_through_kafka -- --ignored --nocapture`
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "prints figures; takes minutes"]
#[expect(clippy::print_stdout, reason = "figures")]
async fn one_million_states_through_kafka_beside_its_own_tools() {
    let Some((broker, servers)) = own().await else { return };
    let address = broker.address().clone();
    for topic in ["ours", "theirs"] {
        address.create_topic(topic, 6, &[]).unwrap();
    }
    let folder = tempfile::tempdir().unwrap();
    let run = run_at(folder.path(), &servers, "updraft.batches");
    let input = million::dataset(&run).await;
    println!("peak before: {} MiB", peak_mib());

    let with = json!({ "input": input, "topic": "ours", "key": "icao24", "schema": "flight_state" });
    let begun = Instant::now();
    let report =
        KafkaPublish::run(serde_json::from_value(with).unwrap(), &run.context("publish", 1, None)).await.unwrap();
    let (seconds, ours) = rate(begun);
    assert_eq!(report.sent, 1_000_000);
    let size = report.bytes / report.sent;
    println!("kafka.publish: {seconds:.2} s, {ours:.0} records/s of {size} bytes, peak {} MiB", peak_mib());

    let sample = million::states(0);
    let values = crate::kafka::rows::to_json(&sample, 1).unwrap();
    let payload = folder.path().join("values.txt");
    let mut lines = String::new();
    for value in values {
        writeln!(lines, "{value}").unwrap();
    }
    std::fs::write(&payload, lines).unwrap();
    let payload = payload.display().to_string();
    let producer = {
        let address = address.clone();
        apart(move || {
            let arguments = [
                "--topic",
                "theirs",
                "--num-records",
                "1000000",
                "--throughput",
                "-1",
                "--payload-file",
                &payload,
                "--transactional-id",
                "perf",
                "--transaction-duration-ms",
                "800000",
                "--command-property",
                "acks=all",
                "enable.idempotence=true",
                "compression.type=zstd",
                "linger.ms=50",
                "transaction.timeout.ms=900000",
            ];
            tool_rate(&address, "org.apache.kafka.tools.ProducerPerformance", &arguments, |line| {
                let (_, rest) = line.split_once("1000000 records sent, ")?;
                rest.split_once(" records/sec")?.0.replace(',', "").trim().parse().ok()
            })
        })
        .await
    };
    println!("kafka-producer-perf-test, values of the same form, one transaction: {}", producer.0);
    println!("kafka.publish / kafka-producer-perf-test: {:.2}", ours / producer.1);

    let columns = &input.schema;
    let with = json!({ "topic": "ours", "columns": columns, "output": { "prefix": "out" } });
    let begun = Instant::now();
    let report = KafkaConsume::run(serde_json::from_value(with).unwrap(), &run.context("read", 1, None)).await.unwrap();
    let (seconds, ours) = rate(begun);
    assert_eq!((report.rows, report.quarantined), (1_000_000, 0));
    println!(
        "kafka.consume, 15 typed columns to Parquet: {seconds:.2} s, {ours:.0} records/s, peak {} MiB",
        peak_mib()
    );
    let consumer = apart(move || {
        let arguments = ["--topic", "ours", "--num-records", "1000000", "--timeout", "60000"];
        tool_rate(&address, "org.apache.kafka.tools.ConsumerPerformance", &arguments, |line| {
            // Columns: start, end, MB, MB/s, records, records/s, …
            let fields: Vec<&str> = line.split(", ").collect();
            (fields.get(4)?.trim() == "1000000").then(|| fields.get(5)?.trim().parse().ok()).flatten()
        })
    })
    .await;
    println!("kafka-consumer-perf-test, bytes only: {}", consumer.0);
    println!("kafka.consume / kafka-consumer-perf-test: {:.2}", ours / consumer.1);
    apart(move || drop(broker)).await;
}
