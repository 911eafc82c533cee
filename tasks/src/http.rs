//! What every HTTP client of the tasks shares: how it names itself, how its faults read, how much of a body it takes.

use std::error::Error as _;
use std::path::Path;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::header::{HeaderMap, RETRY_AFTER};
use tokio::io::AsyncWriteExt as _;
use updraft_task::{TaskError, Timestamp};

/// How the tasks name themselves.
pub(crate) const USER_AGENT: &str = concat!("updraft/", env!("CARGO_PKG_VERSION"));
/// As much of a refusal's body is read for its message.
const EXCERPT_BYTES: usize = 4 * 1024;

/// A fault on the way: `Timeout` or `Network`, both worth another try; `Certificate` is not, and a request that cannot even be made is
/// `BadParameters`.
pub(crate) fn transport(what: &str, error: &reqwest::Error) -> TaskError {
    let text = format!("{what}: {}", chain(error));
    if error.is_builder() {
        TaskError::fail("BadParameters", text)
    } else if is_certificate_fault(error) {
        TaskError::fail("Certificate", text)
    } else if error.is_timeout() {
        TaskError::retry("Timeout", text)
    } else {
        TaskError::retry("Network", text)
    }
}

/// Whether the cause is a certificate that is not trusted, expired, or another host's.
pub(crate) fn is_certificate_fault(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if matches!(error.downcast_ref::<rustls::Error>(), Some(rustls::Error::InvalidCertificate(_))) {
            return true;
        }
        // What an I/O error holds is not its source: that is the source of what it holds.
        let held = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        next = held.map_or_else(|| error.source(), |held| Some(held as &(dyn std::error::Error + 'static)));
    }
    false
}

/// An error with its causes: reqwest's own text stops at "error sending request".
pub(crate) fn chain(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// A body of at most `limit` bytes.
pub(crate) async fn body(response: reqwest::Response, limit: usize, what: &str) -> Result<Bytes, TaskError> {
    let (bytes, whole) = up_to(response, limit).await.map_err(|error| transport(what, &error.without_url()))?;
    if whole {
        return Ok(bytes);
    }
    Err(too_large(what, limit as u64))
}

/// Writes a body of at most `limit` bytes to a file that is there when this is done.
pub(crate) async fn body_to_file(
    mut response: reqwest::Response,
    limit: u64,
    file: &Path,
    what: &str,
) -> Result<(), TaskError> {
    let scratch = |error: std::io::Error| TaskError::retry("Scratch", format!("{what}: {}: {error}", file.display()));
    let mut written = tokio::fs::File::create(file).await.map_err(scratch)?;
    let mut size = 0;
    while let Some(chunk) = response.chunk().await.map_err(|error| transport(what, &error.without_url()))? {
        size += chunk.len() as u64;
        if size > limit {
            return Err(too_large(what, limit));
        }
        written.write_all(&chunk).await.map_err(scratch)?;
    }
    written.flush().await.map_err(scratch)
}

fn too_large(what: &str, limit: u64) -> TaskError {
    TaskError::fail("TooLarge", format!("{what} has more than {limit} bytes, which is the most that is taken"))
}

/// The beginning of a refusal's body, for the message.
pub(crate) async fn excerpt(response: reqwest::Response) -> String {
    match up_to(response, EXCERPT_BYTES).await {
        Ok((bytes, _)) => String::from_utf8_lossy(&bytes).chars().take(200).collect(),
        Err(error) => format!("(no body: {})", chain(&error.without_url())),
    }
}

/// What comes until the end or until more than `limit` bytes are there, and whether that is all.
async fn up_to(mut response: reqwest::Response, limit: usize) -> reqwest::Result<(Bytes, bool)> {
    let mut bytes = BytesMut::new();
    while let Some(chunk) = response.chunk().await? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > limit {
            bytes.truncate(limit);
            return Ok((bytes.freeze(), false));
        }
    }
    Ok((bytes.freeze(), true))
}

/// `Retry-After`, in seconds or as a date.
pub(crate) fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = chrono::DateTime::parse_from_rfc2822(text).ok()?;
    Some(Timestamp::from_millis(date.timestamp_millis()).since(now))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_told_in_seconds_or_as_a_date() {
        let now = Timestamp::parse("2025-12-02T09:34:39Z").unwrap();
        for (text, wait) in [
            ("120", Some(120)),
            (" 3 ", Some(3)),
            ("Tue, 02 Dec 2025 09:35:39 GMT", Some(60)),
            ("Tue, 02 Dec 2025 09:00:00 GMT", Some(0)),
            ("-5", None),
            ("soon", None),
        ] {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, text.parse().unwrap())]);
            assert_eq!(retry_after(&headers, now), wait.map(Duration::from_secs), "{text}");
        }
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }
}
