//! Cases of the upkeep. They need a store's [`Upkeep`], so each store calls [`everything`] from a test of its own.

use std::time::Duration;

use updraft_model::event::Event;
use updraft_model::id::{RunId, TaskKey};
use updraft_model::state::{Cause, RunState};
use updraft_model::time::Timestamp;

use super::world::World;
use crate::logs::{self, LogAt, LogChunk, LogGap, LogKey, LogPart, Logs};
use crate::upkeep::{COMPACTED_BYTES, Upkeep, compact_log};
use crate::{Loaded, TaskStateKey};

/// All cases on one empty store.
pub async fn everything(world: &World, upkeep: &dyn Upkeep, logs: &dyn Logs) {
    pieces_of_a_log_become_few_and_read_the_same(world, upkeep, logs).await;
    runs_that_are_over_go_with_all_they_have(world, upkeep, logs).await;
    upkeep.refresh_statistics().await.expect("statistics");
    assert!(upkeep.turn("a job").await.expect("turn").is_some());
}

/// Before anything in the store.
const LONG_AGO: Timestamp = Timestamp::from_millis(1000);

/// Later than anything in the store: ids of runs follow the real clock, everything else the world's.
fn later(world: &World) -> Timestamp {
    Timestamp::from_datetime(chrono::Utc::now()).max(world.now()) + Duration::from_mins(5)
}

/// Adds a piece; says where the next one begins.
async fn add(logs: &dyn Logs, log: &LogKey, at: (u64, u64), text: &str, complete: bool, when: Timestamp) -> (u64, u64) {
    let (chunk, first_error) = LogChunk::new(at.0, at.1, text);
    let next = (chunk.end(), at.1 + chunk.lines);
    let part = LogPart {
        log: log.clone(),
        bytes: next.0,
        lines: next.1 - 1,
        chunks: vec![chunk],
        first_error,
        gap: None,
        complete,
    };
    logs.append(&[part], when).await.expect("append");
    next
}

async fn pieces_of_a_log_become_few_and_read_the_same(world: &World, upkeep: &dyn Upkeep, logs: &dyn Logs) {
    let run = RunId(uuid::Uuid::now_v7());
    let log = LogKey { run_id: run, key: TaskKey::of("a"), dispatch_no: 1 };
    let (mut at, mut whole) = ((0, 1), String::new());
    for n in 0..200_u64 {
        // Now and then one that is large by itself.
        let text = if n == 77 { "large é\n".repeat(50_000) } else { format!("line {n} says é\n").repeat(30) };
        whole.push_str(&text);
        at = add(logs, &log, at, &text, n == 199, world.now()).await;
    }
    let open = LogKey { dispatch_no: 2, ..log.clone() };
    let mut next = (0, 1);
    for _ in 0..5 {
        next = add(logs, &open, next, "more to come\n", false, world.now()).await;
    }
    let gapped = LogKey { dispatch_no: 3, ..log.clone() };
    add(logs, &gapped, (0, 1), "one\n", false, world.now()).await;
    add(logs, &gapped, (4, 2), "two\n", false, world.now()).await;
    let (tail, _) = LogChunk::new(1000, 100, "end\n");
    let gap = Some(LogGap { from: 8, until: 1000, lines: 97 });
    let part = LogPart {
        log: gapped.clone(),
        bytes: 1004,
        lines: 100,
        chunks: vec![tail],
        first_error: None,
        gap,
        complete: true,
    };
    logs.append(&[part], world.now()).await.expect("append");

    let scattered = async |before| upkeep.scattered_logs(run, before, 100).await.expect("scattered logs");
    assert!(scattered(LONG_AGO).await.is_empty(), "a log is left alone while it is new");
    assert_eq!(scattered(later(world)).await, [log.clone(), gapped.clone()], "only what is complete");
    let before = logs.info(&log).await.expect("info");
    let fewer = compact_log(upkeep, logs, &log).await.expect("compact");
    compact_log(upkeep, logs, &gapped).await.expect("compact");
    let pieces = logs.chunks(&log, LogAt::Offset(0), u64::MAX >> 1).await.expect("chunks");
    assert_eq!((pieces.len() as u64 + fewer, pieces.len() < 10), (200, true), "{} pieces", pieces.len());
    assert!(pieces.iter().filter(|piece| piece.bytes > COMPACTED_BYTES).count() <= 1);
    assert!(scattered(later(world)).await.is_empty(), "nothing is left to do");
    assert_eq!(logs.info(&log).await.expect("info"), before);
    let read: String = pieces.iter().map(|piece| piece.text().expect("text")).collect();
    assert!(read == whole);
    // By byte and by line as before.
    for line in [1, 31, 2000, 52_000] {
        let offset: usize = whole.split_inclusive('\n').take(line - 1).map(str::len).sum();
        let found = logs.chunks(&log, LogAt::Line(line as u64), 1).await.expect("chunks");
        assert!(found[0].offset <= offset as u64 && (offset as u64) < found[0].end(), "line {line}");
        let text = logs::read_text(logs, &log, offset as u64, 20).await.expect("read").text;
        assert!(whole[offset..].starts_with(&text) && !text.is_empty(), "line {line}: {text:?}");
    }
    let pieces = logs.chunks(&gapped, LogAt::Offset(0), 1 << 20).await.expect("chunks");
    assert_eq!(pieces.iter().map(|piece| (piece.offset, piece.first_line)).collect::<Vec<_>>(), [(0, 1), (1000, 100)]);
}

async fn runs_that_are_over_go_with_all_they_have(world: &World, upkeep: &dyn Upkeep, logs: &dyn Logs) {
    let (open, _) = world.start_executing().await;
    let mut over = Vec::new();
    for _ in 0..5 {
        let (known, row) = world.start_executing().await;
        let key =
            TaskStateKey { run_id: known.run, key: row.dispatch.key.clone(), generation: 0, name: "n".to_owned() };
        let by = row.attempt_id.expect("it executes");
        assert_eq!(world.store.put_task_state(&key, by, "1").await.expect("put").as_deref(), Some("1"));
        let log = LogKey { run_id: known.run, key: row.dispatch.key.clone(), dispatch_no: row.dispatch.dispatch_no };
        add(logs, &log, (0, 1), "said\n", true, world.now()).await;
        let mut commit = world.next(known);
        world.end(&mut commit, &row);
        commit.run.state = RunState::Failed;
        commit.run.cause = Some(Cause::TaskFailed);
        commit.run.ended_at = Some(world.now());
        commit.events.push(Event::RunFinished { outcome: RunState::Failed, cause: Cause::TaskFailed });
        world.apply(&world.batch(vec![commit])).await;
        over.push((known.run, log, key));
    }
    assert_eq!(upkeep.purge_runs(LONG_AGO, 100).await.expect("purge"), 0, "they are too young");
    assert_eq!(upkeep.purge_runs(later(world), 3).await.expect("purge"), 3);
    assert_eq!(upkeep.purge_runs(later(world), 100).await.expect("purge"), 2);
    for (run, log, key) in over {
        let loaded = world.store.load(&[(run, None)]).await.expect("load");
        assert!(matches!(loaded[..], [Loaded::Missing(_)]), "{loaded:?}");
        assert_eq!(logs.info(&log).await.expect("info"), None);
        assert_eq!(world.store.task_state(&key).await.expect("state"), None);
    }
    assert_eq!(upkeep.purge_runs(later(world), 100).await.expect("purge"), 0);
    world.full(open.run).await;
}
