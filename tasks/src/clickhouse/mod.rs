//! ClickHouse as a warehouse: the one way to it, by HTTP, and what it is told to stop. [`migrate`] brings its tables up to
//! date; `warehouse.load`, `sql.run` and `sql.check` use the rest.
//!
//! Each statement is a session of its own: there are no transactions, no temporary tables and no `SET`.

pub(crate) mod bound;
pub(crate) mod fault;
mod http;
pub mod migrate;
pub(crate) mod table;
#[cfg(test)]
pub(crate) mod testing;
pub(crate) mod text;
pub(crate) mod wire;

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use clickhouse::error::Error;
use clickhouse::insert_native::InsertNative;
use clickhouse::{Client, QuerySummary};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use updraft_task::{Context, TaskError};

use crate::database::{BAD_CONNECTION, BAD_STATEMENT, WAREHOUSE};
use crate::warehouse_load::{Engine, WarehouseConnection};
use bound::Bound;
use text::literal;

/// Longest wait for a first answer.
const CONNECT: Duration = Duration::from_secs(15);
/// Longest wait for a statement to end after it was told to.
const STOP: Duration = Duration::from_secs(5);
/// Between two requests to stop: one that comes before the statement has begun is lost.
const STOP_AGAIN: Duration = Duration::from_millis(200);

/// Settings of every statement, whatever the server's or the user's profile says.
const SETTINGS: &[(&str, &str)] = &[
    // An answer says what became of the statement, rows included: no exception comes after it has begun.
    ("wait_end_of_query", "1"),
    // Acknowledged is written.
    ("async_insert", "0"),
    ("wait_for_async_insert", "1"),
    ("output_format_json_quote_64bit_integers", "0"),
    ("output_format_json_quote_denormals", "1"),
];

/// What a connection's URL says.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    /// `http://host:port`.
    origin: String,
    /// `host:port/database`, for messages.
    shown: String,
    user: String,
    database: String,
}

impl Place {
    /// Reads `http(s)://user@host:port/database`. The URL itself is never repeated: who puts a password into it shall not
    /// find it in a log.
    fn read(url: &str) -> Result<Self, String> {
        let form = "`url: http(s)://USER@HOST:PORT/DATABASE` is needed";
        let read = reqwest::Url::parse(url).map_err(|_| format!("`url` does not read; {form}"))?;
        let port = read.port_or_known_default();
        let (true, Some(host), Some(port)) = (matches!(read.scheme(), "http" | "https"), read.host_str(), port) else {
            return Err(form.to_owned());
        };
        if read.password().is_some() || read.query().is_some() {
            return Err("`url` holds a password or settings, and URLs are shown: write \
                        `http(s)://USER@HOST:PORT/DATABASE`, and the password into the field `password`"
                .to_owned());
        }
        let plain = |part: &str| {
            let ok = part.chars().all(|c| c.is_alphanumeric() || "_-.".contains(c));
            if ok { Ok(part.to_owned()) } else { Err("`url`: user and database are letters, digits, `_`, `-` and `.`") }
        };
        let or_default = |part: String| if part.is_empty() { "default".to_owned() } else { part };
        let database = or_default(plain(read.path().trim_matches('/'))?);
        Ok(Self {
            origin: format!("{}://{host}:{port}", read.scheme()),
            shown: format!("{host}:{port}/{database}"),
            user: or_default(plain(read.username())?),
            database,
        })
    }
}

/// A database and a user of it.
#[derive(Clone)]
pub(crate) struct Server {
    client: Client,
    place: Place,
    /// What its queries are marked with.
    comment: String,
    cancelled: CancellationToken,
}

impl Server {
    /// What a connection names.
    ///
    /// # Errors
    /// `fail` `BadConnection`: it is not of ClickHouse, has no URL, or one with a password.
    pub(crate) fn of(name: &str, connection: &WarehouseConnection, ctx: &Context) -> Result<Self, TaskError> {
        let comment = ctx.attempt().attempt_id.to_string();
        Self::marked(connection, &comment, ctx.cancelled().clone())
            .map_err(|error| error.context(format!("connection `{name}`")))
    }

    fn marked(
        connection: &WarehouseConnection,
        comment: &str,
        cancelled: CancellationToken,
    ) -> Result<Self, TaskError> {
        let bad = |text: String| TaskError::fail(BAD_CONNECTION.name, text);
        match connection.engine {
            Engine::Clickhouse => {}
            Engine::Lake | Engine::Postgres => return Err(bad("`engine: clickhouse` is needed here".to_owned())),
        }
        let place = Place::read(connection.url.as_deref().unwrap_or_default()).map_err(bad)?;
        let tls = place.origin.starts_with("https://");
        let client = if tls { http::tls().map_err(bad)? } else { http::plain() };
        let mut client = client
            .with_url(&place.origin)
            .with_user(&place.user)
            .with_database(&place.database)
            .with_product_info("updraft", env!("CARGO_PKG_VERSION"))
            .with_setting("log_comment", comment);
        for (name, value) in SETTINGS {
            client.set_setting(*name, *value);
        }
        if let Some(password) = &connection.password {
            client = client.with_password(password.expose());
        }
        Ok(Self { client, place, comment: comment.to_owned(), cancelled })
    }

    /// Where it is: `host:port/database`.
    pub(crate) fn shown(&self) -> &str {
        &self.place.shown
    }

    /// The database.
    pub(crate) fn database(&self) -> &str {
        &self.place.database
    }

    /// The same server, with a setting for what is asked through this value.
    #[must_use]
    pub(crate) fn with(&self, name: &str, value: &str) -> Self {
        let mut other = self.clone();
        other.client.set_setting(name, value);
        other
    }

    /// The same server, for what is to be done even though the attempt shall stop.
    #[must_use]
    pub(crate) fn undisturbed(&self) -> Self {
        Self { cancelled: CancellationToken::new(), ..self.clone() }
    }

    /// Asks for a first answer, so that a server that is not there is found out before work is done for it.
    ///
    /// # Errors
    /// `retry` `Warehouse`; `fail` `BadConnection`, `Cancelled`.
    pub(crate) async fn connect(&self) -> Result<(), TaskError> {
        match tokio::time::timeout(CONNECT, self.count("select 1")).await {
            Ok(answer) => answer.map(drop),
            Err(_) => Err(TaskError::retry(
                WAREHOUSE.name,
                format!("ClickHouse at {} does not answer within {} s", self.place.shown, CONNECT.as_secs()),
            )),
        }
    }

    /// Runs a statement.
    ///
    /// # Errors
    /// `Cancelled`; what [`fault::plain`] makes of the server's words.
    pub(crate) async fn execute(&self, sql: &str) -> Result<(), TaskError> {
        self.during(self.client.query_raw(sql).execute()).await
    }

    /// Asks for rows as objects by the columns' names.
    ///
    /// # Errors
    /// As [`Server::execute`]; `fail` `BadSql`: the rows are not of this form.
    pub(crate) async fn rows<T: DeserializeOwned>(&self, sql: &str) -> Result<Vec<T>, TaskError> {
        let asked = async { self.client.query_raw(sql).fetch_bytes("JSONEachRow")?.collect().await };
        let bytes = self.during(asked).await?;
        parsed(&bytes)
    }

    /// Asks for texts: the first column must be one.
    pub(crate) async fn texts(&self, sql: &str) -> Result<Vec<String>, TaskError> {
        let rows = self.values(&Bound::new(sql, &[])?).await?;
        let first = |row: Vec<Value>| row.into_iter().next().and_then(|value| value.as_str().map(str::to_owned));
        Ok(rows.into_iter().filter_map(first).collect())
    }

    /// Asks for rows as lists of values; numbers that are none (`nan`) are texts.
    pub(crate) async fn values(&self, bound: &Bound) -> Result<Vec<Vec<Value>>, TaskError> {
        let query = bound.beside(self.client.query_raw(&bound.sql));
        let bytes = self.during(async { query.fetch_bytes("JSONCompactEachRow")?.collect().await }).await?;
        parsed(&bytes)
    }

    /// Runs somebody's statement; says how many rows it wrote, or, if it is a query, gave.
    ///
    /// # Errors
    /// As [`Server::execute`].
    pub(crate) async fn run(&self, bound: &Bound) -> Result<u64, TaskError> {
        let query = bound.beside(self.client.query_raw(&bound.sql));
        let ran = async {
            let mut cursor = query.fetch_bytes("TabSeparated")?;
            while cursor.next().await?.is_some() {}
            let summary = cursor.summary();
            let written = summary.and_then(QuerySummary::written_rows).unwrap_or(0);
            // Servers count what was written among the result as well.
            Ok(written.max(summary.and_then(QuerySummary::result_rows).unwrap_or(0)))
        };
        self.during(ran).await
    }

    /// Asks for one number that is not negative; none is 0.
    pub(crate) async fn count(&self, sql: &str) -> Result<u64, TaskError> {
        #[derive(Deserialize)]
        struct Row {
            number: u64,
        }
        let rows: Vec<Row> = self.rows(&format!("select toUInt64(({sql})) as number")).await?;
        Ok(rows.first().map_or(0, |row| row.number))
    }

    /// Begins an insert of blocks into a table. It must be ended, or nothing of it is there.
    pub(crate) fn insert(&self, table: &str) -> InsertNative {
        self.client.insert_native(table)
    }

    /// Ends queries that hold a text, of other attempts than this one: an attempt that was killed leaves them running.
    ///
    /// # Errors
    /// As [`Server::execute`].
    pub(crate) async fn kill_others(&self, part: &str) -> Result<(), TaskError> {
        self.execute(&format!(
            "kill query where position(query, {}) > 0 and Settings['log_comment'] != {} and current_database = {} sync",
            literal(part),
            literal(&self.comment),
            literal(&self.place.database)
        ))
        .await
    }

    /// What comes of `work`, in which the server does something. When the attempt shall stop, the server is told to end it.
    ///
    /// # Errors
    /// `Cancelled`; what [`fault::plain`] makes of the server's words.
    pub(crate) async fn during<T>(&self, work: impl Future<Output = Result<T, Error>>) -> Result<T, TaskError> {
        let mut work = pin!(work);
        tokio::select! {
            biased;
            () = self.cancelled.cancelled() => {}
            result = &mut work => return result.map_err(|error| self.fault(&error)),
        }
        let ended = async {
            tokio::select! {
                _ = &mut work => {}
                () = self.kill() => {}
            }
        };
        let _ = tokio::time::timeout(STOP, ended).await;
        Err(TaskError::cancelled())
    }

    /// Tells the server to end what carries this one's mark, until it is dropped.
    async fn kill(&self) {
        // Under another mark, so that it does not end itself.
        let client = self.client.clone().with_setting("log_comment", format!("{} kill", self.comment));
        let sql = kill_statement(&self.comment, &self.place.database);
        loop {
            if client.query_raw(&sql).execute().await.is_err() {
                return std::future::pending().await;
            }
            tokio::time::sleep(STOP_AGAIN).await;
        }
    }

    fn fault(&self, error: &Error) -> TaskError {
        fault::plain(error).context(format!("ClickHouse at {}", self.place.shown))
    }
}

/// Rows, one a line.
fn parsed<T: DeserializeOwned>(bytes: &[u8]) -> Result<Vec<T>, TaskError> {
    let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let row = |line| {
        serde_json::from_slice(line).map_err(|error| {
            TaskError::fail(BAD_STATEMENT.name, format!("a row from ClickHouse does not read: {error}"))
        })
    };
    lines.map(row).collect()
}

fn kill_statement(comment: &str, database: &str) -> String {
    format!(
        "kill query where Settings['log_comment'] = {} and current_database = {} sync",
        literal(comment),
        literal(database)
    )
}

/// Ends the queries in the connection's database that carry a `log_comment`, and waits until they have ended. For those that
/// another program asks in an attempt's name, as dbt does.
///
/// # Errors
/// `retry` `Warehouse`; `fail` `BadConnection`, `Denied`: ending queries needs the right `KILL QUERY`.
pub(crate) async fn kill_queries(connection: &WarehouseConnection, log_comment: &str) -> Result<(), TaskError> {
    // The attempt is being cancelled already: this is what is done about it.
    let server = Server::marked(connection, &format!("{log_comment} kill"), CancellationToken::new())?;
    let sql = kill_statement(log_comment, server.database());
    match tokio::time::timeout(CONNECT, server.execute(&sql)).await {
        Ok(answer) => answer,
        Err(_) => Err(TaskError::retry(
            WAREHOUSE.name,
            format!("ClickHouse at {} does not end its queries within {} s", server.shown(), CONNECT.as_secs()),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_name_user_place_and_database() {
        let place = Place::read("http://updraft@127.0.0.1:8123/opensky").unwrap();
        assert_eq!((place.origin.as_str(), place.user.as_str()), ("http://127.0.0.1:8123", "updraft"));
        assert_eq!((place.shown.as_str(), place.database.as_str()), ("127.0.0.1:8123/opensky", "opensky"));
        let bare = Place::read("https://ch.example").unwrap();
        assert_eq!((bare.origin.as_str(), bare.database.as_str()), ("https://ch.example:443", "default"));
        for url in [
            "",
            "127.0.0.1:8123",
            "clickhouse://u@h:9000/d",
            "http://u:geheim@h:1/d",
            "http://u@h:1/d?password=geheim",
            "http://u@h:1/a/b",
        ] {
            let error = Place::read(url).unwrap_err();
            assert!(!error.contains("geheim"), "{error}");
        }
    }
}
