//! What PostgreSQL and the way to it say, as errors of tasks: told apart by SQLSTATE, never by words.

use sqlx::postgres::{PgDatabaseError, PgErrorPosition};
use updraft_task::TaskError;

use super::text::line_at;
use crate::database::{BAD_CONNECTION, BAD_STATEMENT, DENIED, ROW_REFUSED, WAREHOUSE};

/// The SQLSTATE, if the server said something.
pub(crate) fn sqlstate(error: &sqlx::Error) -> Option<String> {
    error.as_database_error()?.code().map(std::borrow::Cow::into_owned)
}

/// An error without a text of ours that it could point into.
pub(crate) fn plain(error: &sqlx::Error) -> TaskError {
    in_text(error, "")
}

/// An error of a statement that somebody wrote: with the line.
pub(crate) fn in_text(error: &sqlx::Error, sql: &str) -> TaskError {
    let Some(found) = error.as_database_error().and_then(|found| found.try_downcast_ref::<PgDatabaseError>()) else {
        return of_client(error);
    };
    let text = described(found, sql);
    match class_of(found.code()) {
        Class::Passing => TaskError::retry(WAREHOUSE.name, text),
        Class::Setup => TaskError::fail(BAD_CONNECTION.name, text),
        Class::Denied => TaskError::fail(DENIED.name, text),
        Class::Rows => TaskError::fail(ROW_REFUSED.name, text),
        Class::Statement => TaskError::fail(BAD_STATEMENT.name, text),
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Class {
    Passing,
    Setup,
    Denied,
    Rows,
    Statement,
}

fn class_of(code: &str) -> Class {
    match code {
        "42501" => Class::Denied,
        // A lock was not to be had; a deadlock, or rows changed under a serializable transaction, are class 40.
        "55P03" => Class::Passing,
        _ => match code.get(..2) {
            Some("08" | "40" | "53" | "57" | "58" | "XX") => Class::Passing,
            Some("28" | "3D") => Class::Setup,
            Some("21" | "22" | "23" | "44") => Class::Rows,
            Some(_) | None => Class::Statement,
        },
    }
}

/// Place, message, hint and code. Never the server's `detail`, which quotes the row.
fn described(found: &PgDatabaseError, sql: &str) -> String {
    let mut text = String::new();
    if let Some(PgErrorPosition::Original(position)) = found.position()
        && !sql.is_empty()
    {
        text = format!("line {}: ", line_at(sql, position));
    }
    text.push_str(found.message());
    for more in [found.r#where().and_then(place), found.hint()].into_iter().flatten() {
        text.push_str(". ");
        text.push_str(more);
    }
    format!("{text} (PostgreSQL {})", found.code())
}

/// Of where a COPY stood: the line and column, which no message repeats. A function's call stack is left out.
fn place(at: &str) -> Option<&str> {
    at.lines().next().filter(|line| line.starts_with("COPY "))
}

fn of_client(error: &sqlx::Error) -> TaskError {
    let text = error.to_string();
    match error {
        sqlx::Error::Io(_) | sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed => {
            TaskError::retry(WAREHOUSE.name, format!("the connection to PostgreSQL broke: {text}"))
        }
        sqlx::Error::Tls(_) | sqlx::Error::Configuration(_) => TaskError::fail(BAD_CONNECTION.name, text),
        _ => TaskError::fail(BAD_STATEMENT.name, text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_say_whether_it_passes() {
        for (code, class) in [
            ("08006", Class::Passing),
            ("57P01", Class::Passing),
            ("57P03", Class::Passing),
            ("57014", Class::Passing),
            ("53100", Class::Passing),
            ("40P01", Class::Passing),
            ("55P03", Class::Passing),
            ("28P01", Class::Setup),
            ("3D000", Class::Setup),
            ("42501", Class::Denied),
            ("22P02", Class::Rows),
            ("23514", Class::Rows),
            ("42P01", Class::Statement),
            ("25001", Class::Statement),
            ("P0001", Class::Statement),
        ] {
            assert_eq!(class_of(code), class, "{code}");
        }
    }

    #[test]
    fn a_broken_connection_is_worth_another_try() {
        let broken = sqlx::Error::Io(std::io::Error::from(std::io::ErrorKind::ConnectionReset));
        assert_eq!(plain(&broken).class(), "Warehouse");
        assert_eq!(plain(&sqlx::Error::RowNotFound).class(), "BadSql");
    }
}
