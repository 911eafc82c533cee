//! ClickHouse's engine behind its HTTP front.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "tests say what they expect")]

use std::{fs, path::PathBuf};

use updraft_testkit::{
    process::Program,
    services::{
        Own,
        clickhouse::{self, Front},
    },
};

/// Everything that a client of a server relies on, written in Python beside the front.
#[test]
fn the_front_passes_its_check() {
    let Some(front) = clickhouse::programs().unwrap() else { return };
    let data = tempfile::tempdir().unwrap();
    let check = Program::new(front.python())
        .arg(Front::sources().join("clickhouse_front_check.py"))
        .arg(data.path())
        .env("PYTHONPATH", Front::sources())
        .env("PYTHONDONTWRITEBYTECODE", "1");
    let mut running = check.start().unwrap();
    running.close_input();
    let finished = running.wait(std::time::Duration::from_mins(5)).unwrap();
    assert_eq!(finished.code(), Some(0), "{}\n{}", finished.out, finished.err);
    assert!(finished.out.ends_with("all checks passed\n"), "{}", finished.out);
    eprintln!("{}", finished.out);
}

#[test]
fn databases_are_alone_and_gone_afterwards_and_strangers_are_refused() {
    let Some(one) = clickhouse::fresh_database().unwrap() else { return };
    let Some(two) = clickhouse::fresh_database().unwrap() else { return };
    let server = one.address();
    server.query(&format!("create table {}.t (i UInt64) engine = MergeTree order by i", one.name())).unwrap();
    server.query(&format!("insert into {}.t values (1), (2)", one.name())).unwrap();
    assert_eq!(server.query(&format!("select sum(i) from {}.t", one.name())).unwrap(), "3");
    assert_eq!(server.query(&format!("show tables from {}", two.name())).unwrap(), "");
    let engine = server.query(&format!("select engine from system.databases where name = '{}'", one.name())).unwrap();
    assert_eq!(engine, "Atomic", "not the engine of `default`");
    let mut stranger = server.clone();
    stranger.password = "wrong".to_owned();
    assert!(format!("{:#}", stranger.query("select 1").unwrap_err()).contains("Code: 516"));
    let (name, server) = (one.name().to_owned(), server.clone());
    drop(one);
    assert!(format!("{:#}", server.query(&format!("select * from {name}.t")).unwrap_err()).contains("Code: 81"));
}

#[test]
fn rows_outlive_stop_and_kill_and_nothing_stays_behind() {
    let Some(mut server) = clickhouse::own_server().unwrap() else { return };
    server.address().query("create database d").unwrap();
    server.address().query("create table d.t (i UInt64) engine = MergeTree order by i").unwrap();
    let ends: [fn(&mut Own<Front>) -> anyhow::Result<()>; 2] = [Own::stop, Own::kill];
    for (i, end) in ends.into_iter().enumerate() {
        server.address().query("insert into d.t values (1)").unwrap();
        end(&mut server).unwrap();
        assert!(server.address().query("select 1").is_err(), "nobody listens");
        server.start_again().unwrap();
        assert_eq!(server.address().query("select count() from d.t").unwrap(), (i + 1).to_string());
    }
    let (process, folder) = (PathBuf::from(format!("/proc/{}", server.pid().unwrap())), server.folder().to_owned());
    drop(server);
    assert!(!process.exists() && !folder.exists());
}

#[test]
fn server_settings_go_through_the_front() {
    let Some(front) = clickhouse::programs().unwrap() else { return };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("server.xml");
    let xml = "<clickhouse><query_log><database>system</database><table>query_log</table>\
               <flush_interval_milliseconds>100</flush_interval_milliseconds></query_log></clickhouse>";
    fs::write(&file, xml).unwrap();
    let server = Own::start(front.with_settings(file)).unwrap();
    server.address().query("select 4711").unwrap();
    server.address().query("system flush logs").unwrap();
    let found = server.address().query("select count() > 0 from system.query_log where query = 'select 4711'").unwrap();
    assert_eq!(found, "1");
}
