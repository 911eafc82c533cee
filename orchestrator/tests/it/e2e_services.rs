//! The flagship, unchanged, on real servers (`--profile services`): what it leaves in Kafka, ClickHouse, PostgreSQL, S3 and the marts, and
//! what a second run of the interval changes (nothing). What a `kill -9` costs: `e2e_kills`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message as _;
use rdkafka::{Offset, TopicPartitionList};
use serde_json::{Value, json};
use updraft_testkit::opensky::Standin;
use updraft_testkit::postgres;
use updraft_testkit::services::kafka;
use updraft_testkit::services::set::Set;

use crate::e2e_batch::run_with;
use crate::e2e_support::{EUROPE, LOGICAL_DATE, MARTS, Project, WORKFLOW, dbt_python, standin, tell};

const MIGRATE: &str = "workflows/opensky/migrate.yaml";
pub const PROFILE: [&str; 2] = ["--profile", "services"];
/// What stands in the database on both warehouses, for one batch and for all.
const STATES_TABLE: [(&str, &str); 2] = [("clickhouse", "flights_streaming"), ("postgres", "processed_flights")];

/// Rules of `data_quality_check`.
const RULES: u64 = 27;

/// A project whose profile `services` names servers of this test's own.
pub struct Stage {
    pub project: Project,
    pub servers: Set,
    _standin: Standin,
}

impl Stage {
    /// With the tables made; `None`, after a loud skip, if a server or dbt cannot be had.
    pub fn new(recording: PathBuf) -> Option<Self> {
        dbt_python()?;
        let servers = Set::start().unwrap()?;
        let standin = standin(recording);
        let project = Project::new(&standin)
            .with_workflow(MIGRATE, &["workflows/opensky/clickhouse", "workflows/opensky/postgres"]);
        servers.write_profile(&project.folder().join(".updraft/services.yaml")).unwrap();
        project.said(&[&["run", MIGRATE], &PROFILE[..]].concat());
        Some(Self { project, servers, _standin: standin })
    }

    pub fn found(&self) -> BTreeMap<String, Value> {
        let mut found = BTreeMap::new();
        let topics = ["raw_flights", "raw_flights.dlq", "updraft.batches"];
        for topic in topics {
            let (records, keys) = committed(self.servers.kafka(), topic);
            found.insert(format!("kafka {topic}: records"), json!(records));
            found.insert(format!("kafka {topic}: keys"), json!(keys.len()));
        }
        for (engine, table) in STATES_TABLE {
            let of = if engine == "clickhouse" { format!("{table} final") } else { table.to_owned() };
            let count = |what: &str| self.number(engine, &format!("select {what} from {of}"));
            found.insert(format!("{engine} {table}: rows"), count("count(*)"));
            found.insert(format!("{engine} {table}: aircraft"), count("count(distinct icao24)"));
            found.insert(
                format!("{engine} {table}: on the ground"),
                count("sum(case when on_ground then 1 else 0 end)"),
            );
        }
        let rows = self.number("clickhouse", "select count(*) from flights_streaming");
        found.insert("clickhouse flights_streaming: rows as they lie".to_owned(), rows);
        let rows = self.number("clickhouse", "select countMerge(states) from country_statistics_hourly");
        found.insert("clickhouse country_statistics_hourly: states".to_owned(), rows);
        for engine in ["clickhouse", "postgres"] {
            // Of one run: a second one adds its own.
            let rules = self.number(engine, "select count(distinct check_name) from quality_results");
            found.insert(format!("{engine} quality_results: rules"), rules);
        }
        let objects = self.servers.s3().client().list(Set::BUCKET, "").unwrap();
        let raw = objects.iter().filter(|key| key.ends_with(".json.gz")).count();
        found.insert("s3: raw answers".to_owned(), json!(raw));
        found.insert("s3: objects".to_owned(), json!(objects.len()));
        for mart in MARTS {
            found.insert(
                format!("mart {mart}: rows"),
                self.number("clickhouse", &format!("select count(*) from {mart}")),
            );
        }
        found
    }

    /// A number from the flagship's database on one of the warehouses.
    pub fn number(&self, engine: &str, query: &str) -> Value {
        let text = if engine == "clickhouse" {
            let database = Set::DATABASE;
            // Each statement is a session of its own.
            let query = MARTS
                .iter()
                .chain(&["flights_streaming", "flights_batch", "country_statistics_hourly", "quality_results"])
                .fold(query.to_owned(), |query, table| {
                    query.replace(&format!("from {table}"), &format!("from {database}.{table}"))
                });
            self.servers.clickhouse().query(&query).unwrap()
        } else {
            let url = self.servers.postgres_url().unwrap();
            postgres::texts(&url, &format!("select cast(({query}) as text)")).unwrap().remove(0)
        };
        text.parse::<u64>().map_or(Value::String(text), Value::from)
    }

    /// Waits until records of a publish that has begun are on the broker; none of them is committed.
    pub fn wait_for_records(&self) {
        let limit = Instant::now() + Duration::from_secs(20);
        while self.servers.kafka().end_offsets("raw_flights").unwrap().iter().all(|end| *end == 0) {
            assert!(Instant::now() < limit, "no record came");
        }
    }

    fn marts(&self) -> BTreeMap<&'static str, String> {
        let rows = |mart: &str| {
            let query = format!("select * from {}.{mart} order by all format JSONCompactEachRow", Set::DATABASE);
            self.servers.clickhouse().query(&query).unwrap()
        };
        MARTS.iter().map(|mart| (*mart, rows(mart))).collect()
    }
}

/// Committed records of a topic, and their keys.
fn committed(broker: &kafka::Address, topic: &str) -> (usize, BTreeSet<Vec<u8>>) {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", broker.bootstrap_servers())
        .set("group.id", "e2e_services")
        .set("enable.auto.commit", "false")
        .set("isolation.level", "read_committed")
        .set("enable.partition.eof", "true")
        .create()
        .unwrap();
    let partitions = broker.end_offsets(topic).unwrap().len();
    let mut all = TopicPartitionList::new();
    for partition in 0..partitions {
        all.add_partition_offset(topic, i32::try_from(partition).unwrap(), Offset::Beginning).unwrap();
    }
    consumer.assign(&all).unwrap();
    let (mut records, mut keys, mut ends) = (0, BTreeSet::new(), BTreeSet::new());
    while ends.len() < partitions {
        match consumer.poll(Duration::from_secs(20)).expect("the broker answers") {
            Ok(message) => {
                records += 1;
                keys.insert(message.key().unwrap_or_default().to_vec());
            }
            Err(KafkaError::PartitionEOF(partition)) => drop(ends.insert(partition)),
            Err(error) => panic!("{topic}: {error}"),
        }
    }
    (records, keys)
}

fn show(title: &str, found: &BTreeMap<String, Value>, expected: &BTreeMap<String, Value>) {
    tell(title);
    for (what, value) in found {
        let expected = expected.get(what).map_or_else(|| "-".to_owned(), Value::to_string);
        tell(&format!("  {what:<48} expected {expected:>6}  found {value:>6}"));
    }
}

/// What any undisturbed run of `states` states of one region leaves.
pub fn expected(states: u64, aircraft: u64, on_ground: u64) -> BTreeMap<String, Value> {
    let mut expected: BTreeMap<String, Value> = [
        ("kafka raw_flights: records", states),
        ("kafka raw_flights: keys", aircraft),
        ("kafka raw_flights.dlq: records", 0),
        ("kafka updraft.batches: records", 1),
        ("clickhouse flights_streaming: rows as they lie", states),
        ("clickhouse country_statistics_hourly: states", states),
        ("clickhouse quality_results: rules", RULES),
        ("postgres quality_results: rules", RULES),
        ("s3: raw answers", 1),
        ("mart fact_flight_activity: rows", states),
    ]
    .map(|(what, number)| (what.to_owned(), json!(number)))
    .into();
    for (engine, table) in STATES_TABLE {
        expected.insert(format!("{engine} {table}: rows"), json!(states));
        expected.insert(format!("{engine} {table}: aircraft"), json!(aircraft));
        expected.insert(format!("{engine} {table}: on the ground"), json!(on_ground));
    }
    expected
}

#[track_caller]
pub fn all_there(found: &BTreeMap<String, Value>, expected: &BTreeMap<String, Value>) {
    for (what, value) in expected {
        assert_eq!(found.get(what), Some(value), "{what}");
    }
}

#[test]
fn europe_gives_its_known_numbers_on_all_services_and_a_second_run_of_the_interval_changes_nothing() {
    let Some(recording) = updraft_testkit::shared_data_file(EUROPE) else { return };
    let Some(stage) = Stage::new(recording) else { return };
    // A machine without certificates of authorities reaches servers without TLS all the same.
    let migrate = stage.project.program(&[&["run", MIGRATE], &PROFILE[..]].concat());
    let bare = migrate.env("SSL_CERT_FILE", "/nowhere").env("SSL_CERT_DIR", "/nowhere").run().unwrap();
    assert_eq!(bare.code(), Some(0), "{}", bare.err);
    let arguments = [&PROFILE[..], &["-p", "regions=[\"europe\"]", "--logical-date", LOGICAL_DATE]].concat();
    let first = stage.project.run(&arguments).ended_with(0);
    let (found, marts) = (stage.found(), stage.marts());
    let expected = expected(1_744, 1_744, 168);
    show("the flagship on services, Europe", &found, &expected);
    all_there(&found, &expected);
    assert_eq!(first.task("load_processed")["output"]["inserted"], 1_744);
    assert_eq!(first.task("load_processed")["output"]["targets"].as_array().map(Vec::len), Some(2));

    let second = stage.project.run(&arguments).ended_with(0);
    assert_eq!(second.task("collect_flight_data")["output"]["reused"], true);
    let again = stage.found();
    show("the same interval a second time", &again, &found);
    assert_eq!(again, found);
    for (name, rows) in stage.marts() {
        assert_eq!(rows, marts[name], "{name}");
    }

    // The marts on PostgreSQL, by settings alone.
    let on_postgres = [("UPDRAFT_CONN_DBT__TARGET", "postgres"), ("UPDRAFT_CONN_DBT__WAREHOUSE", "postgres")];
    run_with(&stage.project, &[&[WORKFLOW], &arguments[..]].concat(), |program| {
        on_postgres.iter().fold(program, |program, (name, value)| program.env(name, *value))
    })
    .ended_with(0);
    for mart in MARTS {
        let rows = stage.number("postgres", &format!("select count(*) from opensky.{mart}"));
        assert_eq!(Some(&rows), found.get(&format!("mart {mart}: rows")), "{mart}");
    }
}
