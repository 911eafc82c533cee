//! `runs`, `tasks`, `logs` and `cancel` of another server (`--server`): what its API says.

use serde_json::{Value, json};
use updraft_api::dto::{Run, RunPage, TaskPage};
use updraft_model::state::RunState;

use super::{Session, change, output};
use crate::exit_code::{ExitCode, Failure};
use crate::remote::{self, Api};

/// The list of runs.
///
/// # Errors
/// What the server says.
pub async fn runs(
    session: &Session,
    workflow: Option<String>,
    states: &[RunState],
    limit: u32,
) -> Result<ExitCode, Failure> {
    let mut query = vec![("limit", limit.min(500).to_string())];
    query.extend(workflow.map(|name| ("workflow", name)));
    if !states.is_empty() {
        query.push(("state", states.iter().map(|state| state.name()).collect::<Vec<_>>().join(",")));
    }
    let answer: Value = remote::with(session, async |api| api.get("/runs", &query).await).await?;
    if session.json {
        output::json(&answer)?;
        return Ok(ExitCode::Success);
    }
    let page: RunPage = super::typed(&answer)?;
    if page.items.is_empty() {
        output::line("no runs");
        return Ok(ExitCode::Success);
    }
    let rows = page.items.iter().map(|run| {
        vec![
            run.id.to_string(),
            run.workflow.clone(),
            output::run_state(run.state.into()),
            run.logical_date.to_string(),
            run.started_at.map(|at| at.to_string()).unwrap_or_default(),
            run.seconds.map(output::seconds).unwrap_or_default(),
        ]
    });
    output::table(&["RUN", "WORKFLOW", "STATE", "LOGICAL DATE", "STARTED", "TOOK"], rows);
    Ok(ExitCode::Success)
}

/// One run.
///
/// # Errors
/// What the server says.
pub async fn run(session: &Session, name: &str) -> Result<ExitCode, Failure> {
    let (found, tasks) = remote::with(session, async |api| {
        let id = change::find(api, name).await?;
        let found: Value = api.get(&format!("/runs/{id}"), &[]).await?;
        Ok((found, tasks_of(api, &id).await?))
    })
    .await?;
    if session.json {
        output::json(&json!({ "run": found, "tasks": tasks.items }))?;
        return Ok(ExitCode::Success);
    }
    let run: Run = super::typed(&found)?;
    output::line(&format!("{} {} · version {}", run.summary.workflow, run.summary.id, run.summary.version));
    output::line(&run.sentence);
    table(&tasks);
    Ok(ExitCode::Success)
}

/// What happened in a run.
///
/// # Errors
/// What the server says.
pub async fn events(session: &Session, name: &str) -> Result<ExitCode, Failure> {
    let answer: Value = remote::with(session, async |api| {
        let id = change::find(api, name).await?;
        api.get(&format!("/runs/{id}/events"), &[]).await
    })
    .await?;
    if session.json {
        output::json(&answer)?;
        return Ok(ExitCode::Success);
    }
    for entry in answer["items"].as_array().into_iter().flatten() {
        let text = |field: &str| entry[field].as_str().unwrap_or_default().to_owned();
        output::line(&output::dim(&format!("{} #{} by {}", text("at"), entry["version"], text("actor"))));
        for event in entry["events"].as_array().into_iter().flatten() {
            output::line(&format!("  {event}"));
        }
    }
    Ok(ExitCode::Success)
}

/// The task runs of a run.
///
/// # Errors
/// What the server says.
pub async fn tasks(session: &Session, name: &str) -> Result<ExitCode, Failure> {
    let page = remote::with(session, async |api| {
        let id = change::find(api, name).await?;
        tasks_of(api, &id).await
    })
    .await?;
    if session.json {
        output::json(&page)?;
    } else {
        table(&page);
    }
    Ok(ExitCode::Success)
}

async fn tasks_of(api: &Api, run: &str) -> Result<TaskPage, Failure> {
    let mut all = TaskPage { items: Vec::new(), next: None };
    let mut cursor: Option<String> = None;
    loop {
        let mut query = vec![("limit", "500".to_owned())];
        query.extend(cursor.map(|cursor| ("cursor", cursor)));
        let page: TaskPage = api.get(&format!("/runs/{run}/tasks"), &query).await?;
        all.items.extend(page.items);
        match page.next {
            Some(next) => cursor = Some(next),
            None => return Ok(all),
        }
    }
}

fn table(page: &TaskPage) {
    let rows = page.items.iter().map(|task| {
        let name = task.map_index.map_or_else(|| task.task.clone(), |index| format!("{}[{index}]", task.task));
        let said = task.error.as_ref().map(|error| error.line.clone());
        let why = said.or_else(|| task.reason.as_ref().map(|reason| reason.text.clone())).unwrap_or_default();
        vec![
            name,
            output::task_state(task.state.into()),
            task.attempts.len().to_string(),
            task.seconds.map(output::seconds).unwrap_or_default(),
            why,
        ]
    });
    output::table(&["TASK", "STATE", "ATTEMPTS", "TOOK", ""], rows);
}

/// The log of an attempt: of one task, or the last of each.
///
/// # Errors
/// What the server says.
pub async fn logs(
    session: &Session,
    name: &str,
    task: Option<&str>,
    attempt: Option<u32>,
) -> Result<ExitCode, Failure> {
    remote::with(session, async |api| {
        let run = change::find(api, name).await?;
        let page = tasks_of(api, &run).await?;
        let mut found = false;
        for one in page.items.iter().filter(|one| task.is_none_or(|task| task == one.task)) {
            let Some(n) = attempt.or_else(|| one.attempts.last().map(|last| last.n)) else { continue };
            found = true;
            let instance = one.map_index.map_or_else(String::new, |index| format!("?map_index={index}"));
            let path = format!("/runs/{run}/tasks/{}/attempts/{n}/log{instance}", super::segment(&one.task));
            let text = api.text(&path).await?;
            if session.json {
                output::json_line(&json!({ "run": run, "task": one.task, "attempt": n, "text": text }))?;
            } else {
                if task.is_none() {
                    output::line(&output::dim(&format!("── {} · attempt {n}", one.task)));
                }
                output::text(&text);
            }
        }
        match task {
            Some(task) if !found => Err(Failure::input(format!("run {run} has no attempt of a task `{task}`"))),
            Some(_) | None => Ok(ExitCode::Success),
        }
    })
    .await
}
