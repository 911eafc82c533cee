//! The lake: where the bytes of datasets lie. Local files or S3, by one connection called `lake`.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::aws::AmazonS3Builder;
use object_store::local::LocalFileSystem;
use object_store::path::Path as Key;
use object_store::prefix::PrefixStore;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutPayload};
use schemars::JsonSchema;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::connection::{ConnectionKind, Secret};
use crate::{Dataset, TaskError};

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

/// What a conditional put found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// The object was written.
    Written,
    /// An object lay there already; nothing was written.
    Exists,
}

/// A handle on the lake. Keys are relative, with `/`.
#[derive(Clone)]
pub struct Lake {
    store: Arc<dyn ObjectStore>,
    root: String,
}

fn key(key: &str) -> Result<Key, TaskError> {
    Key::parse(key).map_err(|error| TaskError::fail("BadKey", format!("`{key}` is not a key of the lake: {error}")))
}

fn fault(doing: &str, key: &str, error: &object_store::Error) -> TaskError {
    let text = format!("cannot {doing} `{key}` in the lake: {error}");
    match error {
        object_store::Error::NotFound { .. } => TaskError::fail("NotFound", text),
        object_store::Error::PermissionDenied { .. } | object_store::Error::Unauthenticated { .. } => {
            TaskError::fail("LakeDenied", text)
        }
        _ => TaskError::retry("Lake", text),
    }
}

impl Lake {
    /// Opens the lake of a connection; a local folder is made if it is not there.
    ///
    /// # Errors
    /// `fail`, class `BadConnection`.
    pub fn open(connection: &LakeConnection, project_dir: &Path) -> Result<Self, TaskError> {
        Self::reach(connection, project_dir, true)
    }

    /// Opens the lake of a connection for somebody who only reads.
    ///
    /// # Errors
    /// `fail`, class `BadConnection`; also if a local folder is not there.
    pub fn existing(connection: &LakeConnection, project_dir: &Path) -> Result<Self, TaskError> {
        Self::reach(connection, project_dir, false)
    }

    fn reach(connection: &LakeConnection, project_dir: &Path, make: bool) -> Result<Self, TaskError> {
        let bad = |detail: String| TaskError::fail("BadConnection", format!("the lake `{}`: {detail}", connection.url));
        if let Some(rest) = connection.url.strip_prefix("s3://") {
            let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
            let mut builder = AmazonS3Builder::new()
                .with_bucket_name(bucket)
                .with_region(connection.region.as_deref().unwrap_or("us-east-1"))
                .with_allow_http(connection.allow_http);
            if let Some(endpoint) = &connection.endpoint {
                builder = builder.with_endpoint(endpoint);
            }
            if let (Some(id), Some(secret)) = (&connection.access_key_id, &connection.secret_access_key) {
                builder = builder.with_access_key_id(id).with_secret_access_key(secret.expose());
            }
            let store = builder.build().map_err(|error| bad(error.to_string()))?;
            return Ok(Self {
                store: Arc::new(PrefixStore::new(store, prefix.trim_matches('/'))),
                root: connection.url.trim_end_matches('/').to_owned(),
            });
        }
        if let Some((scheme, _)) = connection.url.split_once("://")
            && scheme != "file"
        {
            return Err(bad(format!("`{scheme}://` is not supported: use a folder or `s3://bucket/prefix`")));
        }
        let folder = project_dir.join(connection.url.strip_prefix("file://").unwrap_or(&connection.url));
        if make {
            std::fs::create_dir_all(&folder).map_err(|error| bad(format!("cannot make the folder: {error}")))?;
        }
        let folder = folder.canonicalize().map_err(|error| bad(error.to_string()))?;
        let store = LocalFileSystem::new_with_prefix(&folder).map_err(|error| bad(error.to_string()))?.with_fsync(true);
        Ok(Self { store: Arc::new(store), root: folder.display().to_string() })
    }

    /// Where it lies: an absolute folder or an `s3://` address. For people and for child processes.
    pub fn root(&self) -> &str {
        &self.root
    }

    /// Whether an object lies in the lake itself: a link in a local lake may lead out of its folder.
    pub fn holds(&self, at: &Key) -> bool {
        if self.root.contains("://") {
            return true;
        }
        // What cannot be followed is found missing by whoever reads it.
        let place = Path::new(&self.root).join(at.as_ref()).canonicalize();
        place.is_ok_and(|place| place.starts_with(&self.root))
    }

    /// The store itself, for code that speaks `object_store`.
    pub fn store(&self) -> &Arc<dyn ObjectStore> {
        &self.store
    }

    /// Reads an object.
    ///
    /// # Errors
    /// `fail` `NotFound` or `LakeDenied`; `retry` `Lake`.
    pub async fn get(&self, at: &str) -> Result<Bytes, TaskError> {
        let result = self.store.get(&key(at)?).await.map_err(|error| fault("read", at, &error))?;
        result.bytes().await.map_err(|error| fault("read", at, &error))
    }

    /// Reads an object, `None` if there is none.
    ///
    /// # Errors
    /// As [`Lake::get`], but for `NotFound`.
    pub async fn find(&self, at: &str) -> Result<Option<Bytes>, TaskError> {
        match self.store.get(&key(at)?).await {
            Ok(result) => result.bytes().await.map(Some).map_err(|error| fault("read", at, &error)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(fault("read", at, &error)),
        }
    }

    /// Writes an object whole, over what was there. Readers see the old bytes or the new ones, never a part.
    ///
    /// # Errors
    /// As [`Lake::get`].
    pub async fn put(&self, at: &str, bytes: impl Into<Bytes>) -> Result<(), TaskError> {
        let payload = PutPayload::from(bytes.into());
        self.store.put(&key(at)?, payload).await.map_err(|error| fault("write", at, &error))?;
        Ok(())
    }

    /// Writes an object if none lies there.
    ///
    /// # Errors
    /// As [`Lake::get`].
    pub async fn put_if_absent(&self, at: &str, bytes: impl Into<Bytes>) -> Result<Put, TaskError> {
        let payload = PutPayload::from(bytes.into());
        match self.store.put_opts(&key(at)?, payload, PutMode::Create.into()).await {
            Ok(_) => Ok(Put::Written),
            Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => {
                Ok(Put::Exists)
            }
            Err(error) => Err(fault("write", at, &error)),
        }
    }

    /// Keys under a prefix (whole path segments) with their sizes in bytes, sorted.
    ///
    /// # Errors
    /// As [`Lake::get`].
    pub async fn list(&self, prefix: &str) -> Result<Vec<(String, u64)>, TaskError> {
        let prefix_key = key(prefix)?;
        let mut found: Vec<(String, u64)> = self
            .store
            .list(Some(&prefix_key))
            .map_ok(|meta| (meta.location.to_string(), meta.size))
            .try_collect()
            .await
            .map_err(|error| fault("list", prefix, &error))?;
        found.sort();
        Ok(found)
    }

    /// Deletes an object; one that is not there is fine.
    ///
    /// # Errors
    /// As [`Lake::get`].
    pub async fn delete(&self, at: &str) -> Result<(), TaskError> {
        match self.store.delete(&key(at)?).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(fault("delete", at, &error)),
        }
    }

    /// Reads a dataset's bytes and checks them against its sum.
    ///
    /// # Errors
    /// As [`Lake::get`]; `fail` `CorruptDataset` if the sum differs.
    pub async fn read(&self, dataset: &Dataset) -> Result<Bytes, TaskError> {
        let bytes = self.get(&dataset.uri).await?;
        let found = sha256_hex(&bytes);
        if found != dataset.sha256 {
            return Err(TaskError::fail(
                "CorruptDataset",
                format!(
                    "`{}` has sha-256 {found}, but {} was written: it was changed after its task ended",
                    dataset.uri, dataset.sha256
                ),
            ));
        }
        Ok(bytes)
    }
}

/// sha-256 of bytes, in hex.
pub fn sha256_hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    Sha256::digest(bytes).iter().fold(String::with_capacity(64), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
