//! A value passed between tasks that points at data in the lake.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::TaskError;
use crate::lake::{Lake, sha256_hex};

/// Form of the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// Apache Parquet.
    Parquet,
    /// JSON: one document.
    Json,
    /// JSON, one object a line.
    Ndjson,
    /// Comma-separated, with a header.
    Csv,
    /// JSON: a list of datasets. As an input it stands for them.
    Datasets,
    /// Anything else.
    Bytes,
}

/// A column of a dataset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Column {
    /// Name.
    pub name: String,
    /// Type, in Arrow's words (`Utf8`, `Float64`, `Timestamp(ms, "UTC")`).
    #[serde(rename = "type")]
    pub data_type: String,
    /// Whether it may hold nulls.
    pub nullable: bool,
}

/// A handle on data: where it lies, its form and its size. The bytes stay in the lake.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Dataset {
    /// Key in the lake (`processed-data/…/part-….parquet`).
    pub uri: String,
    /// Form of the bytes.
    pub format: Format,
    /// Columns, where the form has them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub schema: Vec<Column>,
    /// Number of rows.
    pub rows: u64,
    /// Size in bytes.
    pub bytes: u64,
    /// sha-256 of the bytes, hex.
    pub sha256: String,
    /// The batch it belongs to: equal in every run of one interval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch_id: Option<String>,
}

impl Dataset {
    /// A handle on bytes whose form has no columns, and that belong to no batch.
    pub fn of_bytes(uri: impl Into<String>, format: Format, rows: u64, bytes: &[u8]) -> Self {
        Self {
            uri: uri.into(),
            format,
            schema: Vec::new(),
            rows,
            bytes: bytes.len() as u64,
            sha256: sha256_hex(bytes),
            batch_id: None,
        }
    }
}

/// An entry of a map of datasets (`regions` of `opensky.validate`); other fields are ignored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Named {
    /// The dataset.
    pub dataset: Dataset,
}

/// What a task takes as data: one dataset, a list (in place or in the lake), or a map of names to `{dataset}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Input {
    /// One.
    One(Dataset),
    /// Several.
    Many(Vec<Dataset>),
    /// Several by name, such as regions.
    Named(BTreeMap<String, Named>),
}

impl Input {
    /// All of them with their names (`None` where they have none), in order.
    pub fn datasets(&self) -> Vec<(Option<&str>, &Dataset)> {
        match self {
            Self::One(dataset) => vec![(None, dataset)],
            Self::Many(datasets) => datasets.iter().map(|dataset| (None, dataset)).collect(),
            Self::Named(map) => map.iter().map(|(name, entry)| (Some(name.as_str()), &entry.dataset)).collect(),
        }
    }

    /// The same with each list in the lake (of form `datasets`) replaced by what it names.
    ///
    /// # Errors
    /// As [`Lake::read`]; `fail` `BadInput`: it is no such list.
    pub async fn resolved(&self, lake: &Lake) -> Result<Self, TaskError> {
        let given = match self {
            Self::One(list) if list.format == Format::Datasets => std::slice::from_ref(list),
            Self::Many(datasets) => datasets,
            Self::One(_) | Self::Named(_) => return Ok(self.clone()),
        };
        let mut datasets = Vec::with_capacity(given.len());
        for dataset in given {
            if dataset.format == Format::Datasets {
                datasets.extend(members(dataset, lake).await?);
            } else {
                datasets.push(dataset.clone());
            }
        }
        Ok(Self::Many(datasets))
    }
}

async fn members(list: &Dataset, lake: &Lake) -> Result<Vec<Dataset>, TaskError> {
    serde_json::from_slice(&lake.read(list).await?)
        .map_err(|error| TaskError::fail("BadInput", format!("`{}` is no list of datasets: {error}", list.uri)))
}
