//! Rows as messages: JSON with the columns' names (which carry their units), instants as RFC 3339, nulls kept.

use datafusion::arrow::array::{Array, StringArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::DataType;
use datafusion::arrow::json::WriterBuilder;
use datafusion::arrow::json::writer::LineDelimited;
use datafusion::arrow::record_batch::RecordBatch;
use updraft_task::TaskError;

/// The rows of a batch as JSON texts, each with a `schema_version`.
pub(super) fn to_json(batch: &RecordBatch, schema_version: u32) -> Result<Vec<String>, TaskError> {
    let bad = |error: String| TaskError::fail("BadRow", format!("the rows cannot be written as JSON: {error}"));
    let mut writer = WriterBuilder::new().with_explicit_nulls(true).build::<_, LineDelimited>(Vec::new());
    writer.write(batch).map_err(|error| bad(error.to_string()))?;
    writer.finish().map_err(|error| bad(error.to_string()))?;
    let text = String::from_utf8(writer.into_inner()).map_err(|error| bad(error.to_string()))?;
    let versioned = batch.schema_ref().column_with_name("schema_version").is_some();
    Ok(text
        .lines()
        .map(|line| match line.strip_prefix('{') {
            Some("}") if !versioned => format!("{{\"schema_version\":{schema_version}}}"),
            Some(rest) if !versioned => format!("{{\"schema_version\":{schema_version},{rest}"),
            Some(_) | None => line.to_owned(),
        })
        .collect())
}

/// The key of every row, as text.
pub(super) fn keys(batch: &RecordBatch, column: &str) -> Result<Vec<Option<String>>, TaskError> {
    let Some(values) = batch.column_by_name(column) else {
        let known: Vec<&str> = batch.schema_ref().fields().iter().map(|field| field.name().as_str()).collect();
        return Err(TaskError::fail(
            "BadKey",
            format!("`key: {column}`: there is no such column; there are {}", known.join(", ")),
        ));
    };
    let bad = || {
        TaskError::fail("BadKey", format!("`key: {column}` is {} and cannot be written as text", values.data_type()))
    };
    let text = cast(values, &DataType::Utf8).map_err(|_| bad())?;
    let text = text.as_any().downcast_ref::<StringArray>().ok_or_else(bad)?;
    Ok(text.iter().map(|key| key.map(str::to_owned)).collect())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use datafusion::arrow::array::{Float64Array, Int64Array, TimestampMillisecondArray};
    use datafusion::arrow::datatypes::{Field, Schema, TimeUnit};

    use super::*;

    #[test]
    fn a_row_keeps_its_nulls_and_writes_instants_as_rfc_3339() {
        let schema = Schema::new(vec![
            Field::new("icao", DataType::Int64, false),
            Field::new("velocity_mps", DataType::Float64, true),
            Field::new("at", DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())), false),
        ]);
        let batch = RecordBatch::try_new(
            Arc::new(schema),
            vec![
                Arc::new(Int64Array::from(vec![7])),
                Arc::new(Float64Array::from(vec![None])),
                Arc::new(TimestampMillisecondArray::from(vec![1_767_225_600_000]).with_timezone("UTC")),
            ],
        )
        .unwrap();
        assert_eq!(
            to_json(&batch, 1).unwrap(),
            [r#"{"schema_version":1,"icao":7,"velocity_mps":null,"at":"2026-01-01T00:00:00Z"}"#]
        );
        assert_eq!(keys(&batch, "icao").unwrap(), [Some("7".to_owned())]);
        assert!(keys(&batch, "icao24").unwrap_err().message().contains("velocity_mps"));
    }
}
