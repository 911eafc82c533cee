//! What ClickHouse and the way to it say, as errors of tasks: told apart by the code, never by words.

use clickhouse::error::Error;
use updraft_task::TaskError;

use crate::database::{BAD_CONNECTION, BAD_STATEMENT, DENIED, ROW_REFUSED, WAREHOUSE};

/// Characters of a server's message that are kept: it may quote a whole statement.
const MOST_CHARS: usize = 1_500;

/// `Code: 60. DB::Exception: …`: 60.
fn code_in(text: &str) -> Option<u32> {
    let digits = text.split_once("Code:")?.1.trim_start();
    digits.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// What the client says, as an error.
pub(crate) fn plain(error: &Error) -> TaskError {
    match error {
        Error::BadResponse(text) => of_server(text),
        Error::Network(_)
        | Error::TimedOut
        | Error::NotEnoughData
        | Error::Compression(_)
        | Error::Decompression(_) => {
            TaskError::retry(WAREHOUSE.name, format!("the connection to ClickHouse broke: {}", causes(error)))
        }
        Error::InvalidParams(_) | Error::Unsupported(_) => TaskError::fail(BAD_CONNECTION.name, causes(error)),
        _ => TaskError::fail(BAD_STATEMENT.name, causes(error)),
    }
}

/// An error with what it comes of: hyper keeps the reason in its source.
fn causes(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let said = cause.to_string();
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        source = cause.source();
    }
    text
}

fn of_server(text: &str) -> TaskError {
    let said = described(text);
    let Some(code) = code_in(text) else {
        // Not the server: a proxy before it, or something else on its port.
        return match text.get(..3) {
            Some("401" | "403" | "404") => TaskError::fail(BAD_CONNECTION.name, said),
            Some(_) | None => TaskError::retry(WAREHOUSE.name, said),
        };
    };
    match class_of(code) {
        Class::Passing => TaskError::retry(WAREHOUSE.name, said),
        Class::Setup => TaskError::fail(BAD_CONNECTION.name, said),
        Class::Denied => TaskError::fail(DENIED.name, said),
        Class::Rows => TaskError::fail(ROW_REFUSED.name, said),
        Class::Statement => TaskError::fail(BAD_STATEMENT.name, said),
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

/// By the numbers of the server's `ErrorCodes.cpp`.
fn class_of(code: u32) -> Class {
    match code {
        // UNKNOWN_DATABASE, UNKNOWN_USER, WRONG_PASSWORD, REQUIRED_PASSWORD, AUTHENTICATION_FAILED
        81 | 192 | 193 | 194 | 516 => Class::Setup,
        // READONLY, DATABASE_ACCESS_DENIED, QUERY_IS_PROHIBITED, SETTING_CONSTRAINT_VIOLATION, ACCESS_DENIED
        164 | 291 | 392 | 452 | 497 => Class::Denied,
        // CANNOT_PARSE_*: TEXT 6, QUOTED_STRING 26, INPUT 27, DATE 38, DATETIME 41, NUMBER 72, UUID 376, IPV4 675, IPV6 676;
        // ARGUMENT_OUT_OF_BOUND, CANNOT_CONVERT_TYPE, INCORRECT_DATA, TOO_LARGE_STRING_SIZE, ILLEGAL_DIVISION,
        // VALUE_IS_OUT_OF_RANGE, CANNOT_INSERT_NULL, THROW_IF, DECIMAL_OVERFLOW, VIOLATED_CONSTRAINT, UNKNOWN_ELEMENT_OF_ENUM
        6 | 26 | 27 | 38 | 41 | 72 | 376 | 675 | 676 | 69 | 70 | 117 | 131 | 153 | 321 | 349 | 395 | 407 | 469
        | 691 => Class::Rows,
        // The stream broke: 3, 32, 33. Time: 159, 160. Too much at once: 202, 203, 241, 252, 439, 745. Network and files:
        // 209, 210, 243, 425, 499. Ended or in the way: 236, 341, 394, 473, 517, 735. Replicas: 225, 242, 285, 286, 319, 999.
        // What the server does not name: 1000, 1001, 1002.
        3
        | 32
        | 33
        | 159
        | 160
        | 202
        | 203
        | 241
        | 252
        | 439
        | 745
        | 209
        | 210
        | 243
        | 425
        | 499
        | 236
        | 341
        | 394
        | 473
        | 517
        | 735
        | 225
        | 242
        | 285
        | 286
        | 319
        | 999..=1002 => Class::Passing,
        _ => Class::Statement,
    }
}

/// The message without the version's tail, cut to a length that a log bears.
fn described(text: &str) -> String {
    let text = text.trim().rsplit_once(" (version ").map_or(text.trim(), |(said, _)| said);
    let cut: String = text.chars().take(MOST_CHARS).collect();
    let more = if cut.len() < text.len() { "…" } else { "" };
    format!("{cut}{more}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_say_whether_it_passes() {
        for (text, class) in [
            ("Code: 60. DB::Exception: Unknown table (UNKNOWN_TABLE) (version 26.9.2.1)", "BadSql"),
            ("Code: 241. DB::Exception: Memory limit exceeded", "Warehouse"),
            ("Code: 394. DB::Exception: Query was cancelled", "Warehouse"),
            ("Code: 516. DB::Exception: u: Authentication failed", "BadConnection"),
            ("Code: 497. DB::Exception: Not enough privileges", "Denied"),
            ("Code: 164. DB::Exception: readonly", "Denied"),
            ("Code: 131. DB::Exception: Too large value for FixedString(6)", "RowRefused"),
            ("Code: 1002", "Warehouse"),
            ("503 Service Unavailable", "Warehouse"),
            ("<html>Bad Gateway</html>", "Warehouse"),
            ("404 Not Found", "BadConnection"),
        ] {
            let error = plain(&Error::BadResponse(text.to_owned()));
            assert_eq!(error.class(), class, "{text}");
            assert!(!error.message().contains("version"), "{error}");
        }
        assert_eq!(plain(&Error::TimedOut).class(), "Warehouse");
    }

    #[test]
    fn what_the_server_says_at_length_is_cut() {
        let error = plain(&Error::BadResponse(format!("Code: 62. {}", "é".repeat(5_000))));
        assert!(error.message().chars().count() <= MOST_CHARS + 1 && error.message().ends_with('…'));
    }
}
