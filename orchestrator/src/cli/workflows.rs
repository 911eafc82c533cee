//! `updraft workflows` and `updraft schedules`: what is published, and when it fires.

use clap::{Args as ClapArgs, Subcommand};
use serde_json::{Value, json};
use updraft_api::dto::{NextFires, SchedulePreview, WorkflowPage};
use updraft_api::schedule_preview;
use updraft_model::workflow::Workflow;
use updraft_spec::check_bytes;

use super::{Session, check, files, output};
use crate::exit_code::{ExitCode, Failure};
use crate::remote;

/// Arguments of `updraft workflows`.
#[derive(Debug, ClapArgs)]
pub struct Args {
    /// Only those whose id, description or tags hold this
    #[arg(long)]
    search: Option<String>,
    /// Only these
    #[arg(long, value_parser = ["active", "paused", "retired", "failing", "late", "running"])]
    state: Option<String>,
    /// With this tag
    #[arg(long)]
    tag: Option<String>,
    /// Of this owner
    #[arg(long)]
    owner: Option<String>,
    /// In this order; `-` turns it round
    #[arg(long, allow_hyphen_values = true,
          value_parser = ["attention", "-attention", "name", "-name", "last_run", "-last_run", "next_fire", "-next_fire"])]
    sort: Option<String>,
    /// At most this many
    #[arg(short = 'n', long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=500))]
    limit: u32,
    /// Goes on after the page before: its `next`
    #[arg(long)]
    cursor: Option<String>,
}

/// Arguments of `updraft schedules`.
#[derive(Debug, ClapArgs)]
pub struct Schedules {
    #[command(subcommand)]
    command: SchedulesCommand,
}

#[derive(Debug, Subcommand)]
enum SchedulesCommand {
    /// The next fires: of a workflow file, of a published workflow, or of all published ones
    Next(Next),
}

/// Arguments of `updraft schedules next`.
#[derive(Debug, ClapArgs)]
struct Next {
    /// A workflow file, or the id of a published workflow; all published ones if left out
    what: Option<String>,
    /// How many
    #[arg(short, long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=500))]
    n: u16,
    /// Shows local time in this zone instead of the schedule's own
    #[arg(long)]
    zone: Option<String>,
}

/// `updraft workflows`.
pub async fn run(session: &Session, args: Args) -> Result<ExitCode, Failure> {
    let mut query = vec![("limit", args.limit.to_string())];
    let given = [
        ("search", args.search),
        ("state", args.state),
        ("tag", args.tag),
        ("owner", args.owner),
        ("sort", args.sort),
        ("cursor", args.cursor),
    ];
    query.extend(given.into_iter().filter_map(|(key, value)| Some((key, value?))));
    let answer: Value = remote::with(session, async |api| api.get("/workflows", &query).await).await?;
    if session.json {
        output::json(&answer)?;
        return Ok(ExitCode::Success);
    }
    let page: WorkflowPage = super::typed(&answer)?;
    if page.items.is_empty() {
        output::line("no workflows");
        return Ok(ExitCode::Success);
    }
    let rows = page.items.iter().map(|one| {
        let when = one.why_not.clone().or_else(|| one.next_fire.map(|at| at.to_string())).unwrap_or_default();
        let last = one.last_run.as_ref().map_or("never ran", |run| run.state.name());
        let schedule = one.schedule.as_ref().map_or("by hand", |schedule| schedule.words.as_str());
        vec![one.id.clone(), last.to_owned(), schedule.to_owned(), when]
    });
    output::table(&["WORKFLOW", "LAST RUN", "SCHEDULE", "NEXT"], rows);
    if let Some(next) = &page.next {
        output::note(&output::dim(&format!("there are more: --cursor {next}")));
    }
    Ok(ExitCode::Success)
}

/// `updraft schedules`.
pub async fn schedules(session: &Session, args: Schedules) -> Result<ExitCode, Failure> {
    let SchedulesCommand::Next(args) = args.command;
    match args.what.as_deref() {
        Some(file) if session.cwd.join(file).is_file() => of_file(session, file, &args),
        Some(workflow) => of_workflow(session, workflow, &args).await,
        None => of_all(session, &args).await,
    }
}

/// Without a store: what the file says.
fn of_file(session: &Session, file: &str, args: &Next) -> Result<ExitCode, Failure> {
    let workflow = read(session, file)?;
    if workflow.schedule.is_none() {
        return Err(Failure::input(format!("`{}` has no schedule: it runs by hand only", workflow.id)));
    }
    let found = schedule_preview(&workflow, args.zone.as_deref(), usize::from(args.n), super::now());
    show(session, args, &json!(found.map_err(Failure::input)?))
}

async fn of_workflow(session: &Session, workflow: &str, args: &Next) -> Result<ExitCode, Failure> {
    let mut query = vec![("n", args.n.to_string())];
    query.extend(args.zone.clone().map(|zone| ("zone", zone)));
    let path = format!("/workflows/{}/schedule", super::segment(workflow));
    let answer: Value = remote::with(session, async |api| api.get(&path, &query).await).await?;
    show(session, args, &answer)
}

fn show(session: &Session, args: &Next, answer: &Value) -> Result<ExitCode, Failure> {
    if session.json {
        output::json(answer)?;
        return Ok(ExitCode::Success);
    }
    let found: SchedulePreview = super::typed(answer)?;
    let said = found.words.as_deref().unwrap_or("by hand only");
    output::line(&format!("{}: {said}{}", found.workflow, if found.paused { " (paused)" } else { "" }));
    if !found.next.is_empty() {
        let zone = args.zone.as_deref().or(found.timezone.as_deref()).unwrap_or("UTC");
        let local = format!("LOCAL ({zone})");
        let rows = found.next.into_iter().map(|one| {
            let logical = one.logical_date.to_string();
            vec![format!("{} {}", one.local, one.offset), one.at.to_string(), logical, one.note.unwrap_or_default()]
        });
        output::table(&[&local, "UTC", "LOGICAL DATE", ""], rows);
    }
    if found.skipped.total > 0 {
        output::note(&output::dim(&format!("{} fires did not become runs, ever", found.skipped.total)));
    }
    Ok(ExitCode::Success)
}

async fn of_all(session: &Session, args: &Next) -> Result<ExitCode, Failure> {
    let query = [("n", args.n.to_string())];
    let answer: Value = remote::with(session, async |api| api.get("/schedules/next", &query).await).await?;
    if session.json {
        output::json(&answer)?;
        return Ok(ExitCode::Success);
    }
    let found: NextFires = super::typed(&answer)?;
    if found.items.is_empty() {
        output::line("nothing is scheduled");
        return Ok(ExitCode::Success);
    }
    let rows = found.items.into_iter().map(|one| vec![one.at.to_string(), one.workflow, one.schedule]);
    output::table(&["AT (UTC)", "WORKFLOW", "SCHEDULE"], rows);
    Ok(ExitCode::Success)
}

/// The workflow of a file, if it has no errors.
///
/// # Errors
/// It cannot be read, or has errors, which are shown.
pub fn read(session: &Session, file: &str) -> Result<Workflow, Failure> {
    let connections = session.connections(None)?;
    let path = session.cwd.join(file);
    if !path.is_file() {
        return Err(Failure::input(format!("there is no file {file}")));
    }
    let bytes = files::read(session, &path)?;
    let checked = check_bytes(&files::shown(session, &path), &bytes, &files::spec_of(&session.registry, &connections));
    check::print(&checked);
    checked.workflow.ok_or_else(|| Failure::silent(ExitCode::BadInput))
}
