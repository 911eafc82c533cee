//! Connections of kind `warehouse` and `group`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use updraft_task::{ConnectionKind, Context, Lake, LakeConnection, Secret, TaskError};

/// Engine behind a warehouse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Engine {
    /// Parquet files in the lake.
    Lake,
    /// ClickHouse, by its HTTP interface.
    Clickhouse,
    /// PostgreSQL.
    Postgres,
}

/// Where tables are kept.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WarehouseConnection {
    /// What keeps the tables.
    pub engine: Engine,
    /// Address or folder. `lake`: a folder or `s3://bucket/prefix` (the connection `lake` if left out);
    /// `clickhouse`: `http(s)://user@host:port/database`; `postgres`: `postgres://user@host:port/database`.
    #[serde(default)]
    pub url: Option<String>,
    /// Password of a database.
    #[serde(default)]
    pub password: Option<Secret>,
    /// Tables that are called otherwise here: the name that workflows use, to the name in this warehouse.
    #[serde(default)]
    pub tables: BTreeMap<String, String>,
}

impl ConnectionKind for WarehouseConnection {
    const KIND: &'static str = "warehouse";
    const SUMMARY: &'static str = "where tables are kept: Parquet in the lake, ClickHouse or PostgreSQL";
}

impl WarehouseConnection {
    /// What a table is called here.
    pub fn table<'a>(&'a self, name: &'a str) -> &'a str {
        self.tables.get(name).map_or(name, String::as_str)
    }

    /// The lake that holds the tables.
    ///
    /// # Errors
    /// `fail` `BadConnection`: another engine, or a lake that cannot be opened.
    pub fn lake(&self, ctx: &Context) -> Result<Lake, TaskError> {
        match self.engine {
            Engine::Lake => {}
            Engine::Clickhouse | Engine::Postgres => {
                return Err(TaskError::fail(
                    "BadConnection",
                    "the warehouse is a database; a lake is needed (`engine: lake`)",
                ));
            }
        }
        let Some(url) = &self.url else { return ctx.lake() };
        let mut connection = ctx.connection_named::<LakeConnection>(LakeConnection::KIND)?;
        connection.url.clone_from(url);
        Lake::open(&connection, &ctx.run().project_dir)
    }
}

/// Several warehouses under one name: each is loaded.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// Names of connections of kind `warehouse`.
    pub members: Vec<String>,
}

impl ConnectionKind for Group {
    const KIND: &'static str = "group";
    const SUMMARY: &'static str = "several warehouses under one name: each is loaded";
}

/// The warehouses behind a name: itself, or the members of a group, in order.
///
/// # Errors
/// `fail` `BadConnection`: there is none, it is no warehouse, or a group without members or with one twice.
pub(crate) fn warehouses(ctx: &Context, name: &str) -> Result<Vec<(String, WarehouseConnection)>, TaskError> {
    let connection = ctx.connection_untyped(name)?;
    if connection.kind != Group::KIND {
        return Ok(vec![(name.to_owned(), connection.typed()?)]);
    }
    let members = connection.typed::<Group>()?.members;
    if members.is_empty() {
        return Err(TaskError::fail(
            "BadConnection",
            format!("the group `{name}` has no `members`: name its warehouses"),
        ));
    }
    let mut found: Vec<(String, WarehouseConnection)> = Vec::with_capacity(members.len());
    for member in members {
        if found.iter().any(|(known, _)| *known == member) {
            return Err(TaskError::fail("BadConnection", format!("the group `{name}` names `{member}` twice")));
        }
        let warehouse = ctx
            .connection_named(&member)
            .map_err(|error| error.context(format!("member `{member}` of the group `{name}`")))?;
        found.push((member, warehouse));
    }
    Ok(found)
}

/// The databases of one engine behind the task's connection, so that one workflow serves every profile.
///
/// # Errors
/// As [`warehouses`]; `skip`: there is none.
pub(crate) fn databases_of(ctx: &Context, engine: Engine) -> Result<Vec<(String, WarehouseConnection)>, TaskError> {
    let name = ctx.connection_name().unwrap_or("warehouse");
    let mut found = warehouses(ctx, name)?;
    found.retain(|(_, connection)| connection.engine == engine);
    if found.is_empty() {
        let engine = match engine {
            Engine::Lake => "lake",
            Engine::Clickhouse => "clickhouse",
            Engine::Postgres => "postgres",
        };
        return Err(TaskError::skip(format!("nothing behind the connection `{name}` has `engine: {engine}`")));
    }
    Ok(found)
}
