//! Kafka Connect with Debezium: changes of PostgreSQL on a topic.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "tests say what they expect")]

use std::{collections::BTreeSet, path::PathBuf, str::FromStr as _};

use serde_json::{Value, json};
use sqlx::{Connection as _, Executor as _, PgConnection, Row as _, postgres::PgConnectOptions};
use updraft_testkit::{
    postgres,
    services::{
        connect::{self, Address},
        kafka,
    },
};

const CONSUMER: &str = "org.apache.kafka.tools.consumer.ConsoleConsumer";

async fn connection(url: &str) -> PgConnection {
    PgConnection::connect_with(&PgConnectOptions::from_str(url).unwrap()).await.unwrap()
}

/// A connector's configuration; topics are `NAME.public.TABLE`, slot and publication `SLOT`.
fn config(url: &str, name: &str, slot: &str) -> Value {
    let options = PgConnectOptions::from_str(url).unwrap();
    json!({
        "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
        "tasks.max": "1",
        "database.hostname": "127.0.0.1",
        "database.port": options.get_port().to_string(),
        "database.user": "postgres",
        "database.password": "unused",
        "database.dbname": options.get_database().unwrap(),
        "topic.prefix": name,
        "plugin.name": "pgoutput",
        "slot.name": slot,
        "publication.name": slot,
        "publication.autocreate.mode": "filtered",
        "table.include.list": "public.flights",
        "snapshot.mode": "initial",
        "decimal.handling.mode": "string",
        "errors.max.retries": "0",
        "status.update.interval.ms": "500",
        "poll.interval.ms": "50",
        "topic.creation.default.replication.factor": "1",
        "topic.creation.default.partitions": "1",
    })
}

/// The first `count` records of a topic: key, and the event or null.
fn events(address: &Address, topic: &str, count: usize) -> Vec<(Value, Value)> {
    let number = count.to_string();
    let arguments = [
        "--topic",
        topic,
        "--from-beginning",
        "--max-messages",
        &number,
        "--timeout-ms",
        "60000",
        "--formatter-property",
        "print.key=true",
    ];
    let said = address.kafka.tool(CONSUMER, &arguments, "").unwrap();
    let events: Vec<_> = said
        .lines()
        .map(|line| line.split_once('\t').unwrap())
        .map(|(key, value)| (serde_json::from_str(key).unwrap(), serde_json::from_str(value).unwrap_or(Value::Null)))
        .collect();
    assert_eq!(events.len(), count, "{said}");
    events
}

/// Reads a topic until the last of these ids is there; all of them are, and no other. A change may come again: a worker that dies before
/// it has written down how far it was begins there anew.
fn all_arrive(address: &Address, topic: &str, ids: &[i64]) {
    let wanted: BTreeSet<i64> = ids.iter().copied().collect();
    for count in ids.len().. {
        let found: BTreeSet<i64> =
            events(address, topic, count).iter().map(|(key, _)| key["id"].as_i64().unwrap()).collect();
        assert!(found.is_subset(&wanted), "{found:?}");
        if found == wanted {
            return;
        }
    }
}

#[tokio::test]
async fn changes_arrive_and_a_removed_connector_leaves_nothing() {
    let Some(database) = postgres::fresh_database().unwrap() else { return };
    let Some(server) = connect::server().unwrap() else { return };
    let Some(prefix) = kafka::fresh_prefix().unwrap() else { return };
    let mut db = connection(database.url()).await;
    db.execute("create table flights (id int primary key, callsign text not null, altitude numeric(8,2))")
        .await
        .unwrap();
    db.execute("insert into flights values (1, 'SWR1', 100.5)").await.unwrap();
    let name = prefix.of("cdc");
    let slot = format!("s{}", name.replace(['-', '.'], "_")).chars().take(60).collect::<String>();
    server.put(&name, &config(database.url(), &name, &slot)).unwrap();
    let topic = format!("{name}.public.flights");
    assert_eq!(events(&server, &topic, 1)[0].1["op"], "r", "the snapshot");
    db.execute("insert into flights values (2, 'DLH2', 1)").await.unwrap();
    db.execute("update flights set altitude = 2 where id = 2").await.unwrap();
    db.execute("delete from flights where id = 2").await.unwrap();
    let found = events(&server, &topic, 5);
    let kinds: Vec<_> = found.iter().map(|(_, event)| event["op"].as_str().unwrap_or("tombstone")).collect();
    assert_eq!(kinds, ["r", "c", "u", "d", "tombstone"]);
    assert_eq!(found[0].1["after"]["altitude"], "100.50", "numbers are text and keep their scale");
    assert_eq!(found[2].1["before"], Value::Null, "an update has no old row, as the table is");
    assert_eq!(found[3].1["before"]["callsign"], "", "a placeholder and no value");
    assert_eq!(found[4].0, json!({ "id": 2 }));

    server.remove(&name).unwrap();
    assert_eq!(server.call("GET", &format!("connectors/{name}"), None).unwrap().status, 404);
    let slots = "select count(*)::int from pg_replication_slots where database = current_database()";
    assert_eq!(db.fetch_one(slots).await.unwrap().get::<i32, _>(0), 1, "removing the connector leaves its slot");
    connect::drop_slot(database.url(), &slot, &slot).unwrap();
    assert_eq!(db.fetch_one(slots).await.unwrap().get::<i32, _>(0), 0);
}

#[test]
fn a_wrong_configuration_is_refused_with_the_field() {
    let Some(server) = connect::server().unwrap() else { return };
    let refused = server.put("wrong", &config("postgres://postgres@127.0.0.1:1/x", "wrong", "Not A Slot")).unwrap_err();
    let refused = format!("{refused:#}");
    assert!(refused.contains("400") && refused.contains("slot.name"), "{refused}");
}

#[tokio::test]
async fn killed_worker_and_killed_database_lose_no_change() {
    let Some(mut cluster) = postgres::own_server().unwrap() else { return };
    let Some(broker) = kafka::own_server().unwrap() else { return };
    let Some(mut worker) = connect::own_server(broker.address()).unwrap() else { return };
    let server = worker.address().clone();
    let mut db = connection(&cluster.url()).await;
    db.execute("create table flights (id int primary key, callsign text, altitude numeric)").await.unwrap();
    db.execute("insert into flights values (1)").await.unwrap();
    server.put("cdc", &config(&cluster.url(), "cdc", "cdc")).unwrap();

    worker.kill().unwrap();
    db.execute("insert into flights values (2)").await.unwrap();
    worker.start_again().unwrap();
    server.wait_for_task("cdc", "RUNNING").unwrap();
    // A task that runs is no task that reads: it may wait for the slot that the dead worker held.
    all_arrive(&server, "cdc.public.flights", &[1, 2]);

    cluster.kill().unwrap();
    // With `errors.max.retries` 0 the task fails at once, and stays so until somebody restarts it.
    let failed = server.wait_for_task("cdc", "FAILED").map_err(|error| error.to_string());
    assert!(failed.is_ok(), "{failed:?}");
    cluster.start_again().unwrap();
    connection(&cluster.url()).await.execute("insert into flights values (3)").await.unwrap();
    let restart = "connectors/cdc/restart?includeTasks=true&onlyFailed=true";
    // It takes effect later: until then the task is what it was.
    let restarted = (0..10).any(|_| {
        assert_eq!(server.call("POST", restart, None).unwrap().status, 202);
        std::thread::sleep(std::time::Duration::from_secs(1));
        server.wait_for_task("cdc", "RUNNING").is_ok()
    });
    assert!(restarted, "{:?}", server.wait_for_task("cdc", "RUNNING").map_err(|error| error.to_string()));
    all_arrive(&server, "cdc.public.flights", &[1, 2, 3]);
    let processes =
        [worker.pid(), broker.pid(), cluster.pid()].map(|pid| PathBuf::from(format!("/proc/{}", pid.unwrap())));
    drop((worker, broker, cluster));
    assert!(processes.iter().all(|process| !process.exists()));
}
