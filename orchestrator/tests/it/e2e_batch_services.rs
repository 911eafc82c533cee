//! `opensky_batch` on real servers: raw answers from S3, the batch in ClickHouse and PostgreSQL, compared there with what the flagship
//! has loaded.

use updraft_testkit::services::s3::Precondition;
use updraft_testkit::services::set::Set;

use crate::e2e_batch::{CONTACTS, HOUR, HOURLY, LAST_ANSWER, answers, difference, run, stream, with_batch};
use crate::e2e_services::{PROFILE, Stage};
use crate::e2e_support::demo_recording;

#[test]
fn an_hour_is_loaded_into_both_databases_and_compared_with_what_the_stream_has_loaded() {
    let Some(mut stage) = Stage::new(demo_recording()) else { return };
    stage.project = with_batch(stage.project);
    let client = stage.servers.s3().client();
    let intervals = answers(|key, bytes| {
        client.put(Set::BUCKET, key, bytes, Precondition::None).unwrap();
    });
    let Some(intervals) = intervals else { return };
    let (last, first) = intervals.split_last().unwrap();
    first.iter().for_each(|interval| stream(&stage.project, interval, &PROFILE));

    let arguments = [&HOUR[..], &PROFILE].concat();
    let ran = run(&stage.project, HOURLY, &arguments).ended_with(0);
    let targets = ran.task("load_flights_batch")["output"]["targets"].as_array().unwrap();
    let loaded: Vec<_> = targets.iter().map(|target| (&target["engine"], &target["inserted"])).collect();
    assert_eq!(loaded, [(&"clickhouse".into(), &CONTACTS.into()), (&"postgres".into(), &CONTACTS.into())]);
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    let share = LAST_ANSWER as f64 / CONTACTS as f64;
    assert_eq!(difference(&ran), ("warned".to_owned(), share), "the stream has not loaded the last answer");

    stream(&stage.project, last, &PROFILE);
    for _ in 0..2 {
        let again = run(&stage.project, HOURLY, &arguments).ended_with(0);
        assert_eq!(difference(&again), ("passed".to_owned(), 0.0));
        for (engine, of) in [("clickhouse", "flights_batch final"), ("postgres", "flights_batch")] {
            assert_eq!(stage.number(engine, &format!("select count(*) from {of}")), CONTACTS, "{engine}");
        }
    }
}
