//! A real PostgreSQL for tests: one server for everybody, a database or schema for each test, and servers of one's own
//! for tests that crash them. All have `wal_level = logical`.
//!
//! `UPDRAFT_TEST_POSTGRES_URL` names a server to use; without it one is started, shared by every test process of this
//! user, and ended when the last of them has left. Durable settings always: `fsync` gains little when it is off.
//!
//! ```no_run
//! let Some(database) = updraft_testkit::postgres::fresh_database().unwrap() else { return };
//! println!("{}", database.url());
//! ```

mod cluster;
mod install;
mod shared;

use std::{fmt, str::FromStr as _};

use anyhow::{Context as _, Result};
use sqlx::{Connection as _, Executor as _, PgConnection, postgres::PgConnectOptions};
use uuid::Uuid;

pub use cluster::Cluster;

use crate::{
    services::{Own, http::block_on, missing::unless_missing},
    skip,
};
pub use install::Install;

/// A database of the shared server that is dropped with this value.
#[derive(Debug)]
pub struct Database(Dropped);

impl Database {
    /// Where to connect to.
    pub fn url(&self) -> &str {
        &self.0.url
    }
}

/// A schema of the shared server's first database that is dropped with this value.
///
/// A sixth of a database's cost. Advisory locks and notifications are seen by the tests of the other schemas.
#[derive(Debug)]
pub struct Schema(Dropped);

impl Schema {
    /// Where to connect to; the search path holds the schema alone.
    pub fn url(&self) -> &str {
        &self.0.url
    }
}

#[derive(Debug)]
struct Dropped {
    admin_url: String,
    statement: String,
    url: String,
}

impl Drop for Dropped {
    fn drop(&mut self) {
        if let Err(error) = execute(&self.admin_url, &self.statement) {
            skip::warn(&format!("`{}` failed: {error:#}", self.statement));
        }
    }
}

/// An empty database of the shared server; `None`, after a loud skip, if there is no PostgreSQL.
///
/// # Errors
/// There is one, and it does not work.
pub fn fresh_database() -> Result<Option<Database>> {
    let Some(admin_url) = server()? else { return Ok(None) };
    let name = format!("updraft_test_{}", Uuid::new_v4().simple());
    execute(&admin_url, &format!("create database {name} template template0"))?;
    let url = with_database(&admin_url, &name)?;
    Ok(Some(Database(Dropped { url, statement: format!("drop database if exists {name} with (force)"), admin_url })))
}

/// An empty schema of the shared server; `None`, after a loud skip, if there is no PostgreSQL.
///
/// # Errors
/// There is one, and it does not work.
pub fn fresh_schema() -> Result<Option<Schema>> {
    let Some(admin_url) = server()? else { return Ok(None) };
    let name = format!("updraft_test_{}", Uuid::new_v4().simple());
    execute(&admin_url, &format!("create schema {name}"))?;
    let joint = if admin_url.contains('?') { '&' } else { '?' };
    let url = format!("{admin_url}{joint}options=-c%20search_path%3D{name}");
    Ok(Some(Schema(Dropped { url, statement: format!("drop schema if exists {name} cascade"), admin_url })))
}

/// The shared server's URL; `None`, after a loud skip, if there is no PostgreSQL.
///
/// # Errors
/// There is one, and it does not start.
pub fn server() -> Result<Option<String>> {
    unless_missing(shared::url())
}

/// The server that this machine's developers share, whatever the environment says.
pub(crate) fn join() -> Result<String> {
    shared::join()
}

/// Makes a database unless it is there, and returns its URL.
pub(crate) fn ensure_database(admin_url: &str, name: &str) -> Result<String> {
    let url = with_database(admin_url, name)?;
    if execute(&url, "select 1").is_err() {
        execute(admin_url, &format!("create database {name}"))?;
    }
    Ok(url)
}

/// A server of this test alone, to be stopped, crashed and started again; `None`, after a loud skip, if there is no
/// PostgreSQL.
///
/// # Errors
/// There is one, and it does not start.
pub fn own_server() -> Result<Option<Cluster>> {
    unless_missing(Install::find().and_then(Own::start))
}

/// The URL with another database.
pub(crate) fn with_database(url: &str, database: &str) -> Result<String> {
    let (server, rest) = url.split_once("://").context("the server's URL has no scheme")?;
    let (rest, query) = rest.split_once('?').map_or((rest, ""), |(rest, query)| (rest, query));
    let authority = rest.split('/').next().unwrap_or_default();
    let query = if query.is_empty() { String::new() } else { format!("?{query}") };
    Ok(format!("{server}://{authority}/{database}{query}"))
}

/// Runs one statement on a connection of its own.
pub(crate) fn execute(url: &str, statement: &str) -> Result<()> {
    let options = PgConnectOptions::from_str(url).context("not the URL of a PostgreSQL server")?;
    block_on(async {
        let mut connection = PgConnection::connect_with(&options).await?;
        connection.execute(sqlx::AssertSqlSafe(statement)).await?;
        Ok(connection.close().await?)
    })
    .with_context(|| format!("cannot run `{statement}`"))
}

/// Runs one query on a connection of its own: the first column of each row, which must be a text.
///
/// # Errors
/// Nobody answers, or the query is refused.
pub fn texts(url: &str, query: &str) -> Result<Vec<String>> {
    let options = PgConnectOptions::from_str(url).context("not the URL of a PostgreSQL server")?;
    block_on(async {
        let mut connection = PgConnection::connect_with(&options).await?;
        let rows = sqlx::query_scalar(sqlx::AssertSqlSafe(query)).fetch_all(&mut connection).await?;
        connection.close().await?;
        Ok(rows)
    })
    .with_context(|| format!("cannot run `{query}`"))
}

/// A connection URL with the user `postgres`, whom clusters made here trust on loopback.
#[derive(Debug, Clone, Copy)]
struct LocalUrl {
    port: u16,
}

impl fmt::Display for LocalUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "postgres://postgres@127.0.0.1:{}/postgres?sslmode=disable", self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_database_of_a_url_is_replaced_and_the_rest_kept() {
        for (url, expected) in [
            ("postgres://u:p@host:1/postgres?sslmode=disable", "postgres://u:p@host:1/x?sslmode=disable"),
            ("postgres://u@host/db", "postgres://u@host/x"),
            ("postgresql://host", "postgresql://host/x"),
        ] {
            assert_eq!(with_database(url, "x").unwrap(), expected);
        }
    }
}
