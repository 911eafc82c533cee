//! The flagship's own rules on recorded snapshots: good data fails none of them and scores high.

use super::super::validate::Validate;
use super::*;
use crate::quality::{QualityCheck, QualityParams};

/// The rules of the flagship, with what its templates would bring from `output`.
fn rules(output: &Value) -> Value {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../workflows/opensky/data_pipeline.yaml");
    let workflow: Value = serde_yaml::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    let tasks = workflow["tasks"].as_array().unwrap();
    let task = tasks.iter().find(|task| task["type"] == "quality.check").unwrap();
    let mut rules = task["with"]["rules"].clone();
    for rule in rules.as_array_mut().unwrap() {
        if let Some(sql) = rule.get("sql").and_then(Value::as_str) {
            let mut text = sql.to_owned();
            for field in ["nulls.latitude_deg", "received", "quarantine.rows"] {
                let value = output.pointer(&format!("/{}", field.replace('.', "/"))).unwrap_or(&json!(0)).to_string();
                text = text.replace(&format!("{{{{ tasks.split_and_validate.output.{field} }}}}"), &value);
            }
            rule["sql"] = json!(text);
        }
        if rule.pointer("/warn/max").is_some_and(Value::is_string) {
            rule["warn"]["max"] = json!(0.03);
        }
    }
    rules
}

#[tokio::test]
async fn recorded_snapshots_break_no_rule_of_the_flagship_and_score_high() {
    for (file, region) in [
        ("recorded/states_europe_20251202T093439Z.json", "europe"),
        ("derived/states_north_america_ny_20260729T144058Z.json", "north_america"),
    ] {
        let Some(path) = updraft_testkit::shared_data_file(&format!("opensky/{file}")) else { return };
        let bench = Bench::playing(path);
        let collected = bench.collect().await.unwrap();
        let params = json!({ "snapshots": collected["snapshots"], "regions": [region], "region_boxes": boxes() });
        let output = bench.task::<Validate>(params).await.unwrap();
        let with: QualityParams =
            serde_json::from_value(json!({ "input": output["regions"], "rules": rules(&output), "regions": [region] }))
                .unwrap();
        let report = QualityCheck::run(with, &bench.run.context("quality", 1, None)).await.unwrap();
        assert_eq!(report.rows_in, output["accepted"].as_u64().unwrap(), "{file}");
        assert!(report.failed == 0 && report.score > 85.0, "{file}: {report:?}");
        assert_eq!(
            report.results,
            bench.run.context("x", 1, None).lake().unwrap().list("warehouse").await.unwrap()[0].0
        );
    }
}

/// 200 aircraft over Europe, one in ten on the ground, all fresh and whole: a good answer.
fn good() -> Value {
    let row = |n: u32| {
        let on_ground = n.is_multiple_of(10);
        let (altitude, speed) = if on_ground { (0.0, 5.0) } else { (9_000.0, 220.0) };
        json!([
            format!("{n:06x}"),
            format!("TEST{n}"),
            "Germany",
            999,
            1_000,
            8.0 + f64::from(n) / 100.0,
            50.0,
            altitude,
            on_ground,
            speed,
            90.0,
            0.0,
            null,
            altitude,
            "1000",
            false,
            0,
            2
        ])
    };
    json!({ "time": 1_000, "states": (0..200).map(row).collect::<Vec<_>>() })
}

/// What is done to the good rows: a query over them as `s`, or numbers of the validation that are changed.
enum Spoil {
    Rows(String),
    Number(&'static str, u64),
}

/// The rows with this column changed in this many of 200.
fn share(rows: u32, column: &str, bad: &str) -> Spoil {
    let good = format!("\"{column}\"");
    Spoil::Rows(format!(
        "select * replace (case when icao24 < '{rows:06x}' then {bad} else {good} end as {column}) from s"
    ))
}

/// Every rule of the flagship with data made bad in its way, and what it says then.
fn spoiled() -> Vec<(&'static str, Spoil, &'static str)> {
    let rows = |sql: &str| Spoil::Rows(sql.to_owned());
    let fetched = |seconds: u32| {
        rows(&format!("select * replace (snapshot_time + interval '{seconds} seconds' as fetched_at) from s"))
    };
    vec![
        ("states_received", rows("select * from s where false"), "warned"),
        ("states_few", rows("select * from s where icao24 < '0000c7'"), "failed"),
        ("states_located", rows("select s.* from s, generate_series(1, 101)"), "warned"),
        (
            "snapshot_second",
            rows("select * replace (snapshot_time - interval '100 years' as snapshot_time) from s"),
            "warned",
        ),
        ("positions_sum", share(1, "longitude_deg", "1e12"), "warned"),
        ("one_state_per_aircraft", rows("select * from s union all select * from s where icao24 = '000007'"), "failed"),
        ("keys_present", share(1, "icao24", "null"), "failed"),
        ("address_form", share(1, "icao24", "'00000G'"), "failed"),
        ("latitude_range", share(1, "latitude_deg", "90.5"), "failed"),
        ("longitude_range", share(1, "longitude_deg", "-180.5"), "failed"),
        ("known_position_source", share(1, "position_source", "7"), "warned"),
        ("answer_older_60s", fetched(61), "warned"),
        ("answer_older_120s", fetched(121), "failed"),
        ("without_position", Spoil::Number("/nulls/latitude_deg", 7), "warned"),
        ("without_position", Spoil::Number("/nulls/latitude_deg", 21), "failed"),
        ("rejected_rows", Spoil::Number("/quarantine/rows", 2), "warned"),
        ("rejected_rows", Spoil::Number("/quarantine/rows", 11), "failed"),
        ("blank_callsign", share(11, "callsign", "null"), "warned"),
        ("blank_callsign", share(41, "callsign", "null"), "failed"),
        ("blank_origin_country", share(2, "origin_country", "null"), "warned"),
        ("blank_origin_country", share(11, "origin_country", "null"), "failed"),
        ("contact_older_15s", share(51, "contact_age_s", "16"), "warned"),
        ("contact_older_15s", share(121, "contact_age_s", "16"), "failed"),
        ("position_older_60s", share(41, "position_age_s", "61"), "warned"),
        ("position_older_60s", share(101, "position_age_s", "61"), "failed"),
        ("position_older_300s", share(11, "position_age_s", "301"), "warned"),
        ("position_older_300s", share(41, "position_age_s", "301"), "failed"),
        ("airborne_without_altitude", share(13, "baro_altitude_m", "null"), "warned"),
        ("airborne_without_altitude", share(45, "baro_altitude_m", "null"), "failed"),
        ("on_ground", share(40, "on_ground", "true"), "warned"),
        ("on_ground", rows("select * replace (false as on_ground) from s"), "warned"),
        ("outliers", share(3, "flags", "2"), "warned"),
        ("outliers", share(11, "flags", "32"), "failed"),
        ("outliers", share(3, "flags", "512"), "warned"),
    ]
}

/// Rules that need earlier intervals; shown to fire by a test of their own.
const LOOKING_BACK: [&str; 3] = ["states_beside_usual", "snapshot_not_newer", "answer_repeated"];

/// Judges these rows as the answer of the interval that ends then; the states of the rules that look back.
async fn looking_back(bench: &mut Bench, dataset: &Value, output: &Value, end: &str) -> [String; 3] {
    let end = Timestamp::parse(end).unwrap();
    let start = Timestamp::from_millis(end.as_millis() - 600_000);
    bench.run.info.interval = updraft_task::DataInterval { start, end };
    let states = judged(bench, dataset, output).await;
    LOOKING_BACK.map(|rule| states[rule].clone())
}

#[tokio::test]
async fn rules_of_the_flagship_that_look_back_fire_on_fewer_states_and_on_answers_that_stand_still() {
    let mut bench = Bench::new(Options { answers: vec![good()], ..Options::default() });
    let collected = bench.collect().await.unwrap();
    let params = json!({ "snapshots": collected["snapshots"], "regions": ["europe"], "region_boxes": boxes() });
    let output = bench.task::<Validate>(params).await.unwrap();
    let europe = output["regions"]["europe"]["dataset"].clone();
    // The answer of a minute, with the aircraft where they are then.
    let later = |minutes: u32, rows: u32| {
        format!(
            "select * replace (snapshot_time + interval '{minutes} minutes' as snapshot_time, \
             snapshot_time + interval '{minutes} minutes 2 seconds' as fetched_at, \
             latitude_deg + {minutes} * 0.0001 as latitude_deg) from s where icao24 < '{rows:06x}'"
        )
    };
    let passed = ["passed"; 3].map(str::to_owned);
    // Three weeks of Thursdays, and the middle of a night with few aircraft.
    for (n, (end, rows)) in (0..).zip([
        ("2025-12-11T10:00:00Z", 200),
        ("2025-12-18T10:00:00Z", 180),
        ("2025-12-25T09:30:00Z", 200),
        ("2026-01-01T03:00:00Z", 20),
    ]) {
        let rows = bench.spoil(&europe, &later(n, rows)).await;
        assert_eq!(looking_back(&mut bench, &rows, &output, end).await, passed, "{end}");
    }
    for (minutes, end, rows, expected) in [
        (10, "2026-01-01T09:10:00Z", 110, "passed"),
        (11, "2026-01-01T09:20:00Z", 90, "warned"),
        (12, "2026-01-01T09:30:00Z", 30, "failed"),
        (13, "2026-01-01T09:40:00Z", 190, "passed"),
    ] {
        let rows = bench.spoil(&europe, &later(minutes, rows)).await;
        let states = looking_back(&mut bench, &rows, &output, end).await;
        assert_eq!(states, [expected, "passed", "passed"].map(str::to_owned), "{end}");
    }
    // The last answer again and again; a re-run of an interval in between; and a newer one.
    let again = bench.spoil(&europe, &later(13, 190)).await;
    for (end, expected) in [
        ("2026-01-01T09:50:00Z", "warned"),
        ("2026-01-01T10:00:00Z", "warned"),
        ("2026-01-01T10:10:00Z", "failed"),
        ("2026-01-01T10:00:00Z", "warned"),
        ("2026-01-01T09:50:00Z", "warned"),
        ("2026-01-01T09:40:00Z", "passed"),
    ] {
        let [_, newer, repeated] = looking_back(&mut bench, &again, &output, end).await;
        assert_eq!([newer, repeated], [expected, expected].map(str::to_owned), "{end}");
    }
    let newer = bench.spoil(&europe, &later(14, 190)).await;
    assert_eq!(looking_back(&mut bench, &newer, &output, "2026-01-01T10:20:00Z").await, passed);
    // Older than the last one, and another one.
    let older = bench.spoil(&europe, &later(9, 190)).await;
    let states = looking_back(&mut bench, &older, &output, "2026-01-01T10:30:00Z").await;
    assert_eq!(states, ["passed", "failed", "passed"].map(str::to_owned), "older than four of the last five");
}

#[tokio::test]
async fn a_recorded_series_of_answers_breaks_no_rule_that_looks_back() {
    let Some(folder) = updraft_testkit::shared_data_file("opensky/derived/europe_switzerland_20180801_600s") else {
        return;
    };
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|ending| ending == "json"));
    files.sort();
    let answers: Vec<Value> =
        files.iter().map(|file| serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()).collect();
    let mut judged_answers = 0;
    let mut bench = Bench::four();
    for answer in answers.iter().filter(|answer| answer["states"].is_array()) {
        let Some(time) = answer["time"].as_i64() else { continue };
        let playing = Bench::new(Options { answers: vec![answer.clone()], ..Options::default() });
        bench.standin = playing.standin;
        let secret = bench.standin.announcement().client_secret.clone();
        bench.connect(json!({ "client_id": "standin", "client_secret": secret }));
        let end = Timestamp::from_millis((time + 1) * 1000);
        bench.run.info.interval =
            updraft_task::DataInterval { start: Timestamp::from_millis(end.as_millis() - 600_000), end };
        let collected = bench.collect().await.unwrap();
        let params = json!({ "snapshots": collected["snapshots"], "regions": ["europe"], "region_boxes": boxes() });
        let output = bench.task::<Validate>(params).await.unwrap();
        // The stand-in gives recorded answers the time of today.
        let recorded = format!(
            "select * replace (arrow_cast({}, 'Timestamp(Millisecond, Some(\"UTC\"))') as snapshot_time) from s",
            time * 1000
        );
        let rows = bench.spoil(&output["regions"]["europe"]["dataset"], &recorded).await;
        let states = judged(&bench, &rows, &output).await;
        let found = LOOKING_BACK.map(|rule| states[rule].clone());
        assert_eq!(found, ["passed"; 3].map(str::to_owned), "{end}");
        judged_answers += 1;
    }
    assert!(judged_answers >= 6, "{judged_answers}");
}

/// What each rule says of these rows.
async fn judged(bench: &Bench, dataset: &Value, output: &Value) -> std::collections::BTreeMap<String, String> {
    let before = bench.run.items().len();
    let input = json!({ "europe": { "dataset": dataset } });
    let with = json!({ "input": input, "rules": rules(output), "regions": ["europe"] });
    let judged = QualityCheck::run(serde_json::from_value(with).unwrap(), &bench.run.context("quality", 1, None)).await;
    let class = judged.as_ref().err().map(TaskError::class);
    assert!(class.is_none_or(|class| class == "QualityFailed"), "{judged:?}");
    let mut states = std::collections::BTreeMap::new();
    for item in bench.run.items().into_iter().skip(before) {
        let name = item.name.rsplit('/').next().unwrap().split('(').next().unwrap().to_owned();
        let worst = states.entry(name).or_insert_with(|| item.state.clone());
        if item.state == "failed" {
            *worst = item.state;
        }
    }
    assert_eq!(class.is_some(), states.values().any(|state| state == "failed"), "{states:?}");
    states
}

#[tokio::test]
async fn each_rule_of_the_flagship_fires_on_data_made_bad_in_its_way_and_on_good_data_none() {
    let bench = Bench::new(Options { answers: vec![good()], ..Options::default() });
    let collected = bench.collect().await.unwrap();
    let params = json!({ "snapshots": collected["snapshots"], "regions": ["europe"], "region_boxes": boxes() });
    let output = bench.task::<Validate>(params).await.unwrap();
    let mut europe = output["regions"]["europe"]["dataset"].clone();
    // The standing answer was heard long ago: only here, where the clock stands beside it.
    let fresh = "select * replace (snapshot_time + interval '2 seconds' as fetched_at) from s";
    europe = bench.spoil(&europe, fresh).await;
    let states = judged(&bench, &europe, &output).await;
    assert!(states.values().all(|state| state == "passed"), "{states:?}");
    let mut fired: std::collections::BTreeSet<String> = LOOKING_BACK.map(str::to_owned).into();
    for (rule, spoil, expected) in spoiled() {
        let (mut dataset, mut output) = (europe.clone(), output.clone());
        match spoil {
            Spoil::Rows(sql) => dataset = bench.spoil(&europe, &sql).await,
            Spoil::Number(place, number) => *output.pointer_mut(place).unwrap() = json!(number),
        }
        let states = judged(&bench, &dataset, &output).await;
        assert_eq!(states.get(rule).map(String::as_str), Some(expected), "{rule}: {states:?}");
        fired.insert(rule.to_owned());
    }
    let names =
        rules(&output).as_array().unwrap().iter().map(|rule| rule["name"].as_str().unwrap().to_owned()).collect();
    assert_eq!(fired, names, "every rule of the file is shown to fire");
}

#[tokio::test]
async fn north_america_has_a_floor_of_its_own_and_a_region_without_states_warns() {
    let bench = Bench::new(Options { answers: vec![good()], ..Options::default() });
    let collected = bench.collect().await.unwrap();
    let params = json!({ "snapshots": collected["snapshots"], "regions": ["europe"], "region_boxes": boxes() });
    let output = bench.task::<Validate>(params).await.unwrap();
    let europe = &output["regions"]["europe"]["dataset"];
    for (rows, expected) in [(0, None), (1, Some("failed")), (499, Some("failed")), (500, None)] {
        let many = format!("select s.* from s, generate_series(1, 3) limit {rows}");
        let states = bench.spoil(europe, &many).await;
        let with = json!({
            "input": { "north_america": { "dataset": states } },
            "rules": rules(&output).as_array().unwrap().iter()
                .filter(|rule| ["states_few", "states_received"].contains(&rule["name"].as_str().unwrap()))
                .collect::<Vec<_>>(),
        });
        let before = bench.run.items().len();
        let judged =
            QualityCheck::run(serde_json::from_value(with).unwrap(), &bench.run.context("quality", 1, None)).await;
        let found: Vec<(String, String)> =
            bench.run.items().into_iter().skip(before).map(|item| (item.name, item.state)).collect();
        let state = |rule: &str| {
            let of: Vec<&str> =
                found.iter().filter(|(name, _)| name.contains(rule)).map(|(_, state)| state.as_str()).collect();
            assert_eq!(of.len(), 1, "one region has one floor: {found:?}");
            of[0]
        };
        assert_eq!(judged.is_err(), expected.is_some(), "{rows}: {judged:?}");
        assert_eq!(state("states_few"), expected.unwrap_or("passed"), "{rows}");
        assert_eq!(state("states_received"), if rows == 0 { "warned" } else { "passed" }, "{rows}");
    }
}

impl Bench {
    /// A dataset made of another one by a query.
    async fn spoil(&self, dataset: &Value, sql: &str) -> Value {
        let prefix = format!("spoiled/{}", &updraft_task::lake::sha256_hex(sql.as_bytes())[..8]);
        let params = json!({ "inputs": { "s": dataset }, "sql": sql, "output": { "prefix": prefix } });
        self.task::<crate::sql_transform::SqlTransform>(params).await.unwrap()["dataset"].take()
    }
}
