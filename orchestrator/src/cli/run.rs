//! `updraft run`: one run in the foreground, with live progress; the exit code is its outcome.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args as ClapArgs;
use serde_json::{Map, Value};
use updraft_engine::{Engine, NewRun, RunEnd, RunHandle};
use updraft_model::graph::Compiled;
use updraft_model::id::{RunId, TaskId};
use updraft_model::interval::manual_interval;
use updraft_model::state::{RunState, Trigger};
use updraft_model::time::{DataInterval, Timestamp};
use updraft_model::workflow::Workflow;
use updraft_spec::{Catalog, ParamError, check_bytes, parse_param, resolve_params};
use updraft_store::read::RunFilter;
use updraft_store::{NewVersion, Reader};

use super::progress::Progress;
use super::{Session, cancel, check, files, find, output, summary};
use crate::compose::{self, Opened};
use crate::daemon::{self, Around, Front, Options};
use crate::exit_code::{ExitCode, Failure};
use crate::lifecycle::Signals;
use crate::remote::{Api, sockets};

/// Arguments of `updraft run`.
#[derive(Debug, ClapArgs)]
#[command(group(clap::ArgGroup::new("what").required(true).args(["file", "resume"])))]
pub struct Args {
    /// A workflow file
    file: Option<PathBuf>,
    /// Goes on with an unfinished run instead: the newest one, or this one
    #[arg(long, value_name = "RUN", num_args = 0..=1, default_missing_value = "",
          conflicts_with_all = ["tasks", "params", "logical_date"])]
    resume: Option<String>,
    /// Runs this task and all its upstreams only (may be given more than once)
    #[arg(short, long = "task", value_name = "TASK")]
    tasks: Vec<String>,
    /// A param; text params are taken literally, others as JSON (may be given more than once)
    #[arg(short, long = "param", value_name = "KEY=VALUE")]
    params: Vec<String>,
    /// Logical date, RFC 3339 or a date; now if left out. With a schedule: the interval that starts there
    #[arg(long, value_name = "INSTANT", value_parser = instant)]
    logical_date: Option<Timestamp>,
    /// Profile whose connections are used [default: the project's `default_profile`]
    #[arg(long)]
    profile: Option<String>,
}

/// Reads an instant of the command line.
pub fn instant(text: &str) -> Result<Timestamp, String> {
    Timestamp::parse(text).ok_or_else(|| "not an instant: write 2026-01-31T09:30:00Z or 2026-01-31".to_owned())
}

/// What is to be run, checked before the store is touched.
struct Prepared {
    workflow: Workflow,
    source: String,
    path: String,
    params: Map<String, Value>,
    logical_at: Timestamp,
    interval: DataInterval,
    only: Option<Vec<TaskId>>,
}

/// Carries it out.
pub async fn run(session: &Session, args: Args) -> Result<ExitCode, Failure> {
    // No store is made for a run that is refused.
    let prepared = match &args.file {
        Some(file) if compose::is_missing(&session.store) => {
            let connections = session.connections(args.profile.as_deref())?;
            Some(prepare(session, file, &args, &files::spec_of(&session.registry, &connections))?)
        }
        Some(_) | None => None,
    };
    let opened = compose::open(session).await?;
    let done = on(session, &args, &opened, prepared).await;
    opened.store.close().await;
    done
}

/// On an opened store: with the connections that it holds, and with the API for others on a socket beside it.
async fn on(session: &Session, args: &Args, opened: &Opened, prepared: Option<Prepared>) -> Result<ExitCode, Failure> {
    let socket = sockets(&session.store, &session.project).own();
    let front = Front::open(session, &Options::beside(socket.clone(), args.profile.clone()), opened).await?;
    let spec = daemon::spec(&session.registry, &front.connections);
    let checked_against = Arc::clone(&spec.borrow());
    let prepared = match (prepared, &args.file) {
        (None, Some(file)) => {
            session.judge(&front.connections.snapshot())?;
            Some(prepare(session, file, args, &checked_against)?)
        }
        (prepared, _) => prepared,
    };
    let mut config =
        compose::engine_config(session, opened, Arc::clone(&session.registry), front.connections_for_tasks());
    config.clock = Arc::<updraft_engine::SystemClock>::clone(&front.clock);
    config.scheduling = Some(Arc::clone(&opened.scheduling));
    // Its run's queue is its own: dispatched rows beyond the slots would only be written to be claimed later.
    config.dispatch_window = config.slots;
    let mut signals = Signals::new().map_err(|error| Failure::unreachable(format!("signals: {error}")))?;
    let engine = Arc::new(Engine::start(config).await.map_err(compose::engine_failure)?);
    let around = Around {
        engine: Arc::clone(&engine),
        scheduler: None,
        catalog: None,
        registry: Arc::clone(&session.registry),
        spec,
        upkeep: Arc::new(Vec::new),
    };
    let served = daemon::beside(&socket).and_then(|listener| front.serve(session, opened, around, vec![listener]));
    let done = match served {
        Ok(served) => {
            let api = Api::socket(&socket, cancel::who(session))?;
            let done = carry_out(session, &engine, opened, &api, prepared, args.resume.as_deref(), &mut signals).await;
            engine.shutdown().await;
            served.end().await;
            done
        }
        Err(failure) => Err(failure),
    };
    engine.shutdown().await;
    done
}

async fn carry_out(
    session: &Session,
    engine: &Arc<Engine>,
    opened: &Opened,
    api: &Api,
    prepared: Option<Prepared>,
    resume: Option<&str>,
    signals: &mut Signals,
) -> Result<ExitCode, Failure> {
    let progress = Progress::start(engine);
    let mut handle = match prepared {
        Some(prepared) => {
            progress.graph(&prepared.workflow);
            create(session, engine, opened, prepared).await?
        }
        None => {
            let run = unfinished(&*opened.reader, api, resume.unwrap_or_default()).await?;
            output::note(&output::dim(&format!("run {run} goes on")));
            progress.graph(&pinned(&*opened.reader, run).await?);
            engine.resume(run).await.map_err(compose::engine_failure)?
        }
    };
    let run = handle.run_id();
    let end = wait(engine, &mut handle, signals).await;
    progress.finish().await;
    // Its last words are in the store then.
    engine.shutdown().await;
    report(session, api, run, end).await
}

/// First signal: no new starts, up to 30 s for what runs. Second: everything is killed. Either way the run stays open.
async fn wait(engine: &Engine, handle: &mut RunHandle, signals: &mut Signals) -> RunEnd {
    tokio::select! {
        end = handle.wait() => return end,
        () = signals.next() => {}
    }
    output::note("stopping: nothing new starts, running attempts get up to 30 s; once more stops at once");
    tokio::select! {
        () = engine.drain() => {}
        () = signals.next() => engine.abort().await,
    }
    // Only an engine that has stopped tells who waits that its run stays open.
    engine.shutdown().await;
    handle.wait().await
}

fn prepare(session: &Session, file: &Path, args: &Args, catalog: &Catalog) -> Result<Prepared, Failure> {
    let path = session.cwd.join(file);
    if !path.is_file() {
        return Err(Failure::input(format!("there is no file {}", file.display())));
    }
    let bytes = files::read(session, &path)?;
    let checked = check_bytes(&files::shown(session, &path), &bytes, catalog);
    check::print(&checked);
    let Some(workflow) = checked.workflow else { return Err(Failure::silent(ExitCode::BadInput)) };
    let params = params(&workflow, &args.params)?;
    let only = chosen(&workflow, &args.tasks)?;
    let (logical_at, interval) = interval(&workflow, args.logical_date)?;
    let relative = path.strip_prefix(&session.project.dir).unwrap_or(&path).display().to_string();
    Ok(Prepared {
        source: String::from_utf8_lossy(&bytes).into_owned(),
        workflow,
        path: relative,
        params,
        logical_at,
        interval,
        only,
    })
}

/// Everything that is wrong with the params at once.
fn params(workflow: &Workflow, given: &[String]) -> Result<Map<String, Value>, Failure> {
    let (mut read, mut errors): (Map<String, Value>, Vec<ParamError>) = (Map::new(), Vec::new());
    for argument in given {
        match parse_param(workflow, argument) {
            Ok((name, value)) => {
                read.insert(name, value);
            }
            Err(error) => errors.push(error),
        }
    }
    let resolved = match resolve_params(workflow, &read) {
        Ok(resolved) if errors.is_empty() => return Ok(resolved),
        Ok(_) => Vec::new(),
        Err(more) => more,
    };
    // A param that did not read is told once, not a second time as missing.
    errors.extend(resolved.into_iter().filter(|error| {
        !matches!(error, ParamError::Missing(name) if given.iter().any(|one| one.split('=').next() == Some(name)))
    }));
    let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
    let known: Vec<&str> = workflow.params.keys().map(String::as_str).collect();
    Err(Failure::input(lines.join("\n       ")).hint(format!("params of `{}`: {}", workflow.id, known.join(", "))))
}

fn chosen(workflow: &Workflow, tasks: &[String]) -> Result<Option<Vec<TaskId>>, Failure> {
    if tasks.is_empty() {
        return Ok(None);
    }
    let known: Vec<&str> = workflow.tasks.iter().map(|task| task.id.as_str()).collect();
    for task in tasks {
        if !known.contains(&task.as_str()) {
            let hint = updraft_spec::nearest(task, known.iter().copied())
                .map_or_else(|| format!("its tasks: {}", known.join(", ")), |near| format!("did you mean `{near}`?"));
            return Err(Failure::input(format!("`{}` has no task `{task}`", workflow.id)).hint(hint));
        }
    }
    Ok(Some(tasks.iter().map(|task| TaskId::from(task.as_str())).collect()))
}

/// Without a logical date: now, as a point. With one: the interval that starts there by the schedule, else the point.
fn interval(workflow: &Workflow, logical_date: Option<Timestamp>) -> Result<(Timestamp, DataInterval), Failure> {
    let Some(at) = logical_date else {
        let now = summary::now();
        return Ok((now, DataInterval { start: now, end: now }));
    };
    let manual = manual_interval(workflow, at).map_err(|error| Failure::input(error.to_string()))?;
    if let Some((before, after)) = manual.off_schedule {
        let near: Vec<String> = [before, after].into_iter().flatten().map(|at| at.to_string()).collect();
        output::warning(&format!(
            "the schedule of `{}` does not fire at {at} (nearest: {}): the run is for that instant alone",
            workflow.id,
            near.join(", ")
        ));
    }
    Ok((at, manual.interval))
}

async fn create(session: &Session, engine: &Engine, opened: &Opened, prepared: Prepared) -> Result<RunHandle, Failure> {
    let Prepared { workflow, source, path, params, logical_at, interval, only } = prepared;
    refuse_too_many(&*opened.reader, &workflow).await?;
    let compiled = serde_json::to_string(&workflow)
        .map_err(|error| Failure::input(format!("the workflow does not serialize: {error}")))?;
    let version = NewVersion {
        workflow: workflow.id.clone(),
        sha256: updraft_task::lake::sha256_hex(source.as_bytes()),
        source,
        path,
        compiled,
    };
    let version = opened.store.publish(&version, summary::now()).await?;
    let compiled = Compiled::new(workflow).map_err(|error| Failure::input(error.to_string()))?;
    let run = NewRun {
        params,
        interval,
        only,
        trigger: Trigger::Manual,
        ..NewRun::manual(version, Arc::new(compiled), logical_at, cancel::who(session))
    };
    engine.create_run(run).await.map_err(compose::engine_failure)
}

/// `run` does not queue: where `max_active_runs` is reached, it names the open runs.
async fn refuse_too_many(reader: &dyn Reader, workflow: &Workflow) -> Result<(), Failure> {
    let open = open_runs(reader, Some(workflow.id.clone()), workflow.max_active_runs.saturating_add(1)).await?;
    if (open.len() as u64) < u64::from(workflow.max_active_runs) {
        return Ok(());
    }
    let names: Vec<String> = open.iter().map(ToString::to_string).collect();
    Err(Failure::input(format!(
        "`{}` has {} open of at most {} runs (max_active_runs): {}",
        workflow.id,
        open.len(),
        workflow.max_active_runs,
        names.join(", ")
    ))
    .hint(format!("go on with one: updraft run --resume {0}   or end it: updraft cancel {0}", names[0])))
}

async fn open_runs(reader: &dyn Reader, workflow: Option<String>, limit: u32) -> Result<Vec<RunId>, Failure> {
    let states = vec![RunState::Queued, RunState::Running, RunState::Cancelling];
    let runs = reader.runs(&RunFilter { workflow, states, before: None, limit }).await?;
    Ok(runs.iter().map(|view| view.row.facts.run_id).collect())
}

/// The run to go on with: the named one, else the newest unfinished one.
async fn unfinished(reader: &dyn Reader, api: &Api, name: &str) -> Result<RunId, Failure> {
    if !name.is_empty() {
        let id = find::run(api, name).await?;
        return id.parse().map_err(|_| Failure::input(format!("`{id}` is no run's id")));
    }
    open_runs(reader, None, 1)
        .await?
        .first()
        .copied()
        .ok_or_else(|| Failure::input("there is no unfinished run in this store").hint("start one: updraft run FILE"))
}

/// The workflow that a run is pinned to.
async fn pinned(reader: &dyn Reader, run: RunId) -> Result<Workflow, Failure> {
    let view = reader.run(run).await?;
    let view = view.ok_or_else(|| Failure::input(format!("there is no run {run} in this store")))?;
    let id = view.row.facts.version_id;
    let version = reader.version(id).await?;
    let version =
        version.ok_or_else(|| Failure::unreachable(format!("the store lacks workflow version {id} of run {run}")))?;
    serde_json::from_str(&version.compiled).map_err(|error| {
        Failure::unreachable(format!("workflow version {id} does not read with this build of Updraft: {error}"))
    })
}

async fn report(session: &Session, api: &Api, run: RunId, end: RunEnd) -> Result<ExitCode, Failure> {
    if !session.json {
        output::line("");
    }
    summary::show(session, api, &run.to_string()).await?;
    if !session.json {
        output::line("");
        output::line(&format!("See it again: updraft runs show {run}    its logs: updraft logs {run}"));
    }
    Ok(match end {
        RunEnd::Finished(projection) => match projection.state {
            RunState::Succeeded => ExitCode::Success,
            RunState::Cancelled => ExitCode::Cancelled,
            RunState::Failed | RunState::Broken | RunState::Queued | RunState::Running | RunState::Cancelling => {
                ExitCode::RunFailed
            }
        },
        RunEnd::Broken { detail } => {
            output::warning(&format!("the run is set aside: {detail}"));
            ExitCode::RunFailed
        }
        RunEnd::Interrupted => {
            output::note(&format!("stopped before its end; go on with: updraft run --resume {run}"));
            ExitCode::Interrupted
        }
    })
}
