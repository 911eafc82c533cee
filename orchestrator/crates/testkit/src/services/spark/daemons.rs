//! Master and worker. The Python package has no `start-master.sh`; `spark-class` is what that would call.

use std::{fs, path::Path};

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};

use super::{Address, Programs};
use crate::process::Program;
use crate::services::{Kind, http, ports};

/// Cores and memory of the worker. Through REST a job takes one core for its driver and one for its executor at least, and
/// with fewer it waits for ever: enough for two jobs.
const CORES: &str = "4";
const MEMORY: &str = "3g";

fn daemon(programs: &Programs) -> Program {
    // Without a home the program says so itself.
    let home = programs.home().unwrap_or_default();
    programs
        .with_environment(Program::of_server(home.join("bin/spark-class")), &home)
        .env("SPARK_DAEMON_MEMORY", "256m")
        .env("SPARK_PUBLIC_DNS", "127.0.0.1")
        .env("SPARK_DAEMON_JAVA_OPTS", "-XX:+UseSerialGC -XX:TieredStopAtLevel=1")
}

/// The master. What it knows of workers, drivers and applications outlives `kill -9`.
#[derive(Debug, Clone)]
pub struct Master {
    programs: Programs,
}

impl Master {
    pub(super) fn new(programs: Programs) -> Self {
        Self { programs }
    }
}

impl Kind for Master {
    type Address = Address;

    const NAME: &'static str = "spark-master";

    fn prepare(&self, folder: &Path) -> Result<Address> {
        fs::create_dir(folder.join("recovery")).context("cannot make the folder of its state")?;
        Ok(Address { port: ports::free()?, rest_port: ports::free()?, ui_port: ports::free()? })
    }

    fn launch(&self, folder: &Path, address: &Address) -> Program {
        daemon(&self.programs)
            .args(["-Dspark.master.rest.enabled=true", &format!("-Dspark.master.rest.port={}", address.rest_port)])
            .args(["-Dspark.master.rest.host=127.0.0.1", "-Dspark.deploy.recoveryMode=FILESYSTEM"])
            .arg(format!("-Dspark.deploy.recoveryDirectory={}", folder.join("recovery").display()))
            .args(["org.apache.spark.deploy.master.Master", "--host", "127.0.0.1"])
            .args(["--port", &address.port.to_string(), "--webui-port", &address.ui_port.to_string()])
    }

    fn check(address: &Address) -> Result<()> {
        http::get(&format!("{}/v1/submissions/readyz", address.rest_url()))?.ok()?;
        Ok(())
    }
}

/// Where a worker works.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct WorkerAddress {
    port: u16,
    ui_port: u16,
    master: Address,
}

/// A worker: runs drivers and executors as its children, each with a folder of its own below `work`.
#[derive(Debug, Clone)]
pub struct Worker {
    programs: Programs,
    master: Address,
}

impl Worker {
    pub(super) fn new(programs: Programs, master: Address) -> Self {
        Self { programs, master }
    }
}

impl Kind for Worker {
    type Address = WorkerAddress;

    const NAME: &'static str = "spark-worker";

    fn prepare(&self, folder: &Path) -> Result<WorkerAddress> {
        fs::create_dir(folder.join("work")).context("cannot make the folder of its jobs")?;
        Ok(WorkerAddress { port: ports::free()?, ui_port: ports::free()?, master: self.master.clone() })
    }

    fn launch(&self, folder: &Path, address: &WorkerAddress) -> Program {
        daemon(&self.programs)
            .args(["org.apache.spark.deploy.worker.Worker", "--host", "127.0.0.1"])
            .args(["--port", &address.port.to_string(), "--webui-port", &address.ui_port.to_string()])
            .args(["--cores", CORES, "--memory", MEMORY, "--work-dir"])
            .arg(folder.join("work"))
            .arg(address.master.master_url())
    }

    /// The master knows it.
    fn check(address: &WorkerAddress) -> Result<()> {
        let state = http::get(&format!("{}/json/", address.master.ui_url()))?.ok()?.json()?;
        let workers = state["workers"].as_array().context("the master tells of no workers")?;
        if !workers.iter().any(|worker| worker["port"] == address.port && worker["state"] == "ALIVE") {
            bail!("the worker is not yet registered");
        }
        Ok(())
    }
}
