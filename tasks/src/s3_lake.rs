//! Runs of tests whose lake is on S3.

use serde_json::{Value, json};
use updraft_task::testing::TestRun;
use updraft_testkit::services::s3::{self, Bucket};

/// The fields of a connection to a bucket.
pub(crate) fn fields(bucket: &Bucket) -> Value {
    let address = bucket.address();
    json!({
        "kind": "lake", "url": format!("s3://{}", bucket.name()), "endpoint": address.endpoint(), "region": s3::REGION,
        "access_key_id": address.access_key_id, "secret_access_key": address.secret_access_key, "allow_http": true,
    })
}

/// Moves a run's lake into a bucket that is deleted with the value; `None`, after a loud skip, if there is no S3.
pub(crate) fn move_lake(run: &TestRun) -> Option<Bucket> {
    let bucket = s3::fresh_bucket().unwrap()?;
    run.connect("lake", fields(&bucket));
    Some(bucket)
}
