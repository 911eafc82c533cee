//! All servers by name, for people: started together, and described in a profile that `updraft` reads.

use std::{fmt::Write as _, path::Path};

use anyhow::{Context as _, Result};

use super::{Kind as _, Missing, clickhouse, connect, kafka, missing::apart, place, prometheus, s3, shared, spark};
use crate::postgres;

/// Bucket, databases and topics that `services up` makes for the flagship.
pub(super) const BUCKET: &str = "lake";
pub(super) const DATABASE: &str = "opensky";
const HOURS_48: (&str, &str) = ("retention.ms", "172800000");
const TOPICS: [(&str, i32, &[(&str, &str)]); 4] = [
    ("raw_flights", 6, &[HOURS_48]),
    ("raw_flights.dlq", 1, &[("retention.ms", "2592000000")]),
    ("processed_flights", 6, &[HOURS_48]),
    ("updraft.batches", 1, &[("cleanup.policy", "compact")]),
];
/// Error code of a topic that is there already.
const TOPIC_EXISTS: &str = "(error code 36)";

/// A server that people start by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Server {
    /// PostgreSQL.
    Postgres,
    /// versitygw.
    S3,
    /// MinIO.
    Minio,
    /// Apache Kafka.
    Kafka,
    /// ClickHouse's engine behind its front.
    Clickhouse,
    /// Prometheus.
    Prometheus,
    /// Kafka Connect with Debezium; brings Kafka.
    Connect,
    /// Spark's master and worker.
    Spark,
}

impl Server {
    /// All, in the order of their starting.
    pub const ALL: [Self; 8] = [
        Self::Postgres,
        Self::S3,
        Self::Minio,
        Self::Kafka,
        Self::Clickhouse,
        Self::Prometheus,
        Self::Connect,
        Self::Spark,
    ];

    /// The name that people type.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Postgres => postgres::Install::NAME,
            Self::S3 => s3::Versitygw::NAME,
            Self::Minio => s3::Minio::NAME,
            Self::Kafka => kafka::Broker::NAME,
            Self::Clickhouse => clickhouse::Front::NAME,
            Self::Prometheus => prometheus::Prometheus::NAME,
            Self::Connect => connect::Worker::NAME,
            Self::Spark => "spark",
        }
    }

    /// The server with that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|server| server.name() == name)
    }

    /// The names of its processes, for [`shared::status`], [`shared::hold`] and [`shared::release`]; the one that needs the
    /// others first.
    pub const fn processes(self) -> &'static [&'static str] {
        match self {
            Self::Postgres => &[postgres::Install::NAME],
            Self::S3 => &[s3::Versitygw::NAME],
            Self::Minio => &[s3::Minio::NAME],
            Self::Kafka => &[kafka::Broker::NAME],
            Self::Clickhouse => &[clickhouse::Front::NAME],
            Self::Prometheus => &[prometheus::Prometheus::NAME],
            Self::Connect => &[connect::Worker::NAME],
            Self::Spark => &[spark::Worker::NAME, spark::Master::NAME],
        }
    }

    /// Lets a server that this process has joined outlive it, until `services down`.
    ///
    /// # Errors
    /// A holder cannot be started.
    pub fn hold(self) -> Result<()> {
        // Connect's Kafka has none: it is held by Connect, and ends after it.
        self.processes().iter().try_for_each(|name| shared::hold(name))
    }
}

/// What runs, and where.
#[derive(Debug, Default)]
pub struct Running {
    postgres: Option<String>,
    s3: Option<s3::Address>,
    minio: Option<s3::Address>,
    kafka: Option<kafka::Address>,
    clickhouse: Option<clickhouse::Address>,
    prometheus: Option<prometheus::Address>,
    connect: Option<connect::Address>,
    spark: Option<spark::Address>,
}

impl Running {
    /// Starts a server, or joins it if it runs; makes what the flagship needs on it. Returns where it answers.
    ///
    /// # Errors
    /// The outer one: it does not work. The inner one: it cannot be had.
    pub fn start(&mut self, server: Server) -> Result<Result<String, Missing>> {
        apart(self.start_or_miss(server))
    }

    fn start_or_miss(&mut self, server: Server) -> Result<String> {
        Ok(match server {
            Server::Postgres => self.with_postgres(&postgres::join()?)?,
            Server::S3 => self.with_s3(s3::join()?)?,
            Server::Minio => {
                let address = s3::join_minio()?;
                address.client().ensure_bucket(BUCKET)?;
                self.minio.insert(address).endpoint()
            }
            Server::Kafka => self.with_kafka(kafka::join()?)?,
            Server::Clickhouse => self.with_clickhouse(clickhouse::join()?)?,
            Server::Prometheus => self.prometheus.insert(prometheus::join()?).url(),
            Server::Connect => self.connect.insert(connect::join()?).url(),
            Server::Spark => self.spark.insert(spark::join()?).master_url(),
        })
    }

    // Each makes what the flagship needs on a server that runs, notes the server, and says where it answers.

    pub(super) fn with_postgres(&mut self, admin_url: &str) -> Result<String> {
        let url = postgres::ensure_database(admin_url, DATABASE)?;
        Ok(self.postgres.insert(url).clone())
    }

    pub(super) fn with_s3(&mut self, address: s3::Address) -> Result<String> {
        address.client().ensure_bucket(BUCKET)?;
        Ok(self.s3.insert(address).endpoint())
    }

    pub(super) fn with_kafka(&mut self, address: kafka::Address) -> Result<String> {
        for (name, partitions, settings) in TOPICS {
            match address.create_topic(name, partitions, settings) {
                Err(error) if !error.to_string().contains(TOPIC_EXISTS) => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
        Ok(self.kafka.insert(address).bootstrap_servers())
    }

    pub(super) fn with_clickhouse(&mut self, address: clickhouse::Address) -> Result<String> {
        address.query(&format!("create database if not exists {DATABASE}"))?;
        Ok(self.clickhouse.insert(address).url())
    }

    /// Writes `file`: the profile `services` with a connection for each server that runs. Mode 0600.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write_profile(&self, file: &Path) -> Result<()> {
        if let Some(folder) = file.parent() {
            std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        }
        place::write_secret(file, &self.profile()?)
    }

    fn profile(&self) -> Result<String> {
        let mut connections: Vec<(&str, Vec<(&str, String)>)> = Vec::new();
        if let Some(kafka) = self.kafka.as_ref().or_else(|| Some(&self.connect.as_ref()?.kafka)) {
            connections.push((
                "kafka",
                vec![
                    text("kind", "kafka"),
                    text("bootstrap_servers", &kafka.bootstrap_servers()),
                    ("transactions", "true".to_owned()),
                ],
            ));
        }
        if let Some(s3) = self.s3.as_ref().or(self.minio.as_ref()) {
            connections.push((
                "lake",
                vec![
                    text("kind", "lake"),
                    text("url", &format!("s3://{BUCKET}")),
                    text("endpoint", &s3.endpoint()),
                    text("region", s3::REGION),
                    text("access_key_id", &s3.access_key_id),
                    text("secret_access_key", &s3.secret_access_key),
                    ("allow_http", "true".to_owned()),
                ],
            ));
        }
        let mut warehouses = Vec::new();
        if let Some(clickhouse) = &self.clickhouse {
            let url = format!("http://{}@127.0.0.1:{}/{DATABASE}", clickhouse.user, clickhouse.port);
            warehouses.push("clickhouse");
            connections.push((
                "clickhouse",
                vec![
                    text("kind", "warehouse"),
                    text("engine", "clickhouse"),
                    text("url", &url),
                    text("password", &clickhouse.password),
                    ("tables", "{processed_flights: flights_streaming}".to_owned()),
                ],
            ));
            // Another target and warehouse by the environment: UPDRAFT_CONN_DBT__TARGET and UPDRAFT_CONN_DBT__WAREHOUSE.
            connections.push((
                "dbt",
                vec![
                    text("kind", "dbt"),
                    text("project", "dbt"),
                    text("target", "clickhouse"),
                    text("warehouse", "clickhouse"),
                ],
            ));
        }
        if let Some(postgres) = &self.postgres {
            warehouses.push("postgres");
            connections
                .push(("postgres", vec![text("kind", "warehouse"), text("engine", "postgres"), text("url", postgres)]));
        }
        if !warehouses.is_empty() {
            let members = ("members", format!("[{}]", warehouses.join(", ")));
            connections.push(("warehouse", vec![text("kind", "group"), members]));
        }
        if let Some(spark) = &self.spark {
            let programs = spark::Programs::find()?;
            connections.push((
                "spark",
                vec![
                    text("kind", "spark"),
                    text("master", &spark.master_url()),
                    text("rest_url", &spark.rest_url()),
                    text("ui_url", &spark.ui_url()),
                    text("home", &programs.home()?.display().to_string()),
                    text("python", &programs.python().display().to_string()),
                    text("jars", &programs.jars().display().to_string()),
                ],
            ));
        }
        for (name, url) in [
            ("connect", self.connect.as_ref().map(connect::Address::url)),
            ("prometheus", self.prometheus.as_ref().map(prometheus::Address::url)),
        ] {
            if let Some(url) = url {
                connections.push((name, vec![text("kind", "http"), text("base_url", &url)]));
            }
        }
        let mut yaml = "# Written by `cargo xtask services up`; `cargo xtask services down` deletes it. Laid over the profile of the\n\
                        # same name in updraft.yaml. Holds secrets: for this user only.\n\
                        profiles:\n  services:\n    connections:\n"
            .to_owned();
        for (name, fields) in connections {
            let fields: Vec<_> = fields.iter().map(|(field, value)| format!("{field}: {value}")).collect();
            writeln!(yaml, "      {name}: {{{}}}", fields.join(", "))?;
        }
        Ok(yaml)
    }
}

fn text<'a>(field: &'a str, value: &str) -> (&'a str, String) {
    (field, quoted(value))
}

/// A JSON string is a YAML one.
fn quoted(value: &str) -> String {
    serde_json::Value::from(value).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_again() {
        for server in Server::ALL {
            assert_eq!(Server::named(server.name()), Some(server));
        }
        assert_eq!(Server::named("oracle"), None);
    }

    #[test]
    fn the_profile_holds_what_runs() {
        let mut running = Running::default();
        assert!(!running.profile().unwrap().contains("kind"));
        running.postgres = Some("postgres://postgres@127.0.0.1:1/opensky".to_owned());
        running.clickhouse = Some(clickhouse::Address { port: 2, user: "u".to_owned(), password: "p\"".to_owned() });
        let profile = running.profile().unwrap();
        for line in [
            "      postgres: {kind: \"warehouse\", engine: \"postgres\", url: \"postgres://postgres@127.0.0.1:1/opensky\"}\n",
            "      warehouse: {kind: \"group\", members: [clickhouse, postgres]}\n",
            "url: \"http://u@127.0.0.1:2/opensky\", password: \"p\\\"\", tables: {processed_flights: flights_streaming}}\n",
        ] {
            assert!(profile.contains(line), "{profile}");
        }
        assert!(!profile.contains("lake"), "{profile}");
    }
}
