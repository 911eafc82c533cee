//! What ends a job, and what must not: cancel in each mode, the JVM's death, a restart of the master, a stop of our own process.

use std::process::Command;

use updraft_testkit::postgres;

use super::*;
use crate::postgres::testing::{execute, texts};
use crate::warehouse_load::WarehouseLoad;

/// Sleeps in its driver without a Spark call, once an executor works for it.
const WITH_EXECUTOR: &str = r#"
import os, sys, time
sys.dont_write_bytecode = True
sys.path.insert(0, sys.argv[1])
import batch_processor
from pyspark.sql import SparkSession
batch_processor.end_with_the_jvm()
spark = SparkSession.builder.getOrCreate()
assert spark.range(10).count() == 10
with open(sys.argv[2], "w") as file:
    file.write(f"{os.getpid()} ")
time.sleep(600)
"#;

/// Waits for a file, without Spark, and publishes nothing but its manifest.
const WAITER: &str = r#"
import json, os, sys, time
from urllib.parse import urlparse
with open(sys.argv[1] + ".pid", "w") as file:
    file.write(f"{os.getpid()} ")
while not os.path.exists(sys.argv[1]):
    time.sleep(0.2)
place = urlparse(os.environ["UPDRAFT_SPARK_MANIFEST"]).path
os.makedirs(os.path.dirname(place), exist_ok=True)
with open(place, "w") as file:
    json.dump({"application_id": "none", "rows": 0, "files": []}, file)
"#;

fn parent(process: &Path) -> PathBuf {
    let status = std::fs::read_to_string(process.join("status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("PPid:")).unwrap();
    PathBuf::from("/proc").join(line.split_whitespace().nth(1).unwrap())
}

fn kill(process: &Path) {
    let pid = process.file_name().unwrap();
    assert!(Command::new("kill").arg("-9").arg(pid).status().unwrap().success());
}

/// Processes whose arguments hold a text.
fn with_argument(text: &str) -> Vec<PathBuf> {
    let all = std::fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
    all.filter(|process| {
        let arguments = std::fs::read(process.join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&arguments).contains(text)
    })
    .collect()
}

fn place(programs: &spark::Programs, cluster: Option<&spark::Address>) -> (tempfile::TempDir, TestRun) {
    let folder = tempfile::tempdir().unwrap();
    let run = TestRun::new(folder.path());
    connect(&run, programs, cluster);
    (folder, run)
}

fn sleeper(folder: &Path, text: &str, mode: &str) -> (PathBuf, Value) {
    let note = folder.join("note");
    let args = json!([project().join("workflows/opensky/spark"), &note]);
    (note, json!({ "file": job(folder, "sleeper.py", text), "args": args, "mode": mode, "cores": 1 }))
}

#[tokio::test(flavor = "multi_thread")]
async fn cancel_ends_the_application_and_every_child() {
    let Some(cluster) = spark::server().unwrap() else { return };
    let programs = spark::programs().unwrap().unwrap();
    for mode in ["local", "client"] {
        let (folder, run) = place(&programs, Some(&cluster));
        let (note, with) = sleeper(folder.path(), WITH_EXECUTOR, mode);
        // Its own name: the application has it too, and jobs of other tests run beside it.
        let ctx = run.context(&format!("cancelled_{mode}"), 1, Some("spark"));
        let name = job::application(&ctx, 1);
        let attempt = tokio::spawn(async move { submit(&ctx, with).await });
        let process = python(&note, "").await;
        let jvm = parent(&process);
        let id = run.lines().iter().find_map(|(_, line)| line.strip_prefix("application ").map(str::to_owned)).unwrap();
        // On a cluster the executor is the worker's child, not ours.
        assert_eq!(with_argument(&format!("\0{id}\0")).is_empty(), mode == "local", "{id}");
        run.cancel();
        assert_eq!(attempt.await.unwrap().unwrap_err().class(), "Cancelled");
        for process in [process, jvm].into_iter().chain(with_argument(&format!("\0{id}\0"))) {
            gone(&process, Duration::from_secs(10)).await;
        }
        assert_eq!(with_argument(&name), Vec::<PathBuf>::new());
        if mode == "client" {
            let page = reqwest::get(format!("{}/json/", cluster.ui_url())).await.unwrap().text().await.unwrap();
            let page: Value = serde_json::from_str(&page).unwrap();
            let active = page["activeapps"].as_array().unwrap();
            assert!(active.iter().all(|app| app["id"] != id.as_str()), "{active:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_jobs_python_ends_within_five_seconds_of_its_jvm() {
    let Some(cluster) = spark::server().unwrap() else { return };
    let programs = spark::programs().unwrap().unwrap();
    let (folder, run) = place(&programs, Some(&cluster));
    let (note, with) = sleeper(folder.path(), WITH_EXECUTOR, "rest");
    let ctx = run.context("job", 1, Some("spark"));
    let attempt = tokio::spawn(async move { submit(&ctx, with).await });
    let process = python(&note, "").await;
    kill(&parent(&process));
    gone(&process, Duration::from_secs(5)).await;
    let error = attempt.await.unwrap().unwrap_err();
    assert!(["JobFailed", "Killed"].contains(&error.class()), "{error}");
    assert_eq!(error.verdict(), &Verdict::Retry { after: None });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_driver_outlives_the_stop_of_our_process_and_is_taken_over() {
    let Some(cluster) = spark::server().unwrap() else { return };
    let programs = spark::programs().unwrap().unwrap();
    let (folder, run) = place(&programs, Some(&cluster));
    let go = folder.path().join("go");
    let with = json!({
        "file": job(folder.path(), "waiter.py", WAITER), "args": [&go], "mode": "rest", "output": { "prefix": "out" },
    });
    let ctx = run.context("job", 1, Some("spark"));
    let first = tokio::spawn({
        let with = with.clone();
        async move { submit(&ctx, with).await }
    });
    let process = python(&folder.path().join("go.pid"), "").await;
    run.hand_over();
    assert_eq!(first.await.unwrap().unwrap_err().class(), "Cancelled");
    assert!(run.lines().iter().any(|(_, line)| line.contains("goes on")), "{:#?}", run.lines());
    // The next process has a context of its own, and what was kept.
    let run = run.next_process();
    let second = tokio::spawn({
        let ctx = run.context("job", 2, Some("spark"));
        async move { submit(&ctx, with).await }
    });
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(process.exists() && !second.is_finished());
    std::fs::write(&go, "").unwrap();
    assert!(second.await.unwrap().unwrap().adopted);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_of_the_master_is_never_read_as_a_failure_of_the_job() {
    let Some(mut cluster) = spark::own_server().unwrap() else { return };
    let programs = spark::programs().unwrap().unwrap();
    let address = cluster.address().clone();
    let (folder, run) = place(&programs, Some(&address));
    let go = folder.path().join("go");
    let with = json!({
        "file": job(folder.path(), "waiter.py", WAITER), "args": [&go], "mode": "rest", "output": { "prefix": "out" },
    });
    let start = |number: u32| {
        let (ctx, with) = (run.context("job", number, Some("spark")), with.clone());
        tokio::spawn(async move { submit(&ctx, with).await })
    };
    let mut attempt = start(1);
    python(&folder.path().join("go.pid"), "").await;
    cluster.master.kill().unwrap();
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert!(!attempt.is_finished(), "no answer says nothing of the job");
    assert!(run.lines().iter().any(|(_, line)| line.starts_with("nothing is known of driver")), "{:#?}", run.lines());
    cluster.master.start_again().unwrap();
    tokio::time::sleep(Duration::from_secs(4)).await;
    std::fs::write(&go, "").unwrap();
    // A master that comes back may kill a job that ran well; then it is submitted again, and said to be lost, not failed.
    for number in 2..5 {
        match attempt.await.unwrap() {
            Ok(output) => return assert_eq!(output.rows_out, 0),
            Err(error) => assert!(["Unknown", "DriverLost", "Killed"].contains(&error.class()), "{error}"),
        }
        attempt = start(number);
    }
    panic!("the job never ends: {:#?}", run.lines());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_from_postgres_is_the_one_of_datafusion_row_for_row() {
    let Some(programs) = spark::programs().unwrap() else { return };
    let Some(database) = postgres::fresh_database().unwrap() else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut run = TestRun::new(&project());
    run.info.data_dir = folder.path().join(".updraft");
    run.connect("lake", json!({ "kind": "lake", "url": folder.path().join("lake") }));
    connect(&run, &programs, None);
    crate::postgres::testing::connect(&run, "warehouse", database.url());
    let ddl = project().join("workflows/opensky/postgres/0001_states.sql");
    execute(database.url(), &std::fs::read_to_string(ddl).unwrap()).await;
    let with =
        json!({ "inputs": { "states": states(&run).await }, "sql": query(), "output": { "prefix": "derived/states" } });
    let ctx = run.context("process_datafusion", 1, None);
    let expected = SqlTransform::run(serde_json::from_value(with).unwrap(), &ctx).await.unwrap().dataset;
    let with = json!({ "input": expected, "table": "processed_flights" });
    let loaded =
        WarehouseLoad::run(serde_json::from_value(with).unwrap(), &run.context("load", 1, None)).await.unwrap();
    assert_eq!(loaded.inserted, expected.rows);
    let expected = rows(&run, &[expected]).await;
    let batch = |from: &str, to: &str| {
        json!({
            "file": "workflows/opensky/spark/batch_processor.py", "args": ["postgres", from, to], "database": "warehouse",
            "output": { "prefix": "processed-data/batch/states" },
        })
    };
    let ctx = |task: &str| run.context(task, 1, Some("spark"));
    let whole = submit(&ctx("whole"), batch("2026-07-01T00:00:00Z", "2026-08-01T00:00:00Z")).await.unwrap();
    assert_equal_rows(&rows(&run, &whole.datasets).await, &expected);
    // The end does not belong to the window.
    let latest = "to_char(max(last_contact) at time zone 'utc', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')";
    let latest = texts(database.url(), &format!("select {latest} from processed_flights")).await.remove(0);
    let before = format!("select count(*)::text from processed_flights where last_contact < '{latest}'");
    let before = texts(database.url(), &before).await.remove(0);
    let half = submit(&ctx("half"), batch("2026-07-01T00:00:00Z", &latest)).await.unwrap();
    assert_eq!(half.rows_out.to_string(), before);
    assert!(half.rows_out < whole.rows_out);
    let error = submit(&ctx("bad"), batch("2026-07-01", "2026-08-01T00:00:00Z")).await.unwrap_err();
    assert!(error.class() == "BadUsage" && error.message().contains("has no offset from UTC"), "{error}");
}
