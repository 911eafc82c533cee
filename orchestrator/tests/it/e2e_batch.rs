//! `opensky_batch` by the engine, on raw answers of known content: an hour by either engine and again, and the same hour as a day.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use updraft_task::Timestamp;
use updraft_task::lake::sha256_hex;
use updraft_testkit::process::Program;
use updraft_testkit::services::spark;

use crate::e2e_support::{Project, RUN, Ran, dbt_python, demo_recording, query_duckdb, standin, tell};

pub const HOURLY: &str = "workflows/opensky/batch.yaml";
const DAILY: &str = "workflows/opensky/batch_daily.yaml";
pub const REFERENCE: &str = "workflows/opensky/reference_refresh.yaml";
/// The run of the hour from 06:00, which fires at 07:07.
pub const HOUR: [&str; 2] = ["--logical-date", "2026-03-01T06:07:00Z"];
const FROM: &str = "2026-03-01T06:00:00Z";
const TO: &str = "2026-03-01T07:00:00Z";
const MINUTES_10_MS: i64 = 600_000;

// What the answers of `answers` hold, counted beforehand by a program of its own.
const STATES: u64 = 3_690;
pub const CONTACTS: u64 = 1_630;
/// Contacts that only the last answer has.
pub const LAST_ANSWER: u64 = 105;
const COUNTS: &str = "count(*), count(distinct icao24), count(*) filter (on_ground), count(distinct origin_country), \
    count(*) filter (region = 'europe'), count(country_iso2), count(registration), count(near_airport), \
    count(*) filter (near_airport = 'KEWR'), count(*) filter (snapshot_time = timestamptz '2026-03-01 06:50:00Z'), \
    count(distinct batch_id)";
const COUNTED: [u64; 11] = [CONTACTS, 579, 234, 25, 103, 1_630, 1_503, 585, 93, 525, 1];

fn millis(text: &str) -> i64 {
    Timestamp::parse(text).unwrap().as_millis()
}

fn compact(at: i64) -> String {
    Timestamp::from_millis(at).to_string().replace(['-', ':'], "")
}

/// A project with the batch's workflows beside the flagship.
pub fn with_batch(project: Project) -> Project {
    project
        .with_workflow(HOURLY, &["workflows/opensky/spark", "workflows/opensky/reference"])
        .with_workflow(DAILY, &[])
        .with_workflow(REFERENCE, &[])
}

/// Seven answers, of 06:00 to 07:00, as `opensky.collect` keeps them: flights over Switzerland as recorded, and the aircraft around
/// New York, which are heard anew with every second answer only. Times are moved to 2026-03-01. Gives the objects of the lake to `put`
/// and returns the intervals of the answers.
pub fn answers(mut put: impl FnMut(&str, &[u8])) -> Option<Vec<String>> {
    let folder = updraft_testkit::shared_data_file("opensky/derived/europe_switzerland_20180801_600s")?;
    let new_york: Value = serde_json::from_slice(&fs::read(demo_recording()).unwrap()).unwrap();
    let mut intervals = Vec::new();
    for number in 0..7 {
        let time = millis(FROM) + number * MINUTES_10_MS;
        let file = format!("states_{}.json", compact(time).replace("20260301", "20180801"));
        let mut answer: Value = serde_json::from_slice(&fs::read(folder.join(file)).unwrap()).unwrap();
        let moved = time / 1000 - answer["time"].as_i64().unwrap();
        answer["time"] = json!(time / 1000);
        let states = answer["states"].as_array_mut().unwrap();
        states.iter_mut().for_each(|state| later(state, moved));
        let heard = (time - number % 2 * MINUTES_10_MS) / 1000 - new_york["time"].as_i64().unwrap();
        states.extend(new_york["states"].as_array().unwrap().iter().map(|state| {
            let mut state = state.clone();
            later(&mut state, heard);
            state
        }));
        keep(&mut put, time, &serde_json::to_vec(&answer).unwrap());
        intervals.push(Timestamp::from_millis(time - MINUTES_10_MS).to_string());
    }
    Some(intervals)
}

fn later(state: &mut Value, seconds: i64) {
    for field in [3, 4] {
        if let Some(at) = state[field].as_i64() {
            state[field] = json!(at + seconds);
        }
    }
}

fn keep(put: &mut impl FnMut(&str, &[u8]), time: i64, body: &[u8]) {
    let batch = format!("opensky_data_pipeline/{}/{}/global", compact(time - MINUTES_10_MS), compact(time));
    let sha256 = sha256_hex(body);
    let key = format!("raw-data/flights/states/v1/scope=global/x/states_{}_{}.json.gz", compact(time), &sha256[..8]);
    let manifest = json!({
        "request": "GET /states/all?extended=1", "content_type": "application/json",
        "snapshot": {
            "region": "global", "batch_id": batch, "api_time": time / 1000, "object_key": key, "sha256": sha256,
            "fetched_at": Timestamp::from_millis(time + 1000).to_string(), "bytes": body.len(), "status": 200, "credits_left": null,
        },
    });
    let mut packed = GzEncoder::new(Vec::new(), Compression::default());
    packed.write_all(body).unwrap();
    let manifest_key = format!("raw-data/flights/manifest/{}.json", batch.replace('/', "_"));
    for (key, bytes) in [(key, packed.finish().unwrap()), (manifest_key, serde_json::to_vec(&manifest).unwrap())] {
        put(&key, &bytes);
    }
}

fn put_in_folder(lake: &Path, key: &str, bytes: &[u8]) {
    let file = lake.join(key);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(file, bytes).unwrap();
}

pub fn run_with(project: &Project, arguments: &[&str], with: impl Fn(Program) -> Program) -> Ran {
    let mut running = with(project.program(&["run"]).args(arguments).args(["--json"])).start().unwrap();
    running.close_input();
    Ran::of(project, running.wait(2 * RUN).unwrap())
}

pub fn run(project: &Project, workflow: &str, arguments: &[&str]) -> Ran {
    run_with(project, &[&[workflow], arguments].concat(), |program| program)
}

/// What the stream loads of an interval; the answer is in the lake, so that the API is not asked.
pub fn stream(project: &Project, interval: &str, profile: &[&str]) {
    let arguments = [profile, &["--logical-date", interval, "--task", "load_processed"]].concat();
    let ran = project.run(&arguments).ended_with(0);
    assert_eq!(ran.task("collect_flight_data")["output"]["reused"], true);
}

#[track_caller]
pub fn difference(ran: &Ran) -> (String, f64) {
    let output = &ran.task("reconcile_with_streaming")["output"];
    let check = &output["checks"][0];
    (check["state"].as_str().unwrap().to_owned(), check["observed"].as_f64().unwrap())
}

fn batch_table(project: &Project, python: &Path, select: &str) -> Value {
    let files = project.lake().join("warehouse/flights_batch/**/*.parquet");
    let query = format!("select {select} from read_parquet('{}') order by all", files.display());
    query_duckdb(python, ":memory:", &[("rows", &query)])["rows"].clone()
}

#[test]
fn an_hour_as_one_batch_has_its_known_numbers_by_either_engine_and_again_and_as_a_day() {
    let Some(python) = dbt_python() else { return };
    let Some(aircraft) = updraft_testkit::shared_data_file("opensky/reference/aircraft_extract.csv") else { return };
    let standin = standin(demo_recording());
    let project = with_batch(Project::new(&standin));
    let lake = project.lake();
    let Some(intervals) = answers(|key, bytes| put_in_folder(&lake, key, bytes)) else { return };
    let (last, first) = intervals.split_last().unwrap();
    first.iter().for_each(|interval| stream(&project, interval, &[]));
    // Nothing is known of aircraft yet; then their table is loaded, and the empty one is no measure of it.
    run(&project, HOURLY, &[&HOUR[..], &["--task", "enrich"]].concat()).ended_with(0);
    let given = format!("aircraft={}", aircraft.display());
    let reference = run(&project, REFERENCE, &["-p", &given]).ended_with(0);
    assert_eq!(reference.task("load_aircraft")["output"]["current"], 509);
    assert_eq!(reference.task("load_airports")["state"], "skipped", "as it was when the batch needed it");

    let ran = run(&project, HOURLY, &HOUR).ended_with(0);
    assert_eq!(ran.states()["process_spark"], "skipped");
    assert_eq!(ran.task("list_raw_objects")["output"]["batches"], 7);
    assert_eq!(ran.task("read_and_parse")["output"]["received"], STATES);
    assert_eq!(ran.task("load_flights_batch")["output"]["inserted"], CONTACTS);
    assert_eq!(batch_table(&project, &python, COUNTS), json!([COUNTED]));
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    let share = LAST_ANSWER as f64 / CONTACTS as f64;
    assert_eq!(difference(&ran), ("warned".to_owned(), share), "the stream has not loaded the last answer");
    for (task, rows) in [("aggregate_countries", 25), ("aggregate_regions", 2), ("aggregate_altitudes", 8)] {
        assert_eq!(ran.task(task)["output"]["rows_out"], rows, "{task}");
    }

    stream(&project, last, &[]);
    let lake = project.lake_but_quality();
    let again = run(&project, HOURLY, &HOUR).ended_with(0);
    assert_eq!(difference(&again), ("passed".to_owned(), 0.0));
    assert_eq!(project.lake_but_quality(), lake, "no file is added, lost or changed");

    let rows = batch_table(&project, &python, "*");
    if let Some(programs) = spark::programs().unwrap() {
        let by_spark = run_with(&project, &[&[HOURLY, "-p", "engine=spark"], &HOUR[..]].concat(), |program| {
            program
                .env("UPDRAFT_CONN_SPARK__HOME", programs.home().unwrap().display().to_string())
                .env("UPDRAFT_CONN_SPARK__PYTHON", programs.python().display().to_string())
        })
        .ended_with(0);
        assert_eq!(by_spark.states()["process_datafusion"], "skipped");
        assert_eq!(by_spark.task("load_flights_batch")["output"]["replaced"], CONTACTS);
        assert_eq!(difference(&by_spark), ("passed".to_owned(), 0.0));
        assert_eq!(batch_table(&project, &python, "*"), rows, "row for row");
    }

    // In place of the hour.
    let window = ["-p".to_owned(), format!("from={FROM}"), "-p".to_owned(), format!("to={TO}")];
    let window: Vec<&str> = window.iter().map(String::as_str).collect();
    let daily = [&window[..], &["--logical-date", "2026-03-01T00:37:00Z"]].concat();
    for replaced in [CONTACTS, CONTACTS] {
        let day = run(&project, DAILY, &daily).ended_with(0);
        assert_eq!(day.task("load_flights_batch")["output"]["replaced"], replaced);
        assert_eq!(difference(&day), ("passed".to_owned(), 0.0));
        assert_eq!(batch_table(&project, &python, COUNTS), json!([COUNTED]));
    }
    // Without a window it is the day, of which all but this is missing.
    let whole = run(&project, DAILY, &["--logical-date", "2026-03-01T00:37:00Z"]).ended_with(1);
    let error = &whole.task("list_raw_objects")["error"];
    assert_eq!(error["class"], "Holes");
    for hole in ["2 hole(s)", "2026-03-01T00:00:00Z…2026-03-01T05:50:00Z", "2026-03-01T07:00:00Z…2026-03-02T00:00:00Z"]
    {
        assert!(error["message"].as_str().unwrap().contains(hole), "{hole}: {error}");
    }
}

/// A day of answers with so many states each, as one batch; what each task took.
fn a_day(states: u64) {
    let standin = standin(demo_recording());
    let project = with_batch(Project::new(&standin));
    let lake = project.lake();
    for number in 0..=144 {
        let time = millis("2026-03-01T00:00:00Z") + number * MINUTES_10_MS;
        let rows: Vec<Value> = (0..states).map(|aircraft| state(aircraft, number, time / 1000)).collect();
        let body = serde_json::to_vec(&json!({ "time": time / 1000, "states": rows })).unwrap();
        keep(&mut |key, bytes| put_in_folder(&lake, key, bytes), time, &body);
    }
    let tasks = ["load_flights_batch", "aggregate_countries", "aggregate_regions", "aggregate_altitudes"];
    let wanted: Vec<&str> = tasks.iter().flat_map(|task| ["--task", task]).collect();
    let ran = run(&project, DAILY, &[&["--logical-date", "2026-03-01T00:37:00Z"], &wanted[..]].concat()).ended_with(0);
    for task in ran.tasks() {
        tell(&format!("{states} states each: {}: {} s", task["id"], task["seconds"]));
    }
    assert_eq!(ran.task("list_raw_objects")["output"]["batches"], 145);
    assert_eq!(ran.task("read_and_parse")["output"]["received"], 145 * states);
    assert_eq!(ran.task("read_and_parse")["output"]["flags"]["jump"], 0);
    // Heard 2 s before each answer: those of the first lie before the day.
    assert_eq!(ran.task("load_flights_batch")["output"]["inserted"], 144 * states);
    assert_eq!(ran.task("aggregate_countries")["output"]["rows_out"], 24);
}

/// Over Europe, slowly eastwards; one of twelve on the ground.
fn state(aircraft: u64, number: i64, time: i64) -> Value {
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    let (spread, moved) = ((aircraft % 3_000) as f64 / 100.0, number as f64 / 1_000.0);
    let on_ground = aircraft.is_multiple_of(12);
    let (altitude, velocity) = if on_ground { (0.0, 5.1) } else { (9_000.5, 220.3) };
    json!([
        format!("{aircraft:06x}"),
        format!("TST{aircraft:05}"),
        "Germany",
        time - 3,
        time - 2,
        5.0 + spread + moved,
        37.0 + spread,
        altitude,
        on_ground,
        velocity,
        91.5,
        0.0,
        null,
        altitude,
        "1000",
        false,
        0,
        2
    ])
}

/// Its 145 answers are more than a task's output holds, or the memory of a query.
#[test]
fn a_whole_day_is_one_batch() {
    a_day(40);
}

#[test]
#[ignore = "the traffic of the two regions, for docs/benchmarks.md"]
fn a_whole_day_of_ten_thousand_states_each_is_one_batch() {
    a_day(10_000);
}

#[test]
fn the_day_is_the_hour_with_another_window() {
    let of = |file: &str| -> Vec<String> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join(file);
        fs::read_to_string(path)
            .unwrap()
            .lines()
            .filter(|line| !line.trim().starts_with('#'))
            .map(str::to_owned)
            .collect()
    };
    let (hour, day) = (of(HOURLY), of(DAILY));
    assert_eq!(hour.len(), day.len());
    let mut changed: Vec<&str> = Vec::new();
    for (hour, day) in hour.iter().zip(&day) {
        let key = |line: &str| line.trim().split(':').next().unwrap_or_default().len();
        if hour != day {
            assert_eq!(&hour.trim()[..key(hour)], &day.trim()[..key(day)]);
            changed.push(&hour.trim()[..key(hour)]);
        }
    }
    let expected = [
        "id",
        "description",
        "cron",
        "catchup",
        "timeout",
        "description",
        "description",
        "timeout",
        "from",
        "to",
        "mode",
    ];
    assert_eq!(changed, expected);
}
