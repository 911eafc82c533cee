//! What happened in a run: for people as a table with rows in and out and where the results lie, else as the document.

use serde_json::Value;
use updraft_model::id::RunId;
use updraft_model::state::TaskRunState;
use updraft_model::time::Timestamp;
use updraft_model::workflow::Workflow;
use updraft_store::Reader;
use updraft_store::read::RunDetail;

use super::{Session, output};
use crate::exit_code::{ExitCode, Failure};
use crate::view::{RunDocument, TaskPart};

/// Everything about a run that commands show.
pub struct Loaded {
    /// Its rows.
    pub detail: RunDetail,
    /// Its pinned workflow.
    pub workflow: Workflow,
}

/// Loads a run with its pinned workflow.
///
/// # Errors
/// It is not there, or its version does not read.
pub async fn load(reader: &dyn Reader, run: RunId) -> Result<Loaded, Failure> {
    let unknown = || Failure::input(format!("there is no run {run} in this store"));
    let detail = reader.detail(run).await?.ok_or_else(unknown)?;
    let id = detail.run.row.facts.version_id;
    let version = reader
        .version(id)
        .await?
        .ok_or_else(|| Failure::unreachable(format!("the store lacks workflow version {id} of run {run}")))?;
    let workflow = serde_json::from_str(&version.compiled).map_err(|error| {
        Failure::unreachable(format!("workflow version {id} does not read with this build of Updraft: {error}"))
    })?;
    Ok(Loaded { detail, workflow })
}

/// `updraft runs show`.
pub async fn show(session: &Session, reader: &dyn Reader, run: RunId) -> Result<ExitCode, Failure> {
    let loaded = load(reader, run).await?;
    let document = RunDocument::new(&loaded.detail, &loaded.workflow, now());
    if session.json {
        output::json(&document)?;
    } else {
        print(&document, &loaded.detail);
    }
    Ok(ExitCode::Success)
}

/// The instant that open spans end at.
pub fn now() -> Timestamp {
    Timestamp::from_datetime(chrono::Utc::now())
}

/// Prints a run for people.
pub fn print(document: &RunDocument, detail: &RunDetail) {
    let run = &document.run;
    let projection = &detail.run.row.projection;
    let cause = run.cause.map(|cause| format!(" ({cause})")).unwrap_or_default();
    let took = projection
        .started_at
        .map(|from| projection.ended_at.unwrap_or_else(now).since(from).as_secs_f64())
        .map(|seconds| format!(" · {}", output::seconds(seconds)))
        .unwrap_or_default();
    output::line(&format!("{} · {}{cause}{took}", run.workflow, output::run_state(projection.state)));
    output::line(&output::dim(&format!(
        "run {} · logical date {} · data {} … {}",
        run.id, run.logical_date, run.data_interval.start, run.data_interval.end
    )));
    output::line("");
    tasks(document);
    for task in document.tasks.iter().filter(|task| task.attempts > 0 && !not_begun(task)) {
        if let Some(error) = &task.error {
            output::line(&format!("\n{} {}: {}", output::task_sign(task.state), task.id, output::dim(&error.class)));
            for text in error.message.lines() {
                output::line(&format!("    {text}"));
            }
        }
    }
    for attempt in detail.attempts.iter().filter(|attempt| attempt.outcome == updraft_model::state::Outcome::Lost) {
        output::line(&format!("\n{} attempt {} was lost ({})", attempt.key, attempt.dispatch_no, attempt.cause));
    }
    let results: Vec<(String, String)> = document
        .tasks
        .iter()
        .flat_map(|task| places(task.output.as_ref()).into_iter().map(|place| (task.id.clone(), place)))
        .collect();
    if !results.is_empty() {
        output::line("\nResults");
        for (task, place) in results {
            output::line(&format!("  {task}: {place}"));
        }
    }
    if !detail.metrics.is_empty() {
        output::line("\nMeasures");
        for (task, metric) in &detail.metrics {
            let labels: Vec<String> = metric.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
            let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
            output::line(&format!(
                "  {}{labels} = {} {} {}",
                metric.name,
                metric.value,
                metric.unit,
                output::dim(&format!("({task})"))
            ));
        }
    }
}

/// The table of a run's tasks.
pub fn tasks(document: &RunDocument) {
    output::table(
        &["", "TASK", "TYPE", "STATE", "ATTEMPTS", "TOOK", "ROWS IN", "ROWS OUT"],
        document.tasks.iter().map(row),
    );
}

/// Nothing of it is under way, and its next attempt is its first or follows one that was lost.
fn not_begun(task: &TaskPart) -> bool {
    matches!(task.state, TaskRunState::Waiting | TaskRunState::Ready)
}

fn row(task: &TaskPart) -> Vec<String> {
    let started = task.attempts > 0 || !not_begun(task);
    vec![
        output::task_sign(task.state),
        task.id.clone(),
        task.task_type.clone(),
        output::task_state(task.state),
        if started { task.attempts.to_string() } else { String::new() },
        task.seconds.map(output::seconds).unwrap_or_default(),
        rows(task.output.as_ref(), &ROWS_IN).map(output::count).unwrap_or_default(),
        rows(task.output.as_ref(), &ROWS_OUT)
            .or_else(|| task.output.as_ref().and_then(dataset_rows))
            .map(output::count)
            .unwrap_or_default(),
    ]
}

/// Names by which outputs tell how many rows came in and went out, most telling first.
const ROWS_IN: [&str; 2] = ["rows_in", "received"];
const ROWS_OUT: [&str; 4] = ["rows_out", "accepted", "sent", "inserted"];

fn rows(output: Option<&Value>, names: &[&str]) -> Option<u64> {
    names.iter().find_map(|name| output?.get(name)?.as_u64())
}

fn dataset_rows(output: &Value) -> Option<u64> {
    let found = datasets(output);
    (!found.is_empty()).then(|| found.iter().filter_map(|dataset| dataset.get("rows")?.as_u64()).sum())
}

/// Every dataset handle inside an output.
fn datasets(value: &Value) -> Vec<&Value> {
    match value {
        Value::Object(fields) if ["uri", "format", "sha256"].iter().all(|name| fields.contains_key(*name)) => {
            vec![value]
        }
        Value::Object(fields) => fields.values().flat_map(datasets).collect(),
        Value::Array(items) => items.iter().flat_map(datasets).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    }
}

/// Where an output's results lie: dataset handles, and the fields `object_key`, `table`, `topic`, `manifest`, `database`.
fn places(output: Option<&Value>) -> Vec<String> {
    let Some(output) = output else { return Vec::new() };
    let mut places: Vec<String> = ["object_key", "table", "topic", "manifest", "database"]
        .iter()
        .filter_map(|name| Some(format!("{name} {}", output.get(name)?.as_str()?)))
        .collect();
    for dataset in datasets(output) {
        if let (Some(uri), Some(rows)) =
            (dataset.get("uri").and_then(Value::as_str), dataset.get("rows").and_then(Value::as_u64))
        {
            places.push(format!("{uri} ({} rows)", output::count(rows)));
        }
    }
    places.dedup();
    places
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn rows_and_places_are_read_from_outputs() {
        let output = json!({
            "received": 10, "accepted": 8,
            "regions": { "europe": { "accepted": 8, "dataset": { "uri": "a/b.parquet", "format": "parquet", "rows": 8, "bytes": 1, "sha256": "x" } } },
        });
        assert_eq!(rows(Some(&output), &ROWS_IN), Some(10));
        assert_eq!(rows(Some(&output), &ROWS_OUT), Some(8));
        assert_eq!(dataset_rows(&output), Some(8));
        assert_eq!(places(Some(&output)), ["a/b.parquet (8 rows)"]);
        assert_eq!(places(Some(&json!({ "table": "processed_flights" }))), ["table processed_flights"]);
    }
}
