//! The flagship, unchanged, on real servers (`--profile services`): what it leaves in Kafka, ClickHouse, PostgreSQL, S3 and the marts, what
//! a second run of the interval changes (nothing), and what a `kill -9` of the process or of a server costs (time, no row).

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message as _;
use rdkafka::{Offset, TopicPartitionList};
use serde_json::{Value, json};
use updraft_testkit::opensky::Standin;
use updraft_testkit::postgres;
use updraft_testkit::process::Stream;
use updraft_testkit::services::catalog::Server;
use updraft_testkit::services::kafka;
use updraft_testkit::services::set::Set;

use crate::e2e_batch::run_with;
use crate::e2e_flagship::TASKS;
use crate::e2e_support::{
    EUROPE, LOGICAL_DATE, MARTS, Project, RUN, Ran, WORKFLOW, dbt_python, demo_recording, standin, tell,
};

const MIGRATE: &str = "workflows/opensky/migrate.yaml";
pub const PROFILE: [&str; 2] = ["--profile", "services"];
/// What stands in the database on both warehouses, for one batch and for all.
const STATES_TABLE: [(&str, &str); 2] = [("clickhouse", "flights_streaming"), ("postgres", "processed_flights")];

/// Rules of `data_quality_check`.
const RULES: u64 = 25;

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

    fn found(&self) -> BTreeMap<String, Value> {
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
    fn wait_for_records(&self) {
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
fn expected(states: u64, aircraft: u64, on_ground: u64) -> BTreeMap<String, Value> {
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
fn all_there(found: &BTreeMap<String, Value>, expected: &BTreeMap<String, Value>) {
    for (what, value) in expected {
        assert_eq!(found.get(what), Some(value), "{what}");
    }
}

#[test]
fn europe_gives_its_known_numbers_on_all_services_and_a_second_run_of_the_interval_changes_nothing() {
    let Some(recording) = updraft_testkit::shared_data_file(EUROPE) else { return };
    let Some(stage) = Stage::new(recording) else { return };
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

/// When something is killed.
#[derive(Debug, Clone, Copy)]
enum Moment {
    /// As soon as the run says that a task has begun (`running`) or ended (`succeeded`).
    Boundary(&'static str, &'static str),
    /// In the middle of a task, with so many rows that it has a middle.
    Middle(&'static str),
}

impl std::fmt::Display for Moment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Boundary(task, state) => write!(f, "{task} {state}"),
            Self::Middle(task) => write!(f, "the middle of {task}"),
        }
    }
}

const VICTIMS: [Option<Server>; 4] = [None, Some(Server::Kafka), Some(Server::Clickhouse), Some(Server::Postgres)];

fn name(victim: Option<Server>) -> &'static str {
    victim.map_or("updraft", Server::name)
}

/// Rows of a run that is cut off in the middle of a load.
const CROWD: usize = 40_000;

/// The demo's recording with so many aircraft, each with its own address; and how many of them are on the ground.
fn crowd(folder: &Path) -> (PathBuf, u64) {
    let mut answer: Value = serde_json::from_slice(&std::fs::read(demo_recording()).unwrap()).unwrap();
    let known = answer["states"].as_array().unwrap().clone();
    let states = known.iter().cycle().take(CROWD).enumerate().map(|(number, state)| {
        let mut state = state.clone();
        state[0] = json!(format!("{number:06x}"));
        state
    });
    let states: Vec<Value> = states.collect();
    let on_ground = states.iter().filter(|state| state[8] == true).count();
    answer["states"] = states.into();
    let file = folder.join("crowd.json");
    std::fs::write(&file, answer.to_string()).unwrap();
    (file, on_ground as u64)
}

/// Kills the process or a server once in a run, which must end right all the same, and says what it took.
fn survives(victim: Option<Server>, moment: Moment) {
    let folder = tempfile::tempdir().unwrap();
    let (recording, states, on_ground) = match moment {
        Moment::Boundary(..) => (demo_recording(), 509, 78),
        Moment::Middle(_) => {
            let (recording, on_ground) = crowd(folder.path());
            (recording, CROWD as u64, on_ground)
        }
    };
    let Some(mut stage) = Stage::new(recording) else { return };
    if victim == Some(Server::Postgres) {
        // Then it is also where the run itself is kept.
        let store = stage.servers.store_url().unwrap();
        stage.project = stage.project.on_store(&store);
    }
    let ran = killed(&mut stage, victim, moment).ended_with(0);
    let attempts: u64 = ran.tasks().iter().map(|task| task["attempts"].as_u64().unwrap()).sum();
    let found = stage.found();
    all_there(&found, &expected(states, states, on_ground));
    tell(&format!(
        "kill -9 of {:<10} at {:<44} {}, {attempts} attempts of {} tasks, nothing lost, nothing doubled",
        name(victim),
        format!("`{moment}`:"),
        ran.document["run"]["state"].as_str().unwrap(),
        ran.tasks().len(),
    ));
}

fn killed(stage: &mut Stage, victim: Option<Server>, moment: Moment) -> Ran {
    let arguments = [&PROFILE[..], &["-p", "regions=[\"north_america\"]", "--logical-date", LOGICAL_DATE]].concat();
    let running = stage.project.start(&arguments);
    let line = match moment {
        Moment::Boundary(task, state) => format!("{task} {state}"),
        Moment::Middle(task) => format!("{task} running"),
    };
    running.wait_for_line(Stream::Err, |said| said.contains(&line)).unwrap();
    match moment {
        Moment::Boundary(..) => {}
        Moment::Middle("publish_states") => stage.wait_for_records(),
        Moment::Middle(_) => std::thread::sleep(Duration::from_millis(800)),
    }
    let Some(server) = victim else {
        running.kill().unwrap();
        let resumed = stage.project.program(&[&["run", "--resume", "--json"], &PROFILE[..]].concat());
        let mut resumed = resumed.start().unwrap();
        resumed.close_input();
        return Ran::of(&stage.project, resumed.wait(RUN).unwrap());
    };
    stage.servers.kill(server).unwrap();
    std::thread::sleep(Duration::from_secs(2));
    stage.servers.start_again(server).unwrap();
    Ran::of(&stage.project, running.wait(RUN).unwrap())
}

#[test]
fn a_killed_process_is_resumed_without_loss_or_doubles() {
    survives(None, Moment::Boundary("publish_states", "running"));
}

#[test]
fn a_broker_killed_in_the_middle_of_a_publish_costs_nothing_but_time() {
    survives(Some(Server::Kafka), Moment::Middle("publish_states"));
}

#[test]
fn a_clickhouse_killed_in_the_middle_of_a_load_costs_nothing_but_time() {
    survives(Some(Server::Clickhouse), Moment::Middle("load_processed"));
}

#[test]
fn a_postgres_killed_in_the_middle_of_a_load_costs_nothing_but_time() {
    survives(Some(Server::Postgres), Moment::Middle("load_processed"));
}

/// Every server and the process at each task's beginning and end, and in the middle of what writes: `scripts/kill-matrix.sh`.
#[test]
#[ignore = "an hour"]
fn the_whole_matrix_of_kills() {
    let boundaries = TASKS.iter().filter(|task| **task != "notify_pipeline_completion");
    let boundaries = boundaries.flat_map(|task| ["running", "succeeded"].map(|state| Moment::Boundary(task, state)));
    let middles = ["publish_states", "load_processed", "dbt_run_models"].map(Moment::Middle);
    let moments: Vec<Moment> = boundaries.chain(middles).collect();
    let asked = std::env::var_os("UPDRAFT_KILL").unwrap_or_default().into_string().unwrap();
    let wanted = |victim: &Option<Server>| asked.is_empty() || asked.split(' ').any(|word| word == name(*victim));
    let mut failed = Vec::new();
    for victim in VICTIMS.into_iter().filter(wanted) {
        for moment in &moments {
            if std::panic::catch_unwind(|| survives(victim, *moment)).is_err() {
                let line =
                    format!("kill -9 of {:<10} at {:<44} FAILED, see above", name(victim), format!("`{moment}`:"));
                tell(&line);
                failed.push(line);
            }
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
}
