//! ClickHouse: whether it answers, lets this user in, and has the database and the tables.

use super::{Gravity, Needs, Problem, chain, client};
use crate::warehouse_load::WarehouseConnection;

/// Codes of ClickHouse's errors.
const UNKNOWN_DATABASE: &str = "Code: 81";
const AUTHENTICATION_FAILED: &str = "Code: 516";

pub(super) async fn look(connection: &WarehouseConnection, needs: &Needs) -> Vec<Problem> {
    let Some(url) = connection.url.as_deref().and_then(|url| reqwest::Url::parse(url).ok()) else {
        return vec![Problem::new(
            "bad_connection",
            Gravity::Error,
            "the connection's `url` does not read",
            "write `url: http://USER@HOST:8123/DATABASE`",
        )];
    };
    let database = url.path().trim_matches('/').to_owned();
    let shown = format!("{}:{}", url.host_str().unwrap_or_default(), url.port_or_known_default().unwrap_or_default());
    let server = Server { url, database: database.clone(), connection };
    match server.ask("select 1").await {
        Ok(_) => {}
        Err(Refusal::Silent(reason)) => {
            return vec![Problem::new(
                "clickhouse_unreachable",
                Gravity::Unreachable,
                format!("ClickHouse at {shown} does not answer: {reason}"),
                "start it (make up, or cargo xtask services up clickhouse) and look into its log (make logs SERVICE=clickhouse)",
            )];
        }
        Err(Refusal::Said(text)) if text.contains(AUTHENTICATION_FAILED) => {
            return vec![Problem::new(
                "clickhouse_password",
                Gravity::Error,
                format!("ClickHouse at {shown} does not let the user in: wrong name or password"),
                "set the connection's `password`, such as by UPDRAFT_CONN_CLICKHOUSE__PASSWORD; in containers it is CLICKHOUSE_PASSWORD \
                 of .env, which a volume that is there already does not follow",
            )];
        }
        Err(Refusal::Said(text)) if text.contains(UNKNOWN_DATABASE) => {
            return vec![Problem::new(
                "clickhouse_database_missing",
                Gravity::Error,
                format!("ClickHouse at {shown} has no database {database}"),
                format!("make it: create database {database}"),
            )];
        }
        Err(Refusal::Said(text)) => {
            return vec![Problem::new(
                "clickhouse_refuses",
                Gravity::Error,
                format!("ClickHouse at {shown} refuses `select 1`: {text}"),
                "look into its log (make logs SERVICE=clickhouse)",
            )];
        }
    }
    let mut found = Vec::new();
    for table in needs.tables.iter().map(|table| connection.table(table)) {
        let quoted = table.replace('\\', "\\\\").replace('\'', "\\'");
        let there = server
            .ask(&format!("select count() from system.tables where database = currentDatabase() and name = '{quoted}'"))
            .await;
        if matches!(there, Ok(count) if count.trim() == "0") {
            found.push(Problem::new(
                "clickhouse_table_missing",
                Gravity::Error,
                format!("the database {database} of ClickHouse at {shown} has no table {table}, which a workflow loads"),
                "updraft run workflows/opensky/migrate.yaml with the same --profile; in containers: docker compose run --rm tables",
            ));
        }
    }
    found
}

enum Refusal {
    Silent(String),
    Said(String),
}

struct Server<'a> {
    url: reqwest::Url,
    database: String,
    connection: &'a WarehouseConnection,
}

impl Server<'_> {
    async fn ask(&self, sql: &str) -> Result<String, Refusal> {
        let mut address = self.url.clone();
        let user = self.url.username().to_owned();
        // Credentials go into headers.
        address.set_username("").and_then(|()| address.set_password(None)).ok();
        address.set_path("/");
        address.set_query(None);
        let mut request = client().post(address).body(sql.to_owned());
        if !self.database.is_empty() {
            request = request.query(&[("database", &self.database)]);
        }
        if !user.is_empty() {
            request = request.header("x-clickhouse-user", user);
        }
        if let Some(password) = &self.connection.password {
            request = request.header("x-clickhouse-key", password.expose());
        }
        let answer = request.send().await.map_err(|error| Refusal::Silent(chain(error)))?;
        let good = answer.status().is_success();
        let text = answer.text().await.map_err(|error| Refusal::Silent(chain(error)))?;
        if good {
            Ok(text)
        } else {
            Err(Refusal::Said(text.lines().next().unwrap_or_default().chars().take(300).collect()))
        }
    }
}
