//! Spark: local mode, a standalone cluster with REST submission, S3.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "tests say what they expect")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Output,
    thread,
    time::{Duration, Instant},
};

use updraft_testkit::process::Program;
use updraft_testkit::services::{
    http, s3,
    spark::{self, Address, Programs, State},
};

/// A job takes half a minute on a busy machine before its first line runs.
const PATIENCE: Duration = Duration::from_mins(4);

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("events")).unwrap();
        Self(folder)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, name: &str, text: &str) -> String {
        let file = self.path().join(name);
        fs::write(&file, text).unwrap();
        file.display().to_string()
    }

    fn events(&self) -> PathBuf {
        self.path().join("events")
    }
}

fn run(launch: &Program) -> Output {
    launch.command().output().unwrap()
}

fn submit(programs: &Programs, folder: &Folder, s3: Option<&s3::Address>) -> Program {
    let properties = folder.path().join("spark.properties");
    programs.write_properties(&properties, &folder.events(), s3).unwrap();
    programs.submit().unwrap().args(["--master", "local[2]", "--properties-file"]).arg(properties)
}

/// JSON in, Parquet on S3, read back.
const ETL: &str = r#"
import json, os, sys
from pyspark.sql import SparkSession, functions as F
place = sys.argv[1]
builder = SparkSession.builder
for name in ("access", "secret"):
    if f"LAKE_{name}" in os.environ:
        builder = builder.config(f"spark.hadoop.fs.s3a.{name}.key", os.environ[f"LAKE_{name}"])
s = builder.getOrCreate()
rows = s.range(1000).withColumn("country", F.concat(F.lit("c"), F.col("id") % 3))
rows.write.mode("overwrite").partitionBy("country").parquet(place)
found = s.read.parquet(place).groupBy("country").count().orderBy("country").collect()
print("RESULT", json.dumps([r["count"] for r in found]), s.sparkContext.applicationId, flush=True)
s.stop()
"#;

#[test]
fn a_local_job_writes_to_s3_and_its_event_log_names_it() {
    let Some(programs) = spark::programs().unwrap() else { return };
    // The server that the stack names; and with S3A against versitygw the same is seen.
    let Some(server) = s3::minio().unwrap() else { return };
    let bucket = server.fresh_bucket().unwrap();
    let folder = Folder::new();
    let job = folder.write("etl.py", ETL);
    let output = run(&submit(&programs, &folder, Some(&server)).arg(job).arg(format!("s3a://{}/etl", bucket.name())));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    let line = said.lines().find(|line| line.starts_with("RESULT")).unwrap();
    assert!(line.contains("[334, 333, 333]"), "{line}");
    let application = line.split_whitespace().last().unwrap();
    assert!(folder.events().join(application).is_file(), "the event log of {application}");
    let keys = bucket.client().list(bucket.name(), "etl/").unwrap();
    assert!(keys.iter().any(|key| key.contains("country=c0") && key.ends_with(".parquet")), "{keys:?}");
}

#[test]
fn exit_codes_tell_what_went_wrong() {
    let Some(programs) = spark::programs().unwrap() else { return };
    let folder = Folder::new();
    let code = |arguments: &[&str]| run(&submit(&programs, &folder, None).args(arguments)).status.code();
    let exception = folder.write("exception.py", "raise ValueError('boom')\n");
    let seven = folder.write("seven.py", "import sys; sys.exit(7)\n");
    let good = folder.write("good.py", "print('good')\n");
    assert_eq!(code(&[&good]), Some(0));
    assert_eq!(code(&[&exception]), Some(1));
    assert_eq!(code(&[&seven]), Some(7));
    assert_eq!(code(&["/no/such/file.py"]), Some(2));
    let jar = programs.home().unwrap().join("jars");
    let jar = fs::read_dir(jar)
        .unwrap()
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|e| e == "jar"));
    assert_eq!(code(&["--class", "no.Such", &jar.unwrap().display().to_string()]), Some(101));
    // Python on a standalone cluster in cluster mode: refused, which is why REST submission is used.
    let cluster = programs.submit().unwrap();
    let refused = run(&cluster.args(["--master", "spark://127.0.0.1:1", "--deploy-mode", "cluster", &good]));
    assert_eq!(refused.status.code(), Some(1));
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("not supported for python"), "{said}");
}

#[test]
fn secrets_are_in_a_file_for_us_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let Some(programs) = spark::programs().unwrap() else { return };
    let folder = Folder::new();
    let file = folder.path().join("spark.properties");
    programs.write_properties(&file, &folder.events(), None).unwrap();
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
}

/// Waits until the master says one of these words of a job.
fn wait_for_any(address: &Address, id: &str, wanted: &[&str]) -> String {
    let deadline = Instant::now() + PATIENCE;
    loop {
        // While the master is down nothing is known: that is no state of the job.
        match address.state(id) {
            Ok(State::Known(state)) if wanted.contains(&state.as_str()) => return state,
            Ok(State::Known(state)) if ["FINISHED", "FAILED", "KILLED", "ERROR"].contains(&state.as_str()) => {
                panic!("{id} is {state}, not one of {wanted:?}")
            }
            Ok(_) | Err(_) => {}
        }
        assert!(Instant::now() < deadline, "{id} is not one of {wanted:?}: {:?}", address.state(id));
        thread::sleep(Duration::from_millis(200));
    }
}

fn wait_for(address: &Address, id: &str, wanted: &str) {
    wait_for_any(address, id, &[wanted]);
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}");
        thread::sleep(Duration::from_millis(100));
    }
}

/// Runs until it is killed; makes a Spark call in its loop, so that Python ends with the JVM.
const ENDLESS: &str = r#"
import os, sys, time
from pyspark.sql import SparkSession
s = SparkSession.builder.getOrCreate()
open(sys.argv[1], "w").write(str(os.getpid()))
while True:
    s.range(1).count()
    time.sleep(0.5)
"#;

/// Submits the endless job and waits until its Python runs; its id, and its Python's process.
fn submit_endless(address: &Address, programs: &Programs, folder: &Folder) -> (String, PathBuf) {
    let properties = programs.properties(&folder.events(), None).unwrap();
    let job = folder.write("endless.py", ENDLESS);
    let pid = folder.path().join("pid");
    fs::remove_file(&pid).ok();
    let id = address.submit("endless", &job, &[&pid.display().to_string()], &properties, &[]).unwrap();
    wait_for(address, &id, "RUNNING");
    wait_until("the job does not begin", || fs::read_to_string(&pid).is_ok_and(|text| !text.is_empty()));
    (id, PathBuf::from("/proc").join(fs::read_to_string(&pid).unwrap()))
}

#[test]
fn a_submitted_job_fails_is_killed_and_ends_with_its_cluster() {
    let Some(cluster) = spark::own_server().unwrap() else { return };
    let programs = spark::programs().unwrap().unwrap();
    let folder = Folder::new();
    let address = cluster.address().clone();
    assert_eq!(address.state("driver-0-0").unwrap(), State::Unknown, "unknown is not failed");

    let properties = programs.properties(&folder.events(), None).unwrap();
    let failing = folder.write("failing.py", "raise ValueError('boom')\n");
    let id = address.submit("failing", &failing, &[], &properties, &[]).unwrap();
    wait_for(&address, &id, "FAILED");

    let (id, python) = submit_endless(&address, &programs, &folder);
    assert!(address.kill(&id).unwrap());
    wait_for(&address, &id, "KILLED");
    assert!(!address.kill(&id).unwrap(), "it is dead already");
    wait_until("the job's Python lives on", || !python.exists());

    let (_, python) = submit_endless(&address, &programs, &folder);
    drop(cluster);
    wait_until("a job outlives its cluster", || !python.exists());
}

/// A job goes on while the master is away. Afterwards the master has either found it again, or not: if the worker registers
/// just before it is asked what it runs, the job is in ERROR, and is killed (seen once in five). So "ERROR" after a restart
/// of the master says nothing against the job, and the same job may be submitted again.
#[test]
fn a_submitted_job_outlives_the_master_and_is_found_again_or_killed() {
    let Some(mut cluster) = spark::own_server().unwrap() else { return };
    let programs = spark::programs().unwrap().unwrap();
    let folder = Folder::new();
    let address = cluster.address().clone();
    let (id, python) = submit_endless(&address, &programs, &folder);
    cluster.master.kill().unwrap();
    assert!(address.state(&id).is_err() && python.exists(), "the job goes on without the master");
    cluster.master.start_again().unwrap();
    wait_until("the master does not recover", || {
        let state = http::get(&format!("{}/json/", address.ui_url())).and_then(|answer| answer.json());
        state.is_ok_and(|state| state["status"] == "ALIVE" && state["aliveworkers"] == 1)
    });
    match wait_for_any(&address, &id, &["RUNNING", "ERROR"]).as_str() {
        "RUNNING" => assert!(python.exists()),
        _ => wait_until("a job lives on that the master has given up", || !python.exists()),
    }
    // The cluster works as before.
    let (id, python) = submit_endless(&address, &programs, &folder);
    assert!(address.kill(&id).unwrap());
    wait_until("the job's Python lives on", || !python.exists());
}

/// Whether a text stands among the arguments of any process.
fn is_an_argument(secret: &str) -> bool {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let arguments = processes.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    arguments.into_iter().any(|bytes| String::from_utf8_lossy(&bytes).contains(secret))
}

/// Properties of a submission are arguments of its driver; what comes by the environment is seen by nobody else.
#[test]
fn a_submitted_job_finishes_and_nobody_sees_its_secrets() {
    let Some(address) = spark::server().unwrap() else { return };
    let Some(bucket) = s3::fresh_bucket().unwrap() else { return };
    let programs = spark::programs().unwrap().unwrap();
    let folder = Folder::new();
    let job = folder.write("etl.py", ETL);
    let properties = programs.properties(&folder.events(), Some(bucket.address())).unwrap();
    let secret = bucket.address().secret_access_key.as_str();
    let keys = [("LAKE_access", bucket.address().access_key_id.as_str()), ("LAKE_secret", secret)];
    let marked = [properties.as_slice(), &[("spark.updraft.mark".to_owned(), "seen-by-all".to_owned())]].concat();
    let id = address.submit("etl", &job, &[&format!("s3a://{}/etl", bucket.name())], &marked, &keys).unwrap();
    let deadline = Instant::now() + PATIENCE;
    let mut seen = false;
    while address.state(&id).unwrap() != State::Known("FINISHED".to_owned()) {
        assert!(!is_an_argument(secret), "the secret is seen by everybody");
        seen |= is_an_argument("seen-by-all");
        assert!(Instant::now() < deadline, "{:?}", address.state(&id));
        thread::sleep(Duration::from_millis(100));
    }
    assert!(seen, "properties are arguments; if they are no more, secrets may be properties");
    assert!(bucket.client().list(bucket.name(), "etl/").unwrap().iter().any(|key| key.ends_with("_SUCCESS")));
}
