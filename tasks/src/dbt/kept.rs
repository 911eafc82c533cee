//! What an attempt leaves for the next one: its `run_results.json`, by which dbt runs again only what failed.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use updraft_task::lake::sha256_hex;
use updraft_task::{Context, Dataset, Format, TaskError};

use super::connection::Dbt;
use super::invoke::Call;
use super::results::Results;
use crate::batch::{day, slug};

/// Folder of kept results in the lake.
const FOLDER: &str = "dbt/run_results";

/// What the task's state holds of an attempt that ended with exit code 1.
#[derive(Serialize, Deserialize)]
struct Kept {
    /// Digest of what was asked for.
    call: String,
    /// Its `run_results.json`.
    results: Dataset,
}

/// Name in the task's state of what an attempt left.
fn name(dispatch_no: u32) -> String {
    format!("dbt-results-{dispatch_no}")
}

/// Digest of what is asked for: results of another question are no use.
pub fn digest(connection: &Dbt, call: &Call<'_>) -> String {
    let Dbt { project, profiles_dir, target, duckdb_path, env, warehouse, .. } = connection;
    let place = json!([project, profiles_dir, target, duckdb_path, env, warehouse]);
    sha256_hex(json!([place, call.command, call.arguments, call.vars]).to_string().as_bytes())
}

/// The results of the attempt before, if it ended with exit code 1 on the same question and left something to retry.
///
/// # Errors
/// `retry` `Store`, `Lake`.
pub async fn before(digest: &str, ctx: &Context) -> Result<Option<Vec<u8>>, TaskError> {
    let Some(earlier) = ctx.attempt().dispatch_no.checked_sub(1) else { return Ok(None) };
    let Some(value) = ctx.state().get(&name(earlier)).await? else { return Ok(None) };
    let Ok(kept) = serde_json::from_value::<Kept>(value) else { return Ok(None) };
    if kept.call != digest {
        ctx.info("the attempt before asked for something else: everything selected is run");
        return Ok(None);
    }
    match ctx.lake()?.read(&kept.results).await {
        Ok(text) => Ok(Some(text.to_vec())),
        Err(error) if matches!(error.class(), "NotFound" | "CorruptDataset") => {
            ctx.warn(format!("what the attempt before left cannot be used, so everything selected is run: {error}"));
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Keeps the results for the next attempt. What cannot be kept costs time, and no more.
pub async fn keep(digest: &str, results: &Results, artefact: &Value, ctx: &Context) {
    if !results.is_retryable() {
        return;
    }
    let attempt = ctx.attempt();
    let text = artefact.to_string().into_bytes();
    let part = slug(&format!("{}/{}/{}", ctx.run().workflow, ctx.run().run_id, attempt.attempt_id));
    let key = format!("{FOLDER}/dt={}/{part}.json", day(ctx.run().interval.start));
    let kept = async {
        ctx.lake()?.put(&key, text.clone()).await?;
        let dataset = Dataset::of_bytes(&key, Format::Json, results.len(), &text);
        let value = json!(Kept { call: digest.to_owned(), results: dataset });
        ctx.state().put_once(&name(attempt.dispatch_no), value).await
    };
    if let Err(error) = kept.await {
        ctx.warn(format!("a next attempt will run everything again, since the results cannot be kept: {error}"));
    }
}
