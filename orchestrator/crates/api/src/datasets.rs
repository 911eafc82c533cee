//! What datasets look like. Reading their files takes libraries that only the binary has; it offers a [`DatasetPreviewer`].

use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt as _;
use serde_json::Value;
use tokio::time::Instant;

use crate::dto::{DatasetColumn, DatasetPreview};

/// Datasets of one output that are looked into.
const MOST: usize = 20;
/// Of them at one time.
const AT_ONCE: usize = 4;
/// How long all of them may take together: a page waits for them, and is of use without them.
const LONGEST: Duration = Duration::from_secs(2);

/// What a look into a dataset found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DatasetLook {
    /// Its columns; what the handle says stands if there are none.
    pub columns: Vec<DatasetColumn>,
    /// Number of its rows, if it is known.
    pub rows: Option<u64>,
    /// Its first rows, a value for each column.
    pub sample: Option<Vec<Vec<Value>>>,
    /// Why there is less than could be, in words.
    pub note: Option<String>,
}

/// Looks into datasets.
#[async_trait]
pub trait DatasetPreviewer: Send + Sync + 'static {
    /// Columns with their nulls, and the first rows; bounded in time and memory, without secrets.
    ///
    /// # Errors
    /// In words: it cannot be read, or must not be.
    async fn preview(&self, dataset: &DatasetPreview) -> Result<DatasetLook, String>;
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
    if let Some(previewer) = previewer {
        look_until(previewer, datasets, Instant::now() + LONGEST).await;
    }
}

async fn look_until(previewer: &dyn DatasetPreviewer, datasets: &mut [DatasetPreview], until: Instant) {
    let looks = datasets.iter().take(MOST).map(|dataset| async move {
        let look = tokio::time::timeout_at(until, previewer.preview(dataset)).await;
        look.unwrap_or_else(|_| Err("it took longer than its time limit".to_owned()))
    });
    let looks: Vec<_> = futures::stream::iter(looks.collect::<Vec<_>>()).buffered(AT_ONCE).collect().await;
    let mut looks = looks.into_iter();
    for dataset in datasets {
        match looks.next() {
            Some(Ok(look)) => {
                if !look.columns.is_empty() {
                    dataset.columns = look.columns;
                }
                dataset.rows = look.rows.or(dataset.rows);
                dataset.sample = look.sample;
                dataset.error = look.note;
            }
            Some(Err(error)) => dataset.error = Some(error),
            None => dataset.error = Some(format!("only the first {MOST} datasets of an output are looked into")),
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

    /// Knows `known.*`, hangs on `slow`.
    struct Reader;

    #[async_trait]
    impl DatasetPreviewer for Reader {
        async fn preview(&self, dataset: &DatasetPreview) -> Result<DatasetLook, String> {
            match dataset.uri.as_str() {
                "known" => {
                    Ok(DatasetLook { rows: Some(7), sample: Some(vec![vec![json!(1)]]), ..DatasetLook::default() })
                }
                "slow" => std::future::pending().await,
                other => Err(format!("no {other}")),
            }
        }
    }

    #[tokio::test]
    async fn looks_are_few_bounded_and_leave_what_the_handle_says() {
        let dataset = |uri: &str| json!({ "uri": uri, "format": "parquet", "rows": 3, "schema": [{ "name": "id", "type": "Utf8" }] });
        let mut output = vec![dataset("slow"), dataset("known"), dataset("other")];
        output.extend((0..20).map(|_| dataset("known")));
        let mut found = of_output(&json!(output));
        look_until(&Reader, &mut found, Instant::now() + Duration::from_millis(200)).await;
        assert_eq!(found[0].error.as_deref(), Some("it took longer than its time limit"));
        assert_eq!((found[1].rows, found[1].columns.len(), found[1].sample.is_some()), (Some(7), 1, true));
        assert_eq!((found[2].rows, found[2].error.as_deref()), (Some(3), Some("no other")));
        assert_eq!(found[19].error, None);
        assert_eq!(found[20].error.as_deref(), Some("only the first 20 datasets of an output are looked into"));
    }
}
