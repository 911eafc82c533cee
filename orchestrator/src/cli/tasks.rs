//! `updraft tasks`: the task runs of a run, or the task types of this binary.

use clap::Args as ClapArgs;
use serde_json::{Value, json};
use updraft_task::{ConnectionNeed, TaskType};

use super::{Session, afar, output, select, summary};
use crate::compose;
use crate::exit_code::{ExitCode, Failure};
use crate::view::RunDocument;

/// Arguments of `updraft tasks`.
#[derive(Debug, ClapArgs)]
#[command(group(clap::ArgGroup::new("what").required(true).args(["run", "types"])))]
pub struct Args {
    /// A run's id, its first digits, or `latest`
    run: Option<String>,
    /// Lists the task types instead, or describes one
    #[arg(long, value_name = "TYPE", num_args = 0..=1, default_missing_value = "")]
    types: Option<String>,
}

/// Carries it out.
pub async fn run(session: &Session, args: Args) -> Result<ExitCode, Failure> {
    match (args.run, args.types) {
        (_, Some(name)) => types(session, &name),
        (Some(name), None) if session.server.is_some() => afar::tasks(session, &name).await,
        (Some(name), None) => {
            let reader = compose::reader(session).await?;
            let run = select::run(&*reader, &name).await?;
            let loaded = summary::load(&*reader, run).await?;
            let document = RunDocument::new(&loaded.detail, &loaded.workflow, summary::now());
            if session.json {
                output::json(&document)?;
            } else {
                summary::tasks(&document);
            }
            Ok(ExitCode::Success)
        }
        (None, None) => Err(Failure::input("give a run, or --types")),
    }
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
