//! `kill -9` in the middle of the flagship, then `run --resume`: what was accepted does not run again, what was cut off is `lost` and
//! repeated, nothing is fetched twice, and the lake and the marts are those of a run that nobody disturbed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Headers, Message as _};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use rdkafka::{Offset, TopicPartitionList};
use updraft_testkit::opensky::{Fault, Standin};
use updraft_testkit::postgres;
use updraft_testkit::process::{Running, Stream};

use crate::e2e_support::{
    LOGICAL_DATE, Project, RUN, Ran, STATES, dbt_python, demo_recording, standin, tell, wait_until,
};

const TOPIC: &str = "raw_flights";
const PARTITIONS: i32 = 4;
const BATCH: &str = "opensky_data_pipeline/20260301T120000Z/20260301T121000Z/north_america";
/// States of the recording that is played.
const STATES_PLAYED: usize = 509;
const REGION: [&str; 4] = ["-p", "regions=[\"north_america\"]", "--logical-date", LOGICAL_DATE];

/// A moment of a run: what has been reached when the process is killed.
struct Moment {
    name: &'static str,
    reached: fn(&Scene, &str) -> bool,
    /// The task that is cut off for sure.
    cuts: Option<&'static str>,
}

const COLLECT_ASKS: Moment = Moment {
    name: "plan_collection accepted; inside collect, the answer has not come",
    reached: |scene, _| scene.standin.ledger().count(STATES) == 1,
    cuts: Some("collect_flight_data"),
};
const COLLECT_KEPT: Moment = Moment {
    name: "inside collect, the raw answer lies in the lake",
    reached: |scene, _| scene.has_answer(),
    cuts: None,
};
const COLLECTED: Moment = Moment {
    name: "collect_flight_data accepted",
    // If it was accepted at the moment before, what follows it is the first thing heard.
    reached: |_, said| any(said, &["collect_flight_data succeeded", "split_and_validate running"]),
    cuts: None,
};
const VALIDATED: Moment = Moment {
    name: "split_and_validate accepted",
    reached: |_, said| any(said, &["split_and_validate succeeded", "load_processed running"]),
    cuts: None,
};
const LOADING: Moment = Moment {
    name: "inside load, the table's file lies in the lake",
    reached: |scene, _| !scene.project.lake_files("warehouse/processed_flights").is_empty(),
    cuts: None,
};
const PUBLISHING: Moment = Moment {
    name: "inside publish, some messages are acknowledged; quality and load accepted",
    reached: |scene, said| {
        scene.messages() > 0
            && any(said, &["publish_states running"])
            && (any(said, &["dbt_run_models running"])
                || any(said, &["load_processed succeeded"]) && any(said, &["data_quality_check succeeded"]))
    },
    cuts: Some("publish_states"),
};
const DBT_RUNNING: Moment = Moment {
    name: "publish_states accepted; inside dbt run, dbt lives",
    reached: |scene, said| {
        any(said, &["publish_states succeeded"]) && any(said, &["dbt_run_models running"]) && scene.dbt_lives()
    },
    cuts: Some("dbt_run_models"),
};
const DBT_RAN: Moment =
    Moment { name: "dbt_run_models accepted", reached: |_, said| any(said, &["dbt_run_models succeeded"]), cuts: None };
const DBT_TESTING: Moment = Moment {
    name: "inside dbt test, dbt lives",
    reached: |scene, said| any(said, &["dbt_test_models running"]) && scene.dbt_lives(),
    cuts: Some("dbt_test_models"),
};
const DBT_TESTED: Moment = Moment {
    name: "dbt_test_models accepted",
    reached: |_, said| any(said, &["dbt_test_models succeeded"]),
    cuts: None,
};
const MEASURED: Moment = Moment {
    name: "update_flight_metrics accepted; inside notify, which is not answered",
    reached: |_, said| any(said, &["notify_pipeline_completion running"]),
    cuts: Some("notify_pipeline_completion"),
};

fn any(said: &str, wanted: &[&str]) -> bool {
    wanted.iter().any(|wanted| said.contains(wanted))
}

/// A project, and the API, the broker and the webhook that it speaks to. They outlive its processes.
struct Scene {
    project: Project,
    standin: Standin,
    webhook: TcpListener,
    broker: MockCluster<'static, DefaultProducerContext>,
    consumer: BaseConsumer,
}

impl Scene {
    fn new(store: Option<&str>) -> Self {
        let standin = standin(demo_recording());
        let broker = MockCluster::new(1).unwrap();
        broker.create_topic(TOPIC, PARTITIONS, 1).unwrap();
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", broker.bootstrap_servers())
            .set("group.id", "crash_recovery")
            .set("enable.auto.commit", "false")
            .create()
            .unwrap();
        let project = Project::new(&standin);
        let servers = format!("bootstrap_servers: {}", broker.bootstrap_servers());
        project.edit("updraft.yaml", "embedded: true", &servers);
        let webhook = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let hook = format!("hook: {{kind: webhook, url: \"http://{}\"}}\n      lake:", webhook.local_addr().unwrap());
        project.edit("updraft.yaml", "lake:\n", &format!("{hook}\n"));
        project.edit_workflow("{to: log}", "{to: webhook, conn: hook}");
        let project = match store {
            Some(url) => project.on_store(url),
            None => project,
        };
        Self { project, standin, webhook, broker, consumer }
    }

    fn has_answer(&self) -> bool {
        self.project.lake_files("raw-data/flights/states").keys().any(|key| key.ends_with(".json.gz"))
    }

    /// Acknowledges one more batch of messages and then none.
    fn jam_broker(&self) {
        let mut answers = vec![RDKafkaRespErr::RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT; 1_000];
        answers[0] = RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR;
        self.broker.clear_request_errors(RDKafkaApiKey::Produce);
        self.broker.request_errors(RDKafkaApiKey::Produce, &answers);
    }

    fn free_broker(&self) {
        self.broker.clear_request_errors(RDKafkaApiKey::Produce);
    }

    /// Answers what is sent to the webhook, from now on; before, connections are taken by the system alone.
    fn answer_webhook(&self) {
        let webhook = self.webhook.try_clone().unwrap();
        std::thread::spawn(move || {
            for mut connection in webhook.incoming().flatten() {
                let mut request = Vec::new();
                let mut part = [0; 4_096];
                // The body is a JSON object, the only thing in a request that ends with a brace. One that was cut off just ends.
                while !request.ends_with(b"}") {
                    match connection.read(&mut part) {
                        Ok(length) if length > 0 => request.extend_from_slice(&part[..length]),
                        Ok(_) | Err(_) => break,
                    }
                }
                connection.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").ok();
            }
        });
    }

    /// Messages that the broker holds.
    fn messages(&self) -> i64 {
        let watermarks =
            |partition| self.consumer.fetch_watermarks(TOPIC, partition, Duration::from_secs(10)).unwrap().1;
        (0..PARTITIONS).map(watermarks).sum()
    }

    /// Values by key of all messages; every one names the batch.
    fn published(&self) -> BTreeMap<String, BTreeSet<String>> {
        let mut partitions = TopicPartitionList::new();
        for partition in 0..PARTITIONS {
            partitions.add_partition_offset(TOPIC, partition, Offset::Beginning).unwrap();
        }
        self.consumer.assign(&partitions).unwrap();
        let mut values: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for _ in 0..self.messages() {
            let message = self.consumer.poll(Duration::from_secs(20)).expect("the broker holds it").unwrap();
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
            let mut headers = message.headers().expect("there are headers").iter();
            let batch = headers.find(|header| header.key == "batch_id").and_then(|header| header.value).map(text);
            assert_eq!(batch.as_deref(), Some(BATCH));
            let key = message.key().map(text).expect("there is a key");
            values.entry(key).or_default().insert(message.payload().map(text).expect("there is a value"));
        }
        values
    }

    /// Whether a process, other than the program itself, was told of the project's folder.
    fn dbt_lives(&self) -> bool {
        let folder = self.project.folder().display().to_string();
        let Ok(processes) = fs::read_dir("/proc") else { return false };
        processes.flatten().any(|process| {
            // The command line of a process that has ended, waited for or not, is empty or gone.
            fs::read(process.path().join("cmdline")).is_ok_and(|line| String::from_utf8_lossy(&line).contains(&folder))
        })
    }

    /// Attempts of the tasks whose results the store holds.
    fn accepted(&self) -> BTreeMap<String, u64> {
        let document = self.project.document(&["tasks", "latest", "--json"]);
        let tasks = document["items"].as_array().unwrap().iter();
        tasks
            .filter(|task| task["state"] == "succeeded")
            .map(|task| (task["task"].as_str().unwrap().to_owned(), task["attempts"].as_array().unwrap().len() as u64))
            .collect()
    }

    /// Lost attempts by task, as a person is shown them.
    fn lost(&self) -> BTreeMap<String, u64> {
        let mut lost = BTreeMap::new();
        for line in self.project.said(&["runs", "show", "latest"]).lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            if let [task, "attempt", _, "was", "lost", ..] = words.as_slice() {
                *lost.entry((*task).to_owned()).or_default() += 1;
            }
        }
        lost
    }

    /// Kills the process at the moment, and waits until its children are gone.
    fn kill_at(&self, running: Running, moment: &Moment) {
        wait_until(moment.name, || {
            let said = running.text(Stream::Err);
            let reached = (moment.reached)(self, &said);
            assert!(reached || Path::new(&format!("/proc/{}", running.pid())).exists(), "{said}");
            reached
        });
        let killed = running.kill().unwrap();
        assert!(killed.signal().is_some(), "{}: it had ended: {}", moment.name, killed.err);
        wait_until("dbt is gone with its worker", || !self.dbt_lives());
    }

    /// Runs, is killed at each moment in turn, is resumed each time, and ends.
    fn crash_at(&self, moments: &[Moment], tasks: &[&str]) -> Ran {
        let mut accepted = BTreeMap::new();
        let mut asked_when_kept = None;
        self.jam_broker();
        let mut running = self.project.start(&[&REGION[..], tasks].concat());
        for moment in moments {
            self.kill_at(running, moment);
            let now = self.accepted();
            for (task, attempts) in &accepted {
                assert_eq!(now.get(task), Some(attempts), "{}: {task} was accepted before", moment.name);
            }
            if let Some(cut) = moment.cuts {
                assert!(!now.contains_key(cut), "{}: {cut} is not accepted", moment.name);
            }
            let asked = self.standin.ledger().count(STATES);
            assert!(asked_when_kept.is_none_or(|before| asked == before), "{}: fetched again", moment.name);
            asked_when_kept = self.has_answer().then_some(asked);
            accepted = now;
            if moment.name == PUBLISHING.name {
                self.free_broker();
            }
            running = self.project.resume();
        }
        self.free_broker();
        self.answer_webhook();
        let ran = Ran::of(&self.project, running.wait(RUN).unwrap()).ended_with(0);
        assert!(asked_when_kept.is_none_or(|before| self.standin.ledger().count(STATES) == before), "fetched again");
        let lost = self.lost();
        tell(&format!("{} kill(s), lost attempts: {lost:?}", moments.len()));
        for task in ran.tasks() {
            let id = task["id"].as_str().unwrap();
            assert_eq!(task["state"], "succeeded", "{task}");
            let attempts = task["attempts"].as_u64().unwrap();
            assert_eq!(attempts, 1 + lost.get(id).copied().unwrap_or_default(), "{id}: once, and once for each loss");
            if let Some(before) = accepted.get(id) {
                assert_eq!(attempts, *before, "{id} was accepted before");
            }
        }
        for cut in moments.iter().filter_map(|moment| moment.cuts) {
            assert!(lost.contains_key(cut), "{cut} was cut off: {lost:?}");
        }
        ran
    }

    /// Compares all that lies there with what a run leaves that has the same answers and is not disturbed.
    fn is_as_if_undisturbed(&self, ran: &Ran, tasks: &[&str]) {
        let undisturbed = Project::with_answers_of(&self.project, &self.standin);
        let other = undisturbed.run(&[&REGION[..], tasks].concat()).ended_with(0);
        assert_eq!(self.project.lake_but_quality(), undisturbed.lake_but_quality());
        for (task, field) in [
            ("publish_states", "sent"),
            ("publish_states", "bytes"),
            ("publish_states", "batches"),
            ("load_processed", "inserted"),
        ] {
            assert_eq!(ran.task(task)["output"][field], other.task(task)["output"][field], "{task}: {field}");
        }
        if let Some(python) = dbt_python() {
            assert_eq!(self.project.quality_rows(&python), undisturbed.quality_rows(&python));
            if tasks.is_empty() {
                assert_eq!(self.project.all_marts(&python), undisturbed.all_marts(&python));
            }
        }
    }

    /// Every key once, whatever was sent twice; the same key never with two values.
    fn published_the_same_again(&self, ran: &Ran) {
        assert_eq!(ran.task("publish_states")["output"]["sent"], STATES_PLAYED, "the last delivery report");
        let published = self.published();
        assert_eq!(published.len(), STATES_PLAYED, "keys");
        let twofold: Vec<&BTreeSet<String>> = published.values().filter(|values| values.len() > 1).collect();
        assert!(twofold.is_empty(), "{twofold:?}");
    }
}

fn survives_all(store: Option<&str>) {
    let scene = Scene::new(store);
    scene.standin.fail(Fault::Slow, 1);
    let moments = [
        COLLECT_ASKS,
        COLLECT_KEPT,
        COLLECTED,
        VALIDATED,
        LOADING,
        PUBLISHING,
        DBT_RUNNING,
        DBT_RAN,
        DBT_TESTING,
        DBT_TESTED,
        MEASURED,
    ];
    let ran = scene.crash_at(&moments, &[]);
    assert_eq!(scene.standin.ledger().count(STATES), 2, "the one that was cut off, and the one that was kept");
    assert!(usize::try_from(scene.messages()).unwrap() > STATES_PLAYED, "a part was sent twice");
    scene.published_the_same_again(&ran);
    scene.is_as_if_undisturbed(&ran, &[]);
}

#[test]
fn a_run_killed_at_every_moment_on_sqlite_leaves_what_an_undisturbed_run_leaves() {
    if dbt_python().is_some() {
        survives_all(None);
    }
}

#[test]
fn a_run_killed_at_every_moment_on_postgresql_leaves_what_an_undisturbed_run_leaves() {
    if dbt_python().is_none() {
        return;
    }
    let Some(database) = postgres::fresh_database().unwrap() else { return };
    survives_all(Some(database.url()));
}

#[test]
fn one_kill_at_each_early_moment_leaves_what_an_undisturbed_run_leaves() {
    let until_loaded = ["--task", "publish_states", "--task", "data_quality_check", "--task", "load_processed"];
    for moment in [COLLECT_ASKS, COLLECT_KEPT, COLLECTED, VALIDATED, LOADING, PUBLISHING] {
        let scene = Scene::new(None);
        let asks_twice = moment.name == COLLECT_ASKS.name;
        if asks_twice {
            scene.standin.fail(Fault::Slow, 1);
        }
        let cuts_publish = moment.name == PUBLISHING.name;
        let ran = scene.crash_at(&[moment], &until_loaded);
        assert_eq!(scene.standin.ledger().count(STATES), if asks_twice { 2 } else { 1 });
        assert!(!cuts_publish || ran.task("publish_states")["attempts"] == 2);
        scene.published_the_same_again(&ran);
        scene.is_as_if_undisturbed(&ran, &until_loaded);
    }
}
