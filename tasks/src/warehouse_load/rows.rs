//! Rows of datasets on their way to a database, the same for every engine.

use std::collections::BTreeSet;
use std::path::Path;

use datafusion::arrow::record_batch::RecordBatch;
use updraft_task::{Context, Dataset, Lake, TaskError};

use crate::parquet;

/// A dataset's rows, by way of `file`, in batches.
///
/// # Errors
/// As [`parquet::stream_batches`]; `Cancelled`.
pub(super) async fn opened(
    ctx: &Context,
    lake: &Lake,
    dataset: &Dataset,
    file: &Path,
) -> Result<impl Iterator<Item = Result<RecordBatch, TaskError>> + Send + use<>, TaskError> {
    tokio::select! {
        biased;
        () = ctx.cancelled().cancelled() => Err(TaskError::cancelled()),
        rows = parquet::stream_batches(lake, dataset, file) => rows,
    }
}

/// Refuses a dataset whose columns are not those of the first.
///
/// # Errors
/// `fail` `BadInput`.
pub(super) fn same_columns<'a>(
    first: impl Iterator<Item = &'a str>,
    other: impl Iterator<Item = &'a str>,
    dataset: &Dataset,
) -> Result<(), TaskError> {
    let (first, other) = (first.collect::<BTreeSet<_>>(), other.collect::<BTreeSet<_>>());
    if first == other {
        return Ok(());
    }
    let differing: Vec<_> = first.symmetric_difference(&other).copied().collect();
    Err(TaskError::fail(
        "BadInput",
        format!(
            "`{}` has other columns than the first dataset ({}): load them by tasks of their own",
            dataset.uri,
            differing.join(", ")
        ),
    ))
}
