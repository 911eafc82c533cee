//! `archive`: copies datasets under `{prefix}/dt=…/hour=…` with a manifest; never over other bytes. Reading them again is in
//! `read`.

pub(crate) mod manifest;
pub mod read;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use updraft_task::lake::{Lake, Put, sha256_hex};
use updraft_task::{ConnectionNeed, Context, Dataset, Effects, ErrorClass, Input, Task, TaskError, Timestamp};

use manifest::{Entry, Manifest, hour};
pub use read::ArchiveRead;

/// The task type.
pub struct Archive;

/// Parameters.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// Datasets to keep: one, a list, or a map of names to `{dataset}`.
    pub input: Input,
    /// First part of the keys, such as `archive/flights`.
    pub prefix: String,
    /// Instant that `dt=` and `hour=` come from (RFC 3339); the start of the data interval if left out.
    #[serde(default)]
    pub at: Option<String>,
}

/// Output.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Output {
    /// Key of the manifest: every object with its size and sha-256.
    pub manifest: String,
    /// Objects in the archive.
    pub objects: u64,
    /// Objects written by this attempt.
    pub copied: u64,
    /// Objects that lay there already, with the same bytes.
    pub already_there: u64,
    /// Bytes of all objects.
    pub bytes: u64,
    /// Rows of all datasets.
    pub rows_out: u64,
}

impl Task for Archive {
    const TYPE: &'static str = "archive";
    const SUMMARY: &'static str = "copies datasets into an archive with a manifest";
    const EFFECTS: Effects = Effects::ExactlyOnce;
    const CONNECTION: ConnectionNeed = ConnectionNeed::Optional(&["lake"]);
    const ERRORS: &'static [ErrorClass] = &[
        ErrorClass { name: "Lake", retryable: true, meaning: "the lake cannot be read or written just now" },
        ErrorClass { name: "NotFound", retryable: false, meaning: "a dataset's bytes are gone" },
        ErrorClass { name: "CorruptDataset", retryable: false, meaning: "a dataset's bytes do not match its sha-256" },
        ErrorClass { name: "Conflict", retryable: false, meaning: "other bytes lie under a key of the archive" },
        ErrorClass { name: "BadKey", retryable: false, meaning: "`prefix` is no key, or lies below an object" },
        ErrorClass { name: "BadConnection", retryable: false, meaning: "the lake is not there" },
        ErrorClass { name: "LakeDenied", retryable: false, meaning: "the lake refuses access" },
        ErrorClass {
            name: "BadParameters",
            retryable: false,
            meaning: "`at` is no instant, or two datasets would get one key",
        },
    ];
    const EXAMPLE: &'static str = "- id: keep\n  type: archive\n  depends_on: transform\n  with:\n    input: \"{{ tasks.transform.output.dataset }}\"\n    prefix: archive/flights\n";
    type Params = Params;
    type Output = Output;

    async fn run(params: Params, ctx: &Context) -> Result<Output, TaskError> {
        let source = ctx.lake()?;
        let target = if ctx.connection_name().is_some() { ctx.own_lake()? } else { source.clone() };
        let folder = folder(&params, ctx)?;
        let input = params.input.resolved(&source).await?;
        let datasets: Vec<&Dataset> = input.datasets().into_iter().map(|(_, dataset)| dataset).collect();
        let mut names: Vec<&str> = datasets.iter().map(|dataset| file_name(&dataset.uri)).collect();
        names.sort_unstable();
        if let Some([name, ..]) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(TaskError::fail("BadParameters", format!("two datasets would become `{folder}/{name}`")));
        }
        let (mut copied, mut entries) = (0, Vec::new());
        for dataset in &datasets {
            if ctx.cancelled().is_cancelled() {
                return Err(TaskError::cancelled());
            }
            let key = format!("{folder}/{}", file_name(&dataset.uri));
            if copy(&source, &target, dataset, &key).await? == Put::Written {
                copied += 1;
                ctx.info(format!("wrote {key} ({} bytes)", dataset.bytes));
            } else {
                ctx.info(format!("{key} is there already"));
            }
            entries.push(Entry { source: dataset.uri.clone(), dataset: Dataset { uri: key, ..(*dataset).clone() } });
        }
        let interval = ctx.run().interval;
        let manifest = Manifest { start: interval.start.to_string(), end: interval.end.to_string(), objects: entries };
        let text =
            serde_json::to_vec_pretty(&manifest).map_err(|error| TaskError::fail("BadOutput", error.to_string()))?;
        // Named after what it says: if it is there, it says the same.
        let manifest = format!("{folder}/manifest-{}.json", &sha256_hex(&text)[..16]);
        target.put_if_absent(&manifest, text).await?;
        let objects = datasets.len() as u64;
        Ok(Output {
            manifest,
            objects,
            copied,
            already_there: objects - copied,
            bytes: datasets.iter().map(|dataset| dataset.bytes).sum(),
            rows_out: datasets.iter().map(|dataset| dataset.rows).sum(),
        })
    }
}

fn folder(params: &Params, ctx: &Context) -> Result<String, TaskError> {
    let at = match &params.at {
        None => ctx.run().interval.start,
        Some(text) => Timestamp::parse(text)
            .ok_or_else(|| TaskError::fail("BadParameters", format!("`at: {text}` is no RFC 3339 instant")))?,
    };
    Ok(hour(&params.prefix, at))
}

fn file_name(uri: &str) -> &str {
    uri.rsplit('/').next().unwrap_or(uri)
}

async fn copy(source: &Lake, target: &Lake, dataset: &Dataset, key: &str) -> Result<Put, TaskError> {
    if target.copy_from(source, dataset, key).await? == Put::Written {
        return Ok(Put::Written);
    }
    let found = target.sum(key).await?;
    if found == dataset.sha256 {
        return Ok(Put::Exists);
    }
    Err(TaskError::fail(
        "Conflict",
        format!(
            "`{key}` holds other bytes (sha-256 {found}) than `{}` ({}): an archive is never overwritten; \
             remove the object by hand, or choose another prefix",
            dataset.uri, dataset.sha256
        ),
    ))
}

#[cfg(test)]
mod tests;
