//! Apache Kafka 4.3.1: one node, broker and controller in one (`KRaft`), with the settings of `deploy/kafka`.
//!
//! Topics are not made by themselves. Tests share one broker and keep apart by prefixes ([`fresh_prefix`]), for topics,
//! groups and transactional ids alike.

pub(super) mod broker;
mod wire;

use std::io::Write as _;

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};

pub use broker::Broker;

use super::{Own, missing::unless_missing, shared, unique};
use crate::skip;

/// Where a broker answers.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Address {
    /// Port on loopback. It stays the same over restarts.
    pub port: u16,
    controller_port: u16,
}

impl Address {
    /// `127.0.0.1:PORT`, for `bootstrap.servers`.
    pub fn bootstrap_servers(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Makes a topic; `settings` such as `("cleanup.policy", "compact")`.
    ///
    /// # Errors
    /// The broker refuses; the error names its code.
    pub fn create_topic(&self, name: &str, partitions: i32, settings: &[(&str, &str)]) -> Result<()> {
        wire::create_topic(self.port, name, partitions, settings)
    }

    /// The names of all topics but the broker's own.
    ///
    /// # Errors
    /// Nobody answers.
    pub fn topics(&self) -> Result<Vec<String>> {
        Ok(wire::topics(self.port)?.into_iter().map(|topic| topic.name).collect())
    }

    /// The offset after the last record of each partition, those of transactions that are open or aborted, and their
    /// markers, included.
    ///
    /// # Errors
    /// There is no such topic.
    pub fn end_offsets(&self, topic: &str) -> Result<Vec<i64>> {
        let topics = wire::topics(self.port)?;
        let found = topics.iter().find(|found| found.name == topic).with_context(|| format!("no topic `{topic}`"))?;
        (0..found.partitions).map(|partition| wire::end_offset(self.port, topic, partition)).collect()
    }

    /// Runs one of the tools that come with Kafka, such as `org.apache.kafka.tools.ConsoleConsumer`, with `--bootstrap-server`
    /// and `input` on standard input; returns what it writes to standard output. About 2 s each.
    ///
    /// # Errors
    /// It fails; the error holds what it said.
    pub fn tool(&self, class: &str, arguments: &[&str], input: &str) -> Result<String> {
        let mut command =
            Broker::tool(class)?.args(["--bootstrap-server", &self.bootstrap_servers()]).args(arguments).command();
        let mut child = command
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .context("cannot start java")?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(input.as_bytes()).context("cannot write to the tool")?;
        }
        let output = child.wait_with_output().context("cannot wait for the tool")?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            bail!("{class} failed ({}): {}", output.status, super::place::tail(&said));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

/// A prefix that nobody else uses. Topics that begin with it are deleted with this value.
#[derive(Debug)]
pub struct Prefix {
    name: String,
    address: Address,
}

impl Prefix {
    /// The name with the prefix.
    pub fn of(&self, name: &str) -> String {
        format!("{}.{name}", self.name)
    }

    /// The broker.
    pub fn address(&self) -> &Address {
        &self.address
    }
}

impl Drop for Prefix {
    fn drop(&mut self) {
        let deleted = self.address.topics().and_then(|topics| {
            let ours: Vec<_> =
                topics.iter().filter(|topic| topic.starts_with(&self.name)).map(String::as_str).collect();
            wire::delete_topics(self.address.port, &ours)
        });
        if let Err(error) = deleted {
            skip::warn(&format!("topics {}.* are left behind: {error:#}", self.name));
        }
    }
}

/// The shared broker; `None`, after a loud skip, if it cannot be had.
///
/// # Errors
/// It can, and does not start.
pub fn server() -> Result<Option<Address>> {
    unless_missing(join())
}

/// The shared broker, for a server that needs it.
pub(super) fn join() -> Result<Address> {
    shared::join(None, Broker::find)
}

/// A prefix on the shared broker; `None`, after a loud skip, if that cannot be had.
///
/// # Errors
/// It can, and does not start.
pub fn fresh_prefix() -> Result<Option<Prefix>> {
    Ok(server()?.map(|address| Prefix { name: unique(), address }))
}

/// A broker of this test alone; `None`, after a loud skip, if it cannot be had.
///
/// # Errors
/// It can, and does not start.
pub fn own_server() -> Result<Option<Own<Broker>>> {
    unless_missing(Broker::find().and_then(Own::start))
}
