//! Attempt logs: one append-only file per attempt, written as lines come, bounded, masked, readable at any time.
//!
//! A line is `2026-01-31T09:30:00.123Z INFO  text`. Reading and following is [`LogReader`].

mod mask;
mod reader;
mod writer;

use std::path::{Path, PathBuf};

use updraft_model::id::{RunId, TaskKey};

pub use mask::Mask;
pub use reader::{LogLine, LogReader};
pub use writer::{LogFile, MAX_LINE_BYTES};

/// Where the log of an attempt lies: `<log_dir>/<run>/<task>[.<map>]/<dispatch_no>.log`.
pub fn path(log_dir: &Path, run_id: RunId, key: &TaskKey, dispatch_no: u32) -> PathBuf {
    let folder = if key.map_index == updraft_model::id::MapIndex::NONE {
        key.task.to_string()
    } else {
        format!("{}.{}", key.task, key.map_index.0)
    };
    log_dir.join(run_id.to_string()).join(folder).join(format!("{dispatch_no}.log"))
}
