//! `updraft doctor`: each trouble of a pipeline's servers is caused for real, and found by its name with a reason and a remedy.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::{Value, json};
use updraft_testkit::opensky::{Fault, Options, Standin};
use updraft_testkit::postgres;
use updraft_testkit::process::Program;
use updraft_testkit::services::{clickhouse, connect, kafka, s3, unique};

use crate::cli_support::{Dev, Place};

/// A workflow that wants a topic and a table.
const WANTS: &str = "\
id: wants
schedule: '@hourly'
paused: true
tasks:
  - {id: publish, type: kafka.publish, with: {input: x, topic: TOPIC, key: icao24}}
  - {id: load, type: warehouse.load, with: {input: x, table: wanted_table}}
";

/// A port where nobody listens.
fn silent_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn place(connections: &Value) -> Place {
    let place = Place::new(&[]);
    let project =
        json!({ "server": { "listen": ["127.0.0.1:0"] }, "profiles": { "embedded": { "connections": connections } } });
    place.write("updraft.yaml", &project.to_string());
    place
}

/// What doctor finds, with these variables.
fn look(place: &Place, variables: &[(&str, &str)]) -> (Vec<Value>, Option<i32>) {
    let program =
        variables.iter().fold(place.program(&["doctor", "--json"]), |program, (name, value)| program.env(name, value));
    let finished = program.run().unwrap();
    let said: Value =
        serde_json::from_str(&finished.out).unwrap_or_else(|error| panic!("{error}: {}{}", finished.out, finished.err));
    for secret in ["geheim", "hunter2"] {
        assert!(!finished.out.contains(secret) && !finished.err.contains(secret), "a secret is said: {}", finished.out);
    }
    (said["findings"].as_array().unwrap().clone(), finished.code())
}

/// Doctor finds this problem, with a reason that holds these words, a remedy, and this exit code.
#[track_caller]
fn finds(place: &Place, variables: &[(&str, &str)], problem: &str, words: &str, code: i32) {
    let (found, ended) = look(place, variables);
    let one =
        found.iter().find(|one| one["problem"] == problem).unwrap_or_else(|| panic!("no {problem} among {found:#?}"));
    assert!(one["detail"].as_str().unwrap().contains(words), "{one:#}");
    assert!(one["remedy"].as_str().is_some_and(|remedy| remedy.len() > 10), "{one:#}");
    assert_eq!(ended, Some(code), "{found:#?}");
}

#[track_caller]
fn is_well(place: &Place) {
    let (found, code) = look(place, &[]);
    assert!(code == Some(0) && found.iter().all(|one| one["problem"].is_null()), "{found:#?}");
}

#[test]
fn a_port_that_another_program_has_is_named_and_our_own_daemon_is_no_problem() {
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = Place::new(&[]);
    let listen = |address: &str| place.write("updraft.yaml", &format!("server: {{listen: ['{address}']}}\n"));
    listen(&other.local_addr().unwrap().to_string());
    finds(&place, &[], "port_taken", "another program listens there", 2);
    let daemon = Dev::start(&place);
    listen(daemon.url.trim_start_matches("http://").trim_end_matches('/'));
    is_well(&place);
    daemon.stop();
    drop(other);
    // 192.0.2.1 is nobody's.
    listen("192.0.2.1:8765");
    finds(&place, &[], "port_refused", "cannot listen there", 2);
}

#[test]
fn kafka_that_is_away_and_topics_that_are_missing() {
    let Some(server) = kafka::server().unwrap() else { return };
    let away =
        place(&json!({ "kafka": { "kind": "kafka", "bootstrap_servers": format!("127.0.0.1:{}", silent_port()) } }));
    finds(&away, &[], "kafka_unreachable", "does not answer", 3);
    let place = place(&json!({ "kafka": { "kind": "kafka", "bootstrap_servers": server.bootstrap_servers() } }));
    is_well(&place);
    place.write("workflows/wants.yaml", &WANTS.replace("TOPIC", &unique()));
    finds(&place, &[], "topic_missing", "has no topic updraft-test-", 2);
}

#[test]
fn kafka_that_says_it_is_where_nobody_reaches_it() {
    let Some(mut broker) = kafka::own_server().unwrap() else { return };
    broker.kill().unwrap();
    let port = silent_port();
    let properties = broker.folder().join("server.properties");
    let settings = fs::read_to_string(&properties).unwrap();
    // Of two lines with one name the later holds.
    let wrong = format!("{settings}\nadvertised.listeners=PLAINTEXT://127.0.0.1:{port}\n");
    fs::write(&properties, wrong).unwrap();
    broker.start_again().unwrap();
    let servers = broker.address().bootstrap_servers();
    let place = place(&json!({ "kafka": { "kind": "kafka", "bootstrap_servers": servers } }));
    finds(&place, &[], "kafka_advertised_address", &format!("says that it is at 127.0.0.1:{port}"), 2);
}

#[test]
fn clickhouse_that_is_away_refuses_or_has_not_what_is_needed() {
    let Some(database) = clickhouse::fresh_database().unwrap() else { return };
    let server = database.address();
    let with = |port: u16, database: &str, password: &str| {
        let url = format!("http://{}@127.0.0.1:{port}/{database}", server.user);
        place(&json!({ "house": { "kind": "warehouse", "engine": "clickhouse", "url": url, "password": password } }))
    };
    let good = with(server.port, database.name(), &server.password);
    is_well(&good);
    good.write("workflows/wants.yaml", WANTS);
    finds(&good, &[], "clickhouse_table_missing", "no table wanted_table", 2);
    finds(&with(silent_port(), database.name(), "geheim"), &[], "clickhouse_unreachable", "does not answer", 3);
    finds(&with(server.port, database.name(), "geheim"), &[], "clickhouse_password", "wrong name or password", 2);
    finds(
        &with(server.port, "nobodys", &server.password),
        &[],
        "clickhouse_database_missing",
        "no database nobodys",
        2,
    );
}

#[test]
fn postgres_that_is_away_refuses_or_is_not_set_up_for_change_data_capture() {
    let Some(mut cluster) = postgres::own_server().unwrap() else { return };
    let port = cluster.port();
    let psql = |sql: &str| {
        let finished = Program::new("psql")
            .args([
                "--no-psqlrc",
                "-At",
                "-v",
                "ON_ERROR_STOP=1",
                "-h",
                "127.0.0.1",
                "-p",
                &port.to_string(),
                "-U",
                "postgres",
                "-d",
                "postgres",
                "-c",
                sql,
            ])
            .run()
            .unwrap();
        assert_eq!(finished.code(), Some(0), "{}", finished.err);
        finished.out.trim().to_owned()
    };
    let with = |port: u16, user: &str, database: &str| {
        let url = format!("postgres://{user}@127.0.0.1:{port}/{database}");
        place(&json!({ "pg": { "kind": "warehouse", "engine": "postgres", "url": url, "password": "geheim" } }))
    };
    let good = with(port, "postgres", "postgres");
    is_well(&good);
    good.write("workflows/wants.yaml", WANTS);
    finds(&good, &[], "postgres_table_missing", "no table wanted_table", 2);
    finds(&with(silent_port(), "postgres", "postgres"), &[], "postgres_unreachable", "does not answer", 3);
    finds(&with(port, "postgres", "nobodys"), &[], "postgres_database_missing", "no database nobodys", 2);

    // Passwords count for one role.
    psql("create role guarded login password 'hunter2'");
    psql("create role weak login");
    psql("revoke create on schema public from public");
    psql("create database closed");
    psql("revoke connect on database closed from public");
    let hba = psql("show hba_file");
    let rules = fs::read_to_string(&hba).unwrap();
    fs::write(&hba, format!("host all guarded 127.0.0.1/32 scram-sha-256\n{rules}")).unwrap();
    psql("select pg_reload_conf()");
    finds(&with(port, "guarded", "postgres"), &[], "postgres_password", "does not let guarded in", 2);
    finds(&with(port, "weak", "postgres"), &[], "postgres_rights", "weak may make no tables in the schema public", 2);
    finds(&with(port, "weak", "closed"), &[], "postgres_rights", "may not connect to the database closed", 2);

    psql("alter system set wal_level = replica");
    cluster.stop().unwrap();
    cluster.start_again().unwrap();
    finds(&with(port, "postgres", "postgres"), &[], "postgres_wal_level", "is replica", 0);
}

#[test]
fn the_lake_without_its_bucket_its_keys_or_its_service() {
    let Some(bucket) = s3::fresh_bucket().unwrap() else { return };
    let with = |change: &dyn Fn(&mut Value)| {
        let mut fields = bucket.lake_fields("/x");
        fields["kind"] = json!("lake");
        change(&mut fields);
        place(&json!({ "lake": fields }))
    };
    is_well(&with(&|_| {}));
    finds(
        &with(&|fields| fields["url"] = json!("s3://updraft-nobodys-bucket")),
        &[],
        "bucket_missing",
        "no bucket updraft-nobodys-bucket",
        2,
    );
    finds(&with(&|fields| fields["secret_access_key"] = json!("geheim")), &[], "s3_credentials", "refuses the keys", 2);
    let away = format!("http://127.0.0.1:{}", silent_port());
    finds(&with(&|fields| fields["endpoint"] = json!(away)), &[], "s3_unreachable", "does not answer", 3);
}

#[test]
fn programs_that_are_not_installed() {
    let empty = Place::new(&[]);
    let nothing = empty.path("");
    let nothing = nothing.to_str().unwrap();
    let bare = [("PATH", nothing), ("XDG_CACHE_HOME", nothing), ("JAVA_HOME", ""), ("SPARK_HOME", "")];
    let dbt = place(&json!({ "dbt": { "kind": "dbt", "project": "dbt" } }));
    finds(&dbt, &bare, "dbt_project_missing", "no dbt project", 2);
    dbt.write("dbt/dbt_project.yml", "name: x\n");
    finds(&dbt, &bare, "dbt_missing", "neither in the cache folder nor on the PATH", 2);
    let spark = place(&json!({ "spark": { "kind": "spark", "home": "spark" } }));
    finds(&spark, &bare, "spark_missing", "no bin/spark-submit", 2);
    spark.write("spark/bin/spark-submit", "#!/bin/sh\n");
    finds(&spark, &bare, "java_missing", "needs Java on this host", 2);
    empty.write("java", "#!/bin/sh\n");
    fs::set_permissions(empty.path("java"), fs::Permissions::from_mode(0o755)).unwrap();
    let (found, code) = look(&spark, &bare);
    assert_eq!(code, Some(0), "{found:#?}");
}

/// Answers every request with this document, until the test ends.
fn answers(document: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut asked = [0; 4096];
            let _ = stream.read(&mut asked);
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                document.len()
            );
            let _ = stream.write_all((head + document).as_bytes());
        }
    });
    url
}

#[test]
fn a_spark_cluster_without_a_master_or_a_worker() {
    let with =
        |ui: &str| place(&json!({ "spark": { "kind": "spark", "rest_url": "http://127.0.0.1:6066", "ui_url": ui } }));
    finds(
        &with(&format!("http://127.0.0.1:{}", silent_port())),
        &[("SPARK_HOME", "")],
        "spark_unreachable",
        "does not answer",
        3,
    );
    // What a master without a worker says at /json/.
    let lonely = answers("{\"url\": \"spark://x:7077\", \"workers\": [], \"aliveworkers\": 0, \"status\": \"ALIVE\"}");
    finds(&with(&lonely), &[("SPARK_HOME", "")], "spark_no_worker", "has no worker", 2);
}

#[test]
fn a_connector_that_has_failed() {
    let Some(worker) = connect::server().unwrap() else { return };
    let Some(mut cluster) = postgres::own_server().unwrap() else { return };
    let url = cluster.url();
    let psql = Program::new("psql").args([
        "--no-psqlrc",
        &url,
        "-c",
        "create table flights (id int primary key); create publication p for table flights",
    ]);
    assert_eq!(psql.run().unwrap().code(), Some(0));
    let name = unique();
    let config = json!({
        "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
        "tasks.max": "1",
        "database.hostname": "127.0.0.1",
        "database.port": cluster.port().to_string(),
        "database.user": "postgres",
        "database.password": "hunter2",
        "database.dbname": "postgres",
        "topic.prefix": name,
        "plugin.name": "pgoutput",
        "slot.name": name.replace('-', "_"),
        "publication.name": "p",
        "publication.autocreate.mode": "disabled",
        "table.include.list": "public.flights",
        "errors.max.retries": "0",
    });
    worker.put(&name, &config).unwrap();
    let place = place(&json!({ "connect": { "kind": "http", "base_url": worker.url() } }));
    is_well(&place);
    cluster.crash().unwrap();
    worker.wait_for_task(&name, "FAILED").ok();
    finds(&place, &[], "connector_failed", &format!("the connector {name} of Kafka Connect"), 2);
    worker.remove(&name).unwrap();
}

#[test]
fn the_api_without_an_account_with_a_wrong_one_and_away() {
    let standin = Standin::start(&Options::default()).unwrap();
    let with = |account: &Value| {
        let mut fields = json!({ "kind": "opensky", "base_url": standin.url(), "token_url": standin.token_url() });
        fields.as_object_mut().unwrap().extend(account.as_object().unwrap().clone());
        place(&json!({ "opensky": fields }))
    };
    finds(&with(&json!({})), &[], "api_credentials_missing", "400 credits a day", 0);
    let asked = standin.ledger().credits();
    let wrong = with(&json!({ "client_id": "updraft", "client_secret": "geheim" }));
    finds(&wrong, &[], "api_credentials_refused", "refuses the client", 2);
    assert_eq!(standin.ledger().credits(), asked, "a look costs credits");
    let url = format!("http://127.0.0.1:{}/api", silent_port());
    let away = place(&json!({ "opensky": { "kind": "opensky", "base_url": url } }));
    finds(&away, &[], "api_unreachable", "does not answer", 3);
}

#[test]
fn an_api_whose_credits_are_used_up() {
    let standin = Standin::start(&Options::default()).unwrap();
    standin.fail(Fault::TooManyRequests, 1);
    let fields = json!({ "kind": "opensky", "base_url": standin.url(), "token_url": standin.token_url() });
    let place = place(&json!({ "opensky": fields, "lake": { "kind": "lake", "url": ".updraft/lake" } }));
    let workflow = "id: asks\ntasks:\n  - {id: plan, type: opensky.plan, with: {scope: global_split, regions: [x], region_boxes: {x: {lamin: 1, lomin: 1, lamax: 2, lomax: 2}}}}\n  \
                    - {id: collect, type: opensky.collect, depends_on: plan, with: {requests: '{{ tasks.plan.output.requests }}'}}\n";
    place.write("workflows/asks.yaml", workflow);
    let ran = place.updraft(&["run", "workflows/asks.yaml"]);
    assert!(
        ran.err.contains("credits are used up") || ran.out.contains("credits are used up"),
        "{}{}",
        ran.out,
        ran.err
    );
    finds(&place, &[], "api_limit", "no call before", 0);
}

#[test]
fn people_read_the_remedy_below_the_reason() {
    let place =
        place(&json!({ "kafka": { "kind": "kafka", "bootstrap_servers": format!("127.0.0.1:{}", silent_port()) } }));
    let said = place.updraft(&["doctor"]);
    assert_eq!(said.code(), Some(3), "{}", said.err);
    let lines: Vec<&str> = said.out.lines().collect();
    let reason =
        lines.iter().position(|line| line.contains("connection kafka") && line.contains("does not answer")).unwrap();
    assert!(lines[reason + 1].trim_start().starts_with("→ start it (make up"), "{}", said.out);
}
