//! What several routes need of workflows, gathered once.

use std::collections::HashMap;
use std::sync::Arc;

use futures::future::{join_all, try_join_all};
use serde_json::{Map, Value, json};
use updraft_model::id::{RunId, VersionId};
use updraft_model::time::Timestamp;
use updraft_model::workflow::Workflow as Written;
use updraft_store::history::{RunLine, WorkflowLine};

use crate::dto::{Diagnostic, FileDiagnostics, Time, WorkflowSummary, WorkflowTask};
use crate::problem::Problem;
use crate::read::workflow::{Beside, diagnostic, line};
use crate::read::{self};
use crate::state::ApiState;
use crate::versions::Version;
use crate::words;

/// A workflow with its newest version.
pub(crate) struct Found {
    pub line: WorkflowLine,
    pub version: Arc<Version>,
    pub now: Timestamp,
}

/// The workflow of that id.
pub(crate) async fn find(api: &ApiState, workflow: &str) -> Result<Found, Problem> {
    let now = api.now();
    let line = api.history().workflow_line(workflow, now).await?;
    let line = line.ok_or_else(|| Problem::not_found(format!("workflow `{workflow}`")))?;
    let version = api.versions().get(line.version_id).await?;
    Ok(Found { line, version, now })
}

impl Found {
    pub(crate) fn written(&self) -> &Written {
        &self.version.compiled.workflow
    }

    pub(crate) fn version_id(&self) -> VersionId {
        self.line.version_id
    }
}

/// Workflows as rows of a list.
pub(crate) async fn summaries(
    api: &ApiState,
    lines: Vec<WorkflowLine>,
    now: Timestamp,
) -> Result<Vec<WorkflowSummary>, Problem> {
    let runs: Vec<RunId> = lines.iter().filter_map(|line| line.last_run.as_ref()).map(|bar| bar.run_id).collect();
    let found = api.history().run_lines_of(&runs).await?;
    let mut last_runs: HashMap<RunId, RunLine> = found.into_iter().map(|run| (run.run_id, run)).collect();
    let lines = lines.into_iter().map(|line| {
        let last_run = line.last_run.as_ref().and_then(|bar| last_runs.remove(&bar.run_id));
        with_last_run(api, line, last_run, now)
    });
    Ok(join_all(lines).await)
}

/// A workflow as a row of a list.
pub(crate) async fn summary(api: &ApiState, of: WorkflowLine, now: Timestamp) -> Result<WorkflowSummary, Problem> {
    let last_run = match &of.last_run {
        Some(bar) => api.history().run_line(bar.run_id).await?,
        None => None,
    };
    Ok(with_last_run(api, of, last_run, now).await)
}

async fn with_last_run(api: &ApiState, of: WorkflowLine, last_run: Option<RunLine>, now: Timestamp) -> WorkflowSummary {
    // A version that this build cannot read is listed all the same.
    let version = api.versions().get(of.version_id).await.ok();
    let beside = Beside {
        schedule: version.as_ref().and_then(|version| read::schedule::text(&version.compiled.workflow)),
        last_run,
        diagnostics: u32::try_from(diagnostics(api, &of.name, &of.path).len()).unwrap_or(u32::MAX),
        why_not: why_not(&of, now),
    };
    line(of, beside, now)
}

/// Why a workflow does not run, in words.
fn why_not(of: &WorkflowLine, now: Timestamp) -> Option<String> {
    if of.retired {
        return Some("its file is gone".to_owned());
    }
    if of.paused {
        return Some("it is paused: its schedule makes no runs".to_owned());
    }
    let late = of.next_fire.filter(|due| now.since(*due) >= LATE)?;
    Some(format!("its fire of {late} is {} late", words::span(now.since(late))))
}

/// A fire that is overdue by less is on its way.
pub(crate) const LATE: std::time::Duration = std::time::Duration::from_secs(10);

/// Diagnostics of a workflow's file, as this process's folders stand.
pub(crate) fn diagnostics(api: &ApiState, workflow: &str, path: &str) -> Vec<Diagnostic> {
    let Some(catalog) = api.catalog() else { return Vec::new() };
    let view = catalog.view();
    let broken = view.broken.iter().find(|file| file.workflow.as_deref() == Some(workflow) || file.path == path);
    let found = broken.map(|file| &file.diagnostics).or_else(|| view.warnings.get(workflow));
    found.into_iter().flatten().map(diagnostic).collect()
}

/// Files with errors.
pub(crate) async fn broken_files(api: &ApiState) -> Result<Vec<FileDiagnostics>, Problem> {
    let Some(catalog) = api.catalog() else { return Ok(Vec::new()) };
    let view = catalog.view();
    let files = view.broken.iter().map(|file| async {
        let kept = match &file.workflow {
            Some(workflow) => api.history().workflow_line(workflow, api.now()).await?,
            None => None,
        };
        Ok::<_, Problem>(FileDiagnostics {
            path: file.path.clone(),
            workflow: file.workflow.clone(),
            since: Time(file.since),
            kept_version: kept.filter(|line| !line.retired).map(|line| u64::from(line.version_no)),
            diagnostics: file.diagnostics.iter().map(diagnostic).collect(),
        })
    });
    try_join_all(files).await
}

/// JSON Schema of the trigger form.
pub(crate) fn params_schema(workflow: &Written) -> Value {
    let required: Vec<&String> =
        workflow.params.iter().filter(|(_, schema)| schema.get("default").is_none()).map(|(name, _)| name).collect();
    let mut schema = Map::new();
    schema.insert("type".to_owned(), json!("object"));
    schema.insert("properties".to_owned(), Value::Object(workflow.params.clone()));
    if !required.is_empty() {
        schema.insert("required".to_owned(), json!(required));
    }
    schema.insert("additionalProperties".to_owned(), json!(false));
    Value::Object(schema)
}

/// Tasks as written.
pub(crate) fn tasks(workflow: &Written) -> Vec<WorkflowTask> {
    let task = |task: &updraft_model::workflow::Task| WorkflowTask {
        id: task.id.to_string(),
        task_type: task.task_type.clone(),
        depends_on: task.depends_on.iter().map(ToString::to_string).collect(),
        trigger_rule: task.trigger_rule.name().to_owned(),
        when: task.when.clone(),
        conn: task.conn.clone(),
    };
    workflow.tasks.iter().map(task).collect()
}
