//! Apache Spark 4.2: a standalone cluster of one master and one worker, with REST submission, and what jobs need to use
//! Kafka, S3 and PostgreSQL.
//!
//! The REST server has no authentication: whoever reaches it runs code. It listens on loopback only.

mod daemons;
mod rest;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

pub use daemons::{Master, Worker};
pub use rest::State;

use super::{Own, fetch, missing::unless_missing, place, s3, shared};
use crate::process::Program;
use crate::services::Kind as _;

const VERSION: &str = "4.2.0";
const REQUIREMENTS: &str = include_str!("../../../servers/spark/requirements.txt");
const POM: &str = include_str!("../../../servers/spark/pom.xml");
const SUMS: &str = include_str!("../../../servers/spark/jars.sha256");
const SETTINGS: &str = include_str!("../../../../../../deploy/spark/spark.properties");

/// Where a cluster answers.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Address {
    /// Port of the master, for `spark://`.
    pub port: u16,
    /// Port of REST submission.
    pub rest_port: u16,
    /// Port of the master's pages; `/json/` tells drivers and applications.
    pub ui_port: u16,
}

impl Address {
    /// `spark://127.0.0.1:PORT`.
    pub fn master_url(&self) -> String {
        format!("spark://127.0.0.1:{}", self.port)
    }

    /// `http://127.0.0.1:PORT` of REST submission.
    pub fn rest_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.rest_port)
    }

    /// `http://127.0.0.1:PORT` of the master's pages.
    pub fn ui_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.ui_port)
    }
}

/// Spark's programs and jars.
#[derive(Debug, Clone)]
pub struct Programs {
    environment: PathBuf,
    jars: PathBuf,
}

impl Programs {
    pub(in crate::services) fn find() -> Result<Self> {
        fetch::need_java()?;
        let environment = fetch::python(
            &format!("spark-{VERSION}"),
            "456 MB from the Python package index",
            REQUIREMENTS,
            "import pyspark, py4j",
        )?;
        let jars = fetch::jars(&format!("spark-{VERSION}-jars"), "25 MB from Maven Central", POM, SUMS)?;
        Ok(Self { environment, jars })
    }

    /// The interpreter for jobs: `PYSPARK_PYTHON`.
    pub fn python(&self) -> PathBuf {
        self.environment.join("bin/python")
    }

    /// The folder of the jars that jobs need besides Spark's own.
    pub fn jars(&self) -> &Path {
        &self.jars
    }

    /// `SPARK_HOME`: without it the programs look for the first `python` on the `PATH`.
    ///
    /// # Errors
    /// The environment is not what was installed.
    pub fn home(&self) -> Result<PathBuf> {
        Ok(fetch::site_packages(&self.environment)?.join("pyspark"))
    }

    /// The properties of a job, as pairs: those of `deploy/spark`, the jars, the interpreter, a folder (which exists) for
    /// event logs, and the address of an S3 server. No secrets: [`submit`](Address::submit) would make them arguments.
    ///
    /// # Errors
    /// The jars cannot be listed.
    pub fn properties(&self, events: &Path, s3: Option<&s3::Address>) -> Result<Vec<(String, String)>> {
        let mut properties: Vec<(String, String)> = SETTINGS
            .lines()
            .filter_map(|line| line.split_once(' ').filter(|(name, _)| name.starts_with("spark.")))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let entries = std::fs::read_dir(&self.jars).context("cannot list the jars")?;
        let mut jars: Vec<_> = entries.flatten().map(|entry| entry.path().display().to_string()).collect();
        jars.sort();
        let mut add = |name: &str, value: String| properties.push((name.to_owned(), value));
        add("spark.jars", jars.join(","));
        add("spark.driver.host", "127.0.0.1".to_owned());
        add("spark.driver.bindAddress", "127.0.0.1".to_owned());
        add("spark.pyspark.python", self.python().display().to_string());
        add("spark.eventLog.dir", format!("file://{}", events.display()));
        if let Some(s3) = s3 {
            add("spark.hadoop.fs.s3a.endpoint", s3.endpoint());
        }
        Ok(properties)
    }

    /// Writes [`properties`](Self::properties) and the keys of the S3 server for `--properties-file`, for this user's eyes
    /// only.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write_properties(&self, file: &Path, events: &Path, s3: Option<&s3::Address>) -> Result<()> {
        let mut properties = self.properties(events, s3)?;
        if let Some(s3) = s3 {
            properties.push(("spark.hadoop.fs.s3a.access.key".to_owned(), s3.access_key_id.clone()));
            properties.push(("spark.hadoop.fs.s3a.secret.key".to_owned(), s3.secret_access_key.clone()));
        }
        let lines: Vec<_> = properties.iter().map(|(name, value)| format!("{name} {value}")).collect();
        place::write_secret(file, &(lines.join("\n") + "\n"))
    }

    /// `spark-submit`, with the environment that it needs.
    ///
    /// # Errors
    /// The environment is not what was installed.
    pub fn submit(&self) -> Result<Program> {
        Ok(self.with_environment(Program::of_server(self.home()?.join("bin/spark-submit")), &self.home()?))
    }

    fn with_environment(&self, launch: Program, home: &Path) -> Program {
        launch.env("SPARK_HOME", home).env("SPARK_LOCAL_IP", "127.0.0.1").env("PYSPARK_PYTHON", self.python())
    }
}

/// A cluster of its own. Both daemons end with it.
#[derive(Debug)]
pub struct Cluster {
    /// The worker; ended first.
    pub worker: Own<Worker>,
    /// The master.
    pub master: Own<Master>,
}

impl Cluster {
    /// Where it answers.
    pub fn address(&self) -> &Address {
        self.master.address()
    }
}

/// The shared cluster; `None`, after a loud skip, if it cannot be had.
///
/// # Errors
/// It can, and does not start.
pub fn server() -> Result<Option<Address>> {
    unless_missing(join())
}

pub(super) fn join() -> Result<Address> {
    let master = shared::join(None, || Ok(Master::new(Programs::find()?)))?;
    let worker = || Ok(Worker::new(Programs::find()?, master.clone()));
    shared::join(Some(Master::NAME), worker)?;
    Ok(master)
}

/// A cluster of this test alone; `None`, after a loud skip, if it cannot be had.
///
/// # Errors
/// It can, and does not start.
pub fn own_server() -> Result<Option<Cluster>> {
    unless_missing(Programs::find().and_then(|programs| {
        let master = Own::start(Master::new(programs.clone()))?;
        let worker = Own::start(Worker::new(programs, master.address().clone()))?;
        Ok(Cluster { worker, master })
    }))
}

/// The programs alone, for jobs in local mode; `None`, after a loud skip, if they cannot be had.
///
/// # Errors
/// What was fetched is not what was reviewed.
pub fn programs() -> Result<Option<Programs>> {
    unless_missing(Programs::find())
}
