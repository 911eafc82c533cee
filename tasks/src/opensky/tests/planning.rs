//! What is asked for, and when nothing is.

use std::time::Duration;

use serde_json::json;
use updraft_task::Verdict;
use updraft_testkit::opensky::{Fault, Options};

use super::*;

#[tokio::test]
async fn a_plan_is_one_global_call_or_one_call_a_region() {
    let bench = Bench::four();
    let global = bench.plan(json!({})).await.unwrap();
    assert_eq!((&global["est_credits"], &global["reserve"]), (&json!(4), &json!(400)));
    assert_eq!(global["requests"][0]["region"], "global");
    let both = json!({ "scope": "per_region", "regions": ["north_america", "europe"] });
    let each = bench.plan(both).await.unwrap();
    let regions: Vec<&str> =
        each["requests"].as_array().unwrap().iter().map(|r| r["region"].as_str().unwrap()).collect();
    assert_eq!((regions, &each["est_credits"]), (vec!["north_america", "europe"], &json!(8)));
    bench.connect(json!({}));
    assert_eq!(bench.plan(json!({})).await.unwrap()["reserve"], 40, "anonymous");
    assert_eq!(bench.asked(STATES), 0);
}

#[tokio::test]
async fn the_reserve_is_not_touched_and_a_dry_run_asks_for_nothing() {
    let mut bench = Bench::new(Options { answers: vec![four()], credits: Some(407), ..Options::default() });
    let error = bench.plan(json!({ "dry_run": true })).await.unwrap_err();
    assert_eq!(error.verdict(), &Verdict::Skip);
    assert!(error.message().contains("dry run: 1 calls for 4 credits"), "{error}");
    bench.collect().await.unwrap();
    bench.next();
    let error = bench.plan(json!({})).await.unwrap_err();
    assert_eq!(error.verdict(), &Verdict::Skip);
    assert!(error.message().contains("cost 4 credits, 403 are left, and 400 are kept"), "{error}");
    assert_eq!(bench.plan(json!({ "min_credits_reserve": 399 })).await.unwrap()["credits_left"], 403);
}

#[tokio::test]
async fn a_hold_is_respected_until_it_is_over_and_an_answer_in_the_lake_needs_no_call() {
    let mut bench = Bench::four();
    let start = Timestamp::from_millis(1_800_000_000_000);
    bench.run.set_now(start);
    bench.collect().await.unwrap();
    bench.next();
    bench.standin.fail(Fault::TooManyRequests, 1);
    let error = bench.collect().await.unwrap_err();
    assert_eq!(error.verdict(), &Verdict::Skip);
    assert!(error.message().contains("22688 s"), "{error}");
    let asked = bench.asked(STATES);
    for error in [bench.plan(json!({})).await.unwrap_err(), bench.collect().await.unwrap_err()] {
        assert_eq!(error.verdict(), &Verdict::Skip);
        assert!(error.message().contains("no call before 2027-01-15T14:18:08Z"), "{error}");
    }
    assert_eq!(bench.asked(STATES), asked, "a hold is not asked against");
    let later = bench.run.info.interval;
    bench.run.info.interval.start = Timestamp::from_millis(later.start.as_millis() - 600_000);
    bench.run.info.interval.end = bench.run.info.interval.start;
    assert_eq!(bench.plan(json!({})).await.unwrap()["est_credits"], 0, "the first interval's answer is kept");
    assert_eq!(bench.collect().await.unwrap()["reused"], true);
    bench.run.info.interval = later;
    bench.run.set_now(start + Duration::from_secs(22_688));
    assert_eq!(bench.plan(json!({})).await.unwrap()["credits_left"], Value::Null);
    bench.collect().await.unwrap();
}
