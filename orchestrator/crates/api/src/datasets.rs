//! What datasets look like. Reading their files takes libraries that only the binary has; it offers a [`DatasetPreviewer`].

use async_trait::async_trait;
use serde_json::Value;

use crate::dto::{DatasetColumn, DatasetPreview};

/// Rows of a sample.
pub const SAMPLE_ROWS: usize = 50;

/// Looks into a dataset.
#[async_trait]
pub trait DatasetPreviewer: Send + Sync + 'static {
    /// Columns with their nulls, and at most [`SAMPLE_ROWS`] rows; bounded in time and memory.
    ///
    /// # Errors
    /// In words: it cannot be read.
    async fn preview(&self, uri: &str, format: &str) -> Result<(Vec<DatasetColumn>, Vec<Vec<Value>>), String>;
}

/// Datasets in an output, at any depth, by the path of the field that holds them. What the handle itself says is taken over.
pub(crate) fn of_output(output: &Value) -> Vec<DatasetPreview> {
    let mut found = Vec::new();
    walk("", output, &mut found);
    found
}

fn walk(name: &str, value: &Value, found: &mut Vec<DatasetPreview>) {
    match value {
        Value::Object(fields) => {
            if let (Some(uri), Some(format)) = (text(value, "uri"), text(value, "format")) {
                found.push(handle(name, value, uri, format));
                return;
            }
            for (key, inner) in fields {
                walk(&joined(name, key), inner, found);
            }
        }
        Value::Array(items) => {
            for (at, inner) in items.iter().enumerate() {
                walk(&joined(name, &at.to_string()), inner, found);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn joined(name: &str, key: &str) -> String {
    if name.is_empty() { key.to_owned() } else { format!("{name}.{key}") }
}

fn text(value: &Value, field: &str) -> Option<String> {
    value.get(field)?.as_str().map(str::to_owned)
}

fn handle(name: &str, value: &Value, uri: String, format: String) -> DatasetPreview {
    let column = |column: &Value| {
        Some(DatasetColumn {
            name: text(column, "name")?,
            column_type: text(column, "type").unwrap_or_default(),
            nulls: None,
        })
    };
    let columns = ["schema", "columns"].iter().filter_map(|field| value.get(*field)).find_map(|schema| {
        let list = schema.as_array().or_else(|| schema.get("columns")?.as_array())?;
        Some(list.iter().filter_map(column).collect())
    });
    DatasetPreview {
        name: if name.is_empty() { "output".to_owned() } else { name.to_owned() },
        uri,
        format,
        rows: value.get("rows").and_then(Value::as_u64),
        bytes: value.get("bytes").and_then(Value::as_u64),
        sha256: text(value, "sha256"),
        columns: columns.unwrap_or_default(),
        sample: None,
        error: None,
    }
}

/// Looks into each dataset, if somebody can.
pub(crate) async fn look(previewer: Option<&dyn DatasetPreviewer>, datasets: &mut [DatasetPreview]) {
    let Some(previewer) = previewer else { return };
    for dataset in datasets {
        match previewer.preview(&dataset.uri, &dataset.format).await {
            Ok((columns, sample)) => {
                dataset.columns = columns;
                dataset.sample = Some(sample);
            }
            Err(error) => dataset.error = Some(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn datasets_are_found_at_any_depth() {
        let output = json!({
            "rows": 3,
            "clean": { "uri": "lake://a.parquet", "format": "parquet", "rows": 3, "bytes": 10, "schema": [{ "name": "id", "type": "int64" }] },
            "parts": [{ "file": { "uri": "lake://b.ndjson", "format": "ndjson" } }],
        });
        let found = of_output(&output);
        let names: Vec<_> = found.iter().map(|one| (one.name.as_str(), one.columns.len(), one.rows)).collect();
        assert_eq!(names, [("clean", 1, Some(3)), ("parts.0.file", 0, None)]);
    }
}
