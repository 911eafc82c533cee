//! ClickHouse's engine (`chdb-core`) behind an HTTP server of ours that speaks its HTTP interface: a server's program is in
//! no registry. `python/clickhouse_front/` tells what is the same and what is not.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Kind, Own, fetch, http, missing::unless_missing, ports, shared};
use crate::process::Program;
use crate::skip;

const REQUIREMENTS: &str = include_str!("../../servers/clickhouse/requirements.txt");
const USER: &str = "updraft";

/// Where ClickHouse answers HTTP.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Address {
    /// Port on loopback. It stays the same over restarts.
    pub port: u16,
    /// The only user.
    pub user: String,
    /// Its password.
    pub password: String,
}

impl Address {
    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Runs one statement, and returns its answer (tab-separated as a rule) without the last line's end.
    ///
    /// # Errors
    /// ClickHouse refuses; the error holds its text.
    pub fn query(&self, sql: &str) -> Result<String> {
        let user = [("x-clickhouse-user", self.user.as_str()), ("x-clickhouse-key", self.password.as_str())];
        let answer = http::send("POST", &format!("{}/", self.url()), &user, sql.as_bytes().to_vec())?;
        Ok(answer.ok().with_context(|| format!("cannot run `{sql}`"))?.text().trim_end_matches('\n').to_owned())
    }

    /// Makes a database with a name of its own, dropped with the value. Not `default`, whose engine is another one than a
    /// server's.
    ///
    /// # Errors
    /// ClickHouse refuses.
    pub fn fresh_database(&self) -> Result<Database> {
        let name = format!("updraft_test_{}", Uuid::new_v4().simple());
        self.query(&format!("create database {name}"))?;
        Ok(Database { name, address: self.clone() })
    }
}

/// A database that is dropped with this value.
#[derive(Debug)]
pub struct Database {
    name: String,
    address: Address,
}

impl Database {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The server that it is on.
    pub fn address(&self) -> &Address {
        &self.address
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if let Err(error) = self.address.query(&format!("drop database if exists {} sync", self.name)) {
            skip::warn(&format!("the database {} is left behind: {error:#}", self.name));
        }
    }
}

/// The engine behind its front.
#[derive(Debug, Clone)]
pub struct Front {
    python: PathBuf,
    settings: Option<PathBuf>,
}

impl Front {
    pub(crate) fn find() -> Result<Self> {
        let environment =
            fetch::python("clickhouse-26.9.0", "919 MB from the Python package index", REQUIREMENTS, "import chdb")?;
        Ok(Self { python: environment.join("bin/python"), settings: None })
    }

    /// With a file of server settings (XML or YAML), such as one that switches the query log on.
    #[must_use]
    pub fn with_settings(mut self, file: impl Into<PathBuf>) -> Self {
        self.settings = Some(file.into());
        self
    }

    /// The interpreter with the engine, for checks that are written in Python.
    pub fn python(&self) -> &Path {
        &self.python
    }

    /// The folder of our Python.
    pub fn sources() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("python")
    }
}

impl Kind for Front {
    type Address = Address;

    const NAME: &'static str = "clickhouse";

    fn prepare(&self, folder: &Path) -> Result<Address> {
        fs::create_dir(folder.join("data")).context("cannot make the folder of its data")?;
        Ok(Address { port: ports::free()?, user: USER.to_owned(), password: Uuid::new_v4().simple().to_string() })
    }

    fn launch(&self, folder: &Path, address: &Address) -> Program {
        let launch = Program::of_server(&self.python)
            .args(["-m", "clickhouse_front", "--port", &address.port.to_string(), "--data"])
            .arg(folder.join("data"))
            .env("CLICKHOUSE_FRONT_USERS", format!("{}:{}", address.user, address.password))
            .env("PYTHONPATH", Self::sources())
            .env("PYTHONDONTWRITEBYTECODE", "1");
        match &self.settings {
            Some(file) => launch.arg("--config-file").arg(file),
            None => launch,
        }
    }

    fn check(address: &Address) -> Result<()> {
        http::get(&format!("{}/ping", address.url()))?.ok()?;
        Ok(())
    }

    /// After `kill -9` the lock on the data is let go with the process; its port may need a moment.
    fn is_held(log: &str) -> bool {
        ["Cannot lock file", "Address already in use"].iter().any(|text| log.contains(text))
    }
}

/// The shared server; `None`, after a loud skip, if it cannot be had.
///
/// # Errors
/// It can, and does not start.
pub fn server() -> Result<Option<Address>> {
    unless_missing(join())
}

pub(super) fn join() -> Result<Address> {
    shared::join(None, Front::find)
}

/// A database on the shared server; `None`, after a loud skip, if that cannot be had.
///
/// # Errors
/// It can, and does not work.
pub fn fresh_database() -> Result<Option<Database>> {
    server()?.map(|server| server.fresh_database()).transpose()
}

/// A server of this test alone; `None`, after a loud skip, if it cannot be had.
///
/// # Errors
/// It can, and does not start.
pub fn own_server() -> Result<Option<Own<Front>>> {
    unless_missing(Front::find().and_then(Own::start))
}

/// The programs alone; `None`, after a loud skip, if they cannot be had.
///
/// # Errors
/// What was fetched is not what was reviewed.
pub fn programs() -> Result<Option<Front>> {
    unless_missing(Front::find())
}
