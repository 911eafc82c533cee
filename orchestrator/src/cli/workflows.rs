//! `updraft workflows` and `updraft schedules`: what is published, and when it fires.

use clap::{Args as ClapArgs, Subcommand};
use serde_json::{Value, json};
use updraft_api::dto::{NextFires, SchedulePreview, WorkflowPage};
use updraft_model::schedule::fires::FireError;
use updraft_model::schedule::preview::{preview, schedule_zone};
use updraft_model::schedule::timetable::Timetable;
use updraft_model::schedule::words::words;
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
    /// Only these: active, paused, retired, failing, late, running
    #[arg(long)]
    state: Option<String>,
    /// At most this many
    #[arg(long, default_value_t = 100)]
    limit: u32,
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
    query.extend(args.search.map(|text| ("search", text)));
    query.extend(args.state.map(|state| ("state", state)));
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
    let now = super::now();
    let Some(schedule) = &workflow.schedule else {
        return Err(Failure::input(format!("`{}` has no schedule: it runs by hand only", workflow.id)));
    };
    let wrong = |error: FireError| Failure::input(error.to_string());
    let timetable = Timetable::of(&workflow, now).map_err(wrong)?;
    let zone = args.zone.as_deref().unwrap_or(schedule_zone(schedule)).to_owned();
    let fires = match &timetable {
        Some(timetable) => preview(timetable, now, usize::from(args.n), &zone).map_err(wrong)?,
        None => Vec::new(),
    };
    if session.json {
        let items: Vec<Value> = fires
            .iter()
            .map(|one| {
                json!({ "at": one.fire.at.to_string(), "local": one.local, "offset": one.offset,
                    "logical_date": one.fire.logical_at.to_string(),
                    "interval": { "start": one.fire.interval.start.to_string(), "end": one.fire.interval.end.to_string() },
                    "note": one.note })
            })
            .collect();
        output::json(&json!({ "workflow": workflow.id, "timezone": zone, "next": items }))?;
        return Ok(ExitCode::Success);
    }
    output::line(&format!("{}: {}", workflow.id, words(schedule)));
    table(
        &zone,
        fires
            .into_iter()
            .map(|one| (one.local, one.offset, one.fire.at.to_string(), one.fire.logical_at.to_string(), one.note)),
    );
    Ok(ExitCode::Success)
}

async fn of_workflow(session: &Session, workflow: &str, args: &Next) -> Result<ExitCode, Failure> {
    let mut query = vec![("n", args.n.to_string())];
    query.extend(args.zone.clone().map(|zone| ("zone", zone)));
    let path = format!("/workflows/{}/schedule", super::segment(workflow));
    let answer: Value = remote::with(session, async |api| api.get(&path, &query).await).await?;
    if session.json {
        output::json(&answer)?;
        return Ok(ExitCode::Success);
    }
    let found: SchedulePreview = super::typed(&answer)?;
    let said = found.words.unwrap_or_else(|| "by hand only".to_owned());
    output::line(&format!("{workflow}: {said}{}", if found.paused { " (paused)" } else { "" }));
    let zone = args.zone.clone().or(found.timezone).unwrap_or_else(|| "UTC".to_owned());
    table(
        &zone,
        found
            .next
            .into_iter()
            .map(|one| (one.local, one.offset, one.at.to_string(), one.logical_date.to_string(), one.note)),
    );
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

fn table(zone: &str, fires: impl Iterator<Item = (String, String, String, String, Option<String>)>) {
    let local = format!("LOCAL ({zone})");
    let rows = fires.map(|(local, offset, at, logical, note)| {
        vec![format!("{local} {offset}"), at, logical, note.unwrap_or_default()]
    });
    output::table(&[&local, "UTC", "LOGICAL DATE", ""], rows);
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
