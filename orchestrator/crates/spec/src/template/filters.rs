//! Our own filters: how a value is written into JSON, SQL and shells without changing what it means.

use minijinja::value::ValueKind;
use minijinja::{Environment, Error, ErrorKind, Value};

/// Adds all of them.
pub(super) fn add_to(env: &mut Environment<'_>) {
    env.add_filter("tojson", to_json);
    env.add_filter("sql_literal", sql_literal);
    env.add_filter("sql_ident", sql_ident);
    env.add_filter("shell_quote", shell_quote);
}

fn refuse(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidOperation, message.into())
}

/// Plain JSON: minijinja's own filter escapes `<`, `>` and `&` for HTML.
#[expect(clippy::needless_pass_by_value, reason = "the engine hands values over")]
fn to_json(value: Value) -> Result<String, Error> {
    if value.is_undefined() {
        return Err(ErrorKind::UndefinedError.into());
    }
    serde_json::to_string(&value).map_err(|error| refuse(format!("not data: {error}")))
}

/// A literal of standard SQL; a list becomes a parenthesised list for `IN`.
#[expect(clippy::needless_pass_by_value, reason = "the engine hands values over")]
fn sql_literal(value: Value) -> Result<String, Error> {
    match value.kind() {
        ValueKind::Seq => {
            let items = value.try_iter()?.map(|item| sql_scalar(&item)).collect::<Result<Vec<_>, _>>()?;
            if items.is_empty() {
                return Err(refuse("an empty list is no SQL: `IN ()` does not parse"));
            }
            Ok(format!("({})", items.join(", ")))
        }
        _ => sql_scalar(&value),
    }
}

fn sql_scalar(value: &Value) -> Result<String, Error> {
    match value.kind() {
        ValueKind::None => Ok("NULL".to_owned()),
        ValueKind::Bool => Ok(if value.is_true() { "TRUE" } else { "FALSE" }.to_owned()),
        ValueKind::Number => {
            let finite = f64::try_from(value.clone()).map_or(true, f64::is_finite);
            if finite { Ok(value.to_string()) } else { Err(refuse(format!("{value} is no SQL number"))) }
        }
        ValueKind::String => {
            let text = value.as_str().unwrap_or_default();
            if text.contains('\0') {
                return Err(refuse("a NUL character cannot stand in SQL"));
            }
            Ok(format!("'{}'", text.replace('\'', "''")))
        }
        ValueKind::Undefined => Err(ErrorKind::UndefinedError.into()),
        other => Err(refuse(format!("a {other} is no SQL literal"))),
    }
}

/// A quoted identifier of standard SQL.
#[expect(clippy::needless_pass_by_value, reason = "the engine hands values over")]
fn sql_ident(value: Value) -> Result<String, Error> {
    match value.as_str() {
        Some("") => Err(refuse("an SQL identifier cannot be empty")),
        Some(text) if text.contains('\0') => Err(refuse("a NUL character cannot stand in SQL")),
        Some(text) => Ok(format!("\"{}\"", text.replace('"', "\"\""))),
        None => Err(refuse(format!("a {} is no SQL identifier", value.kind()))),
    }
}

/// One word of a POSIX shell.
#[expect(clippy::needless_pass_by_value, reason = "the engine hands values over")]
fn shell_quote(value: Value) -> Result<String, Error> {
    let text = match value.kind() {
        ValueKind::String => value.as_str().unwrap_or_default().to_owned(),
        ValueKind::Number => value.to_string(),
        ValueKind::Bool => value.is_true().to_string(),
        ValueKind::Undefined => return Err(ErrorKind::UndefinedError.into()),
        other => return Err(refuse(format!("a {other} is not one word of a shell"))),
    };
    if text.contains('\0') {
        return Err(refuse("a NUL character cannot stand in a shell's word"));
    }
    let harmless = |c: char| c.is_ascii_alphanumeric() || "@%+=:,./-_".contains(c);
    if !text.is_empty() && text.chars().all(harmless) {
        Ok(text)
    } else {
        Ok(format!("'{}'", text.replace('\'', r"'\''")))
    }
}
