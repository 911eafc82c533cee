//! What becomes of a record's value: a row of typed columns, or a reason why not.

use std::str::FromStr as _;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, StringArray};
use datafusion::arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};
use datafusion::arrow::json::ReaderBuilder;
use datafusion::arrow::json::reader::Decoder;
use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::IgnoredAny;
use updraft_task::TaskError;

/// The column that holds the value's text where no columns are named.
const VALUE: &str = "_value";

/// A column to be read from the values.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ColumnSpec {
    /// Name of the field in the JSON object, and of the column.
    pub name: String,
    /// Type in Arrow's words, as datasets name them: `Utf8`, `Int64`, `Float64`, `Boolean`, `Timestamp(ms, "UTC")`, …
    #[serde(rename = "type")]
    pub data_type: String,
    /// Whether it may be null or missing.
    #[serde(default = "yes")]
    pub nullable: bool,
}

const fn yes() -> bool {
    true
}

/// How values are read.
pub(super) struct Columns {
    fields: Fields,
    /// `None`: values are kept as text.
    schema: Option<SchemaRef>,
}

impl Columns {
    /// `reserved`: names of the columns that every row has.
    pub(super) fn of(specs: &[ColumnSpec], reserved: &[&str]) -> Result<Self, TaskError> {
        if specs.is_empty() {
            return Ok(Self { fields: vec![Field::new(VALUE, DataType::Utf8, false)].into(), schema: None });
        }
        let bad = |text: String| TaskError::fail("BadParameters", text);
        let mut fields: Vec<Field> = Vec::new();
        for ColumnSpec { name, data_type, nullable } in specs {
            if name.is_empty() || reserved.contains(&name.as_str()) || fields.iter().any(|field| field.name() == name) {
                return Err(bad(format!(
                    "`columns`: the name `{name}` is empty, twice there, or one of those that every row has ({})",
                    reserved.join(", ")
                )));
            }
            let parsed = DataType::from_str(data_type).map_err(|error| {
                bad(format!(
                    "`columns`: `{name}` has the type `{data_type}`, which is none: {error}. Write it as datasets name types: \
                     Utf8, Int64, Float64, Boolean, Date32, Timestamp(ms, \"UTC\")"
                ))
            })?;
            let field = Field::new(name, parsed, *nullable);
            let alone = Arc::new(Schema::new(vec![field.clone()]));
            ReaderBuilder::new(alone)
                .build_decoder()
                .map_err(|error| bad(format!("`columns`: `{name}` ({data_type}) cannot be read from JSON: {error}")))?;
            fields.push(field);
        }
        let schema = Arc::new(Schema::new(fields));
        Ok(Self { fields: schema.fields().clone(), schema: Some(schema) })
    }

    pub(super) fn fields(&self) -> &Fields {
        &self.fields
    }

    /// Why a value cannot be a row, as far as its form tells.
    pub(super) fn refuse(&self, value: &[u8]) -> Option<(&'static str, String)> {
        if self.schema.is_none() {
            return std::str::from_utf8(value).err().map(|error| ("utf8", format!("the value is not UTF-8: {error}")));
        }
        // A part of an object, or two of them, would mix with other records' in the decoder.
        if let Err(error) = serde_json::from_slice::<IgnoredAny>(value) {
            return Some(("json", format!("the value is not JSON: {error}")));
        }
        (value.trim_ascii_start().first() != Some(&b'{'))
            .then(|| ("json", "the value is JSON, but not an object".to_owned()))
    }

    /// The columns of these values, none of which [`Self::refuse`] refuses; `Err`: at least one of them does not fit.
    pub(super) fn decode<'a>(&self, values: impl Iterator<Item = &'a [u8]>) -> Result<Vec<ArrayRef>, String> {
        let Some(schema) = &self.schema else {
            let texts: StringArray = values.map(|value| std::str::from_utf8(value).ok()).collect();
            return Ok(vec![Arc::new(texts)]);
        };
        let values: Vec<&[u8]> = values.collect();
        let mut decoder: Decoder = ReaderBuilder::new(Arc::clone(schema))
            .with_batch_size(values.len())
            .build_decoder()
            .map_err(|error| error.to_string())?;
        for value in &values {
            let used = decoder.decode(value).map_err(|error| error.to_string())?;
            if used != value.len() {
                return Err("the value is more than one object".to_owned());
            }
        }
        let batch = decoder.flush().map_err(|error| error.to_string())?.ok_or("there is no row in it")?;
        if batch.num_rows() != values.len() {
            return Err(format!("{} rows came out of {} values", batch.num_rows(), values.len()));
        }
        Ok(batch.columns().to_vec())
    }
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::{Array, TimestampMillisecondArray};
    use serde_json::json;

    use super::*;

    fn columns(specs: serde_json::Value) -> Result<Columns, TaskError> {
        Columns::of(&serde_json::from_value::<Vec<ColumnSpec>>(specs).unwrap(), &["_offset"])
    }

    #[test]
    fn values_become_typed_columns_or_a_reason() {
        let columns = columns(json!([
            { "name": "icao24", "type": "Utf8", "nullable": false },
            { "name": "velocity_mps", "type": "Float64" },
            { "name": "at", "type": "Timestamp(ms, \"UTC\")" },
        ]))
        .unwrap();
        let good = [
            r#"{"icao24":"a","velocity_mps":1.5,"at":"2026-01-01T00:00:00.123Z","more":[1]}"#,
            " {\"icao24\":\"b\",\n\"velocity_mps\":null} ",
        ];
        assert!(good.iter().all(|value| columns.refuse(value.as_bytes()).is_none()));
        let decoded = columns.decode(good.iter().map(|value| value.as_bytes())).unwrap();
        let instants = TimestampMillisecondArray::from(vec![Some(1_767_225_600_123), None]).with_timezone("UTC");
        assert_eq!(decoded[2].as_ref(), &instants as &dyn Array);
        for form in ["", " ", "{", r#"{"a":1}{"a":2}"#, "[1]", "5", "null", "{'a':1}", "\u{feff}{}"] {
            assert_eq!(columns.refuse(form.as_bytes()).expect(form).0, "json", "{form}");
        }
        for (value, part) in [
            (r#"{"velocity_mps":1.5}"#, "null"),
            (r#"{"icao24":null}"#, "null"),
            (r#"{"icao24":"a","velocity_mps":"fast"}"#, "fast"),
            (r#"{"icao24":"a","at":"noon"}"#, "noon"),
            (r#"{"icao24":{"a":1}}"#, "string"),
        ] {
            assert!(columns.refuse(value.as_bytes()).is_none());
            let reason = columns.decode([value.as_bytes()].into_iter()).unwrap_err();
            assert!(reason.contains(part), "{value}: {reason}");
        }
    }

    #[test]
    fn columns_have_known_types_and_names_of_their_own() {
        for (specs, part) in [
            (json!([{ "name": "a", "type": "text" }]), "Utf8, Int64"),
            (json!([{ "name": "_offset", "type": "Int64" }]), "every row has"),
            (json!([{ "name": "a", "type": "Utf8" }, { "name": "a", "type": "Utf8" }]), "twice"),
        ] {
            let error = columns(specs).err().unwrap();
            assert_eq!(error.class(), "BadParameters");
            assert!(error.message().contains(part), "{error}");
        }
    }

    #[test]
    fn without_columns_any_text_is_a_row() {
        let columns = columns(json!([])).unwrap();
        assert!(columns.refuse(b"not JSON").is_none());
        assert_eq!(columns.refuse(b"\xff").unwrap().0, "utf8");
        let decoded = columns.decode([&b"x"[..]].into_iter()).unwrap();
        assert_eq!(decoded[0].as_ref(), &StringArray::from(vec!["x"]) as &dyn Array);
    }
}
