//! Why is it not running: one table of situations and sentences.

use updraft_model::explain::{Holder, QueueScene, QueuedRun, Reason, ReasonKind, RunScene, queued_run, task, words};
use updraft_model::graph::Compiled;
use updraft_model::id::{AttemptId, RunId, TaskKey, WorkerNo};
use updraft_model::record::{Dispatch, TaskRunRow, WorkRow};
use updraft_model::state::{Cause, FinalState, Place, RunState};
use updraft_model::time::Timestamp;
use updraft_model::trigger_rule::TriggerRule;
use updraft_model::workflow::Workflow;
use uuid::Uuid;

use super::support::{at, compiled, task as node, workflow};

const NOW: i64 = 3_600_000;

fn work(name: &str, place: Place) -> WorkRow {
    let executes = place == Place::Executing;
    WorkRow {
        run_id: RunId(Uuid::nil()),
        dispatch: Dispatch { key: TaskKey::of(name), dispatch_no: 1, try_no: 2, losses: 0, generation: 0 },
        place,
        due_at: matches!(place, Place::Timer | Place::Polled).then(|| at(NOW + 90_000)),
        queue: "default".to_owned(),
        rank: 0,
        worker_no: executes.then_some(WorkerNo(1)),
        attempt_id: executes.then_some(AttemptId(Uuid::nil())),
        claimed_at: executes.then(|| at(NOW - 60_000)),
        cancel_at: None,
    }
}

fn over(name: &str, state: FinalState, ended: i64) -> TaskRunRow {
    TaskRunRow {
        key: TaskKey::of(name),
        generation: 0,
        dispatch_no: 1,
        try_no: 1,
        losses: 0,
        state,
        cause: Cause::Task,
        started_at: None,
        ended_at: at(ended),
        expanded_n: None,
    }
}

fn ask(compiled: &Compiled, state: RunState, ended: &[TaskRunRow], rows: &[WorkRow], name: &str) -> Option<Reason> {
    asked(compiled, state, ended, rows, name, &QueueScene::default())
}

fn asked(
    compiled: &Compiled,
    state: RunState,
    ended: &[TaskRunRow],
    rows: &[WorkRow],
    name: &str,
    queue: &QueueScene,
) -> Option<Reason> {
    let scene = RunScene {
        compiled,
        only: None,
        state,
        started_at: Some(at(0)),
        window: 512,
        expanded: &[],
        ended,
        work: rows,
    };
    task(&scene, &TaskKey::of(name), queue, at(NOW))
}

fn said(reason: Option<Reason>) -> (ReasonKind, String) {
    let reason = reason.expect("it does not run");
    (reason.kind, reason.text)
}

/// `max_active_tasks: 2` with six tasks that could start: two run, four wait in line.
#[test]
fn tasks_over_the_limit_of_their_run_stand_in_line() {
    let names = ["start", "r0", "r1", "r2", "r3", "r4", "r5"];
    let tasks = names.iter().map(|name| node(name, if *name == "start" { &[] } else { &["start"] })).collect();
    let graph = compiled(Workflow { max_active_tasks: Some(2), ..workflow(tasks) });
    let ended = [over("start", FinalState::Succeeded, NOW - 18 * 60_000)];
    let rows = [work("r0", Place::Executing), work("r1", Place::Executing)];
    let reasons: Vec<Option<Reason>> =
        names.iter().map(|name| ask(&graph, RunState::Running, &ended, &rows, name)).collect();
    assert_eq!(&reasons[..3], [None, None, None], "what is over or runs waits for nothing");
    for (place, reason) in (1..).zip(reasons[3..].iter().flatten()) {
        let ordinal = ["1st", "2nd", "3rd", "4th"][place - 1];
        let place = u32::try_from(place).unwrap();
        assert_eq!(reason.kind, ReasonKind::MaxActiveTasks);
        assert_eq!(
            reason.text,
            format!("waits 18 m for a task slot of this run (2/2 used by r0, r1; {ordinal} in line)")
        );
        assert_eq!((reason.position, reason.of), (Some(place), Some(4)));
        assert_eq!(reason.since, Some(at(NOW - 18 * 60_000)));
        let holder = |name: &str| Holder { run: None, key: Some(TaskKey::of(name)), since: Some(at(NOW - 60_000)) };
        assert_eq!(reason.holders, [holder("r0"), holder("r1")]);
    }
    assert_eq!(reasons[3..].iter().flatten().count(), 4);
}

#[test]
fn a_task_waits_for_its_upstreams_by_its_rule() {
    let mut tasks = vec![node("a", &[]), node("b", &[]), node("c", &[]), node("d", &["a", "b", "c"])];
    let graph = compiled(workflow(tasks.clone()));
    let rows = [work("a", Place::Executing), work("b", Place::Timer), work("c", Place::Ready)];
    let reason = ask(&graph, RunState::Running, &[], &rows, "d");
    assert_eq!(reason.as_ref().unwrap().holders.len(), 3);
    let text = "waits for `a` (running for 1 m), `b` (waiting for its next try), `c` (ready)";
    assert_eq!(said(reason), (ReasonKind::Upstream, text.to_owned()));

    tasks[3].when = Some("{{ params.go }}".to_owned());
    let asked = ask(&compiled(workflow(tasks.clone())), RunState::Running, &[], &rows, "d");
    assert_eq!(said(asked).1, format!("{text}; then its `when` says whether it runs"));

    tasks[3].when = None;
    tasks[3].trigger_rule = TriggerRule::OneSuccess;
    let graph = compiled(workflow(tasks));
    let ended = [over("a", FinalState::Failed, 10), over("c", FinalState::Failed, 10)];
    let text = "waits for `b` (waiting for its next try), as its trigger rule `one_success` asks";
    assert_eq!(
        said(ask(&graph, RunState::Running, &ended, &[work("b", Place::Timer)], "d")),
        (ReasonKind::TriggerRule, text.to_owned())
    );
}

#[test]
fn what_is_dispatched_says_where_it_stands() {
    let graph = compiled(workflow(vec![node("a", &[])]));
    let of = |place| ask(&graph, RunState::Running, &[], &[work("a", place)], "a");
    assert_eq!(of(Place::Executing), None);
    let retry = of(Place::Timer).unwrap();
    assert_eq!((retry.kind, retry.until), (ReasonKind::Retry, Some(at(NOW + 90_000))));
    assert!(retry.text.ends_with("(in 1 m 30 s) for try 2, since the one before failed"), "{}", retry.text);
    assert_eq!(of(Place::Polled).unwrap().kind, ReasonKind::Deferred);
    assert_eq!(of(Place::Waiting).unwrap().kind, ReasonKind::Deferred);

    let queue =
        |workers, slots, busy, ahead| QueueScene { workers, slots, busy, ahead, ready: ahead + 2, holders: vec![] };
    let ready = |queue: &QueueScene| asked(&graph, RunState::Running, &[], &[work("a", Place::Ready)], "a", queue);
    for (scene, kind, text) in [
        (
            queue(0, 0, 0, 0),
            ReasonKind::NoWorker,
            "waits for a worker: none that is alive serves the queue `default`; it is next",
        ),
        (
            queue(2, 8, 8, 3),
            ReasonKind::Slots,
            "waits for a free slot: all 8 of the queue `default` are busy (2 workers); 3 task runs are ahead of it",
        ),
        (
            queue(1, 4, 3, 1),
            ReasonKind::Queue,
            "is ready and about to be claimed from the queue `default`; 1 task run is ahead of it",
        ),
    ] {
        let reason = ready(&scene).unwrap();
        assert_eq!((reason.kind, reason.text.as_str()), (kind, text));
        assert_eq!((reason.position, reason.of), (Some(scene.ahead + 1), Some(scene.ahead + 2)));
    }
    let mut stopped = work("a", Place::Executing);
    stopped.cancel_at = Some(at(NOW - 5_000));
    assert_eq!(
        said(ask(&graph, RunState::Cancelling, &[], &[stopped], "a")),
        (ReasonKind::Cancelling, "is being stopped for 5 s".to_owned())
    );
}

#[test]
fn the_state_of_the_run_comes_first() {
    let graph = compiled(workflow(vec![node("a", &[])]));
    for (state, kind) in [
        (RunState::Queued, Some(ReasonKind::Queue)),
        (RunState::Cancelling, Some(ReasonKind::Cancelling)),
        (RunState::Broken, Some(ReasonKind::Paused)),
        (RunState::Succeeded, None),
        (RunState::Failed, None),
        (RunState::Cancelled, None),
        (RunState::Running, Some(ReasonKind::MaxActiveTasks)),
    ] {
        assert_eq!(ask(&graph, state, &[], &[], "a").map(|reason| reason.kind), kind, "{state}");
    }
}

#[test]
fn a_queued_run_names_its_limit_or_who_paused_it() {
    let run = QueuedRun {
        workflow: "etl".to_owned(),
        queued_at: at(NOW - 200_000),
        paused: false,
        paused_since: None,
        max_active_runs: 1,
        active: vec![Holder { run: Some(RunId(Uuid::nil())), key: None, since: Some(at(5)) }],
        ahead: 1,
        queued: 3,
    };
    let reason = queued_run(&run, at(NOW));
    assert_eq!(reason.kind, ReasonKind::MaxActiveRuns);
    assert_eq!(reason.text, "waits 3 m 20 s for a run slot of `etl` (1/1 runs under way; 2nd in line)");
    assert_eq!((reason.position, reason.of, reason.holders), (Some(2), Some(3), run.active.clone()));
    let paused =
        queued_run(&QueuedRun { paused: true, paused_since: Some(Timestamp::from_millis(0)), ..run.clone() }, at(NOW));
    assert_eq!(paused.kind, ReasonKind::Paused);
    assert!(paused.text.contains("paused since 1970-01-01 00:00:00 UTC"), "{}", paused.text);
    let soon = queued_run(&QueuedRun { active: Vec::new(), ..run }, at(NOW));
    assert_eq!(soon.kind, ReasonKind::Queue);
}

#[test]
fn spans_are_said_in_their_two_largest_units() {
    for (seconds, text) in [
        (0, "0 s"),
        (59, "59 s"),
        (60, "1 m"),
        (90, "1 m 30 s"),
        (1_080, "18 m"),
        (7_500, "2 h 5 m"),
        (200_000, "2 d 7 h"),
    ] {
        assert_eq!(words(std::time::Duration::from_secs(seconds)), text);
    }
}
