//! Which database and schema: a `postgres://` URL read into connection options, one set of session settings a purpose.
//!
//! The schema is `updraft` unless the URL says `?schema=NAME` (or sets `search_path` in its `options`), so that several
//! installations and tests share one database.

use std::str::FromStr;

use sqlx::ConnectOptions;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use updraft_store::StoreError;

/// Longest name of a schema: the name of its notification channel has a prefix and must stay below 64 bytes.
const SCHEMA_BYTES: usize = 50;

/// Planner settings of the engine's statements (engine.md F24): prepared once, never planned again, and always along an
/// index, also while the tables are empty and not analysed.
const ENGINE: &[(&str, &str)] = &[
    ("plan_cache_mode", "force_generic_plan"),
    ("enable_seqscan", "off"),
    ("enable_bitmapscan", "off"),
    ("enable_hashjoin", "off"),
    ("enable_mergejoin", "off"),
    ("enable_sort", "off"),
    ("jit", "off"),
    ("max_parallel_workers_per_gather", "0"),
    ("default_transaction_isolation", "read committed"),
    ("synchronous_commit", "on"),
    ("statement_timeout", "30s"),
    ("lock_timeout", "2s"),
    ("idle_in_transaction_session_timeout", "15s"),
    ("tcp_keepalives_idle", "30"),
    ("tcp_keepalives_interval", "10"),
    ("tcp_keepalives_count", "3"),
];

/// The heartbeat's session notices a dead peer within 9 s, holds the advisory lock, and need not wait for the disk.
const HEARTBEAT: &[(&str, &str)] = &[
    ("plan_cache_mode", "force_generic_plan"),
    ("enable_seqscan", "off"),
    ("jit", "off"),
    ("default_transaction_isolation", "read committed"),
    ("synchronous_commit", "off"),
    ("statement_timeout", "10s"),
    ("lock_timeout", "5s"),
    ("idle_session_timeout", "0"),
    ("tcp_keepalives_idle", "3"),
    ("tcp_keepalives_interval", "2"),
    ("tcp_keepalives_count", "3"),
    ("tcp_user_timeout", "9000"),
];

/// Readers ask with filters that are often absent: their plans are made for the values given.
const READER: &[(&str, &str)] = &[
    ("plan_cache_mode", "force_custom_plan"),
    ("jit", "off"),
    ("default_transaction_isolation", "read committed"),
    ("statement_timeout", "10s"),
    ("idle_in_transaction_session_timeout", "15s"),
];

/// Accounts: short statements with filters that are often absent, and commits that must last.
const ACCOUNTS: &[(&str, &str)] = &[
    ("plan_cache_mode", "force_custom_plan"),
    ("jit", "off"),
    ("default_transaction_isolation", "read committed"),
    ("synchronous_commit", "on"),
    ("statement_timeout", "10s"),
    ("lock_timeout", "5s"),
    ("idle_in_transaction_session_timeout", "15s"),
];

/// Logs are written in large pieces by key, and removed in the background.
const LOGS: &[(&str, &str)] = &[
    ("plan_cache_mode", "force_generic_plan"),
    ("enable_seqscan", "off"),
    ("jit", "off"),
    ("default_transaction_isolation", "read committed"),
    ("synchronous_commit", "on"),
    ("statement_timeout", "30s"),
    ("lock_timeout", "5s"),
    ("idle_in_transaction_session_timeout", "15s"),
];

/// Sends and receives notifications; what it sends may be lost with the server.
const WAKE: &[(&str, &str)] = &[
    ("synchronous_commit", "off"),
    ("idle_session_timeout", "0"),
    ("tcp_keepalives_idle", "10"),
    ("tcp_keepalives_interval", "5"),
    ("tcp_keepalives_count", "3"),
];

/// Migrations wait for each other and may take their time.
const MIGRATION: &[(&str, &str)] = &[("lock_timeout", "120s"), ("statement_timeout", "0")];

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    /// Commits, lanes, claims, loads.
    Engine,
    /// One worker's lease and lock.
    Heartbeat,
    /// History.
    Reader,
    /// Users, sessions, tokens, audit, connections.
    Accounts,
    /// Attempts' logs.
    Logs,
    /// Notifications.
    Wake,
    /// Migrations.
    Migration,
}

impl Use {
    fn settings(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Engine => ENGINE,
            Self::Heartbeat => HEARTBEAT,
            Self::Reader => READER,
            Self::Accounts => ACCOUNTS,
            Self::Logs => LOGS,
            Self::Wake => WAKE,
            Self::Migration => MIGRATION,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Engine => "engine",
            Self::Heartbeat => "heartbeat",
            Self::Reader => "reader",
            Self::Accounts => "accounts",
            Self::Logs => "logs",
            Self::Wake => "wake",
            Self::Migration => "migration",
        }
    }
}

/// A database and the schema in it that holds one installation.
#[derive(Clone)]
pub(crate) struct Target {
    options: PgConnectOptions,
    schema: String,
}

impl Target {
    /// Reads a URL. Its text is never repeated in errors: it may hold a password.
    pub(crate) fn parse(url: &str) -> Result<Self, StoreError> {
        let (base, query) = url.split_once('?').unwrap_or((url, ""));
        let mut schema = None;
        let mut kept = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            match (key, search_path(value)) {
                ("schema" | "options[search_path]" | "options%5Bsearch_path%5D", _) => schema = Some(value.to_owned()),
                ("options", Some((path, rest))) => {
                    schema = Some(path);
                    if !rest.is_empty() {
                        kept.push(format!("options={rest}"));
                    }
                }
                _ => kept.push(pair.to_owned()),
            }
        }
        let url = if kept.is_empty() { base.to_owned() } else { format!("{base}?{}", kept.join("&")) };
        let options = PgConnectOptions::from_str(&url).map_err(|error| {
            StoreError::Other(format!(
                "the store's URL cannot be read ({error}): write postgres://USER:PASSWORD@HOST:PORT/DATABASE?schema=NAME"
            ))
        })?;
        let schema = schema.unwrap_or_else(|| "updraft".to_owned());
        if !is_plain_name(&schema) {
            return Err(StoreError::Other(format!(
                "`{schema}` cannot be the store's schema: take lower-case letters, digits and `_`, not beginning with a \
                 digit or `pg_`, at most {SCHEMA_BYTES} characters"
            )));
        }
        Ok(Self { options, schema })
    }

    pub(crate) fn schema(&self) -> &str {
        &self.schema
    }

    /// The channel of this installation's wake-ups.
    pub(crate) fn channel(&self) -> String {
        format!("updraft:{}", self.schema)
    }

    /// Host, port and database, for messages.
    pub(crate) fn place(&self) -> String {
        let host = self.options.get_socket().map_or_else(
            || format!("{}:{}", self.options.get_host(), self.options.get_port()),
            |socket| socket.display().to_string(),
        );
        format!("{host}/{} (schema {})", self.options.get_database().unwrap_or_default(), self.schema)
    }

    /// Whether the server is reached through a unix socket or on a loopback address: nobody is in between.
    pub(crate) fn is_here(&self) -> bool {
        let host = self.options.get_host();
        let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
        self.options.get_socket().is_some()
            || host.starts_with('/')
            || host.eq_ignore_ascii_case("localhost")
            || address.is_ok_and(|address| address.to_canonical().is_loopback())
    }

    /// Its `sslmode`, as a URL spells it.
    pub(crate) fn ssl_mode(&self) -> &'static str {
        match self.options.get_ssl_mode() {
            PgSslMode::Disable => "disable",
            PgSslMode::Allow => "allow",
            PgSslMode::Prefer => "prefer",
            PgSslMode::Require => "require",
            PgSslMode::VerifyCa => "verify-ca",
            PgSslMode::VerifyFull => "verify-full",
        }
    }

    /// How to connect for a purpose.
    pub(crate) fn options(&self, purpose: Use) -> PgConnectOptions {
        self.options
            .clone()
            .application_name(&format!("updraft {}", purpose.name()))
            .options([("search_path", self.schema.as_str())])
            .options(purpose.settings().iter().copied())
            .statement_cache_capacity(64)
            .disable_statement_logging()
    }
}

/// `-c search_path=NAME` out of an `options` value, percent-encoded or not, with what remains.
fn search_path(value: &str) -> Option<(String, String)> {
    let plain = value.replace("%20", " ").replace('+', " ").replace("%3D", "=").replace("%3d", "=");
    let start = plain.find("-c search_path=")?;
    let path = plain[start + "-c search_path=".len()..].split(' ').next()?.to_owned();
    let rest = plain.replacen(&format!("-c search_path={path}"), "", 1);
    Some((path, rest.trim().replace(' ', "%20").replace('=', "%3D")))
}

fn is_plain_name(name: &str) -> bool {
    let mut letters = name.bytes();
    letters.next().is_some_and(|first| first.is_ascii_lowercase() || first == b'_')
        && letters.all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == b'_')
        && name.len() <= SCHEMA_BYTES
        && !name.starts_with("pg_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_comes_from_the_url_in_three_spellings() {
        for (url, schema) in [
            ("postgres://u@h/db", "updraft"),
            ("postgres://u@h/db?schema=team_a", "team_a"),
            ("postgres://u@h/db?sslmode=disable&schema=team_a", "team_a"),
            ("postgres://u@h/db?options[search_path]=team_a", "team_a"),
            ("postgres://u@h/db?sslmode=disable&options=-c%20search_path%3Dteam_a", "team_a"),
        ] {
            let target = Target::parse(url).unwrap();
            assert_eq!(target.schema(), schema, "{url}");
            let options = target.options(Use::Engine);
            let options = options.get_options().unwrap();
            assert_eq!(options.matches("search_path").count(), 1, "{options}");
        }
    }

    #[test]
    fn a_schema_that_would_need_quoting_is_refused_with_the_rule() {
        for name in ["Team", "1st", "a-b", "pg_mine", "a b", "", &"x".repeat(51)] {
            let Err(error) = Target::parse(&format!("postgres://u@h/db?schema={name}")) else {
                panic!("`{name}` was accepted");
            };
            assert!(error.to_string().contains("lower-case"), "{error}");
        }
    }

    #[test]
    fn a_server_is_here_or_elsewhere_and_its_mode_is_told_as_it_was_written() {
        for (url, here, mode) in [
            ("postgres://u@localhost/db", true, "prefer"),
            ("postgres://u@127.0.0.1/db?sslmode=disable", true, "disable"),
            ("postgres://u@[::1]/db", true, "prefer"),
            ("postgres://u@%2Fvar%2Frun%2Fpostgresql/db", true, "prefer"),
            ("postgres:///db?host=/var/run/postgresql", true, "prefer"),
            ("postgres://u@db.example.org/db?sslmode=verify-full", false, "verify-full"),
            ("postgres://u@10.0.0.5/db?sslmode=require", false, "require"),
        ] {
            let target = Target::parse(url).unwrap();
            assert_eq!((target.is_here(), target.ssl_mode()), (here, mode), "{url}");
        }
    }

    #[test]
    fn errors_do_not_repeat_the_password() {
        let Err(error) = Target::parse("postgres://u:hunter2@h:notaport/db") else { panic!("accepted") };
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
}
