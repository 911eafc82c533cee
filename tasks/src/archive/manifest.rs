//! What lies beside the objects of an archive, and what a window of them covers.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use updraft_task::{DataInterval, Dataset, TaskError, Timestamp};

/// Folder of the archive in which an instant's objects lie, below its prefix.
pub(super) fn hour(prefix: &str, at: Timestamp) -> String {
    at.to_datetime().format(&format!("{}/dt=%Y-%m-%d/hour=%H", prefix.trim_matches('/').replace('%', "%%"))).to_string()
}

/// A manifest: one run's objects.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    /// Start of the data interval that they belong to, RFC 3339.
    pub(crate) start: String,
    /// Its end; equal to the start for a run by hand, which covers no time.
    pub(crate) end: String,
    pub(crate) objects: Vec<Entry>,
}

/// An object of an archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// Where its bytes came from.
    pub(crate) source: String,
    /// The object itself: `uri` is its key in the archive.
    pub(crate) dataset: Dataset,
}

impl Manifest {
    pub(super) fn interval(&self) -> Result<DataInterval, TaskError> {
        let at = |text: &str| {
            Timestamp::parse(text)
                .ok_or_else(|| TaskError::fail("BadManifest", format!("`{text}` in a manifest is no instant")))
        };
        Ok(DataInterval { start: at(&self.start)?, end: at(&self.end)? })
    }
}

/// A stretch of a window, and why nothing can be read there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Hole {
    /// Where it begins.
    pub from: String,
    /// Where it ends.
    pub to: String,
}

/// What of a window none of these intervals covers.
pub(super) fn holes(window: DataInterval, covered: &[DataInterval]) -> Vec<Hole> {
    let mut covered: Vec<DataInterval> = covered.to_vec();
    covered.sort_by_key(|interval| (interval.start, interval.end));
    let (mut at, mut holes) = (window.start, Vec::new());
    let hole = |from: Timestamp, to: Timestamp| Hole { from: from.to_string(), to: to.to_string() };
    for interval in covered.iter().filter(|interval| interval.end > window.start) {
        if interval.start >= window.end {
            break;
        }
        if interval.start > at {
            holes.push(hole(at, interval.start));
        }
        at = at.max(interval.end);
    }
    if at < window.end {
        holes.push(hole(at, window.end));
    }
    holes
}
