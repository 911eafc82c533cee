//! `updraft tasks`: the task runs of a run, one of them, or the task types of this binary.

use clap::Args as ClapArgs;
use serde_json::{Value, json};
use updraft_api::dto::{TaskPage, TaskRun, TaskRunView, TaskState};
use updraft_task::{ConnectionNeed, TaskType};

use super::{Session, find, output, summary};
use crate::exit_code::{ExitCode, Failure};
use crate::remote;

/// Arguments of `updraft tasks`.
#[derive(Debug, ClapArgs)]
#[command(group(clap::ArgGroup::new("what").required(true).args(["run", "types"])))]
pub struct Args {
    /// A run's id, its first digits, or `latest`
    run: Option<String>,
    /// Shows this task run with its attempts, parameters and output; `TASK[INDEX]` is a mapped instance
    #[arg(requires = "run")]
    task: Option<String>,
    /// Lists the task types instead, or describes one
    #[arg(long, value_name = "TYPE", num_args = 0..=1, default_missing_value = "", conflicts_with = "task")]
    types: Option<String>,
}

/// Carries it out.
pub async fn run(session: &Session, args: Args) -> Result<ExitCode, Failure> {
    match (args.run, args.task, args.types) {
        (_, _, Some(name)) => types(session, &name),
        (Some(run), Some(task), None) => one(session, &run, &task).await,
        (Some(run), None, None) => all(session, &run).await,
        (None, _, None) => Err(Failure::input("give a run, or --types")),
    }
}

async fn all(session: &Session, run: &str) -> Result<ExitCode, Failure> {
    let answer: Value = remote::with(session, async |api| {
        let run = find::run(api, run).await?;
        api.get(&format!("/runs/{run}/tasks"), &[]).await
    })
    .await?;
    if session.json {
        output::json(&answer)?;
        return Ok(ExitCode::Success);
    }
    let page: TaskPage = super::typed(&answer)?;
    output::table(
        &["", "TASK", "TYPE", "STATE", "ATTEMPTS", "TOOK", "WHY"],
        page.items.iter().map(|task| {
            let mut row = summary::cells(task);
            row.push(why(task).unwrap_or_default());
            row
        }),
    );
    Ok(ExitCode::Success)
}

/// What went wrong, why it does not run, or why it did not.
fn why(task: &TaskRun) -> Option<String> {
    let said = task.error.as_ref().map(|error| error.line.clone());
    let waits = || task.reason.as_ref().map(|reason| reason.text.clone());
    said.or_else(waits).or_else(|| task.cause_words.clone().filter(|_| task.state != TaskState::Succeeded))
}

async fn one(session: &Session, run: &str, name: &str) -> Result<ExitCode, Failure> {
    let (task, map_index) = find::instance(name);
    let answer: Value = remote::with(session, async |api| {
        let run = find::run(api, run).await?;
        find::tasks(api, &run, name).await?;
        api.get(&summary::path(&run, task), &summary::instance(map_index)).await
    })
    .await?;
    if session.json {
        output::json(&answer)?;
        return Ok(ExitCode::Success);
    }
    let view: TaskRunView = super::typed(&answer)?;
    print(&view)?;
    Ok(ExitCode::Success)
}

fn print(view: &TaskRunView) -> Result<(), Failure> {
    let task = &view.task_run;
    let name = find::shown(&task.task, task.map_index);
    let words = task.cause_words.as_ref().map(|words| format!(" · {words}")).unwrap_or_default();
    output::line(&format!("{name} · {} · {}{words}", task.task_type, output::task_state(task.state.into())));
    output::line(&output::dim(&format!("run {} of {}", view.run.id, view.run.workflow)));
    if let Some(why) = task.error.as_ref().map(|error| error.message.clone()).or_else(|| why(task)) {
        why.lines().for_each(|line| output::line(&format!("    {line}")));
    }
    if !task.attempts.is_empty() {
        output::line("");
        output::table(
            &["ATTEMPT", "TRY", "OUTCOME", "WAITED", "TOOK", "WORKER", "WHY"],
            task.attempts.iter().map(|attempt| {
                vec![
                    attempt.n.to_string(),
                    attempt.try_no.to_string(),
                    attempt.outcome.map_or_else(|| "live".to_owned(), |outcome| outcome.name().to_owned()),
                    attempt.wait_seconds.map(output::seconds).unwrap_or_default(),
                    attempt.seconds.map(output::seconds).unwrap_or_default(),
                    attempt.worker.clone().unwrap_or_default(),
                    attempt.cause_words.clone(),
                ]
            }),
        );
    }
    let rendered = view.params_rendered.as_ref();
    part("Parameters", Some(&Value::Object(rendered.unwrap_or(&view.params_written).clone())))?;
    part("Output", view.output.as_ref())?;
    if !view.metrics.is_empty() {
        output::line("\nMeasures");
        view.metrics.iter().for_each(|metric| output::line(&summary::measure(&task.task, metric)));
    }
    Ok(())
}

/// A JSON value under a heading; nothing for an empty one.
fn part(heading: &str, value: Option<&Value>) -> Result<(), Failure> {
    let Some(value) = value.filter(|value| !value.is_null() && value.as_object().is_none_or(|map| !map.is_empty()))
    else {
        return Ok(());
    };
    output::line(&format!("\n{heading}"));
    output::json(value)
}

fn types(session: &Session, name: &str) -> Result<ExitCode, Failure> {
    let chosen: Vec<&TaskType> = if name.is_empty() {
        session.registry.tasks().collect()
    } else {
        vec![session.registry.task(name).ok_or_else(|| {
            Failure::input(format!("there is no task type `{name}`"))
                .hint(session.registry.tasks().map(|task| task.name).collect::<Vec<_>>().join(", "))
        })?]
    };
    if session.json {
        let types: Vec<Value> = chosen.iter().map(|task| document(task)).collect();
        output::json(&json!({ "types": types }))?;
    } else if name.is_empty() {
        output::table(
            &["TYPE", "EFFECTS", "CONNECTION", "WHAT IT DOES"],
            chosen.iter().map(|task| {
                vec![
                    task.name.to_owned(),
                    task.effects.name().to_owned(),
                    connection(task.connection),
                    task.summary.to_owned(),
                ]
            }),
        );
    } else {
        output::text(&crate::reference::task(chosen[0]));
    }
    Ok(ExitCode::Success)
}

fn connection(need: ConnectionNeed) -> String {
    match need {
        ConnectionNeed::None => String::new(),
        ConnectionNeed::Optional(kinds) => format!("[{}]", kinds.join(" | ")),
        ConnectionNeed::Required(kinds) => kinds.join(" | "),
    }
}

fn document(task: &TaskType) -> Value {
    json!({
        "type": task.name,
        "summary": task.summary,
        "effects": task.effects.name(),
        "connection": connection(task.connection),
        "errors": task.errors.iter().map(|class| json!({
            "class": class.name, "retryable": class.retryable, "meaning": class.meaning,
        })).collect::<Vec<_>>(),
        "example": task.example,
        "params": task.params,
        "output": task.output,
    })
}
