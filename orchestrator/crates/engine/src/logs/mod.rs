//! Attempt logs: bounded, masked, readable at any time.
//!
//! Each attempt's lines go to a local file as they come (the spool), in the form that [`updraft_store::logs`] describes, and
//! from there to the store in pieces; once shipped, the store is the truth, and the files go when all of a log is there.
//! Where no store of logs is given, the files stay and are all there is.

mod mask;
pub(crate) mod ship;
#[cfg(test)]
mod tests;
mod writer;

use std::path::{Path, PathBuf};

use updraft_model::id::{RunId, TaskKey};

pub use mask::Mask;
pub(crate) use ship::Shipping;
pub use writer::{LogFile, MAX_LINE_BYTES};

/// Where the log of an attempt lies: `<log_dir>/<run>/<task>[.<map>]/<dispatch_no>.log`. A log that passes half its limit
/// goes on in `<dispatch_no>@<offset>-<line>.log` files beside it.
pub fn path(log_dir: &Path, run_id: RunId, key: &TaskKey, dispatch_no: u32) -> PathBuf {
    let folder = if key.map_index == updraft_model::id::MapIndex::NONE {
        key.task.to_string()
    } else {
        format!("{}.{}", key.task, key.map_index.0)
    };
    log_dir.join(run_id.to_string()).join(folder).join(format!("{dispatch_no}.log"))
}

/// One file of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Segment {
    pub path: PathBuf,
    /// Where it begins in the whole log.
    pub offset: u64,
    /// Number of its first line.
    pub first_line: u64,
}

/// The file that continues a log from here on.
fn segment_path(head: &Path, offset: u64, first_line: u64) -> PathBuf {
    let stem = head.file_stem().unwrap_or_default().to_string_lossy();
    head.with_file_name(format!("{stem}@{offset}-{first_line}.log"))
}

/// The files of a log, in order. Files that come or go meanwhile may be among them or not.
pub(crate) fn segments(head: &Path) -> std::io::Result<Vec<Segment>> {
    let stem = head.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let folder = head.parent().unwrap_or(Path::new("."));
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_suffix(".log"))
        else {
            continue;
        };
        if name == stem {
            found.push(Segment { path, offset: 0, first_line: 1 });
        } else if let Some((offset, line)) = name.strip_prefix(&format!("{stem}@")).and_then(|at| at.split_once('-'))
            && let (Ok(offset), Ok(first_line)) = (offset.parse(), line.parse())
        {
            found.push(Segment { path, offset, first_line });
        }
    }
    found.sort_by_key(|segment| segment.offset);
    Ok(found)
}
