//! The lake on S3: whether the service answers, takes the keys, and has the bucket.

use futures::StreamExt as _;
use object_store::aws::AmazonS3Builder;
use object_store::{ObjectStore as _, RetryConfig};
use updraft_task::LakeConnection;

use super::{Gravity, LIMIT, Problem};

pub(super) async fn look(connection: &LakeConnection) -> Option<Vec<Problem>> {
    let rest = connection.url.strip_prefix("s3://")?;
    let bucket = rest.split('/').next().unwrap_or_default();
    let place = connection.endpoint.as_deref().unwrap_or("Amazon S3");
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(bucket)
        .with_region(connection.region.as_deref().unwrap_or("us-east-1"))
        .with_allow_http(connection.allow_http)
        // A look is over at once, whatever the answer.
        .with_retry(RetryConfig { max_retries: 0, retry_timeout: LIMIT, ..RetryConfig::default() });
    if let Some(endpoint) = &connection.endpoint {
        builder = builder.with_endpoint(endpoint);
    }
    if let (Some(id), Some(secret)) = (&connection.access_key_id, &connection.secret_access_key) {
        builder = builder.with_access_key_id(id).with_secret_access_key(secret.expose());
    }
    let store = match builder.build() {
        Ok(store) => store,
        Err(error) => {
            let remedy = "correct the fields of the connection";
            return Some(vec![Problem::new("bad_connection", Gravity::Error, error.to_string(), remedy)]);
        }
    };
    let mut listing = store.list(None);
    let said = match tokio::time::timeout(LIMIT, listing.next()).await {
        Ok(Some(Err(error))) => error.to_string(),
        Ok(None | Some(Ok(_))) => return Some(Vec::new()),
        Err(_) => format!("no answer within {} s", LIMIT.as_secs()),
    };
    Some(vec![judge(&said, bucket, place)])
}

fn judge(said: &str, bucket: &str, place: &str) -> Problem {
    let says = |texts: &[&str]| texts.iter().any(|text| said.contains(text));
    if says(&["NoSuchBucket", "404"]) {
        Problem::new(
            "bucket_missing",
            Gravity::Error,
            format!("the S3 service at {place} has no bucket {bucket}"),
            "make it: docker compose run --rm minio-bucket, cargo xtask services up s3, or the service's own console",
        )
    } else if says(&["InvalidAccessKeyId", "SignatureDoesNotMatch", "AccessDenied", "403"]) {
        Problem::new(
            "s3_credentials",
            Gravity::Error,
            format!("the S3 service at {place} refuses the keys for the bucket {bucket}"),
            "set `access_key_id` and `secret_access_key` of the lake, such as by UPDRAFT_CONN_LAKE__SECRET_ACCESS_KEY; in containers they \
             are MINIO_ROOT_USER and MINIO_ROOT_PASSWORD of .env",
        )
    } else {
        Problem::new(
            "s3_unreachable",
            Gravity::Unreachable,
            format!("the S3 service at {place} does not answer: {}", said.lines().next().unwrap_or_default()),
            "start it (make up, or cargo xtask services up s3) and look into its log (make logs SERVICE=minio)",
        )
    }
}
