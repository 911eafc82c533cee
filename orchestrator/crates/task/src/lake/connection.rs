//! Where the lake lies, as a profile writes it, and the store behind it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, Checksum, S3CopyIfNotExists};
use object_store::local::LocalFileSystem;
use object_store::prefix::PrefixStore;
use object_store::{ObjectStore, RetryConfig};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::TaskError;
use crate::connection::{ConnectionKind, Secret};

/// The store's own retries of a call; what takes longer is the matter of the task's `retry:`.
const S3_RETRIES: usize = 4;
const S3_RETRY_TIME: Duration = Duration::from_secs(30);

/// Where the lake lies.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LakeConnection {
    /// A folder (relative to the project), or `s3://bucket/prefix`.
    pub url: String,
    /// Address of an S3 service that is not Amazon's.
    #[serde(default)]
    pub endpoint: Option<String>,
    /// Region of the bucket.
    #[serde(default)]
    pub region: Option<String>,
    /// Key id.
    #[serde(default)]
    pub access_key_id: Option<String>,
    /// Secret key.
    #[serde(default)]
    pub secret_access_key: Option<Secret>,
    /// Allows an endpoint without TLS.
    #[serde(default)]
    pub allow_http: bool,
}

impl ConnectionKind for LakeConnection {
    const KIND: &'static str = "lake";
    const SUMMARY: &'static str = "where datasets lie: a folder or an S3 bucket";
}

/// What a connection opens.
pub(super) struct Stores {
    pub(super) store: Arc<dyn ObjectStore>,
    /// The same place, for copies inside it. On S3 it names no checksum: that of an object in parts is one over its parts,
    /// which is refused where the copy's only part should have it.
    pub(super) copier: Arc<dyn ObjectStore>,
    /// For people: an absolute folder or an `s3://` address.
    pub(super) root: String,
}

impl LakeConnection {
    /// Opens what the address names; a folder is made if `make` says so.
    pub(super) fn stores(&self, project_dir: &Path, make: bool) -> Result<Stores, TaskError> {
        if let Some(rest) = self.url.strip_prefix("s3://") {
            return self.s3(rest);
        }
        if let Some((scheme, _)) = self.url.split_once("://")
            && scheme != "file"
        {
            return Err(self.bad(format!("`{scheme}://` is not supported: use a folder or `s3://bucket/prefix`")));
        }
        let folder = project_dir.join(self.url.strip_prefix("file://").unwrap_or(&self.url));
        if make {
            std::fs::create_dir_all(&folder).map_err(|error| self.bad(format!("cannot make the folder: {error}")))?;
        }
        let folder = folder.canonicalize().map_err(|error| self.bad(error.to_string()))?;
        let store =
            LocalFileSystem::new_with_prefix(&folder).map_err(|error| self.bad(error.to_string()))?.with_fsync(true);
        let store: Arc<dyn ObjectStore> = Arc::new(store);
        Ok(Stores { copier: Arc::clone(&store), store, root: folder.display().to_string() })
    }

    fn bad(&self, detail: impl AsRef<str>) -> TaskError {
        TaskError::fail("BadConnection", format!("the lake `{}`: {}", self.url, detail.as_ref()))
    }

    fn s3(&self, rest: &str) -> Result<Stores, TaskError> {
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if bucket.is_empty() {
            return Err(self.bad("it names no bucket: write `s3://bucket/prefix`"));
        }
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(bucket)
            .with_region(self.region.as_deref().unwrap_or("us-east-1"))
            .with_allow_http(self.allow_http)
            // By header some services overwrite without a word; through a multipart upload none does.
            .with_copy_if_not_exists(S3CopyIfNotExists::Multipart)
            .with_retry(RetryConfig {
                max_retries: S3_RETRIES,
                retry_timeout: S3_RETRY_TIME,
                ..RetryConfig::default()
            });
        if let Some(endpoint) = &self.endpoint {
            if endpoint.starts_with("http://") && !self.allow_http {
                return Err(
                    self.bad(format!("`endpoint: {endpoint}` has no TLS: use https, or set `allow_http: true`"))
                );
            }
            builder = builder.with_endpoint(endpoint);
        }
        match (&self.access_key_id, &self.secret_access_key) {
            (Some(id), Some(secret)) => {
                builder = builder.with_access_key_id(id).with_secret_access_key(secret.expose());
            }
            // The machine's own role.
            (None, None) => {}
            (Some(_), None) => return Err(self.bad("`access_key_id` is set, but `secret_access_key` is not")),
            (None, Some(_)) => return Err(self.bad("`secret_access_key` is set, but `access_key_id` is not")),
        }
        let prefix = prefix.trim_matches('/');
        let open = |builder: AmazonS3Builder| -> Result<Arc<dyn ObjectStore>, TaskError> {
            let store = builder.build().map_err(|error| self.bad(error.to_string()))?;
            Ok(Arc::new(PrefixStore::new(store, prefix)))
        };
        Ok(Stores {
            copier: open(builder.clone())?,
            // The service compares what came with what was sent, and keeps the sum.
            store: open(builder.with_checksum_algorithm(Checksum::SHA256))?,
            root: self.url.trim_end_matches('/').to_owned(),
        })
    }
}
