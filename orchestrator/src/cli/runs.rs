//! `updraft runs`: the list, and one run.

use clap::{Args as ClapArgs, Subcommand};
use serde_json::Value;
use updraft_api::dto::{EventPage, RunPage};
use updraft_model::span;
use updraft_model::state::RunState;
use updraft_model::time::Timestamp;

use super::{Session, find, output, summary};
use crate::exit_code::{ExitCode, Failure};
use crate::remote;

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
    /// In this state (may be given more than once, or with commas)
    #[arg(short, long, value_parser = run_state, value_delimiter = ',')]
    state: Vec<RunState>,
    /// Made by this (may be given more than once)
    #[arg(long, value_parser = ["schedule", "manual", "backfill", "asset", "event", "api"], value_delimiter = ',')]
    trigger: Vec<String>,
    /// At or after this instant; `24h` is so long ago. Counts when it ended, else was made
    #[arg(long, value_name = "INSTANT", value_parser = moment)]
    since: Option<Timestamp>,
    /// Before this instant
    #[arg(long, value_name = "INSTANT", value_parser = moment)]
    until: Option<Timestamp>,
    /// Which instant `--since` and `--until` count by
    #[arg(long, value_parser = ["created", "ended", "logical"])]
    by: Option<String>,
    /// With this in the workflow's id or the note, or as first digits of the id
    #[arg(long, value_name = "TEXT")]
    search: Option<String>,
    /// In this order; `-` is the latest first
    #[arg(long, allow_hyphen_values = true, default_value = "-created_at",
          value_parser = ["-created_at", "created_at", "-logical_date", "logical_date", "-ended_at"])]
    sort: String,
    /// At most so many
    #[arg(short = 'n', long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=500))]
    limit: u32,
    /// Goes on after the page before: its `next`
    #[arg(long)]
    cursor: Option<String>,
}

fn run_state(text: &str) -> Result<RunState, String> {
    RunState::parse(text).ok_or_else(|| {
        format!(
            "no such state; known: {}",
            RunState::ALL.iter().map(|state| state.name()).collect::<Vec<_>>().join(", ")
        )
    })
}

/// An instant, or how long ago it was.
fn moment(text: &str) -> Result<Timestamp, String> {
    if let Ok(ago) = span::parse(text) {
        return Ok(super::now() - ago);
    }
    Timestamp::parse(text).ok_or_else(|| "not an instant: write 2026-01-31T09:30:00Z, 2026-01-31, or 24h".to_owned())
}

/// Carries it out.
pub async fn run(session: &Session, args: Args) -> Result<ExitCode, Failure> {
    match args.command.unwrap_or(Sub::List(args.list)) {
        Sub::List(args) => list(session, args).await,
        Sub::Show { run, events: false } => {
            remote::with(session, async |api| {
                let run = find::run(api, &run).await?;
                summary::show(session, api, &run).await
            })
            .await?;
            Ok(ExitCode::Success)
        }
        Sub::Show { run, events: true } => events(session, &run).await,
    }
}

async fn list(session: &Session, args: ListArgs) -> Result<ExitCode, Failure> {
    let several = |words: Vec<&str>| (!words.is_empty()).then(|| words.join(","));
    let given = [
        ("workflow", args.workflow),
        ("state", several(args.state.iter().map(|state| state.name()).collect())),
        ("trigger", several(args.trigger.iter().map(String::as_str).collect())),
        ("since", args.since.map(|at| at.to_string())),
        ("until", args.until.map(|at| at.to_string())),
        ("by", args.by),
        ("search", args.search),
        ("sort", Some(args.sort)),
        ("limit", Some(args.limit.to_string())),
        ("cursor", args.cursor),
    ];
    let query: Vec<(&str, String)> = given.into_iter().filter_map(|(key, value)| Some((key, value?))).collect();
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
    output::table(
        &["RUN", "WORKFLOW", "STATE", "LOGICAL DATE", "STARTED", "TOOK"],
        page.items.iter().map(|run| {
            let masked = if run.masked { " (hides a failure)" } else { "" };
            vec![
                run.id.to_string(),
                run.workflow.clone(),
                format!("{}{masked}", output::run_state(run.state.into())),
                run.logical_date.to_string(),
                run.started_at.map(|at| at.to_string()).unwrap_or_default(),
                run.seconds.map(output::seconds).unwrap_or_default(),
            ]
        }),
    );
    if let Some(next) = &page.next {
        output::note(&output::dim(&format!("there are more: --cursor {next}")));
    }
    Ok(ExitCode::Success)
}

async fn events(session: &Session, name: &str) -> Result<ExitCode, Failure> {
    let answer: Value = remote::with(session, async |api| {
        let run = find::run(api, name).await?;
        api.all(&format!("/runs/{run}/events"), &[]).await
    })
    .await?;
    if session.json {
        output::json(&answer)?;
        return Ok(ExitCode::Success);
    }
    let page: EventPage = super::typed(&answer)?;
    for entry in &page.items {
        output::line(&output::dim(&format!("{} #{} by {}", entry.at, entry.version, entry.actor)));
        entry.events.iter().for_each(|event| output::line(&format!("  {event}")));
    }
    Ok(ExitCode::Success)
}
