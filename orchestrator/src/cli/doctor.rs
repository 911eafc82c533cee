//! `updraft doctor`: whether everything that is needed is there; what is not has a name, a reason and a remedy.

mod host;

use clap::Args as ClapArgs;
use serde::Serialize;
use updraft_auth::connections::probe;
use updraft_auth::{ConnectionView, Snapshot};
use updraft_tasks::diagnose::{self, Gravity, Needs, Problem};

use super::{Session, files, now, output};
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
    /// What kind of problem it is, for programs: `topic_missing`.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<&'static str>,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
}

fn finding(what: impl Into<String>, state: State, detail: impl Into<String>) -> Finding {
    Finding { what: what.into(), state, detail: detail.into(), problem: None, remedy: None }
}

impl Finding {
    fn with_remedy(self, problem: &'static str, remedy: impl Into<String>) -> Self {
        Self { problem: Some(problem), remedy: Some(remedy.into()), ..self }
    }
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
        host::memory(),
        host::disk(session),
        store(session).await,
    ];
    host::ports(session, &mut found).await;
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
                let remedy = one.remedy.as_ref().map(|remedy| format!("\n→ {remedy}")).unwrap_or_default();
                vec![output::task_sign(sign), one.what.clone(), one.detail.clone() + &remedy]
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
    let needs = needs(session);
    for view in all.views() {
        found.extend(judge(session, &all, view, &needs).await);
    }
    found.extend(all.warnings().iter().map(|text| finding("environment", State::Warning, text.clone())));
}

/// What the project's scheduled workflows will look for on servers.
fn needs(session: &Session) -> Needs {
    let mut needs = Needs::default();
    for file in files::find(session, &[]).unwrap_or_default() {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        needs.add(&serde_yaml::from_str(&text).unwrap_or_default());
    }
    needs
}

/// Whether a connection's fields fit its kind, and the services that they name answer and have what is needed; secret values are
/// not repeated.
async fn judge(session: &Session, all: &Snapshot, view: &ConnectionView, needs: &Needs) -> Vec<Finding> {
    let what = format!("connection {}", view.name);
    let error = view.error.clone();
    let (Some(kind), Some(resolved)) = (session.registry.connection(&view.kind), all.get(&view.name)) else {
        // The built-in profile names kinds that this build may lack.
        let state = if view.kind.is_empty() { State::Error } else { State::Warning };
        return session.project.has_file.then(|| finding(what, state, error.unwrap_or_default())).into_iter().collect();
    };
    if let Some(error) = error {
        return vec![finding(what, State::Error, error)];
    }
    let mut problems = Vec::new();
    if let Some((scope, key)) = diagnose::budget(kind.name, &resolved.fields)
        && let Some(kept) = compose::shared_value(session, scope, &key).await
    {
        problems.extend(diagnose::spent(&kept, now()));
    }
    let good = || finding(what.clone(), State::Ok, format!("{}: {}", kind.name, kind.summary));
    let asked = diagnose::connection(kind.name, &resolved.fields, &session.project.dir, needs).await;
    let was_asked = asked.is_some();
    problems.extend(asked.into_iter().flatten());
    if was_asked || !problems.is_empty() {
        return if problems.is_empty() {
            vec![good()]
        } else {
            problems.into_iter().map(|problem| of_problem(&what, problem)).collect()
        };
    }
    let probed = probe(&resolved.fields, false).await;
    let silent = probed.checks.iter().filter(|check| !check.ok);
    let silent: Vec<String> = silent.map(|check| format!("{}: {}", check.address, check.text)).collect();
    vec![if silent.is_empty() {
        good()
    } else {
        let text = format!("{} cannot be reached: {}", kind.name, silent.join("; "));
        finding(what, State::Unreachable, text)
            .with_remedy("service_unreachable", "start the service, or correct the connection's address")
    }]
}

fn of_problem(what: &str, problem: Problem) -> Finding {
    let state = match problem.gravity {
        Gravity::Warning => State::Warning,
        Gravity::Error => State::Error,
        Gravity::Unreachable => State::Unreachable,
    };
    finding(what, state, problem.reason).with_remedy(problem.name, problem.remedy)
}
