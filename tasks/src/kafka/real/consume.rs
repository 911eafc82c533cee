//! `kafka.consume` and `kafka.commit`: every attempt reads the same records, and nothing is lost or read twice.

use datafusion::arrow::array::Array as _;
use datafusion::arrow::array::cast::AsArray as _;
use datafusion::arrow::datatypes::{Float64Type, Int32Type, Int64Type, TimestampMillisecondType};
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::{Offset, TopicPartitionList};
use updraft_task::{Task, TaskError, Timestamp, Verdict};

use super::*;
use crate::kafka::{CommitReport, ConsumeReport, KafkaCommit, KafkaConsume, KafkaPublish};

async fn consume(run: &TestRun, (task, try_no): (&str, u32), with: Value) -> Result<ConsumeReport, TaskError> {
    let mut all = json!({ "output": { "prefix": format!("out/{task}") } });
    all.as_object_mut().unwrap().extend(with.as_object().unwrap().clone());
    KafkaConsume::run(serde_json::from_value(all).unwrap(), &run.context(task, try_no, None)).await
}

async fn commit(run: &TestRun, topic: &str, group: &str, offsets: &Value) -> Result<CommitReport, TaskError> {
    let with = json!({ "topic": topic, "group": group, "offsets": offsets });
    KafkaCommit::run(serde_json::from_value(with).unwrap(), &run.context("commit", 1, None)).await
}

async fn publish(run: &TestRun, topic: &str, input: &Dataset) {
    let with = json!({ "input": input, "topic": topic, "key": "icao24" });
    let task = format!("{topic}-{}", input.rows);
    KafkaPublish::run(serde_json::from_value(with).unwrap(), &run.context(&task, 1, None)).await.unwrap();
}

async fn table(run: &TestRun, dataset: &Dataset) -> RecordBatch {
    let lake = run.context("x", 1, None).lake().unwrap();
    let (schema, batches) = crate::parquet::read_batches(&lake, dataset).await.unwrap();
    datafusion::arrow::compute::concat_batches(&schema, &batches).unwrap()
}

fn texts(table: &RecordBatch, column: &str) -> Vec<String> {
    table.column_by_name(column).unwrap().as_string::<i32>().iter().flatten().map(str::to_owned).collect()
}

fn offsets(table: &RecordBatch) -> Vec<(i32, i64)> {
    let partitions = table.column_by_name("_partition").unwrap().as_primitive::<Int32Type>();
    let offsets = table.column_by_name("_offset").unwrap().as_primitive::<Int64Type>();
    partitions.values().iter().copied().zip(offsets.values().iter().copied()).collect()
}

fn columns() -> Value {
    json!([{ "name": "icao24", "type": "Utf8", "nullable": false }, { "name": "number", "type": "Int64" }])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_attempt_reads_the_same_records_and_the_next_task_goes_on_where_it_ended() {
    let Some((prefix, servers)) = shared().await else { return };
    let topic = prefix.of("flights");
    prefix.address().create_topic(&topic, 3, &[]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let run = run_at(folder.path(), &servers, &prefix.of("batches"));
    publish(&run, &topic, &rows(&run, (500, 0), "w/a").await).await;
    // What is aborted is not read, what is open is not waited for.
    let aborted = open_transaction(&servers, &prefix.of("aborted"), (&topic, 0)).await;
    end_transaction(aborted, false).await;
    let open = open_transaction(&servers, &prefix.of("open"), (&topic, 1)).await;

    let with = json!({ "topic": topic, "columns": columns() });
    let first = consume(&run, ("read", 1), with.clone()).await.unwrap();
    assert_eq!((first.rows, first.quarantined, first.tombstones, first.lost), (500, 0, 0, 0));
    assert_eq!((first.quarantine.as_ref(), first.partitions.len(), first.lag), (None, 3, 1));
    let one = &first.partitions["1"];
    assert_eq!((one.end, one.stable, one.high, one.lag), (one.stable, one.high - 1, one.stable + 1, 1));
    for part in first.partitions.values() {
        assert_eq!((part.start, part.low), (0, 0));
        assert!(part.read > 0 && i64::try_from(part.read).unwrap() < part.end, "markers have offsets: {part:?}");
    }
    let table_1 = table(&run, &first.dataset).await;
    let names: Vec<_> = first.dataset.schema.iter().map(|column| column.name.as_str()).collect();
    assert_eq!(names, ["icao24", "number", "_topic", "_partition", "_offset", "_timestamp", "_key"]);
    assert_eq!(texts(&table_1, "icao24"), texts(&table_1, "_key"));
    assert_eq!(texts(&table_1, "icao24").into_iter().collect::<BTreeSet<_>>().len(), 500);
    assert!(offsets(&table_1).is_sorted());
    let times = table_1.column_by_name("_timestamp").unwrap().as_primitive::<TimestampMillisecondType>();
    assert!(times.null_count() == 0 && times.value(0) > 1_700_000_000_000);

    // More comes, and the open transaction is committed; the repeated attempt sees nothing of it.
    end_transaction(open, true).await;
    publish(&run, &topic, &rows(&run, (40, 0), "w/b").await).await;
    let again = consume(&run, ("read", 2), with.clone()).await.unwrap();
    assert_eq!((&again.dataset, &again.offsets), (&first.dataset, &first.offsets));
    assert!(again.lag > 40);

    let more = json!({ "topic": topic, "columns": columns(), "from": { "offsets": first.offsets } });
    let rest = consume(&run, ("rest", 1), more).await.unwrap();
    assert_eq!((rest.rows, rest.lag), (41, 0));
    let table_2 = table(&run, &rest.dataset).await;
    let all: BTreeSet<_> = offsets(&table_1).into_iter().chain(offsets(&table_2)).collect();
    assert_eq!(all.len(), 541);
    // Nothing new: a dataset without rows that has its columns.
    let nothing = json!({ "topic": topic, "columns": columns(), "from": { "offsets": rest.offsets } });
    let nothing = consume(&run, ("nothing", 1), nothing).await.unwrap();
    assert_eq!((nothing.rows, nothing.dataset.schema), (0, first.dataset.schema));
    let all = json!({ "topic": topic, "isolation": "all" });
    assert_eq!(consume(&run, ("all", 1), all).await.unwrap().rows, 542, "with the aborted one");
    apart(move || drop(prefix)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_a_row_goes_to_the_quarantine_with_its_reason_and_its_bytes() {
    let Some((prefix, servers)) = shared().await else { return };
    let topic = prefix.of("flights");
    prefix.address().create_topic(&topic, 2, &[]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let run = run_at(folder.path(), &servers, &prefix.of("batches"));
    let good = br#"{"icao24":"good","number":1,"velocity_mps":1.5}"#;
    let sent: Vec<(i32, Option<&[u8]>, Option<&[u8]>, Option<i64>)> = vec![
        (0, Some(b"a"), Some(good), None),
        (0, Some(b"b"), Some(b"\xff\xfe"), None),
        (0, Some(b"c"), Some(b"{\"icao24\":\"c\""), None),
        (0, Some(b"d"), Some(br#"{"icao24":"d","number":"many"}"#), None),
        (0, Some(b"e"), None, None),
        (1, Some(b"f"), Some(br#"{"number":7}"#), None),
        (1, Some(b"\xff"), Some(good), None),
        (1, None, Some(good), None),
        (1, Some(b"g"), Some(b""), None),
    ];
    send(&servers, &topic, sent).await;
    let columns = json!([
        { "name": "icao24", "type": "Utf8", "nullable": false },
        { "name": "number", "type": "Int64" },
        { "name": "velocity_mps", "type": "Float64" },
    ]);
    let with = json!({ "topic": topic, "columns": columns });
    let report = consume(&run, ("read", 1), with.clone()).await.unwrap();
    assert_eq!((report.rows, report.quarantined, report.tombstones), (2, 6, 1));
    assert_eq!(report.partitions.values().map(|part| part.read).sum::<u64>(), 9);
    assert_eq!((report.partitions["0"].quarantined, report.partitions["1"].quarantined), (3, 3));
    let good = table(&run, &report.dataset).await;
    assert_eq!(good.column_by_name("velocity_mps").unwrap().as_primitive::<Float64Type>().values(), &[1.5, 1.5]);
    assert_eq!(offsets(&good), [(0, 0), (1, 2)]);

    let quarantine = report.quarantine.clone().unwrap();
    assert_eq!(quarantine.uri, format!("quarantine/{}", report.dataset.uri));
    let poison = table(&run, &quarantine).await;
    let mut found: Vec<_> = texts(&poison, "check")
        .into_iter()
        .zip(texts(&poison, "key_base64"))
        .zip(texts(&poison, "value_base64"))
        .map(|((check, key), value)| (check, key, value))
        .collect();
    found.sort();
    let base64 = |bytes: &[u8]| data_encoding::BASE64.encode(bytes);
    let mut expected = vec![
        ("json".to_owned(), base64(b"b"), base64(b"\xff\xfe")),
        ("json".to_owned(), base64(b"c"), base64(b"{\"icao24\":\"c\"")),
        ("columns".to_owned(), base64(b"d"), base64(br#"{"icao24":"d","number":"many"}"#)),
        ("columns".to_owned(), base64(b"f"), base64(br#"{"number":7}"#)),
        ("key".to_owned(), base64(b"\xff"), base64(br#"{"icao24":"good","number":1,"velocity_mps":1.5}"#)),
        ("json".to_owned(), base64(b"g"), base64(b"")),
    ];
    expected.sort();
    assert_eq!(found, expected);
    assert!(texts(&poison, "reason").iter().all(|reason| reason.len() > 10), "{:?}", texts(&poison, "reason"));
    assert_eq!(consume(&run, ("read", 2), with).await.unwrap(), report);

    // As text everything but what is not UTF-8; keys as bytes; and no record says its schema.
    let text = json!({ "topic": topic, "key": "base64" });
    let text = consume(&run, ("text", 1), text).await.unwrap();
    assert_eq!((text.rows, text.quarantined), (7, 1));
    assert!(texts(&table(&run, &text.dataset).await, "_key").contains(&base64(b"\xff")));
    let schema = json!({ "topic": topic, "key": "base64", "schema": "flight_state/1" });
    assert_eq!(consume(&run, ("schema", 1), schema).await.unwrap().quarantined, 8);
    apart(move || drop(prefix)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn by_time_each_record_is_in_one_interval_and_transactions_open_at_its_end_are_waited_for() {
    let Some((prefix, servers)) = shared().await else { return };
    let topic = prefix.of("flights");
    prefix.address().create_topic(&topic, 2, &[]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let run = run_at(folder.path(), &servers, &prefix.of("batches"));
    let hour = |hour: i64| Timestamp::from_millis(1_767_225_600_000 + hour * 3_600_000);
    let value = Some(&b"{}"[..]);
    let sent = (0..40).map(|at| (0, None, value, Some(hour(0).as_millis() + at * 360_000))).collect();
    send(&servers, &topic, sent).await;
    let between = |from: i64, to: i64| json!({ "topic": topic, "from": { "timestamp": hour(from).to_string() }, "to": { "timestamp": hour(to).to_string() } });
    for (from, to, count, start) in [(0, 1, 10, 0), (1, 2, 10, 10), (3, 4, 10, 30), (4, 5, 0, 40), (-5, 9, 40, 0)] {
        let report = consume(&run, (&format!("hour{from}-{to}"), 1), between(from, to)).await.unwrap();
        assert_eq!((report.rows, report.partitions["0"].start), (count, start), "{from} to {to}");
        assert_eq!(report.partitions["1"].end, 0);
    }

    // A transaction is open before the end: its record belongs to the interval once it is committed.
    let open = open_transaction(&servers, &prefix.of("open"), (&topic, 0)).await;
    let late = json!({ "topic": topic, "to": { "timestamp": "2999-01-01T00:00:00Z" }, "timeout_ms": 1_000 });
    let error = consume(&run, ("late", 1), late.clone()).await.unwrap_err();
    assert_eq!((error.class(), error.verdict()), ("NotStable", &Verdict::Retry { after: None }), "{error}");
    end_transaction(open, true).await;
    assert_eq!(consume(&run, ("late", 2), late).await.unwrap().rows, 41);
    apart(move || drop(prefix)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_deleted_below_the_start_fail_the_task_or_are_counted() {
    let Some((prefix, servers)) = shared().await else { return };
    let topic = prefix.of("flights");
    prefix.address().create_topic(&topic, 1, &[]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let run = run_at(folder.path(), &servers, &prefix.of("batches"));
    let value = Some(&b"{}"[..]);
    send(&servers, &topic, (0..20).map(|_| (0, None, value, None)).collect()).await;
    let with = |on_gone: &str| json!({ "topic": topic, "from": { "offsets": { "0": 3 } }, "on_gone": on_gone });
    let first = consume(&run, ("read", 1), with("fail")).await.unwrap();
    assert_eq!(first.rows, 17);

    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", &servers).create().unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(&topic, 0, Offset::Offset(8)).unwrap();
    admin.delete_records(&list, &AdminOptions::new()).await.unwrap();
    for task in ["read", "new"] {
        let error = consume(&run, (task, 2), with("fail")).await.unwrap_err();
        assert_eq!((error.class(), error.verdict()), ("OffsetsGone", &Verdict::Fail), "{error}");
        assert!(error.message().contains("3 to 20") && error.message().contains("8 to 20"), "{error}");
    }
    let skipped = consume(&run, ("skip", 1), with("skip")).await.unwrap();
    assert_eq!((skipped.rows, skipped.lost, skipped.partitions["0"].start), (12, 5, 3));
    let beginning = consume(&run, ("beginning", 1), json!({ "topic": topic })).await.unwrap();
    assert_eq!((beginning.rows, beginning.lost, beginning.partitions["0"].start), (12, 0, 8));
    // An offset that never was: the topic was made anew.
    let beyond = json!({ "topic": topic, "from": { "offsets": { "0": 99 } } });
    assert_eq!(consume(&run, ("beyond", 1), beyond).await.unwrap_err().class(), "OffsetsGone");
    for (with, class) in [
        (json!({ "topic": prefix.of("none") }), "UnknownTopic"),
        (json!({ "topic": topic, "from": { "offsets": { "7": 0 } } }), "BadParameters"),
        (json!({ "topic": topic, "from": "group" }), "BadParameters"),
        (json!({ "topic": topic, "group": "g" }), "BadParameters"),
    ] {
        assert_eq!(consume(&run, ("wrong", 1), with).await.unwrap_err().class(), class);
    }
    apart(move || drop(prefix)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn markers_aborted_records_and_compacted_ones_do_not_hold_the_reading_up() {
    let Some((prefix, servers)) = shared().await else { return };
    let topic = prefix.of("flights");
    let settings = [
        ("cleanup.policy", "compact"),
        ("segment.ms", "100"),
        ("min.cleanable.dirty.ratio", "0.001"),
        ("max.compaction.lag.ms", "100"),
    ];
    prefix.address().create_topic(&topic, 2, &settings).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let run = run_at(folder.path(), &servers, &prefix.of("batches"));
    // Partition 1 holds nothing but what is never seen.
    end_transaction(open_transaction(&servers, &prefix.of("aborted"), (&topic, 1)).await, false).await;
    let value = Some(&b"{}"[..]);
    send(&servers, &topic, (0..50).map(|_| (0, Some(&b"same"[..]), value, None)).collect()).await;
    let with = json!({ "topic": topic, "timeout_ms": 20_000 });
    let mut report = consume(&run, ("read", 1), with.clone()).await.unwrap();
    assert_eq!((report.rows, report.partitions["1"].read, report.partitions["1"].end), (50, 0, 2));
    let started = std::time::Instant::now();
    let mut tries = 1;
    while report.rows > 10 && started.elapsed() < Duration::from_secs(90) {
        // A segment that is written to is not compacted: this closes it. The reading itself stays where it was.
        tokio::time::sleep(Duration::from_secs(2)).await;
        send(&servers, &topic, vec![(0, Some(b"same"), value, None)]).await;
        tries += 1;
        report = consume(&run, ("read", tries), with.clone()).await.unwrap();
    }
    assert!(report.rows <= 10, "nothing was compacted");
    assert_eq!((report.partitions["0"].start, report.partitions["0"].end), (0, 50));
    apart(move || drop(prefix)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_moves_by_commit_alone_and_runs_that_follow_lose_and_double_nothing() {
    let Some((prefix, servers)) = shared().await else { return };
    let (topic, group) = (prefix.of("flights"), prefix.of("archive"));
    prefix.address().create_topic(&topic, 2, &[]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let run = run_at(folder.path(), &servers, &prefix.of("batches"));
    let with = json!({ "topic": topic, "from": "group", "group": group, "columns": columns() });
    publish(&run, &topic, &rows(&run, (300, 0), "w/a").await).await;
    let failed = consume(&run, ("run1", 1), with.clone()).await.unwrap();
    // Its run came to nothing, so nothing was committed: the next one reads the same and more, as the same batch.
    publish(&run, &topic, &rows(&run, (50, 0), "w/b").await).await;
    let first = consume(&run, ("run2", 1), with.clone()).await.unwrap();
    assert_eq!((failed.rows, first.rows), (300, 350));
    assert_eq!(failed.dataset.batch_id, first.dataset.batch_id);
    let moved = commit(&run, &topic, &group, &json!(first.offsets)).await.unwrap();
    assert_eq!((moved.moved, moved.ahead), (2, 0));
    assert_eq!(commit(&run, &topic, &group, &json!(first.offsets)).await.unwrap().moved, 0);

    publish(&run, &topic, &rows(&run, (20, 0), "w/c").await).await;
    // An attempt after the commit still reads what the first attempt read.
    assert_eq!(consume(&run, ("run2", 2), with.clone()).await.unwrap().dataset, first.dataset);
    let second = consume(&run, ("run3", 1), with).await.unwrap();
    assert_eq!(second.rows, 20);
    assert_ne!(second.dataset.batch_id, first.dataset.batch_id);
    commit(&run, &topic, &group, &json!(second.offsets)).await.unwrap();
    let old = commit(&run, &topic, &group, &json!(first.offsets)).await.unwrap();
    assert_eq!((old.moved, old.ahead), (0, 2), "a group is not moved back");
    let beyond = commit(&run, &topic, &group, &json!({ "0": 1_000_000 })).await.unwrap_err();
    assert_eq!(beyond.class(), "OffsetsGone");
    let nowhere = commit(&run, &topic, &group, &json!({ "9": 1 })).await.unwrap_err();
    assert_eq!(nowhere.class(), "BadParameters");
    apart(move || drop(prefix)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_killed_in_the_middle_of_the_reading_is_waited_for_or_met_by_the_next_attempt() {
    const ROWS: usize = 300_000;
    let Some((broker, servers)) = own().await else { return };
    broker.address().create_topic("flights", 2, &[]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let run = run_at(folder.path(), &servers, "updraft.batches");
    publish(&run, "flights", &rows(&run, (ROWS, 0), "w/a").await).await;
    let with = json!({ "topic": "flights", "columns": columns() });
    let mut broker = broker;
    for (task, timeout_ms, comes_back) in [("patient", 60_000, true), ("hasty", 1_500, false)] {
        let with = {
            let mut with = with.clone();
            with["timeout_ms"] = json!(timeout_ms);
            with
        };
        // The first row group is on disk: more than a third is read, and not all.
        let file = run.context(task, 1, None).scratch_dir().unwrap().join("rows.parquet");
        let outage = tokio::task::spawn_blocking(move || {
            while std::fs::metadata(&file).map_or(0, |file| file.len()) < 1_000 {
                std::thread::sleep(Duration::from_millis(2));
            }
            broker.kill().unwrap();
            if comes_back {
                broker.start_again().unwrap();
            }
            broker
        });
        let result = consume(&run, (task, 1), with.clone()).await;
        broker = outage.await.unwrap();
        let report = if comes_back {
            result.unwrap()
        } else {
            let error = result.unwrap_err();
            assert_eq!((error.class(), error.verdict()), ("Broker", &Verdict::Retry { after: None }), "{error}");
            broker = apart(move || {
                broker.start_again().unwrap();
                broker
            })
            .await;
            consume(&run, (task, 2), json!({ "topic": "flights", "columns": columns() })).await.unwrap()
        };
        let found = table(&run, &report.dataset).await;
        let keys: BTreeSet<_> = texts(&found, "icao24").into_iter().collect();
        assert_eq!((report.rows, found.num_rows(), keys.len()), (ROWS as u64, ROWS, ROWS), "{task}");
    }
    apart(move || drop(broker)).await;
}
