//! Names that are the same in every run of one interval: batch ids, their form in object keys, dates of partitions.
//! Made of facts about the run, never of the clock, so that a repeated attempt writes over what the first one wrote.

use schemars::JsonSchema;
use serde::Deserialize;
use updraft_task::{Dataset, RunInfo, Timestamp};

/// Where a batch of rows goes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OutputPlace {
    /// Prefix in the lake, such as `derived/hourly_counts`; below it lies `dt={day of the interval's start}/{batch id}`.
    pub prefix: String,
    /// Batch that the rows belong to; workflow, interval and the last part of `prefix` if left out.
    #[serde(default)]
    pub batch_id: Option<String>,
}

impl OutputPlace {
    /// The batch's id, and its key in the lake without an ending.
    pub fn of(&self, run: &RunInfo) -> (String, String) {
        let prefix = self.prefix.trim_matches('/');
        let last = prefix.rsplit('/').next().unwrap_or(prefix);
        let batch = self.batch_id.clone().unwrap_or_else(|| batch_id(run, last));
        let key = format!("{prefix}/dt={}/{}", day(run.interval.start), slug(&batch));
        (batch, key)
    }
}

/// `{workflow}/{interval_start}/{interval_end}/{part}`; `part` is a region, a table, `global`, …
pub fn batch_id(run: &RunInfo, part: &str) -> String {
    format!("{}/{}/{}/{part}", run.workflow, compact(run.interval.start), compact(run.interval.end))
}

/// The batch of a task's `index`th dataset: its own, or one by its name or place among the task's inputs.
pub fn of_dataset(run: &RunInfo, index: usize, name: Option<&str>, dataset: &Dataset) -> String {
    let own = dataset.batch_id.clone();
    own.unwrap_or_else(|| batch_id(run, &name.map_or_else(|| index.to_string(), str::to_owned)))
}

/// `YYYYMMDDTHHMMSSZ`, with `.mmm` before the `Z` if the instant is not on a whole second.
pub fn compact(at: Timestamp) -> String {
    let form = if at.as_millis() % 1000 == 0 { "%Y%m%dT%H%M%SZ" } else { "%Y%m%dT%H%M%S%.3fZ" };
    at.to_datetime().format(form).to_string()
}

/// A batch id as it stands in object keys and file names.
pub fn slug(batch_id: &str) -> String {
    batch_id.replace('/', "_")
}

/// The day of an instant, as in `dt=YYYY-MM-DD`.
pub fn day(at: Timestamp) -> String {
    at.to_datetime().format("%Y-%m-%d").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_compact_and_keep_their_milliseconds() {
        for (millis, text) in [(1_767_225_600_000, "20260101T000000Z"), (1_767_225_600_120, "20260101T000000.120Z")] {
            assert_eq!(compact(Timestamp::from_millis(millis)), text);
        }
    }

    #[test]
    fn a_batch_id_depends_on_workflow_interval_and_part_alone() {
        let folder = tempfile::tempdir().unwrap();
        let mut run = updraft_task::testing::TestRun::new(folder.path()).info;
        let id = batch_id(&run, "europe");
        assert_eq!(id, "test/20260101T000000Z/20260101T000000Z/europe");
        assert_eq!(slug(&id), "test_20260101T000000Z_20260101T000000Z_europe");
        run.run_id = updraft_task::testing::TestRun::new(folder.path()).info.run_id;
        run.started_at = Timestamp::from_millis(5);
        assert_eq!(batch_id(&run, "europe"), id);
    }
}
