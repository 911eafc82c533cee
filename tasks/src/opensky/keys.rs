//! Batch ids and keys of the lake: made from data and facts of the run, never from the clock of a retry.

use updraft_task::Timestamp;

pub use crate::batch::{batch_id, compact, slug};

/// Region of the one global call.
pub const GLOBAL: &str = "global";
/// Region of rows without a position.
pub const UNLOCATED: &str = "unlocated";
/// Names that no region may have.
pub const RESERVED: [&str; 2] = [GLOBAL, UNLOCATED];

/// Folder of what is known of the raw answers.
pub(crate) const RAW_MANIFESTS: &str = "raw-data/flights/manifest";
/// Folder of the raw answers.
pub(crate) const RAW_ANSWERS: &str = "raw-data/flights/states/v1";

/// The instant of an answer's `time`, Unix seconds.
pub fn instant(seconds: i64) -> Timestamp {
    Timestamp::from_millis(seconds.saturating_mul(1000))
}

/// Folder of an hour.
pub fn hour(at: Timestamp) -> String {
    at.to_datetime().format("dt=%Y-%m-%d/hour=%H").to_string()
}

/// Folder of an hour's raw answers.
pub fn raw_hour(scope: &str, time: Timestamp) -> String {
    format!("{RAW_ANSWERS}/scope={scope}/{}", hour(time))
}

/// Where the keys of the raw answers of an instant begin.
pub fn raw_at(scope: &str, time: Timestamp) -> String {
    format!("{}/states_{}_", raw_hour(scope, time), compact(time))
}

/// The raw answer of a call.
pub fn raw(scope: &str, time: Timestamp, sha256: &str) -> String {
    format!("{}{}.json.gz", raw_at(scope, time), &sha256[..8])
}

/// What is known of a batch's raw answer.
pub fn manifest(batch_id: &str) -> String {
    format!("{RAW_MANIFESTS}/{}.json", slug(batch_id))
}

/// The validated rows of a batch.
#[cfg(feature = "sql")]
pub fn validated(batch_id: &str, time: Timestamp) -> String {
    format!("processed-data/states/v1/{}/part-{}.parquet", hour(time), slug(batch_id))
}

/// The rows of a batch that were refused for one reason.
#[cfg(feature = "sql")]
pub fn quarantine(batch_id: &str, time: Timestamp, reason: &str) -> String {
    let day = time.to_datetime().format("dt=%Y-%m-%d");
    format!("processed-data/quarantine/states/v1/{day}/reason={reason}/{}.json.gz", slug(batch_id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_from_the_data() {
        let time = Timestamp::parse("2025-12-02T09:34:39Z").unwrap();
        assert_eq!(
            raw(GLOBAL, time, "0123456789abcdef"),
            "raw-data/flights/states/v1/scope=global/dt=2025-12-02/hour=09/states_20251202T093439Z_01234567.json.gz"
        );
        assert_eq!(compact(Timestamp::from_millis(time.as_millis() + 7)), "20251202T093439.007Z");
        assert_eq!(manifest("w/a/b/europe"), "raw-data/flights/manifest/w_a_b_europe.json");
    }
}
