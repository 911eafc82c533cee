//! Values of a workflow bound to a statement's parameters, `$1` and on: never pasted into its text. The server says which type
//! each parameter has, and reads the value as that type.

use serde_json::Value as Json;
use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::types::Oid;
use sqlx::postgres::{PgArgumentBuffer, PgArguments, PgTypeInfo};
use sqlx::{
    Arguments as _, AssertSqlSafe, Either, Encode, Executor as _, Postgres, Row as _, SqlSafeStr as _, Statement as _,
};
use updraft_task::TaskError;

use super::Session;
use crate::database::BAD_PARAM;

/// A value in the server's binary form.
pub(crate) struct Value {
    info: PgTypeInfo,
    bytes: Option<Vec<u8>>,
}

impl sqlx::Type<Postgres> for Value {
    fn type_info() -> PgTypeInfo {
        // Never asked for: each value says its own.
        PgTypeInfo::with_name("text")
    }
}

impl Encode<'_, Postgres> for Value {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        let Some(bytes) = &self.bytes else { return Ok(IsNull::Yes) };
        buffer.extend_from_slice(bytes);
        Ok(IsNull::No)
    }

    fn produces(&self) -> Option<PgTypeInfo> {
        Some(self.info.clone())
    }
}

/// Prepares a statement and brings values into the types of its parameters. `sql` is what an author wrote; it is one
/// statement, or the server refuses it.
///
/// # Errors
/// `fail` `BadParam`, which does not repeat the value; as the server's errors.
pub(crate) async fn bind(session: &mut Session, sql: &str, values: &[Json]) -> Result<PgArguments, TaskError> {
    let Session { connection, stop } = session;
    let text = AssertSqlSafe(sql.to_owned()).into_sql_str();
    let statement = stop.during(sql, (&mut *connection).prepare(text)).await?;
    let infos: Vec<PgTypeInfo> = match statement.parameters() {
        Some(Either::Left(infos)) => infos.to_vec(),
        Some(Either::Right(_)) | None => Vec::new(),
    };
    if infos.len() != values.len() {
        return Err(bad(format!(
            "the statement has {} parameter(s), but `params` gives {}",
            infos.len(),
            values.len()
        )));
    }
    let mut arguments = PgArguments::default();
    if infos.is_empty() {
        return Ok(arguments);
    }
    let oids: Vec<Oid> = infos.iter().filter_map(PgTypeInfo::oid).collect();
    // With the modifier -1 a type is written so that a cast to it cuts nothing off.
    let types: Vec<String> = stop
        .during(
            "",
            sqlx::query_scalar("select format_type(o, -1) from unnest($1::oid[]) with ordinality t(o, n) order by n")
                .bind(oids)
                .fetch_all(&mut *connection),
        )
        .await?;
    for (index, ((info, value), sql_type)) in infos.into_iter().zip(values).zip(&types).enumerate() {
        let bytes = match written(value, sql_type) {
            Ok(None) => None,
            Ok(Some(text)) => {
                let cast = format!("select cast($1::text as {sql_type})");
                let row = stop
                    .during("", sqlx::query(AssertSqlSafe(cast)).bind(text).fetch_one(&mut *connection))
                    .await
                    .map_err(|error| match error.class() {
                        "RowRefused" => does_not_read(index, sql_type),
                        _ => error,
                    })?;
                let raw = row.try_get_raw(0).ok().and_then(|raw| raw.as_bytes().ok().map(<[u8]>::to_vec));
                Some(raw.ok_or_else(|| does_not_read(index, sql_type))?)
            }
            Err(reason) => return Err(bad(format!("parameter ${}: {reason}", index + 1))),
        };
        arguments
            .add(Value { info, bytes })
            .map_err(|error| bad(format!("parameter ${} cannot be sent: {error}", index + 1)))?;
    }
    Ok(arguments)
}

fn does_not_read(index: usize, sql_type: &str) -> TaskError {
    bad(format!("parameter ${} does not read as {sql_type}, which the statement makes of it", index + 1))
}

fn bad(text: String) -> TaskError {
    TaskError::fail(BAD_PARAM.name, text)
}

/// A value as the server's input function of a type reads it; `None` is null.
fn written(value: &Json, sql_type: &str) -> Result<Option<String>, String> {
    if matches!(sql_type, "json" | "jsonb") {
        return Ok(if value.is_null() { None } else { Some(value.to_string()) });
    }
    match value {
        Json::Null => Ok(None),
        Json::Bool(value) => Ok(Some(value.to_string())),
        Json::Number(value) => Ok(Some(value.to_string())),
        Json::String(value) => Ok(Some(value.clone())),
        Json::Array(items) => match sql_type.strip_suffix("[]") {
            Some(element) => array(items, element).map(Some),
            None => Err(format!("a list was given, but the statement makes {sql_type} of it")),
        },
        Json::Object(_) => Err(format!("an object was given, but the statement makes {sql_type} of it: cast to jsonb")),
    }
}

fn array(items: &[Json], element: &str) -> Result<String, String> {
    let mut text = String::from("{");
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        match item {
            // Arrays of several dimensions have the type of one.
            Json::Array(inner) if !matches!(element, "json" | "jsonb") => text.push_str(&array(inner, element)?),
            item => match written(item, element)? {
                None => text.push_str("NULL"),
                Some(word) => {
                    text.push('"');
                    text.extend(word.chars().flat_map(|c| {
                        let escape = matches!(c, '"' | '\\').then_some('\\');
                        escape.into_iter().chain([c])
                    }));
                    text.push('"');
                }
            },
        }
    }
    text.push('}');
    Ok(text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_written_for_their_type() {
        for (value, sql_type, expected) in [
            (json!(null), "jsonb", None),
            (json!("x"), "jsonb", Some("\"x\"")),
            (json!("x"), "text", Some("x")),
            (json!(1.5), "numeric", Some("1.5")),
            (json!(true), "boolean", Some("true")),
            (json!(["a\"b\\", null, 1]), "text[]", Some(r#"{"a\"b\\",NULL,"1"}"#)),
            (json!([[1, 2], [3, 4]]), "integer[]", Some(r#"{{"1","2"},{"3","4"}}"#)),
            (json!({"a": 1}), "jsonb", Some("{\"a\":1}")),
        ] {
            assert_eq!(written(&value, sql_type).unwrap().as_deref(), expected, "{value}");
        }
        assert!(written(&json!([1]), "integer").is_err());
        assert!(written(&json!({}), "text").is_err());
    }
}
