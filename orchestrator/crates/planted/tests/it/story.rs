//! The planted troubles, as history shows them.

use updraft_model::id::{MapIndex, TaskKey};
use updraft_model::run::{Commit, Limits, Run, Versions};
use updraft_model::state::{Cause, FinalState, Outcome, RunState, TaskRunState};
use updraft_model::time::Timestamp;
use updraft_planted::logs::ERROR_LINE;
use updraft_planted::story::{BAD_REGION, DAY, LOST_REGION, QUALITY, REGIONS};
use updraft_store::history::{GridAsk, HomeAsk, IncidentKind, Instances};
use updraft_store::logs::LogKey;

use crate::world::{NOW, World};

pub(crate) async fn planted_troubles_are_found(world: &World) {
    let (story, history) = (&world.story, &world.history);
    assert_eq!(story.flights.len(), 35);
    assert_eq!((story.failed.len(), story.second_try.len(), story.masked.len(), story.lost.len()), (2, 6, 1, 2));
    for run in &story.failed {
        let line = history.run_line(*run).await.unwrap().unwrap();
        let failure = line.failure.unwrap();
        assert_eq!((line.state, failure.attempt, failure.attempts), (RunState::Failed, 3, 3));
        assert_eq!(failure.key.task.as_str(), "row_counts");
        assert_eq!(failure.line.as_deref(), QUALITY.lines().next());
        assert_eq!(failure.class.as_deref(), Some("Quality"));
    }
    let masked = history.run_line(story.masked[0]).await.unwrap().unwrap();
    assert!(masked.masked() && masked.state == RunState::Succeeded);
    assert_eq!(masked.failure.unwrap().key.task.as_str(), "row_counts");
    for run in &story.lost {
        let attempts = history.attempts(*run, None).await.unwrap();
        let lost = TaskKey { task: "fetch_region".into(), map_index: MapIndex(LOST_REGION) };
        let first = attempts.iter().find(|one| one.key == lost).unwrap();
        assert_eq!((first.n, first.outcome, first.started_at), (1, Some(Outcome::Lost), None));
        assert_eq!(first.worker.as_deref(), Some("planted/1"));
    }
    mapped_instances_are_found(world).await;
    let log = LogKey { run_id: story.failed[0], key: TaskKey::of("row_counts"), dispatch_no: 3 };
    let info = world.logs.info(&log).await.unwrap().unwrap();
    let error = info.first_error.unwrap();
    assert_eq!((error.line, info.complete), (ERROR_LINE, true));
    assert_eq!(Some(error.text.as_str()), QUALITY.lines().next());
    // Failures of a backfill count when they happened, not by their dates.
    let day = HomeAsk { since: Timestamp::from_millis(NOW.as_millis() - DAY), until: NOW, limit: 50 };
    let home = history.home(&day).await.unwrap();
    for run in &story.backfill_failed {
        let incident = home.incidents.iter().find(|incident| incident.run_id == *run).unwrap();
        assert_eq!(incident.kind, IncidentKind::RunFailed);
        assert!(incident.logical_at.as_millis() < NOW.as_millis() - 30 * DAY);
        assert!(incident.blocked > 0 && incident.failure.as_ref().unwrap().line.is_some());
    }
    // Two tasks execute; four wait for a place.
    let attempts = history.attempts(story.rebuild[0], None).await.unwrap();
    let running = attempts.iter().filter(|one| one.state == Some(TaskRunState::Running)).count();
    assert_eq!((attempts.len(), running), (2, 2));
    let grid = history.grid("clickhouse_rebuild", &GridAsk { runs: 5, ..GridAsk::default() }).await.unwrap().unwrap();
    assert_eq!(grid.runs[0].cells, "rrwwww");
    // The cells say it: two tries, a wait, a new version.
    let grid = history.grid("flights_etl", &GridAsk { runs: 60, ..GridAsk::default() }).await.unwrap().unwrap();
    let at = grid.tasks.iter().position(|task| task.id == "row_counts").unwrap() as u32;
    for run in &story.second_try {
        let column = grid.runs.iter().find(|one| one.line.run_id == *run).unwrap();
        let (_, extra) = column.extra.iter().find(|(task, _)| *task == at).unwrap();
        assert_eq!(extra.attempts, Some(2));
    }
    let changed: Vec<_> = grid.runs.iter().filter(|one| one.line.version_changed).map(|one| one.line.run_id).collect();
    assert_eq!(changed, story.changed);
    let waits = grid.runs.iter().flat_map(|one| &one.extra).filter(|(_, extra)| extra.wait_ms >= Some(14_000)).count();
    assert!(waits >= 7, "{waits}");
}

/// The cell counts instances, the failure names one, and each has its attempts and its log.
async fn mapped_instances_are_found(world: &World) {
    let (story, history) = (&world.story, &world.history);
    let grid = history.grid("flights_etl", &GridAsk { runs: 60, ..GridAsk::default() }).await.unwrap().unwrap();
    let at = grid.tasks.iter().position(|task| task.id == "fetch_region").unwrap() as u32;
    for column in &grid.runs {
        let (_, extra) = column.extra.iter().find(|(task, _)| *task == at).unwrap();
        let bad = u32::from(story.instance_failed.contains(&column.line.run_id));
        let expected = Instances { total: REGIONS, succeeded: REGIONS - bad, failed: bad, running: 0 };
        assert_eq!(extra.mapped, Some(expected));
        assert_eq!(extra.error.is_some(), bad == 1);
    }
    let run = story.instance_failed[0];
    let key = TaskKey { task: "fetch_region".into(), map_index: MapIndex(BAD_REGION) };
    let line = history.run_line(run).await.unwrap().unwrap();
    let failure = line.failure.unwrap();
    assert_eq!((line.state, line.failed_tasks, &failure.key), (RunState::Failed, 1, &key));
    assert_eq!((failure.attempt, failure.attempts, failure.class.as_deref()), (4, 4, Some("Network")));
    let detail = &world.runs.iter().find(|seen| seen.row().facts.run_id == run).unwrap().detail;
    assert_eq!(detail.expanded, [("fetch_region".into(), REGIONS)]);
    let own = detail.task_runs.iter().find(|row| row.key == TaskKey::of("fetch_region")).unwrap();
    assert_eq!((own.state, own.cause, own.expanded_n), (FinalState::Failed, Cause::TaskFailed, Some(REGIONS)));
    let of_one = history.attempts(run, Some(&key)).await.unwrap();
    assert_eq!(of_one.iter().map(|one| one.n).collect::<Vec<_>>(), [1, 2, 3, 4]);
    let log = LogKey { run_id: run, key, dispatch_no: 4 };
    assert!(world.logs.info(&log).await.unwrap().unwrap().complete);
}

/// Replaying the events of a run gives its rows.
pub(crate) fn every_planted_run_replays(world: &World) {
    for seen in &world.runs {
        let version_id = seen.row().facts.version_id;
        let versions = Versions::from([(version_id, world.versions[&version_id].clone())]);
        let commits: Vec<Commit<'_>> = seen
            .log
            .iter()
            .map(|entry| Commit {
                version: entry.version,
                stamp: seen.row().stamp,
                at: entry.at,
                events: &entry.events,
            })
            .collect();
        let run = Run::replay(&versions, seen.row().facts.clone(), Limits::default(), commits).unwrap();
        assert_eq!(run.projection(), &seen.row().projection);
        assert_eq!(run.version(), seen.row().version);
        for row in &seen.detail.task_runs {
            assert_eq!(run.slot_of(&row.key).unwrap().final_state(), Some(row.state), "{}", row.key);
        }
        assert_eq!(run.dispatched() as usize, seen.detail.work.len());
    }
}
