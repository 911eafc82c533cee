//! What `docker-compose.yaml` mounts, on the real servers: the scripts that prepare a database and topics, the settings that are
//! put together at a start, ClickHouse's own, and the profile that names the containers.

use std::fs;
use std::path::Path;

use updraft_testkit::postgres;
use updraft_testkit::process::Program;
use updraft_testkit::services::{Own, clickhouse, http, kafka};
use updraft_testkit::skip;

use crate::compose_file::project;

#[test]
fn roles_and_databases_are_made_and_none_can_do_more_than_it_needs() {
    let Some(cluster) = postgres::own_server().unwrap() else { return };
    let psql = |sql: &str, user: &str, database: &str| {
        Program::new("psql")
            .args(["--no-psqlrc", "-At", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-p", &cluster.port().to_string()])
            .args(["-U", user, "-d", database, "-c", sql])
            .run()
            .unwrap()
    };
    let script = Program::new("bash")
        .arg(project().join("deploy/postgres/init.sh"))
        .env("PGHOST", "127.0.0.1")
        .env("PGPORT", cluster.port().to_string())
        .env("UPDRAFT_DB_PASSWORD", "with'quote")
        .env("OPENSKY_DB_PASSWORD", "b")
        .env("DEBEZIUM_DB_PASSWORD", "c")
        .env("GRAFANA_DB_PASSWORD", "d");
    let made = script.run().unwrap();
    assert_eq!(made.code(), Some(0), "{}", made.err);
    let roles = psql(
        "select rolname, rolsuper, rolreplication, rolcanlogin from pg_roles where rolname !~ '^pg_' and rolname <> 'postgres' order by 1",
        "postgres",
        "postgres",
    );
    assert_eq!(roles.out.trim(), "debezium|f|t|t\ngrafana|f|f|t\nopensky|f|f|t\nupdraft|f|f|t", "{}", roles.err);
    // The password came whole, although it holds a quote.
    let hash = psql(
        "select rolpassword like 'SCRAM-SHA-256$%' from pg_authid where rolname = 'updraft'",
        "postgres",
        "postgres",
    );
    assert_eq!(hash.out.trim(), "t", "{}", hash.err);
    assert_eq!(
        psql("create schema opensky; create table opensky.t as select 1 as n", "opensky", "opensky").code(),
        Some(0)
    );
    assert_eq!(psql("select n from opensky.t", "grafana", "opensky").out.trim(), "1");
    let write = psql("create temp table x as select 1", "grafana", "opensky");
    assert!(write.err.contains("read-only transaction"), "{}", write.err);
    let elsewhere = psql("select 1", "grafana", "updraft");
    assert!(elsewhere.err.contains("permission denied for database"), "{}", elsewhere.err);
    let level = psql("show wal_level", "postgres", "postgres");
    assert_eq!(level.out.trim(), "logical");
}

#[test]
fn topics_are_made_and_left_as_they_are() {
    let Some(server) = kafka::own_server().unwrap() else { return };
    let address = server.address();
    // The script's own tool is a shell around this class.
    let folder = tempfile::tempdir().unwrap();
    let calls = folder.path().join("calls");
    let tool = folder.path().join("kafka-topics.sh");
    fs::write(&tool, format!("#!/bin/bash\necho \"$@\" >>{}\n", calls.display())).unwrap();
    Program::new("chmod").args(["+x"]).arg(&tool).run().unwrap();
    let script = Program::new("bash")
        .arg(project().join("deploy/kafka/topics.sh"))
        .env("KAFKA_TOPICS", &tool)
        .env("BOOTSTRAP_SERVERS", address.bootstrap_servers());
    let said = script.run().unwrap();
    assert_eq!(said.code(), Some(0), "{}", said.err);
    let calls = fs::read_to_string(calls).unwrap();
    for _ in 0..2 {
        for line in calls.lines() {
            let arguments: Vec<&str> = line
                .split(' ')
                .filter(|word| *word != "--bootstrap-server" && *word != address.bootstrap_servers())
                .collect();
            address.tool("org.apache.kafka.tools.TopicCommand", &arguments, "").unwrap();
        }
    }
    let mut topics = address.topics().unwrap();
    topics.sort();
    topics.retain(|name| !name.starts_with("__"));
    assert_eq!(topics, ["processed_flights", "raw_flights", "raw_flights.dlq", "updraft.batches"]);
    assert_eq!(address.end_offsets("raw_flights").unwrap().len(), 6);
}

/// Of two lines with one name the later holds, for Kafka as here.
fn settings(script: &str, folder: &str, variables: &[(&str, &str)]) -> std::collections::BTreeMap<String, String> {
    let (variable, script) = (script, project().join(folder).join("start.sh"));
    let program = Program::new("bash").arg(script).arg("--print").env(variable, project().join(folder));
    let program = variables.iter().fold(program, |program, (name, value)| program.env(name, value));
    let printed = program.run().unwrap();
    assert_eq!(printed.code(), Some(0), "{}", printed.err);
    let file = fs::read_dir(project().join(folder)).unwrap().flatten().map(|entry| entry.path());
    let file = file.filter(|path| {
        matches!(path.file_name().and_then(|name| name.to_str()), Some("server.properties" | "connect.properties"))
    });
    let text = fs::read_to_string(file.into_iter().next().unwrap()).unwrap();
    assert!(printed.out.starts_with(&text), "the tests' file does not come first");
    let lines = printed.out.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.split_once('=')).map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

#[test]
fn kafka_and_connect_start_from_the_files_of_the_tests() {
    let broker = settings("UPDRAFT_KAFKA_SETTINGS", "deploy/kafka", &[("KAFKA_HOST_PORT", "9192")]);
    assert_eq!(broker["advertised.listeners"], "PLAINTEXT://kafka:9092,HOST://127.0.0.1:9192");
    assert_eq!(broker["auto.create.topics.enable"], "false");
    for name in broker["listeners"].split(',').map(|listener| listener.split("://").next().unwrap()) {
        assert!(broker["listener.security.protocol.map"].contains(&format!("{name}:PLAINTEXT")), "{broker:?}");
    }
    let worker = settings("UPDRAFT_CONNECT_SETTINGS", "deploy/connect", &[("BOOTSTRAP_SERVERS", "kafka:9092")]);
    assert_eq!(worker["bootstrap.servers"], "kafka:9092");
    assert_eq!(worker["config.providers.env.class"], "org.apache.kafka.common.config.provider.EnvVarConfigProvider");
}

#[test]
fn clickhouse_takes_its_server_settings() {
    let Some(front) = clickhouse::programs().unwrap() else { return };
    let python = front.python().to_owned();
    let server = Own::start(front.with_settings(project().join("deploy/clickhouse/config.xml"))).unwrap();
    let address = server.address();
    let found = address.query("select name, value from system.server_settings where name in ('mark_cache_size', 'background_pool_size') order by name").unwrap();
    assert_eq!(found, "background_pool_size\t4\nmark_cache_size\t67108864");
    assert_eq!(address.query("select 6 * 7").unwrap(), "42");
    // Its users are the server's business, which the front is not: checked as XML.
    let parse = "import sys, xml.dom.minidom as x; d = x.parse(sys.argv[1]); print([e.tagName for e in d.getElementsByTagName('users')[0].childNodes if e.nodeType == 1])";
    let users =
        Program::new(&python).args(["-c", parse]).arg(project().join("deploy/clickhouse/users.xml")).run().unwrap();
    assert_eq!(users.out.trim(), "['grafana']", "{}", users.err);
    let text = fs::read_to_string(project().join("deploy/clickhouse/users.xml")).unwrap();
    assert!(text.contains("<password from_env="), "a password is written in users.xml");
}

#[test]
fn every_connection_of_the_profile_compose_fits_its_kind() {
    let root = project();
    let checked = Program::of_workspace("updraft")
        .unwrap()
        .args(["check", "--profile", "compose"])
        .args(
            ["data_pipeline", "migrate", "maintenance", "reference_refresh"]
                .map(|name| format!("workflows/opensky/{name}.yaml")),
        )
        .folder(&root)
        .run()
        .unwrap();
    assert_eq!(checked.code(), Some(0), "{}{}", checked.out, checked.err);
    let text = fs::read_to_string(root.join("updraft.yaml")).unwrap();
    let compose = text.split("\n  compose:\n").nth(1).unwrap();
    for service in
        ["kafka:9092", "http://minio:9000", "clickhouse:8123", "postgres:5432", "spark-master:7077", "connect:8083"]
    {
        assert!(compose.contains(service), "the profile compose does not name {service}");
    }
    let lists: Vec<serde_json::Value> = fs::read_dir(root.join("deploy/prometheus/targets"))
        .unwrap()
        .map(|entry| serde_json::from_slice(&fs::read(entry.unwrap().path()).unwrap()).unwrap())
        .collect();
    assert_eq!(lists[0][0]["targets"][0], "updraft:8766");
}

/// Prometheus asks for `updraft:8766`, and browsers for a published port: both come through from loopback.
#[test]
fn the_pages_and_the_metrics_come_through_the_passed_on_port() {
    let place = crate::cli_support::Place::new(&[]);
    let daemon = crate::cli_support::Dev::start(&place);
    let url = daemon.url.trim_end_matches('/');
    let asked = |path: &str, host: &str| {
        http::send("GET", &format!("{url}{path}"), &[("host", host)], Vec::new()).unwrap().status
    };
    assert_eq!(asked("/metrics", "updraft:8766"), 200);
    assert_eq!(asked("/readyz", "127.0.0.1:18765"), 200);
    match asked("/", "127.0.0.1:18765") {
        // `UPDRAFT_NO_UI=1 make build`.
        404 => skip::report(&skip::current_test(), "the pages were left out of this build"),
        status => assert_eq!(status, 200),
    }
    assert_eq!(asked("/", "updraft:8766"), 421, "another container can reach the pages");
    daemon.stop();
    assert!(Path::new(&place.path(".updraft")).exists());
}
