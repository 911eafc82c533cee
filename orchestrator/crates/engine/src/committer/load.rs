//! Bringing runs into the cache: outside the batch, without locks.

use std::collections::HashSet;
use std::sync::Arc;

use updraft_model::graph::Compiled;
use updraft_model::id::{RunId, VersionId};
use updraft_model::run::{Limits, Run, Snapshot};
use updraft_store::{Loaded, LoadedRun, Reader, StoreError};
use updraft_task::RunInfo;

use super::command::Item;
use super::{Command, Committer, Job};
use crate::cache::CachedRun;
use crate::config::EngineConfig;
use crate::error::EngineError;
use crate::plan::Plan;

impl Committer {
    /// Loads what these items need; gives them back. A run that is not there drops its results, loudly.
    pub(super) async fn load_all(&mut self, items: Vec<Item>) -> Result<Vec<Item>, (Vec<Item>, StoreError)> {
        let mut missing: Vec<RunId> = Vec::new();
        let mut seen = HashSet::new();
        for item in &items {
            if let Item::Finish(finish) = item
                && !self.cache.contains(&finish.run_id)
                && seen.insert(finish.run_id)
            {
                missing.push(finish.run_id);
            }
        }
        if missing.is_empty() {
            return Ok(items);
        }
        match self.load(&missing).await {
            Ok(()) => Ok(items),
            Err(error) => Err((items, error)),
        }
    }

    /// Loads one run; false if it is not there or the store is away, which has been told.
    pub(super) async fn load_run(&mut self, run_id: RunId) -> bool {
        match self.load(&[run_id]).await {
            Ok(()) => self.cache.contains(&run_id),
            Err(error) => {
                self.shared.warn(Some(run_id), format!("its state cannot be loaded: {error}"));
                false
            }
        }
    }

    async fn load(&mut self, runs: &[RunId]) -> Result<(), StoreError> {
        let question: Vec<_> = runs.iter().map(|run_id| (*run_id, None)).collect();
        for loaded in self.shared.config.store.load(&question).await? {
            match loaded {
                Loaded::Full(full) => {
                    let run_id = full.row.facts.run_id;
                    let plan = self.plan_of(run_id, full.row.facts.version_id).await?;
                    self.admit(*full, plan);
                }
                Loaded::Missing(run_id) => self.shared.warn(Some(run_id), "the store does not know this run"),
                Loaded::Unchanged(run_id) | Loaded::Tail(run_id, _) => {
                    return Err(StoreError::Other(format!("run {run_id} was loaded in part without being asked to")));
                }
            }
        }
        Ok(())
    }

    fn admit(&mut self, loaded: LoadedRun, plan: Arc<Plan>) {
        let run_id = loaded.row.facts.run_id;
        match Run::load(Arc::clone(&plan.compiled), snapshot(loaded), self.limits()) {
            Ok(run) => self.keep_run(run, plan),
            Err(illegal) => {
                let job = Job::Break { code: "rows_illegal".to_owned(), detail: illegal.to_string() };
                self.shared.command(Command::Lane(run_id, job, None));
            }
        }
    }

    pub(super) fn keep_run(&mut self, run: Run, plan: Arc<Plan>) {
        let info = Arc::new(run_info(&self.shared.config, &run));
        let run_id = run.facts().run_id;
        let cached = CachedRun { run, plan, info };
        let bytes = cached.bytes();
        self.cache.insert(run_id, cached, bytes);
    }

    pub(super) async fn plan_of(&mut self, run_id: RunId, version: VersionId) -> Result<Arc<Plan>, StoreError> {
        let open = self.open.get(&run_id).filter(|(on, _)| *on == version).map(|(_, plan)| plan);
        if let Some(plan) = open.or_else(|| self.plans.get(&version)) {
            return Ok(Arc::clone(plan));
        }
        let compiled =
            read_version(&*self.shared.config.reader, run_id, version).await.map_err(|error| match error {
                EngineError::Store(error) => error,
                other => StoreError::Other(other.to_string()),
            })?;
        let plan = Arc::new(Plan::new(compiled));
        self.plans.insert(version, Arc::clone(&plan));
        Ok(plan)
    }
}

/// Reads and compiles a stored version.
pub(crate) async fn read_version(
    reader: &dyn Reader,
    run_id: RunId,
    version: VersionId,
) -> Result<Arc<Compiled>, EngineError> {
    let stored = reader
        .version(version)
        .await?
        .ok_or_else(|| EngineError::Version { run_id, detail: format!("version {version} is not in the store") })?;
    let workflow: updraft_model::workflow::Workflow = serde_json::from_str(&stored.compiled).map_err(|error| {
        EngineError::Version { run_id, detail: format!("{error}; a newer build may have written it") }
    })?;
    Ok(Arc::new(Compiled::new(workflow)?))
}

/// What the model loads a run from.
pub(crate) fn snapshot(loaded: LoadedRun) -> Snapshot {
    Snapshot {
        row: loaded.row,
        only: loaded.only,
        events: loaded.events,
        task_runs: loaded.task_runs,
        cleared: loaded.cleared,
        dispatched: loaded.work.into_iter().map(|row| row.dispatch).collect(),
    }
}

/// A run from its rows, for a lane.
pub(crate) fn load_locked(
    compiled: &Arc<Compiled>,
    loaded: LoadedRun,
    limits: Limits,
) -> Result<Run, updraft_model::apply::Illegal> {
    Run::load(Arc::clone(compiled), snapshot(loaded), limits)
}

/// What tasks see of a run.
pub(crate) fn run_info(config: &EngineConfig, run: &Run) -> RunInfo {
    let facts = run.facts();
    RunInfo {
        run_id: facts.run_id,
        workflow: run.compiled().workflow.id.clone(),
        trigger: facts.trigger,
        logical_at: facts.logical_at,
        interval: facts.interval,
        params: serde_json::from_str(&facts.conf).unwrap_or_default(),
        started_at: run.projection().started_at.unwrap_or(facts.created_at),
        project_dir: config.project_dir.clone(),
        data_dir: config.data_dir.clone(),
    }
}
