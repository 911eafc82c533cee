//! What is decided under a schedule's or a workflow's lock: from the model's plan to rows. No I/O.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use serde_json::Map;
use updraft_model::canonical::canonical_json;
use updraft_model::graph::Compiled;
use updraft_model::id::{RunId, VersionId};
use updraft_model::input::Input;
use updraft_model::record::RunFacts;
use updraft_model::run::{Limits, Run};
use updraft_model::schedule::plan::{Next, Planned, Policy, plan};
use updraft_model::schedule::timetable::Timetable;
use updraft_model::state::Trigger;
use updraft_model::time::Timestamp;
use updraft_model::workflow::Workflow;
use updraft_store::scheduling::{DueSchedule, FireDecision, FireFn, StartFn};
use updraft_store::{LoadedRun, RunCommit};
use uuid::Uuid;

use super::SchedulerConfig;
use crate::committer::build::{Part, StepError};
use crate::committer::snapshot;
use crate::shared::{locked, new_stamp};

/// Versions that are kept compiled; more are read again when they are needed.
const KEPT: usize = 1_024;

/// A version as firing needs it.
pub(crate) struct Version {
    compiled: Arc<Compiled>,
    /// Params of scheduled runs, as canonical JSON; or why there are none.
    conf: Result<String, String>,
}

impl Version {
    fn read(compiled: &str) -> Result<Self, String> {
        let workflow: Workflow =
            serde_json::from_str(compiled).map_err(|error| format!("{error}; a newer build may have written it"))?;
        let conf = updraft_spec::resolve_params(&workflow, &Map::new())
            .map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
            .and_then(|params| canonical_json(&params.into()).map_err(|error| error.to_string()));
        let compiled = Compiled::new(workflow).map_err(|error| error.to_string())?;
        Ok(Self { compiled: Arc::new(compiled), conf })
    }
}

/// Versions by number. Those that cannot be read are kept as such.
#[derive(Clone, Default)]
pub(crate) struct Versions(Arc<Mutex<HashMap<VersionId, Option<Arc<Version>>>>>);

impl Versions {
    /// Those of these that are not known here.
    pub(crate) fn unknown(&self, wanted: impl IntoIterator<Item = VersionId>) -> Vec<VersionId> {
        let known = locked(&self.0);
        let mut unknown: Vec<VersionId> = wanted.into_iter().filter(|version| !known.contains_key(version)).collect();
        unknown.sort_unstable();
        unknown.dedup();
        unknown
    }

    /// Keeps what the store has; answers what cannot be read, and why.
    pub(crate) fn learn(&self, stored: Vec<(VersionId, String)>) -> Vec<(VersionId, String)> {
        let mut failed = Vec::new();
        let read: Vec<_> = stored
            .into_iter()
            .map(|(version, compiled)| match Version::read(&compiled) {
                Ok(read) => (version, Some(Arc::new(read))),
                Err(reason) => {
                    failed.push((version, reason));
                    (version, None)
                }
            })
            .collect();
        let mut known = locked(&self.0);
        if known.len() + read.len() > KEPT {
            known.clear();
        }
        known.extend(read);
        failed
    }

    fn get(&self, version: VersionId) -> Option<Arc<Version>> {
        locked(&self.0).get(&version).cloned().flatten()
    }
}

fn said(error: StepError) -> String {
    match error {
        StepError::Reject(reject) => reject.to_string(),
        StepError::Panic(text) => format!("deciding panicked: {text}"),
    }
}

/// Decides about schedules that are due at this instant.
pub(crate) fn fire_fn(config: &SchedulerConfig, versions: &Versions, now: Timestamp) -> FireFn {
    let (name, queue, limits) = (config.name.clone(), config.queue.clone(), config.limits);
    let versions = versions.clone();
    Arc::new(move |due| {
        // What this build cannot read, another one may: it is left to it.
        let Some(version) = versions.get(due.version_id) else { return FireDecision::Leave };
        let fired = Firing { version: &version, due, name: &name, queue: &queue, limits, now };
        fired.decide().unwrap_or_else(FireDecision::Broken)
    })
}

struct Firing<'a> {
    version: &'a Version,
    due: &'a DueSchedule,
    name: &'a str,
    queue: &'a str,
    limits: Limits,
    now: Timestamp,
}

impl Firing<'_> {
    fn decide(&self) -> Result<FireDecision, String> {
        let (due, workflow) = (self.due, &self.version.compiled.workflow);
        let timetable = Timetable::of(workflow, due.progress.anchor).map_err(|error| error.to_string())?;
        let Some(timetable) = timetable else {
            let progress = due.progress.clone();
            return Ok(FireDecision::Move { runs: Vec::new(), skipped: Vec::new(), progress, next: Next::default() });
        };
        let policy = Policy { max_active_runs: due.max_active_runs, ..Policy::of(workflow) };
        let plan = plan(&timetable, policy, &due.progress, due.load, self.now).map_err(|error| error.to_string())?;
        // Runs that wait already go first.
        let mut room = if due.load.queued == 0 { due.max_active_runs.saturating_sub(due.load.running) } else { 0 };
        let mut runs = Vec::with_capacity(plan.runs.len());
        for planned in &plan.runs {
            runs.push(self.run(planned, room > 0)?);
            room = room.saturating_sub(1);
        }
        Ok(FireDecision::Move { runs, skipped: plan.skipped, progress: plan.progress, next: plan.next })
    }

    fn run(&self, planned: &Planned, starts: bool) -> Result<RunCommit, String> {
        let conf = self.version.conf.clone().map_err(|error| format!("a scheduled run has no params: {error}"))?;
        let facts = RunFacts {
            run_id: RunId(Uuid::now_v7()),
            workflow_id: self.due.workflow_id,
            version_id: self.due.version_id,
            run_key: planned.fire.run_key(),
            trigger: Trigger::Schedule,
            logical_at: planned.fire.logical_at,
            interval: planned.fire.interval,
            conf,
            queue: self.queue.to_owned(),
            priority: planned.priority(),
            created_at: self.now,
        };
        let conf_sha256 = updraft_model::canonical::sha256_hex(facts.conf.as_bytes());
        let mut run = Run::unborn(Arc::clone(&self.version.compiled), facts.clone(), self.limits);
        let mut part = Part::new_run(facts);
        let create = Input::Create { by: self.name.to_owned(), conf_sha256, only: None };
        part.step(&mut run, create, self.now).map_err(said)?;
        if starts {
            part.step(&mut run, Input::Start, self.now).map_err(said)?;
        }
        Ok(part.close(&run, new_stamp(), self.name.to_owned(), self.now))
    }
}

/// What starting queued runs could not do.
#[derive(Default)]
pub(crate) struct NotStarted {
    /// Versions to be read first.
    pub(crate) unknown: Vec<VersionId>,
    /// Runs that cannot be started, and why.
    pub(crate) failed: Vec<(RunId, String)>,
}

/// Starts queued runs that it is given; says afterwards what it could not do.
pub(crate) fn start_fn(
    config: &SchedulerConfig,
    versions: &Versions,
    now: Timestamp,
) -> (StartFn, Arc<Mutex<NotStarted>>) {
    let not_started = Arc::new(Mutex::new(NotStarted::default()));
    let told = Arc::clone(&not_started);
    let (name, versions, limits) = (config.name.clone(), versions.clone(), config.limits);
    let start = move |queued: Vec<LoadedRun>| {
        let mut told = locked(&told);
        let mut commits = Vec::with_capacity(queued.len());
        for loaded in queued {
            let (run_id, version) = (loaded.row.facts.run_id, loaded.row.facts.version_id);
            let Some(version) = versions.get(version) else {
                told.unknown.push(version);
                continue;
            };
            match start_one(&version, loaded, limits, &name, now) {
                Ok(commit) => commits.push(commit),
                Err(reason) => told.failed.push((run_id, reason)),
            }
        }
        commits
    };
    (Box::new(start), not_started)
}

fn start_one(
    version: &Version,
    loaded: LoadedRun,
    limits: Limits,
    name: &str,
    now: Timestamp,
) -> Result<RunCommit, String> {
    let run = Run::load(Arc::clone(&version.compiled), snapshot(loaded), limits);
    let mut run = run.map_err(|illegal| illegal.to_string())?;
    let mut part = Part::at(&run);
    part.step(&mut run, Input::Start, now).map_err(said)?;
    Ok(part.close(&run, new_stamp(), name.to_owned(), now))
}
