//! What is done to runs and workflows that are there: `retry`, `mark`, `pause`, `unpause`.

use clap::{Args as ClapArgs, ValueEnum};
use serde_json::{Map, Value, json};
use updraft_api::dto::Run;

use super::{Session, find, output, plan};
use crate::exit_code::{ExitCode, Failure};
use crate::remote::{self, Api};

/// Which version a repeated run goes on with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Version {
    /// The one that it ran on
    Pinned,
    /// The current one
    Newest,
}

/// A state set by hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum State {
    /// As if it had succeeded
    Succeeded,
    /// As if it had failed
    Failed,
}

/// Arguments of `updraft retry`.
#[derive(Debug, ClapArgs)]
pub struct Retry {
    /// A run: its id, its first digits, or `latest`
    run: String,
    /// Runs this task again instead of the failed ones (may be given more than once)
    #[arg(short, long = "task", value_name = "TASK")]
    tasks: Vec<String>,
    /// And everything downstream of those tasks
    #[arg(long, requires = "tasks")]
    downstream: bool,
    /// Runs everything again
    #[arg(long, conflicts_with_all = ["tasks", "downstream"])]
    all: bool,
    /// Which version of the workflow it goes on with
    #[arg(long, value_enum, default_value = "pinned")]
    version: Version,
    #[command(flatten)]
    how: How,
}

/// Arguments of `updraft mark`.
#[derive(Debug, ClapArgs)]
pub struct Mark {
    /// A run: its id, its first digits, or `latest`
    run: String,
    /// The state that it gets
    #[arg(value_enum)]
    state: State,
    /// Sets this task run alone (may be given more than once); else all that are open
    #[arg(short, long = "task", value_name = "TASK")]
    tasks: Vec<String>,
    #[command(flatten)]
    how: How,
}

/// Arguments of `updraft pause` and `updraft unpause`.
#[derive(Debug, ClapArgs)]
pub struct Pause {
    /// Id of a published workflow
    workflow: String,
    #[command(flatten)]
    how: How,
}

/// What every change takes.
#[derive(Debug, ClapArgs)]
pub struct How {
    /// Why; kept in the audit log
    #[arg(long)]
    pub reason: Option<String>,
    /// Says what would happen, and does nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// `updraft retry`.
pub async fn retry(session: &Session, args: Retry) -> Result<ExitCode, Failure> {
    let what = match (args.all, args.tasks.is_empty()) {
        (true, _) => "all",
        (false, true) => "failed",
        (false, false) => "tasks",
    };
    let version = match args.version {
        Version::Pinned => "pinned",
        Version::Newest => "newest",
    };
    let mut body = json!({ "what": what, "version": version, "downstream": args.downstream });
    if !args.tasks.is_empty() {
        body["tasks"] = chosen(&args.tasks);
    }
    of_run(session, &args.run, "retry", body, &args.how).await
}

/// `updraft mark`.
pub async fn mark(session: &Session, args: Mark) -> Result<ExitCode, Failure> {
    let state = match args.state {
        State::Succeeded => "succeeded",
        State::Failed => "failed",
    };
    let mut body = json!({ "state": state });
    if !args.tasks.is_empty() {
        body["tasks"] = chosen(&args.tasks);
    }
    of_run(session, &args.run, "mark", body, &args.how).await
}

/// Task runs as the API takes them.
fn chosen(tasks: &[String]) -> Value {
    let choice = |name: &String| match find::instance(name) {
        (task, None) => json!(task),
        (task, Some(index)) => json!({ "task": task, "map_index": index }),
    };
    tasks.iter().map(choice).collect()
}

/// Asks for a change of a run, or what it would be.
///
/// # Errors
/// What the server says.
pub async fn of_run(session: &Session, run: &str, verb: &str, body: Value, how: &How) -> Result<ExitCode, Failure> {
    let asked = remote::with(session, async |api| {
        let run = find::run(api, run).await?;
        let answer = ask(session, api, &format!("/runs/{run}/{verb}"), body, how).await?;
        if verb == "retry" && answer.is_some() {
            tell_if_nobody_runs(api);
        }
        Ok(answer)
    });
    let Some(answer) = asked.await? else { return Ok(ExitCode::Success) };
    if session.json {
        output::json(&answer)?;
    } else {
        let run: Run = super::typed(&answer)?;
        output::line(&format!("{} {} is {}", run.summary.workflow, run.summary.id, run.summary.state.name()));
    }
    Ok(ExitCode::Success)
}

/// Says that nothing will happen yet, where there is no daemon.
pub fn tell_if_nobody_runs(api: &Api) {
    if api.is_momentary() {
        output::note("no daemon is running on this store: the run goes on when one does (updraft dev, updraft serve)");
    }
}

/// `updraft pause` and `updraft unpause`.
pub async fn pause(session: &Session, args: Pause, paused: bool) -> Result<ExitCode, Failure> {
    let verb = if paused { "pause" } else { "unpause" };
    let path = format!("/workflows/{}/{verb}", super::segment(&args.workflow));
    let asked = remote::with(session, async |api| ask(session, api, &path, json!({}), &args.how).await);
    let Some(answer) = asked.await? else { return Ok(ExitCode::Success) };
    if session.json {
        output::json(&answer)?;
        return Ok(ExitCode::Success);
    }
    let next = answer.get("next_fire_at").or_else(|| answer.get("next_fire")).and_then(Value::as_str);
    output::line(&match (paused, next) {
        (true, _) => format!("{} is paused: no new runs by its schedule; runs under way go on", args.workflow),
        (false, Some(next)) => format!("{} is active; it fires next at {next}", args.workflow),
        (false, None) => format!("{} is active", args.workflow),
    });
    Ok(ExitCode::Success)
}

async fn ask(session: &Session, api: &Api, path: &str, body: Value, how: &How) -> Result<Option<Value>, Failure> {
    let mut body: Map<String, Value> = body.as_object().cloned().unwrap_or_default();
    if let Some(reason) = &how.reason {
        body.insert("reason".to_owned(), json!(reason));
    }
    if how.dry_run {
        let answer: Value = api.post(path, &[("dry_run", "true".to_owned())], &body).await?;
        plan::print(session, &answer)?;
        return Ok(None);
    }
    api.post(path, &[], &body).await.map(Some)
}
