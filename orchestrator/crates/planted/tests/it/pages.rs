//! Pages of one workflow, one run, one task; home.

use std::collections::{BTreeMap, BTreeSet};

use updraft_model::id::TaskKey;
use updraft_model::record::shown_state;
use updraft_model::state::{FinalState, Outcome, RunState};
use updraft_model::time::Timestamp;
use updraft_planted::story::DAY;
use updraft_store::history::cell::letter;
use updraft_store::history::{GridAsk, HomeAsk, Note, Shift, WAIT_SHOWN_MS};

use crate::world::{NOW, Seen, World, median};

pub(crate) async fn grids(world: &World) {
    for workflow in ["flights_etl", "warehouse_models", "adsb_compaction", "clickhouse_rebuild", "wide_daily"] {
        let ask = GridAsk { runs: 30, ..GridAsk::default() };
        let grid = world.history.grid(workflow, &ask).await.unwrap().unwrap();
        let mut runs: Vec<&Seen> = world.of_workflow(workflow).collect();
        assert_eq!(grid.more, runs.len() > 30);
        runs.truncate(30);
        runs.reverse();
        assert_eq!(grid.runs.len(), runs.len());
        let done = runs.iter().filter(|seen| seen.row().projection.state == RunState::Succeeded);
        assert_eq!(grid.median_ms, median(done.filter_map(|seen| seen.took_ms()).collect()));
        for (column, seen) in grid.runs.iter().zip(&runs) {
            assert_eq!(column.line.run_id, seen.id());
            let failed = !seen.failed().is_empty();
            assert_eq!(column.line.masked, failed && seen.row().projection.state == RunState::Succeeded);
            assert_eq!(column.cells.chars().count(), grid.tasks.len());
            for (at, (task, cell)) in grid.tasks.iter().zip(column.cells.chars()).enumerate() {
                let extra = column.extra.iter().find(|(position, _)| *position as usize == at).map(|(_, extra)| extra);
                same_cell(world, seen, &task.id, cell, extra);
            }
        }
    }
    // Older pages, filters.
    let newest = world.history.grid("flights_etl", &GridAsk { runs: 10, ..GridAsk::default() }).await.unwrap().unwrap();
    let before = Some(newest.runs[0].line.run_id);
    let older = GridAsk { runs: 10, before, ..GridAsk::default() };
    let older = world.history.grid("flights_etl", &older).await.unwrap().unwrap();
    let expected: Vec<_> = world.of_workflow("flights_etl").skip(10).take(10).map(Seen::id).collect();
    assert_eq!(older.runs.iter().rev().map(|run| run.line.run_id).collect::<Vec<_>>(), expected);
    let failed = GridAsk { runs: 10, states: vec![RunState::Failed], ..GridAsk::default() };
    let failed = world.history.grid("flights_etl", &failed).await.unwrap().unwrap();
    assert_eq!(failed.runs.len(), 5);
    assert!(world.history.grid("nobody", &GridAsk::default()).await.unwrap().is_none());
}

fn same_cell(world: &World, seen: &Seen, task: &str, cell: char, extra: Option<&updraft_store::history::CellExtra>) {
    let key = TaskKey::of(task);
    if world.compiled(seen).graph.position(task).is_none() {
        assert_eq!(cell, '.');
        return;
    }
    let done = seen.detail.task_runs.iter().find(|row| row.key == key);
    let work = seen.detail.work.iter().find(|row| row.dispatch.key == key);
    // Those of all instances, if it is mapped.
    let attempts: Vec<_> = seen.detail.attempts.iter().filter(|attempt| attempt.key.task == key.task).collect();
    let deferred = attempts.last().is_some_and(|attempt| attempt.outcome == Outcome::Deferred);
    let state = shown_state(done.map(|row| row.state), work.map(|row| (row.place, deferred)));
    assert_eq!(cell, letter(state), "{task} of {}", seen.id());
    let numbers = seen.detail.task_runs.iter().filter(|row| row.key.task == key.task).map(|row| row.dispatch_no);
    let number = work.map(|row| row.dispatch.dispatch_no).or(numbers.max()).unwrap_or(0);
    assert_eq!(extra.and_then(|extra| extra.attempts), (number > 1).then_some(number));
    let wait = attempts
        .iter()
        .map(|attempt| {
            attempt.claimed_at.unwrap().as_millis() - seen.ready_at(&attempt.key, attempt.dispatch_no).as_millis()
        })
        .max();
    assert_eq!(extra.and_then(|extra| extra.wait_ms), wait.filter(|wait| *wait >= WAIT_SHOWN_MS), "{task}");
    let failed = done.is_some_and(|row| row.state == FinalState::Failed);
    assert_eq!(extra.is_some_and(|extra| extra.error.is_some()), failed);
}

pub(crate) async fn durations(world: &World) {
    for workflow in ["flights_etl", "warehouse_models"] {
        let found = world.history.durations(workflow, 20).await.unwrap().unwrap();
        let runs: Vec<&Seen> = world.of_workflow(workflow).take(20).collect();
        assert_eq!(
            found.points.iter().rev().map(|point| point.run_id).collect::<Vec<_>>(),
            runs.iter().map(|seen| seen.id()).collect::<Vec<_>>()
        );
        let done = runs.iter().filter(|seen| seen.row().projection.state == RunState::Succeeded);
        assert_eq!(found.run.map(|run| run.median), median(done.filter_map(|seen| seen.took_ms()).collect()));
        for task in &found.tasks {
            let key = TaskKey::of(task.task.as_str());
            let rows: Vec<(&Seen, _)> = runs
                .iter()
                .flat_map(|seen| seen.detail.task_runs.iter().map(|row| (*seen, row)))
                .filter(|(_, row)| row.key.task == key.task && row.expanded_n.is_none())
                .collect();
            assert_eq!(task.runs as usize, rows.len());
            assert_eq!(task.failures as usize, rows.iter().filter(|(_, row)| row.state == FinalState::Failed).count());
            assert_eq!(task.retries, rows.iter().map(|(_, row)| row.dispatch_no.saturating_sub(1)).sum::<u32>());
            let body = rows.iter().filter(|(_, row)| row.state == FinalState::Succeeded);
            let body = body.map(|(_, row)| row.ended_at.as_millis() - row.started_at.unwrap().as_millis()).collect();
            assert_eq!(task.seconds.map(|seconds| seconds.median), median(body), "{}", task.task);
            let waits = rows.iter().filter(|(_, row)| row.dispatch_no > 0).map(|(seen, row)| {
                let attempt =
                    seen.detail.attempts.iter().find(|one| one.key == row.key && one.dispatch_no == row.dispatch_no);
                attempt.unwrap().claimed_at.unwrap().as_millis() - seen.ready_at(&row.key, row.dispatch_no).as_millis()
            });
            assert_eq!(task.wait.map(|wait| wait.median), median(waits.collect()), "{}", task.task);
        }
    }
}

pub(crate) async fn usual(world: &World) {
    let found = world.history.usual("flights_etl").await.unwrap();
    let succeeded = |seen: &&Seen| seen.row().projection.state == RunState::Succeeded;
    let runs: Vec<&Seen> = world.of_workflow("flights_etl").filter(succeeded).take(20).collect();
    assert_eq!(found.runs as usize, runs.len());
    assert_eq!(found.run.map(|run| run.median), median(runs.iter().filter_map(|seen| seen.took_ms()).collect()));
    let merge = found.tasks.iter().find(|task| task.task == "merge_states").unwrap();
    let spans: Vec<(i64, i64)> = runs
        .iter()
        .map(|seen| {
            let row = seen.detail.task_runs.iter().find(|row| row.key == TaskKey::of("merge_states")).unwrap();
            let begun = row.started_at.unwrap().as_millis();
            (begun - seen.row().projection.started_at.unwrap().as_millis(), row.ended_at.as_millis() - begun)
        })
        .collect();
    assert_eq!(Some(merge.start_ms), median(spans.iter().map(|span| span.0).collect()));
    assert_eq!(Some(merge.run_ms), median(spans.iter().map(|span| span.1).collect()));
}

pub(crate) async fn calendar(world: &World) {
    let (from, until) = (Timestamp::from_millis(NOW.as_millis() - 40 * DAY), NOW);
    // The offset changes in the middle of the story.
    let shifts = [
        Shift { from: Timestamp::from_millis(0), offset_seconds: 7_200 },
        Shift { from: Timestamp::from_millis(NOW.as_millis() - 15 * DAY), offset_seconds: -18_000 },
    ];
    let found = world.history.calendar("adsb_compaction", from, until, &shifts).await.unwrap();
    let mut expected: BTreeMap<i32, (u32, u32, u32)> = BTreeMap::new();
    for seen in world.of_workflow("adsb_compaction") {
        let Some(ended) = seen.row().projection.ended_at.filter(|ended| (from..until).contains(ended)) else {
            continue;
        };
        let offset = if ended >= shifts[1].from { shifts[1] } else { shifts[0] }.offset_seconds;
        let day = (ended.as_millis() + i64::from(offset) * 1000).div_euclid(DAY) as i32;
        let day = expected.entry(day).or_default();
        match seen.row().projection.state {
            RunState::Succeeded => day.0 += 1,
            RunState::Failed => day.1 += 1,
            _ => day.2 += 1,
        }
    }
    let found: BTreeMap<i32, (u32, u32, u32)> =
        found.iter().map(|day| (day.day, (day.succeeded, day.failed, day.other))).collect();
    assert_eq!(found, expected);
    assert!(found.len() >= 3);
}

pub(crate) async fn home(world: &World) {
    for days in [1, 3, 30] {
        let since = Timestamp::from_millis(NOW.as_millis() - days * DAY);
        let home = world.history.home(&HomeAsk { since, until: NOW, limit: 500 }).await.unwrap();
        let ended = |state| {
            let inside = move |seen: &&Seen| {
                seen.row().projection.ended_at.is_some_and(|ended| ended >= since && ended < NOW)
                    && seen.row().projection.state == state
            };
            world.runs.iter().filter(inside)
        };
        assert_eq!(home.counts.failed as usize, ended(RunState::Failed).count());
        assert_eq!(home.counts.succeeded as usize, ended(RunState::Succeeded).count());
        let masked: BTreeSet<_> = world
            .runs
            .iter()
            .filter(|seen| seen.row().projection.state == RunState::Succeeded)
            .filter(|seen| seen.failed().iter().any(|row| row.ended_at >= since && row.ended_at < NOW))
            .map(Seen::id)
            .collect();
        assert_eq!(home.counts.masked as usize, masked.len());
        assert_eq!((home.counts.running, home.counts.queued, home.counts.broken), (2, 0, 0));
        assert_eq!(home.running.len(), 2);
        let wrong: BTreeSet<_> = ended(RunState::Failed).map(Seen::id).chain(masked).collect();
        let lost = world.runs.iter().flat_map(|seen| &seen.detail.attempts);
        let lost = lost
            .filter(|attempt| attempt.outcome == Outcome::Lost && attempt.ended_at >= since && attempt.ended_at < NOW);
        assert_eq!(home.incidents.len(), wrong.len() + lost.count(), "{days} days");
        assert!(home.incidents.is_sorted_by_key(|incident| std::cmp::Reverse(incident.at)));
        let waiting = world.runs.iter().flat_map(|seen| &seen.detail.work);
        let waiting = waiting.filter(|row| row.place != updraft_model::state::Place::Executing).count();
        assert_eq!((home.counts.waiting_tasks as usize, home.waiting.len()), (waiting, waiting));
        let flights =
            home.incidents.iter().find(|incident| incident.run_id == *world.story.failed.last().unwrap()).unwrap();
        // Runs of the backfill do not count.
        assert_eq!(flights.failures_in_row, 2);
        let first = world.run(world.story.failed[0]).row().projection.ended_at;
        assert_eq!(flights.failing_since, first);
    }
}

pub(crate) async fn tasks(world: &World) {
    let key = TaskKey::of("row_counts");
    let found = world.history.task_history("flights_etl", &key, 20).await.unwrap();
    for (one, seen) in found.iter().zip(world.of_workflow("flights_etl")) {
        assert_eq!(one.run_id, seen.id());
        let row = seen.detail.task_runs.iter().find(|row| row.key == key).unwrap();
        assert_eq!((one.attempts, one.started_at, one.ended_at), (row.dispatch_no, row.started_at, Some(row.ended_at)));
        assert_eq!(one.state, row.state.into());
    }
    assert_eq!(found.len(), 20);
    let order: Vec<_> = world.of_workflow("flights_etl").map(Seen::id).collect();
    for at in [0, 7, order.len() - 1] {
        let neighbours = world.history.neighbours(order[at]).await.unwrap();
        assert_eq!(neighbours.previous, order.get(at + 1).copied());
        assert_eq!(neighbours.next, at.checked_sub(1).map(|at| order[at]));
    }
    for seen in world.of_workflow("flights_etl").take(4).chain(world.of_workflow("clickhouse_rebuild")) {
        let found = world.history.attempts(seen.id(), None).await.unwrap();
        assert_eq!(found.len(), seen.detail.attempts.len() + seen.detail.work.len());
        let mut numbers: BTreeMap<TaskKey, u32> = BTreeMap::new();
        for one in &found {
            let number = numbers.entry(one.key.clone()).or_default();
            *number += 1;
            assert_eq!(one.n, *number);
            assert_eq!(one.ready_at, Some(seen.ready_at(&one.key, one.dispatch_no)));
            if let Some(row) =
                seen.detail.attempts.iter().find(|row| row.key == one.key && row.dispatch_no == one.dispatch_no)
            {
                assert_eq!(
                    (one.outcome, &one.message, one.claimed_at),
                    (Some(row.outcome), &row.message, row.claimed_at)
                );
                assert_eq!(one.output_bytes as usize, row.output.as_ref().map_or(0, String::len));
            }
        }
        let items = world.history.items(seen.id(), &key).await.unwrap().len();
        assert_eq!(items, seen.detail.items.iter().filter(|(of, _, _)| *of == key).count());
        let events = world.history.events(seen.id(), 2, 3).await.unwrap();
        assert_eq!(events, seen.log.iter().filter(|entry| entry.version > 2).take(3).cloned().collect::<Vec<_>>());
        let metrics = world.history.metrics(seen.id(), "merge_states").await.unwrap();
        let same = seen.detail.metrics.iter().filter(|(task, _)| task.as_str() == "merge_states");
        assert_eq!(metrics, same.map(|(_, metric)| metric.clone()).collect::<Vec<_>>());
    }
    let queues = world.history.queues().await.unwrap();
    let executing = world.runs.iter().flat_map(|seen| &seen.detail.work);
    assert_eq!((queues.len(), queues[0].executing as usize), (1, executing.count()));
}

pub(crate) async fn versions_and_notes(world: &World) {
    let found = world.history.versions("flights_etl", None, 50).await.unwrap();
    assert_eq!(found.items.iter().map(|line| (line.number, line.current)).collect::<Vec<_>>(), [(2, true), (1, false)]);
    let first = found.items[1].version_id;
    let pinned = world.of_workflow("flights_etl").filter(|seen| seen.row().facts.version_id.0 == first).count();
    assert_eq!((found.items[1].runs as usize, found.next), (pinned, None));
    let page = world.history.versions("flights_etl", None, 1).await.unwrap();
    assert_eq!(page.next, Some(2));
    assert_eq!(world.history.versions("flights_etl", page.next, 1).await.unwrap().items[0].number, 1);
    let source = world.history.version_source("flights_etl", Some(1)).await.unwrap().unwrap();
    assert!(source.source.contains("allow_failure: true") && source.line.version_id == first);
    let current = world.history.version_source("flights_etl", None).await.unwrap().unwrap();
    assert_eq!(current.line.number, 2);
    assert!(world.history.version_source("flights_etl", Some(3)).await.unwrap().is_none());
    let run = world.runs[0].id();
    let note = Note { text: "seen".to_owned(), by: "jonas".to_owned(), at: NOW };
    assert!(world.history.set_note(run, &note).await.unwrap());
    assert_eq!(world.history.note(run).await.unwrap().as_ref(), Some(&note));
    assert_eq!(world.history.run_line(run).await.unwrap().unwrap().note.as_deref(), Some("seen"));
    let nobody = updraft_model::id::RunId(uuid::Uuid::from_u128(1));
    assert!(!world.history.set_note(nobody, &note).await.unwrap());
    let long = Note { text: "x".repeat(5_000), ..note };
    assert!(world.history.set_note(run, &long).await.is_err());
    let stats = world.history.stats().await.unwrap();
    assert!(stats.bytes > 100_000 && stats.latency_us > 0);
}
