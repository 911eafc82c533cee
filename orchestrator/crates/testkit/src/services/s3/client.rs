//! A small client of S3 that signs its requests (AWS Signature Version 4): buckets, objects, conditions. Enough for
//! fixtures and for looking at what the code under test has written by another way than its own.

use anyhow::{Context as _, Result, bail};
use chrono::{DateTime, Utc};
use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256};

use super::{Address, REGION};
use crate::services::http::{self, Answer};

/// What must be so for a put to happen.
#[derive(Debug, Clone, Copy)]
pub enum Precondition<'a> {
    /// Nothing.
    None,
    /// There is no object of that key.
    Absent,
    /// The object has this e-tag.
    Tag(&'a str),
}

/// A client of one server. Keys hold what needs no escaping in a path: letters, digits, `-._~/`.
#[derive(Debug, Clone)]
pub struct Client {
    host: String,
    key_id: String,
    secret: String,
}

impl Client {
    pub(super) fn new(address: &Address) -> Self {
        Self {
            host: format!("127.0.0.1:{}", address.port),
            key_id: address.access_key_id.clone(),
            secret: address.secret_access_key.clone(),
        }
    }

    /// The same with another secret: what a stranger would send.
    #[must_use]
    pub fn with_secret(mut self, secret: &str) -> Self {
        secret.clone_into(&mut self.secret);
        self
    }

    /// Makes a bucket.
    ///
    /// # Errors
    /// The server refuses.
    pub fn create_bucket(&self, bucket: &str) -> Result<()> {
        self.call("PUT", bucket, "", &[], Vec::new())?.ok().map(drop)
    }

    /// Makes a bucket unless it is there.
    ///
    /// # Errors
    /// The server refuses.
    pub fn ensure_bucket(&self, bucket: &str) -> Result<()> {
        if self.call("HEAD", bucket, "", &[], Vec::new())?.status == 200 { Ok(()) } else { self.create_bucket(bucket) }
    }

    /// Deletes an empty bucket.
    ///
    /// # Errors
    /// The server refuses.
    pub fn delete_bucket(&self, bucket: &str) -> Result<()> {
        self.call("DELETE", bucket, "", &[], Vec::new())?.ok().map(drop)
    }

    /// Puts an object, and returns the status: 200, or 412 when the condition does not hold (409 in a race).
    ///
    /// # Errors
    /// Nobody answers.
    pub fn put(&self, bucket: &str, key: &str, body: &[u8], condition: Precondition<'_>) -> Result<Answer> {
        let headers = match condition {
            Precondition::None => vec![],
            Precondition::Absent => vec![("if-none-match", "*")],
            Precondition::Tag(tag) => vec![("if-match", tag)],
        };
        self.call("PUT", &format!("{bucket}/{key}"), "", &headers, body.to_vec())
    }

    /// An object; the status is 404 if there is none.
    ///
    /// # Errors
    /// Nobody answers.
    pub fn get(&self, bucket: &str, key: &str) -> Result<Answer> {
        self.call("GET", &format!("{bucket}/{key}"), "", &[], Vec::new())
    }

    /// Deletes an object; one that is not there is fine.
    ///
    /// # Errors
    /// The server refuses.
    pub fn delete(&self, bucket: &str, key: &str) -> Result<()> {
        self.call("DELETE", &format!("{bucket}/{key}"), "", &[], Vec::new())?.ok().map(drop)
    }

    /// The keys with a prefix, in order.
    ///
    /// # Errors
    /// The server refuses.
    pub fn list(&self, bucket: &str, prefix: &str) -> Result<Vec<String>> {
        let mut keys = Vec::new();
        let mut after = String::new();
        loop {
            // In the order of their names, as the signature wants it.
            let after_it = if after.is_empty() { String::new() } else { format!("&start-after={}", escape(&after)) };
            let query = format!("list-type=2&prefix={}{after_it}", escape(prefix));
            let page = self.call("GET", bucket, &query, &[], Vec::new())?.ok()?.text();
            let found: Vec<_> = elements(&page, "Key").map(unescape).collect();
            let last = found.last().cloned();
            keys.extend(found);
            match last {
                Some(last) if elements(&page, "IsTruncated").next() == Some("true") => after = last,
                Some(_) | None => return Ok(keys),
            }
        }
    }

    /// A signed request. `path` is without its first slash; `query` is escaped and in order.
    ///
    /// # Errors
    /// Nobody answers.
    pub fn call(
        &self,
        method: &str,
        path: &str,
        query: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Result<Answer> {
        if path.bytes().any(|byte| !(byte.is_ascii_alphanumeric() || b"-._~/=".contains(&byte))) {
            bail!("`{path}` would need escaping");
        }
        let path = path.replace('=', "%3D");
        let signed = self.sign(method, &path, query, &body, Utc::now());
        let mut all: Vec<(&str, &str)> = signed.iter().map(|(name, value)| (*name, value.as_str())).collect();
        all.extend_from_slice(headers);
        let query = if query.is_empty() { String::new() } else { format!("?{query}") };
        http::send(method, &format!("http://{}/{path}{query}", self.host), &all, body).context("S3")
    }

    fn sign(
        &self,
        method: &str,
        path: &str,
        query: &str,
        body: &[u8],
        at: DateTime<Utc>,
    ) -> [(&'static str, String); 3] {
        let hash = HEXLOWER.encode(&Sha256::digest(body));
        let (time, day) = (at.format("%Y%m%dT%H%M%SZ").to_string(), at.format("%Y%m%d").to_string());
        let names = "host;x-amz-content-sha256;x-amz-date";
        let canonical = format!(
            "{method}\n/{path}\n{query}\nhost:{}\nx-amz-content-sha256:{hash}\nx-amz-date:{time}\n\n{names}\n{hash}",
            self.host
        );
        let scope = format!("{day}/{REGION}/s3/aws4_request");
        let text = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{}", HEXLOWER.encode(&Sha256::digest(canonical)));
        let key = [day.as_str(), REGION, "s3", "aws4_request"]
            .iter()
            .fold(format!("AWS4{}", self.secret).into_bytes(), |key, part| hmac(&key, part.as_bytes()).to_vec());
        let signature = HEXLOWER.encode(&hmac(&key, text.as_bytes()));
        let credential = format!("{}/{scope}", self.key_id);
        [
            ("x-amz-content-sha256", hash),
            ("x-amz-date", time),
            (
                "authorization",
                format!("AWS4-HMAC-SHA256 Credential={credential},SignedHeaders={names},Signature={signature}"),
            ),
        ]
    }
}

/// HMAC-SHA-256 (RFC 2104).
fn hmac(key: &[u8], text: &[u8]) -> [u8; 32] {
    let mut block = [0u8; 64];
    if key.len() > block.len() {
        block[..32].copy_from_slice(&Sha256::digest(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let inner = Sha256::new().chain_update(block.map(|byte| byte ^ 0x36)).chain_update(text).finalize();
    Sha256::new().chain_update(block.map(|byte| byte ^ 0x5c)).chain_update(inner).finalize().into()
}

fn escape(text: &str) -> String {
    text.bytes()
        .map(|byte| {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        })
        .collect()
}

/// The texts of the elements of a name, as they stand in a listing.
fn elements<'a>(xml: &'a str, name: &str) -> impl Iterator<Item = &'a str> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let mut rest = xml;
    std::iter::from_fn(move || {
        let (_, after) = rest.split_once(&open)?;
        let (text, after) = after.split_once(&close)?;
        rest = after;
        Some(text)
    })
}

fn unescape(text: &str) -> String {
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&#34;", "\"").replace("&amp;", "&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hmac_is_the_one_of_rfc_4231() {
        let sum = HEXLOWER.encode(&hmac(b"Jefe", b"what do ya want for nothing?"));
        assert_eq!(sum, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
        let sum = HEXLOWER.encode(&hmac(&[0xaa; 131], b"Test Using Larger Than Block-Size Key - Hash Key First"));
        assert_eq!(sum, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
    }

    #[test]
    fn a_listing_is_read() {
        let xml =
            "<IsTruncated>false</IsTruncated><Contents><Key>a&amp;b</Key></Contents><Contents><Key>c</Key></Contents>";
        assert_eq!(elements(xml, "Key").map(unescape).collect::<Vec<_>>(), ["a&b", "c"]);
        assert_eq!(escape("a/b c"), "a%2Fb%20c");
    }

    #[test]
    fn keys_that_would_need_escaping_are_refused() {
        let client = Address { port: 1, access_key_id: "a".to_owned(), secret_access_key: "b".to_owned() }.client();
        assert!(client.get("bucket", "a b").unwrap_err().to_string().contains("escaping"));
    }
}
