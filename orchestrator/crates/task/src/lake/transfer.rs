//! Bytes that do not stand in memory at once: from the lake to a file, from one lake to another, in parts.

use std::path::Path;

use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};
use object_store::path::Path as Key;
use object_store::{CopyMode, CopyOptions, ObjectStore, ObjectStoreExt, WriteMultipart};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use uuid::Uuid;

use super::fault::{check_sum, fault, read_fault};
use super::{Lake, Put, hex, object_key};
use crate::{Dataset, TaskError};

/// Size of a part, in bytes. Whatever is larger goes in parts, four of them on the way at once.
pub const PART_BYTES: usize = 16 << 20;
const PARTS_AT_ONCE: usize = 4;
/// Of a file this much is read at once.
const FILE_PIECE_BYTES: usize = 1 << 20;

/// Folder of objects that are being written and have no key yet. What lies here for long was left by a crash.
pub const UPLOADS: &str = "_uploads";

/// Bytes as they come.
type Pieces = BoxStream<'static, Result<Bytes, TaskError>>;

/// Bytes in memory, cut.
pub(super) fn pieces(mut bytes: Bytes) -> Pieces {
    let cut = std::iter::from_fn(move || (!bytes.is_empty()).then(|| Ok(bytes.split_to(PART_BYTES.min(bytes.len())))));
    stream::iter(cut).boxed()
}

/// A file's bytes.
async fn file_pieces(file: &Path) -> Result<Pieces, TaskError> {
    let name = file.display().to_string();
    let unread =
        move |error: std::io::Error| TaskError::retry("Lake", format!("cannot read {name} to keep its bytes: {error}"));
    let opened = tokio::fs::File::open(file).await.map_err(&unread)?;
    let rest = stream::try_unfold((opened, unread), |(mut opened, unread)| async move {
        let mut piece = Vec::with_capacity(FILE_PIECE_BYTES);
        let read = (&mut opened).take(FILE_PIECE_BYTES as u64).read_to_end(&mut piece).await.map_err(&unread)?;
        Ok((read > 0).then(|| (Bytes::from(piece), (opened, unread))))
    });
    Ok(rest.boxed())
}

impl Lake {
    /// Copies a dataset's bytes out of another lake to a key of this one, if no object lies there. They are checked against
    /// the dataset's sum before the object appears. Memory does not grow with the dataset. On S3 an object has at most 5 GiB.
    ///
    /// # Errors
    /// As [`Lake::get`]; `fail` `CorruptDataset` if the sum differs.
    pub async fn copy_from(&self, source: &Self, dataset: &Dataset, at: &str) -> Result<Put, TaskError> {
        if dataset.bytes <= PART_BYTES as u64 {
            return self.put_if_absent(at, source.read(dataset).await?).await;
        }
        self.create(&object_key(at)?, source.stream(&dataset.uri).await?, Some((&dataset.uri, &dataset.sha256))).await
    }

    /// Copies a dataset's bytes to a file, and checks them against its sum.
    ///
    /// # Errors
    /// As [`Lake::get`]; `fail` `CorruptDataset` if the sum differs; `retry` `Lake` if the file cannot be written.
    pub async fn download(&self, dataset: &Dataset, file: &Path) -> Result<(), TaskError> {
        let unwritten = |error: std::io::Error| {
            TaskError::retry("Lake", format!("cannot keep a copy of `{}` in {}: {error}", dataset.uri, file.display()))
        };
        let mut out = tokio::fs::File::create(file).await.map_err(unwritten)?;
        let mut pieces = self.stream(&dataset.uri).await?;
        let mut sum = Sha256::new();
        while let Some(piece) = pieces.try_next().await? {
            sum.update(&piece);
            out.write_all(&piece).await.map_err(unwritten)?;
        }
        out.flush().await.map_err(unwritten)?;
        check_sum(&dataset.uri, &hex(&sum.finalize()), &dataset.sha256)
    }

    /// Writes a file's bytes as an object, over what was there; answers their number and their sha-256 in hex. Memory does
    /// not grow with the file. Readers see the old bytes or the new ones, never a part.
    ///
    /// # Errors
    /// As [`Lake::put`]; `retry` `Lake` if the file cannot be read.
    pub async fn put_file(&self, at: &str, file: &Path) -> Result<(u64, String), TaskError> {
        let key = object_key(at)?;
        let (mut bytes, mut sum) = (0, Sha256::new());
        let mut pieces = file_pieces(file).await?;
        while let Some(piece) = pieces.try_next().await? {
            bytes += piece.len() as u64;
            sum.update(&piece);
        }
        let sum = hex(&sum.finalize());
        if bytes > PART_BYTES as u64 {
            self.upload(&key, file_pieces(file).await?, Some((at, &sum))).await?;
        } else {
            let whole: Vec<Bytes> = file_pieces(file).await?.try_collect().await?;
            self.put(at, whole.concat()).await?;
        }
        Ok((bytes, sum))
    }

    /// sha-256 of an object's bytes, in hex. Memory does not grow with the object.
    ///
    /// # Errors
    /// As [`Lake::get`].
    pub async fn sum(&self, at: &str) -> Result<String, TaskError> {
        let mut pieces = self.stream(at).await?;
        let mut sum = Sha256::new();
        while let Some(piece) = pieces.try_next().await? {
            sum.update(&piece);
        }
        Ok(hex(&sum.finalize()))
    }

    async fn stream(&self, at: &str) -> Result<Pieces, TaskError> {
        let result = self.store.get(&object_key(at)?).await.map_err(|error| read_fault(at, &error))?;
        let at = at.to_owned();
        Ok(result.into_stream().map_err(move |error| read_fault(&at, &error)).boxed())
    }

    /// Writes an object in parts, over what was there. It appears when the last part is there and the sum is right.
    pub(super) async fn upload(
        &self,
        key: &Key,
        mut pieces: Pieces,
        expected: Option<(&str, &str)>,
    ) -> Result<(), TaskError> {
        let failed = |error: object_store::Error| fault("write", key.as_ref(), &error);
        let mut parts =
            WriteMultipart::new_with_chunk_size(self.store.put_multipart(key).await.map_err(failed)?, PART_BYTES);
        let mut sum = Sha256::new();
        let sent = async {
            while let Some(piece) = pieces.try_next().await? {
                sum.update(&piece);
                parts.wait_for_capacity(PARTS_AT_ONCE).await.map_err(failed)?;
                parts.put(piece);
            }
            let Some((uri, expected)) = expected else { return Ok(()) };
            check_sum(uri, &hex(&sum.finalize()), expected)
        };
        if let Err(error) = sent.await {
            // The first error is the one to tell; parts that stay are cleared by the bucket's own rule.
            let _ = parts.abort().await;
            return Err(error);
        }
        parts.finish().await.map_err(failed)?;
        Ok(())
    }

    /// Writes an object in parts if none lies there: under a name of its own first, since the end of an upload has no
    /// condition that all stores know, then by a copy that has one.
    pub(super) async fn create(
        &self,
        key: &Key,
        pieces: Pieces,
        expected: Option<(&str, &str)>,
    ) -> Result<Put, TaskError> {
        if self.size(key.as_ref()).await?.is_some() {
            return Ok(Put::Exists);
        }
        let aside = Key::from(format!("{UPLOADS}/{}", Uuid::new_v4().simple()));
        self.upload(&aside, pieces, expected).await?;
        let copied = self.copier.copy_opts(&aside, key, CopyOptions::new().with_mode(CopyMode::Create)).await;
        let put = self.created(key.as_ref(), copied).await;
        let cleared = self.delete(aside.as_ref()).await;
        let put = put?;
        cleared?;
        Ok(put)
    }
}
