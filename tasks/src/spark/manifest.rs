//! What a job has published: the files that its manifest names, and no others that may lie beside them. A task attempt of
//! Spark that was lost, or a driver that was started twice, leaves files too.

use serde::Deserialize;
use updraft_task::lake::sha256_hex;
use updraft_task::{Context, Dataset, Format, Lake, TaskError};

use crate::parquet;

/// Most files of an output: their handles have to fit into the task's output.
const FILES: usize = 16;

/// What the job writes, last of all, to `UPDRAFT_SPARK_MANIFEST`.
#[derive(Debug, Deserialize)]
pub struct Manifest {
    /// Spark's id of the application that wrote it.
    pub application_id: String,
    /// Rows of all files.
    pub rows: u64,
    /// The files, in the order of their rows.
    pub files: Vec<File>,
}

/// A file of the output.
#[derive(Debug, Deserialize)]
pub struct File {
    /// Name below `UPDRAFT_SPARK_OUTPUT`.
    pub name: String,
    /// Size in bytes.
    pub bytes: u64,
}

/// Key of the manifest of an output folder.
pub fn key(folder: &str) -> String {
    format!("{folder}/manifest.json")
}

/// The manifest, if it is there: the job has done its work, whatever else is said of it.
///
/// # Errors
/// As [`Lake::find`]; `fail` `BadManifest`.
pub async fn find(lake: &Lake, folder: &str) -> Result<Option<Manifest>, TaskError> {
    let Some(bytes) = lake.find(&key(folder)).await? else { return Ok(None) };
    let manifest = serde_json::from_slice(&bytes).map_err(|error| bad(folder, &error.to_string()))?;
    Ok(Some(manifest))
}

fn bad(folder: &str, what: &str) -> TaskError {
    TaskError::fail("BadManifest", format!("the manifest `{}`: {what}", key(folder)))
}

/// The files of a manifest as datasets, each looked at: size, rows, sum.
///
/// # Errors
/// `fail` `BadManifest`: a file is not as the manifest says, or there are too many; as [`Lake::get`].
pub async fn datasets(
    lake: &Lake,
    folder: &str,
    manifest: &Manifest,
    batch: Option<&str>,
    ctx: &Context,
) -> Result<Vec<Dataset>, TaskError> {
    if manifest.files.len() > FILES {
        let what = format!("{} files, at most {FILES} are taken: `coalesce` them", manifest.files.len());
        return Err(bad(folder, &what));
    }
    let mut datasets = Vec::with_capacity(manifest.files.len());
    for (index, file) in manifest.files.iter().enumerate() {
        if ctx.cancelled().is_cancelled() {
            return Err(TaskError::cancelled());
        }
        if file.name.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return Err(bad(folder, &format!("`{}` is no name below the output", file.name)));
        }
        let uri = format!("{folder}/{}", file.name);
        let bytes = lake.get(&uri).await.map_err(|error| error.context("a file of the manifest"))?;
        if bytes.len() as u64 != file.bytes {
            return Err(bad(folder, &format!("`{}` has {} bytes, not {}", file.name, bytes.len(), file.bytes)));
        }
        // One list of columns is enough: all files of an output have the same.
        let (columns, rows) = parquet::described(bytes.clone())?;
        let schema = if index == 0 { columns } else { Vec::new() };
        datasets.push(Dataset {
            uri,
            format: Format::Parquet,
            schema,
            rows,
            bytes: file.bytes,
            sha256: sha256_hex(&bytes),
            batch_id: batch.map(str::to_owned),
        });
    }
    let rows: u64 = datasets.iter().map(|dataset| dataset.rows).sum();
    if rows == manifest.rows {
        return Ok(datasets);
    }
    Err(bad(folder, &format!("its files have {rows} rows, not {}", manifest.rows)))
}
