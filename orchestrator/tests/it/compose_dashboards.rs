//! Grafana's dashboards: every panel's query, on the real servers, with the tables that the project's own migrations make. Grafana
//! itself is in no registry.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::time::{Duration, Instant};

use serde_json::Value;
use updraft_testkit::postgres;
use updraft_testkit::process::{PATIENCE, Program};
use updraft_testkit::services::{clickhouse, http, prometheus};

use crate::cli_support::{CHAIN, Dev, Place};
use crate::compose_file::project;

/// A query of a panel, and where it is said.
struct Query {
    place: String,
    source: String,
    text: String,
}

fn dashboards() -> Vec<Value> {
    let files = fs::read_dir(project().join("deploy/grafana/dashboards")).unwrap();
    files.map(|file| serde_json::from_slice(&fs::read(file.unwrap().path()).unwrap()).unwrap()).collect()
}

fn queries(source: &str) -> Vec<Query> {
    let mut found = Vec::new();
    for dashboard in dashboards() {
        for panel in dashboard["panels"].as_array().unwrap() {
            for target in panel["targets"].as_array().unwrap() {
                let text = target["expr"].as_str().or(target["rawSql"].as_str()).unwrap();
                found.push(Query {
                    place: format!("{} · {}", dashboard["title"], panel["title"]),
                    source: target["datasource"]["uid"].as_str().unwrap().to_owned(),
                    text: text.to_owned(),
                });
            }
        }
    }
    found.retain(|query| query.source == source);
    assert!(!found.is_empty(), "no panel asks {source}");
    found
}

/// Replaces Grafana's macros as its data sources do, for the last day.
fn expanded(text: &str, condition: impl Fn(&str) -> String, interval: impl Fn(&str) -> String) -> String {
    let mut text = text.replace("$__rate_interval", "1m");
    for (name, replace) in [
        ("$__timeFilter(", &condition as &dyn Fn(&str) -> String),
        ("$__timeInterval(", &interval as &dyn Fn(&str) -> String),
    ] {
        while let Some(from) = text.find(name) {
            let to = from + text[from..].find(')').unwrap();
            let replaced = replace(&text[from + name.len()..to]);
            text.replace_range(from..=to, &replaced);
        }
    }
    assert!(!text.contains("$_"), "a macro that the test does not know: {text}");
    text
}

#[test]
fn dashboards_name_known_sources_and_lie_where_grafana_looks() {
    let provisioning = project().join("deploy/grafana/provisioning");
    let sources: Value =
        serde_yaml::from_str(&fs::read_to_string(provisioning.join("datasources/updraft.yaml")).unwrap()).unwrap();
    let known: BTreeSet<(&str, &str)> = sources["datasources"]
        .as_array()
        .unwrap()
        .iter()
        .map(|source| (source["uid"].as_str().unwrap(), source["type"].as_str().unwrap()))
        .collect();
    let all = dashboards();
    let uids: BTreeSet<_> = all.iter().map(|dashboard| dashboard["uid"].as_str().unwrap()).collect();
    assert_eq!(uids.len(), all.len(), "two dashboards have one uid");
    for dashboard in &all {
        assert_eq!(dashboard["refresh"], "30s");
        let panels = dashboard["panels"].as_array().unwrap();
        let ids: BTreeSet<_> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
        assert_eq!(ids.len(), panels.len(), "{}", dashboard["title"]);
        for target in panels.iter().flat_map(|panel| panel["targets"].as_array().unwrap()) {
            let source = &target["datasource"];
            let pair = (source["uid"].as_str().unwrap(), source["type"].as_str().unwrap());
            assert!(known.contains(&pair), "{}: {pair:?} is not provisioned", dashboard["title"]);
        }
    }
    let provider: Value =
        serde_yaml::from_str(&fs::read_to_string(provisioning.join("dashboards/updraft.yaml")).unwrap()).unwrap();
    let compose = fs::read_to_string(project().join("docker-compose.yaml")).unwrap();
    let folder = provider["providers"][0]["options"]["path"].as_str().unwrap();
    assert!(compose.contains(&format!("./deploy/grafana/dashboards:{folder}:ro")), "{folder} is not mounted");
    for variable in ["GRAFANA_DB_PASSWORD", "GRAFANA_CLICKHOUSE_PASSWORD"] {
        let text = sources.to_string();
        assert!(
            text.contains(&format!("${variable}")) && compose.contains(&format!("{variable}: ${{{variable}:?")),
            "{variable}"
        );
    }
}

#[test]
fn every_query_of_metrics_finds_what_updraft_says() {
    let Some(server) = prometheus::own_server().unwrap() else { return };
    let place = Place::new(&[("workflows/chain.yaml", CHAIN)]);
    let daemon = Dev::start(&place);
    assert_eq!(place.updraft(&["trigger", "chain", "--wait"]).code(), Some(0));
    let said = http::get(&format!("{}/metrics", daemon.url.trim_end_matches('/'))).unwrap().ok().unwrap().text();
    // Names with all their endings; a family without members is on the page alone, which another test compares with an answer.
    let page = fs::read_to_string(project().join("docs/metrics.md")).unwrap();
    let documented =
        page.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`')).map(|(name, _)| name.to_owned());
    let samples = said.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split(['{', ' ']).next());
    let names: BTreeSet<String> = documented.chain(samples.map(str::to_owned)).collect();
    let address = server.address();
    let _target = address.watch("updraft", daemon.url.trim_start_matches("http://").trim_end_matches('/')).unwrap();
    for query in queries("prometheus") {
        let named = query
            .text
            .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .filter(|word| word.starts_with("updraft_"));
        for name in named {
            assert!(names.contains(name), "{}: Updraft says no {name}", query.place);
        }
        let text = expanded(&query.text, str::to_owned, str::to_owned);
        let deadline = Instant::now() + PATIENCE;
        // The first sample takes seconds, a rate takes two.
        while address.query(&text).unwrap_or_else(|error| panic!("{}: {error:#}", query.place)).is_empty() {
            assert!(Instant::now() < deadline, "{}: `{text}` finds nothing", query.place);
            let _ = http::get(&format!("{}/readyz", daemon.url.trim_end_matches('/')));
            std::thread::sleep(Duration::from_millis(300));
        }
    }
    daemon.stop();
}

#[test]
fn every_query_of_tables_finds_rows_in_the_tables_of_the_migrations() {
    let Some(cluster) = postgres::own_server().unwrap() else { return };
    let Some(database) = clickhouse::fresh_database().unwrap() else { return };
    let prepared = ["UPDRAFT", "OPENSKY", "DEBEZIUM", "GRAFANA"].iter().fold(
        Program::new("bash")
            .arg(project().join("deploy/postgres/init.sh"))
            .env("PGHOST", "127.0.0.1")
            .env("PGPORT", cluster.port().to_string()),
        |program, role| program.env(format!("{role}_DB_PASSWORD"), "x"),
    );
    let prepared = prepared.run().unwrap();
    assert_eq!(prepared.code(), Some(0), "{}", prepared.err);

    // The tables, as the job `tables` makes them.
    let ours = database.address();
    let place = Place::new(&[]);
    symlink(project().join("workflows"), place.path("workflows")).unwrap();
    let name = database.name();
    place.write(
        "updraft.yaml",
        &format!(
            "profiles:\n  compose:\n    connections:\n      clickhouse: {{kind: warehouse, engine: clickhouse, url: 'http://{}@127.0.0.1:{}/{name}'}}\n      postgres: {{kind: warehouse, engine: postgres, url: 'postgres://opensky@127.0.0.1:{}/opensky'}}\n      warehouse: {{kind: group, members: [clickhouse, postgres]}}\n      lake: {{kind: lake, url: .updraft/lake}}\n",
            ours.user,
            ours.port,
            cluster.port()
        ),
    );
    let migrated = place
        .program(&["run", "workflows/opensky/migrate.yaml", "--profile", "compose"])
        .env("UPDRAFT_CONN_CLICKHOUSE__PASSWORD", &ours.password)
        .run()
        .unwrap();
    assert_eq!(migrated.code(), Some(0), "{}{}", migrated.out, migrated.err);

    let ask = |sql: &str, parameters: &str| {
        let user = [("x-clickhouse-user", ours.user.as_str()), ("x-clickhouse-key", ours.password.as_str())];
        http::send("POST", &format!("{}/?database={name}{parameters}", ours.url()), &user, sql.as_bytes().to_vec())
            .and_then(http::Answer::ok)
    };
    ask(STATES, "").unwrap();
    ask(RESULTS, "").unwrap();
    for query in queries("clickhouse") {
        let sql = expanded(
            &query.text,
            |column| format!("({column} >= now() - interval 1 day and {column} <= now() + interval 1 hour)"),
            |column| format!("toStartOfInterval(toDateTime({column}), interval 60 second)"),
        );
        // As the profile `dashboards` of deploy/clickhouse/users.xml allows.
        let found = ask(&sql, "&readonly=2").unwrap_or_else(|error| panic!("{}: {error:#}", query.place));
        assert!(!found.text().trim().is_empty(), "{}: `{sql}` finds nothing", query.place);
    }

    let psql = |user: &str, sql: &str| {
        Program::new("psql")
            .args(["--no-psqlrc", "-At", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-p", &cluster.port().to_string()])
            .args(["-U", user, "-d", "opensky", "-c", sql])
            .run()
            .unwrap()
    };
    let filled = psql("opensky", ROWS);
    assert_eq!(filled.code(), Some(0), "{}", filled.err);
    let slot = psql("postgres", "select pg_create_logical_replication_slot('opensky_slot', 'pgoutput')");
    assert_eq!(slot.code(), Some(0), "{}", slot.err);
    for query in queries("postgres") {
        let sql = expanded(
            &query.text,
            |column| format!("{column} between now() - interval '1 day' and now() + interval '1 hour'"),
            |column| panic!("{column}: not a macro of PostgreSQL"),
        );
        let found = psql("grafana", &sql);
        assert_eq!(found.code(), Some(0), "{}: {}", query.place, found.err);
        assert!(!found.out.trim().is_empty(), "{}: `{sql}` finds nothing", query.place);
    }
}

/// States of both kinds in ClickHouse: with and without a region, and one that some checks flag.
const STATES: &str = "insert into flights_streaming (icao24, callsign, origin_country, time_position, last_contact, longitude_deg, \
    latitude_deg, baro_altitude_m, on_ground, velocity_mps, spi, position_source, region, snapshot_time, fetched_at, batch_id, \
    schema_version, position_age_s, contact_age_s, is_live, flags, altitude_band, speed_band) \
    select leftPad(lower(hex(number)), 6, '0'), 'THY1', if(number = 0, null, 'Turkey'), now() - 90, now() - 60 - number, 29 + number, \
    40.5, 10000, false, 220, false, 0, if(number = 0, null, 'europe'), now() - 40, now64(3) - 30, 'batch-1', 1, 50, 20, false, \
    number % 2, 'high', 'fast' from numbers(8)";
const RESULTS: &str = "insert into quality_results (run_id, workflow, task, batch_id, region, check_name, severity, observed, threshold, \
    state, score, at) values ('r', 'opensky_data_pipeline', 'data_quality_check', 'batch-1', 'all', 'snapshot_age', 'warning', 90, 60, \
    'warned', 88.5, now64(3))";
const ROWS: &str = "create table processed_flights_rest partition of processed_flights default; \
    insert into processed_flights (icao24, last_contact, on_ground, spi, position_source, region, snapshot_time, fetched_at, batch_id, \
    schema_version, contact_age_s, is_live, flags, altitude_band, speed_band) \
    select lpad(to_hex(n), 6, '0'), now() - make_interval(secs => n), false, false, 0, 'europe', now() - interval '1 minute', now(), \
    'batch-1', 1, 5, true, 0, 'high', 'fast' from generate_series(1, 8) as n";
