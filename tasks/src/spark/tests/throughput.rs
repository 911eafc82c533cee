//! A report: a window of a million states through `process_datafusion` and `process_spark`, with the same rows.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use super::*;
use crate::million::{peak_mib, peak_mib_of};

/// The most memory of the Java processes of an application, in MiB, looked at five times a second.
fn java_peak(application: &str, done: &AtomicBool, peak: &AtomicU64) {
    while !done.load(Ordering::Relaxed) {
        let mut all = 0;
        for process in std::fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path()) {
            let arguments = std::fs::read(process.join("cmdline")).unwrap_or_default();
            if !String::from_utf8_lossy(&arguments).contains(application) {
                continue;
            }
            all += peak_mib_of(&process);
        }
        peak.fetch_max(all, Ordering::Relaxed);
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// The states of [`states`] of a thousand times as many aircraft.
async fn many(run: &TestRun) -> Dataset {
    let sql = "select * exclude (n, place) replace (lpad(to_hex(n * 600 + place), 6, '0') as icao24) from (
                   select *, cast(dense_rank() over (order by icao24) as bigint) as place from states
               ) as known cross join (select value as n from generate_series(1, 1000)) as copies";
    let with = json!({ "inputs": { "states": states(run).await }, "sql": sql, "output": { "prefix": "in/many" } });
    let ctx = run.context("many", 1, None);
    SqlTransform::run(serde_json::from_value(with).unwrap(), &ctx).await.unwrap().dataset
}

/// `cargo test --release -p updraft-tasks --lib a_million_states_by_spark_and_datafusion -- --ignored --nocapture`
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "prints figures; takes a minute"]
#[expect(clippy::print_stdout, reason = "figures")]
async fn a_million_states_by_spark_and_datafusion() {
    let Some(programs) = spark::programs().unwrap() else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut run = TestRun::new(&project());
    run.info.data_dir = folder.path().join(".updraft");
    run.connect("lake", json!({ "kind": "lake", "url": folder.path().join("lake") }));
    connect(&run, &programs, None);
    let input = many(&run).await;
    println!("{} states, {} MiB of Parquet", input.rows, input.bytes / (1 << 20));

    // The peak is counted anew from here on.
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
    let before = peak_mib();
    let begun = Instant::now();
    let with = json!({ "inputs": { "states": input }, "sql": query(), "output": { "prefix": "derived/states" } });
    let ctx = run.context("process_datafusion", 1, None);
    let by_datafusion = SqlTransform::run(serde_json::from_value(with).unwrap(), &ctx).await.unwrap().dataset;
    let seconds = begun.elapsed().as_secs_f64();
    println!("DataFusion: {seconds:.1} s, {} rows, peak {} MiB ({before} before)", by_datafusion.rows, peak_mib());

    let with = json!({
        "file": "workflows/opensky/spark/batch_processor.py", "args": ["s3"], "input": input, "mode": "local", "cores": 2,
        "output": { "prefix": "processed-data/batch/states" },
    });
    let ctx = run.context("process_spark", 1, Some("spark"));
    let application = job::application(&ctx, 1);
    let (done, peak) = (AtomicBool::new(false), AtomicU64::new(0));
    let begun = Instant::now();
    let output = std::thread::scope(|scope| {
        scope.spawn(|| java_peak(&application, &done, &peak));
        let handle = tokio::runtime::Handle::current();
        let output = tokio::task::block_in_place(|| handle.block_on(submit(&ctx, with)));
        done.store(true, Ordering::Relaxed);
        output.unwrap()
    });
    let seconds = begun.elapsed().as_secs_f64();
    println!("Spark, local, 2 cores: {seconds:.1} s, {} rows, peak {} MiB", output.rows_out, peak.into_inner());
    assert_equal_rows(&rows(&run, &output.datasets).await, &rows(&run, &[by_datafusion]).await);
    println!("the same rows");
}
