//! What happened in a run: for people as a table with rows in and out and where the results lie, else as the API's run.

use serde_json::Value;
use updraft_api::dto::{
    Attempt, AttemptPhase, Metric, Outcome, Run, RunState, TaskPage, TaskRun, TaskRunView, TaskState,
};
use updraft_model::time::Timestamp;

use super::{Session, find, output, segment};
use crate::exit_code::Failure;
use crate::remote::Api;

/// Task runs whose outputs are looked at; of larger runs none are.
const MOST: usize = 100;

/// The instant that is now.
pub fn now() -> Timestamp {
    Timestamp::from_datetime(chrono::Utc::now())
}

/// Prints a run.
///
/// # Errors
/// What the API says.
pub async fn show(session: &Session, api: &Api, run: &str) -> Result<(), Failure> {
    let found: Value = api.get(&format!("/runs/{run}"), &[]).await?;
    if session.json {
        return output::json(&found);
    }
    let page: TaskPage = api.get(&format!("/runs/{run}/tasks"), &[]).await?;
    let said = Said::of(api, run, &page.items).await?;
    print(&super::typed(&found)?, &page.items, &said);
    Ok(())
}

/// What tasks put out and measured.
#[derive(Default)]
struct Said {
    /// Of each task run, in order; empty if they were not looked at.
    outputs: Vec<Option<Value>>,
    metrics: Vec<(String, Metric)>,
}

impl Said {
    async fn of(api: &Api, run: &str, tasks: &[TaskRun]) -> Result<Self, Failure> {
        if tasks.iter().filter(|task| begun(task) > 0).count() > MOST {
            return Ok(Self::default());
        }
        let mut said = Self::default();
        for task in tasks {
            if begun(task) == 0 {
                said.outputs.push(None);
                continue;
            }
            let view: TaskRunView = api.get(&path(run, &task.task), &instance(task.map_index)).await?;
            said.outputs.push(view.output);
            let name = find::shown(&task.task, task.map_index);
            // Measures are a task's: they are told once, with its first instance.
            if said.metrics.iter().all(|(known, _)| find::instance(known).0 != task.task) {
                said.metrics.extend(view.metrics.into_iter().map(|metric| (name.clone(), metric)));
            }
        }
        Ok(said)
    }

    fn output(&self, at: usize) -> Option<&Value> {
        self.outputs.get(at)?.as_ref()
    }
}

/// Address of a task run.
pub fn path(run: &str, task: &str) -> String {
    format!("/runs/{run}/tasks/{}", segment(task))
}

/// The query that names a mapped instance.
pub fn instance(map_index: Option<i32>) -> Vec<(&'static str, String)> {
    map_index.map(|index| ("map_index", index.to_string())).into_iter().collect()
}

fn print(run: &Run, tasks: &[TaskRun], said: &Said) {
    let summary = &run.summary;
    let cause = summary.cause.as_ref().map(|cause| format!(" ({cause})")).unwrap_or_default();
    let took = summary.seconds.map(|seconds| format!(" · {}", output::seconds(seconds))).unwrap_or_default();
    output::line(&format!("{} · {}{cause}{took}", summary.workflow, output::run_state(summary.state.into())));
    output::line(&output::dim(&format!(
        "run {} · version {} · logical date {} · data {} … {}",
        summary.id, summary.version, summary.logical_date, summary.data_interval.start, summary.data_interval.end
    )));
    if summary.state != RunState::Succeeded {
        output::line(&run.sentence);
    }
    if let Some(note) = &summary.note {
        output::line(&format!("note: {note}"));
    }
    output::line("");
    output::table(
        &["", "TASK", "TYPE", "STATE", "ATTEMPTS", "TOOK", "ROWS IN", "ROWS OUT"],
        tasks.iter().enumerate().map(|(at, task)| {
            let output = said.output(at);
            let mut row = cells(task);
            row.push(rows(output, &ROWS_IN).map(output::count).unwrap_or_default());
            let out = rows(output, &ROWS_OUT).or_else(|| output.and_then(dataset_rows));
            row.push(out.map(output::count).unwrap_or_default());
            row
        }),
    );
    if tasks.len() > said.outputs.len() {
        output::note(&output::dim("outputs of so many tasks are not gathered: updraft tasks RUN TASK shows one"));
    }
    // What begins anew has its say when it has.
    let waits = |task: &&TaskRun| matches!(task.state, TaskState::Waiting | TaskState::Ready);
    for task in tasks.iter().filter(|task| !waits(task)) {
        let (class, message) = match (&task.error, &task.cause_words) {
            (Some(error), _) => (error.class.as_str(), error.message.as_str()),
            (None, Some(words)) if task.state == TaskState::Skipped && !task.attempts.is_empty() => {
                ("skipped", words.as_str())
            }
            (None, _) => continue,
        };
        let name = find::shown(&task.task, task.map_index);
        output::line(&format!("\n{} {name}: {}", output::task_sign(task.state.into()), output::dim(class)));
        message.lines().for_each(|text| output::line(&format!("    {text}")));
    }
    for task in tasks {
        for attempt in task.attempts.iter().filter(|attempt| attempt.outcome == Some(Outcome::Lost)) {
            output::line(&lost(task, attempt));
        }
    }
    let mut results = Vec::new();
    for (at, task) in tasks.iter().enumerate() {
        let name = find::shown(&task.task, task.map_index);
        results.extend(places(said.output(at)).into_iter().map(|place| format!("  {name}: {place}")));
    }
    if !results.is_empty() {
        output::line("\nResults");
        results.iter().for_each(|line| output::line(line));
    }
    if !said.metrics.is_empty() {
        output::line("\nMeasures");
        said.metrics.iter().for_each(|(task, metric)| output::line(&measure(task, metric)));
    }
}

fn lost(task: &TaskRun, attempt: &Attempt) -> String {
    let name = find::shown(&task.task, task.map_index);
    let why = attempt.cause_words.strip_prefix("lost: ").unwrap_or(&attempt.cause_words);
    format!("\n{name} attempt {} was lost ({why})", attempt.n)
}

/// Attempts that some worker has taken.
fn begun(task: &TaskRun) -> usize {
    let taken = |attempt: &&Attempt| attempt.outcome.is_some() || attempt.state == Some(AttemptPhase::Running);
    task.attempts.iter().filter(taken).count()
}

/// A measure on one line.
pub fn measure(task: &str, metric: &Metric) -> String {
    let labels: Vec<String> = metric.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
    format!("  {}{labels} = {} {} {}", metric.name, metric.value, metric.unit, output::dim(&format!("({task})")))
}

/// Sign, name, type, state, attempts and time of a task run.
pub fn cells(task: &TaskRun) -> Vec<String> {
    vec![
        output::task_sign(task.state.into()),
        find::shown(&task.task, task.map_index),
        task.task_type.clone(),
        output::task_state(task.state.into()),
        match begun(task) {
            0 => String::new(),
            attempts => attempts.to_string(),
        },
        task.seconds.map(output::seconds).unwrap_or_default(),
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
