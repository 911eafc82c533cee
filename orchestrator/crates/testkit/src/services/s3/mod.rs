//! S3: versitygw as a rule (small, ready in a fifth of a second), MinIO where its behaviour is wanted (a key that is both
//! file and folder; the server that the stack's compose file names).
//!
//! Both get credentials of their own at each start, so that a test that forgets to pass them fails.

mod client;
mod servers;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

pub use client::{Client, Precondition};
pub use servers::{Minio, Versitygw};

use super::{Own, http, missing::unless_missing, ports, shared, unique};
use crate::skip;

/// Region that both servers accept.
pub const REGION: &str = "us-east-1";

/// Where an S3 server answers, and with which keys.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Address {
    /// Port on loopback.
    pub port: u16,
    /// Key id.
    pub access_key_id: String,
    /// Secret key.
    pub secret_access_key: String,
}

impl Address {
    fn new() -> Result<Self> {
        Ok(Self {
            port: ports::free()?,
            access_key_id: "updraft".to_owned(),
            secret_access_key: Uuid::new_v4().simple().to_string(),
        })
    }

    /// `http://127.0.0.1:PORT`. Buckets are in the path (no virtual hosts).
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// A client.
    pub fn client(&self) -> Client {
        Client::new(self)
    }

    /// Makes a bucket with a name of its own, deleted with the value.
    ///
    /// # Errors
    /// The server refuses.
    pub fn fresh_bucket(&self) -> Result<Bucket> {
        let name = unique();
        self.client().create_bucket(&name)?;
        Ok(Bucket { name, client: self.client(), address: self.clone() })
    }

    fn is_ready(&self, path: &str) -> Result<()> {
        http::get(&format!("{}{path}", self.endpoint()))?.ok()?;
        Ok(())
    }
}

/// A bucket that is deleted, with everything in it, with this value.
#[derive(Debug)]
pub struct Bucket {
    name: String,
    client: Client,
    address: Address,
}

impl Bucket {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The server that it is on.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// A client of the server.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Fields of a connection of kind `lake` to the bucket; `prefix` is empty or begins with `/`.
    pub fn lake_fields(&self, prefix: &str) -> Value {
        json!({
            "url": format!("s3://{}{prefix}", self.name), "endpoint": self.address.endpoint(), "region": REGION,
            "access_key_id": self.address.access_key_id, "secret_access_key": self.address.secret_access_key,
            "allow_http": true,
        })
    }
}

impl Drop for Bucket {
    fn drop(&mut self) {
        let emptied = self.client.list(&self.name, "").and_then(|keys| {
            keys.iter().try_for_each(|key| self.client.delete(&self.name, key))?;
            self.client.delete_bucket(&self.name)
        });
        if let Err(error) = emptied {
            skip::warn(&format!("the bucket {} is left behind: {error:#}", self.name));
        }
    }
}

/// The shared versitygw; `None`, after a loud skip, if it cannot be had.
///
/// # Errors
/// It can, and does not start.
pub fn server() -> Result<Option<Address>> {
    unless_missing(join())
}

pub(super) fn join() -> Result<Address> {
    shared::join(None, Versitygw::find)
}

/// The shared MinIO; `None`, after a loud skip, if it cannot be had.
///
/// # Errors
/// It can, and does not start.
pub fn minio() -> Result<Option<Address>> {
    unless_missing(join_minio())
}

pub(super) fn join_minio() -> Result<Address> {
    shared::join(None, Minio::find)
}

/// A bucket on the shared versitygw; `None`, after a loud skip, if that cannot be had.
///
/// # Errors
/// It can, and does not work.
pub fn fresh_bucket() -> Result<Option<Bucket>> {
    server()?.map(|server| server.fresh_bucket().context("cannot make a bucket")).transpose()
}

/// A versitygw of this test alone; `None`, after a loud skip, if it cannot be had.
///
/// # Errors
/// It can, and does not start.
pub fn own_server() -> Result<Option<Own<Versitygw>>> {
    unless_missing(Versitygw::find().and_then(Own::start))
}

/// A MinIO of this test alone; `None`, after a loud skip, if it cannot be had.
///
/// # Errors
/// It can, and does not start.
pub fn own_minio() -> Result<Option<Own<Minio>>> {
    unless_missing(Minio::find().and_then(Own::start))
}
