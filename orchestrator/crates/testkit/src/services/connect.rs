//! Kafka Connect 4.3.1 (distributed, one worker) with Debezium's connector for PostgreSQL.
//!
//! Deleting a connector leaves its replication slot, its publication, its topics and its offsets behind:
//! [`Address::remove`] sees to the offsets; slot and publication are the database's ([`drop_slot`]), topics go with the
//! test's [`Prefix`](super::kafka::Prefix).

use std::{
    fs,
    path::{Path, PathBuf},
    thread,
    time::Instant,
};

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    Kind, Own, fetch, http,
    kafka::{self, broker},
    launch::{PATIENCE, PAUSE},
    missing::unless_missing,
    ports, shared, unique,
};
use crate::postgres;
use crate::process::Program;

const SETTINGS: &str = include_str!("../../../../../deploy/connect/connect.properties");
const POM: &str = include_str!("../../servers/debezium/pom.xml");
const SUMS: &str = include_str!("../../servers/debezium/jars.sha256");
const DEBEZIUM: &str = "3.7.0.Final";

/// Where Connect answers REST calls.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Address {
    /// Port on loopback.
    pub port: u16,
    /// The brokers that it works on.
    pub kafka: kafka::Address,
}

impl Address {
    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Sends a request to `/connectors/…`.
    ///
    /// # Errors
    /// Nobody answers.
    pub fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Result<http::Answer> {
        let body = body.map(|body| body.to_string().into_bytes()).unwrap_or_default();
        http::send(method, &format!("{}/{path}", self.url()), &[("content-type", "application/json")], body)
    }

    /// Makes a connector, or changes it, and waits until its task runs.
    ///
    /// # Errors
    /// Its configuration is refused, or its task fails; the error holds the reason.
    pub fn put(&self, name: &str, config: &Value) -> Result<()> {
        self.call("PUT", &format!("connectors/{name}/config"), Some(config))?.ok()?;
        self.wait_for_task(name, "RUNNING")
    }

    /// Waits until the connector's first task is in a state: RUNNING, PAUSED, FAILED.
    ///
    /// A task whose database is away may be RUNNING all the time: the state alone is no health check.
    ///
    /// # Errors
    /// It is in another state when the time is over; or it has failed, and the error holds its trace.
    pub fn wait_for_task(&self, name: &str, wanted: &str) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            // 404 until the worker has seen its own decision.
            let status = self.call("GET", &format!("connectors/{name}/status"), None)?.json()?;
            let task = &status["tasks"][0];
            match task["state"].as_str() {
                Some(state) if state == wanted => return Ok(()),
                Some("FAILED") => bail!("{name} has failed: {}", task["trace"].as_str().unwrap_or_default()),
                Some(_) | None if Instant::now() > deadline => bail!("{name} is not {wanted}: {status}"),
                Some(_) | None => thread::sleep(PAUSE * 5),
            }
        }
    }

    /// Stops a connector, deletes its stored offsets and the connector itself.
    ///
    /// # Errors
    /// Connect refuses, or the connector does not stop in time.
    pub fn remove(&self, name: &str) -> Result<()> {
        self.call("PUT", &format!("connectors/{name}/stop"), None)?.ok()?;
        let deadline = Instant::now() + PATIENCE;
        // Only the offsets of a stopped connector can be deleted, and it is stopped only when its tasks are gone.
        while self.call("DELETE", &format!("connectors/{name}/offsets"), None)?.status != 200 {
            if Instant::now() > deadline {
                bail!("{name} does not stop");
            }
            thread::sleep(PAUSE * 5);
        }
        self.call("DELETE", &format!("connectors/{name}"), None)?.ok()?;
        Ok(())
    }
}

/// Drops a replication slot, once its reader has let go of it, and a publication.
///
/// # Errors
/// The database refuses, or the slot stays in use.
pub fn drop_slot(database_url: &str, slot: &str, publication: &str) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while let Err(error) = postgres::execute(
        database_url,
        &format!("select pg_drop_replication_slot(slot_name) from pg_replication_slots where slot_name = '{slot}'"),
    ) {
        if Instant::now() > deadline {
            return Err(error);
        }
        thread::sleep(PAUSE * 5);
    }
    postgres::execute(database_url, &format!("drop publication if exists {publication}"))
}

/// A worker.
#[derive(Debug, Clone)]
pub struct Worker {
    libraries: PathBuf,
    plugins: PathBuf,
    kafka: kafka::Address,
}

impl Worker {
    pub(crate) fn find(kafka: kafka::Address) -> Result<Self> {
        let libraries = broker::libraries()?;
        let name = format!("debezium-{DEBEZIUM}");
        let connector = fetch::jars(&name, "8 MB from Maven Central", POM, SUMS)?;
        Ok(Self { libraries, plugins: connector, kafka })
    }
}

impl Kind for Worker {
    type Address = Address;

    const NAME: &'static str = "connect";

    fn prepare(&self, folder: &Path) -> Result<Address> {
        let port = ports::free()?;
        // The folder above the plugin's own, which holds nothing else.
        let plugins = folder.join("plugins");
        fs::create_dir(&plugins).context("cannot make the folder of the plugins")?;
        std::os::unix::fs::symlink(&self.plugins, plugins.join("debezium-postgres"))
            .context("cannot link the plugin")?;
        // Names of its own: on a broker that lives on, a new worker would take up the connectors of the one before.
        let id = unique();
        let settings = format!(
            "{SETTINGS}\n\
             bootstrap.servers={}\n\
             group.id={id}\n\
             config.storage.topic={id}.configs\n\
             offset.storage.topic={id}.offsets\n\
             status.storage.topic={id}.status\n\
             listeners=http://127.0.0.1:{port}\n\
             rest.advertised.host.name=127.0.0.1\n\
             rest.advertised.port={port}\n\
             plugin.path={}\n",
            self.kafka.bootstrap_servers(),
            plugins.display()
        );
        fs::write(folder.join("connect.properties"), settings).context("cannot write connect.properties")?;
        broker::write_logging(folder)?;
        Ok(Address { port, kafka: self.kafka.clone() })
    }

    fn launch(&self, folder: &Path, _: &Address) -> Program {
        broker::java(&self.libraries, "-Xmx512m", folder)
            .arg("org.apache.kafka.connect.cli.ConnectDistributed")
            .arg(folder.join("connect.properties"))
    }

    fn check(address: &Address) -> Result<()> {
        let health = http::get(&format!("{}/health", address.url()))?.ok()?.json()?;
        if health["status"] != "healthy" {
            bail!("Connect is {}: {}", health["status"], health["message"]);
        }
        Ok(())
    }
}

/// The shared worker, on the shared broker; `None`, after a loud skip, if it cannot be had.
///
/// # Errors
/// It can, and does not start.
pub fn server() -> Result<Option<Address>> {
    unless_missing(join())
}

pub(super) fn join() -> Result<Address> {
    let kafka = kafka::join()?;
    shared::join(Some(broker::Broker::NAME), || Worker::find(kafka))
}

/// A worker of this test alone, on these brokers; `None`, after a loud skip, if it cannot be had.
///
/// # Errors
/// It can, and does not start.
pub fn own_server(kafka: &kafka::Address) -> Result<Option<Own<Worker>>> {
    unless_missing(Worker::find(kafka.clone()).and_then(Own::start))
}
