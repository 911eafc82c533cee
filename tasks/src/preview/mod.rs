//! What a dataset looks like, for people: its columns with their nulls, and its first rows.
//!
//! A look costs little, whatever lies there: of Parquet the footer and the first pages are read, of text the first
//! [`TEXT_BYTES`]; cells are cut, and it ends at a given instant. It never writes, and it never leaves its lake.

#[cfg(feature = "parquet")]
mod blocks;
mod cells;
#[cfg(feature = "parquet")]
mod columnar;
mod csv;
mod rows;
#[cfg(test)]
mod tests;
mod text;

use std::sync::Arc;

use object_store::path::Path as Key;
use object_store::{ObjectMeta, ObjectStoreExt};
use serde_json::Value;
use tokio::time::Instant;
use updraft_task::Lake;

/// Most rows of a sample.
pub const SAMPLE_ROWS: usize = 50;
/// Most bytes of a text (JSON, CSV) that are looked at, as they lie and unpacked.
pub const TEXT_BYTES: u64 = 4 << 20;
/// Most bytes of a Parquet file that are fetched.
pub const FETCHED_BYTES: u64 = 32 << 20;
/// Most columns that are named.
pub const MAX_COLUMNS: usize = 500;

/// Takes secrets out of a text.
pub type Mask = Arc<dyn Fn(&str) -> String + Send + Sync>;

/// A column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreviewColumn {
    /// Its name.
    pub name: String,
    /// Its type in Arrow's words; of text, what its values look like.
    pub data_type: String,
    /// Nulls in all rows, if they are known.
    pub nulls: Option<u64>,
}

/// What was seen.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Preview {
    /// Columns in their order, at most [`MAX_COLUMNS`].
    pub columns: Vec<PreviewColumn>,
    /// Number of rows, if it is known.
    pub rows: Option<u64>,
    /// First rows, a value for each column. What JSON cannot say is text: `NaN`, whole numbers beyond 2^53, decimals,
    /// instants (RFC 3339), bytes (`0x…`).
    pub sample: Option<Vec<Vec<Value>>>,
    /// Why there is less than could be, in words.
    pub note: Option<String>,
}

/// The key of an address in a lake with this root: relative as tasks write it, or absolute below the root. `None` if it
/// lies elsewhere.
pub fn key_of(root: &str, uri: &str) -> Option<String> {
    let absolute = uri.strip_prefix("file://").unwrap_or(uri);
    if !absolute.starts_with('/') && !absolute.contains("://") {
        return Some(uri.to_owned());
    }
    let below = absolute.strip_prefix(root.trim_end_matches('/'))?.strip_prefix('/')?;
    (!below.is_empty()).then(|| below.to_owned())
}

/// A form that rows are shown of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// By its footer and its first pages.
    Parquet,
    /// One array of objects, or one object.
    Json,
    /// An object a line.
    Ndjson,
    /// With a header.
    Csv,
}

impl Form {
    /// What a dataset's handle says.
    ///
    /// # Errors
    /// In words: it has no preview.
    pub fn of(format: &str) -> Result<Self, String> {
        match format {
            "parquet" => Ok(Self::Parquet),
            "json" => Ok(Self::Json),
            "ndjson" => Ok(Self::Ndjson),
            "csv" => Ok(Self::Csv),
            "bytes" => Err("bytes have no columns: only their size is known".to_owned()),
            other => Err(format!(
                "`{other}` has no preview: rows are shown of objects in the lake (parquet, json, ndjson, csv)"
            )),
        }
    }
}

/// An object of a lake that is there.
pub struct Found {
    lake: Lake,
    key: Key,
    meta: ObjectMeta,
}

impl Found {
    /// Looks for it.
    ///
    /// # Errors
    /// In words: it is no key, it is not there, it lies outside the lake, or the lake cannot be reached.
    pub async fn find(lake: &Lake, key: &str) -> Result<Self, String> {
        let parsed = Key::parse(key).map_err(|error| format!("`{key}` is not a key of the lake: {error}"))?;
        if parsed.as_ref().is_empty() {
            return Err("the handle names no object of the lake".to_owned());
        }
        let meta = lake.store().head(&parsed).await.map_err(|error| match error {
            object_store::Error::NotFound { .. } => {
                format!("`{key}` is not in the lake any more: it was removed after its task ended")
            }
            error => format!("the lake cannot be read: {error}"),
        })?;
        if !lake.holds(&parsed) {
            return Err(format!("`{key}` is a link that leads out of the lake: it is not followed"));
        }
        Ok(Self { lake: lake.clone(), key: parsed, meta })
    }

    /// Size in bytes.
    pub fn bytes(&self) -> u64 {
        self.meta.size
    }

    /// Differs if the object was written anew.
    pub fn stamp(&self) -> String {
        let tag = self.meta.e_tag.as_deref().unwrap_or_default();
        format!("{}/{} {tag} {} {}", self.lake.root(), self.key, self.meta.size, self.meta.last_modified.to_rfc3339())
    }

    /// Looks into it, until this instant at the longest.
    ///
    /// # Errors
    /// In words: what is wrong with it.
    pub async fn look(&self, form: Form, mask: &Mask, until: Instant) -> Result<Preview, String> {
        let text: fn(&text::Head, &Mask) -> Result<Preview, String> = match form {
            Form::Parquet => return self.parquet(mask, until).await,
            Form::Csv => csv::preview,
            Form::Ndjson => text::lines,
            Form::Json => text::document,
        };
        let late = || "it took longer than its time limit".to_owned();
        let head = tokio::time::timeout_at(until, text::Head::read(&self.lake, &self.key, self.meta.size));
        let head = head.await.map_err(|_| late())??;
        let mask = Arc::clone(mask);
        let work = tokio::task::spawn_blocking(move || text(&head, &mask));
        let done = tokio::time::timeout_at(until, work).await.map_err(|_| late())?;
        done.map_err(|error| format!("the reader broke off: {error}"))?
    }

    #[cfg(feature = "parquet")]
    async fn parquet(&self, mask: &Mask, until: Instant) -> Result<Preview, String> {
        let file = blocks::Blocks::new(&self.lake, self.key.clone(), self.meta.size, until);
        let mask = Arc::clone(mask);
        let work = tokio::task::spawn_blocking(move || columnar::preview(file, &mask));
        // What still runs ends with its next fetch.
        match tokio::time::timeout_at(until, work).await {
            Ok(Ok(done)) => done,
            Ok(Err(_)) => Err("it is not Parquet, or is broken: the reader broke off".to_owned()),
            Err(_) => Err("it took longer than its time limit".to_owned()),
        }
    }

    #[cfg(not(feature = "parquet"))]
    #[expect(clippy::unused_async, reason = "the other build reads")]
    async fn parquet(&self, _: &Mask, _: Instant) -> Result<Preview, String> {
        Err("this build of Updraft cannot read Parquet: it was made without the feature `parquet`".to_owned())
    }
}
