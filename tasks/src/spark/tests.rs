//! Jobs on real Spark: in local mode, and on the shared cluster by REST with the lake on S3.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use datafusion::arrow::compute::{cast, concat_batches};
use datafusion::arrow::record_batch::RecordBatch;
use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};
use updraft_task::testing::TestRun;
use updraft_task::{Dataset, Input, Verdict};
use updraft_testkit::services::{s3, spark};

use super::*;
use crate::opensky::Validate;
use crate::sql_transform::SqlTransform;

mod faults;
mod throughput;

fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

/// The connection as `cargo xtask services up` writes it.
fn connect(run: &TestRun, programs: &spark::Programs, cluster: Option<&spark::Address>) {
    let mut entry = json!({
        "kind": "spark",
        "home": programs.home().unwrap(),
        "python": programs.python(),
        "jars": programs.jars(),
    });
    if let Some(cluster) = cluster {
        entry["master"] = json!(cluster.master_url());
        entry["rest_url"] = json!(cluster.rest_url());
        entry["ui_url"] = json!(cluster.ui_url());
    }
    run.connect("spark", entry);
}

fn job(folder: &Path, name: &str, text: &str) -> String {
    let file = folder.join(name);
    std::fs::write(&file, text).unwrap();
    file.display().to_string()
}

async fn submit(ctx: &Context, with: Value) -> Result<Output, TaskError> {
    SparkSubmit::run(serde_json::from_value(with).unwrap(), ctx).await
}

/// Two answers of the API, the second one with states of the first in it, as typed rows by region.
async fn states(run: &TestRun) -> Value {
    let ctx = run.context("read_and_parse", 1, None);
    let lake = ctx.lake().unwrap();
    let text = std::fs::read(project().join("workflows/opensky/demo/states_north_america_ny.json")).unwrap();
    let mut answer: Value = serde_json::from_slice(&text).unwrap();
    let mut snapshots = Vec::new();
    for (number, later) in [0, 10].into_iter().enumerate() {
        answer["time"] = json!(answer["time"].as_i64().unwrap() + later);
        // Half of the aircraft have been heard since.
        for row in answer["states"].as_array_mut().unwrap().iter_mut().step_by(2) {
            row[4] = json!(row[4].as_i64().unwrap() + later);
        }
        let bytes = serde_json::to_vec(&answer).unwrap();
        let mut packed = GzEncoder::new(Vec::new(), Compression::default());
        std::io::Write::write_all(&mut packed, &bytes).unwrap();
        let key = format!("raw/{number}.json.gz");
        lake.put(&key, packed.finish().unwrap()).await.unwrap();
        snapshots.push(json!({
            "region": "global", "batch_id": format!("w/{number}"), "api_time": answer["time"], "fetched_at": "2026-07-29T14:00:59Z",
            "object_key": key, "sha256": updraft_task::lake::sha256_hex(&bytes), "bytes": bytes.len(), "status": 200,
            "credits_left": null,
        }));
    }
    let boxes = json!({ "america": { "lamin": 25.0, "lomin": -125.0, "lamax": 50.0, "lomax": -65.0 } });
    let with = json!({ "snapshots": snapshots, "regions": ["america"], "region_boxes": boxes });
    let output = Validate::run(serde_json::from_value(with).unwrap(), &ctx).await.unwrap();
    serde_json::to_value(&output.regions).unwrap()
}

/// The query of `process_datafusion` in the workflow.
fn query() -> String {
    let text = std::fs::read_to_string(project().join("workflows/opensky/batch.yaml")).unwrap();
    let file: Value = serde_yaml::from_str(&text).unwrap();
    let task = file["tasks"].as_array().unwrap().iter().find(|task| task["id"] == "process_datafusion").unwrap();
    task["with"]["sql"].as_str().unwrap().to_owned()
}

async fn rows(run: &TestRun, datasets: &[Dataset]) -> RecordBatch {
    let lake = run.context("look", 1, None).lake().unwrap();
    let mut all = Vec::new();
    for dataset in datasets {
        all.extend(crate::parquet::read_batches(&lake, dataset).await.unwrap().1);
    }
    concat_batches(&all[0].schema(), &all).unwrap()
}

/// Spark marks every column as nullable; the values and their types have to be equal.
fn assert_equal_rows(spark: &RecordBatch, datafusion: &RecordBatch) {
    assert_eq!(spark.num_rows(), datafusion.num_rows());
    assert_eq!(spark.num_columns(), datafusion.num_columns());
    for (index, field) in datafusion.schema().fields().iter().enumerate() {
        assert_eq!(spark.schema().field(index).name(), field.name());
        let column = cast(spark.column(index), field.data_type()).unwrap();
        assert_eq!(&column, datafusion.column(index), "column {}", field.name());
    }
}

async fn compare(run: &TestRun, mode: &str) -> Output {
    let regions = states(run).await;
    let with = json!({
        "file": "workflows/opensky/spark/batch_processor.py", "args": ["s3"], "input": regions, "mode": mode, "cores": 1,
        "output": { "prefix": "processed-data/batch/states" },
    });
    let output = submit(&run.context("process_spark", 1, Some("spark")), with).await;
    let output = output.unwrap_or_else(|error| panic!("{error}\n{:#?}", run.lines()));
    let input: Input = serde_json::from_value(regions.clone()).unwrap();
    let received: u64 = input.datasets().iter().map(|(_, dataset)| dataset.rows).sum();
    assert!(output.rows_out < received && output.rows_out > received / 2, "{} of {received}", output.rows_out);
    let with = json!({ "inputs": { "states": regions }, "sql": query(), "output": { "prefix": "derived/states" } });
    let by_datafusion =
        SqlTransform::run(serde_json::from_value(with).unwrap(), &run.context("process_datafusion", 1, None)).await;
    let expected = rows(run, &[by_datafusion.unwrap().dataset]).await;
    assert_equal_rows(&rows(run, &output.datasets).await, &expected);
    output
}

#[tokio::test(flavor = "multi_thread")]
async fn a_local_batch_is_the_one_of_datafusion_row_for_row() {
    let Some(programs) = spark::programs().unwrap() else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut run = TestRun::new(&project());
    run.info.data_dir = folder.path().join(".updraft");
    run.connect("lake", json!({ "kind": "lake", "url": folder.path().join("lake") }));
    connect(&run, &programs, None);
    let output = compare(&run, "local").await;
    assert!(output.application_id.unwrap().starts_with("local-"));
    assert!(output.metrics.stages > 0 && output.metrics.rows_written == output.rows_out, "{:?}", output.metrics);
    assert!(run.lines().iter().any(|(_, line)| line.starts_with("stage ")));
}

#[tokio::test(flavor = "multi_thread")]
async fn executors_on_the_cluster_give_the_same_rows() {
    let Some(cluster) = spark::server().unwrap() else { return };
    let programs = spark::programs().unwrap().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut run = TestRun::new(&project());
    run.info.data_dir = folder.path().join(".updraft");
    run.connect("lake", json!({ "kind": "lake", "url": folder.path().join("lake") }));
    connect(&run, &programs, Some(&cluster));
    let output = compare(&run, "client").await;
    assert!(output.application_id.unwrap().starts_with("app-") && output.driver_id.is_none());
    assert!(output.metrics.rows_written == output.rows_out, "{:?}", output.metrics);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_on_the_cluster_and_s3_is_the_one_of_datafusion_row_for_row() {
    let Some(cluster) = spark::server().unwrap() else { return };
    let Some(bucket) = s3::fresh_bucket().unwrap() else { return };
    let programs = spark::programs().unwrap().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut run = TestRun::new(&project());
    run.info.data_dir = folder.path().join(".updraft");
    crate::s3_lake::connect(&run, &bucket);
    connect(&run, &programs, Some(&cluster));
    let output = compare(&run, "rest").await;
    assert!(output.application_id.unwrap().starts_with("app-") && !output.adopted);
    assert!(output.metrics.rows_written == output.rows_out, "{:?}", output.metrics);
    // A repeated attempt takes the driver over, and finds the same rows.
    let again = json!({
        "file": "workflows/opensky/spark/batch_processor.py", "mode": "rest",
        "output": { "prefix": "processed-data/batch/states" },
    });
    let again = submit(&run.context("process_spark", 2, Some("spark")), again).await.unwrap();
    assert!(again.adopted);
    assert_eq!((again.driver_id, again.datasets), (output.driver_id, output.datasets));
}

/// Sleeps without a Spark call, so that by itself its Python outlives the JVM.
const SLEEPER: &str = r#"
import os, sys, time
sys.dont_write_bytecode = True
sys.path.insert(0, sys.argv[1])
import batch_processor
batch_processor.end_with_the_jvm()
with open(sys.argv[2], "w") as file:
    file.write(f"{os.getpid()} {os.environ['AWS_SECRET_ACCESS_KEY']}")
time.sleep(600)
"#;

/// Waits for the job's Python; its folder in `/proc`.
async fn python(note: &Path, secret: &str) -> PathBuf {
    let deadline = Instant::now() + Duration::from_mins(2);
    loop {
        if let Ok(text) = std::fs::read_to_string(note)
            && let Some((pid, said)) = text.split_once(' ')
        {
            assert_eq!(said, secret);
            return PathBuf::from("/proc").join(pid);
        }
        assert!(Instant::now() < deadline, "the job does not begin");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn gone(process: &Path, within: Duration) {
    let deadline = Instant::now() + within;
    while process.exists() {
        assert!(Instant::now() < deadline, "the job's Python lives on");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_attempts_driver_is_taken_over_and_a_cancelled_one_dies_with_its_python() {
    let Some(cluster) = spark::server().unwrap() else { return };
    let Some(bucket) = s3::fresh_bucket().unwrap() else { return };
    let programs = spark::programs().unwrap().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let run = TestRun::new(folder.path());
    crate::s3_lake::connect(&run, &bucket);
    connect(&run, &programs, Some(&cluster));
    let secret = bucket.address().secret_access_key.as_str();
    let note = folder.path().join("note");
    let sleeper = job(folder.path(), "sleeper.py", SLEEPER);
    let with = json!({
        "file": sleeper, "args": [project().join("workflows/opensky/spark"), &note], "mode": "rest", "cores": 1,
    });
    let ctx = |number: u32| run.context("job", number, Some("spark"));
    let first = tokio::spawn({
        let (ctx, with) = (ctx(1), with.clone());
        async move { submit(&ctx, with).await }
    });
    let process = python(&note, secret).await;
    // The worker of the first attempt is gone, without a word.
    first.abort();
    let second = tokio::spawn({
        let (ctx, with) = (ctx(2), with.clone());
        async move { submit(&ctx, with).await }
    });
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(process.exists() && !second.is_finished());
    let drivers = run.lines().iter().filter(|(_, line)| line.starts_with("driver driver-")).count();
    assert_eq!(drivers, 2, "{:#?}", run.lines());
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let arguments = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        assert!(!String::from_utf8_lossy(&arguments).contains(secret), "a secret is an argument");
    }
    run.cancel();
    assert_eq!(second.await.unwrap().unwrap_err().class(), "Cancelled");
    gone(&process, Duration::from_secs(6)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_fails_on_the_cluster_is_submitted_again_by_the_next_attempt() {
    let Some(cluster) = spark::server().unwrap() else { return };
    let programs = spark::programs().unwrap().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let run = TestRun::new(folder.path());
    connect(&run, &programs, Some(&cluster));
    // Fails the first time.
    let text = "import os, sys\nif not os.path.exists(sys.argv[1]):\n    open(sys.argv[1], 'w').close()\n    raise ValueError('boom')\n";
    let with =
        json!({ "file": job(folder.path(), "once.py", text), "args": [folder.path().join("been")], "mode": "rest" });
    let error = submit(&run.context("job", 1, Some("spark")), with.clone()).await.unwrap_err();
    assert_eq!((error.class(), error.verdict()), ("JobFailed", &Verdict::Retry { after: None }));
    let output = submit(&run.context("job", 2, Some("spark")), with).await.unwrap();
    assert!(!output.adopted && output.application.ends_with("-2"), "{output:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_known_is_never_failed() {
    let folder = tempfile::tempdir().unwrap();
    let run = TestRun::new(folder.path());
    let with = json!({ "file": job(folder.path(), "a.py", "print(1)\n"), "mode": "rest" });
    let connect = |port: u16| {
        let rest_url = format!("http://127.0.0.1:{port}");
        run.connect("spark", json!({ "kind": "spark", "master": "spark://127.0.0.1:1", "rest_url": rest_url }));
    };
    // Nobody listens there: surely nothing was submitted, and the next attempt may do so.
    connect(1);
    for number in [1, 2] {
        let error = submit(&run.context("job", number, Some("spark")), with.clone()).await.unwrap_err();
        assert_eq!((error.class(), error.verdict()), ("MasterAway", &Verdict::Retry { after: None }));
    }
    // The answer is lost: it may have been taken, and without a place to look it up it is not submitted again.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    connect(listener.local_addr().unwrap().port());
    let asked = tokio::spawn(async move {
        let mut asked = 0;
        while let Ok(Ok((stream, _))) = tokio::time::timeout(Duration::from_secs(3), listener.accept()).await {
            drop(stream);
            asked += 1;
        }
        asked
    });
    for number in [3, 4] {
        let error = submit(&run.context("job", number, Some("spark")), with.clone()).await.unwrap_err();
        assert_eq!((error.class(), error.verdict()), ("Unknown", &Verdict::Retry { after: None }));
        assert!(number == 3 || error.message().contains("`ui_url`"), "{error}");
    }
    assert_eq!(asked.await.unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_without_a_manifest_has_published_nothing() {
    let Some(programs) = spark::programs().unwrap() else { return };
    let folder = tempfile::tempdir().unwrap();
    let run = TestRun::new(folder.path());
    connect(&run, &programs, None);
    let file = job(folder.path(), "good.py", "print('good')\n");
    let with = json!({ "file": file, "output": { "prefix": "out" } });
    let error = submit(&run.context("job", 1, Some("spark")), with).await.unwrap_err();
    assert_eq!(error.class(), "NoManifest");
    let file = job(folder.path(), "seven.py", "import sys\nprint('why', file=sys.stderr)\nsys.exit(7)\n");
    let error = submit(&run.context("job", 2, Some("spark")), json!({ "file": file })).await.unwrap_err();
    assert_eq!(error.class(), "ExitCode");
    assert!(error.message().contains("why"), "{error}");
}
