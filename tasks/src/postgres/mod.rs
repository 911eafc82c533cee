//! PostgreSQL as a warehouse: the one way to it, and what it is told to stop. [`migrate`] brings its tables up to date;
//! `warehouse.load`, `sql.run` and `sql.check` use the rest.

mod bound;
mod catalog;
mod copy;
pub(crate) mod fault;
pub mod migrate;
mod partitions;
#[cfg(test)]
pub(crate) mod testing;
pub(crate) mod text;

use std::future::Future;
use std::pin::pin;
use std::str::FromStr;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tokio_util::sync::CancellationToken;
use updraft_task::{Context, TaskError};

pub(crate) use bound::bind;
pub(crate) use catalog::Table;
pub(crate) use copy::{Plan, copy_in};
pub(crate) use partitions::make;

use crate::database::{BAD_CONNECTION, WAREHOUSE};
use crate::warehouse_load::{Engine, WarehouseConnection};

/// Longest wait for a connection.
const CONNECT: Duration = Duration::from_secs(15);
/// Longest wait for a statement to end after it was told to.
const STOP: Duration = Duration::from_secs(5);
/// Between two requests to stop: one that comes before the statement has begun is lost.
const STOP_AGAIN: Duration = Duration::from_millis(200);

/// A database and a user of it.
#[derive(Clone)]
pub(crate) struct Server {
    options: PgConnectOptions,
    /// `host:port/database`, for messages.
    place: String,
}

impl Server {
    /// What a connection names.
    ///
    /// # Errors
    /// `fail` `BadConnection`: it is not of PostgreSQL, has no URL, or one with a password.
    pub(crate) fn of(name: &str, connection: &WarehouseConnection, ctx: &Context) -> Result<Self, TaskError> {
        let bad = |text: &str| TaskError::fail(BAD_CONNECTION.name, format!("connection `{name}`: {text}"));
        match connection.engine {
            Engine::Postgres => {}
            Engine::Lake | Engine::Clickhouse => return Err(bad("`engine: postgres` is needed here")),
        }
        let form = "`url: postgres://USER@HOST:PORT/DATABASE` is needed";
        let url = connection.url.as_deref().ok_or_else(|| bad(form))?;
        // The URL itself is never repeated: who puts a password into it shall not find it in a log.
        let after_scheme = url.strip_prefix("postgres://").or_else(|| url.strip_prefix("postgresql://"));
        let authority = after_scheme.ok_or_else(|| bad(form))?.split(['/', '?']).next().unwrap_or_default();
        if authority.rsplit_once('@').is_some_and(|(user, _)| user.contains(':')) || url.contains("password=") {
            return Err(bad(
                "`url` holds a password, and URLs are shown: write `postgres://USER@HOST:PORT/DATABASE`, and \
                            the password into the field `password`",
            ));
        }
        let mut options = PgConnectOptions::from_str(url).map_err(|_| bad(&format!("`url` does not read; {form}")))?;
        if let Some(password) = &connection.password {
            options = options.password(password.expose());
        }
        let (info, attempt) = (ctx.run(), ctx.attempt());
        // As `pg_stat_activity` shows it; the server cuts it at 63 bytes.
        options = options.application_name(&format!("updraft {} {}", info.workflow, attempt.key));
        let database = options.get_database().unwrap_or_else(|| options.get_username());
        let place = format!("{}:{}/{database}", options.get_host(), options.get_port());
        Ok(Self { options, place })
    }

    /// Where it is: `host:port/database`.
    pub(crate) fn place(&self) -> &str {
        &self.place
    }

    /// Its address as Java's driver writes it, and the user.
    ///
    /// # Errors
    /// `fail` `BadConnection`: it is a socket in the file system, which that driver cannot reach.
    pub(crate) fn jdbc(&self) -> Result<(String, String), TaskError> {
        if self.options.get_socket().is_some() || self.options.get_host().starts_with('/') {
            return Err(TaskError::fail(
                BAD_CONNECTION.name,
                format!("PostgreSQL at {} is reached by a socket, but Java needs `host:port`", self.place),
            ));
        }
        let tls = match self.options.get_ssl_mode() {
            PgSslMode::Disable => "disable",
            PgSslMode::Allow => "allow",
            PgSslMode::Prefer => "prefer",
            PgSslMode::Require => "require",
            PgSslMode::VerifyCa => "verify-ca",
            PgSslMode::VerifyFull => "verify-full",
        };
        Ok((format!("jdbc:postgresql://{}?sslmode={tls}", self.place), self.options.get_username().to_owned()))
    }

    /// A connection of its own, whose statements end when the attempt shall stop.
    ///
    /// # Errors
    /// `retry` `Warehouse`; `fail` `BadConnection`, `Cancelled`.
    pub(crate) async fn connect(&self, ctx: &Context) -> Result<Session, TaskError> {
        let (mut connection, pid) = tokio::select! {
            biased;
            () = ctx.cancelled().cancelled() => return Err(TaskError::cancelled()),
            opened = self.open() => opened?,
        };
        // A server whose client has died ends the query too, instead of finding out when it has rows to send.
        sqlx::query(
            "select set_config(name, '5s', false) from pg_settings where name = 'client_connection_check_interval'",
        )
        .execute(&mut connection)
        .await
        .map_err(|error| self.fault(&error))?;
        Ok(Session { connection, stop: Stop { server: self.clone(), pid, cancelled: ctx.cancelled().clone() } })
    }

    async fn open(&self) -> Result<(PgConnection, i32), TaskError> {
        let opened = async {
            let mut connection = PgConnection::connect_with(&self.options).await?;
            let pid = sqlx::query_scalar("select pg_backend_pid()").fetch_one(&mut connection).await?;
            Ok((connection, pid))
        };
        match tokio::time::timeout(CONNECT, opened).await {
            Ok(opened) => opened.map_err(|error| self.fault(&error)),
            Err(_) => Err(TaskError::retry(
                WAREHOUSE.name,
                format!("PostgreSQL at {} does not answer within {} s", self.place, CONNECT.as_secs()),
            )),
        }
    }

    /// Ends what sessions with this application name do, as dbt's for an attempt; `sessions`: the sessions, too, and waits until
    /// none is left.
    ///
    /// # Errors
    /// `retry` `Warehouse`; `fail` `BadConnection`, `Denied`: only the sessions' own user and a superuser may.
    pub(crate) async fn end_sessions(&self, application: &str, sessions: bool) -> Result<(), TaskError> {
        let (mut connection, _) = self.open().await?;
        let told = if sessions {
            "select count(pg_terminate_backend(pid)) from pg_stat_activity where application_name = $1"
        } else {
            "select count(pg_cancel_backend(pid)) from pg_stat_activity where application_name = $1"
        };
        loop {
            let query = sqlx::query_scalar::<_, i64>(told).bind(application);
            let left = query.fetch_one(&mut connection).await.map_err(|error| self.fault(&error))?;
            if left == 0 || !sessions {
                break;
            }
            tokio::time::sleep(STOP_AGAIN).await;
        }
        let _ = tokio::time::timeout(STOP, connection.close()).await;
        Ok(())
    }

    fn fault(&self, error: &sqlx::Error) -> TaskError {
        fault::plain(error).context(format!("PostgreSQL at {}", self.place))
    }
}

/// A connection. Its fields are apart, so that [`Stop::during`] can watch what the connection does.
pub(crate) struct Session {
    /// The connection.
    pub connection: PgConnection,
    /// What ends its statements.
    pub stop: Stop,
}

impl Session {
    /// Says goodbye; what it did is done, whatever comes of this.
    pub(crate) async fn close(self) {
        let _ = tokio::time::timeout(STOP, self.connection.close()).await;
    }

    /// Runs one statement of ours.
    pub(crate) async fn execute(&mut self, sql: &str) -> Result<u64, TaskError> {
        let Self { connection, stop } = self;
        // Made by this crate: names are quoted, values are not in it.
        let query = sqlx::query(AssertSqlSafe(sql));
        Ok(stop.during("", query.execute(connection)).await?.rows_affected())
    }

    /// Asks for texts.
    pub(crate) async fn texts(&mut self, sql: &str) -> Result<Vec<String>, TaskError> {
        let Self { connection, stop } = self;
        stop.during("", sqlx::query_scalar(AssertSqlSafe(sql)).fetch_all(connection)).await
    }

    /// Asks for one number.
    pub(crate) async fn count(&mut self, sql: &str) -> Result<u64, TaskError> {
        let Self { connection, stop } = self;
        let query = sqlx::query_scalar::<_, i64>(AssertSqlSafe(sql));
        let found = stop.during("", query.fetch_one(connection)).await?;
        Ok(u64::try_from(found).unwrap_or(0))
    }
}

/// Ends a session's statements when the attempt shall stop.
pub(crate) struct Stop {
    server: Server,
    pid: i32,
    cancelled: CancellationToken,
}

impl Stop {
    /// What comes of `work`, in which the session's connection runs a statement. When the attempt shall stop, the server is
    /// told to end it. `sql`: the text that errors point into; empty if nobody wrote it.
    ///
    /// # Errors
    /// `Cancelled`; what [`fault::in_text`] makes of the server's words.
    pub(crate) async fn during<T>(
        &self,
        sql: &str,
        work: impl Future<Output = Result<T, sqlx::Error>>,
    ) -> Result<T, TaskError> {
        let mut work = pin!(work);
        tokio::select! {
            biased;
            () = self.cancelled.cancelled() => {}
            result = &mut work => return result.map_err(|error| fault::in_text(&error, sql)),
        }
        // Whatever the statement came to meanwhile: the transaction is not committed.
        let ended = async {
            tokio::select! {
                _ = &mut work => {}
                () = self.cancel() => {}
            }
        };
        let _ = tokio::time::timeout(STOP, ended).await;
        Err(TaskError::cancelled())
    }

    /// Tells the server to end what the session does, until it is dropped.
    async fn cancel(&self) {
        let Ok((mut connection, _)) = self.server.open().await else { return std::future::pending().await };
        loop {
            let told = sqlx::query("select pg_cancel_backend($1)").bind(self.pid).execute(&mut connection).await;
            if told.is_err() {
                return std::future::pending().await;
            }
            tokio::time::sleep(STOP_AGAIN).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use updraft_task::testing::TestRun;
    use updraft_testkit::postgres::fresh_database;

    use super::testing::{connect, until};
    use super::*;

    #[tokio::test]
    async fn a_statement_whose_client_is_gone_ends_by_itself() {
        let Some(database) = fresh_database().unwrap() else { return };
        let folder = tempfile::tempdir().unwrap();
        let run = TestRun::new(folder.path());
        connect(&run, "warehouse", database.url());
        let context = run.context("sleep", 1, None);
        let server = Server::of("warehouse", &context.connection_named("warehouse").unwrap(), &context).unwrap();
        let mut session = server.connect(&context).await.unwrap();
        let sleeps = "exists (select from pg_stat_activity where datname = current_database() and query = 'select pg_sleep(60)')";
        let sleeper = tokio::spawn(async move { session.execute("select pg_sleep(60)").await });
        until(database.url(), &format!("select {sleeps}")).await;
        // As when the process is killed: nobody says goodbye.
        sleeper.abort();
        until(database.url(), &format!("select not {sleeps}")).await;
    }
}
