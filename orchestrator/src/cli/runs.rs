//! `updraft runs`: the list, and one run.

use clap::{Args as ClapArgs, Subcommand};
use serde_json::json;
use updraft_model::state::RunState;
use updraft_store::Reader;
use updraft_store::read::RunFilter;

use super::{Session, afar, output, select, summary};
use crate::compose;
use crate::exit_code::{ExitCode, Failure};
use crate::view::RunPart;

/// Arguments of `updraft runs`.
#[derive(Debug, ClapArgs)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(subcommand)]
    command: Option<Sub>,
    #[command(flatten)]
    list: ListArgs,
}

#[derive(Debug, Subcommand)]
enum Sub {
    /// Lists runs, newest first
    List(ListArgs),
    /// Shows one run: its tasks, what they said, where the results lie
    Show {
        /// A run's id, its first digits, or `latest`
        run: String,
        /// Lists the events behind it
        #[arg(long)]
        events: bool,
    },
}

#[derive(Debug, ClapArgs)]
struct ListArgs {
    /// Of this workflow
    #[arg(short, long)]
    workflow: Option<String>,
    /// In this state (may be given more than once)
    #[arg(short, long, value_parser = run_state)]
    state: Vec<RunState>,
    /// At most so many
    #[arg(short = 'n', long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
    /// Older than this run
    #[arg(long, value_name = "RUN")]
    before: Option<String>,
}

fn run_state(text: &str) -> Result<RunState, String> {
    RunState::parse(text).ok_or_else(|| {
        format!(
            "no such state; known: {}",
            RunState::ALL.iter().map(|state| state.name()).collect::<Vec<_>>().join(", ")
        )
    })
}

/// Carries it out.
pub async fn run(session: &Session, args: Args) -> Result<ExitCode, Failure> {
    if session.server.is_some() {
        return match args.command.unwrap_or(Sub::List(args.list)) {
            Sub::List(args) => afar::runs(session, args.workflow, &args.state, args.limit).await,
            Sub::Show { run, events: false } => afar::run(session, &run).await,
            Sub::Show { run, events: true } => afar::events(session, &run).await,
        };
    }
    let reader = compose::reader(session).await?;
    match args.command {
        None => list(session, &*reader, args.list).await,
        Some(Sub::List(args)) => list(session, &*reader, args).await,
        Some(Sub::Show { run, events: false }) => {
            let run = select::run(&*reader, &run).await?;
            summary::show(session, &*reader, run).await
        }
        Some(Sub::Show { run, events: true }) => {
            let run = select::run(&*reader, &run).await?;
            events(session, &*reader, run).await
        }
    }
}

async fn list(session: &Session, reader: &dyn Reader, args: ListArgs) -> Result<ExitCode, Failure> {
    let before = match &args.before {
        Some(name) => Some(select::run(reader, name).await?),
        None => None,
    };
    let filter = RunFilter { workflow: args.workflow, states: args.state, before, limit: args.limit };
    let runs = reader.runs(&filter).await?;
    if session.json {
        let runs: Vec<_> = runs.iter().map(|view| RunPart::new(&view.workflow, &view.row)).collect();
        output::json(&json!({ "runs": runs }))?;
        return Ok(ExitCode::Success);
    }
    if runs.is_empty() {
        output::line("no runs");
        return Ok(ExitCode::Success);
    }
    output::table(
        &["RUN", "WORKFLOW", "STATE", "LOGICAL DATE", "STARTED", "TOOK"],
        runs.iter().map(|view| {
            let projection = &view.row.projection;
            let took = projection.started_at.zip(projection.ended_at).map(|(from, to)| to.since(from).as_secs_f64());
            vec![
                view.row.facts.run_id.to_string(),
                view.workflow.clone(),
                output::run_state(projection.state),
                view.row.facts.logical_at.to_string(),
                projection.started_at.map(|at| at.to_string()).unwrap_or_default(),
                took.map(output::seconds).unwrap_or_default(),
            ]
        }),
    );
    Ok(ExitCode::Success)
}

async fn events(session: &Session, reader: &dyn Reader, run: updraft_model::id::RunId) -> Result<ExitCode, Failure> {
    let history = reader.history(run, 1).await?;
    if session.json {
        output::json(&json!({ "run": run, "history": history }))?;
        return Ok(ExitCode::Success);
    }
    for entry in &history {
        output::line(&output::dim(&format!("{} #{} by {}", entry.at, entry.version, entry.actor)));
        for event in &entry.events {
            let text = serde_json::to_string(event)
                .map_err(|error| Failure::input(format!("an event is not JSON: {error}")))?;
            output::line(&format!("  {text}"));
        }
    }
    Ok(ExitCode::Success)
}
