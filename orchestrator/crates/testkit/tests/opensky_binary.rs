//! `opensky-standin` as a process: its first line, its arguments, its ways to end, and real recordings.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::float_cmp,
    reason = "tests say what they expect"
)]

use nix::sys::signal::Signal;
use reqwest::StatusCode;
use serde_json::{Value, json};
use updraft_testkit::{
    opensky::Announcement,
    process::{PATIENCE, Program, Running, Stream, workspace_binary},
    shared_data_file,
};

fn program() -> Program {
    Program::new(env!("CARGO_BIN_EXE_opensky-standin"))
}

fn announcement(running: &Running) -> Announcement {
    serde_json::from_str(&running.wait_for_line(Stream::Out, |_| true).unwrap()).unwrap()
}

/// A folder with two snapshots of one aircraft each.
fn recordings() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, icao24) in [("1.json", "aaaaaa"), ("2.json", "bbbbbb")] {
        let row =
            json!([icao24, "", "Norway", 100, 100, 10.0, 60.0, null, false, 0, 0, null, null, null, null, false, 0]);
        std::fs::write(folder.path().join(name), json!({ "time": 100, "states": [row] }).to_string()).unwrap();
    }
    folder
}

fn client() -> reqwest::Client {
    reqwest::Client::builder().timeout(PATIENCE).build().unwrap()
}

async fn get(url: &str) -> (StatusCode, Value) {
    let response = client().get(url).send().await.unwrap();
    (response.status(), response.json().await.unwrap_or_default())
}

#[tokio::test]
async fn the_first_line_is_all_that_a_client_needs() {
    let folder = recordings();
    let standin = program().arg("--play").arg(folder.path()).args(["--credits", "9", "--token-ttl", "77"]);
    let running = standin.args(["--fail", "502:1", "--fail", "null"]).start().unwrap();
    let said = announcement(&running);
    assert_eq!(said.pid, running.pid());
    assert!(said.url.starts_with("http://127.0.0.1:") && said.url.ends_with("/api"), "{}", said.url);

    let form =
        [("grant_type", "client_credentials"), ("client_id", &said.client_id), ("client_secret", &said.client_secret)];
    let token = client().post(&said.token_url).form(&form).send().await.unwrap();
    assert_eq!(token.json::<Value>().await.unwrap()["expires_in"], json!(77));

    let url = format!("{}/states/all", said.url);
    assert_eq!(get(&url).await.0, StatusCode::BAD_GATEWAY);
    assert_eq!(get(&url).await.1["states"], Value::Null);
    assert_eq!(get(&url).await.1["states"][0][0], json!("bbbbbb"), "one file a poll");
    assert_eq!(get(&url).await.0, StatusCode::TOO_MANY_REQUESTS, "nine credits are two calls");
    let ledger = get(&url.replace("/api/states/all", "/_ledger")).await.1;
    assert_eq!(ledger["totals"]["/api/states/all"]["requests"], json!(4));
}

#[test]
fn it_is_found_beside_the_running_test() {
    let (found, built) = (workspace_binary("opensky-standin").unwrap(), env!("CARGO_BIN_EXE_opensky-standin"));
    assert_eq!(found.canonicalize().unwrap(), std::path::Path::new(built).canonicalize().unwrap());
}

#[test]
fn it_ends_by_itself() {
    let folder = recordings();
    let standin = program().arg("--play").arg(folder.path());
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let running = standin.start().unwrap();
        announcement(&running);
        running.signal(signal).unwrap();
        assert_eq!(running.wait(PATIENCE).unwrap().code(), Some(0), "{signal}");
    }
    let mut running = standin.clone().arg("--exit-with-stdin").start().unwrap();
    announcement(&running);
    running.close_input();
    assert_eq!(running.wait(PATIENCE).unwrap().code(), Some(0));
    let finished = standin.args(["--max-seconds", "0.2"]).run().unwrap();
    assert_eq!((finished.code(), finished.out.lines().count()), (Some(0), 1));
}

#[tokio::test]
async fn a_closed_input_does_not_end_it_unless_asked() {
    let folder = recordings();
    let mut running = program().arg("--play").arg(folder.path()).start().unwrap();
    let said = announcement(&running);
    running.close_input();
    assert_eq!(get(&format!("{}/states/all", said.url)).await.0, StatusCode::OK);
}

#[test]
fn mistakes_are_said_before_anything_is_served() {
    let folder = recordings();
    std::fs::write(folder.path().join("3.json"), "{}").unwrap();
    let empty = tempfile::tempdir().unwrap();
    for (arguments, word) in [
        (vec![], "--play"),
        (vec!["--play", "no-such-file"], "no-such-file"),
        (vec!["--play", folder.path().to_str().unwrap()], "3.json"),
        (vec!["--play", empty.path().to_str().unwrap()], "holds no *.json"),
        (vec!["--play", "x", "--fail", "teapot"], "token-401 429 429-short"),
    ] {
        let finished = program().args(&arguments).run().unwrap();
        assert_eq!((finished.code(), finished.out.as_str()), (Some(2), ""), "{arguments:?}");
        assert!(finished.err.contains(word), "{arguments:?}: {}", finished.err);
    }
}

#[tokio::test]
#[expect(clippy::cast_precision_loss, reason = "counts of a few thousand")]
async fn recorded_answers_keep_their_numbers() {
    // file, box, states, on the ground, no altitude, no squawk, position older than 15, 60, 300 s, mean m/s
    for (file, query, counts, mean) in [
        (
            "opensky/recorded/states_europe_20251202T093439Z.json",
            "lamin=35&lomin=-10&lamax=70&lomax=40",
            [1_744, 168, 163, 373, 195, 131, 13],
            161.180,
        ),
        (
            "opensky/derived/states_north_america_ny_20260729T144058Z.json",
            "extended=1",
            [509, 78, 79, 21, 34, 0, 0],
            121.858,
        ),
        ("opensky/recorded/states_small_20180213T201329Z.json", "", [6, 1, 1, 0, 0, 0, 0], 155.443),
    ] {
        let Some(file) = shared_data_file(file) else { return };
        let running = program().arg("--still").arg("--play").arg(&file).start().unwrap();
        let (_, answer) = get(&format!("{}/states/all?{query}", announcement(&running).url)).await;
        let (rows, time) = (answer["states"].as_array().unwrap(), answer["time"].as_i64().unwrap());
        let count = |wanted: &dyn Fn(&Value) -> bool| rows.iter().filter(|row| wanted(row)).count();
        let older = |s: i64| count(&|row| row[3].as_i64().is_some_and(|position| time - position > s));
        let found = [
            rows.len(),
            count(&|row| row[8] == json!(true)),
            count(&|row| row[7].is_null()),
            count(&|row| row[14].is_null()),
            older(15),
            older(60),
            older(300),
        ];
        assert_eq!(found, counts, "{}", file.display());
        let speeds: Vec<f64> = rows.iter().filter_map(|row| row[9].as_f64()).collect();
        let found = speeds.iter().sum::<f64>() / speeds.len() as f64;
        assert!((found - mean).abs() < 0.001, "{}: {found}", file.display());
    }
}

#[tokio::test]
async fn recorded_folders_are_played_file_by_file() {
    let Some(folder) = shared_data_file("opensky/derived/turkey_polls_20260410_15s") else { return };
    let mut files: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.push(files.last().unwrap().clone());
    let running = program().arg("--still").arg("--play").arg(&folder).start().unwrap();
    let url = format!("{}/states/all", announcement(&running).url);
    for file in files {
        let recorded: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        let played = get(&url).await.1;
        let positions = |answer: &Value| -> Vec<_> {
            let rows = answer["states"].as_array().unwrap();
            rows.iter().map(|row| (row[0].clone(), row[5].clone(), row[6].clone())).collect()
        };
        assert_eq!(positions(&played), positions(&recorded), "{}", file.display());
    }
}
