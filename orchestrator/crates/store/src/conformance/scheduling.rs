//! Cases of schedules, the limit of running runs, pauses and publication.

use std::sync::Arc;
use std::time::Duration;

use updraft_model::event::Event;
use updraft_model::id::{RunId, Stamp, TaskId, WorkflowId};
use updraft_model::record::{RunFacts, RunProjection};
use updraft_model::retry::RetryPolicy;
use updraft_model::schedule::plan::{Load, Plan, Policy, Room, SkipReason, plan};
use updraft_model::schedule::timetable::Timetable;
use updraft_model::schedule::{Catchup, DataIntervalKind, Dst, Overlap, Schedule};
use updraft_model::state::{RunState, Trigger};
use updraft_model::time::{DataInterval, Timestamp};
use updraft_model::trigger_rule::TriggerRule;
use updraft_model::workflow::{Task, Workflow};
use uuid::Uuid;

use super::world::{At, attempt, work, worker_named};
use crate::scheduling::{
    Admitted, DueSchedule, FireDecision, FireFn, Fired, ScheduledVersion, Scheduling, SourceFile, StartedRuns,
};
use crate::{Expected, LoadedRun, NewVersion, Published, RunCommit, Store, StoreError};

/// A store under test, by both of its sides.
pub struct Scheduled {
    /// The engine's.
    pub store: Arc<dyn Store>,
    /// The schedules'; several handles where there can be.
    pub scheduling: Vec<Arc<dyn Scheduling>>,
}

const QUEUE: &str = "default";

/// An instant.
fn t(text: &str) -> Timestamp {
    Timestamp::parse(text).expect("an instant")
}

/// A workflow of one task with this schedule.
pub fn scheduled_workflow(id: &str, schedule: Option<Schedule>) -> Workflow {
    Workflow {
        id: id.to_owned(),
        description: None,
        owner: None,
        tags: Vec::new(),
        schedule,
        jitter: None,
        start_date: None,
        end_date: None,
        catchup: Catchup::Latest,
        data_interval: DataIntervalKind::Point,
        max_active_runs: 2,
        overlap: Overlap::Queue,
        paused: false,
        max_active_tasks: None,
        timeout: None,
        params: serde_json::Map::new(),
        vars: serde_json::Map::new(),
        env: std::collections::BTreeMap::new(),
        tasks: vec![Task {
            id: TaskId::from("a"),
            task_type: "noop".to_owned(),
            with: serde_json::Map::new(),
            conn: None,
            depends_on: Vec::new(),
            trigger_rule: TriggerRule::AllSuccess,
            when: None,
            allow_failure: false,
            retry: RetryPolicy::default(),
            timeout: None,
            env: std::collections::BTreeMap::new(),
        }],
    }
}

/// A cron schedule in UTC.
pub fn cron(pattern: &str) -> Schedule {
    Schedule::Cron { patterns: vec![pattern.to_owned()], timezone: "UTC".to_owned(), dst: Dst::default() }
}

/// A publication of a workflow.
pub fn publication(workflow: &Workflow, source: &str) -> ScheduledVersion {
    let compiled = serde_json::to_string(workflow).expect("JSON");
    ScheduledVersion {
        version: NewVersion {
            workflow: workflow.id.clone(),
            sha256: updraft_model::canonical::sha256_hex(compiled.as_bytes()),
            source: compiled.clone(),
            path: format!("workflows/{}.yaml", workflow.id),
            compiled,
        },
        workflow: workflow.clone(),
        source: source.to_owned(),
    }
}

fn new_run(due: (WorkflowId, updraft_model::id::VersionId), key: &str, at: Timestamp, trigger: Trigger) -> RunCommit {
    let run_id = RunId(Uuid::now_v7());
    let interval = DataInterval { start: at, end: at };
    let created = Event::RunCreated {
        workflow: due.0,
        version_id: due.1,
        run_key: key.to_owned(),
        trigger,
        interval,
        logical_at: at,
        priority: 0,
        by: "test".to_owned(),
        conf_sha256: "00".repeat(32),
        only: None,
    };
    RunCommit {
        run_id,
        expected: Expected::New(Box::new(RunFacts {
            run_id,
            workflow_id: due.0,
            version_id: due.1,
            run_key: key.to_owned(),
            trigger,
            logical_at: at,
            interval,
            conf: "{}".to_owned(),
            queue: QUEUE.to_owned(),
            priority: 0,
            created_at: at,
        })),
        stamp: Stamp(Uuid::new_v4()),
        actor: "scheduler".to_owned(),
        events: vec![created],
        run: RunProjection { state: RunState::Queued, cause: None, generation: 0, started_at: None, ended_at: None },
        ended: Vec::new(),
        task_runs: Vec::new(),
        work: Vec::new(),
        removed: Vec::new(),
        cleared: Vec::new(),
    }
}

/// The same run, started, with its task ready.
fn started(mut commit: RunCommit, at: Timestamp) -> RunCommit {
    commit.events.push(Event::RunStarted {});
    commit.run = RunProjection { state: RunState::Running, started_at: Some(at), ..commit.run };
    commit.work.push(work(commit.run_id, "a", At::Ready(1), at));
    commit
}

/// What a scheduler decides: the model's plan, every run queued.
fn by_plan(workflow: &Workflow, now: Timestamp) -> FireFn {
    let workflow = workflow.clone();
    Arc::new(move |due: &DueSchedule| {
        let timetable = Timetable::of(&workflow, due.progress.anchor).expect("computes").expect("a schedule");
        let planned = plan(&timetable, Policy::of(&workflow), &due.progress, due.load, now).expect("computes");
        let Plan { runs, skipped, progress, next } = planned;
        let numbers = (due.workflow_id, due.version_id);
        let runs = runs.iter().map(|run| new_run(numbers, &run.fire.run_key(), now, Trigger::Schedule)).collect();
        FireDecision::Move { runs, skipped, progress, next }
    })
}

async fn published(world: &Scheduled, workflow: &Workflow, at: Timestamp) -> Published {
    let versions = [publication(workflow, "here")];
    world.scheduling[0].publish_all(&versions, at).await.expect("publish")[0]
}

async fn run_states(world: &Scheduled, runs: &[RunId]) -> Vec<RunState> {
    let question: Vec<_> = runs.iter().map(|run| (*run, None)).collect();
    let loaded = world.store.load(&question).await.expect("load");
    loaded
        .into_iter()
        .map(|one| match one {
            crate::Loaded::Full(full) => full.row.projection.state,
            other => panic!("not loaded: {other:?}"),
        })
        .collect()
}

/// Starts every run that it is given.
fn start_all(at: Timestamp) -> crate::scheduling::StartFn {
    Box::new(move |runs: Vec<LoadedRun>| {
        runs.into_iter()
            .map(|run| RunCommit {
                run_id: run.row.facts.run_id,
                expected: Expected::At { version: run.row.version, stamp: run.row.stamp },
                stamp: Stamp(Uuid::new_v4()),
                actor: "scheduler".to_owned(),
                events: vec![Event::RunStarted {}],
                run: RunProjection { state: RunState::Running, started_at: Some(at), ..run.row.projection.clone() },
                ended: Vec::new(),
                task_runs: Vec::new(),
                work: vec![work(run.row.facts.run_id, "a", At::Ready(1), at)],
                removed: Vec::new(),
                cleared: Vec::new(),
            })
            .collect()
    })
}

/// A published schedule is looked at when it fires next; a second publication changes nothing about it.
pub async fn a_publication_makes_its_schedule_due_at_its_next_fire(world: &Scheduled) {
    let scheduling = &world.scheduling[0];
    let workflow = scheduled_workflow("etl", Some(cron("0 * * * *")));
    let numbers = published(world, &workflow, t("2026-01-01T00:30:00Z")).await;
    assert_eq!(scheduling.next_fire().await.expect("next"), Some(t("2026-01-01T01:00:00Z")));
    let again = Workflow { tags: vec!["new".to_owned()], ..workflow.clone() };
    let later = published(world, &again, t("2026-01-01T00:45:00Z")).await;
    assert_eq!(later.workflow_id, numbers.workflow_id);
    assert_ne!(later.version_id, numbers.version_id);
    let row = scheduling.schedule("etl").await.expect("row").expect("there");
    let schedule = row.schedule.expect("a schedule");
    assert_eq!(schedule.version_id, later.version_id);
    assert_eq!(schedule.progress.anchor, t("2026-01-01T00:30:00Z"), "the first publication");
    assert_eq!(schedule.next_fire_at, Some(t("2026-01-01T01:00:00Z")));
    let known = scheduling.workflows().await.expect("workflows");
    assert_eq!((known.len(), known[0].source.as_str(), known[0].retired), (1, "here", false));
    let due = scheduling.due_schedules(t("2026-01-01T01:00:00Z"), 10).await.expect("due");
    assert_eq!((due.len(), due[0].version_id), (1, later.version_id));
    let compiled = scheduling.compiled(&[later.version_id, numbers.version_id]).await.expect("compiled");
    assert_eq!(compiled.len(), 2);
    let by_hand = Workflow { schedule: None, ..workflow };
    published(world, &by_hand, t("2026-01-01T00:50:00Z")).await;
    assert_eq!(scheduling.next_fire().await.expect("next"), None);
    assert_eq!(scheduling.schedule("etl").await.expect("row").expect("there").schedule, None);
}

/// A fire becomes one run, whoever asks how often.
pub async fn a_fire_becomes_one_run(world: &Scheduled) {
    let workflow = scheduled_workflow("etl", Some(cron("0 * * * *")));
    let numbers = published(world, &workflow, t("2026-01-01T00:30:00Z")).await;
    let now = t("2026-01-01T01:00:00.004Z");
    let asked = (0..8).map(|n| {
        let scheduling = Arc::clone(&world.scheduling[n % world.scheduling.len()]);
        let decide = by_plan(&workflow, now);
        async move { scheduling.fire(&[numbers.workflow_id], now, decide).await.expect("fire") }
    });
    let fired = futures::future::join_all(asked).await;
    assert_eq!(fired.iter().map(|fired| fired.created).sum::<u32>(), 1, "{fired:?}");
    assert_eq!(world.scheduling[0].next_fire().await.expect("next"), Some(t("2026-01-01T02:00:00Z")));
    let row = world.scheduling[0].schedule("etl").await.expect("row").expect("there").schedule.expect("schedule");
    assert_eq!(row.progress.cursor, t("2026-01-01T01:00:00Z"));
}

/// A run that has the key already is the fire's run.
pub async fn a_fire_whose_key_is_taken_moves_on(world: &Scheduled) {
    let workflow = scheduled_workflow("etl", Some(cron("0 * * * *")));
    let numbers = published(world, &workflow, t("2026-01-01T00:30:00Z")).await;
    let (now, scheduling) = (t("2026-01-01T01:00:00Z"), &world.scheduling[0]);
    let run = new_run((numbers.workflow_id, numbers.version_id), "2026-01-01T01:00:00Z", now, Trigger::Manual);
    let make = Box::new(move |_, _| Some(run));
    let made = scheduling.create_run(numbers.workflow_id, None, now, make).await.expect("create");
    assert_eq!(made, Admitted::Created);
    let fired = scheduling.fire(&[numbers.workflow_id], now, by_plan(&workflow, now)).await.expect("fire");
    assert_eq!(fired, Fired { moved: 1, created: 0, skipped: 0 });
    assert_eq!(scheduling.next_fire().await.expect("next"), Some(t("2026-01-01T02:00:00Z")));
}

/// What cannot be written leaves everything as it was; a schedule that is put aside is not due any more.
pub async fn a_batch_is_all_or_nothing_and_the_guilty_one_is_put_aside(world: &Scheduled) {
    let scheduling = &world.scheduling[0];
    let good = scheduled_workflow("good", Some(cron("0 * * * *")));
    let bad = scheduled_workflow("bad", Some(cron("0 * * * *")));
    let at = t("2026-01-01T00:30:00Z");
    let ids = [published(world, &good, at).await.workflow_id, published(world, &bad, at).await.workflow_id];
    let now = t("2026-01-01T01:00:00Z");
    let (plan, guilty) = (by_plan(&good, now), ids[1]);
    let decide: FireFn = Arc::new(move |due| match plan(due) {
        FireDecision::Move { mut runs, skipped, progress, next } if due.workflow_id == guilty => {
            runs[0].actor = "a\0b".to_owned();
            FireDecision::Move { runs, skipped, progress, next }
        }
        decision => decision,
    });
    let failed = scheduling.fire(&ids, now, Arc::clone(&decide)).await;
    assert!(matches!(failed, Err(StoreError::Rejected(_))), "{failed:?}");
    assert_eq!(scheduling.due_schedules(now, 10).await.expect("due").len(), 2, "nothing was written");
    assert_eq!(scheduling.fire(&ids[..1], now, decide).await.expect("fire").created, 1);
    scheduling.quarantine(guilty, "it is bad", now).await.expect("quarantine");
    assert_eq!(scheduling.due_schedules(t("2027-01-01"), 10).await.expect("due").len(), 1);
    let row = scheduling.schedule("bad").await.expect("row").expect("there").schedule.expect("schedule");
    assert_eq!((row.error.as_deref(), row.next_fire_at), (Some("it is bad"), None));
    let broken: FireFn = Arc::new(|_| FireDecision::Broken("no".to_owned()));
    scheduling.fire(&ids[..1], t("2026-01-01T02:00:00Z"), broken).await.expect("fire");
    let totals = scheduling.schedule_totals(now).await.expect("totals");
    assert_eq!((totals.active, totals.due, totals.next, totals.errors), (2, 0, None, 2));
    published(world, &Workflow { schedule: Some(cron("5 * * * *")), ..bad }, now).await;
    assert_eq!(scheduling.next_fire().await.expect("next"), Some(t("2026-01-01T01:05:00Z")), "an edit heals");
}

/// A pause is state of the store: edits do not touch it, and its end is like the end of an outage.
pub async fn a_pause_survives_edits_and_its_end_is_like_an_outage(world: &Scheduled) {
    let scheduling = &world.scheduling[0];
    let workflow = scheduled_workflow("etl", Some(cron("0 * * * *")));
    let numbers = published(world, &workflow, t("2026-01-01T00:30:00Z")).await;
    let at = t("2026-01-01T00:40:00Z");
    let paused = scheduling.set_paused("etl", true, "ada", Some("because"), at).await.expect("pause");
    assert_eq!(paused, Some(true));
    assert_eq!(scheduling.set_paused("etl", true, "ada", None, at).await.expect("pause"), Some(false));
    assert_eq!(scheduling.set_paused("no", true, "ada", None, at).await.expect("pause"), None);
    published(world, &Workflow { owner: Some("x".to_owned()), ..workflow.clone() }, t("2026-01-01T00:50:00Z")).await;
    let row = scheduling.schedule("etl").await.expect("row").expect("there");
    let by = row.paused.expect("paused");
    assert_eq!((by.by.as_deref(), by.reason.as_deref(), by.at), (Some("ada"), Some("because"), Some(at)));
    assert_eq!(scheduling.next_fire().await.expect("next"), None);
    let now = t("2026-01-01T05:30:00Z");
    let fired = scheduling.fire(&[numbers.workflow_id], now, by_plan(&workflow, now)).await.expect("fire");
    assert_eq!(fired, Fired::default(), "a paused workflow does not fire");
    scheduling.set_paused("etl", false, "ada", None, now).await.expect("unpause");
    let fired = scheduling.fire(&[numbers.workflow_id], now, by_plan(&workflow, now)).await.expect("fire");
    assert_eq!(fired, Fired { moved: 1, created: 1, skipped: 4 });
    let skipped = scheduling.skipped_fires(Some("etl"), None, 10).await.expect("skipped");
    assert_eq!((skipped.len(), skipped[0].skipped.count, skipped[0].skipped.reason), (1, 4, SkipReason::Catchup));
    assert_eq!(skipped[0].skipped.from, t("2026-01-01T01:00:00Z"));
    assert_eq!(scheduling.skipped_fires(None, Some(now), 10).await.expect("skipped"), skipped);
    assert_eq!(scheduling.skipped_fires(None, Some(t("2026-01-02")), 10).await.expect("skipped"), []);
    assert_eq!(scheduling.schedule_totals(now).await.expect("totals").skipped, 4);
    let born_paused = Workflow { paused: true, ..scheduled_workflow("other", Some(cron("0 * * * *"))) };
    published(world, &born_paused, now).await;
    assert!(scheduling.schedule("other").await.expect("row").expect("there").paused.is_some());
}

/// A workflow whose file is gone fires nothing; when it comes back, only what is to come, and the rest is recorded.
pub async fn a_retired_workflow_comes_back_without_what_it_missed(world: &Scheduled) {
    let scheduling = &world.scheduling[0];
    let workflow = Workflow { catchup: Catchup::All, ..scheduled_workflow("etl", Some(cron("0 * * * *"))) };
    published(world, &workflow, t("2026-01-01T00:30:00Z")).await;
    let names = ["etl".to_owned(), "unknown".to_owned()];
    assert_eq!(scheduling.retire(&names, t("2026-01-01T00:40:00Z")).await.expect("retire"), 1);
    assert_eq!(scheduling.retire(&names, t("2026-01-01T00:41:00Z")).await.expect("retire"), 0);
    assert_eq!(scheduling.next_fire().await.expect("next"), None);
    assert!(scheduling.workflows().await.expect("workflows")[0].retired);
    published(world, &workflow, t("2026-01-01T03:30:00Z")).await;
    assert_eq!(scheduling.next_fire().await.expect("next"), Some(t("2026-01-01T04:00:00Z")));
    let skipped = scheduling.skipped_fires(Some("etl"), None, 10).await.expect("skipped");
    assert_eq!((skipped[0].skipped.count, skipped[0].skipped.reason), (3, SkipReason::Edited));
    let edited = Workflow { schedule: Some(cron("30 * * * *")), ..workflow };
    published(world, &edited, t("2026-01-01T05:10:00Z")).await;
    let skipped = scheduling.skipped_fires(Some("etl"), None, 10).await.expect("skipped");
    assert_eq!((skipped.len(), skipped[0].skipped.count), (2, 2), "04:00 and 05:00");
}

/// Queued runs start while there is room, never more, however many ask at once.
pub async fn runs_start_while_there_is_room(world: &Scheduled) {
    let workflow = scheduled_workflow("etl", None);
    let numbers = published(world, &workflow, t("2026-01-01")).await;
    let scheduling = &world.scheduling[0];
    let mut runs = Vec::new();
    for n in 0..5 {
        let at = t("2026-01-01") + Duration::from_secs(n);
        let run = new_run((numbers.workflow_id, numbers.version_id), &n.to_string(), at, Trigger::Manual);
        runs.push(run.run_id);
        let made = scheduling.create_run(numbers.workflow_id, None, at, Box::new(move |_, _| Some(run))).await;
        assert_eq!(made.expect("create"), Admitted::Created);
    }
    assert_eq!(scheduling.startable().await.expect("startable"), [numbers.workflow_id]);
    let at = t("2026-01-01T00:01:00Z");
    let asked = (0..6).map(|n| {
        let scheduling = Arc::clone(&world.scheduling[n % world.scheduling.len()]);
        async move { scheduling.start_runs(numbers.workflow_id, at, start_all(at)).await.expect("start") }
    });
    let all: Vec<StartedRuns> = futures::future::join_all(asked).await;
    assert_eq!(all.iter().map(|one| one.started.len()).sum::<usize>(), 2, "{all:?}");
    let states = run_states(world, &runs).await;
    assert_eq!(&states[..2], [RunState::Running; 2], "the oldest first");
    assert_eq!(&states[2..], [RunState::Queued; 3]);
    assert_eq!(scheduling.startable().await.expect("startable"), []);
    let full = scheduling.start_runs(numbers.workflow_id, at, start_all(at)).await.expect("start");
    assert_eq!(full, StartedRuns { started: Vec::new(), queued: 3, schedule_due: false });
}

/// A new run hears how busy its workflow is, under the lock, and may claim its first tasks in the same commit.
pub async fn a_new_run_is_admitted_by_how_busy_its_workflow_is(world: &Scheduled) {
    let workflow = scheduled_workflow("etl", None);
    let numbers = published(world, &workflow, t("2026-01-01")).await;
    let pair = (numbers.workflow_id, numbers.version_id);
    let scheduling = &world.scheduling[0];
    let worker = world.store.register(&worker_named("w")).await.expect("register");
    let at = t("2026-01-01T00:00:01Z");
    for (n, running) in [(0, 0), (1, 1), (2, 2), (3, 2)] {
        let run = new_run(pair, &format!("k{n}"), at, Trigger::Api);
        let decide = Box::new(move |load: Load, limit: u32| {
            assert_eq!((load.running, limit), (running, 2));
            Some(if load.running < limit { started(run, at) } else { run })
        });
        let made = scheduling.create_run(numbers.workflow_id, Some(worker), at, decide).await.expect("create");
        assert_eq!(made, Admitted::Created);
    }
    let twice = new_run(pair, "k0", at, Trigger::Api);
    let made = scheduling.create_run(numbers.workflow_id, None, at, Box::new(move |_, _| Some(twice))).await;
    assert_eq!(made.expect("create"), Admitted::KeyTaken);
    let made = scheduling.create_run(numbers.workflow_id, None, at, Box::new(|_, _| None)).await;
    assert_eq!(made.expect("create"), Admitted::Nothing);
    let made = scheduling.create_run(WorkflowId(999), None, at, Box::new(|_, _| None)).await;
    assert_eq!(made.expect("create"), Admitted::NoWorkflow);
    world.store.leave(worker).await.expect("leave");
    let mut claimed = started(new_run(pair, "k9", at, Trigger::Api), at);
    claimed.work = vec![work(claimed.run_id, "a", At::Executing(worker, attempt()), at)];
    let decide = Box::new(move |_, _| Some(claimed));
    let made = scheduling.create_run(numbers.workflow_id, Some(worker), at, decide).await;
    assert_eq!(made.expect("create"), Admitted::WorkerInactive);
}

/// A schedule that waits for room is due as soon as a run has ended.
pub async fn a_schedule_that_waits_for_room_is_due_when_there_is(world: &Scheduled) {
    let workflow = scheduled_workflow("etl", Some(Schedule::Continuous));
    let at = t("2026-01-01");
    let numbers = published(world, &workflow, at).await;
    let scheduling = &world.scheduling[0];
    assert_eq!(scheduling.next_fire().await.expect("next"), Some(at));
    let first = scheduling.fire(&[numbers.workflow_id], at, by_plan(&workflow, at)).await.expect("fire");
    assert_eq!(first.created, 1);
    let row = scheduling.schedule("etl").await.expect("row").expect("there").schedule.expect("schedule");
    assert_eq!((row.next_fire_at, row.below), (None, Some(1)));
    let busy = scheduling.start_runs(numbers.workflow_id, at, start_all(at)).await.expect("start");
    assert_eq!((busy.started.len(), busy.schedule_due), (1, false), "its run is open");
    assert_eq!(scheduling.startable().await.expect("startable"), []);
    close_run(world, busy.started[0]).await;
    assert_eq!(scheduling.startable().await.expect("startable"), [numbers.workflow_id]);
    let later = t("2026-01-01T00:00:09Z");
    let woken = scheduling.start_runs(numbers.workflow_id, later, start_all(later)).await.expect("start");
    assert!(woken.schedule_due);
    assert_eq!(scheduling.next_fire().await.expect("next"), Some(later));
}

/// A clearing lane hears how busy the workflow is; what it re-opens as queued starts as any other queued run.
pub async fn a_re_opened_run_waits_until_there_is_room(world: &Scheduled) {
    let numbers = published(world, &scheduled_workflow("etl", None), t("2026-01-01")).await;
    let pair = (numbers.workflow_id, numbers.version_id);
    let (scheduling, at) = (&world.scheduling[0], t("2026-01-01T00:00:01Z"));
    let mut runs = Vec::new();
    for n in 0..3 {
        let run = started(new_run(pair, &format!("k{n}"), at, Trigger::Manual), at);
        runs.push(run.run_id);
        if n == 2 {
            close_run(world, runs[0]).await;
        }
        let made = scheduling.create_run(pair.0, None, at, Box::new(move |_, _| Some(run))).await;
        assert_eq!(made.expect("create"), Admitted::Created);
    }
    let load = Load { running: 2, ..Load::default() };
    assert_eq!(scheduling.room(pair.0).await.expect("room"), Some(Room { load, limit: 2 }));
    assert_eq!(scheduling.room(WorkflowId(999)).await.expect("room"), None);
    let (tell, told) = tokio::sync::oneshot::channel();
    let decide = Box::new(move |locked: crate::Locked| {
        // The test always waits for it.
        let _ = tell.send(locked.room);
        Some(reopened(&locked.run, numbers.version_id))
    });
    let outcome = world.store.commit_locked(runs[0], crate::Lane::Clear, at, decide).await.expect("lane");
    assert_eq!(outcome, crate::LaneOutcome::Applied);
    assert_eq!(told.await.expect("decided"), Some(Room { load, limit: 2 }));
    assert_eq!(run_states(world, &runs).await[0], RunState::Queued);
    assert_eq!(scheduling.startable().await.expect("startable"), []);
    let full = scheduling.start_runs(pair.0, at, start_all(at)).await.expect("start");
    assert_eq!((full.started.len(), full.queued), (0, 1));
    close_run(world, runs[1]).await;
    assert_eq!(scheduling.startable().await.expect("startable"), [pair.0]);
    let free = scheduling.start_runs(pair.0, at, start_all(at)).await.expect("start");
    assert_eq!(free.started, [runs[0]]);
    assert_eq!(run_states(world, &runs).await[0], RunState::Running);
}

/// The commit that re-opens a run as queued.
fn reopened(run: &LoadedRun, version_id: updraft_model::id::VersionId) -> RunCommit {
    let generation = run.row.projection.generation + 1;
    let event = Event::RunReopened {
        generation,
        version_id,
        tasks: Vec::new(),
        by: "ops".to_owned(),
        reason: "again".to_owned(),
        queue: None,
        waits: true,
    };
    let state = RunState::Queued;
    let projection = RunProjection { state, cause: None, generation, started_at: None, ended_at: None };
    RunCommit { events: vec![event], run: projection, ..going_on(run) }
}

/// A commit that changes nothing yet.
fn going_on(run: &LoadedRun) -> RunCommit {
    RunCommit {
        run_id: run.row.facts.run_id,
        expected: Expected::At { version: run.row.version, stamp: run.row.stamp },
        stamp: Stamp(Uuid::new_v4()),
        actor: "test".to_owned(),
        events: Vec::new(),
        run: run.row.projection.clone(),
        ended: Vec::new(),
        task_runs: Vec::new(),
        work: Vec::new(),
        removed: Vec::new(),
        cleared: Vec::new(),
    }
}

/// Ends a run.
async fn close_run(world: &Scheduled, run: RunId) {
    let known = world.store.load(&[(run, None)]).await.expect("load").pop();
    let Some(crate::Loaded::Full(run)) = known else { panic!("{known:?}") };
    let at = t("2026-01-01T00:00:02Z");
    let projection = RunProjection {
        state: RunState::Cancelled,
        cause: Some(updraft_model::state::Cause::CancelRequested),
        ended_at: Some(at),
        ..run.row.projection.clone()
    };
    let removed = run.work.iter().map(|row| row.dispatch.key.clone()).collect();
    let ended = RunCommit { run: projection, removed, ..going_on(&run) };
    let batch = crate::Batch { worker_no: updraft_model::id::WorkerNo(0), at, runs: vec![ended], pick: None };
    let committed = world.store.commit(&batch).await.expect("commit");
    assert!(matches!(committed, crate::Committed::Applied { .. }), "{committed:?}");
}

/// Files stand as they were reported last.
pub async fn files_are_reported_and_forgotten(world: &Scheduled) {
    let scheduling = &world.scheduling[0];
    let file = |path: &str, broken: bool| SourceFile {
        path: path.to_owned(),
        workflow: (!broken).then(|| "etl".to_owned()),
        sha256: "ab".repeat(32),
        diagnostics: "[]".to_owned(),
        broken,
        since: t("2026-01-01"),
    };
    let both = [file("a.yaml", false), file("b.yaml", true)];
    scheduling.report_files("src", "workflows", &both, &[]).await.expect("report");
    assert_eq!(scheduling.source_files("src", "workflows").await.expect("files"), both);
    assert_eq!(scheduling.source_files("src", "other").await.expect("files"), []);
    let broken = scheduling.broken_files().await.expect("broken");
    assert_eq!(broken, [("src".to_owned(), "workflows".to_owned(), both[1].clone())]);
    let mended = SourceFile { broken: false, ..both[1].clone() };
    let changed = std::slice::from_ref(&mended);
    scheduling.report_files("src", "workflows", changed, &["a.yaml".to_owned()]).await.expect("report");
    assert_eq!(scheduling.source_files("src", "workflows").await.expect("files"), [mended]);
    assert_eq!(scheduling.broken_files().await.expect("broken"), []);
}

/// Many at once are one commit, and come back page by page.
pub async fn many_are_published_at_once_and_listed_page_by_page(world: &Scheduled) {
    let scheduling = &world.scheduling[0];
    let at = t("2026-01-01T00:30:00Z");
    let versions: Vec<ScheduledVersion> = (0..1_203)
        .map(|n| publication(&scheduled_workflow(&format!("w{n:05}"), Some(cron(&format!("{} * * * *", n % 60)))), "s"))
        .collect();
    let commits = world.store.counters().commits(crate::Purpose::Admin);
    let numbers = scheduling.publish_all(&versions, at).await.expect("publish");
    assert_eq!(world.store.counters().commits(crate::Purpose::Admin), commits + 1);
    assert_eq!(numbers.len(), versions.len());
    let ids: std::collections::BTreeSet<_> = numbers.iter().map(|one| (one.workflow_id, one.version_id)).collect();
    assert_eq!(ids.len(), versions.len());
    let first = scheduling.schedules(None, 1_000).await.expect("schedules");
    let rest = scheduling.schedules(Some(&first[999].workflow), 1_000).await.expect("schedules");
    assert_eq!((first.len(), rest.len(), rest[202].workflow.as_str()), (1_000, 203, "w01202"));
    let next = scheduling.next_schedules(5).await.expect("next");
    let fires: Vec<_> =
        next.iter().map(|row| row.schedule.as_ref().and_then(|schedule| schedule.next_fire_at)).collect();
    assert_eq!(fires, [Some(t("2026-01-01T00:31:00Z")); 5]);
    let totals = scheduling.schedule_totals(at).await.expect("totals");
    assert_eq!((totals.active, totals.next), (1_203, Some(t("2026-01-01T00:31:00Z"))));
}

/// Another release of the zone database: next fires in a zone are computed anew, and what has fired fires no second time.
pub async fn another_zone_database_has_next_fires_computed_anew(world: &Scheduled) {
    let scheduling = &world.scheduling[0];
    let zone = |zone: &str| Schedule::Cron {
        patterns: vec!["0 6 * * *".to_owned()],
        timezone: zone.to_owned(),
        dst: Dst::default(),
    };
    let local = scheduled_workflow("local", Some(zone("Europe/Berlin")));
    let at = t("2026-01-01T00:30:00Z");
    let numbers = published(world, &local, at).await;
    published(world, &scheduled_workflow("utc", Some(zone("UTC"))), at).await;
    published(world, &scheduled_workflow("often", Some(Schedule::Every(Duration::from_hours(1)))), at).await;
    let told = async |release: &str, now: &str| scheduling.zone_rules(release, t(now)).await.expect("told");
    let look = async |now: &str| {
        let fired = scheduling.fire(&[numbers.workflow_id], t(now), by_plan(&local, t(now))).await.expect("fire");
        let row = scheduling.schedule("local").await.expect("row").expect("there").schedule.expect("schedule");
        (fired.moved, fired.created, row.next_fire_at)
    };

    assert_eq!(told("2025a", "2026-01-01T00:40:00Z").await, 1, "nobody knows by which it was computed");
    let due = scheduling.due_schedules(t("2026-01-01T00:40:00Z"), 10).await.expect("due");
    assert_eq!(due.iter().map(|due| due.workflow_id).collect::<Vec<_>>(), [numbers.workflow_id]);
    assert_eq!(look("2026-01-01T00:40:00Z").await, (1, 0, Some(t("2026-01-01T05:00:00Z"))));
    assert_eq!(look("2026-01-01T05:00:00.1Z").await, (1, 1, Some(t("2026-01-02T05:00:00Z"))));

    let other = world.scheduling.last().expect("a handle");
    assert_eq!(other.zone_rules("2025a", t("2026-01-01T05:00:01Z")).await.expect("told"), 0, "as before");
    assert_eq!(told("2025b", "2026-01-01T05:00:01Z").await, 1);
    assert_eq!(look("2026-01-01T05:00:01Z").await, (1, 0, Some(t("2026-01-02T05:00:00Z"))), "no second run");

    scheduling.set_paused("local", true, "ada", None, t("2026-01-01T06:00:00Z")).await.expect("pause");
    assert_eq!(told("2025c", "2026-01-01T06:00:01Z").await, 0, "what is paused is computed when it goes on");
}

/// Makes one test of each case, for a factory of `Option<(Scheduled, guard)>`.
#[macro_export]
macro_rules! scheduling_conformance {
    ($open:path) => {
        $crate::scheduling_conformance! { $open,
            a_publication_makes_its_schedule_due_at_its_next_fire,
            a_fire_becomes_one_run,
            a_fire_whose_key_is_taken_moves_on,
            a_batch_is_all_or_nothing_and_the_guilty_one_is_put_aside,
            a_pause_survives_edits_and_its_end_is_like_an_outage,
            a_retired_workflow_comes_back_without_what_it_missed,
            runs_start_while_there_is_room,
            a_new_run_is_admitted_by_how_busy_its_workflow_is,
            a_schedule_that_waits_for_room_is_due_when_there_is,
            a_re_opened_run_waits_until_there_is_room,
            files_are_reported_and_forgotten,
            another_zone_database_has_next_fires_computed_anew,
            many_are_published_at_once_and_listed_page_by_page,
        }
    };
    ($open:path, $($case:ident),+ $(,)?) => { $(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $case() {
            let opened: Option<($crate::conformance::scheduling::Scheduled, _)> = $open().await;
            let Some((world, kept_alive)) = opened else { return };
            $crate::conformance::scheduling::$case(&world).await;
            drop(world);
            drop(kept_alive);
        }
    )+ };
}
