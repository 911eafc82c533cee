//! The whole event × state matrix: what is listed is taken in, everything else is refused and changes nothing.

use std::sync::Arc;

use updraft_model::apply::Illegal;
use updraft_model::event::{Anew, Event, Subject};
use updraft_model::id::{MapIndex, TaskKey};
use updraft_model::input::{Halted, Input, Mark, Retry, RetryWhat};
use updraft_model::record::{Dispatch, RunRow};
use updraft_model::run::{Commit, Limits, Run, Slot, Snapshot};
use updraft_model::state::{Cause, DispatchWhy, FinalState, Outcome, Place, RunState, Trigger};

use super::support::{at, compiled, facts, mark, ok, retry, standing, task, workflow};

/// Where the run is, how far task `a` is, and whether the other task (`b`) is over.
const SITUATIONS: [(&str, &[&str]); 26] = [
    ("unborn", &[]),
    ("queued", &["created"]),
    ("running, a waiting", &["created", "started"]),
    ("running, a dispatched", &["created", "started", "a1"]),
    ("running, a ended", &["created", "started", "a1", "a ended"]),
    ("running, a final", &["created", "started", "a1", "a ended", "a finished"]),
    ("running, all final", &["created", "started", "a1", "a ended", "a finished", "b over"]),
    ("cancelling, a waiting", &["created", "started", "cancel"]),
    ("cancelling, a dispatched", &["created", "started", "a1", "cancel"]),
    ("cancelling, a ended", &["created", "started", "a1", "cancel", "a ended"]),
    ("cancelling, a final", &["created", "started", "a1", "cancel", "a ended", "a finished"]),
    ("cancelling, all final", &["created", "started", "a1", "cancel", "a ended", "a finished", "b over"]),
    ("cancelling before the start", &["created", "cancel"]),
    ("aborted, a waiting", &["created", "started", "abort"]),
    ("aborted, a dispatched", &["created", "started", "a1", "abort"]),
    ("aborted, a ended", &["created", "started", "a1", "abort", "a ended"]),
    ("aborted, all final", &["created", "started", "a1", "abort", "a ended", "a finished", "b over"]),
    ("succeeded", &["created", "started", "a1", "a ended", "a finished", "b over", "succeeded"]),
    ("failed", &["created", "started", "a1", "a ended", "a finished", "b over", "failed"]),
    ("cancelled", &["created", "started", "cancel", "a over", "b over", "cancelled"]),
    ("broken while queued", &["created", "break"]),
    ("broken, a waiting", &["created", "started", "break"]),
    ("broken, a dispatched", &["created", "started", "a1", "break"]),
    ("broken, a ended", &["created", "started", "a1", "a ended", "break"]),
    ("broken, a final", &["created", "started", "a1", "a ended", "a finished", "break"]),
    ("broken, all final", &["created", "started", "a1", "a ended", "a finished", "b over", "break"]),
];

const EVENTS: [&str; 21] = [
    "created",
    "started",
    "cancel",
    "abort",
    "succeeded",
    "failed",
    "cancelled",
    "open outcome",
    "break",
    "repair",
    "a1",
    "a2",
    "a0",
    "a ended",
    "a2 ended",
    "a finished",
    "a2 finished",
    "a over",
    "reopened",
    "a cleared",
    "a set",
];

/// Which events are taken in where; every other pair is refused.
fn is_legal(situation: &str, event: &str) -> bool {
    let run = situation.split(',').next().unwrap_or_default();
    let live = matches!(run, "running" | "cancelling" | "aborted" | "cancelling before the start");
    let stopping = live && run != "running";
    let over = matches!(run, "succeeded" | "failed" | "cancelled");
    match event {
        "created" => run == "unborn",
        "started" => run == "queued",
        "cancel" | "abort" => matches!(run, "queued" | "running"),
        // In a run that is over: its outcome is corrected.
        "succeeded" | "failed" | "cancelled" => over || live && situation.ends_with("all final"),
        "reopened" => over,
        "a cleared" => run == "running" && (situation.ends_with("a dispatched") || situation.ends_with("final")),
        "a set" => over || run == "running",
        "break" => live || run == "queued",
        "repair" => run.starts_with("broken"),
        "a1" => situation == "running, a waiting",
        "a2" => matches!(situation, "running, a waiting" | "running, a ended"),
        "a ended" => live && situation.ends_with("a dispatched"),
        "a finished" => live && situation.ends_with("a ended"),
        "a over" => {
            live && (situation.ends_with("a waiting") || situation == "cancelling before the start")
                || stopping && situation.ends_with("a dispatched")
        }
        // An end that is none, a fence of zero, and fences that nobody holds.
        "open outcome" | "a0" | "a2 ended" | "a2 finished" => false,
        other => panic!("no event `{other}`"),
    }
}

fn event(name: &str) -> Event {
    let facts = facts();
    let a = || Subject::from(&TaskKey::of("a"));
    let dispatched = |dispatch_no| Event::TaskDispatched {
        subject: a(),
        dispatch_no,
        try_no: 1,
        generation: 0,
        losses: 0,
        why: DispatchWhy::First,
        due: None,
    };
    let ended = |dispatch_no| Event::AttemptEnded {
        subject: a(),
        dispatch_no,
        outcome: Outcome::Succeeded,
        cause: Cause::Task,
        class: None,
        message: None,
        started_at: Some(at(3)),
        worker: None,
        bytes: 0,
    };
    let finished = |dispatch_no| Event::TaskFinished {
        subject: a(),
        dispatch_no: Some(dispatch_no),
        state: FinalState::Succeeded,
        cause: Cause::Task,
    };
    let over = |task: &str| Event::TaskFinished {
        subject: Subject::from(&TaskKey::of(task)),
        dispatch_no: None,
        state: FinalState::Cancelled,
        cause: Cause::CancelRequested,
    };
    let run_finished = |outcome, cause| Event::RunFinished { outcome, cause };
    match name {
        "created" => Event::RunCreated {
            workflow: facts.workflow_id,
            version_id: facts.version_id,
            run_key: facts.run_key,
            trigger: Trigger::Manual,
            interval: facts.interval,
            logical_at: facts.logical_at,
            priority: 0,
            by: "me".to_owned(),
            conf_sha256: "0".repeat(64),
            only: None,
        },
        "started" => Event::RunStarted {},
        "cancel" => Event::RunCancelRequested { by: "me".to_owned(), reason: "enough".to_owned() },
        "abort" => Event::RunAborted { cause: Cause::RunTimeout },
        "succeeded" => run_finished(RunState::Succeeded, Cause::Completed),
        "failed" => run_finished(RunState::Failed, Cause::TaskFailed),
        "cancelled" => run_finished(RunState::Cancelled, Cause::CancelRequested),
        "open outcome" => run_finished(RunState::Running, Cause::Completed),
        "break" => Event::RunBroken { code: "E".to_owned(), detail: "d".to_owned() },
        "repair" => Event::RunRepaired { by: "me".to_owned() },
        "a0" => dispatched(0),
        "a1" => dispatched(1),
        "a2" => dispatched(2),
        "a ended" => ended(1),
        "a2 ended" => ended(2),
        "a finished" => finished(1),
        "a2 finished" => finished(2),
        "a over" => over("a"),
        "b over" => over("b"),
        "reopened" => Event::RunReopened {
            generation: 1,
            version_id: facts.version_id,
            tasks: vec![Anew { task: "a".into(), map_index: MapIndex::NONE, generation: 1 }],
            by: "me".to_owned(),
            reason: "again".to_owned(),
            queue: Some("default".to_owned()),
            waits: false,
        },
        "a cleared" => Event::TaskCleared { subject: a(), generation: 1, by: "me".to_owned() },
        "a set" => {
            Event::TaskSet { subject: a(), state: FinalState::Failed, by: "me".to_owned(), reason: "seen".to_owned() }
        }
        other => panic!("no event `{other}`"),
    }
}

fn run(steps: &[&str]) -> Run {
    let compiled = compiled(workflow(vec![task("a", &[]), task("b", &[])]));
    let mut run = Run::unborn(Arc::clone(&compiled), facts(), Limits::default());
    for step in steps {
        run.apply(&event(step), at(1)).unwrap_or_else(|error| panic!("{steps:?}: {error}"));
    }
    run
}

#[test]
fn listed_transitions_are_taken_in_and_all_others_refused_without_a_trace() {
    let mut taken = std::collections::BTreeSet::new();
    for (situation, steps) in SITUATIONS {
        let before = run(steps);
        for name in EVENTS {
            let mut after = before.clone();
            let result = after.apply(&event(name), at(2));
            assert_eq!(result.is_ok(), is_legal(situation, name), "`{name}` when {situation}: {result:?}");
            if result.is_ok() {
                assert_eq!(after.events(), before.events() + 1);
                taken.insert(event(name).kind());
            } else {
                assert_eq!(after, before, "a refused `{name}` when {situation} changes nothing");
            }
        }
    }
    assert_eq!(taken.len(), 13, "every kind of event is taken in somewhere: {taken:?}");
}

#[test]
fn situations_cover_every_state_of_runs_and_task_runs() {
    let mut runs = std::collections::BTreeSet::new();
    let mut slots = std::collections::BTreeSet::new();
    for (_, steps) in SITUATIONS {
        let run = run(steps);
        runs.insert(run.projection().state);
        slots.insert(match run.slot(0) {
            Slot::Waiting(_) => "waiting",
            Slot::Dispatched(_) => "dispatched",
            Slot::Ended { .. } => "ended",
            Slot::Final { .. } => "final",
        });
    }
    assert_eq!(runs.len(), RunState::ALL.len());
    assert_eq!(slots.len(), 4);
}

/// Between commits no attempt is in between.
fn is_between_commits(situation: &str) -> bool {
    !situation.ends_with("a ended")
}

#[test]
fn every_input_is_either_refused_or_leads_to_events_that_are_taken_in() {
    for (situation, steps) in SITUATIONS.into_iter().filter(|(name, _)| is_between_commits(name)) {
        let before = run(steps);
        let executing = match before.slot(0) {
            Slot::Dispatched(_) => vec![TaskKey::of("a")],
            Slot::Waiting(_) | Slot::Ended { .. } | Slot::Final { .. } => Vec::new(),
        };
        let halted = || Halted { removed: Vec::new(), executing: executing.clone() };
        let work: Vec<_> = executing.iter().map(|key| standing(key.task.as_str(), Place::Executing)).collect();
        let retry = Retry { work: work.clone(), ..retry(RetryWhat::All, &[]) };
        let mark = Mark { work, ..mark(FinalState::Failed, Some(&["a"])) };
        let inputs = [
            ("create", super::support::create(None)),
            ("start", Input::Start),
            ("refresh", Input::Refresh),
            (
                "finish",
                Input::Finish { key: TaskKey::of("a"), dispatch_no: 1, result: ok(), started_at: None, worker: None },
            ),
            ("cancel", Input::Cancel { by: "me".into(), reason: String::new(), halted: halted() }),
            ("abort", Input::Abort { cause: Cause::RunTimeout, halted: halted() }),
            ("break", Input::Break { code: "E".into(), detail: String::new() }),
            ("repair", Input::Repair { by: "me".into() }),
            ("retry", Input::Retry(Box::new(retry))),
            ("mark", Input::Mark(Box::new(mark))),
        ];
        for (name, input) in inputs {
            let run_state = situation.split(',').next().unwrap_or_default();
            let live = matches!(run_state, "running" | "cancelling" | "aborted" | "cancelling before the start");
            let over = matches!(run_state, "succeeded" | "failed" | "cancelled");
            let accepted = match name {
                "create" => run_state == "unborn",
                "start" => run_state == "queued",
                "refresh" => live,
                "finish" => live && situation.ends_with("a dispatched"),
                "cancel" | "abort" => matches!(run_state, "queued" | "running"),
                "break" => live || run_state == "queued",
                "retry" => over || run_state == "running" && situation.ends_with("final"),
                "mark" => over || run_state == "running",
                _ => run_state.starts_with("broken"),
            };
            let mut after = before.clone();
            let result = after.step(input, at(5));
            assert_eq!(result.is_ok(), accepted, "{name} when {situation}: {result:?}");
            if result.is_err() {
                assert_eq!(after, before, "a refused {name} when {situation} changes nothing");
            }
        }
    }
}

#[test]
fn rows_and_commits_that_cannot_be_are_refused() {
    let run = run(&["created", "started", "a1"]);
    let dispatch =
        |task: &str| Dispatch { key: TaskKey::of(task), dispatch_no: 1, try_no: 1, losses: 0, generation: 0 };
    let load = |dispatched| {
        let snapshot = Snapshot {
            row: RunRow {
                facts: facts(),
                projection: run.projection().clone(),
                version: 1,
                stamp: super::support::stamp(0),
            },
            only: None,
            events: 3,
            task_runs: Vec::new(),
            cleared: Vec::new(),
            dispatched,
        };
        Run::load(Arc::clone(run.compiled()), snapshot, Limits::default())
    };
    assert!(load(vec![dispatch("a"), dispatch("b")]).is_ok());
    assert_eq!(load(vec![dispatch("a"), dispatch("a")]), Err(Illegal::TwoRows(TaskKey::of("a"))));
    assert_eq!(load(vec![dispatch("z")]), Err(Illegal::UnknownTask(TaskKey::of("z"))));

    let events = [event("started")];
    let commit = Commit { version: 3, stamp: super::support::stamp(3), at: at(1), events: &events };
    assert_eq!(run.clone().catch_up(&commit), Err(Illegal::Gap { known: 0, found: 3 }));
}
