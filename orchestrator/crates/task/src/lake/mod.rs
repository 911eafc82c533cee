//! The lake: where the bytes of datasets lie. Local files or S3, by one connection called `lake`.
//!
//! What holds on every store: an object appears whole or not at all; of many conditional puts exactly one wins; large objects
//! go in parts. A key is **either an object or a folder**: after `a`, `a/b` is refused (`BadKey`) by local files and by some S3
//! services; others take both, so no layout of keys may need it.

mod connection;
mod fault;
#[cfg(test)]
mod tests;
mod transfer;

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::path::Path as Key;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutPayload};
use sha2::{Digest, Sha256};

use crate::{Dataset, TaskError, Timestamp};
pub use connection::LakeConnection;
use connection::Stores;
use fault::{fault, is_missing, read_fault};
pub use transfer::{PART_BYTES, UPLOADS};

/// Longest key in bytes, and longest part of one between its `/`: what S3 and file systems take.
const KEY_BYTES: usize = 1024;
const SEGMENT_BYTES: usize = 255;

/// What a conditional put found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// The object was written.
    Written,
    /// An object lay there already; nothing was written.
    Exists,
}

/// An object of the lake as a listing shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its key.
    pub key: String,
    /// Size in bytes.
    pub bytes: u64,
    /// When it was written.
    pub written_at: Timestamp,
}

/// A handle on the lake. Keys are relative, with `/`, at most 1,024 bytes long, and 255 between two `/`.
#[derive(Clone)]
pub struct Lake {
    store: Arc<dyn ObjectStore>,
    copier: Arc<dyn ObjectStore>,
    root: String,
}

/// A key that every store takes.
fn key(text: &str) -> Result<Key, TaskError> {
    let bad = |why: String| TaskError::fail("BadKey", format!("`{text}` is not a key of the lake: {why}"));
    let key = Key::parse(text).map_err(|error| bad(error.to_string()))?;
    if key.as_ref().len() > KEY_BYTES {
        return Err(bad(format!("it is longer than {KEY_BYTES} bytes")));
    }
    if key.as_ref().split('/').any(|segment| segment.len() > SEGMENT_BYTES) {
        return Err(bad(format!("a part of it is longer than {SEGMENT_BYTES} bytes")));
    }
    Ok(key)
}

/// A key that an object can have.
fn object_key(text: &str) -> Result<Key, TaskError> {
    let key = key(text)?;
    if key.as_ref().is_empty() {
        return Err(TaskError::fail("BadKey", "an object of the lake needs a key: it is empty"));
    }
    Ok(key)
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
        let Stores { store, copier, root } = connection.stores(project_dir, make)?;
        Ok(Self { store, copier, root })
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
    /// `fail` `NotFound`, `BadKey`, `LakeDenied`, or `BadConnection` (no such bucket); `retry` `Lake`.
    pub async fn get(&self, at: &str) -> Result<Bytes, TaskError> {
        let result = self.store.get(&object_key(at)?).await.map_err(|error| read_fault(at, &error))?;
        result.bytes().await.map_err(|error| read_fault(at, &error))
    }

    /// Reads an object, `None` if there is none.
    ///
    /// # Errors
    /// As [`Lake::get`], but for `NotFound`.
    pub async fn find(&self, at: &str) -> Result<Option<Bytes>, TaskError> {
        match self.store.get(&object_key(at)?).await {
            Ok(result) => result.bytes().await.map(Some).map_err(|error| read_fault(at, &error)),
            Err(error) if is_missing(&error) => Ok(None),
            Err(error) => Err(read_fault(at, &error)),
        }
    }

    /// Size of an object in bytes, `None` if there is none.
    ///
    /// # Errors
    /// As [`Lake::find`].
    pub async fn size(&self, at: &str) -> Result<Option<u64>, TaskError> {
        match self.store.head(&object_key(at)?).await {
            Ok(meta) => Ok(Some(meta.size)),
            Err(error) if is_missing(&error) => Ok(None),
            Err(error) => Err(read_fault(at, &error)),
        }
    }

    /// Writes an object whole, over what was there; one of more than [`PART_BYTES`] in parts. Readers see the old bytes or
    /// the new ones, never a part.
    ///
    /// # Errors
    /// As [`Lake::get`].
    pub async fn put(&self, at: &str, bytes: impl Into<Bytes>) -> Result<(), TaskError> {
        let (key, bytes) = (object_key(at)?, bytes.into());
        if bytes.len() > PART_BYTES {
            return self.upload(&key, transfer::pieces(bytes), None).await;
        }
        match self.store.put(&key, PutPayload::from(bytes)).await {
            Ok(_) => Ok(()),
            Err(error) => Err(fault("write", at, &error)),
        }
    }

    /// Writes an object if none lies there. Of many who do so at once one is told [`Put::Written`], the others
    /// [`Put::Exists`].
    ///
    /// # Errors
    /// As [`Lake::get`].
    pub async fn put_if_absent(&self, at: &str, bytes: impl Into<Bytes>) -> Result<Put, TaskError> {
        let (key, bytes) = (object_key(at)?, bytes.into());
        if bytes.len() > PART_BYTES {
            return self.create(&key, transfer::pieces(bytes), None).await;
        }
        let put = self.store.put_opts(&key, PutPayload::from(bytes), PutMode::Create.into()).await;
        self.created(at, put.map(drop)).await
    }

    /// What became of a conditional write. A store that answers "conflict" need not mean that an object is there.
    async fn created(&self, at: &str, written: object_store::Result<()>) -> Result<Put, TaskError> {
        match written {
            Ok(()) => Ok(Put::Written),
            Err(error @ (object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. })) => {
                match self.size(at).await? {
                    Some(_) => Ok(Put::Exists),
                    None if !self.list(at).await?.is_empty() => Err(fault::both(at)),
                    None => Err(fault("write", at, &error)),
                }
            }
            Err(error) => Err(fault("write", at, &error)),
        }
    }

    /// Keys below a prefix (whole path segments; an object of just this name is not below it) with their sizes in bytes,
    /// sorted.
    ///
    /// # Errors
    /// As [`Lake::get`].
    pub async fn list(&self, prefix: &str) -> Result<Vec<(String, u64)>, TaskError> {
        let listed = self.list_with_times(prefix).await?;
        Ok(listed.into_iter().map(|object| (object.key, object.bytes)).collect())
    }

    /// As [`Lake::list`], with the instants at which the objects were written.
    ///
    /// # Errors
    /// As [`Lake::get`].
    pub async fn list_with_times(&self, prefix: &str) -> Result<Vec<Listed>, TaskError> {
        let folder = key(prefix)?;
        let mut found: Vec<Listed> = self
            .store
            .list(Some(&folder))
            .try_filter(|meta| std::future::ready(meta.location != folder))
            .map_ok(|meta| Listed {
                key: meta.location.to_string(),
                bytes: meta.size,
                written_at: Timestamp::from_datetime(meta.last_modified),
            })
            .try_collect()
            .await
            .or_else(|error| if is_missing(&error) { Ok(Vec::new()) } else { Err(fault("list", prefix, &error)) })?;
        found.sort_by(|one, other| one.key.cmp(&other.key));
        Ok(found)
    }

    /// Deletes an object; one that is not there is fine.
    ///
    /// # Errors
    /// As [`Lake::get`].
    pub async fn delete(&self, at: &str) -> Result<(), TaskError> {
        match self.store.delete(&object_key(at)?).await {
            Ok(()) => Ok(()),
            Err(error) if is_missing(&error) => Ok(()),
            Err(error) => Err(fault("delete", at, &error)),
        }
    }

    /// Reads a dataset's bytes and checks them against its sum.
    ///
    /// # Errors
    /// As [`Lake::get`]; `fail` `CorruptDataset` if the sum differs.
    pub async fn read(&self, dataset: &Dataset) -> Result<Bytes, TaskError> {
        let bytes = self.get(&dataset.uri).await?;
        fault::check_sum(&dataset.uri, &sha256_hex(&bytes), &dataset.sha256)?;
        Ok(bytes)
    }
}

/// sha-256 of bytes, in hex.
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn hex(digest: &[u8]) -> String {
    use std::fmt::Write as _;
    digest.iter().fold(String::with_capacity(64), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
