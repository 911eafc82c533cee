//! Ships logs from their files to the store: within 5 s or 256 KiB, within a second while somebody follows, and at once
//! when an attempt has ended; what is due at one time goes together. Files go when the store has all of a log.
//!
//! A file left by a process that died is shipped by the next one in the same folder.

use std::collections::HashMap;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use updraft_model::id::{MapIndex, RunId, TaskId, TaskKey};
use updraft_model::record::AttemptRow;
use updraft_store::StoreError;
use updraft_store::logs::{FOLLOWED, LogChunk, LogKey, LogMark, LogPart, Logs};

use super::segments;
use super::writer::Written;
use crate::shared::{Phase, Shared, locked};

/// Between two looks at what is due.
const TICK: Duration = Duration::from_millis(200);
/// What has been written waits so long at most.
const LATEST: Duration = Duration::from_secs(5);
/// And so long while somebody follows.
const LATEST_FOLLOWED: Duration = Duration::from_millis(400);
/// As much is shipped at once, and makes one chunk.
const CHUNK_BYTES: u64 = 256 << 10;
/// Most bytes in one call.
const CALL_BYTES: u64 = 4 << 20;
/// Wait after a failure.
const PAUSE: Duration = Duration::from_secs(2);
/// How long the end of the engine waits for what is left.
const FLUSH_LIMIT: Duration = Duration::from_secs(10);
/// How often files without an owner are looked for.
const RECOVER_EVERY: Duration = Duration::from_mins(1);
const RECOVER_FIRST: Duration = Duration::from_secs(2);

/// Logs that are not yet in the store, and who follows.
#[derive(Default)]
pub(crate) struct Shipping {
    logs: Mutex<HashMap<LogKey, Arc<Mutex<Outgoing>>>>,
    followed: Mutex<HashMap<RunId, Instant>>,
    wanted: Notify,
}

/// One log on its way.
struct Outgoing {
    /// Its first file.
    path: PathBuf,
    written: Arc<Mutex<Written>>,
    bytes: u64,
    lines: u64,
    /// Since when something waits.
    since: Option<Instant>,
}

impl Shipping {
    /// A log has got its first line.
    pub(crate) fn add(&self, log: LogKey, path: &Path, written: Arc<Mutex<Written>>) {
        let outgoing = Outgoing { path: path.to_owned(), written, bytes: 0, lines: 0, since: None };
        locked(&self.logs).insert(log, Arc::new(Mutex::new(outgoing)));
        self.wanted.notify_one();
    }

    /// Somebody follows this run's logs.
    pub(crate) fn followed(&self, run_id: RunId) {
        locked(&self.followed).insert(run_id, Instant::now() + FOLLOWED);
        self.wanted.notify_one();
    }

    fn all(&self) -> Vec<(LogKey, Arc<Mutex<Outgoing>>)> {
        locked(&self.logs).iter().map(|(log, outgoing)| (log.clone(), Arc::clone(outgoing))).collect()
    }

    fn is_followed(&self, run_id: RunId) -> bool {
        locked(&self.followed).get(&run_id).is_some_and(|until| Instant::now() < *until)
    }
}

/// Runs until the engine stops.
pub(crate) async fn run(shared: Arc<Shared>, logs: Arc<dyn Logs>) {
    let mut next_recovery = Instant::now();
    // Attempts that a dead process left are over soon after the start, not at it.
    let mut pause = RECOVER_FIRST;
    loop {
        if shared.phase() == Phase::Stopped {
            return;
        }
        if Instant::now() >= next_recovery {
            next_recovery = Instant::now() + pause;
            pause = (pause * 4).min(RECOVER_EVERY);
            if let Err(error) = recover(&shared, &*logs).await {
                tracing::warn!("logs left by another process are not shipped now: {error}");
            }
        }
        if locked(&shared.shipping.logs).is_empty() {
            locked(&shared.shipping.followed).retain(|_, until| Instant::now() < *until);
            tokio::select! {
                () = shared.shipping.wanted.notified() => {}
                () = tokio::time::sleep_until(next_recovery.into()) => continue,
            }
        }
        match ship(&shared, &*logs, false).await {
            Ok(()) => tokio::time::sleep(TICK).await,
            Err(error) => {
                shared.warn(
                    None,
                    format!("logs cannot be shipped: {error}; they stay in their files, and this is tried again"),
                );
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// Ships what processes that are gone have left in this folder, now.
pub(crate) async fn take_up(shared: &Arc<Shared>, logs: &dyn Logs) {
    let taken = async {
        recover(shared, logs).await?;
        ship(shared, logs, true).await
    };
    if let Err(error) = taken.await {
        tracing::warn!("logs left by another process stay in their files: {error}");
    }
}

/// Ships what is left, at the engine's end.
pub(crate) async fn flush(shared: &Arc<Shared>, logs: &Arc<dyn Logs>) {
    let all = async {
        while !locked(&shared.shipping.logs).is_empty() {
            if let Err(error) = ship(shared, &**logs, true).await {
                tracing::warn!("logs stay in their files: {error}");
                return;
            }
            let ended = shared.shipping.all().iter().all(|(_, one)| locked(&locked(one).written).ended);
            if !ended {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    };
    let _ = tokio::time::timeout(FLUSH_LIMIT, all).await;
}

/// What one log adds to a call.
struct Load {
    part: LogPart,
    outgoing: Arc<Mutex<Outgoing>>,
}

/// Ships what is due, or everything.
async fn ship(shared: &Arc<Shared>, logs: &dyn Logs, everything: bool) -> Result<(), ShipError> {
    loop {
        let shared_there = Arc::clone(shared);
        let gathered = tokio::task::spawn_blocking(move || gather(&shared_there, everything));
        let loads = gathered.await.map_err(|error| ShipError::Io(std::io::Error::other(error)))??;
        if loads.is_empty() {
            return Ok(());
        }
        let full = loads.iter().flat_map(|load| &load.part.chunks).map(|chunk| chunk.bytes).sum::<u64>() >= CALL_BYTES;
        let parts: Vec<LogPart> = loads.iter().map(|load| load.part.clone()).collect();
        logs.append(&parts, shared.now()).await?;
        for load in loads {
            let mut outgoing = locked(&load.outgoing);
            (outgoing.bytes, outgoing.lines, outgoing.since) = (load.part.bytes, load.part.lines, None);
            if load.part.complete {
                locked(&shared.shipping.logs).remove(&load.part.log);
                remove(&outgoing.path);
            }
        }
        if !full {
            return Ok(());
        }
    }
}

/// Reads what is due from the files.
fn gather(shared: &Shared, everything: bool) -> Result<Vec<Load>, ShipError> {
    let mut loads = Vec::new();
    let mut bytes = 0;
    for (log, outgoing) in shared.shipping.all() {
        let mut one = locked(&outgoing);
        let written = locked(&one.written).clone();
        if written.bytes == one.bytes && !written.ended {
            continue;
        }
        let since = *one.since.get_or_insert_with(Instant::now);
        let latest = if shared.shipping.is_followed(log.run_id) { LATEST_FOLLOWED } else { LATEST };
        let due = everything || written.ended || written.bytes - one.bytes >= CHUNK_BYTES || since.elapsed() >= latest;
        if !due {
            continue;
        }
        let part = read_part(&log, &one, &written, CALL_BYTES.saturating_sub(bytes).max(CHUNK_BYTES))?;
        bytes += part.chunks.iter().map(|chunk| chunk.bytes).sum::<u64>();
        drop(one);
        loads.push(Load { part, outgoing: Arc::clone(&outgoing) });
        if bytes >= CALL_BYTES {
            break;
        }
    }
    Ok(loads)
}

/// The next part of a log, at most so many bytes.
fn read_part(log: &LogKey, outgoing: &Outgoing, written: &Written, limit: u64) -> Result<LogPart, ShipError> {
    let (mut at, mut lines) = (outgoing.bytes, outgoing.lines);
    let mut chunks: Vec<LogChunk> = Vec::new();
    let mut first_error: Option<LogMark> = None;
    let ends = written.segments.iter().skip(1).map(|segment| segment.offset).chain([written.bytes]);
    'files: for (segment, end) in written.segments.iter().zip(ends) {
        if end <= at {
            continue;
        }
        if segment.offset > at {
            (at, lines) = (segment.offset, segment.first_line - 1);
        }
        let mut file = match std::fs::File::open(&segment.path) {
            Ok(file) => file,
            // Left out meanwhile.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error.into()),
        };
        file.seek(SeekFrom::Start(at - segment.offset))?;
        while at < end {
            if at - outgoing.bytes >= limit && !chunks.is_empty() {
                break 'files;
            }
            let mut piece = Vec::new();
            (&mut file).take(CHUNK_BYTES.min(end - at)).read_to_end(&mut piece)?;
            if piece.is_empty() {
                break;
            }
            let whole = piece.iter().rposition(|byte| *byte == b'\n').map_or(piece.len(), |last| last + 1);
            file.seek(SeekFrom::Current(-i64::try_from(piece.len() - whole).unwrap_or(0)))?;
            piece.truncate(whole);
            let text = String::from_utf8_lossy(&piece);
            let (chunk, mark) = LogChunk::new(at, lines + 1, &text);
            at += whole as u64;
            lines += chunk.lines;
            first_error = first_error.or(mark);
            chunks.push(chunk);
        }
    }
    Ok(LogPart {
        log: log.clone(),
        chunks,
        bytes: at,
        lines,
        first_error,
        gap: written.gap,
        complete: written.ended && at >= written.bytes,
    })
}

/// Removes a log's files and the folders that it leaves empty.
fn remove(head: &Path) {
    for segment in segments(head).unwrap_or_default() {
        if let Err(error) = std::fs::remove_file(&segment.path) {
            tracing::warn!(%error, "a shipped log cannot be removed: {}", segment.path.display());
        }
    }
    // Folders that are not empty stay.
    for folder in head.ancestors().skip(1).take(2) {
        if std::fs::remove_dir(folder).is_err() {
            break;
        }
    }
}

/// Takes up logs whose process died: attempts that are over, with files that nobody here writes.
async fn recover(shared: &Arc<Shared>, logs: &dyn Logs) -> Result<(), ShipError> {
    let folder = shared.config.log_dir.clone();
    let found = tokio::task::spawn_blocking(move || left_behind(&folder)).await;
    let found = found.map_err(|error| ShipError::Io(std::io::Error::other(error)))?;
    for (log, path) in found {
        if locked(&shared.shipping.logs).contains_key(&log) || !is_left(shared, &log).await? {
            continue;
        }
        let written = written_of(&path)?;
        let known = logs.info(&log).await?;
        let outgoing = Outgoing {
            bytes: known.as_ref().map_or(0, |info| info.bytes.min(written.bytes)),
            lines: known.map_or(0, |info| info.lines),
            written: Arc::new(Mutex::new(written)),
            path,
            since: None,
        };
        locked(&shared.shipping.logs).entry(log).or_insert_with(|| Arc::new(Mutex::new(outgoing)));
    }
    Ok(())
}

/// An attempt of this store whose process will write no more: it has ended, or the store has one owner, which is this
/// process, and it is not this one's.
async fn is_left(shared: &Shared, log: &LogKey) -> Result<bool, StoreError> {
    let config = &shared.config;
    let alone = config.store.kind() == "sqlite";
    let detail = config.reader.detail(log.run_id).await?;
    Ok(detail.is_some_and(|detail| {
        let same = |attempt: &AttemptRow| attempt.key == log.key && attempt.dispatch_no == log.dispatch_no;
        alone || detail.attempts.iter().any(same)
    }))
}

/// What the files say about a log whose writer is gone.
fn written_of(head: &Path) -> std::io::Result<Written> {
    let mut written = Written { ended: true, ..Written::default() };
    for segment in segments(head)? {
        let size = std::fs::metadata(&segment.path)?.len();
        if segment.offset > written.bytes {
            let gap = updraft_store::logs::LogGap {
                from: written.bytes,
                until: segment.offset,
                lines: segment.first_line.saturating_sub(written.lines + 1),
            };
            written.gap = Some(gap);
        }
        let text = std::fs::read(&segment.path)?;
        let line_ends = text.split(|byte| *byte == b'\n').count() as u64 - 1;
        written.lines = segment.first_line - 1 + line_ends;
        written.bytes = segment.offset + size;
        written.segments.push_back(segment);
    }
    Ok(written)
}

fn left_behind(folder: &Path) -> Vec<(LogKey, PathBuf)> {
    let mut found = Vec::new();
    let inside = |folder: &Path| match std::fs::read_dir(folder) {
        Ok(entries) => entries.flatten().map(|entry| entry.path()).collect(),
        Err(_) => Vec::new(),
    };
    for run in inside(folder) {
        let Some(run_id) = run.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse().ok()) else {
            continue;
        };
        for task in inside(&run) {
            let Some(name) = task.file_name().and_then(|name| name.to_str()).map(str::to_owned) else { continue };
            let mapped = name.rsplit_once('.').and_then(|(task, index)| Some((task.to_owned(), index.parse().ok()?)));
            let (id, map_index) = mapped.map_or((name, MapIndex::NONE), |(task, index)| (task, MapIndex(index)));
            let key = TaskKey { task: TaskId::from(id), map_index };
            for file in inside(&task) {
                let number = file.file_name().and_then(|name| name.to_str()?.strip_suffix(".log")?.parse().ok());
                let Some(dispatch_no) = number else { continue };
                found.push((LogKey { run_id, key: key.clone(), dispatch_no }, file));
            }
        }
    }
    found
}

/// Why logs stay where they are.
#[derive(Debug, thiserror::Error)]
enum ShipError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("{0}")]
    Io(#[from] std::io::Error),
}
