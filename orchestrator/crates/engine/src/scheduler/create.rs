//! New runs that somebody asked for, under the limit of their workflow: one commit from trigger to start.

use std::sync::{Arc, Mutex};

use updraft_model::canonical::canonical_json;
use updraft_model::graph::Compiled;
use updraft_model::id::{RunId, TaskId, WorkerNo};
use updraft_model::input::Input;
use updraft_model::record::{RunFacts, WorkRow};
use updraft_model::run::{Limits, Run};
use updraft_model::schedule::plan::Load;
use updraft_model::state::Place;
use updraft_model::time::Timestamp;
use updraft_store::scheduling::Admitted;
use updraft_store::{RunCommit, Scheduling, StoreError};
use uuid::Uuid;

use super::SchedulerConfig;
use crate::committer::build::{Part, StepError, claim};
use crate::config::NewRun;
use crate::error::EngineError;
use crate::shared::{locked, new_attempt, new_stamp};

/// A run that was asked for and is in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Triggered {
    /// The run.
    pub run_id: RunId,
    /// It runs; else it waits for its turn.
    pub started: bool,
}

/// Who takes the first tasks in the same commit.
pub(crate) struct Claimer {
    pub worker_no: WorkerNo,
    /// At most this many.
    pub free: usize,
    /// Told of each attempt before it is in the store.
    pub own: Box<dyn Fn(&WorkRow) + Send + Sync>,
}

/// A run as it was written.
pub(crate) struct Made {
    pub run: Run,
    pub work: Vec<WorkRow>,
    pub commit: RunCommit,
}

/// Makes a run from a process without a worker: it starts at once if there is room, else it waits for its turn. Tell the
/// scheduler ([`super::SchedulerHandle::run_ended`]) if it waits.
///
/// # Errors
/// The store fails, the run key is taken, a chosen task does not exist.
pub async fn create_run(
    scheduling: &dyn Scheduling,
    new: NewRun,
    limits: Limits,
    now: Timestamp,
) -> Result<Triggered, EngineError> {
    let actor = new.by.clone();
    let made = make(scheduling, new, limits, actor, None, now).await?;
    Ok(Triggered { run_id: made.run.facts().run_id, started: started(&made.run) })
}

pub(crate) fn started(run: &Run) -> bool {
    run.projection().started_at.is_some()
}

/// Makes a run under its workflow's lock.
pub(crate) async fn make(
    scheduling: &dyn Scheduling,
    new: NewRun,
    limits: Limits,
    actor: String,
    claimer: Option<Claimer>,
    now: Timestamp,
) -> Result<Made, EngineError> {
    let run_id = new.run_id.unwrap_or_else(|| RunId(Uuid::now_v7()));
    let conf = canonical_json(&serde_json::Value::Object(new.params))
        .map_err(|error| EngineError::Store(StoreError::Rejected(format!("the params cannot be stored: {error}"))))?;
    let facts = RunFacts {
        run_id,
        workflow_id: new.version.workflow_id,
        version_id: new.version.version_id,
        run_key: new.run_key.unwrap_or_else(|| run_id.to_string()),
        trigger: new.trigger,
        logical_at: new.logical_at,
        interval: new.interval,
        conf,
        queue: new.queue.unwrap_or_else(|| SchedulerConfig::QUEUE.to_owned()),
        priority: new.priority,
        created_at: now,
    };
    let (workflow_id, run_key) = (facts.workflow_id, facts.run_key.clone());
    let worker = claimer.as_ref().map(|claimer| claimer.worker_no);
    let made: Arc<Mutex<Option<Result<Made, StepError>>>> = Arc::default();
    let answer = Arc::clone(&made);
    let asked = Asked { facts, compiled: new.workflow, by: new.by, only: new.only, limits, actor, now };
    let decide = Box::new(move |load: Load, limit: u32| {
        // Runs that wait already go first.
        let starts = load.queued == 0 && load.running < limit;
        let built = asked.build(starts, claimer.as_ref());
        let commit = built.as_ref().ok().map(|built| built.commit.clone());
        *locked(&answer) = Some(built);
        commit
    });
    let admitted = scheduling.create_run(workflow_id, worker, now, decide).await?;
    let built = locked(&made).take();
    match (admitted, built) {
        (Admitted::Created, Some(Ok(mut made))) => {
            made.run.committed(made.commit.stamp);
            Ok(made)
        }
        (_, Some(Err(StepError::Reject(reject)))) => Err(EngineError::Rejected { run_id, reject }),
        (_, Some(Err(StepError::Panic(detail)))) => Err(EngineError::Broken { run_id, detail }),
        (Admitted::KeyTaken, _) => Err(EngineError::KeyTaken(run_key)),
        (Admitted::WorkerInactive, _) => {
            Err(EngineError::Store(StoreError::Conflict("this worker is not active at the moment".to_owned())))
        }
        (Admitted::NoWorkflow, _) => Err(EngineError::NoWorkflow(workflow_id)),
        (Admitted::Created | Admitted::Nothing, Some(Ok(_)) | None) => {
            Err(EngineError::Store(StoreError::Other("a new run was not decided about".to_owned())))
        }
    }
}

struct Asked {
    facts: RunFacts,
    compiled: Arc<Compiled>,
    by: String,
    only: Option<Vec<TaskId>>,
    limits: Limits,
    actor: String,
    now: Timestamp,
}

impl Asked {
    fn build(self, starts: bool, claimer: Option<&Claimer>) -> Result<Made, StepError> {
        let Self { facts, compiled, by, only, limits, actor, now } = self;
        let conf_sha256 = updraft_model::canonical::sha256_hex(facts.conf.as_bytes());
        let mut run = Run::unborn(compiled, facts.clone(), limits);
        let mut part = Part::new_run(facts);
        part.step(&mut run, Input::Create { by, conf_sha256, only }, now)?;
        if starts {
            part.step(&mut run, Input::Start, now)?;
        }
        let mut commit = part.close(&run, new_stamp(), actor, now);
        if let Some(claimer) = claimer {
            let ready = commit.work.iter_mut().filter(|row| row.place == Place::Ready);
            for row in ready.take(claimer.free) {
                claim(row, claimer.worker_no, new_attempt(), now);
                (claimer.own)(row);
            }
        }
        Ok(Made { run, work: commit.work.clone(), commit })
    }
}
