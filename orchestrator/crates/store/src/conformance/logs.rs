//! Cases of logs. They need a store's [`Logs`], so each store calls [`everything`] from a test of its own.

use std::sync::Arc;

use futures::StreamExt;
use updraft_model::id::{RunId, TaskKey};
use updraft_model::time::Timestamp;
use uuid::Uuid;

use super::world::{At, World, work};
use crate::logs::{self, LogAt, LogChunk, LogGap, LogKey, LogLevel, LogPart, Logs, SearchQuery};
use crate::{Purpose, Store, Wake};

const AT: Timestamp = Timestamp::from_millis(1_800_000_000_000);

fn line(n: u64, level: LogLevel, text: &str) -> String {
    format!(
        "{} {} {text}\n",
        Timestamp::from_millis(1_800_000_000_001 + i64::try_from(n).unwrap_or(0) * 1000),
        level.tag()
    )
}

/// Lines `from..until`, every tenth an error.
fn text(from: u64, until: u64) -> String {
    (from..until)
        .map(|n| line(n, if n % 10 == 0 { LogLevel::Error } else { LogLevel::Info }, &format!("line {n} says é")))
        .collect()
}

fn log_of(run_id: RunId, task: &str, dispatch_no: u32) -> LogKey {
    LogKey { run_id, key: TaskKey::of(task), dispatch_no }
}

/// The next part after what is there.
fn part(log: &LogKey, offset: u64, first_line: u64, text: &str) -> LogPart {
    let (chunk, first_error) = LogChunk::new(offset, first_line, text);
    LogPart {
        log: log.clone(),
        bytes: chunk.end(),
        lines: first_line - 1 + chunk.lines,
        chunks: vec![chunk],
        first_error,
        gap: None,
        complete: false,
    }
}

/// All cases on one empty store.
pub async fn everything(world: &World, logs: Arc<dyn Logs>) {
    a_log_is_read_by_byte_by_line_and_from_its_end(&*logs).await;
    a_part_that_comes_again_changes_nothing(&*logs).await;
    a_gap_is_one_line_and_numbers_go_on(&*logs).await;
    a_search_goes_on_where_it_stopped(&*logs).await;
    a_log_is_followed_to_its_end(&*world.store, Arc::clone(&logs)).await;
    old_logs_of_runs_that_are_over_are_removed(world, &*logs).await;
    appending_is_counted_as_logs(&*world.store, &*logs).await;
}

async fn a_log_is_read_by_byte_by_line_and_from_its_end(logs: &dyn Logs) {
    let log = log_of(RunId(Uuid::now_v7()), "a", 1);
    assert_eq!(logs.info(&log).await.expect("info"), None);
    assert!(logs.chunks(&log, LogAt::Offset(0), 1 << 20).await.expect("chunks").is_empty());
    let whole = text(1, 101);
    let (mut offset, mut first) = (0, 1);
    for n in 0..10 {
        let piece = text(n * 10 + 1, n * 10 + 11);
        logs.append(&[part(&log, offset, first, &piece)], AT).await.expect("append");
        offset += piece.len() as u64;
        first += 10;
    }
    let info = logs.info(&log).await.expect("info").expect("a log");
    assert_eq!((info.bytes, info.lines, info.complete, info.gap), (whole.len() as u64, 100, false, None));
    let mark = info.first_error.clone().expect("an error");
    assert_eq!((mark.line, mark.text.as_str()), (10, "line 10 says é"));
    assert_eq!(mark.offset, text(1, 10).len() as u64);
    assert_eq!(logs.infos(log.run_id).await.expect("infos"), [(log.clone(), info.clone())]);

    let mut read = String::new();
    let mut at = 0;
    loop {
        let piece = logs::read_text(logs, &log, at, 700).await.expect("read");
        if piece.text.is_empty() {
            break;
        }
        read.push_str(&piece.text);
        assert_eq!(piece.next, read.len() as u64);
        at = piece.next;
    }
    assert_eq!(read, whole);
    let from_line = logs::lines_from(logs, &log, LogAt::Line(35), 3, u64::MAX).await.expect("lines");
    assert_eq!(from_line.lines.iter().map(|line| line.line).collect::<Vec<_>>(), [35, 36, 37]);
    assert_eq!(from_line.lines[0].offset, text(1, 35).len() as u64);
    assert_eq!(from_line.next, text(1, 38).len() as u64);
    let last = logs::tail(logs, &log, 15).await.expect("tail");
    assert_eq!((last.lines.len(), last.lines[0].line, last.next), (15, 86, whole.len() as u64));
    assert!(!last.is_end());
    let middle = logs::around(logs, &log, 50, 10).await.expect("around");
    assert_eq!((middle.lines[0].line, middle.lines.len()), (45, 10));
    assert_eq!(middle.lines[5].level, LogLevel::Error);
    let beyond = logs::lines_from(logs, &log, LogAt::Line(500), 3, u64::MAX).await.expect("lines");
    assert!(beyond.lines.is_empty());
    assert_eq!(beyond.next, whole.len() as u64);
}

async fn a_part_that_comes_again_changes_nothing(logs: &dyn Logs) {
    let log = log_of(RunId(Uuid::now_v7()), "a", 2);
    let (one, two) = (text(1, 5), text(5, 9));
    let first = part(&log, 0, 1, &one);
    let mut second = part(&log, one.len() as u64, 5, &two);
    second.complete = true;
    for parts in [[first.clone()], [second.clone()], [first], [second]] {
        logs.append(&parts, AT).await.expect("append");
    }
    let info = logs.info(&log).await.expect("info").expect("a log");
    assert_eq!((info.bytes, info.lines, info.complete), ((one.len() + two.len()) as u64, 8, true));
    assert_eq!(logs::read_text(logs, &log, 0, 1 << 20).await.expect("read").text, one + &two);
}

async fn a_gap_is_one_line_and_numbers_go_on(logs: &dyn Logs) {
    let log = log_of(RunId(Uuid::now_v7()), "a", 3);
    let pieces: Vec<String> = (0..6).map(|n| text(n * 10 + 1, n * 10 + 11)).collect();
    let starts: Vec<u64> = pieces
        .iter()
        .scan(0, |at, piece| {
            let start = *at;
            *at += piece.len() as u64;
            Some(start)
        })
        .collect();
    for (n, piece) in pieces.iter().enumerate() {
        let mut added = part(&log, starts[n], n as u64 * 10 + 1, piece);
        if n > 3 {
            // The beginning is the first two pieces, the end the last two.
            let until = starts[n - 1];
            added.gap = Some(LogGap { from: starts[2], until, lines: (n as u64 - 3) * 10 });
        }
        logs.append(&[added], AT).await.expect("append");
    }
    let info = logs.info(&log).await.expect("info").expect("a log");
    let gap = info.gap.expect("a gap");
    assert_eq!((gap.from, gap.until, gap.lines), (starts[2], starts[4], 20));
    let chunks = logs.chunks(&log, LogAt::Offset(0), u64::MAX).await.expect("chunks");
    assert_eq!(
        chunks.iter().map(|chunk| chunk.offset).collect::<Vec<_>>(),
        [starts[0], starts[1], starts[4], starts[5]]
    );
    let read = logs::read_text(logs, &log, 0, 1 << 20).await.expect("read");
    assert_eq!(read.text, format!("{}{}{}\n{}{}", pieces[0], pieces[1], gap.text(), pieces[4], pieces[5]));
    assert_eq!(read.next, info.bytes);
    for inside in [LogAt::Offset(starts[2] + 5), LogAt::Line(25)] {
        let page = logs::lines_from(logs, &log, inside, 2, u64::MAX).await.expect("lines");
        assert!(page.lines[0].text.contains("20 lines"), "{page:?}");
        assert_eq!((page.lines[0].line, page.lines[1].line), (21, 41), "{page:?}");
    }
    let last = logs::tail(logs, &log, 5).await.expect("tail");
    assert_eq!(last.lines.iter().map(|line| line.line).collect::<Vec<_>>(), [56, 57, 58, 59, 60]);
}

async fn a_search_goes_on_where_it_stopped(logs: &dyn Logs) {
    let log = log_of(RunId(Uuid::now_v7()), "a", 4);
    let mut offset = 0;
    for n in 0..20 {
        let piece = text(n * 10 + 1, n * 10 + 11);
        logs.append(&[part(&log, offset, n * 10 + 1, &piece)], AT).await.expect("append");
        offset += piece.len() as u64;
    }
    let mut query =
        SearchQuery { text: Some("LINE 1".to_owned()), level: None, from: 0, max_lines: 7, max_bytes: u64::MAX };
    let mut found = Vec::new();
    loop {
        let matches = logs::search(logs, &log, &query).await.expect("search");
        found.extend(matches.lines.iter().map(|line| line.line));
        match matches.next {
            Some(next) => query.from = next,
            None => break,
        }
    }
    let expected: Vec<u64> = (1..=200).filter(|n: &u64| n.to_string().starts_with('1')).collect();
    assert_eq!(found, expected);
    let errors = SearchQuery { text: None, level: Some(LogLevel::Warn), from: 0, max_lines: 100, max_bytes: u64::MAX };
    let found = logs::search(logs, &log, &errors).await.expect("search");
    assert_eq!((found.lines.len(), found.lines[0].line, found.next), (20, 10, None));
    let bounded = SearchQuery { text: Some("absent".to_owned()), max_bytes: 100, ..errors };
    let bounded = logs::search(logs, &log, &bounded).await.expect("search");
    assert!(bounded.lines.is_empty());
}

async fn a_log_is_followed_to_its_end(store: &dyn Store, logs: Arc<dyn Logs>) {
    let log = log_of(RunId(Uuid::now_v7()), "a", 5);
    let mut wakes = store.wakes();
    let mut pages = logs::follow(Arc::clone(&logs), log.clone(), 0);
    let (one, two) = (text(1, 5), text(5, 9));
    let writer = async {
        let told = async {
            loop {
                match wakes.next().await {
                    Some(Wake::Followed(run)) if run == log.run_id => break,
                    Some(_) => {}
                    None => panic!("no more hints"),
                }
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(20), told).await.expect("workers hear of the follower");
        logs.append(&[part(&log, 0, 1, &one)], AT).await.expect("append");
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        let mut last = part(&log, one.len() as u64, 5, &two);
        last.complete = true;
        logs.append(&[last], AT).await.expect("append");
    };
    let reading = async {
        let mut lines = Vec::new();
        while let Some(page) = pages.next().await {
            lines.extend(page.expect("a page").lines.into_iter().map(|line| line.line));
        }
        lines
    };
    let (lines, ()) = tokio::join!(reading, writer);
    assert_eq!(lines, (1..9).collect::<Vec<_>>());
}

async fn old_logs_of_runs_that_are_over_are_removed(world: &World, logs: &dyn Logs) {
    let open = world.start(|run| vec![work(run, "a", At::Ready(0), world.now())]).await.run;
    let gone = RunId(Uuid::now_v7());
    for run in [open, gone] {
        logs.append(&[part(&log_of(run, "a", 1), 0, 1, &text(1, 3))], AT).await.expect("append");
    }
    let purge = async |before: Timestamp| logs.purge_logs(before, 1000).await.expect("purge");
    let run_made_at = Timestamp::from_datetime(chrono::Utc::now()) + std::time::Duration::from_mins(1);
    assert_eq!(purge(Timestamp::from_millis(1000)).await, 0);
    assert!(purge(run_made_at.max(AT + std::time::Duration::from_secs(1))).await >= 1);
    assert!(logs.info(&log_of(open, "a", 1)).await.expect("info").is_some(), "a run that is open keeps its logs");
    assert_eq!(logs.info(&log_of(gone, "a", 1)).await.expect("info"), None);
    assert!(logs.chunks(&log_of(gone, "a", 1), LogAt::Offset(0), 1000).await.expect("chunks").is_empty());
}

async fn appending_is_counted_as_logs(store: &dyn Store, logs: &dyn Logs) {
    let counters = store.counters();
    let before = (counters.commits(Purpose::Logs), counters.commits(Purpose::Engine));
    let run = RunId(Uuid::now_v7());
    let parts: Vec<LogPart> = (1..5).map(|n| part(&log_of(run, "a", n), 0, 1, &text(1, 3))).collect();
    logs.append(&parts, AT).await.expect("append");
    let commits = counters.commits(Purpose::Logs) - before.0;
    assert!((1..=2).contains(&commits), "{commits} commits for one call");
    assert_eq!(counters.commits(Purpose::Engine), before.1);
}
