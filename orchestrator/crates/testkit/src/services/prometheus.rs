//! Prometheus, as Debian packages it: unpacked into the cache, not installed. The settings are those of
//! `deploy/prometheus`; targets are added and removed while it runs ([`Address::watch`]).

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Kind, Own, fetch, http, missing::unless_missing, ports, shared, unique};
use crate::process::Program;

const SETTINGS: &str = include_str!("../../../../../deploy/prometheus/prometheus.yml");

/// Where Prometheus answers.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Address {
    /// Port on loopback.
    pub port: u16,
    targets: PathBuf,
}

impl Address {
    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Scrapes `http://TARGET/metrics` every second, as the job `job`, until the value is dropped. The first sample comes up
    /// to 5 s later, whatever the interval: wait for the query, not for a time.
    ///
    /// # Errors
    /// The list of targets cannot be written.
    pub fn watch(&self, job: &str, target: &str) -> Result<Target> {
        let file = self.targets.join(format!("{}.json", unique()));
        let list = json!([{ "targets": [target], "labels": { "job": job } }]);
        // Renamed: Prometheus reads whenever a file changes.
        let part = file.with_extension("part");
        fs::write(&part, list.to_string())
            .and_then(|()| fs::rename(&part, &file))
            .with_context(|| format!("cannot write {}", file.display()))?;
        Ok(Target(file))
    }

    /// The result of an instant query: a list of `{metric, value}`.
    ///
    /// # Errors
    /// The query is wrong (400), or nobody answers.
    pub fn query(&self, expression: &str) -> Result<Vec<Value>> {
        let mut url: reqwest::Url = format!("{}/api/v1/query", self.url()).parse()?;
        url.query_pairs_mut().append_pair("query", expression);
        let answer = http::get(url.as_str())?.ok()?.json()?;
        Ok(answer["data"]["result"].as_array().cloned().unwrap_or_default())
    }
}

/// A target that is scraped as long as this value lives.
#[derive(Debug)]
pub struct Target(PathBuf);

impl Drop for Target {
    fn drop(&mut self) {
        fs::remove_file(&self.0).ok();
    }
}

/// Prometheus and promtool.
#[derive(Debug, Clone)]
pub struct Prometheus {
    bin: PathBuf,
}

impl Prometheus {
    pub(crate) fn find() -> Result<Self> {
        let root = fetch::debian("prometheus-debian", "19 MB from Debian", &["prometheus"])?;
        Ok(Self { bin: root.join("usr/bin") })
    }

    /// The program that checks configurations, rules and metrics.
    pub fn promtool(&self) -> PathBuf {
        self.bin.join("promtool")
    }
}

impl Kind for Prometheus {
    type Address = Address;

    const NAME: &'static str = "prometheus";

    fn prepare(&self, folder: &Path) -> Result<Address> {
        let targets = folder.join("targets");
        fs::create_dir(&targets).context("cannot make the folder of the targets")?;
        fs::write(folder.join("prometheus.yml"), SETTINGS).context("cannot write prometheus.yml")?;
        Ok(Address { port: ports::free()?, targets })
    }

    fn launch(&self, folder: &Path, address: &Address) -> Program {
        let flag = |name: &str, value: &Path| format!("--{name}={}", value.display());
        Program::of_server(self.bin.join("prometheus"))
            .arg(flag("config.file", &folder.join("prometheus.yml")))
            .arg(flag("storage.tsdb.path", &folder.join("data")))
            .arg(format!("--web.listen-address=127.0.0.1:{}", address.port))
            .args(["--web.enable-lifecycle", "--storage.tsdb.retention.time=1d", "--log.level=warn"])
    }

    fn check(address: &Address) -> Result<()> {
        http::get(&format!("{}/-/ready", address.url()))?.ok()?;
        Ok(())
    }
}

/// The shared Prometheus; `None`, after a loud skip, if it cannot be had.
///
/// # Errors
/// It can, and does not start.
pub fn server() -> Result<Option<Address>> {
    unless_missing(join())
}

pub(super) fn join() -> Result<Address> {
    shared::join(None, Prometheus::find)
}

/// A Prometheus of this test alone; `None`, after a loud skip, if it cannot be had.
///
/// # Errors
/// It can, and does not start.
pub fn own_server() -> Result<Option<Own<Prometheus>>> {
    unless_missing(Prometheus::find().and_then(Own::start))
}

/// The programs alone; `None`, after a loud skip, if they cannot be had.
///
/// # Errors
/// They could be fetched and not unpacked.
pub fn programs() -> Result<Option<Prometheus>> {
    unless_missing(Prometheus::find())
}
