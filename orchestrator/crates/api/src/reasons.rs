//! Why task runs are not running: the model's explanation, with what it needs of the store.

use std::collections::{BTreeMap, BTreeSet};

use updraft_model::explain::{self, Holder, QueueScene, QueuedRun, ReasonKind as Kind, RunScene};
use updraft_model::id::{RunId, TaskKey};
use updraft_model::run::Limits;
use updraft_model::state::{Place, RunState};
use updraft_store::WorkerState;
use updraft_store::history::{QueueDepth, RunLine, RunsAsk, WaitingLine};

use crate::dto::{Reason, ReasonHolder, ReasonKind, Time, WaitState, WaitingTask};
use crate::loads::{Loaded, load};
use crate::problem::Problem;
use crate::read;
use crate::state::ApiState;

/// Runs of a list that are looked into for reasons.
const LOOKED_INTO: usize = 10;
/// Runs of a workflow that are looked at for places in line.
const IN_LINE: u32 = 500;

/// Why the open task runs of a run are not running.
pub(crate) async fn of_run(api: &ApiState, run: &Loaded) -> Result<BTreeMap<TaskKey, Reason>, Problem> {
    Ok(explained(api, run)
        .await?
        .into_iter()
        .map(|(key, reason)| (key, shown(reason, Some(run.line.run_id))))
        .collect())
}

/// Task runs that could run but for `max_active_tasks` of their run, which the store does not list: they are not dispatched.
pub(crate) async fn held_back(api: &ApiState, running: &[RunLine]) -> Result<Vec<WaitingTask>, Problem> {
    let mut found = Vec::new();
    let mut left = LOOKED_INTO;
    for line in running.iter().filter(|line| line.state == RunState::Running) {
        let version = api.versions().get(line.version_id).await?;
        let limit = version.compiled.workflow.max_active_tasks.unwrap_or(Limits::default().window);
        if line.tasks_total.saturating_sub(line.tasks_done) <= limit || left == 0 {
            continue;
        }
        left -= 1;
        let loaded = load(api, line.run_id).await?;
        let reasons = explained(api, &loaded).await?;
        let held = reasons.into_iter().filter(|(_, reason)| reason.kind == Kind::MaxActiveTasks);
        found.extend(held.map(|(key, reason)| WaitingTask {
            workflow: line.workflow.clone(),
            run: Some(line.run_id.0),
            task: Some(key.task.to_string()),
            map_index: read::index(&key),
            state: WaitState::Waiting,
            since: Time(reason.since.or(line.started_at).unwrap_or(line.created_at)),
            reason: shown(reason, Some(line.run_id)),
        }));
    }
    Ok(found)
}

async fn explained(api: &ApiState, run: &Loaded) -> Result<BTreeMap<TaskKey, explain::Reason>, Problem> {
    let mut found = BTreeMap::new();
    if run.line.state.is_final() {
        return Ok(found);
    }
    let queues = Queues::look(api).await?;
    let detail = &run.detail;
    let scene = RunScene {
        compiled: run.compiled(),
        only: detail.run.only.as_deref(),
        state: run.line.state,
        started_at: run.line.started_at,
        window: Limits::default().window,
        expanded: &detail.expanded,
        ended: &detail.task_runs,
        work: &detail.work,
    };
    let queue = queues.scene(&detail.run.row.facts.queue, run);
    let dispatched = detail.work.iter().filter(|row| row.place != Place::Executing).map(|row| row.dispatch.key.clone());
    let over: BTreeSet<&TaskKey> = detail.task_runs.iter().map(|row| &row.key).collect();
    let graph = &run.compiled().graph;
    let waiting = graph.indices().map(|task| TaskKey::of(graph.id(task).clone()));
    let standing: BTreeSet<TaskKey> = detail.work.iter().map(|row| row.dispatch.key.clone()).collect();
    let waiting = waiting.filter(|key| !over.contains(key) && !standing.contains(key));
    for key in dispatched.chain(waiting) {
        if let Some(reason) = explain::task(&scene, &key, &queue, run.now) {
            found.insert(key, reason);
        }
    }
    Ok(found)
}

/// Why these do not run; `None` where nothing is known beyond where they are.
pub(crate) async fn of_waiting(api: &ApiState, lines: &[WaitingLine]) -> Result<Vec<Option<Reason>>, Problem> {
    let mut runs: BTreeMap<RunId, BTreeMap<TaskKey, Reason>> = BTreeMap::new();
    let mut queued: BTreeMap<RunId, Option<Reason>> = BTreeMap::new();
    for line in lines {
        match &line.key {
            Some(_) if runs.len() < LOOKED_INTO && !runs.contains_key(&line.run_id) => {
                let loaded = load(api, line.run_id).await?;
                runs.insert(line.run_id, of_run(api, &loaded).await?);
            }
            None if queued.len() < LOOKED_INTO && !queued.contains_key(&line.run_id) => {
                queued.insert(line.run_id, of_queued(api, &line.workflow, line.run_id).await?);
            }
            Some(_) | None => {}
        }
    }
    let one = |line: &WaitingLine| match &line.key {
        Some(key) => runs.get(&line.run_id).and_then(|reasons| reasons.get(key)).cloned(),
        None => queued.get(&line.run_id).cloned().flatten(),
    };
    Ok(lines.iter().map(one).collect())
}

/// Why a run has not started.
async fn of_queued(api: &ApiState, workflow: &str, run: RunId) -> Result<Option<Reason>, Problem> {
    let Some(row) = api.scheduling().schedule(workflow).await? else { return Ok(None) };
    let ask = RunsAsk {
        workflow: Some(workflow.to_owned()),
        states: vec![RunState::Queued, RunState::Running, RunState::Cancelling],
        limit: IN_LINE,
        ..RunsAsk::default()
    };
    let open = api.history().run_lines(&ask).await?.items;
    let (queued, active): (Vec<RunLine>, Vec<RunLine>) =
        open.into_iter().partition(|line| line.state == RunState::Queued);
    let Some(own) = queued.iter().find(|line| line.run_id == run) else { return Ok(None) };
    // Larger priority first, then the older one.
    let before = |line: &&RunLine| (-line.priority, line.run_id) < (-own.priority, own.run_id);
    let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    // A run that was re-opened waits since then: nothing else happens to it in between.
    let queued_at = match own.generation {
        0 => own.created_at,
        _ => api.reader().history(run, own.version).await?.last().map_or(own.created_at, |last| last.at),
    };
    let scene = QueuedRun {
        workflow: workflow.to_owned(),
        queued_at,
        paused: row.paused.is_some(),
        paused_since: row.paused.and_then(|paused| paused.at),
        max_active_runs: row.max_active_runs,
        active: active
            .iter()
            .map(|line| Holder { run: Some(line.run_id), key: None, since: line.started_at })
            .collect(),
        ahead: number(queued.iter().filter(before).count()),
        queued: number(queued.len()),
    };
    Ok(Some(shown(explain::queued_run(&scene, api.now()), None)))
}

/// Workers and queues at one look.
struct Queues {
    depths: Vec<QueueDepth>,
    workers: Vec<updraft_store::Peer>,
}

impl Queues {
    async fn look(api: &ApiState) -> Result<Self, Problem> {
        Ok(Self { depths: api.history().queues().await?, workers: api.store().peers().await? })
    }

    /// The queue of a run, as its own task runs see it.
    fn scene(&self, queue: &str, run: &Loaded) -> QueueScene {
        // A run's own queue is served by the engine that made it, which does not announce it.
        let serves = |peer: &&updraft_store::Peer| {
            peer.state == WorkerState::Active
                && (queue.starts_with("run:") || peer.info.queues.iter().any(|served| served == queue))
        };
        let serving: Vec<_> = self.workers.iter().filter(serves).collect();
        let depth = self.depths.iter().find(|depth| depth.queue == queue);
        let executing = run.detail.work.iter().filter(|row| row.place == Place::Executing);
        QueueScene {
            workers: u32::try_from(serving.len()).unwrap_or(u32::MAX),
            slots: serving.iter().map(|peer| peer.info.slots).sum(),
            busy: serving.iter().map(|peer| peer.busy).sum(),
            ahead: depth.map_or(0, |depth| depth.ready.saturating_sub(1)),
            ready: depth.map_or(0, |depth| depth.ready),
            holders: executing
                .map(|row| Holder {
                    run: Some(run.line.run_id),
                    key: Some(row.dispatch.key.clone()),
                    since: row.claimed_at,
                })
                .collect(),
        }
    }
}

/// As the API says it; a holder without a run is a task run of `own`.
fn shown(of: explain::Reason, own: Option<RunId>) -> Reason {
    Reason {
        kind: kind(of.kind),
        text: of.text,
        holders: of.holders.iter().map(|one| holder(one, own)).collect(),
        position: of.position,
        of: of.of,
        until: of.until.map(Time),
        usual_seconds: None,
    }
}

fn holder(of: &Holder, own: Option<RunId>) -> ReasonHolder {
    ReasonHolder {
        run: of.run.or(own).map(|run| run.0),
        task: of.key.as_ref().map(|key| key.task.to_string()),
        map_index: of.key.as_ref().and_then(read::index),
        since: of.since.map(Time),
    }
}

const fn kind(of: Kind) -> ReasonKind {
    match of {
        Kind::MaxActiveTasks => ReasonKind::MaxActiveTasks,
        Kind::MaxActiveRuns => ReasonKind::MaxActiveRuns,
        Kind::Upstream => ReasonKind::Upstream,
        Kind::TriggerRule => ReasonKind::TriggerRule,
        Kind::NoWorker => ReasonKind::NoWorker,
        Kind::Slots => ReasonKind::Slots,
        Kind::Retry => ReasonKind::Retry,
        Kind::Paused => ReasonKind::Paused,
        Kind::Schedule => ReasonKind::Schedule,
        Kind::Deferred => ReasonKind::Deferred,
        Kind::Queue => ReasonKind::Queue,
        Kind::Overlap => ReasonKind::Overlap,
        Kind::Cancelling => ReasonKind::Cancelling,
    }
}
