//! Mapped tasks: instances are dispatched and end one by one, and their task with the last of them.

use updraft_model::event::Event;
use updraft_model::id::VersionId;
use updraft_model::input::{AttemptResult, Halted, Input, Mark, Reject, Retry, RetryWhat, Target};
use updraft_model::preview::preview;
use updraft_model::run::Limits;
use updraft_model::state::{Cause, FinalState, Place, RunState};
use updraft_model::workflow::Workflow;

use super::support::{
    Driven, compiled, create, expand, fail, key, mark, ok, retry, retryable, skip, standing, task, workflow,
};

/// `a → m → z`, where `m` has one try after the first.
fn chain(width: Option<u32>) -> Workflow {
    let mut tasks = vec![task("a", &[]), task("m", &["a"]), task("z", &["m"])];
    tasks[1].retry.limit = 1;
    Workflow { max_active_tasks: width, ..workflow(tasks) }
}

/// Started, with `m` as so many instances.
fn mapped(n: u32, width: Option<u32>) -> Driven {
    let mut driven = Driven::new(&compiled(chain(width)), Limits::default());
    driven.give(create(None));
    driven.give(expand("m", n));
    driven.give(Input::Start);
    driven
}

/// `m[1]` of three failed, the others went well.
fn one_failed() -> Driven {
    let mut driven = mapped(3, None);
    driven.finish("a", ok());
    driven.finish("m[1]", fail());
    driven.finish("m[0]", ok());
    driven.finish("m[2]", ok());
    driven
}

#[test]
fn instances_run_beside_each_other_and_their_task_ends_with_the_last() {
    let mut driven = mapped(3, None);
    driven.finish("a", ok());
    assert_eq!(driven.dispatched(), ["m[0]", "m[1]", "m[2]"]);
    driven.finish("m[1]", retryable("Busy", 0));
    driven.finish("m[2]", skip());
    driven.finish("m[0]", ok());
    assert_eq!((driven.ended("m"), driven.ended("m[0]")), (None, Some((FinalState::Succeeded, Cause::Task))));
    let events = driven.finish("m[1]", ok());
    let kinds: Vec<_> = events.iter().map(Event::kind).collect();
    assert_eq!(kinds, ["attempt_ended", "task_finished", "task_finished", "task_dispatched"]);
    assert_eq!(driven.ended("m"), Some((FinalState::Succeeded, Cause::Completed)));
    driven.finish("z", ok());
    assert_eq!(driven.run.projection().state, RunState::Succeeded);
    assert_eq!(driven.replayed(Limits::default()), driven.run);
}

#[test]
fn a_failed_instance_fails_its_task_once_all_are_over() {
    let driven = one_failed();
    assert_eq!(driven.ended("m"), Some((FinalState::Failed, Cause::TaskFailed)));
    assert_eq!(driven.ended("z"), Some((FinalState::UpstreamFailed, Cause::UpstreamFailed)));
    assert_eq!(driven.run.projection().state, RunState::Failed);
    let mut skipped = mapped(2, None);
    skipped.finish("a", ok());
    skipped.finish("m[0]", skip());
    skipped.finish("m[1]", skip());
    assert_eq!(skipped.ended("m"), Some((FinalState::Skipped, Cause::Task)));
}

#[test]
fn instances_take_places_of_the_run_one_by_one() {
    let mut driven = mapped(5, Some(2));
    driven.finish("a", ok());
    assert_eq!(driven.dispatched(), ["m[0]", "m[1]"]);
    driven.finish("m[0]", ok());
    assert_eq!(driven.dispatched(), ["m[1]", "m[2]"]);
    let events = driven.give(Input::Cancel {
        by: "me".into(),
        reason: String::new(),
        halted: Halted { removed: vec![key("m[2]")], executing: vec![key("m[1]")] },
    });
    assert!(events.iter().any(|event| event.subject().is_some_and(|subject| subject.key() == key("m[2]"))));
    assert_eq!((driven.ended("m"), driven.run.projection().state), (None, RunState::Cancelling));
    driven.finish("m[1]", AttemptResult::Cancelled);
    assert_eq!(driven.ended("m"), Some((FinalState::Cancelled, Cause::CancelRequested)));
    assert_eq!(driven.ended("m[4]"), None, "it never began");
    assert_eq!(driven.run.projection().state, RunState::Cancelled);
    // What ended well stays so.
    driven.give(Input::Retry(Box::new(retry(RetryWhat::Failed, &[]))));
    assert_eq!(driven.dispatched(), ["m[1]", "m[2]"]);
    for done in ["m[1]", "m[2]", "m[3]", "m[4]", "z"] {
        driven.finish(done, ok());
    }
    assert_eq!(driven.run.projection().state, RunState::Succeeded);
}

#[test]
fn a_task_without_instances_is_skipped() {
    let mut driven = mapped(0, None);
    driven.finish("a", ok());
    assert_eq!(driven.ended("m"), Some((FinalState::Skipped, Cause::Task)));
    assert_eq!(driven.ended("z"), Some((FinalState::Skipped, Cause::UpstreamSkipped)));
    assert_eq!(driven.run.projection().state, RunState::Succeeded);
}

#[test]
fn only_what_has_not_begun_can_be_mapped() {
    let mut driven = mapped(2, None);
    assert_eq!(driven.try_give(expand("m", 2)), Err(Reject::Begun("m".into())));
    assert_eq!(driven.try_give(expand("a", 2)), Err(Reject::Begun("a".into())));
    assert_eq!(driven.try_give(expand("x", 2)), Err(Reject::UnknownTask("x".into())));
    driven.give(expand("z", 2));
    driven.finish("a", ok());
    driven.finish("m[0]", ok());
    driven.finish("m[1]", ok());
    assert_eq!(driven.dispatched(), ["z[0]", "z[1]"]);
    let unknown = Retry {
        work: vec![standing("z[0]", Place::Ready), standing("z[1]", Place::Ready)],
        ..retry(RetryWhat::Tasks, &["m[7]"])
    };
    assert_eq!(driven.try_give(Input::Retry(Box::new(unknown))), Err(Reject::NoInstance(key("m[7]"), 2)));
}

#[test]
fn a_retry_of_what_failed_runs_only_the_instances_that_did() {
    let mut driven = one_failed();
    let asked = Input::Retry(Box::new(retry(RetryWhat::Failed, &[])));
    let seen = preview(&driven.run, &asked, driven.now()).unwrap();
    let tasks: Vec<_> = seen.tasks.iter().map(|touched| touched.key.to_string()).collect();
    assert_eq!((seen.text.as_str(), tasks), ("Re-run 2 tasks", vec!["m[1]".to_owned(), "z".to_owned()]));
    driven.give(asked);
    assert_eq!(driven.dispatched(), ["m[1]"]);
    assert_eq!(driven.ended("m[0]"), Some((FinalState::Succeeded, Cause::Task)));
    driven.finish("m[1]", ok());
    driven.finish("z", ok());
    assert_eq!(driven.run.projection().state, RunState::Succeeded);
    // One instance by name, and the task as a whole.
    driven.give(Input::Retry(Box::new(retry(RetryWhat::Tasks, &["m[2]"]))));
    assert_eq!(driven.dispatched(), ["m[2]"]);
    driven.finish("m[2]", ok());
    driven.give(Input::Retry(Box::new(retry(RetryWhat::Tasks, &["m"]))));
    assert_eq!(driven.dispatched(), ["m[0]", "m[1]", "m[2]"]);
    assert_eq!(driven.replayed(Limits::default()), driven.run);
}

#[test]
fn a_live_run_begins_an_instance_anew() {
    let mut driven = mapped(2, None);
    driven.finish("a", ok());
    driven.finish("m[0]", fail());
    let work = || vec![standing("m[1]", Place::Executing)];
    let all = Retry { work: work(), ..retry(RetryWhat::Tasks, &["m"]) };
    assert_eq!(driven.try_give(Input::Retry(Box::new(all))), Err(Reject::Executing(key("m[1]"))));
    driven.give(Input::Retry(Box::new(Retry { work: work(), ..retry(RetryWhat::Tasks, &["m[0]"]) })));
    assert_eq!(driven.dispatched(), ["m[0]", "m[1]"]);
    driven.finish("m[0]", ok());
    driven.finish("m[1]", ok());
    assert_eq!(driven.ended("m"), Some((FinalState::Succeeded, Cause::Completed)));
}

#[test]
fn a_mapped_task_is_marked_as_a_whole() {
    let mut driven = mapped(3, None);
    driven.finish("a", ok());
    driven.finish("m[0]", ok());
    let work = || vec![standing("m[1]", Place::Executing), standing("m[2]", Place::Ready)];
    let one = Mark { work: work(), ..mark(FinalState::Succeeded, Some(&["m[1]"])) };
    assert_eq!(driven.try_give(Input::Mark(Box::new(one))), Err(Reject::MarkInstance(key("m[1]"))));
    let whole = Mark { work: work(), ..mark(FinalState::Failed, Some(&["m"])) };
    let events = driven.give(Input::Mark(Box::new(whole)));
    let kinds: Vec<_> = events.iter().map(Event::kind).collect();
    assert_eq!(kinds[..4], ["attempt_ended", "task_set", "task_set", "task_set"]);
    assert_eq!(driven.ended("m[0]"), Some((FinalState::Succeeded, Cause::Task)));
    assert_eq!(driven.run.projection().state, RunState::Failed);
    assert_eq!(driven.replayed(Limits::default()), driven.run);
}

#[test]
fn instances_belong_to_the_version_that_has_them() {
    let mut driven = one_failed();
    let target = Target { version_id: VersionId(3), compiled: compiled(chain(None)) };
    let newer = Retry { version: Some(target), ..retry(RetryWhat::Failed, &[]) };
    assert_eq!(driven.try_give(Input::Retry(Box::new(newer))), Err(Reject::MappedVersion));
}
