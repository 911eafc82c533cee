//! All that the flagship runs on, as one test's own: stopped, killed and started again one by one.

use std::path::Path;

use anyhow::{Result, bail};

use super::catalog::{BUCKET, DATABASE, Running, Server};
use super::{Own, clickhouse, kafka, s3};
use crate::postgres;

/// PostgreSQL, S3, Kafka and ClickHouse of one test, with the flagship's bucket, databases and topics.
#[derive(Debug)]
pub struct Set {
    postgres: postgres::Cluster,
    s3: Own<s3::Versitygw>,
    kafka: Own<kafka::Broker>,
    clickhouse: Own<clickhouse::Front>,
    running: Running,
}

impl Set {
    /// The bucket of the lake.
    pub const BUCKET: &str = BUCKET;
    /// The database on ClickHouse and on PostgreSQL.
    pub const DATABASE: &str = DATABASE;

    /// Starts them; `None`, after a loud skip, if one cannot be had.
    ///
    /// # Errors
    /// One can, and does not start.
    pub fn start() -> Result<Option<Self>> {
        let (Some(postgres), Some(s3), Some(kafka), Some(clickhouse)) =
            (postgres::own_server()?, s3::own_server()?, kafka::own_server()?, clickhouse::own_server()?)
        else {
            return Ok(None);
        };
        let mut running = Running::default();
        running.with_postgres(&postgres.url())?;
        running.with_s3(s3.address().clone())?;
        running.with_kafka(kafka.address().clone())?;
        running.with_clickhouse(clickhouse.address().clone())?;
        Ok(Some(Self { postgres, s3, kafka, clickhouse, running }))
    }

    /// Writes the profile `services`, as `services up` does.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write_profile(&self, file: &Path) -> Result<()> {
        self.running.write_profile(file)
    }

    /// `kill -9` of one.
    ///
    /// # Errors
    /// It does not run, or is none of these.
    pub fn kill(&mut self, server: Server) -> Result<()> {
        match server {
            Server::Postgres => self.postgres.kill(),
            Server::S3 => self.s3.kill(),
            Server::Kafka => self.kafka.kill(),
            Server::Clickhouse => self.clickhouse.kill(),
            Server::Minio | Server::Prometheus | Server::Connect | Server::Spark => {
                bail!("{} is not in the set", server.name())
            }
        }
    }

    /// Starts one that was killed on its data and port.
    ///
    /// # Errors
    /// It runs, does not start, or is none of these.
    pub fn start_again(&mut self, server: Server) -> Result<()> {
        match server {
            Server::Postgres => self.postgres.start_again(),
            Server::S3 => self.s3.start_again(),
            Server::Kafka => self.kafka.start_again(),
            Server::Clickhouse => self.clickhouse.start_again(),
            Server::Minio | Server::Prometheus | Server::Connect | Server::Spark => {
                bail!("{} is not in the set", server.name())
            }
        }
    }

    /// URL of the flagship's database on PostgreSQL.
    ///
    /// # Errors
    /// The server's own URL is none.
    pub fn postgres_url(&self) -> Result<String> {
        postgres::with_database(&self.postgres.url(), DATABASE)
    }

    /// URL of a database for the run store on the same PostgreSQL.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn store_url(&self) -> Result<String> {
        postgres::ensure_database(&self.postgres.url(), "updraft")
    }

    /// The broker.
    pub fn kafka(&self) -> &kafka::Address {
        self.kafka.address()
    }

    /// ClickHouse.
    pub fn clickhouse(&self) -> &clickhouse::Address {
        self.clickhouse.address()
    }

    /// S3.
    pub fn s3(&self) -> &s3::Address {
        self.s3.address()
    }
}
