//! Task runs that begin anew and task runs that are marked: what each operation does, and what its preview says.

use std::sync::Arc;

use updraft_model::event::Event;
use updraft_model::id::{TaskKey, VersionId};
use updraft_model::input::{Halted, Input, Mark, Reject, Retry, RetryWhat, Target};
use updraft_model::preview::{Effect, preview};
use updraft_model::run::Slot;
use updraft_model::state::{Cause, DispatchWhy, FinalState, Place, RunState};
use updraft_model::workflow::Workflow;

use super::support::{Driven, compiled, fail, mark, ok, retry, retryable, standing, task, workflow};

fn diamond() -> Workflow {
    let mut tasks = vec![task("a", &[]), task("b", &["a"]), task("c", &["a"]), task("d", &["b", "c"])];
    tasks[1].retry.limit = 1;
    workflow(tasks)
}

/// `a` and `c` went well, `b` failed, `d` never ran.
fn failed() -> Driven {
    let mut driven = Driven::started(diamond());
    driven.finish("a", ok());
    driven.finish("c", ok());
    driven.finish("b", fail());
    assert_eq!(driven.run.projection().state, RunState::Failed);
    driven
}

fn try_retry(driven: &mut Driven, retry: Retry) -> Result<Vec<Event>, Reject> {
    let work = driven.dispatched().iter().map(|task| standing(task, Place::Executing)).collect();
    let work = if retry.work.is_empty() { work } else { retry.work };
    driven.try_give(Input::Retry(Box::new(Retry { work, ..retry })))
}

fn numbers(driven: &Driven, task: &str) -> (u32, u32, u32) {
    match driven.run.slot_of(&TaskKey::of(task)).expect("a task") {
        Slot::Waiting(n) | Slot::Dispatched(n) | Slot::Ended { numbers: n, .. } | Slot::Final { numbers: n, .. } => {
            (n.dispatch_no, n.try_no, n.generation)
        }
    }
}

fn seen(driven: &Driven, input: &Input) -> (String, Vec<(String, Effect)>) {
    let seen = preview(&driven.run, input, driven.now()).expect("it would do something");
    let tasks = seen.tasks.into_iter().map(|touched| (touched.key.to_string(), touched.effect)).collect();
    (seen.text, tasks)
}

#[test]
fn a_retry_of_what_failed_takes_what_never_ran_because_of_it() {
    let mut driven = failed();
    let asked = Input::Retry(Box::new(retry(RetryWhat::Failed, &[])));
    let expected = vec![("b".to_owned(), Effect::Rerun), ("d".to_owned(), Effect::Rerun)];
    assert_eq!(seen(&driven, &asked), ("Re-run 2 tasks".to_owned(), expected));
    let events = driven.give(asked);
    assert!(matches!(&events[0], Event::RunReopened { generation: 1, tasks, .. } if tasks.len() == 2));
    assert!(matches!(
        &events[1],
        Event::TaskDispatched { dispatch_no: 2, try_no: 2, generation: 1, why: DispatchWhy::Manual, .. }
    ));
    assert_eq!(driven.dispatched(), ["b"]);
    driven.finish("b", ok());
    driven.finish("d", ok());
    let ended = driven.run.projection();
    assert_eq!((ended.state, ended.cause, ended.generation), (RunState::Succeeded, Some(Cause::Completed), 1));
    assert_eq!(
        (numbers(&driven, "b"), numbers(&driven, "d"), numbers(&driven, "a")),
        ((2, 2, 1), (1, 1, 1), (1, 1, 0))
    );
}

#[test]
fn each_generation_has_its_whole_budget_of_tries_and_tries_count_on() {
    let mut driven = Driven::started(diamond());
    driven.finish("a", ok());
    driven.finish("c", ok());
    driven.finish("b", retryable("Busy", 0));
    driven.finish("b", retryable("Busy", 0));
    assert_eq!(driven.ended("b"), Some((FinalState::Failed, Cause::Task)));
    try_retry(&mut driven, retry(RetryWhat::Failed, &[])).unwrap();
    assert_eq!(numbers(&driven, "b"), (3, 3, 1));
    driven.finish("b", retryable("Busy", 0));
    assert_eq!(numbers(&driven, "b"), (4, 4, 1));
    driven.finish("b", retryable("Busy", 0));
    assert_eq!(driven.ended("b"), Some((FinalState::Failed, Cause::Task)));
    assert_eq!(driven.run.projection().state, RunState::Failed);
}

#[test]
fn chosen_tasks_run_again_alone_or_with_everything_downstream() {
    let mut alone = failed();
    try_retry(&mut alone, retry(RetryWhat::Tasks, &["a"])).unwrap();
    alone.finish("a", ok());
    // What was downstream of it stays as it ended, so the failure still counts.
    assert_eq!(alone.run.projection().state, RunState::Failed);
    let mut downstream = failed();
    let asked = Retry { downstream: true, ..retry(RetryWhat::Tasks, &["a"]) };
    try_retry(&mut downstream, asked).unwrap();
    for task in ["a", "b", "c", "d"] {
        downstream.finish(task, ok());
    }
    assert_eq!(downstream.run.projection().state, RunState::Succeeded);
    let mut half = failed();
    try_retry(&mut half, retry(RetryWhat::Tasks, &["b"])).unwrap();
    half.finish("b", ok());
    // `d` never ran, and nobody asked for it.
    assert_eq!(
        (half.ended("d"), half.run.projection().state),
        (Some((FinalState::UpstreamFailed, Cause::UpstreamFailed)), RunState::Failed)
    );
}

#[test]
fn a_task_whose_upstream_failed_is_not_run_alone() {
    let mut driven = failed();
    let before = driven.run.clone();
    let refused = try_retry(&mut driven, retry(RetryWhat::Tasks, &["d"])).unwrap_err();
    assert_eq!(refused, Reject::Blocked { task: TaskKey::of("d"), upstream: "b".into(), state: FinalState::Failed });
    assert_eq!(driven.run, before);
}

#[test]
fn a_live_run_clears_what_is_over_and_refuses_what_executes() {
    let mut driven = Driven::started(diamond());
    driven.finish("a", ok());
    driven.finish("b", fail());
    assert_eq!(try_retry(&mut driven, retry(RetryWhat::All, &[])), Err(Reject::Executing(TaskKey::of("c"))));
    let events = try_retry(&mut driven, retry(RetryWhat::Failed, &[])).unwrap();
    let kinds: Vec<_> = events.iter().map(Event::kind).collect();
    assert_eq!(kinds, ["task_cleared", "task_cleared", "task_dispatched"]);
    assert_eq!(driven.run.projection().generation, 0, "the run was not re-opened");
    assert_eq!(
        try_retry(&mut driven, retry(RetryWhat::Failed, &[])).unwrap_err().to_string(),
        "there is nothing to run again: no task run failed or was kept from running by a failure"
    );
    let target = Target { version_id: VersionId(3), compiled: compiled(diamond()) };
    let newer = Retry { version: Some(target), ..retry(RetryWhat::Failed, &[]) };
    assert_eq!(try_retry(&mut driven, newer), Err(Reject::LiveVersion));
}

#[test]
fn a_wait_for_the_next_try_is_cut_short_under_the_same_generation() {
    let mut driven = Driven::started(diamond());
    driven.finish("a", ok());
    driven.finish("b", retryable("Busy", 60_000));
    let work = vec![standing("b", Place::Timer), standing("c", Place::Executing)];
    let asked = Input::Retry(Box::new(Retry { work, ..retry(RetryWhat::Tasks, &["b"]) }));
    assert_eq!(seen(&driven, &asked), ("Start 1 task".to_owned(), vec![("b".to_owned(), Effect::Start)]));
    let events = driven.give(asked);
    assert!(matches!(
        events.as_slice(),
        [Event::TaskDispatched { dispatch_no: 3, try_no: 2, generation: 0, due: None, .. }]
    ));
}

#[test]
fn a_re_opened_run_waits_for_a_run_slot() {
    let mut driven = failed();
    let asked = || Input::Retry(Box::new(Retry { waits: true, ..retry(RetryWhat::Failed, &[]) }));
    let seen = preview(&driven.run, &asked(), driven.now()).unwrap();
    assert_eq!((seen.text.as_str(), seen.state), ("Re-run 2 tasks", RunState::Queued));
    let events = driven.give(asked());
    assert_eq!(events.iter().map(Event::kind).collect::<Vec<_>>(), ["run_reopened"]);
    let waiting = driven.run.projection();
    assert_eq!((waiting.state, waiting.generation, waiting.started_at), (RunState::Queued, 1, None));
    assert_eq!(driven.try_give(asked()), Err(Reject::NotStarted));
    let events = driven.give(Input::Start);
    assert_eq!(events.iter().map(Event::kind).collect::<Vec<_>>(), ["run_started", "task_dispatched"]);
    assert_eq!(numbers(&driven, "b"), (2, 2, 1));
    driven.finish("b", ok());
    driven.finish("d", ok());
    assert_eq!(driven.run.projection().state, RunState::Succeeded);
    // Cancelled while it waits: what stayed as it ended does so.
    driven.give(Input::Retry(Box::new(Retry { waits: true, ..retry(RetryWhat::Tasks, &["d"]) })));
    driven.give(Input::Cancel { by: "me".into(), reason: String::new(), halted: Halted::default() });
    assert_eq!(driven.run.projection().state, RunState::Cancelled);
    assert_eq!(driven.ended("d"), Some((FinalState::Cancelled, Cause::CancelRequested)));
    assert_eq!(driven.ended("b"), Some((FinalState::Succeeded, Cause::Task)));
}

#[test]
fn a_newer_version_waits_for_a_run_slot_too() {
    let mut driven = failed();
    let tasks = vec![task("e", &["a"]), task("a", &[]), task("b", &["a"]), task("d", &["b", "e"])];
    let target = Target { version_id: VersionId(3), compiled: compiled(workflow(tasks)) };
    driven.versions.insert(target.version_id, Arc::clone(&target.compiled));
    driven.give(Input::Retry(Box::new(Retry { waits: true, version: Some(target), ..retry(RetryWhat::Failed, &[]) })));
    assert_eq!(driven.run.gone()[&TaskKey::of("c")].final_state(), Some(FinalState::Removed));
    driven.give(Input::Start);
    assert_eq!(driven.dispatched(), ["e", "b"]);
    assert_eq!(driven.replayed(updraft_model::run::Limits::default()), driven.run);
}

#[test]
fn a_newer_version_removes_and_adds() {
    let mut driven = failed();
    let tasks = vec![task("e", &["a"]), task("a", &[]), task("b", &["a"]), task("d", &["b", "e"])];
    let target = Target { version_id: VersionId(3), compiled: compiled(workflow(tasks)) };
    driven.versions.insert(target.version_id, Arc::clone(&target.compiled));
    let asked = Input::Retry(Box::new(Retry { version: Some(target), ..retry(RetryWhat::Failed, &[]) }));
    let (text, tasks) = seen(&driven, &asked);
    assert_eq!(text, "Re-run 2 tasks, start 1 task and remove 1 task");
    let of = |task: &str, effect| (task.to_owned(), effect);
    assert_eq!(
        tasks,
        [of("e", Effect::Start), of("b", Effect::Rerun), of("d", Effect::Rerun), of("c", Effect::Remove)]
    );
    driven.give(asked);
    assert_eq!(driven.run.facts().version_id, VersionId(3));
    assert_eq!(driven.dispatched(), ["e", "b"]);
    assert_eq!(driven.run.gone()[&TaskKey::of("c")].final_state(), Some(FinalState::Removed));
    for task in ["e", "b", "d"] {
        driven.finish(task, ok());
    }
    assert_eq!(driven.run.projection().state, RunState::Succeeded);
    // And back: what was gone runs again, its numbers go on.
    let back = Target { version_id: VersionId(2), compiled: compiled(diamond()) };
    try_retry(&mut driven, Retry { version: Some(back), ..retry(RetryWhat::Tasks, &["d"]) }).unwrap();
    assert_eq!(driven.dispatched(), ["c"]);
    assert_eq!(numbers(&driven, "c"), (2, 2, 1));
    assert_eq!(driven.replayed(updraft_model::run::Limits::default()), driven.run);
}

#[test]
fn marks_end_what_is_open_and_let_start_what_waited() {
    let mut driven = Driven::started(diamond());
    driven.finish("a", ok());
    let work = vec![standing("b", Place::Executing), standing("c", Place::Ready)];
    let asked = Input::Mark(Box::new(Mark { work, ..mark(FinalState::Succeeded, Some(&["b", "c"])) }));
    assert_eq!(seen(&driven, &asked).0, "Mark 2 tasks as succeeded and start 1");
    let events = driven.give(asked);
    let kinds: Vec<_> = events.iter().map(Event::kind).collect();
    assert_eq!(kinds, ["attempt_ended", "task_set", "task_set", "task_dispatched"]);
    assert_eq!(driven.ended("b"), Some((FinalState::Succeeded, Cause::Marked)));
    driven.finish("d", ok());
    assert_eq!(driven.run.projection().state, RunState::Succeeded);
}

#[test]
fn a_mark_in_a_run_that_is_over_corrects_its_outcome_and_nothing_else() {
    let mut driven = failed();
    let before = driven.run.projection().clone();
    driven.give(Input::Mark(Box::new(mark(FinalState::Succeeded, Some(&["b"])))));
    assert_eq!(driven.run.projection().state, RunState::Failed, "`d` never ran");
    let asked = Input::Mark(Box::new(mark(FinalState::Succeeded, None)));
    assert_eq!(seen(&driven, &asked).0, "Mark 1 task as succeeded and the run ends as succeeded");
    driven.give(asked);
    let after = driven.run.projection();
    assert_eq!((after.state, after.cause), (RunState::Succeeded, Some(Cause::Completed)));
    assert_eq!((after.generation, after.started_at, after.ended_at), (0, before.started_at, before.ended_at));
    driven.give(Input::Mark(Box::new(mark(FinalState::Failed, Some(&["a"])))));
    assert_eq!(driven.run.projection().state, RunState::Failed);
    let nothing = driven.try_give(Input::Mark(Box::new(mark(FinalState::Failed, Some(&["a"])))));
    assert_eq!(nothing, Err(Reject::NothingToMark(FinalState::Failed)));
    let bad = driven.try_give(Input::Mark(Box::new(mark(FinalState::Skipped, Some(&["a"])))));
    assert_eq!(bad, Err(Reject::BadMark(FinalState::Skipped)));
}

#[test]
fn a_cancel_says_what_it_stops_and_what_it_cancels() {
    let mut driven = Driven::started(diamond());
    driven.finish("a", ok());
    let halted = Halted { removed: vec![TaskKey::of("b")], executing: vec![TaskKey::of("c")] };
    let asked = Input::Cancel { by: "me".into(), reason: String::new(), halted };
    let (text, tasks) = seen(&driven, &asked);
    assert_eq!(text, "Stop 1 running task and cancel 2 waiting");
    let effects: Vec<_> = tasks.iter().map(|(task, effect)| (task.as_str(), *effect)).collect();
    assert_eq!(effects, [("b", Effect::Cancel), ("c", Effect::Stop), ("d", Effect::Cancel)]);
    // A cancelled run runs again as any other.
    driven.give(asked);
    driven.finish("c", updraft_model::input::AttemptResult::Cancelled);
    assert_eq!(driven.run.projection().state, RunState::Cancelled);
    try_retry(&mut driven, retry(RetryWhat::Failed, &[])).unwrap();
    for task in ["b", "c", "d"] {
        driven.finish(task, ok());
    }
    assert_eq!(driven.run.projection().state, RunState::Succeeded);
}
