//! Values of a workflow bound to a statement's parameters, `$1` and on: never pasted into its text. They travel beside it, as
//! the server's own parameters (`{p1:Int64}`), with the type that the value has.

use std::fmt::Write as _;

use clickhouse::query::Query;
use serde::Serialize;
use serde_json::Value as Json;
use updraft_task::TaskError;

use super::text::{Token, Tokens};
use crate::database::BAD_PARAM;

/// A value with a type of the server.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub(crate) enum Value {
    Bool(bool),
    Int(i64),
    Unsigned(u64),
    Float(f64),
    Text(String),
    /// In UTC, as the server reads it: `2026-01-31 09:00:00.000000000`. An RFC 3339 text it does not compare with a key.
    Instant(String),
    List(Vec<Value>),
}

/// An instant with its offset from UTC (RFC 3339), if a text is one that `DateTime64(9)` holds.
fn instant(text: &str) -> Option<String> {
    let timestamp: jiff::Timestamp = Some(text).filter(|text| text.get(10..11) == Some("T"))?.parse().ok()?;
    i64::try_from(timestamp.as_nanosecond()).ok()?;
    Some(timestamp.strftime("%Y-%m-%d %H:%M:%S.%9f").to_string())
}

impl Value {
    /// `Ok(None)` is null.
    fn of(json: &Json) -> Result<Option<Self>, String> {
        Ok(Some(match json {
            Json::Null => return Ok(None),
            Json::Bool(value) => Self::Bool(*value),
            Json::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
                (Some(value), _, _) => Self::Int(value),
                (None, Some(value), _) => Self::Unsigned(value),
                (None, None, Some(value)) => Self::Float(value),
                (None, None, None) => return Err("a number that ClickHouse does not hold".to_owned()),
            },
            Json::String(value) => instant(value).map_or_else(|| Self::Text(value.clone()), Self::Instant),
            Json::Array(items) => {
                let items = items.iter().map(Self::of).collect::<Result<Option<Vec<_>>, _>>()?;
                let items = items.ok_or("a list with a null in it")?;
                let mut types: Vec<String> = items.iter().map(Self::sql_type).collect();
                types.dedup();
                if types.len() > 1 {
                    return Err(format!("a list of several types ({})", types.join(", ")));
                }
                Self::List(items)
            }
            Json::Object(_) => return Err("an object: pass it as text".to_owned()),
        }))
    }

    fn sql_type(&self) -> String {
        match self {
            Self::Bool(_) => "Bool".to_owned(),
            Self::Int(_) => "Int64".to_owned(),
            Self::Unsigned(_) => "UInt64".to_owned(),
            Self::Float(_) => "Float64".to_owned(),
            Self::Text(_) => "String".to_owned(),
            Self::Instant(_) => "DateTime64(9, 'UTC')".to_owned(),
            Self::List(items) => {
                format!("Array({})", items.first().map_or_else(|| "String".to_owned(), Self::sql_type))
            }
        }
    }
}

/// A statement with the server's parameters in place of `$1`, and their values.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Bound {
    /// The text.
    pub sql: String,
    values: Vec<Option<Value>>,
}

impl Bound {
    /// Brings values to a statement.
    ///
    /// # Errors
    /// `fail` `BadParam`, which does not repeat the value.
    pub(crate) fn new(sql: &str, params: &[Json]) -> Result<Self, TaskError> {
        let bad = |text: String| TaskError::fail(BAD_PARAM.name, text);
        let values = (1..)
            .zip(params)
            .map(|(number, value)| Value::of(value).map_err(|reason| bad(format!("parameter ${number}: {reason}"))))
            .collect::<Result<Vec<_>, _>>()?;
        let mut text = String::with_capacity(sql.len());
        let mut most = 0;
        let mut tokens = Tokens(sql).peekable();
        while let Some(token) = tokens.next() {
            let (Token::Code(part) | Token::Quoted(part) | Token::Comment(part)) = token;
            let mut digits = String::new();
            while let (Token::Code("$"), Some(Token::Code(next))) = (token, tokens.peek()) {
                if !next.starts_with(|c: char| c.is_ascii_digit()) {
                    break;
                }
                digits.push_str(next);
                tokens.next();
            }
            if digits.is_empty() {
                text.push_str(part);
                continue;
            }
            let number: usize = digits.parse().unwrap_or(usize::MAX);
            most = most.max(number);
            match number.checked_sub(1).and_then(|index| values.get(index)) {
                Some(Some(value)) => {
                    // Writing into a `String` does not fail.
                    let _ = write!(text, "{{p{number}:{}}}", value.sql_type());
                }
                Some(None) => text.push_str("NULL"),
                None => {}
            }
        }
        if most != values.len() {
            return Err(bad(format!("the statement has {most} parameter(s), but `params` gives {}", values.len())));
        }
        Ok(Self { sql: text, values })
    }

    /// The values, beside a query of the text.
    pub(super) fn beside(&self, query: Query) -> Query {
        (1..).zip(&self.values).fold(query, |query, (number, value)| match value {
            Some(value) => query.param(&format!("p{number}"), value),
            None => query,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_go_beside_the_text_with_their_types() {
        let params = [
            json!(-1),
            json!(u64::MAX),
            json!("it's $1"),
            json!(null),
            json!([1, 2]),
            json!(0.5),
            json!(true),
            json!([]),
        ];
        let bound = Bound::new("select $1, $2, '$3', $3 -- $9\n, $4, $5, $6, $7, `$8`, $8, $1", &params).unwrap();
        assert_eq!(
            bound.sql,
            "select {p1:Int64}, {p2:UInt64}, '$3', {p3:String} -- $9\n, NULL, {p5:Array(Int64)}, {p6:Float64}, {p7:Bool}, \
             `$8`, {p8:Array(String)}, {p1:Int64}"
        );
        for (sql, params) in [
            ("select $2", vec![json!(1)]),
            ("select 1", vec![json!(1)]),
            ("select $1", vec![]),
            ("select $0", vec![json!(1)]),
            ("select $99999999999999999999", vec![json!(1)]),
            ("select $1", vec![json!([1, "a"])]),
            ("select $1", vec![json!([null])]),
            ("select $1", vec![json!({})]),
        ] {
            assert_eq!(Bound::new(sql, &params).unwrap_err().class(), "BadParam", "{sql}");
        }
    }
    #[test]
    fn a_text_that_is_an_instant_goes_as_one() {
        for (text, found) in [
            ("2026-01-31T09:00:00Z", Some("2026-01-31 09:00:00.000000000")),
            ("2026-01-31T09:00:00.25+02:00", Some("2026-01-31 07:00:00.250000000")),
            ("2026-01-31T09:00:00", None),
            ("2026-01-31", None),
            ("2026-01-31 09:00:00Z", None),
            ("9999-01-31T09:00:00Z", None),
            ("opensky/2026-01-31T09:00:00Z", None),
            ("aaaaaaaaaéT", None),
        ] {
            assert_eq!(instant(text).as_deref(), found, "{text}");
        }
        let bound = Bound::new("select $1, $2", &[json!("2026-01-31T09:00:00Z"), json!("T")]).unwrap();
        assert_eq!(bound.sql, "select {p1:DateTime64(9, 'UTC')}, {p2:String}");
    }
}
