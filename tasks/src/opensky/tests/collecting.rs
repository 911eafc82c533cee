//! What each failure of the API makes of a collection, and when the API is asked at all.

use std::path::Path;
use std::time::Duration;

use serde_json::json;
use updraft_task::Verdict;
use updraft_testkit::opensky::{Fault, Options};

use super::*;

const RETRY: Verdict = Verdict::Retry { after: None };

#[tokio::test]
async fn every_failure_has_its_verdict_class_and_message() {
    for (fault, calls, verdict, class, words) in [
        (Fault::TokenUnauthorized, 1, Verdict::Fail, "Auth", "wrong client_id or client_secret"),
        (Fault::Unauthorized, 2, Verdict::Fail, "Auth", "401 with a fresh token"),
        (Fault::TooManyRequests, 1, Verdict::Skip, "skipped", "(22688 s), which is kept as a hold"),
        (Fault::TooManyRequestsShort, 1, Verdict::Skip, "skipped", "(2 s), which is kept as a hold"),
        (Fault::BadGateway, 1, RETRY, "Upstream5xx", "502"),
        (Fault::ServiceUnavailable, 1, RETRY, "Upstream5xx", "503"),
        (Fault::Broken, 1, RETRY, "BrokenBody", "not of the documented form"),
        (Fault::Html, 1, RETRY, "BrokenBody", "Content-Type `text/html` instead of JSON"),
        (Fault::Slow, 1, RETRY, "Timeout", "GET /states/all"),
        (Fault::Drop, 1, RETRY, "Network", "the body of GET /states/all"),
    ] {
        let bench = Bench::four();
        bench.standin.fail(fault, calls);
        let error = bench.collect().await.unwrap_err();
        assert_eq!((error.verdict(), error.class()), (&verdict, class), "{fault}: {error}");
        assert!(error.message().contains(words), "{fault}: {error}");
        let asked = if fault == Fault::TokenUnauthorized { 0 } else { calls as usize };
        assert_eq!(bench.asked(STATES), asked, "{fault}");
        if verdict == RETRY {
            let again = bench.collect().await.unwrap();
            assert_eq!((&again["rows_out"], &again["reused"]), (&json!(4), &json!(false)), "{fault}");
        }
    }
}

#[tokio::test]
async fn odd_answers_are_kept_and_counted() {
    for (fault, rows) in
        [(Fault::NoStates, 0), (Fault::ShortRows, 4), (Fault::DuplicateRow, 5), (Fault::FutureContact, 4)]
    {
        let bench = Bench::four();
        bench.standin.fail(fault, 1);
        assert_eq!(bench.collect().await.unwrap()["rows_out"], rows, "{fault}");
    }
}

#[tokio::test]
async fn a_refused_token_is_renewed_once_and_an_expired_one_before_it_is_used() {
    let mut bench = Bench::new(Options { answers: vec![four()], token_ttl_s: 1, ..Options::default() });
    bench.standin.fail(Fault::Unauthorized, 1);
    bench.collect().await.unwrap();
    assert_eq!((bench.asked(STATES), bench.asked(TOKEN)), (2, 2));
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    bench.next();
    bench.collect().await.unwrap();
    assert_eq!((bench.asked(STATES), bench.asked(TOKEN)), (3, 3));
}

#[tokio::test]
async fn calls_side_by_side_ask_for_one_token() {
    let bench = Bench::four();
    let calls = (0..8).map(|n| {
        let request = json!({ "region": format!("r{n}"), "bbox": null, "extended": false, "credits": 4 });
        bench.task::<super::super::Collect>(json!({ "requests": [request] }))
    });
    for output in futures::future::join_all(calls).await {
        output.unwrap();
    }
    assert_eq!((bench.asked(STATES), bench.asked(TOKEN)), (8, 1));
}

#[tokio::test]
async fn a_wrong_secret_fails_and_no_credentials_ask_anonymously() {
    let bench = Bench::four();
    bench.connect(json!({ "client_id": "standin", "client_secret": "wrong" }));
    let error = bench.collect().await.unwrap_err();
    assert_eq!((error.verdict(), error.class()), (&Verdict::Fail, "Auth"));
    assert!(!error.message().contains("wrong\""), "{error}");
    bench.connect(json!({}));
    assert_eq!(bench.collect().await.unwrap()["credits_left"], 396);
    assert_eq!(bench.asked(TOKEN), 1);
}

#[tokio::test]
async fn a_second_attempt_fetches_only_what_is_not_in_the_lake() {
    let bench = Bench::four();
    let first = bench.collect().await.unwrap();
    assert_eq!(
        (&first["reused"], &first["credits_spent"], &first["credits_left"]),
        (&json!(false), &json!(4), &json!(3_996))
    );
    assert_eq!(first["batch_id"], "test/20260101T000000Z/20260101T000000Z/global");
    let again = bench.collect().await.unwrap();
    assert_eq!((&again["reused"], &again["snapshots"]), (&json!(true), &first["snapshots"]));
    assert_eq!(bench.asked(STATES), 1);
    // As after a crash between the manifest and the object, and as after a loss of the manifest.
    let lake = bench.run.context("task", 1, None).lake().unwrap();
    for (key, asked) in [
        (first["object_key"].as_str().unwrap(), 2),
        ("raw-data/flights/manifest/test_20260101T000000Z_20260101T000000Z_global.json", 3),
    ] {
        assert!(lake.find(key).await.unwrap().is_some(), "{key}");
        lake.delete(key).await.unwrap();
        assert_eq!(bench.collect().await.unwrap()["reused"], false);
        assert_eq!(bench.asked(STATES), asked);
    }
}

/// Files in a folder and below.
fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[tokio::test]
async fn a_crash_before_the_manifest_leaves_nothing_and_the_next_attempt_asks_again() {
    let bench = Bench::four();
    bench.standin.fail(Fault::Slow, 1);
    {
        let attempt = bench.collect();
        tokio::pin!(attempt);
        while bench.asked(STATES) == 0 {
            tokio::select! {
                ended = &mut attempt => panic!("it ended by itself: {ended:?}"),
                () = tokio::time::sleep(Duration::from_millis(5)) => {}
            }
        }
        // Dropped here: asked, and never told what came.
    }
    assert_eq!(files(&bench.run.folder().join("lake")), Vec::<PathBuf>::new());
    let output = bench.collect().await.unwrap();
    assert_eq!((&output["reused"], &output["requests"]), (&json!(false), &json!(1)));
    assert_eq!(bench.asked(STATES), 2);
    assert_eq!(files(&bench.run.folder().join("lake")).len(), 2, "a manifest and its object");
}

#[tokio::test]
async fn another_run_of_the_interval_reads_what_is_there_and_one_of_the_next_asks() {
    let mut bench = Bench::four();
    let first = bench.collect().await.unwrap();
    bench.run.info.run_id.0 = uuid::Uuid::from_u128(2);
    let second = bench.collect().await.unwrap();
    assert_eq!((&second["reused"], &second["credits_spent"]), (&json!(true), &json!(0)));
    assert_eq!((&second["snapshots"], &second["rows_out"]), (&first["snapshots"], &first["rows_out"]));
    assert_eq!((bench.asked(STATES), bench.asked(TOKEN)), (1, 1));
    bench.next();
    assert_eq!(bench.collect().await.unwrap()["reused"], false);
    assert_eq!(bench.asked(STATES), 2);
}

#[tokio::test]
async fn on_s3_an_interval_is_asked_for_once_and_a_lost_object_again() {
    let mut bench = Bench::four();
    let Some(_bucket) = crate::s3_lake::move_lake(&bench.run) else { return };
    let first = bench.collect().await.unwrap();
    assert_eq!(first["reused"], false);
    bench.run.info.run_id.0 = uuid::Uuid::from_u128(2);
    let second = bench.collect().await.unwrap();
    assert_eq!((&second["reused"], &second["snapshots"]), (&json!(true), &first["snapshots"]));
    assert!(bench.run.lines().iter().any(|(_, line)| line.contains("is in the lake; the API is not called")));
    let lake = bench.run.context("task", 1, None).lake().unwrap();
    lake.delete(first["object_key"].as_str().unwrap()).await.unwrap();
    assert_eq!(bench.collect().await.unwrap()["reused"], false);
    assert_eq!(bench.asked(STATES), 2);
}

#[tokio::test]
async fn runs_by_hand_are_batches_of_their_own_and_one_that_is_dated_joins_the_schedules() {
    let mut bench = Bench::four();
    let at = |text: &str| Timestamp::parse(text).unwrap();
    let mut ids = Vec::new();
    for (start, end, reused) in [
        ("2026-01-01T00:00:00Z", "2026-01-01T00:10:00Z", false),
        // Without a date: an instant, with its milliseconds. Inside the interval, and still not the interval.
        ("2026-01-01T00:00:00.001Z", "2026-01-01T00:00:00.001Z", false),
        ("2026-01-01T00:00:00.002Z", "2026-01-01T00:00:00.002Z", false),
        // The instant at which the interval begins is not the interval.
        ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z", false),
        ("2026-01-01T00:00:00Z", "2026-01-01T00:10:00Z", true),
    ] {
        bench.run.info.interval.start = at(start);
        bench.run.info.interval.end = at(end);
        let output = bench.collect().await.unwrap();
        assert_eq!(output["reused"], reused, "{start}");
        ids.push(output["batch_id"].as_str().unwrap().to_owned());
    }
    assert_eq!(ids[1], "test/20260101T000000.001Z/20260101T000000.001Z/global");
    assert_eq!(ids[0], ids[4]);
    ids.sort();
    ids.dedup();
    assert_eq!((ids.len(), bench.asked(STATES)), (4, 4));
}

#[tokio::test]
async fn raw_answers_of_a_window_are_read_again_and_a_lost_one_is_a_hole() {
    let mut bench = Bench::four();
    let at = |minute: u32| format!("2026-01-01T00:{minute:02}:00Z");
    for minute in [0, 10, 20] {
        bench.run.info.interval.start = Timestamp::parse(&at(minute)).unwrap();
        bench.run.info.interval.end = Timestamp::parse(&at(minute + 10)).unwrap();
        bench.collect().await.unwrap();
    }
    let read = |to: u32| {
        bench.task::<crate::archive::ArchiveRead>(json!({
            "source": "raw_answers", "from": at(0), "to": at(to), "parts": ["global"], "workflow": "test",
        }))
    };
    let output = read(30).await.unwrap();
    assert_eq!((&output["batches"], &output["rows_out"]), (&json!(3), &json!(12)));
    #[cfg(feature = "sql")]
    {
        let params = json!({ "snapshots": output["snapshots"], "regions": ["europe"], "region_boxes": boxes() });
        assert_eq!(bench.task::<super::super::Validate>(params).await.unwrap()["received"], 12);
    }
    assert_eq!((&output["datasets"], &output["snapshots"]["rows"]), (&Value::Null, &json!(3)));
    assert!(read(40).await.unwrap_err().message().contains("2026-01-01T00:30:00Z…2026-01-01T00:40:00Z"));
    let lake = bench.run.context("task", 1, None).lake().unwrap();
    lake.delete("raw-data/flights/manifest/test_20260101T001000Z_20260101T002000Z_global.json").await.unwrap();
    let error = read(30).await.unwrap_err();
    assert_eq!(error.class(), "Holes");
    assert!(error.message().contains("global 2026-01-01T00:10:00Z…2026-01-01T00:20:00Z"), "{error}");
}

/// More than an output holds, so that they are handed on as a list.
#[tokio::test]
async fn a_day_of_raw_answers_is_read_as_one_window() {
    let mut bench = Bench::four();
    let start = Timestamp::parse("2026-01-01T00:00:00Z").unwrap();
    let mut answer = four();
    for number in 0..144_i64 {
        let at = |number: i64| Timestamp::from_millis(start.as_millis() + number * 600_000);
        bench.run.info.interval = updraft_task::DataInterval { start: at(number), end: at(number + 1) };
        answer["time"] = json!(at(number + 1).as_millis() / 1000);
        bench.keep(&answer).await;
    }
    let window = json!({
        "source": "raw_answers", "from": "2026-01-01T00:00:00Z", "to": "2026-01-02T00:00:00Z", "parts": ["global"],
    });
    let output = bench.task::<crate::archive::ArchiveRead>(window).await.unwrap();
    assert_eq!((&output["batches"], &output["rows_out"], bench.asked(STATES)), (&json!(144), &json!(4 * 144), 0));
    let size = output.to_string().len();
    assert!(size < 2_000, "{size} bytes");
    #[cfg(feature = "sql")]
    {
        let params = json!({ "snapshots": output["snapshots"], "regions": ["europe"], "region_boxes": boxes() });
        let validated = bench.task::<super::super::Validate>(params).await.unwrap();
        assert_eq!((&validated["received"], &validated["accepted"]), (&json!(4 * 144), &json!(3 * 144)));
    }
}
