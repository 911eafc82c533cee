//! `updraft doctor`: whether everything that is needed is there.

use clap::Args as ClapArgs;
use serde::Serialize;
use updraft_auth::connections::probe;
use updraft_auth::{ConnectionView, Snapshot};

use super::{Session, files, output};
use crate::compose;
use crate::daemon::kinds;
use crate::exit_code::{ExitCode, Failure};

/// Arguments of `updraft doctor`.
#[derive(Debug, ClapArgs)]
pub struct Args {
    /// Profile whose connections are looked at
    #[arg(long)]
    profile: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Ok,
    Warning,
    Error,
    Unreachable,
}

#[derive(Debug, Serialize)]
struct Finding {
    what: String,
    state: State,
    detail: String,
}

fn finding(what: impl Into<String>, state: State, detail: impl Into<String>) -> Finding {
    Finding { what: what.into(), state, detail: detail.into() }
}

/// Carries it out.
pub async fn run(session: &Session, args: &Args) -> Result<ExitCode, Failure> {
    let mut found = vec![
        finding(
            "updraft",
            State::Ok,
            format!("{} · {} task types", env!("CARGO_PKG_VERSION"), session.registry.tasks().count()),
        ),
        project(session),
        zones(),
        disk(session),
        store(session).await,
    ];
    connections(session, args.profile.as_deref(), &mut found).await;
    if session.json {
        output::json(&serde_json::json!({ "findings": found }))?;
    } else {
        output::table(
            &["", "WHAT", "FOUND"],
            found.iter().map(|one| {
                let sign = match one.state {
                    State::Ok => updraft_model::state::TaskRunState::Succeeded,
                    State::Warning => updraft_model::state::TaskRunState::RetryWait,
                    State::Error | State::Unreachable => updraft_model::state::TaskRunState::Failed,
                };
                vec![output::task_sign(sign), one.what.clone(), one.detail.clone()]
            }),
        );
    }
    Ok(if found.iter().any(|one| one.state == State::Unreachable) {
        ExitCode::Unreachable
    } else if found.iter().any(|one| one.state == State::Error) {
        ExitCode::BadInput
    } else {
        ExitCode::Success
    })
}

fn project(session: &Session) -> Finding {
    let files = files::find(session, &[]).map_or(0, |files| files.len());
    let place = session.project.dir.display();
    if session.project.has_file {
        finding("project", State::Ok, format!("{place} · {}", output::plural(files, "workflow file")))
    } else {
        finding(
            "project",
            State::Warning,
            format!("no {} from {place} upwards: built-in defaults", crate::project::FILE),
        )
    }
}

fn zones() -> Finding {
    finding("time zones", State::Ok, "the IANA database built into this program, the same on every host")
}

fn disk(session: &Session) -> Finding {
    let dir = &session.project.dir;
    let unknown = || finding("disk", State::Warning, format!("the disk of {} is not known", dir.display()));
    let Ok(disks) = sysinfo::Disks::new_with_refreshed_list() else { return unknown() };
    let under = disks.iter().filter(|disk| dir.starts_with(disk.mount_point()));
    let nearest = under.max_by_key(|disk| disk.mount_point().as_os_str().len());
    match nearest.map(|disk| disk.available_space() >> 20) {
        Some(free) if free < 1024 => {
            finding("disk", State::Warning, format!("{free} MiB free under {}", dir.display()))
        }
        Some(free) => finding("disk", State::Ok, format!("{} GiB free under {}", free >> 10, dir.display())),
        None => unknown(),
    }
}

async fn store(session: &Session) -> Finding {
    let shown = session.store.shown();
    match compose::store_health(session).await {
        Ok(compose::StoreHealth::Missing) => {
            finding("store", State::Ok, format!("{shown} is not there yet: the first run makes it"))
        }
        Ok(compose::StoreHealth::Held { pid, answers: true }) => {
            finding("store", State::Ok, format!("{shown}, had by process {pid}, which answers commands"))
        }
        Ok(compose::StoreHealth::Held { pid, answers: false }) => {
            finding("store", State::Warning, format!("{shown} is held by process {pid}, which answers no commands now"))
        }
        Ok(compose::StoreHealth::Good { durable: Ok(()) }) => {
            finding("store", State::Ok, format!("{shown}, commits are durable"))
        }
        Ok(compose::StoreHealth::Good { durable: Err(setting) }) => {
            finding("store", State::Warning, format!("{shown}: commits are not durable: {setting}"))
        }
        Err(failure) => finding("store", State::Unreachable, failure.message),
    }
}

async fn connections(session: &Session, profile: Option<&str>, found: &mut Vec<Finding>) {
    let sources = match session.project.sources(profile, &session.environment) {
        Ok(sources) => sources,
        Err(failure) => return found.push(finding("connections", State::Error, failure.message)),
    };
    let all = Snapshot::of_files(kinds(&session.registry), &sources);
    for view in all.views() {
        found.extend(judge(session, &all, view).await);
    }
    found.extend(all.warnings().iter().map(|text| finding("environment", State::Warning, text.clone())));
}

/// Whether a connection's fields fit its kind, and the services that they name answer; secret values are not repeated.
async fn judge(session: &Session, all: &Snapshot, view: &ConnectionView) -> Option<Finding> {
    let what = format!("connection {}", view.name);
    let error = view.error.clone();
    let (Some(kind), Some(resolved)) = (session.registry.connection(&view.kind), all.get(&view.name)) else {
        // The built-in profile names kinds that this build may lack.
        let state = if view.kind.is_empty() { State::Error } else { State::Warning };
        return session.project.has_file.then(|| finding(what, state, error.unwrap_or_default()));
    };
    if let Some(error) = error {
        return Some(finding(what, State::Error, error));
    }
    let probed = probe(&resolved.fields, false).await;
    let silent = probed.checks.iter().filter(|check| !check.ok);
    let silent: Vec<String> = silent.map(|check| format!("{}: {}", check.address, check.text)).collect();
    Some(if silent.is_empty() {
        finding(what, State::Ok, format!("{}: {}", kind.name, kind.summary))
    } else {
        finding(what, State::Unreachable, format!("{} cannot be reached: {}", kind.name, silent.join("; ")))
    })
}
