//! [`Scheduling`] in memory: the plain meaning of every operation, under one lock.

use std::collections::BTreeMap;

use async_trait::async_trait;
use updraft_model::id::{RunId, VersionId, WorkerNo, WorkflowId};
use updraft_model::schedule::Schedule;
use updraft_model::schedule::plan::{Load, Next, Progress, Room, Skipped};
use updraft_model::state::{Place, RunState, Trigger};
use updraft_model::time::Timestamp;

use super::MemoryStore;
use super::tables::Tables;
use crate::scheduling::{
    AdmitFn, Admitted, Before, Due, DueSchedule, FireDecision, FireFn, Fired, Paused, PublishedWorkflow, ScheduleRow,
    ScheduleState, ScheduleTotals, ScheduledVersion, Scheduling, SkippedFire, SourceFile, StartFn, StartedRuns,
    resumed, synced,
};
use crate::{Expected, Published, Purpose, Refusal, RunCommit, StoreError, Wake, check};

/// What the tables of runs do not hold.
#[derive(Debug, Clone, Default)]
pub(super) struct Schedules {
    workflows: BTreeMap<WorkflowId, Workflow>,
    schedules: BTreeMap<WorkflowId, Kept>,
    skipped: Vec<SkippedFire>,
    /// By source, folder and path.
    files: BTreeMap<(String, String, String), SourceFile>,
}

#[derive(Debug, Clone)]
struct Workflow {
    name: String,
    version_id: VersionId,
    sha256: String,
    source: String,
    max_active_runs: u32,
    paused: Option<Paused>,
    retired_at: Option<Timestamp>,
}

#[derive(Debug, Clone)]
struct Kept {
    version_id: VersionId,
    progress: Progress,
    next: Next,
    skipped: u64,
    error: Option<String>,
}

/// Whether a stored version's schedule follows a zone's clock.
fn is_in_a_zone(compiled: &str) -> bool {
    let workflow: Option<updraft_model::workflow::Workflow> = serde_json::from_str(compiled).ok();
    match workflow.and_then(|workflow| workflow.schedule) {
        Some(Schedule::Cron { timezone, .. }) => timezone != "UTC",
        Some(Schedule::Every(_) | Schedule::Dates(_) | Schedule::Once | Schedule::Continuous) | None => false,
    }
}

impl Schedules {
    fn fires(&self, workflow: WorkflowId) -> bool {
        self.workflows.get(&workflow).is_some_and(|known| known.paused.is_none() && known.retired_at.is_none())
    }

    fn by_name(&self, name: &str) -> Option<WorkflowId> {
        self.workflows.iter().find(|(_, known)| known.name == name).map(|(id, _)| *id)
    }

    fn row(&self, id: WorkflowId, known: &Workflow) -> ScheduleRow {
        ScheduleRow {
            workflow: known.name.clone(),
            workflow_id: id,
            paused: known.paused.clone(),
            retired_at: known.retired_at,
            max_active_runs: known.max_active_runs,
            schedule: self.schedules.get(&id).map(|kept| ScheduleState {
                version_id: kept.version_id,
                next_fire_at: kept.next.at,
                below: kept.next.below,
                progress: kept.progress.clone(),
                skipped: kept.skipped,
                error: kept.error.clone(),
            }),
        }
    }

    fn skip(&mut self, workflow: WorkflowId, skipped: Skipped, at: Timestamp) {
        let name = self.workflows.get(&workflow).map(|known| known.name.clone()).unwrap_or_default();
        self.skipped.push(SkippedFire { workflow: name, skipped, at });
        if let Some(kept) = self.schedules.get_mut(&workflow) {
            kept.skipped += skipped.count;
        }
    }
}

impl Tables {
    fn load_of(&self, workflow: WorkflowId) -> Load {
        let mut load = Load::default();
        for run in self.runs.values().filter(|run| run.row.facts.workflow_id == workflow) {
            match run.row.projection.state {
                RunState::Queued => {
                    load.queued += 1;
                    load.queued_by_schedule += u32::from(run.row.facts.trigger == Trigger::Schedule);
                }
                RunState::Running | RunState::Cancelling => load.running += 1,
                RunState::Succeeded | RunState::Failed | RunState::Cancelled | RunState::Broken => {}
            }
        }
        load
    }

    /// How busy a workflow is, beside its limit.
    pub(super) fn room(&self, workflow: WorkflowId) -> Option<Room> {
        let limit = match self.schedules.workflows.get(&workflow) {
            Some(known) => known.max_active_runs,
            None => self.workflow(workflow).map(|_| updraft_model::workflow::Workflow::DEFAULT_MAX_ACTIVE_RUNS)?,
        };
        Some(Room { load: self.load_of(workflow), limit })
    }

    /// Writes commits, or nothing.
    fn write(&mut self, commits: &[RunCommit], at: Timestamp) -> Result<(), StoreError> {
        commits.iter().try_for_each(check::run_commit)?;
        if commits.iter().any(|commit| self.refusal(commit).is_some()) {
            return Err(StoreError::Conflict("a run changed meanwhile".to_owned()));
        }
        commits.iter().try_for_each(|commit| self.check(commit))?;
        for commit in commits {
            self.apply(commit, at);
        }
        Ok(())
    }
}

impl MemoryStore {
    fn tell(&self, commits: &[RunCommit]) {
        let rows = commits.iter().flat_map(|commit| &commit.work);
        let mut queues: Vec<String> =
            rows.filter(|row| row.place == Place::Ready).map(|row| row.queue.clone()).collect();
        queues.sort();
        queues.dedup();
        queues.into_iter().for_each(|queue| self.wake(Wake::Queue(queue)));
    }
}

#[async_trait]
impl Scheduling for MemoryStore {
    async fn workflows(&self) -> Result<Vec<PublishedWorkflow>, StoreError> {
        let tables = self.tables();
        let mut all: Vec<PublishedWorkflow> = tables
            .schedules
            .workflows
            .iter()
            .map(|(id, known)| PublishedWorkflow {
                workflow: known.name.clone(),
                workflow_id: *id,
                version_id: known.version_id,
                sha256: known.sha256.clone(),
                source: known.source.clone(),
                retired: known.retired_at.is_some(),
                paused: known.paused.is_some(),
            })
            .collect();
        all.sort_by(|a, b| a.workflow.cmp(&b.workflow));
        Ok(all)
    }

    async fn publish_all(&self, versions: &[ScheduledVersion], at: Timestamp) -> Result<Vec<Published>, StoreError> {
        self.outage()?;
        for one in versions {
            let version = &one.version;
            for (what, text) in [("workflow", &version.workflow), ("source", &version.source), ("path", &version.path)]
            {
                check::text(what, text, usize::MAX)?;
            }
        }
        let mut tables = self.tables();
        let mut published = Vec::with_capacity(versions.len());
        for one in versions {
            let (numbers, _) = tables.publish(&one.version, at);
            published.push(numbers);
            let id = numbers.workflow_id;
            let before = tables.schedules.schedules.get(&id).map(|kept| Before {
                compiled: tables.version(kept.version_id).map(|version| version.compiled.clone()).unwrap_or_default(),
                progress: kept.progress.clone(),
            });
            let schedules = &mut tables.schedules;
            let known = schedules.workflows.get(&id);
            let returned = known.is_some_and(|known| known.retired_at.is_some());
            let paused = match known {
                Some(known) => known.paused.clone(),
                None => one.workflow.paused.then(Paused::default),
            };
            let (synced, error) = synced(before.as_ref(), &one.workflow, (paused.is_some(), returned), at);
            let known = Workflow {
                name: one.version.workflow.clone(),
                version_id: numbers.version_id,
                sha256: one.version.sha256.clone(),
                source: one.source.clone(),
                max_active_runs: one.workflow.max_active_runs,
                paused,
                retired_at: None,
            };
            schedules.workflows.insert(id, known);
            let skipped = schedules.schedules.get(&id).map_or(0, |kept| kept.skipped);
            match synced.progress {
                None => drop(schedules.schedules.remove(&id)),
                Some(progress) => {
                    let version_id = numbers.version_id;
                    let kept = Kept { version_id, progress, next: synced.next, skipped, error };
                    schedules.schedules.insert(id, kept);
                }
            }
            if let Some(skipped) = synced.skipped {
                schedules.skip(id, skipped, at);
            }
        }
        self.count(Purpose::Admin, true);
        Ok(published)
    }

    async fn retire(&self, workflows: &[String], at: Timestamp) -> Result<u32, StoreError> {
        let schedules = &mut self.tables().schedules;
        let mut retired = 0;
        for name in workflows {
            let Some(id) = schedules.by_name(name) else { continue };
            if let Some(known) = schedules.workflows.get_mut(&id).filter(|known| known.retired_at.is_none()) {
                known.retired_at = Some(at);
                retired += 1;
                if let Some(kept) = schedules.schedules.get_mut(&id) {
                    kept.next = Next::default();
                }
            }
        }
        self.count(Purpose::Admin, retired > 0);
        Ok(retired)
    }

    async fn set_paused(
        &self,
        workflow: &str,
        paused: bool,
        by: &str,
        reason: Option<&str>,
        at: Timestamp,
    ) -> Result<Option<bool>, StoreError> {
        check::text("by", by, usize::MAX)?;
        check::text("reason", reason.unwrap_or_default(), usize::MAX)?;
        let mut tables = self.tables();
        let Some(id) = tables.schedules.by_name(workflow) else { return Ok(None) };
        let Some(known) = tables.schedules.workflows.get_mut(&id) else { return Ok(None) };
        if known.paused.is_some() == paused {
            return Ok(Some(false));
        }
        let by = Paused { at: Some(at), by: Some(by.to_owned()), reason: reason.map(str::to_owned) };
        known.paused = paused.then_some(by);
        let silent = paused || known.retired_at.is_some();
        let version = tables.schedules.schedules.get(&id).map(|kept| kept.version_id);
        let compiled = version.and_then(|version| tables.version(version)).map(|version| version.compiled.clone());
        if let Some(kept) = tables.schedules.schedules.get_mut(&id) {
            (kept.next, kept.error) = (Next::default(), None);
            if !silent {
                match resumed(&compiled.unwrap_or_default(), &kept.progress, at) {
                    Ok(next) => kept.next = next,
                    Err(reason) => kept.error = Some(reason),
                }
            }
        }
        self.count(Purpose::Admin, true);
        Ok(Some(true))
    }

    async fn source_files(&self, source: &str, folder: &str) -> Result<Vec<SourceFile>, StoreError> {
        let of = |(key, _): &(&(String, String, String), &SourceFile)| key.0 == source && key.1 == folder;
        Ok(self.tables().schedules.files.iter().filter(of).map(|(_, file)| file.clone()).collect())
    }

    async fn broken_files(&self) -> Result<Vec<(String, String, SourceFile)>, StoreError> {
        let tables = self.tables();
        let broken = tables.schedules.files.iter().filter(|(_, file)| file.broken);
        Ok(broken.map(|((source, folder, _), file)| (source.clone(), folder.clone(), file.clone())).collect())
    }

    async fn report_files(
        &self,
        source: &str,
        folder: &str,
        changed: &[SourceFile],
        gone: &[String],
    ) -> Result<(), StoreError> {
        self.outage()?;
        let files = &mut self.tables().schedules.files;
        let key = |path: &str| (source.to_owned(), folder.to_owned(), path.to_owned());
        for path in gone {
            files.remove(&key(path));
        }
        for file in changed {
            files.insert(key(&file.path), file.clone());
        }
        self.count(Purpose::Admin, true);
        Ok(())
    }

    async fn next_fire(&self) -> Result<Option<Timestamp>, StoreError> {
        self.count(Purpose::Poll, false);
        Ok(self.tables().schedules.schedules.values().filter_map(|kept| kept.next.at).min())
    }

    async fn due_schedules(&self, now: Timestamp, limit: u32) -> Result<Vec<Due>, StoreError> {
        self.count(Purpose::Poll, false);
        let tables = self.tables();
        let mut due: Vec<Due> = tables
            .schedules
            .schedules
            .iter()
            .filter_map(|(id, kept)| {
                let due_at = kept.next.at.filter(|at| *at <= now)?;
                Some(Due { workflow_id: *id, version_id: kept.version_id, due_at })
            })
            .collect();
        due.sort_by_key(|due| (due.due_at, due.workflow_id));
        due.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(due)
    }

    async fn compiled(&self, versions: &[VersionId]) -> Result<Vec<(VersionId, String)>, StoreError> {
        let tables = self.tables();
        let known = versions.iter().filter_map(|id| Some((*id, tables.version(*id)?.compiled.clone())));
        Ok(known.collect())
    }

    async fn fire(&self, workflows: &[WorkflowId], now: Timestamp, decide: FireFn) -> Result<Fired, StoreError> {
        let mut tables = self.tables();
        let before = tables.clone();
        let (mut fired, mut runs) = (Fired::default(), Vec::new());
        for id in workflows {
            let load = tables.load_of(*id);
            let Some(known) = tables.schedules.workflows.get(id).filter(|_| tables.schedules.fires(*id)) else {
                continue;
            };
            let Some(kept) = tables.schedules.schedules.get(id) else { continue };
            if kept.next.at.is_none_or(|at| at > now) {
                continue;
            }
            let due = DueSchedule {
                workflow_id: *id,
                version_id: kept.version_id,
                progress: kept.progress.clone(),
                load,
                max_active_runs: known.max_active_runs,
            };
            let decision = decide(&due);
            let schedules = &mut tables.schedules;
            let Some(kept) = schedules.schedules.get_mut(id) else { continue };
            match decision {
                FireDecision::Leave => {}
                FireDecision::Broken(reason) => {
                    fired.moved += 1;
                    (kept.next, kept.error) = (Next::default(), Some(reason));
                }
                FireDecision::Move { runs: new, skipped, progress, next } => {
                    fired.moved += 1;
                    (kept.progress, kept.next, kept.error) = (progress, next, None);
                    for one in skipped {
                        fired.skipped += one.count;
                        schedules.skip(*id, one, now);
                    }
                    runs.extend(new);
                }
            }
        }
        runs.retain(|run| tables.refusal(run) != Some(Refusal::KeyTaken));
        if let Err(error) = tables.write(&runs, now) {
            *tables = before;
            return Err(error);
        }
        drop(tables);
        fired.created = u32::try_from(runs.len()).unwrap_or(u32::MAX);
        self.count(Purpose::Engine, fired.moved > 0);
        self.tell(&runs);
        Ok(fired)
    }

    async fn zone_rules(&self, release: &str, now: Timestamp) -> Result<u64, StoreError> {
        let mut tables = self.tables();
        let mut hurried = 0;
        if tables.zone_rules(release) {
            let in_a_zone: Vec<VersionId> = tables
                .schedules
                .schedules
                .values()
                .filter(|kept| kept.next.at.is_some_and(|at| at > now))
                .map(|kept| kept.version_id)
                .filter(|version| tables.version(*version).is_some_and(|version| is_in_a_zone(&version.compiled)))
                .collect();
            for kept in tables.schedules.schedules.values_mut() {
                if in_a_zone.contains(&kept.version_id) {
                    kept.next.at = Some(now);
                    hurried += 1;
                }
            }
        }
        drop(tables);
        self.count(Purpose::Admin, hurried > 0);
        Ok(hurried)
    }

    async fn clock(&self) -> Result<Option<Timestamp>, StoreError> {
        Ok(Some((self.clock)()))
    }

    async fn quarantine(&self, workflow: WorkflowId, error: &str, _at: Timestamp) -> Result<(), StoreError> {
        if let Some(kept) = self.tables().schedules.schedules.get_mut(&workflow) {
            (kept.next, kept.error) = (Next::default(), Some(error.to_owned()));
        }
        self.count(Purpose::Admin, true);
        Ok(())
    }

    async fn start_runs(
        &self,
        workflow: WorkflowId,
        at: Timestamp,
        decide: StartFn,
    ) -> Result<StartedRuns, StoreError> {
        let mut tables = self.tables();
        let Some(Room { load, limit }) = tables.room(workflow) else { return Ok(StartedRuns::default()) };
        let room = limit.saturating_sub(load.running).min(load.queued);
        let mut result = StartedRuns { queued: load.queued, ..StartedRuns::default() };
        let mut commits = Vec::new();
        if room > 0 {
            let of = |row: &updraft_model::record::RunRow| {
                row.facts.workflow_id == workflow && row.projection.state == RunState::Queued
            };
            let mut queued: Vec<(i32, Timestamp, RunId)> = tables
                .runs
                .values()
                .filter(|run| of(&run.row))
                .map(|run| (-run.row.facts.priority, run.row.facts.created_at, run.row.facts.run_id))
                .collect();
            queued.sort_unstable();
            queued.truncate(usize::try_from(room).unwrap_or(usize::MAX));
            commits = decide(queued.iter().filter_map(|(_, _, run)| tables.full(*run)).collect());
            tables.write(&commits, at)?;
            result.started = commits.iter().map(|commit| commit.run_id).collect();
            result.queued -= u32::try_from(commits.len()).unwrap_or(0).min(result.queued);
        }
        let open = load.running + load.queued;
        let fires = tables.schedules.fires(workflow);
        if let Some(kept) = tables.schedules.schedules.get_mut(&workflow).filter(|_| fires)
            && kept.next.below.is_some_and(|below| below > open)
            && kept.next.at.is_none_or(|next| next > at)
        {
            kept.next = Next { at: Some(at), below: None };
            result.schedule_due = true;
        }
        drop(tables);
        self.count(Purpose::Engine, result.schedule_due || !commits.is_empty());
        self.tell(&commits);
        result.started.iter().for_each(|run| self.wake(Wake::Run(*run)));
        Ok(result)
    }

    async fn room(&self, workflow: WorkflowId) -> Result<Option<Room>, StoreError> {
        self.count(Purpose::Poll, false);
        Ok(self.tables().room(workflow))
    }

    async fn startable(&self) -> Result<Vec<WorkflowId>, StoreError> {
        let tables = self.tables();
        let startable = tables.schedules.workflows.iter().filter(|(id, known)| {
            let load = tables.load_of(**id);
            let below = tables.schedules.schedules.get(*id).and_then(|kept| kept.next.below);
            let starts = load.queued > 0 && load.running < known.max_active_runs;
            starts || below.is_some_and(|below| below > load.running + load.queued)
        });
        self.count(Purpose::Poll, false);
        Ok(startable.map(|(id, _)| *id).collect())
    }

    async fn create_run(
        &self,
        workflow: WorkflowId,
        worker: Option<WorkerNo>,
        at: Timestamp,
        decide: AdmitFn,
    ) -> Result<Admitted, StoreError> {
        let mut tables = self.tables();
        let Some(Room { load, limit }) = tables.room(workflow) else { return Ok(Admitted::NoWorkflow) };
        let Some(commit) = decide(load, limit) else { return Ok(Admitted::Nothing) };
        if !matches!(commit.expected, Expected::New(_)) {
            return Err(StoreError::Other("a new run is expected".to_owned()));
        }
        if tables.refusal(&commit) == Some(Refusal::KeyTaken) {
            return Ok(Admitted::KeyTaken);
        }
        let claims = commit.work.iter().any(|row| row.place == Place::Executing);
        if claims && worker.is_some_and(|worker| !tables.is_active(worker)) {
            return Ok(Admitted::WorkerInactive);
        }
        let commits = [commit];
        tables.write(&commits, at)?;
        drop(tables);
        self.count(Purpose::Engine, true);
        self.tell(&commits);
        Ok(Admitted::Created)
    }

    async fn schedules(&self, after: Option<&str>, limit: u32) -> Result<Vec<ScheduleRow>, StoreError> {
        let schedules = &self.tables().schedules;
        let mut rows: Vec<ScheduleRow> =
            schedules.workflows.iter().map(|(id, known)| schedules.row(*id, known)).collect();
        rows.retain(|row| after.is_none_or(|after| row.workflow.as_str() > after));
        rows.sort_by(|a, b| a.workflow.cmp(&b.workflow));
        rows.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(rows)
    }

    async fn schedule(&self, workflow: &str) -> Result<Option<ScheduleRow>, StoreError> {
        let schedules = &self.tables().schedules;
        let found = schedules.workflows.iter().find(|(_, known)| known.name == workflow);
        Ok(found.map(|(id, known)| schedules.row(*id, known)))
    }

    async fn next_schedules(&self, limit: u32) -> Result<Vec<ScheduleRow>, StoreError> {
        let mut rows = self.schedules(None, u32::MAX).await?;
        let next = |row: &ScheduleRow| row.schedule.as_ref().and_then(|schedule| schedule.next_fire_at);
        rows.retain(|row| next(row).is_some());
        rows.sort_by_key(|row| (next(row), row.workflow_id));
        rows.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(rows)
    }

    async fn schedule_totals(&self, now: Timestamp) -> Result<ScheduleTotals, StoreError> {
        let schedules = &self.tables().schedules;
        let mut totals = ScheduleTotals::default();
        for (id, kept) in &schedules.schedules {
            totals.active += u64::from(schedules.fires(*id));
            totals.due += u64::from(kept.next.at.is_some_and(|at| at <= now));
            totals.next = totals.next.into_iter().chain(kept.next.at).min();
            totals.skipped += kept.skipped;
            totals.errors += u64::from(kept.error.is_some());
        }
        Ok(totals)
    }

    async fn skipped_fires(
        &self,
        workflow: Option<&str>,
        since: Option<Timestamp>,
        limit: u32,
    ) -> Result<Vec<SkippedFire>, StoreError> {
        let tables = self.tables();
        let wanted = |one: &&SkippedFire| {
            workflow.is_none_or(|workflow| one.workflow == workflow) && since.is_none_or(|since| one.at >= since)
        };
        let newest = tables.schedules.skipped.iter().rev().filter(wanted);
        Ok(newest.take(usize::try_from(limit).unwrap_or(usize::MAX)).cloned().collect())
    }
}
