//! Cases of runs that go on after their end, and of task runs that begin anew: with the real model, in clearing lanes.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use updraft_model::event::Event;
use updraft_model::graph::Compiled;
use updraft_model::id::TaskKey;
use updraft_model::input::{AttemptResult, Input, Mark, Retry, RetryWhat, Retryable, Standing, Target};
use updraft_model::record::{ClearedRow, EndedAttempt, WorkRow};
use updraft_model::run::Versions;
use updraft_model::state::{Cause, FinalState, Outcome, Place, RunState};

use super::replays::{Drive, assert_replays_on, diamond, rows_of};
use super::world::{World, attempt, version_of};
use crate::{Expected, Lane, LaneOutcome, Locked, Wake};

fn failed() -> AttemptResult {
    AttemptResult::Failed { class: "X".to_owned(), message: "no".to_owned(), retryable: Retryable::Never }
}

fn retry(what: RetryWhat, work: Vec<Standing>) -> Retry {
    Retry {
        what,
        tasks: Vec::new(),
        downstream: false,
        version: None,
        queue: None,
        waits: false,
        by: "ops".to_owned(),
        reason: "again".to_owned(),
        work,
    }
}

/// Attempts that a decision ends under the lock.
fn ended(events: &[Event], executing: &[WorkRow]) -> Vec<EndedAttempt> {
    events
        .iter()
        .filter_map(|event| match event {
            Event::AttemptEnded { subject, outcome, cause, .. } => {
                let row = executing.iter().find(|row| row.dispatch.key == subject.key())?;
                let (outcome, cause) = (*outcome, *cause);
                Some(EndedAttempt { outcome, cause, output: None, ..super::world::ended(row) })
            }
            _ => None,
        })
        .collect()
}

/// One operation of a person, in a clearing lane.
async fn operate(drive: &mut Drive<'_>, input: impl FnOnce(Vec<Standing>) -> Input + Send + 'static) {
    let (run_id, at) = (drive.run.facts().run_id, drive.world.now());
    let mut run = drive.run.clone();
    let (tell, told) = tokio::sync::oneshot::channel();
    let decide = Box::new(move |locked: Locked| {
        let expected = Expected::At { version: locked.run.row.version, stamp: locked.run.row.stamp };
        let standing = locked.run.work.iter().map(Standing::from).collect();
        let events = run.step(input(standing), at).expect("accepted");
        let mut commit = rows_of(&run, &events, expected, at);
        commit.ended = ended(&events, &locked.executing);
        run.committed(commit.stamp);
        // The test always waits for it.
        let _ = tell.send(run);
        Some(commit)
    });
    let outcome = drive.world.store.commit_locked(run_id, Lane::Clear, at, decide).await.expect("lane");
    assert_eq!(outcome, LaneOutcome::Applied);
    drive.run = told.await.expect("decided");
}

/// Runs a diamond until `b` has failed and all is over.
async fn failed_run<'w>(world: &'w World, compiled: &Arc<Compiled>) -> Drive<'w> {
    let mut drive = Drive::start(world, compiled).await;
    let a = drive.claim().await;
    drive.finish(&a[0], AttemptResult::Succeeded { bytes: 2 }).await;
    for row in drive.claim().await {
        let result =
            if row.dispatch.key.task.as_str() == "b" { failed() } else { AttemptResult::Succeeded { bytes: 0 } };
        drive.finish(&row, result).await;
    }
    assert_eq!(drive.run.projection().state, RunState::Failed);
    drive
}

/// It runs again, claimed from another queue; attempts of both generations stay.
pub async fn a_re_opened_run_is_open_again_and_takes_its_queue(world: &World) {
    let compiled = diamond();
    let mut drive = failed_run(world, &compiled).await;
    let run_id = drive.run.facts().run_id;
    let ended_at = drive.run.projection().ended_at;
    operate(&mut drive, |work| {
        Input::Retry(Box::new(Retry { queue: Some("second".to_owned()), ..retry(RetryWhat::Failed, work) }))
    })
    .await;
    drive.check(&compiled).await;
    let row = world.full(run_id).await.row;
    assert_eq!((row.projection.state, row.projection.generation), (RunState::Running, 1));
    assert_eq!((row.projection.ended_at, row.projection.cause), (None, None));
    assert!(row.projection.started_at > ended_at, "its clock begins anew");
    assert_eq!(row.facts.queue, "second");
    for _ in 0..2 {
        for row in drive.claim().await {
            drive.finish(&row, AttemptResult::Succeeded { bytes: 0 }).await;
            drive.check(&compiled).await;
        }
    }
    let detail = world.reader.detail(run_id).await.expect("detail").expect("there");
    assert_eq!(detail.run.row.projection.state, RunState::Succeeded);
    let of_b: Vec<_> = detail
        .attempts
        .iter()
        .filter(|row| row.key.task.as_str() == "b")
        .map(|row| (row.dispatch_no, row.try_no, row.generation, row.outcome))
        .collect();
    assert_eq!(of_b, [(1, 1, 0, Outcome::Failed), (2, 2, 1, Outcome::Succeeded)]);
}

/// Its row says so, and readers do not show it among those that are over.
pub async fn a_cleared_task_run_is_not_over_until_it_ends_again(world: &World) {
    let compiled = diamond();
    let mut drive = failed_run(world, &compiled).await;
    let run_id = drive.run.facts().run_id;
    operate(&mut drive, |work| Input::Retry(Box::new(retry(RetryWhat::All, work)))).await;
    drive.check(&compiled).await;
    let loaded = world.full(run_id).await;
    let row = |task: &str, number| ClearedRow {
        key: TaskKey::of(task),
        generation: 1,
        dispatch_no: number,
        try_no: number,
        expanded_n: None,
    };
    assert_eq!(loaded.cleared, [row("a", 1), row("b", 1), row("c", 1), row("d", 0)]);
    assert_eq!(loaded.task_runs, []);
    assert_eq!(world.reader.detail(run_id).await.expect("detail").expect("there").task_runs, []);
    let a = drive.claim().await;
    assert_eq!((a[0].dispatch.dispatch_no, a[0].dispatch.generation), (2, 1));
    drive.finish(&a[0], failed()).await;
    drive.check(&compiled).await;
    let loaded = world.full(run_id).await;
    assert_eq!(loaded.cleared, []);
    assert_eq!(loaded.task_runs.len(), 4);
}

/// What left the graph ends as removed, what is new runs; the log replays over both versions.
pub async fn a_run_goes_on_with_a_newer_version(world: &World) {
    let compiled = diamond();
    let mut drive = failed_run(world, &compiled).await;
    let run_id = drive.run.facts().run_id;
    let published = world.store.publish(&version_of("etl", 'b'), world.now()).await.expect("publish");
    let mut workflow = (*compiled.workflow).clone();
    workflow.tasks.retain(|task| task.id.as_str() != "c");
    workflow.tasks[2].depends_on = vec!["b".into()];
    let mut fresh = workflow.tasks[0].clone();
    fresh.id = "e".into();
    workflow.tasks.push(fresh);
    let newer = Arc::new(Compiled::new(workflow).expect("no cycle"));
    let target = Target { version_id: published.version_id, compiled: Arc::clone(&newer) };
    operate(&mut drive, move |work| {
        Input::Retry(Box::new(Retry { version: Some(target), ..retry(RetryWhat::Failed, work) }))
    })
    .await;
    drive.check_rows(&newer).await;
    let row = world.full(run_id).await.row;
    assert_eq!(row.facts.version_id, published.version_id);
    for _ in 0..2 {
        for row in drive.claim().await {
            drive.finish(&row, AttemptResult::Succeeded { bytes: 0 }).await;
            drive.check_rows(&newer).await;
        }
    }
    let versions = Versions::from([(world.published.version_id, compiled), (published.version_id, newer)]);
    assert_replays_on(&*world.store, &*world.reader, run_id, &versions).await;
    let detail = world.reader.detail(run_id).await.expect("detail").expect("there");
    assert_eq!(detail.run.row.projection.state, RunState::Succeeded);
    let ended: Vec<_> = detail.task_runs.iter().map(|row| (row.key.task.as_str(), row.state, row.cause)).collect();
    let ok = (FinalState::Succeeded, Cause::Task);
    let gone = (FinalState::Removed, Cause::VersionChanged);
    let expected = [("a", ok), ("b", ok), ("c", gone), ("d", ok), ("e", ok)];
    assert_eq!(ended, expected.map(|(task, (state, cause))| (task, state, cause)));
}

/// Instances have rows of their own once they are dispatched, their task says how many there are; a retry takes those that
/// failed.
pub async fn a_mapped_task_is_kept_with_its_instances(world: &World) {
    let compiled = diamond();
    let mut drive = Drive::start_mapped(world, &compiled, &[("b", 3)]).await;
    let run_id = drive.run.facts().run_id;
    drive.check(&compiled).await;
    let detail = world.reader.detail(run_id).await.expect("detail").expect("there");
    assert_eq!((detail.expanded, detail.task_runs), (vec![("b".into(), 3)], Vec::new()));
    let a = drive.claim().await;
    drive.finish(&a[0], AttemptResult::Succeeded { bytes: 2 }).await;
    drive.check(&compiled).await;
    let instances = drive.claim().await;
    let keys: Vec<String> = instances.iter().map(|row| row.dispatch.key.to_string()).collect();
    assert_eq!(keys, ["b[0]", "b[1]", "b[2]", "c"]);
    for (row, key) in instances.iter().zip(&keys) {
        let result = if key == "b[1]" { failed() } else { AttemptResult::Succeeded { bytes: 0 } };
        drive.finish(row, result).await;
        drive.check(&compiled).await;
    }
    assert_eq!(drive.run.projection().state, RunState::Failed);
    let detail = world.reader.detail(run_id).await.expect("detail").expect("there");
    let own = detail.task_runs.iter().find(|row| row.key == TaskKey::of("b")).expect("its own row");
    assert_eq!((own.state, own.cause, own.expanded_n), (FinalState::Failed, Cause::TaskFailed, Some(3)));
    operate(&mut drive, |work| Input::Retry(Box::new(retry(RetryWhat::Failed, work)))).await;
    drive.check(&compiled).await;
    let detail = world.reader.detail(run_id).await.expect("detail").expect("there");
    assert_eq!(detail.expanded, [("b".into(), 3)]);
    let again = drive.claim().await;
    assert_eq!(again.iter().map(|row| row.dispatch.key.to_string()).collect::<Vec<_>>(), ["b[1]"]);
    drive.finish(&again[0], AttemptResult::Succeeded { bytes: 0 }).await;
    drive.check(&compiled).await;
    let last = drive.claim().await;
    drive.finish(&last[0], AttemptResult::Succeeded { bytes: 0 }).await;
    drive.check(&compiled).await;
    assert_eq!(drive.run.projection().state, RunState::Succeeded);
}

/// What executes ends with its attempt; a late result of it is fenced.
pub async fn a_marking_lane_ends_attempts_and_wakes_their_workers(world: &World) {
    let compiled = diamond();
    let mut drive = Drive::start(world, &compiled).await;
    let run_id = drive.run.facts().run_id;
    let executing = drive.claim().await;
    let mut wakes = world.store.wakes();
    operate(&mut drive, |work| {
        Input::Mark(Box::new(Mark {
            tasks: Some(vec![TaskKey::of("a")]),
            state: FinalState::Succeeded,
            by: "ops".to_owned(),
            reason: "done by hand".to_owned(),
            work,
        }))
    })
    .await;
    drive.check(&compiled).await;
    let woken = async {
        while let Some(wake) = wakes.next().await {
            if matches!(wake, Wake::Cancel(worker) if worker == world.worker) || wake == Wake::Everything {
                return true;
            }
        }
        false
    };
    assert!(tokio::time::timeout(Duration::from_secs(10), woken).await.expect("a wake-up within 10 s"));
    let detail = world.reader.detail(run_id).await.expect("detail").expect("there");
    let a = &detail.attempts[0];
    assert_eq!(
        (a.attempt_id, a.outcome, a.cause),
        (executing[0].attempt_id.expect("it executes"), Outcome::Cancelled, Cause::Marked)
    );
    assert_eq!((detail.task_runs[0].state, detail.task_runs[0].cause), (FinalState::Succeeded, Cause::Marked));
    assert_eq!(detail.work.iter().map(|row| row.place).collect::<Vec<_>>(), [Place::Ready, Place::Ready]);
}

/// A claim that comes while the lane decides takes none of the run's rows; it gets them afterwards.
pub async fn a_clearing_lane_keeps_claims_away(world: &World) {
    let compiled = diamond();
    let drive = Drive::start(world, &compiled).await;
    let run_id = drive.run.facts().run_id;
    let (seen, shown) = tokio::sync::oneshot::channel();
    let decide = Box::new(move |locked: Locked| {
        // The test always waits for it.
        let _ = seen.send(locked.run.work.iter().map(|row| row.place).collect::<Vec<_>>());
        None
    });
    let lane = world.store.commit_locked(run_id, Lane::Clear, world.now(), decide);
    let first = [attempt()];
    let claim = world.store.claim(world.worker, super::world::QUEUE, &first, world.now());
    let (outcome, claimed) = tokio::join!(lane, claim);
    assert_eq!(outcome.expect("lane"), LaneOutcome::Nothing);
    // Either way round, the lane saw the row as it was when it decided.
    let claimed = claimed.expect("claim").len();
    let place = shown.await.expect("decided")[0];
    assert!(place == Place::Ready || claimed == 1, "{place:?} with {claimed} claimed");
    let later = world.store.claim(world.worker, super::world::QUEUE, &[attempt()], world.now()).await.expect("claim");
    assert_eq!(claimed + later.len(), 1);
}
