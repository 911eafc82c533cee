//! Retries, losses, cancels, limits and outcomes, one sentence each.

use std::time::Duration;

use updraft_model::decide::{MESSAGE_CHARS, decide, shorten};
use updraft_model::effects::Effects;
use updraft_model::event::Event;
use updraft_model::id::{MapIndex, TaskId, TaskKey};
use updraft_model::input::{AttemptResult, Halted, Input, Reject, Retryable};
use updraft_model::retry::{Backoff, RetryPolicy, jitter_unit};
use updraft_model::run::{Limits, Run, Slot};
use updraft_model::state::{Cause, DispatchWhy, FinalState, Outcome, RunState};
use updraft_model::trigger_rule::TriggerRule;
use updraft_model::workflow::Workflow;

use super::support::{Driven, at, compiled, create, facts, fail, ok, retryable, skip, task, workflow};

fn chain(names: &[&str]) -> Workflow {
    let tasks =
        names.iter().enumerate().map(|(n, name)| task(name, if n == 0 { &[] } else { &names[n - 1..n] })).collect();
    workflow(tasks)
}

fn retrying(policy: RetryPolicy) -> Driven {
    let mut only = task("a", &[]);
    only.retry = policy;
    Driven::started(workflow(vec![only]))
}

fn state(driven: &Driven) -> (RunState, Option<Cause>) {
    (driven.run.projection().state, driven.run.projection().cause)
}

fn kinds(events: &[Event]) -> Vec<&'static str> {
    events.iter().map(Event::kind).collect()
}

fn dispatch(events: &[Event]) -> (u32, u32, u32, DispatchWhy, Option<i64>) {
    events
        .iter()
        .find_map(|event| match event {
            Event::TaskDispatched { dispatch_no, try_no, losses, why, due, .. } => {
                Some((*dispatch_no, *try_no, *losses, *why, due.map(|due| due.as_millis() - at(0).as_millis())))
            }
            _ => None,
        })
        .expect("a dispatch")
}

#[test]
fn a_chain_of_tasks_takes_one_commit_a_finish() {
    let mut driven = Driven::new(&compiled(chain(&["a", "b", "c"])), Limits::default());
    assert_eq!(kinds(&driven.give(create(None))), ["run_created"]);
    assert_eq!(kinds(&driven.give(Input::Start)), ["run_started", "task_dispatched"]);
    assert_eq!(kinds(&driven.finish("a", ok())), ["attempt_ended", "task_finished", "task_dispatched"]);
    assert_eq!(kinds(&driven.finish("b", ok())), ["attempt_ended", "task_finished", "task_dispatched"]);
    let last = driven.finish("c", ok());
    assert_eq!(kinds(&last), ["attempt_ended", "task_finished", "run_finished"]);
    assert_eq!(state(&driven), (RunState::Succeeded, Some(Cause::Completed)));
    let effects = Effects::of(&driven.run, &last);
    assert_eq!(effects.removed, [TaskKey::of("c")]);
    assert_eq!(effects.task_runs.len(), 1);
    assert!(effects.task_runs[0].started_at.is_some());
    assert!(effects.dispatched.is_empty());
}

#[test]
fn chosen_tasks_are_recorded_with_all_their_upstreams_in_file_order() {
    let mut driven = Driven::new(&compiled(chain(&["a", "b", "c"])), Limits::default());
    let events = driven.give(create(Some(&["b", "a", "b"])));
    let Event::RunCreated { only: Some(only), .. } = &events[0] else { panic!("{:?}", events[0]) };
    assert_eq!(only.iter().map(TaskId::as_str).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(driven.run.only(), Some(only.as_slice()));
    assert!(!driven.run.is_chosen(2));
    assert_eq!(driven.run.slot_of(&TaskKey::of("c")), None);
}

#[test]
fn an_empty_workflow_ends_when_it_starts() {
    let mut driven = Driven::new(&compiled(workflow(Vec::new())), Limits::default());
    driven.give(create(None));
    assert_eq!(kinds(&driven.give(Input::Start)), ["run_started", "run_finished"]);
}

#[test]
fn a_retry_waits_as_long_as_the_policy_says_or_longer_if_the_error_asks() {
    let policy = RetryPolicy { limit: 3, delay: Duration::from_secs(10), jitter: 0.0, ..RetryPolicy::default() };
    let mut driven = retrying(policy);
    let first = driven.finish("a", retryable("X", 0));
    assert_eq!(kinds(&first), ["attempt_ended", "task_dispatched"]);
    assert_eq!(dispatch(&first), (2, 2, 0, DispatchWhy::Retry, Some(driven.clock + 10_000)));
    let effects = Effects::of(&driven.run, &first);
    assert_eq!(effects.dispatched[0].due, Some(at(driven.clock + 10_000)));
    assert!(effects.removed.is_empty() && effects.task_runs.is_empty());
    let second = driven.finish("a", retryable("X", 90_000));
    assert_eq!(dispatch(&second), (3, 3, 0, DispatchWhy::Retry, Some(driven.clock + 90_000)));
    let third = driven.finish("a", retryable("X", 1));
    assert_eq!(dispatch(&third), (4, 4, 0, DispatchWhy::Retry, Some(driven.clock + 40_000)));
    driven.finish("a", retryable("X", 0));
    assert_eq!(driven.ended("a"), Some((FinalState::Failed, Cause::Task)));
    assert_eq!(state(&driven), (RunState::Failed, Some(Cause::TaskFailed)));
}

#[test]
fn jitter_is_the_same_wherever_it_is_computed() {
    let mut driven = retrying(RetryPolicy { limit: 1, ..RetryPolicy::default() });
    let events = driven.finish("a", retryable("X", 0));
    let u = jitter_unit(facts().run_id, &TaskKey::of("a"), 0, 1);
    let wait = i64::try_from(RetryPolicy::default().wait(1, u).as_millis()).unwrap();
    assert!((30_000..=36_000).contains(&wait));
    assert_eq!(dispatch(&events).4, Some(driven.clock + wait));
}

#[test]
fn what_may_not_be_retried_is_not() {
    let policy = || RetryPolicy { limit: 5, ..RetryPolicy::default() };
    let listed = || RetryPolicy { retry_on: vec!["X".into(), "Timeout".into()], ..policy() };
    let message = String::new;
    let rejected = |cause| AttemptResult::Rejected { cause, class: "Bad".to_owned(), message: "too large".to_owned() };
    for (policy, result, cause) in [
        (policy(), fail(), Cause::Task),
        (listed(), retryable("Y", 0), Cause::Task),
        (listed(), AttemptResult::Panicked { message: message() }, Cause::Panic),
        (RetryPolicy::default(), AttemptResult::TimedOut { message: message() }, Cause::Timeout),
        (policy(), rejected(Cause::BadOutput), Cause::BadOutput),
        (policy(), rejected(Cause::BadParameters), Cause::BadParameters),
        (policy(), rejected(Cause::StoreRejected), Cause::StoreRejected),
    ] {
        let mut driven = retrying(policy);
        driven.finish("a", result.clone());
        assert_eq!(driven.ended("a"), Some((FinalState::Failed, cause)), "{result:?}");
    }
    for (policy, result) in [
        (policy(), AttemptResult::Panicked { message: message() }),
        (listed(), AttemptResult::TimedOut { message: message() }),
        (listed(), retryable("X", 0)),
    ] {
        let mut driven = retrying(policy);
        assert_eq!(dispatch(&driven.finish("a", result)).3, DispatchWhy::Retry);
    }
}

#[test]
fn losses_have_a_budget_of_their_own_and_a_drain_costs_nothing() {
    let lost = |cause| AttemptResult::Lost { cause, message: String::new() };
    let mut driven = retrying(RetryPolicy::default());
    assert_eq!(dispatch(&driven.finish("a", lost(Cause::WorkerDied))), (2, 1, 1, DispatchWhy::Lost, None));
    assert_eq!(dispatch(&driven.finish("a", lost(Cause::Orphaned))), (3, 1, 2, DispatchWhy::Lost, None));
    assert_eq!(dispatch(&driven.finish("a", lost(Cause::WorkerDied))), (4, 1, 3, DispatchWhy::Lost, None));
    assert_eq!(dispatch(&driven.finish("a", lost(Cause::Drained))), (5, 1, 3, DispatchWhy::Lost, None));
    assert_eq!(dispatch(&driven.finish("a", lost(Cause::WorkerSuspect))), (6, 1, 3, DispatchWhy::Lost, None));
    driven.finish("a", lost(Cause::WorkerDied));
    assert_eq!(driven.ended("a"), Some((FinalState::Failed, Cause::LossBudget)));
}

#[test]
fn an_allowed_failure_excuses_what_only_it_kept_from_starting() {
    let mut soft = task("soft", &[]);
    soft.allow_failure = true;
    let mut after = task("after", &["soft"]);
    after.trigger_rule = TriggerRule::OneFailed;
    let tasks = vec![soft, task("hard", &[]), task("child", &["soft"]), task("both", &["soft", "hard"]), after];

    let mut driven = Driven::started(workflow(tasks.clone()));
    driven.finish("soft", fail());
    assert_eq!(driven.ended("child"), Some((FinalState::UpstreamFailed, Cause::UpstreamFailed)));
    assert_eq!(driven.dispatched(), ["hard", "after"], "trigger rules see it as failed");
    driven.finish("hard", ok());
    driven.finish("after", ok());
    assert_eq!(state(&driven), (RunState::Succeeded, Some(Cause::Completed)));

    let mut driven = Driven::started(workflow(tasks));
    driven.finish("soft", fail());
    driven.finish("hard", fail());
    driven.finish("after", ok());
    assert_eq!(state(&driven), (RunState::Failed, Some(Cause::TaskFailed)));
}

#[test]
fn a_leaf_that_always_runs_does_not_turn_a_failed_run_green() {
    let mut leaf = task("notify", &["a"]);
    leaf.trigger_rule = TriggerRule::AllDone;
    let mut driven = Driven::started(workflow(vec![task("a", &[]), leaf]));
    driven.finish("a", fail());
    driven.finish("notify", ok());
    assert_eq!(state(&driven), (RunState::Failed, Some(Cause::TaskFailed)));
}

#[test]
fn skips_cascade_and_leave_the_run_green() {
    let mut driven = Driven::started(chain(&["a", "b", "c"]));
    driven.finish("a", skip());
    assert_eq!(driven.ended("c"), Some((FinalState::Skipped, Cause::UpstreamSkipped)));
    assert_eq!(state(&driven), (RunState::Succeeded, Some(Cause::Completed)));
}

/// Of two branches one is not wanted: what asks for one success goes on, what needs both does not.
#[test]
fn a_branch_that_is_not_wanted_is_skipped_with_its_cause() {
    let unwanted = || AttemptResult::Unwanted { reason: "`when`: `false` is false".to_owned() };
    let mut join = task("join", &["a", "b"]);
    join.trigger_rule = TriggerRule::NoneFailedMinOneSuccess;
    let both = task("both", &["a", "b"]);
    let mut driven = Driven::started(workflow(vec![task("a", &[]), task("b", &[]), join.clone(), both]));
    let events = driven.finish("a", unwanted());
    let Event::AttemptEnded { outcome, cause, class, message, .. } = &events[0] else { panic!("{events:?}") };
    assert_eq!((*outcome, *cause, class.as_deref()), (Outcome::Skipped, Cause::When, Some("skipped")));
    assert_eq!(message.as_deref(), Some("`when`: `false` is false"));
    assert_eq!(driven.ended("a"), Some((FinalState::Skipped, Cause::When)));
    driven.finish("b", ok());
    assert_eq!(driven.ended("both"), Some((FinalState::Skipped, Cause::UpstreamSkipped)));
    driven.finish("join", ok());
    assert_eq!(driven.ended("join"), Some((FinalState::Succeeded, Cause::Task)));
    assert_eq!(state(&driven), (RunState::Succeeded, Some(Cause::Completed)));
    // Neither is wanted: there is nothing to join.
    let mut driven = Driven::started(workflow(vec![task("a", &[]), task("b", &[]), join]));
    driven.finish("a", unwanted());
    driven.finish("b", unwanted());
    assert_eq!(driven.ended("join"), Some((FinalState::Skipped, Cause::UpstreamSkipped)));
    assert_eq!(state(&driven), (RunState::Succeeded, Some(Cause::Completed)));
}

#[test]
fn places_are_filled_in_file_order_and_a_retry_keeps_its_place() {
    let mut tasks: Vec<_> = ["a", "b", "c", "d"].iter().map(|name| task(name, &[])).collect();
    tasks[0].retry.limit = 1;
    let mut driven = Driven::started(Workflow { max_active_tasks: Some(2), ..workflow(tasks) });
    assert_eq!(driven.dispatched(), ["a", "b"]);
    driven.finish("a", retryable("X", 0));
    assert_eq!(driven.dispatched(), ["a", "b"]);
    driven.finish("b", ok());
    assert_eq!(driven.dispatched(), ["a", "c"]);
    driven.finish("a", ok());
    assert_eq!(driven.dispatched(), ["c", "d"]);
}

#[test]
fn the_window_bounds_a_run_without_a_limit_and_a_refresh_takes_up_a_wider_one() {
    let names: Vec<String> = (0..1_000).map(|n| format!("t{n}")).collect();
    let compiled = compiled(workflow(names.iter().map(|name| task(name, &[])).collect()));
    let mut driven = Driven::new(&compiled, Limits::for_slots(32));
    driven.give(create(None));
    let events = driven.give(Input::Start);
    assert_eq!((driven.run.dispatched(), events.len()), (512, 513));
    driven.finish("t0", ok());
    assert_eq!(driven.run.dispatched(), 512);
    driven.run.set_limits(Limits::for_slots(400));
    driven.give(Input::Refresh);
    assert_eq!(driven.run.dispatched(), 800);
}

#[test]
fn a_run_over_its_event_limit_starts_nothing_and_fails_with_that_cause() {
    let limits = Limits { max_events: 6, ..Limits::default() };
    let mut tasks = vec![task("a", &[]), task("b", &[]), task("c", &["a"])];
    tasks[1].retry.limit = 9;
    let mut driven = Driven::new(&compiled(workflow(tasks)), limits);
    driven.give(create(None));
    driven.give(Input::Start);
    assert!(!driven.run.is_over_event_limit());
    assert_eq!(kinds(&driven.finish("a", ok())), ["attempt_ended", "task_finished"]);
    assert!(driven.run.is_over_event_limit());
    let halted = Halted { executing: vec![TaskKey::of("b")], ..Halted::default() };
    let stopped = Input::Abort { cause: Cause::EventLimit, halted };
    assert_eq!(kinds(&decide(&driven.run, stopped, driven.now()).unwrap()), ["run_aborted", "task_finished"]);
    // The same end is reached if the last attempt comes back before the lane.
    let last = driven.finish("b", retryable("X", 0));
    assert_eq!(kinds(&last), ["attempt_ended", "task_finished", "run_aborted", "task_finished", "run_finished"]);
    assert_eq!(driven.ended("b"), Some((FinalState::Cancelled, Cause::EventLimit)));
    assert_eq!(state(&driven), (RunState::Failed, Some(Cause::EventLimit)));
    assert_eq!(driven.replayed(limits), driven.run);
}

#[test]
fn a_cancel_ends_what_waits_and_lets_what_executes_come_back() {
    let mut tasks = vec![task("a", &[]), task("b", &[]), task("c", &["a", "b"])];
    tasks[1].retry.limit = 1;
    let mut driven = Driven::started(workflow(tasks));
    let halted = Halted { removed: vec![TaskKey::of("a")], executing: vec![TaskKey::of("b")] };
    let cancel = Input::Cancel { by: "me".into(), reason: "x".repeat(600), halted };
    let events = driven.give(cancel.clone());
    assert_eq!(kinds(&events), ["run_cancel_requested", "task_finished", "task_finished"]);
    let Event::RunCancelRequested { reason, .. } = &events[0] else { panic!("{:?}", events[0]) };
    assert_eq!(reason.chars().count(), 500);
    let effects = Effects::of(&driven.run, &events);
    assert_eq!(effects.removed, [TaskKey::of("a")]);
    assert_eq!(state(&driven), (RunState::Cancelling, Some(Cause::CancelRequested)));
    assert_eq!(driven.try_give(cancel), Err(Reject::Stopping));
    assert_eq!(kinds(&driven.finish("b", retryable("X", 0))), ["attempt_ended", "task_finished", "run_finished"]);
    assert_eq!(driven.ended("b"), Some((FinalState::Cancelled, Cause::CancelRequested)));
    assert_eq!(state(&driven), (RunState::Cancelled, Some(Cause::CancelRequested)));
}

#[test]
fn a_result_that_arrives_while_cancelling_is_kept() {
    let mut driven = Driven::started(chain(&["a", "b"]));
    let halted = Halted { executing: vec![TaskKey::of("a")], ..Halted::default() };
    driven.give(Input::Cancel { by: "me".into(), reason: String::new(), halted });
    driven.finish("a", ok());
    assert_eq!(driven.ended("a"), Some((FinalState::Succeeded, Cause::Task)));
    assert_eq!(driven.ended("b"), Some((FinalState::Cancelled, Cause::CancelRequested)));
    assert_eq!(state(&driven).0, RunState::Cancelled);
}

#[test]
fn a_queued_run_can_be_cancelled() {
    let mut driven = Driven::new(&compiled(chain(&["a", "b"])), Limits::default());
    driven.give(create(None));
    driven.give(Input::Cancel { by: "me".into(), reason: String::new(), halted: Halted::default() });
    assert_eq!(state(&driven).0, RunState::Cancelled);
    assert_eq!(driven.run.projection().started_at, None);
}

#[test]
fn a_lane_that_disagrees_with_the_run_about_what_is_dispatched_is_refused() {
    let driven = Driven::started(chain(&["a", "b"]));
    let key = TaskKey::of;
    for (removed, executing, guilty) in [
        (vec![], vec![], "a"),
        (vec![key("a")], vec![key("a")], "a"),
        (vec![key("b")], vec![key("a")], "b"),
        (vec![key("z")], vec![key("a")], "z"),
    ] {
        let halted = Halted { removed, executing };
        let input = Input::Cancel { by: "me".into(), reason: String::new(), halted };
        assert_eq!(decide(&driven.run, input, driven.now()), Err(Reject::Inconsistent(key(guilty))));
    }
}

#[test]
fn a_cancelled_attempt_of_a_running_run_counts_as_failed() {
    let mut driven = Driven::started(chain(&["a", "b"]));
    driven.finish("a", AttemptResult::Cancelled);
    assert_eq!(driven.ended("b"), Some((FinalState::UpstreamFailed, Cause::UpstreamFailed)));
    assert_eq!(state(&driven).0, RunState::Failed);
}

#[test]
fn a_broken_run_takes_nothing_until_it_is_repaired_and_then_goes_on_where_it_was() {
    let mut driven = Driven::started(chain(&["a", "b"]));
    driven.give(Input::Break { code: "E1".into(), detail: "three strikes".into() });
    let finish = driven.finishing("a", ok());
    assert_eq!(driven.try_give(finish), Err(Reject::Broken));
    driven.give(Input::Repair { by: "me".into() });
    assert_eq!(state(&driven), (RunState::Running, None));
    driven.finish("a", ok());
    let halted = Halted { executing: vec![TaskKey::of("b")], ..Halted::default() };
    driven.give(Input::Cancel { by: "me".into(), reason: String::new(), halted });
    driven.give(Input::Break { code: "E1".into(), detail: String::new() });
    driven.give(Input::Repair { by: "me".into() });
    assert_eq!(state(&driven), (RunState::Cancelling, Some(Cause::CancelRequested)));
}

#[test]
fn refusals_name_what_is_wrong() {
    let mut driven = Driven::new(&compiled(chain(&["a", "b", "c"])), Limits::default());
    let finish =
        |key: TaskKey, dispatch_no| Input::Finish { key, dispatch_no, result: ok(), started_at: None, worker: None };
    let a = || TaskKey::of("a");
    assert_eq!(driven.try_give(Input::Start), Err(Reject::NotCreated));
    assert_eq!(driven.try_give(create(Some(&["zz"]))), Err(Reject::UnknownTask(TaskId::from("zz"))));
    driven.give(create(Some(&["b"])));
    assert_eq!(driven.try_give(create(None)), Err(Reject::Exists));
    assert_eq!(driven.try_give(finish(a(), 1)), Err(Reject::NotStarted));
    assert_eq!(driven.try_give(Input::Repair { by: "me".into() }), Err(Reject::NotBroken));
    driven.give(Input::Start);
    assert_eq!(driven.try_give(Input::Start), Err(Reject::Started));
    assert_eq!(driven.try_give(finish(TaskKey::of("zz"), 1)), Err(Reject::UnknownTask(TaskId::from("zz"))));
    assert_eq!(driven.try_give(finish(TaskKey::of("c"), 1)), Err(Reject::NotChosen(TaskId::from("c"))));
    let mapped = TaskKey { map_index: MapIndex(0), ..a() };
    assert_eq!(driven.try_give(finish(mapped.clone(), 1)), Err(Reject::NotMapped(mapped)));
    assert!(matches!(driven.try_give(finish(a(), 2)), Err(Reject::Fenced { dispatch_no: 2, .. })));
    assert!(matches!(driven.try_give(finish(TaskKey::of("b"), 1)), Err(Reject::Fenced { .. })));
    let lost = driven.finishing("a", AttemptResult::Lost { cause: Cause::Task, message: String::new() });
    assert_eq!(driven.try_give(lost), Err(Reject::BadCause(Cause::Task)));
    driven.finish("a", ok());
    driven.finish("b", ok());
    assert_eq!(driven.try_give(finish(a(), 1)), Err(Reject::RunOver(RunState::Succeeded)));
}

#[test]
fn a_skip_keeps_its_reason_under_the_class_skipped() {
    let mut driven = Driven::started(chain(&["a"]));
    let events = driven.finish("a", skip());
    let Event::AttemptEnded { outcome, class, message, .. } = &events[0] else { panic!("{:?}", events[0]) };
    assert_eq!((*outcome, class.as_deref()), (Outcome::Skipped, Some("skipped")));
    assert_eq!(message.as_deref(), Some("nothing to do"));
}

#[test]
fn a_long_message_is_cut_between_characters_and_marked() {
    assert_eq!(shorten("é".repeat(MESSAGE_CHARS)), "é".repeat(MESSAGE_CHARS));
    let cut = shorten("é".repeat(MESSAGE_CHARS + 1));
    assert_eq!(cut.chars().count(), MESSAGE_CHARS);
    assert!(cut.ends_with("é…"));
}

#[test]
fn what_databases_refuse_never_enters_an_event() {
    let mut driven = Driven::started(chain(&["a"]));
    let result = AttemptResult::Failed { class: "A\0".into(), message: "b\0c".into(), retryable: Retryable::Never };
    let events = driven.finish("a", result);
    let Event::AttemptEnded { class, message, .. } = &events[0] else { panic!("{:?}", events[0]) };
    assert_eq!((class.as_deref(), message.as_deref()), (Some("A\u{FFFD}"), Some("b\u{FFFD}c")));
}

#[test]
fn deciding_changes_nothing_and_the_slot_knows_its_fence() {
    let driven = Driven::started(chain(&["a", "b"]));
    let before = driven.run.clone();
    decide(&driven.run, driven.finishing("a", ok()), driven.now()).unwrap();
    assert_eq!(driven.run, before);
    assert!(matches!(before.slot_of(&TaskKey::of("a")), Some(Slot::Dispatched(numbers)) if numbers.dispatch_no == 1));
    let unborn = Run::unborn(compiled(chain(&["a"])), facts(), Limits::default());
    assert_eq!((unborn.version(), unborn.open()), (0, 1));
}

#[test]
fn a_retry_after_a_hold_uses_the_longer_of_both_for_every_backoff() {
    for backoff in [Backoff::Constant, Backoff::Linear, Backoff::Exponential] {
        let policy =
            RetryPolicy { limit: 1, delay: Duration::from_secs(5), backoff, jitter: 0.0, ..RetryPolicy::default() };
        let mut driven = retrying(policy);
        let events = driven.finish(
            "a",
            AttemptResult::Failed {
                class: "Hold".into(),
                message: String::new(),
                retryable: Retryable::After(Duration::from_secs(7)),
            },
        );
        assert_eq!(dispatch(&events).4, Some(driven.clock + 7_000));
    }
}
