//! `spark.submit`: a Spark job, on this host, with its driver here and its executors on a cluster, or wholly on the cluster
//! by REST submission, where it outlives its submitter.
//!
//! What a job has made is what its manifest names. It finds in its environment `UPDRAFT_SPARK_OUTPUT` (the folder to write
//! into, no attempt's but its own), `UPDRAFT_SPARK_MANIFEST` (to be written last: `{application_id, rows, files: [{name,
//! bytes}]}`), `UPDRAFT_SPARK_APPLICATION` (its name) and `UPDRAFT_LAKE_URL`.

mod child;
mod connection;
mod driver;
mod events;
mod job;
mod manifest;
mod rest;

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use updraft_task::{ConnectionNeed, Context, Dataset, Effects, ErrorClass, Input, Task, TaskError};

use crate::batch::OutputPlace;
use crate::database::BAD_CONNECTION;
use crate::text::Text;

pub use connection::Spark;
pub use events::Metrics;

use events::{Progress, Tail};
use job::Job;

/// The task type.
#[derive(Debug)]
pub struct SparkSubmit;

/// Where driver and executors run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Both in one process on this host; the job ends with the attempt.
    Local,
    /// The driver on this host, executors on the cluster; the job ends with the attempt.
    Client,
    /// Both on the cluster: the job goes on when the attempt is lost, and the next attempt takes it over.
    Rest,
}

/// Parameters.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// Python file of the job, relative to the project. For `rest` the hosts of the cluster must find it under the same path.
    pub file: String,
    /// Its arguments. Everybody on the host sees them: secrets belong into `env` of the task.
    #[serde(default)]
    pub args: Vec<Text>,
    /// Datasets whose addresses (`s3a://…`, `file://…`) follow the arguments.
    #[serde(default)]
    pub input: Option<Input>,
    /// Further Python files that it imports (`.py`, `.zip`), relative to the project.
    #[serde(default)]
    pub py_files: Vec<String>,
    /// Where driver and executors run.
    #[serde(default = "local")]
    pub mode: Mode,
    /// Cores of the driver in `local` mode; of all executors together otherwise.
    #[serde(default = "cores")]
    pub cores: u32,
    /// Connection to a PostgreSQL warehouse that the job reads: it finds `UPDRAFT_JDBC_URL`, `UPDRAFT_JDBC_USER` and
    /// `UPDRAFT_JDBC_PASSWORD` in its environment.
    #[serde(default)]
    pub database: Option<String>,
    /// Spark's properties (`spark.executor.memory: 1g`), over those of `deploy/spark/spark.properties`. No secrets.
    #[serde(default)]
    pub conf: BTreeMap<String, Text>,
    /// Where the job publishes rows, each application in a folder of its own; without it no manifest is looked for, and the output has no datasets.
    #[serde(default)]
    pub output: Option<OutputPlace>,
}

const fn local() -> Mode {
    Mode::Local
}

const fn cores() -> u32 {
    2
}

/// Output.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Output {
    /// Spark's id of the application (`local-…`, `app-…`), where it is known.
    pub application_id: Option<String>,
    /// The name that the task gave it: in Spark's pages it is found by this.
    pub application: String,
    /// Id of the driver on the cluster, in mode `rest`.
    pub driver_id: Option<String>,
    /// Whether the job had been submitted by an earlier attempt.
    pub adopted: bool,
    /// What its executors counted; zero where the event log cannot be read (`rest` on other hosts).
    pub metrics: Metrics,
    /// Rows that its manifest names.
    pub rows_out: u64,
    /// The files that its manifest names, in the order of their rows; the first one tells the columns of all.
    pub datasets: Vec<Dataset>,
}

impl Task for SparkSubmit {
    const TYPE: &'static str = "spark.submit";
    const SUMMARY: &'static str = "runs a Spark job, here or on a cluster; what its manifest names becomes datasets";
    const EFFECTS: Effects = Effects::Idempotent;
    const CONNECTION: ConnectionNeed = ConnectionNeed::Required(&["spark"]);
    const RUNS_COMMANDS: bool = true;
    const ERRORS: &'static [ErrorClass] = &[
        ErrorClass { name: "JobFailed", retryable: true, meaning: "the job raised an exception (code 1)" },
        ErrorClass { name: "ExitCode", retryable: true, meaning: "the job ended with a code of its own" },
        ErrorClass { name: "Killed", retryable: true, meaning: "the job was ended by a signal or on the cluster" },
        ErrorClass { name: "MasterAway", retryable: true, meaning: "the cluster's master cannot be reached" },
        ErrorClass {
            name: "DriverLost",
            retryable: true,
            meaning: "the master gave up the driver, which says nothing of the job; the next attempt submits it again",
        },
        ErrorClass {
            name: "Unknown",
            retryable: true,
            meaning: "nobody knows how the job is: it is not submitted again, the next attempt looks for it",
        },
        ErrorClass {
            name: "BadUsage",
            retryable: false,
            meaning: "the job's arguments or file are wrong (code 2), its main class is missing (101), or an option is",
        },
        ErrorClass { name: "Refused", retryable: false, meaning: "the master refuses the submission" },
        ErrorClass { name: "NoManifest", retryable: false, meaning: "the job ended well and published nothing" },
        ErrorClass { name: "BadManifest", retryable: false, meaning: "the manifest and its files do not agree" },
        ErrorClass { name: "BadParquet", retryable: false, meaning: "a file of the manifest is not Parquet" },
        ErrorClass { name: "BadParameters", retryable: false, meaning: "no such file, or a secret among `conf`" },
        ErrorClass { name: "BadKey", retryable: false, meaning: "`output.prefix` is not a key of the lake" },
        ErrorClass { name: "NotFound", retryable: false, meaning: "a file of the manifest is gone" },
        ErrorClass { name: "LakeDenied", retryable: false, meaning: "the lake refuses access" },
        ErrorClass { name: "Lake", retryable: true, meaning: "the lake cannot be reached" },
        ErrorClass { name: "Scratch", retryable: true, meaning: "the attempt's folder cannot be used" },
        BAD_CONNECTION,
        ErrorClass { name: "Spawn", retryable: false, meaning: "the program cannot be started" },
    ];
    const EXAMPLE: &'static str = r#"
- id: process_spark
  type: spark.submit
  conn: spark
  with:
    file: workflows/opensky/spark/batch_processor.py
    args: [s3]
    input: "{{ tasks.split_and_validate.output.regions }}"
    mode: rest
    output: { prefix: processed-data/batch }
  depends_on: split_and_validate
"#;
    type Params = Params;
    type Output = Output;

    async fn run(params: Params, ctx: &Context) -> Result<Output, TaskError> {
        let connection: Spark = ctx.connection()?;
        match params.mode {
            Mode::Local | Mode::Client => child::run(&params, &connection, ctx).await,
            Mode::Rest => driver::run(&params, &connection, ctx).await,
        }
    }
}

/// What is watched while a job runs: its event log, where this host sees it.
struct Watch {
    tail: Option<Tail>,
    progress: Progress,
}

impl Watch {
    /// Of a folder, which is made.
    fn of(folder: Option<PathBuf>) -> Result<Self, TaskError> {
        if let Some(folder) = &folder {
            std::fs::create_dir_all(folder).map_err(|error| {
                TaskError::retry("Scratch", format!("the folder of event logs, {}: {error}", folder.display()))
            })?;
        }
        Ok(Self { tail: folder.map(Tail::new), progress: Progress::default() })
    }

    /// Logs what has happened since.
    fn look(&mut self, ctx: &Context) {
        let Some(tail) = &mut self.tail else { return };
        for line in tail.lines() {
            let known = self.progress.application_id.is_some();
            let stage = self.progress.take(&line);
            if let Some(id) = self.progress.application_id.as_ref().filter(|_| !known) {
                ctx.info(format!("application {id}"));
            }
            let Some(stage) = stage else { continue };
            let done = self.progress.metrics.stages;
            ctx.progress(done, Some(self.progress.known_stages().max(done)), "stages");
            match stage.failure {
                None => ctx
                    .info(format!("stage {}: {} tasks in {} ms ({})", stage.id, stage.tasks, stage.millis, stage.name)),
                Some(why) => ctx.warn(format!("stage {} failed ({}): {why}", stage.id, stage.name)),
            }
        }
    }
}

/// The output of a job that has ended well.
async fn published(
    job: &Job,
    mut watch: Watch,
    driver_id: Option<String>,
    adopted: bool,
    ctx: &Context,
) -> Result<Output, TaskError> {
    watch.look(ctx);
    let Progress { mut application_id, metrics, .. } = watch.progress;
    let (mut rows_out, mut datasets) = (0, Vec::new());
    if let Some(folder) = &job.folder {
        let lake = &job.lake;
        let manifest = manifest::find(lake, folder).await?.ok_or_else(|| {
            TaskError::fail(
                "NoManifest",
                format!("the job ended well, but wrote no {}: it must do so last of all", manifest::key(folder)),
            )
        })?;
        datasets = manifest::datasets(lake, folder, &manifest, job.batch.as_deref(), ctx).await?;
        rows_out = manifest.rows;
        application_id = application_id.or(Some(manifest.application_id));
        ctx.info(format!("{rows_out} rows in {} files below {folder}", datasets.len()));
    }
    let application = job.application.clone();
    Ok(Output { application_id, application, driver_id, adopted, metrics, rows_out, datasets })
}

#[cfg(test)]
mod tests;
