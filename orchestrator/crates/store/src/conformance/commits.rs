//! Cases of `commit`: what is written, what is refused, and that a refused batch writes nothing.

use std::sync::Mutex;

use updraft_model::event::Event;
use updraft_model::id::{MapIndex, RunId, Stamp, TaskId, TaskKey};
use updraft_model::record::{RunMetric, TaskItem, WorkRow};
use updraft_model::state::{Cause, Outcome, Place, RunState};
use uuid::Uuid;

use super::world::{At, Known, World, after, attempt, dispatched, ended, version_of, work};
use crate::schema::{MESSAGE_BYTES, OUTPUT_BYTES};
use crate::{Committed, Expected, Purpose, Refusal, RunCommit, StoreError};

/// Facts, projection, log, work: what went in comes out.
pub async fn a_new_run_is_written_with_all_its_rows(world: &World) {
    let commit = world.new_run(|run| {
        vec![
            work(run, "a", At::Executing(world.worker, attempt()), world.now()),
            work(run, "b", At::Ready(7), world.now()),
            work(run, "c", At::Timer(world.now()), world.now()),
        ]
    });
    let batch = world.batch(vec![commit.clone()]);
    assert_eq!(world.apply(&batch).await, []);
    let loaded = world.full(commit.run_id).await;
    let Expected::New(facts) = &commit.expected else { unreachable!("it was made as new") };
    assert_eq!(loaded.row.facts, **facts);
    assert_eq!(loaded.row.projection, commit.run);
    assert_eq!((loaded.row.version, loaded.row.stamp), (1, commit.stamp));
    assert_eq!(loaded.events, commit.events.len() as u64);
    assert_eq!(loaded.work, commit.work);
    assert_eq!((loaded.task_runs, loaded.only), (vec![], None));
    let history = world.reader.history(commit.run_id, 0).await.expect("history");
    assert_eq!(history.len(), 1);
    assert_eq!((history[0].version, history[0].at, history[0].actor.as_str()), (1, batch.at, "cli:test"));
    assert_eq!(history[0].events, commit.events);
}

/// Another run with the same key in the same workflow, and the same run again.
pub async fn a_taken_run_key_writes_nothing(world: &World) {
    let first = world.new_run(|_| vec![]);
    world.apply(&world.batch(vec![first.clone()])).await;
    let mut second = world.new_run(|run| vec![work(run, "a", At::Ready(0), world.now())]);
    if let (Expected::New(second), Expected::New(first)) = (&mut second.expected, &first.expected) {
        second.run_key.clone_from(&first.run_key);
    }
    let good = world.new_run(|_| vec![]);
    let runs = [first.run_id, second.run_id, good.run_id];
    let batch = world.batch(vec![good, second.clone()]);
    assert_eq!(world.refused(&batch, &runs).await, (vec![(second.run_id, Refusal::KeyTaken)], false));
    let batch = world.batch(vec![first.clone()]);
    assert_eq!(world.refused(&batch, &runs).await, (vec![(first.run_id, Refusal::KeyTaken)], false));
}

/// Attempt, task run, work and log of one hop.
pub async fn a_hop_ends_an_attempt_and_dispatches_the_next(world: &World) {
    let (known, a) = world.start_executing().await;
    let (hop, b) = world.hop(known, &a, "b");
    let batch = world.batch(vec![hop.clone()]);
    world.apply(&batch).await;
    let detail = world.reader.detail(known.run).await.expect("detail").expect("the run is there");
    assert_eq!(detail.work, [b]);
    assert_eq!(detail.task_runs, hop.task_runs);
    assert_eq!((detail.run.row.version, detail.run.row.stamp), (2, hop.stamp));
    let attempt = &detail.attempts[0];
    assert_eq!(detail.attempts.len(), 1);
    assert_eq!((attempt.worker_no, attempt.claimed_at, attempt.ended_at), (a.worker_no, a.claimed_at, batch.at));
    assert_eq!((&attempt.output, attempt.attempt_id), (&hop.ended[0].output, hop.ended[0].attempt_id));
    assert_eq!((attempt.try_no, attempt.generation, attempt.dispatch_no), (1, 0, 1));
}

/// Promise 4: the counters say so.
pub async fn a_chain_of_hops_costs_one_commit_and_one_round_trip_each(world: &World) {
    let (mut known, mut row) = world.start_executing().await;
    let counters = world.store.counters();
    let before = (counters.commits(Purpose::Engine), counters.round_trips(Purpose::Engine));
    for n in 0..20 {
        let (hop, next) = world.hop(known, &row, &format!("t{n}"));
        world.apply(&world.batch(vec![hop.clone()])).await;
        (known, row) = (after(&hop), next);
    }
    let spent = (counters.commits(Purpose::Engine) - before.0, counters.round_trips(Purpose::Engine) - before.1);
    assert_eq!(spent, (20, 20));
}

/// Somebody else's commit came first.
pub async fn a_stale_version_writes_nothing(world: &World) {
    let (known, a) = world.start_executing().await;
    let other = world.next(known);
    world.apply(&world.batch(vec![other])).await;
    let (hop, _) = world.hop(known, &a, "b");
    let answer = world.refused(&world.batch(vec![hop]), &[known.run]).await;
    assert_eq!(answer, (vec![(known.run, Refusal::Contended)], false));
}

/// F3: a history that forked.
pub async fn the_right_version_with_a_wrong_stamp_writes_nothing(world: &World) {
    let (known, a) = world.start_executing().await;
    let (mut hop, _) = world.hop(known, &a, "b");
    hop.expected = Expected::At { version: known.version, stamp: Stamp(Uuid::new_v4()) };
    let answer = world.refused(&world.batch(vec![hop]), &[known.run]).await;
    assert_eq!(answer, (vec![(known.run, Refusal::Contended)], false));
}

/// It does not exist: a lane will say so.
pub async fn a_commit_to_a_missing_run_is_contended(world: &World) {
    let nobody = Known { run: RunId(Uuid::now_v7()), version: 1, stamp: Stamp(Uuid::new_v4()) };
    let answer = world.refused(&world.batch(vec![world.next(nobody)]), &[nobody.run]).await;
    assert_eq!(answer, (vec![(nobody.run, Refusal::Contended)], false));
}

/// F2: dispatch number and attempt must both be the ones in `work`.
pub async fn a_wrong_fence_writes_nothing(world: &World) {
    let (known, a) = world.start_executing().await;
    let spoiled: [fn(&mut RunCommit); 3] = [
        |commit| commit.ended[0].dispatch_no = 2,
        |commit| commit.ended[0].attempt_id = attempt(),
        |commit| commit.ended[0].key = TaskKey::of("gone"),
    ];
    for spoil in spoiled {
        let (mut hop, _) = world.hop(known, &a, "b");
        spoil(&mut hop);
        let key = hop.ended[0].key.clone();
        let answer = world.refused(&world.batch(vec![hop]), &[known.run]).await;
        assert_eq!(answer, (vec![(known.run, Refusal::Fenced(vec![key]))], false));
    }
    let (hop, _) = world.hop(known, &a, "b");
    world.apply(&world.batch(vec![hop])).await;
}

/// What was said about the run decides.
pub async fn a_stale_run_is_contended_whatever_its_fences(world: &World) {
    let (known, a) = world.start_executing().await;
    let (hop, _) = world.hop(known, &a, "b");
    world.apply(&world.batch(vec![hop.clone()])).await;
    // The same finish again: its version is stale and its row is gone.
    let answer = world.refused(&world.batch(vec![hop]), &[known.run]).await;
    assert_eq!(answer, (vec![(known.run, Refusal::Contended)], false));
}

/// F5, F9: one run in the way, and nothing of the others is written; the answer names that one alone.
pub async fn a_batch_is_all_or_nothing(world: &World) {
    let (good, good_row) = world.start_executing().await;
    let (stale, stale_row) = world.start_executing().await;
    let (fenced, mut fenced_row) = world.start_executing().await;
    world.apply(&world.batch(vec![world.next(stale)])).await;
    fenced_row.attempt_id = Some(attempt());
    let taken = world.new_run(|_| vec![]);
    world.apply(&world.batch(vec![taken.clone()])).await;
    let fresh = world.new_run(|run| vec![work(run, "a", At::Ready(0), world.now())]);
    let parts = [
        world.hop(good, &good_row, "b").0,
        world.hop(stale, &stale_row, "b").0,
        world.hop(fenced, &fenced_row, "b").0,
        fresh.clone(),
        taken.clone(),
    ];
    let all = [good.run, stale.run, fenced.run, fresh.run_id, taken.run_id];
    let (mut refused, inactive) = world.refused(&world.batch(parts.to_vec()), &all).await;
    refused.sort_by_key(|(run, _)| all.iter().position(|known| known == run));
    let expected = vec![
        (stale.run, Refusal::Contended),
        (fenced.run, Refusal::Fenced(vec![TaskKey::of("a")])),
        (taken.run_id, Refusal::KeyTaken),
    ];
    assert_eq!((refused, inactive), (expected, false));
    // The rest may be sent again at once.
    let [hop, _, _, fresh, _] = parts;
    world.apply(&world.batch(vec![hop, fresh])).await;
}

/// Keys are unique inside a workflow.
pub async fn a_run_key_is_free_in_another_workflow(world: &World) {
    let first = world.new_run(|_| vec![]);
    world.apply(&world.batch(vec![first.clone()])).await;
    let other = world.store.publish(&version_of("other", 'a'), world.now()).await.expect("publish");
    let mut second = world.new_run(|_| vec![]);
    if let (Expected::New(second), Expected::New(first)) = (&mut second.expected, &first.expected) {
        second.run_key.clone_from(&first.run_key);
        (second.workflow_id, second.version_id) = (other.workflow_id, other.version_id);
    }
    world.apply(&world.batch(vec![second])).await;
}

/// The same row, waiting under a new fence; its attempt is kept.
pub async fn a_retry_updates_its_row_in_place(world: &World) {
    let (known, a) = world.start_executing().await;
    let mut commit = world.next(known);
    let mut ended = ended(&a);
    (ended.outcome, ended.class) = (Outcome::Failed, Some("Http503".to_owned()));
    (ended.message, ended.output) = (Some("zeile 1\nzeile 2 \"ü\"".to_owned()), None);
    commit.ended.push(ended.clone());
    let due = world.now();
    let mut retry = work(known.run, "a", At::Timer(due), world.now());
    (retry.dispatch.dispatch_no, retry.dispatch.try_no, retry.rank) = (2, 2, 77);
    commit.events.push(dispatched(&retry));
    commit.work.push(retry.clone());
    world.apply(&world.batch(vec![commit])).await;
    let detail = world.reader.detail(known.run).await.expect("detail").expect("there");
    assert_eq!(detail.work, [retry]);
    assert_eq!(detail.task_runs, []);
    let kept = &detail.attempts[0];
    assert_eq!((kept.dispatch_no, kept.try_no, kept.outcome), (1, 1, Outcome::Failed));
    assert_eq!((&kept.class, &kept.message, &kept.output), (&ended.class, &ended.message, &None));
}

/// By rank and key, of its queue alone, of what was ready before; the first id to the first row.
pub async fn a_pick_takes_the_best_rows_that_were_ready_before(world: &World) {
    world
        .start(|run| {
            let elsewhere = WorkRow { queue: "other".to_owned(), ..work(run, "z", At::Ready(-9), world.now()) };
            vec![
                work(run, "slow", At::Ready(20), world.now()),
                work(run, "fast", At::Ready(10), world.now()),
                elsewhere,
            ]
        })
        .await;
    let (known, a) = world.start_executing().await;
    let (mut hop, _) = world.hop(known, &a, "b");
    // Best rank of all, but made by this very batch.
    hop.work.push(work(known.run, "new", At::Ready(0), world.now()));
    let batch = world.picking(vec![hop], 3);
    let picked = world.apply(&batch).await;
    let ids = batch.pick.as_ref().map(|pick| pick.attempts.clone()).unwrap_or_default();
    let found: Vec<_> = picked.iter().map(|row| (row.dispatch.key.to_string(), row.attempt_id)).collect();
    assert_eq!(found, [("fast".to_owned(), Some(ids[0])), ("slow".to_owned(), Some(ids[1]))]);
    for row in &picked {
        assert_eq!((row.place, row.worker_no), (Place::Executing, Some(world.worker)));
        assert_eq!(row.claimed_at, Some(batch.at));
        assert!(world.full(row.run_id).await.work.contains(row), "what was answered is what is written");
    }
    let next = world.apply(&world.picking(vec![], 3)).await;
    assert_eq!(next.iter().map(|row| row.dispatch.key.to_string()).collect::<Vec<_>>(), ["new"]);
}

/// Picks nothing if it is refused.
pub async fn a_refused_batch_picks_nothing(world: &World) {
    let waiting = world.start(|run| vec![work(run, "w", At::Ready(0), world.now())]).await;
    let (known, a) = world.start_executing().await;
    let (mut hop, _) = world.hop(known, &a, "b");
    hop.ended[0].attempt_id = attempt();
    let (refused, _) = world.refused(&world.picking(vec![hop], 2), &[known.run, waiting.run]).await;
    assert_eq!(refused.len(), 1);
}

/// Claims count only while their worker is active; without claims the finish is accepted.
pub async fn an_inactive_worker_may_finish_but_not_claim(world: &World) {
    let (known, a) = world.start_executing().await;
    world.store.leave(world.worker).await.expect("leave");
    let (hop, _) = world.hop(known, &a, "b");
    assert_eq!(world.refused(&world.batch(vec![hop.clone()]), &[known.run]).await, (vec![], true));
    assert_eq!(world.refused(&world.picking(vec![], 1), &[known.run]).await, (vec![], true));
    let ready = RunCommit { work: vec![work(known.run, "b", At::Ready(0), world.now())], ..hop };
    world.apply(&world.batch(vec![ready])).await;
    assert_eq!(world.apply(&world.picking(vec![], 0)).await, [], "no id, no claim");
}

/// Parts of an attempt, measures and output come back as they went in, in their order.
pub async fn items_metrics_and_outputs_are_kept(world: &World) {
    let item = |name: &str, seconds, value| TaskItem {
        kind: "dbt_test".to_owned(),
        name: name.to_owned(),
        state: "pass".to_owned(),
        seconds,
        value,
        message: value.map(|_| "ü ' \" \\".to_owned()),
    };
    let metric = |name: &str, value, labels: &[(&str, &str)]| RunMetric {
        name: name.to_owned(),
        value,
        unit: "rows".to_owned(),
        labels: labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
    };
    let (known, a) = world.start_executing().await;
    let (mut hop, _) = world.hop(known, &a, "b");
    let items = vec![item("z", Some(0.25), None), item("a", None, Some(-1e300)), item("m", Some(3.0), Some(0.1))];
    hop.ended[0].items.clone_from(&items);
    hop.ended[0].metrics = vec![
        metric("rows_total", 1.0, &[]),
        metric("rows_total", 2.5, &[("region", "europe"), ("kind", "ü")]),
        metric("rows_total", 7.0, &[]),
        metric("age", 1e-9, &[]),
    ];
    world.apply(&world.batch(vec![hop.clone()])).await;
    let detail = world.reader.detail(known.run).await.expect("detail").expect("there");
    let expected: Vec<_> = items.into_iter().map(|item| (TaskKey::of("a"), 1, item)).collect();
    assert_eq!(detail.items, expected);
    let mut metrics: Vec<RunMetric> = detail.metrics.into_iter().map(|(_, metric)| metric).collect();
    metrics.sort_by(|a, b| (&a.name, &a.labels).cmp(&(&b.name, &b.labels)));
    let expected = [
        metric("age", 1e-9, &[]),
        metric("rows_total", 7.0, &[]),
        metric("rows_total", 2.5, &[("region", "europe"), ("kind", "ü")]),
    ];
    assert_eq!(metrics, expected, "the last of two equal ones stands");
    let output = hop.ended[0].output.clone().expect("an output");
    let outputs = world.reader.outputs(known.run, &[(TaskKey::of("a"), 1)]).await.expect("outputs");
    assert_eq!(outputs, [(TaskKey::of("a"), output)]);
}

/// Two finishes of one batch that measure the same: the later part stands.
pub async fn a_metric_measured_twice_in_a_batch_keeps_the_last(world: &World) {
    let rows: Mutex<Vec<WorkRow>> = Mutex::new(Vec::new());
    let known = world
        .start(|run| {
            let made: Vec<WorkRow> = (0..3)
                .map(|index| {
                    let mut row = work(run, "m", At::Executing(world.worker, attempt()), world.now());
                    row.dispatch.key.map_index = MapIndex(index);
                    row
                })
                .collect();
            rows.lock().expect("no panic").clone_from(&made);
            made
        })
        .await;
    let mut commit = world.next(known);
    for (n, row) in (0_u32..).zip(rows.into_inner().expect("no panic")) {
        world.end(&mut commit, &row);
        let labels = std::collections::BTreeMap::new();
        let metric = RunMetric { name: "n".to_owned(), value: f64::from(n), unit: String::new(), labels };
        commit.ended.last_mut().expect("just ended").metrics.push(metric);
    }
    world.apply(&world.batch(vec![commit])).await;
    let detail = world.reader.detail(known.run).await.expect("detail").expect("there");
    assert_eq!(detail.metrics.iter().map(|(_, metric)| metric.value).collect::<Vec<_>>(), [2.0]);
    let order: Vec<i32> = detail.task_runs.iter().map(|row| row.key.map_index.0).collect();
    assert_eq!(order, [0, 1, 2]);
}

/// `--task`: what `run_created` says is what loads and readers say.
pub async fn the_chosen_tasks_are_kept(world: &World) {
    let mut commit = world.new_run(|_| vec![]);
    let chosen = vec![TaskId::from("b"), TaskId::from("a ü")];
    if let Event::RunCreated { only, .. } = &mut commit.events[0] {
        *only = Some(chosen.clone());
    }
    world.apply(&world.batch(vec![commit.clone()])).await;
    assert_eq!(world.full(commit.run_id).await.only, Some(chosen.clone()));
    let view = world.reader.run(commit.run_id).await.expect("run").expect("there");
    assert_eq!(view.only, Some(chosen));
}

/// The end of a run.
pub async fn the_end_of_a_run_is_kept(world: &World) {
    let (known, a) = world.start_executing().await;
    let mut commit = world.next(known);
    world.end(&mut commit, &a);
    let at = world.now();
    commit.run.state = RunState::Failed;
    commit.run.cause = Some(Cause::TaskFailed);
    commit.run.ended_at = Some(at);
    commit.events.push(Event::RunFinished { outcome: RunState::Failed, cause: Cause::TaskFailed });
    world.apply(&world.batch(vec![commit.clone()])).await;
    let loaded = world.full(known.run).await;
    assert_eq!(loaded.row.projection, commit.run);
    assert_eq!(loaded.work, []);
    assert_eq!(loaded.events, 3 + commit.events.len() as u64);
}

/// Impossible rows, contradictions, NULs and over-long values: rejected, and nothing of the batch is written.
pub async fn what_the_model_forbids_is_rejected_and_nothing_written(world: &World) {
    let (known, a) = world.start_executing().await;
    let spoiled: [(&str, fn(&mut RunCommit)); 17] = [
        ("over without an end", |c| c.run.state = RunState::Succeeded),
        ("ended while running", |c| c.run.ended_at = c.run.started_at),
        ("over without a cause", |c| (c.run.state, c.run.ended_at) = (RunState::Failed, c.run.started_at)),
        ("running without a start", |c| c.run.started_at = None),
        ("executing by nobody", |c| c.work[0].worker_no = None),
        ("executing without attempt", |c| c.work[0].attempt_id = None),
        ("ready with a worker", |c| c.work[0].place = Place::Ready),
        ("timer without an instant", |c| {
            (c.work[0].place, c.work[0].worker_no) = (Place::Timer, None);
            (c.work[0].attempt_id, c.work[0].claimed_at) = (None, None);
        }),
        ("no dispatch number", |c| c.work[0].dispatch.dispatch_no = 0),
        ("no name", |c| c.work[0].dispatch.key = TaskKey::of("")),
        ("written and removed", |c| c.removed.push(c.work[0].dispatch.key.clone())),
        ("a try without a dispatch", |c| c.task_runs[0].dispatch_no = 0),
        ("a NUL in a message", |c| c.ended[0].message = Some("a\0b".to_owned())),
        ("a NUL in an actor", |c| c.actor.push('\0')),
        ("a message too long", |c| c.ended[0].message = Some("x".repeat(MESSAGE_BYTES + 1))),
        ("an output too long", |c| c.ended[0].output = Some(format!("\"{}\"", "x".repeat(OUTPUT_BYTES)))),
        ("a metric that is no number", |c| {
            let labels = std::collections::BTreeMap::new();
            c.ended[0].metrics = vec![RunMetric { name: "n".to_owned(), value: f64::NAN, unit: String::new(), labels }];
        }),
    ];
    for (what, spoil) in spoiled {
        let (mut hop, _) = world.hop(known, &a, "b");
        spoil(&mut hop);
        let bystander = world.new_run(|_| vec![]);
        let runs = [known.run, bystander.run_id];
        let before = world.everything(&runs).await;
        let answer = world.store.commit(&world.batch(vec![bystander, hop])).await;
        assert!(matches!(answer, Err(StoreError::Rejected(_))), "{what}: {answer:?}");
        assert_eq!(world.everything(&runs).await, before, "{what}");
    }
    let (hop, _) = world.hop(known, &a, "b");
    let twice = world.store.commit(&world.batch(vec![hop.clone(), hop.clone()])).await;
    assert!(matches!(twice, Err(StoreError::Rejected(_))), "{twice:?}");
    world.apply(&world.batch(vec![hop])).await;
}

/// F9: what JSON and people's languages can hold, up to the limits.
pub async fn text_of_any_kind_comes_back_as_it_went_in(world: &World) {
    let odd = "\u{1}\u{7f}\u{2028}'\"\\/\r\n\té\u{10ffff}😀 $1 ?1 {} %s -- /*";
    let (known, mut a) = world.start_executing().await;
    a.dispatch.key = TaskKey::of("a");
    let (mut hop, mut next) = world.hop(known, &a, odd);
    hop.actor = odd.to_owned();
    hop.ended[0].message = Some(odd.repeat(100));
    hop.ended[0].class = Some(odd.to_owned());
    let filler = "é".repeat((OUTPUT_BYTES - 20) / 2);
    hop.ended[0].output = Some(format!("[\"\\u0000\",\"{filler}\"]"));
    hop.work[0].queue = odd.to_owned();
    next.queue = odd.to_owned();
    world.apply(&world.batch(vec![hop.clone()])).await;
    let mut big = world.new_run(|_| vec![]);
    if let Expected::New(facts) = &mut big.expected {
        facts.conf = format!("{{\"sql\":\"{}\"}}", "x".repeat(1 << 20));
        facts.run_key = odd.to_owned();
    }
    world.apply(&world.batch(vec![big.clone()])).await;

    let detail = world.reader.detail(known.run).await.expect("detail").expect("there");
    assert_eq!(detail.work, [next]);
    let kept = &detail.attempts[0];
    assert_eq!((&kept.message, &kept.class), (&hop.ended[0].message, &hop.ended[0].class));
    assert_eq!(kept.output, hop.ended[0].output);
    let history = world.reader.history(known.run, 2).await.expect("history");
    assert_eq!((&history[0].actor, &history[0].events), (&hop.actor, &hop.events));
    let Expected::New(facts) = big.expected else { unreachable!("it was made as new") };
    assert_eq!(world.full(big.run_id).await.row.facts, *facts);
}

/// A fan-out: a thousand rows in one commit, finished by a hundred a commit.
pub async fn a_wide_run_is_committed_in_wide_batches(world: &World) {
    const ROWS: usize = 1000;
    let rows: Mutex<Vec<WorkRow>> = Mutex::new(Vec::new());
    let mut known = world
        .start(|run| {
            let made: Vec<WorkRow> = (0..ROWS)
                .map(|n| work(run, &format!("t{n:04}"), At::Executing(world.worker, attempt()), world.now()))
                .collect();
            rows.lock().expect("no panic").clone_from(&made);
            made
        })
        .await;
    for chunk in rows.into_inner().expect("no panic").chunks(100) {
        let mut commit = world.next(known);
        chunk.iter().for_each(|row| world.end(&mut commit, row));
        known = after(&commit);
        world.apply(&world.batch(vec![commit])).await;
    }
    let detail = world.reader.detail(known.run).await.expect("detail").expect("there");
    assert_eq!((detail.work.len(), detail.task_runs.len(), detail.attempts.len()), (0, ROWS, ROWS));
    assert_eq!(detail.run.row.version, 11);
}

/// Of equal commits at once exactly one is applied.
pub async fn of_equal_commits_at_once_one_is_applied(world: &World) {
    let (known, a) = world.start_executing().await;
    let (hop, b) = world.hop(known, &a, "b");
    let batches: Vec<_> = (0..8).map(|_| world.batch(vec![hop.clone()])).collect();
    let answers = futures::future::join_all(batches.iter().map(|batch| world.store.commit(batch))).await;
    let mut applied = 0;
    for answer in answers {
        match answer.expect("commit") {
            Committed::Applied { .. } => applied += 1,
            Committed::Refused { runs, .. } => assert_eq!(runs, [(known.run, Refusal::Contended)]),
        }
    }
    assert_eq!(applied, 1);
    let loaded = world.full(known.run).await;
    assert_eq!((loaded.row.version, loaded.work), (2, vec![b]));
}

/// Runs do not stand in each other's way.
pub async fn many_runs_hop_at_once(world: &World) {
    let chains = (0..16).map(|_| async {
        let (mut known, mut row) = world.start_executing().await;
        for n in 0..10 {
            let (hop, next) = world.hop(known, &row, &format!("t{n}"));
            world.apply(&world.batch(vec![hop.clone()])).await;
            (known, row) = (after(&hop), next);
        }
        known
    });
    for known in futures::future::join_all(chains).await {
        let loaded = world.full(known.run).await;
        assert_eq!((loaded.row.version, loaded.row.stamp), (11, known.stamp));
        assert_eq!(loaded.task_runs.len(), 10);
    }
}
