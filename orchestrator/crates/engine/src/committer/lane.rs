//! A lane: one transaction that waits for one run's lock, looks around, decides, and writes. It never waits for two runs.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use updraft_model::event::Event;
use updraft_model::id::{RunId, VersionId};
use updraft_model::input::{AttemptResult, Halted, Input, Standing};
use updraft_model::record::WorkRow;
use updraft_model::run::{Limits, Run};
use updraft_model::schedule::plan::Room;
use updraft_model::state::Cause;
use updraft_store::{Lane, LaneOutcome, Locked, RunCommit, StoreError};

use super::build::{Part, StepError};
use super::command::{Finish, Job, Reply};
use super::trouble::{backoff, degraded};
use crate::error::EngineError;
use crate::plan::Plan;
use crate::shared::{Phase, Shared, locked, new_stamp};

/// What a lane shall do.
pub(super) struct Order {
    pub run_id: RunId,
    /// The version that the run is thought to be on.
    pub version: VersionId,
    pub plan: Arc<Plan>,
    pub finishes: Vec<Finish>,
    pub job: Option<(Job, Option<Reply>)>,
    pub limits: Limits,
}

/// What a lane did.
pub(crate) struct LaneDone {
    pub(super) run_id: RunId,
    pub(super) plan: Arc<Plan>,
    /// The run afterwards, if something was written.
    pub(super) run: Option<Run>,
    pub(super) events: Vec<Event>,
    /// New `work` rows.
    pub(super) work: Vec<WorkRow>,
    /// Rows that execute and must be told to stop.
    pub(super) stopped: Vec<WorkRow>,
    /// Rows whose attempts are over without their having said so: nobody waits for what they still say.
    pub(super) ended: Vec<WorkRow>,
    pub(super) accepted: Vec<Finish>,
    pub(super) dropped: Vec<(Finish, String)>,
    /// To be tried once more.
    pub(super) again: Vec<Finish>,
    /// The run was set aside, and why.
    pub(super) broken: Option<String>,
    pub(super) reply: Option<(Reply, Result<(), EngineError>)>,
}

/// What the decision under the lock left behind.
#[derive(Default)]
struct Report {
    run: Option<Run>,
    version: u64,
    events: Vec<Event>,
    work: Vec<WorkRow>,
    stopped: Vec<WorkRow>,
    ended: Vec<WorkRow>,
    /// The plan of the version that the run is on afterwards.
    plan: Option<Arc<Plan>>,
    /// The run is on this version, not on the one that it was thought to be on: nothing was decided.
    elsewhere: Option<VersionId>,
    rejects: Vec<(usize, String)>,
    /// Results that waited on disk and are now in the store.
    taken: Vec<Finish>,
    refused: Option<EngineError>,
}

/// Does what is ordered and tells the committer.
pub(super) async fn work(shared: Arc<Shared>, order: Order) {
    let on = On { run_id: order.run_id, version: order.version, plan: order.plan, limits: order.limits };
    let done = match order.job {
        Some((job, reply)) => job_alone(&shared, on, job, reply).await,
        None => results(&shared, on, order.finishes).await,
    };
    shared.command(done.into());
}

/// The run that a lane works on, as it is thought to be.
#[derive(Clone)]
struct On {
    run_id: RunId,
    version: VersionId,
    plan: Arc<Plan>,
    limits: Limits,
}

fn nothing(on: &On) -> LaneDone {
    LaneDone {
        run_id: on.run_id,
        plan: Arc::clone(&on.plan),
        run: None,
        events: Vec::new(),
        work: Vec::new(),
        stopped: Vec::new(),
        ended: Vec::new(),
        accepted: Vec::new(),
        dropped: Vec::new(),
        again: Vec::new(),
        broken: None,
        reply: None,
    }
}

/// Results, together if the store takes them, else one by one; a result that the store refuses alone ends its attempt
/// as failed; if even that is refused, the run is set aside.
async fn results(shared: &Arc<Shared>, on: On, finishes: Vec<Finish>) -> LaneDone {
    let mut done = nothing(&on);
    match attempt(shared, &on, &finishes, None).await {
        Ok((outcome, report)) => settle(&mut done, finishes, &outcome, report),
        Err(error) if is_away(&error) => done.again = finishes,
        Err(_) if finishes.len() > 1 => {
            let mut finishes = finishes.into_iter();
            // One now, the others after it: each in a commit of its own.
            if let Some(first) = finishes.next() {
                done = Box::pin(results(shared, on, vec![first])).await;
            }
            done.again.extend(finishes);
        }
        Err(error) => {
            let Some(finish) = finishes.into_iter().next() else { return done };
            let poorer = vec![degraded(&finish, &error)];
            match attempt(shared, &on, &poorer, None).await {
                Ok((outcome, report)) => settle(&mut done, poorer, &outcome, report),
                Err(second) if is_away(&second) => done.again = vec![finish],
                Err(second) => {
                    let detail = format!("the store refuses the end of `{}`: {second}", finish.key);
                    let job = Job::Break { code: "store_rejected".to_owned(), detail: detail.clone() };
                    // If this cannot be written either, the run is set aside in this process at least.
                    if let Ok((outcome, report)) = attempt(shared, &on, &[], Some(&job)).await {
                        settle(&mut done, Vec::new(), &outcome, report);
                    }
                    done.dropped.push((finish, second.to_string()));
                    done.broken = Some(detail);
                }
            }
        }
    }
    done
}

async fn job_alone(shared: &Arc<Shared>, on: On, job: Job, reply: Option<Reply>) -> LaneDone {
    let (mut done, run_id) = (nothing(&on), on.run_id);
    let result = match attempt(shared, &on, &[], Some(&job)).await {
        Ok((outcome, mut report)) => {
            let refused = report.refused.take();
            settle(&mut done, Vec::new(), &outcome, report);
            match (outcome, refused) {
                (LaneOutcome::Missing, _) => Err(EngineError::NoRun(run_id)),
                (LaneOutcome::Fenced(keys), _) => Err(EngineError::Store(StoreError::Conflict(format!(
                    "{} task runs of run {run_id} changed hands meanwhile",
                    keys.len()
                )))),
                (LaneOutcome::Applied | LaneOutcome::Nothing, Some(refused)) => Err(refused),
                (LaneOutcome::Applied | LaneOutcome::Nothing, None) => Ok(()),
            }
        }
        Err(error) => Err(EngineError::Store(error)),
    };
    if let (Job::Break { detail, .. }, Ok(())) = (&job, &result) {
        done.broken = Some(detail.clone());
    }
    match (reply, result) {
        (Some(reply), result) => done.reply = Some((reply, result)),
        (None, Ok(())) => {}
        (None, Err(error)) => shared.warn(Some(run_id), format!("{}: {error}", job.name())),
    }
    done
}

/// Sorts results after a lane's answer.
fn settle(done: &mut LaneDone, finishes: Vec<Finish>, outcome: &LaneOutcome, report: Report) {
    let Report { run, events, work, stopped, ended, plan, rejects, taken, .. } = report;
    if let Some(plan) = plan {
        done.plan = plan;
    }
    let rejected = |at: usize| rejects.iter().find(|(index, _)| *index == at).map(|(_, why)| why.clone());
    for (at, finish) in finishes.into_iter().enumerate() {
        match (outcome, rejected(at)) {
            (LaneOutcome::Missing, _) => done.dropped.push((finish, "the store does not know its run".to_owned())),
            (LaneOutcome::Fenced(keys), _) if keys.contains(&finish.key) => {
                done.dropped.push((finish, "the store no longer knows this attempt as ours (fenced)".to_owned()));
            }
            (LaneOutcome::Fenced(_), None) => done.again.push(finish),
            (_, Some(why)) => done.dropped.push((finish, why)),
            (LaneOutcome::Applied | LaneOutcome::Nothing, None) => done.accepted.push(finish),
        }
    }
    if *outcome == LaneOutcome::Applied {
        done.accepted.extend(taken);
        done.run = run;
        done.events = events;
        done.work = work;
        done.stopped = stopped;
        done.ended = ended;
    }
}

/// Waiting may help.
fn is_away(error: &StoreError) -> bool {
    error.is_transient()
        || match error {
            StoreError::Held { .. } | StoreError::Schema(_) | StoreError::ReadOnly(_) => true,
            StoreError::Unavailable(_)
            | StoreError::UnknownOutcome(_)
            | StoreError::Conflict(_)
            | StoreError::Rejected(_)
            | StoreError::Full(_)
            | StoreError::Inconsistent { .. }
            | StoreError::NoRun(_)
            | StoreError::Other(_) => false,
        }
}

/// One lane transaction, repeated while the store is away. In an abort it gives up after a few tries.
async fn attempt(
    shared: &Arc<Shared>,
    on: &On,
    finishes: &[Finish],
    job: Option<&Job>,
) -> Result<(LaneOutcome, Report), StoreError> {
    let (run_id, limits) = (on.run_id, on.limits);
    let (mut version, mut plan) = (on.version, Arc::clone(&on.plan));
    let mut tries = 0;
    loop {
        tries += 1;
        let stamp = new_stamp();
        let report = Arc::new(Mutex::new(Report::default()));
        let at = shared.now();
        let decision = Decision {
            shared: Arc::clone(shared),
            version,
            plan: Arc::clone(&plan),
            limits,
            finishes: finishes.to_vec(),
            job: job.cloned(),
            stamp,
            at,
            report: Arc::clone(&report),
        };
        let kind = job.map_or(Lane::Plain, Job::lane);
        let answer =
            shared.config.store.commit_locked(run_id, kind, at, Box::new(move |locked| decision.make(locked))).await;
        match answer {
            Ok(outcome) => {
                let report = std::mem::take(&mut *locked(&report));
                let Some(elsewhere) = report.elsewhere else { return Ok((outcome, report)) };
                // Somebody has re-opened it on another version meanwhile.
                let read = super::read_version(&*shared.config.reader, run_id, elsewhere).await;
                (version, plan) = match read {
                    Ok(compiled) => (elsewhere, Arc::new(Plan::new(compiled))),
                    Err(EngineError::Store(error)) => return Err(error),
                    Err(other) => return Err(StoreError::Other(other.to_string())),
                };
            }
            Err(StoreError::UnknownOutcome(text)) => {
                let version = locked(&report).version + 1;
                let applied = loop {
                    match shared.config.store.outcome(run_id, version, stamp).await {
                        Ok(applied) => break applied,
                        Err(error) if gives_up(shared, tries) => return Err(error),
                        Err(_) => wait(shared, &mut tries).await,
                    }
                };
                if applied {
                    return Ok((LaneOutcome::Applied, std::mem::take(&mut *locked(&report))));
                }
                if tries == 1 {
                    shared.warn(Some(run_id), format!("{text}; it was not applied and is tried again"));
                }
            }
            Err(error) if is_away(&error) => {
                if gives_up(shared, tries) {
                    return Err(error);
                }
                if tries == 1 && !matches!(error, StoreError::Conflict(_)) {
                    shared.warn(Some(run_id), format!("{error}; this is tried again until it works"));
                }
                wait(shared, &mut tries).await;
            }
            Err(error) => return Err(error),
        }
    }
}

fn gives_up(shared: &Shared, tries: u32) -> bool {
    shared.phase() >= Phase::Aborting && tries >= 5
}

async fn wait(shared: &Shared, tries: &mut u32) {
    *tries += 1;
    tokio::time::sleep(backoff(shared.config.backoff, *tries).max(Duration::from_millis(5))).await;
}

/// What a lane found of the run's `work`.
struct Found<'a> {
    standing: Vec<Standing>,
    removed: &'a [WorkRow],
    executing: &'a [WorkRow],
    /// How busy its workflow is, itself included.
    room: Option<Room>,
}

/// Everything that deciding under the lock needs.
struct Decision {
    shared: Arc<Shared>,
    version: VersionId,
    plan: Arc<Plan>,
    limits: Limits,
    finishes: Vec<Finish>,
    job: Option<Job>,
    stamp: updraft_model::id::Stamp,
    at: updraft_model::time::Timestamp,
    report: Arc<Mutex<Report>>,
}

impl Decision {
    fn make(self, found: Locked) -> Option<RunCommit> {
        let mut report = locked(&self.report);
        *report = Report::default();
        let Locked { run: loaded, removed, executing, room } = found;
        let run_id = loaded.row.facts.run_id;
        report.version = loaded.row.version;
        if loaded.row.facts.version_id != self.version {
            report.elsewhere = Some(loaded.row.facts.version_id);
            return None;
        }
        report.plan = Some(Arc::clone(&self.plan));
        let standing: Vec<Standing> = loaded.work.iter().map(Standing::from).collect();
        let mut run = match super::load::load_locked(&self.plan.compiled, loaded, self.limits) {
            Ok(run) => run,
            Err(illegal) => {
                report.refused = Some(EngineError::Broken { run_id, detail: illegal.to_string() });
                return None;
            }
        };
        let mut part = Part::at(&run);
        let worker = Some(self.shared.worker_no());
        for (at, finish) in self.finishes.iter().enumerate() {
            match part.finish(&mut run, finish, worker, self.at) {
                Ok(()) => {}
                Err(StepError::Reject(reject)) => report.rejects.push((at, reject.to_string())),
                Err(StepError::Panic(detail)) => {
                    report.refused = Some(EngineError::Broken { run_id, detail });
                    return None;
                }
            }
        }
        if let Some(job) = &self.job {
            let found = Found { standing, removed: &removed, executing: &executing, room };
            match self.job(job, &mut part, &mut run, found) {
                Ok(taken) => report.taken = taken,
                Err(refused) => {
                    report.refused = Some(refused);
                    return None;
                }
            }
        }
        if part.events.is_empty() {
            return None;
        }
        let actor = match &self.job {
            Some(Job::Cancel { by, .. } | Job::Repair { by }) => by.clone(),
            Some(Job::Retry(retry)) => retry.by.clone(),
            Some(Job::Mark(mark)) => mark.by.clone(),
            Some(Job::Abort { .. } | Job::Reap(_) | Job::Refresh | Job::Break { .. }) | None => {
                format!("worker:{}", self.shared.worker_no())
            }
        };
        if run.facts().version_id != self.version {
            report.plan = Some(Arc::new(Plan::new(Arc::clone(run.compiled()))));
        }
        let commit = part.close(&run, self.stamp, actor, self.at);
        run.committed(self.stamp);
        report.events.clone_from(&commit.events);
        report.work.clone_from(&commit.work);
        report.stopped = match &self.job {
            Some(Job::Cancel { .. } | Job::Abort { .. }) => executing,
            Some(Job::Retry(_) | Job::Mark(_)) => {
                let ends = |row: &WorkRow| commit.ended.iter().any(|ended| Some(ended.attempt_id) == row.attempt_id);
                report.ended = executing.into_iter().filter(ends).collect();
                Vec::new()
            }
            Some(Job::Reap(_) | Job::Refresh | Job::Repair { .. } | Job::Break { .. }) | None => Vec::new(),
        };
        report.run = Some(run);
        Some(commit)
    }

    fn is_repeatable(&self, row: &WorkRow) -> bool {
        let compiled = &self.plan.compiled;
        let task = compiled.graph.position(row.dispatch.key.task.as_str());
        task.is_some_and(|task| self.shared.is_repeatable(&compiled.task(task).task_type))
    }

    fn job(
        &self,
        job: &Job,
        part: &mut Part,
        run: &mut Run,
        Found { standing, removed, executing, room }: Found<'_>,
    ) -> Result<Vec<Finish>, EngineError> {
        let run_id = run.facts().run_id;
        let refuse = |error| match error {
            StepError::Reject(reject) => EngineError::Rejected { run_id, reject },
            StepError::Panic(detail) => EngineError::Broken { run_id, detail },
        };
        let halted = || Halted {
            removed: removed.iter().map(|row| row.dispatch.key.clone()).collect(),
            executing: executing.iter().map(|row| row.dispatch.key.clone()).collect(),
        };
        let mut taken = Vec::new();
        match job {
            Job::Cancel { by, reason } => {
                let input = Input::Cancel { by: by.clone(), reason: reason.clone(), halted: halted() };
                part.step(run, input, self.at).map_err(refuse)?;
            }
            Job::Abort { cause } => {
                part.step(run, Input::Abort { cause: *cause, halted: halted() }, self.at).map_err(refuse)?;
            }
            Job::Retry(retry) => {
                let queue = self.shared.config.queues.first().map(String::as_str);
                let input = retry.input(run, standing, queue, room);
                part.operate(run, input, executing, self.at).map_err(refuse)?;
            }
            Job::Mark(mark) => part.operate(run, mark.input(standing), executing, self.at).map_err(refuse)?,
            Job::Refresh => part.step(run, Input::Refresh, self.at).map_err(refuse)?,
            Job::Repair { by } => part.step(run, Input::Repair { by: by.clone() }, self.at).map_err(refuse)?,
            Job::Break { code, detail } => {
                let input = Input::Break { code: code.clone(), detail: detail.clone() };
                part.step(run, input, self.at).map_err(refuse)?;
            }
            Job::Reap(takeover) => {
                let spooled = self
                    .shared
                    .spool
                    .of_run(run_id)
                    .map_err(|source| EngineError::Io { what: "reading spooled results".to_owned(), source })?;
                let cause = if takeover.suspect { Cause::WorkerSuspect } else { Cause::WorkerDied };
                for row in executing.iter().filter(|row| row.worker_no == Some(takeover.worker_no)) {
                    let Some(attempt_id) = row.attempt_id else { continue };
                    if takeover.suspect && !self.is_repeatable(row) {
                        continue;
                    }
                    let finish = spooled
                        .iter()
                        .find(|result| {
                            result.attempt_id == attempt_id && result.dispatch_no == row.dispatch.dispatch_no
                        })
                        .map_or_else(|| lost(row, attempt_id, cause, takeover.words.clone()), Finish::from_spool);
                    part.finish(run, &finish, Some(takeover.worker_no), self.at).map_err(refuse)?;
                    if finish.spooled {
                        taken.push(finish);
                    }
                }
            }
        }
        Ok(taken)
    }
}

/// The end of an attempt that will never report.
pub(crate) fn lost(row: &WorkRow, attempt_id: updraft_model::id::AttemptId, cause: Cause, message: String) -> Finish {
    Finish {
        run_id: row.run_id,
        key: row.dispatch.key.clone(),
        dispatch_no: row.dispatch.dispatch_no,
        attempt_id,
        result: AttemptResult::Lost { cause, message },
        started_at: None,
        output: None,
        items: Vec::new(),
        metrics: Vec::new(),
        had_slot: false,
        spooled: false,
    }
}

impl Finish {
    fn from_spool(result: &crate::spool::Spooled) -> Self {
        let output =
            result.output.as_ref().map(|text| (text.clone(), Arc::new(serde_json::from_str(text).unwrap_or_default())));
        Self {
            run_id: result.run_id,
            key: result.key.clone(),
            dispatch_no: result.dispatch_no,
            attempt_id: result.attempt_id,
            result: result.result.clone(),
            started_at: result.started_at,
            output,
            items: result.items.clone(),
            metrics: result.metrics.clone(),
            had_slot: false,
            spooled: true,
        }
    }
}

impl Job {
    fn lane(&self) -> Lane {
        match self {
            Self::Cancel { .. } | Self::Abort { .. } => Lane::Cancel,
            Self::Reap(takeover) => Lane::Reap(takeover.worker_no),
            Self::Retry(_) | Self::Mark(_) => Lane::Clear,
            Self::Refresh | Self::Repair { .. } | Self::Break { .. } => Lane::Plain,
        }
    }

    /// In words, for warnings.
    fn name(&self) -> &'static str {
        match self {
            Self::Cancel { .. } => "cancelling the run",
            Self::Abort { .. } => "ending the run at its limit",
            Self::Reap(_) => "taking over what a dead worker left",
            Self::Retry(_) => "running task runs again",
            Self::Mark(_) => "marking task runs",
            Self::Refresh => "looking at the run anew",
            Self::Repair { .. } => "repairing the run",
            Self::Break { .. } => "setting the run aside",
        }
    }
}
