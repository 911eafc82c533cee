//! The PostgreSQL fixture against the real server.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::float_cmp,
    reason = "tests say what they expect"
)]

use std::{
    path::{Path, PathBuf},
    str::FromStr as _,
    time::{Duration, Instant},
};

use sqlx::{Connection as _, Executor as _, PgConnection, Row as _, postgres::PgConnectOptions};
use updraft_testkit::{
    postgres::{Cluster, fresh_database, fresh_schema, own_server, server},
    process::{PATIENCE, Program, Running, Stream},
    skip,
};

async fn connect(url: &str) -> Result<PgConnection, sqlx::Error> {
    PgConnection::connect_with(&PgConnectOptions::from_str(url)?).await
}

async fn value(url: &str, sql: &'static str) -> String {
    let mut connection = connect(url).await.unwrap();
    connection.fetch_one(sql).await.unwrap().get(0)
}

#[tokio::test]
async fn every_database_is_empty_durable_and_gone_afterwards() {
    let Some(one) = fresh_database().unwrap() else { return };
    let Some(two) = fresh_database().unwrap() else { return };
    connect(one.url()).await.unwrap().execute("create table t (i int)").await.unwrap();
    assert_eq!(value(one.url(), "select count(*)::text from pg_tables where schemaname = 'public'").await, "1");
    assert_eq!(value(two.url(), "select count(*)::text from pg_tables where schemaname = 'public'").await, "0");
    if std::env::var_os("UPDRAFT_TEST_POSTGRES_URL").is_none() {
        assert_eq!(value(one.url(), "select current_setting('fsync')").await, "on");
        assert_eq!(value(one.url(), "select current_setting('synchronous_commit')").await, "on");
    }
    let url = one.url().to_owned();
    let still_connected = connect(&url).await.unwrap();
    drop(one);
    assert!(connect(&url).await.is_err(), "the database is dropped although somebody is connected");
    drop(still_connected);
}

#[tokio::test]
async fn every_schema_is_alone_on_its_search_path_and_gone_afterwards() {
    let Some(one) = fresh_schema().unwrap() else { return };
    let Some(two) = fresh_schema().unwrap() else { return };
    for schema in [&one, &two] {
        connect(schema.url()).await.unwrap().execute("create table t (i int)").await.unwrap();
    }
    let name = value(one.url(), "select current_schema()::text").await;
    assert_ne!(name, value(two.url(), "select current_schema()::text").await);
    let url = one.url().to_owned();
    drop(one);
    assert!(connect(&url).await.unwrap().execute("select * from t").await.is_err());
    assert_eq!(value(two.url(), "select count(*)::text from t").await, "0");
}

async fn count(cluster: &Cluster) -> String {
    value(&cluster.url(), "select count(*)::text from t").await
}

#[tokio::test]
async fn what_was_committed_outlives_stop_crash_and_kill() {
    let Some(mut cluster) = own_server().unwrap() else { return };
    connect(&cluster.url()).await.unwrap().execute("create table t (i int)").await.unwrap();
    let ends: [fn(&mut Cluster) -> anyhow::Result<()>; 3] = [Cluster::stop, Cluster::crash, Cluster::kill];
    for (i, end) in ends.into_iter().enumerate() {
        connect(&cluster.url()).await.unwrap().execute("insert into t values (1)").await.unwrap();
        end(&mut cluster).unwrap();
        assert!(connect(&cluster.url()).await.is_err());
        cluster.start_again().unwrap();
        assert_eq!(count(&cluster).await, (i + 1).to_string());
    }
    assert!(cluster.start_again().is_err(), "it runs");
    assert!(cluster.socket_folder().join(format!(".s.PGSQL.{}", cluster.port())).exists());
}

#[test]
fn a_cluster_ends_with_its_value() {
    let Some(cluster) = own_server().unwrap() else { return };
    let (pid, folder) = (cluster.pid().unwrap(), cluster.socket_folder().to_owned());
    let process = PathBuf::from(format!("/proc/{pid}"));
    assert!(process.exists());
    drop(cluster);
    assert!(!process.exists() && !folder.exists());
}

/// `updraft-testservers postgres`, and the first line that it says.
fn holder(arguments: &[&str]) -> (Running, serde_json::Value) {
    let program = Program::new(env!("CARGO_BIN_EXE_updraft-testservers")).arg("postgres").args(arguments);
    let holder = program.start().unwrap();
    let said = holder.wait_for_line(Stream::Out, |_| true).unwrap();
    (holder, serde_json::from_str(&said).unwrap())
}

#[test]
fn a_cluster_ends_with_its_owner_even_if_that_one_is_killed() {
    let Some(probe) = own_server().unwrap() else { return };
    drop(probe);
    let (owner, said) = holder(&["--own"]);
    let process = PathBuf::from(format!("/proc/{}", said["pid"]));
    let folder = Path::new(said["folder"].as_str().unwrap());
    assert!(process.exists() && folder.exists());
    owner.kill().unwrap();
    let deadline = Instant::now() + PATIENCE;
    while process.exists() || folder.exists() {
        assert!(Instant::now() < deadline, "PostgreSQL is left behind: {said}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_named_folder_without_postgresql_is_a_failure_and_no_skip() {
    let folder = tempfile::tempdir().unwrap();
    let program = Program::new(env!("CARGO_BIN_EXE_updraft-testservers")).args(["postgres", "--own"]);
    let finished = program.env("UPDRAFT_PG_BIN", folder.path()).run().unwrap();
    assert_eq!((finished.code(), finished.out.as_str()), (Some(2), ""));
    assert!(finished.err.contains("UPDRAFT_PG_BIN names"), "{}", finished.err);
}

#[test]
fn every_process_uses_the_same_server() {
    let Some(url) = server().unwrap() else { return };
    if std::env::var_os("UPDRAFT_TEST_POSTGRES_URL").is_some() {
        skip!("a server is given, so nobody starts one to share");
    }
    for (mut holder, said) in [(); 3].map(|()| holder(&[])) {
        assert_eq!(said["url"].as_str(), Some(url.as_str()));
        holder.close_input();
        assert_eq!(holder.wait(PATIENCE).unwrap().code(), Some(0));
    }
}
