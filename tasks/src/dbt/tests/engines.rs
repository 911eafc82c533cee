//! One project on three engines: the same rows are loaded into the lake, PostgreSQL and ClickHouse as the flagship loads them, dbt
//! builds on each, and every mart is compared row for row. Where the engines differ, and why, is a table in docs/dbt.md.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};
use updraft_task::lake::sha256_hex;
use updraft_task::testing::TestRun;
use updraft_task::{DataInterval, Dataset, Format, Timestamp};
use updraft_testkit::services::clickhouse;

use super::*;
use crate::clickhouse::migrate::ClickhouseMigrate;
use crate::postgres::migrate::PostgresMigrate;
use crate::quality::QualityCheck;
use crate::warehouse_load::WarehouseLoad;

/// Intervals of ten minutes over a midnight: half an hour of silence fits in.
const INTERVALS: i64 = 6;
const MIDNIGHT: i64 = 1_785_369_600;
/// Two regions that overlap. The one that is loaded first, since its name is, was asked last.
const WIDE: (&str, [f64; 4]) = ("a_wide", [36.0, -80.0, 45.0, -68.0]);
const COAST: (&str, [f64; 4]) = ("b_coast", [39.5, -75.0, 42.0, -72.0]);

/// Everything that the project keeps as a table, with its keys.
const TABLES: [(&str, &[&str]); 14] = [
    ("fact_flight_activity", &["icao24", "last_contact"]),
    ("agg_flight_statistics", &["day", "region"]),
    ("agg_country_hourly", &["hour", "origin_country", "region"]),
    ("agg_region_traffic_10min", &["bucket_start", "region"]),
    ("agg_airport_activity_hourly", &["hour", "airport"]),
    ("dim_countries", &["origin_country"]),
    ("dim_airports", &["airport"]),
    ("dim_regions", &["region"]),
    ("mart_data_quality_daily", &["day", "region", "check_name"]),
    ("int_states_deduped", &["icao24", "last_contact"]),
    ("int_states_enriched", &["icao24", "last_contact"]),
    ("int_state_transitions", &["icao24", "last_contact"]),
    ("int_flight_legs", &["icao24", "leg_no"]),
    ("int_hourly_presence", &["icao24", "hour", "region"]),
];

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// A run whose project is a temporary folder, with the recording that its input is made of.
struct Bench {
    run: TestRun,
    python: PathBuf,
    recorded: Vec<Value>,
    recorded_at: i64,
}

impl Bench {
    fn new(folder: &Path) -> Option<Self> {
        let run = TestRun::new(folder);
        run.connect("dbt_duckdb", dbt("duckdb"));
        run.connect("dbt", dbt("duckdb"));
        if !installed(&run) {
            return None;
        }
        let probe = run.context("probe", 1, None);
        let python = probe.connection::<Dbt>().unwrap().program(&probe).unwrap().with_file_name("python");
        run.connect("warehouse", json!({ "kind": "warehouse", "engine": "lake" }));
        let text = std::fs::read(repository("workflows/opensky/demo/states_north_america_ny.json")).unwrap();
        let recorded: Value = serde_json::from_slice(&text).unwrap();
        let recorded_at = recorded["time"].as_i64().unwrap();
        Some(Self { run, python, recorded: recorded["states"].as_array().unwrap().clone(), recorded_at })
    }

    /// What an aircraft of the recording says in an interval, ten minutes after the one before; nothing where it is silent.
    fn state(&self, aircraft: usize, interval: i64) -> Option<Value> {
        let (a, k) = (i64::try_from(aircraft).unwrap(), interval);
        // The same state again, with the same last contact, in the next answer.
        let k = if a % 11 == 5 && k % 2 == 1 { k - 1 } else { k };
        if (a * 7 + k) % 9 == 0 || (a % 17 == 3 && (1..=4).contains(&k)) {
            return None;
        }
        let mut state = self.recorded[aircraft].clone();
        for at in [3, 4] {
            state[at] = state[at].as_i64().map_or(Value::Null, |old| json!(old - self.recorded_at + time_of(k)));
        }
        let moved =
            |old: &Value, by: f64| old.as_f64().map_or(Value::Null, |old| json!(((old + by) * 1e4).round() / 1e4));
        #[expect(clippy::cast_precision_loss, reason = "small numbers")]
        let (east, north, faster) = ((k * (a % 5 - 2)) as f64, (k * (a % 3 - 1)) as f64, (k * (a % 7)) as f64);
        state[5] = moved(&state[5], east * 0.021);
        state[6] = moved(&state[6], north * 0.013);
        state[9] = moved(&state[9], faster * 1.37);
        if a % 6 == 0 {
            let on_ground = k % 2 == 1;
            state[8] = json!(on_ground);
            state[7] = if on_ground { Value::Null } else { json!(600.0 + faster) };
        }
        // Without a position first, with one when the same contact is told again.
        if a % 41 == 5 && interval == k {
            (state[3], state[5], state[6]) = (Value::Null, Value::Null, Value::Null);
        }
        Some(state)
    }

    /// The kept answer for a region.
    async fn answer(&self, region: (&str, [f64; 4]), interval: i64, at: i64) -> Value {
        let [south, west, north, east] = region.1;
        let inside = |state: &Value| match (state[6].as_f64(), state[5].as_f64()) {
            (Some(lat), Some(lon)) => (south..=north).contains(&lat) && (west..=east).contains(&lon),
            _ => region.0 == WIDE.0,
        };
        let states: Vec<Value> =
            (0..self.recorded.len()).filter_map(|aircraft| self.state(aircraft, interval)).filter(inside).collect();
        let body = json!({ "time": at, "states": states }).to_string();
        let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
        packed.write_all(body.as_bytes()).unwrap();
        let key = format!("raw/{}-{at}.json.gz", region.0);
        let context = self.run.context("collect", 1, None);
        context.lake().unwrap().put(&key, packed.finish().unwrap()).await.unwrap();
        json!({
            "region": region.0,
            "batch_id": crate::batch::batch_id(context.run(), region.0),
            "api_time": at,
            "fetched_at": format!("{}", Timestamp::from_millis(at * 1000 + 1_250)),
            "object_key": key,
            "sha256": sha256_hex(body.as_bytes()),
            "bytes": body.len(),
            "status": 200,
            "credits_left": null,
        })
    }

    /// Validates an interval, judges it, and loads it into all three. Returns the states that came.
    async fn interval(&mut self, interval: i64) -> u64 {
        let at = time_of(interval);
        let end = Timestamp::from_millis(at * 1000);
        self.run.info.interval = DataInterval { start: Timestamp::from_millis((at - 600) * 1000), end };
        let snapshots = [self.answer(WIDE, interval, at + 7).await, self.answer(COAST, interval, at).await];
        let boxes: Map<String, Value> = [WIDE, COAST]
            .map(|(name, [lamin, lomin, lamax, lomax])| {
                (name.to_owned(), json!({ "lamin": lamin, "lomin": lomin, "lamax": lamax, "lomax": lomax }))
            })
            .into_iter()
            .collect();
        let params = json!({ "snapshots": snapshots, "regions": [WIDE.0, COAST.0], "region_boxes": boxes });
        let validated = self.task::<crate::opensky::Validate>("validate", None, params).await;
        let load = json!({ "input": validated["regions"], "table": "processed_flights" });
        for name in ["warehouse", "postgres", "clickhouse"] {
            self.task::<WarehouseLoad>("load", Some(name), load.clone()).await;
        }
        let rules = json!([
            { "name": "states_received", "check": "row_count", "min": 200, "severity": "warning", "per": "region" },
            { "name": "blank_callsign", "check": "ratio", "where": "callsign is null", "of": "true", "warn": { "max": 0.001 } },
        ]);
        let judged =
            self.task::<QualityCheck>("quality", None, json!({ "input": validated["regions"], "rules": rules })).await;
        let results = self.dataset(judged["results"].as_str().unwrap()).await;
        let load = json!({ "input": results, "table": "quality_results", "partition_by": "at" });
        for name in ["postgres", "clickhouse"] {
            self.task::<WarehouseLoad>("load", Some(name), load.clone()).await;
        }
        validated["accepted"].as_u64().unwrap()
    }

    async fn task<T: Task>(&self, name: &str, connection: Option<&str>, params: Value) -> Value {
        let params = serde_json::from_value(params).unwrap();
        serde_json::to_value(T::run(params, &self.run.context(name, 1, connection)).await.unwrap()).unwrap()
    }

    async fn dataset(&self, key: &str) -> Dataset {
        let bytes = self.run.context("x", 1, None).lake().unwrap().get(key).await.unwrap();
        let (schema, rows) = crate::parquet::described(bytes.clone()).unwrap();
        let of_bytes = Dataset::of_bytes(key, Format::Parquet, rows, &bytes);
        Dataset { schema, batch_id: Some(key.to_owned()), ..of_bytes }
    }

    fn python(&self, arguments: &[&str], password: &str) -> String {
        let output =
            std::process::Command::new(&self.python).args(arguments).env("PASSWORD", password).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// All tables of an engine: columns with their values, in the order of the keys.
    fn tables(&self, engine: &str, connect: &Value, schema: &str, password: &str) -> Tables {
        let tables: BTreeMap<&str, &[&str]> = TABLES.into();
        let asked = json!({ "engine": engine, "connect": connect, "schema": schema, "tables": tables }).to_string();
        let text = self.python(&["-c", include_str!("read_tables.py"), &asked], password);
        serde_json::from_str(&text).unwrap()
    }
}

type Tables = BTreeMap<String, BTreeMap<String, Vec<Value>>>;

async fn postgres_count(url: &str) -> u64 {
    crate::postgres::testing::texts(url, "select count(*)::text from processed_flights").await[0].parse().unwrap()
}

fn time_of(interval: i64) -> i64 {
    MIDNIGHT - 1_787 + interval * 600
}

/// The project of the repository on a target, whose server is the connection of that name.
fn dbt(target: &str) -> Value {
    let (field, place) = if target == "duckdb" { ("duckdb_path", "warehouse.duckdb") } else { ("warehouse", target) };
    json!({ "kind": "dbt", "project": repository("dbt"), "target": target, field: place })
}

/// ClickHouse calls the states otherwise.
fn connect_clickhouse(run: &TestRun, database: &clickhouse::Database) {
    let address = database.address();
    let url = format!("http://{}@127.0.0.1:{}/{}", address.user, address.port, database.name());
    let tables = json!({ "processed_flights": "flights_streaming" });
    run.connect(
        "clickhouse",
        json!({ "kind": "warehouse", "engine": "clickhouse", "url": url, "password": address.password, "tables": tables }),
    );
}

/// How an engine's tables differ from DuckDB's: rows of the table in docs/dbt.md without their reasons.
fn differences(engine: &str, theirs: &Tables, ours: &Tables) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (table, columns) in ours {
        let names = |columns: &BTreeMap<String, Vec<Value>>| columns.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&theirs[table]), names(columns), "the columns of {table} on {engine}");
        for (column, values) in columns {
            let other = &theirs[table][column];
            assert_eq!(other.len(), values.len(), "the rows of {table} on {engine}");
            for (row, (theirs, ours)) in other.iter().zip(values).enumerate() {
                match differs(theirs, ours) {
                    None => {}
                    Some(true) => drop(found.insert(format!("| {engine} | `{table}.{column}` | last digits |"))),
                    Some(false) => panic!("{table}.{column}, row {row}: {ours} on DuckDB, {theirs} on {engine}"),
                }
            }
        }
    }
    found
}

/// Whether two values differ, and then whether only in what lies beyond twelve digits.
fn differs(theirs: &Value, ours: &Value) -> Option<bool> {
    match (theirs, ours) {
        _ if theirs == ours => None,
        (Value::Number(theirs), Value::Number(ours)) => {
            let (theirs, ours) = (theirs.as_f64()?, ours.as_f64()?);
            // An integer that is a float elsewhere is the same number.
            let same = theirs.total_cmp(&ours).is_eq();
            (!same).then(|| (theirs - ours).abs() <= 1e-12 * theirs.abs().max(ours.abs()))
        }
        _ => Some(false),
    }
}

/// The rows of the table in docs/dbt.md, without their reasons.
fn documented() -> BTreeSet<String> {
    let text = std::fs::read_to_string(repository("docs/dbt.md")).unwrap();
    let rows = text.lines().filter(|line| line.starts_with("| ClickHouse | `") || line.starts_with("| PostgreSQL | `"));
    rows.map(|line| line.split_inclusive('|').take(4).collect()).collect()
}

#[tokio::test]
async fn three_engines_build_the_same_marts() {
    let folder = tempfile::tempdir().unwrap();
    let Some(mut bench) = Bench::new(folder.path()) else { return };
    let Some(postgres) = updraft_testkit::postgres::fresh_database().unwrap() else { return };
    let Some(clickhouse) = clickhouse::fresh_database().unwrap() else { return };
    crate::postgres::testing::connect(&bench.run, "postgres", postgres.url());
    let migrations = json!({ "folder": repository("workflows/opensky/postgres") });
    bench.task::<PostgresMigrate>("migrate", Some("postgres"), migrations).await;
    connect_clickhouse(&bench.run, &clickhouse);
    let migrations = json!({ "folder": repository("workflows/opensky/clickhouse") });
    bench.task::<ClickhouseMigrate>("migrate", Some("clickhouse"), migrations).await;

    let mut came = 0;
    for interval in 0..INTERVALS {
        came += bench.interval(interval).await;
    }
    let kept = postgres_count(postgres.url()).await;
    assert!(kept + 500 < came, "too few states come twice to show which copy counts: {kept} of {came}");

    let address = clickhouse.address();
    for engine in ["clickhouse", "postgres"] {
        bench.run.connect(&format!("dbt_{engine}"), dbt(engine));
    }
    let mut nodes = BTreeMap::new();
    for engine in ["duckdb", "clickhouse", "postgres"] {
        let connection = format!("dbt_{engine}");
        let built = DbtBuild::run(params(json!({})), &bench.run.context("build", 1, Some(&connection))).await.unwrap();
        assert_eq!((built.models.failed, built.tests.failed), (0, 0), "{engine}");
        nodes.insert(engine, (built.models.ok, built.seeds.ok, built.tests.ok, built.tests.warned));
    }
    assert!(nodes.values().all(|counts| *counts == nodes["duckdb"]), "{nodes:?}");

    let duckdb = json!({ "path": folder.path().join("warehouse.duckdb") });
    let ours = bench.tables("duckdb", &duckdb, "opensky", "");
    for (table, columns) in &ours {
        assert!(columns.values().all(|values| !values.is_empty()), "{table} is empty: nothing is compared");
    }
    assert_eq!(ours["fact_flight_activity"]["icao24"].len() as u64, kept);
    let connect = json!({ "port": address.port, "user": address.user });
    let theirs = bench.tables("clickhouse", &connect, clickhouse.name(), &address.password);
    let mut found = differences("ClickHouse", &theirs, &ours);
    let connect = json!({ "url": postgres.url() });
    found.extend(differences("PostgreSQL", &bench.tables("postgres", &connect, "opensky", ""), &ours));
    assert_eq!(found, documented(), "docs/dbt.md lists how the engines differ");
}
