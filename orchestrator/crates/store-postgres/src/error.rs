//! PostgreSQL's and sqlx's errors in the words of the store. Told apart by SQLSTATE, never by text.

use sqlx::postgres::PgDatabaseError;
use updraft_store::StoreError;

/// The SQLSTATE, if the server said something.
pub(crate) fn sqlstate(error: &sqlx::Error) -> Option<String> {
    error.as_database_error()?.code().map(std::borrow::Cow::into_owned)
}

/// A read failed, or a write that surely did not happen.
pub(crate) fn plain(error: &sqlx::Error) -> StoreError {
    match sqlstate(error) {
        Some(code) => of_server(&code, describe(error)),
        None => of_client(error),
    }
}

/// A statement that commits failed. If the connection broke, nobody knows whether it was applied.
pub(crate) fn of_commit(error: &sqlx::Error) -> StoreError {
    match plain(error) {
        StoreError::Unavailable(text) => StoreError::UnknownOutcome(text),
        other => other,
    }
}

/// Whether the connection is as good as before: the server refused one statement outside a transaction and goes on.
pub(crate) fn leaves_connection_usable(error: &sqlx::Error) -> bool {
    match sqlstate(error) {
        Some(code) => !matches!(code.get(..2), Some("08" | "57" | "58" | "XX" | "25")) || code == "57014",
        None => matches!(error, sqlx::Error::RowNotFound | sqlx::Error::ColumnDecode { .. }),
    }
}

/// A row that was to be written exists under this constraint.
pub(crate) fn is_duplicate_of(error: &sqlx::Error, constraints: &[&str]) -> bool {
    sqlstate(error).as_deref() == Some("23505")
        && error
            .as_database_error()
            .and_then(sqlx::error::DatabaseError::constraint)
            .is_some_and(|name| constraints.contains(&name))
}

fn of_server(code: &str, text: String) -> StoreError {
    match code {
        // The server ended the statement, not the data: statement, lock or idle time-out.
        "57014" | "40001" | "40P01" | "55P03" => StoreError::Conflict(text),
        "53100" => StoreError::Full(text),
        "25006" => StoreError::ReadOnly(text),
        "42P01" | "42703" | "3F000" => StoreError::Schema(format!(
            "the tables of this store are missing or older than this build ({text}): run `updraft migrate`"
        )),
        _ => match code.get(..2) {
            // Too many connections, out of memory: nothing happened, and it passes.
            Some("08" | "53" | "57") => StoreError::Unavailable(text),
            // 40003: completion unknown. The caller of a commit turns it into an unknown outcome.
            Some("40") => StoreError::Unavailable(text),
            // A session ended while it was idle in a transaction.
            Some("25") => StoreError::Unavailable(text),
            Some("3D" | "28") => StoreError::Unavailable(text),
            Some("21" | "22" | "23" | "54") => StoreError::Rejected(text),
            _ => StoreError::Other(text),
        },
    }
}

fn of_client(error: &sqlx::Error) -> StoreError {
    let text = error.to_string();
    match error {
        sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::Protocol(_) | sqlx::Error::PoolClosed => {
            StoreError::Unavailable(text)
        }
        sqlx::Error::Encode(_) => StoreError::Rejected(text),
        other => StoreError::Other(other.to_string()),
    }
}

/// Message, table, constraint and code. Never the server's `detail`, which quotes the row.
fn describe(error: &sqlx::Error) -> String {
    let Some(found) = error.as_database_error().and_then(|found| found.try_downcast_ref::<PgDatabaseError>()) else {
        return error.to_string();
    };
    let mut text = found.message().to_owned();
    if let Some(table) = found.table()
        && !text.contains(table)
    {
        text = format!("{text} in table {table}");
    }
    format!("{text} (SQLSTATE {})", found.code())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_class_of_sqlstate_asks_for_its_own_reaction() {
        for (code, expected) in [
            ("08006", "Unavailable"),
            ("57P01", "Unavailable"),
            ("57P03", "Unavailable"),
            ("53300", "Unavailable"),
            ("40001", "Conflict"),
            ("40P01", "Conflict"),
            ("55P03", "Conflict"),
            ("57014", "Conflict"),
            ("22021", "Rejected"),
            ("22P05", "Rejected"),
            ("23514", "Rejected"),
            ("54000", "Rejected"),
            ("53100", "Full"),
            ("25006", "ReadOnly"),
            ("42P01", "Schema"),
            ("42501", "Other"),
            ("XX000", "Other"),
        ] {
            let found = format!("{:?}", of_server(code, "text".to_owned()));
            assert!(found.starts_with(expected), "{code} became {found}");
        }
    }

    #[test]
    fn a_connection_that_breaks_under_a_commit_leaves_its_outcome_unknown() {
        let broken = sqlx::Error::Io(std::io::Error::from(std::io::ErrorKind::UnexpectedEof));
        assert!(matches!(plain(&broken), StoreError::Unavailable(_)));
        assert!(matches!(of_commit(&broken), StoreError::UnknownOutcome(_)));
        assert!(!leaves_connection_usable(&broken));
    }
}
