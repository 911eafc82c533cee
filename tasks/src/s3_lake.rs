//! Runs of tests whose lake is on S3.

use serde_json::json;
use updraft_task::testing::TestRun;
use updraft_testkit::services::s3::{self, Bucket};

/// Makes a bucket a run's lake.
pub(crate) fn connect(run: &TestRun, bucket: &Bucket) {
    let mut fields = bucket.lake_fields("");
    fields["kind"] = json!("lake");
    run.connect("lake", fields);
}

/// Moves a run's lake into a bucket that is deleted with the value; `None`, after a loud skip, if there is no S3.
pub(crate) fn move_lake(run: &TestRun) -> Option<Bucket> {
    let bucket = s3::fresh_bucket().unwrap()?;
    connect(run, &bucket);
    Some(bucket)
}

/// A bucket on each S3 server that can be had: versitygw and MinIO.
pub(crate) fn buckets() -> Vec<Bucket> {
    [s3::server(), s3::minio()]
        .into_iter()
        .filter_map(|server| Some(server.unwrap()?.fresh_bucket().unwrap()))
        .collect()
}
