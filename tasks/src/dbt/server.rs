//! The server that dbt builds in: where it is, told to the profile, and what ends an attempt's queries on it.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use updraft_task::{Context, TaskError};

use super::connection::Dbt;
use crate::postgres;
use crate::warehouse_load::{Engine, WarehouseConnection};

/// Before the server is told: dbt, which was asked to stop, ends its queries in better order.
const PATIENCE: Duration = Duration::from_millis(300);
/// Between two requests to the server.
const AGAIN: Duration = Duration::from_millis(500);
/// Longest wait for the server to have ended the queries.
const LONGEST: Duration = Duration::from_secs(3);

/// The warehouse's connection with its name, if the dbt connection names one.
fn warehouse(connection: &Dbt, ctx: &Context) -> Result<Option<(String, WarehouseConnection)>, TaskError> {
    let Some(name) = &connection.warehouse else { return Ok(None) };
    let warehouse: WarehouseConnection = ctx.connection_named(name)?;
    match warehouse.engine {
        Engine::Clickhouse | Engine::Postgres => Ok(Some((name.clone(), warehouse))),
        Engine::Lake => Err(TaskError::fail(
            "BadConnection",
            format!("`warehouse: {name}` is a lake: name a connection with `engine: clickhouse` or `engine: postgres`"),
        )),
    }
}

/// Variables for the profile that say where the warehouse is.
///
/// # Errors
/// `fail` `BadConnection`: the connection has no such warehouse, or its URL does not read.
pub fn environment(connection: &Dbt, ctx: &Context) -> Result<BTreeMap<String, String>, TaskError> {
    let mut environment = BTreeMap::new();
    let Some((name, warehouse)) = warehouse(connection, ctx)? else { return Ok(environment) };
    let bad = |what: &str| {
        TaskError::fail(
            "BadConnection",
            format!("connection `{name}`: `url` {what}: write ENGINE://USER@HOST:PORT/DATABASE"),
        )
    };
    let url = warehouse.url.as_deref().ok_or_else(|| bad("is missing"))?;
    let url = reqwest::Url::parse(url).map_err(|_| bad("does not read"))?;
    let host = url.host_str().ok_or_else(|| bad("names no host"))?;
    let (prefix, port) = match warehouse.engine {
        Engine::Postgres => ("UPDRAFT_POSTGRES", 5432),
        Engine::Lake | Engine::Clickhouse => ("UPDRAFT_CLICKHOUSE", if url.scheme() == "https" { 443 } else { 8123 }),
    };
    let mut set = |name: &str, value: &str| drop(environment.insert(format!("{prefix}_{name}"), value.to_owned()));
    set("HOST", host);
    set("PORT", &url.port().unwrap_or(port).to_string());
    for (name, value) in [("USER", url.username()), ("DATABASE", url.path().trim_matches('/'))] {
        if !value.is_empty() {
            set(name, value);
        }
    }
    match warehouse.engine {
        Engine::Postgres => {
            if let Some((_, mode)) = url.query_pairs().find(|(name, _)| name == "sslmode") {
                set("SSLMODE", &mode);
            }
        }
        Engine::Lake | Engine::Clickhouse => set("SECURE", if url.scheme() == "https" { "True" } else { "False" }),
    }
    if let Some(password) = &warehouse.password {
        environment.insert("DBT_ENV_SECRET_PASSWORD".to_owned(), password.expose().to_owned());
    }
    Ok(environment)
}

/// What comes of dbt's child. When the attempt shall stop, and when the child was killed, the server is told to end what the
/// attempt's sessions do there: dbt may not be able to any more.
///
/// # Errors
/// The child's.
pub async fn stopping<T>(
    connection: &Dbt,
    ctx: &Context,
    child: impl Future<Output = Result<T, TaskError>>,
) -> Result<T, TaskError> {
    let Some((name, warehouse)) = warehouse(connection, ctx)? else { return child.await };
    let mut child = pin!(child);
    let ended = tokio::select! {
        biased;
        ended = &mut child => ended,
        never = telling(&name, &warehouse, ctx) => match never {},
    };
    if ended.is_err() || ctx.cancelled().is_cancelled() {
        let told = tokio::time::timeout(LONGEST, end(&name, &warehouse, true, ctx)).await;
        match told {
            Ok(Ok(())) => ctx.info(format!("nothing of this attempt runs on `{name}` any more")),
            Ok(Err(error)) => ctx.warn(format!("queries of this attempt may still run on `{name}`: {error}")),
            Err(_) => {
                ctx.warn(format!("queries of this attempt may still run on `{name}`: it does not answer in time"));
            }
        }
    }
    ended
}

/// Once the attempt shall stop: tells the server again and again, until it is dropped.
async fn telling(name: &str, warehouse: &WarehouseConnection, ctx: &Context) -> Infallible {
    ctx.cancelled().cancelled().await;
    tokio::time::sleep(PATIENCE).await;
    loop {
        // The last word is said, and its failure told, after the child has ended.
        let _ = tokio::time::timeout(LONGEST, end(name, warehouse, false, ctx)).await;
        tokio::time::sleep(AGAIN).await;
    }
}

/// Ends what sessions of this attempt do; `last`: the sessions themselves, and waits until they are gone.
async fn end(name: &str, warehouse: &WarehouseConnection, last: bool, ctx: &Context) -> Result<(), TaskError> {
    let attempt = ctx.attempt().attempt_id.to_string();
    match warehouse.engine {
        Engine::Lake => Ok(()),
        Engine::Clickhouse => crate::clickhouse::kill_queries(warehouse, &attempt).await,
        Engine::Postgres => {
            let server = postgres::Server::of(name, warehouse, ctx)?;
            server.end_sessions(&format!("updraft {attempt}"), last).await
        }
    }
}
