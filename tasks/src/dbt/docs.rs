//! `dbt.docs`: the project's documentation, kept in the lake.

use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use updraft_task::{ConnectionNeed, Context, Dataset, Effects, ErrorClass, Format, Lake, Task, TaskError};

use super::connection::Dbt;
use super::invoke::{Call, call};
use super::results::bounded;
use super::{
    BAD_ARTEFACT, BAD_CONNECTION, DBT_USAGE, KILLED, NEED, NO_NODES, SCRATCH, SPAWN, Selectors, WAREHOUSE, selection,
};
use crate::batch::OutputPlace;

/// Parameters of `dbt.docs`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DocsParams {
    /// dbt selectors of what the catalog describes, one or a list whose union is taken; everything if left out.
    #[serde(default)]
    pub select: Option<Selectors>,
    /// dbt selectors of what the catalog leaves out; nothing if left out.
    #[serde(default)]
    pub exclude: Option<Selectors>,
    /// Values for `var(…)` in the project (`--vars`).
    #[serde(default)]
    pub vars: Map<String, Value>,
    /// Nodes compiled at one time, from 1; the connection's `threads` if left out.
    #[serde(default)]
    pub threads: Option<u32>,
    /// Where the files go in the lake: below the prefix, `dt={day of the interval's start}/{batch id}/`.
    #[serde(default = "default_output")]
    pub output: OutputPlace,
}

fn default_output() -> OutputPlace {
    OutputPlace { prefix: "dbt/docs".to_owned(), batch_id: None }
}

/// Output of `dbt.docs`.
#[derive(Debug, PartialEq, Serialize, JsonSchema)]
pub struct DocsReport {
    /// Tables and views that the catalog describes.
    pub nodes: u64,
    /// Sources that it describes.
    pub sources: u64,
    /// What dbt could not describe, at most ten.
    pub errors: Vec<String>,
    /// `catalog.json`: columns and types as the warehouse has them.
    pub catalog: Dataset,
    /// `manifest.json`: the project with its graph.
    pub manifest: Dataset,
    /// A page that shows both, with all that it needs in it.
    pub index: Dataset,
}

#[derive(Deserialize)]
struct Catalog {
    #[serde(default)]
    nodes: Map<String, Value>,
    #[serde(default)]
    sources: Map<String, Value>,
    #[serde(default)]
    errors: Option<Vec<String>>,
}

/// The task.
pub struct DbtDocs;

impl Task for DbtDocs {
    const TYPE: &'static str = "dbt.docs";
    const SUMMARY: &'static str = "makes the dbt project's documentation and keeps it in the lake";
    const EFFECTS: Effects = Effects::Idempotent;
    const CONNECTION: ConnectionNeed = NEED;
    const ERRORS: &'static [ErrorClass] = &[
        ErrorClass {
            name: "DocsFailed",
            retryable: true,
            meaning: "dbt could not compile a node: its words are in the message",
        },
        ErrorClass { name: "Lake", retryable: true, meaning: "the lake cannot be written just now" },
        NO_NODES,
        WAREHOUSE,
        DBT_USAGE,
        BAD_ARTEFACT,
        BAD_CONNECTION,
        KILLED,
        SCRATCH,
        SPAWN,
    ];
    const EXAMPLE: &'static str = "- id: docs\n  type: dbt.docs\n  conn: dbt\n";
    type Params = DocsParams;
    type Output = DocsReport;

    async fn run(params: DocsParams, ctx: &Context) -> Result<DocsReport, TaskError> {
        let connection: Dbt = ctx.connection()?;
        let mut arguments = vec!["--static".to_owned()];
        arguments.extend(selection(params.select.as_ref(), params.exclude.as_ref()));
        let asked = Call {
            command: &["docs", "generate"],
            arguments,
            vars: &params.vars,
            threads: params.threads,
            artefact: "catalog.json",
        };
        let ended = call(&connection, &asked, ctx).await?;
        if ended.failed {
            return Err(TaskError::retry("DocsFailed", ended.live.errors()));
        }
        let catalog: Catalog = serde_json::from_slice(&ended.artefact)
            .map_err(|error| TaskError::fail("BadArtefact", format!("catalog.json does not read: {error}")))?;
        let mut errors = catalog.errors.unwrap_or_default();
        errors.truncate(10);
        for error in &mut errors {
            *error = bounded(error, 500);
            ctx.warn(format!("not described: {error}"));
        }
        let lake = ctx.lake()?;
        let (batch, folder) = params.output.of(ctx.run());
        let place = Place { lake: &lake, from: &ended.target, folder: &folder, batch: &batch };
        Ok(DocsReport {
            nodes: catalog.nodes.len() as u64,
            sources: catalog.sources.len() as u64,
            errors,
            catalog: place.keep("catalog.json", Format::Json).await?,
            manifest: place.keep("manifest.json", Format::Json).await?,
            index: place.keep("static_index.html", Format::Bytes).await?,
        })
    }
}

/// From where to where.
struct Place<'a> {
    lake: &'a Lake,
    from: &'a Path,
    folder: &'a str,
    batch: &'a str,
}

impl Place<'_> {
    async fn keep(&self, name: &str, format: Format) -> Result<Dataset, TaskError> {
        let file = self.from.join(name);
        let bytes = tokio::fs::read(&file)
            .await
            .map_err(|error| TaskError::fail("BadArtefact", format!("dbt left no {}: {error}", file.display())))?;
        let key = format!("{}/{name}", self.folder);
        let dataset = Dataset { batch_id: Some(self.batch.to_owned()), ..Dataset::of_bytes(&key, format, 1, &bytes) };
        self.lake.put(&key, bytes).await?;
        Ok(dataset)
    }
}
